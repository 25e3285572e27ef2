"""Properties of the session machine: whatever comes, in whatever pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.errors import EncodeError, LocalProtocolError
from smpp.events import Answers, Ended, Ending, Event, OutbindReceived, Requests, Settings
from smpp.pdu import (
    PDU,
    PDU_CLASSES,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    Outbind,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    response_class,
)
from smpp.states import ACTIONS, BOUND_AS, Action, Role, State, may_send

BOUND = {State.BOUND_TX: BindTransmitter, State.BOUND_RX: BindReceiver, State.BOUND_TRX: BindTransceiver}


def connection_in(role: Role, state: State) -> Connection:
    """A connection that came into the state by the road that sessions take."""
    connection = Connection(role, Settings(), now=0)
    if state is State.OPEN:
        return connection
    other = Connection(role.peer, Settings(), now=0)
    esme, smsc = (connection, other) if role is Role.ESME else (other, connection)
    if state is State.OUTBOUND:
        esme.receive_data(smsc.send(Outbind(), 0), 0)
        return connection
    smsc.receive_data(esme.send(BOUND.get(state, BindTransceiver)(system_id="x"), 0), 0)
    esme.receive_data(smsc.accept_bind("y", 0), 0)
    if state is State.UNBOUND:
        connection.receive_data(other.send(Unbind(), 0), 0)
        connection.data_to_send()
    elif state is State.CLOSED:
        connection.end(Ending.CLOSED)
    assert connection.state is state
    return connection


def flat(events: list[Event]) -> tuple[list[PDU], list[object], list[Event]]:
    """Requests, answers and the rest, each in order: the order among the three is not promised."""
    requests, answers, rest = [], [], []
    for event in events:
        if isinstance(event, Requests):
            requests += event.pdus
        elif isinstance(event, Answers):
            answers += [(answer.key, answer.response, answer.lost) for answer in event.answers]
        else:
            rest.append((type(event), getattr(event, "ending", None), getattr(event, "detail", None)))
    return requests, answers, rest


def specimen(command: int, number: int) -> PDU:
    """A PDU of that command with nothing in it but what must be."""
    if command == SubmitMulti.command_id:
        return SubmitMulti(sequence_number=number, dest_address=(SmeAddress(destination_addr="1"),))
    return PDU_CLASSES[command](sequence_number=number)


commands = st.sampled_from(sorted(PDU_CLASSES))
numbers = st.one_of(st.integers(0, 5), st.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame with a sound header: a PDU of ours, or any body under any command."""
    command = draw(st.one_of(commands, st.integers(0, 0xFFFFFFFF)))
    number = draw(numbers)
    if command in PDU_CLASSES and draw(st.booleans()):
        return encode(specimen(command, number))
    body = draw(st.binary(max_size=60))
    status = draw(st.sampled_from([0, 8, 0x58]))
    return b"".join(n.to_bytes(4, "big") for n in (16 + len(body), command, status, number)) + body


streams = st.one_of(
    st.binary(max_size=200),
    st.lists(frames(), max_size=12).map(b"".join),
    st.tuples(st.lists(frames(), max_size=6).map(b"".join), st.binary(max_size=40)).map(b"".join),
)
places = st.tuples(st.sampled_from(Role), st.sampled_from(State))


def ask(connection: Connection) -> None:
    """Have requests of ours on the way, numbered from 2, where the state allows any."""
    if may_send(connection.role, connection.state, SubmitSm):
        connection.send_requests([(SubmitSm(), key) for key in range(4)], 0)


@given(place=places, data=streams)
def test_any_octets_give_events_and_nothing_else(place, data):
    connection = connection_in(*place)
    ask(connection)
    events = connection.receive_data(data, 1)
    sent, consumed = connection.data_to_send(), 0
    frames_sent, consumed = split_frames(sent)
    assert consumed == len(sent)
    for frame in frames_sent:
        decode(frame)
    ended = [event for event in events if isinstance(event, Ended)]
    assert len(ended) <= 1
    assert bool(ended) == (connection.is_over and place[1] is not State.CLOSED)
    if ended:
        assert events[-1] is ended[0]


