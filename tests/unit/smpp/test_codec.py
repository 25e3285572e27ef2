"""Each PDU, octet by octet, from the layouts of SMPP 3.4 §4; and what is refused when writing."""

import pytest

from smpp import pdu as pdus
from smpp.codec import decode, encode, message_body
from smpp.errors import EncodeError
from smpp.generic import decode_generic, encode_generic
from smpp.layout import LAYOUTS
from smpp.pdu import PDU, PDU_CLASSES, is_response, response_class
from smpp.tlv import Tag, make


def frame_of(*pieces: str) -> bytes:
    """Hexadecimal octets, and text after a quote: ``"00 01"``, ``"'abc"``."""
    octets = b"".join(piece[1:].encode() if piece.startswith("'") else bytes.fromhex(piece) for piece in pieces)
    return (len(octets) + 4).to_bytes(4, "big") + octets


BIND = {
    "sequence_number": 1,
    "system_id": "SMPP3TEST",
    "password": "secret08",
    "system_type": "SUBMIT1",
    "interface_version": 0x34,
    "addr_ton": 1,
    "addr_npi": 1,
    "address_range": "^1617",
}
BIND_OCTETS = ("'SMPP3TEST", "00", "'secret08", "00", "'SUBMIT1", "00 34 01 01", "'^1617", "00")

