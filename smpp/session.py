"""One SMPP session over a trio stream: ``smpp.connection`` with tasks around it.

Three tasks, none of which ever waits for business work:

- the *reader* hands what arrives to the connection and sorts its events into two mailboxes: requests of the peer, and
  answers to ours. Automatic answers go out at once. The inbox of requests is bounded: what does not fit is answered
  with ESME_RTHROTTLED (or another status) and counted, so a peer that is faster than the journal is told so;
- the *sender* is the only one that writes. It joins what has gathered while it was writing into one ``send_all``.
  A ``send_all`` that is cancelled leaves half a PDU behind, so it happens only when the session ends;
- the *ticker* sleeps until the connection's next deadline. Whoever brings a deadline nearer wakes it.

The business calls ``submit`` and ``respond``, which never block, and waits in ``receive_requests`` and
``receive_answers``, each in batches.

**Memory is bounded** whatever the peer does: requests of ours by the window, theirs by the inbox, answers by both; what
is left is a peer that asks (enquire_link, bad PDUs) and does not read. Past ``outgoing_limit`` octets the reader stops
reading, and after ``stall_s`` without any progress of a ``send_all`` the session ends.

**A peer that chatters** (enquire_link without end, PDUs that nobody can read, requests that are refused, octets by the
kilobyte) is read at a rate of these (``smpp.chatter``), which all sessions of an account share. Requests that are
taken, and answers to ours, are no chatter.

**The end.** Whatever ends the session (either side's unbind, a time-out, a cut, a cancellation), every request of ours
comes out of ``receive_answers`` once, the unanswered ones marked; then ``SessionEnded`` is raised. Requests of the peer
that were not taken yet are dropped: nobody has acknowledged them, and the peer will send them again. What is owed to
the peer is written first, if it takes no longer than ``close_s``, and the peer is given ``linger_s`` to close first,
since octets that arrive at a closed socket make the kernel destroy what is still on its way (RFC 1122 §4.2.2.13).
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Generic, TypeVar

import msgspec
import trio

from smpp.chatter import Chatter, excess
from smpp.connection import Connection
from smpp.constants import CommandStatus
from smpp.errors import EncodeError, LocalProtocolError, SmppError
from smpp.events import (
    Answer,
    Answers,
    Bind,
    BindDenied,
    BindRequested,
    Bound,
    Ended,
    Ending,
    Event,
    Lost,
    OutbindReceived,
    Requests,
    Settings,
)
from smpp.pdu import PDU, Unbind
from smpp.states import State

RECEIVE_OCTETS: Final = 65_536
"""How much is taken from the stream at once: some 500 submit_sm, and what a socket's buffer holds on loopback."""

SEND_OCTETS: Final = 262_144
"""How much is joined for one ``send_all``: what a session's end leaves in doubt is at most that much."""
HELD_S: Final = 0.05  # between two looks whether requests may go out that ``Session.may_submit`` holds

MESSAGE_OCTETS: Final = 1_024
"""More than a message of 255 octets with all its addresses and parameters has; what is beyond is chatter."""

CHATTER: Final = "chatter"
"""The fault's word, for each time that a peer had to wait for its own."""

T = TypeVar("T")


class SessionEnded(SmppError):
    """The session is over.

    Attributes:
        ending: why.
        detail: a word more.
    """

    def __init__(self, ending: Ending, detail: str = "") -> None:
        super().__init__(f"the session ended: {ending}{f' ({detail})' if detail else ''}")
        self.ending = ending
        self.detail = detail


