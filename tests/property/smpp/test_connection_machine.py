"""Both ends of a session, joined by streams that are cut anywhere, held against the model at every step.

A machine does what owners do (bind, refuse, ask, answer, forget to answer, unbind, write late, cut), what insane peers
do (frames of any kind, number and status; lengths that make no sense), and lets time pass. After each step both
connections must have told their owners what ``session_model`` says they must hear, have sent what it says must be sent,
and stand where it says they stand.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smpp.codec import encode
from smpp.connection import Connection
from smpp.errors import EncodeError, LocalProtocolError
from smpp.events import (
    Answers,
    BindDenied,
    BindRequested,
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
from smpp.pdu import PDU, PDU_CLASSES, EnquireLink, Outbind, SmeAddress, SubmitMulti, Unbind, response_class
from smpp.states import Role
from tests.property.smpp import session_model as model

OUTCOMES = {
    Lost.ON_WIRE: "in doubt",
    Lost.UNSENT: "unsent",
    Lost.TIMEOUT: "timeout",
    Lost.NOT_BOUND: "not bound",
}
REFERENCE = ((0x0204, b"\0\7"),)
REFERENCE_OCTETS = b"\x02\x04\x00\x02\x00\x07"
ROLES = ("ESME", "SMSC")
VERSIONS = (0x00, 0x33, 0x34, 0x50, 0x51)
NAMES = [*sorted(model.BINDS), "bind_transceiver"]
MESSAGES = sorted(set(model.OPERATIONS) - set(model.SESSION_OPERATIONS))

# What the session itself lives by comes more often than one of so many messages.
SESSION_COMMANDS = [
    c for n in model.SESSION_OPERATIONS for c in (model.OPERATIONS[n][0], model.OPERATIONS[n][0] | 1 << 31)
]
COMMANDS = sorted(PDU_CLASSES) + [c for c in SESSION_COMMANDS if c in PDU_CLASSES] * 2 + [0x22, 0x23, 0x0A, 0x80000022]

sides = st.sampled_from(ROLES)
binds = st.sampled_from(NAMES)
statuses = st.sampled_from([0, 0, 0, 4, 8, 0x58])
rarely = st.sampled_from([False] * 7 + [True])


def specimen(command: int, number: int = 0, status: int = 0, tlvs: tuple = ()) -> PDU:
    """A PDU of that command with nothing in it but what must be."""
    more: dict[str, Any] = {"dest_address": (SmeAddress(destination_addr="1"),)} if command == 0x21 else {}
    make = SubmitMulti if command == 0x21 else PDU_CLASSES[command]
    return make(sequence_number=number, command_status=status, tlvs=tlvs, **more)


def headers(data: bytes) -> list[tuple[int, int, int]]:
    """(command_id, command_status, sequence_number) of each frame."""
    found = []
    while data:
        length, *rest = struct.unpack(">IIII", data[:16])
        found.append((rest[0], rest[1], rest[2]))
        data = data[length:]
    return found


def told(event: Event) -> list[tuple]:
    """An event in the model's words."""
    match event:
        case Requests(pdus):
            return [("request", model.NAME_OF[pdu.command_id], pdu.sequence_number) for pdu in pdus]
        case Answers(answers):
            return [
                ("answer", a.key, OUTCOMES[a.lost] if a.response is None else a.response.command_status)
                for a in answers
            ]
        case BindRequested(bind):
            return [("bind", model.BINDS[model.NAME_OF[bind.command_id]])]
        case BindDenied(status):
            return [("denied", status)]
        case Ended(ending):
            return [("ended", str(ending))]
        case Bound():
            return [("bound",)]
        case OutbindReceived():
            return [("outbind",)]
        case PeerUnbinding():
            return [("unbinding",)]
    raise AssertionError(event)


def sorted_out(events: list[tuple]) -> list[list[tuple]]:
    """Requests, answers and the rest, each in order: the order among the three is not promised."""
    return [
        [event for event in events if event[0] == "request"],
        [event for event in events if event[0] == "answer"],
        [event for event in events if event[0] not in ("request", "answer")],
    ]


