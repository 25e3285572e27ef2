"""Receipts in the shapes of the field: exact octets, and what a lenient reader makes of them."""

from __future__ import annotations

import random

import pytest

from ops.simulators.smsc_behaviour import Behaviour, Carries, Dlr, IdStyle, Span, Wording
from ops.simulators.smsc_receipts import News, is_asked, write_id, write_receipt
from ops.simulators.smsc_writing import NEVER_GIVEN, OVERTAKE_S, plan_receipts
from smpp.pdu import SubmitSm
from smpp.receipt import IdForm, ReceiptState, read, same_id

SUBMITTED_US = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC
DONE_US = SUBMITTED_US + 61_000_000
NEWS = News("4711", ReceiptState.DELIVERED, SUBMITTED_US, DONE_US, "How may I help you today?")

DELIVERED = ((0x001E, b"4711\0"), (0x0427, b"\x02"))


def test_the_standard_shape_is_appendix_b_to_the_letter() -> None:
    written = write_receipt(NEWS, Dlr())
    assert written.esm_class == 0x04
    assert written.data_coding == 0
    assert written.short_message == (
        b"id:4711 sub:001 dlvrd:001 submit date:2311142213 done date:2311142214 stat:DELIVRD err:000 "
        b"text:How may I help you t"
    )
    assert written.tlvs == DELIVERED


@pytest.mark.parametrize(
    ("digits", "submitted", "done"),
    [
        (10, b"2311142213", b"2311142214"),
        (12, b"231114221320", b"231114221421"),
        (14, b"20231114221320", b"20231114221421"),
    ],
)
def test_dates_have_as_many_digits_as_wanted(digits: int, submitted: bytes, done: bytes) -> None:
    body = write_receipt(NEWS, Dlr(date_digits=digits)).short_message
    assert b"submit date:" + submitted + b" done date:" + done + b" " in body


def test_a_receipt_may_be_tlvs_only_or_text_only() -> None:
    tlvs = write_receipt(NEWS, Dlr(carries=Carries.TLVS))
    assert (tlvs.short_message, tlvs.tlvs) == (b"", DELIVERED)
    text = write_receipt(NEWS, Dlr(carries=Carries.TEXT))
    assert text.tlvs == ()
    assert text.short_message.startswith(b"id:4711 ")


def test_other_wordings() -> None:
    assert write_receipt(NEWS, Dlr(wording=Wording.SHORT)).short_message == b"id:4711 stat:DELIVRD err:000"
    assert write_receipt(NEWS, Dlr(wording=Wording.SHOUTED)).short_message == (
        b"STAT:delivrd ID:4711 DONE DATE:2311142214 SUBMIT DATE:2311142213 "
        b"Text:How may I help you t SUB:001 DLVRD:001 ERR:000"
    )
    wide = write_receipt(NEWS, Dlr(wording=Wording.UCS2))
    assert wide.data_coding == 8
    assert wide.short_message.decode("utf-16-be").encode() == write_receipt(NEWS, Dlr()).short_message


@pytest.mark.parametrize("wording", Wording)
@pytest.mark.parametrize("state", ReceiptState)
@pytest.mark.parametrize("carries", Carries)
def test_every_shape_can_be_read(wording: Wording, state: ReceiptState, carries: Carries) -> None:
    news = News("4711", state, SUBMITTED_US, DONE_US, "What is id:12 stat:EXPIRED?")
    written = write_receipt(news, Dlr(wording=wording, carries=carries, error="042"))
    found = read(written.esm_class, written.short_message, written.data_coding, written.tlvs, DONE_US)
    assert found is not None
    assert found.message_id == "4711"
    assert found.state is state


def test_a_receipt_in_ucs2_is_cut_where_short_message_ends() -> None:
    long_id = News("a" * 36, ReceiptState.DELIVERED, SUBMITTED_US, DONE_US, "x" * 20)
    assert len(write_receipt(long_id, Dlr(wording=Wording.UCS2, date_digits=14)).short_message) == 254


def test_failures_have_an_error_and_nothing_delivered() -> None:
    news = News("1", ReceiptState.UNDELIVERABLE, SUBMITTED_US, DONE_US)
    body = write_receipt(news, Dlr(error="042")).short_message
    assert b" dlvrd:000 " in body
    assert b" stat:UNDELIV err:042 text:" in body


def test_an_intermediate_notification_has_its_own_esm_class() -> None:
    written = write_receipt(News("1", ReceiptState.ENROUTE, 0, 0), Dlr(), intermediate=True)
    assert written.esm_class == 0x20
    assert (0x0427, b"\x01") in written.tlvs


def test_characters_outside_ascii_do_not_break_a_receipt() -> None:
    body = write_receipt(News("1", ReceiptState.DELIVERED, 0, 0, "Grüße 😀"), Dlr()).short_message
    assert body.endswith(b"text:Gr??e ?")


