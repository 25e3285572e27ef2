"""SMPP messages to the hub's model and back, where a table says more than a conversation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Arrival, Kind, Message, Reason, Receipt, ReceiptState, ReceiptWanted, Result
from smpp.constants import CommandStatus
from smpp.pdu import DeliverSm, SubmitSm
from smpp.tlv import Tag
from translators.smpp_addresses import address_of, address_to
from translators.smpp_messages import (
    STATUS_OF_REASON,
    BadMessage,
    Dialect,
    read_message,
    reference_of,
    registered_delivery_of,
    result_of,
    write_messages,
)

NOW_US = 1_800_000_000_000_000
DIALECT = Dialect()


def text_message(text: str = "hello", **fields: object) -> Message:
    settings: dict[str, object] = {
        "id": 7 << 22,
        "kind": Kind.TEXT,
        "origin": "desk:x",
        "endpoint": "link:y",
        "source": "+18005550100",
        "destination": "+16175551212",
        "text": text,
        "received_us": NOW_US,
        "expires_us": NOW_US + 1,
    }
    return Message(**(settings | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ton", "digits", "country_code", "address"),
    [
        (1, "16175551212", "", "+16175551212"),
        (1, "+16175551212", "", "+16175551212"),
        (0, "+16175551212", "", "+16175551212"),
        (0, "16175551212", "", "+16175551212"),
        (0, "12345", "", "12345"),
        (0, "06175551212", "", "06175551212"),
        (2, "6175551212", "1", "+16175551212"),
        (2, "6175551212", "", "6175551212"),
        (5, "ACME", "", "ACME"),
        (5, "12345678901", "", "12345678901"),
        (1, "", "", ""),
    ],
)
def test_addresses_are_read_as_peers_mean_them(ton: int, digits: str, country_code: str, address: str) -> None:
    assert address_of(ton, digits, country_code) == address


@pytest.mark.parametrize(
    ("address", "written"),
    [("+16175551212", (1, 1, "16175551212")), ("12345", (0, 1, "12345")), ("ACME", (5, 0, "ACME"))],
)
def test_addresses_are_written_with_the_usual_ton_and_npi(address: str, written: tuple[int, int, str]) -> None:
    assert address_to(address) == written


def test_a_links_rules_beat_what_the_address_says() -> None:
    dialect = Dialect(plus=True, source_ton=3, source_npi=0, destination_ton=2, destination_npi=8)
    (pdu,) = write_messages(text_message(), dialect, SubmitSm)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (3, 0, "+18005550100")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (2, 8, "+16175551212")


@pytest.mark.parametrize(
    ("registered_delivery", "wanted"),
    [
        (0, ReceiptWanted.NONE),
        (1, ReceiptWanted.FINAL),
        (2, ReceiptWanted.FAILURE),
        (3, ReceiptWanted.FINAL),
        (4, ReceiptWanted.FINAL),
        (5, ReceiptWanted.FINAL),
        (6, ReceiptWanted.FAILURE),
        (8, ReceiptWanted.NONE),
        (16, ReceiptWanted.NONE),
    ],
)
def test_which_receipts_a_sender_asks_for(registered_delivery: int, wanted: ReceiptWanted) -> None:
    pdu = DeliverSm(source_addr="1", destination_addr="2", registered_delivery=registered_delivery, short_message=b"x")
    assert read_message(pdu, DIALECT, NOW_US).receipt_wanted is wanted


@pytest.mark.parametrize(
    ("asked", "wanted", "value"),
    [
        ("always", ReceiptWanted.NONE, 1),
        ("wanted", ReceiptWanted.NONE, 0),
        ("wanted", ReceiptWanted.FINAL, 1),
        ("wanted", ReceiptWanted.FAILURE, 1),
        ("failure", ReceiptWanted.FINAL, 2),
        ("failure", ReceiptWanted.NONE, 0),
        ("never", ReceiptWanted.FINAL, 0),
    ],
)
def test_which_receipts_are_asked_of_a_link(asked: str, wanted: ReceiptWanted, value: int) -> None:
    assert registered_delivery_of(wanted, asked) == value


def test_a_receipt_names_the_message_as_its_sender_did() -> None:
    tag = int(Tag.USER_MESSAGE_REFERENCE)
    asked = DeliverSm(source_addr="1", destination_addr="2", short_message=b"x", tlvs=((tag, b"\x12\x34"),))
    attributes = read_message(asked, DIALECT, NOW_US).attributes
    receipt = Receipt("77", ReceiptState.DELIVERED, "000", NOW_US, NOW_US, "x")
    for make, esm_class in ((SubmitSm, 0x08), (DeliverSm, 0x04)):
        (pdu,) = write_messages(text_message(kind=Kind.RECEIPT, receipt=receipt, attributes=attributes), DIALECT, make)
        assert pdu.esm_class == esm_class
        assert (tag, b"\x12\x34") in pdu.tlvs
        assert b"id:77 " in pdu.short_message
        assert b"stat:DELIVRD" in pdu.short_message


def test_a_receipt_without_an_id_and_a_bad_header_are_answered_with_their_status() -> None:
    with pytest.raises(BadMessage) as caught:
        read_message(DeliverSm(esm_class=0x04, short_message=b"no receipt at all"), DIALECT, NOW_US)
    assert caught.value.command_status == CommandStatus.ESME_RINVMSGID
    with pytest.raises(BadMessage) as caught:
        read_message(SubmitSm(esm_class=0x40, short_message=b"\xff\x00"), DIALECT, NOW_US)
    assert caught.value.command_status == CommandStatus.ESME_RINVESMCLASS


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("validity_period", "nonsense", CommandStatus.ESME_RINVEXPIRY),
        ("schedule_delivery_time", "nonsense", CommandStatus.ESME_RINVSCHED),
        ("validity_period", "000101000000000+", CommandStatus.ESME_RINVEXPIRY),
    ],
)
def test_times_that_are_none_or_over(field: str, value: str, status: int) -> None:
    with pytest.raises(BadMessage) as caught:
        read_message(SubmitSm(source_addr="1", destination_addr="2", **{field: value}), DIALECT, NOW_US)
    assert caught.value.command_status == status


def test_ucs2_under_data_coding_0_is_taken_only_when_it_can_be_nothing_else() -> None:
    def read(octets: bytes) -> str:
        return read_message(SubmitSm(source_addr="1", destination_addr="2", short_message=octets), DIALECT, NOW_US).text

    assert read("hello".encode("utf-16-be")) == "hello"
    assert read(b"\0a\0b") == "@a@b"


@pytest.mark.parametrize(
    ("data_coding", "message", "text"),
    [
        (0, "06 240101 250101 0c 1b69 1b65 04", "ğı€€"),  # Turkish, both tables
        (0xF1, "06 240101 250101 0c", "ğ"),
        (0, "03 240102 1b61 1b69 05", "áíé"),  # Spanish behind the default table
        (0, "03 2401 0c 00 61", "@a"),
        (0, "03 250106 15 50 61", "काa"),
        (0, "03 250107 00 61 00 61 00 61 00 61", "\ufffda" * 4),  # 0x00 is empty in Kannada; this is no UCS-2
        (0, "03 240163 1b65", "€"),  # a language of the future is the default table
        (8, "03 240101 011f", "ğ"),  # not septets: the element means nothing
    ],
)
def test_the_tables_that_a_header_names_are_used(data_coding: int, message: str, text: str) -> None:
    pdu = DeliverSm(esm_class=0x40, data_coding=data_coding, short_message=bytes.fromhex(message))
    assert read_message(pdu, Dialect(), 0).text == text


def test_a_part_with_national_tables_keeps_its_number() -> None:
    message = bytes.fromhex("0b 0003 07 02 01 240101 250101 0c0c")
    arrival = read_message(DeliverSm(esm_class=0x40, short_message=message), Dialect(), 0)
    assert arrival.concatenation is not None
    assert (arrival.text, arrival.concatenation.total, arrival.concatenation.number) == ("ğğ", 2, 1)


def test_octets_that_are_no_text_pass_as_they_came() -> None:
    came = SubmitSm(source_addr="1", destination_addr="2", data_coding=4, esm_class=0x40, short_message=b"\x01\x70\x01")
    arrival = read_message(
        SubmitSm(
            source_addr="1", destination_addr="2", data_coding=4, esm_class=0x40, short_message=b"\x03\x70\x01\x00ab"
        ),
        DIALECT,
        NOW_US,
    )
    assert came.data_coding == 4
    message = text_message("", data=arrival.data, attributes=arrival.attributes)
    (pdu,) = write_messages(message, DIALECT, SubmitSm)
    assert (pdu.short_message, pdu.data_coding, pdu.esm_class) == (b"\x03\x70\x01\x00ab", 4, 0x40)


def test_every_reason_has_a_status_of_the_standard_or_means_our_own_fault() -> None:
    desk_only = {Reason.UNKNOWN_TOKEN, Reason.EXPIRED_TOKEN, Reason.FOREIGN_TOKEN}
    assert set(STATUS_OF_REASON) | desk_only == set(Reason)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (CommandStatus.ESME_ROK, Result.ACCEPTED),
        (CommandStatus.ESME_RTHROTTLED, Result.THROTTLED),
        (CommandStatus.ESME_RMSGQFUL, Result.THROTTLED),
        (CommandStatus.ESME_RSYSERR, Result.RETRY),
        (CommandStatus.ESME_RX_T_APPN, Result.RETRY),
        (CommandStatus.ESME_RINVDSTADR, Result.REFUSED),
        (CommandStatus.ESME_RX_P_APPN, Result.REFUSED),
        (0x0400, Result.REFUSED),
    ],
)
def test_what_a_status_means_for_a_part(status: int, result: Result) -> None:
    assert result_of(status) is result


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=400), st.integers(1, 1 << 62))
def test_what_is_written_reads_the_same_and_splits_the_same_again(text: str, message_id: int) -> None:
    message = text_message(text, id=message_id)
    pdus = write_messages(message, DIALECT, SubmitSm)
    assert pdus == write_messages(message, DIALECT, SubmitSm)
    arrivals: list[Arrival] = [read_message(pdu, DIALECT, NOW_US) for pdu in pdus]
    assert "".join(arrival.text for arrival in arrivals) == text
    if len(pdus) > 1:
        references = {a.concatenation.reference for a in arrivals if a.concatenation is not None}
        assert references == {reference_of(message_id) & 0xFF}


@pytest.mark.parametrize(
    ("attributes", "written"), [({}, "CMT"), ({"from": "ann"}, "CMT"), ({"service_type": "WAP"}, "WAP")]
)
def test_the_service_type_is_the_senders_or_else_the_links(attributes: dict[str, str], written: str) -> None:
    dialect = Dialect(service_type="CMT")
    (pdu,) = write_messages(text_message("hello", attributes=attributes), dialect, SubmitSm)
    assert pdu.service_type == written
