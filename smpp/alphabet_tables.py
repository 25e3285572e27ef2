"""The septet tables of 3GPP TS 23.038 as rows: locking (basic) tables and single shift (extension) tables.

A row's key is the national language identifier of 3GPP TS 23.040 §9.2.3.24.15-16, which is what the user data header
carries; 0 is the default alphabet, for which no header is sent. A national language is one row in either table.
"""

from __future__ import annotations

ESCAPE = 0x1B

# 23.038 §6.2.1. Position 0x1B is the escape and carries no character; 0x09 is the capital Ç, as corrected in 1998.
_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)

# 23.038 §6.2.1.1
_DEFAULT_EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

LOCKING_SHIFT: dict[int, str] = {0: _DEFAULT}
SINGLE_SHIFT: dict[int, dict[int, str]] = {0: _DEFAULT_EXTENSION}
