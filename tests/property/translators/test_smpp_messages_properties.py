"""Messages of any octets, in any dialect: an arrival or a refusal, and what was read can be written."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Unsplittable
from hub.model import Arrival, Kind, Message
from smpp.alphabet import BY_NAME
from smpp.codec import decode, encode
from smpp.constants import CommandStatus
from smpp.pdu import DataSm, DeliverSm, SubmitSm
from smpp.segmentation import Method
from smpp.tlv import Tag
from translators.smpp_messages import BadMessage, Dialect, MessagePdu, read_message, write_messages

NOW_US = 1_800_000_000_000_000
LATEST_US = 1 << 62  # what the journal's columns hold, and more

REFUSALS = (
    CommandStatus.ESME_RINVESMCLASS,
    CommandStatus.ESME_RINVMSGID,
    CommandStatus.ESME_RINVEXPIRY,
    CommandStatus.ESME_RINVSCHED,
)
REFERENCE = "user_message_reference"  # the sender's own, which its receipt names: a carrier is not told it
TAGS = [
    Tag.MESSAGE_PAYLOAD,
    Tag.SAR_MSG_REF_NUM,
    Tag.SAR_TOTAL_SEGMENTS,
    Tag.SAR_SEGMENT_SEQNUM,
    Tag.QOS_TIME_TO_LIVE,
    Tag.SOURCE_PORT,
    Tag.DESTINATION_PORT,
    Tag.USER_MESSAGE_REFERENCE,
    Tag.RECEIPTED_MESSAGE_ID,
    Tag.MESSAGE_STATE,
]
headers = st.sampled_from(["050003cc0201", "06080400120302", "03240101", "06240106250103"]).map(bytes.fromhex)
octets = st.one_of(
    st.binary(max_size=254), st.tuples(headers, st.binary(max_size=140)).map(lambda pair: pair[0] + pair[1])
)
tlvs = st.lists(
    st.tuples(
        st.sampled_from([int(tag) for tag in TAGS]),
        st.one_of(st.binary(max_size=12), st.integers(0, 5).map(lambda value: bytes((value,)))),
    ),
    max_size=5,
).map(tuple)
sar = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 255)).map(
    lambda s: (
        (int(Tag.SAR_MSG_REF_NUM), s[0].to_bytes(2, "big")),
        (int(Tag.SAR_TOTAL_SEGMENTS), bytes((s[1],))),
        (int(Tag.SAR_SEGMENT_SEQNUM), bytes((s[2],))),
    )
)
fields = {
    "source_addr": st.sampled_from(["", "1", "16175551212", "ACME"]),
    "destination_addr": st.sampled_from(["", "2", "+16175551212"]),
    "esm_class": st.sampled_from([0, 0, 0x40, 0x40, 0x04, 0x20, 0xC0, 0x3C]),
    "data_coding": st.integers(0, 255),
    "registered_delivery": st.integers(0, 255),
    "tlvs": st.one_of(tlvs, sar),
}
times = st.sampled_from(["", "", "991231235959999R", "991231235959000+", "nonsense"])
pdus = st.one_of(
    st.builds(SubmitSm, short_message=octets, validity_period=times, schedule_delivery_time=times, **fields),
    st.builds(DeliverSm, short_message=octets, **fields),
    st.builds(DataSm, **fields),
)
dialects = st.builds(
    Dialect,
    default=st.sampled_from(list(BY_NAME.values())),
    allowed=st.lists(st.sampled_from(list(BY_NAME.values())), min_size=1, max_size=4, unique=True).map(tuple),
    method=st.sampled_from(list(Method)),
    packed=st.booleans(),
    transliterate=st.sampled_from(["never", "to-fit"]),
    send_validity=st.booleans(),
    submit_with=st.sampled_from(["submit_sm", "data_sm"]),
)


def message_of(arrival: Arrival) -> Message:
    validity_us = arrival.validity_us or 3_600_000_000
    return Message(
        id=7 << 22,
        kind=Kind.TEXT,
        origin="account:a",
        endpoint="link:b",
        source=arrival.source,
        destination=arrival.destination,
        text=arrival.text,
        data=arrival.data,
        receipt_wanted=arrival.receipt_wanted,
        received_us=NOW_US,
        expires_us=(arrival.not_before_us or NOW_US) + validity_us,
        attributes=arrival.attributes,
    )


def read(pdu: MessagePdu, dialect: Dialect) -> Arrival | None:
    """What a message says, or None when it is refused."""
    try:
        return read_message(pdu, dialect, NOW_US)
    except BadMessage as error:
        if error.command_status in REFUSALS:
            return None
        raise


@given(pdus, dialects)
def test_any_message_is_an_arrival_or_refused_for_a_reason_of_its_own(pdu: MessagePdu, dialect: Dialect) -> None:
    arrival = read(pdu, dialect)
    if arrival is not None:
        assert 0 <= arrival.validity_us < LATEST_US
        assert 0 <= arrival.not_before_us < LATEST_US
        assert message_of(arrival).expires_us < LATEST_US


@given(pdus, dialects, dialects, st.sampled_from([SubmitSm, DeliverSm]))
def test_what_was_read_of_one_peer_is_written_for_another_or_cannot_be(
    pdu: MessagePdu, theirs: Dialect, ours: Dialect, make: type[SubmitSm] | type[DeliverSm]
) -> None:
    arrival = read(pdu, theirs)
    if arrival is None or arrival.receipt is not None:
        return
    message = message_of(arrival)
    try:
        written = write_messages(message, ours, make)
    except Unsplittable:
        return
    assert written == write_messages(message, ours, make)
    for part in written:
        assert decode(encode(part)) == part


@given(pdus, st.sampled_from([2, 4, 9, 0xF5]), st.sampled_from(list(Method)))
def test_octets_that_are_no_text_come_through_unchanged(pdu: MessagePdu, data_coding: int, method: Method) -> None:
    pdu = msgspec.structs.replace(pdu, data_coding=data_coding)
    arrival = read(pdu, Dialect())
    if arrival is None or arrival.receipt is not None:
        return
    assert arrival.data is not None
    (sent,) = write_messages(message_of(arrival), Dialect(method=method), SubmitSm)
    again = read_message(sent, Dialect(), NOW_US)
    assert again.data is not None
    assert again.data.endswith(arrival.data)
    if "sar" not in arrival.attributes:
        assert again.data == arrival.data
        assert again.attributes == {name: value for name, value in arrival.attributes.items() if name != REFERENCE}
