"""What a simulated SMSC sends: texts of handsets and receipts, over whatever receivers are bound.

Nothing is lost for want of a receiver: it waits for one. What an ESME left unanswered when its session ended goes
again, before all else and in its old order, as an SMSC that keeps its promises would do it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import trio

from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_errors import Unanswered, Unsendable
from smpp.constants import CommandStatus
from smpp.errors import SmppError
from smpp.events import Answer, Lost
from smpp.pdu import PDU, DeliverSm, DeliverSmResp
from smpp.session import Session

MAX_WAITING: Final = 1_000_000
"""Deliveries that may wait for a receiver: some 600 MB. Beyond it receipts are dropped and counted."""

TEMPORARY: Final = frozenset(
    (
        CommandStatus.ESME_RTHROTTLED,
        CommandStatus.ESME_RMSGQFUL,
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_RX_T_APPN,
    )
)


class Sent:
    """A text on its way to the ESME.

    Attributes:
        statuses: of its parts, as far as they are answered; a lost part has None.
        message_ids: what the ESME calls the parts; the standard wants these empty.
        tries: deliver_sm sent for it.
    """

    def __init__(self, parts: int) -> None:
        self.statuses: list[int | None] = [None] * parts
        self.message_ids: list[str] = [""] * parts
        self.tries = 0
        self._open = parts
        self._unsendable = False
        self._done = trio.Event()
        if not parts:
            self._done.set()

    @property
    def is_answered(self) -> bool:
        """Every part has been answered, or given up."""
        return self._done.is_set()

    async def answered(self) -> int:
        """Wait for the answer.

        Returns: ESME_ROK, or the status of the first part that was refused.
        Raises: Unanswered. Unsendable.
        """
        await self._done.wait()
        if self._unsendable:
            raise Unsendable("a field is longer than SMPP allows")
        lost = self.statuses.count(None)
        if lost:
            raise Unanswered(lost)
        return next((status for status in self.statuses if status), 0)

    def settle(self, part: int, command_status: int | None, message_id: str = "", *, unsendable: bool = False) -> None:
        """A part's fate is known."""
        self.statuses[part] = command_status
        self.message_ids[part] = message_id
        self._unsendable |= unsendable
        self._open -= 1
        if not self._open:
            self._done.set()


class Delivery:
    """One deliver_sm on its way; ``sent`` is None for a receipt."""

    __slots__ = ("part", "pdu", "refusals", "sent")

    def __init__(self, pdu: DeliverSm, sent: Sent | None = None, part: int = 0) -> None:
        self.pdu = pdu
        self.sent = sent
        self.part = part
        self.refusals = 0


class Outbox:
    """Gives deliveries to sessions as they have room.

    Attributes:
        counts: ``texts_ok``, ``texts_refused``, ``receipts_ok``, ``receipts_refused`` (parts, not texts), ``lost`` (not
            answered, sent again or not), ``dropped`` (no place).
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(
            ("texts_ok", "texts_refused", "receipts_ok", "receipts_refused", "lost", "dropped"), 0
        )
        self._waiting: deque[Delivery] = deque()
        self._sessions: list[Session] = []

    @property
    def waiting(self) -> int:
        """Deliveries that no session has taken yet."""
        return len(self._waiting)

    @property
    def sessions(self) -> Sequence[Session]:
        """The receivers that are bound."""
        return self._sessions

    def join(self, session: Session) -> None:
        """A receiver is there."""
        self._sessions.append(session)
        self.push()

    def leave(self, session: Session) -> None:
        """A receiver has gone."""
        self._sessions.remove(session)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Send, in this order."""
        waiting = self._waiting
        waiting.extend(deliveries)
        while len(waiting) > MAX_WAITING and waiting[-1].sent is None:
            waiting.pop()
            self.counts["dropped"] += 1
        self.push()

    def push(self) -> None:
        """Give what waits to who has room: the first session that has, so that order holds while it has."""
        waiting = self._waiting
        for session in self._sessions:
            if not waiting:
                return
            room = session.room
            if not room:
                continue
            batch = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            for delivery in batch:
                if delivery.sent is not None:
                    delivery.sent.tries += 1
            try:
                session.submit([(delivery.pdu, delivery) for delivery in batch])
            except SmppError:  # it has just ended: another will come
                waiting.extendleft(reversed(batch))

    def settle(self, answers: Sequence[Answer], behaviour: Behaviour) -> list[Delivery]:
        """Take note of answers, and go on.

        Returns: what was refused for now and is to be added again after ``retry_after_s``.
        """
        again: list[Delivery] = []
        later: list[Delivery] = []
        for answer in answers:
            delivery: Delivery = answer.key
            if answer.response is None:
                self._lost(delivery, answer.lost, behaviour, again)
                continue
            status = answer.response.command_status
            if status in TEMPORARY and delivery.refusals < behaviour.retries:
                delivery.refusals += 1
                later.append(delivery)
                continue
            self._settled(delivery, status, answer.response)
        self._waiting.extendleft(reversed(again))
        self.push()
        return later

    def _settled(self, delivery: Delivery, status: int, response: PDU) -> None:
        kind = "receipts" if delivery.sent is None else "texts"
        self.counts[f"{kind}_refused" if status else f"{kind}_ok"] += 1
        if delivery.sent is not None:
            message_id = response.message_id if isinstance(response, DeliverSmResp) else ""
            delivery.sent.settle(delivery.part, status, message_id)

    def _lost(self, delivery: Delivery, why: Lost | None, behaviour: Behaviour, again: list[Delivery]) -> None:
        if why is Lost.UNENCODABLE:
            if delivery.sent is not None:
                delivery.sent.settle(delivery.part, None, unsendable=True)
            return
        if why is not Lost.UNSENT:
            self.counts["lost"] += 1
        if behaviour.resend or why is Lost.UNSENT:
            again.append(delivery)
        elif delivery.sent is not None:
            delivery.sent.settle(delivery.part, None)
