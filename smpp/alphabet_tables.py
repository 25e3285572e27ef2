"""The septet tables of 3GPP TS 23.038 as rows: locking (basic) tables and single shift (extension) tables.

A row's key is the national language identifier of 3GPP TS 23.040 §9.2.3.24.15-16, which is what the user data header
carries; 0 is the default alphabet, for which no header is sent. A national language is one row in either table, but
Spanish, which has no locking table.

The Indic locking tables are one table: the Indic blocks of Unicode hold the same letters in the same places, and 23.038
lays them out in that order. So each is the Hindi table moved to its block, less what the script has not, with six codes
of its own.

The printed standard has slips in its columns of hexadecimal numbers: Kannada 0x24 reads 0CAA (which is 0x3D; DDA, 0CA1,
would be nowhere), Telugu 0x1C of the single shift reads 0CE6 (a Kannada digit), Oriya 0x20 reads 0BEA (a Tamil digit),
Tamil and Telugu 0x11 name code points that Unicode leaves empty, and Telugu's single shift has no euro sign, alone of
all. Here the letter is what the row means and what phones do, the euro sign included. The Punjabi and Bengali letters
with a dot are the single code points that the standard names.

Source: 3GPP TS 23.038 §6.2.1, §A.2, §A.3.
"""

from __future__ import annotations

from typing import Final

ESCAPE = 0x1B
UNDEFINED = "\ufffe"
"""Stands in a locking table where a code has no character; Python's charmap codec reads it so."""

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

LANGUAGES: Final = {
    1: "tr",
    2: "es",
    3: "pt",
    4: "bn",
    5: "gu",
    6: "hi",
    7: "kn",
    8: "ml",
    9: "or",
    10: "pa",
    11: "ta",
    12: "te",
    13: "ur",
}
"""The ISO 639 code of each national language identifier (23.038 §6.2.1.2.4)."""

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_CAPITALS = {0x41 + at: letter for at, letter in enumerate(_LATIN.upper())}


def _points(block: int, spans: str) -> str:
    """The characters of spans such as ``"01-03 0C"``: hexadecimal offsets into a block of Unicode."""
    characters = ""
    for span in spans.split():
        first, _, last = span.partition("-")
        characters += "".join(map(chr, range(block + int(first, 16), block + int(last or first, 16) + 1)))
    return characters


# --- locking shift tables, 23.038 §A.3 ---


def _changed(changes: dict[int, str]) -> str:
    return "".join(changes.get(code, character) for code, character in enumerate(_DEFAULT))


_TURKISH = _changed({0x04: "€", 0x07: "ı", 0x0B: "Ğ", 0x0C: "ğ", 0x1C: "Ş", 0x1D: "ş", 0x40: "İ", 0x60: "ç"})
_PORTUGUESE = (
    "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ"
    " !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§"
    "~abcdefghijklmnopqrstuvwxyzãõ`üà"
)
_URDU = (
    _points(0x0600, "27 22 28 7B 80 7E A6 2A C2 7F")
    + "\n"
    + _points(0x0600, "79 7D")
    + "\r"
    + _points(0x0600, "7A 7C 2B 2C 81 84 83 85 86 87 2D 2E 2F")
    + "\x1b"
    + _points(0x0600, "8C 88 89 8A")
    + " !"
    + _points(0x0600, "8F 8D 30 31 91 93")
    + ")("
    + _points(0x0600, "99 32")
    + ","
    + _points(0x0600, "96")
    + "."
    + _points(0x0600, "98")
    + "0123456789:;"
    + _points(0x0600, "9A 33 34")
    + "?"
    + _points(0x0600, "35-39 41 42 A9 AA AB AF B3 B1 44 45 46")
    + _points(0x0600, "BA BB BC 48 C4 D5 C1 BE 21 CC D0 D2 4D 50 4F 57")
    + _points(0x0600, "54")
    + _LATIN
    + _points(0x0600, "55 51 53 56 70")
)


