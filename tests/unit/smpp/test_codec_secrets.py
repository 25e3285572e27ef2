"""What is written for people never shows a password."""

import pytest

from smpp import pdu
from smpp.codec import decode, encode
from smpp.layout import LAYOUTS
from smpp.pdu import PDU

WITH_PASSWORD = [each for each, fields in LAYOUTS.items() if any(field.name == "password" for field in fields)]


def test_which_pdus_have_a_password() -> None:
    assert set(WITH_PASSWORD) == {pdu.BindReceiver, pdu.BindTransmitter, pdu.BindTransceiver, pdu.Outbind}


@pytest.mark.parametrize("pdu_class", WITH_PASSWORD)
def test_no_password_in_any_text_of_a_pdu(pdu_class: type[PDU]) -> None:
    made = pdu_class(system_id="hub", password="s3cr3t")  # type: ignore[call-arg]
    for bind in (made, decode(encode(made))):
        texts = (repr(bind), str(bind), f"{bind}", f"{bind!r}", repr([bind]))
        for text in (*texts, repr(list(bind.__rich_repr__()))):
            assert "s3cr3t" not in text
            assert "'hub'" in text
            assert "***" in text


@pytest.mark.parametrize("pdu_class", WITH_PASSWORD)
def test_that_there_is_none_may_be_seen(pdu_class: type[PDU]) -> None:
    assert "password=''" in repr(pdu_class())


@pytest.mark.parametrize("pdu_class", WITH_PASSWORD)
def test_an_over_long_password_is_in_no_error(pdu_class: type[PDU]) -> None:
    with pytest.raises(Exception, match="password") as raised:
        encode(pdu_class(password="s3cr3t-and-too-long"))  # type: ignore[call-arg]
    assert "s3cr3t" not in repr(raised.value)
