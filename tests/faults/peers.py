"""The daemon's peers, in the process of the test: a carrier, an ESME and a desk.

They keep books, not sessions: what was sent under which name and answered how, what was taken in which order. They are
made of octets and the codec, not of our sessions, so that they do exactly what a test says: answer late, never, or cut.
A peer stays while daemons come and go.
"""

from __future__ import annotations

import random
import re
import secrets
from collections import deque
from collections.abc import Callable, Sequence

import trio

from smpp.codec import decode, encode, split_frames
from smpp.constants import CommandStatus
from smpp.pdu import (
    PDU,
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from tests.faults.accounting import NAME, Sent, Taken, name_of
from tests.faults.process import ACCOUNT_PASSWORD, AGGREGATED, LINK_PASSWORD, NUMBER, SECRET
from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.stanzas import PING_NS, RECEIPTS_NS, RECEIVED, THREAD_NS, TOKEN, build_presence, build_result
from translators.xmpp.stream import Element

RECEIPT_CLASSES = (0x04, 0x08)  # a carrier's receipt, an SME's acknowledgement (SMPP 3.4 §5.2.12)
UDHI = 0x40
DOMAIN = "sms.desk.example"
CSR = "csr@desk.example/sim"
_RECEIPT_ID = re.compile(rb"id:(\S+)")
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)

Answered = Callable[[int, PDU], None]


