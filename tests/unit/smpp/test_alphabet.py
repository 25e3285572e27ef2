"""Alphabets: exact octets from the standards, and what the field sends instead."""

from __future__ import annotations

import unicodedata

import pytest

from smpp import alphabet_tables
from smpp.alphabet import (
    ASCII,
    BY_NAME,
    GSM7,
    LATIN1,
    UCS2,
    Alphabet,
    SeptetAlphabet,
    UnencodableText,
    alphabet_of,
    data_coding_of,
    fill_bits,
    looks_like_ucs2,
    pack,
    septet_alphabet,
    shifted,
    unpack,
)
from smpp.reassembly import parse_udh

# 23.038 §6.2.1, transcribed by Unicode name, independently of the table in the source.
GSM_BY_NAME = {
    0x00: "COMMERCIAL AT",
    0x01: "POUND SIGN",
    0x02: "DOLLAR SIGN",
    0x03: "YEN SIGN",
    0x04: "LATIN SMALL LETTER E WITH GRAVE",
    0x05: "LATIN SMALL LETTER E WITH ACUTE",
    0x06: "LATIN SMALL LETTER U WITH GRAVE",
    0x07: "LATIN SMALL LETTER I WITH GRAVE",
    0x08: "LATIN SMALL LETTER O WITH GRAVE",
    0x09: "LATIN CAPITAL LETTER C WITH CEDILLA",
    0x0B: "LATIN CAPITAL LETTER O WITH STROKE",
    0x0C: "LATIN SMALL LETTER O WITH STROKE",
    0x0E: "LATIN CAPITAL LETTER A WITH RING ABOVE",
    0x0F: "LATIN SMALL LETTER A WITH RING ABOVE",
    0x10: "GREEK CAPITAL LETTER DELTA",
    0x11: "LOW LINE",
    0x12: "GREEK CAPITAL LETTER PHI",
    0x13: "GREEK CAPITAL LETTER GAMMA",
    0x14: "GREEK CAPITAL LETTER LAMDA",
    0x15: "GREEK CAPITAL LETTER OMEGA",
    0x16: "GREEK CAPITAL LETTER PI",
    0x17: "GREEK CAPITAL LETTER PSI",
    0x18: "GREEK CAPITAL LETTER SIGMA",
    0x19: "GREEK CAPITAL LETTER THETA",
    0x1A: "GREEK CAPITAL LETTER XI",
    0x1C: "LATIN CAPITAL LETTER AE",
    0x1D: "LATIN SMALL LETTER AE",
    0x1E: "LATIN SMALL LETTER SHARP S",
    0x1F: "LATIN CAPITAL LETTER E WITH ACUTE",
    0x24: "CURRENCY SIGN",
    0x40: "INVERTED EXCLAMATION MARK",
    0x5B: "LATIN CAPITAL LETTER A WITH DIAERESIS",
    0x5C: "LATIN CAPITAL LETTER O WITH DIAERESIS",
    0x5D: "LATIN CAPITAL LETTER N WITH TILDE",
    0x5E: "LATIN CAPITAL LETTER U WITH DIAERESIS",
    0x5F: "SECTION SIGN",
    0x60: "INVERTED QUESTION MARK",
    0x7B: "LATIN SMALL LETTER A WITH DIAERESIS",
    0x7C: "LATIN SMALL LETTER O WITH DIAERESIS",
    0x7D: "LATIN SMALL LETTER N WITH TILDE",
    0x7E: "LATIN SMALL LETTER U WITH DIAERESIS",
    0x7F: "LATIN SMALL LETTER A WITH GRAVE",
}
EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}


@pytest.mark.parametrize("code", [code for code in range(128) if code != 0x1B])
def test_every_code_of_the_default_table_is_the_standards_character(code: int) -> None:
    named = GSM_BY_NAME.get(code)
    character = unicodedata.lookup(named) if named else chr(code)  # the rest is ASCII's
    assert GSM7.encode(character) == bytes((code,))
    assert GSM7.decode(bytes((code,))) == character
    assert GSM7.units(character) == 1


