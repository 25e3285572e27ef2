"""Segmentation: exact headers, exact capacities, and characters that must not be torn."""

from __future__ import annotations

import pytest

from smpp.alphabet import ASCII, BY_NAME, GSM7, LATIN1, UCS2, UnencodableText, alphabet_of, unpack
from smpp.segmentation import Method, Segment, Segments, TooManyParts, capacity, is_boundary, segment

FAMILY = "👩‍👩‍👧"  # five code points, eight UCS-2 units, one picture
FLAG = "🇩🇪"  # two code points, four units


def texts(segments: Segments) -> list[str]:
    """The text of each part, headers cut off by hand."""
    found = []
    for part in segments:
        octets = part.short_message or dict(part.tlvs).get(0x0424, b"")
        if part.esm_class & 0x40:
            octets = octets[octets[0] + 1 :]
        alphabet = alphabet_of(part.data_coding, GSM7)
        assert alphabet is not None
        found.append(alphabet.decode(octets))
    return found


def cut(text: str, **options: object) -> list[int]:
    """The characters of each part."""
    return [part.characters for part in segment(text, **options)]  # type: ignore[arg-type]


def test_a_short_text_is_one_plain_message() -> None:
    for method in Method:
        assert segment("hi @", method=method) == (Segment(0, b"hi \x00", 4, 0, ()),)


def test_an_empty_text_is_one_empty_message() -> None:
    assert segment("") == (Segment(0, b"", 0),)


def test_ucs2_is_named_in_data_coding() -> None:
    assert segment("я") == (Segment(8, b"\x04\x4f", 1),)
    assert segment("я", default=UCS2) == (Segment(0, b"\x04\x4f", 1),)
    assert segment("a", default=LATIN1)[0].data_coding == 0xF1


@pytest.mark.parametrize(
    ("method", "character", "one", "each"),
    [
        (Method.UDH8, "a", 160, 153),
        (Method.UDH16, "a", 160, 152),
        (Method.SAR, "a", 160, 153),
        (Method.BLOCKS, "a", 160, 160),
        (Method.UDH8, "€", 80, 76),
        (Method.UDH8, "я", 70, 67),
        (Method.UDH16, "я", 70, 66),
        (Method.BLOCKS, "я", 70, 70),
        (Method.UDH8, "😀", 35, 33),
    ],
)
def test_what_fits(method: Method, character: str, one: int, each: int) -> None:
    assert cut(character * one, method=method) == [one]
    assert cut(character * (2 * each + 1), method=method) == [each, each, 1]


@pytest.mark.parametrize(("alphabet", "one", "each"), [(LATIN1, 140, 134), (ASCII, 160, 153)])
def test_what_fits_in_octet_alphabets(alphabet: object, one: int, each: int) -> None:
    options = {"default": alphabet, "allowed": (alphabet,)}
    assert cut("a" * one, **options) == [one]
    assert cut("a" * (one + 1), **options) == [each, one + 1 - each]


def test_capacity_counts_the_shift_tables_header() -> None:
    assert [capacity(GSM7, octets) for octets in (0, 6, 7, 9)] == [160, 153, 152, 149]
    assert [capacity(UCS2, octets) for octets in (0, 6, 7)] == [70, 67, 66]


def test_udh8_exact_octets() -> None:
    parts = segment("a" * 161, reference=0x1CC)
    assert [part.esm_class for part in parts] == [0x40, 0x40]
    assert parts[0].short_message == bytes.fromhex("050003cc0201") + b"a" * 153
    assert parts[1].short_message == bytes.fromhex("050003cc0202") + b"a" * 8


def test_udh16_exact_octets() -> None:
    parts = segment("я" * 71, method=Method.UDH16, reference=0x1CC)
    assert parts[0].short_message[:7] == bytes.fromhex("06080401cc0201")
    assert parts[1].short_message[:7] == bytes.fromhex("06080401cc0202")
    assert {part.data_coding for part in parts} == {8}


def test_sar_exact_tlvs() -> None:
    parts = segment("a" * 161, method=Method.SAR, reference=0xCC)
    assert parts[0].tlvs == ((0x020C, b"\x00\xcc"), (0x020E, b"\x02"), (0x020F, b"\x01"))
    assert parts[1].tlvs == ((0x020C, b"\x00\xcc"), (0x020E, b"\x02"), (0x020F, b"\x02"))
    assert [part.esm_class for part in parts] == [0, 0]
    assert texts(parts) == ["a" * 153, "a" * 8]