TABLE: list[tuple[PDU, bytes]] = [
    # The first is the example that SMPP 3.4 §3.2.1 (bind_transmitter of 0x2F octets) prints.
    (
        pdus.BindTransmitter(
            sequence_number=1,
            system_id="SMPP3TEST",
            password="secret08",
            system_type="SUBMIT1",
            interface_version=0x00,
            addr_ton=1,
            addr_npi=1,
        ),
        bytes.fromhex(
            "0000002F 00000002 00000000 00000001 534D505033544553 5400 7365637265743038 00 5355424D49543100 00 01 01 00"
        ),
    ),
    (pdus.BindReceiver(**BIND), frame_of("00000001 00000000 00000001", *BIND_OCTETS)),
    (pdus.BindTransmitter(**BIND), frame_of("00000002 00000000 00000001", *BIND_OCTETS)),
    (pdus.BindTransceiver(**BIND), frame_of("00000009 00000000 00000001", *BIND_OCTETS)),
    (
        pdus.BindReceiverResp(sequence_number=1, system_id="hub", tlvs=(make(Tag.SC_INTERFACE_VERSION, 0x34),)),
        frame_of("80000001 00000000 00000001", "'hub", "00 0210 0001 34"),
    ),
    (
        pdus.BindTransmitterResp(sequence_number=1, system_id="hub"),
        frame_of("80000002 00000000 00000001", "'hub", "00"),
    ),
    (
        pdus.BindTransceiverResp(sequence_number=1, command_status=0x0E),
        frame_of("80000009 0000000E 00000001"),
    ),
    (
        pdus.Outbind(sequence_number=9, system_id="smsc", password="pw"),
        frame_of("0000000B 00000000 00000009", "'smsc", "00", "'pw", "00"),
    ),
    (pdus.Unbind(sequence_number=2), frame_of("00000006 00000000 00000002")),
    (pdus.UnbindResp(sequence_number=2), frame_of("80000006 00000000 00000002")),
    (pdus.GenericNack(sequence_number=0, command_status=2), frame_of("80000000 00000002 00000000")),
    (pdus.EnquireLink(sequence_number=0x7FFFFFFF), frame_of("00000015 00000000 7FFFFFFF")),
    (pdus.EnquireLinkResp(sequence_number=0xFFFFFFFF), frame_of("80000015 00000000 FFFFFFFF")),
    (
        pdus.SubmitSm(
            sequence_number=3,
            service_type="CMT",
            source_addr_ton=5,
            source_addr_npi=0,
            source_addr="Helpline",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="16175551212",
            esm_class=0x40,
            protocol_id=0x7F,
            priority_flag=3,
            schedule_delivery_time="241231235959000+",
            validity_period="000001000000000R",
            registered_delivery=0x11,
            replace_if_present_flag=1,
            data_coding=8,
            sm_default_msg_id=2,
            short_message=b"\x05\0\x03\x07\x02\x01\0H\0i",
            tlvs=(make(Tag.USER_MESSAGE_REFERENCE, 0x1234), (0x1400, b"vendor")),
        ),
        frame_of(
            "00000004 00000000 00000003",
            "'CMT",
            "00 05 00",
            "'Helpline",
            "00 01 01",
            "'16175551212",
            "00 40 7F 03",
            "'241231235959000+",
            "00",
            "'000001000000000R",
            "00 11 01 08 02 0A",
            "05 00 03 07 02 01 00 48 00 69",
            "0204 0002 1234 1400 0006",
            "'vendor",
        ),
    ),
    (pdus.SubmitSm(), frame_of("00000004 00000000 00000000", "00" * 17)),
    (
        pdus.SubmitSmResp(sequence_number=3, message_id="c0ffee"),
        frame_of("80000004 00000000 00000003", "'c0ffee", "00"),
    ),
    # "The submit_sm_resp PDU Body is not returned if the command_status field contains a non-zero value" (§4.4.2)
    (pdus.SubmitSmResp(sequence_number=3, command_status=0x58), frame_of("80000004 00000058 00000003")),
    (
        pdus.DeliverSm(
            sequence_number=4,
            source_addr="16175551212",
            destination_addr="18005550100",
            esm_class=4,
            short_message=b"id:1",
            tlvs=(make(Tag.RECEIPTED_MESSAGE_ID, "1"), make(Tag.MESSAGE_STATE, 2)),
        ),
        frame_of(
            "00000005 00000000 00000004",
            "00 00 00",
            "'16175551212",
            "00 00 00",
            "'18005550100",
            "00 04 00 00 00 00 00 00 00 00 04",
            "'id:1",
            "001E 0002 31 00 0427 0001 02",
        ),
    ),
    (pdus.DeliverSmResp(sequence_number=4), frame_of("80000005 00000000 00000004 00")),
    (pdus.DeliverSmResp(sequence_number=4, command_status=0x64), frame_of("80000005 00000064 00000004 00")),
    (
        pdus.SubmitMulti(
            sequence_number=5,
            source_addr="1",
            dest_address=(pdus.SmeAddress(1, 1, "2"), pdus.DistributionList("staff")),
            short_message=b"x",
        ),
        frame_of(
            "00000021 00000000 00000005",
            "00 00 00",
            "'1",
            "00 02 01 01 01",
            "'2",
            "00 02",
            "'staff",
            "00 00 00 00 00 00 00 00 00 00 01",
            "'x",
        ),
    ),
    (
        pdus.SubmitMultiResp(sequence_number=5, message_id="7", unsuccess_sme=(pdus.UnsuccessSme(1, 1, "2", 0x0B),)),
        frame_of("80000021 00000000 00000005", "'7", "00 01 01 01", "'2", "00 0000000B"),
    ),
    (
        pdus.DataSm(
            sequence_number=6,
            source_addr="a" * 64,
            destination_addr="2",
            registered_delivery=1,
            data_coding=4,
            tlvs=(make(Tag.MESSAGE_PAYLOAD, b"\0\1"),),
        ),
        frame_of(
            "00000103 00000000 00000006", "00 00 00", "'" + "a" * 64, "00 00 00", "'2", "00 00 01 04 0424 0002 0001"
        ),
    ),
    (
        pdus.DataSmResp(
            sequence_number=6, command_status=0xFE, message_id="", tlvs=(make(Tag.DELIVERY_FAILURE_REASON, 2),)
        ),
        frame_of("80000103 000000FE 00000006", "00 0425 0001 02"),
    ),
    (
        pdus.QuerySm(sequence_number=7, message_id="9", source_addr_ton=1, source_addr_npi=2, source_addr="3"),
        frame_of("00000003 00000000 00000007", "'9", "00 01 02", "'3", "00"),
    ),
    (
        pdus.QuerySmResp(
            sequence_number=7, message_id="9", final_date="241231235959000+", message_state=2, error_code=5
        ),
        frame_of("80000003 00000000 00000007", "'9", "00", "'241231235959000+", "00 02 05"),
    ),
    (
        pdus.CancelSm(sequence_number=8, message_id="9", source_addr="1", destination_addr="2"),
        frame_of("00000008 00000000 00000008", "00", "'9", "00 00 00", "'1", "00 00 00", "'2", "00"),
    ),
    (pdus.CancelSmResp(sequence_number=8), frame_of("80000008 00000000 00000008")),
    (
        pdus.ReplaceSm(
            sequence_number=9, message_id="9", registered_delivery=1, sm_default_msg_id=4, short_message=b"new"
        ),
        frame_of("00000007 00000000 00000009", "'9", "00 00 00 00 00 00 01 04 03", "'new"),
    ),
    (pdus.ReplaceSmResp(sequence_number=9), frame_of("80000007 00000000 00000009")),
    (
        pdus.AlertNotification(
            sequence_number=10,
            source_addr="1",
            esme_addr_ton=1,
            esme_addr="2",
            tlvs=(make(Tag.MS_AVAILABILITY_STATUS, 0),),
        ),
        frame_of("00000102 00000000 0000000A", "00 00", "'1", "00 01 00", "'2", "00 0422 0001 00"),
    ),
    (
        pdus.BroadcastSm(sequence_number=11, service_type="CBS", source_addr="1", message_id="m", data_coding=8),
        frame_of("00000111 00000000 0000000B", "'CBS", "00 00 00", "'1", "00", "'m", "00 00 00 00 00 08 00"),
    ),
    (
        pdus.BroadcastSmResp(sequence_number=11, message_id="m"),
        frame_of("80000111 00000000 0000000B", "'m", "00"),
    ),
    (
        pdus.QueryBroadcastSm(sequence_number=12, message_id="m", source_addr="1"),
        frame_of("00000112 00000000 0000000C", "'m", "00 00 00", "'1", "00"),
    ),
    (
        pdus.QueryBroadcastSmResp(sequence_number=12, message_id="m", tlvs=(make(Tag.MESSAGE_STATE, 2),)),
        frame_of("80000112 00000000 0000000C", "'m", "00 0427 0001 02"),
    ),
    (
        pdus.CancelBroadcastSm(sequence_number=13, service_type="CBS", message_id="m", source_addr="1"),
        frame_of("00000113 00000000 0000000D", "'CBS", "00", "'m", "00 00 00", "'1", "00"),
    ),
    (pdus.CancelBroadcastSmResp(sequence_number=13), frame_of("80000113 00000000 0000000D")),
]


