"""The ESME side: an account of the hub's with binds that applications use, one each at a time.

A bind outlives the application that asked for it: receipts for what it sent are still to come, and the next application
takes it over. All are unbound when the run is over. Each bind texts customers of its own, so that a lane has one
sender and order means something.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import gevent
from gevent.event import AsyncResult, Event

from loadtests.locust.books import Books
from loadtests.locust.measures import Measures
from loadtests.locust.pdus import (
    DELIVERED,
    ESME_ROK,
    TEXT,
    message_id_of,
    name_of,
    read_text,
    receipt_state_of,
    receipted_id_of,
    write_bind,
    write_response,
    write_text,
)
from loadtests.locust.scenario import MAX_APPLICATIONS, Applications
from loadtests.locust.session import Answer, Session
from loadtests.wire import BIND_TRANSCEIVER, DELIVER_SM, FIRST_CUSTOMER, RECEIPT, SUBMIT_SM

HUNT_NUMBER = b"12125550100"  # who the texts are from
CONNECT_S = 30.0
TOLD = 100_000  # receipts that came are remembered, to know one that comes again


class BindRefused(RuntimeError):
    """The hub did not let an application bind."""


class _Submitted(NamedTuple):
    key: int
    due: float


class Bind:
    """One session of the account. ``open`` it before anything else.

    Args:
        account: whose.
        slot: which customers it texts.
    """

    def __init__(self, account: EsmeAccount, slot: int) -> None:
        self.slot = slot
        self._account = account
        self._turn = 0
        self._progress = Event()
        self._bound: AsyncResult = AsyncResult()
        self._session: Session | None = None
        self._leaving = False
        self._receipts: deque[int] = deque(maxlen=account.books.hub_window)

    def open(self) -> None:
        """Connect and bind. Raises: BindRefused, OSError."""
        account = self._account
        begun = time.monotonic()
        error = "no connection"
        try:
            connected = socket.create_connection(account.next_address(), CONNECT_S)
            connected.settimeout(None)
            self._session = Session(connected, self._take_requests, self._take_answers, self._ended)
            self._session.request(BIND_TRANSCEIVER, write_bind(account.system_id, account.password), BIND_TRANSCEIVER)
            error = "no answer"
            status = self._bound.get(timeout=CONNECT_S)
            error = "the session fell" if status is None else "" if status == ESME_ROK else name_of(status)
            if error:
                raise BindRefused(f"the hub refused the bind: {error}")
        except gevent.Timeout as late:
            raise BindRefused(f"the hub did not answer the bind in {CONNECT_S:g} s") from late
        finally:
            account.measures.fire("SMPP bind_transceiver", begun, 0, error or None)
            if error and self._session is not None:
                self._session.close()

    @property
    def is_over(self) -> bool:
        """The session ended."""
        return self._session is None or self._session.is_over

    def has_taken(self, key: int) -> bool:
        """Whether the receipt of this text is one of the last that came by it."""
        return key in self._receipts

    @property
    def unanswered(self) -> int:
        """Texts that were not answered."""
        return len(self._session.pending) if self._session is not None else 0

    @property
    def room(self) -> int:
        """How many more texts may be unanswered."""
        if self._session is None or self._session.is_over:
            return 0
        return self._account.script.window - len(self._session.pending)

    def wait_for_room(self, timeout_s: float) -> None:
        """Return when there may be room, or the session is over, or time is."""
        self._progress.clear()
        if not self.room and not self.is_over:
            self._progress.wait(timeout_s)

    def submit(self, due: float) -> None:
        """Send the next text. Call it only with room.

        Args:
            due: when it was to be sent; its waits count from then.
        """
        account, session = self._account, self._session
        assert session is not None
        script = account.script
        key = account.books.texts.offer()
        customer = FIRST_CUSTOMER + self._turn % script.addresses * MAX_APPLICATIONS + self.slot
        self._turn += 1
        account.books.begin(TEXT, key, due)
        body = write_text(
            HUNT_NUMBER, b"1%d" % customer, account.books.write(TEXT, key, script.length), receipt=script.receipts
        )
        session.request(SUBMIT_SM, body, _Submitted(key, due))

    def leave(self) -> None:
        """Unbind."""
        self._leaving = True
        if self._session is not None:
            self._session.unbind()

    def _take_answers(self, session: Session, answers: Sequence[Answer]) -> None:
        account, books = self._account, self._account.books
        for about, status, frame in answers:
            if about == BIND_TRANSCEIVER:
                self._bound.set(status)
            elif isinstance(about, _Submitted):
                error: str | None = None
                if status == ESME_ROK:
                    books.texts.acknowledge(about.key)
                    if account.script.receipts:
                        account.expect_receipt(message_id_of(frame), about)
                elif status is None:
                    books.texts.doubt([about.key])
                    error = "the session fell"
                else:
                    books.texts.refuse(about.key)
                    books.since(TEXT, about.key)
                    error = name_of(status)
                account.measures.fire("SMPP submit_sm", about.due, account.script.length, error)
        self._progress.set()

    def _take_requests(self, session: Session, frames: Sequence[bytes]) -> None:
        out: list[bytes] = []
        for frame in frames:
            if int.from_bytes(frame[4:8], "big") == DELIVER_SM:
                text = read_text(frame)
                if text.esm_class & 0x3C == RECEIPT:
                    own, state = receipted_id_of(text.octets), receipt_state_of(text.octets)
                    key = self._account.receipt_came(own, state, self)
                    if key is not None:
                        self._receipts.append(key)
                out.append(write_response(frame, ESME_ROK, b"\0"))
            else:
                out.append(write_response(frame))
        session.write(b"".join(out))

    def _ended(self, session: Session) -> None:
        if not self._leaving:
            self._account.books.text_receipts.doubt(self._receipts)
        self._account.ended(self)
        self._bound.set(None)
        self._progress.set()


class EsmeAccount:
    """See the module's head.

    Args:
        addresses: the hub's SMPP ports, one for each node; binds take turns.
        system_id, password: the account's.
        script: what applications do.
        books: where it is written down.
        measures: where it is told.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        system_id: str,
        password: str,
        script: Applications,
        books: Books,
        measures: Measures,
    ) -> None:
        self.system_id, self.password = system_id, password
        self._addresses = itertools.cycle(addresses)
        self.script, self.books, self.measures = script, books, measures
        self._binds: set[Bind] = set()
        self._idle: list[Bind] = []
        self._slots = list(range(MAX_APPLICATIONS))[::-1]
        self._expected: dict[bytes, _Submitted] = {}
        self._early: dict[bytes, bytes] = {}
        self._told: dict[bytes, int] = {}

    def next_address(self) -> tuple[str, int]:
        """Where the next bind goes, or the next try of one: a node that is not there holds up nobody for long."""
        return next(self._addresses)

    def take(self) -> Bind:
        """A bind for an application's own use, until it is given back. Raises: BindRefused, OSError."""
        while self._idle:
            bind = self._idle.pop()
            if not bind.is_over:
                return bind
            self._slots.append(bind.slot)
        slot = self._slots.pop()
        try:
            bind = Bind(self, slot)
            bind.open()
        except BaseException:  # also when locust ends the user meanwhile
            self._slots.append(slot)
            raise
        self._binds.add(bind)
        return bind

    def ended(self, bind: Bind) -> None:
        """Its session is over."""
        self._binds.discard(bind)

    def give_back(self, bind: Bind) -> None:
        """The application is gone; the bind stays."""
        self._idle.append(bind)

    def close(self) -> None:
        """Unbind all."""
        gevent.joinall([gevent.spawn(bind.leave) for bind in self._binds])

    @property
    def owed(self) -> int:
        """Texts that were not answered, or whose receipt has not come."""
        return sum(bind.unanswered for bind in self._binds) + len(self._expected)

    def expect_receipt(self, message_id: bytes, submitted: _Submitted) -> None:
        """A receipt with this id is to come; or it came before the answer that named the id."""
        self._expected[message_id] = submitted
        state = self._early.pop(message_id, None)
        if state is not None:
            self.receipt_came(message_id, state, None)

    def receipt_came(self, message_id: bytes, state: bytes, by: Bind | None) -> int | None:
        """Write down a receipt, that came by this bind. Returns: the key of its text, if that is known."""
        submitted = self._expected.pop(message_id, None)
        if submitted is None:
            key = self._told.get(message_id)
            if key is not None:
                if any(bind is not by and bind.has_taken(key) for bind in self._binds):
                    self.books.text_receipts.doubt([key])
                self.books.text_receipts.arrive(key, None)
            elif len(self._early) < TOLD:
                self._early[message_id] = state
            return key
        if state == DELIVERED:
            self.books.text_receipts.arrive(submitted.key, None)
        else:  # the hub gave it up, and says so
            self.books.texts.fail(submitted.key)
        error = None if state == DELIVERED else f"receipt says {state.decode('ascii', 'replace')}"
        self.measures.fire("SMPP submit_sm to receipt", submitted.due, self.script.length, error)
        self._told[message_id] = submitted.key
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]
        return submitted.key
