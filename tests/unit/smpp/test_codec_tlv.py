"""The table of TLVs and typed access to them."""

import pickle

import pytest

from smpp import pdu, tlv
from smpp.codec import decode, encode
from smpp.errors import BadTLV
from smpp.tlv import TLV, Tag

# SMPP 3.4 Table 5-7, typed from the standard and not from the code: tag, name, octets (None: varies).
TABLE_5_7 = """
0005 dest_addr_subunit 1
0006 dest_network_type 1
0007 dest_bearer_type 1
0008 dest_telematics_id 2
000D source_addr_subunit 1
000E source_network_type 1
000F source_bearer_type 1
0010 source_telematics_id 1
0017 qos_time_to_live 4
0019 payload_type 1
001D additional_status_info_text -
001E receipted_message_id -
0030 ms_msg_wait_facilities 1
0201 privacy_indicator 1
0202 source_subaddress -
0203 dest_subaddress -
0204 user_message_reference 2
0205 user_response_code 1
020A source_port 2
020B destination_port 2
020C sar_msg_ref_num 2
020D language_indicator 1
020E sar_total_segments 1
020F sar_segment_seqnum 1
0210 sc_interface_version 1
0302 callback_num_pres_ind 1
0303 callback_num_atag -
0304 number_of_messages 1
0381 callback_num -
0420 dpf_result 1
0421 set_dpf 1
0422 ms_availability_status 1
0423 network_error_code 3
0424 message_payload -
0425 delivery_failure_reason 1
0426 more_messages_to_send 1
0427 message_state 1
0501 ussd_service_op 1
1201 display_time 1
1203 sms_signal 2
1204 ms_validity -
130C alert_on_message_delivery -
1380 its_reply_type 1
1383 its_session_info 2
"""
ROWS = [line.split() for line in TABLE_5_7.split("\n") if line]

# SMPP 5.0 Table 4-60 and §4.8.4.1 to §4.8.4.64, likewise: tag, name, clause, type, sizes, and "new"
# for what 3.4 does not have.
TABLE_4_60 = """
0005 dest_addr_subunit 23 int 1
0006 dest_network_type 26 int 1
0007 dest_bearer_type 24 int 1
0008 dest_telematics_id 29 int 2
000D source_addr_subunit 54 int 1
000E source_network_type 57 int 1
000F source_bearer_type 55 int 1
0010 source_telematics_id 61 int 1
0017 qos_time_to_live 46 int 4
0019 payload_type 44 int 1
001D additional_status_info_text 1 str 1-256
001E receipted_message_id 47 str 1-65
0030 ms_msg_wait_facilities 40 int 1
0201 privacy_indicator 45 int 1
0202 source_subaddress 60 bytes 2-23
0203 dest_subaddress 28 bytes 2-23
0204 user_message_reference 62 int 2
0205 user_response_code 63 int 1
020A source_port 59 int 2
020B destination_port 30 int 2
020C sar_msg_ref_num 48 int 2
020D language_indicator 35 int 1
020E sar_total_segments 50 int 1
020F sar_segment_seqnum 49 int 1
0210 sc_interface_version 51 int 1
0302 callback_num_pres_ind 17 int 1
0303 callback_num_atag 16 bytes 0-65
0304 number_of_messages 43 int 1
0381 callback_num 15 bytes 4-19
0420 dpf_result 32 int 1
0421 set_dpf 52 int 1
0422 ms_availability_status 39 int 1
0423 network_error_code 42 bytes 3
0424 message_payload 36 bytes 0-65535
0425 delivery_failure_reason 19 int 1
0426 more_messages_to_send 38 int 1
0427 message_state 37 int 1
0428 congestion_state 18 int 1 new
0501 ussd_service_op 64 bytes 1
0600 broadcast_channel_indicator 7 int 1 new
0601 broadcast_content_type 8 bytes 3 new
0602 broadcast_content_type_info 6 bytes 1-255 new
0603 broadcast_message_class 12 int 1 new
0604 broadcast_rep_num 13 int 2 new
0605 broadcast_frequency_interval 11 bytes 3 new
0606 broadcast_area_identifier 4 bytes 1-101 new
0607 broadcast_error_status 10 int 4 new
0608 broadcast_area_success 5 int 1 new
0609 broadcast_end_time 9 str 17 new
060A broadcast_service_group 14 bytes 1-255 new
060B billing_identification 3 bytes 1-1024 new
060D source_network_id 56 str 7-66 new
060E dest_network_id 25 str 7-66 new
060F source_node_id 58 bytes 6 new
0610 dest_node_id 27 bytes 6 new
0611 dest_addr_np_resolution 22 int 1 new
0612 dest_addr_np_information 21 bytes 10 new
0613 dest_addr_np_country 20 bytes 1-5 new
1201 display_time 31 int 1
1203 sms_signal 53 int 2
1204 ms_validity 41 bytes 1-4
130C alert_on_message_delivery 2 bytes 0-1
1380 its_reply_type 33 int 1
1383 its_session_info 34 bytes 2
"""
ROWS_5_0 = [line.split() for line in TABLE_4_60.split("\n") if line]