class SmppPeer:
    """One side of SMPP sessions, one at a time.

    Attributes:
        taken: texts that were answered with OK, in order.
        told: ids of receipts that were answered with OK, in order.
        answer_delay_s: at most how long answers take; in the order of the requests.
        is_deaf: requests are read and never answered.
        drops_answers: texts are taken, and the connection is cut instead of the answer.
        takes_anything: texts need no name, and are not written down.
        status_for: what a text is answered with; OK unless a test wants it otherwise.
        refused: statuses that our requests were answered with, other than OK.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.taken: list[Taken] = []
        self.told: list[str] = []
        self.answer_delay_s = 0.0
        self.is_deaf = False
        self.drops_answers = False
        self.takes_anything = False
        self.status_for: Callable[[Taken], int] = lambda _: 0
        self.refused: list[int] = []
        self.stream: trio.abc.Stream | None = None
        self._pending: dict[int, Answered] = {}
        self._sequence = 0
        self._locks: dict[trio.abc.Stream, trio.Lock] = {}

    @property
    def bound(self) -> bool:
        """A session is up."""
        return self.stream is not None

    @property
    def unanswered(self) -> int:
        """Requests of ours on the way."""
        return len(self._pending)

    async def ask(self, requests: Sequence[tuple[PDU, Answered]]) -> None:
        """Send requests in one piece; each one's callback gets its answer's status. What is lost gets none."""
        stream = self.stream
        if stream is None:
            return
        octets = []
        for pdu, answered in requests:
            self._sequence += 1
            self._pending[self._sequence] = answered
            octets.append(_numbered(pdu, self._sequence))
        await self._write(stream, b"".join(octets))

    async def cut(self) -> None:
        """End the connection without a word."""
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)

    async def _write(self, stream: trio.abc.Stream, octets: bytes) -> None:
        lock = self._locks.setdefault(stream, trio.Lock())
        try:
            async with lock:
                await stream.send_all(octets)
        except _BROKEN:
            return

    async def converse(self, stream: trio.abc.Stream) -> None:
        """One connection to its end."""
        buffer = b""
        try:
            while True:
                try:
                    data = await stream.receive_some(65_536)
                except _BROKEN:
                    return
                if not data:
                    return
                frames, consumed = split_frames(buffer + bytes(data))
                buffer = (buffer + bytes(data))[consumed:]
                answers: list[bytes] = []
                taken = len(self.taken)
                for frame in frames:
                    answers += await self._take(stream, decode(frame))
                if self.drops_answers and len(self.taken) > taken:
                    return
                if answers:
                    if self.answer_delay_s:
                        await trio.sleep(self.chance.uniform(0, self.answer_delay_s))
                    await self._write(stream, b"".join(answers))
        finally:
            self._locks.pop(stream, None)
            if self.stream is stream:
                self._gone()
            await trio.aclose_forcefully(stream)

    def _gone(self) -> None:
        self.stream = None
        self._pending.clear()

    def _came(self, stream: trio.abc.Stream) -> None:
        self._pending.clear()
        self.stream = stream

    async def _take(self, stream: trio.abc.Stream, pdu: PDU) -> list[bytes]:
        """Deal with a PDU. Returns: what to answer."""
        if isinstance(pdu, SubmitSmResp | DeliverSmResp):
            answered = self._pending.pop(pdu.sequence_number, None)
            if answered is not None:
                if pdu.command_status:
                    self.refused.append(pdu.command_status)
                answered(pdu.command_status, pdu)
            return []
        if isinstance(pdu, EnquireLink):
            return [] if self.is_deaf else [encode(EnquireLinkResp(sequence_number=pdu.sequence_number))]
        if isinstance(pdu, Unbind):
            return [encode(UnbindResp(sequence_number=pdu.sequence_number))]
        if isinstance(pdu, SubmitSm | DeliverSm):
            return [] if self.is_deaf else self._text(pdu)
        return []

    def _text(self, pdu: SubmitSm | DeliverSm) -> list[bytes]:
        if pdu.esm_class & 0x3C in RECEIPT_CLASSES:
            found = _RECEIPT_ID.search(pdu.short_message)
            assert found is not None, "a receipt without an id"
            self.told.append(found[1].decode())
            return [self._answer(pdu, 0)]
        if self.takes_anything:
            return [self._answer(pdu, 0)]
        taken = _taken(pdu)
        status = self.status_for(taken)
        if not status:
            self.taken.append(taken)
        return [self._answer(pdu, status)]

    def _answer(self, pdu: SubmitSm | DeliverSm, status: int, message_id: str = "") -> bytes:
        if isinstance(pdu, SubmitSm):
            return encode(
                SubmitSmResp(sequence_number=pdu.sequence_number, command_status=status, message_id=message_id)
            )
        return encode(DeliverSmResp(sequence_number=pdu.sequence_number, command_status=status))


class Carrier(SmppPeer):
    """An SMSC: sends what customers write, takes what the hub submits, gives receipts until they are answered.

    A receipt is on its way within milliseconds: often before the answer that names its id.

    Attributes:
        takes_binds: False refuses all.
        binds: how many it took.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.takes_binds = True
        self.binds = 0
        self._message_id = 0
        self._owed: dict[str, DeliverSm] = {}  # receipts not answered yet
        self._due: list[str] = []

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_receipts, stream)
            await self.converse(stream)
            nursery.cancel_scope.cancel()

    async def _take(self, stream: trio.abc.Stream, pdu: PDU) -> list[bytes]:
        if isinstance(pdu, BindTransceiver):
            good = self.takes_binds and pdu.password == LINK_PASSWORD
            status = 0 if good else int(CommandStatus.ESME_RBINDFAIL)
            if good:
                self.binds += 1
                self._came(stream)
                self._due = list(self._owed)  # as a real SMSC does: what was not answered comes again
            return [encode(BindTransceiverResp(sequence_number=pdu.sequence_number, command_status=status))]
        return await super()._take(stream, pdu)

    def _answer(self, pdu: SubmitSm | DeliverSm, status: int, message_id: str = "") -> bytes:
        self._message_id += 1
        own = f"{self._message_id:08x}"
        if not status and pdu.registered_delivery & 1 and not pdu.esm_class & 0x3C:
            self._owed[own] = _receipt(pdu, own)
            self._due.append(own)
        return super()._answer(pdu, status, own)

    async def _give_receipts(self, stream: trio.abc.Stream) -> None:
        while True:
            await trio.sleep(0.005)
            if self.stream is not stream or not self._due:
                continue
            due, self._due = self._due[:50], self._due[50:]

            def settle(own: str) -> Answered:
                def answered(status: int, _: PDU) -> None:
                    if status:
                        self._due.append(own)
                    else:
                        self._owed.pop(own, None)

                return answered

            await self.ask([(self._owed[own], settle(own)) for own in due if own in self._owed])

    def customer_text(self, text: Sent, customer: str, destination: str, reference: int) -> list[tuple[PDU, Answered]]:
        """A customer's text: the pieces to ``ask``."""

        def answered(status: int, _: PDU) -> None:
            if not status:
                text.acknowledged += 1

        pieces: list[tuple[PDU, Answered]] = []
        for piece in range(text.pieces):
            body = (text.name * 17).encode() if text.pieces > 1 else text.name.encode() + b" a short one"
            header = bytes((5, 0, 3, reference & 0xFF, text.pieces, piece + 1)) if text.pieces > 1 else b""
            pdu = DeliverSm(
                source_addr_ton=1,
                source_addr_npi=1,
                source_addr=customer[1:],
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=destination[1:],
                esm_class=UDHI if header else 0,
                registered_delivery=1 if text.wants_receipt else 0,
                short_message=header + body,
            )
            pieces.append((pdu, answered))
        return pieces

    @property
    def owes(self) -> int:
        """Receipts that the hub has not answered for."""
        return len(self._owed)


