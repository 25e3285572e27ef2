"""The session machine, rule by rule. Times are whole seconds, so that sums are exact."""

from __future__ import annotations

import math

import pytest

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.constants import CommandStatus
from smpp.errors import EncodeError, LocalProtocolError
from smpp.events import (
    Answer,
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
from smpp.pdu import (
    PDU,
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    QuerySm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    response_class,
)
from smpp.states import Role, State

VERSION = ((0x0210, b"\x34"),)
PAYLOAD = ((0x0424, b"a long text"),)

BINDS = {
    State.BOUND_TX: BindTransmitter,
    State.BOUND_RX: BindReceiver,
    State.BOUND_TRX: BindTransceiver,
}


def pdus(data: bytes) -> list[PDU]:
    frames, consumed = split_frames(data)
    assert consumed == len(data)
    return [decode(frame) for frame in frames]


def raw(command_id: int, sequence_number: int, body: bytes = b"", status: int = 0) -> bytes:
    return b"".join(n.to_bytes(4, "big") for n in (16 + len(body), command_id, status, sequence_number)) + body


def esme(state: State = State.BOUND_TRX, *, tlvs: tuple[tuple[int, bytes], ...] = VERSION, **settings) -> Connection:
    connection = Connection(Role.ESME, Settings(**settings), now=0)
    [bind] = pdus(connection.send(BINDS[state](system_id="me"), 0))
    answer = response_class(bind)
    assert answer is not None
    [event] = connection.receive_data(encode(answer(sequence_number=bind.sequence_number, tlvs=tlvs)), 0)
    assert isinstance(event, Bound)
    assert connection.state is state
    return connection


def smsc(state: State = State.BOUND_TRX, version: int = 0x34, **settings) -> Connection:
    connection = Connection(Role.SMSC, Settings(**settings), now=0)
    [event] = connection.receive_data(encode(BINDS[state](sequence_number=1, interface_version=version)), 0)
    assert isinstance(event, BindRequested)
    connection.accept_bind("us", 0)
    assert connection.state is state
    return connection


def submit(connection: Connection, count: int = 1, now: float = 0) -> list[int]:
    """Send requests keyed 0…; their sequence numbers."""
    data = connection.send_requests([(SubmitSm(destination_addr=str(key)), key) for key in range(count)], now)
    return [pdu.sequence_number for pdu in pdus(data)]


def answers(events: list[Event]) -> list[Answer]:
    return [answer for event in events if isinstance(event, Answers) for answer in event.answers]


# --- Binding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", BINDS)
def test_a_bind_leads_to_its_state_at_both_ends(state):
    ours, theirs = Connection(Role.ESME, now=0), Connection(Role.SMSC, now=0)
    [asked] = theirs.receive_data(ours.send(BINDS[state](system_id="me", password="pw"), 0), 0)
    assert isinstance(asked, BindRequested)
    assert (asked.bind.system_id, asked.bind.password) == ("me", "pw")
    [bound] = ours.receive_data(theirs.accept_bind("us", 0), 0)
    assert isinstance(bound, Bound)
    assert bound.response.system_id == "us"
    assert ours.state is theirs.state is state
    assert ours.peer_version == theirs.peer_version == 0x34


def test_a_refused_bind_ends_both_sides():
    ours, theirs = Connection(Role.ESME, now=0), Connection(Role.SMSC, now=0)
    theirs.receive_data(ours.send(BindTransceiver(), 0), 0)
    events, data = theirs.refuse_bind(CommandStatus.ESME_RINVPASWD)
    assert events == [Ended(Ending.BIND_REFUSED)]
    assert ours.receive_data(data, 0) == [BindDenied(0x0E), Ended(Ending.BIND_REFUSED)]


def test_a_generic_nack_may_refuse_a_bind():
    connection = Connection(Role.ESME, now=0)
    [bind] = pdus(connection.send(BindTransceiver(), 0))
    nack = GenericNack(sequence_number=bind.sequence_number, command_status=3)
    assert connection.receive_data(encode(nack), 0) == [BindDenied(3), Ended(Ending.BIND_REFUSED)]


def test_a_bind_response_of_another_kind_or_number_is_stray():
    connection = Connection(Role.ESME, now=0)
    [bind] = pdus(connection.send(BindTransceiver(), 0))
    assert connection.receive_data(encode(BindReceiverResp(sequence_number=bind.sequence_number)), 0) == []
    assert connection.receive_data(encode(BindTransceiverResp(sequence_number=99)), 0) == []
    assert connection.counts["stray"] == 2
    assert connection.state is State.OPEN


def test_a_second_bind_is_answered_already_bound():
    connection = smsc()
    assert connection.receive_data(encode(BindReceiver(sequence_number=7)), 0) == []
    [answer] = pdus(connection.data_to_send())
    assert isinstance(answer, BindReceiverResp)
    assert (answer.command_status, answer.sequence_number) == (CommandStatus.ESME_RALYBND, 7)


def test_a_second_bind_while_the_first_is_looked_at_is_refused_and_the_first_goes_on():
    connection = Connection(Role.SMSC, now=0)
    two = encode(BindReceiver(sequence_number=1)) + encode(BindReceiver(sequence_number=2))
    assert len(connection.receive_data(two, 0)) == 1
    [answer] = pdus(connection.data_to_send())
    assert (answer.sequence_number, answer.command_status) == (2, CommandStatus.ESME_RALYBND)
    [accepted] = pdus(connection.accept_bind("us", 0))
    assert accepted.sequence_number == 1


def test_an_outbind_asks_for_a_bind():
    ours, theirs = Connection(Role.ESME, now=0), Connection(Role.SMSC, now=0)
    [event] = ours.receive_data(theirs.send(Outbind(system_id="us"), 0), 0)
    assert isinstance(event, OutbindReceived)
    assert ours.state is theirs.state is State.OUTBOUND
    theirs.receive_data(ours.send(BindReceiver(), 0), 0)
    ours.receive_data(theirs.accept_bind("us", 0), 0)
    assert ours.state is theirs.state is State.BOUND_RX


def test_what_nobody_asked_for_cannot_be_accepted_or_refused():
    connection = Connection(Role.SMSC, now=0)
    with pytest.raises(LocalProtocolError):
        connection.accept_bind("us", 0)
    with pytest.raises(LocalProtocolError):
        connection.refuse_bind(1)


@pytest.mark.parametrize(
    ("role", "pdu"), [(Role.SMSC, BindReceiver()), (Role.ESME, Outbind()), (Role.ESME, SubmitSm())]
)
def test_what_a_role_or_state_has_no_right_to_is_not_sent(role, pdu):
    connection = Connection(role, now=0)
    with pytest.raises(LocalProtocolError):
        connection.send(pdu, 0)


@pytest.mark.parametrize("pdu", [EnquireLink(), Unbind()])
def test_before_a_bind_nothing_is_asked(pdu):
    with pytest.raises(LocalProtocolError):
        Connection(Role.ESME, now=0).send(pdu, 0)


def test_a_receiver_must_not_submit_and_a_transmitter_must_not_be_delivered_to():
    with pytest.raises(LocalProtocolError):
        esme(State.BOUND_RX).send_requests([(SubmitSm(), None)], 0)
    with pytest.raises(LocalProtocolError):
        smsc(State.BOUND_TX).send_requests([(DeliverSm(), None)], 0)


# --- Versions -------------------------------------------------------------------------------------------------------


def test_an_smsc_that_names_no_version_speaks_3_3_and_gets_no_tlvs():
    connection = esme(tlvs=())
    assert connection.peer_version == 0x33
    [sent] = pdus(connection.send_requests([(SubmitSm(tlvs=((0x0204, b"\0\1"),)), None)], 0))
    assert sent.tlvs == ()


def test_an_esme_of_3_3_gets_no_tlvs_in_its_bind_response():
    connection = Connection(Role.SMSC, now=0)
    connection.receive_data(encode(BindReceiver(sequence_number=1, interface_version=0x33)), 0)
    [response] = pdus(connection.accept_bind("us", 0))
    assert response.tlvs == ()


def test_a_text_in_a_tlv_goes_to_a_3_3_peer_as_short_message():
    [sent] = pdus(esme(tlvs=()).send_requests([(SubmitSm(tlvs=PAYLOAD), 0)], 0))
    assert (sent.short_message, sent.tlvs) == (PAYLOAD[0][1], ())


def test_a_text_that_only_a_tlv_can_hold_cannot_be_sent_to_a_3_3_peer():
    connection = esme(tlvs=())
    with pytest.raises(EncodeError, match="0x0424"):
        connection.send_requests([(SubmitSm(), 0), (SubmitSm(tlvs=((0x0424, bytes(255)),)), 1)], 0)
    assert connection.unanswered == 0
    assert connection.room == 100


def test_a_silent_peer_may_be_known_to_be_better_than_it_says():
    connection = esme(tlvs=(), silent_version=0x34)
    [sent] = pdus(connection.send_requests([(SubmitSm(tlvs=PAYLOAD), None)], 0))
    assert sent.tlvs == PAYLOAD


# --- Requests of ours -----------------------------------------------------------------------------------------------


def test_answers_come_in_one_batch_with_the_keys_of_their_requests():
    connection = esme()
    numbers = submit(connection, 3)
    data = b"".join(encode(SubmitSmResp(sequence_number=n, message_id=f"id{n}")) for n in reversed(numbers))
    [event] = connection.receive_data(data, 1)
    assert [answer.key for answer in event.answers] == [2, 1, 0]
    assert [answer.request.destination_addr for answer in event.answers] == ["2", "1", "0"]
    assert [answer.response.message_id for answer in event.answers] == [f"id{n}" for n in reversed(numbers)]
    assert connection.unanswered == 0


def test_sequence_numbers_go_round_from_0x7fffffff_to_1_past_those_in_use():
    connection = esme()
    [first] = submit(connection)
    connection._window._sequence = 0x7FFFFFFE
    connection.receive_data(encode(SubmitSmResp(sequence_number=first)), 0)
    assert submit(connection, 3) == [0x7FFFFFFF, 1, 2]
    connection._window._sequence = 0x7FFFFFFE
    assert submit(connection, 2) == [3, 4]


def test_the_window_is_the_room():
    connection = esme(window=2)
    assert connection.room == 2
    [first, _] = submit(connection, 2)
    assert connection.room == 0
    with pytest.raises(LocalProtocolError, match="room for 0"):
        submit(connection)
    connection.receive_data(encode(SubmitSmResp(sequence_number=first)), 0)
    assert connection.room == 1


def test_a_batch_with_one_that_has_no_form_sends_none():
    connection = esme()
    with pytest.raises(EncodeError):
        connection.send_requests([(SubmitSm(), 0), (SubmitSm(source_addr="x" * 99), 1)], 0)
    assert connection.unanswered == 0
    assert connection.room == 100


def test_what_is_no_request_is_not_sent_as_one():
    connection = esme()
    for pdu in (SubmitSmResp(), EnquireLink(), Unbind(), BindReceiver(), AlertNotification()):
        with pytest.raises(LocalProtocolError):
            connection.send_requests([(pdu, None)], 0)


def test_a_generic_nack_answers_the_request_of_its_number():
    connection = esme()
    [number] = submit(connection)
    [event] = connection.receive_data(encode(GenericNack(sequence_number=number, command_status=3)), 0)
    assert event.answers[0].response == GenericNack(sequence_number=number, command_status=3)


def test_a_generic_nack_with_number_0_means_that_framing_is_lost():
    connection = esme()
    submit(connection)
    connection.written(connection.ordinal)
    events = connection.receive_data(encode(GenericNack(command_status=2)), 0)
    assert answers(events)[0].lost is Lost.ON_WIRE
    assert events[-1].ending is Ending.PROTOCOL
    assert events[-1].error.clause == "SMPP 3.4 §4.3"


def test_an_answer_to_nothing_is_stray():
    connection = esme()
    assert connection.receive_data(encode(SubmitSmResp(sequence_number=77)), 0) == []
    assert connection.receive_data(encode(GenericNack(sequence_number=77)), 0) == []
    assert connection.counts["stray"] == 2


def test_an_answer_of_another_kind_is_stray_and_the_right_one_still_counts():
    connection = esme()
    [number] = submit(connection)
    assert connection.receive_data(encode(QuerySm(sequence_number=1)), 0) == []
    assert connection.receive_data(raw(0x80000003, number, b"1\0\0\2\0"), 0) == []
    assert connection.counts["stray"] == 1
    assert answers(connection.receive_data(encode(SubmitSmResp(sequence_number=number)), 0))[0].lost is None


def test_an_unreadable_answer_is_an_answer_and_is_not_answered():
    connection = esme()
    many = SubmitMulti(dest_address=(SmeAddress(destination_addr="1"),))
    [sent] = pdus(connection.send_requests([(many, 0)], 0))
    [event] = connection.receive_data(raw(0x80000021, sent.sequence_number, b"id\0\x05\1"), 0)
    assert event.answers == [Answer(0, event.answers[0].request, None, Lost.UNREADABLE)]
    assert connection.data_to_send() == b""


def test_a_request_without_an_answer_costs_only_itself():
    connection = esme(window=1, response_s=10, enquire_link_s=0)
    [number] = submit(connection, now=0)
    assert connection.next_deadline() == 10
    assert connection.tick(9) == ([], b"")
    events, _ = connection.tick(10)
    assert [answer.lost for answer in answers(events)] == [Lost.TIMEOUT]
    assert connection.room == 1
    assert connection.state is State.BOUND_TRX
    assert connection.receive_data(encode(SubmitSmResp(sequence_number=number)), 11) == []
    assert connection.counts["stray"] == 1


def test_only_what_is_overdue_times_out():
    connection = esme(response_s=10, enquire_link_s=0)
    submit(connection, 2, now=0)
    submit(connection, 1, now=5)
    assert len(answers(connection.tick(12)[0])) == 2
    assert connection.next_deadline() == 15


@pytest.mark.parametrize("now", [0.1, 1 / 3, 1e9 + 0.7, 1.7e12 / 1e3])
def test_what_is_due_at_a_deadline_is_done_at_it(now):
    """Rounding must not make ``tick`` find nothing at the very time it asked to be called."""
    connection = esme(response_s=0.3, enquire_link_s=0)
    submit(connection, now=now)
    assert answers(connection.tick(connection.next_deadline())[0])


def test_at_the_end_what_was_written_is_in_doubt_and_the_rest_unsent():
    connection = esme()
    submit(connection, 2)
    mark = connection.ordinal
    connection.send_requests([(SubmitSm(), "late")], 0)
    connection.written(mark)
    *_, ended = events = connection.end(Ending.CUT)
    assert [(answer.key, answer.lost) for answer in answers(events)] == [
        (0, Lost.ON_WIRE),
        (1, Lost.ON_WIRE),
        ("late", Lost.UNSENT),
    ]
    assert ended == Ended(Ending.CUT)
    assert connection.end(Ending.CUT) == []


# --- Requests of the peer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_the_peers_sequence_numbers_are_kept_verbatim(number):
    connection = smsc()
    [event] = connection.receive_data(encode(SubmitSm(sequence_number=number)), 0)
    assert event.pdus[0].sequence_number == number
    [sent] = pdus(connection.send_responses([SubmitSmResp(sequence_number=number)], 0))
    assert sent.sequence_number == number
    connection.receive_data(encode(EnquireLink(sequence_number=number)), 0)
    assert pdus(connection.data_to_send()) == [EnquireLinkResp(sequence_number=number)]


def test_requests_come_in_one_batch():
    connection = smsc()
    data = b"".join(encode(SubmitSm(sequence_number=n)) for n in range(1, 101))
    [event] = connection.receive_data(data, 0)
    assert isinstance(event, Requests)
    assert [pdu.sequence_number for pdu in event.pdus] == list(range(1, 101))
    assert connection.owed == 100


def test_an_alert_is_news_and_owed_no_answer():
    connection = esme()
    [event] = connection.receive_data(encode(AlertNotification(source_addr="1")), 0)
    assert isinstance(event.pdus[0], AlertNotification)
    assert connection.owed == 0


@pytest.mark.parametrize("state", [State.OPEN, State.BOUND_RX])
def test_a_submit_in_the_wrong_state_is_refused(state):
    connection = Connection(Role.SMSC, now=0) if state is State.OPEN else smsc(state)
    assert connection.receive_data(encode(SubmitSm(sequence_number=5)), 0) == []
    assert connection.data_to_send() == raw(0x80000004, 5, status=CommandStatus.ESME_RINVBNDSTS)


def test_an_unknown_command_is_answered_with_a_generic_nack_and_lived_with():
    connection = smsc()
    data = raw(0x00000666, 9) + encode(SubmitSm(sequence_number=10))
    [event] = connection.receive_data(data, 0)
    assert [pdu.sequence_number for pdu in event.pdus] == [10]
    assert pdus(connection.data_to_send()) == [GenericNack(sequence_number=9, command_status=3)]


def test_an_unreadable_request_is_answered_by_its_own_kind():
    connection = smsc()
    assert connection.receive_data(raw(0x00000004, 9, b"\0"), 0) == []
    [answer] = pdus(connection.data_to_send())
    assert isinstance(answer, SubmitSmResp)
    assert answer.command_status != 0
    assert connection.counts["unparsable"] == 1


def test_what_the_codec_forgives_is_counted():
    connection = smsc()
    body = encode(SubmitSm(sequence_number=2, short_message=b"abc")) + b"\0"
    connection.receive_data(len(body).to_bytes(4, "big") + body[4:], 0)
    assert connection.counts["extra NUL"] == 1


def test_refusing_answers_without_a_body():
    connection = smsc()
    [event] = connection.receive_data(encode(SubmitSm(sequence_number=5)), 0)
    assert connection.refuse(event.pdus, CommandStatus.ESME_RTHROTTLED, 0) == raw(0x80000004, 5, status=0x58)
    assert connection.owed == 0


# --- Framing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"\x16\x03\x01\x02\x00\x01", "tls"),
        (b"\0\0\0\x0f" + bytes(12), "senseless command_length"),
        (b"\0\x10\0\0", "senseless command_length"),
    ],
)
def test_noise_before_a_bind_ends_without_a_word(data, word):
    connection = Connection(Role.SMSC, now=0)
    [ended] = connection.receive_data(data, 0)
    assert (ended.ending, ended.detail) == (Ending.PROTOCOL, word)
    assert ended.error.reply_status is None
    assert connection.data_to_send() == b""


