"""SOAP: what is read of a stranger's XML, and that what we write is what our schema says."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import xmlschema

import provisioning.directories
from provisioning.directories.adapter import Listing, Task
from provisioning.directories.replies import Entry, State
from provisioning.directories.soap_envelope import (
    ENVELOPE_NS,
    WSSE_NS,
    NotUnderstood,
    envelope,
    open_envelope,
    password_digest,
    username_token,
)
from provisioning.directories.soap_xml import (
    NAMESPACE,
    XML_NAMES,
    Fault,
    read_answer,
    write_query,
    write_submit,
    write_withdraw,
)
from provisioning.directories.xml_reading import BadXml, Element, read_xml

SCHEMA = xmlschema.XMLSchema(Path(provisioning.directories.__file__ or "").parent / "registry.xsd")
FULL = Listing(
    number="+18005550100",
    real_number="+16175550100",
    call_centre="acme",
    title='Möbel & Söhne <"quoted"> \r\x00\ud800',
    element="spid:1234",
    loa="l1",
    loa_digest="sha256:00",
    network_id="n",
    entity_id="e",
    ip_address="192.0.2.1",
    texts_per_day=5000,
    white_list_reason="one-time passwords",
)
LEAN = Listing(number="+16175550101", real_number="", call_centre="")
TASKS = [Task("k1", FULL), Task("k<2>", LEAN), Task("k3", LEAN)]


def test_every_field_of_a_listing_has_an_element() -> None:
    assert tuple(XML_NAMES) == Listing.__struct_fields__


@pytest.mark.parametrize("body", [write_submit(TASKS, "r"), write_withdraw(TASKS, "r"), write_query(TASKS)])
def test_what_is_written_is_what_the_schema_says(body: str) -> None:
    SCHEMA.validate(body)


def test_a_listing_is_read_as_it_was_written() -> None:
    answer = write_submit(TASKS[:1], "r").replace("SubmitRequest", "QueryResponse").replace("item>", "record>")
    answer = answer.replace("<requestKey>r</requestKey>", "").replace(
        "<key>k1</key>", "<number>+18005550100</number><state>active</state><recordId>r1</recordId>"
    )
    SCHEMA.validate(answer)
    found = read_answer(envelope(answer), "Query")
    assert isinstance(found, list)
    [entry] = found
    assert entry.listing is not None
    # XML cannot carry the last two characters of the title.
    assert entry.listing.title == 'Möbel & Söhne <"quoted"> \r\ufffd\ufffd'
    rest = [name for name in Listing.__struct_fields__ if name != "title"]
    assert [getattr(entry.listing, name) for name in rest] == [getattr(FULL, name) for name in rest]


def test_the_digest_of_a_password() -> None:
    """Base64(SHA-1(nonce + created + password)), with a nonce that is decoded first."""
    nonce = base64.b64decode("WScqanjCEAC4mQoBE07sAQ==")
    created = "2003-07-16T01:24:32Z"
    # What `printf … | openssl sha1 -binary | base64` says.
    assert password_digest(nonce, created, "taadtaadpstcsm") == "AtYMdWClJo7PIuTpqmhmEEoEZyc="


def test_a_token_shows_no_password() -> None:
    token = username_token("hub", "s3cret-words", b"0" * 16, "2026-11-22T06:30:00Z")
    assert "s3cret-words" not in token
    security, body = open_envelope(read_xml(envelope("<x/>", token)))
    assert security is not None
    assert security.child(f"{WSSE_NS} UsernameToken") is not None
    assert body == Element("x")


# --- Strangers' XML --------------------------------------------------------------------------------------------------

BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>"""


