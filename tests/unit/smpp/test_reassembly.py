"""Reassembly: headers from the field, parts in any order, memory that stays bounded."""

from __future__ import annotations

import pytest

from smpp.alphabet import UCS2
from smpp.constants import CommandStatus
from smpp.reassembly import (
    GAP,
    Assembled,
    BadHeader,
    Concatenation,
    Key,
    Reassembler,
    Udh,
    UserData,
    assemble,
    concatenation_of,
    message_octets,
    parse_udh,
    user_data,
)

SAR = ((0x020C, b"\x01\x02"), (0x020E, b"\x03"), (0x020F, b"\x02"))
MINUTE = 60_000_000


def key(reference: int = 7, total: int = 3, link: str = "link:acme", sender: str = "+1", recipient: str = "+2") -> Key:
    return Key(link, sender, recipient, reference, total)


def test_parse_udh() -> None:
    octets = bytes.fromhex("0b 0504 15811581 0003 cc0201") + b"rest"
    assert parse_udh(octets) == Udh(((0x05, bytes.fromhex("15811581")), (0x00, bytes.fromhex("cc0201"))), 12)
    assert parse_udh(b"\x00rest") == Udh((), 1)


@pytest.mark.parametrize("octets", [b"", b"\x05", b"\x05\x00\x03\x01\x02", b"\xffid:1"])
def test_udhl_beyond_the_message_is_rinvesmclass(octets: bytes) -> None:
    with pytest.raises(BadHeader) as refusal:
        user_data(octets, 0x40)
    assert refusal.value.command_status == CommandStatus.ESME_RINVESMCLASS == 0x43


@pytest.mark.parametrize("header", ["05 000401020304", "04 00030102", "01 00", "06 0003cc0201 08"])
def test_elements_that_do_not_add_up_are_ignored_but_are_no_text(header: str) -> None:
    octets = bytes.fromhex(header)
    octets = octets[: octets[0] + 1]
    assert parse_udh(octets + b"text") == Udh((), len(octets))
    assert user_data(octets + b"text", 0x40) == UserData(b"text", None, Udh((), len(octets)))


@pytest.mark.parametrize(
    ("header", "concatenation"),
    [
        ("05 0003cc0201", Concatenation(0xCC, 2, 1)),
        ("06 080401cc0202", Concatenation(0x1CC, 2, 2)),
        ("0b 0504 15811581 0003cc0201", Concatenation(0xCC, 2, 1)),  # ports first
        ("09 240101 080401cc0202", Concatenation(0x1CC, 2, 2)),  # a shift table first
        ("0a 0003010201 0003cc0202", Concatenation(0xCC, 2, 2)),  # a repeated element replaces the one before
        ("0b 080401cc0202 0003000000", Concatenation(0x1CC, 2, 2)),  # an impossible one replaces nothing
    ],
)
def test_concatenation_elements(header: str, concatenation: Concatenation) -> None:
    octets = bytes.fromhex(header)
    assert octets[0] == len(octets) - 1
    assert concatenation_of(octets + b"text", 0x40) == concatenation
    assert user_data(octets + b"text", 0x43).octets == b"text"


@pytest.mark.parametrize(
    "header",
    [
        "05 0003cc0000",
        "05 0003cc0200",
        "05 0003cc0203",
        "05 0003cc0101",
        "04 0002cc02",
        "06 0004cc020101",
        "02 7000",
        "00",
    ],
)
def test_a_message_without_a_possible_concatenation_is_whole(header: str) -> None:
    assert concatenation_of(bytes.fromhex(header) + b"text", 0x40) is None
    assert user_data(bytes.fromhex(header) + b"text", 0x40).octets == b"text"


def test_without_udhi_nothing_is_a_header() -> None:
    octets = bytes.fromhex("050003cc0201") + b"text"
    assert concatenation_of(octets, 0x00) is None
    assert user_data(octets, 0x83) == UserData(octets)


def test_sar_tlvs() -> None:
    assert concatenation_of(b"text", 0, SAR) == Concatenation(0x102, 3, 2)
    assert user_data(b"text", 0, SAR) == UserData(b"text", Concatenation(0x102, 3, 2))
    one_octet = ((0x020C, b"\x07"), *SAR[1:])
    assert concatenation_of(b"text", 0, one_octet) == Concatenation(7, 3, 2)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_sar_with_a_tlv_missing_is_no_concatenation(left_out: int) -> None:
    assert concatenation_of(b"text", 0, SAR[:left_out] + SAR[left_out + 1 :]) is None