def test_a_senseless_length_after_a_bind_is_nacked_and_what_came_before_counts():
    connection = smsc()
    requests, ended = connection.receive_data(encode(SubmitSm(sequence_number=1)) + b"\xff\xff\xff\xff", 0)
    assert len(requests.pdus) == 1
    assert ended.error.reply_status == CommandStatus.ESME_RINVCMDLEN
    assert pdus(connection.data_to_send()) == [GenericNack(command_status=CommandStatus.ESME_RINVCMDLEN)]
    assert connection.receive_data(b"more", 0) == []


def test_a_long_pdu_octet_by_octet_is_looked_at_twice_not_once_an_octet(monkeypatch):
    looks = []
    monkeypatch.setattr("smpp.connection.split_frames", lambda *args: looks.append(1) or split_frames(*args))
    connection = smsc()
    looks.clear()
    frame = encode(SubmitSm(sequence_number=1, tlvs=((0x0424, bytes(5000)),)))
    events = [event for octet in frame for event in connection.receive_data(bytes((octet,)), 0)]
    assert len(events) == 1
    assert len(looks) <= 6


def test_the_end_of_the_stream_in_the_middle_of_a_pdu_says_so():
    connection = smsc()
    connection.receive_data(encode(SubmitSm())[:20], 0)
    assert connection.receive_eof() == [Ended(Ending.CLOSED_BY_PEER, "in the middle of a PDU")]
    assert connection.receive_eof() == []


