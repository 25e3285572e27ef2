"""The daemon's peers, in the process of the test: a carrier, an ESME and a desk.

They keep books, not sessions: what was sent under which name and answered how, what was taken in which order. All of
it is noted in a history, as it stood on the wire (``history``). They are made of octets and the codec, not of our
sessions, so that they do exactly what a test says: answer late, never, or cut.
A peer stays while daemons come and go.
"""

from __future__ import annotations

import random
import re
import secrets
from collections import deque
from collections.abc import Callable, Container, Sequence

import msgspec
import trio

from ops.simulators.desk import StanzaQueue
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
from tests.faults.history import History, Recorder
from tests.faults.process import ACCOUNT_PASSWORD, AGGREGATED, LINK_PASSWORD, NUMBER, DeskSide
from tests.faults.texts import NAME, NAME_CHARACTERS, Sent, Taken, lane_of, name_of
from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.stanzas import PING_NS, RECEIPTS_NS, RECEIVED, THREAD_NS, TOKEN, build_presence, build_result
from translators.xmpp.stream import Element

RECEIPT_CLASSES = (0x04, 0x08)  # a carrier's receipt, an SME's acknowledgement (SMPP 3.4 §5.2.12)
UDHI = 0x40
_RECEIPT = re.compile(rb"id:(\S+).* stat:(\w+)(?:.* text:([A-Z]\d{7}\.))?", re.DOTALL)
DELIVERED, FAILED = "DELIVRD", "UNDELIV"
BEHIND_S = 0.5  # between two looks at how much waits
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)

Answered = Callable[[int, PDU], None]


class _Asked(msgspec.Struct, frozen=True):
    """A request of ours that is not answered.

    Attributes:
        answered: who wants to know.
        piece: of which text it is one; None when it is of none that has a name.
        session: that it went over.
    """

    answered: Answered
    piece: Taken | None
    session: int