class Side:
    """One end: the connection, the model of it, what has not left yet, and what is on the way to the other end."""

    def __init__(self, role: str, now: int, window: int, inactive: int) -> None:
        kept = Settings(
            window=window, session_init_s=20, enquire_link_s=30, inactivity_s=inactive, response_s=10, linger_s=2
        )
        self.connection = Connection(Role(role), kept, now=now)
        self.model = model.End(role, now, window=window, init=20, enquire=30, inactive=inactive, response=10)
        self.unwritten: list[tuple[bytes, bool]] = []  # octets, and whether they hold requests of ours
        self.stream = b""
        self.requests: list[PDU] = []
        self.open: set[int] = set()

    @property
    def may_bind(self) -> bool:
        return self.model.may_ask("bind_receiver") and self.model.bind_sent is None

    @property
    def may_decide(self) -> bool:
        return self.model.bind_wanted is not None and self.model.state in ("OPEN", "OUTBOUND")

    def hears(self, events: list[Event], expected: list[tuple]) -> None:
        """Compare what the connection tells with what the model does."""
        got = [word for event in events for word in told(event)]
        assert sorted_out(got) == sorted_out(expected)
        for event in events:
            if isinstance(event, Requests):
                self.requests += [pdu for pdu in event.pdus if response_class(pdu) is not None]
            elif isinstance(event, Answers):
                for answer in event.answers:
                    self.open.remove(answer.key)  # each once
        if any(isinstance(event, Ended) for event in events):
            assert isinstance(events[-1], Ended)
            assert not self.open
            self.unwritten = [(data, ours) for data, ours in self.unwritten if not ours]
        self.sends(self.connection.data_to_send(), [])

    def sends(self, data: bytes, expected: list[tuple[int, int, int]], *, ours: bool = False) -> None:
        """Compare what the connection sends with what the model does; its automatic answers come after ``expected``."""
        automatic, self.model.out = self.model.out, []
        assert headers(data) == expected + [h for frame in automatic for h in headers(frame)]
        self.unwritten.append((data, ours))

    def write(self) -> None:
        self.connection.written(self.connection.ordinal)
        self.model.has_written()
        self.stream += b"".join(data for data, _ in self.unwritten)
        self.unwritten.clear()


