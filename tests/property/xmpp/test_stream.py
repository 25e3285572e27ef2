"""Any cutting gives the same stanzas; any octets give stanzas or an error; what is written is read again."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.errors import BadJid
from translators.xmpp.jid import escape_node, parse_jid, unescape_node
from translators.xmpp.stream import (
    COMPONENT_NS,
    STREAMS_NS,
    Element,
    StreamReader,
    escape_attribute,
    escape_text,
    serialise,
    unwritable,
)

HEAD = f"<?xml version='1.0'?><stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}' id='1'>".encode()

any_text = st.text(alphabet=st.characters(), max_size=40)
xml_text = any_text.map(lambda text: text if not unwritable(text) else "")
names = st.sampled_from(["urn:a one", "urn:a two", "urn:b one", "urn:xmpp:ping ping"])
attributes = st.dictionaries(st.sampled_from(["id", "to", "from", "kind", "urn:q k"]), xml_text, max_size=3)
children = st.recursive(
    st.builds(Element, names, attributes, xml_text),
    lambda inner: st.builds(Element, names, attributes, xml_text, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)
stanzas = st.builds(
    Element,
    st.sampled_from(["message", "presence", "iq"]),
    attributes,
    st.just(""),
    st.lists(st.one_of(children, st.builds(Element, st.just("body"), attributes, xml_text)), max_size=4).map(tuple),
)
# Pieces of XML, good and bad: random octets alone never get past the first of them.
pieces = st.lists(
    st.one_of(
        stanzas.map(lambda stanza: serialise(stanza).encode()),
        st.sampled_from(
            (
                *(
                    b"<message>",
                    b"</message>",
                    b"<a b='",
                    b"'>",
                    b"<!--",
                    b"-->",
                    b"<!DOCTYPE x [",
                    b"]>",
                    b"<?x",
                    b"?>",
                ),
                *(
                    b"&amp;",
                    b"&x;",
                    b"&#0;",
                    b"<![CDATA[",
                    b"]]>",
                    b"</stream:stream>",
                    b" \n",
                    b"text",
                    b"\xff",
                    b"\x00",
                ),
            )
        ),
        st.binary(max_size=8),
    ),
    max_size=8,
).map(b"".join)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(octets), *(place % (len(octets) + 1) for place in places)})
    return [octets[a:b] for a, b in itertools.pairwise(borders)]


def read(chunks: list[bytes]) -> tuple[list[Element], bool, bool]:
    """The stanzas, and how it ended. Of two faults in a row, which one is seen first may depend on the cutting."""
    reader = StreamReader()
    found = [stanza for chunk in chunks for stanza in reader.feed(chunk)]
    return found, reader.ended, reader.error is not None


@given(pieces, st.lists(st.integers(min_value=0), max_size=12))
def test_any_cutting_gives_the_same(octets: bytes, places: list[int]) -> None:
    whole = HEAD + octets
    assert read(cut(whole, places)) == read([whole])


@given(pieces)
def test_octet_by_octet_gives_the_same(octets: bytes) -> None:
    whole = HEAD + octets
    assert read([whole[n : n + 1] for n in range(len(whole))]) == read([whole])


@given(st.one_of(st.binary(), st.binary().map(lambda octets: HEAD + octets), pieces))
def test_any_octets_give_stanzas_or_an_error(octets: bytes) -> None:
    for role in Role:
        machine = ComponentStream(role, secret="s", domain="d", domains=("d",), stream_id="i")
        if role is Role.CONNECT:
            machine.start()
            machine.take_octets()
        for stanza in machine.receive(octets):
            assert stanza.name in ("message", "presence", "iq")
        assert (machine.error is None) or machine.phase is Phase.CLOSED


@given(st.lists(stanzas, max_size=5))
def test_what_is_written_is_read_again(written: list[Element]) -> None:
    octets = HEAD + b" ".join(serialise(stanza).encode() for stanza in written)
    assert read([octets]) == (written, False, False)


@given(any_text)
def test_any_text_can_be_written(text: str) -> None:
    octets = f"<message a='{escape_attribute(text)}'><body>{escape_text(text)}</body></message>".encode()
    [stanza], _, failed = read([HEAD + octets])
    assert not failed
    expected = "".join("\ufffd" if unwritable(character) else character for character in text)
    assert stanza.child_text("body") == expected
    assert stanza.get("a") == expected


@given(st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=20))
def test_any_address_is_a_local_part(address: str) -> None:
    if address.strip(" ") != address or not address.isprintable():
        return
    node = escape_node(address)
    assert unescape_node(node) == address
    assert parse_jid(f"{node}@d").node == node.lower()


@given(st.one_of(st.text(), st.from_regex(r"[a-z+0-9\\@/. ]{0,30}", fullmatch=True)))
def test_any_text_is_a_jid_or_not(text: str) -> None:
    try:
        jid = parse_jid(text)
    except BadJid:
        return
    assert parse_jid(str(jid)) == jid
