"""The table of TLVs and typed access to them."""

import pickle

import pytest

from smpp import pdu, tlv
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
1204 ms_validity 1
130C alert_on_message_delivery -
1380 its_reply_type 1
1383 its_session_info 2
"""
ROWS = [line.split() for line in TABLE_5_7.split("\n") if line]


@pytest.mark.parametrize(("tag", "name", "octets"), ROWS)
def test_the_table_of_the_standard(tag: str, name: str, octets: str) -> None:
    definition = tlv.by_tag(int(tag, 16))
    assert definition is not None
    assert definition.label == name
    assert getattr(Tag, name.upper()) is definition
    if octets != "-":
        assert definition.least == definition.most == int(octets)
    assert definition.pdus


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
