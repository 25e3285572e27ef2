"""Handsets join parts as phones do, whoever cut them."""

from __future__ import annotations

import random

import pytest

from ops.simulators.smsc_errors import Unsendable
from ops.simulators.smsc_handset import WAIT_FOR_PARTS_US, Handset, Phone, Reception, address_of, address_to
from ops.simulators.smsc_writing import ASKS_RECEIPT, write_text
from smpp.alphabet import GSM7
from smpp.pdu import DataSm, SubmitSm
from smpp.reassembly import BadHeader
from smpp.segmentation import Method, segment

NUMBER, DESK = "+16175550101", "+18005550100"
LONG = "The quick brown fox {jumps} over the lazy dog. " * 9


def parts(
    text: str, *, method: Method = Method.UDH8, reference: int = 7, source: str = "18005550100"
) -> list[SubmitSm]:
    return [
        SubmitSm(
            source_addr_ton=1,
            source_addr=source,
            dest_addr_ton=1,
            destination_addr="16175550101",
            esm_class=part.esm_class,
            data_coding=part.data_coding,
            short_message=part.short_message,
            tlvs=part.tlvs,
            registered_delivery=1,
        )
        for part in segment(text, method=method, reference=reference)
    ]


def take(phone: Phone, messages: list[SubmitSm], *, start_us: int = 1000, step_us: int = 100_000) -> list[Reception]:
    shown = []
    for at, message in enumerate(messages):
        _, reception = phone.take(message, start_us + at * step_us, f"id{at}", GSM7)
        if reception is not None:
            shown.append(reception)
    return shown


@pytest.mark.parametrize("method", [Method.UDH8, Method.UDH16, Method.SAR])
@pytest.mark.parametrize("text", [LONG, "Zoë 👩‍👩‍👧 " * 40])
def test_a_long_text_is_shown_whole(method: Method, text: str) -> None:
    messages = parts(text, method=method)
    (shown,) = take(Phone(NUMBER), messages)
    assert shown.text == text
    assert (shown.from_, shown.to, shown.wants_receipt, shown.data) == (DESK, NUMBER, True, None)
    assert [part.number for part in shown.parts] == list(range(1, len(messages) + 1))
    assert [part.message_id for part in shown.parts] == [f"id{at}" for at in range(len(messages))]
    assert shown.gaps_us == [100_000] * (len(messages) - 1)
    assert shown.at_us == shown.parts[-1].at_us


def test_parts_in_any_order_and_twice() -> None:
    messages = parts(LONG) * 2
    random.Random(5).shuffle(messages)
    first = {message.short_message: message for message in messages}  # so that no part is missing when it is whole
    phone = Phone(NUMBER)
    (shown,) = take(phone, [*list(first.values())[:2], *list(first.values())])
    assert shown.text == LONG
    assert phone.repetitions == 2


def test_the_last_part_again_after_the_text_was_shown_is_a_repetition() -> None:
    phone = Phone(NUMBER)
    messages = parts(LONG)
    assert len(take(phone, [*messages, messages[-1]])) == 1
    assert (phone.repetitions, phone.waiting) == (1, 0)


def test_the_same_text_with_the_same_reference_is_shown_again() -> None:
    """References of eight bits come again soon."""
    phone = Phone(NUMBER)
    assert [shown.text for shown in take(phone, parts(LONG) + parts(LONG))] == [LONG, LONG]
    assert phone.repetitions == 0


def test_texts_of_two_senders_with_one_reference_stay_apart() -> None:
    one, other = parts(LONG), parts(LONG.upper(), source="18005550199")
    mixed = [message for pair in zip(one, other, strict=True) for message in pair]
    assert [(shown.from_, shown.text) for shown in take(Phone(NUMBER), mixed)] == [
        (DESK, LONG),
        ("+18005550199", LONG.upper()),
    ]


