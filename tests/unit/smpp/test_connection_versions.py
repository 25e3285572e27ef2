"""What two ends of different versions speak with each other, in both roles (SMPP 3.4 §3.4, SMPP 5.0 §2.11)."""

from __future__ import annotations

import pytest

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.constants import VERSION_3_3, VERSION_3_4, VERSION_5_0
from smpp.errors import EncodeError
from smpp.events import Bound, Requests
from smpp.pdu import (
    PDU,
    PDU_CLASSES,
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BroadcastSm,
    CancelBroadcastSm,
    DataSm,
    DataSmResp,
    DeliverSm,
    GenericNack,
    QueryBroadcastSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    is_response,
    response_class,
)
from smpp.states import Role, State, may_send
from smpp.versions import OUR_VERSION, agreed_version

REFERENCE = ((0x0204, b"\0\1"),)
VERSIONS = (0x00, 0x03, 0x33, 0x34, 0x50, 0x51, 0xFF)


def pdus(data: bytes) -> list[PDU]:
    frames, consumed = split_frames(data)
    assert consumed == len(data)
    return [decode(frame) for frame in frames]


def esme(says: int, is_told: int | None, state=BindTransceiver) -> Connection:
    """An ESME that binds with one version and is told another, or none."""
    connection = Connection(Role.ESME, now=0)
    [bind] = pdus(connection.send(state(interface_version=says), 0))
    tlvs = () if is_told is None else ((0x0210, bytes((is_told,))),)
    response = response_class(bind)
    assert response is not None
    [event] = connection.receive_data(encode(response(sequence_number=bind.sequence_number, tlvs=tlvs)), 0)
    assert isinstance(event, Bound)
    return connection


def smsc(is_told: int, state=BindTransceiver) -> tuple[Connection, PDU]:
    """An SMSC that an ESME of that version has bound to, and what it answered."""
    connection = Connection(Role.SMSC, now=0)
    connection.receive_data(encode(state(sequence_number=1, interface_version=is_told)), 0)
    [response] = pdus(connection.accept_bind("us", 0))
    return connection, response


def example(pdu_type: type[PDU]) -> PDU:
    if pdu_type is SubmitMulti:
        return SubmitMulti(dest_address=(SmeAddress(destination_addr="1"),))
    return pdu_type()


# --- Agreeing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", VERSIONS)
@pytest.mark.parametrize("ours", [VERSION_3_3, VERSION_3_4, VERSION_5_0])
def test_the_session_speaks_the_lower_of_both_versions(ours, theirs):
    assert esme(ours, theirs).version == min(ours, theirs, 0x50)
    assert smsc(theirs)[0].version == min(theirs, 0x50)
    assert agreed_version(ours, theirs) <= OUR_VERSION


@pytest.mark.parametrize(
    ("theirs", "told"), [(0x00, None), (0x33, None), (0x34, b"\x34"), (0x40, b"\x40"), (0x50, b"\x50"), (0xFF, b"\x50")]
)
def test_an_esme_is_told_a_version_that_it_knows_and_one_of_3_3_none_at_all(theirs, told):
    """A bind_resp of a 3.3 session has no TLV, hence no sc_interface_version (SMPP 5.0 §2.11.2)."""
    _, response = smsc(theirs)
    assert response.tlvs == (() if told is None else ((0x0210, told),))


def test_an_smsc_that_names_no_version_is_of_3_3_whatever_we_said():
    connection = esme(VERSION_5_0, None)
    assert (connection.version, connection.peer_version) == (0x33, 0x33)


def test_a_link_that_binds_as_3_3_sends_no_tlvs_though_the_smsc_knows_more():
    """The SMSC takes us for a 3.3 ESME: it need not look at what follows the fields that 3.3 has."""
    connection = esme(VERSION_3_3, VERSION_3_4)
    assert connection.peer_version == VERSION_3_4
    [sent] = pdus(connection.send_requests([(SubmitSm(tlvs=REFERENCE), None)], 0))
    assert sent.tlvs == ()


