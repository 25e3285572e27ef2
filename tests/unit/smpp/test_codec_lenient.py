"""What real peers send, and what is made of it. Each case is read whole from a stream, octet by octet, and with
trailing data.
"""

from collections.abc import Iterator

import pytest

from smpp import pdu as pdus
from smpp.codec import decode, split_frames
from smpp.constants import MAX_TLVS, CommandStatus
from smpp.errors import UnparsablePDU
from smpp.layout import LAYOUTS, CString, Destinations
from smpp.pdu import PDU


def framed(command_id: int, body: bytes, status: int = 0, sequence: int = 7) -> bytes:
    header = (16 + len(body), command_id, status, sequence)
    return b"".join(value.to_bytes(4, "big") for value in header) + body


def message(
    text: bytes = b"hi",
    *,
    service_type: bytes = b"",
    source: bytes = b"1",
    destination: bytes = b"2",
    schedule: bytes = b"",
    validity: bytes = b"",
    sm_length: int | None = None,
    tail: bytes = b"",
) -> bytes:
    length = len(text) if sm_length is None else sm_length
    return b"".join(
        (
            service_type,
            b"\x00\x01\x01",
            source,
            b"\x00\x01\x01",
            destination,
            b"\x00\x00\x00\x00",
            schedule,
            b"\x00",
            validity,
            b"\x00\x00\x00\x00\x00",
            bytes((length,)),
            text,
            tail,
        )
    )


SUBMIT, SUBMIT_RESP, DELIVER, DELIVER_RESP = 0x04, 0x80000004, 0x05, 0x80000005
PLAIN = {"sequence_number": 7, "source_addr_ton": 1, "source_addr_npi": 1, "dest_addr_ton": 1, "dest_addr_npi": 1}
SMALL = PLAIN | {"source_addr": "1", "destination_addr": "2", "short_message": b"hi"}
STATE = b"\x04\x27\0\x01\x02"
STATE_TLV = ((0x0427, b"\x02"),)
PAYLOAD = b"\x04\x24\0\x03abc"

