"""The scenarios' own PDUs and stanzas, against the hub's codec and builders: each reads what the other wrote."""

from __future__ import annotations

import contextlib
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import Kind, Message
from loadtests.locust import pdus, stanzas
from loadtests.wire import DELIVER_SM, SUBMIT_SM
from smpp.codec import decode, encode
from smpp.pdu import BindTransceiver, DeliverSm, SubmitSm, SubmitSmResp
from smpp.receipt import Receipt, ReceiptState, write
from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.jid import parse_jid
from translators.xmpp.stanzas import build_ping, build_text, read_text

LABEL = pdus.write_label(pdus.TEXT, 0xBEEF, 42)


def test_a_request_is_what_the_codec_reads() -> None:
    body = pdus.write_text(b"12125550100", b"12000000001", pdus.fill(LABEL, 160), receipt=True)
    pdu = decode(pdus.write_request(SUBMIT_SM, 7, body))
    assert isinstance(pdu, SubmitSm)
    assert (pdu.sequence_number, pdu.source_addr, pdu.destination_addr) == (7, "12125550100", "12000000001")
    assert (pdu.registered_delivery, pdu.source_addr_ton, pdu.dest_addr_npi) == (1, 1, 1)
    assert pdu.short_message.startswith(b"tbeef0000002a ")
    assert len(pdu.short_message) == 160


def test_what_the_codec_writes_is_read() -> None:
    pdu = DeliverSm(
        sequence_number=9,
        service_type="CMT",
        source_addr="12000000001",
        destination_addr="18002530000",
        esm_class=4,
        schedule_delivery_time="",
        validity_period="000000010000000R",
        registered_delivery=1,
        short_message=LABEL,
        tlvs=((0x001E, b"abc\0"),),
    )
    frame = encode(pdu)
    assert pdus.read_text(frame) == (b"12000000001", b"18002530000", 4, 1, LABEL)
    response = decode(pdus.write_response(frame, 0x58))
    assert (type(response).__name__, response.sequence_number) == ("DeliverSmResp", 9)
    taken = encode(SubmitSmResp(sequence_number=1, command_status=0, message_id="x17"))
    assert pdus.message_id_of(taken) == b"x17"


def test_a_bind_is_what_the_codec_reads() -> None:
    pdu = decode(pdus.write_request(0x09, 1, pdus.write_bind("load", "bench")))
    assert isinstance(pdu, BindTransceiver)
    assert (pdu.system_id, pdu.password, pdu.interface_version) == ("load", "bench", 0x34)


def test_a_receipt_of_the_hubs() -> None:
    octets, _ = write(Receipt("17abc", ReceiptState.UNDELIVERABLE, err="001"))
    assert (pdus.receipted_id_of(octets), pdus.receipt_state_of(octets)) == (b"17abc", b"UNDELIV")
    assert (pdus.receipted_id_of(b"hello"), pdus.receipt_state_of(b"hello")) == (b"", b"")


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 50))
def test_any_chunking_gives_the_same_frames(bodies: list[bytes], size: int) -> None:
    frames = [pdus.write_request(DELIVER_SM, at, body) for at, body in enumerate(bodies, 1)]
    octets, buffer, found = b"".join(frames), bytearray(), []
    for at in range(0, len(octets), size):
        buffer += octets[at : at + size]
        found += pdus.cut_frames(buffer)
    assert found == frames
    assert not buffer


@pytest.mark.parametrize("length", [0, 15, pdus.MAX_PDU_OCTETS + 1, 0xFFFFFFFF])
def test_a_senseless_length_is_refused(length: int) -> None:
    with pytest.raises(pdus.SenselessFrame, match=str(length)):
        pdus.cut_frames(bytearray(length.to_bytes(4, "big") + bytes(12)))


@given(st.binary(max_size=60))
def test_a_cut_text_is_a_value_error_or_an_index_error(body: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError):
        pdus.read_text(pdus.write_request(SUBMIT_SM, 1, body))