# --- What may be sent -----------------------------------------------------------------------------------------------

TOO_NEW = {
    0x33: {DataSm, AlertNotification, BroadcastSm, QueryBroadcastSm, CancelBroadcastSm},
    0x34: {BroadcastSm, QueryBroadcastSm, CancelBroadcastSm},
    0x50: set(),
}


@pytest.mark.parametrize("version", TOO_NEW)
@pytest.mark.parametrize("role", Role)
def test_a_pdu_of_a_later_version_is_not_sent(role, version):
    refused = set()
    for pdu_type in PDU_CLASSES.values():
        connection = esme(version, version) if role is Role.ESME else smsc(version)[0]
        if is_response(pdu_type.command_id) or not may_send(role, State.BOUND_TRX, pdu_type):
            continue
        if pdu_type in TOO_NEW[version]:
            before = (connection.sent, connection.unanswered, connection.room)
            with pytest.raises(EncodeError, match=f"{pdu_type.__name__}.*0x"):
                connection.send(example(pdu_type), 0)
            assert (connection.sent, connection.unanswered, connection.room) == before
            refused.add(pdu_type)
        else:
            assert [type(pdu) for pdu in pdus(connection.send(example(pdu_type), 0))] == [pdu_type]
    assert refused == {pdu_type for pdu_type in TOO_NEW[version] if may_send(role, State.BOUND_TRX, pdu_type)}


@pytest.mark.parametrize("role", Role)
def test_a_batch_with_a_pdu_of_a_later_version_sends_none(role):
    connection = esme(0x33, 0x33) if role is Role.ESME else smsc(0x33)[0]
    fine = SubmitSm() if role is Role.ESME else DeliverSm()
    with pytest.raises(EncodeError, match="DataSm"):
        connection.send_requests([(fine, 0), (DataSm(), 1)], 0)
    assert connection.unanswered == 0


@pytest.mark.parametrize("version", [0x00, 0x33])
@pytest.mark.parametrize("role", Role)
def test_a_3_3_peer_never_sees_a_tlv_not_even_in_an_answer(role, version):
    connection = esme(0x34, version) if role is Role.ESME else smsc(version)[0]
    request = SubmitSm(tlvs=REFERENCE) if role is Role.ESME else DeliverSm(tlvs=REFERENCE)
    [sent] = pdus(connection.send_requests([(request, None)], 0))
    assert sent.tlvs == ()
    info = ((0x001D, b"why\0"),)
    [answer] = pdus(connection.send_responses([DataSmResp(sequence_number=1, command_status=0xFE, tlvs=info)], 0))
    assert (answer.tlvs, answer.command_status) == ((), 0xFE)


@pytest.mark.parametrize("role", Role)
def test_a_3_4_peer_sees_the_tlvs(role):
    connection = esme(0x34, 0x34) if role is Role.ESME else smsc(0x34)[0]
    request = SubmitSm(tlvs=REFERENCE) if role is Role.ESME else DeliverSm(tlvs=REFERENCE)
    assert pdus(connection.send_requests([(request, None)], 0))[0].tlvs == REFERENCE


@pytest.mark.parametrize("role", Role)
def test_a_3_4_peer_does_not_see_what_5_0_brought(role):
    connection = esme(0x50, 0x34) if role is Role.ESME else smsc(0x34)[0]
    congestion = ((0x0428, b"\x10"),)
    make = SubmitSm if role is Role.ESME else DeliverSm
    [sent] = pdus(connection.send_requests([(make(tlvs=(*congestion, *REFERENCE)), None)], 0))
    assert sent.tlvs == REFERENCE
    [answer] = pdus(connection.send_responses([DataSmResp(sequence_number=1, tlvs=congestion)], 0))
    assert answer.tlvs == ()
    [sent] = pdus(connection.send_requests([(make(registered_delivery=3), None)], 0))
    assert sent.registered_delivery == 1


