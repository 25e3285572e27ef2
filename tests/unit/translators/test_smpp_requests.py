"""What an ESME asks of its texts, and the answers: values in, values out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.alerts import MOST_ADDRESSES, MOST_WAITING, Alerts
from hub.model import (
    Accepted,
    Arrival,
    Effect,
    Fate,
    Kind,
    Message,
    Name,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Rejected,
    TryLater,
)
from hub.requests import fate_of_all
from smpp import pdu as p
from smpp import tlv
from smpp.codec import decode, encode
from smpp.constants import CommandStatus as Status
from smpp.constants import MessageState
from smpp.timeformat import format_absolute, format_relative
from translators import smpp_requests as requests
from translators.smpp_messages import BadMessage, Dialect, read_message, write_messages

NOW_US = 1_767_225_600_000_000
SECOND = 1_000_000
ADDRESSES: dict[str, Any] = {"source_addr_ton": 1, "source_addr": "12025551212"}


def message(**fields: Any) -> Message:
    made: dict[str, Any] = {
        "id": 7,
        "kind": Kind.TEXT,
        "origin": "account:agg",
        "endpoint": "link:one",
        "source": "+12025551212",
        "destination": "+447700900123",
        "text": "before",
        "received_us": NOW_US,
        "expires_us": NOW_US + 3600 * SECOND,
    }
    return Message(**(made | fields))


# --- query_sm --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(ReceiptState))
def test_every_state_has_its_number(state: ReceiptState) -> None:
    request = p.QuerySm(sequence_number=3, message_id="7")
    answer = requests.query_answer(request, Fate(state, done_us=NOW_US), 0x34)
    assert (answer.sequence_number, answer.message_id, answer.command_status) == (3, "7", 0)
    assert answer.message_state == MessageState[state.name]
    assert answer.final_date == (format_absolute(NOW_US) if state.is_final else "")


@pytest.mark.parametrize(
    ("version", "state"),
    [(0x33, MessageState.ENROUTE), (0x34, MessageState.ENROUTE), (0x50, MessageState.SCHEDULED)],
)
def test_scheduled_is_a_word_of_5_0(version: int, state: MessageState) -> None:
    fate = Fate(ReceiptState.ENROUTE, scheduled=True)
    assert requests.query_answer(p.QuerySm(message_id="7"), fate, version).message_state == state


@pytest.mark.parametrize(
    ("error", "code"), [("000", 0), ("", 0), ("042", 42), ("255", 255), ("256", 255), ("0A1", 255), ("٣", 255)]
)
def test_an_error_code_is_one_octet(error: str, code: int) -> None:
    assert requests.error_code(error) == code


@given(st.text(max_size=80))
def test_an_id_is_a_number_as_the_hub_writes_it_or_none(text: str) -> None:
    name = requests.name_of(p.QuerySm(message_id=text), "")
    if name is not None:
        assert str(name.message_id) == text
        assert 0 < name.message_id < 1 << 63


@given(st.integers(1, (1 << 63) - 1))
def test_every_id_is_read_back(number: int) -> None:
    request = p.CancelSm(message_id=str(number), dest_addr_ton=1, destination_addr="44", **ADDRESSES)
    assert requests.name_of(request, "") == Name(number, "+12025551212", "+44")


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=300), st.sampled_from([None, *ReceiptState]))
def test_an_answer_can_be_written_whatever_was_asked(message_id: str, state: ReceiptState | None) -> None:
    fate = None if state is None else Fate(state, done_us=NOW_US, error="9999")
    answer = requests.query_answer(p.QuerySm(sequence_number=9, message_id=message_id), fate, 0x50)
    assert decode(encode(answer)) == answer


def test_several_texts_are_under_way_until_all_have_ended() -> None:
    waits, goes = Fate(ReceiptState.ENROUTE, scheduled=True), Fate(ReceiptState.ENROUTE)
    good, bad = Fate(ReceiptState.DELIVERED, done_us=5), Fate(ReceiptState.EXPIRED, done_us=3, error="042")
    assert fate_of_all([waits, waits]) == waits
    assert fate_of_all([waits, goes]) == goes
    assert fate_of_all([waits, good]) == goes
    assert fate_of_all([bad, goes]) == goes
    assert fate_of_all([good, good]) == good
    assert fate_of_all([good, bad]) == msgspec.structs.replace(bad, done_us=5)


# --- cancel_sm, replace_sm --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_type", "impossible"),
    [(p.CancelSm, Status.ESME_RCANCELFAIL), (p.ReplaceSm, Status.ESME_RREPLACEFAIL)],
)
def test_effects_have_their_statuses(request_type: Any, impossible: int) -> None:
    request = request_type(sequence_number=4, message_id="7")
    answers = [requests.effect_answer(request, effect) for effect in Effect]
    assert [answer.command_status for answer in answers] == [0, Status.ESME_RINVMSGID, impossible]
    assert {type(answer) for answer in answers} == {p.response_class(request)}
    assert {answer.sequence_number for answer in answers} == {4}


def submit(text: bytes, **fields: Any) -> p.SubmitSm:
    return p.SubmitSm(dest_addr_ton=1, destination_addr="447700900123", short_message=text, **ADDRESSES, **fields)


def taken(submitted: p.SubmitSm) -> Message:
    """The message that a submit_sm of an account becomes."""
    arrival = requests.completed(submitted, read_message(submitted, Dialect(), NOW_US))
    return message(text=arrival.text, data=arrival.data, attributes=arrival.attributes)


def replaced(before: Message, text: bytes, **fields: Any) -> Message:
    request = p.ReplaceSm(message_id="7", short_message=text, **fields)
    arrival = read_message(requests.as_submitted(request, before), Dialect(), NOW_US)
    return requests.replaced(before, arrival, request, NOW_US)


@pytest.mark.parametrize(
    ("data_coding", "esm_class", "before", "after", "text"),
    [
        (0, 0, b"a", b"b\x00", "b@"),
        (3, 0, b"a", b"\xe9", "é"),
        (8, 0, "中".encode("utf-16-be"), "文".encode("utf-16-be"), "文"),
        (0, 0x40, b"\x03\x24\x01\x01a", b"\x03\x24\x01\x01\x1b\x63", "ç"),  # the Turkish extension
        (8, 0x40, b"\x04\x05\x02\x00\x01\x00a", b"\x04\x05\x02\x00\x01\x00b", "b"),
    ],
)
def test_a_text_is_replaced_in_the_coding_it_came_in(
    data_coding: int, esm_class: int, before: bytes, after: bytes, text: str
) -> None:
    old = taken(submit(before, data_coding=data_coding, esm_class=esm_class))
    assert old.data is None
    new = replaced(old, after)
    assert new.text == text
    assert msgspec.structs.replace(new, text=old.text) == old
    assert replaced(new, before) == old, "and may be again"


def test_octets_are_replaced_by_octets() -> None:
    old = taken(submit(b"\x06\x05\x04\x00\x01\x00\x02\xfe", data_coding=4, esm_class=0x40))
    new = replaced(old, b"\x06\x05\x04\x00\x01\x00\x02\xff")
    assert new.data == b"\x06\x05\x04\x00\x01\x00\x02\xff"
    assert new.attributes == old.attributes


def test_a_long_text_is_replaced_by_message_payload() -> None:
    payload = ((int(tlv.Tag.MESSAGE_PAYLOAD), b"x" * 1000),)
    assert replaced(message(), b"", tlvs=payload).text == "x" * 1000


def test_receipts_are_as_the_replacement_wants_them() -> None:
    assert replaced(message(), b"b", registered_delivery=1).receipt_wanted is ReceiptWanted.FINAL
    assert replaced(message(receipt_wanted=ReceiptWanted.FINAL), b"b").receipt_wanted is ReceiptWanted.NONE


def test_times_that_are_not_named_stay() -> None:
    scheduled = message(not_before_us=NOW_US + 60 * SECOND)
    new = replaced(scheduled, b"b")
    assert (new.not_before_us, new.expires_us) == (scheduled.not_before_us, scheduled.expires_us)


def test_times_that_are_named_count() -> None:
    later, end = NOW_US + 120 * SECOND, NOW_US + 600 * SECOND
    new = replaced(message(), b"b", schedule_delivery_time=format_absolute(later), validity_period=format_absolute(end))
    assert (new.not_before_us, new.expires_us) == (later, end)
    relative = format_relative(60 * SECOND, NOW_US)
    assert replaced(message(), b"b", validity_period=relative).expires_us == NOW_US + 60 * SECOND


def test_a_time_that_has_passed_means_at_once() -> None:
    past = format_absolute(NOW_US - 60 * SECOND)
    assert replaced(message(not_before_us=NOW_US + SECOND), b"b", schedule_delivery_time=past).not_before_us == NOW_US
    assert replaced(message(), b"b", schedule_delivery_time=past).not_before_us == 0, "it keeps its lane"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sm_default_msg_id": 1}, Status.ESME_RINVDFTMSGID),
        ({"schedule_delivery_time": "nonsense"}, Status.ESME_RINVSCHED),
        ({"validity_period": "nonsense"}, Status.ESME_RINVEXPIRY),
        ({"validity_period": format_absolute(NOW_US - SECOND)}, Status.ESME_RINVEXPIRY),
        ({"schedule_delivery_time": format_absolute(NOW_US + 7200 * SECOND)}, Status.ESME_RINVSCHED),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], status: int) -> None:
    with pytest.raises(BadMessage) as refused:
        replaced(message(), b"b", **fields)
    assert refused.value.command_status == status


def test_a_text_is_not_replaced_by_a_part_of_one() -> None:
    before = taken(submit(b"\x03\x24\x01\x01a", esm_class=0x40))
    with pytest.raises(BadMessage) as refused:
        replaced(before, b"\x05\x00\x03\x07\x02\x01a")
    assert refused.value.command_status == Status.ESME_RREPLACEFAIL


# --- what more a submission says --------------------------------------------------------------------------------------


def test_data_sm_says_more_in_tlvs() -> None:
    tlvs = (
        (int(tlv.Tag.MESSAGE_PAYLOAD), b"a"),
        tlv.make(tlv.Tag.QOS_TIME_TO_LIVE, 90),
        tlv.make(tlv.Tag.SET_DPF, 1),
    )
    pdu = p.DataSm(dest_addr_ton=1, destination_addr="447700900123", tlvs=tlvs, service_type="CMT", **ADDRESSES)
    arrival = requests.completed(pdu, read_message(pdu, Dialect(), NOW_US))
    assert (arrival.text, arrival.validity_us) == ("a", 90 * SECOND)
    assert arrival.attributes == {"service_type": "CMT", requests.WANTS_ALERT: "1"}


def test_a_carrier_that_takes_data_sm_is_asked_for_the_alert() -> None:
    wanting = message(attributes={requests.WANTS_ALERT: "1"})
    for dialect, asked in ((Dialect(submit_with="data_sm"), 1), (Dialect(), None)):
        (pdu,) = write_messages(wanting, dialect, p.SubmitSm)
        assert tlv.get(pdu, tlv.Tag.SET_DPF) == asked
    (pdu,) = write_messages(message(), Dialect(submit_with="data_sm"), p.SubmitSm)
    assert tlv.get(pdu, tlv.Tag.SET_DPF) is None


def test_an_ordinary_submission_stays_as_it_is() -> None:
    pdu = submit(b"a", tlvs=(tlv.make(tlv.Tag.SET_DPF, 0),))
    arrival = read_message(pdu, Dialect(), NOW_US)
    assert requests.completed(pdu, arrival) is arrival
    receipt = Arrival(source="1", destination="2", receipt=Receipt("7", ReceiptState.DELIVERED))
    assert requests.completed(submit(b"", data_coding=8), receipt) is receipt


# --- submit_multi ----------------------------------------------------------------------------------------------------


def test_each_destination_has_what_the_whole_says() -> None:
    whole = p.SubmitMulti(
        sequence_number=5,
        tlvs=((0x1400, b"x"),),
        service_type="CMT",
        **ADDRESSES,
        esm_class=0x40,
        protocol_id=1,
        priority_flag=2,
        schedule_delivery_time=format_absolute(NOW_US),
        validity_period=format_absolute(NOW_US),
        registered_delivery=1,
        replace_if_present_flag=1,
        data_coding=8,
        sm_default_msg_id=3,
        short_message=b"\0a",
    )
    single = requests.single(whole, p.SmeAddress(2, 8, "44"))
    assert (single.dest_addr_ton, single.dest_addr_npi, single.destination_addr) == (2, 8, "44")
    for field in set(whole.__struct_fields__) - {"dest_address"}:
        assert getattr(single, field) == getattr(whole, field), field


@pytest.mark.parametrize(("count", "status"), [(0, Status.ESME_RINVNUMDESTS), (255, Status.ESME_RINVNUMDESTS)])
def test_there_are_1_to_254_destinations(count: int, status: int) -> None:
    with pytest.raises(BadMessage) as refused:
        requests.check_multi(p.SubmitMulti(dest_address=(p.SmeAddress(),) * count))
    assert refused.value.command_status == status
    requests.check_multi(p.SubmitMulti(dest_address=(p.SmeAddress(),) * 254))


def test_the_whole_fails_only_when_nobody_gets_it() -> None:
    request = p.SubmitMulti(sequence_number=5)
    one = requests.unsuccessful(p.SmeAddress(1, 1, "4" * 30), Status.ESME_RINVDSTADR)
    other = requests.unsuccessful(p.DistributionList("friends" * 5), Status.ESME_RINVDLNAME)
    answers = [
        requests.multi_answer(request, "7", (one, other)),
        requests.multi_answer(request, "", (one, one)),
        requests.multi_answer(request, "", (one, other)),
    ]
    assert [answer.command_status for answer in answers] == [0, Status.ESME_RINVDSTADR, Status.ESME_RSUBMITFAIL]
    for answer in answers:
        assert decode(encode(answer)) == answer


# --- statuses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_of_its_own(reason: Reason) -> None:
    status = requests.status_of(Rejected(reason))
    assert status
    named = reason in (Reason.OPTED_OUT, Reason.FILTERED, Reason.TOO_MUCH)
    for request, least in ((p.SubmitSm(), 0x50), (p.DeliverSm(), 0x50), (p.DataSm(), 0x34)):
        for version in (0x33, 0x34, 0x50):
            told = requests.details_of(Rejected(reason), request, version)
            expected = reason.value if named and version >= least else None
            assert tlv.get(told, tlv.Tag.ADDITIONAL_STATUS_INFO_TEXT) == expected


def test_not_now_is_throttled_or_full() -> None:
    assert requests.status_of(TryLater(1.0)) == Status.ESME_RTHROTTLED
    assert requests.status_of(TryLater(5.0)) == Status.ESME_RMSGQFUL
    assert requests.status_of(Accepted(1)) == 0
    for verdict in (Accepted(1), TryLater()):
        assert requests.details_of(verdict, p.DataSm(), 0x50) == ()


def test_a_refusal_with_its_reason_can_be_written() -> None:
    tlvs = requests.details_of(Rejected(Reason.OPTED_OUT), p.DataSm(), 0x50)
    for response in (p.SubmitSmResp, p.DeliverSmResp, p.DataSmResp):
        answer = response(sequence_number=1, command_status=Status.ESME_RINVDSTADR, tlvs=tlvs)
        assert decode(encode(answer)) == answer


# --- who waits for handsets ------------------------------------------------------------------------------------------


def test_who_asked_hears_once() -> None:
    alerts = Alerts()
    alerts.expect("+44", "account:a", "+1")
    alerts.expect("+44", "account:b", "+2")
    alerts.expect("+44", "account:a", "+1")
    assert sorted(alerts.take("+44")) == [("account:a", "+1"), ("account:b", "+2")]
    assert alerts.take("+44") == []
    assert alerts.take("+45") == []


def test_what_is_remembered_is_bounded() -> None:
    alerts = Alerts()
    for number in range(MOST_ADDRESSES + 10):
        alerts.expect(str(number), "account:a", "+1")
    assert len(alerts) == MOST_ADDRESSES
    assert alerts.take("9") == []
    assert alerts.take("10") == [("account:a", "+1")]
    for number in range(MOST_WAITING + 5):
        alerts.expect("x", "account:a", str(number))
    assert [sender for _, sender in alerts.take("x")] == [str(number) for number in range(5, MOST_WAITING + 5)]


def test_an_alert_names_both_addresses() -> None:
    alert = requests.alert_notification("+447700900123", "Shop")
    assert (alert.source_addr_ton, alert.source_addr_npi, alert.source_addr) == (1, 1, "447700900123")
    assert (alert.esme_addr_ton, alert.esme_addr_npi, alert.esme_addr) == (5, 0, "Shop")
    assert decode(encode(alert)) == alert
