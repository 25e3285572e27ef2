"""Receipts: each way that SMSCs depart from Appendix B has a test of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from smpp.alphabet import UCS2
from smpp.reassembly import parse_udh
from smpp.receipt import (
    IdForm,
    Receipt,
    ReceiptState,
    canonical_id,
    id_forms,
    is_receipt,
    read,
    same_id,
    state_number,
    state_of_number,
    state_of_word,
    write,
)

USUAL = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2407311259 done date:2407311301 stat:DELIVRD err:000 "
    b"text:The first of it here"
)


def us(*calendar: int) -> int:
    return int(datetime(*calendar, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]


NOW = us(2024, 7, 31, 13, 5)
FULL = Receipt(
    "0123456789",
    ReceiptState.DELIVERED,
    us(2024, 7, 31, 12, 59),
    us(2024, 7, 31, 13, 1),
    "000",
    1,
    1,
    "The first of it here",
)


def heard(
    body: bytes | str, *, esm_class: int = 4, data_coding: int = 0, tlvs: tuple[tuple[int, bytes], ...] = ()
) -> Receipt:
    receipt = read(esm_class, body, data_coding, tlvs, NOW)
    assert receipt is not None
    return receipt


def test_the_text_of_appendix_b() -> None:
    assert heard(USUAL) == FULL
    assert heard(USUAL.decode()) == FULL


@pytest.mark.parametrize("esm_class", [0x04, 0x08, 0x20, 0x44, 0x07, 0x84, 0x60])
def test_receipts_are_told_by_the_bits(esm_class: int) -> None:
    assert is_receipt(esm_class)
    assert read(esm_class, b"whatever", 0, (), NOW) is not None


@pytest.mark.parametrize("esm_class", [0x00, 0x03, 0x40, 0x80, 0xC0, 0x10, 0x18])
def test_receipts_are_never_told_by_the_text(esm_class: int) -> None:
    assert not is_receipt(esm_class)
    assert read(esm_class, b"id:77 stat:DELAYED why?", 0, (), NOW) is None
    assert read(esm_class, USUAL, 0, ((0x001E, b"1\0"),), NOW) is None


@pytest.mark.parametrize(("esm_class", "intermediate"), [(0x04, False), (0x08, False), (0x20, True), (0x60, True)])
def test_intermediate_notifications_are_marked(esm_class: int, intermediate: bool) -> None:
    assert heard(USUAL, esm_class=esm_class).intermediate is intermediate


def test_tlvs_come_first() -> None:
    tlvs = ((0x0427, b"\x05"), (0x001E, b"other\0"), (0x0423, b"\x03\x00\x22"))
    receipt = heard(USUAL, tlvs=tlvs)
    assert (receipt.message_id, receipt.state, receipt.err) == ("other", ReceiptState.UNDELIVERABLE, "034")
    assert receipt.done_us == FULL.done_us


def test_tlvs_alone() -> None:
    receipt = heard(b"", tlvs=((0x001E, b"abc\0"), (0x0427, b"\x02")))
    assert receipt == Receipt("abc", ReceiptState.DELIVERED)


@pytest.mark.parametrize("value", [b"abc", b"abc\0", b"abc\0\0", b"abc\0junk", b" abc \0"])
def test_receipted_message_id_with_and_without_its_nul(value: bytes) -> None:
    assert heard(b"", tlvs=((0x001E, value),)).message_id == "abc"


@pytest.mark.parametrize(
    "tlvs",
    [
        ((0x001E, b"\0"),),
        ((0x001E, b""),),
        ((0x0427, b"\xc8"),),
        ((0x0427, b""),),
        ((0x0423, b"\0\0\0"),),
        ((0x0423, b"\x03"),),
    ],
)
def test_partial_tlvs_leave_the_text_to_speak(tlvs: tuple[tuple[int, bytes], ...]) -> None:
    assert heard(USUAL, tlvs=tlvs) == FULL


def test_message_state_as_an_ascii_digit() -> None:
    assert heard(b"", tlvs=((0x0427, b"2"),)).state is ReceiptState.DELIVERED


@pytest.mark.parametrize(
    ("value", "err"),
    [(b"\x03\x00\x01", "001"), (b"\x03\x04\x1b", "1051"), (b"\x01\xff\xff", "65535")],
)
def test_network_error_code(value: bytes, err: str) -> None:
    assert heard(b"", tlvs=((0x0423, value),)).err == err


@pytest.mark.parametrize(("value", "err"), [(b"034", "034"), (b"000", "000"), (b"254", "254")])
def test_network_error_code_as_three_ascii_digits(value: bytes, err: str) -> None:
    assert heard(b"", tlvs=((0x0423, value),)).err == err


@pytest.mark.parametrize(
    ("body", "receipt"),
    [
        (b"id:7 stat:DELIVRD", Receipt("7", ReceiptState.DELIVERED)),
        (b"stat:EXPIRED id:7", Receipt("7", ReceiptState.EXPIRED)),
        (b"id:7", Receipt("7", ReceiptState.UNKNOWN)),
        (b"id:7 sub: dlvrd: submit date: done date: stat:DELIVRD err: text:", Receipt("7", ReceiptState.DELIVERED)),
        (b"id:7 sub:x dlvrd:one stat:DELIVRD", Receipt("7", ReceiptState.DELIVERED)),
        (b"", Receipt(None, ReceiptState.UNKNOWN)),
        (b"delivered, thank you", Receipt(None, ReceiptState.UNKNOWN)),
    ],
)
def test_missing_fields(body: bytes, receipt: Receipt) -> None:
    assert heard(body) == receipt


def test_any_order() -> None:
    body = (
        b"stat:DELIVRD err:000 done date:2407311301 submit date:2407311259 dlvrd:001 sub:001 id:0123456789 "
        b"text:The first of it here"
    )
    assert heard(body) == FULL
    assert heard(b"text:hi there id:7 stat:DELIVRD").text == "hi there "
    assert heard(b"text:hi there id:7 stat:DELIVRD").message_id == "7"


@pytest.mark.parametrize("body", [USUAL.replace(b"text:", b"Text:"), USUAL.replace(b"text:", b"TEXT:")])
def test_text_with_a_capital(body: bytes) -> None:
    assert heard(body) == FULL


def test_any_case() -> None:
    body = (
        USUAL.replace(b"id:", b"ID:").replace(b"submit date", b"Submit Date").replace(b"stat:DELIVRD", b"Stat:Delivrd")
    )
    assert heard(body) == FULL
    assert heard(b"ID:7 STAT:DELIVRD ERR:005") == Receipt("7", ReceiptState.DELIVERED, err="005")


def test_spaces_and_separators() -> None:
    assert heard(b"id: 7, sub: 001; stat: DELIVRD\r\nerr : 005") == Receipt(
        "7", ReceiptState.DELIVERED, err="005", sub=1
    )


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        (b"2407311259", us(2024, 7, 31, 12, 59)),
        (b"240731125930", us(2024, 7, 31, 12, 59, 30)),
        (b"20240731125930", us(2024, 7, 31, 12, 59, 30)),
        (b"202407311259", us(2024, 7, 31, 12, 59)),  # also 2020-24-07…, which is no date
        (b"202008011259", us(2020, 8, 1, 12, 59)),
        (b"240731125930000+", us(2024, 7, 31, 12, 59, 30)),
        (b"2024-07-31 12:59:30", us(2024, 7, 31, 12, 59, 30)),
        (b"2407311259 vendor:x9", us(2024, 7, 31, 12, 59)),
        (b"0000000000", None),
        (b"2413311259", None),
        (b"soon", None),
        (b"24073112", None),
        (b"9" * 1000, None),
    ],
)
def test_dates_of_10_12_and_14_digits(date: bytes, moment: int | None) -> None:
    assert heard(b"id:7 done date:" + date + b" stat:DELIVRD").done_us == moment


def test_of_two_readings_of_a_date_the_one_nearer_to_now_counts() -> None:
    body = b"id:7 done date:201012101112 stat:DELIVRD"  # 2020-10-12 10:11:12, or 2010-12-10 11:12
    then = read(4, body, 0, (), us(2020, 10, 12))
    before = read(4, body, 0, (), us(2010, 12, 10))
    assert then is not None
    assert before is not None
    assert then.done_us == us(2020, 10, 12, 10, 11, 12)
    assert before.done_us == us(2010, 12, 10, 11, 12)


@pytest.mark.parametrize("err", ["E4A", "1051", "00A3", "0x22", "SYS-FAIL", "-1"])
def test_err_alphanumeric_or_longer(err: str) -> None:
    assert heard(USUAL.replace(b"err:000", b"err:" + err.encode())).err == err


@pytest.mark.parametrize(
    ("word", "state"),
    [(state.value, state) for state in ReceiptState]
    + [
        ("ACKED", ReceiptState.ACCEPTED),
        ("BUFFRED", ReceiptState.ACCEPTED),
        ("BUFFERED", ReceiptState.ACCEPTED),
        ("ENROUTE", ReceiptState.ENROUTE),
        ("DELIVERED", ReceiptState.DELIVERED),
        ("delivrd", ReceiptState.DELIVERED),
        ("UNDELIVERABLE", ReceiptState.UNDELIVERABLE),
        ("UNDELIVRD", ReceiptState.UNDELIVERABLE),
        ("FAILED", ReceiptState.UNDELIVERABLE),
        ("REJECTED", ReceiptState.REJECTED),
        ("DELAYED", ReceiptState.ENROUTE),
        ("GARBLED", ReceiptState.UNKNOWN),
        ("", ReceiptState.UNKNOWN),
    ],
)
def test_stat_words(word: str, state: ReceiptState) -> None:
    assert state_of_word(word) is state
    assert heard(f"id:7 stat:{word} err:000").state is state


@pytest.mark.parametrize("data_coding", [0, 3, 8])
def test_data_coding_8_with_ascii_text(data_coding: int) -> None:
    assert heard(USUAL, data_coding=data_coding) == FULL


@pytest.mark.parametrize("data_coding", [0, 8])
def test_ucs2_whatever_data_coding_says(data_coding: int) -> None:
    assert heard(UCS2.encode(USUAL.decode()), data_coding=data_coding) == FULL
    assert heard(b"\xfe\xff" + UCS2.encode(USUAL.decode()), data_coding=data_coding) == FULL


def test_a_header_before_the_text_is_skipped() -> None:
    assert heard(bytes.fromhex("050003cc0201") + USUAL, esm_class=0x44) == FULL
    assert heard(USUAL, esm_class=0x44) == FULL


def test_a_text_that_adds_up_as_a_header_is_none() -> None:
    body = b"id:7 stat:DELIVRD err:000 text:".ljust(62, b"x") + b"+".ljust(60, b"x")
    assert parse_udh(body).elements  # "i" is a length, "d" an element of ":" octets, and so on to the end
    assert heard(body, esm_class=0x44).message_id == "7"


def test_nul_at_the_end_and_gsm_at_signs() -> None:
    assert heard(USUAL + b"\0") == FULL
    assert heard(USUAL[:-1] + b"\0e").text == "The first of it her@e"


@pytest.mark.parametrize(
    "body",
    [
        b"stat:DELIVRD err:000",
        b"id: stat:DELIVRD",
        b"id:",
        b"sub:001 id:\0",
        b"id:  sub:001 stat:DELIVRD",
        b"id:\x85",
    ],
)
def test_a_missing_message_id_is_none_and_never_the_string_none(body: bytes) -> None:
    assert heard(body).message_id is None


def test_an_id_with_a_colon_and_a_uuid() -> None:
    assert heard(USUAL.replace(b"id:0123456789", b"id:a1:b2")).message_id == "a1:b2"
    uuid = "6f1c1a0e-57a1-4b1c-9a55-0d3c3cbb7a10"
    assert heard(USUAL.replace(b"0123456789", uuid.encode())).message_id == uuid


def test_words_in_the_message_text_change_nothing() -> None:
    text = "id:99 stat:UNDELIV "
    receipt = heard(USUAL[: USUAL.index(b"text:") + 5] + text.encode())
    assert (receipt.message_id, receipt.state, receipt.text) == ("0123456789", ReceiptState.DELIVERED, text)
    without_err = heard(b"id:7 stat:DELIVRD text:paid: err:or not, id:99")
    assert (without_err.message_id, without_err.err, without_err.text) == ("7", "000", "paid: err:or not, id:99")


def test_a_date_after_the_text_is_read() -> None:
    receipt = heard(b"id:7 stat:DELIVRD text:hello err:005 done date:2407311301")
    assert (receipt.err, receipt.done_us) == ("005", FULL.done_us)
    assert receipt.text == "hello "


def test_a_word_that_ends_like_a_field_is_none() -> None:
    assert heard(b"paid:5 x-id:6 id:7 restat:UNDELIV stat:DELIVRD") == Receipt("7", ReceiptState.DELIVERED)


def test_huge_numbers_do_not_fail() -> None:
    body = b"id:7 sub:" + b"9" * 5000 + b" dlvrd:" + b"9" * 5000 + b" done date:" + b"1" * 5000 + b" stat:DELIVRD"
    assert heard(body) == Receipt("7", ReceiptState.DELIVERED)


@pytest.mark.parametrize(
    ("number", "state"), list(enumerate(("ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV"), 1))
)
def test_message_state_numbers(number: int, state: str) -> None:
    assert state_of_number(number) == state
    assert state_number(ReceiptState(state)) == number


def test_message_state_numbers_of_the_rest() -> None:
    assert [state_of_number(number) for number in (6, 7, 8)] == ["ACCEPTD", "UNKNOWN", "REJECTD"]
    assert [state_number(ReceiptState(word)) for word in ("ACCEPTD", "UNKNOWN", "REJECTD")] == [6, 7, 8]
    assert [state_of_number(number) for number in (0, 9, 10)] == ["ENROUTE", "UNDELIV", None]


def test_write_is_appendix_b_to_the_letter() -> None:
    assert write(FULL) == (USUAL, ((0x001E, b"0123456789\0"), (0x0427, b"\x02")))


def test_write_what_is_not_known() -> None:
    body, tlvs = write(Receipt("7", ReceiptState.EXPIRED))
    assert body == (b"id:7 sub:001 dlvrd:000 submit date:0000000000 done date:0000000000 stat:EXPIRED err:000 text:")
    assert tlvs == ((0x001E, b"7\0"), (0x0427, b"\x03"))


@pytest.mark.parametrize(
    ("err", "written", "code"),
    [
        ("5", b"005", b"\x03\x00\x05"),
        ("034", b"034", b"\x03\x00\x22"),
        ("1051", b"105", b"\x03\x04\x1b"),
        ("E4A", b"E4A", None),
        ("99999", b"999", None),
        ("000", b"000", None),
        ("", b"000", None),
        ("é", b"00?", None),
    ],
)
def test_write_error_codes(err: str, written: bytes, code: bytes | None) -> None:
    body, tlvs = write(Receipt("7", ReceiptState.UNDELIVERABLE, err=err))
    assert b" err:" + written + b" text:" in body
    assert dict(tlvs).get(0x0423) == code


def test_write_keeps_the_text_to_20_printable_characters() -> None:
    body, _ = write(Receipt("7", ReceiptState.DELIVERED, text="naïve\nя" + "x" * 30))
    assert body.endswith(b" text:na?ve??xxxxxxxxxxxxx")


@pytest.mark.parametrize("message_id", [None, "", "x" * 65, "é", "a\nb", "a b"])
def test_write_needs_an_id(message_id: str | None) -> None:
    with pytest.raises(ValueError, match="message_id"):
        write(Receipt(message_id, ReceiptState.DELIVERED))


def test_in_transit_the_id_is_rewritten_in_text_and_tlv() -> None:
    body, tlvs = write(replace(heard(USUAL, tlvs=((0x001E, b"0123456789\0"),)), message_id="ours-1"))
    assert body == USUAL.replace(b"0123456789", b"ours-1")
    assert dict(tlvs)[0x001E] == b"ours-1\0"


@pytest.mark.parametrize(
    ("response_id", "receipt_id", "form", "same"),
    [
        ("7", "7", IdForm.EXACT, True),
        ("7", "07", IdForm.EXACT, False),
        ("ab", "AB", IdForm.EXACT, False),
        ("ab", "AB", IdForm.FOLDED, True),
        ("7", "0000000007", IdForm.FOLDED, True),
        ("0000000007", "7", IdForm.FOLDED, True),
        ("0", "000", IdForm.FOLDED, True),
        ("7", "8", IdForm.FOLDED, False),
        ("1f", "31", IdForm.FOLDED, False),
        ("1f", "31", IdForm.RESPONSE_HEX, True),
        ("1F", "0000000031", IdForm.RESPONSE_HEX, True),
        ("0000001F", "31", IdForm.RESPONSE_HEX, True),
        ("31", "31", IdForm.RESPONSE_HEX, True),  # exact first
        ("32", "31", IdForm.RESPONSE_HEX, False),
        ("31", "1F", IdForm.RECEIPT_HEX, True),
        ("0000000031", "1f", IdForm.RECEIPT_HEX, True),
        ("31", "20", IdForm.RECEIPT_HEX, False),
        ("6F1C-A0", "6f1c-a0", IdForm.RECEIPT_HEX, True),  # no number: folded
        ("a_1", "A_1", IdForm.RESPONSE_HEX, True),
    ],
)
def test_same_id(response_id: str, receipt_id: str, form: IdForm, same: bool) -> None:
    assert same_id(response_id, receipt_id, form) is same


@pytest.mark.parametrize("form", list(IdForm))
def test_the_exact_id_is_looked_for_first(form: IdForm) -> None:
    assert id_forms("00AbC1", form)[0] == "00AbC1"
    assert len(set(id_forms("00AbC1", form))) == len(id_forms("00AbC1", form))


@pytest.mark.parametrize(
    ("receipt_id", "form", "response_id"),
    [
        ("0000000031", IdForm.RESPONSE_HEX, "1F"),
        ("31", IdForm.RESPONSE_HEX, "0000001f"),
        ("1F", IdForm.RECEIPT_HEX, "0000000031"),
        ("1F", IdForm.RECEIPT_HEX, "31"),
        ("7", IdForm.FOLDED, "0000000007"),
        ("0000000007", IdForm.FOLDED, "7"),
        ("ab", IdForm.FOLDED, "AB"),
    ],
)
def test_id_forms_hold_the_id_of_the_response(receipt_id: str, form: IdForm, response_id: str) -> None:
    assert response_id in id_forms(receipt_id, form)


def test_canonical_id_finds_any_width() -> None:
    assert canonical_id("0000000000001f", IdForm.RESPONSE_HEX, of_receipt=False) == "1f"
    assert canonical_id("00000000000031", IdForm.RESPONSE_HEX, of_receipt=True) == "1f"
    assert canonical_id("00X", IdForm.EXACT, of_receipt=True) == "00X"
