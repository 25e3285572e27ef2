"""Charging records read by others: pyasn1 writes the same octets, pycrate reads 3GPP's own module, CSV says the same.

pycrate's compiled module of TS 32.298 is the independent decoder: nothing of it was seen by what is tested.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import logging
import warnings
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pyasn1.type import univ

from hub.model import ELEMENT, REMOTE_ELEMENT, Kind, Message, ReceiptState, ReceiptWanted
from ops.charging import Record, ber, csv_twin, ts32298
from ops.charging.records import CHARGED, MAX_SEQUENCE, MessageType, RecordType, fate_of, is_msisdn, plain, record_of
from smpp.alphabet import GSM7

FROM_S, UNTIL_S = 1_767_225_600, 4_102_444_799  # 2026 to 2099: TimeStamp has two digits of the year
MODULE = Path(__file__).parents[3] / "docs/reference/smshub-charging.asn"

addresses = st.one_of(
    st.from_regex(r"\A\+[1-9][0-9]{4,14}\Z"),
    st.from_regex(r"\A[0-9]{3,8}\Z"),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=21),
)
times = st.integers(FROM_S, UNTIL_S)
words = st.sampled_from(["", "refused", "expired:ESME_RSYSERR", "UNDELIV:001", "ESME_RINVDSTADR", "täuschend"])
elements = st.sampled_from(["", "SPID:6006", "sip:help@example.net"])
messages = st.builds(
    Message,
    id=st.integers(1, 2**63 - 1),
    kind=st.just(Kind.TEXT),
    origin=st.sampled_from(["link:one", "account:agg", "desk:help"]),
    endpoint=st.sampled_from(["link:two", "group:g", "desk:shy", ""]),
    source=addresses,
    destination=addresses,
    text=st.text(st.characters(codec="utf-8"), max_size=400),
    data=st.none() | st.binary(max_size=300),
    receipt_wanted=st.sampled_from(ReceiptWanted),
    received_us=times.map(lambda s: s * 1_000_000 + 999_999),
    expires_us=st.just(0),
    call_centre=st.sampled_from(["", "acme"]),
    thread_id=st.sampled_from([0, 1, 255, 2**62]),
    attributes=st.builds(lambda a, b: {ELEMENT: a, REMOTE_ELEMENT: b, "from": "secret@desk"}, elements, elements),
)
records = st.builds(
    record_of,
    event=st.tuples(st.sampled_from(sorted(CHARGED)), words),
    at_us=times.map(lambda s: s * 1_000_000 + 1),
    message=messages,
    parts=st.integers(0, 255),
    settled=words,
    node=st.sampled_from(["", "+16175550000", "+447700900123"]),
    sequence=st.sampled_from([0, 1, 127, 128, 255, 256, 2**31, MAX_SEQUENCE - 1]) | st.integers(0, 2**40),
)


# --- pyasn1 ----------------------------------------------------------------------------------------------------------


def _fill(party: Any, side: str, interface: str, address: str, endpoint: str) -> None:
    if is_msisdn(address):
        party[f"{side}MSISDN"] = ts32298.address_string(address)
    else:
        party[f"{side}OtherAddress"]["sMAddressType"] = ts32298.address_type(address)
        party[f"{side}OtherAddress"]["sMAddressData"] = address
    party[interface]["interfaceId"] = endpoint


def by_types(record: Record) -> bytes:
    """The record as pyasn1 writes it."""
    is_mo = record.record is RecordType.SC_SMO
    fields = ts32298.SCSMORecord() if is_mo else ts32298.SCSMTRecord()
    fields["recordType"] = ts32298.SC_SMO if is_mo else ts32298.SC_SMT
    fields["sMSNodeAddress"] = ts32298.address_string(record.node)
    originator, recipient = fields["originatorInfo"], fields["recipientInfo"]
    if is_mo:
        recipient.append(ts32298.RecipientInfo())
        recipient = recipient[0]
    _fill(originator, "originator", "sMOriginatorInterface", record.originator, record.originator_interface)
    _fill(recipient, "recipient", "sMDestinationInterface", record.recipient, record.recipient_interface)
    fields["eventtimestamp"] = ts32298.time_stamp(record.event_s)
    fields["messageReference"] = record.message_id.to_bytes(8, "big")
    fields["messageSize"] = record.size_octets
    fields["sMdeliveryReportRequested"] = record.report_requested
    fields["sMDataCodingScheme"] = record.data_coding
    fields["sMMessageType"] = ts32298.MESSAGE_TYPES[record.message_type]
    fields["localSequenceNumber"] = record.sequence
    if not is_mo:
        fields["submissionTime"] = ts32298.time_stamp(record.submitted_s)
        fields["sMSStatus"] = bytes((record.status,))
        if record.parts:
            fields["sMTotalNumber"] = record.parts
        if record.discharged_s:
            fields["sMDischargeTime"] = ts32298.time_stamp(record.discharged_s)
        if record.result:
            fields["sMSResult"]["gsm0902MapErrorValue"] = record.result
    own = {
        "callCentre": record.call_centre,
        "element": record.element,
        "remoteElement": record.remote_element,
        "reason": record.reason,
        "thread": record.thread_id,
    }
    if any(own.values()):
        extension = ts32298.ManagementExtension()
        extension["identifier"] = univ.ObjectIdentifier(ts32298.EXTENSION)
        for name, value in own.items():
            if value:
                extension["information"][name] = value
        fields["recordExtensions"].append(extension)
    return bytes(encoder.encode(fields))


@settings(max_examples=150)
@given(record=records)
def test_pyasn1_writes_the_same_octets_and_reads_the_same_record(record: Record) -> None:
    octets = ber.encode([record])
    assert octets == by_types(record)
    assert list(ber.decode(octets)) == [record]


@given(record=records, cut=st.integers(1, 400))
def test_a_file_that_is_cut_is_told_from_a_whole_one(record: Record, cut: int) -> None:
    octets = ber.encode([record, record])
    whole = len(octets) // 2
    if 0 < cut < whole:
        found = ber.decode(octets[:-cut])
        assert next(found) == record
        with pytest.raises(ber.Unreadable) as caught:
            next(found)
        assert caught.value.at == whole


@given(octets=st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\xbf\x5d" + tail))
def test_any_octets_are_records_or_unreadable(octets: bytes) -> None:
    try:
        found = list(ber.decode(octets))
    except ber.Unreadable as error:
        stopped_at = error.at
    else:
        stopped_at = len(octets)
        assert all(isinstance(record, Record) for record in found)
    assert 0 <= stopped_at <= len(octets)


# --- pycrate: the standard's module ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standard() -> Any:
    """SMSRecordType of TS 32.298 as pycrate compiled it; a second and a half to load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pycrate_asn1dir import CDR
    logging.getLogger("pycrate").setLevel(logging.ERROR)  # it tells of each extension that it has no module of
    return CDR.SMSChargingDataTypes.SMSRecordType