class Esme(SmppPeer):
    """Somebody else's ESME: binds to the hub's account, again and again.

    Attributes:
        ids: hub's message id → name, of what was acknowledged.
    """

    def __init__(self, chance: random.Random, port: int, password: str = ACCOUNT_PASSWORD) -> None:
        super().__init__(chance)
        self.port = port
        self.password = password
        self.ids: dict[str, str] = {}

    async def run(self) -> None:
        """Stay bound until cancelled."""
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.port)
            except OSError:
                await trio.sleep(0.02)
                continue
            bind = BindTransceiver(
                sequence_number=1, system_id="agg", password=self.password, system_type="", interface_version=0x34
            )
            self._sequence = 1
            await self._write(stream, encode(bind))
            await self.converse(stream)
            await trio.sleep(0.02)

    async def _take(self, stream: trio.abc.Stream, pdu: PDU) -> list[bytes]:
        if isinstance(pdu, BindTransceiverResp):
            if not pdu.command_status:
                self._came(stream)
            else:
                self.refused.append(pdu.command_status)
            return []
        return await super()._take(stream, pdu)

    def text(self, text: Sent, source: str, destination: str, body: str = "") -> tuple[PDU, Answered]:
        """A text to ``ask``."""

        def answered(status: int, response: PDU) -> None:
            if not status:
                text.acknowledged += 1
                assert isinstance(response, SubmitSmResp)
                self.ids[response.message_id] = text.name

        pdu = SubmitSm(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=source[1:],
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=destination[1:],
            registered_delivery=1 if text.wants_receipt else 0,
            short_message=(body or f"{text.name} from the aggregator").encode(),
        )
        return pdu, answered