@pytest.mark.parametrize(
    ("style", "written"),
    [
        (IdStyle.DECIMAL, "48879"),
        (IdStyle.PADDED, "0000000000048879"),
        (IdStyle.HEX, "beef"),
        (IdStyle.HEX_UPPER, "BEEF"),
        (IdStyle.HEX_PADDED, "000000000000beef"),
        (IdStyle.UUID, "5eed0000-0000-4000-8000-00000000beef"),
        (IdStyle.UUID_UPPER, "5EED0000-0000-4000-8000-00000000BEEF"),
    ],
)
def test_message_ids(style: IdStyle, written: str) -> None:
    assert write_id(0xBEEF, style) == written


@pytest.mark.parametrize(
    ("answer", "receipt", "form"),
    [
        (IdStyle.HEX, IdStyle.DECIMAL, IdForm.RESPONSE_HEX),
        (IdStyle.HEX_UPPER, IdStyle.PADDED, IdForm.RESPONSE_HEX),
        (IdStyle.DECIMAL, IdStyle.HEX_UPPER, IdForm.RECEIPT_HEX),
        (IdStyle.PADDED, IdStyle.DECIMAL, IdForm.FOLDED),
        (IdStyle.UUID, IdStyle.UUID_UPPER, IdForm.FOLDED),
    ],
)
def test_styles_differ_in_the_ways_that_links_are_set_for(answer: IdStyle, receipt: IdStyle, form: IdForm) -> None:
    one, other = write_id(51966, answer), write_id(51966, receipt)
    assert one != other
    assert same_id(one, other, form)
    assert not same_id(one, write_id(51967, receipt), form)


@pytest.mark.parametrize(
    ("registered", "delivered", "failed"),
    [(0, False, False), (1, True, True), (2, False, True), (3, True, False), (0x11, True, True), (0x10, False, False)],
)
def test_who_asks_for_which_receipts(registered: int, delivered: bool, failed: bool) -> None:
    assert is_asked(registered, ReceiptState.DELIVERED) is delivered
    assert is_asked(registered, ReceiptState.REJECTED) is failed


# --- planning --------------------------------------------------------------------------------------------------------

MESSAGE = SubmitSm(
    source_addr_ton=1,
    source_addr="18005550100",
    dest_addr_ton=1,
    dest_addr_npi=1,
    destination_addr="16175550101",
    registered_delivery=1,
)


def plan(
    dlr: Dlr, *, message: SubmitSm = MESSAGE, answer_s: float = 0.0, state: ReceiptState = ReceiptState.DELIVERED
) -> tuple[list[tuple[float, str, str]], float]:
    """What is planned: (after, id, state) of each receipt, and how long the answer takes."""
    behaviour = Behaviour(dlr=dlr)
    planned, answer = plan_receipts(
        message, 255, state, behaviour, random.Random(1), SUBMITTED_US, answer_s, "text of it"
    )
    read_back = []
    for each in planned:
        pdu = each.pdu
        assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == ("16175550101", 1, 1)
        assert (pdu.destination_addr, pdu.dest_addr_ton, pdu.dest_addr_npi) == ("18005550100", 1, 0)
        found = read(pdu.esm_class, pdu.short_message, pdu.data_coding, pdu.tlvs, SUBMITTED_US)
        assert found is not None
        assert found.message_id is not None
        read_back.append((each.after_s, found.message_id, found.state.value))
    return read_back, answer


def test_a_receipt_comes_after_its_answer_by_the_delay() -> None:
    assert plan(Dlr(delay=Span(2.0, 2.0)), answer_s=0.5) == ([(2.5, "255", "DELIVRD")], 0.5)


def test_a_receipt_that_overtakes_holds_the_answer_back() -> None:
    receipts, answer = plan(Dlr(overtakes=True, delay=Span(1.0, 1.0)), answer_s=0.5)
    assert receipts == [(1.0, "255", "DELIVRD")]
    assert answer == 1.0 + OVERTAKE_S + 0.5


def test_nothing_overtakes_where_there_is_no_receipt() -> None:
    failure_only = SubmitSm(registered_delivery=2)
    planned, answer = plan_receipts(
        failure_only, 1, ReceiptState.DELIVERED, Behaviour(dlr=Dlr(overtakes=True)), random.Random(1), 0, 0.0, ""
    )
    assert (planned, answer) == ([], 0.0)


def test_intermediate_first_then_the_final_one_with_its_repetitions_then_strangers() -> None:
    dlr = Dlr(intermediate=True, repeats=2, unsolicited_rate=1.0, delay=Span(1.0, 1.0), id_style=IdStyle.HEX)
    receipts, _ = plan(dlr, state=ReceiptState.EXPIRED)
    assert receipts == [
        (0.0, "ff", "ENROUTE"),
        (1.0, "ff", "EXPIRED"),
        (1.0, "ff", "EXPIRED"),
        (1.0, "ff", "EXPIRED"),
        (1.0, format(255 + NEVER_GIVEN, "x"), "EXPIRED"),
    ]


def test_always_gives_receipts_to_who_did_not_ask() -> None:
    silent = SubmitSm(
        source_addr_ton=1,
        source_addr="18005550100",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="16175550101",
    )
    assert plan(Dlr(), message=silent) == ([], 0.0)
    assert plan(Dlr(always=True), message=silent) == ([(0.0, "255", "DELIVRD")], 0.0)
