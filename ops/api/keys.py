"""Keys of the control interface: what they look like, and whose one is. Pure.

A key is ``smshub_``, 32 random octets in base32, and a checksum of six characters: so that a scanner of source code
finds one that was committed by mistake, and a key that was mistyped, or made up, is refused without a look at the
store. Only its SHA-256 is kept. A slow hash would protect words that people choose; nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from base64 import b32encode
from collections.abc import Iterable

from provisioning import ApiKey

KEY_OCTETS = 32
PREFIX = "smshub_"
_CHECK_CHARACTERS = 6
_FORM = re.compile(r"smshub_[a-z2-7]{52}[a-z2-7]{6}", re.ASCII)
_BEARER = re.compile(r"bearer +([!-~]+) *", re.ASCII | re.IGNORECASE)


def _text(octets: bytes) -> str:
    return b32encode(octets).decode().rstrip("=").lower()


def _checksum(body: str) -> str:
    return _text(zlib.crc32((PREFIX + body).encode()).to_bytes(4, "big"))[:_CHECK_CHARACTERS]


def make_key(octets: bytes) -> str:
    """Make a key of 32 random octets.

    Raises: ValueError when there are more or fewer.
    """
    if len(octets) != KEY_OCTETS:
        raise ValueError(f"a key has {KEY_OCTETS} random octets, not {len(octets)}")
    body = _text(octets)
    return PREFIX + body + _checksum(body)


def is_key(text: str) -> bool:
    """Whether a text has the form of a key and its checksum is right."""
    if not _FORM.fullmatch(text):
        return False
    body, check = text[len(PREFIX) : -_CHECK_CHARACTERS], text[-_CHECK_CHARACTERS:]
    return hmac.compare_digest(_checksum(body), check)


def digest_of(key: str) -> str:
    """What is kept of a key: ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bearer_of(authorization: str) -> str | None:
    """The key in an ``Authorization`` header; None when there is none (RFC 6750 §2.1)."""
    match = _BEARER.fullmatch(authorization)
    return match[1] if match else None


class KeyRing:
    """The keys that there are, by digest."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._by_digest = {key.digest: key for key in keys}

    def find(self, presented: str, today: str) -> ApiKey | None:
        """Whose key it is; None when it opens nothing: unknown, suspended or lapsed. The three look alike.

        Args:
            presented: what the request gave.
            today: the day, UTC: ``"2026-11-22"``.
        """
        if not is_key(presented):
            return None
        # Which entry of the dictionary is met tells of the digest, of which nobody can choose the beginning.
        digest = digest_of(presented)
        key = self._by_digest.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        lapsed = bool(key.valid_until) and today > key.valid_until
        return None if lapsed or key.state != "active" else key
