"""What real peers send, as the hub reads it: where smpp's own tests end and the hub's model begins."""

from __future__ import annotations

import pytest

from hub.errors import Unsplittable
from hub.model import Kind, Message, ReceiptState
from smpp.alphabet import ASCII, BY_NAME, GSM7, LATIN1, Alphabet
from smpp.codec import decode, encode
from smpp.constants import CommandStatus
from smpp.errors import EncodeError
from smpp.pdu import DataSm, DeliverSm, SubmitSm
from smpp.receipt import IdForm
from smpp.tlv import Tag
from translators.smpp_addresses import address_of, address_to
from translators.smpp_messages import BadMessage, Dialect, read_message, write_messages

NOW_US = 1_800_000_000_000_000
DIALECT = Dialect()
PAYLOAD = int(Tag.MESSAGE_PAYLOAD)
SAR = ((int(Tag.SAR_MSG_REF_NUM), b"\0\7"), (int(Tag.SAR_TOTAL_SEGMENTS), b"\2"), (int(Tag.SAR_SEGMENT_SEQNUM), b"\1"))
HEADER = bytes.fromhex("050003cc0201")
DELIVERED = b"id:77 sub:001 dlvrd:001 submit date:2701150800 done date:2701150800 stat:DELIVRD err:000 text:"


def deliver(octets: bytes, esm_class: int = 0, tlvs: tuple[tuple[int, bytes], ...] = (), **fields: int) -> DeliverSm:
    return DeliverSm(
        source_addr="1", destination_addr="2", esm_class=esm_class, short_message=octets, tlvs=tlvs, **fields
    )


@pytest.mark.parametrize(
    ("esm_class", "state", "is_final"), [(0x04, "DELIVRD", True), (0x20, "ENROUTE", False), (0x60, "ENROUTE", False)]
)
def test_an_intermediate_notification_is_never_final_whatever_its_text_says(
    esm_class: int, state: str, is_final: bool
) -> None:
    receipt = read_message(deliver(DELIVERED, esm_class), DIALECT, NOW_US).receipt
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.state.is_final) == ("77", ReceiptState(state), is_final)


def test_a_text_that_reads_like_a_receipt_is_a_text() -> None:
    arrival = read_message(deliver(b"id:77 stat:DELAYED why?"), DIALECT, NOW_US)
    assert (arrival.receipt, arrival.text) == (None, "id:77 stat:DELAYED why?")


def test_a_receipt_without_a_word_of_its_state_is_not_final() -> None:
    receipt = read_message(deliver(b"id:77", 0x04), DIALECT, NOW_US).receipt
    assert receipt is not None
    assert not receipt.state.is_final


def test_the_other_forms_of_a_receipts_id_go_along_where_the_link_says_so() -> None:
    hexadecimal = read_message(deliver(b"id:255 stat:DELIVRD", 0x04), Dialect(id_form=IdForm.RESPONSE_HEX), NOW_US)
    assert {"255", "ff", "FF"} <= set(hexadecimal.attributes["ids"].split("|"))
    assert "ids" not in read_message(deliver(b"id:255 stat:DELIVRD", 0x04), DIALECT, NOW_US).attributes


@pytest.mark.parametrize("make", [DeliverSm, DataSm])
def test_a_receipt_may_stand_in_the_payload(make: type[DeliverSm] | type[DataSm]) -> None:
    receipt = read_message(make(esm_class=4, tlvs=((PAYLOAD, DELIVERED),)), DIALECT, NOW_US).receipt
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == ("77", ReceiptState.DELIVERED)


def test_of_short_message_and_payload_the_short_message_counts() -> None:
    assert read_message(deliver(b"short", 0, ((PAYLOAD, b"long"),)), DIALECT, NOW_US).text == "short"
    assert read_message(deliver(b"", 0, ((PAYLOAD, b"long"),)), DIALECT, NOW_US).text == "long"


