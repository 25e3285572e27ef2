"""The carrier's eye for order: it finds what is planted, and reads the frames that the hub writes."""

from __future__ import annotations

import random

import pytest

from loadtests.order import Order
from loadtests.wire import FIRST_CUSTOMER, SUBMIT_SM, Template
from smpp.codec import encode
from smpp.pdu import SubmitSm

LANES, SHARE = 5, 40


def frames(text: bytes = b"x" * 30) -> list[bytes]:
    template = Template(SUBMIT_SM, "12125550100", "destination", text, lanes=LANES, share=SHARE)
    octets = template.frames(1, 2 * SHARE, FIRST_CUSTOMER)
    return [octets[at : at + template.length] for at in range(0, len(octets), template.length)]


def noted(sent: list[bytes]) -> dict[str, int]:
    order = Order()
    for frame in sent:
        order.note(b"before" + frame, len(b"before"))
    return order.found()


def test_all_in_order() -> None:
    assert noted(frames()) == {"texts": 80, "late": 0, "repeated": 0, "unread": 0, "lanes": 2 * LANES}


def test_lanes_may_overtake_each_other() -> None:
    by_lane: dict[int, list[bytes]] = {}
    for at, frame in enumerate(frames()):
        by_lane.setdefault(at // SHARE * LANES + at % SHARE % LANES, []).append(frame)
    dice, mixed = random.Random(1), []
    while by_lane:
        lane = dice.choice(list(by_lane))
        mixed.append(by_lane[lane].pop(0))
        if not by_lane[lane]:
            del by_lane[lane]
    assert noted(mixed) == {"texts": 80, "late": 0, "repeated": 0, "unread": 0, "lanes": 2 * LANES}


def test_two_of_one_lane_that_changed_places() -> None:
    sent = frames()
    sent[3], sent[3 + LANES] = sent[3 + LANES], sent[3]
    assert noted(sent) == {"texts": 79, "late": 1, "repeated": 0, "unread": 0, "lanes": 2 * LANES}


def test_one_that_came_twice() -> None:
    sent = frames()
    assert noted([*sent[:1], *sent]) == {"texts": 80, "late": 0, "repeated": 1, "unread": 0, "lanes": 2 * LANES}


def test_one_that_is_missing() -> None:
    assert noted(frames()[:-1])["texts"] == 79


def test_a_text_without_its_number() -> None:
    pdu = SubmitSm(sequence_number=1, source_addr="1", destination_addr="2", short_message=b"hello, whoever you are")
    short = SubmitSm(sequence_number=1, source_addr="1", destination_addr="2", short_message=b"12")
    found = noted([encode(pdu), encode(short) + b"34567890"])
    assert found == {"texts": 0, "late": 0, "repeated": 0, "unread": 2, "lanes": 0}


def test_the_fields_before_the_text_are_stepped_over() -> None:
    pdu = SubmitSm(
        sequence_number=1,
        service_type="CMT",
        source_addr="12125550100",
        destination_addr="12000000007",
        schedule_delivery_time="000001000000000R",
        validity_period="000002000000000R",
        short_message=b"0000000042 and more",
    )
    order = Order()
    order.note(encode(pdu), 0)
    order.add(b"12000000007", 41)
    assert order.found() == {"texts": 1, "late": 1, "repeated": 0, "unread": 0, "lanes": 1}


def test_a_text_that_is_too_short_for_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="10 octets"):
        Template(SUBMIT_SM, "12125550100", "destination", b"short", lanes=2, share=2)