@pytest.mark.parametrize(("character", "code"), EXTENSION.items())
def test_extension_characters_cost_two_septets(character: str, code: int) -> None:
    assert GSM7.encode(f"a{character}b") == bytes((0x61, 0x1B, code, 0x62))
    assert GSM7.decode(bytes((0x1B, code))) == character
    assert GSM7.units(character) == 2


def test_several_extension_characters_beside_at_signs() -> None:
    text = "{a@b}€€@[x]"
    septets = GSM7.encode(text)
    assert septets == bytes.fromhex("1b28 61 00 62 1b29 1b65 1b65 00 1b3c 78 1b3e")
    assert GSM7.units(text) == len(septets) == 17
    assert GSM7.decode(septets) == text


@pytest.mark.parametrize("text", ["ş", "😀", "`", "\0", "\x1b", "a\0b", "ç", "Α"])  # the last is a Greek alpha
def test_gsm_refuses_what_it_cannot_carry_exactly(text: str) -> None:
    assert not GSM7.encodable(text)
    assert GSM7.try_encode(text) is None
    with pytest.raises(UnencodableText) as refusal:
        GSM7.encode(text)
    assert refusal.value.alphabets == ("gsm7",)
    assert text not in str(refusal.value)
    with pytest.raises(UnencodableText):
        GSM7.units(text)


@pytest.mark.parametrize(("text", "reach"), [("abc", 3), ("", 0), ("ab😀", 2), ("a\0b", 1), ("a\0b😀", 1), ("😀", 0)])
def test_reach_counts_the_characters_before_the_first_that_is_not_carried(text: str, reach: int) -> None:
    assert GSM7.reach(text) == reach


def test_reach_of_the_other_alphabets() -> None:
    assert LATIN1.reach("aé€") == 2
    assert LATIN1.reach("aé") == 2
    assert UCS2.reach("a😀\ud800b") == 2
    assert UCS2.reach("a😀") == 2


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b\x41", "A"),  # no extension there: the basic character
        (b"\x1b\x0d", "\r"),
        (b"a\x1b\x1bb", "a b"),  # the escape of another table: a space
        (b"a\x1b", "a "),  # an escape at the end
        (b"\x1b\x1b\x1b\x65", " €"),
        (b"a\x80\xff", "a\ufffd\ufffd"),  # no septets
        (b"\x1b\xe9", "\ufffd"),
        (b"", ""),
    ],
)
def test_gsm_decodes_anything(octets: bytes, text: str) -> None:
    assert GSM7.decode(octets) == text


def test_ucs2_is_utf16_with_surrogate_pairs() -> None:
    assert UCS2.encode("aя😀") == bytes.fromhex("0061 044f d83d de00")
    assert UCS2.units("aя😀") == 4
    assert UCS2.decode(bytes.fromhex("0061 044f d83d de00")) == "aя😀"


def test_lone_surrogates_are_no_text() -> None:
    assert not UCS2.encodable("a\ud83d")
    assert UCS2.decode(bytes.fromhex("0061 d83d 0062")) == "a\ufffdb"
    assert UCS2.decode(bytes.fromhex("de00 0062")) == "\ufffdb"


def test_a_last_odd_octet_costs_only_itself() -> None:
    assert UCS2.decode(bytes.fromhex("0061 0062 00")) == "ab\ufffd"
    assert UCS2.decode_part(bytes.fromhex("0061 0062 00")) == "ab\ufffd"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("0061 d83d", "a\ud83d"),
        ("de00 0062", "\ude00b"),
        ("de00 0062 d83d", "\ude00b\ud83d"),
        ("d83d", "\ud83d"),
        ("de00", "\ude00"),
        ("d83d 0061", "\ufffda"),  # a high half is kept at the end only
        ("0061 de00", "a\ufffd"),
        ("de00 d83d 00", "\ude00\ufffd\ufffd"),
        ("d83d de00", "😀"),
        ("", ""),
    ],
)
def test_decode_part_keeps_half_a_surrogate_pair_at_the_ends(octets: str, text: str) -> None:
    assert UCS2.decode_part(bytes.fromhex(octets)) == text


def test_decode_part_of_the_others_is_decode() -> None:
    assert GSM7.decode_part(b"\x00a") == "@a"


