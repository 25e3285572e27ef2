"""congestion_state in answers moves the window (SMPP 5.0 §2.9)."""

from __future__ import annotations

import pytest

from smpp.codec import decode, encode, split_frames
from smpp.congestion import Congestion
from smpp.connection import Connection
from smpp.events import Settings
from smpp.pdu import BindTransceiver, DeliverSm, DeliverSmResp, GenericNack, SubmitSm, SubmitSmResp
from smpp.states import Role


def tlv(state: int | bytes) -> tuple[tuple[int, bytes], ...]:
    return ((0x0428, bytes((state,)) if isinstance(state, int) else state),)


class Peer:
    """An SMSC that answers as it is told to."""

    def __init__(self, window: int = 100) -> None:
        self.ours = Connection(Role.ESME, Settings(window=window, enquire_link_s=0), now=0)
        theirs = Connection(Role.SMSC, now=0)
        theirs.receive_data(self.ours.send(BindTransceiver(interface_version=0x50), 0), 0)
        self.ours.receive_data(theirs.accept_bind("us", 0), 0)
        self.waiting: list[int] = []

    def fill(self) -> int:
        """Send all there is room for."""
        room = self.ours.room
        data = self.ours.send_requests([(SubmitSm(), None)] * room, 0)
        self.waiting += [decode(frame).sequence_number for frame in split_frames(data)[0]]
        return room

    def answer(self, state: int | bytes | None, count: int | None = None) -> None:
        """Answer the oldest requests, all of them unless told otherwise, in one piece."""
        count = len(self.waiting) if count is None else count
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        tlvs = () if state is None else tlv(state)
        self.ours.receive_data(b"".join(encode(SubmitSmResp(sequence_number=n, tlvs=tlvs)) for n in now), 0)


@pytest.mark.parametrize("state", [None, 0, 1, 29, 30, 49, 50, 79, 80, 89])
def test_up_to_the_optimum_the_window_is_whole(state):
    peer = Peer()
    for _ in range(5):
        assert peer.fill() == 100
        peer.answer(state)
    assert peer.ours.congestion == state
    assert peer.ours.room == 100


def test_nearing_congestion_halves_once_for_all_that_was_on_the_way():
    peer = Peer()
    peer.fill()
    peer.answer(90, 1)
    assert peer.ours.congestion == 90
    assert peer.ours.room == 0  # 99 are on the way, 50 may be
    peer.answer(95)
    assert peer.ours.room == 50
    peer.fill()
    peer.answer(99)
    assert peer.ours.room == 25


def test_what_is_halved_is_what_was_on_the_way_not_an_idle_window():
    """Half of a window that is not used would slow nothing."""
    peer = Peer()
    peer.ours.send_requests([(SubmitSm(), None)] * 8, 0)
    peer.waiting = list(range(2, 10))
    peer.answer(90, 1)
    peer.answer(None)
    assert peer.fill() <= 6


def test_congested_leaves_one_at_a_time_and_never_none():
    peer = Peer()
    peer.fill()
    peer.answer(100)
    for _ in range(20):
        assert peer.fill() == 1
        peer.answer(100)
    assert peer.ours.congestion == 100


def test_it_recovers_one_by_one_for_each_window_of_answers():
    peer = Peer(window=5)
    peer.fill()
    peer.answer(100)
    sizes = []
    for _ in range(6):
        sizes.append(peer.fill())
        peer.answer(40)
    assert sizes == [1, 2, 3, 4, 5, 5]


def test_at_the_optimum_it_neither_grows_nor_shrinks():
    peer = Peer()
    peer.fill()
    peer.answer(95)
    sizes = []
    for _ in range(4):
        sizes.append(peer.fill())
        peer.answer(85)
    assert sizes == [50] * 4


def test_a_peer_that_says_nothing_any_more_is_not_held_to_its_last_word():
    peer = Peer(window=4)
    peer.fill()
    peer.answer(100)
    for _ in range(10):
        peer.fill()
        peer.answer(None)
    assert peer.ours.congestion is None
    assert peer.ours.room == 4


@pytest.mark.parametrize("value", [101, 255, b"\x01\x00", b"\xff\xff\xff\xff"])
def test_what_is_reserved_is_nothing(value):
    peer = Peer()
    peer.fill()
    peer.answer(value)
    assert peer.ours.congestion is None
    assert peer.ours.room == 100


def test_an_empty_tlv_is_idle_at_most():
    peer = Peer()
    peer.fill()
    peer.answer(b"")
    assert peer.ours.congestion in (None, 0)
    assert peer.ours.room == 100


def test_it_may_be_in_an_answer_that_refuses_and_in_a_generic_nack():
    peer = Peer()
    peer.fill()
    first, second, *_ = peer.waiting
    peer.ours.receive_data(encode(SubmitSmResp(sequence_number=first, command_status=0x58, tlvs=tlv(92))), 0)
    assert peer.ours.congestion == 92
    peer.ours.receive_data(encode(GenericNack(sequence_number=second, command_status=3, tlvs=tlv(100))), 0)
    assert peer.ours.congestion == 100


def test_an_esme_may_say_it_as_well():
    theirs, ours = Connection(Role.ESME, now=0), Connection(Role.SMSC, Settings(window=10), now=0)
    ours.receive_data(theirs.send(BindTransceiver(interface_version=0x50), 0), 0)
    ours.accept_bind("us", 0)
    [frame] = split_frames(ours.send_requests([(DeliverSm(), None)], 0))[0]
    number = decode(frame).sequence_number
    ours.receive_data(encode(DeliverSmResp(sequence_number=number, tlvs=tlv(100))), 0)
    assert (ours.congestion, ours.room) == (100, 1)


def test_an_answer_to_nothing_has_no_say():
    peer = Peer()
    peer.ours.receive_data(encode(SubmitSmResp(sequence_number=4711, tlvs=tlv(100))), 0)
    assert (peer.ours.congestion, peer.ours.room) == (None, 100)


def test_a_smaller_window_is_kept_to_and_a_larger_one_grown_into():
    congestion = Congestion(100)
    congestion.configure(10)
    assert congestion.limit == 10
    congestion.configure(50)
    assert congestion.limit == 50
    congestion.told(100, 1, 1)
    congestion.configure(200)
    assert congestion.limit == 1
    congestion.configure(0)
    assert congestion.limit == 0


def test_a_window_of_none_stays_none():
    congestion = Congestion(0)
    congestion.told(100, 1, 1)
    congestion.answered(1)
    congestion.told(95, 2, 2)
    congestion.answered(1)
    assert congestion.limit == 0