@pytest.fixture(scope="module")
def our_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module that we publish for the extension, compiled by pycrate."""
    compiled = tmp_path_factory.mktemp("asn") / "compiled.py"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pycrate_asn1c.asnproc import GLOBAL, PycrateGenerator, compile_text, generate_modules

        with redirect_stdout(io.StringIO()):
            compile_text(MODULE.read_text())
            generate_modules(PycrateGenerator, str(compiled))
        GLOBAL.clear()
        spec = importlib.util.spec_from_file_location("smshub_charging_compiled", compiled)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.SmshubChargingExtension.HubInformation


def univ_sequence(content: bytes) -> bytes:
    """A SEQUENCE of these contents."""
    size = len(content)
    return b"\x30" + (bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")) + content


def _number(octets: bytes) -> str:
    digits = "".join(f"{octet & 0xF:x}{octet >> 4:x}" for octet in octets[1:]).rstrip("f")
    return f"+{digits}" if octets[0] == 0x91 else digits


def _address(party: dict[str, Any], side: str) -> str:
    if f"{side}MSISDN" in party:
        return _number(party[f"{side}MSISDN"])
    other: dict[str, Any] = party[f"{side}OtherAddress"]
    assert other["sMAddressType"] == (
        "numericShortCode" if other["sMAddressData"].isdecimal() else "alphanumericShortCode"
    )
    return str(other["sMAddressData"])


def _time(octets: bytes) -> str:
    assert (len(octets), octets[6:]) == (9, b"+\0\0")
    moment = datetime.strptime("20" + octets[:6].hex(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_KINDS = {"submission": "submission", "delivery": "delivery", "deliveryReport": "delivery-report"}
_INFORMATION = {
    "call_centre": "callCentre",
    "element": "element",
    "remote_element": "remoteElement",
    "reason": "reason",
    "thread_id": "thread",
}


def as_csv_says(standard: Any, our_module: Any, octets: bytes) -> dict[str, str]:
    """A record, decoded by the standard's module, in the words of the CSV twin."""
    standard.from_ber(octets)
    assert standard.to_ber() is not None
    name, fields = standard.get_val()
    is_mo = name == "sCSMORecord"
    assert fields["recordType"] == (93 if is_mo else 94)
    recipient = fields["recipientInfo"][0] if is_mo else fields["recipientInfo"]
    information: dict[str, Any] = {}
    if "recordExtensions" in fields:
        (extension,) = fields["recordExtensions"]
        assert extension["identifier"] == ts32298.EXTENSION
        kind, raw = extension["information"]
        assert kind == "_unk_0116", "a universal, constructed SEQUENCE, which pycrate has no module for"
        our_module.from_ber(univ_sequence(raw))
        information = our_module.get_val()
    result = fields.get("sMSResult", ("gsm0902MapErrorValue", ""))
    assert result[0] == "gsm0902MapErrorValue"
    return {
        "sequence": str(fields["localSequenceNumber"]),
        "record": "SC-SMO" if is_mo else "SC-SMT",
        "message_type": _KINDS[fields["sMMessageType"]],
        "node": _number(fields["sMSNodeAddress"]),
        "message_id": str(int.from_bytes(fields["messageReference"], "big")),
        "submitted": _time(fields["eventtimestamp" if is_mo else "submissionTime"]),
        "event": _time(fields["eventtimestamp"]),
        "originator": _address(fields["originatorInfo"], "originator"),
        "originator_interface": fields["originatorInfo"]["sMOriginatorInterface"]["interfaceId"],
        "recipient": _address(recipient, "recipient"),
        "recipient_interface": recipient["sMDestinationInterface"]["interfaceId"],
        "size_octets": str(fields["messageSize"]),
        "parts": str(fields.get("sMTotalNumber", "")),
        "report_requested": str(int(fields["sMdeliveryReportRequested"])),
        "data_coding": str(fields["sMDataCodingScheme"]),
        "status": str(fields["sMSStatus"][0]) if "sMSStatus" in fields else "",
        "discharged": _time(fields["sMDischargeTime"]) if "sMDischargeTime" in fields else "",
        "result": str(result[1]),
        **{ours: str(information.get(theirs, "")) for ours, theirs in _INFORMATION.items()},
    }


