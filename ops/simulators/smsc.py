"""A simulated SMSC with handsets, so that all can be tried with no carrier.

It is an SMSC to whoever binds: what an ESME submits reaches handsets, which join parts as phones do and give receipts;
what handsets write is delivered. It works with octets on a real port, so that the hub talks to it as it talks to a
carrier. In code::

    async with open_simulated_smsc(SmscSettings(port=0, system_id="hub", password="secret")) as smsc:  # smsc.port
        await smsc.text("+16175550101", "+18005550100", "Are you open today?")
        [answer] = await smsc.wait_for("+16175550101", 1)

It misbehaves on demand, see ``Behaviour``; with a seed, in the same way each time.

Times are taken from trio's clock, counted from the wall clock at the start: gaps between parts are true whatever the
wall clock does, and a test's clock moves them too.

One task for each session takes requests in batches and answers what can be answered at once in one piece. What is to
happen later (late answers, receipts, further tries) waits in one heap, which one task empties.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import msgspec
import trio

from ops.simulators.smsc_behaviour import Act, Behaviour, Deed, IdStyle, Temper
from ops.simulators.smsc_errors import NotArrived
from ops.simulators.smsc_handset import Acknowledgement, Handset, Message, Reception, address_of, address_to
from ops.simulators.smsc_outbox import Delivery, Outbox, Sent
from ops.simulators.smsc_receipts import News, write_id
from ops.simulators.smsc_settings import BindNews, Event, SmscSettings, SmscStatistics
from ops.simulators.smsc_writing import Planned, plan_receipts, write_answer, write_news, write_refusal, write_text
from smpp import receipt as smpp_receipt
from smpp.alphabet import alphabet_of
from smpp.constants import ESM_TYPE_MASK, REGISTERED_RECEIPT_MASK, CommandStatus
from smpp.errors import SmppError
from smpp.events import Settings
from smpp.pdu import PDU, AlertNotification, DataSm, DeliverSm, SubmitSm
from smpp.reassembly import BadHeader, message_octets, user_data
from smpp.receipt import ReceiptState
from smpp.segmentation import Method
from smpp.server import BindRequest, Grant, Limits, Server
from smpp.session import Options, Session, SessionEnded
from smpp.states import State

EPOCH_2024_S: Final = 1_704_067_200
IDS_A_SECOND: Final = 1000
"""Message ids that a new run leaves free for each second since the last: no id comes twice."""

_ACCEPT: Final = Deed(Act.ACCEPT)


class _Peer:
    """A bound session."""

    def __init__(self, session: Session, system_id: str, peer: str) -> None:
        self.session = session
        self.system_id = system_id
        self.peer = peer
        self.state = session.state
        self.taken = 0


class _Answer(msgspec.Struct, frozen=True):
    """A response whose time has not come."""

    session: Session
    response: PDU


class SimulatedSmsc:
    """See the module's head. ``open_simulated_smsc`` is the way in.

    Attributes:
        settings: as given.
        port: where it listens.
        acknowledgements: news from the ESME of handsets' texts, oldest first.
    """

    def __init__(self, settings: SmscSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self.acknowledgements: deque[Acknowledgement] = deque(maxlen=settings.kept)
        self._behaviour = settings.behaviour
        self._plain = settings.behaviour.is_plain
        self._temper = Temper(settings.seed)
        self._began_us = time.time_ns() // 1000
        self._began_s: float | None = None
        self._number = self._first_number() - 1
        self._reference = 0
        self._handsets: dict[str, Handset] = {}
        self._peers: list[_Peer] = []
        self._outbox = Outbox()
        self._counts = dict.fromkeys(
            ("received", "accepted", "refused", "throttled", "dropped", "cut", "acknowledgements", "missed"), 0
        )
        self._due: list[tuple[float, int, _Answer | Delivery]] = []
        self._serial = 0
        self._sleep = trio.CancelScope()
        self._changed = trio.Event()
        self._followers: list[trio.MemorySendChannel[Event]] = []
        self._server = Server(
            self._work,
            self._authenticate,
            limits=Limits(max_password_octets=64, grace_s=1.0),
            ssl_context=settings.tls,
        )

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(
        self, *, listen: bool = True, task_status: trio.TaskStatus[SimulatedSmsc] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until cancelled, which cuts all sessions. Started when it listens.

        Args:
            listen: False when connections come by ``serve_stream`` only.
            task_status: started with this SMSC.

        Raises: OSError: the port cannot be listened on.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                if listen:
                    listeners = await trio.open_tcp_listeners(self.settings.port, host=self.settings.host)
                    self.port = listeners[0].socket.getsockname()[1]
                    nursery.start_soon(partial(trio.serve_listeners, self._server.serve_stream, listeners))
                task_status.started(self)
        finally:
            for follower in self._followers:
                follower.close()

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end."""
        await self._server.serve_stream(stream)

    async def _authenticate(self, request: BindRequest) -> Grant | int:
        s = self.settings
        if self._behaviour.refuse_binds:
            return self._behaviour.refuse_binds
        if s.system_id and request.system_id != s.system_id:
            return CommandStatus.ESME_RINVSYSID
        if s.system_id and request.password != s.password:
            return CommandStatus.ESME_RINVPASWD
        return Grant(
            account=request.system_id or "nameless",
            subject=request,
            system_id=s.name,
            settings=Settings(window=s.window, enquire_link_s=s.enquire_link_s, response_s=s.response_s),
            options=Options(inbox=s.inbox),
        )

    async def _work(self, session: Session, grant: Grant) -> None:
        request: BindRequest = grant.subject
        peer = _Peer(session, request.system_id, request.peer)
        self._peers.append(peer)
        receives = peer.state is not State.BOUND_TX
        self._tell(BindNews(self.now_us(), peer.system_id, peer.peer, peer.state, True))
        self._change()
        if receives:
            self._outbox.join(session)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_requests, peer)
                nursery.start_soon(self._take_answers, session)
        finally:
            if receives:
                self._outbox.leave(session)
                self._outbox.push()
            self._peers.remove(peer)
            ending = str(session.ended.ending) if session.ended is not None else ""
            self._tell(BindNews(self.now_us(), peer.system_id, peer.peer, peer.state, False, ending))
            self._change()

    async def _take_requests(self, peer: _Peer) -> None:
        try:
            while True:
                self._take(peer, await peer.session.receive_requests())
        except SessionEnded:
            return

    async def _take_answers(self, session: Session) -> None:
        try:
            while True:
                later = self._outbox.settle(await session.receive_answers(), self._behaviour)
                for delivery in later:
                    self._later(trio.current_time() + self._behaviour.retry_after_s, delivery)
                self._change()
        except SessionEnded:
            return

    # --- what ESMEs submit -------------------------------------------------------------------------------------------

    def _take(self, peer: _Peer, requests: Sequence[PDU]) -> None:
        now_s = trio.current_time()
        now_us = self.now_us()
        counts, behaviour, plain = self._counts, self._behaviour, self._plain
        deed = _ACCEPT
        responses: list[PDU] = []
        receipts: list[Delivery] = []
        for request in requests:
            if not isinstance(request, SubmitSm | DataSm):
                other = write_refusal(request)
                if other is not None:
                    responses.append(other)
                continue
            counts["received"] += 1
            if not plain:
                peer.taken += 1
                deed = self._temper.judge(behaviour, peer.taken, now_s)
                if deed.act is Act.REFUSE:
                    counts["throttled" if deed.command_status == CommandStatus.ESME_RTHROTTLED else "refused"] += 1
                    self._answer(peer, write_answer(request, deed.command_status), now_s, deed.delay_s, responses)
                    continue
                if deed.act is Act.DROP and not behaviour.drop_delivers:
                    counts["dropped"] += 1
                    continue
            response, delay_s, planned = self._accept(request, deed.delay_s, now_us)
            if deed.act is Act.ACCEPT:
                counts["refused" if response.command_status else "accepted"] += 1
                self._answer(peer, response, now_s, delay_s, responses)
            else:
                counts["dropped" if deed.act is Act.DROP else "cut"] += 1
            for each in planned:  # after the answer: what is due together keeps its order
                if each.after_s:
                    self._later(now_s + each.after_s, Delivery(each.pdu))
                else:
                    receipts.append(Delivery(each.pdu))
            if deed.act is Act.CUT:
                peer.session.respond(responses)
                responses = []
                peer.session.close()
                break
        if responses:
            peer.session.respond(responses)
        if receipts:
            self._outbox.add(receipts)
        self._change()

    def _answer(self, peer: _Peer, response: PDU, now_s: float, delay_s: float, responses: list[PDU]) -> None:
        if delay_s:
            self._later(now_s + delay_s, _Answer(peer.session, response))
        else:
            responses.append(response)

    def _accept(self, request: Message, delay_s: float, now_us: int) -> tuple[PDU, float, Sequence[Planned]]:
        """Take a message: let it reach its handset, plan its receipts.

        Returns: the answer, how long it takes, and the receipts.
        """
        behaviour = self._behaviour
        self._number = number = self._number + 1
        message_id = str(number) if behaviour.ids is IdStyle.DECIMAL else write_id(number, behaviour.ids)
        if request.esm_class & ESM_TYPE_MASK and smpp_receipt.is_receipt(request.esm_class):
            self._acknowledged(request, now_us)
            return write_answer(request, 0, message_id), delay_s, ()
        if self.settings.keep_history or self._followers:
            try:
                self._arrive(request, now_us, message_id)
            except BadHeader as error:
                return write_answer(request, error.command_status), delay_s, ()
        planned: Sequence[Planned] = ()
        dlr = behaviour.dlr
        if dlr.on and (dlr.always or request.registered_delivery & REGISTERED_RECEIPT_MASK):
            planned, delay_s = plan_receipts(
                request,
                number,
                self._temper.final_state(dlr),
                behaviour,
                self._temper.receipts,
                now_us,
                delay_s,
                self._snippet(request),
            )
        return write_answer(request, 0, message_id), delay_s, planned

    def _arrive(self, request: Message, now_us: int, message_id: str) -> None:
        handset = self.handset(address_of(request.dest_addr_ton, request.destination_addr))
        arrival, reception = handset.phone.take(request, now_us, message_id, self.settings.alphabet)
        if self.settings.keep_history:
            handset.take(arrival, reception)
        if self._followers:
            if arrival.total > 1:
                self._tell(arrival)
            if reception is not None:
                self._tell(reception)

    def _acknowledged(self, request: Message, now_us: int) -> None:
        self._counts["acknowledgements"] += 1
        if not (self.settings.keep_history or self._followers):
            return
        body = message_octets(b"" if isinstance(request, DataSm) else request.short_message, request.tlvs)
        read = smpp_receipt.read(request.esm_class, body, request.data_coding, request.tlvs, now_us)
        if read is not None:
            news = Acknowledgement(
                now_us,
                address_of(request.source_addr_ton, request.source_addr),
                address_of(request.dest_addr_ton, request.destination_addr),
                read,
                request.esm_class,
            )
            if self.settings.keep_history:
                self.acknowledgements.append(news)
            self._tell(news)

    def _snippet(self, request: Message) -> str:
        """The begin of a text, for its receipt; empty where nobody reads texts."""
        alphabet = alphabet_of(request.data_coding, self.settings.alphabet)
        if not self.settings.keep_history or alphabet is None:
            return ""
        octets = b"" if isinstance(request, DataSm) else request.short_message
        return alphabet.decode(user_data(octets, request.esm_class, request.tlvs).octets[:80])

    # --- time --------------------------------------------------------------------------------------------------------

    def now_us(self) -> int:
        """Microseconds since the epoch, by a clock that does not go back."""
        now_s = trio.current_time()
        if self._began_s is None:
            self._began_s = now_s
        return self._began_us + round((now_s - self._began_s) * 1e6)

    def _first_number(self) -> int:
        s = self.settings
        if s.first_message_id is not None:
            return s.first_message_id
        return 1 if s.seed is not None else (self._began_us // 1_000_000 - EPOCH_2024_S) * IDS_A_SECOND

    def _later(self, due_s: float, thing: _Answer | Delivery) -> None:
        self._serial += 1
        heapq.heappush(self._due, (due_s, self._serial, thing))
        if due_s < self._sleep.deadline:
            self._sleep.deadline = due_s

    async def _keep_time(self) -> None:
        while True:
            due = self._due
            with trio.CancelScope(deadline=due[0][0] if due else math.inf) as self._sleep:
                await trio.sleep_forever()
            now_s = trio.current_time()
            answers: dict[Session, list[PDU]] = {}
            deliveries: list[Delivery] = []
            while due and due[0][0] <= now_s:
                thing = heapq.heappop(due)[2]
                if isinstance(thing, Delivery):
                    self._respond(
                        answers
                    )  # what was due before a receipt is written before it, and the other way round
                    deliveries.append(thing)
                else:
                    if deliveries:
                        self._outbox.add(deliveries)
                        deliveries = []
                    answers.setdefault(thing.session, []).append(thing.response)
            self._respond(answers)
            self._outbox.add(deliveries)
            self._change()

    def _respond(self, answers: dict[Session, list[PDU]]) -> None:
        for session, responses in answers.items():
            session.respond(responses)
        answers.clear()

    # --- what handsets do --------------------------------------------------------------------------------------------

    def text_nowait(
        self,
        from_: str,
        to: str,
        text: str,
        *,
        wants_receipt: bool = False,
        method: Method | None = None,
        order: Sequence[int] | None = None,
    ) -> Sent:
        """Let a handset write a text. It waits for a receiver if there is none.

        Args:
            from_, to: addresses.
            text: cut into parts when it is long.
            wants_receipt: ask the ESME for an acknowledgement (see ``acknowledgements``).
            method: how to cut; None for the behaviour's.
            order: the numbers of the parts to send, from 1: turned round, with some twice, or some missing.

        Returns: to wait for the answer.
        Raises: Unsendable.
        """
        self._reference = (self._reference + 1) & 0xFFFF
        pdus = write_text(
            from_,
            to,
            text,
            method=method or self._behaviour.method,
            alphabet=self.settings.alphabet,
            reference=self._reference,
            wants_receipt=wants_receipt,
            order=order,
        )
        return self.send_nowait(pdus)

    async def text(
        self,
        from_: str,
        to: str,
        text: str,
        *,
        wants_receipt: bool = False,
        method: Method | None = None,
        order: Sequence[int] | None = None,
    ) -> int:
        """Let a handset write a text, and wait for the answer to all its parts. See ``text_nowait``.

        Returns: ESME_ROK, or the status of the first part that was refused.
        Raises: Unsendable. Unanswered.
        Cancellation: what has gone has gone.
        """
        sent = self.text_nowait(from_, to, text, wants_receipt=wants_receipt, method=method, order=order)
        return await sent.answered()

    def send_nowait(self, pdus: Sequence[DeliverSm]) -> Sent:
        """Send deliver_sm as they are: what no handset would write."""
        sent = Sent(len(pdus))
        self._outbox.add([Delivery(pdu, sent, part) for part, pdu in enumerate(pdus)])
        return sent

    def receipt_nowait(
        self, message_id: str, from_: str, to: str, state: ReceiptState = ReceiptState.DELIVERED
    ) -> Sent:
        """Send a receipt by hand: late, repeated, or for a message that never was.

        Args:
            message_id: as it stands in the receipt.
            from_: the handset; ``to``: who sent the message that it is about.
            state: what it says.
        """
        now_us = self.now_us()
        news = News(message_id, state, now_us, now_us)
        return self.send_nowait([write_news(news, self._behaviour.dlr, address_to(from_), address_to(to))])

    def alert(self, number: str) -> int:
        """Say to every receiver that a handset can be reached again (alert_notification). Returns: to how many."""
        ton, npi, digits = address_to(number)
        told = 0
        for session in self._outbox.sessions:
            with suppress(SmppError):  # it is just unbinding
                session.send(AlertNotification(source_addr_ton=ton, source_addr_npi=npi, source_addr=digits))
                told += 1
        return told

    # --- control and view --------------------------------------------------------------------------------------------

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves now. Put another in its place to change that; what is planned stays so."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._plain = behaviour.is_plain
        for peer in self._peers:
            peer.taken = 0

    def disconnect(self) -> int:
        """Cut every connection, without a word. Returns: how many."""
        peers = list(self._peers)
        for peer in peers:
            peer.session.close()
        return len(peers)

    async def unbind(self) -> None:
        """Unbind every session in peace."""
        async with trio.open_nursery() as nursery:
            for peer in self._peers:
                nursery.start_soon(peer.session.unbind)

    @property
    def binds(self) -> list[tuple[str, State]]:
        """Who is bound as what."""
        return [(peer.system_id, peer.state) for peer in self._peers]

    @property
    def receivers(self) -> int:
        """Sessions that texts and receipts can go to."""
        return len(self._outbox.sessions)

    @property
    def handsets(self) -> dict[str, Handset]:
        """The handsets that something came to, or that were asked for."""
        return self._handsets

    def handset(self, number: str) -> Handset:
        """A handset by its address."""
        handset = self._handsets.get(number)
        if handset is None:
            handset = self._handsets[number] = Handset(number, self.settings.kept)
        return handset

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until something that an ESME does makes a condition true.

        Args:
            condition: looked at after each batch.
            timeout_s: seconds.
            what: is waited for, for the error.

        Raises: NotArrived.
        """
        with trio.move_on_after(timeout_s):
            while not condition():
                await self._changed.wait()
            return
        raise NotArrived(what, timeout_s)

    async def wait_for(self, handset: Handset | str, n: int = 1, timeout_s: float = 5.0) -> list[Reception]:
        """Wait until a handset has got so many texts since the start.

        Returns: all that it remembers.
        Raises: NotArrived.
        """
        found = self.handset(handset) if isinstance(handset, str) else handset
        try:
            await self.wait_until(lambda: found.count >= n, timeout_s, "")
        except NotArrived:
            raise NotArrived(f"{n} text(s) at {found.number}, {found.count} came", timeout_s) from None
        return found.received

    async def wait_bound(self, receivers: int = 1, timeout_s: float = 5.0) -> None:
        """Wait until so many receivers (or transceivers) are bound. Raises: NotArrived."""
        await self.wait_until(lambda: self.receivers >= receivers, timeout_s, f"{receivers} receiver(s) bound")

    def events(self, buffer: int = 10_000) -> trio.MemoryReceiveChannel[Event]:
        """Follow what happens from now on.

        Args:
            buffer: events kept for a slow follower; what does not fit is counted as missed.

        Returns: an asynchronous iterator, to be closed. It ends with the SMSC.
        """
        send, receive = trio.open_memory_channel[Event](buffer)
        self._followers.append(send)
        return receive

    def statistics(self) -> SmscStatistics:
        """The counters at this moment."""
        counts = self._counts
        return SmscStatistics(
            binds=len(self._peers),
            received=counts["received"],
            accepted=counts["accepted"],
            refused=counts["refused"],
            throttled=counts["throttled"],
            dropped=counts["dropped"],
            cut=counts["cut"],
            acknowledgements=counts["acknowledgements"],
            waiting=self._outbox.waiting,
            deliveries=dict(self._outbox.counts),
            missed_events=counts["missed"],
        )

    def _tell(self, event: Event) -> None:
        for follower in list(self._followers):
            try:
                follower.send_nowait(event)
            except trio.WouldBlock:
                self._counts["missed"] += 1
            except trio.BrokenResourceError:
                follower.close()
                self._followers.remove(follower)

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_simulated_smsc(settings: SmscSettings, *, listen: bool = True) -> AsyncIterator[SimulatedSmsc]:
    """Run a simulated SMSC for as long as the body lasts; at the end its sessions are cut.

    What the body raises comes out as it is.

    Args:
        settings: see ``SmscSettings``.
        listen: False when connections come by ``serve_stream`` only.

    Raises: OSError: the port cannot be listened on.
    """
    smsc = SimulatedSmsc(settings)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(smsc.run, listen=listen))
        try:
            yield smsc
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
