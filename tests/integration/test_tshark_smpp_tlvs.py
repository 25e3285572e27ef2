"""A second opinion on TLVs: Wireshark's dissector reads each of them, in each PDU that the standard has it in.

``JUDGED`` says for each tag what we write and which fields of the dissector must show what. A value of None is a field
without a value of its own (FT_NONE): that it is shown, and the tag and the length, is all there is to compare.
"""

from typing import Any

import pytest

from smpp.codec import encode
from smpp.pdu import (
    PDU,
    BroadcastSm,
    CancelBroadcastSmResp,
    CancelSmResp,
    DeliverSm,
    EnquireLinkResp,
    QuerySmResp,
    ReplaceSmResp,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    UnbindResp,
)
from smpp.tlv import DEFINITIONS, TLV, Tag, get, make
from tests.integration.tshark import Fields, dissect, wrong_in

Shown = dict[str, int | str | bytes | None]

JUDGED: dict[TLV[Any], tuple[int | str | bytes, Shown]] = {
    Tag.DEST_ADDR_SUBUNIT: (2, {"dest_addr_subunit": 2}),
    Tag.DEST_NETWORK_TYPE: (1, {"dest_network_type": 1}),
    Tag.DEST_BEARER_TYPE: (4, {"dest_bearer_type": 4}),
    Tag.DEST_TELEMATICS_ID: (0x0102, {"dest_telematics_id": 0x0102}),
    Tag.SOURCE_ADDR_SUBUNIT: (3, {"source_addr_subunit": 3}),
    Tag.SOURCE_NETWORK_TYPE: (5, {"source_network_type": 5}),
    Tag.SOURCE_BEARER_TYPE: (2, {"source_bearer_type": 2}),
    Tag.SOURCE_TELEMATICS_ID: (7, {"source_telematics_id": 7}),
    Tag.QOS_TIME_TO_LIVE: (86_400, {"qos_time_to_live": 86_400}),
    Tag.PAYLOAD_TYPE: (1, {"payload_type": 1}),
    Tag.ADDITIONAL_STATUS_INFO_TEXT: ("opted-out", {"additional_status_info_text": "opted-out"}),
    Tag.RECEIPTED_MESSAGE_ID: ("c0ffee", {"receipted_message_id": "c0ffee"}),
    Tag.MS_MSG_WAIT_FACILITIES: (0x83, {"msg_wait.ind": 1, "msg_wait.type": 3}),
    Tag.PRIVACY_INDICATOR: (2, {"privacy_indicator": 2}),
    Tag.SOURCE_SUBADDRESS: (b"\x80123", {"source_subaddress": b"\x80123"}),
    Tag.DEST_SUBADDRESS: (b"\xa0" + b"4" * 22, {"dest_subaddress": b"\xa0" + b"4" * 22}),
    Tag.USER_MESSAGE_REFERENCE: (0xFFFE, {"user_message_reference": 0xFFFE}),
    Tag.USER_RESPONSE_CODE: (9, {"user_response_code": 9}),
    Tag.SOURCE_PORT: (0x0B84, {"source_port": 0x0B84}),
    Tag.DESTINATION_PORT: (0x23F0, {"destination_port": 0x23F0}),
    Tag.SAR_MSG_REF_NUM: (0x0102, {"sar_msg_ref_num": 0x0102}),
    Tag.LANGUAGE_INDICATOR: (3, {"language_indicator": 3}),
    Tag.SAR_TOTAL_SEGMENTS: (200, {"sar_total_segments": 200}),
    Tag.SAR_SEGMENT_SEQNUM: (199, {"sar_segment_seqnum": 199}),
    Tag.SC_INTERFACE_VERSION: (0x50, {"SC_interface_version": 0x50}),
    Tag.CALLBACK_NUM_PRES_IND: (0b0110, {"callback_num.pres": 1, "callback_num.scrn": 2}),
    Tag.CALLBACK_NUM_ATAG: (b"\0Bob", {"callback_num_atag": None}),
    Tag.NUMBER_OF_MESSAGES: (99, {"number_of_messages": 99}),
    Tag.CALLBACK_NUM: (b"\x01\x01\x01" + b"16175551212", {"callback_num": None}),
    Tag.DPF_RESULT: (1, {"dpf_result": 1}),
    Tag.SET_DPF: (1, {"set_dpf": 1}),
    Tag.MS_AVAILABILITY_STATUS: (2, {"ms_availability_status": 2}),
    Tag.NETWORK_ERROR_CODE: (b"\x03\x00\x11", {"network_error.type": 3, "network_error.code": 0x11}),
    Tag.MESSAGE_PAYLOAD: (b"long" * 300, {"message_payload": b"long" * 300}),
    Tag.DELIVERY_FAILURE_REASON: (2, {"delivery_failure_reason": 2}),
    Tag.MORE_MESSAGES_TO_SEND: (1, {"more_messages_to_send": 1}),
    Tag.MESSAGE_STATE: (5, {"message_state": 5}),
    Tag.CONGESTION_STATE: (80, {"congestion_state": 80}),
    Tag.USSD_SERVICE_OP: (b"\x12", {"ussd_service_op": 0x12}),
    Tag.BROADCAST_CHANNEL_INDICATOR: (1, {"broadcast_channel_indicator": 1}),
    Tag.BROADCAST_CONTENT_TYPE: (b"\x01\x00\x10", {"broadcast_content_type.nw": 1, "broadcast_content_type.type": 16}),
    Tag.BROADCAST_CONTENT_TYPE_INFO: (b"info", {"broadcast_content_type.info": b"info"}),
    Tag.BROADCAST_MESSAGE_CLASS: (3, {"broadcast_message_class": 3}),
    Tag.BROADCAST_REP_NUM: (0x0102, {}),
    Tag.BROADCAST_FREQUENCY_INTERVAL: (
        b"\x09\x00\x05",
        {"broadcast_frequency_interval.unit": 9, "broadcast_frequency_interval.value": 5},
    ),
    Tag.BROADCAST_AREA_IDENTIFIER: (
        b"\x00Boston",
        {"broadcast_area_identifier": b"\x00Boston", "broadcast_area_identifier.format": 0},
    ),
    Tag.BROADCAST_ERROR_STATUS: (0x10D, {"broadcast_error_status": 0x10D}),
    Tag.BROADCAST_AREA_SUCCESS: (100, {"broadcast_area_success": 100}),
    Tag.BROADCAST_END_TIME: ("300102030405000+", {"broadcast_end_time": "Jan  2, 2030 03:04:05"}),
    Tag.BROADCAST_SERVICE_GROUP: (b"group", {"broadcast_service_group": b"group"}),
    Tag.BILLING_IDENTIFICATION: (b"\x01" + b"b" * 1023, {"billing_id": b"\x01" + b"b" * 1023}),
    Tag.SOURCE_NETWORK_ID: ("310260", {"source_network_id": "310260"}),
    Tag.DEST_NETWORK_ID: ("a" * 65, {"dest_network_id": "a" * 65}),
    Tag.SOURCE_NODE_ID: (b"000001", {"source_node_id": b"000001"}),
    Tag.DEST_NODE_ID: (b"999999", {"dest_node_id": b"999999"}),
    Tag.DEST_ADDR_NP_RESOLUTION: (2, {"dest_addr_np_resolution": 2}),
    Tag.DEST_ADDR_NP_INFORMATION: (b"6175551212", {"dest_addr_np_info": b"6175551212"}),
    Tag.DEST_ADDR_NP_COUNTRY: (b"00001", {"dest_addr_np_country": b"00001"}),
    Tag.DISPLAY_TIME: (2, {"display_time": 2}),
    Tag.SMS_SIGNAL: (0x0304, {"sms_signal": 0x0304}),
    Tag.MS_VALIDITY: (b"\x03", {"ms_validity": 3}),
    Tag.ALERT_ON_MESSAGE_DELIVERY: (b"\x02", {"alert_on_message_delivery_type": 2}),
    Tag.ITS_REPLY_TYPE: (8, {"its_reply_type": 8}),
    Tag.ITS_SESSION_INFO: (b"\x07\x0b", {"its_session.number": 7, "its_session.sequence": 5, "its_session.ind": 1}),
}