@pytest.mark.parametrize(
    "values", [(b"\x00", b"\x00"), (b"\x03", b"\x04"), (b"\x01", b"\x01"), (b"\x01\x00", b"\x02"), (b"", b"")]
)
def test_sar_with_impossible_numbers_is_no_concatenation(values: tuple[bytes, bytes]) -> None:
    total, number = values
    assert concatenation_of(b"text", 0, ((0x020C, b"\x00\x01"), (0x020E, total), (0x020F, number))) is None


def test_udhi_and_sar_both_is_rejected() -> None:
    with pytest.raises(BadHeader) as refusal:
        concatenation_of(bytes.fromhex("050003cc0201") + b"text", 0x40, SAR)
    assert refusal.value.command_status == CommandStatus.ESME_RINVESMCLASS


def test_udhi_with_payload_has_the_udh_inside_the_payload() -> None:
    tlvs = ((0x1400, b"vendor"), (0x0424, bytes.fromhex("050003cc0201") + b"text"))
    assert user_data(b"", 0x40, tlvs).octets == b"text"
    assert concatenation_of(b"", 0x40, tlvs) == Concatenation(0xCC, 2, 1)


def test_short_message_is_preferred_when_both_are_set() -> None:
    assert message_octets(b"short", ((0x0424, b"long"),)) == b"short"
    assert message_octets(b"", ((0x0424, b"long"),)) == b"long"
    assert message_octets(b"", ((0x1400, b"x"),)) == b""
    assert user_data(b"short", 0, ((0x0424, b"long"),)) == UserData(b"short")


def test_assemble_in_any_order() -> None:
    assert assemble([(3, "c"), (1, "a"), (2, "b")], 3) == ("abc", ())


def test_assemble_takes_the_first_of_two_with_one_number() -> None:
    assert assemble([(1, "a"), (2, "b"), (1, "other")], 2) == ("ab", ())


@pytest.mark.parametrize(
    ("parts", "total", "text", "missing"),
    [
        ([(1, "a"), (3, "c")], 3, f"a{GAP}c", (2,)),
        ([(2, "b")], 4, f"{GAP}b{GAP}", (1, 3, 4)),
        ([(4, "d")], 4, f"{GAP}d", (1, 2, 3)),
        ([(1, "a")], 4, f"a{GAP}", (2, 3, 4)),
        ([], 2, GAP, (1, 2)),
    ],
)
def test_assemble_marks_each_gap_once(
    parts: list[tuple[int, str]], total: int, text: str, missing: tuple[int, ...]
) -> None:
    assert assemble(parts, total) == (text, missing)


def test_the_gap_may_be_written_otherwise() -> None:
    assert assemble([(2, "b")], 2, gap="") == ("b", (1,))


def test_assemble_mends_a_surrogate_pair_that_was_cut_between_parts() -> None:
    octets = UCS2.encode("hi 😀 there")
    first, second = UCS2.decode_part(octets[:8]), UCS2.decode_part(octets[8:])
    assert assemble([(2, second), (1, first)], 2) == ("hi 😀 there", ())
    assert assemble([(1, first)], 2) == (f"hi \ufffd{GAP}", (2,))
    assert assemble([(2, second)], 2)[0] == f"{GAP}\ufffd there"


@pytest.mark.parametrize("number", [0, 3])
def test_assemble_refuses_numbers_that_cannot_be(number: int) -> None:
    with pytest.raises(ValueError, match=f"part {number} of 2"):
        assemble([(number, "x")], 2)


def test_parts_come_in_any_order() -> None:
    reassembler = Reassembler(MINUTE)
    assert reassembler.add(key(), 3, "c", 0) == []
    assert reassembler.add(key(), 1, "a", 1) == []
    assert reassembler.add(key(), 2, "b", 2) == [Assembled(key(), "abc")]
    assert reassembler.statistics().texts == reassembler.statistics().octets == 0


def test_parts_come_twice() -> None:
    reassembler = Reassembler(MINUTE)
    for number, text in ((1, "a"), (1, "a"), (2, "b")):
        assert reassembler.add(key(), number, text, 0) == []
    assert reassembler.add(key(), 3, "c", 0) == [Assembled(key(), "abc")]
    assert reassembler.add(key(), 2, "b", 1) == []  # also after the whole
    assert reassembler.statistics().duplicates == 2
    assert reassembler.statistics().texts == 0


