"""XML streams as the accepting side of XEP-0114 needs them, read without the hub's own parser. Pure.

Only what the hub writes and docs/reference/xmpp.md shows is understood. The parser is the standard library's, on a
stream that comes from our own hub over loopback: it is no example for strangers' XML.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.sax.saxutils import escape, quoteattr

COMPONENT_NS = "jabber:component:accept"
STREAMS_NS = "http://etherx.jabber.org/streams"
THREAD_NS = "urn:smshub:thread:1"
RECEIPTS_NS = "urn:xmpp:receipts"
PING_NS = "urn:xmpp:ping"

HANDSHAKE = f"{{{COMPONENT_NS}}}handshake"
MESSAGE = f"{{{COMPONENT_NS}}}message"
IQ = f"{{{COMPONENT_NS}}}iq"
PRESENCE = f"{{{COMPONENT_NS}}}presence"
BODY = f"{{{COMPONENT_NS}}}body"
ERROR = f"{{{COMPONENT_NS}}}error"
TOKEN = f"{{{THREAD_NS}}}token"
TRY_LATER = f"{{{THREAD_NS}}}try-later"
FAILED = f"{{{THREAD_NS}}}failed"
RECEIVED = f"{{{RECEIPTS_NS}}}received"
PING = f"{{{PING_NS}}}ping"


class NotXml(ValueError):
    """Octets that are no XML stream."""


class StanzaReader:
    """Cuts a stream into stanzas.

    Attributes:
        domain: what the stream's header asks for; empty until it came.
        is_over: the other side ended the stream.
    """

    def __init__(self) -> None:
        self.domain = ""
        self.is_over = False
        self._parser: Any = XMLPullParser(("start", "end"))
        self._depth = 0
        self._root: Element | None = None

    def receive(self, octets: bytes) -> Sequence[Element]:
        """Take octets. Returns: the stanzas that they complete. Raises: NotXml."""
        try:
            self._parser.feed(octets)
            # Some expats hold back what looks unfinished; a stanza that is whole must not wait for the next.
            if flush := getattr(self._parser, "flush", None):
                flush()
            events = list(self._parser.read_events())
        except ParseError as error:
            raise NotXml(str(error)) from error
        found: list[Element] = []
        for event, element in events:
            if event == "start":
                if not self._depth:
                    self._root = element
                    self.domain = element.get("to", "")
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 1 and self._root is not None:
                    found.append(element)
                    self._root.remove(element)  # or the stream would grow into one great document
                elif not self._depth:
                    self.is_over = True
        return found


def write_header(domain: str, stream_id: str) -> str:
    """The accepting side's header."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{COMPONENT_NS}' xmlns:stream='{STREAMS_NS}'"
        f" from={quoteattr(domain)} id='{stream_id}'>"
    )


def proof(stream_id: str, secret: str) -> str:
    """What a handshake must say. Source: XEP-0114 §3."""
    return hashlib.sha1((stream_id + secret).encode(), usedforsecurity=False).hexdigest()


def write_answer(own: str, sender: str, to: str, body: str, token: str) -> str:
    """A CSR's answer that asks for a receipt (docs/reference/xmpp.md §4)."""
    return (
        f"<message from={quoteattr(sender)} to={quoteattr(to)} id='{own}' type='chat'><body>{escape(body)}</body>"
        f"<token xmlns='{THREAD_NS}'>{escape(token)}</token><request xmlns='{RECEIPTS_NS}'/></message>"
    )


def write_pong(stanza: Element) -> str:
    """The answer to a ping."""
    return (
        f"<iq from={quoteattr(stanza.get('to', ''))} to={quoteattr(stanza.get('from', ''))}"
        f" id={quoteattr(stanza.get('id', ''))} type='result'/>"
    )


def write_refusal(stanza: Element) -> str:
    """The answer to a request that nobody here knows."""
    return (
        f"<iq from={quoteattr(stanza.get('to', ''))} to={quoteattr(stanza.get('from', ''))}"
        f" id={quoteattr(stanza.get('id', ''))} type='error'><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )


def write_conflict() -> str:
    """The end of a stream whose component is connected already. Source: RFC 6120 §4.9.3.3."""
    return "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"


def write_ping(own: str, sender: str, domain: str) -> str:
    """A ping of the component. Source: XEP-0199."""
    return f"<iq from={quoteattr(sender)} to={quoteattr(domain)} id='{own}' type='get'><ping xmlns='{PING_NS}'/></iq>"


def write_presence(sender: str, domain: str, *, there: bool) -> str:
    """A director's presence, for the component."""
    return (
        f"<presence from={quoteattr(sender)} to={quoteattr(domain)}{'' if there else ' type=' + repr('unavailable')}/>"
    )
