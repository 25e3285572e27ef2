"""Identification elements on messages (H8): into the TLV that a peer agreed on, and out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import ELEMENT, REMOTE_ELEMENT, Message
from provisioning import Account, Link, ProvisioningError, Secret, SecretKind, parse_element
from provisioning.network_side import check_smpp
from smpp import tlv
from smpp.codec import decode, encode
from smpp.pdu import DeliverSm, SubmitSm
from tests.unit.translators.test_smpp_messages_dialects import NOW_US, text_message
from translators.smpp_elements import MAX_ELEMENT_OCTETS, is_bad, read_octets
from translators.smpp_messages import Dialect, read_message, write_messages

TAG = 0x1542
AGREED = Dialect(element_tlv=TAG)
ELEMENTS = ("SPID:6006", "eSPID:E1234", "vSPID:V12345", "AltSPID:X1Y2", "OCN:7421", "sip:help@example.net")


def with_element(element: str = "SPID:6006", text: str = "hello", **fields: object) -> Message:
    return text_message(text, attributes={ELEMENT: element}, **fields)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("dialect", [AGREED, Dialect(element_tlv=TAG, submit_with="data_sm")])
def test_an_element_goes_out_in_each_part_and_comes_in_again(element: str, dialect: Dialect) -> None:
    for message in (with_element(element), with_element(element, "x" * 400)):
        for make in (SubmitSm, DeliverSm):
            for pdu in write_messages(message, dialect, make):
                again = decode(encode(pdu))
                assert tlv.raw(again, TAG) == element.encode()
                assert read_message(again, dialect, NOW_US).attributes[REMOTE_ELEMENT] == element
                assert not is_bad(again, TAG)


def test_octets_that_are_no_text_carry_it_too() -> None:
    (pdu,) = write_messages(
        text_message("", data=b"\0\1", attributes={ELEMENT: "OCN:7421", "data_coding": "4"}), AGREED, SubmitSm
    )
    assert tlv.raw(pdu, TAG) == b"OCN:7421"
    assert read_message(pdu, AGREED, NOW_US).attributes[REMOTE_ELEMENT] == "OCN:7421"


def test_nobody_is_told_who_did_not_agree() -> None:
    (pdu,) = write_messages(with_element(), Dialect(), SubmitSm)
    assert pdu.tlvs == ()
    (told,) = write_messages(with_element(), AGREED, SubmitSm)
    assert REMOTE_ELEMENT not in read_message(told, Dialect(), NOW_US).attributes
    assert REMOTE_ELEMENT not in read_message(told, Dialect(element_tlv=TAG + 1), NOW_US).attributes
    (without,) = write_messages(text_message(), AGREED, SubmitSm)
    assert without.tlvs == ()


def test_what_came_for_the_sender_is_not_sent_on_as_the_numbers() -> None:
    (pdu,) = write_messages(text_message(attributes={REMOTE_ELEMENT: "SPID:1111"}), AGREED, SubmitSm)
    assert pdu.tlvs == ()


@pytest.mark.parametrize(
    "octets",
    [b"", b"\0", b"SPID", b"SPID:", b"SPID:60061", b"\xff\xfe", b"sip:", b"sip:a@" + b"b" * MAX_ELEMENT_OCTETS],
)
def test_what_is_no_element_is_as_if_it_were_not_there(octets: bytes) -> None:
    pdu = SubmitSm(source_addr="1", destination_addr="2", short_message=b"hi", tlvs=((TAG, octets),))
    arrival = read_message(pdu, AGREED, NOW_US)
    assert arrival.text == "hi"
    assert REMOTE_ELEMENT not in arrival.attributes
    assert is_bad(pdu, TAG)


@given(octets=st.binary(max_size=300) | st.sampled_from([e.encode() + b"\0" for e in ELEMENTS]))
def test_any_octets_are_an_element_or_nothing(octets: bytes) -> None:
    element = read_octets(octets)
    assert element == "" or str(parse_element(element)) == element


@pytest.mark.parametrize("tag", [1, 0x0204, 0x13FF, 0x4000])
def test_tags_of_the_standard_are_refused(tag: int) -> None:
    secret = Secret(SecretKind.LITERAL, "x")
    entries = (
        Link(name="a", host="h", system_id="s", password=secret, element_tlv=tag),
        Account(system_id="s", password=secret, element_tlv=tag),
    )
    for entry in entries:
        (problem,) = check_smpp(entry)
        assert isinstance(problem, ProvisioningError)
        assert problem.field == "element_tlv"