@pytest.mark.parametrize("role", Role)
def test_a_5_0_peer_sees_all_of_it(role):
    connection = esme(0x50, 0x50) if role is Role.ESME else smsc(0x50)[0]
    congestion = ((0x0428, b"\x10"),)
    make = SubmitSm if role is Role.ESME else DeliverSm
    [sent] = pdus(connection.send_requests([(make(registered_delivery=3, tlvs=congestion), None)], 0))
    assert (sent.tlvs, sent.registered_delivery) == (congestion, 3)
    [answer] = pdus(connection.send_responses([DataSmResp(sequence_number=1, tlvs=congestion)], 0))
    assert answer.tlvs == congestion


@pytest.mark.parametrize("role", Role)
def test_a_part_keeps_its_place_among_its_parts_when_the_peer_is_of_3_3(role):
    """What an answer comes back with is the request as it was given, not as it was written."""
    connection = esme(0x33, 0x33) if role is Role.ESME else smsc(0x33)[0]
    make = SubmitSm if role is Role.ESME else DeliverSm
    part = make(short_message=b"part", tlvs=((0x020C, b"\0\7"), (0x020E, b"\2"), (0x020F, b"\1")))
    [sent] = pdus(connection.send_requests([(part, "key")], 0))
    assert (sent.short_message, sent.esm_class, sent.tlvs) == (b"\5\0\3\7\2\1part", 0x40, ())
    answer = response_class(part)
    assert answer is not None
    [event] = connection.receive_data(encode(answer(sequence_number=sent.sequence_number)), 0)
    assert event.answers[0].request is part


# --- What may come --------------------------------------------------------------------------------------------------


def test_what_a_3_3_peer_sends_is_taken_though_it_is_of_3_4():
    """A peer that sends it knows what it means; refusing it would help nobody."""
    connection, _ = smsc(0x33)
    [event] = connection.receive_data(encode(DataSm(sequence_number=4, tlvs=REFERENCE)), 0)
    assert isinstance(event, Requests)
    assert event.pdus[0].tlvs == REFERENCE
    assert pdus(connection.send_responses([DataSmResp(sequence_number=4)], 0))


@pytest.mark.parametrize("command_id", [0x22, 0x23, 0x24, 0x0A, 0x114])
def test_a_command_of_no_version_that_we_know_is_nacked(command_id):
    """0x22…0x24 are 3.3's param_retrieve, query_last_msgs and query_msg_details, which 3.4 has withdrawn."""
    connection, _ = smsc(0x33)
    frame = b"".join(n.to_bytes(4, "big") for n in (16, command_id, 0, 7))
    assert connection.receive_data(frame, 0) == []
    assert pdus(connection.data_to_send()) == [GenericNack(sequence_number=7, command_status=3)]
    assert connection.state is State.BOUND_TRX


@pytest.mark.parametrize("bind", [BindReceiver, BindTransmitter, BindTransceiver])
@pytest.mark.parametrize("version", [0x00, 0x33])
def test_a_3_3_esme_may_bind_as_anything(bind, version):
    """3.3 has no bind_transceiver, but ESMEs that leave interface_version at 0 send it."""
    connection, response = smsc(version, bind)
    assert type(response) is response_class(bind)
    assert connection.state.is_bound


@pytest.mark.parametrize("tlv", [b"", b"\x34\x00"])
def test_a_version_of_a_strange_size_is_read_by_its_first_octet_or_not_at_all(tlv):
    connection = Connection(Role.ESME, now=0)
    [bind] = pdus(connection.send(BindTransceiver(), 0))
    response = BindTransceiverResp(sequence_number=bind.sequence_number, tlvs=((0x0210, tlv),))
    connection.receive_data(encode(response), 0)
    assert connection.version == (0x34 if tlv else 0x33)
