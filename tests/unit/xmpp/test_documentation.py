"""docs/reference/xmpp.md and xmpp.xsd say what the code does: every example is valid and means what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

import translators.xmpp
from hub.model import Kind, Message, Reason, Receipt, ReceiptState, Rejected, TryLater
from threading_tokens.designation import Designation
from threading_tokens.thread import OpenedBecause
from translators.xmpp.commands import COMMANDS, build_history, build_thread, read_command
from translators.xmpp.discovery import answer_iq, answer_presence
from translators.xmpp.jid import parse_jid
from translators.xmpp.services import HistoryEntry, ThreadView
from translators.xmpp.stanzas import (
    FAILURES,
    REFUSALS,
    THREAD_NS,
    build_error,
    build_ping,
    build_receipt,
    build_refusal,
    build_text,
    read_error,
    read_text,
)
from translators.xmpp.stream import COMPONENT_NS, STREAMS_NS, Element, StreamReader

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "xmpp.md"
SCHEMA = Path(translators.xmpp.__file__).parent / "xmpp.xsd"
EXAMPLES = re.findall(r"```xml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
TOKEN = "mfrggzdfmztwq2lknnwg23tpoi"


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMA))


def read(stanza: str) -> Element:
    reader = StreamReader()
    head = f"<stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}'>"
    [found] = reader.feed((head + stanza).encode())
    assert reader.error is None
    return found


def ours(stanza: str) -> list[ElementTree.Element]:
    """The outermost elements of our namespace."""
    found = []

    def search(element: ElementTree.Element) -> None:
        if element.tag.startswith(f"{{{THREAD_NS}}}"):
            found.append(element)
        else:
            for child in element:
                search(child)

    search(ElementTree.fromstring(f"<s xmlns='{COMPONENT_NS}'>{stanza}</s>"))
    return found


def check(schema: xmlschema.XMLSchema, stanza: str) -> Element:
    for element in ours(stanza):
        schema.validate(element)
    return read(stanza)


def test_there_are_examples_and_they_are_numbered() -> None:
    numbers = [int(number) for number in re.findall(r"^Example (\d+)\.", DOCUMENT.read_text(), re.MULTILINE)]
    assert numbers == list(range(1, len(EXAMPLES) + 1))


def test_the_document_links_the_schema_of_the_package() -> None:
    assert (DOCUMENT.parent / "xmpp.xsd").read_bytes() == SCHEMA.read_bytes()


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_examples_are_valid_and_understood(schema: xmlschema.XMLSchema, example: str) -> None:
    stanza = check(schema, example)
    assert parse_jid(stanza.get("from"))
    if stanza.name == "iq" and stanza.get("type") in ("get", "set"):
        [payload] = stanza.children
        assert read_command(stanza.get("type"), payload, "alice@desk.example")
    if stanza.get("type") == "error":
        assert read_error(stanza).condition != "undefined-condition"


def test_the_schema_refuses_what_is_wrong(schema: xmlschema.XMLSchema) -> None:
    for wrong in (
        "<token xmlns='urn:smshub:thread:1'>short</token>",
        f"<designate xmlns='urn:smshub:thread:1' token='{TOKEN}'><csr kind='shoe'>x</csr></designate>",
        "<failed xmlns='urn:smshub:thread:1' state='HAPPY' error='0'/>",
        "<nonsense xmlns='urn:smshub:thread:1'/>",
    ):
        with pytest.raises(xmlschema.XMLSchemaValidationError):
            check(schema, f"<message>{wrong}</message>")


def message(**changes: object) -> Message:
    values: dict[str, object] = {
        "id": 0x5F3A9C01B2,
        "kind": Kind.TEXT,
        "origin": "link:a",
        "endpoint": "desk:d",
        "source": "+16175551212",
        "destination": "+18005550100",
        "text": "My printer is on fire & smokes",
        "received_us": 1_770_091_506_789_000,
        "expires_us": 1 << 60,
        "token": TOKEN,
        "thread_news": "new:new-address",
        **changes,
    }
    return Message(**values)  # type: ignore[arg-type]


def build(m: Message, *, to: str = "director@desk.example", receipt: bool = False, late: bool = False) -> str:
    now_us = m.received_us + (20_000_000 if late else 0)
    return build_text(m, to, "sms.desk.example", now_us=now_us, late_after_us=10_000_000, receipt=receipt)


def squeezed(element: Element) -> Element:
    """Without the white space that the document has for the eye."""
    text = "" if element.children else element.text
    return Element(element.name, element.attributes, text, tuple(map(squeezed, element.children)))


def test_texts_are_built_as_shown(schema: xmlschema.XMLSchema) -> None:
    assert squeezed(check(schema, build(message(), receipt=True))) == squeezed(read(EXAMPLES[0]))
    second = message(
        id=0x5F3A9C01B3,
        text="Look",
        thread_news="",
        attributes={"nick": "Ann", "media_url": "https://media.example/1.jpg", "product": "printer"},
    )
    assert squeezed(check(schema, build(second, to="alice@desk.example", late=True))) == squeezed(read(EXAMPLES[1]))


@pytest.mark.parametrize("because", OpenedBecause)
def test_every_reason_of_a_thread_validates(schema: xmlschema.XMLSchema, because: OpenedBecause) -> None:
    check(schema, build(message(thread_news=f"new:{because.value}")))


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "", "thread_news": ""},
        {"source": "AT&T's <b>", "destination": ""},
        {"text": "]]>&<\x00\r\n"},
        {"data": b"\x00\x01", "text": ""},
        {
            "attributes": {
                "element": "<SPID'",
                "media_url": "https://a/?b&c https://d",
                "media_description": "<d>",
            }
        },
    ],
)
def test_unusual_texts_validate(schema: xmlschema.XMLSchema, changes: dict[str, object]) -> None:
    stanza = check(schema, build(message(**changes), late=True))
    assert parse_jid(stanza.get("from")).domain == "sms.desk.example"


def test_receipts_are_built_as_shown(schema: xmlschema.XMLSchema) -> None:
    upstream_id = "alice@desk.example/phone\n+16175551212@sms.desk.example/+18005550100\na17"
    for state, example in ((ReceiptState.DELIVERED, EXAMPLES[4]), (ReceiptState.UNDELIVERABLE, EXAMPLES[5])):
        receipt = Receipt(upstream_id, state, "001")
        told = message(id=0x5F3A9C01C0, kind=Kind.RECEIPT, upstream_id=upstream_id, receipt=receipt)
        assert check(schema, build_receipt(told, "sms.desk.example")) == squeezed(read(example))


def test_every_final_state_that_is_no_delivery_has_an_error(schema: xmlschema.XMLSchema) -> None:
    failures = {state for state in ReceiptState if state.is_final} - {ReceiptState.DELIVERED}
    assert set(FAILURES) == failures
    for state in failures:
        receipt = Receipt("a@b\nc@d\ne", state, "<1")
        check(schema, build_receipt(message(kind=Kind.RECEIPT, receipt=receipt), "sms.desk.example"))
        assert re.search(rf"\| `{state.value}` \| `{'/'.join(FAILURES[state])}` \|", DOCUMENT.read_text())


def test_every_refusal_is_documented_and_validates(schema: xmlschema.XMLSchema) -> None:
    assert set(REFUSALS) == set(Reason)
    stanza = read(EXAMPLES[3])
    for reason in Reason:
        check(schema, build_refusal(stanza, Rejected(reason)))
        assert re.search(rf"\| `{reason.value}` \| `{'/'.join(REFUSALS[reason])}` \|", DOCUMENT.read_text())
    shown = read(EXAMPLES[7])
    built = check(schema, build_refusal(stanza, TryLater(1.0)))
    assert built.child("error") == squeezed(shown).child("error")


def test_opting_out_is_built_and_read_as_shown(schema: xmlschema.XMLSchema) -> None:
    word = message(id=0x5F3A9C01D0, text="Stop!", thread_news="", attributes={"opt-out": "stop"})
    built = check(schema, build(word, to="alice@desk.example"))
    assert squeezed(built) == squeezed(read(EXAMPLES[17]))
    refusal = Rejected(Reason.OPTED_OUT, 1_770_091_506_789_000)
    refused = check(schema, build_refusal(read(EXAMPLES[3]), refusal))
    assert refused.child("error") == squeezed(read(EXAMPLES[18])).child("error")
    asking, ordinary = (read_text(read(EXAMPLES[number]), parse_jid("alice@desk.example")) for number in (19, 3))
    assert (asking.asks_to_opt_in, ordinary.asks_to_opt_in) == (True, False)


def test_refusals_do_not_echo_what_was_written() -> None:
    assert "on the way" not in build_refusal(read(EXAMPLES[3]), TryLater(1.0))


def test_every_error_of_a_command_is_in_the_schema(schema: xmlschema.XMLSchema) -> None:
    source = Path(translators.xmpp.__file__).parent.joinpath("commands.py").read_text()
    specifics = set(re.findall(r'CommandError\("\w+", "[\w-]+", "([\w-]+)"\)', source))
    assert len(specifics) > 8
    for specific in specifics:
        check(schema, build_error(read(EXAMPLES[9]), "cancel", "conflict", specific))
        assert f"`{specific}`" in DOCUMENT.read_text()


def test_answers_to_commands_are_built_as_shown(schema: xmlschema.XMLSchema) -> None:
    view = ThreadView(
        1,
        TOKEN,
        "+18005550100",
        "+16175551212",
        opened_us=1_770_091_506_789_000,
        designation=Designation("address", "alice@desk.example"),
        label="Alice",
    )
    built = check(schema, f"<iq>{build_thread(view)}</iq>")
    assert built.children == squeezed(read(EXAMPLES[10])).children
    closed = ThreadView(1, TOKEN, "+1", "+2", product="<p>", closed_us=1_770_091_506_789_000)
    check(schema, f"<iq>{build_thread(closed)}</iq>")


def test_history_is_built_as_shown(schema: xmlschema.XMLSchema) -> None:
    at_us = 1_770_091_506_789_000
    entries = [
        HistoryEntry(
            id=1801, at_us=at_us + 13_211_000, kind="designated", by="director@desk.example", csr="alice@desk.example"
        ),
        HistoryEntry(
            id=1800,
            at_us=at_us,
            kind="text",
            direction="in",
            state="delivered",
            by="customer",
            text="My printer is on fire",
        ),
    ]
    built = check(schema, f"<iq>{build_history(entries)}</iq>")
    assert built.children[0].children == read(EXAMPLES[14]).children[0].children[2:]
    check(schema, f"<iq>{build_history([])}</iq>")


def test_commands_are_all_shown() -> None:
    shown = {payload.name for example in EXAMPLES for payload in read(example).children}
    assert set(COMMANDS) <= shown


def test_everything_else_we_write_is_well_formed() -> None:
    ping = read(build_ping("p1", "sms.desk.example", "desk.example"))
    asked = Element("iq", {"from": "a@b/<'", "to": "c@d", "id": "<'&", "type": "get"}, "", ping.children)
    answer = read(answer_iq(asked, parse_jid("c@d")))
    assert (answer.get("id"), answer.get("to"), answer.get("type")) == ("<'&", "a@b/<'", "result")
    for kind in ("probe", "unsubscribe"):
        assert (
            read(answer_presence(Element("presence", {"from": "a@b/<", "to": "c@d/x", "type": kind}))).get("from")
            == "c@d"
        )


def test_read_text_understands_the_example() -> None:
    stanza = read(EXAMPLES[3])
    text = read_text(stanza, parse_jid(stanza.get("from")))
    assert (text.customer, text.number, text.token) == ("+16175551212", "+18005550100", TOKEN)
    assert text.receipt_requested
