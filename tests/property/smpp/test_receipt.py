"""Receipts: what we write we read; whatever others write does not make us fail."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from smpp.receipt import IdForm, Receipt, ReceiptState, canonical_id, id_forms, is_receipt, read, same_id, write

YEAR_2000, YEAR_2099 = 946_684_800_000_000, 4_070_908_800_000_000
ids = st.text(alphabet=string.ascii_letters + string.digits + "-_.#/+=", min_size=1, max_size=64)
numbers = st.integers(0, 2**63).flatmap(
    lambda number: st.sampled_from([str(number), f"{number:x}", f"{number:X}", f"{number:010d}", f"{number:016x}"])
)
minutes = st.integers(YEAR_2000 // 60_000_000, YEAR_2099 // 60_000_000 - 1).map(lambda minute: minute * 60_000_000)
receipts = st.builds(
    Receipt,
    message_id=ids,
    state=st.sampled_from(ReceiptState),
    submitted_us=st.none() | minutes,
    done_us=st.none() | minutes,
    err=st.sampled_from(["000", "001", "254", "E4A", "999"]),
    sub=st.integers(0, 999),
    dlvrd=st.integers(0, 999),
    text=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
)
fragments = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "id:",
                "sub:",
                "dlvrd:",
                "submit date:",
                "done date:",
                "stat:",
                "err:",
                "text:",
                " ",
                "DELIVRD",
                "2407311259",
            ]
        ),
        st.text(max_size=6),
    ),
    max_size=30,
).map("".join)
tlvs = st.lists(st.tuples(st.sampled_from([0x001E, 0x0427, 0x0423, 0x1400]), st.binary(max_size=8)), max_size=4)
receipt_classes = st.sampled_from([0x04, 0x08, 0x20, 0x44, 0x60])


@given(receipts, st.booleans())
def test_what_is_written_is_read(receipt: Receipt, with_tlvs: bool) -> None:
    body, tlvs = write(receipt)
    assert len(body) <= 254
    assert read(0x04, body, 0, tlvs if with_tlvs else (), receipt.done_us or 0) == receipt


@given(receipts, receipt_classes)
def test_ucs2_and_a_header_change_nothing(receipt: Receipt, esm_class: int) -> None:
    body, _ = write(receipt)
    plain = read(esm_class, body, 0, (), 0)
    assert plain is not None
    assert read(esm_class, body.decode("ascii").encode("utf-16-be"), 8, (), 0) == plain


@given(receipt_classes, st.one_of(st.binary(max_size=200), fragments), tlvs, st.integers(0, 255))
def test_any_receipt_is_read(
    esm_class: int, body: bytes | str, tlvs: list[tuple[int, bytes]], data_coding: int
) -> None:
    receipt = read(esm_class, body, data_coding, tlvs, YEAR_2000)
    assert receipt is not None
    assert receipt.message_id is None or receipt.message_id.strip() == receipt.message_id != ""
    assert receipt.message_id != "None" or "None" in str(body) or b"None" in b"".join(value for _, value in tlvs)
    assert receipt.err
    assert receipt.intermediate is bool(esm_class & 0x20)


@given(st.integers(0, 255), fragments)
def test_the_text_never_makes_a_receipt(esm_class: int, body: str) -> None:
    assert (read(esm_class, body, 0, (), 0) is not None) is is_receipt(esm_class)


@given(receipts, fragments)
def test_the_message_text_cannot_change_id_or_state(receipt: Receipt, words: str) -> None:
    body = write(receipt)[0].decode("ascii")
    forged = read(0x04, body[: body.index(" text:")] + " text:" + words, 0, (), 0)
    assert forged is not None
    assert (forged.message_id, forged.state, forged.err) == (receipt.message_id, receipt.state, receipt.err)


@given(st.one_of(ids, numbers), st.one_of(ids, numbers), st.sampled_from(IdForm))
def test_ids_are_the_same_exactly_when_they_are_canonically(response: str, receipt: str, form: IdForm) -> None:
    canonically = canonical_id(response, form, of_receipt=False) == canonical_id(receipt, form, of_receipt=True)
    assert same_id(response, receipt, form) is (canonically or response == receipt)


@given(st.one_of(ids, numbers), st.sampled_from(IdForm))
def test_every_form_of_an_id_names_the_same_message(message_id: str, form: IdForm) -> None:
    forms = id_forms(message_id, form)
    assert forms[0] == message_id
    assert len(forms) == len(set(forms))
    assert all(same_id(one, message_id, form) for one in forms)


@given(st.integers(1, 2**63), st.sampled_from(["d", "010d"]), st.sampled_from(["x", "X", "08x", "010X", "016x"]))
def test_hex_and_decimal_ids_meet(number: int, decimal: str, hexadecimal: str) -> None:
    in_decimal, in_hexadecimal = format(number, decimal), format(number, hexadecimal)
    assert in_hexadecimal in id_forms(in_decimal, IdForm.RESPONSE_HEX)
    assert in_decimal in id_forms(in_hexadecimal, IdForm.RECEIPT_HEX)
