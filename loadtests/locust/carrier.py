"""The SMSC side: a carrier that the hub's link binds to, with customers' telephones behind it.

It keeps what it has for the hub, texts of customers and receipts, in one queue, in order: a session that falls, or a
refusal for now, puts a request back where it was. What goes wrong by the scenario's own weather is no failure of the
hub's and is counted in no one's statistics; it is written in the books, as doubt.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import gevent
from gevent.event import Event

from loadtests.locust.books import Books
from loadtests.locust.line import Port
from loadtests.locust.measures import Measures
from loadtests.locust.pdus import (
    ANSWER,
    ESME_ROK,
    ESME_RTHROTTLED,
    QUESTION,
    TEMPORARY,
    TEXT,
    Text,
    name_of,
    read_text,
    write_response,
    write_text,
)
from loadtests.locust.scenario import CarrierScript, Conditions
from loadtests.locust.session import Answer, Session
from loadtests.wire import BIND_TRANSCEIVER, DELIVER_SM, FIRST_CUSTOMER, HEADER, SUBMIT_SM, receipts_of

FIRST_TELEPHONE = FIRST_CUSTOMER + 500_000_000  # of customers who text by themselves; applications text those below
RETRY_S = 0.5  # a carrier's pause after a refusal for now


class Parcel(NamedTuple):
    """A request of the carrier's.

    Attributes:
        flow: QUESTION for a customer's text; TEXT or ANSWER for a receipt, by what it is about.
        key: of the text.
        body: of the deliver_sm.
    """

    flow: bytes
    key: int
    body: bytes


class _Tried(NamedTuple):
    parcel: Parcel
    at: float


class Carrier:
    """See the module's head.

    Args:
        host, port: where the hub's link finds it.
        number: the call centre's, digits.
        script: how it is in good weather.
        books: where it is written down.
        measures: where it is told.
    """

    def __init__(
        self,
        host: str,
        port: int,
        number: bytes,
        script: CarrierScript,
        books: Books,
        measures: Measures,
    ) -> None:
        self._number, self._script, self._books, self._measures = number, script, books, measures
        self._second = 0
        self._in_second = 0.0
        self._weather = Conditions()
        self._bound: list[Session] = []
        self._taken: dict[Session, deque[tuple[bytes, int]]] = {}
        self._queue: deque[Parcel] = deque()
        self._resting = False
        self._last_id = 0
        self._telephones: dict[int, Event] = {}
        self._port = Port(host, port, self._serve)

    # --- what locust's users do with it ---------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where the hub finds it."""
        return self._port.number

    @property
    def is_bound(self) -> bool:
        """The hub is bound."""
        return bool(self._bound)

    @property
    def owed(self) -> int:
        """Requests that the hub has not answered for good."""
        return len(self._queue) + sum(len(session.pending) for session in self._bound)

    def behave(self, weather: Conditions) -> None:
        """Be so from now on."""
        self._weather, before = weather, self._weather
        if weather.down and not before.down:
            self._port.close()
            for session in list(self._taken):
                session.close()
        elif before.down and not weather.down:
            self._port.open()

    def ask(self, customer: int, length: int) -> tuple[int, Event]:
        """A customer texts the call centre. Returns: the text's key, and what is set when an answer comes."""
        key = self._books.questions.offer()
        answered = self._telephones[FIRST_TELEPHONE + customer] = Event()
        source = b"1%d" % (FIRST_TELEPHONE + customer)
        body = write_text(source, self._number, self._books.write(QUESTION, key, length), receipt=False)
        self._queue.append(Parcel(QUESTION, key, body))
        self._push()
        return key, answered

    def hang_up(self, customer: int) -> None:
        """The customer no longer waits."""
        self._telephones.pop(FIRST_TELEPHONE + customer, None)

    def close(self) -> None:
        """End all, at once."""
        self._weather = Conditions(down=True)
        self._port.close()
        for session in list(self._taken):
            session.close()

    # --- the hub's session -------------------------------------------------------------------------------------------

    def _serve(self, connected: socket.socket) -> None:
        session = Session(connected, self._take, self._answered, self._ended)
        self._taken[session] = deque(maxlen=self._books.hub_window)
        if self._weather.down:
            session.close()

    def _ended(self, session: Session) -> None:
        for flow, key in self._taken.pop(session):
            (self._books.texts if flow == TEXT else self._books.answers).doubt([key])
        if session in self._bound:
            self._bound.remove(session)

    def _take(self, session: Session, frames: Sequence[bytes]) -> None:
        out: list[bytes] = []
        owed: list[Parcel] = []
        submits = False
        for frame in frames:
            command_id = int.from_bytes(frame[4:8], "big")
            if command_id == SUBMIT_SM:
                submits = True
                if self._is_too_much():
                    out.append(write_response(frame, ESME_RTHROTTLED))
                    continue
                self._last_id += 1
                own = b"%04x%08x" % (self._books.run, self._last_id)
                out.append(write_response(frame, ESME_ROK, own + b"\0"))
                self._arrived(session, frame, read_text(frame), own, owed)
            elif command_id == BIND_TRANSCEIVER:
                out.append(write_response(frame, ESME_ROK, b"carrier\0"))
                self._bound.append(session)
            else:
                out.append(write_response(frame))
        late_ms = self._script.answer_ms if self._weather.answer_ms is None else self._weather.answer_ms
        if submits and late_ms:
            gevent.spawn_later(late_ms / 1e3, session.write, b"".join(out))
        else:
            session.write(b"".join(out))
        if owed:
            gevent.spawn_later((late_ms + self._script.receipt_ms) / 1e3, self._owe, owed)
        else:
            self._push()

    def _is_too_much(self) -> bool:
        """Whether one more text in this second is beyond what the weather lets through."""
        if self._weather.per_s is None:
            return False
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0.0
        self._in_second += 1
        return self._in_second > max(1.0, self._weather.per_s)

    def _arrived(self, session: Session, frame: bytes, text: Text, own: bytes, owed: list[Parcel]) -> None:
        known = self._books.read(text.octets, TEXT, ANSWER)
        if known is None:
            return
        flow, key = known
        lane = int(text.destination)
        if (self._books.texts if flow == TEXT else self._books.answers).has_arrived(key):
            self._doubt_what_older_sessions_took(session, known)
        self._taken[session].append(known)
        if flow == TEXT:
            first, measure = self._books.texts.arrive(key, lane), "SMPP submit_sm to carrier"
        else:
            first, measure = self._books.answers.arrive(key, lane), "XMPP answer to carrier"
        if first:
            since = self._books.since(flow, key)
            if since is not None:
                self._measures.fire(measure, since, len(text.octets))
            if flow == ANSWER and lane - 10_000_000_000 in self._telephones:
                self._telephones[lane - 10_000_000_000].set()
        if text.registered_delivery & 3:
            (receipt,) = receipts_of([frame], [own], 1)
            owed.append(Parcel(flow, key, receipt[HEADER.size :]))

    def _doubt_what_older_sessions_took(self, session: Session, known: tuple[bytes, int]) -> None:
        for other, taken in self._taken.items():
            if other is session:  # the others are newer: a node that was stopped may not go on where it was
                return
            if known in taken:
                (self._books.texts if known[0] == TEXT else self._books.answers).doubt([known[1]])

    # --- what the carrier has for the hub ----------------------------------------------------------------------------

    def _owe(self, receipts: list[Parcel]) -> None:
        for receipt in receipts:
            flow = self._books.receipts_of(receipt.flow)
            flow.offer_as(receipt.key)
        self._queue.extend(receipts)
        self._push()

    def _push(self) -> None:
        for session in self._bound:
            # One that is falling is still here while its unanswered requests come back: they would go down with it.
            if session.is_over:
                continue
            while self._queue and not self._resting and len(session.pending) < self._script.window:
                parcel = self._queue.popleft()
                now = time.monotonic()
                if parcel.flow == QUESTION:
                    self._books.begin(QUESTION, parcel.key, now)
                session.request(DELIVER_SM, parcel.body, _Tried(parcel, now))

    def _answered(self, session: Session, answers: Sequence[Answer]) -> None:
        again: list[Parcel] = []
        for about, status, _ in answers:
            parcel = about.parcel
            is_text = parcel.flow == QUESTION
            flow = self._books.questions if is_text else self._books.receipts_of(parcel.flow)
            error: str | None = None
            if status == ESME_ROK:
                flow.acknowledge(parcel.key)
            elif status is None or status in TEMPORARY:
                again.append(parcel)
                error = "the session fell" if status is None else name_of(status)
                if status is None:
                    flow.doubt([parcel.key])
            else:
                flow.refuse(parcel.key)
                error = name_of(status)
            if status is not None or not self._weather.down:
                measure = "SMPP deliver_sm" if is_text else "SMPP deliver_sm receipt"
                self._measures.fire(measure, about.at, len(parcel.body), error)
        if again:
            self._queue.extendleft(reversed(again))
            if not session.is_over:
                self._rest()
        self._push()

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            gevent.spawn_later(RETRY_S, self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        self._push()