def test_sar_leaves_room_for_a_16_bit_header_when_its_reference_needs_one() -> None:
    assert cut("a" * 305, method=Method.SAR, reference=0x100) == [152, 152, 1]


def test_payload_is_one_message_with_the_whole_in_a_tlv() -> None:
    (part,) = segment("a" * 1000, method=Method.PAYLOAD)
    assert part == Segment(0, b"", 1000, 0, ((0x0424, b"a" * 1000),))
    assert segment("a" * 160, method=Method.PAYLOAD)[0].tlvs == ()


def test_payload_that_the_smsc_could_not_cut_is_refused() -> None:
    assert segment("a" * 153 * 255, method=Method.PAYLOAD)[0].characters == 153 * 255
    with pytest.raises(TooManyParts):
        segment("a" * (153 * 255 + 1), method=Method.PAYLOAD)


def test_blocks_are_messages_of_their_own() -> None:
    parts = segment("a" * 400, method=Method.BLOCKS)
    assert [(part.esm_class, part.tlvs, len(part.short_message)) for part in parts] == [
        (0, (), 160),
        (0, (), 160),
        (0, (), 80),
    ]


def test_blocks_choose_their_alphabet_each() -> None:
    text = "a" * 160 + "😀" + "b" * 160
    parts = segment(text, method=Method.BLOCKS)
    assert [(part.data_coding, part.characters) for part in parts] == [(0, 160), (8, 69), (0, 92)]
    assert "".join(texts(parts)) == text


def test_blocks_refuse_a_character_that_no_alphabet_carries() -> None:
    with pytest.raises(UnencodableText):
        segment("a" * 200 + "😀", method=Method.BLOCKS, allowed=(GSM7,))


@pytest.mark.parametrize("character", list("{}[]~\\|^€\f"))
def test_an_escape_pair_is_never_split(character: str) -> None:
    parts = segment("a" * 152 + character + "b" * 20)
    assert [part.characters for part in parts] == [152, 21]
    assert parts[1].short_message[6] == 0x1B


@pytest.mark.parametrize(
    "cluster",
    [
        "😀",
        "e\u0301",
        "n\u0303\u0323",
        FLAG,
        FAMILY,
        "👍🏽",  # skin tone
        "❤️",  # variation selector
        "1️⃣",  # keycap
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",  # Scotland, by tags
        "क्ष",  # virama
        "각",  # Hangul jamo
        "\r\n",
    ],
)
@pytest.mark.parametrize("method", [Method.UDH8, Method.UDH16, Method.SAR, Method.BLOCKS])
def test_a_combining_sequence_stays_together(cluster: str, method: Method) -> None:
    for before in range(50, 72):
        text = "я" * before + cluster + "я" * 40
        parts = texts(segment(text, method=method))
        assert "".join(parts) == text
        assert sum(cluster in part for part in parts) == 1, before


def test_flags_are_kept_in_pairs() -> None:
    parts = texts(segment("я" * 3 + FLAG * 20))
    assert [part.count(FLAG) for part in parts] == [16, 4]  # 3 + 16 * 4 = 67


def test_a_cluster_longer_than_a_part_is_cut_between_characters() -> None:
    text = "e" + "\u0301" * 200
    parts = segment(text)
    assert [part.characters for part in parts] == [67, 67, 67]
    assert "".join(texts(parts)) == text
    zalgo = segment(text, method=Method.BLOCKS)
    assert [part.characters for part in zalgo] == [70, 70, 61]


def test_crlf_stays_together_in_gsm() -> None:
    assert cut("a" * 152 + "\r\n" + "b" * 10) == [152, 12]


@pytest.mark.parametrize(
    ("text", "boundaries"),
    [
        ("ab", {0, 1, 2}),
        ("\r\n", {0, 2}),
        ("\n\r", {0, 1, 2}),
        ("e\u0301x", {0, 2, 3}),
        (FLAG + FLAG, {0, 2, 4}),
        (FAMILY + "a", {0, 5, 6}),
        ("👍🏽👍", {0, 2, 3}),
        ("कि", {0, 2}),
        ("क्षa", {0, 3, 4}),
        ("\u200da", {0, 2}),
    ],
)
def test_is_boundary(text: str, boundaries: set[int]) -> None:
    assert {at for at in range(len(text) + 1) if is_boundary(text, at)} == boundaries


