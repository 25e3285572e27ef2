"""The outbox keeps order when a session takes nothing after all."""

from __future__ import annotations

from collections.abc import Sequence

from ops.simulators.smsc_outbox import Delivery, Outbox, Sent
from smpp.events import Ending
from smpp.pdu import PDU, DeliverSm
from smpp.session import SessionEnded


class Session:
    """Has room, and takes what it is given or is just over."""

    def __init__(self, room: int, *, over: bool = False) -> None:
        self.room = room
        self.taken: list[PDU] = []
        self._over = over

    def submit(self, items: Sequence[tuple[PDU, Delivery]]) -> None:
        if self._over:
            raise SessionEnded(Ending.CUT)
        self.room -= len(items)
        self.taken += [pdu for pdu, _ in items]


def deliveries(count: int) -> list[Delivery]:
    return [Delivery(DeliverSm(short_message=b"%d" % at)) for at in range(count)]


def test_what_a_session_did_not_take_goes_to_the_next_in_order() -> None:
    outbox, over, well = Outbox(), Session(9, over=True), Session(2)
    outbox.join(over)  # type: ignore[arg-type]
    outbox.join(well)  # type: ignore[arg-type]
    outbox.add(deliveries(4))
    assert [pdu.short_message for pdu in well.taken] == [b"0", b"1"]
    assert outbox.waiting == 2
    well.room = 5
    outbox.push()
    assert [pdu.short_message for pdu in well.taken] == [b"0", b"1", b"2", b"3"]


def test_the_first_session_is_filled_before_the_second_gets_any() -> None:
    outbox, first, second = Outbox(), Session(3), Session(3)
    outbox.join(first)  # type: ignore[arg-type]
    outbox.join(second)  # type: ignore[arg-type]
    outbox.add(deliveries(4))
    assert [len(first.taken), len(second.taken)] == [3, 1]
    outbox.leave(first)  # type: ignore[arg-type]
    outbox.add(deliveries(1))
    assert len(second.taken) == 2


def test_nothing_to_send_is_sent_already() -> None:
    assert Sent(0).is_answered
    assert not Sent(1).is_answered