@pytest.mark.parametrize(
    "octets",
    [
        *(
            b"",
            b" ",
            b"x",
            b"<x>",
            b"<x></y>",
            b"<x/><y/>",
            b"<a:x/>",
            b"\xff\xfe",
            b"<x>\x00</x>",
            b"<x a='1' a='2'/>",
        ),
        *(BOMB, b"<!DOCTYPE x><x/>", b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>", b"<x>&amp;&nbsp;</x>"),
        *(b"<?php x?><x/>", b"<x><?php x?></x>", b"<x/><?php x?>", b"<?xml version='1.0' encoding='rot13'?><x/>"),
        b"<?xml version='1.0' encoding='no-such'?><x/>",
        b"<x>" * 17 + b"</x>" * 17,
        b"<x>" + b"<y/>" * 100_000 + b"</x>",
        b"<x>" + b" " * 5_000_000 + b"</x>",
    ],
    ids=lambda octets: octets[:40],
)
def test_xml_that_is_refused(octets: bytes) -> None:
    with pytest.raises(BadXml):
        read_xml(octets)


def test_xml_that_is_read() -> None:
    assert read_xml("<x a='1'>é<!-- c --><y xmlns='n'>t</y>z</x>".encode()) == Element(
        "x", {"a": "1"}, "éz", (Element("n y", {}, "t"),)
    )
    assert read_xml("<?xml version='1.0' encoding='utf-16'?><x>é</x>".encode("utf-16")).text == "é"
    assert read_xml(b"<x>" * 16 + b"</x>" * 16).name == "x"


@pytest.mark.parametrize(
    "body",
    [
        "<Envelope><Body><x/></Body></Envelope>",
        f"<Envelope xmlns='{ENVELOPE_NS}'/>",
        f"<Envelope xmlns='{ENVELOPE_NS}'><Body/></Envelope>",
        f"<Envelope xmlns='{ENVELOPE_NS}'><Body><x/><x/></Body></Envelope>",
        "<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'><Body><x/></Body></Envelope>",
    ],
)
def test_envelopes_that_are_none(body: str) -> None:
    with pytest.raises(BadXml):
        open_envelope(read_xml(body.encode()))


def test_a_header_that_must_be_understood_and_is_not() -> None:
    with pytest.raises(NotUnderstood, match="urn:t route"):
        open_envelope(read_xml(envelope("<x/>", '<route xmlns="urn:t" soap:mustUnderstand="1"/>')))
    security, _ = open_envelope(read_xml(envelope("<x/>", '<route xmlns="urn:t" soap:mustUnderstand="0"/>')))
    assert security is None


# --- Answers ---------------------------------------------------------------------------------------------------------


def answer(inside: str, name: str = "SubmitResponse") -> bytes:
    return envelope(f'<{name} xmlns="{NAMESPACE}">{inside}</{name}>')


def test_an_answer_with_another_prefix_and_more_than_agreed() -> None:
    octets = envelope(
        f'<z:SubmitResponse xmlns:z="{NAMESPACE}"><z:news>!</z:news><z:item><z:state> active </z:state>'
        "<z:key>k1</z:key><z:number>\n+1</z:number><z:retryAfter>1.5</z:retryAfter></z:item>"
        "<z:item><z:state>fine</z:state></z:item></z:SubmitResponse>"
    )
    assert read_answer(octets, "Submit") == [Entry(number="+1", state=State.ACTIVE, key="k1", after_s=1.5)]


@pytest.mark.parametrize("wait", ["-1", "1e9", "nan", "INF", "soon", "9" * 400])
def test_a_wait_that_is_none(wait: str) -> None:
    octets = answer(
        f"<item><key>k</key><number>+1</number><state>pending</state><retryAfter>{wait}</retryAfter></item>"
    )
    assert read_answer(octets, "Submit") == [Entry(number="+1", state=State.PENDING, key="k")]


@pytest.mark.parametrize("count", ["-1", "x", "1" * 19, "1.5"])
def test_a_listing_with_a_count_that_is_none_is_not_told(count: str) -> None:
    listing = f"<listing><number>+1</number><textsPerDay>{count}</textsPerDay></listing>"
    octets = answer(f"<record><number>+1</number><state>active</state>{listing}</record>", "QueryResponse")
    assert read_answer(octets, "Query") == [Entry(number="+1", state=State.ACTIVE)]


def test_answers_to_something_else() -> None:
    with pytest.raises(BadXml, match="no SubmitResponse"):
        read_answer(answer("", "WithdrawResponse"), "Submit")
    with pytest.raises(BadXml, match="no SubmitResponse"):
        read_answer(envelope("<SubmitResponse/>"), "Submit")


def test_faults_of_ours_and_of_others() -> None:
    detail = f'<fault xmlns="{NAMESPACE}"><code>busy</code><message>m</message><retryAfter>3</retryAfter></fault>'
    words = "<faultcode>soap:Server</faultcode><faultstring>f</faultstring>"
    ours = f"<soap:Fault>{words}<detail>{detail}</detail></soap:Fault>"
    others = "<soap:Fault><faultcode>q:FailedAuthentication</faultcode><faultstring>f</faultstring></soap:Fault>"
    assert read_answer(envelope(ours), "Submit") == Fault("busy", "m", 3.0)
    assert read_answer(envelope(others), "Submit") == Fault("FailedAuthentication", "f")
    assert read_answer(envelope("<soap:Fault/>"), "Submit") == Fault("", "")