def _indic(block: int, absent: str, own: str) -> str:
    """The locking table of an Indic script.

    Args:
        block: where its block of Unicode begins.
        absent: spans of the offsets that it has no letter at.
        own: the offsets of its codes 0x60 and 0x7B…0x7F.
    """

    def letters(spans: str) -> str:
        return "".join(UNDEFINED if letter in missing else letter for letter in _points(block, spans))

    missing = _points(block, absent)
    six = _points(block, own)
    return (
        f"{letters('01-03 05-0B')}\n{letters('0C 0D')}\r{letters('0E-1A')}\x1b{letters('1B-1E')}"
        f" !{letters('1F-24')})({letters('25 26')},{letters('27')}.{letters('28')}"
        f"0123456789:;{letters('29-2B')}?{letters('2C-39 3C-4D')}{six[0]}{_LATIN}{six[1:]}"
    )


LOCKING_SHIFT: dict[int, str] = {
    0: _DEFAULT,
    1: _TURKISH,
    3: _PORTUGUESE,
    4: _indic(0x0980, "0D 0E 11 12 29 31 33-35 45 46 49 4A", "4E 57 5C 5D 70 71"),
    5: _indic(0x0A80, "0E 12 29 31 34 46 4A", "50 60-63 71"),
    6: _indic(0x0900, "", "50 72 7B 7C 7E 7F"),
    7: _indic(0x0C80, "01 0D 11 29 34 45 49", "55 56 60-63"),
    8: _indic(0x0D00, "01 0D 11 29 3C 45 49", "57 60-63 79"),
    9: _indic(0x0B00, "0D 0E 11 12 29 31 34 45 46 49 4A", "56 57 60-63"),
    10: _indic(0x0A00, "0B-0E 11 12 29 31 34 37 3D 43-46 49 4A", "51 70-74"),
    11: _indic(0x0B80, "01 0B-0D 11 16-18 1B 1D 20-22 25-27 2B-2D 3C 3D 43-45 49", "50 57 70-72 79"),
    12: _indic(0x0C00, "0D 11 29 34 3C 45 49", "55 56 60-63"),
    13: _URDU,
}


# --- single shift tables, 23.038 §A.2 ---

# What the single shift tables from Bengali on share. '*' and '¡' stand twice, as in the standard.
_ASIAN_EXTENSION = {
    **{code: character for code, character in enumerate("@£$¥¿\"¤%&'\f*+\r-/<=>¡^¡_#*") if character != "\r"},
    **_DEFAULT_EXTENSION,
    **_CAPITALS,
}
# The codes that are left for digits and letters, in the order in which the tables fill them.
_OWN_CODES = (0x19, 0x1A, *range(0x1C, 0x28), *range(0x2A, 0x2F), *range(0x30, 0x3C), 0x3F)
_DANDAS = "\u0964\u0965"


def _asian(letters: str) -> dict[int, str]:
    """A single shift table of digits and letters from code 0x19 on; UNDEFINED leaves a code out."""
    own = zip(_OWN_CODES, letters, strict=False)
    return _ASIAN_EXTENSION | {code: letter for code, letter in own if letter != UNDEFINED}


SINGLE_SHIFT: dict[int, dict[int, str]] = {
    0: _DEFAULT_EXTENSION,
    1: _DEFAULT_EXTENSION | {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},
    2: _DEFAULT_EXTENSION
    | {0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú"},
    3: _DEFAULT_EXTENSION
    | {0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x12: "Φ", 0x13: "Γ", 0x15: "Ω"}
    | {0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú"}
    | {0x5B: "Ã", 0x5C: "Õ", 0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â"},
    4: _asian(_points(0x0980, "66-6F 5F-63 72-7A")),
    5: _asian(_DANDAS + _points(0x0A80, "66-6F")),
    6: _asian(_DANDAS + _points(0x0900, "66-6F 51-54 58-63 70 71")),
    7: _asian(_DANDAS + _points(0x0C80, "66-6F 5E 71 72")),
    8: _asian(_DANDAS + _points(0x0D00, "66-75 7A-7F")),
    9: _asian(_DANDAS + _points(0x0B00, "66-6F 5C 5D 5F 70 71")),
    10: _asian(_DANDAS + _points(0x0A00, "66-6F 59-5C 5E 75")),
    11: _asian(_DANDAS + _points(0x0B80, "66-6F 73-78 7A")),
    12: _asian(UNDEFINED * 2 + _points(0x0C00, "66-6F 58 59 78-7F")),
    13: _asian(_points(0x0600, "00 01 F0-F9 0C-14 1B 1F 40 52 58 6B 6C 72 73 CD D4")),
}