class BindRefused(SmppError):
    """The SMSC does not let us in.

    Attributes:
        command_status: why.
    """

    def __init__(self, command_status: int) -> None:
        super().__init__(f"bind refused with status 0x{command_status:08x}")
        self.command_status = command_status


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a session keeps to beside its connection's ``Settings``.

    Attributes:
        inbox: how many requests of the peer may wait for the business.
        overflow_status: what requests beyond that are answered with: ESME_RTHROTTLED or ESME_RMSGQFUL.
        outgoing_limit: octets; past that nothing more is read until the peer has read.
        chatter: counts the PDUs that are neither taken requests nor answers; more of them are read later. Sessions of
            one peer share it, or each has its own.
        stall_s: how long one ``send_all`` may take.
        close_s: how long what is owed may take to be written at the end, and the stream to close.
        linger_s: how long the peer may take to close first.
    """

    inbox: int = 1000
    overflow_status: int = CommandStatus.ESME_RTHROTTLED
    outgoing_limit: int = 1_048_576
    chatter: Chatter | None = None
    stall_s: float = 30.0
    close_s: float = 5.0
    linger_s: float = 1.0


DEFAULT_OPTIONS: Final = Options()


class SessionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment.

    Attributes:
        state: where it stands.
        peer_version: the peer's interface version, e.g. 0x34.
        version: what the session speaks.
        congestion: how loaded the peer says it is, or None.
        received, sent: PDUs, both kinds.
        requests, answers: those that went to the business.
        throttled: requests that the inbox had no place for.
        waiting: requests that the business has not taken.
        unanswered: requests of ours on the way.
        outgoing: octets that the peer has not taken.
        counts: words → how often: stray, unparsable, and what the codec forgave.
    """

    state: State
    peer_version: int
    version: int
    congestion: int | None
    received: int
    sent: int
    requests: int
    answers: int
    throttled: int
    waiting: int
    unanswered: int
    outgoing: int
    counts: dict[str, int]


def _unset(event: trio.Event) -> trio.Event:
    """An event to wait for again: the same one while others may still wait for it."""
    return trio.Event() if event.is_set() else event