@given(place=places, data=streams, cuts=st.lists(st.integers(0, 500), max_size=12))
def test_any_chunking_gives_equal_events_and_equal_answers(place, data, cuts):
    whole, pieces = connection_in(*place), connection_in(*place)
    ask(whole)
    ask(pieces)
    at_once = whole.receive_data(data, 1)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    in_pieces: list[Event] = []
    for start, end in pairwise(edges):
        in_pieces += pieces.receive_data(data[start:end], 1)
    assert flat(at_once) == flat(in_pieces)
    assert whole.data_to_send() == pieces.data_to_send()
    assert whole.counts == pieces.counts
    assert (whole.state, whole.owed, whole.unanswered) == (pieces.state, pieces.owed, pieces.unanswered)


@pytest.mark.parametrize("number", [0, 1, 7, 0xFFFFFFFF])
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
def test_every_pdu_in_every_state_does_what_the_table_says(role, state, number):
    """All of them, not a sample: they are few."""
    for command in PDU_CLASSES:
        do_as_the_table_says(role, state, command, number)


def do_as_the_table_says(role: Role, state: State, command: int, number: int) -> None:
    connection = connection_in(role, state)
    pdu = specimen(command, number)
    action = ACTIONS[role][state][type(pdu)]
    events = connection.receive_data(encode(pdu), 1)
    sent = [decode(frame) for frame in split_frames(connection.data_to_send())[0]]
    if action in (Action.DELIVER, Action.NEWS):
        assert [event.pdus for event in events] == [[pdu]]
        assert sent == []
        assert connection.owed == (1 if action is Action.DELIVER else 0)
    elif action in (Action.REFUSE, Action.ALREADY):
        assert events == []
        [answer] = sent
        assert type(answer) is response_class(pdu)
        assert (answer.sequence_number, answer.command_status) == (number, 4 if action is Action.REFUSE else 5)
        assert connection.state is state
    elif action is Action.IGNORE:
        assert (events, sent) == ([], [])
        assert connection.state is state
    elif action in (Action.ECHO, Action.UNBIND):
        assert type(sent[0]) is response_class(pdu)
        assert sent[0].sequence_number == number
    elif action is Action.BIND:
        connection.accept_bind("us", 1)
        assert connection.state is BOUND_AS[type(pdu)]
    elif action is Action.OUTBIND:
        assert [type(event) for event in events] == [OutbindReceived]
        assert connection.state is State.OUTBOUND
    else:  # an answer: nothing to say to it, and nothing was asked
        assert sent == []
        assert number == 0 or connection.counts["stray"] or events == []


