"""A second opinion: Wireshark's dissector reads each PDU of ours, and sees the same values. TLVs have a file."""

from typing import Any

import pytest

from smpp import pdu as pdus
from smpp.codec import encode
from smpp.pdu import PDU, PDU_CLASSES
from smpp.tlv import Tag, make
from tests.integration.tshark import Fields, dissect, find_tshark, wrong_in

BIND: dict[str, Any] = {
    "system_id": "hub",
    "password": "secret08",
    "system_type": "VMA",
    "interface_version": 0x34,
    "addr_ton": 1,
    "addr_npi": 1,
    "address_range": "^1617",
}
SOURCE: dict[str, Any] = {"source_addr_ton": 5, "source_addr_npi": 9, "source_addr": "Helpline"}
DEST: dict[str, Any] = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "16175551212"}
TEXT: dict[str, Any] = {
    "service_type": "CMT",
    "protocol_id": 1,
    "priority_flag": 2,
    "registered_delivery": 0x11,
    "replace_if_present_flag": 1,
    "sm_default_msg_id": 3,
    "short_message": b"How may I help?",
}
VERSION = make(Tag.SC_INTERFACE_VERSION, 0x34)

PDUS: list[PDU] = [
    pdus.BindReceiver(**BIND),
    pdus.BindReceiverResp(system_id="smsc", tlvs=(VERSION,)),
    pdus.BindTransmitter(**BIND),
    pdus.BindTransmitterResp(system_id="smsc", tlvs=(VERSION,)),
    pdus.BindTransceiver(**BIND),
    pdus.BindTransceiverResp(system_id="smsc", tlvs=(VERSION,)),
    pdus.BindTransceiverResp(command_status=0x0E),
    pdus.Outbind(system_id="smsc", password="secret"),
    pdus.Unbind(),
    pdus.UnbindResp(),
    pdus.GenericNack(command_status=0x03),
    pdus.EnquireLink(),
    pdus.EnquireLinkResp(),
    pdus.SubmitSm(
        **SOURCE,
        **DEST,
        **TEXT,
        schedule_delivery_time="300102030405000+",
        validity_period="000001000000000R",
        tlvs=(
            make(Tag.SAR_MSG_REF_NUM, 0x0102),
            make(Tag.SAR_TOTAL_SEGMENTS, 3),
            make(Tag.SAR_SEGMENT_SEQNUM, 2),
            make(Tag.USER_MESSAGE_REFERENCE, 77),
        ),
    ),
    pdus.SubmitSm(**SOURCE, **DEST, data_coding=8, esm_class=0x43, tlvs=(make(Tag.MESSAGE_PAYLOAD, b"\0H\0i" * 200),)),
    pdus.SubmitSmResp(message_id="c0ffee"),
    pdus.SubmitSmResp(command_status=0x58),
    pdus.DeliverSm(
        **SOURCE,
        **DEST,
        esm_class=0x04,
        short_message=b"id:c0ffee stat:DELIVRD",
        tlvs=(
            make(Tag.RECEIPTED_MESSAGE_ID, "c0ffee"),
            make(Tag.MESSAGE_STATE, 2),
            make(Tag.NETWORK_ERROR_CODE, b"\x03\0\x11"),
        ),
    ),
    pdus.DeliverSmResp(),
    pdus.SubmitMulti(
        **SOURCE, **TEXT, dest_address=(pdus.SmeAddress(1, 1, "16175551212"), pdus.DistributionList("staff"))
    ),
    pdus.SubmitMultiResp(message_id="7", unsuccess_sme=(pdus.UnsuccessSme(1, 1, "16175551212", 0x0B),)),
    pdus.DataSm(**SOURCE, **DEST, service_type="WAP", registered_delivery=1, tlvs=(make(Tag.MESSAGE_PAYLOAD, b"hi"),)),
    pdus.DataSmResp(message_id="8", tlvs=(make(Tag.DELIVERY_FAILURE_REASON, 2),)),
    pdus.QuerySm(**SOURCE, message_id="9"),
    pdus.QuerySmResp(message_id="9", final_date="300102030405000+", message_state=2, error_code=5),
    pdus.CancelSm(**SOURCE, **DEST, service_type="CMT", message_id="9"),
    pdus.CancelSmResp(),
    pdus.ReplaceSm(
        **SOURCE,
        message_id="9",
        validity_period="000001000000000R",
        registered_delivery=1,
        sm_default_msg_id=3,
        short_message=b"new",
    ),
    pdus.ReplaceSmResp(),
    pdus.AlertNotification(
        **SOURCE, esme_addr_ton=1, esme_addr_npi=1, esme_addr="2", tlvs=(make(Tag.MS_AVAILABILITY_STATUS, 1),)
    ),
    pdus.BroadcastSm(
        **SOURCE,
        service_type="CBS",
        message_id="m1",
        priority_flag=1,
        data_coding=1,
        tlvs=(
            make(Tag.BROADCAST_AREA_IDENTIFIER, b"\0Boston"),
            make(Tag.BROADCAST_CONTENT_TYPE, b"\1\0\2"),
            # Without broadcast_rep_num: Wireshark 4.0 steps over one octet of it, where 5.0 §4.8.4.13 has two.
            make(Tag.BROADCAST_FREQUENCY_INTERVAL, b"\x09\0\x05"),
        ),
    ),
    pdus.BroadcastSmResp(message_id="m1"),
    pdus.QueryBroadcastSm(**SOURCE, message_id="m1"),
    pdus.QueryBroadcastSmResp(message_id="m1", tlvs=(make(Tag.MESSAGE_STATE, 2),)),
    pdus.CancelBroadcastSm(**SOURCE, service_type="CBS", message_id="m1"),
    pdus.CancelBroadcastSmResp(),
]