FORGIVEN: dict[str, tuple[bytes, PDU, list[str]]] = {
    "an extra NUL after short_message": (
        framed(SUBMIT, message(tail=b"\0")),
        pdus.SubmitSm(**SMALL),
        ["extra NUL"],
    ),
    "an extra NUL, then TLVs": (
        framed(DELIVER, message(tail=b"\0" + STATE)),
        pdus.DeliverSm(**SMALL, tlvs=STATE_TLV),
        ["extra NUL"],
    ),
    "a truncated last TLV": (
        framed(DELIVER, message(tail=STATE + b"\0\x1e\0\x09123")),
        pdus.DeliverSm(**SMALL, tlvs=STATE_TLV),
        ["truncated TLV"],
    ),
    "octets that are no TLV": (
        framed(SUBMIT, message(tail=STATE + b"\x01\x02\x03")),
        pdus.SubmitSm(**SMALL, tlvs=STATE_TLV),
        ["trailing octets"],
    ),
    "both payloads": (
        framed(SUBMIT, message(tail=PAYLOAD)),
        pdus.SubmitSm(**SMALL, tlvs=((0x0424, b"abc"),)),
        ["both payloads"],
    ),
    "an sm_length of 255": (
        framed(SUBMIT, message(b"x" * 255)),
        pdus.SubmitSm(**(SMALL | {"short_message": b"x" * 255})),
        [],
    ),
    "over-long strings": (
        framed(SUBMIT, message(service_type=b"toolong", source=b"1" * 30, destination=b"2" * 21, validity=b"1" * 17)),
        pdus.SubmitSm(
            **(
                SMALL
                | {
                    "service_type": "toolong",
                    "source_addr": "1" * 30,
                    "destination_addr": "2" * 21,
                    "validity_period": "1" * 17,
                }
            )
        ),
        [
            "over-long service_type",
            "over-long source_addr",
            "over-long destination_addr",
            "over-long validity_period",
        ],
    ),
    "a time of an odd length": (
        framed(SUBMIT, message(schedule=b"241231", validity=b"000001000000000R")),
        pdus.SubmitSm(**SMALL, schedule_delivery_time="241231", validity_period="000001000000000R"),
        ["odd schedule_delivery_time"],
    ),
    "over-long credentials": (
        framed(0x09, b"i" * 40 + b"\0" + b"p" * 60 + b"\0\0\x34\0\0\0"),
        pdus.BindTransceiver(sequence_number=7, system_id="i" * 40, password="p" * 60),
        ["over-long system_id", "over-long password"],
    ),
    "a bind_resp of a 3.3 peer": (
        framed(0x80000009, b"smsc\0"),
        pdus.BindTransceiverResp(sequence_number=7, system_id="smsc"),
        [],
    ),
    "a bind_resp that is refused, with a body": (
        framed(0x80000009, b"smsc\0", status=0x0E),
        pdus.BindTransceiverResp(sequence_number=7, command_status=0x0E, system_id="smsc"),
        [],
    ),
    "an error without a body": (
        framed(SUBMIT_RESP, b"", status=0x58),
        pdus.SubmitSmResp(sequence_number=7, command_status=0x58),
        [],
    ),
    "an error with an empty body": (
        framed(SUBMIT_RESP, b"\0", status=0x58),
        pdus.SubmitSmResp(sequence_number=7, command_status=0x58),
        [],
    ),
    "an error with TLVs after an omitted message_id": (
        framed(SUBMIT_RESP, b"\x04\x23\0\x03\x03\0\x11\0\x1d\0\x05busy\0", status=0x45),
        pdus.SubmitSmResp(sequence_number=7, command_status=0x45, tlvs=((0x0423, b"\x03\0\x11"), (0x001D, b"busy\0"))),
        ["omitted message_id"],
    ),
    "an error with TLVs after an empty message_id": (
        framed(SUBMIT_RESP, b"\0\x04\x23\0\x03\x03\0\x11", status=0x45),
        pdus.SubmitSmResp(sequence_number=7, command_status=0x45, tlvs=((0x0423, b"\x03\0\x11"),)),
        [],
    ),
    "a bind_resp with the version and no system_id": (
        framed(0x80000001, b"\x02\x10\0\x01\x34"),
        pdus.BindReceiverResp(sequence_number=7, tlvs=((0x0210, b"\x34"),)),
        ["omitted system_id"],
    ),
    "a deliver_sm_resp without a body": (
        framed(DELIVER_RESP, b""),
        pdus.DeliverSmResp(sequence_number=7),
        ["missing message_id"],
    ),
    "a deliver_sm_resp with an id": (
        framed(DELIVER_RESP, b"abc\0"),
        pdus.DeliverSmResp(sequence_number=7, message_id="abc"),
        [],
    ),
    "a message_id without its NUL": (
        framed(SUBMIT_RESP, b"abc123"),
        pdus.SubmitSmResp(sequence_number=7, message_id="abc123"),
        ["unterminated message_id"],
    ),
    "a submit_sm_resp with something after its id": (
        framed(SUBMIT_RESP, b"abc\0\0"),
        pdus.SubmitSmResp(sequence_number=7, message_id="abc"),
        ["extra NUL"],
    ),
    "an over-long message_id": (
        framed(SUBMIT_RESP, b"a" * 70 + b"\0"),
        pdus.SubmitSmResp(sequence_number=7, message_id="a" * 70),
        ["over-long message_id"],
    ),
    "an id and more that would be a TLV by chance": (
        framed(SUBMIT_RESP, b"id\0\x01\x01"),
        pdus.SubmitSmResp(sequence_number=7, message_id="id"),
        ["trailing octets"],
    ),
    "a query_sm_resp that ends early": (
        framed(0x80000003, b"id\0\0\x02"),
        pdus.QuerySmResp(sequence_number=7, message_id="id", message_state=2),
        ["missing error_code"],
    ),
    "an enquire_link with TLVs": (
        framed(0x15, STATE),
        pdus.EnquireLink(sequence_number=7, tlvs=STATE_TLV),
        [],
    ),
    "an unbind_resp with a body": (
        framed(0x80000006, b"\0"),
        pdus.UnbindResp(sequence_number=7),
        ["extra NUL"],
    ),
    "a strange sequence number": (
        framed(0x15, b"", sequence=0xFFFFFFFF),
        pdus.EnquireLink(sequence_number=0xFFFFFFFF),
        [],
    ),
}

REFUSED: dict[str, tuple[bytes, CommandStatus]] = {
    "an unknown command": (framed(0x7777, b"abc"), CommandStatus.ESME_RINVCMDID),
    "an unknown response": (framed(0x80007777, b""), CommandStatus.ESME_RINVCMDID),
    "no body": (framed(SUBMIT, b""), CommandStatus.ESME_RINVCMDLEN),
    "a body that ends between two fields": (framed(SUBMIT, message()[:-4]), CommandStatus.ESME_RINVCMDLEN),
    "a string without its NUL": (framed(SUBMIT, b"CMT"), CommandStatus.ESME_RINVPARLEN),
    "an sm_length beyond the frame": (framed(SUBMIT, message(sm_length=3)), CommandStatus.ESME_RINVMSGLEN),
    "a message_payload that is cut": (
        framed(DELIVER, message(b"", tail=b"\x04\x24\0\x09abc")),
        CommandStatus.ESME_RINVPARLEN,
    ),
    "a bind without a password": (framed(0x09, b"me\0"), CommandStatus.ESME_RINVCMDLEN),
    "no destinations": (framed(0x21, b"\0\0\0\0\0" + b"\0" * 12), CommandStatus.ESME_RINVNUMDESTS),
    "a strange dest_flag": (framed(0x21, b"\0\0\0\0\x01\x03" + b"\0" * 12), CommandStatus.ESME_RINVDESTFLAG),
    "fewer destinations than said": (framed(0x21, b"\0\0\0\0\x02\x02dl\0"), CommandStatus.ESME_RINVCMDLEN),
    "a submit_multi_resp that ends within": (framed(0x80000021, b"id\0\x01\x01"), CommandStatus.ESME_RINVCMDLEN),
}