def name_of(value: object) -> str:
    return type(value).__name__ if isinstance(value, PDU) else ""


@pytest.mark.parametrize(("pdu", "frame"), TABLE, ids=name_of)
def test_written_octet_by_octet(pdu: PDU, frame: bytes) -> None:
    assert encode(pdu) == frame
    assert encode_generic(pdu) == frame


@pytest.mark.parametrize(("pdu", "frame"), TABLE, ids=name_of)
def test_read_without_a_fault(pdu: PDU, frame: bytes) -> None:
    for read in (decode, decode_generic):
        faults: list[str] = []
        assert read(frame, faults) == pdu
        assert faults == []


def test_the_table_above_has_every_pdu() -> None:
    assert {type(pdu) for pdu, _ in TABLE} == set(PDU_CLASSES.values()) == set(LAYOUTS)


def test_a_layout_has_the_fields_of_its_class_in_their_order() -> None:
    header = PDU.__struct_fields__
    for pdu_class, fields in LAYOUTS.items():
        assert (*header, *(field.name for field in fields)) == pdu_class.__struct_fields__


def test_every_request_but_two_has_a_response() -> None:
    without = {each for each in PDU_CLASSES.values() if not is_response(each.command_id) and not response_class(each)}
    assert without == {pdus.Outbind, pdus.AlertNotification}
    assert response_class(pdus.SubmitSm()) is pdus.SubmitSmResp
    assert response_class(pdus.SubmitSmResp) is None
    assert response_class(pdus.GenericNack) is None


def test_latin_1_strings_lose_nothing() -> None:
    every = "".join(map(chr, range(1, 256)))
    for begin in range(0, 255, 20):
        pdu = pdus.SubmitSm(source_addr=every[begin : begin + 20])
        assert decode(encode(pdu)) == pdu