class SmppPeer:
    """One side of SMPP sessions, one at a time.

    Args:
        chance: the peer's own.
        history: what it sees is noted there.
        who: under this name.

    Attributes:
        pen: what it notes with.
        taken: texts that were answered with OK, in order.
        told: ids of receipts that were answered with OK, in order.
        answer_delay_s: at most how long answers take; in the order of the requests.
        is_deaf: requests are read and never answered.
        drops_answers: texts are taken, and the connection is cut instead of the answer.
        takes_anything: texts need no name, and are not written down.
        status_for: what a text is answered with; OK unless a test wants it otherwise.
        refused: statuses that our requests were answered with, other than OK.
    """

    def __init__(self, chance: random.Random, history: History, who: str) -> None:
        self.chance = chance
        self.pen = Recorder(history, who)
        self.taken: list[Taken] = []
        self.told: list[str] = []
        self.answer_delay_s = 0.0
        self.is_deaf = False
        self.drops_answers = False
        self.takes_anything = False
        self.status_for: Callable[[Taken], int] = lambda _: 0
        self.refused: list[int] = []
        self.stream: trio.abc.Stream | None = None
        self._pending: dict[int, _Asked] = {}
        self._sequence = 0
        self._sessions: dict[trio.abc.Stream, int] = {}
        self._to_answer: list[tuple[trio.abc.Stream, Taken, int]] = []  # answers made and not written
        self._status = 0  # that the latest text was answered with
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
        session = self._sessions.get(stream, 0)
        for pdu, answered in requests:
            self._sequence += 1
            piece = self._note_sending(pdu, session)
            self._pending[self._sequence] = _Asked(answered, piece, session)
            octets.append(_numbered(pdu, self._sequence))
        await self._write(stream, b"".join(octets))

    def _note_sending(self, pdu: PDU, session: int) -> Taken | None:
        piece = _piece(pdu)
        if piece is not None:
            self.pen.sending(
                piece.name,
                lane_of(piece.name),
                session=session,
                part=piece.part,
                total=piece.total,
                asked=bool(getattr(pdu, "registered_delivery", 0) & 1),
            )
        return piece

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

    async def converse(self, stream: trio.abc.Stream, first: bytes = b"") -> None:
        """One connection to its end. ``first``: who dials begins with it."""
        buffer = b""
        try:
            if first:
                await self._write(stream, first)
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
                    self._note_answers(stream)
                    await self._write(stream, b"".join(answers))
        finally:
            self._locks.pop(stream, None)
            self._to_answer = [each for each in self._to_answer if each[0] is not stream]
            session = self._sessions.pop(stream, 0)
            if session:
                self.pen.ended(session)
            if self.stream is stream:
                self._gone()
            await trio.aclose_forcefully(stream)

    def _note_answers(self, stream: trio.abc.Stream) -> None:
        waiting, self._to_answer = self._to_answer, []
        for each in waiting:
            of, taken, status = each
            if of is not stream:
                self._to_answer.append(each)
                continue
            session = self._sessions.get(stream, 0)
            self.pen.took(taken.name, session=session, part=taken.part, total=taken.total, status=status)

    def _gone(self) -> None:
        self.stream = None
        self._pending.clear()

    def _came(self, stream: trio.abc.Stream, node: str = "") -> None:
        self._pending.clear()
        self.stream = stream
        self._sessions[stream] = self.pen.began(node)

    async def _take(self, stream: trio.abc.Stream, pdu: PDU) -> list[bytes]:
        """Deal with a PDU. Returns: what to answer."""
        if isinstance(pdu, SubmitSmResp | DeliverSmResp):
            asked = self._pending.pop(pdu.sequence_number, None)
            if asked is not None:
                self._note_answered(asked, pdu)
                if pdu.command_status:
                    self.refused.append(pdu.command_status)
                asked.answered(pdu.command_status, pdu)
            return []
        if isinstance(pdu, EnquireLink):
            return [] if self.is_deaf else [encode(EnquireLinkResp(sequence_number=pdu.sequence_number))]
        if isinstance(pdu, Unbind):
            return [encode(UnbindResp(sequence_number=pdu.sequence_number))]
        if isinstance(pdu, SubmitSm | DeliverSm):
            piece = self._note_came(stream, pdu)
            if self.is_deaf:
                return []
            answers = self._text(pdu)
            if piece is not None:
                self._to_answer.append((stream, piece, self._status))
            return answers
        return []

    def _note_answered(self, asked: _Asked, pdu: SubmitSmResp | DeliverSmResp) -> None:
        if asked.piece is not None:
            name, part = asked.piece.name, asked.piece.part
            self.pen.sent(name, session=asked.session, part=part, status=pdu.command_status, id=pdu.message_id or "")

    def _note_came(self, stream: trio.abc.Stream, pdu: SubmitSm | DeliverSm) -> Taken | None:
        """Returns: the part of a text that has to be noted again when it is answered."""
        session, piece = self._sessions.get(stream, 0), None if self.takes_anything else _piece(pdu)
        if piece is not None:
            self.pen.came(piece.name, session=session, part=piece.part, total=piece.total)
        elif not self.is_deaf and pdu.esm_class & 0x3C in RECEIPT_CLASSES:
            own, word, name = _receipt_of(pdu)
            self.pen.told(word, session=session, id=own, name=name)
        return piece

    def _text(self, pdu: SubmitSm | DeliverSm) -> list[bytes]:
        if pdu.esm_class & 0x3C in RECEIPT_CLASSES:
            self.told.append(_receipt_of(pdu)[0])
            return [self._answer(pdu, 0)]
        if self.takes_anything:
            return [self._answer(pdu, 0)]
        taken = _piece(pdu)
        assert taken is not None, f"a part that no test sent: {pdu.short_message[:20]!r}"
        self._status = self.status_for(taken)
        if not self._status:
            self.taken.append(taken)
        return [self._answer(pdu, self._status)]

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
        word_for: what receipts say of a part; of some texts, that they were not delivered.
    """

    def __init__(self, chance: random.Random, history: History, who: str = "carrier") -> None:
        super().__init__(chance, history, who)
        self.word_for = _word_for
        self.takes_binds = True
        self.binds = 0
        self._message_id = 0
        self._node_of: dict[trio.abc.Stream, str] = {}
        self._owed: dict[str, tuple[DeliverSm, Taken | None, str]] = {}  # receipts not answered yet: of what, word
        self._due: list[str] = []

    async def serve(self, stream: trio.abc.Stream, node: str = "") -> None:
        """Serve one connection. ``node``: the hub that this road comes from, where there are several."""
        if node:
            self._node_of[stream] = node
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_receipts, stream)
            await self.converse(stream)
            nursery.cancel_scope.cancel()
        self._node_of.pop(stream, None)

    async def _take(self, stream: trio.abc.Stream, pdu: PDU) -> list[bytes]:
        if isinstance(pdu, BindTransceiver):
            good = self.takes_binds and pdu.password == LINK_PASSWORD
            status = 0 if good else int(CommandStatus.ESME_RBINDFAIL)
            if good:
                self.binds += 1
                self._came(stream, self._node_of.get(stream, ""))
                self._due = list(self._owed)  # as a real SMSC does: what was not answered comes again
            return [encode(BindTransceiverResp(sequence_number=pdu.sequence_number, command_status=status))]
        return await super()._take(stream, pdu)

    def _answer(self, pdu: SubmitSm | DeliverSm, status: int, message_id: str = "") -> bytes:
        self._message_id += 1
        own = f"{self._message_id:08x}"
        if not status and pdu.registered_delivery & 1 and not pdu.esm_class & 0x3C:
            piece = _piece(pdu)
            word = self.word_for(piece) if piece is not None else DELIVERED
            self._owed[own] = (_receipt(pdu, own, word), piece, word)
            self._due.append(own)
        return super()._answer(pdu, status, own)

    async def _give_receipts(self, stream: trio.abc.Stream) -> None:
        while True:
            await trio.sleep(0.005)
            if self.stream is not stream or not self._due:
                continue
            due, self._due = [own for own in self._due[:50] if own in self._owed], self._due[50:]
            for own in due:
                _, piece, word = self._owed[own]
                if piece is not None:
                    self.pen.reporting(piece.name, word, session=self._sessions.get(stream, 0), part=piece.part)

            def settle(own: str) -> Answered:
                def answered(status: int, _: PDU) -> None:
                    if status:
                        self._due.append(own)
                    else:
                        self._owed.pop(own, None)

                return answered

            await self.ask([(self._owed[own][0], settle(own)) for own in due])

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

    def __init__(
        self, chance: random.Random, port: int, history: History, who: str = "esme", password: str = ACCOUNT_PASSWORD
    ) -> None:
        super().__init__(chance, history, who)
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
            await self.converse(stream, encode(bind))
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


class _Wire:
    """A component's connection, of which several are open while one hub does not know yet that another has its desk."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.session = 0
        self.texts: set[str] = set()  # that were written here and did not come back
        self.sending = trio.Lock()  # the end of the stream is answered while the writer may be at work
        self.output = StanzaQueue()

    async def run(self) -> None:
        """Write until it breaks."""
        while True:
            octets = await self.output.take()
            try:
                async with self.sending:
                    await self.stream.send_all(octets)
            except _BROKEN:
                return