@pytest.mark.parametrize(
    ("alphabet", "octets"),
    [
        ("latin1", "e9"),
        ("cyrillic", "ef"),
        ("hebrew", "e0"),
        ("shift-jis", "82a0"),
        ("euc-jp", "a4a2"),
        ("euc-kr", "b0a1"),
    ],
)
def test_octet_alphabets(alphabet: str, octets: str) -> None:
    character = {"latin1": "é", "cyrillic": "я", "hebrew": "א", "euc-kr": "가"}.get(alphabet, "あ")
    assert BY_NAME[alphabet].encode(character) == bytes.fromhex(octets)
    assert BY_NAME[alphabet].decode(bytes.fromhex(octets)) == character


@pytest.mark.parametrize("alphabet", [BY_NAME["shift-jis"], BY_NAME["euc-jp"]])
def test_a_yen_sign_is_not_sent_as_a_backslash(alphabet: Alphabet) -> None:
    assert not alphabet.encodable("あ¥")
    assert alphabet.reach("あ¥あ") == 1


def test_ascii_replaces_octets_that_are_none() -> None:
    assert ASCII.decode(b"a\xe9") == "a\ufffd"
    assert not ASCII.encodable("é")


@pytest.mark.parametrize("default", [GSM7, LATIN1, ASCII, UCS2])
def test_data_coding_0_means_the_links_default(default: Alphabet) -> None:
    assert alphabet_of(0, default) is default
    assert data_coding_of(default, default) == 0


@pytest.mark.parametrize(
    ("data_coding", "alphabet"),
    [
        (0x01, "ascii"),
        (0x03, "latin1"),
        (0x05, "shift-jis"),
        (0x06, "cyrillic"),
        (0x07, "hebrew"),
        (0x08, "ucs2"),
        (0x0D, "euc-jp"),
        (0x0E, "euc-kr"),
        (0x10, "gsm7"),
        (0x11, "gsm7"),
        (0x18, "ucs2"),
        (0x19, "ucs2"),
        (0x48, "ucs2"),
        (0xC8, "gsm7"),
        (0xD0, "gsm7"),
        (0xE0, "ucs2"),
        (0xEF, "ucs2"),
    ],
)
def test_data_coding_names_an_alphabet_whatever_the_default(data_coding: int, alphabet: str) -> None:
    for default in (GSM7, LATIN1):
        assert alphabet_of(data_coding, default) is BY_NAME[alphabet]


@pytest.mark.parametrize("data_coding", [0xF0, 0xF1, 0xF2, 0xF3, 0xF8, 0xFB])
def test_dcs_fx_keeps_gsm(data_coding: int) -> None:
    assert alphabet_of(data_coding, LATIN1) is GSM7


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0x09, 0x0A, 0x14, 0x16, 0x20, 0x3F, 0x60, 0xF4, 0xF7, 0xFD])
def test_data_coding_of_octets_that_are_no_text(data_coding: int) -> None:
    assert alphabet_of(data_coding, GSM7) is None


@pytest.mark.parametrize("data_coding", [0x0B, 0x0C, 0x0F, 0x1C, 0x80, 0x9F, 0xBF])
def test_reserved_data_coding_reads_as_the_default(data_coding: int) -> None:
    assert alphabet_of(data_coding, LATIN1) is LATIN1


@pytest.mark.parametrize("alphabet", BY_NAME.values(), ids=BY_NAME)
def test_data_coding_leads_back_to_the_alphabet_where_it_is_not_the_default(alphabet: Alphabet) -> None:
    other = LATIN1 if alphabet is not LATIN1 else GSM7
    named = alphabet_of(data_coding_of(alphabet, other), other)
    assert named is not None
    header = parse_udh(bytes((len(alphabet.shift_elements),)) + alphabet.shift_elements)
    assert shifted(named, header.elements) is alphabet
    assert data_coding_of(alphabet, other) != 0xF0  # class 0 would flash on the screen


@pytest.mark.parametrize(
    ("octets", "verdict"),
    [
        ("0048 0065 006c", True),
        ("feff 044f", True),
        ("0048", False),  # "@H" may be meant
        ("0048 0065 00", False),
        ("0448 0065", False),
        ("0000 0000", False),  # "@@@@" may be meant
        ("4865 6c6c", False),
    ],
)
def test_ucs2_under_0_shows_by_its_zeros(octets: str, verdict: bool) -> None:
    assert looks_like_ucs2(bytes.fromhex(octets)) is verdict