@pytest.mark.parametrize(("tag", "name", "octets"), ROWS)
def test_the_table_of_the_standard(tag: str, name: str, octets: str) -> None:
    definition = tlv.by_tag(int(tag, 16))
    assert definition is not None
    assert definition.label == name
    assert getattr(Tag, name.upper()) is definition
    if octets != "-":
        assert definition.least == definition.most == int(octets)
    assert definition.pdus
    assert definition.since == 0x34


@pytest.mark.parametrize("row", ROWS_5_0, ids=[f"5.0-4.8.4.{row[2]}-{row[1]}" for row in ROWS_5_0])
def test_the_sizes_of_5_0(row: list[str]) -> None:
    tag, name, _, kind, octets, *new = row
    definition = tlv.by_tag(int(tag, 16))
    assert definition is not None
    assert definition.label == name
    assert definition.kind.__name__ == kind
    least, _, most = octets.partition("-")
    assert (definition.least, definition.most) == (int(least), int(most or least))
    assert definition.since == (0x50 if new else 0x34)


def test_nothing_is_missing_from_5_0_and_nothing_is_more() -> None:
    assert {int(row[0], 16) for row in ROWS_5_0} == set(tlv.DEFINITIONS)
    assert sorted(int(row[2]) for row in ROWS_5_0) == list(range(1, 65)), "each of 4.8.4.1 to 4.8.4.64 once"


# 5.0 gives TLVs to groups of PDUs; typed from §4.2.4, §4.2.5, §4.3.3, §4.3.4, §4.4.1, §4.6.1, §4.6.2.
SUBMISSION = """alert_on_message_delivery billing_identification callback_num callback_num_atag callback_num_pres_ind
    dest_addr_np_country dest_addr_np_information dest_addr_np_resolution dest_addr_subunit dest_bearer_type
    dest_network_id dest_network_type dest_node_id dest_subaddress dest_telematics_id destination_port display_time
    its_reply_type its_session_info language_indicator message_payload more_messages_to_send ms_msg_wait_facilities
    ms_validity number_of_messages payload_type privacy_indicator qos_time_to_live sar_msg_ref_num sar_segment_seqnum
    sar_total_segments set_dpf sms_signal source_addr_subunit source_bearer_type source_network_id source_network_type
    source_node_id source_port source_subaddress source_telematics_id user_message_reference user_response_code
    ussd_service_op"""
DELIVERY = """callback_num callback_num_atag callback_num_pres_ind dest_addr_np_country dest_addr_np_information
    dest_addr_np_resolution dest_addr_subunit dest_network_id dest_node_id dest_subaddress destination_port dpf_result
    its_reply_type its_session_info language_indicator message_payload message_state network_error_code payload_type
    privacy_indicator receipted_message_id sar_msg_ref_num sar_segment_seqnum sar_total_segments source_addr_subunit
    source_network_id source_node_id source_port source_subaddress user_message_reference user_response_code
    ussd_service_op"""
BROADCAST = """alert_on_message_delivery broadcast_area_identifier broadcast_channel_indicator broadcast_content_type
    broadcast_content_type_info broadcast_frequency_interval broadcast_message_class broadcast_rep_num
    broadcast_service_group callback_num callback_num_atag callback_num_pres_ind dest_addr_subunit dest_subaddress
    destination_port display_time language_indicator message_payload ms_validity payload_type privacy_indicator
    sms_signal source_addr_subunit source_port source_subaddress user_message_reference"""
