"""Passwords that were found right, so that they are not hashed again: an ESME that comes and goes costs no core. Pure.

A slow hash protects a password from whoever reads the store, where this is not: it lives as long as the process, keyed
with octets that nobody else knows. Whoever reads the process's memory reads passwords in PDUs as well. What is
remembered holds for one hash: a new password makes it void.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Final

ACCOUNTS: Final = 10_000


class RightPasswords:
    """The last one of each account.

    Args:
        key: random octets, of this process alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def remember(self, system_id: str, password_hash: str, password: str) -> None:
        """Note that a password is the one of this hash."""
        self._known[system_id] = (password_hash, self._mac(password))
        self._known.move_to_end(system_id)
        if len(self._known) > ACCOUNTS:
            self._known.popitem(last=False)

    def knows(self, system_id: str, password_hash: str, password: str) -> bool:
        """Whether a password is known to be the one of this hash; False says nothing."""
        found = self._known.get(system_id)
        if found is None or not password_hash or found[0] != password_hash:
            return False
        return hmac.compare_digest(found[1], self._mac(password))

    def _mac(self, password: str) -> bytes:
        return hmac.digest(self._key, password.encode("utf-8", "surrogatepass"), "sha256")