# The worked examples of 23.038 and of every tutorial since.
@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("hellohello", "e8329bfd4697d9ec37"),
        ("a", "61"),
        ("1234567", "31d98c56b3dd1a"),
        ("12345678", "31d98c56b3dd70"),
        ("", ""),
    ],
)
def test_pack_exact_octets(text: str, packed: str) -> None:
    assert pack(GSM7.encode(text)) == bytes.fromhex(packed)
    assert GSM7.decode(unpack(bytes.fromhex(packed))) == text


@pytest.mark.parametrize("fill", range(7))
@pytest.mark.parametrize("count", [150, 160, 161, 319, 320, 321, 483, 74_000])
def test_long_packed_texts_come_back(count: int, fill: int) -> None:
    """Such as message_payload brings: they are unpacked block by block."""
    original = bytes(at * 7 % 127 for at in range(count - 1)) + b"a"
    assert unpack(pack(original, fill), fill) == original


def test_seven_spare_bits_at_the_end_are_cr_not_at() -> None:
    assert pack(GSM7.encode("1234567"))[-1] >> 1 == 0x0D
    assert unpack(pack(GSM7.encode("1234567"))) == b"1234567"
    assert unpack(bytes.fromhex("31d98c56b3dd00")) == b"1234567\0"  # what a writer without the rule makes of it: '@'


def test_a_cr_that_is_meant_at_the_end_of_an_octet_is_doubled() -> None:
    assert len(pack(b"1234567\r")) == 8
    assert unpack(pack(b"1234567\r")) == b"1234567\r\r"  # "not misoperation", says 23.038 §6.1.2.3.1
    assert unpack(pack(b"123456\r")) == b"123456\r"


@pytest.mark.parametrize(("header_octets", "bits"), [(0, 0), (6, 1), (7, 0), (1, 6), (3, 4)])
def test_packed_with_a_udh_needs_fill_bits(header_octets: int, bits: int) -> None:
    assert fill_bits(header_octets) == bits
    assert (header_octets * 8 + bits) % 7 == 0


def test_fill_bits_shift_the_first_septet() -> None:
    assert pack(b"a", 1) == bytes((0x61 << 1,))
    assert unpack(bytes((0x61 << 1,)), 1) == b"a"


def test_the_cr_rule_counts_the_fill_bits() -> None:
    septets = b"12345678"  # with one fill bit, 57 bits: seven spare in the eighth octet
    packed = pack(septets, 1)
    assert len(packed) == 8
    assert packed[-1] >> 1 == 0x0D
    assert unpack(packed, 1) == septets


def test_a_national_table_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    spanish = alphabet_tables.SINGLE_SHIFT[0] | {0x09: "ç", 0x41: "Á", 0x61: "á"}
    hindi_like = "ँ" + alphabet_tables.LOCKING_SHIFT[0][1:]
    monkeypatch.setitem(alphabet_tables.SINGLE_SHIFT, 2, spanish)
    monkeypatch.setitem(alphabet_tables.SINGLE_SHIFT, 6, {0x00: "@", 0x09: "ç"})
    monkeypatch.setitem(alphabet_tables.LOCKING_SHIFT, 6, hindi_like)
    spanish_only = SeptetAlphabet(0, 2)
    assert spanish_only.name == "gsm7-es"
    assert spanish_only.shift_elements == bytes.fromhex("240102")
    assert spanish_only.encode("çá@") == bytes.fromhex("1b09 1b61 00")
    assert spanish_only.decode(bytes.fromhex("1b09 1b61 00 1b65")) == "çá@€"
    both = SeptetAlphabet(6, 6)
    assert both.shift_elements == bytes.fromhex("240106 250106")
    assert both.encode("ँ@ç") == bytes.fromhex("00 1b00 1b09")
    assert both.decode(bytes.fromhex("00 1b00 1b09")) == "ँ@ç"
    assert not both.encodable("€")


def test_an_unknown_national_language_means_the_default_table() -> None:
    assert septet_alphabet(99, 98).shift_elements == b""
    assert septet_alphabet(99, 98).decode(b"\x00\x1b\x65") == "@€"
    assert septet_alphabet() is GSM7
