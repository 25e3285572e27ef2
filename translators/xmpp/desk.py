"""A call centre's desk on XMPP: the hub's endpoint at one end, an external component (XEP-0114) at the other.

The shell of this package: it moves octets and batches, and asks the pure modules what they mean.

    deliver ──► texts ──► _write ──► one send_all, a ping behind it            (flight: what waits for which pong)
    _read ──► pong ──► outcomes ──► _report ──► road.report                    (batches as big as the journal is slow)
          ──► answers, receipts ──► inbox ──► road.receive ──► refusals back to the CSR
          ──► commands ──► _command (eight at a time, those of one thread in order) ──► services ──► result
          ──► presence, discovery, pings: answered at once

The reader never waits for business. What waits is bounded: the window bounds texts, ``inbox`` bounds answers, a queue
bounds commands; more is answered ``wait``. A peer that sends faster than it reads our replies is not read until it
does, and one that sends what nobody wants is read at a rate (``smpp.chatter``).

Outcomes, the inbox and the replies outlive a connection: what a CSR said before it fell is still journalled, and what
is to be said about it goes out by the next one. Texts do not: those written are in doubt, those not written are unsent.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
import trio

from hub.endpoint import Road
from hub.model import (
    Kind,
    Message,
    Outcome,
    Part,
    Reason,
    Result,
    TryLater,
)
from smpp.chatter import Chatter
from smpp.log_lines import LogLines
from translators.xmpp import discovery, stanzas
from translators.xmpp.addressing import Addressing
from translators.xmpp.commands import COMMANDS, Command, Designate, Release, perform, read_command, subject_key
from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.errors import BadJid, CommandError, StreamError
from translators.xmpp.flight import Flights
from translators.xmpp.inbox import Inbox
from translators.xmpp.jid import Jid, parse_jid
from translators.xmpp.reach import Reach, Standing
from translators.xmpp.services import DeskServices, ThreadView
from translators.xmpp.settings import DeskSettings
from translators.xmpp.statistics import DeskStatistics
from translators.xmpp.stream import CUT, Element, escape_attribute, excess_of, unwritable

Connect = Callable[[], Awaitable[trio.abc.Stream]]

COMMANDS_AT_ONCE = 8  # commands of different threads
COMMANDS_WAITING = 64  # for each of those
REPLIES_MAX_OCTETS = 1 << 20  # replies waiting to be written before we stop reading
WAIT_US = 1_000_000  # after an error of type wait
SETTLED_S = 5.0  # a connection that lasted so long was a good one: the back-off starts again
CHATTER = "chatter"  # the fault's word, for each time that the server had to wait for its own
FLUSH_S = 2.0  # for what must still be journalled when the task is cancelled
HELD_S = 0.05  # between two looks whether texts may go out that are held

# A text comes back so when nobody is there to have it (RFC 6121 §8.5; realised so by Prosody and ejabberd).
ABSENT = frozenset(
    (
        "service-unavailable",
        "recipient-unavailable",
        "item-not-found",
        "gone",
        "remote-server-not-found",
        "remote-server-timeout",
    )
)

log = structlog.get_logger("xmpp")


def wall_clock_us() -> int:
    """Now, in microseconds UTC."""
    return time.time_ns() // 1000


class XmppDesk:
    """One desk (see ``hub.endpoint.Endpoint`` for what the hub asks of it).

    Args:
        settings: what it is told.
        road: the hub.
        services: what its commands do.
        clock_us: now, in microseconds UTC.
        connect: makes the transport; default: TCP, with TLS when the settings say so.

    Run it with ``await nursery.start(desk.run)``; it connects, and connects again, until ``close`` or cancellation.
    """

    def __init__(
        self,
        settings: DeskSettings,
        road: Road,
        services: DeskServices,
        *,
        clock_us: Callable[[], int] = wall_clock_us,
        connect: Connect | None = None,
    ) -> None:
        self.name = f"desk:{settings.name}"
        self.source_gap_us = 0  # a call centre is not counted in texts a second
        self._road = road
        self._services = services
        self._clock_us = clock_us
        self._connect = connect or self._connect_tcp
        self._log = log.bind(desk=settings.name)

        self._take_over(settings)
        self._flights = Flights()
        self._reach = Reach(round(settings.first_wait_s * 1e6), round(settings.longest_wait_s * 1e6))
        self._addressing = Addressing(self._director, self._domains)
        self._inbox = Inbox(
            self.name,
            road,
            size=settings.inbox,
            reply=self._reply,
            clock_us=clock_us,
            progressed=self._progressed,
        )

        self._up = False
        self._closing = False
        self._texts: list[str] = []
        self._replies: list[bytes] = []
        self._reply_octets = 0
        self._ping_wanted = False
        self._pings = 0
        self._heard_at = 0.0
        self._outcomes: list[Outcome] = []
        self._reporting = False

        self._to_write = trio.Event()
        self._written = trio.Event()
        self._to_report = trio.Event()
        self._progress = trio.Event()
        self._close_requested = trio.Event()
        self._command_queues = [
            trio.open_memory_channel[tuple[Element, Command, Jid]](COMMANDS_WAITING) for _ in range(COMMANDS_AT_ONCE)
        ]

        self._handed_over = self._returned = self._late_errors = 0
        self._commands_done = self._replaced = self._connections = 0
        self._faults: Counter[str] = Counter()
        self._lines = LogLines()
        self._chatter = Chatter()
        self._unwanted = self._counted = 0  # stanzas that were for nothing, and those of them that were counted

    def _take_over(self, settings: DeskSettings) -> None:
        self.settings = settings
        self.gap_us = settings.gap_us
        self.validity_us = settings.validity_us
        self.max_attempts = settings.max_attempts
        self._domain = settings.domain.lower()
        self._director = parse_jid(settings.director)
        self._domains = settings.domains
        self._server = settings.server.lower() or self._director.domain
        self._wants_receipts = settings.receipt_on == "received"
        self._component_attribute = escape_attribute(self._domain)

    def adopt(self, settings: DeskSettings) -> None:
        """Keep to other settings of the same desk from now on. The hub is to be told.

        While it is connected, only what no connection was made by may differ: not the host, port, domain, secret, TLS,
        nor who answers pings. For the rest, ``close`` it, wait until ``run`` returns, adopt, ``reopen``, run it again.
        """
        before = self._director
        self._take_over(settings)
        self._addressing.follow(self._director, self._domains)
        if self._director != before:
            self._reach.connected()  # what was known of the one says nothing of the other
            if self._up:
                self._reply(self._greeting())
        self._road.wake(self.name)

    def _greeting(self) -> str:
        # The director that answers with its own presence is known to be there, and known to be gone when it is.
        director = str(self._director)
        return stanzas.build_presence(self._domain, director) + stanzas.build_presence(self._domain, director, "probe")

    # --- what the hub asks -------------------------------------------------------------------------------------------

    def split(self, message: Message) -> Sequence[Any]:
        """One stanza carries any text: one part without a payload of its own."""
        return (None,)

    def room(self) -> int:
        """How many texts may be given now: 0 while the component is down or the director away (H12)."""
        if not self._up or self._closing:
            return 0
        in_flight = self._flights.in_flight
        return self._reach.room(self.settings.window - in_flight, in_flight)

    def deliver(self, parts: Sequence[Part]) -> None:
        """Start delivery: all in one write with a ping behind it, whose answer is the hand-over."""
        if not self._up:
            self._post([Outcome(part, Result.UNSENT, "", "not-connected") for part in parts])
            return
        now_us, late_after_us = self._clock_us(), self.settings.late_after_us
        component, wants_receipts = self._component_attribute, self._wants_receipts
        texts, ids = self._texts, []
        build, address_for, text_kind = stanzas.build_text, self._addressing.address_for, Kind.TEXT
        timer_us = _now_us()
        for part in parts:
            message = part.message
            ids.append(f"m{message.id:x}")
            if message.kind is text_kind:
                self._replaced += unwritable(message.text)
                texts.append(
                    build(
                        message,
                        address_for(message, timer_us),
                        component,
                        now_us=now_us,
                        late_after_us=late_after_us,
                        receipt=wants_receipts,
                    )
                )
            else:
                texts.append(stanzas.build_receipt(message, component))
        self._flights.give(parts, ids)
        self._to_write.set()

    def statistics(self) -> DeskStatistics:
        """What it did and where it stands, now."""
        return DeskStatistics(
            self._up,
            self._reach.standing.value,
            self._flights.in_flight,
            self._handed_over,
            self._returned,
            self._late_errors,
            self._inbox.taken_in,
            self._inbox.refused,
            self._commands_done,
            self._replaced,
            self._connections,
            len(self._inbox),
        )

    def faults(self) -> Mapping[str, int]:
        """What the desk's side did wrong since the start: word → how often.

        The words: ``stream-`` and a stream error's condition, ``no-address``, ``forbidden``, ``malformed-address``,
        ``too-much-in-it``, ``chatter`` (it was read more slowly), and those of refused commands.
        """
        faults = Counter(self._faults)
        if self._inbox.malformed:
            faults["malformed-address"] += self._inbox.malformed
        return faults

    def _fault(self, word: str) -> None:
        self._faults[word] += 1
        self._unwanted += 1
        if self._lines.may_say(word, trio.current_time()):
            self._log.info("stanza refused", reason=word, of_this_kind=self._faults[word])

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the component connected and move what there is, until ``close``.

        Ready (``task_status.started``) at once: a server that is away is not an error.
        Cancellation: texts on the wire are reported in doubt, what CSRs wrote is given to intake; both shielded, for
            at most two
        seconds.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report)
                nursery.start_soon(self._inbox.run)
                for _, queue in self._command_queues:
                    nursery.start_soon(self._command, queue)
                task_status.started()
                await self._keep_connected()
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(FLUSH_S, shield=True):
                await self._report_batch()
                await self._inbox.drain()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Stop: take no more texts, wait for what is on the wire and in the inbox, end the stream; ``run`` returns."""
        self._closing = True
        with trio.move_on_after(timeout_s):
            while self._flights.in_flight or self._inbox or self._outcomes or self._inbox.busy or self._reporting:
                await self._progress.wait()
        self._close_requested.set()

    def reopen(self) -> None:
        """Undo ``close``: it may be run again, once ``run`` has returned."""
        self._closing = False
        self._close_requested = trio.Event()

    async def _keep_connected(self) -> None:
        wait_s = self.settings.first_wait_s
        while not self._close_requested.is_set():
            began = trio.current_time()
            reason = ""
            try:
                stream, machine, early = await self._open()
            except (OSError, trio.TooSlowError, trio.BrokenResourceError, StreamError) as error:
                reason = str(error) or type(error).__name__
                if isinstance(error, StreamError):
                    self._count_stream_error(error)
            else:
                await self._session(stream, machine, early)
                reason = str(machine.error or "closed")
                self._count_stream_error(machine.error)
            if self._close_requested.is_set():
                return
            if trio.current_time() - began > SETTLED_S + wait_s:
                wait_s = self.settings.first_wait_s
            # Desks that fell together should not come back together.
            pause_s = wait_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            wait_s = min(wait_s * 2, self.settings.longest_wait_s)
            self._log.warning("desk is not connected", reason=reason, again_in_s=round(pause_s, 1))
            with trio.move_on_after(pause_s):
                await self._close_requested.wait()

    def _count_stream_error(self, error: StreamError | None) -> None:
        if error is not None and not error.remote:
            self._faults[f"stream-{error.condition}"] += 1

    async def _connect_tcp(self) -> trio.abc.Stream:
        settings = self.settings
        stream: trio.abc.Stream = await trio.open_tcp_stream(settings.host, settings.port)
        if settings.tls is None:
            return stream
        return trio.SSLStream(stream, settings.tls, server_hostname=settings.host, https_compatible=True)

    async def _open(self) -> tuple[trio.abc.Stream, ComponentStream, list[Element]]:
        """Connect and prove the secret. Returns: the stream, and stanzas that came with the handshake."""
        settings = self.settings
        machine = ComponentStream(
            Role.CONNECT,
            secret=settings.secret,
            domain=self._domain,
            max_stanza_octets=settings.max_stanza_octets,
        )
        with trio.fail_after(settings.connect_within_s):
            stream = await self._connect()
            try:
                machine.start()
                early: list[Element] = []
                while machine.phase not in (Phase.OPEN, Phase.CLOSED):
                    octets = machine.take_octets()
                    if octets:
                        await stream.send_all(octets)
                    data = await stream.receive_some()
                    if data:
                        early += machine.receive(bytes(data))
                    else:
                        machine.receive_end()
                if machine.phase is Phase.CLOSED:
                    await self._say_last(stream, machine)
                    raise machine.error or StreamError("connection-closed", "before the handshake", remote=True)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        return stream, machine, early

    async def _session(self, stream: trio.abc.Stream, machine: ComponentStream, early: list[Element]) -> None:
        """One connection, from the handshake to its end."""
        self._connections += 1
        self._heard_at = trio.current_time()
        self._reach.connected()
        self._up = True
        self._log.info("desk is connected", domain=self._domain)
        self._reply(self._greeting())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, stream, nursery.cancel_scope)
                nursery.start_soon(self._watch, nursery.cancel_scope)
                nursery.start_soon(self._end_when_asked, machine, nursery.cancel_scope)
                self._sort(early)
                self._road.wake(self.name)
                await self._read(stream, machine)
                nursery.cancel_scope.cancel()
        finally:
            self._up = False
            self._texts.clear()
            self._ping_wanted = False
            self._post(self._flights.lost())
            await self._say_last(stream, machine)
            await trio.aclose_forcefully(stream)

    @staticmethod
    async def _say_last(stream: trio.abc.Stream, machine: ComponentStream) -> None:
        """Say why we leave, to whoever still listens."""
        octets = machine.take_octets()
        with trio.move_on_after(FLUSH_S, shield=True):
            if octets:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(octets)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, stream: trio.abc.Stream, machine: ComponentStream) -> None:
        while machine.phase is not Phase.CLOSED:
            try:
                data = await stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                machine.receive_end()
                return
            self._heard_at = trio.current_time()
            elements = machine.elements
            found = machine.receive(bytes(data))
            if found:
                self._sort(found)
            before, self._counted = self._counted, self._unwanted + self._inbox.unwanted
            unwanted = self._counted - before + excess_of(len(data), machine.elements - elements, len(found))
            if unwanted:
                self._chatter.count(unwanted, trio.current_time())
                if self._chatter.is_too_much:
                    self._faults[CHATTER] += 1
                    await trio.sleep(self._chatter.pause_s())
                    self._chatter.count(0, trio.current_time())
            while self._reply_octets > REPLIES_MAX_OCTETS:
                await self._written.wait()

    def _sort(self, found: list[Element]) -> None:
        """Put each stanza where it belongs. Never waits."""
        for stanza in found:
            try:
                if stanza.children and stanza.children[0] is CUT:
                    self._fault("too-much-in-it")
                    if stanza.name != "presence" and stanza.get("type") not in ("error", "result"):
                        self._reply(stanzas.build_error(stanza, "modify", "policy-violation"))
                elif stanza.name == "iq":
                    self._iq(stanza)
                elif stanza.name == "message":
                    self._message(stanza)
                else:
                    self._presence(stanza)
            except BadJid:
                # A server writes both addresses of what it hands to a component; one that does not gets no answer.
                self._fault("no-address")

    def _iq(self, stanza: Element) -> None:
        kind = stanza.get("type")
        if kind in ("result", "error"):
            if stanza.get("from", self._server).lower() != self._server:
                return  # a user cannot answer in the server's name: it writes the sender itself
            # Any answer will do: a server that knows no pings says so, in order.
            outcomes = self._flights.landed(stanza.get("id"), receipt_expected=self._wants_receipts)
            if outcomes is not None:
                self._landed(outcomes)
            else:
                self._unwanted += 1
            return
        self._unwanted += 1
        sender, recipient = parse_jid(stanza.get("from")), parse_jid(stanza.get("to"))
        if not self._may_speak(sender):
            self._fault("forbidden")
            self._reply(stanzas.build_error(stanza, "auth", "forbidden"))
            return
        payload = stanza.children[0] if len(stanza.children) == 1 else None
        if payload is None or payload.name not in COMMANDS:
            self._reply(discovery.answer_iq(stanza, recipient))
            return
        if sender.domain not in self._domains:  # the server may ping; it may not command
            self._fault("forbidden")
            self._reply(stanzas.build_error(stanza, "auth", "forbidden"))
            return
        try:
            command = read_command(kind, payload, sender.bare)
            queue, _ = self._command_queues[hash(subject_key(command)) % COMMANDS_AT_ONCE]
            queue.send_nowait((stanza, command, sender))
        except CommandError as error:
            self._fault(error.specific)
            self._reply(stanzas.build_error(stanza, error.kind, error.condition, error.specific))
        except trio.WouldBlock:
            self._reply(stanzas.build_refusal(stanza, TryLater()))

    def _landed(self, outcomes: list[Outcome]) -> None:
        taken, now_us = 0, _now_us()
        trying = self._reach.standing is Standing.TRYING
        for outcome in outcomes:
            if outcome.result is Result.ACCEPTED:
                taken += 1
                if trying and self._addressing.address_for(outcome.part.message, now_us) == self._addressing.director:
                    self._reach.handed_over()
        self._handed_over += taken
        self._returned += len(outcomes) - taken
        self._post(outcomes)

    def _message(self, stanza: Element) -> None:
        kind = stanza.get("type")
        if kind == "error":
            self._came_back(stanza)
            return
        sender = parse_jid(stanza.get("from"))
        if sender.domain not in self._domains:
            self._fault("forbidden")
            self._reply(stanzas.build_error(stanza, "auth", "forbidden", Reason.NOT_ALLOWED.value))
            return
        if kind in ("groupchat", "headline"):
            self._unwanted += 1
            return
        # Chat states (XEP-0085), markers and the like are nothing that a telephone could show.
        if stanza.child_text("body"):
            self._inbox.put_answer(stanza, sender)
        elif self._wants_receipts:
            self._inbox.put_receipt(stanza, sender)
        else:
            self._unwanted += 1

    def _came_back(self, stanza: Element) -> None:
        """A stanza of ours came back. Before the pong it was not handed over; after it there is only news to tell."""
        own = stanza.get("id")
        error = stanzas.read_error(stanza)
        now_us = _now_us()
        sender = stanzas.read_sender(stanza) or self._director
        absent = error.condition in ABSENT
        is_director = sender.bare == self._director.bare
        part = self._flights.find(own)
        if absent and is_director and (part is None or part.message.kind is Kind.TEXT):
            self._reach.came_back(now_us)
        if part is None:
            self._came_back_late(own, error)
            return
        if part.message.kind is Kind.RECEIPT:
            # News for a client that is gone: there is nobody to queue it for.
            self._flights.came_back(own, Result.REFUSED, error.condition)
        elif absent and is_director:
            # Throttled and not refused: no attempt is counted, the text keeps the head of its lane (H12).
            self._flights.came_back(own, Result.THROTTLED, "desk-away", max(self._reach.due_us - now_us, WAIT_US // 10))
        elif absent:
            self._addressing.absent(sender, now_us)
            self._flights.came_back(own, Result.THROTTLED, "csr-away", WAIT_US // 10)
        elif error.kind == "wait":
            self._flights.came_back(own, Result.RETRY, error.condition, WAIT_US)
        else:
            self._flights.came_back(own, Result.REFUSED, error.condition)

    def _came_back_late(self, own: str, error: stanzas.StanzaError) -> None:
        self._late_errors += 1
        self._unwanted += 1
        self._log.debug("a text came back after its hand-over", condition=error.condition)
        if self._wants_receipts:
            self._inbox.put_failure(own, self._director)

    def _presence(self, stanza: Element) -> None:
        self._unwanted += 1
        sender = parse_jid(stanza.get("from"))
        if sender.domain not in self._domains:
            return
        kind = stanza.get("type")
        if sender.bare == self._director.bare:
            if not kind:
                self._reach.available(sender.resource)
                self._road.wake(self.name)
            elif kind == "unavailable":
                self._reach.unavailable(sender.resource, _now_us())
        elif not kind:
            self._addressing.present(sender)
        answer = discovery.answer_presence(stanza)
        if answer:
            self._reply(answer)

    def _may_speak(self, sender: Jid) -> bool:
        return sender.domain in self._domains or sender.domain == self._server

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        """The only one that writes: everything there is, in one ``send_all``."""
        flights = self._flights
        while True:
            if not (self._replies or flights.has_waiting or self._ping_wanted):
                self._to_write = trio.Event()
                await self._to_write.wait()
            if flights.has_waiting and not self._road.may_give():
                await trio.sleep(HELD_S)
                continue
            octets = self._replies
            self._replies, self._reply_octets = [], 0
            if flights.has_waiting or self._ping_wanted:
                self._ping_wanted = False
                self._pings += 1
                ping_id = f"p{self._connections:x}.{self._pings:x}"
                self._texts.append(stanzas.build_ping(ping_id, self._component_attribute, self._server))
                octets.append("".join(self._texts).encode())
                self._texts.clear()
                flights.launch(ping_id, _now_us())
            try:
                await stream.send_all(b"".join(octets))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                scope.cancel()
                return
            self._written.set()
            self._written = trio.Event()

    def _reply(self, text: str) -> None:
        octets = text.encode()
        self._replies.append(octets)
        self._reply_octets += len(octets)
        self._to_write.set()

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Time: pings in silence, a server that is deaf, a director that may be back."""
        settings = self.settings
        while True:
            await trio.sleep(min(1.0, settings.first_wait_s))
            now, now_us = trio.current_time(), _now_us()
            silence_s = now - self._heard_at
            sent_us = self._flights.oldest_sent_us
            if sent_us is not None and now_us - sent_us > settings.pong_within_s * 1e6:
                self._log.warning("desk does not answer", in_flight=self._flights.in_flight)
                scope.cancel()
                return
            if silence_s > settings.ping_after_s + settings.pong_within_s:  # not even our ping could be written
                scope.cancel()
                return
            if silence_s > settings.ping_after_s and sent_us is None:
                self._ping_wanted = True
                self._to_write.set()
            if self._reach.tick(now_us):
                self._reply(stanzas.build_presence(self._domain, str(self._director), "probe"))
                self._road.wake(self.name)

    async def _end_when_asked(self, machine: ComponentStream, scope: trio.CancelScope) -> None:
        await self._close_requested.wait()
        machine.close()
        self._replies.append(machine.take_octets())
        self._to_write.set()
        await trio.sleep(1.0)  # for the other side's end; the reader sees it and ends this
        scope.cancel()

    # --- to the hub --------------------------------------------------------------------------------------------------

    def _post(self, outcomes: list[Outcome]) -> None:
        if outcomes:
            self._outcomes += outcomes
            self._to_report.set()
        self._progressed()

    async def _report(self) -> None:
        while True:
            await self._to_report.wait()
            self._to_report = trio.Event()
            await self._report_batch()

    async def _report_batch(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            return
        self._reporting = True
        try:
            await self._road.report(self.name, outcomes)
        except BaseException:
            self._outcomes[:0] = outcomes  # cancelled, they may be written or not: told again they are, at the end
            raise
        finally:
            self._reporting = False
            self._progressed()

    async def _command(self, queue: trio.MemoryReceiveChannel[tuple[Element, Command, Jid]]) -> None:
        async for stanza, command, sender in queue:
            try:
                content, view = await perform(self._services, self.settings.call_centre, command, sender.bare)
            except CommandError as error:
                self._fault(error.specific)
                self._reply(stanzas.build_error(stanza, error.kind, error.condition, error.specific))
            except Exception as error:  # one command's failure is not the desk's: its sender is told, the log says what
                self._log.error("command failed", command=type(command).__name__, error=type(error).__name__)
                self._reply(stanzas.build_error(stanza, "cancel", "internal-server-error"))
            else:
                self._commands_done += 1
                if view is not None:
                    self._remember(command, view)
                self._reply(stanzas.build_result(stanza, content))

    def _remember(self, command: Command, view: ThreadView) -> None:
        """Texts that were journalled before a command was done go where the command says."""
        if isinstance(command, Release) or view.closed_us:
            self._addressing.forget(view.thread_id)
        elif isinstance(command, Designate):
            self._addressing.remember(view.thread_id, view.designation.address if view.designation else "")

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = trio.Event()


def _now_us() -> int:
    """The monotonic clock of timers, microseconds."""
    return int(trio.current_time() * 1e6)
