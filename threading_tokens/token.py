"""Tokens: the opaque names of threads (H19).

A token is 128 random bits in the base32 alphabet of RFC 4648 §6, lower case, without padding: 26 characters that
survive case-folding transports, URLs, JIDs and being read out over a telephone. It says nothing by itself; it is
looked up. 26 characters hold 130 bits, so the last one has only eight values: `is_token` refuses the others, so that
one thread has one spelling.
"""

from __future__ import annotations

import re
from hmac import compare_digest

TOKEN_OCTETS = 16
TOKEN_CHARACTERS = 26

# What a log or an error may show: 30 bits tell threads apart for a reader and are useless to a guesser.
SHOWN_CHARACTERS = 6

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

# base64.b32encode takes 1.9 µs for one token; ten bits at a time through this table take 0.8 µs.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]

_SYNTAX = re.compile(r"[a-z2-7]{25}[aeimquy4]", re.ASCII)


def new_token(random_octets: bytes) -> str:
    """Spell a token.

    Args:
        random_octets: 16 octets from the operating system's generator, used for nothing else.

    Returns: 26 characters.

    Raises:
        ValueError: not 16 octets.
    """
    if len(random_octets) != TOKEN_OCTETS:
        raise ValueError(f"a token is made of {TOKEN_OCTETS} octets, not {len(random_octets)}")
    bits = int.from_bytes(random_octets, "big") << 2
    return (
        f"{_PAIRS[bits >> 120]}{_PAIRS[bits >> 110 & 1023]}{_PAIRS[bits >> 100 & 1023]}{_PAIRS[bits >> 90 & 1023]}"
        f"{_PAIRS[bits >> 80 & 1023]}{_PAIRS[bits >> 70 & 1023]}{_PAIRS[bits >> 60 & 1023]}{_PAIRS[bits >> 50 & 1023]}"
        f"{_PAIRS[bits >> 40 & 1023]}{_PAIRS[bits >> 30 & 1023]}{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}"
        f"{_PAIRS[bits & 1023]}"
    )


def is_token(text: str) -> bool:
    """Whether the text is spelt like a token; says nothing about whether it names a thread."""
    return _SYNTAX.fullmatch(text) is not None


def same_token(one: str, other: str) -> bool:
    """Whether two tokens are equal, in a time that does not tell where they differ."""
    return compare_digest(one.encode(), other.encode())


def redacted(token: str) -> str:
    """What may be shown of a token: its first six characters and an ellipsis."""
    return token[:SHOWN_CHARACTERS] + "…"
