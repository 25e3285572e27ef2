"""What was forgiven where it came in can be written where it goes out (found by tests/fuzz)."""

import pytest

from hub.model import Kind, Message
from smpp.codec import decode, encode
from smpp.pdu import DeliverSm, SubmitSm
from translators.smpp_dialect import Dialect
from translators.smpp_messages import read_message
from translators.smpp_writing import write_messages


def gone_on(pdu: SubmitSm, dialect: Dialect, make: type[SubmitSm] | type[DeliverSm]) -> str:
    arrival = read_message(pdu, dialect, 0)
    message = Message(
        id=1,
        kind=Kind.TEXT,
        origin="account:a",
        endpoint="link:l",
        source=arrival.source,
        destination=arrival.destination,
        text=arrival.text,
        received_us=0,
        expires_us=1,
        attributes=arrival.attributes,
    )
    (written,) = write_messages(message, dialect, make)
    read = decode(encode(written))
    assert isinstance(read, make)
    return read.service_type


@pytest.mark.parametrize("make", [SubmitSm, DeliverSm])
@pytest.mark.parametrize(("came", "goes"), [("CMT", "CMT"), ("12345", "12345"), ("123456", "WAP"), ("", "WAP")])
def test_an_over_long_service_type_is_not_sent_on(came: str, goes: str, make: type[SubmitSm]) -> None:
    pdu = SubmitSm(source_addr="1", destination_addr="2", short_message=b"hello", service_type=came)
    assert gone_on(pdu, Dialect(service_type="WAP"), make) == goes