@settings(max_examples=150)
@given(record=records)
def test_the_standards_module_and_the_csv_twin_say_the_same(standard: Any, our_module: Any, record: Record) -> None:
    text = (csv_twin.head() + csv_twin.lines([record])).decode()
    assert text.endswith("\r\n")
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    assert as_csv_says(standard, our_module, ber.encode([record])) == row


# --- what a record says ----------------------------------------------------------------------------------------------


@given(message=messages, parts=st.integers(1, 255), at_s=times)
def test_each_event_makes_its_record_and_none_holds_a_text_or_a_desks_name(
    message: Message, parts: int, at_s: int
) -> None:
    def made(*event: str, settled: str = "") -> Record:
        word, reason = event if len(event) > 1 else (*event, "")
        return record_of((word, reason), at_s * 1_000_000, message, parts, settled, "", 0)

    taken, passed, died = made("message"), made("handed-over"), made("dead", "expired:ESME_RSYSERR")
    arrived, failed = made("delivered"), made("undeliverable", settled="REJECTD:012")
    assert (taken.record, taken.message_type, taken.status, taken.parts) == ("SC-SMO", "submission", -1, 0)
    assert (passed.record, passed.message_type, passed.status, passed.parts) == ("SC-SMT", "delivery", 1, parts)
    assert (died.message_type, died.status, died.result, died.reason) == ("delivery", 0x46, 6, "expired:ESME_RSYSERR")
    assert (arrived.message_type, arrived.status, arrived.discharged_s) == ("delivery-report", 0, at_s)
    assert (failed.message_type, failed.status, failed.result) == ("delivery-report", 0x42, 13)
    assert taken.submitted_s == taken.event_s == message.received_us // 1_000_000
    assert {r.event_s for r in (passed, died, arrived, failed)} == {at_s}
    for record in (taken, passed, died, arrived, failed):
        names = set(msgspec.structs.asdict(record))
        assert not names & {"text", "data", "token", "attributes"}
        assert "secret@desk" not in str(record)
        assert record.size_octets <= max(4 * len(message.text), len(message.data or b""))


@given(text=st.text(max_size=300))
def test_a_size_is_that_of_the_smallest_alphabet_of_sms(text: str) -> None:
    message = Message(
        id=1,
        kind=Kind.TEXT,
        origin="a",
        endpoint="b",
        source="c",
        destination="d",
        text=text,
        received_us=0,
        expires_us=0,
    )
    record = record_of(("message", ""), 0, message, 0, "", "", 0)
    if GSM7.encodable(text):
        assert (record.size_octets, record.data_coding) == (-(-7 * GSM7.units(text) // 8), 0)
    else:
        assert (record.size_octets, record.data_coding) == (len(text.encode("utf-16-be", "surrogatepass")), 8)


@given(address=st.text(max_size=30))
def test_an_address_is_always_plain(address: str) -> None:
    shown = plain(address)
    assert shown.isascii()
    assert all(" " <= character <= "~" for character in shown)
    assert shown == address or not address.isascii() or not address.isprintable()


def test_every_state_of_a_failed_receipt_has_a_fate() -> None:
    for state in ReceiptState:
        fate = fate_of(f"{state.value}:000")
        assert 0x40 <= fate.status <= 0x49
        assert fate.result in (1, 6, 13, 32)
    assert fate_of("") == fate_of("anything")
    assert MessageType("delivery") is MessageType.DELIVERY
