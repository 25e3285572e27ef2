"""What a dialect changes: packed septets, TON and NPI by number, validity, data_sm, transliteration, binaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Unsplittable
from hub.model import Kind, Message, Receipt, ReceiptState, ReceiptWanted
from smpp.alphabet import ASCII, BY_NAME, GSM7, LATIN1, UCS2, Alphabet, fill_bits, pack
from smpp.codec import decode, encode
from smpp.constants import CommandStatus
from smpp.pdu import DataSm, DeliverSm, SubmitSm
from smpp.segmentation import Method
from smpp.timeformat import parse_time
from smpp.tlv import Tag
from translators.smpp_addresses import TonNpiRule, address_by_rules, read_ton_npi_rule
from translators.smpp_messages import (
    BadMessage,
    Dialect,
    is_transliterated,
    read_message,
    with_time_to_live,
    write_messages,
)

NOW_US = 1_800_000_000_000_000
PACKED = Dialect(packed=True)
PAYLOAD = int(Tag.MESSAGE_PAYLOAD)
TIME_TO_LIVE = int(Tag.QOS_TIME_TO_LIVE)


def sar(reference: int, total: int, number: int) -> tuple[tuple[int, bytes], ...]:
    return (
        (int(Tag.SAR_MSG_REF_NUM), reference.to_bytes(2, "big")),
        (int(Tag.SAR_TOTAL_SEGMENTS), bytes((total,))),
        (int(Tag.SAR_SEGMENT_SEQNUM), bytes((number,))),
    )


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
        "expires_us": NOW_US + 3_600_000_000,
    }
    return Message(**(settings | fields))  # type: ignore[arg-type]


# --- packed ----------------------------------------------------------------------------------------------------------


def test_packed_septets_are_read_and_written_where_the_peer_wants_them() -> None:
    (pdu,) = write_messages(text_message("hellohello"), PACKED, SubmitSm)
    assert (pdu.short_message, pdu.data_coding) == (bytes.fromhex("e8329bfd4697d9ec37"), 0)
    assert read_message(pdu, PACKED, NOW_US).text == "hellohello"
    assert read_message(pdu, Dialect(), NOW_US).text != "hellohello"


def test_packed_septets_behind_a_header_have_fill_bits_both_ways() -> None:
    text = "a" * 153 + "b" * 8
    first, second = write_messages(text_message(text), PACKED, SubmitSm)
    assert first.short_message[6] == 0x61 << 1 & 0xFF
    assert second.short_message[-1] >> 1 == 0x0D  # seven spare bits are CR, not '@'
    arrivals = [read_message(pdu, PACKED, NOW_US) for pdu in (first, second)]
    assert "".join(arrival.text for arrival in arrivals) == text
    assert all(arrival.concatenation is not None for arrival in arrivals)


def test_packed_septets_of_national_tables() -> None:
    dialect = Dialect(packed=True, allowed=(GSM7, BY_NAME["gsm7-tr"], UCS2))
    text = "şığ " * 60
    pdus = write_messages(text_message(text), dialect, SubmitSm)
    assert len(pdus) == 2
    assert "".join(read_message(pdu, dialect, NOW_US).text for pdu in pdus) == text


def test_packed_septets_in_the_payload() -> None:
    octets = bytes.fromhex("050003cc0201") + pack(b"hello", fill_bits(6))
    pdu = DeliverSm(esm_class=0x40, tlvs=((PAYLOAD, octets),))
    assert read_message(pdu, PACKED, NOW_US).text == "hello"
    dialect = Dialect(packed=True, method=Method.PAYLOAD)
    (pdu,) = write_messages(text_message("a" * 200), dialect, SubmitSm)  # type: ignore[assignment]
    assert dict(pdu.tlvs)[PAYLOAD] == pack(b"a" * 200)
    assert read_message(pdu, dialect, NOW_US).text == "a" * 200


@pytest.mark.parametrize(
    ("data_coding", "default", "octets", "text"),
    [
        (0xF1, LATIN1, pack(b"hello"), "hello"),  # GSM whatever the default is
        (0, LATIN1, b"caf\xe9", "café"),  # octets stay octets
        (0, ASCII, b"hello", "hello"),
        (1, GSM7, b"hello", "hello"),
        (3, GSM7, b"caf\xe9", "café"),
        (8, GSM7, b"\0h\0i", "hi"),
        (0, GSM7, pack(b"\0a\0b\0c\0d"), "@a@b@c@d"),  # no UCS-2 is looked for in septets
    ],
)
def test_only_septets_of_gsm_are_unpacked(data_coding: int, default: Alphabet, octets: bytes, text: str) -> None:
    pdu = DeliverSm(data_coding=data_coding, short_message=octets)
    assert read_message(pdu, Dialect(packed=True, default=default), NOW_US).text == text


@pytest.mark.parametrize("form", [lambda octets: octets, pack], ids=["as it is", "packed"])
def test_a_receipt_of_a_peer_that_packs_is_read_in_either_form(form: object) -> None:
    text = b"id:77 sub:001 dlvrd:001 submit date:2701150800 done date:2701150800 stat:DELIVRD err:000 text:"
    pdu = DeliverSm(source_addr="1", destination_addr="2", esm_class=4, short_message=form(text))  # type: ignore[operator]
    receipt = read_message(pdu, PACKED, NOW_US).receipt
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == ("77", ReceiptState.DELIVERED)


def test_a_receipt_is_written_as_ascii_to_a_peer_that_packs() -> None:
    receipt = Receipt("77", ReceiptState.DELIVERED, "000", NOW_US, NOW_US, "x")
    (pdu,) = write_messages(text_message(kind=Kind.RECEIPT, receipt=receipt), PACKED, DeliverSm)
    assert pdu.short_message.startswith(b"id:77 ")  # type: ignore[union-attr]


@given(st.text(alphabet="abc {€@\nçş", max_size=400), st.sampled_from(["udh8", "udh16", "sar", "payload", "blocks"]))
def test_what_is_packed_reads_the_same(text: str, method: str) -> None:
    dialect = Dialect(packed=True, method=Method(method), allowed=(GSM7, BY_NAME["gsm7-tr"], UCS2))
    pdus = write_messages(text_message(text), dialect, SubmitSm)
    assert "".join(read_message(pdu, dialect, NOW_US).text for pdu in pdus) == text


# --- TON and NPI by number -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("source 77377 3/0", TonNpiRule(True, "77377", True, 3, 0)),
        ("destination +1* 1/1", TonNpiRule(False, "+1", False, 1, 1)),
        ("source * 6/18", TonNpiRule(True, "", False, 6, 18)),
    ],
)
def test_a_rule_is_read(text: str, rule: TonNpiRule) -> None:
    assert read_ton_npi_rule(text) == rule


@pytest.mark.parametrize("text", ["", "source 1", "source 1 7/1", "from 1 1/1", "source 1 1/100", "source 1 1/1 x"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TON/NPI"):
        read_ton_npi_rule(text)


def test_the_first_rule_that_fits_wins_over_what_is_said_for_all() -> None:
    rules = tuple(
        map(read_ton_npi_rule, ["source 77377 3/0", "source ACME 5/1", "destination +1617* 2/8", "destination +1* 1/1"])
    )
    dialect = Dialect(ton_npi_rules=rules, source_ton=4, source_npi=9, destination_ton=0, destination_npi=3)

    def written(source: str, destination: str) -> tuple[int, ...]:
        message = text_message(source=source, destination=destination)
        (pdu,) = write_messages(message, dialect, SubmitSm)
        return pdu.source_addr_ton, pdu.source_addr_npi, pdu.dest_addr_ton, pdu.dest_addr_npi

    assert written("77377", "+16175551212") == (3, 0, 2, 8)
    assert written("773771", "+12125551212") == (4, 9, 1, 1)
    assert written("ACME", "+442071234567") == (5, 1, 0, 3)
    assert address_by_rules("+16175551212", True, -1, -1, rules, of_source=False) == (2, 8, "+16175551212")
    assert address_by_rules("+16175551212", False, -1, -1, rules) == (1, 1, "16175551212")


# --- validity --------------------------------------------------------------------------------------------------------


def test_the_carrier_is_told_when_a_text_expires_and_nothing_of_schedules() -> None:
    pdus = write_messages(text_message("a" * 200, not_before_us=NOW_US), Dialect(send_validity=True), SubmitSm)
    assert len(pdus) == 2
    for pdu in pdus:
        assert isinstance(pdu, SubmitSm)
        assert parse_time(pdu.validity_period, NOW_US) == NOW_US + 3_600_000_000
        assert pdu.schedule_delivery_time == ""


def test_an_account_or_an_unasked_carrier_is_told_no_validity() -> None:
    for dialect, make in ((Dialect(), SubmitSm), (Dialect(send_validity=True), DeliverSm)):
        (pdu,) = write_messages(text_message(), dialect, make)
        assert pdu.validity_period == ""  # type: ignore[union-attr]


def test_a_validity_that_the_format_cannot_name_is_left_to_the_smsc() -> None:
    message = text_message(expires_us=NOW_US + 99 * 366 * 86_400_000_000)
    (pdu,) = write_messages(message, Dialect(send_validity=True), SubmitSm)
    assert pdu.validity_period == ""  # type: ignore[union-attr]


# --- data_sm ---------------------------------------------------------------------------------------------------------

DATA_SM = Dialect(submit_with="data_sm", send_validity=True)


def test_a_text_goes_as_data_sm() -> None:
    (pdu,) = write_messages(text_message("hé", receipt_wanted=ReceiptWanted.FINAL), DATA_SM, SubmitSm)
    assert isinstance(pdu, DataSm)
    assert pdu.tlvs == ((PAYLOAD, b"h\x05"),)
    assert (pdu.registered_delivery, pdu.destination_addr, pdu.source_addr) == (1, "16175551212", "18005550100")
    assert decode(encode(pdu)) == pdu
    assert read_message(pdu, DATA_SM, NOW_US).text == "hé"


@pytest.mark.parametrize("method", list(Method))
def test_a_long_text_goes_as_data_sm_by_each_method(method: Method) -> None:
    dialect = Dialect(submit_with="data_sm", method=method)
    text = "a" * 400
    pdus = write_messages(text_message(text), dialect, SubmitSm)
    assert len(pdus) == (1 if method is Method.PAYLOAD else 3)
    assert all(isinstance(pdu, DataSm) for pdu in pdus)
    arrivals = [read_message(decode(encode(pdu)), dialect, NOW_US) for pdu in pdus]  # type: ignore[arg-type]
    assert "".join(arrival.text for arrival in arrivals) == text
    parts = [(a.concatenation.total, a.concatenation.number) for a in arrivals if a.concatenation is not None]
    assert parts == ([(3, 1), (3, 2), (3, 3)] if method in (Method.UDH8, Method.UDH16, Method.SAR) else [])


def test_an_empty_text_has_an_empty_payload() -> None:
    (pdu,) = write_messages(text_message(""), DATA_SM, SubmitSm)
    assert pdu.tlvs == ((PAYLOAD, b""),)


def test_accounts_are_sent_deliver_sm_whatever_links_are_sent() -> None:
    (pdu,) = write_messages(text_message(), DATA_SM, DeliverSm)
    assert isinstance(pdu, DeliverSm)


def test_a_data_sm_says_how_long_it_has_left_when_it_is_given() -> None:
    message = text_message()
    (pdu,) = write_messages(message, DATA_SM, SubmitSm)
    for now_us, seconds in (
        (NOW_US, 3600),
        (NOW_US + 1, 3600),
        (NOW_US + 3_599_000_000, 1),
        (NOW_US + 3_600_000_000, 1),  # 0 would mean the SMSC's default
        (NOW_US - (1 << 62), 0xFFFF_FFFF),
    ):
        timed = with_time_to_live(pdu, message, now_us)
        assert dict(timed.tlvs)[TIME_TO_LIVE] == seconds.to_bytes(4, "big")
    read = read_message(decode(encode(with_time_to_live(pdu, message, NOW_US))), DATA_SM, NOW_US)  # type: ignore[arg-type]
    assert read.validity_us == 3_600_000_000
    (submitted,) = write_messages(message, Dialect(), SubmitSm)
    assert with_time_to_live(submitted, message, NOW_US) is submitted


@pytest.mark.parametrize(
    ("octets", "validity_us"),
    [(b"", 0), (b"\0\0\0\0", 0), (b"\x3c", 60_000_000), (b"\0\0\0\x3c", 60_000_000), (b"\xff" * 8, 0)],
)
def test_a_time_to_live_of_another_size_is_read_where_a_clock_has_room_for_it(octets: bytes, validity_us: int) -> None:
    pdu = DataSm(tlvs=((PAYLOAD, b"x"), (TIME_TO_LIVE, octets)))
    assert read_message(pdu, Dialect(), NOW_US).validity_us == validity_us


# --- octets that are no text -----------------------------------------------------------------------------------------


def through(pdu: SubmitSm | DataSm, method: Method) -> SubmitSm:
    """What a carrier is sent of what an account sends."""
    arrival = read_message(pdu, Dialect(), NOW_US)
    message = text_message("", data=arrival.data, attributes=arrival.attributes)
    (written,) = write_messages(message, Dialect(method=method), SubmitSm)
    assert isinstance(written, SubmitSm)
    return written


@pytest.mark.parametrize(
    ("method", "reference", "size", "header", "tlvs"),
    [
        (Method.SAR, 7, 100, "", sar(7, 3, 2)),
        (Method.SAR, 0x1234, 100, "", sar(0x1234, 3, 2)),
        (Method.PAYLOAD, 7, 100, "", sar(7, 3, 2)),
        (Method.BLOCKS, 7, 100, "", sar(7, 3, 2)),
        (Method.UDH8, 7, 134, "05 0003 07 03 02", ()),
        (Method.UDH8, 0x1234, 133, "06 0804 1234 03 02", ()),
        (Method.UDH16, 7, 133, "06 0804 0007 03 02", ()),
        (Method.UDH8, 7, 135, "", sar(7, 3, 2)),  # no room for a header
    ],
)
def test_a_binary_part_by_sar_stays_a_part(
    method: Method, reference: int, size: int, header: str, tlvs: tuple[tuple[int, bytes], ...]
) -> None:
    came = SubmitSm(source_addr="1", destination_addr="2", data_coding=4, short_message=b"x" * size)
    for pdu in (
        SubmitSm(source_addr="1", data_coding=4, short_message=b"x" * size, tlvs=sar(reference, 3, 2)),
        SubmitSm(source_addr="1", data_coding=4, tlvs=(*sar(reference, 3, 2), (PAYLOAD, b"x" * size))),
        DataSm(source_addr="1", data_coding=4, tlvs=((PAYLOAD, b"x" * size), *sar(reference, 3, 2))),
    ):
        sent = through(pdu, method)
        assert sent.short_message == bytes.fromhex(header) + came.short_message
        assert (sent.tlvs, sent.esm_class, sent.data_coding) == (tlvs, 0x40 if header else 0, 4)


def test_a_binary_message_keeps_its_ports_its_service_type_and_its_reference() -> None:
    ports = ((int(Tag.SOURCE_PORT), b"\x23\xf0"), (int(Tag.DESTINATION_PORT), b"\x0b\x84"))
    came = SubmitSm(service_type="WAP", data_coding=0xF5, short_message=b"\x01\x06", tlvs=ports)
    sent = through(came, Method.UDH8)
    assert (sent.service_type, sent.data_coding, sent.short_message, sent.tlvs) == ("WAP", 0xF5, b"\x01\x06", ports)


def test_a_binary_message_with_a_header_and_sar_is_refused_as_a_text_is() -> None:
    pdu = SubmitSm(data_coding=4, esm_class=0x40, short_message=b"\x03\x70\x01\x00ab", tlvs=sar(1, 2, 1))
    with pytest.raises(BadMessage) as caught:
        read_message(pdu, Dialect(), NOW_US)
    assert caught.value.command_status == CommandStatus.ESME_RINVESMCLASS


# --- transliteration -------------------------------------------------------------------------------------------------


def test_nothing_is_transliterated_unasked() -> None:
    (pdu,) = write_messages(text_message("it’s"), Dialect(), SubmitSm)
    assert pdu.data_coding == 8
    assert not is_transliterated(text_message("it’s"), Dialect())


def test_what_is_transliterated_says_so_and_splits_the_same_again() -> None:
    dialect = Dialect(transliterate="to-fit")
    message = text_message("“" + "ł" * 200 + "”")
    pdus = write_messages(message, dialect, SubmitSm)
    assert [pdu.data_coding for pdu in pdus] == [0, 0]
    assert pdus == write_messages(message, dialect, SubmitSm)
    assert "".join(read_message(pdu, dialect, NOW_US).text for pdu in pdus) == '"' + "l" * 200 + '"'
    assert is_transliterated(message, dialect)


@pytest.mark.parametrize("text", ["hello", "привет", "😀 it’s", "çà"])
def test_what_goes_as_it_was_written_is_not_noted(text: str) -> None:
    dialect = Dialect(transliterate="to-fit", allowed=(GSM7, LATIN1, UCS2))
    assert not is_transliterated(text_message(text), dialect)
    assert write_messages(text_message(text), dialect, SubmitSm) == write_messages(
        text_message(text), Dialect(allowed=(GSM7, LATIN1, UCS2)), SubmitSm
    )


def test_a_receipt_a_binary_and_what_cannot_be_sent_are_not_noted() -> None:
    dialect = Dialect(transliterate="to-fit", allowed=(GSM7,))
    assert not is_transliterated(text_message("’", kind=Kind.RECEIPT), dialect)
    assert not is_transliterated(text_message("", data=b"\x92"), dialect)
    assert not is_transliterated(text_message("я"), dialect)
    with pytest.raises(Unsplittable, match="alphabet"):
        write_messages(text_message("я"), dialect, SubmitSm)
