"""The table of states: the operations of SMPP 3.4 table 2-1, cell by cell, and what the standard says of the rest."""

from __future__ import annotations

import pytest

from smpp import pdu
from smpp.pdu import PDU, PDU_CLASSES, is_response, response_class
from smpp.states import ACTIONS, Action, Role, State, may_send

TX, RX, TRX = State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX

# PDU: the states in which an ESME, and an SMSC, may issue it. SMPP 3.4 table 2-1; replace_sm also in BOUND_TRX, outbind
# and any bind in OUTBOUND as in SMPP 5.0 table 2-1.
TABLE_2_1: dict[type[PDU], tuple[set[State], set[State]]] = {
    pdu.BindTransmitter: ({State.OPEN, State.OUTBOUND}, set()),
    pdu.BindReceiver: ({State.OPEN, State.OUTBOUND}, set()),
    pdu.BindTransceiver: ({State.OPEN, State.OUTBOUND}, set()),
    pdu.Outbind: (set(), {State.OPEN}),
    pdu.Unbind: ({TX, RX, TRX}, {TX, RX, TRX}),
    pdu.SubmitSm: ({TX, TRX}, set()),
    pdu.SubmitMulti: ({TX, TRX}, set()),
    pdu.DataSm: ({TX, RX, TRX}, {TX, RX, TRX}),
    pdu.DeliverSm: (set(), {RX, TRX}),
    pdu.QuerySm: ({TX, TRX}, set()),
    pdu.CancelSm: ({TX, TRX}, set()),
    pdu.ReplaceSm: ({TX, TRX}, set()),
    pdu.EnquireLink: ({TX, RX, TRX}, {TX, RX, TRX}),
    pdu.AlertNotification: (set(), {RX, TRX}),
    pdu.BroadcastSm: ({TX, TRX}, set()),
    pdu.QueryBroadcastSm: ({TX, TRX}, set()),
    pdu.CancelBroadcastSm: ({TX, TRX}, set()),
}


def test_every_request_is_in_the_table():
    assert set(TABLE_2_1) == {pdu_type for pdu_type in PDU_CLASSES.values() if not is_response(pdu_type.command_id)}


@pytest.mark.parametrize("pdu_type", TABLE_2_1)
def test_what_may_be_sent_is_table_2_1(pdu_type):
    by_esme, by_smsc = TABLE_2_1[pdu_type]
    assert {state for state in State if may_send(Role.ESME, state, pdu_type)} == by_esme
    assert {state for state in State if may_send(Role.SMSC, state, pdu_type)} == by_smsc


@pytest.mark.parametrize("role", Role)
def test_the_table_is_total(role):
    for state in State:
        assert set(ACTIONS[role][state]) == set(PDU_CLASSES.values())


@pytest.mark.parametrize("role", Role)
def test_a_response_is_never_answered(role):
    for state in State:
        for pdu_type, action in ACTIONS[role][state].items():
            if is_response(pdu_type.command_id):
                assert action not in (Action.REFUSE, Action.ALREADY, Action.ECHO, Action.UNBIND), pdu_type


@pytest.mark.parametrize("role", Role)
def test_only_what_has_a_response_is_answered(role):
    for state in State:
        for pdu_type, action in ACTIONS[role][state].items():
            if action in (Action.REFUSE, Action.ALREADY, Action.DELIVER, Action.ECHO, Action.UNBIND, Action.BIND):
                assert response_class(pdu_type) is not None, pdu_type


@pytest.mark.parametrize("role", Role)
def test_enquire_link_is_answered_until_closed(role):
    for state in State:
        expected = Action.IGNORE if state is State.CLOSED else Action.ECHO
        assert ACTIONS[role][state][pdu.EnquireLink] is expected


@pytest.mark.parametrize("role", Role)
def test_closed_means_nothing_any_more(role):
    assert set(ACTIONS[role][State.CLOSED].values()) == {Action.IGNORE}


@pytest.mark.parametrize("role", Role)
def test_answers_to_what_may_be_sent_are_understood_where_it_was_sent_and_after_an_unbind(role):
    for pdu_type in TABLE_2_1:
        response = response_class(pdu_type)
        if response is None:
            continue
        states = {state for state in State if may_send(role, state, pdu_type)}
        for state in states:
            assert ACTIONS[role][state][response] in (Action.MATCH, Action.BOUND, Action.ALIVE, Action.UNBOUND)
            if state.is_bound and ACTIONS[role][state][response] is Action.MATCH:
                assert ACTIONS[role][State.UNBOUND][response] is Action.MATCH