# Where the dissector's word for a field is not the standard's; None: it is shown in parts, which are compared below.
NAMES: dict[str, str | None] = {
    "short_message": "message",
    "schedule_delivery_time": None,
    "validity_period": None,
    "final_date": None,
    "esm_class": None,
    "registered_delivery": None,
    "dest_address": None,
    "unsuccess_sme": None,
}
PARTS = {
    "esm_class": (("esm.submit.msg_mode", 0x03), ("esm.submit.msg_type", 0x3C), ("esm.submit.features", 0xC0)),
    "registered_delivery": (("regdel.receipt", 0x03), ("regdel.acks", 0x0C), ("regdel.notif", 0x10)),
}
TLV_FIELDS = {
    Tag.SC_INTERFACE_VERSION: "SC_interface_version",
    Tag.SAR_MSG_REF_NUM: "sar_msg_ref_num",
    Tag.SAR_TOTAL_SEGMENTS: "sar_total_segments",
    Tag.SAR_SEGMENT_SEQNUM: "sar_segment_seqnum",
    Tag.USER_MESSAGE_REFERENCE: "user_message_reference",
    Tag.RECEIPTED_MESSAGE_ID: "receipted_message_id",
    Tag.MESSAGE_STATE: "message_state",
    Tag.MESSAGE_PAYLOAD: "message_payload",
    Tag.DELIVERY_FAILURE_REASON: "delivery_failure_reason",
    Tag.MS_AVAILABILITY_STATUS: "ms_availability_status",
}


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> list[Fields]:
    """For each PDU: every value of every field of its dissection."""
    return dissect([encode(pdu, number) for number, pdu in enumerate(PDUS, 1)], tmp_path_factory.mktemp("tshark"))


NUMBERED = [pytest.param(number, pdu, id=f"{number}-{type(pdu).__name__}") for number, pdu in enumerate(PDUS)]


def test_without_tshark_nothing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="tshark is missing"):
        find_tshark()


def test_there_is_one_of_each() -> None:
    assert {type(pdu) for pdu in PDUS} == set(PDU_CLASSES.values())