GROUPS = [
    (pdu.SubmitSm, SUBMISSION),
    (pdu.SubmitMulti, SUBMISSION),
    (pdu.DataSm, SUBMISSION),
    (pdu.DeliverSm, DELIVERY),
    (pdu.SubmitSmResp, "additional_status_info_text delivery_failure_reason dpf_result network_error_code"),
    (pdu.DataSmResp, "additional_status_info_text delivery_failure_reason dpf_result network_error_code"),
    (pdu.DeliverSmResp, "additional_status_info_text delivery_failure_reason network_error_code"),
    (pdu.BroadcastSm, BROADCAST),
    (pdu.BroadcastSmResp, "broadcast_error_status broadcast_area_identifier congestion_state"),
    (pdu.QueryBroadcastSm, "user_message_reference"),
    (
        pdu.QueryBroadcastSmResp,
        "message_state broadcast_area_identifier broadcast_area_success broadcast_end_time user_message_reference",
    ),
    (pdu.CancelBroadcastSm, "broadcast_content_type user_message_reference"),
    (pdu.BindReceiverResp, "sc_interface_version congestion_state"),
    (pdu.EnquireLinkResp, "congestion_state"),
    (pdu.UnbindResp, "congestion_state"),
    (pdu.AlertNotification, "ms_availability_status"),
    (pdu.ReplaceSm, "message_payload"),
]


@pytest.mark.parametrize(("pdu_class", "names"), GROUPS, ids=[each.__name__ for each, _ in GROUPS])
def test_5_0_has_these_tlvs_in_this_pdu(pdu_class: type[pdu.PDU], names: str) -> None:
    missing = [name for name in names.split() if not tlv.is_allowed(pdu_class, getattr(Tag, name.upper()))]
    assert missing == []


def test_requests_to_bind_have_no_tlvs() -> None:
    for bind in (pdu.BindReceiver, pdu.BindTransmitter, pdu.BindTransceiver, pdu.Outbind, pdu.GenericNack):
        assert [
            name for name in map(tlv.tag_name, tlv.DEFINITIONS) if tlv.is_allowed(bind, getattr(Tag, name.upper()))
        ] == []


@pytest.mark.parametrize("octets", [b"\x02", b"\x04\x02\x00\x07"], ids=["absolute", "relative"])
def test_5_0_clause_4_8_4_41_ms_validity_may_tell_a_relative_time(octets: bytes) -> None:
    written = tlv.make(Tag.MS_VALIDITY, octets)
    assert tlv.get((written,), Tag.MS_VALIDITY) == octets


def test_unknown_tlvs_are_kept_verbatim_and_in_their_place() -> None:
    tlvs = ((0x1400, b"\x00vendor\xff"), (0x0427, b"\x02"), (0x3FFF, b""), (0xFFFE, b"\x01"), (0x1400, b"again"))
    sent = pdu.DeliverSm(source_addr="1", tlvs=tlvs)
    assert decode(encode(sent)) == sent


def test_each_tag_is_defined_once() -> None:
    definitions = [value for value in vars(Tag).values() if isinstance(value, TLV)]
    assert len(definitions) == len(tlv.DEFINITIONS)
    assert all(getattr(Tag, definition.label.upper()) is definition for definition in definitions)