def test_a_text_that_never_gets_whole_is_put_aside() -> None:
    phone = Phone(NUMBER)
    messages = parts(LONG)
    assert take(phone, messages[:-1]) == []
    assert phone.waiting == 1
    assert take(phone, messages[:1], start_us=WAIT_FOR_PARTS_US + 10_000) == []
    assert [len(texts) for texts in phone.incomplete] == [len(messages) - 1]
    assert phone.waiting == 1  # the one that began anew


def test_blocks_are_texts_of_their_own() -> None:
    shown = take(Phone(NUMBER), parts(LONG, method=Method.BLOCKS))
    assert "".join(reception.text for reception in shown) == LONG
    assert {len(reception.parts) for reception in shown} == {1}


def test_message_payload_is_one_message() -> None:
    (shown,) = take(Phone(NUMBER), parts(LONG, method=Method.PAYLOAD))
    assert (shown.text, len(shown.parts), shown.parts[0].octets) == (LONG, 1, len(GSM7.encode(LONG)))


def test_data_sm_brings_its_text_in_message_payload() -> None:
    message = DataSm(source_addr="12345", destination_addr="16175550101", tlvs=((0x0424, b"hello"),))
    _, shown = Phone(NUMBER).take(message, 1, "", GSM7)
    assert shown is not None
    assert (shown.from_, shown.text) == ("12345", "hello")


def test_octets_that_are_no_text_stay_octets() -> None:
    _, shown = Phone(NUMBER).take(SubmitSm(data_coding=4, short_message=b"\x00\xff\x80"), 1, "", GSM7)
    assert shown is not None
    assert (shown.text, shown.data) == ("", b"\x00\xff\x80")


def test_a_header_longer_than_its_message_is_an_error() -> None:
    with pytest.raises(BadHeader):
        Phone(NUMBER).take(SubmitSm(esm_class=0x40, short_message=b"\x09\x00\x03"), 1, "", GSM7)


def test_a_handset_forgets_the_oldest_and_counts_on() -> None:
    handset = Handset(NUMBER, kept=2)
    for at in range(5):
        handset.take(*handset.phone.take(parts(f"text {at}")[0], at * 150_000, "", GSM7))
    assert handset.count == 5
    assert [reception.text for reception in handset.received] == ["text 3", "text 4"]
    assert handset.gaps_us(DESK) == [150_000]
    assert handset.gaps_us("+1") == []


@pytest.mark.parametrize(
    ("address", "ton", "npi", "digits"),
    [(NUMBER, 1, 1, "16175550101"), ("12345", 0, 1, "12345"), ("Helpline", 5, 0, "Helpline")],
)
def test_addresses_there_and_back(address: str, ton: int, npi: int, digits: str) -> None:
    assert address_to(address) == (ton, npi, digits)
    assert address_of(ton, digits) == address


# --- what handsets write ---------------------------------------------------------------------------------------------


def write(text: str, **more: object) -> list:
    settings = {"method": Method.UDH8, "alphabet": GSM7, "reference": 300} | more
    return write_text(NUMBER, DESK, text, **settings)


def test_a_handset_writes_a_short_text() -> None:
    (pdu,) = write("hi @ 5€", wants_receipt=True)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, "16175550101")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (1, 1, "18005550100")
    assert pdu.short_message == b"hi \x00 5\x1be"
    assert pdu.registered_delivery == ASKS_RECEIPT == 0x05
    assert write("hi")[0].registered_delivery == 0


def test_parts_may_be_turned_round_doubled_and_missing() -> None:
    whole = write(LONG)
    assert [pdu.short_message[:6] for pdu in whole] == [bytes((5, 0, 3, 300 & 0xFF, 3, n)) for n in (1, 2, 3)]
    assert write(LONG, order=(3, 1, 1)) == [whole[2], whole[0], whole[0]]
    with pytest.raises(Unsendable, match=r"parts \[4\] of a text of 3"):
        write(LONG, order=(4,))


def test_what_no_alphabet_carries_cannot_be_sent() -> None:
    with pytest.raises(Unsendable):
        write("half a pair: \ud83d")
    with pytest.raises(Unsendable):
        write("x" * 153 * 256)