@pytest.mark.parametrize("octets", [b"", b"t", b"tbeef0000002", b"xbeef0000002a", b"tBEEF0000002a", b"t-1"])
def test_other_texts_bear_no_label(octets: bytes) -> None:
    assert pdus.read_label(octets) is None


def test_statuses_have_names() -> None:
    assert pdus.name_of(0x58) == "ESME_RTHROTTLED"
    assert pdus.name_of(0x400) == "command_status 0x400"


# --- XMPP ------------------------------------------------------------------------------------------------------------


def hello() -> tuple[ComponentStream, stanzas.StanzaReader, list[Element]]:
    """The hub's machine and our reader, after the handshake."""
    hub = ComponentStream(Role.CONNECT, secret="bench", domain="sms.example.net")
    hub.start()
    reader = stanzas.StanzaReader()
    found = list(reader.receive(hub.take_octets()))
    assert (reader.domain, found) == ("sms.example.net", [])
    hub.receive(stanzas.write_header(reader.domain, "abc").encode())
    (handshake,) = reader.receive(hub.take_octets())
    assert (handshake.tag, handshake.text) == (stanzas.HANDSHAKE, stanzas.proof("abc", "bench"))
    hub.receive(b"<handshake/>")
    assert hub.phase is Phase.OPEN
    return hub, reader, found


def test_a_text_of_the_hubs_is_read_in_any_chunks() -> None:
    _, reader, _ = hello()
    message = Message(
        id=0x17,
        kind=Kind.TEXT,
        origin="link:carrier",
        endpoint="desk:helpline",
        source="+12500000001",
        destination="+18002530000",
        text="q<&>",
        token="a" * 26,
        received_us=0,
        expires_us=1,
    )
    written = build_text(message, "d@example.net", "sms.example.net", now_us=0, late_after_us=1, receipt=False)
    written += build_ping("p1", "sms.example.net", "example.net")
    found = [stanza for octet in written.encode() for stanza in reader.receive(bytes([octet]))]
    text, ping = found
    assert (text.tag, text.get("from")) == (stanzas.MESSAGE, "+12500000001@sms.example.net/+18002530000")
    assert text.findtext(stanzas.BODY) == "q<&>"
    assert text.findtext(stanzas.TOKEN) == "a" * 26
    assert (ping.tag, ping.find(stanzas.PING) is not None) == (stanzas.IQ, True)
    assert reader.receive(b"</stream:stream>") == []
    assert reader.is_over


def test_an_answer_is_what_the_hub_reads() -> None:
    hub, _, _ = hello()
    own = pdus.write_label(pdus.ANSWER, 1, 2).decode()
    to = "+12500000001@sms.example.net/+18002530000"
    (stanza,) = hub.receive(stanzas.write_answer(own, "csr@example.net/load", to, "a<&>", "b" * 26).encode())
    text = read_text(stanza, parse_jid(stanza.get("from")))
    assert (text.id, text.customer, text.number) == (own, "+12500000001", "+18002530000")
    assert (text.body, text.token, text.receipt_requested) == ("a<&>", "b" * 26, True)


def test_what_else_is_written_is_xml_for_the_hub() -> None:
    hub, reader, _ = hello()
    (ping,) = reader.receive(build_ping("p1", "sms.example.net", "example.net").encode())
    words = [
        stanzas.write_pong(ping),
        stanzas.write_refusal(ping),
        stanzas.write_ping("p", "example.net", "sms.example.net"),
        stanzas.write_presence("d@example.net", "sms.example.net", there=True),
        stanzas.write_presence("d@example.net", "sms.example.net", there=False),
    ]
    found = hub.receive("".join(words).encode())
    kinds = [(stanza.name, stanza.get("type")) for stanza in found]
    assert kinds == [("iq", "result"), ("iq", "error"), ("iq", "get"), ("presence", ""), ("presence", "unavailable")]


def test_what_is_no_xml_ends_the_stream() -> None:
    with pytest.raises(stanzas.NotXml):
        stanzas.StanzaReader().receive(b"<a></b>")
