"""ESME_RINVBNDSTS on a bound session: the SMSC has forgotten the bind, while something keeps the connection alive."""

from __future__ import annotations

import pytest

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.constants import CommandStatus
from smpp.events import Answers, Ended, Ending, Lost, Settings
from smpp.pdu import (
    PDU,
    BindTransceiver,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from smpp.states import Role, State

NOT_BOUND = CommandStatus.ESME_RINVBNDSTS


def pdus(data: bytes) -> list[PDU]:
    return [decode(frame) for frame in split_frames(data)[0]]


def bound(role: Role = Role.ESME, **settings) -> Connection:
    ours, theirs = Connection(role, Settings(**settings), now=0), Connection(role.peer, now=0)
    esme, smsc = (ours, theirs) if role is Role.ESME else (theirs, ours)
    smsc.receive_data(esme.send(BindTransceiver(), 0), 0)
    esme.receive_data(smsc.accept_bind("us", 0), 0)
    return ours


def submit(connection: Connection, count: int = 1, make: type[PDU] = SubmitSm) -> list[int]:
    data = connection.send_requests([(make(), key) for key in range(count)], 0)
    connection.written(connection.ordinal)
    return [pdu.sequence_number for pdu in pdus(data)]


def lost(events: list) -> list[tuple[object, Lost | None]]:
    return [(answer.key, answer.lost) for event in events if isinstance(event, Answers) for answer in event.answers]


@pytest.mark.parametrize(
    "make_answer",
    [
        lambda number: SubmitSmResp(sequence_number=number, command_status=NOT_BOUND),
        lambda number: GenericNack(sequence_number=number, command_status=NOT_BOUND),
    ],
)
def test_a_submit_sm_that_is_answered_so_was_not_taken_and_the_session_unbinds(make_answer):
    connection = bound()
    [number] = submit(connection)
    assert lost(connection.receive_data(encode(make_answer(number)), 1)) == [(0, Lost.NOT_BOUND)]
    [unbind] = pdus(connection.data_to_send())
    assert isinstance(unbind, Unbind)
    assert connection.room == 0
    assert connection.receive_data(encode(UnbindResp(sequence_number=unbind.sequence_number)), 1) == [
        Ended(Ending.FORGOTTEN)
    ]


def test_the_rest_of_the_window_is_waited_for_and_one_unbind_is_enough():
    """Each of them is answered in the same way; none is in doubt."""
    connection = bound()
    numbers = submit(connection, 5)
    refused = b"".join(encode(SubmitSmResp(sequence_number=n, command_status=NOT_BOUND)) for n in numbers[:4])
    events = connection.receive_data(refused + encode(SubmitSmResp(sequence_number=numbers[4])), 1)
    assert lost(events) == [(key, Lost.NOT_BOUND) for key in range(4)] + [(4, None)]
    assert [type(pdu) for pdu in pdus(connection.data_to_send())] == [Unbind]
    assert connection.counts["bind forgotten"] == 4


def test_what_was_never_answered_is_in_doubt_as_ever():
    connection = bound()
    first, _ = submit(connection, 2)
    connection.receive_data(encode(SubmitSmResp(sequence_number=first, command_status=NOT_BOUND)), 1)
    [unbind] = pdus(connection.data_to_send())
    events = connection.receive_data(encode(UnbindResp(sequence_number=unbind.sequence_number)), 1)
    assert lost(events) == [(1, Lost.ON_WIRE)]


@pytest.mark.parametrize("status", [0, NOT_BOUND, CommandStatus.ESME_RSYSERR])
def test_an_smsc_that_refuses_the_unbind_too_ends_it_as_well(status):
    connection = bound()
    [number] = submit(connection)
    connection.receive_data(encode(SubmitSmResp(sequence_number=number, command_status=NOT_BOUND)), 1)
    [unbind] = pdus(connection.data_to_send())
    answer = UnbindResp(sequence_number=unbind.sequence_number, command_status=status)
    assert connection.receive_data(encode(answer), 1) == [Ended(Ending.FORGOTTEN)]


def test_an_smsc_that_does_not_answer_the_unbind_is_left_in_time():
    connection = bound(response_s=10)
    [number] = submit(connection)
    connection.receive_data(encode(SubmitSmResp(sequence_number=number, command_status=NOT_BOUND)), 1)
    assert connection.next_deadline() == 11
    assert connection.tick(11)[0] == [Ended(Ending.FORGOTTEN, "no unbind_resp")]


def test_a_data_sm_tells_it_as_well():
    connection = bound()
    [number] = submit(connection, make=DataSm)
    refused = DataSmResp(sequence_number=number, command_status=NOT_BOUND)
    assert lost(connection.receive_data(encode(refused), 1)) == [(0, Lost.NOT_BOUND)]
    assert connection.is_unbinding


def test_a_receiver_hears_of_it_by_its_enquire_link():
    """It has nothing else to ask, and would wait for ever for texts that nobody sends to it."""
    connection = bound(enquire_link_s=30)
    [asked] = pdus(connection.tick(30)[1])
    assert isinstance(asked, EnquireLink)
    answer = EnquireLinkResp(sequence_number=asked.sequence_number, command_status=NOT_BOUND)
    assert connection.receive_data(encode(answer), 31) == []
    assert [type(pdu) for pdu in pdus(connection.data_to_send())] == [Unbind]


def test_an_answer_to_nothing_says_nothing():
    connection = bound()
    connection.receive_data(encode(SubmitSmResp(sequence_number=99, command_status=NOT_BOUND)), 1)
    connection.receive_data(encode(EnquireLinkResp(sequence_number=99, command_status=NOT_BOUND)), 1)
    assert connection.data_to_send() == b""
    assert connection.state is State.BOUND_TRX
    assert not connection.is_unbinding


def test_an_esme_that_says_so_of_a_deliver_sm_is_not_cut_off():
    """It is the one that bound: it is confused, and answers the next one, or unbinds."""
    connection = bound(Role.SMSC)
    [number] = submit(connection, make=DeliverSm)
    refused = DeliverSmResp(sequence_number=number, command_status=NOT_BOUND)
    [event] = connection.receive_data(encode(refused), 1)
    assert event.answers[0].response == refused
    assert connection.data_to_send() == b""
    assert not connection.is_unbinding


def test_in_an_unbind_that_is_under_way_it_is_no_news():
    connection = bound()
    [number] = submit(connection)
    connection.send(Unbind(), 1)
    refused = SubmitSmResp(sequence_number=number, command_status=NOT_BOUND)
    assert lost(connection.receive_data(encode(refused), 1)) == [(0, Lost.NOT_BOUND)]
    assert connection.data_to_send() == b""
    unbinding = bound()
    [number] = submit(unbinding)
    unbinding.receive_data(encode(Unbind(sequence_number=5)), 1)
    assert pdus(unbinding.data_to_send()) == [UnbindResp(sequence_number=5)]
    assert lost(unbinding.receive_data(encode(SubmitSmResp(sequence_number=number, command_status=NOT_BOUND)), 1)) == [
        (0, Lost.NOT_BOUND)
    ]
    assert unbinding.data_to_send() == b""