class Desk:
    """A call centre's XMPP server with its director and CSR.

    Args:
        history: what it sees is noted there.
        who: under this name.
        side: how the hub knows it.

    Attributes:
        pen: what it notes with.
        taken: texts, in order.
        told: ids of our answers that were delivered or failed, once for each time that we were told.
        tokens: customer → token of the open thread.
        returned: ids of our answers that came back, and why.
        pongs: False makes it deaf.
        connections: components that came up.
        on_stanza: is shown each stanza that comes.
    """

    def __init__(self, history: History, who: str = "desk", side: DeskSide = DeskSide()) -> None:  # noqa: B008
        self.pen = Recorder(history, who)
        self.side = side
        self.csr = f"csr@{side.director.partition('@')[2]}/sim"
        self.taken: list[Taken] = []
        self.told: list[str] = []
        self.failed: list[str] = []
        self.tokens: dict[str, str] = {}
        self.returned: deque[str] = deque(maxlen=1000)
        self.pongs = True
        self.connections = 0
        self.on_stanza: Callable[[Element], None] = lambda _: None
        self._wire: _Wire | None = None  # the latest
        self._asked: set[str] = set()

    @property
    def connected(self) -> bool:
        """A component is up."""
        return self._wire is not None

    @property
    def stream(self) -> trio.abc.Stream | None:
        """The latest connection's."""
        return self._wire.stream if self._wire is not None else None

    async def serve(self, stream: trio.abc.Stream, node: str = "") -> None:
        """Serve one component. ``node``: the hub that it is of, where there are several."""
        side = self.side
        machine = ComponentStream(
            Role.ACCEPT, secret=side.secret, domains=(side.domain,), stream_id=secrets.token_hex(8)
        )
        await self._hold(stream, machine, node)

    async def _hold(self, stream: trio.abc.Stream, machine: ComponentStream, node: str = "") -> None:
        """A connection to its end."""
        wire = _Wire(stream)
        try:
            async with trio.open_nursery() as nursery:
                await self._converse(wire, machine, node, nursery)
                nursery.cancel_scope.cancel()
        finally:
            if self._wire is wire:
                self._wire = None
            if wire.session:
                self.pen.ended(wire.session)
            await trio.aclose_forcefully(stream)

    async def _converse(self, wire: _Wire, machine: ComponentStream, node: str, nursery: trio.Nursery) -> None:
        try:
            if first := machine.take_octets():  # of who dials
                await wire.stream.send_all(first)
            while machine.phase is not Phase.CLOSED:
                data = await wire.stream.receive_some(65_536)
                if not data:
                    return
                stanzas = machine.receive(bytes(data))
                octets = machine.take_octets()
                if octets:
                    async with wire.sending:
                        await wire.stream.send_all(octets)
                if machine.phase is Phase.OPEN and not wire.session:
                    self._wire = wire
                    self.connections += 1
                    wire.session = self.pen.began(node)
                    nursery.start_soon(wire.run)
                for stanza in stanzas:
                    self.on_stanza(stanza)
                    self._take(stanza, wire)
        except _BROKEN:
            return

    async def cut(self) -> None:
        """End the connection without a word."""
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)

    def unread(self, known: Container[str]) -> set[str]:
        """Texts that a hub which is still connected has to read yet. ``known``: those in its journal."""
        return {name for name in self._wire.texts if name not in known} if self._wire is not None else set()

    def send(self, stanza: str) -> None:
        """Send a stanza as it is written; without a component it is lost."""
        if self._wire is not None:
            self._wire.output.put(stanza)

    def _take(self, stanza: Element, wire: _Wire) -> None:
        if stanza.name == "iq":
            if stanza.get("type") == "get" and self.pongs:
                assert stanza.children[0].name == f"{PING_NS} ping"
                wire.output.put(build_result(stanza))
            return
        if stanza.name == "presence":
            if stanza.get("type") == "probe":
                wire.output.put(build_presence(f"{self.side.director}/acd", self.side.domain, ""))
            return
        if stanza.get("type") == "error":
            own = stanza.get("id")
            self.returned.append(own)
            wire.texts.discard(own)
            error = stanza.child("error")
            children = error.children if error is not None else []
            if any(child.name == f"{THREAD_NS} failed" for child in children):
                self.failed.append(own)
                self.told.append(own)
                if own in self._asked:  # who did not ask for a receipt hears of a failure all the same: XMPP's own way
                    self._note_told(own, FAILED, wire.session)
            elif NAME.fullmatch(own):
                self.pen.sent(own, session=wire.session, status=1)
            return
        received = stanza.child(RECEIVED)
        if received is not None:
            self.told.append(received.get("id"))
            self._note_told(received.get("id"), DELIVERED, wire.session)
            return
        body = stanza.child_text("body")
        names = NAME.findall(body)
        if not names:
            return
        token = stanza.child(TOKEN)
        assert token is not None
        self.tokens[stanza.get("from").partition("@")[0]] = token.text
        taken = Taken(names[0], whole="[…]" not in body)
        self.taken.append(taken)
        self.pen.took(taken.name, session=wire.session, whole=taken.whole)

    def _note_told(self, own_id: str, word: str, session: int) -> None:
        self.pen.told(word, session=session, id=own_id, name=own_id if NAME.fullmatch(own_id) else "")

    def answer(self, text: Sent, customer: str) -> None:
        """Write to a customer whose token is known; the text has three parts."""
        self.write(text.name, customer, text.name * 40, self.tokens[customer], receipt=text.wants_receipt)

    def write(self, own_id: str, customer: str, body: str, token: str, *, receipt: bool = False) -> None:
        """Write a text."""
        asked = f"<request xmlns='{RECEIPTS_NS}'/>" if receipt else ""
        named = f"<token xmlns='{THREAD_NS}'>{token}</token>" if token else ""
        if self._wire is not None and NAME.fullmatch(own_id):
            self.pen.sending(own_id, lane_of(own_id), session=self._wire.session, asked=receipt)
            self._wire.texts.add(own_id)
            if receipt:
                self._asked.add(own_id)
        self.send(
            f"<message from='{self.csr}' to='{customer}@{self.side.domain}/{NUMBER}' id='{own_id}' type='chat'>"
            f"<body>{body}</body>{named}{asked}</message>"
        )