LIMITS = [
    (pdus.SubmitSm, "service_type", "x" * 5, "x" * 6),
    (pdus.SubmitSm, "source_addr", "1" * 20, "1" * 21),
    (pdus.SubmitSm, "short_message", b"x" * 254, b"x" * 255),
    (pdus.SubmitSm, "esm_class", 255, 256),
    (pdus.SubmitSm, "schedule_delivery_time", "0" * 15 + "R", "0" * 14 + "R"),
    (pdus.SubmitSm, "validity_period", "", "1"),
    (pdus.SubmitSmResp, "message_id", "x" * 64, "x" * 65),
    (pdus.BindTransceiver, "system_id", "x" * 15, "x" * 16),
    (pdus.BindTransceiver, "password", "x" * 8, "x" * 9),
    (pdus.BindTransceiver, "system_type", "x" * 12, "x" * 13),
    (pdus.BindTransceiver, "address_range", "x" * 40, "x" * 41),
    (pdus.DataSm, "destination_addr", "1" * 64, "1" * 65),
    (pdus.EnquireLink, "sequence_number", 0xFFFFFFFF, 0x100000000),
    (pdus.UnbindResp, "command_status", 0xFFFFFFFF, -1),
    (pdus.SubmitMultiResp, "message_id", "é", "€"),
    (pdus.DeliverSm, "destination_addr", "\x01", "\0"),
]


@pytest.mark.parametrize(
    ("pdu_class", "name", "most", "beyond"), LIMITS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_limit_of_a_field(pdu_class: type[PDU], name: str, most: object, beyond: object) -> None:
    sound = pdu_class(**{name: most})
    assert decode(encode(sound)) == sound
    with pytest.raises(EncodeError) as caught:
        encode(pdu_class(**{name: beyond}))
    assert caught.value.field == name


def test_the_number_of_destinations() -> None:
    one = pdus.SmeAddress(1, 1, "1")
    assert decode(encode(pdus.SubmitMulti(dest_address=(one,) * 254))) == pdus.SubmitMulti(dest_address=(one,) * 254)
    for wrong in ((), (one,) * 255):
        with pytest.raises(EncodeError, match="number_of_dests"):
            encode(pdus.SubmitMulti(dest_address=wrong))
    with pytest.raises(EncodeError, match="no_unsuccess"):
        encode(pdus.SubmitMultiResp(unsuccess_sme=(pdus.UnsuccessSme(),) * 256))


@pytest.mark.parametrize("tlv", [(-1, b""), (0x10000, b""), (0x0424, b"x" * 0x10000), (0x0424, None), (0x0424, "x")])
@pytest.mark.parametrize("pdu_class", [pdus.SubmitSm, pdus.DataSm])
def test_a_tlv_that_cannot_be_written(pdu_class: type[PDU], tlv: tuple[int, bytes]) -> None:
    with pytest.raises(EncodeError, match="tlvs"):
        encode(pdu_class(tlvs=(tlv,)))


def test_no_error_shows_a_text() -> None:
    for pdu in (pdus.SubmitSm(short_message=b"my secret" * 99), pdus.Outbind(password="my secret!")):
        with pytest.raises(EncodeError) as caught:
            encode(pdu)
        assert "my secret" not in str(caught.value)


def test_a_payload_of_64_kib_fits() -> None:
    pdu = pdus.DeliverSm(tlvs=((0x0424, b"x" * 0xFFFF),))
    assert decode(encode(pdu)) == pdu


def test_the_body_of_a_message() -> None:
    payload = ((0x1400, b"no"), (0x0424, b"payload"))
    assert message_body(pdus.SubmitSm(short_message=b"short")) == b"short"
    assert message_body(pdus.SubmitSm(tlvs=payload)) == b"payload"
    assert message_body(pdus.DataSm(tlvs=payload)) == b"payload"
    assert message_body(pdus.SubmitSm(short_message=b"short", tlvs=payload)) == b"short"
    assert message_body(pdus.SubmitSm()) == message_body(pdus.EnquireLink()) == b""