# --- Unbinding ------------------------------------------------------------------------------------------------------


def test_until_unbind_resp_the_peers_requests_are_taken_and_answered():
    connection = esme()
    [unbind] = pdus(connection.send(Unbind(), 0))
    assert connection.room == 0
    [event] = connection.receive_data(encode(DeliverSm(sequence_number=4)), 0)
    assert len(event.pdus) == 1
    assert pdus(connection.send_responses([DeliverSmResp(sequence_number=4)], 0))
    assert connection.receive_data(encode(UnbindResp(sequence_number=unbind.sequence_number)), 0) == [
        Ended(Ending.UNBOUND)
    ]


def test_an_unbind_that_is_not_answered_ends_in_time():
    connection = esme(response_s=10)
    connection.send(Unbind(), 5)
    assert connection.next_deadline() == 15
    assert connection.tick(15) == ([Ended(Ending.UNBOUND, "no unbind_resp")], b"")


def test_a_generic_nack_to_our_unbind_ends_it_as_well():
    connection = esme()
    [unbind] = pdus(connection.send(Unbind(), 0))
    assert connection.receive_data(encode(GenericNack(sequence_number=unbind.sequence_number)), 0) == [
        Ended(Ending.UNBOUND)
    ]


def test_one_unbind_is_enough():
    connection = esme()
    connection.send(Unbind(), 0)
    with pytest.raises(LocalProtocolError):
        connection.send(Unbind(), 0)