class ProsodyDesk(Desk):
    """A desk behind a real XMPP server: a component of it, in whose domain the director is.

    The hub's pings go to that domain, so that they are answered here: a text is handed over when this has it, and a
    server that dies in between leaves it in doubt.

    Args:
        history, who: see ``Desk``.
        side: how the hub knows it.
        port: of the server's components.
    """

    def __init__(self, history: History, side: DeskSide, port: int, who: str = "desk") -> None:
        super().__init__(history, who, side)
        self._port = port

    async def run(self) -> None:
        """Stay connected until cancelled."""
        domain = self.side.director.partition("@")[2]
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self._port)
            except OSError:
                await trio.sleep(0.05)
                continue
            machine = ComponentStream(Role.CONNECT, secret=self.side.secret, domain=domain)
            machine.start()
            await self._hold(stream, machine)
            await trio.sleep(0.05)

    def unread(self, known: Container[str]) -> set[str]:
        """Nobody can say: what the server had for a hub that died is lost, and nothing comes back."""
        return set()


class Load:
    """Texts of all four flows, a lane at a time, for as long as it is told to.

    | flow | road |
    | --- | --- |
    | A | ESME → hub → carrier: transit |
    | B | carrier → hub → desk: customers, every fifth text in three pieces |
    | C | desk → hub → carrier: answers with the thread's token, in three parts |
    | D | carrier → hub → ESME: the other way |

    Attributes:
        sent: all texts, by name.
        running: False ends it.
        most_behind: while so many texts are acknowledged and not begun with at the other end, none is sent; None for
            no limit. What a slow machine cannot work off in time says nothing of the hub.
    """

    LANES = 8
    WINDOW = 60

    def __init__(self, chance: random.Random, carrier: Carrier, esme: Esme, desk: Desk) -> None:
        self.sent: dict[str, Sent] = {}
        self.running = True
        self.most_behind: int | None = None
        self._begun_with: set[str] = set()
        self._is_behind, self._looked_at, self._looked = False, 0.0, [0, 0, 0]
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

    def _is_far_behind(self) -> bool:
        if self.most_behind is not None and trio.current_time() - self._looked_at >= BEHIND_S:
            self._looked_at = trio.current_time()
            for at, sink in enumerate((self._carrier, self._esme, self._desk)):
                came = sink.taken[self._looked[at] :]
                self._looked[at] += len(came)
                self._begun_with.update(piece.name for piece in came)
            waiting = sum(1 for name, text in self.sent.items() if text.acknowledged and name not in self._begun_with)
            self._is_behind = waiting >= self.most_behind
        return self._is_behind

    async def _from_esme(self) -> None:
        while self.running:
            await trio.sleep(self._chance.uniform(0, 0.04))
            if self._is_far_behind():
                continue
            if self._esme.bound and self._esme.unanswered < self.WINDOW:
                batch = []
                for _ in range(self._chance.randrange(1, 12)):
                    lane = self._lane()
                    batch.append(self._esme.text(self._next("A", lane), "+12005550000", f"+1300555{lane:04d}"))
                await self._esme.ask(batch)

    async def _from_carrier(self) -> None:
        while self.running:
            await trio.sleep(self._chance.uniform(0, 0.05))
            if self._is_far_behind() or not self._carrier.bound or self._carrier.unanswered >= self.WINDOW:
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
            if self._is_far_behind():
                continue
            for _ in range(self._chance.randrange(1, 4)):
                lane = self._lane()
                if self._desk.connected and self.customer(lane) in self._desk.tokens:
                    self._desk.answer(self._next("C", lane), self.customer(lane))


