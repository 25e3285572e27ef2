"""Window counts and sequence numbers under peers that answer twice, wrongly, with old numbers, or never."""

from __future__ import annotations

import pytest

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.events import Answers, Ended, Ending, Lost, Requests, Settings
from smpp.pdu import (
    PDU,
    BindTransceiver,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    QuerySmResp,
    SubmitSm,
    SubmitSmResp,
    UnbindResp,
)
from smpp.states import Role, State

ROLES = [(Role.ESME, SubmitSm, SubmitSmResp), (Role.SMSC, DeliverSm, DeliverSmResp)]
each_role = pytest.mark.parametrize(("role", "request_type", "response_type"), ROLES)


def bound(role: Role, **settings) -> Connection:
    settings = {"window": 10, "enquire_link_s": 0, "response_s": 10} | settings
    ours, theirs = Connection(role, Settings(**settings), now=0), Connection(role.peer, now=0)
    esme, smsc = (ours, theirs) if role is Role.ESME else (theirs, ours)
    smsc.receive_data(esme.send(BindTransceiver(), 0), 0)
    esme.receive_data(smsc.accept_bind("us", 0), 0)
    return ours


def pdus(data: bytes) -> list[PDU]:
    return [decode(frame) for frame in split_frames(data)[0]]


def ask(connection: Connection, request_type: type[PDU], count: int, now: float = 0, first: int = 0) -> list[int]:
    data = connection.send_requests([(request_type(), key) for key in range(first, first + count)], now)
    return [pdu.sequence_number for pdu in pdus(data)]


def keys(events: list) -> list[object]:
    return [answer.key for event in events if isinstance(event, Answers) for answer in event.answers]


# --- A peer that answers twice --------------------------------------------------------------------------------------


@each_role
def test_a_second_answer_is_counted_and_frees_no_place(role, request_type, response_type):
    connection = bound(role)
    first, *_ = ask(connection, request_type, 10)
    answer = encode(response_type(sequence_number=first))
    assert keys(connection.receive_data(answer, 1)) == [0]
    for _ in range(50):
        assert connection.receive_data(answer, 1) == []
    assert (connection.room, connection.unanswered, connection.counts["stray"]) == (1, 9, 50)


@each_role
def test_two_answers_in_one_piece_are_one_answer(role, request_type, response_type):
    connection = bound(role)
    numbers = ask(connection, request_type, 3)
    twice = b"".join(encode(response_type(sequence_number=n)) * 2 for n in numbers)
    assert keys(connection.receive_data(twice, 1)) == [0, 1, 2]
    assert (connection.room, connection.counts["stray"]) == (10, 3)


@each_role
def test_an_answer_and_a_generic_nack_to_the_same_request_are_one_answer(role, request_type, response_type):
    connection = bound(role)
    [number] = ask(connection, request_type, 1)
    both = encode(GenericNack(sequence_number=number, command_status=3)) + encode(response_type(sequence_number=number))
    assert keys(connection.receive_data(both, 1)) == [0]
    assert connection.room == 10


@each_role
def test_a_second_answer_does_not_answer_the_request_that_has_the_number_next(role, request_type, response_type):
    """Numbers come round after 2^31 requests; one that is in use is passed over, one that is free is used again."""
    connection = bound(role)
    [number] = ask(connection, request_type, 1)
    connection.receive_data(encode(response_type(sequence_number=number)), 1)
    assert connection.receive_data(encode(response_type(sequence_number=number)), 1) == []
    following = ask(connection, request_type, 10)
    assert number not in following
    assert len(set(following)) == 10


# --- A peer that answers with a wrong sequence number -----------------------------------------------------------------