def test_a_header_is_looked_for_inside_the_payload() -> None:
    arrival = read_message(deliver(b"", 0x40, ((PAYLOAD, HEADER + b"text"),)), DIALECT, NOW_US)
    assert arrival.text == "text"
    assert arrival.concatenation is not None
    assert (arrival.concatenation.reference, arrival.concatenation.total, arrival.concatenation.number) == (0xCC, 2, 1)


def test_a_header_and_sar_in_one_message_are_refused() -> None:
    with pytest.raises(BadMessage) as caught:
        read_message(deliver(HEADER + b"text", 0x40, SAR), DIALECT, NOW_US)
    assert caught.value.command_status == CommandStatus.ESME_RINVESMCLASS


def test_an_at_sign_in_an_alphanumeric_sender_is_ascii_and_ends_nothing() -> None:
    ton, npi, digits = address_to("A@HOME")
    pdu = SubmitSm(source_addr_ton=ton, source_addr_npi=npi, source_addr=digits, destination_addr="2")
    read = decode(encode(pdu))
    assert isinstance(read, SubmitSm)
    assert address_of(read.source_addr_ton, read.source_addr) == "A@HOME"
    with pytest.raises(EncodeError, match="NUL"):
        encode(SubmitSm(source_addr="A\0HOME", destination_addr="2"))  # as GSM would have it


def text_message(text: str) -> Message:
    return Message(
        id=7 << 22,
        kind=Kind.TEXT,
        origin="desk:x",
        endpoint="link:y",
        source="+18005550100",
        destination="+16175551212",
        text=text,
        received_us=NOW_US,
        expires_us=NOW_US + 1,
    )


@pytest.mark.parametrize(
    ("default", "octets", "text"),
    [(GSM7, b"caf\x05 \x00 \x02", "café @ $"), (LATIN1, b"caf\xe9 @ $", "café @ $"), (ASCII, b"cafe @ $", "cafe @ $")],
)
def test_data_coding_0_is_read_and_written_as_the_peer_means_it(default: Alphabet, octets: bytes, text: str) -> None:
    dialect = Dialect(default=default, allowed=(default,))
    assert read_message(deliver(octets, data_coding=0), dialect, NOW_US).text == text
    (pdu,) = write_messages(text_message(text), dialect, SubmitSm)
    assert (pdu.short_message, pdu.data_coding) == (octets, 0)


@pytest.mark.parametrize(
    ("name", "data_coding", "text", "octets"),
    [
        ("ascii", 1, "{a}~", b"{a}~"),
        ("latin1", 3, "ã½", b"\xe3\xbd"),
        ("shift-jis", 5, "あ", b"\x82\xa0"),
        ("cyrillic", 6, "Щ№", b"\xc9\xf0"),
        ("hebrew", 7, "שלום", b"\xf9\xec\xe5\xed"),
        ("ucs2", 8, "😀", b"\xd8\x3d\xde\x00"),
        ("euc-jp", 13, "あ", b"\xa4\xa2"),
        ("euc-kr", 14, "가", b"\xb0\xa1"),
    ],
)
def test_every_alphabet_is_named_where_it_is_not_the_default(
    name: str, data_coding: int, text: str, octets: bytes
) -> None:
    alphabet = BY_NAME[name]
    for dialect, written in (
        (Dialect(allowed=(alphabet,)), data_coding),
        (Dialect(default=alphabet, allowed=(alphabet,)), 0),
    ):
        (pdu,) = write_messages(text_message(text), dialect, SubmitSm)
        assert isinstance(pdu, SubmitSm)
        assert (pdu.data_coding, pdu.short_message) == (written, octets)
        assert read_message(pdu, dialect, NOW_US).text == text
    assert read_message(deliver(octets, data_coding=data_coding), DIALECT, NOW_US).text == text


def test_a_text_of_more_than_255_parts_is_not_sent() -> None:
    assert len(write_messages(text_message("a" * 153 * 255), DIALECT, SubmitSm)) == 255
    with pytest.raises(Unsplittable, match="too-long"):
        write_messages(text_message("a" * (153 * 255 + 1)), DIALECT, SubmitSm)