def _word_for(piece: Taken) -> str:
    """Every eleventh text of a lane finds its handset away for good."""
    return FAILED if int(piece.name[3:8]) % 11 == 10 else DELIVERED


def _numbered(pdu: PDU, sequence_number: int) -> bytes:
    octets = encode(pdu)
    return octets[:12] + sequence_number.to_bytes(4, "big") + octets[16:]


def _piece(pdu: PDU) -> Taken | None:
    """Which part of which text it carries; None for what has no name."""
    if not isinstance(pdu, SubmitSm | DeliverSm) or pdu.esm_class & 0x3C in RECEIPT_CLASSES:
        return None
    octets, part, total = pdu.short_message, 1, 1
    if pdu.esm_class & UDHI and len(octets) > 6:
        total, part = octets[4], octets[5]
        octets = octets[6:]
    found = NAME.match(octets[:NAME_CHARACTERS].decode("latin-1"))
    return Taken(found[0], part, total) if found is not None else None


def _receipt_of(pdu: SubmitSm | DeliverSm) -> tuple[str, str, str]:
    """Of which id a receipt is, its word, and the text's name, when it quotes that."""
    found = _RECEIPT.search(pdu.short_message)
    assert found is not None, "a receipt without an id"
    return found[1].decode(), found[2].decode(), (found[3] or b"").decode()


def _receipt(pdu: SubmitSm | DeliverSm, own: str, word: str) -> DeliverSm:
    text = f"id:{own} sub:001 dlvrd:001 submit date:2611220100 done date:2611220100 stat:{word} err:000 text:"
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