class Desk:
    """A call centre's XMPP server with its director and CSR.

    Attributes:
        taken: texts, in order.
        told: ids of our answers that were delivered or failed, once for each time that we were told.
        tokens: customer → token of the open thread.
        returned: ids of our answers that came back, and why.
        pongs: False makes it deaf.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.told: list[str] = []
        self.failed: list[str] = []
        self.tokens: dict[str, str] = {}
        self.returned: deque[str] = deque(maxlen=1000)
        self.pongs = True
        self.connections = 0
        self.stream: trio.abc.Stream | None = None
        self._output: list[str] = []
        self._to_write = trio.Event()

    @property
    def connected(self) -> bool:
        """A component is up."""
        return self.stream is not None

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one component."""
        machine = ComponentStream(Role.ACCEPT, secret=SECRET, domains=(DOMAIN,), stream_id=secrets.token_hex(8))
        try:
            async with trio.open_nursery() as nursery:
                await self._converse(stream, machine, nursery, trio.Lock())
                nursery.cancel_scope.cancel()
        finally:
            if self.stream is stream:
                self.stream = None
                self._output.clear()
            await trio.aclose_forcefully(stream)

    async def _converse(
        self, stream: trio.abc.Stream, machine: ComponentStream, nursery: trio.Nursery, sending: trio.Lock
    ) -> None:
        try:
            while machine.phase is not Phase.CLOSED:
                data = await stream.receive_some(65_536)
                if not data:
                    return
                opened = machine.phase is Phase.OPEN
                stanzas = machine.receive(bytes(data))
                octets = machine.take_octets()
                if octets:
                    async with sending:  # the end of the stream is answered while the writer may be at work
                        await stream.send_all(octets)
                if machine.phase is Phase.OPEN and not opened:
                    self.stream = stream
                    self.connections += 1
                    self._output.clear()
                    nursery.start_soon(self._write, stream, sending)
                for stanza in stanzas:
                    self._take(stanza)
        except _BROKEN:
            return

    async def _write(self, stream: trio.abc.Stream, sending: trio.Lock) -> None:
        while True:
            if not self._output:
                self._to_write = trio.Event()
                await self._to_write.wait()
            octets = "".join(self._output).encode()
            self._output.clear()
            try:
                async with sending:
                    await stream.send_all(octets)
            except _BROKEN:
                return

    async def cut(self) -> None:
        """End the connection without a word."""
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)

    def send(self, stanza: str) -> None:
        """Send a stanza as it is written; without a component it is lost."""
        if self.stream is not None:
            self._output.append(stanza)
            self._to_write.set()

    def _take(self, stanza: Element) -> None:
        if stanza.name == "iq":
            if stanza.get("type") == "get" and self.pongs:
                assert stanza.children[0].name == f"{PING_NS} ping"
                self.send(build_result(stanza))
            return
        if stanza.name == "presence":
            if stanza.get("type") == "probe":
                self.send(build_presence("director@desk.example/acd", DOMAIN, ""))
            return
        if stanza.get("type") == "error":
            self.returned.append(stanza.get("id"))
            error = stanza.child("error")
            children = error.children if error is not None else []
            if any(child.name == f"{THREAD_NS} failed" for child in children):
                self.failed.append(stanza.get("id"))
                self.told.append(stanza.get("id"))
            return
        received = stanza.child(RECEIVED)
        if received is not None:
            self.told.append(received.get("id"))
            return
        body = stanza.child_text("body")
        names = NAME.findall(body)
        if not names:
            return
        token = stanza.child(TOKEN)
        assert token is not None
        self.tokens[stanza.get("from").partition("@")[0]] = token.text
        self.taken.append(Taken(names[0], whole="[…]" not in body))

    def answer(self, text: Sent, customer: str) -> None:
        """Write to a customer whose token is known; the text has three parts."""
        self.write(text.name, customer, text.name * 40, self.tokens[customer], receipt=text.wants_receipt)

    def write(self, own_id: str, customer: str, body: str, token: str, *, receipt: bool = False) -> None:
        """Write a text."""
        asked = f"<request xmlns='{RECEIPTS_NS}'/>" if receipt else ""
        named = f"<token xmlns='{THREAD_NS}'>{token}</token>" if token else ""
        self.send(
            f"<message from='{CSR}' to='{customer}@{DOMAIN}/{NUMBER}' id='{own_id}' type='chat'>"
            f"<body>{body}</body>{named}{asked}</message>"
        )