@pytest.mark.parametrize(("number", "pdu"), NUMBERED)
def test_nothing_is_malformed(number: int, pdu: PDU, dissected: list[Fields]) -> None:
    fields = dissected[number]
    assert "smpp.command_length" in fields
    assert fields["frame.protocols"][0].split(":")[3] == "smpp"
    assert wrong_in(fields) == []


@pytest.mark.parametrize(("number", "pdu"), NUMBERED)
def test_the_dissector_sees_our_values(number: int, pdu: PDU, dissected: list[Fields]) -> None:
    fields = dissected[number]
    assert int(fields["smpp.command_length"][0]) == len(encode(pdu))
    assert int(fields["smpp.command_id"][0], 0) == pdu.command_id
    assert int(fields["smpp.sequence_number"][0]) == number + 1
    if pdu.command_id & 0x80000000:
        assert int(fields["smpp.command_status"][0], 0) == pdu.command_status
    bodyless = len(encode(pdu)) == 16
    for name in type(pdu).__struct_fields__[3:]:
        value = getattr(pdu, name)
        shown = NAMES.get(name, name)
        if shown is not None and not bodyless:
            assert_shown(fields, shown, value)
    for tag, octets in pdu.tlvs:
        assert f"0x{tag:04x}" in fields["smpp.opt_param_tag"]
        assert str(len(octets)) in fields["smpp.opt_param_len"]
    for tag, name in TLV_FIELDS.items():
        for made_tag, octets in pdu.tlvs:
            if made_tag == tag:
                value = octets if tag.kind is bytes else int.from_bytes(octets, "big")
                assert_shown(fields, name, octets[:-1].decode() if tag.kind is str else value)


def assert_shown(fields: Fields, name: str, value: Any) -> None:
    shown = fields.get(f"smpp.{name}")
    if isinstance(value, bytes):
        assert not value or [each.replace(":", "") for each in shown or ()] == [value.hex()], name
    elif isinstance(value, int):
        assert value in [int(each, 0) for each in shown or ()], name
    else:
        # An empty string has no node of its own in some PDUs.
        assert not value or shown == [value], name


@pytest.mark.parametrize(("number", "pdu"), NUMBERED)
def test_the_bits(number: int, pdu: PDU, dissected: list[Fields]) -> None:
    for field, parts in PARTS.items():
        value = getattr(pdu, field, None)
        for name, mask in parts if value is not None else ():
            shown = dissected[number].get(f"smpp.{name}")
            assert shown is not None, name
            seen = int(shown[0], 0)
            assert seen in (value & mask, (value & mask) // (mask & -mask)), name


def test_the_times(dissected: list[Fields]) -> None:
    submit = dissected[next(number for number, pdu in enumerate(PDUS) if isinstance(pdu, pdus.SubmitSm))]
    assert submit["smpp.schedule_delivery_time"][0].startswith("Jan  2, 2030 03:04:05")
    assert float(submit["smpp.validity_period_r"][0]) == 86_400
    query = dissected[next(number for number, pdu in enumerate(PDUS) if isinstance(pdu, pdus.QuerySmResp))]
    assert query["smpp.final_date"][0].startswith("Jan  2, 2030 03:04:05")


def test_the_destinations(dissected: list[Fields]) -> None:
    multi = dissected[next(number for number, pdu in enumerate(PDUS) if isinstance(pdu, pdus.SubmitMulti))]
    assert multi["smpp.destination_addr"] == ["16175551212"]
    assert multi["smpp.dl_name"] == ["staff"]
    answer = dissected[next(number for number, pdu in enumerate(PDUS) if isinstance(pdu, pdus.SubmitMultiResp))]
    assert answer["smpp.destination_addr"] == ["16175551212"]
    assert [int(each, 0) for each in answer["smpp.error_status_code"]] == [0x0B]


def test_the_network_error(dissected: list[Fields]) -> None:
    receipt = dissected[next(number for number, pdu in enumerate(PDUS) if isinstance(pdu, pdus.DeliverSm))]
    assert int(receipt["smpp.network_error.type"][0], 0) == 3
    assert int(receipt["smpp.network_error.code"][0], 0) == 0x11