class Ledger:
    """Follows requests from sending to the one answer that each must get."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Answers):
                for answer in event.answers:
                    self.open.remove(answer.key)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 3)),
        st.tuples(st.just("answer"), st.integers(0, 8)),
        st.tuples(st.just("nack"), st.integers(0, 8)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
        st.tuples(st.just("written"), st.just(0)),
    ),
    max_size=40,
)


@given(steps=actions, last=st.sampled_from([Ending.CUT, Ending.CLOSED]))
def test_every_request_comes_back_exactly_once(steps, last):
    connection = connection_in(Role.ESME, State.BOUND_TRX)
    ledger, now, key, sent = Ledger(), 0.0, 0, []
    for step, number in steps:
        if connection.is_over:
            break
        if step == "send":
            count = min(number, connection.room)
            ledger.open |= set(range(key, key + count))
            data = connection.send_requests([(SubmitSm(), key + n) for n in range(count)], now)
            sent += [decode(frame).sequence_number for frame in split_frames(data)[0]]
            key += count
        elif step in ("answer", "nack") and sent:
            command = 0x80000004 if step == "answer" else 0x80000000
            pdu = PDU_CLASSES[command](sequence_number=sent[number % len(sent)])
            ledger.take(connection.receive_data(encode(pdu), now))
        elif step == "wait":
            now += number
            ledger.take(connection.tick(now)[0])
        elif step == "written":
            connection.written(connection.ordinal)
        assert connection.unanswered == len(ledger.open)
        assert connection.is_over or connection.room == connection.settings.window - connection.unanswered
    ledger.take(connection.end(last))
    assert not ledger.open


@given(steps=st.lists(st.tuples(st.floats(0, 50), streams), max_size=8), place=places)
def test_tick_at_the_deadline_always_moves_it(steps, place):
    """Nothing that is due may stay due: a shell would call ``tick`` for ever."""
    connection = connection_in(*place)
    ask(connection)
    now = 0.0
    for wait, data in steps:
        now += wait
        connection.receive_data(data, now)
        for _ in range(8):
            deadline = connection.next_deadline()
            if deadline > now:
                break
            connection.tick(now)
        else:
            pytest.fail(f"{connection.state.name} is due at {deadline} for ever, now {now}")


# --- Versions -------------------------------------------------------------------------------------------------------

versions = st.one_of(st.sampled_from([0x00, 0x33, 0x34, 0x50]), st.integers(0, 0xFF))
tlv_lists = st.lists(
    st.tuples(st.sampled_from([0x0204, 0x0424, 0x0428, 0x020C, 0x020E, 0x020F, 0x1400]), st.binary(max_size=300)),
    max_size=4,
).map(tuple)
NEW_COMMANDS = {0x34: {0x103, 0x102}, 0x50: {0x111, 0x112, 0x113}}


def bound(role: Role, said: int, told: int | None) -> Connection:
    """A connection whose ESME has said one version and been told another, or none."""
    connection = Connection(role, Settings(), now=0)
    if role is Role.SMSC:
        connection.receive_data(encode(BindTransceiver(sequence_number=1, interface_version=said)), 0)
        connection.accept_bind("us", 0)
        return connection
    connection.send(BindTransceiver(interface_version=said), 0)
    tlvs = () if told is None else ((0x0210, bytes((told,))),)
    connection.receive_data(encode(BindTransceiverResp(sequence_number=1, tlvs=tlvs)), 0)
    return connection


@given(role=st.sampled_from(Role), said=versions, told=st.none() | versions, command=commands, tlvs=tlv_lists)
def test_nothing_is_sent_that_the_sessions_version_does_not_have(role, said, told, command, tlvs):
    connection = bound(role, said, told)
    version = min(said, 0x50) if role is Role.SMSC else min(said, 0x33 if told is None else told, 0x50)
    assert connection.version == version
    pdu = structs.replace(specimen(command, 1), tlvs=tlvs)
    try:
        data = connection.send(pdu, 0)
    except EncodeError:
        assert connection.unanswered == 0
        return
    except LocalProtocolError:
        assert not may_send(role, State.BOUND_TRX, type(pdu)) or command in (0x15, 0x06)
        return
    for frame in split_frames(data)[0]:
        sent = decode(frame)
        assert sent.tlvs == () or version >= 0x34
        assert 0x0428 not in dict(sent.tlvs) or version >= 0x50
        if not command & 0x80000000:
            assert all(version >= since or command not in new for since, new in NEW_COMMANDS.items())


# --- Congestion -----------------------------------------------------------------------------------------------------

answers_of_a_peer = st.lists(st.tuples(st.integers(1, 8), st.none() | st.integers(0, 255)), max_size=60)


@given(window=st.integers(1, 40), rounds=answers_of_a_peer)
def test_the_window_stays_between_one_and_what_was_agreed_and_comes_back(window, rounds):
    connection = Connection(Role.ESME, Settings(window=window), now=0)
    connection.send(BindTransceiver(interface_version=0x50), 0)
    connection.receive_data(encode(BindTransceiverResp(sequence_number=1, tlvs=((0x0210, b"\x50"),))), 0)
    waiting: list[int] = []

    def round_trip(count: int, state: int | None) -> None:
        room = connection.room
        assert 0 <= room <= window
        assert room or waiting, "nothing is on the way, and nothing may go: it would stand still for ever"
        data = connection.send_requests([(SubmitSm(), None)] * room, 0)
        waiting.extend(decode(frame).sequence_number for frame in split_frames(data)[0])
        tlvs = () if state is None else ((0x0428, bytes((state,))),)
        done, waiting[:count] = waiting[:count], []
        connection.receive_data(b"".join(encode(SubmitSmResp(sequence_number=n, tlvs=tlvs)) for n in done), 0)
        if state is not None and state <= 100:
            assert connection.congestion == state
        if state == 100:
            assert connection.room <= 1

    for count, state in rounds:
        round_trip(count, state)
    for _ in range(2 * window + 1):
        round_trip(len(waiting) or 1, None)
        round_trip(window, 50)
    assert connection.room + connection.unanswered == window