@pytest.mark.parametrize(
    ("tag", "value", "octets"),
    [
        (Tag.SAR_MSG_REF_NUM, 0x0102, b"\x01\x02"),
        (Tag.MESSAGE_STATE, 255, b"\xff"),
        (Tag.QOS_TIME_TO_LIVE, 1, b"\0\0\0\x01"),
        (Tag.RECEIPTED_MESSAGE_ID, "a" * 64, b"a" * 64 + b"\0"),
        (Tag.RECEIPTED_MESSAGE_ID, "", b"\0"),
        (Tag.NETWORK_ERROR_CODE, b"\x03\0\x11", b"\x03\0\x11"),
        (Tag.MESSAGE_PAYLOAD, b"x" * 0xFFFF, b"x" * 0xFFFF),
        (Tag.ALERT_ON_MESSAGE_DELIVERY, b"", b""),
    ],
)
def test_made_and_got(tag: TLV, value: object, octets: bytes) -> None:
    made = tlv.make(tag, value)
    assert made == (int(tag), octets)
    assert type(made[0]) is int
    holder = pdu.DataSm(tlvs=((0x1400, b"vendor"), made, (int(tag), b"second")))
    assert tlv.get(holder, tag) == value
    assert tlv.get(holder.tlvs, tag) == value
    assert type(tlv.get(holder, tag)) is tag.kind


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (Tag.MESSAGE_STATE, 256),
        (Tag.MESSAGE_STATE, -1),
        (Tag.MESSAGE_STATE, "1"),
        (Tag.RECEIPTED_MESSAGE_ID, "a" * 65),
        (Tag.RECEIPTED_MESSAGE_ID, "a\0"),
        (Tag.RECEIPTED_MESSAGE_ID, "€"),
        (Tag.RECEIPTED_MESSAGE_ID, b"a"),
        (Tag.NETWORK_ERROR_CODE, b"\x03\0"),
        (Tag.SOURCE_SUBADDRESS, b"\0"),
        (Tag.MESSAGE_PAYLOAD, b"x" * 0x10000),
        (Tag.MESSAGE_PAYLOAD, "text"),
        (Tag.MESSAGE_PAYLOAD, 3),
    ],
)
def test_a_value_that_is_not_allowed(tag: TLV, value: object) -> None:
    with pytest.raises(BadTLV) as caught:
        tlv.make(tag, value)
    assert caught.value.name == tag.label
    assert "text" not in str(caught.value)


def test_reading_is_lenient() -> None:
    holder = pdu.DeliverSm(
        tlvs=(
            (Tag.SAR_MSG_REF_NUM, b"\x07"),
            (Tag.SAR_TOTAL_SEGMENTS, b"\0\x02"),
            (Tag.SAR_SEGMENT_SEQNUM, b""),
            (Tag.RECEIPTED_MESSAGE_ID, b"no NUL"),
            (Tag.NETWORK_ERROR_CODE, b"003"),
        )
    )
    assert tlv.get(holder, Tag.SAR_MSG_REF_NUM) == 7
    assert tlv.get(holder, Tag.SAR_TOTAL_SEGMENTS) == 2
    assert tlv.get(holder, Tag.SAR_SEGMENT_SEQNUM) is None
    assert tlv.get(holder, Tag.RECEIPTED_MESSAGE_ID) == "no NUL"
    assert tlv.get(holder, Tag.NETWORK_ERROR_CODE) == b"003"
    assert tlv.get(holder, Tag.MESSAGE_STATE) is None


def test_all_of_one_tag_and_unknown_ones() -> None:
    holder = pdu.SubmitSm(tlvs=((0x0381, b"first"), (0x1400, b"vendor"), (0x0381, b"second")))
    assert tlv.get_all(holder, Tag.CALLBACK_NUM) == [b"first", b"second"]
    assert tlv.get_all(holder, Tag.MESSAGE_STATE) == []
    assert tlv.raw(holder, 0x1400) == b"vendor"
    assert tlv.raw(holder.tlvs, 0x1401) is None
    assert tlv.by_tag(0x1400) is None
    assert tlv.tag_name(0x1400) == "0x1400"
    assert tlv.tag_name(0x0381) == "callback_num"


def test_where_a_tlv_belongs() -> None:
    assert tlv.is_allowed(pdu.DeliverSm, Tag.RECEIPTED_MESSAGE_ID)
    assert not tlv.is_allowed(pdu.SubmitSm, Tag.RECEIPTED_MESSAGE_ID)
    assert tlv.is_allowed(pdu.BindTransceiverResp, Tag.SC_INTERFACE_VERSION)
    assert tlv.is_allowed(pdu.SubmitSm, 0x1400)


def test_a_definition_survives_being_copied() -> None:
    assert pickle.loads(pickle.dumps(Tag.MESSAGE_STATE)) is Tag.MESSAGE_STATE
    assert repr(Tag.MESSAGE_STATE) == "<message_state 0x0427>"
