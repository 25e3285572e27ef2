"""The session machine: octets in, events out; PDUs in, octets out. Both roles, no I/O, no clock.

What each PDU means in each state is the table in ``smpp.states``. This file adds what a table cannot say:

**Batches.** One ``receive_data`` makes at most one ``Requests`` and one ``Answers`` between two changes of state,
whatever the number of PDUs. Order is kept within each of the two, not between them.

**Requests of ours** get sequence numbers 1…0x7FFFFFFF, around and around (SMPP 3.4 §3.2), and are held until answered:
matched by sequence number, taken out when ``response_s`` is over, or handed back when the session ends. Each comes back
exactly once, as an ``Answer``. At most ``window`` are held. A request that is never answered costs only itself: the
window's place is free again, the session lives on, and an answer that comes still later is counted as stray.

**Requests of the peer** keep their sequence number verbatim, 0 and those above 0x7FFFFFFF included. How many are owed
an answer is known, which serves one thing: the answer to the peer's unbind waits for them (at most ``response_s``),
since what is answered after unbind_resp will be taken as never answered.

**Parsing has four outcomes**: more octets are needed; a PDU; a frame that cannot be read, which is answered with the
status that says why and costs only itself; a senseless length, after which nothing can be found any more, so the
session ends. Before a bind it ends without a word (the peer is no SMPP peer), after it with a generic_nack
ESME_RINVCMDLEN.

**A generic_nack** may answer any request of ours (matched by sequence). With sequence number 0 it says that the peer
lost framing in what we sent; the octets after that are noise to it, so the session ends.

**Timers** (SMPP 3.4 §7.2), all computed from what was seen, never armed: ``session_init`` from the start to the bind,
which nothing but the bind stops, enquire_link neither; ``enquire_link`` from the last sound frame, so that a slow drip
of octets proves nothing; ``inactivity`` from the last message either way; ``response`` for each request. After an
enquire_link, any frame is proof of life.

**Versions.** The session speaks the lower of the two ends' versions, which bounds what is sent (``smpp.versions``).
**Congestion.** A response may say how loaded the peer is; the window shrinks and grows by it (``smpp.congestion``).

**A forgotten bind.** ESME_RINVBNDSTS for what a bound ESME asks says that the SMSC holds it for unbound, as after a
restart behind something that kept the connection alive. What was so refused was not taken, and comes back as such; the
session unbinds, so that a new bind can follow. (When it is the ESME that says so, cutting it off would be no help.)

**Unsent or in doubt.** ``written`` marks how far the octets given out were handed to the transport. When the session
ends, requests before the mark are in doubt, those after it never left.

The loop in ``receive_data`` is one function on purpose: it runs once for each PDU, and a call costs as much as a match.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from smpp import versions
from smpp.codec import decode, encode, split_frames
from smpp.congestion import TAG_CONGESTION_STATE, Congestion
from smpp.constants import RESPONSE_BIT, CommandId, CommandStatus
from smpp.errors import BadFrame, LocalProtocolError, RemoteProtocolError, UnparsablePDU
from smpp.events import (
    DEFAULT_SETTINGS,
    Answer,
    Answers,
    Bind,
    BindDenied,
    BindRequested,
    BindResp,
    Bound,
    Ended,
    Ending,
    Event,
    Lost,
    OutbindReceived,
    PeerUnbinding,
    Requests,
    Settings,
)
from smpp.pdu import (
    PDU,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    EnquireLink,
    Outbind,
    Unbind,
    response_class,
)
from smpp.states import ACTIONS, BOUND_AS, Action, Role, State, may_send
from smpp.window import Entry, Window

_BIND_RESPONSES: Final[dict[type[PDU], type[BindResp]]] = {
    BindReceiver: BindReceiverResp,
    BindTransmitter: BindTransmitterResp,
    BindTransceiver: BindTransceiverResp,
}

_NOT_BOUND: Final = int(CommandStatus.ESME_RINVBNDSTS)
_HEADER = Struct(">IIII")
_LENGTH = Struct(">I")

# Members of an Enum cost a descriptor call each; these are read once for each PDU.
_DELIVER, _MATCH, _ECHO = Action.DELIVER, Action.MATCH, Action.ECHO


class Connection:
    """One SMPP session, as a value that octets and times are put into.

    ``now`` is in seconds of any clock that never goes back. Every method that returns events may also have left octets
    in ``data_to_send``; the methods that return bytes give those that belong to the call.

    Args:
        role: which end this is.
        settings: see ``Settings``; ``configure`` changes them later.
        now: when the connection was made.

    Attributes:
        state: where the session stands.
        peer_version: the peer's interface version; ``settings.silent_version`` until it is known.
        version: what the session speaks: the lower of the two ends' versions.
        bind: the bind request that was sent or received, or None.
        counts: words → how often: ``stray``, ``unparsable``, ``refused``, ``ignored`` and the codec's faults.
        received, sent: PDUs.
    """

    def __init__(self, role: Role, settings: Settings = DEFAULT_SETTINGS, *, now: float) -> None:
        self.role = role
        self.settings = settings
        self.peer_version = self.version = settings.silent_version
        self.bind: Bind | None = None
        self.counts: Counter[str] = Counter()
        self.received = 0
        self.sent = 0
        self.state = State.OPEN
        self._row = ACTIONS[role][State.OPEN]
        self._older = False  # the session speaks a version below ours
        # Octets of a frame that is not complete, and how many it takes at least to go on.
        self._partial = bytearray()
        self._needed = 0
        self._out: list[bytes] = []
        self._faults: list[str] = []
        self._window = Window()
        self._congestion = Congestion(settings.window)
        # The sequence numbers of the requests that the connection itself has sent, 0 for none.
        self._bind_sequence = 0
        self._unbind_sequence = 0
        self._enquire_sequence = 0
        self._enquired_at = math.inf  # infinite unless nothing has been heard since we asked
        self._bind_requested: Bind | None = None
        self._owed = 0
        self._unbind_owed: int | None = None  # the sequence number of the peer's unbind
        self._over_at = math.inf  # the end of what was begun: an unbind, a linger
        self._over_as = Ending.CLOSED
        self._init_at = now + settings.session_init_s if settings.session_init_s else math.inf
        self._heard_at = now
        self._active_at = now

    # -- What can be asked --------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """True once ``Ended`` has been given out."""
        return self.state is State.CLOSED

    @property
    def is_unbinding(self) -> bool:
        """True once our unbind is sent."""
        return self._unbind_sequence != 0

    @property
    def room(self) -> int:
        """How many requests ``send_requests`` would take now."""
        if not State.BOUND_TX <= self.state <= State.BOUND_TRX or self._unbind_sequence:
            return 0
        return max(self._congestion.limit - len(self._window.pending), 0)

    @property
    def congestion(self) -> int | None:
        """How loaded the peer says it is, 0…100 (congestion_state); None when it says nothing."""
        return self._congestion.state

    @property
    def unanswered(self) -> int:
        """How many requests of ours are on the way."""
        return len(self._window)

    @property
    def owed(self) -> int:
        """How many of the peer's requests are not answered yet."""
        return max(self._owed, 0)

    @property
    def ordinal(self) -> int:
        """The mark to give to ``written`` once all octets given out so far are handed to the transport."""
        return self._window.ordinal

    def written(self, ordinal: int) -> None:
        """Say that the requests up to this ordinal are being written: whatever happens, they may have arrived."""
        self._window.written = max(self._window.written, ordinal)

    def configure(self, settings: Settings) -> None:
        """Keep to other settings from now on, as an SMSC does once it knows whose session it is."""
        self.settings = settings
        self._congestion.configure(settings.window)

    # -- Receiving ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take what arrived.

        Returns: events, in order. Any cutting of the same octets into pieces gives the same events, but for how many
            PDUs share a batch. Never raises for what a peer sent: a broken protocol is an ``Ended`` with its error,
            since what came before it in the same piece counts.
        """
        if self.state is State.CLOSED:
            return []
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._needed:
                return []
            buffer = bytes(partial)
        else:
            buffer = bytes(data)
        bad: BadFrame | None = None
        try:
            frames, consumed = split_frames(buffer, self.settings.max_command_length)
        except BadFrame as error:
            bad, frames, consumed = error, error.frames, error.consumed
        self._keep(buffer, consumed)
        events: list[Event] = []
        if not frames:
            return self._framing_lost(bad) if bad else events

        self._heard_at = now
        self._enquired_at = math.inf
        self.received += len(frames)
        requests: list[PDU] = []
        answers: list[Answer] = []
        faults = self._faults
        row = self._row
        pending = self._window.pending
        for frame in frames:
            try:
                pdu = decode(frame, faults)
            except UnparsablePDU as error:
                self._unparsable(error, answers)
                continue
            action = row[type(pdu)]
            if action is _DELIVER:
                requests.append(pdu)
            elif action is _MATCH:
                entry = pending.get(pdu.sequence_number)
                if entry is not None and pdu.command_id == entry[1].command_id | RESPONSE_BIT:
                    del pending[pdu.sequence_number]
                    if pdu.tlvs or pdu.command_status:
                        answers.append(self._remarkable(entry, pdu, now))
                    else:
                        answers.append(Answer(entry[0], entry[1], pdu))
                else:
                    self.counts["stray"] += 1
            elif action is _ECHO:
                self._reply(CommandId.ENQUIRE_LINK_RESP, CommandStatus.ESME_ROK, pdu.sequence_number)
            else:
                changes = self._control(action, pdu, answers, requests, now)
                if changes:
                    self._flush(events, requests, answers, now)
                    requests, answers = [], []
                    events += changes
                    row = self._row
                    if self.is_over:
                        return events
        self._flush(events, requests, answers, now)
        if faults:
            self.counts.update(faults)
            faults.clear()
        if bad:
            events += self._framing_lost(bad)
        return events

    def receive_eof(self) -> list[Event]:
        """The peer will send no more."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.UNBOUND:
            return self._end(self._over_as)
        return self._end(Ending.CLOSED_BY_PEER, "in the middle of a PDU" if self._partial else "")

    def end(self, ending: Ending, detail: str = "") -> list[Event]:
        """End the session from this side: closed, cut, stalled. Gives back the requests left unanswered."""
        return [] if self.state is State.CLOSED else self._end(ending, detail)

    def data_to_send(self) -> bytes:
        """Octets of automatic answers since the last call."""
        out = self._out
        if not out:
            return b""
        data = b"".join(out)
        out.clear()
        return data

    def _keep(self, buffer: bytes, consumed: int) -> None:
        """Hold what is no complete frame yet, and note how long it must grow before it is worth another look.

        Without that a peer that sends a long PDU octet by octet would have us copy it once for each.
        """
        self._partial = bytearray(memoryview(buffer)[consumed:])
        rest = len(buffer) - consumed
        self._needed = _LENGTH.unpack_from(buffer, consumed)[0] if rest >= _LENGTH.size else 0

    def _flush(self, events: list[Event], requests: list[PDU], answers: list[Answer], now: float) -> None:
        """Turn what was gathered into events."""
        if requests:
            self._owed += len(requests)
            self._active_at = now
            events.append(Requests(requests))
        if answers:
            self._active_at = now
            if self._congestion.matters:
                self._congestion.answered(len(answers))
            events.append(Answers(answers))

    def _reply(self, command_id: int, command_status: int, sequence_number: int) -> None:
        self._out.append(_HEADER.pack(_HEADER.size, command_id, command_status, sequence_number))
        self.sent += 1

    def _unparsable(self, error: UnparsablePDU, answers: list[Answer]) -> None:
        """Answer a frame that cannot be read.

        A response is not answered. The request it belongs to is: waiting longer would bring nothing.
        """
        self.counts["unparsable"] += 1
        if self._faults:
            self.counts.update(self._faults)
            self._faults.clear()
        if not error.command_id & RESPONSE_BIT:
            if error.command_status != CommandStatus.ESME_RINVCMDID and error.command_id in _ANSWERED:
                self._reply(error.command_id | RESPONSE_BIT, error.command_status, error.sequence_number)
            else:
                self._reply(CommandId.GENERIC_NACK, error.command_status, error.sequence_number)
            return
        entry = self._window.pending.get(error.sequence_number)
        if entry is not None and error.command_id == entry[1].command_id | RESPONSE_BIT:
            del self._window.pending[error.sequence_number]
            answers.append(Answer(entry[0], entry[1], None, Lost.UNREADABLE))

    def _framing_lost(self, bad: BadFrame) -> list[Event]:
        status = CommandStatus.ESME_RINVCMDLEN if self.state.is_bound else None
        if status is not None:
            self._reply(CommandId.GENERIC_NACK, status, 0)
        error = RemoteProtocolError(f"command_length {bad.command_length}", status, "SMPP 3.4 §3.2")
        return self._end(Ending.PROTOCOL, bad.word or "senseless command_length", error)

    def _remarkable(self, entry: Entry, response: PDU, now: float) -> Answer:
        """Read what a response says beside the answer: how loaded the peer is, that it has forgotten the bind."""
        for tag, value in response.tlvs:
            if tag == TAG_CONGESTION_STATE:
                self._congestion.told(int.from_bytes(value, "big"), entry[3], self._window.ordinal)
        if response.command_status == _NOT_BOUND and self.role is Role.ESME:
            self._forgotten(now)
            return Answer(entry[0], entry[1], None, Lost.NOT_BOUND)
        return Answer(entry[0], entry[1], response)

    def _forgotten(self, now: float) -> None:
        """The SMSC holds us for unbound. What is on the way may still be answered, so the end is made in peace."""
        self.counts["bind forgotten"] += 1
        if self.state.is_bound and not self._unbind_sequence:
            self._out.append(self.send(Unbind(), now))
            self._over_as = Ending.FORGOTTEN

    # -- Receiving: what is not a message ------------------------------------------------------------------------------

    def _control(self, action: Action, pdu: PDU, answers: list[Answer], requests: list[PDU], now: float) -> list[Event]:
        """Everything that is rare. Returns: events after which the state may have changed, or nothing."""
        match action:
            case Action.NEWS:
                requests.append(pdu)
                self._owed -= 1  # which ``_flush`` will add: there is nothing to answer
            case Action.REFUSE:
                self.counts["refused"] += 1
                self._reply(pdu.command_id | RESPONSE_BIT, CommandStatus.ESME_RINVBNDSTS, pdu.sequence_number)
            case Action.ALREADY:
                self.counts["refused"] += 1
                self._reply(pdu.command_id | RESPONSE_BIT, CommandStatus.ESME_RALYBND, pdu.sequence_number)
            case Action.IGNORE:
                self.counts["stray" if pdu.command_id & RESPONSE_BIT else "ignored"] += 1
            case Action.ALIVE:
                if pdu.sequence_number != self._enquire_sequence or not self._enquire_sequence:
                    self.counts["stray"] += 1
                elif pdu.command_status == _NOT_BOUND and self.role is Role.ESME:
                    self._forgotten(now)
            case Action.NACK:
                return self._nacked(pdu, answers, now)
            case Action.BIND:
                return self._bind_received(pdu)
            case Action.BOUND:
                return self._bind_answered(pdu, now)
            case Action.OUTBIND if isinstance(pdu, Outbind):
                self._enter(State.OUTBOUND)
                return [OutbindReceived(pdu)]
            case Action.UNBIND:
                return self._unbind_received(pdu, requests, now)
            case Action.UNBOUND:
                if pdu.sequence_number == self._unbind_sequence != 0:
                    return self._end(self._over_as)
                self.counts["stray"] += 1
        return []

    def _nacked(self, pdu: PDU, answers: list[Answer], now: float) -> list[Event]:
        sequence_number = pdu.sequence_number
        entry = self._window.pending.pop(sequence_number, None)
        if entry is not None:
            answers.append(self._remarkable(entry, pdu, now))
            return []
        if sequence_number == 0:
            error = RemoteProtocolError("generic_nack with sequence number 0", None, "SMPP 3.4 §4.3")
            return self._end(Ending.PROTOCOL, "the peer lost framing", error)
        if sequence_number == self._bind_sequence:
            return [BindDenied(pdu.command_status), *self._end(Ending.BIND_REFUSED)]
        if sequence_number == self._unbind_sequence:
            return self._end(self._over_as)
        if sequence_number != self._enquire_sequence:
            # To our enquire_link it is an answer like another: somebody read it.
            self.counts["stray"] += 1
        return []

    def _bind_received(self, pdu: PDU) -> list[Event]:
        if not isinstance(pdu, BindReceiver | BindTransmitter | BindTransceiver):  # the table says so
            raise LocalProtocolError(f"the table takes {type(pdu).__name__} for a bind")
        if self._bind_requested is not None:
            self._reply(pdu.command_id | RESPONSE_BIT, CommandStatus.ESME_RALYBND, pdu.sequence_number)
            self.counts["refused"] += 1
            return []
        self._bind_requested = self.bind = pdu
        self._learn_version(versions.OUR_VERSION, pdu.interface_version)
        return [BindRequested(pdu)]

    def _bind_answered(self, pdu: PDU, now: float) -> list[Event]:
        if (
            pdu.sequence_number != self._bind_sequence
            or self.bind is None
            or type(pdu) is not _BIND_RESPONSES[type(self.bind)]
        ):
            self.counts["stray"] += 1
            return []
        self._bind_sequence = 0
        if pdu.command_status:
            return [BindDenied(pdu.command_status), *self._end(Ending.BIND_REFUSED)]
        version = dict(pdu.tlvs).get(versions.TAG_SC_INTERFACE_VERSION)
        self._learn_version(self.bind.interface_version, version[0] if version else self.settings.silent_version)
        self._bound(BOUND_AS[type(pdu)], now)
        return [Bound(pdu)]

    def _unbind_received(self, pdu: PDU, requests: list[PDU], now: float) -> list[Event]:
        if self.state is State.UNBOUND or not self.state.is_bound:
            self._reply(CommandId.UNBIND_RESP, CommandStatus.ESME_ROK, pdu.sequence_number)
            if self.state is State.UNBOUND:
                return []
            self._leave(Ending.UNBOUND_BY_PEER, now)
            return [PeerUnbinding()]
        self._unbind_owed = pdu.sequence_number
        # Both sides have unbound at once: whatever comes first of the peer's answer and its end will do.
        self._over_as = Ending.UNBOUND_BY_PEER
        self._over_at = now + self.settings.response_s
        self._enter(State.UNBOUND)
        if self._owed + len(requests) <= 0:
            self._answer_unbind(now)
        return [PeerUnbinding()]

    def _answer_unbind(self, now: float) -> None:
        if self._unbind_owed is not None:
            self._reply(CommandId.UNBIND_RESP, CommandStatus.ESME_ROK, self._unbind_owed)
            self._unbind_owed = None
            self._leave(Ending.UNBOUND_BY_PEER, now)

    def _leave(self, ending: Ending, now: float) -> None:
        """All is said; the peer may close. An end by us now could destroy our last answer on its way (RFC 1122)."""
        self._over_as = ending
        self._over_at = now + self.settings.linger_s
        self._init_at = math.inf
        self._enter(State.UNBOUND)

    def _learn_version(self, ours: int, theirs: int) -> None:
        self.peer_version = theirs
        self.version = versions.agreed_version(ours, theirs)
        self._older = self.version < versions.OUR_VERSION

    def _bound(self, state: State, now: float) -> None:
        self._init_at = math.inf
        self._heard_at = self._active_at = now
        self._enter(state)

    def _enter(self, state: State) -> None:
        self.state = state
        self._row = ACTIONS[self.role][state]

    def _end(self, ending: Ending, detail: str = "", error: RemoteProtocolError | None = None) -> list[Event]:
        lost = self._window.give_back()
        self._partial = bytearray()
        self._enter(State.CLOSED)
        ended = Ended(ending, detail, error)
        return [Answers(lost), ended] if lost else [ended]

    # -- Sending -------------------------------------------------------------------------------------------------------

    def send(self, pdu: PDU, now: float, key: Any = None) -> bytes:
        """Send one PDU of any kind; a request gets its sequence number here, a response keeps the one it has.

        Raises: LocalProtocolError: not in this state, not in this role, no room. EncodeError.
        """
        pdu_type = type(pdu)
        if pdu.command_id & RESPONSE_BIT:
            return self.send_responses([pdu], now)
        if not may_send(self.role, self.state, pdu_type):
            raise LocalProtocolError(f"{self.role} must not send {pdu_type.__name__} in {self.state.name}")
        if pdu_type in _BIND_RESPONSES:
            if self._bind_sequence:
                raise LocalProtocolError("the bind before is not answered yet")
            self.bind = pdu  # type: ignore[assignment]  # _BIND_RESPONSES has binds only
            self._bind_sequence, frame = self._number(pdu)
        elif pdu_type is Unbind:
            if self._unbind_sequence:
                raise LocalProtocolError("already unbinding")
            self._unbind_sequence, frame = self._number(pdu)
            self._over_at, self._over_as = now + self.settings.response_s, Ending.UNBOUND
        elif pdu_type is EnquireLink:
            self._enquire_sequence, frame = self._number(pdu)
            self._enquired_at = now
        elif pdu_type is Outbind:
            if self._bind_requested is not None:
                raise LocalProtocolError("the peer asks to bind already")
            frame = self._number(pdu)[1]
            self._enter(State.OUTBOUND)
        elif response_class(pdu) is None:  # alert_notification
            versions.check_version(pdu_type, self.version)
            frame = self._number(pdu)[1]
        else:
            return self.send_requests([(pdu, key)], now)
        self.sent += 1
        return frame

    def send_requests(self, items: Sequence[tuple[PDU, Any]], now: float) -> bytes:
        """Send requests, each with a key that comes back in its ``Answer``. All or none.

        Args:
            items: (request, key); not more than ``room``.
            now: when they are sent: the response timers start here.
        Raises: LocalProtocolError: more than ``room``, or not in this state. EncodeError: one has no such form.
        """
        if len(items) > self.room:
            raise LocalProtocolError(f"{len(items)} requests, but room for {self.room} in {self.state.name}")
        older, version = self._older, self.version
        allowed: type[PDU] | None = None
        out: list[bytes] = []
        numbered: list[tuple[int, PDU, Any]] = []
        next_number, request_for = self._window.next_number, versions.request_for
        for pdu, key in items:
            if type(pdu) is not allowed:
                allowed = self._check_request(pdu)
            sequence = next_number()
            out.append(encode(request_for(pdu, version) if older else pdu, sequence))
            numbered.append((sequence, pdu, key))
        self._window.hold(numbered, now)
        self._active_at = now
        self.sent += len(items)
        return b"".join(out)

    def send_responses(self, pdus: Sequence[PDU], now: float) -> bytes:
        """Answer the peer's requests. Each response bears its request's sequence number.

        Answers of a session that is over are dropped: there is nobody left to hear them.
        Raises: EncodeError: one of them has no form; nothing was sent.
        """
        if self.state is State.CLOSED:
            return b""
        if self._older:
            pdus = [versions.response_for(pdu, self.version) for pdu in pdus]
        data = b"".join(map(encode, pdus))
        self.sent += len(pdus)
        return self._answered(len(pdus), data, now)

    def refuse(self, pdus: Sequence[PDU], command_status: int, now: float) -> bytes:
        """Answer requests of the peer with an error and no body (SMPP 3.4 §4.4.2 note): throttled, queue full."""
        if self.state is State.CLOSED:
            return b""
        answered = [pdu for pdu in pdus if pdu.command_id in _ANSWERED]
        self.sent += len(answered)
        data = b"".join(
            _HEADER.pack(_HEADER.size, pdu.command_id | RESPONSE_BIT, command_status, pdu.sequence_number)
            for pdu in answered
        )
        return self._answered(len(answered), data, now)

    def accept_bind(self, system_id: str, now: float, settings: Settings | None = None) -> bytes:
        """SMSC: let the peer in.

        Args:
            system_id: our name.
            now: the time.
            settings: those of the peer's account.
        Raises: LocalProtocolError: nobody asked to bind. EncodeError.
        """
        bind = self._bind_requested
        if bind is None or self.state not in (State.OPEN, State.OUTBOUND):
            raise LocalProtocolError("there is no bind to answer")
        tlvs = versions.told(self.version)
        response = _BIND_RESPONSES[type(bind)](system_id=system_id, sequence_number=bind.sequence_number, tlvs=tlvs)
        frame = encode(response)
        if settings is not None:
            self.configure(settings)
        self._bound(BOUND_AS[type(bind)], now)
        self.sent += 1
        return frame

    def refuse_bind(self, command_status: int) -> tuple[list[Event], bytes]:
        """SMSC: keep the peer out; the session is over."""
        bind = self._bind_requested
        if bind is None or self.state not in (State.OPEN, State.OUTBOUND):
            raise LocalProtocolError("there is no bind to answer")
        frame = _HEADER.pack(_HEADER.size, bind.command_id | RESPONSE_BIT, command_status, bind.sequence_number)
        self.sent += 1
        return self._end(Ending.BIND_REFUSED), frame

    def _number(self, pdu: PDU) -> tuple[int, bytes]:
        sequence = self._window.next_number()
        return sequence, encode(versions.request_for(pdu, self.version) if self._older else pdu, sequence)

    def _check_request(self, pdu: PDU) -> type[PDU]:
        pdu_type = type(pdu)
        if response_class(pdu) is None or pdu_type in _OWN or not may_send(self.role, self.state, pdu_type):
            raise LocalProtocolError(f"{self.role} must not send {pdu_type.__name__} so in {self.state.name}")
        versions.check_version(pdu_type, self.version)
        return pdu_type

    def _answered(self, count: int, data: bytes, now: float) -> bytes:
        self._owed -= count
        self._active_at = now
        if self._unbind_owed is None or self._owed > 0:
            return data
        self._answer_unbind(now)
        return data + self.data_to_send()

    # -- Time ----------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When ``tick`` next has something to do; infinity when never. It moves with every call of another method."""
        if self.state is State.CLOSED:
            return math.inf
        settings = self.settings
        deadline = min(self._init_at, self._over_at)
        if self._window:
            deadline = min(deadline, self._window.sent_first() + settings.response_s)
        if self.state.is_bound and not self._unbind_sequence:
            if settings.enquire_link_s:
                asked_at = self._enquired_at
                quiet_until = self._heard_at + settings.enquire_link_s
                deadline = min(deadline, quiet_until if asked_at == math.inf else asked_at + settings.response_s)
            if settings.inactivity_s:
                deadline = min(deadline, self._active_at + settings.inactivity_s)
        return deadline

    def tick(self, now: float) -> tuple[list[Event], bytes]:
        """Do what is due.

        Returns: events, and octets to send (enquire_link, unbind, a late unbind_resp).
        """
        if self.state is State.CLOSED:
            return [], b""
        events: list[Event] = []
        timed_out = self._window.take_overdue(now, self.settings.response_s)
        if timed_out:
            events.append(Answers(timed_out))
        if now >= self._init_at:
            return events + self._end(Ending.SESSION_INIT), b""
        if now >= self._over_at:
            if self._unbind_owed is None:
                return events + self._end(self._over_as, "no unbind_resp" if self.state.is_bound else ""), b""
            self._answer_unbind(now)
        data = b""
        if self.state.is_bound and not self._unbind_sequence:
            settings = self.settings
            if settings.inactivity_s and now >= self._active_at + settings.inactivity_s:
                data = self.send(Unbind(), now)
                self._over_as = Ending.INACTIVE
            elif not settings.enquire_link_s:
                pass
            elif self._enquired_at < math.inf:
                if now >= self._enquired_at + settings.response_s:
                    return events + self._end(Ending.NOT_ANSWERING), b""
            elif now >= self._heard_at + settings.enquire_link_s:
                data = self.send(EnquireLink(), now)
        return events, self.data_to_send() + data


_OWN: Final = frozenset({*_BIND_RESPONSES, Unbind, EnquireLink})
"""Requests that the connection keeps the account of itself."""

_ANSWERED: Final = frozenset(
    pdu_type.command_id for pdu_type in ACTIONS[Role.SMSC][State.OPEN] if response_class(pdu_type) is not None
)
"""The requests that have a response."""