def test_the_peers_unbind_is_answered_after_what_it_asked_before():
    connection = smsc()
    data = encode(SubmitSm(sequence_number=1)) + encode(SubmitSm(sequence_number=2)) + encode(Unbind(sequence_number=3))
    requests, unbinding = connection.receive_data(data + encode(SubmitSm(sequence_number=4)), 0)
    assert len(requests.pdus) == 2
    assert unbinding == PeerUnbinding()
    assert connection.data_to_send() == raw(0x80000004, 4, status=CommandStatus.ESME_RINVBNDSTS)
    assert len(pdus(connection.send_responses([SubmitSmResp(sequence_number=1)], 0))) == 1
    last = pdus(connection.send_responses([SubmitSmResp(sequence_number=2)], 0))
    assert last == [SubmitSmResp(sequence_number=2), UnbindResp(sequence_number=3)]
    assert connection.receive_eof() == [Ended(Ending.UNBOUND_BY_PEER)]


def test_the_peers_unbind_does_not_wait_for_ever():
    connection = smsc(response_s=10, linger_s=2)
    connection.receive_data(encode(SubmitSm(sequence_number=1)) + encode(Unbind(sequence_number=2)), 0)
    assert connection.next_deadline() == 10
    events, data = connection.tick(10)
    assert events == []
    assert pdus(data) == [UnbindResp(sequence_number=2)]
    assert connection.next_deadline() == 12
    assert connection.tick(12)[0] == [Ended(Ending.UNBOUND_BY_PEER)]


