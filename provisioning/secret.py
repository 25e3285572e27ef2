"""Secrets by reference: the words themselves, a file, or an environment variable; never shown.

A link's or desk's secret must be given to the peer in clear, so the catalog keeps what the operator gave: best a file
or a variable, whose content is read when it is used and so can change without a command. An account's password is only
ever compared, so the catalog keeps its argon2 hash and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from provisioning.errors import UnreadableSecret

MAX_SECRET_OCTETS = 4096  # a file that is longer is not the file that was meant


class SecretKind(StrEnum):
    """Where a secret is."""

    LITERAL = "literal"
    FILE = "file"
    ENV = "env"
    HASH = "hash"


class Secret(msgspec.Struct, frozen=True):
    """A secret, or where it is. Its ``repr`` never shows it.

    Attributes:
        kind: how to read ``value``.
        value: the words, an absolute path, a variable's name, or an argon2 hash.
    """

    kind: SecretKind
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__

    @property
    def reference(self) -> str:
        """What may be shown: ``"***"``, ``"file /path"``, ``"env NAME"``."""
        if self.kind in (SecretKind.LITERAL, SecretKind.HASH):
            return "***"
        return f"{self.kind.value} {self.value}"

    def reveal(self, environ: Mapping[str, str]) -> str:
        """Answer the secret itself. Reads a file when it is in one (blocks shortly).

        Args:
            environ: the environment to look variables up in.

        Raises: UnreadableSecret.
        """
        if self.kind is SecretKind.LITERAL:
            return self.value
        if self.kind is SecretKind.HASH:
            raise UnreadableSecret("a hash", "only its hash is kept; compare with verify_password")
        if self.kind is SecretKind.ENV:
            if self.value not in environ:
                raise UnreadableSecret(self.reference, "the variable is not set")
            words = environ[self.value]
        else:
            words = _read_file(self)
        if not words:
            raise UnreadableSecret(self.reference, "it is empty")
        return words


def _read_file(secret: Secret) -> str:
    try:
        with Path(secret.value).open("rb") as file:
            octets = file.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        raise UnreadableSecret(secret.reference, error.strerror or type(error).__name__) from error
    if len(octets) > MAX_SECRET_OCTETS:
        raise UnreadableSecret(secret.reference, f"it is longer than {MAX_SECRET_OCTETS} octets")
    try:
        # Editors end a file with a newline; no password does.
        return octets.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UnreadableSecret(secret.reference, "it is not UTF-8 text") from None