class Load:
    """Texts of all four flows, a lane at a time, for as long as it is told to.

    | flow | road |
    | --- | --- |
    | A | ESME → hub → carrier: transit |
    | B | carrier → hub → desk: customers, every fifth text in three pieces |
    | C | desk → hub → carrier: answers with the thread's token, in three parts |
    | D | carrier → hub → ESME: the other way |
    """

    LANES = 8
    WINDOW = 60

    def __init__(self, chance: random.Random, carrier: Carrier, esme: Esme, desk: Desk) -> None:
        self.sent: dict[str, Sent] = {}
        self.running = True
        self._chance = chance
        self._carrier, self._esme, self._desk = carrier, esme, desk
        self._numbers: dict[tuple[str, int], int] = {}
        self._references: dict[int, int] = {}

    def _next(self, flow: str, lane: int, pieces: int = 1) -> Sent:
        number = self._numbers.get((flow, lane), 0)
        self._numbers[flow, lane] = number + 1
        name = name_of(flow, lane, number)
        # Each piece would have a receipt of its own, and not every piece need have arrived.
        text = Sent(name=name, pieces=pieces, wants_receipt=pieces == 1 and self._chance.random() < 0.5)
        self.sent[name] = text
        return text

    def _lane(self) -> int:
        return self._chance.randrange(self.LANES)

    @staticmethod
    def customer(lane: int) -> str:
        """The customer of a lane of B, C and D."""
        return f"+1617555{lane:04d}"

    async def run(self) -> None:
        """Send until ``running`` is False."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._from_esme)
            nursery.start_soon(self._from_carrier)
            nursery.start_soon(self._from_desk)

    async def _from_esme(self) -> None:
        while self.running:
            await trio.sleep(self._chance.uniform(0, 0.04))
            if self._esme.bound and self._esme.unanswered < self.WINDOW:
                batch = []
                for _ in range(self._chance.randrange(1, 12)):
                    lane = self._lane()
                    batch.append(self._esme.text(self._next("A", lane), "+12005550000", f"+1300555{lane:04d}"))
                await self._esme.ask(batch)

    async def _from_carrier(self) -> None:
        while self.running:
            await trio.sleep(self._chance.uniform(0, 0.05))
            if not self._carrier.bound or self._carrier.unanswered >= self.WINDOW:
                continue
            batch = []
            for _ in range(self._chance.randrange(1, 6)):
                lane, is_ours = self._lane(), self._chance.random() < 0.6
                pieces = 3 if is_ours and self._chance.random() < 0.2 else 1
                text = self._next("B" if is_ours else "D", lane, pieces)
                destination = NUMBER if is_ours else f"{AGGREGATED}5550000"
                if pieces > 1:  # each handset counts its own
                    self._references[lane] = self._references.get(lane, 0) + 1
                reference = self._references.get(lane, 0)
                batch += self._carrier.customer_text(text, self.customer(lane), destination, reference)
            await self._carrier.ask(batch)

    async def _from_desk(self) -> None:
        while self.running:
            await trio.sleep(self._chance.uniform(0, 0.08))
            for _ in range(self._chance.randrange(1, 4)):
                lane = self._lane()
                if self._desk.connected and self.customer(lane) in self._desk.tokens:
                    self._desk.answer(self._next("C", lane), self.customer(lane))


def _numbered(pdu: PDU, sequence_number: int) -> bytes:
    octets = encode(pdu)
    return octets[:12] + sequence_number.to_bytes(4, "big") + octets[16:]


def _taken(pdu: SubmitSm | DeliverSm) -> Taken:
    octets, part, total = pdu.short_message, 1, 1
    if pdu.esm_class & UDHI:
        total, part = octets[4], octets[5]
        octets = octets[6:]
    found = NAME.match(octets.decode("latin-1"))
    assert found is not None, f"a part that no test sent: {octets[:20]!r}"
    return Taken(found[0], part, total)


def _receipt(pdu: SubmitSm | DeliverSm, own: str) -> DeliverSm:
    text = f"id:{own} sub:001 dlvrd:001 submit date:2611220100 done date:2611220100 stat:DELIVRD err:000 text:"
    return DeliverSm(
        source_addr_ton=pdu.dest_addr_ton,
        source_addr_npi=pdu.dest_addr_npi,
        source_addr=pdu.destination_addr,
        dest_addr_ton=pdu.source_addr_ton,
        dest_addr_npi=pdu.source_addr_npi,
        destination_addr=pdu.source_addr,
        esm_class=0x04,
        short_message=text.encode(),
    )