class _Mailbox(Generic[T]):
    """A list that one task fills and another empties as a whole.

    A memory channel would cost a call and a wake-up for each item.
    """

    def __init__(self) -> None:
        self.items: list[T] = []
        self._news = trio.Event()
        self._closed: SessionEnded | None = None

    def put(self, items: Sequence[T]) -> None:
        self.items.extend(items)
        self._news.set()

    def close(self, ended: SessionEnded) -> None:
        self._closed = ended
        self._news.set()

    async def take(self) -> list[T]:
        """All items; waits for the first. Raises SessionEnded once closed and empty.

        A cancellation takes nothing out. What is there is given without a turn of the scheduler: whoever takes in a
        loop comes to wait soon enough, since what fills the mailbox needs a turn to do so.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self.items:
            if self._closed is not None:
                # A fresh one for each: a traceback grows with every raise.
                raise SessionEnded(self._closed.ending, self._closed.detail)
            self._news = _unset(self._news)
            await self._news.wait()
        items, self.items = self.items, []
        return items


class Session:
    """One session. ``run`` must be running; see the module's head.

    Args:
        stream: any stream of octets, TLS or not. The session closes it.
        connection: fresh; its clock is ``trio.current_time``.
        options: see ``Options``.

    Attributes:
        connection: the machine, to be looked at.
        throttled: requests answered for want of a place in the inbox.
        may_submit: asked right before requests of ours are written; while it says no, nothing more is written.
    """

    def __init__(self, stream: trio.abc.Stream, connection: Connection, options: Options = DEFAULT_OPTIONS) -> None:
        self.connection = connection
        self.options = options
        self.throttled = 0
        self.may_submit: Callable[[], bool] = lambda: True
        self._stream = stream
        self._requests: _Mailbox[PDU] = _Mailbox()
        self._answers: _Mailbox[Answer] = _Mailbox()
        self._control: _Mailbox[Event] = _Mailbox()
        self._request_count = 0
        self._answer_count = 0
        self._chatter = options.chatter or Chatter()
        # What is to be written: (octets, the connection's ordinal when they hold requests of ours, else 0).
        self._outgoing: list[tuple[bytes, int]] = []
        self._outgoing_octets = 0
        self._to_send = trio.Event()
        self._drained = trio.Event()
        self._settled = trio.Event()  # no request of ours is on the way
        self._over = trio.Event()
        self._read_out = trio.Event()
        self._sleep = trio.CancelScope()
        self._ended: Ended | None = None
        self._refusing_new = False

    # -- The business's side -------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self.connection.state

    @property
    def peer_version(self) -> int:
        """The peer's interface version: 0x34 for SMPP 3.4."""
        return self.connection.peer_version

    @property
    def version(self) -> int:
        """What the session speaks: the lower of both ends' versions. Below 0x34, no TLVs are sent."""
        return self.connection.version

    @property
    def congestion(self) -> int | None:
        """How loaded the peer says it is, 0…100 (congestion_state); None when it says nothing. See ``room``."""
        return self.connection.congestion

    @property
    def ended(self) -> Ended | None:
        """Why the session is over, or None while it is not."""
        return self._ended

    @property
    def room(self) -> int:
        """How many requests ``submit`` takes now; fewer than the window while the peer says that it is congested.

        It grows only when answers come.
        """
        return 0 if self._refusing_new else self.connection.room

    async def receive_requests(self) -> list[PDU]:
        """Wait for requests of the peer, in the order of arrival; each is to be answered with ``respond``.

        alert_notification comes here as well, and has no answer. One task may wait here at a time.

        Raises: SessionEnded: none will come any more.
        Cancellation: takes nothing.
        """
        return await self._requests.take()

    async def receive_answers(self) -> list[Answer]:
        """Wait for what became of requests of ours. One task may wait here at a time.

        Raises: SessionEnded: every request has come back.
        Cancellation: takes nothing.
        """
        return await self._answers.take()

    def submit(self, items: Sequence[tuple[PDU, Any]]) -> None:
        """Send requests, each with a key that comes back with its answer.

        They are written in this order, before anything submitted later. What the standard (or a 3.3 peer) has no form
        for comes back as an answer marked UNENCODABLE and holds up nothing else.

        Raises: LocalProtocolError: more than ``room``. SessionEnded.
        """
        self._check_open()
        if len(items) > self.room:
            raise LocalProtocolError(f"{len(items)} requests, but room for {self.room} in {self.state.name}")
        now = trio.current_time()
        try:
            data = self.connection.send_requests(items, now)
        except EncodeError:
            data = self._submit_singly(items, now)
        self._queue(data, self.connection.ordinal)
        self._rearm()

    def respond(self, pdus: Sequence[PDU]) -> None:
        """Answer requests; each response bears its request's sequence number.

        After the end nothing happens: the peer is gone and will ask again.
        Raises: EncodeError: one of them has no form; none was sent.
        """
        if self._ended is None:
            self._queue(self.connection.send_responses(pdus, trio.current_time()), 0)
            self._rearm()

    def note_chatter(self, count: int) -> None:
        """Count requests that were taken and then refused as chatter: what nobody wanted costs as much to refuse."""
        self._chatter.count(count, trio.current_time())

    async def unbind(self, drain_s: float = 5.0) -> None:
        """Part in peace: take no more requests of ours, wait for the answers to those on the way, then unbind.

        Until unbind_resp comes, requests of the peer are received and must be answered as before. Returns when the
        session is over, at most ``drain_s`` + ``response_s`` later. Answers are still to be taken.

        Cancellation: the session goes on as far as it was.
        """
        if self._ended is None and self.state.is_bound:
            self._refusing_new = True
            with trio.move_on_after(drain_s):
                while self.connection.unanswered and self._ended is None:
                    self._settled = _unset(self._settled)
                    await self._settled.wait()
            if self._ended is None and self.state.is_bound and not self.connection.is_unbinding:
                self._queue(self.connection.send(Unbind(), trio.current_time()), 0)
                self._rearm()
        elif self._ended is None and self.state is not State.UNBOUND:
            self.close()
        await self._over.wait()

    def close(self, ending: Ending = Ending.CLOSED, detail: str = "") -> None:
        """End the session now, without a word to the peer. Does nothing when it is over."""
        self._apply(self.connection.end(ending, detail))

    async def wait_over(self) -> None:
        """Wait for the end of the session."""
        await self._over.wait()

    def statistics(self) -> SessionStatistics:
        """The session at this moment."""
        connection = self.connection
        return SessionStatistics(
            state=connection.state,
            peer_version=connection.peer_version,
            version=connection.version,
            congestion=connection.congestion,
            received=connection.received,
            sent=connection.sent,
            requests=self._request_count,
            answers=self._answer_count,
            throttled=self.throttled,
            waiting=len(self._requests.items),
            unanswered=connection.unanswered,
            outgoing=self._outgoing_octets,
            counts=dict(connection.counts),
        )

    def summary(self) -> dict[str, Any]:
        """What a log says of a session that is over: counts, and never what was in its messages."""
        statistics = self.statistics()
        return {
            "detail": self.ended.detail if self.ended is not None else "",
            "received": statistics.received,
            "sent": statistics.sent,
            "requests": statistics.requests,
            "throttled": statistics.throttled,
            "faults": statistics.counts,
        }

    # -- Binding -------------------------------------------------------------------------------------------------------

    async def bind(self, pdu: Bind) -> Bound:
        """ESME: bind, and wait for the answer.

        Raises: BindRefused. SessionEnded: no answer came. LocalProtocolError, EncodeError.
        """
        self._check_open()
        self._queue(self.connection.send(pdu, trio.current_time()), 0)
        self._rearm()
        while True:
            for event in await self._control.take():
                if isinstance(event, Bound):
                    return event
                if isinstance(event, BindDenied):
                    raise BindRefused(event.command_status)

    async def receive_bind(self) -> Bind:
        """SMSC: wait for the peer's bind; answer with ``accept_bind`` or ``refuse_bind``. Raises: SessionEnded."""
        while True:
            for event in await self._control.take():
                if isinstance(event, BindRequested):
                    return event.bind

    async def receive_outbind(self) -> OutbindReceived:
        """ESME: wait for an SMSC's outbind; answer with ``bind``. Raises: SessionEnded."""
        while True:
            for event in await self._control.take():
                if isinstance(event, OutbindReceived):
                    return event

    def send(self, pdu: PDU) -> None:
        """Send a PDU that has no answer: outbind, alert_notification.

        Raises: LocalProtocolError, EncodeError, SessionEnded.
        """
        self._check_open()
        self._queue(self.connection.send(pdu, trio.current_time()), 0)
        self._rearm()

    def accept_bind(self, system_id: str, settings: Settings | None = None, options: Options | None = None) -> None:
        """SMSC: let the peer in, under the settings and options of its account. Raises: SessionEnded."""
        self._check_open()
        data = self.connection.accept_bind(system_id, trio.current_time(), settings)
        if options is not None:
            self._keep_to(options)
        self._queue(data, 0)
        self._rearm()

    def refuse_bind(self, command_status: int) -> None:
        """SMSC: keep the peer out. The session is over once that is written. Raises: SessionEnded."""
        self._check_open()
        events, data = self.connection.refuse_bind(command_status)
        self._queue(data, 0)
        self._apply(events)

    def configure(self, settings: Settings, options: Options) -> None:
        """Keep to other settings and options from now on. What is on the way stays on the way."""
        self._keep_to(options)
        self.connection.configure(settings)
        self._rearm()

    def _keep_to(self, options: Options) -> None:
        self.options = options
        self._chatter = options.chatter or self._chatter

    # -- The tasks -----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[Session] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the session until it is over and its stream is closed.

        Cancellation: ends the session at once, with nothing more written; the stream is closed.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._send)
                nursery.start_soon(self._tick)
                task_status.started(self)
                await self._over.wait()
                await self._part()
                nursery.cancel_scope.cancel()
        finally:
            self.close()
            self._outgoing.clear()
            self._outgoing_octets = 0
            with trio.move_on_after(self.options.close_s, shield=True) as closing:
                await self._close_stream()
            if closing.cancelled_caught:
                await trio.aclose_forcefully(self._stream)

    async def _read(self) -> None:
        stream, connection = self._stream, self.connection
        try:
            while True:
                while self._outgoing_octets > self.options.outgoing_limit and self._ended is None:
                    self._drained = _unset(self._drained)
                    await self._drained.wait()
                data = await stream.receive_some(RECEIVE_OCTETS)
                if not data:
                    self._apply(connection.receive_eof())
                    break
                if self._ended is None:
                    useful = self._request_count + self._answer_count
                    received = connection.received
                    now = trio.current_time()
                    self._apply(connection.receive_data(data, now))
                    self._rearm()
                    useful = self._request_count + self._answer_count - useful
                    unwanted = connection.received - received - useful
                    unwanted += excess(len(data), (useful + 1) * MESSAGE_OCTETS)
                    if unwanted > 0:
                        self._chatter.count(unwanted, now)
                    if self._chatter.is_too_much:
                        await self._pause()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._apply(connection.end(Ending.CUT, _cause(error)))
        finally:
            self._read_out.set()

    async def _pause(self) -> None:
        """Read nothing until the peer's chatter is paid for."""
        self.connection.counts[CHATTER] += 1
        with trio.move_on_after(self._chatter.pause_s()):
            await self._over.wait()
        self._chatter.count(0, trio.current_time())

    async def _send(self) -> None:
        connection = self.connection
        while True:
            await self._to_send.wait()
            taken, octets, ordinal = 0, 0, 0
            for data, mark in self._outgoing:
                taken += 1
                octets += len(data)
                ordinal = mark or ordinal
                if octets >= SEND_OCTETS:
                    break
            if ordinal and not self.may_submit():
                await trio.sleep(HELD_S)
                continue
            batch = [data for data, _ in self._outgoing[:taken]]
            del self._outgoing[:taken]
            connection.written(ordinal)
            try:
                with trio.move_on_after(self.options.stall_s) as stall:
                    await self._stream.send_all(batch[0] if taken == 1 else b"".join(batch))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._give_up(Ending.CUT, _cause(error))
                return
            if stall.cancelled_caught:
                self._give_up(Ending.STALLED, f"{self._outgoing_octets} octets not taken")
                return
            self._outgoing_octets -= octets
            self._drained.set()
            if not self._outgoing:
                self._to_send = trio.Event()

    async def _tick(self) -> None:
        connection = self.connection
        while self._ended is None:
            with trio.CancelScope(deadline=connection.next_deadline()) as self._sleep:
                await self._over.wait()
            events, data = connection.tick(trio.current_time())
            self._queue(data, 0)
            self._apply(events)

    def _apply(self, events: list[Event]) -> None:
        """Do what the connection says, and send its automatic answers."""
        ended: Ended | None = None
        for event in events:
            if isinstance(event, Requests):
                self._take_requests(event.pdus)
            elif isinstance(event, Answers):
                self._take_answers(event.answers)
            elif isinstance(event, Ended):
                ended = event
            else:
                self._control.put([event])
        self._queue(self.connection.data_to_send(), 0)
        if ended is not None:
            self._finish(ended)

    def _take_requests(self, pdus: list[PDU]) -> None:
        space = self.options.inbox - len(self._requests.items)
        if len(pdus) > space:
            space = max(space, 0)
            over = pdus[space:]
            pdus = pdus[:space]
            self.throttled += len(over)
            self._queue(self.connection.refuse(over, self.options.overflow_status, trio.current_time()), 0)
        if pdus:
            self._request_count += len(pdus)
            self._requests.put(pdus)

    def _take_answers(self, answers: list[Answer]) -> None:
        self._answer_count += len(answers)
        self._answers.put(answers)
        if not self.connection.unanswered:
            self._settled.set()

    def _submit_singly(self, items: Sequence[tuple[PDU, Any]], now: float) -> bytes:
        """Find which of a batch have no form, and send the others."""
        sent: list[bytes] = []
        wrong: list[Answer] = []
        for pdu, key in items:
            try:
                sent.append(self.connection.send_requests([(pdu, key)], now))
            except EncodeError:
                wrong.append(Answer(key, pdu, None, Lost.UNENCODABLE))
        self._take_answers(wrong)
        return b"".join(sent)

    def _queue(self, data: bytes, ordinal: int) -> None:
        if data:
            self._outgoing.append((data, ordinal))
            self._outgoing_octets += len(data)
            self._to_send.set()

    def _rearm(self) -> None:
        deadline = self.connection.next_deadline()
        if deadline < self._sleep.deadline:
            self._sleep.deadline = deadline

    def _finish(self, ended: Ended) -> None:
        self._ended = ended
        # Requests of ours that have not left must not leave now: they have been given back as unsent.
        self._outgoing_octets -= sum(len(data) for data, ordinal in self._outgoing if ordinal)
        self._outgoing = [(data, ordinal) for data, ordinal in self._outgoing if not ordinal]
        error = SessionEnded(ended.ending, ended.detail)
        self._requests.items.clear()
        for mailbox in (self._requests, self._answers, self._control):
            mailbox.close(error)
        self._drained.set()
        self._settled.set()
        self._over.set()

    def _give_up(self, ending: Ending, detail: str) -> None:
        """Nothing can be written any more."""
        self._outgoing.clear()
        self._outgoing_octets = 0
        self._apply(self.connection.end(ending, detail))
        self._drained.set()

    async def _part(self) -> None:
        """Write what is owed and let the peer close first, as far as its patience and ours go."""
        ended = self._ended
        if ended is None or ended.ending in (Ending.CUT, Ending.STALLED, Ending.CLOSED_BY_PEER):
            return
        with trio.move_on_after(self.options.close_s):
            while self._outgoing or self._outgoing_octets:
                self._drained = _unset(self._drained)
                await self._drained.wait()
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                try:
                    await self._stream.send_eof()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
            # A TLS stream has no half to close, but its peer's last words (close_notify) arrive as well.
            with trio.move_on_after(self.options.linger_s):
                await self._read_out.wait()

    async def _close_stream(self) -> None:
        # A TLS peer that was gone before the goodbye: closed all the same.
        with suppress(trio.BrokenResourceError):
            await self._stream.aclose()

    def _check_open(self) -> None:
        if self._ended is not None:
            raise SessionEnded(self._ended.ending, self._ended.detail)


def _cause(error: BaseException) -> str:
    """One word for why a stream broke: ``ECONNRESET``, ``SSLError``; never its text, which may quote octets."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno and not _is_tls(cause):
        return errno.errorcode.get(cause.errno, type(cause).__name__)
    if _is_tls(cause):
        return "tls"
    return "" if cause is None else type(cause).__name__


def _is_tls(error: BaseException | None) -> bool:
    return type(error).__module__ == "ssl"


@asynccontextmanager
async def open_session(
    stream: trio.abc.Stream, connection: Connection, options: Options = DEFAULT_OPTIONS, *, drain_s: float = 5.0
) -> AsyncIterator[Session]:
    """Run a session for as long as the body lasts.

    A body that ends normally unbinds (see ``Session.unbind``), one that raises closes. What the body raises comes out
    as it is, not in an exception group.

    Args:
        stream: closed at the end.
        connection: fresh.
        options: see ``Options``.
        drain_s: how long requests on the way are waited for before the unbind.
    """
    session = Session(stream, connection, options)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        try:
            yield session
        except Exception as error:
            failure = error
            session.close()
        else:
            await session.unbind(drain_s)
    if failure is not None:
        raise failure
