"""Segmentation: nothing is lost, nothing is too long, nothing is torn, and nothing changes the second time."""

from __future__ import annotations

import unicodedata
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from smpp.alphabet import ASCII, GSM7, LATIN1, UCS2, Alphabet, alphabet_of, unpack
from smpp.reassembly import assemble, user_data
from smpp.segmentation import Method, Segments, capacity, choose, is_boundary, segment

CLUSTERS = ["😀", "e\u0301", "🇩🇪", "👩‍👩‍👧", "👍🏽", "❤️", "1️⃣", "क्ष", "각", "\r\n", "{", "€", "@", "a", "я", " "]

texts = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(CLUSTERS), max_size=250).map("".join),
    st.text(alphabet="ab{}@€\r\n", max_size=700),
    st.tuples(st.text(max_size=3), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
)
methods = st.sampled_from(list(Method))
combinations = st.sampled_from(
    [
        (GSM7, (GSM7, UCS2)),
        (GSM7, (UCS2,)),
        (GSM7, (GSM7, ASCII, LATIN1, UCS2)),
        (LATIN1, (LATIN1, UCS2)),
        (LATIN1, (GSM7, UCS2)),
        (UCS2, (GSM7, UCS2)),
    ]
)
Combination = tuple[Alphabet, tuple[Alphabet, ...]]


def decoded(segments: Segments, default: Alphabet, packed: bool = False) -> list[str]:
    """What a receiver makes of each part."""
    found = []
    for part in segments:
        data = user_data(part.short_message, part.esm_class, part.tlvs)
        alphabet = alphabet_of(part.data_coding, default)
        assert alphabet is not None
        octets = data.octets
        if packed and alphabet.unit_bits == 7:
            octets = unpack(octets, 1 if data.udh else 0)
        found.append(alphabet.decode(octets))
    return found


@given(texts, methods, combinations, st.integers(0, 0xFFFF))
def test_parts_decoded_and_joined_are_the_text(
    text: str, method: Method, combination: Combination, reference: int
) -> None:
    default, allowed = combination
    segments = segment(text, method=method, default=default, allowed=allowed, reference=reference)
    parts = decoded(segments, default)
    assert "".join(parts) == text
    assert [len(part) for part in parts] == [part.characters for part in segments]
    assert segments == segment(text, method=method, default=default, allowed=allowed, reference=reference)


@given(texts, methods, combinations)
def test_every_part_fits(text: str, method: Method, combination: Combination) -> None:
    default, allowed = combination
    segments = segment(text, method=method, default=default, allowed=allowed)
    for part in segments:
        alphabet = alphabet_of(part.data_coding, default)
        assert alphabet is not None
        data = user_data(part.short_message, part.esm_class, part.tlvs)
        if method is Method.PAYLOAD and part.tlvs:
            assert len(segments) == 1
            continue
        header_octets = len(part.short_message) - len(data.octets)
        if data.concatenation is not None and not header_octets:
            header_octets = 6  # that the SMSC will add
        bits = 8 * header_octets + len(data.octets) // alphabet.unit_octets * alphabet.unit_bits
        assert bits <= 140 * 8
        assert len(part.short_message) <= 254


@given(texts, st.sampled_from([Method.UDH8, Method.UDH16, Method.SAR]), st.integers(0, 0xFF), st.randoms())
def test_what_is_cut_is_reassembled(text: str, method: Method, reference: int, random: object) -> None:
    segments = segment(text, method=method, reference=reference)
    if len(segments) == 1:
        return
    parts = []
    for part, piece in zip(segments, decoded(segments, GSM7), strict=True):
        concatenation = user_data(part.short_message, part.esm_class, part.tlvs).concatenation
        assert concatenation is not None
        assert (concatenation.reference, concatenation.total) == (reference, len(segments))
        parts.append((concatenation.number, piece))
    assert [number for number, _ in parts] == list(range(1, len(parts) + 1))
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert assemble(parts, len(segments)) == (text, ())


@given(texts, st.sampled_from([Method.UDH8, Method.UDH16, Method.SAR, Method.BLOCKS]))
def test_no_cluster_that_fits_is_torn(text: str, method: Method) -> None:
    segments = segment(text, method=method)
    ends = list(accumulate(part.characters for part in segments))
    for start, end in zip([0, *ends], ends[:-1], strict=False):
        if not is_boundary(text, end, start):
            # then one cluster fills the part from its start on
            assert not any(is_boundary(text, at, start) for at in range(start + 1, end))


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=500))
def test_no_mark_ever_leaves_its_letter(text: str) -> None:
    """The same, told without the code under test."""
    segments = segment(text + "\u0301")
    end = 0
    for part in segments[:-1]:
        end += part.characters
        assert unicodedata.combining((text + "\u0301")[end]) == 0


@given(st.text(alphabet="abc{€я", min_size=161, max_size=800))
def test_no_part_could_take_the_next_character(text: str) -> None:
    """Nothing here joins, so each part is as full as it can be."""
    segments = segment(text)
    alphabet = choose(text, (GSM7, UCS2), GSM7)
    start = 0
    for part in segments[:-1]:
        end = start + part.characters
        assert alphabet.units(text[start : end + 1]) > capacity(alphabet, 6)
        start = end


@given(st.text(alphabet="abc{€@я", max_size=700))
def test_packed_parts_are_the_text(text: str) -> None:
    segments = segment(text, packed=True)
    assert "".join(decoded(segments, GSM7, packed=True)) == text
    assert all(len(part.short_message) <= 140 for part in segments)


@given(st.text(alphabet="ab\r", max_size=500))
def test_packed_parts_with_cr_fit_and_lose_nothing(text: str) -> None:
    """A CR on an octet's edge comes back doubled, by the standard; nothing else may change."""
    segments = segment(text, packed=True)
    assert all(len(part.short_message) <= 140 for part in segments)
    start = 0
    for part, piece in zip(segments, decoded(segments, GSM7, packed=True), strict=True):
        sent = text[start : start + part.characters]
        assert piece in (sent, sent + "\r")
        assert piece == sent or sent.endswith("\r")
        start += part.characters
    assert start == len(text)


@given(texts)
def test_blocks_are_never_more_than_one_alphabet_would_need(text: str) -> None:
    one_alphabet = segment(text, method=Method.BLOCKS, allowed=(UCS2,))
    assert len(segment(text, method=Method.BLOCKS)) <= len(one_alphabet)