def test_answers_still_count_after_the_peers_unbind():
    connection = esme()
    [number] = submit(connection)
    connection.receive_data(encode(Unbind(sequence_number=9)), 0)
    assert pdus(connection.data_to_send()) == [UnbindResp(sequence_number=9)]
    assert answers(connection.receive_data(encode(SubmitSmResp(sequence_number=number)), 0))[0].lost is None


def test_an_unbind_before_a_bind_and_a_second_one_are_answered():
    connection = Connection(Role.SMSC, now=0)
    assert connection.receive_data(encode(Unbind(sequence_number=1)), 0) == [PeerUnbinding()]
    assert connection.receive_data(encode(Unbind(sequence_number=2)), 0) == []
    assert pdus(connection.data_to_send()) == [UnbindResp(sequence_number=1), UnbindResp(sequence_number=2)]


def test_both_may_unbind_at_once():
    connection = esme()
    connection.send(Unbind(), 0)
    connection.receive_data(encode(Unbind(sequence_number=9)), 0)
    assert pdus(connection.data_to_send()) == [UnbindResp(sequence_number=9)]
    assert connection.receive_eof() == [Ended(Ending.UNBOUND_BY_PEER)]


# --- Timers (SMPP 3.4 §7.2) -----------------------------------------------------------------------------------------


