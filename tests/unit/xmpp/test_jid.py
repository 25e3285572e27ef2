"""JIDs and the telephone addresses in them."""

from __future__ import annotations

import pytest

from translators.xmpp.errors import BadJid
from translators.xmpp.jid import Jid, address_of, escape_node, number_of, parse_jid, unescape_node


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("desk.example", Jid("", "desk.example", "")),
        ("Alice@Desk.Example/Phone 1", Jid("alice", "desk.example", "Phone 1")),
        ("+16175551212@sms.example/+18005550100", Jid("+16175551212", "sms.example", "+18005550100")),
        ("a@b/c/d@e", Jid("a", "b", "c/d@e")),
    ],
)
def test_parse(text: str, expected: Jid) -> None:
    assert parse_jid(text) == expected


@pytest.mark.parametrize(
    "text", ["", "@b", "a@", ".", "a@b..", "\ud800@b", "a b@c", "a<b@c", "a@b c", "a@b/x\ny", "/x", "é" * 600 + "@b"]
)
def test_refuse(text: str) -> None:
    with pytest.raises(BadJid):
        parse_jid(text)


@pytest.mark.parametrize(
    ("address", "node"),
    # XEP-0106 §5.1
    [
        ("+16175551212", "+16175551212"),
        ("AT&T", "AT\\26T"),
        ("My Bank", "My\\20Bank"),
        ("d'artagnan", "d\\27artagnan"),
        ("/.fanboy", "\\2f.fanboy"),
        ("::foo::", "\\3a\\3afoo\\3a\\3a"),
        ("<foo>", "\\3cfoo\\3e"),
        ("user@host", "user\\40host"),
        ("c:\\net", "c\\3a\\net"),
        ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
        ("c:\\5commas", "c\\3a\\5c5commas"),
    ],
)
def test_escaping(address: str, node: str) -> None:
    assert escape_node(address) == node
    assert unescape_node(node) == address


def test_nothing_left_to_escape() -> None:
    assert escape_node("\x00 ") == "unknown"
    assert escape_node("") == "unknown"


@pytest.mark.parametrize("node", ["+16175551212", "6175551212", "40404"])
def test_telephone_addresses(node: str) -> None:
    assert address_of(node) == node


@pytest.mark.parametrize("node", ["", "bank", "+0123", "+1234567890123456", "1", "+", "+1617555x"])
def test_no_telephone_address(node: str) -> None:
    with pytest.raises(BadJid):
        address_of(node)


def test_a_clients_own_resource_is_no_number() -> None:
    assert number_of("+18005550100") == "+18005550100"
    assert number_of("gajim.ABC") == ""
    assert number_of("") == ""
