"""JIDs, and telephone addresses as JIDs. Pure.

A customer is ``+16175551212@<component>``; the resource is the number that was texted. ``+`` and digits need no
escaping. Alphanumeric senders ("AT&T", "My Bank") are escaped as XEP-0106 says. Servers fold the case of a local part
(RFC 7622 §3.3), so such a sender comes back in lower case; one cannot text it anyway.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from translators.xmpp.errors import BadJid

MAX_PART_OCTETS = 1023  # RFC 7622 §3.1
MAX_ADDRESS = 20  # characters of a telephone address: 15 digits and a plus (E.164 §6), or an address of SMPP (20 + NUL)

_ESCAPES = {
    " ": "\\20",
    '"': "\\22",
    "&": "\\26",
    "'": "\\27",
    "/": "\\2f",
    ":": "\\3a",
    "<": "\\3c",
    ">": "\\3e",
    "@": "\\40",
    "\\": "\\5c",
}
_UNESCAPES = {code[1:]: character for character, code in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\(20|22|26|27|2f|3a|3c|3e|40|5c)")
_MUST_ESCAPE = re.compile(r"""[ "&'/:<>@]|\\(?=20|22|26|27|2f|3a|3c|3e|40|5c)""")
_PLAIN = re.compile(r"\+?[0-9]{1,20}").fullmatch
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_BAD = re.compile("[\x00-\x20\"&'/:<>@\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}|[0-9]{2,15}")


class Jid(msgspec.Struct, frozen=True, gc=False):
    """An address of XMPP: ``node@domain/resource``; node and domain in lower case."""

    node: str
    domain: str
    resource: str

    @property
    def bare(self) -> str:
        """Without the resource."""
        return f"{self.node}@{self.domain}" if self.node else self.domain

    def __str__(self) -> str:
        return f"{self.bare}/{self.resource}" if self.resource else self.bare


@lru_cache(maxsize=16_384)
def parse_jid(text: str) -> Jid:
    """Read a JID.

    Raises: BadJid.
    """
    rest, _, resource = text.partition("/")
    node, at, domain = rest.lower().rpartition("@")
    domain = domain.removesuffix(".")  # RFC 7622 §3.2.1
    if (
        not domain
        or domain[-1] == "."
        or (at and not node)
        or _BAD.search(node)
        or _BAD.search(domain)
        or _CONTROL.search(resource)
    ):
        raise BadJid(f"not a JID: {text!r}")
    if max(len(node.encode()), len(domain.encode()), len(resource.encode())) > MAX_PART_OCTETS:
        raise BadJid("a part of the JID is longer than 1,023 octets")
    return Jid(node, domain, resource)


def escape_node(address: str) -> str:
    """Write an address as the local part of a JID. Source: XEP-0106 §4.2.

    Control characters, which no local part may hold, are left out; an address of which nothing is left is ``unknown``.
    """
    if _PLAIN(address):
        return address
    # XEP-0106 §4.1: a local part neither begins nor ends with an escaped space.
    cleaned = _CONTROL.sub("", address).strip(" ")
    return _MUST_ESCAPE.sub(lambda match: _ESCAPES[match.group()], cleaned) or "unknown"


def unescape_node(node: str) -> str:
    """Read the local part of a JID as an address. Source: XEP-0106 §4.2."""
    return _ESCAPED.sub(lambda match: _UNESCAPES[match.group(1)], node)


def address_of(node: str) -> str:
    """The telephone address that a local part names, for somebody who wants to text it.

    Raises: BadJid: it is neither ``+`` and 2 to 15 digits nor 2 to 15 digits (a short code or a national number).
    """
    if _NUMBER.fullmatch(node) is None:
        raise BadJid(f"names no telephone address: {node!r}")
    return node


def number_of(resource: str) -> str:
    """The call centre's address that a resource names; empty when it names none (a client's own resource)."""
    return resource if len(resource) <= MAX_ADDRESS and _NUMBER.fullmatch(resource) is not None else ""
