"""Passwords of accounts: argon2id hashes, and a comparison that takes as long for an account that does not exist.

These functions take tens of milliseconds of CPU by design: call them in a worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from provisioning.errors import ProvisioningError
from provisioning.fields import check_secret_length, fields_of
from provisioning.model import Account, Entry
from provisioning.secret import Secret, SecretKind

# OWASP's second choice for argon2id: 19 MiB, two passes, one lane; about 20 ms here. RFC 9106's 64 MiB on four lanes
# takes 90 ms, and a carrier that binds fifty sessions after an outage would keep both cores from messages for seconds.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# The hash of words that nobody has (they were random and are forgotten). It has the parameters of the hasher above, so
# that an unknown system_id costs what a wrong password costs. A unit test holds the two together.
DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$QL3cT8D8A9fJ8s660A1bgw$RPYDV00b9X6p5QgfgZynjTIBZ/Mz/c9s6V2AqdNhea4"

_PASSWORD_FIELD = next(field for field in fields_of(Account) if field.name == "password")


def hash_password(password: str) -> str:
    """Make the argon2id hash of a password, with a fresh salt. Slow: use a worker thread."""
    return _hasher.hash(password)


def verify_password(hash: str | None, password: str) -> bool:
    """Tell whether a password is the one. Slow: use a worker thread.

    Args:
        hash: the account's hash; None or empty when there is no such account, which takes as long and answers False.
        password: what the peer gave.
    """
    try:
        _hasher.verify(hash or DUMMY_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return bool(hash)


def hash_passwords(
    wanted: Sequence[Entry], known: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[list[Entry], list[tuple[int, ProvisioningError]]]:
    """Put hashes in the place of accounts' passwords. Slow: use a worker thread.

    A password that is the one whose hash is known already keeps that hash, so that applying a file twice changes
    nothing the second time.

    Args:
        wanted: entries of any kind; only accounts are touched.
        known: the catalog's hashes by system_id.
        environ: the environment, for secrets in it.

    Returns: the entries in order, and index and error of each password that cannot be read or carried. An entry with an
        error stays as it was.
    """
    done: list[Entry] = []
    refusals: list[tuple[int, ProvisioningError]] = []
    for index, entry in enumerate(wanted):
        if isinstance(entry, Account) and entry.password.kind is not SecretKind.HASH:
            try:
                entry = msgspec.structs.replace(entry, password=_hashed(entry, known.get(entry.system_id), environ))
            except ProvisioningError as refusal:
                refusals.append((index, refusal))
        done.append(entry)
    return done, refusals


def _hashed(account: Account, known: str | None, environ: Mapping[str, str]) -> Secret:
    password = account.password.reveal(environ)
    check_secret_length(_PASSWORD_FIELD, password)
    if known and verify_password(known, password) and not _hasher.check_needs_rehash(known):
        return Secret(SecretKind.HASH, known)
    return Secret(SecretKind.HASH, hash_password(password))