class SessionMachine(RuleBasedStateMachine):
    """See the module's head."""

    now = 0
    key = 0

    @initialize(
        window=st.integers(1, 4),
        inactive=st.sampled_from([0, 70]),
        name=st.sampled_from([None, *NAMES]),
        data=st.data(),
    )
    def begin(self, window: int, inactive: int, name: str | None, data: st.DataObject) -> None:
        self.ends = {role: Side(role, self.now, window, inactive) for role in ROLES}
        if name is not None:  # most of what is to be seen is seen on a bound session
            self.bind(name, data.draw(st.sampled_from(VERSIONS)))
            self.deliver_all("ESME")
            self.accept()
            self.deliver_all("SMSC")

    def other(self, role: str) -> Side:
        return self.ends["SMSC" if role == "ESME" else "ESME"]

    def deliver_all(self, role: str) -> None:
        self.ends[role].write()
        self.deliver(role, 1 << 20)

    # -- The streams -------------------------------------------------------------------------------------------------

    @rule(role=sides, octets=st.sampled_from([1 << 20, 1, 2, 3, 4, 10, 15, 16, 17, 20, 31, 32, 50]))
    def deliver(self, role: str, octets: int) -> None:
        side, other = self.ends[role], self.other(role)
        piece, side.stream = side.stream[:octets], side.stream[octets:]
        if piece:
            expected = other.model.receives(piece, self.now)
            other.hears(other.connection.receive_data(piece, self.now), expected)

    @rule(role=sides)
    def write(self, role: str) -> None:
        self.ends[role].write()

    @rule(role=sides)
    def write_and_deliver(self, role: str) -> None:
        self.deliver_all(role)

    @rule(role=sides)
    def end_the_stream(self, role: str) -> None:
        """What has been written arrives before the end does."""
        side, other = self.ends[role], self.other(role)
        if side.connection.is_over and not side.stream and not side.unwritten:
            expected = [] if other.model.state == "CLOSED" else other.model.end_of_stream()
            other.hears(other.connection.receive_eof(), expected)

    @rule(role=sides, unluckily=rarely)
    def cut(self, role: str, unluckily: bool) -> None:
        side = self.ends[role]
        if unluckily:
            expected = [] if side.model.state == "CLOSED" else side.model.ends("cut")
            side.hears(side.connection.end(Ending.CUT), expected)

    @precondition(lambda self: any(side.connection.is_over for side in self.ends.values()))
    @rule(window=st.integers(1, 4), inactive=st.sampled_from([0, 70]), name=binds, data=st.data())
    def connect_again(self, window: int, inactive: int, name: str, data: st.DataObject) -> None:
        for role in ROLES:
            self.cut(role, True)
        self.begin(window, inactive, name, data)

    # -- Binding and unbinding ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.ends["ESME"].may_bind)
    @rule(name=binds, version=st.sampled_from(VERSIONS))
    def bind(self, name: str, version: int) -> None:
        side = self.ends["ESME"]
        pdu = PDU_CLASSES[model.OPERATIONS[name][0]](system_id="me", interface_version=version)  # type: ignore[call-arg]
        data = side.connection.send(pdu, self.now)
        side.sends(data, [side.model.binds(name, version)])

    @precondition(lambda self: self.ends["SMSC"].model.may_ask("outbind") and not self.ends["SMSC"].may_decide)
    @rule()
    def call(self) -> None:
        side = self.ends["SMSC"]
        data = side.connection.send(Outbind(system_id="us"), self.now)
        side.sends(data, [side.model.says_outbind()])

    @precondition(lambda self: self.ends["SMSC"].may_decide)
    @rule()
    def accept(self) -> None:
        side = self.ends["SMSC"]
        data = side.connection.accept_bind("us", self.now)
        side.sends(data, [side.model.accepts(self.now)])
        assert (b"\x02\x10\x00\x01" in data) == ((side.model.version or 0) >= 0x34)

    @precondition(lambda self: self.ends["SMSC"].may_decide)
    @rule(status=st.sampled_from([5, 13, 14]))
    def refuse(self, status: int) -> None:
        side = self.ends["SMSC"]
        events, data = side.connection.refuse_bind(status)
        side.sends(data, [side.model.refuses(status)])
        side.hears(events, [("ended", "bind refused")])

    @rule(role=sides)
    def unbind(self, role: str) -> None:
        side = self.ends[role]
        if side.model.bound and side.model.unbind_sent is None:
            data = side.connection.send(Unbind(), self.now)
            side.sends(data, [side.model.unbinds(self.now)])
            if side.requests:  # its answers may still be written after it
                side.write()

    @rule(role=sides, name=st.sampled_from(sorted(model.OPERATIONS)))
    def ask_what_must_not_be_asked(self, role: str, name: str) -> None:
        """What may not be sent is not, and leaves no trace."""
        side = self.ends[role]
        if side.model.may_ask(name):
            waits = name in model.BINDS and side.model.bind_sent is not None
            full = name in MESSAGES and name not in model.UNANSWERED and side.model.room == 0
            late = name == "outbind" and side.may_decide  # who asks to bind need not be asked to
            if not (waits or full or late or (name == "unbind" and side.model.unbind_sent is not None)):
                return
        try:
            side.connection.send(specimen(model.OPERATIONS[name][0]), self.now)
        except LocalProtocolError:
            return
        raise AssertionError(f"sent {name} in {side.model.state}")

    # -- Requests and answers ----------------------------------------------------------------------------------------

    @rule(role=sides, which=st.integers(0, 20), tlvs=st.booleans(), road=st.sampled_from(["wait", "write", "deliver"]))
    def ask(self, role: str, which: int, tlvs: bool, road: str) -> None:
        side = self.ends[role]
        names = [
            name for name in MESSAGES if side.model.may_ask(name) and (name in model.UNANSWERED or side.model.room > 0)
        ]
        if not names:
            return
        name = names[which % len(names)]
        self.key += 1
        try:
            data = side.connection.send(
                specimen(model.OPERATIONS[name][0], tlvs=REFERENCE if tlvs else ()), self.now, self.key
            )
        except EncodeError:
            assert not side.model.has(name)
            return
        assert side.model.has(name)
        side.sends(data, [side.model.asks(name, self.key, self.now)], ours=name not in model.UNANSWERED)
        assert data.endswith(REFERENCE_OCTETS) == (tlvs and (side.model.version or 0) >= 0x34)
        if name not in model.UNANSWERED:
            side.open.add(self.key)
        if road != "wait":
            side.write()
        if road == "deliver":
            self.deliver(role, 1 << 20)

    @rule(role=sides, which=st.integers(0, 20))
    def fill_the_window(self, role: str, which: int) -> None:
        for _ in range(self.ends[role].model.room):
            self.ask(role, which, False, "write")

    @rule(role=sides, status=statuses, count=st.integers(1, 3), tlvs=st.booleans(), last_first=st.booleans())
    def answer(self, role: str, status: int, count: int, tlvs: bool, last_first: bool) -> None:
        side = self.ends[role]
        if last_first:
            side.requests.reverse()
        asked, side.requests = side.requests[:count], side.requests[count:]
        if not asked:
            return
        responses = [
            specimen(pdu.command_id | model.RESPONSE, pdu.sequence_number, status, REFERENCE if tlvs else ())
            for pdu in asked
        ]
        self.answered(side, side.connection.send_responses(responses, self.now), asked, status)

    @rule(role=sides, count=st.integers(1, 3))
    def throttle(self, role: str, count: int) -> None:
        side = self.ends[role]
        asked, side.requests = side.requests[:count], side.requests[count:]
        if asked:
            self.answered(side, side.connection.refuse(asked, 0x58, self.now), asked, 0x58)

    def answered(self, side: Side, data: bytes, asked: list[PDU], status: int) -> None:
        if side.model.state == "CLOSED":
            assert data == b""
            return
        assert (REFERENCE_OCTETS not in data) or (side.model.version or 0) >= 0x34
        side.model.answers(len(asked), self.now)
        side.sends(data, [(pdu.command_id | model.RESPONSE, status, pdu.sequence_number) for pdu in asked])

    @rule(role=sides)
    def forget_to_answer(self, role: str) -> None:
        self.ends[role].requests.clear()

    @rule(role=sides)
    def enquire(self, role: str) -> None:
        side = self.ends[role]
        if side.model.bound and side.model.unbind_sent is None:
            data = side.connection.send(EnquireLink(), self.now)
            side.sends(data, [side.model.enquires(self.now)])

    # -- An insane peer ----------------------------------------------------------------------------------------------

    @rule(
        role=sides,
        command=st.sampled_from(COMMANDS),
        number=st.sampled_from([0, 0, *range(1, 9), 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]),
        status=statuses,
        at_once=st.booleans(),
    )
    def say_anything(self, role: str, command: int, number: int, status: int, at_once: bool) -> None:
        """A frame that this end's connection knows nothing of."""
        if command in PDU_CLASSES:
            frame = encode(specimen(command, number, status if command & model.RESPONSE else 0))
        else:
            frame = model.header(command, status, number)
        self.ends[role].stream += frame
        if at_once:
            self.deliver(role, 1 << 20)

    @rule(role=sides, how=st.sampled_from(["once", "twice", "as another", "generic_nack"]), status=statuses)
    def answer_out_of_nowhere(self, role: str, how: str, status: int) -> None:
        """Everything that the other end has asked, by its numbers."""
        for number, (_, name, *_) in list(self.other(role).model.asked.items()):
            command = model.OPERATIONS[name][0] | model.RESPONSE
            if how == "as another":
                command = 0x80000103 if name != "data_sm" else 0x80000004
            elif how == "generic_nack":
                command = model.GENERIC_NACK
            self.ends[role].stream += encode(specimen(command, number, status)) * (2 if how == "twice" else 1)
        self.deliver(role, 1 << 20)

    @precondition(lambda self: self.ends["SMSC"].model.bound)
    @rule(at=st.sampled_from([4, 4, 21, 0]))
    def forget_the_bind(self, at: int) -> None:
        """The SMSC says so of what was asked, or of an enquire_link."""
        if at == 21:
            enquiry = self.ends["ESME"].model.enquiry or 0
            self.ends["SMSC"].stream += encode(specimen(0x80000015, enquiry, 4))
            self.deliver("SMSC", 1 << 20)
        else:
            self.answer_out_of_nowhere("SMSC", "once" if at else "generic_nack", 4)

    @rule(role=sides, length=st.sampled_from([0, 15, model.LONGEST + 1, 0xFFFFFFFF]), unluckily=rarely)
    def say_nonsense(self, role: str, length: int, unluckily: bool) -> None:
        if unluckily:
            self.ends[role].stream += length.to_bytes(4, "big") + b"\0\1\2\3"

    # -- Time --------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 1, 2, 3, 7, 8, 10, 11, 20, 29, 31]))
    def wait(self, seconds: int) -> None:
        """Never past a deadline without a look, as a shell does it."""
        until = self.now + seconds
        while self.now < until:
            due = min(side.connection.next_deadline() for side in self.ends.values())
            self.now = int(max(min(due, until), self.now))
            for side in self.ends.values():
                for _ in range(4):
                    if side.connection.next_deadline() > self.now:
                        break
                    expected = side.model.time_passes(self.now)
                    events, data = side.connection.tick(self.now)
                    side.sends(data, [])
                    side.hears(events, expected)
                assert side.connection.next_deadline() > self.now

    # -- What must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def connections_and_models_agree(self) -> None:
        for side in getattr(self, "ends", {}).values():
            connection, end = side.connection, side.model
            assert connection.state.name == end.state
            assert connection.next_deadline() == end.deadline()
            if end.state == "CLOSED":
                continue
            assert connection.room == end.room
            assert connection.unanswered == len(end.asked)
            assert connection.owed == max(end.owes, 0)
            assert connection.is_unbinding == (end.unbind_sent is not None)
            if end.version is not None:
                assert connection.version == end.version


TestSessionMachine = pytest.mark.slow(SessionMachine.TestCase)
# A find is not made smaller: that takes minutes, in which the run would be taken for one that hangs and ended without a
# word. It is printed as it was found; Phase.shrink, added by hand, makes it smaller. Nor may `make fuzz` take longer.
TestSessionMachine.settings = settings(
    stateful_step_count=60,
    max_examples=min(2 * settings().max_examples, 2000),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
