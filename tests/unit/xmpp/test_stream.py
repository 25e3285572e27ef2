"""The octets of a stream: what is read, what is refused, what is written."""

from __future__ import annotations

import pytest

from translators.xmpp.stream import (
    CLIENT_NS,
    COMPONENT_NS,
    CUT,
    MAX_ELEMENTS,
    STREAMS_NS,
    Element,
    StreamReader,
    escape_attribute,
    escape_text,
    serialise,
    unwritable,
)

HEAD = f"<?xml version='1.0'?><stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}' id='s1'>".encode()

# RFC 6120 §11.1 and what it guards against.
BOMBS = {
    "document type": b"<!DOCTYPE x>",
    "billion laughs": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
    "external subset": b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
}


def read(*chunks: bytes, **caps: int) -> tuple[StreamReader, list[Element]]:
    reader = StreamReader(**caps)
    found = reader.feed(HEAD)
    for chunk in chunks:
        found += reader.feed(chunk)
    return reader, found


def condition(reader: StreamReader) -> str:
    assert reader.error is not None
    return reader.error.condition


class TestReading:
    def test_header(self) -> None:
        reader, found = read()
        assert found == []
        assert reader.header is not None
        assert reader.header.get("id") == "s1"
        assert reader.header.namespace == COMPONENT_NS

    def test_stanza(self) -> None:
        _, found = read(
            b"<message to='a@b'><body>hi &amp; <![CDATA[<bye>]]></body><x xmlns='urn:x' k='v'><y/></x></message>"
        )
        assert found == [
            Element(
                "message",
                {"to": "a@b"},
                "",
                (Element("body", {}, "hi & <bye>"), Element("urn:x x", {"k": "v"}, "", (Element("urn:x y"),))),
            )
        ]

    def test_both_namespaces_of_stanzas_have_one_name(self) -> None:
        _, found = read(f"<message xmlns='{CLIENT_NS}'><body>a</body></message>".encode())
        assert found[0].name == "message"
        assert found[0].child_text("body") == "a"

    def test_octet_by_octet_without_delay(self) -> None:
        """Expat from 2.6 on would hold a stanza back until more octets come."""
        reader = StreamReader()
        reader.feed(HEAD)
        seen = []
        for place, octet in enumerate(stanza := b"<iq id='1'/>"):
            if reader.feed(bytes((octet,))):
                seen.append(place)
        assert seen == [len(stanza) - 1]

    def test_white_space_between_stanzas_is_no_stanza_and_costs_nothing(self) -> None:
        reader, found = read(*[b" \n" * 100] * 100, b"<iq/>", max_stanza_octets=1000)
        assert [item.name for item in found] == ["iq"]
        assert reader.error is None

    def test_end(self) -> None:
        reader, found = read(b"<iq/></stream:stream>")
        assert len(found) == 1
        assert reader.ended
        assert reader.error is None
        assert reader.feed(b"<iq/>") == []

    def test_what_follows_the_end_is_nobodys(self) -> None:
        reader, _ = read(b"</stream:stream><!-- x -->")
        assert reader.ended
        assert reader.error is None

    @pytest.mark.parametrize(
        "character", ["\t", "\n", "é", "\u07ff", "\ud7ff", "\ue000", "\ufffd", "\U00010000", "😀", "\U0010fffd"]
    )
    def test_all_planes(self, character: str) -> None:
        _, found = read(f"<message><body>{character}</body></message>".encode())
        assert found[0].child_text("body") == character