def test_session_init_is_stopped_by_a_bind_and_by_nothing_else():
    connection = Connection(Role.SMSC, Settings(session_init_s=10), now=0)
    connection.receive_data(encode(EnquireLink(sequence_number=1)), 9)
    assert pdus(connection.data_to_send()) == [EnquireLinkResp(sequence_number=1)]
    assert connection.next_deadline() == 10
    assert connection.tick(10) == ([Ended(Ending.SESSION_INIT)], b"")


def test_silence_is_asked_about_and_then_ended():
    connection = esme(enquire_link_s=30, response_s=10)
    assert connection.next_deadline() == 30
    events, data = connection.tick(30)
    assert events == []
    assert isinstance(pdus(data)[0], EnquireLink)
    assert connection.next_deadline() == 40
    assert connection.tick(40) == ([Ended(Ending.NOT_ANSWERING)], b"")


@pytest.mark.parametrize("late", [0, 5])
def test_any_pdu_after_our_enquire_link_is_life(late):
    connection = esme(enquire_link_s=30, response_s=10)
    connection.tick(30)
    connection.receive_data(encode(DeliverSm(sequence_number=1)), 30 + late)
    assert connection.next_deadline() == 60 + late
    assert connection.tick(40) == ([], b"")


def test_our_enquire_link_may_be_answered_by_its_response_or_a_generic_nack():
    for answer in (EnquireLinkResp, GenericNack):
        connection = esme(enquire_link_s=30)
        [asked] = pdus(connection.tick(30)[1])
        assert connection.receive_data(encode(answer(sequence_number=asked.sequence_number)), 31) == []
        assert connection.counts["stray"] == 0


