"""Alphabets: round trips over all of Unicode, and nothing that makes decoding fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.alphabet import (
    BY_NAME,
    GSM7,
    LATIN1,
    UCS2,
    Alphabet,
    UnencodableText,
    alphabet_of,
    fill_bits,
    pack,
    unpack,
)
from smpp.alphabet_tables import LOCKING_SHIFT, SINGLE_SHIFT

GSM_CHARACTERS = LOCKING_SHIFT[0].replace("\x1b", "") + "".join(SINGLE_SHIFT[0].values())
gsm_texts = st.text(alphabet=GSM_CHARACTERS, max_size=400)
mixed_texts = st.text(alphabet=st.one_of(st.sampled_from(GSM_CHARACTERS), st.characters()), max_size=200)
septets = st.lists(st.integers(0, 127), max_size=200).map(bytes)
alphabets = st.sampled_from(list(BY_NAME.values()))


@given(gsm_texts)
def test_gsm_texts_come_back(text: str) -> None:
    assert GSM7.decode(GSM7.encode(text)) == text


@given(gsm_texts)
def test_septets_are_counted_without_encoding(text: str) -> None:
    encoded = GSM7.encode(text)
    assert GSM7.units(text) == len(encoded) == len(text) + sum(character in "^{}\\[~]|€\f" for character in text)
    assert max(encoded, default=0) < 0x80


@given(mixed_texts, alphabets)
def test_what_is_encodable_comes_back_and_the_rest_is_refused(text: str, alphabet: Alphabet) -> None:
    octets = alphabet.try_encode(text)
    assert alphabet.encodable(text) is (octets is not None)
    if octets is None:
        with pytest.raises(UnencodableText):
            alphabet.encode(text)
        with pytest.raises(UnencodableText):
            alphabet.units(text)
    else:
        assert alphabet.decode(octets) == alphabet.decode_part(octets) == text
        assert alphabet.units(text) == len(octets) // alphabet.unit_octets


@given(mixed_texts, alphabets)
def test_reach_is_the_longest_prefix(text: str, alphabet: Alphabet) -> None:
    reach = alphabet.reach(text)
    assert alphabet.encodable(text[:reach])
    assert reach == len(text) or not alphabet.encodable(text[: reach + 1])


@given(mixed_texts, alphabets)
def test_no_character_costs_more_than_the_alphabet_says(text: str, alphabet: Alphabet) -> None:
    for character in text:
        if alphabet.encodable(character):
            assert 1 <= alphabet.units(character) <= alphabet.most_units


@given(st.binary(max_size=200), alphabets)
def test_any_octets_decode_to_a_text_that_can_be_stored(octets: bytes, alphabet: Alphabet) -> None:
    alphabet.decode(octets).encode("utf-8")


@given(st.binary(max_size=60), alphabets)
def test_a_decoded_part_has_halves_of_pairs_at_its_ends_only(octets: bytes, alphabet: Alphabet) -> None:
    part = alphabet.decode_part(octets)
    part[1:-1].encode("utf-8")
    assert not "\ud800" <= part[:-1][:1] <= "\udbff"
    assert not "\udc00" <= part[1:][-1:] <= "\udfff"


@given(st.text(max_size=200), st.integers(0, 400))
def test_ucs2_parts_cut_anywhere_between_units_join(text: str, cut: int) -> None:
    octets = UCS2.encode(text)
    first, second = UCS2.decode_part(octets[: 2 * cut]), UCS2.decode_part(octets[2 * cut :])
    joined = (first + second).encode("utf-16-be", "surrogatepass")
    assert joined.decode("utf-16-be") == text


@given(st.integers(0, 255), st.sampled_from([GSM7, LATIN1, UCS2]))
def test_every_data_coding_means_something(data_coding: int, default: Alphabet) -> None:
    found = alphabet_of(data_coding, default)
    assert found is None or found in BY_NAME.values()


@given(septets, st.integers(0, 20))
def test_packed_septets_come_back(original: bytes, header_octets: int) -> None:
    fill = fill_bits(header_octets)
    packed = pack(original, fill)
    returned = unpack(packed, fill)
    if (fill + 7 * len(original)) % 8 == 0 and original.endswith(b"\r"):
        original += b"\r"  # doubled by the standard
    assert returned == original
    assert len(packed) == -(-(fill + 7 * len(original)) // 8)


@given(st.binary(max_size=100), st.integers(0, 6))
def test_any_octets_unpack(octets: bytes, fill: int) -> None:
    assert max(unpack(octets, fill), default=0) < 0x80
