"""The alphabets of octets, code by code, from their standards; and what each data_coding of SMPP means.

The tables are transcribed here as ranges of code points, independently of the codecs that the source takes.
"""

from __future__ import annotations

import pytest

from smpp.alphabet import BY_NAME, GSM7, LATIN1, alphabet_of, data_coding_of

REPLACEMENT = "\ufffd"
LOWER = {code: chr(code) for code in range(0x80)}
CONTROLS = {code: chr(code) for code in range(0x80, 0xA0)}


def span(first: int, code_points: str | range) -> dict[int, str]:
    """Codes from ``first`` on."""
    characters = code_points if isinstance(code_points, str) else "".join(map(chr, code_points))
    return {first + at: character for at, character in enumerate(characters)}


TABLES = {
    "ascii": LOWER,
    "latin1": LOWER | CONTROLS | span(0xA0, range(0xA0, 0x100)),
    # ISO/IEC 8859-5:1999
    "cyrillic": LOWER
    | CONTROLS
    | {0xA0: "\xa0", 0xAD: "\xad", 0xF0: "№", 0xFD: "§"}
    | span(0xA1, range(0x0401, 0x040D))
    | span(0xAE, range(0x040E, 0x0450))
    | span(0xF1, range(0x0451, 0x045D))
    | span(0xFE, range(0x045E, 0x0460)),
    # ISO/IEC 8859-8:1999, with the marks of direction
    "hebrew": LOWER
    | CONTROLS
    | {0xA0: "\xa0", 0xAA: "×", 0xBA: "÷", 0xDF: "‗", 0xFD: "\u200e", 0xFE: "\u200f"}
    | span(0xA2, "¢£¤¥¦§¨©")
    | span(0xAB, "«¬\xad®¯°±²³´µ¶·¸¹")
    | span(0xBB, "»¼½¾")
    | span(0xE0, range(0x05D0, 0x05EB)),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_code(name: str) -> None:
    alphabet, table = BY_NAME[name], TABLES[name]
    for code in range(0x100):
        assert alphabet.decode(bytes((code,))) == table.get(code, REPLACEMENT), hex(code)
    for code, character in table.items():
        assert alphabet.encode(character) == bytes((code,)), hex(code)


@pytest.mark.parametrize(
    ("name", "text", "octets"),
    [
        ("shift-jis", "ｱあ亜", "b1 82a0 889f"),  # JIS X 0201 in one octet, JIS X 0208 in two
        ("euc-jp", "ｱあ亜", "8eb1 a4a2 b0a1"),
        ("euc-kr", "가힝", "b0a1 c8fe"),
        ("ucs2", "Aя😀", "0041 044f d83dde00"),
    ],
)
def test_alphabets_of_several_octets(name: str, text: str, octets: str) -> None:
    assert BY_NAME[name].encode(text) == bytes.fromhex(octets)
    assert BY_NAME[name].decode(bytes.fromhex(octets)) == text


# SMPP 3.4 §5.2.19, and SMPP 5.0 §4.7.7 which says the same.
@pytest.mark.parametrize(
    ("data_coding", "name"),
    [
        (0x01, "ascii"),  # IA5 (CCITT T.50)
        (0x02, None),  # octets unspecified
        (0x03, "latin1"),
        (0x04, None),  # octets unspecified
        (0x05, "shift-jis"),
        (0x06, "cyrillic"),
        (0x07, "hebrew"),
        (0x08, "ucs2"),
        (0x09, None),  # pictograms
        (0x0A, None),  # ISO-2022-JP, music codes
        (0x0D, "euc-jp"),
        (0x0E, "euc-kr"),
    ],
)
def test_the_data_codings_of_smpp(data_coding: int, name: str | None) -> None:
    for default in (GSM7, LATIN1, BY_NAME["cyrillic"]):
        found = alphabet_of(data_coding, default)
        assert (found.name if found is not None else None) == name
        if found is not None and found is not default:
            assert data_coding_of(found, default) == data_coding
