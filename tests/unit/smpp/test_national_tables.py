"""The national language tables of 3GPP TS 23.038 §A.2 and §A.3."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest

from smpp.alphabet import BY_NAME, GSM7, NATIONAL, UCS2, SeptetAlphabet, septet_alphabet, shifted
from smpp.alphabet_tables import LANGUAGES, LOCKING_SHIFT, SINGLE_SHIFT, UNDEFINED
from smpp.segmentation import choose, segment

INDIC = {4: "BENGALI", 5: "GUJARATI", 6: "DEVANAGARI", 7: "KANNADA", 8: "MALAYALAM", 9: "ORIYA", 10: "GURMUKHI"}
INDIC |= {11: "TAMIL", 12: "TELUGU"}
SCRIPTS = INDIC | {13: "ARABIC"}
# How many codes have a character, the escape counted, as two readings of the standard have it.
LOCKING_SIZES = {1: 128, 3: 128, 4: 115, 5: 121, 6: 128, 7: 121, 8: 121, 9: 117, 10: 111, 11: 103, 12: 121, 13: 128}
# Without escape and carriage return; Telugu's euro sign is in.
SINGLE_SIZES = {1: 17, 2: 19, 3: 37, 4: 82, 5: 70, 6: 88, 7: 73, 8: 82, 9: 75, 10: 76, 11: 77, 12: 78, 13: 90}


def test_every_language_has_its_tables() -> None:
    assert LANGUAGES.keys() == SINGLE_SHIFT.keys() - {0}
    assert LANGUAGES.keys() == LOCKING_SHIFT.keys() - {0} | {2}  # Spanish has no locking table


@pytest.mark.parametrize("language", LOCKING_SHIFT)
def test_a_locking_table_has_128_codes_and_the_fixed_ones_in_their_places(language: int) -> None:
    table = LOCKING_SHIFT[language]
    assert len(table) == 128
    assert (table[0x0A], table[0x0D], table[0x1B], table[0x20]) == ("\n", "\r", "\x1b", " ")
    assert table[0x30:0x3A] == "0123456789"
    assert table[0x61:0x7B] == "abcdefghijklmnopqrstuvwxyz"
    assert (table[0x21], table[0x2C], table[0x2E], table[0x3F]) == ("!", ",", ".", "?")
    characters = [character for character in table if character != UNDEFINED]
    assert len(set(characters)) == len(characters) == LOCKING_SIZES.get(language, 128)
    assert all(character in "\n\r\x1b" or unicodedata.name(character) for character in characters)


@pytest.mark.parametrize("language", SINGLE_SIZES)
def test_a_single_shift_table_keeps_the_default_extension_and_the_reserved_codes(language: int) -> None:
    table = SINGLE_SHIFT[language]
    assert SINGLE_SHIFT[0].items() <= table.items()
    assert not {0x0D, 0x1B} & table.keys()
    assert len(table) == SINGLE_SIZES[language]
    assert all(0 <= code < 0x80 and len(character) == 1 for code, character in table.items())
    assert all(character == "\f" or unicodedata.name(character) for character in table.values())


@pytest.mark.parametrize(("language", "script"), SCRIPTS.items())
def test_a_script_has_its_own_letters_and_digits(language: int, script: str) -> None:
    alphabet = septet_alphabet(language, language)
    beyond = {character for character in LOCKING_SHIFT[language] if "\u0600" <= character < UNDEFINED}
    beyond |= {character for character in SINGLE_SHIFT[language].values() if character >= "\u0600"}
    own = {character for character in beyond if unicodedata.name(character).startswith(script)}
    shared = {"\u0964", "\u0965", "€"}  # the dandas are Devanagari by name
    assert {one for one in beyond - own - shared if not unicodedata.name(one).startswith("DEVANAGARI")} <= set(
        "۰۱۲۳۴۵۶۷۸۹"  # "EXTENDED ARABIC-INDIC DIGIT"
    )
    digits = sorted(character for character in beyond if unicodedata.decimal(character, -1) >= 0)
    assert [unicodedata.decimal(digit) for digit in digits] == list(range(10))
    start = SINGLE_SHIFT[language]
    zero = 0x19 if language == 4 else 0x1C
    assert start[zero] == digits[0]
    assert alphabet.decode(alphabet.encode("".join(digits))) == "".join(digits)


def test_the_tables_are_those_that_were_checked() -> None:
    """When this was written, a program compared them with two independent readings of the standard.

    Where a reading differed, others decided; the slips of the standard itself are named in alphabet_tables.
    """
    every = repr((sorted(LOCKING_SHIFT.items()), [sorted(row.items()) for _, row in sorted(SINGLE_SHIFT.items())]))
    assert (
        hashlib.sha256(every.encode()).hexdigest() == "d5566e4a55a4f14a6f33febda0aa5f8f732c011330b35a2585c68e81b1285384"
    )


@pytest.mark.parametrize(
    ("name", "text", "octets"),
    [
        ("gsm7-tr", "İğş€ç", "40 0c 1d 04 60"),
        ("gsm7-tr-single", "İğ", "1b49 1b67"),
        ("gsm7-es", "¿Qué día?", "60 51 75 05 20 64 1b69 61 3f"),
        ("gsm7-pt", "Não ∞`", "4e 7b 6f 20 15 7d"),
        ("gsm7-pt-single", "ãΩ", "1b7b 15"),  # the default table has the omega
        ("gsm7-bn", "কX১", "15 1b58 1b1a"),
        ("gsm7-gu", "અ।", "03 1b19"),
        ("gsm7-hi", "नमस्ते", "2f 42 4c 5f 27 59"),
        ("gsm7-kn", "ಡ@", "24 1b00"),
        ("gsm7-ml", "ൿ", "1b34"),
        ("gsm7-or", "ଳ୪", "47 1b20"),
        ("gsm7-pa", "\u0a36੭", "4a 1b23"),
        ("gsm7-ta", "தமி௮", "27 42 51 1b24"),
        ("gsm7-te", "తె౦€", "27 58 1b1c 1b65"),
        ("gsm7-ur", "اردو۔", "00 25 1a 53 1b3f"),
    ],
)
def test_known_texts(name: str, text: str, octets: str) -> None:
    alphabet = BY_NAME[name]
    assert alphabet.encode(text) == bytes.fromhex(octets)
    assert alphabet.decode(bytes.fromhex(octets)) == text


@pytest.mark.parametrize("alphabet", NATIONAL, ids=repr)
def test_every_code_decodes_to_what_encodes_to_a_code_of_the_same_character(alphabet: SeptetAlphabet) -> None:
    for code in range(0x80):
        for octets in (bytes((code,)), bytes((0x1B, code))):
            text = alphabet.decode(octets)
            assert len(text) == 1
            if text != "\ufffd":
                assert alphabet.decode(alphabet.encode(text)) == text
    assert BY_NAME[alphabet.name] is alphabet


def test_a_code_without_a_character_still_may_be_one_behind_the_escape() -> None:
    bengali = BY_NAME["gsm7-bn"]
    assert bengali.decode(bytes.fromhex("0c 1b0c 1b11 11")) == "\ufffd+=\ufffd"
    assert bengali.decode(bytes.fromhex("1b58 1b7a ff")) == "Xz\ufffd"


def test_the_last_of_several_elements_counts_and_only_those_of_one_octet() -> None:
    assert shifted(GSM7, ((0x24, b"\1"), (0x24, b"\2"))) is BY_NAME["gsm7-es"]
    assert shifted(GSM7, ((0x24, b"\1\2"), (0x00, b"\1\2\1"))) is GSM7
    assert shifted(GSM7, ((0x25, b"\2"),)) is GSM7  # void
    assert shifted(UCS2, ((0x24, b"\1"),)) is UCS2


def test_a_turkish_text_takes_the_tables_where_they_are_allowed() -> None:
    text = "ığşİçğüö " * 15  # 135 characters: two parts of UCS-2
    turkish = BY_NAME["gsm7-tr"]
    locking = septet_alphabet(1, 0)
    assert choose(text, (GSM7, UCS2), GSM7) is UCS2
    assert choose(text, (GSM7, UCS2, turkish), GSM7) is locking
    (only,) = segment(text, allowed=(GSM7, UCS2, turkish))
    assert (only.data_coding, only.esm_class) == (0, 0x40)
    assert only.short_message[:4] == bytes.fromhex("03 250101")
    assert locking.decode(only.short_message[4:]) == text
    parts = segment(text * 2, allowed=(GSM7, UCS2, turkish), reference=7)
    assert [part.short_message[:9] for part in parts] == [
        bytes.fromhex(f"08 0003 07 02 0{number} 250101") for number in (1, 2)
    ]
    assert [part.characters for part in parts] == [149, 121]