def test_parts_never_come() -> None:
    reassembler = Reassembler(MINUTE)
    reassembler.add(key(), 3, "c", 0)
    reassembler.add(key(), 1, "a", 10)
    assert reassembler.next_deadline_us() == MINUTE
    assert reassembler.expire(MINUTE - 1) == []
    assert reassembler.expire(MINUTE) == [Assembled(key(), f"a{GAP}c", (2,))]
    assert reassembler.next_deadline_us() is None
    assert reassembler.statistics().incomplete == 1


def test_a_part_that_comes_after_the_time_out_is_given_out_too() -> None:
    reassembler = Reassembler(MINUTE)
    reassembler.add(key(), 1, "a", 0)
    given = reassembler.add(key(), 2, "b", MINUTE)
    assert given == [Assembled(key(), f"a{GAP}", (2, 3))]
    assert reassembler.expire(2 * MINUTE) == [Assembled(key(), f"{GAP}b{GAP}", (1, 3))]


@pytest.mark.parametrize(
    "other",
    [key(reference=8), key(total=4), key(link="link:other"), key(sender="+3"), key(recipient="+3")],
)
def test_key_is_link_sender_recipient_reference_and_total(other: Key) -> None:
    reassembler = Reassembler(MINUTE)
    reassembler.add(key(), 1, "a", 0)
    reassembler.add(other, 2, "x", 0)
    reassembler.add(key(), 2, "b", 0)
    assert reassembler.add(key(), 3, "c", 0) == [Assembled(key(), "abc")]
    assert reassembler.statistics().texts == 1


def test_a_reference_used_again_at_once_loses_nothing() -> None:
    reassembler = Reassembler(MINUTE)
    reassembler.add(key(), 1, "old", 0)
    assert reassembler.add(key(), 1, "new", 1) == [Assembled(key(), f"old{GAP}", (2, 3))]
    reassembler.add(key(), 2, "b", 1)
    assert reassembler.add(key(), 3, "c", 1) == [Assembled(key(), "newbc")]
    for number, text in ((1, "third"), (2, "b2")):
        assert reassembler.add(key(), number, text, 2) == []
    assert reassembler.add(key(), 3, "c2", 2) == [Assembled(key(), "thirdb2c2")]


def test_memory_is_bounded_by_count() -> None:
    reassembler = Reassembler(MINUTE, max_texts=2)
    reassembler.add(key(1), 1, "a", 0)
    reassembler.add(key(2), 1, "b", 1)
    assert reassembler.add(key(3), 1, "c", 2) == [Assembled(key(1), f"a{GAP}", (2, 3))]
    assert reassembler.statistics().texts == 2


def test_memory_is_bounded_by_octets() -> None:
    reassembler = Reassembler(MINUTE, max_octets=10)
    reassembler.add(key(1), 1, "яяя", 0)
    assert reassembler.statistics().octets == 6
    assert reassembler.add(key(2), 1, "bbbbb", 1) == [Assembled(key(1), f"яяя{GAP}", (2, 3))]
    assert reassembler.statistics().octets == 5
    assert reassembler.add(key(3), 1, "c" * 11, 2) == [
        Assembled(key(2), f"bbbbb{GAP}", (2, 3)),
        Assembled(key(3), "c" * 11 + GAP, (2, 3)),
    ]
    assert reassembler.statistics().octets == 0


def test_memory_of_what_was_completed_is_bounded_and_ends() -> None:
    reassembler = Reassembler(MINUTE, max_texts=3)
    for reference in range(10):
        reassembler.add(key(reference, total=2), 1, "a", 0)
        reassembler.add(key(reference, total=2), 2, "b", 0)
    reassembler.expire(0)
    assert len(reassembler._completed) == 3
    reassembler.expire(MINUTE)
    assert len(reassembler._completed) == 0
    reassembler.add(key(9, total=2), 2, "b", MINUTE)  # long after: no repetition any more
    assert reassembler.statistics().texts == 1


def test_what_was_completed_is_forgotten_in_the_order_of_time() -> None:
    reassembler = Reassembler(MINUTE)
    for reference, text, now in ((1, "a", 0), (2, "b", 10), (1, "c", 20)):
        reassembler.add(key(reference, total=2), 1, text, now)
        reassembler.add(key(reference, total=2), 2, text, now)
    reassembler.add(key(1, total=2), 1, "c", MINUTE + 15)
    assert reassembler.statistics().duplicates == 1
    reassembler.add(key(2, total=2), 1, "b", MINUTE + 15)
    assert reassembler.statistics().duplicates == 1
    assert reassembler.statistics().texts == 1