class TestRefusing:
    @pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
    def test_document_types_before_the_stream(self, bomb: bytes) -> None:
        reader = StreamReader()
        declaration, root = HEAD[: HEAD.index(b"?>") + 2], HEAD[HEAD.index(b"?>") + 2 :]
        assert reader.feed(declaration + bomb + root + b"<iq/>") == []
        assert condition(reader) == "restricted-xml"

    @pytest.mark.parametrize(
        ("octets", "expected"),
        [
            (b"<!-- x -->", "restricted-xml"),
            (b"<?php x?>", "restricted-xml"),
            (b"<message><body>&nbsp;</body></message>", "not-well-formed"),
            (b"<!DOCTYPE x>", "not-well-formed"),
            (b"text", "bad-format"),
            (b"<a:b/>", "not-well-formed"),
            (b"<message><body></message>", "not-well-formed"),
            (b"<message><body>\xff</body></message>", "not-well-formed"),
            (b"<message><body>\xed\xa0\x80</body></message>", "not-well-formed"),
            (b"<message><body>\x00</body></message>", "not-well-formed"),
            (b"<message><body>&#0;</body></message>", "not-well-formed"),
        ],
    )
    def test_what_no_stream_may_hold(self, octets: bytes, expected: str) -> None:
        reader, found = read(b"<iq id='before'/>" + octets + b"<iq id='after'/>")
        assert [item.get("id") for item in found] == ["before"]
        assert condition(reader) == expected

    def test_other_encodings(self) -> None:
        reader = StreamReader()
        reader.feed(HEAD.replace(b"version='1.0'", b"version='1.0' encoding='iso-8859-1'"))
        assert condition(reader) == "unsupported-encoding"

    def test_other_roots(self) -> None:
        reader = StreamReader()
        reader.feed(b"<html>")
        assert condition(reader) == "invalid-namespace"

    def test_depth(self) -> None:
        assert read(b"<message>" + b"<a>" * 9 + b"</a>" * 9 + b"</message>", max_depth=10)[0].error is None
        deep = b"<message id='1'>text" + b"<a>" * 10 + b"more<b/>" + b"</a>" * 10 + b"</message><presence/>"
        reader, found = read(deep, max_depth=10)
        assert reader.error is None, "a server passes on what any user sends: the stream lives"
        assert [each.name for each in found] == ["message", "presence"]
        assert found[0].attributes == {"id": "1"}
        assert found[0].text == ""
        assert found[0].children[0] is CUT
        assert found[1].children == ()

    def test_number_of_elements(self) -> None:
        body = b"<a>" + b"<b c='d'/>" * (MAX_ELEMENTS - 2)  # the stanza and <a> count as well
        assert read(b"<message>" + body + b"</a></message>")[1][0].children[0].name != CUT.name
        _, found = read(
            b"<message>" + body + b"<b/><b><c>text</c></b></a>text</message><message><body>x</body></message>"
        )
        assert [each.children[0] is CUT for each in found] == [True, False]

    def test_nobody_can_write_the_mark_of_a_cut_stanza(self) -> None:
        found = read(b"<message><cut xmlns='urn:smshub:cut'/></message>")[1]
        assert found[0].children[0] == CUT
        assert found[0].children[0] is not CUT

    def test_size_of_a_stanza_that_came_at_once(self) -> None:
        assert read(b"<message>" + b"x" * 900 + b"</message>", max_stanza_octets=1000)[0].error is None
        reader, found = read(b"<message>" + b"x" * 2000 + b"</message>", max_stanza_octets=1000)
        assert found == []
        assert condition(reader) == "policy-violation"

    @pytest.mark.parametrize("start", [b"<message><body>", b"<message a='", b"<mess", b"<message><![CDATA["])
    def test_size_of_a_stanza_that_never_ends(self, start: bytes) -> None:
        """Memory is bounded even where expat has not told us anything yet."""
        reader, _ = read(start, max_stanza_octets=1000)
        fed = 0
        while reader.error is None:
            reader.feed(b"x" * 100)
            fed += 100
            assert fed < 3000
        assert condition(reader) == "policy-violation"


class TestWriting:
    def test_escapes(self) -> None:
        assert escape_text("a<b>&\r\"'") == "a&lt;b&gt;&amp;&#13;\"'"
        assert escape_attribute("a<b>&\r\n\t\"'") == "a&lt;b&gt;&amp;&#13;&#10;&#9;&quot;&apos;"

    def test_what_xml_cannot_carry_is_replaced_and_counted(self) -> None:
        text = "a\x00b\x0cc\ud800d\uffffe"
        assert escape_text(text) == "a\ufffdb\ufffdc\ufffdd\ufffde"
        assert unwritable(text) == 4
        assert unwritable("plain") == 0

    def test_serialise_names_namespaces(self) -> None:
        element = Element(
            "message", {"id": "1"}, "", (Element("body", {}, "x"), Element("urn:a b", {}, "", (Element("urn:c d"),)))
        )
        assert serialise(element) == "<message id='1'><body>x</body><b xmlns='urn:a'><d xmlns='urn:c'/></b></message>"


@pytest.mark.parametrize("name", ["message", "iq", "body", "anything"])
def test_what_is_in_no_namespace_is_neither_a_stanza_nor_lost(name: str) -> None:
    """RFC 6120 §4.8.3: a stanza is in the stream's content namespace. Found by tests/fuzz: it passed for one."""
    reader = StreamReader()
    reader.feed(HEAD)
    octets = f"<iq><{name} xmlns=''><x xmlns='urn:x'/><body/></{name}></iq>".encode()
    (stanza,) = reader.feed(octets)
    (child,) = stanza.children
    assert child.name == f" {name}"
    assert [each.name for each in child.children] == ["urn:x x", " body"]
    assert stanza.child(name) is None
    assert reader.feed(serialise(stanza).encode()) == [stanza]