@pytest.mark.parametrize("method", [Method.UDH8, Method.SAR])
def test_more_than_255_parts_are_refused(method: Method) -> None:
    assert len(segment("a" * 153 * 255, method=method)) == 255
    with pytest.raises(TooManyParts) as refusal:
        segment("a" * (153 * 255 + 1), method=method)
    assert refusal.value.parts == 256
    assert refusal.value.max_parts == 255
    with pytest.raises(TooManyParts):
        segment("a" * (153 * 255 + 1), method=method, max_parts=1000)  # an octet counts no further


def test_escape_pairs_may_make_a_part_too_many() -> None:
    with pytest.raises(TooManyParts):
        segment("€" * 77 * 3, max_parts=3)


def test_blocks_are_bounded_too() -> None:
    assert len(segment("a" * 480, method=Method.BLOCKS, max_parts=3)) == 3
    with pytest.raises(TooManyParts):
        segment("a" * 481, method=Method.BLOCKS, max_parts=3)


def test_a_text_that_no_alphabet_carries_is_refused() -> None:
    with pytest.raises(UnencodableText) as refusal:
        segment("я", allowed=(GSM7, LATIN1))
    assert refusal.value.alphabets == ("gsm7", "latin1")
    with pytest.raises(UnencodableText):
        segment("half \ud83d")


def test_no_room_for_a_character_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ValueError, match="no room"):
        segment("a" * 10, max_octets=7)


def test_short_message_stays_within_its_field() -> None:
    for method in Method:
        parts = segment("a" * 600, method=method, max_octets=1000)
        assert all(len(part.short_message) <= 254 for part in parts)


def test_packed_with_a_udh_needs_fill_bits() -> None:
    parts = segment("a" * 161, packed=True)
    assert [len(part.short_message) for part in parts] == [140, 14]
    assert parts[0].short_message[6] == 0x61 << 1 & 0xFF
    assert unpack(parts[0].short_message[6:], 1) == b"a" * 153
    assert unpack(parts[1].short_message[6:], 1) == b"a" * 8
    assert parts[1].short_message[-1] >> 1 == 0x0D  # seven spare bits


def test_packed_single() -> None:
    (part,) = segment("hellohello", packed=True)
    assert part.short_message == bytes.fromhex("e8329bfd4697d9ec37")
    assert segment("я", packed=True)[0].short_message == b"\x04\x4f"


def test_packed_text_ending_with_cr_stays_within_140_octets() -> None:
    parts = segment("a" * 159 + "\r", packed=True)
    assert all(len(part.short_message) <= 140 for part in parts)
    assert len(parts) == 2


def test_shift_tables_say_so_in_each_header() -> None:
    spanish = BY_NAME["gsm7-es"]
    (single,) = segment("hi", default=spanish, allowed=(spanish,))
    assert (single.short_message, single.esm_class) == (bytes.fromhex("03240102") + b"hi", 0x40)
    parts = segment("a" * 170, default=spanish, allowed=(spanish,))
    assert parts[0].short_message[:9] == bytes.fromhex("08 0003000201 240102")
    assert [part.characters for part in parts] == [149, 21]


def test_sar_and_a_header_never_meet_in_one_message() -> None:
    parts = segment("á" * 170, method=Method.SAR, allowed=(GSM7, BY_NAME["gsm7-es"]))
    assert len(parts) == 3
    assert all(part.esm_class == 0x40 and not part.tlvs for part in parts)


def test_packed_behind_the_header_of_shift_tables() -> None:
    (part,) = segment("á" * 70, packed=True, allowed=(GSM7, BY_NAME["gsm7-es"]))
    assert part.short_message[:4] == bytes.fromhex("03 240102")
    assert len(part.short_message) == 4 + 123  # 3 fill bits and 140 septets
    assert unpack(part.short_message[4:], 3) == b"\x1ba" * 70
    assert [len(p.short_message) for p in segment("ş" * 200, packed=True, allowed=(BY_NAME["gsm7-tr"],))] == [140, 55]


def test_only_septets_of_gsm_are_packed() -> None:
    (part,) = segment("hello", packed=True, default=ASCII, allowed=(ASCII,))
    assert (part.data_coding, part.short_message) == (0, b"hello")


def test_no_emoji_is_ever_split() -> None:
    family, flag, tone = FAMILY, FLAG, "👍🏽"
    for cluster in (family, flag, tone, "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "❤️", "1️⃣"):
        for method in Method:
            for before in range(60, 71):
                start = 0
                for part in segment("я" * before + cluster * 20, method=method):
                    rest = part.characters - max(0, before - start)
                    assert rest <= 0 or rest % len(cluster) == 0, (cluster, method, before)
                    start += part.characters
