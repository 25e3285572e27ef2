"""What the load tools write: customers dealt out, numbers taken in turns, strangers and the known apart."""

from __future__ import annotations

from itertools import pairwise

import pytest

from loadtests.wire import DELIVER_SM, FIRST_CUSTOMER, FIRST_KNOWN, SUBMIT_SM, Template
from smpp.codec import decode, split_frames
from smpp.pdu import DeliverSm, SubmitSm


def read(octets: bytes) -> list[SubmitSm | DeliverSm]:
    frames, rest = split_frames(octets)
    assert rest == len(octets)
    return [pdu for pdu in map(decode, frames) if isinstance(pdu, SubmitSm | DeliverSm)]


def test_customers_are_dealt_out_to_links_in_turns() -> None:
    template = Template(SUBMIT_SM, "12125550100", "destination", b"x", spread=3, apart=1_000_000)
    found = [int(pdu.destination_addr[1:]) - FIRST_CUSTOMER for pdu in read(template.frames(1, 7, FIRST_CUSTOMER))]
    assert found == [0, 1_000_000, 2_000_000, 1, 1_000_001, 2_000_001, 2]


def test_numbers_are_taken_in_turns() -> None:
    template = Template(DELIVER_SM, "12132000000", "source", b"hello", numbers=3)
    pdus = read(template.frames(1, 5, FIRST_CUSTOMER))
    assert [pdu.destination_addr for pdu in pdus] == [f"1213200000{at}" for at in (0, 1, 2, 0, 1)]
    assert [pdu.source_addr for pdu in pdus] == [f"1{FIRST_CUSTOMER + at}" for at in range(5)]
    assert {pdu.short_message for pdu in pdus} == {b"hello"}
    with pytest.raises(ValueError, match="from customers"):
        Template(SUBMIT_SM, "12132000000", "destination", b"hello", numbers=3)


@pytest.mark.parametrize("among", [10, 1000])
def test_each_known_customer_has_its_turn_and_neighbours_are_far_apart(among: int) -> None:
    template = Template(DELIVER_SM, "18002530000", "source", b"x", among=among)
    found = [int(pdu.source_addr[1:]) - FIRST_KNOWN for pdu in read(template.frames(1, among, FIRST_CUSTOMER + 77))]
    assert sorted(found) == list(range(among))
    assert all(abs(one - other) > 1 for one, other in pairwise(found))


def test_each_session_has_lanes_of_its_own_and_its_texts_say_their_place() -> None:
    template = Template(SUBMIT_SM, "12125550100", "destination", b"x" * 12, lanes=2, share=4)
    pdus = read(template.frames(1, 8, FIRST_CUSTOMER))
    assert [int(pdu.destination_addr[1:]) - FIRST_CUSTOMER for pdu in pdus] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert [pdu.short_message for pdu in pdus] == [b"%010dxx" % at for at in (0, 1, 2, 3, 0, 1, 2, 3)]