def test_a_drip_of_octets_is_no_life():
    connection = esme(enquire_link_s=30, response_s=10)
    for second, octet in enumerate(encode(SubmitSm())[:29]):
        connection.receive_data(bytes((octet,)), second)
    assert connection.next_deadline() == 30


def test_inactivity_unbinds_however_alive_the_peer_is():
    connection = esme(inactivity_s=100, enquire_link_s=0, response_s=10)
    connection.receive_data(encode(EnquireLink(sequence_number=1)), 60)
    assert connection.next_deadline() == 100
    _, data = connection.tick(100)
    [unbind] = pdus(connection.data_to_send() + data)[-1:]
    assert isinstance(unbind, Unbind)
    assert connection.receive_data(encode(UnbindResp(sequence_number=unbind.sequence_number)), 101) == [
        Ended(Ending.INACTIVE)
    ]


def test_a_message_is_activity():
    connection = esme(inactivity_s=100, enquire_link_s=0, response_s=300)
    submit(connection, now=50)
    assert connection.next_deadline() == 150


def test_when_it_is_over_nothing_is_due_or_sent():
    connection = esme()
    connection.end(Ending.CLOSED)
    assert connection.next_deadline() == math.inf
    assert connection.tick(1e9) == ([], b"")
    assert connection.send_responses([SubmitSmResp()], 0) == b""
    assert connection.refuse([SubmitSm()], 0x58, 0) == b""
    with pytest.raises(LocalProtocolError):
        submit(connection)