# Wireshark 4.0 steps over one octet of broadcast_rep_num, where 5.0 §4.8.4.13 has two, and loses its way after it.
OVERRUN = frozenset((Tag.BROADCAST_REP_NUM,))

# Only 5.0 has TLVs in these: Wireshark 4.0 looks for none there, and sees the length alone.
UNREAD = frozenset((QuerySmResp, UnbindResp, ReplaceSmResp, CancelSmResp, EnquireLinkResp, CancelBroadcastSmResp))

CASES = [
    (pdu_class, tag) for tag in JUDGED for pdu_class in sorted(DEFINITIONS[tag].pdus, key=lambda each: each.command_id)
]
IDS = [f"{tag.label}-{pdu_class.__name__}" for pdu_class, tag in CASES]

OTHERS: list[tuple[PDU, Shown]] = [
    (SubmitSm(tlvs=(make(Tag.ALERT_ON_MESSAGE_DELIVERY, b""),)), {"alert_on_message_delivery_null": None}),
    (SubmitSm(tlvs=((0x1400, b"\x01\x02"),)), {"vendor_op": b"\x01\x02"}),
    (DeliverSm(tlvs=((0x3FFF, b"\xff"),)), {"vendor_op": b"\xff"}),
    (SubmitSm(tlvs=((0x7FFF, b"later"),)), {"reserved_op": b"later"}),
    (
        DeliverSm(tlvs=tuple(make(Tag.CALLBACK_NUM, b"\1\1\1" + digits) for digits in (b"11", b"22"))),
        {"callback_num": None},
    ),
    (
        BroadcastSm(tlvs=tuple(make(Tag.BROADCAST_AREA_IDENTIFIER, b"\0" + name) for name in (b"A", b"B"))),
        {"broadcast_area_identifier.format": 0},
    ),
]