@each_role
@pytest.mark.parametrize("number", [0, 999, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_an_answer_with_a_number_that_nobody_has_answers_nothing(role, request_type, response_type, number):
    connection = bound(role)
    ask(connection, request_type, 2)
    assert connection.receive_data(encode(response_type(sequence_number=number)), 1) == []
    assert (connection.room, connection.unanswered, connection.counts["stray"]) == (8, 2, 1)
    assert keys(connection.tick(10)[0]) == [0, 1]  # both are waited for, each its full time


@each_role
def test_an_answer_of_another_kind_with_a_right_number_answers_nothing(role, request_type, response_type):
    connection = bound(role)
    [number] = ask(connection, request_type, 1)
    others = [QuerySmResp(sequence_number=number, message_id="x"), EnquireLinkResp(sequence_number=number)]
    others += [UnbindResp(sequence_number=number), (SubmitSmResp if role is Role.SMSC else DeliverSmResp)()]
    for pdu in others:
        assert connection.receive_data(encode(pdu), 1) == []
    assert connection.counts["stray"] == 4
    assert connection.state is State.BOUND_TRX
    assert keys(connection.receive_data(encode(response_type(sequence_number=number)), 1)) == [0]


@each_role
def test_a_generic_nack_with_a_number_that_nobody_has_ends_nothing(role, request_type, response_type):
    connection = bound(role)
    ask(connection, request_type, 1)
    assert connection.receive_data(encode(GenericNack(sequence_number=4711, command_status=3)), 1) == []
    assert (connection.unanswered, connection.counts["stray"]) == (1, 1)


@each_role
@pytest.mark.parametrize("status", [0, 4])
@pytest.mark.parametrize("response", [UnbindResp, EnquireLinkResp])
def test_an_answer_numbered_0_to_what_was_never_asked_ends_nothing(role, request_type, response_type, response, status):
    """0 is no number of ours, so nothing that we have not sent may stand under it."""
    connection = bound(role)
    ask(connection, request_type, 1)
    assert connection.receive_data(encode(response(sequence_number=0, command_status=status)), 1) == []
    assert (connection.state, connection.unanswered) == (State.BOUND_TRX, 1)
    assert connection.counts["stray"] == 1
    assert connection.data_to_send() == b""


# --- A peer that uses sequence numbers again --------------------------------------------------------------------------


@each_role
def test_two_requests_with_one_number_are_two_requests_each_with_its_answer(role, request_type, response_type):
    """The peer cannot tell the answers apart; that is its trouble. Leaving one out would make it two."""
    connection = bound(role)
    theirs = DeliverSm if role is Role.ESME else SubmitSm
    answer = DeliverSmResp if role is Role.ESME else SubmitSmResp
    data = b"".join(encode(theirs(sequence_number=7, short_message=text)) for text in (b"one", b"two", b"three"))
    [event] = connection.receive_data(data, 1)
    assert isinstance(event, Requests)
    assert [pdu.short_message for pdu in event.pdus] == [b"one", b"two", b"three"]
    assert connection.owed == 3
    sent = pdus(connection.send_responses([answer(sequence_number=7)] * 3, 1))
    assert [pdu.sequence_number for pdu in sent] == [7, 7, 7]
    assert connection.owed == 0


@each_role
def test_the_peers_numbers_are_not_ours(role, request_type, response_type):
    """Each side counts by itself: a request of theirs with the number of one of ours is a request (SMPP 5.0 §2.6.1)."""
    connection = bound(role)
    numbers = ask(connection, request_type, 3)
    theirs = DeliverSm if role is Role.ESME else SubmitSm
    [event] = connection.receive_data(b"".join(encode(theirs(sequence_number=n)) for n in numbers), 1)
    assert isinstance(event, Requests)
    assert (len(event.pdus), connection.unanswered) == (3, 3)


@each_role
def test_every_enquire_link_is_answered_though_all_have_one_number(role, request_type, response_type):
    connection = bound(role)
    assert connection.receive_data(encode(EnquireLink(sequence_number=5)) * 20, 1) == []
    assert pdus(connection.data_to_send()) == [EnquireLinkResp(sequence_number=5)] * 20


@each_role
def test_our_own_numbers_are_never_used_twice_at_a_time_even_round_the_end(role, request_type, response_type):
    connection = bound(role, window=1000)
    connection._window._sequence = 0x7FFFFFFF - 300
    in_use = ask(connection, request_type, 600)
    connection._window._sequence = 0x7FFFFFFF - 300  # as after a whole round
    more = ask(connection, request_type, 400)
    assert len(set(in_use + more)) == 1000
    assert all(1 <= number <= 0x7FFFFFFF for number in in_use + more)


# --- A peer that never answers ----------------------------------------------------------------------------------------


@each_role
def test_a_peer_that_never_answers_costs_each_request_its_time_and_the_window_comes_back(
    role, request_type, response_type
):
    connection = bound(role)
    for round_number in range(5):
        now = 10 * round_number
        ask(connection, request_type, 10, now=now)
        assert connection.room == 0
        assert connection.next_deadline() == now + 10
        events, data = connection.tick(now + 10)
        assert (keys(events), data) == (list(range(10)), b"")
        assert {answer.lost for answer in events[0].answers} == {Lost.TIMEOUT}
        assert (connection.room, connection.unanswered) == (10, 0)
    assert connection.state is State.BOUND_TRX


@each_role
def test_an_answer_after_its_time_is_counted_and_frees_no_place_twice(role, request_type, response_type):
    connection = bound(role)
    late = ask(connection, request_type, 10)
    connection.tick(10)
    ask(connection, request_type, 4, now=10)
    connection.receive_data(b"".join(encode(response_type(sequence_number=n)) for n in late), 11)
    assert (connection.room, connection.unanswered, connection.counts["stray"]) == (6, 4, 10)


@each_role
def test_a_peer_that_answers_neither_requests_nor_enquiries_is_left(role, request_type, response_type):
    connection = bound(role, enquire_link_s=30)
    ask(connection, request_type, 1)
    connection.written(connection.ordinal)
    assert keys(connection.tick(10)[0]) == [0]
    assert isinstance(pdus(connection.tick(30)[1])[0], EnquireLink)
    assert connection.tick(40)[0] == [Ended(Ending.NOT_ANSWERING)]


@each_role
def test_answers_in_any_order_free_as_many_places(role, request_type, response_type):
    connection = bound(role)
    numbers = ask(connection, request_type, 10)
    for done, number in enumerate(reversed(numbers), start=1):
        connection.receive_data(encode(response_type(sequence_number=number)), 1)
        assert connection.room == done
    assert connection.counts["stray"] == 0