def ways(frame: bytes) -> Iterator[bytes]:
    """The frame as it comes out of a stream: at once, octet by octet, and with the begin of another behind it."""
    frames, consumed = split_frames(frame)
    assert consumed == len(frame)
    yield frames[0]
    buffer = bytearray()
    for octet in frame[:-1]:
        buffer.append(octet)
        assert split_frames(buffer) == ([], 0)
    buffer.append(frame[-1])
    yield split_frames(buffer)[0][0]
    for trailing in (b"\0", b"\0\0\0\x10", frame):
        frames, consumed = split_frames(bytearray(frame + trailing))
        assert consumed == len(frame) * len(frames)
        yield from frames


@pytest.mark.parametrize("case", FORGIVEN)
def test_forgiven(case: str) -> None:
    frame, pdu, words = FORGIVEN[case]
    for each in ways(frame):
        faults: list[str] = []
        assert decode(each, faults) == pdu
        assert faults == words
        assert decode(each) == pdu


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    frame, status = REFUSED[case]
    for each in ways(frame):
        with pytest.raises(UnparsablePDU) as caught:
            decode(each)
        error = caught.value
        assert (error.command_status, error.sequence_number) == (status, 7)
        assert error.command_id == int.from_bytes(frame[4:8], "big")


@pytest.mark.parametrize("frame", [b"", b"\0", bytes(15), b"\0\0\0\x11" + bytes(12), framed(0x15, b"")[:-1]])
def test_a_frame_that_is_none(frame: bytes) -> None:
    with pytest.raises(UnparsablePDU) as caught:
        decode(frame)
    assert caught.value.command_status == CommandStatus.ESME_RINVCMDLEN


STRINGS = [
    pytest.param(pdu_class, field, id=f"{pdu_class.__name__}-{field.name}")
    for pdu_class, fields in LAYOUTS.items()
    for field in fields
    if isinstance(field, CString)
]


def frame_with(pdu_class: type[PDU], name: str, octets: int) -> bytes:
    """A frame in which one string has so many octets, written without any check."""
    body = bytearray()
    for field in LAYOUTS[pdu_class]:
        if field.name == name:
            body += b"x" * octets + b"\0"
        elif isinstance(field, Destinations):
            body += b"\x01\x02\0"
        else:
            default = getattr(pdu_class(), field.name)
            body += field.write(default)
    return framed(pdu_class.command_id, bytes(body))


@pytest.mark.parametrize(("pdu_class", "field"), STRINGS)
def test_the_length_at_which_a_string_becomes_over_long(pdu_class: type[PDU], field: CString) -> None:
    odd = [f"odd {field.name}"] if field.fixed else []
    over_long = [f"over-long {field.name}"]
    cases = {0: [], 1: odd, field.size - 2: odd, field.size - 1: [], field.size: over_long, 3000: over_long}
    for octets, words in cases.items():
        faults: list[str] = []
        pdu = decode(frame_with(pdu_class, field.name, octets), faults)
        assert getattr(pdu, field.name) == "x" * octets
        assert faults == words, octets


def test_a_refusal_does_not_show_the_text() -> None:
    with pytest.raises(UnparsablePDU) as caught:
        decode(framed(SUBMIT, message(b"my secret", sm_length=99)))
    assert "my secret" not in str(caught.value)


@pytest.mark.parametrize(
    "command_id", [0x04, 0x05, 0x103, 0x111], ids=["submit_sm", "deliver_sm", "data_sm", "broadcast"]
)
def test_more_optional_parameters_than_anybody_needs_are_not_read(command_id: int) -> None:
    """A frame of 64 KiB holds 16,000 of them."""
    begin = {
        0x103: b"\0\1\1" + b"1\0\1\1" + b"2\0" + bytes(3),
        0x111: b"\0\1\1" + b"1\0" + b"\0" + bytes(6),
    }.get(command_id, message())
    empty = b"\x14\x00\x00\x00"
    assert len(decode(framed(command_id, begin + empty * MAX_TLVS)).tlvs) == MAX_TLVS
    with pytest.raises(UnparsablePDU) as refused:
        decode(framed(command_id, begin + empty * (MAX_TLVS + 1)))
    assert refused.value.command_status == CommandStatus.ESME_RINVOPTPARSTREAM