def pdu_with(pdu_class: type[PDU], tag: TLV[Any]) -> PDU:
    tlvs = (make(tag, JUDGED[tag][0]),)
    if pdu_class is SubmitMulti:
        return SubmitMulti(dest_address=(SmeAddress(1, 1, "1"),), tlvs=tlvs)
    return pdu_class(tlvs=tlvs)


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> list[Fields]:
    pdus = [pdu_with(*case) for case in CASES] + [pdu for pdu, _ in OTHERS]
    frames = [encode(pdu, number) for number, pdu in enumerate(pdus, 1)]
    return dissect(frames, tmp_path_factory.mktemp("tshark"))


def test_every_tlv_is_judged() -> None:
    assert set(JUDGED) == set(DEFINITIONS)


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_the_dissector_sees_our_tlv(number: int, dissected: list[Fields]) -> None:
    pdu_class, tag = CASES[number]
    value, shown = JUDGED[tag]
    pdu = pdu_with(pdu_class, tag)
    assert get(pdu, tag) == value
    fields = dissected[number]
    assert int(fields["smpp.sequence_number"][0]) == number + 1
    assert int(fields["smpp.command_length"][0]) == len(encode(pdu))
    if pdu_class in UNREAD and "smpp.opt_param_tag" not in fields:
        assert wrong_in(fields) == []
        return
    assert fields["smpp.opt_param_tag"][0] == f"0x{int(tag):04x}"
    assert fields["smpp.opt_param_len"][0] == str(len(pdu.tlvs[0][1]))
    if tag not in OVERRUN:
        assert wrong_in(fields) == []
    assert_shown(fields, shown)


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_the_dissector_sees_the_odd_ones(number: int, dissected: list[Fields]) -> None:
    pdu, shown = OTHERS[number]
    fields = dissected[len(CASES) + number]
    assert fields["smpp.opt_param_tag"] == [f"0x{tag:04x}" for tag, _ in pdu.tlvs]
    assert wrong_in(fields) == []
    assert_shown(fields, shown)


def assert_shown(fields: Fields, shown: Shown) -> None:
    for name, value in shown.items():
        seen = fields.get(f"smpp.{name}")
        assert seen, name
        if isinstance(value, bytes):
            assert [each.replace(":", "") for each in seen] == [value.hex()], name
        elif isinstance(value, int):
            assert value in [int(each, 0) for each in seen], name
        elif isinstance(value, str):
            assert seen[0].startswith(value), name
