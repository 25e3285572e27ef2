"""Our stanzas, written and read. Pure. docs/reference/xmpp.md shows each of them, xmpp.xsd is their schema.

Written stanzas are text without namespace declarations for what the stream's default namespace covers. A text to the
desk is one
formatting operation: this is the hot path of everything that customers write.

Identity. A stanza's id is made of the message's id and of nothing else, so a text that is sent again after a doubt has
the same id and a client can see that it knows it. The desk's own id of an answer is unique for one sender only, and
receipts must go back to exactly who asked: so the hub's upstream id of an answer holds the sender, the address they
wrote to, and their id (``upstream_id_of``); it survives a restart, where a map in memory would not.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import msgspec

from hub.model import ELEMENT, Message, Reason, Receipt, ReceiptState, Rejected, TryLater
from translators.xmpp.errors import BadJid
from translators.xmpp.jid import Jid, address_of, escape_node, number_of, parse_jid
from translators.xmpp.stream import Element, escape_attribute, escape_text

THREAD_NS = "urn:smshub:thread:1"
STANZA_ERRORS_NS = "urn:ietf:params:xml:ns:xmpp-stanzas"
RECEIPTS_NS = "urn:xmpp:receipts"  # XEP-0184
STANZA_ID_NS = "urn:xmpp:sid:0"  # XEP-0359
DELAY_NS = "urn:xmpp:delay"  # XEP-0203
NICK_NS = "http://jabber.org/protocol/nick"  # XEP-0172
OOB_NS = "jabber:x:oob"  # XEP-0066
PING_NS = "urn:xmpp:ping"  # XEP-0199

TOKEN = f"{THREAD_NS} token"
RECEIVED = f"{RECEIPTS_NS} received"
REQUEST = f"{RECEIPTS_NS} request"
OPT_IN_REQUEST = f"{THREAD_NS} opt-in-request"

_SID = re.compile(r"m[0-9a-f]{1,16}")
_TOKEN_SYNTAX = re.compile(r"[a-z2-7]{26}")

# RFC 6120 §8.3.3: what each refusal is in XMPP's own words. The element of our namespace says it exactly.
REFUSALS: dict[Reason, tuple[str, str]] = {
    Reason.BAD_SOURCE: ("modify", "jid-malformed"),
    Reason.BAD_DESTINATION: ("modify", "jid-malformed"),
    Reason.NO_ROUTE: ("cancel", "remote-server-not-found"),
    Reason.NOT_ALLOWED: ("auth", "forbidden"),
    Reason.UNKNOWN_TOKEN: ("cancel", "item-not-found"),
    Reason.EXPIRED_TOKEN: ("cancel", "gone"),
    Reason.FOREIGN_TOKEN: ("auth", "forbidden"),
    Reason.TOO_LONG: ("modify", "policy-violation"),
    Reason.BAD_TEXT: ("modify", "not-acceptable"),
    Reason.NO_SPACE: ("wait", "resource-constraint"),
    Reason.OPTED_OUT: ("modify", "policy-violation"),  # it may be modified: by a request to opt in
    Reason.FILTERED: ("cancel", "policy-violation"),
    Reason.TOO_MUCH: ("wait", "policy-violation"),
}

# What a customer's telephone network said, in XMPP's words. States that are not final are no error.
FAILURES: dict[ReceiptState, tuple[str, str]] = {
    ReceiptState.EXPIRED: ("cancel", "remote-server-timeout"),
    ReceiptState.DELETED: ("cancel", "gone"),
    ReceiptState.UNDELIVERABLE: ("cancel", "recipient-unavailable"),
    ReceiptState.REJECTED: ("cancel", "not-acceptable"),
}


class TextFromDesk(msgspec.Struct, frozen=True, gc=False):
    """What a CSR wrote.

    Attributes:
        sender: who.
        to: the JID they wrote to, as given.
        id: their id of it, or empty.
        customer: the address of who shall get it.
        number: the call centre's address it shall come from; empty: the thread's.
        token: the thread's token, or empty.
        body: the text.
        receipt_requested: they want to know when it was delivered (XEP-0184).
        asks_to_opt_in: it is for somebody who is out, and asks whether they want texts again.
    """

    sender: Jid
    to: str
    id: str
    customer: str
    number: str
    token: str
    body: str
    receipt_requested: bool
    asks_to_opt_in: bool = False


class StanzaError(msgspec.Struct, frozen=True, gc=False):
    """Why a stanza came back. Source: RFC 6120 §8.3.

    Attributes:
        kind: ``cancel``, ``modify``, ``auth``, ``wait`` …
        condition: the defined condition.
    """

    kind: str
    condition: str


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Whose answer a receipt is about. See ``upstream_id_of``."""

    sender: str
    to: str
    id: str


def stanza_id(message_id: int) -> str:
    """The id of the stanza that carries a message; the same at every try."""
    return f"m{message_id:x}"


def is_stanza_id(text: str) -> bool:
    """Whether the text is spelt as one of our stanza ids."""
    return _SID.fullmatch(text) is not None


def upstream_id_of(text: TextFromDesk) -> str:
    """The hub's name of an answer: sender, address and id, apart by line feeds, which no JID can hold (RFC 7622)."""
    return f"{text.sender}\n{text.to}\n{text.id}"


def origin_of(upstream_id: str) -> Origin | None:
    """Read back what ``upstream_id_of`` wrote; None when it was not written so."""
    sender, _, rest = upstream_id.partition("\n")
    to, found, own = rest.partition("\n")
    return Origin(sender, to, own) if found and sender and to else None


def stamp(at_us: int) -> str:
    """A time as XEP-0082 writes it."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def customer_jid(customer: str, number: str, component: str) -> str:
    """A customer, as somebody who texted a number. Not escaped for XML."""
    return f"{escape_node(customer)}@{component}/{number}" if number else f"{escape_node(customer)}@{component}"


def build_text(message: Message, to: str, component: str, *, now_us: int, late_after_us: int, receipt: bool) -> str:
    """Write a customer's text for the desk.

    Args:
        to: JID, already escaped as an attribute.
        component: the component's domain, already escaped.
        now_us, late_after_us: the text carries when it came if that was longer ago than this.
        receipt: ask the client to say when it has it.
    """
    own = f"m{message.id:x}"
    source = message.source
    # A number needs no escaping of either kind; str.isdigit also takes other scripts' digits, which are as harmless.
    node = source if source[1:].isdigit() and source[0] == "+" else escape_attribute(escape_node(source))
    destination = message.destination
    resource = f"/{escape_attribute(destination)}" if destination else ""
    token = escape_text(message.token)
    news = message.thread_news
    tail = (
        _tail(message, now_us, late_after_us)
        if message.attributes or now_us - message.received_us > late_after_us
        else ""
    )
    marks = _marks(message) if news or message.attributes else "news='continued' channel='sms'"
    body = escape_text(message.text) if message.data is None else _binary_body(message.data)
    return (
        f"<message from='{node}@{component}{resource}' to='{to}' id='{own}' type='chat'><body>{body}</body>"
        f"<thread>{token}</thread><token xmlns='urn:smshub:thread:1' {marks}>{token}</token>"
        f"{_REQUEST if receipt else ''}<origin-id xmlns='urn:xmpp:sid:0' id='{own}'/>{tail}</message>"
    )


_REQUEST = f"<request xmlns='{RECEIPTS_NS}'/>"


def _marks(message: Message) -> str:
    """The attributes of the token element."""
    news, _, reason = message.thread_news.partition(":")
    marks = [f"news='{escape_attribute(news or 'continued')}'"]
    if reason:
        marks.append(f"reason='{escape_attribute(reason)}'")
    attributes = message.attributes
    marks.append(f"channel='{escape_attribute(attributes.get('channel', 'sms'))}'")
    marks.extend(
        f"{name}='{escape_attribute(attributes[name])}'" for name in ("product", "opt-out") if attributes.get(name)
    )
    if ELEMENT in attributes:
        marks.append(f"identification='{escape_attribute(attributes[ELEMENT])}'")
    return " ".join(marks)


def _tail(message: Message, now_us: int, late_after_us: int) -> str:
    """What only some texts have: when they came, the customer's name, media, octets that are no text."""
    pieces = []
    if now_us - message.received_us > late_after_us:
        pieces.append(f"<delay xmlns='{DELAY_NS}' stamp='{stamp(message.received_us)}'/>")
    attributes = message.attributes
    nick = attributes.get("nick")
    if nick:
        pieces.append(f"<nick xmlns='{NICK_NS}'>{escape_text(nick)}</nick>")
    description = attributes.get("media_description", "")
    described = f"<desc>{escape_text(description)}</desc>" if description else ""
    pieces.extend(
        f"<x xmlns='{OOB_NS}'><url>{escape_text(url)}</url>{described}</x>"
        for url in attributes.get("media_url", "").split()
    )
    return "".join(pieces)


def _binary_body(data: bytes) -> str:
    """Octets that are no text: a CSR sees how many and, in base64, which."""
    return f"[{len(data)} octets: {base64.b64encode(data).decode()}]"


def build_receipt(message: Message, component: str) -> str:
    """Write what became of a CSR's answer, for the client it came from.

    Returns: the stanza; empty when there is nothing to say (news that is not final, or an answer whose sender is
        unknown).
    """
    receipt = message.receipt
    if receipt is None or not receipt.state.is_final:
        return ""
    origin = origin_of(message.upstream_id) or origin_of(receipt.message_id)
    if origin is None:
        return ""
    own = stanza_id(message.id)
    sender = escape_attribute(origin.to or customer_jid(message.source, message.destination, component))
    head = f"<message from='{sender}' to='{escape_attribute(origin.sender)}'"
    answered = escape_attribute(origin.id)
    if receipt.state is ReceiptState.DELIVERED:
        return f"{head} id='{own}' type='chat'><received xmlns='{RECEIPTS_NS}' id='{answered}'/></message>"
    return f"{head} id='{answered}' type='error'>{_failed(receipt)}</message>"


def _failed(receipt: Receipt) -> str:
    kind, condition = FAILURES[receipt.state]
    return (
        f"<error type='{kind}'><{condition} xmlns='{STANZA_ERRORS_NS}'/>"
        f"<failed xmlns='{THREAD_NS}' state='{receipt.state.value}' error='{escape_attribute(receipt.error)}'/></error>"
    )


def build_ping(own: str, component: str, to: str) -> str:
    """Write a ping. Source: XEP-0199."""
    return f"<iq from='{component}' to='{to}' id='{own}' type='get'><ping xmlns='{PING_NS}'/></iq>"


def build_presence(sender: str, to: str, kind: str = "") -> str:
    """Write a presence without content; ``kind`` empty means available."""
    of_type = f" type='{kind}'" if kind else ""
    return f"<presence from='{escape_attribute(sender)}' to='{escape_attribute(to)}'{of_type}/>"


def build_result(request: Element, content: str = "") -> str:
    """Write the answer to an IQ."""
    head = f"<iq from='{escape_attribute(request.get('to'))}' to='{escape_attribute(request.get('from'))}'"
    rest = f" id='{escape_attribute(request.get('id'))}' type='result'"
    return f"{head}{rest}>{content}</iq>" if content else f"{head}{rest}/>"


def build_error(stanza: Element, kind: str, condition: str, specific: str = "", attributes: str = "") -> str:
    """Write an error that answers a stanza.

    Args:
        stanza: what is answered. Its content is not echoed: it may hold a customer's words.
        kind, condition: RFC 6120 §8.3.2, §8.3.3.
        specific: name of an element in our namespace, or empty.
        attributes: of that element, written.
    """
    own = stanza.get("id")
    with_id = f" id='{escape_attribute(own)}'" if own else ""
    exactly = f"<{specific} xmlns='{THREAD_NS}'{attributes}/>" if specific else ""
    return (
        f"<{stanza.name} from='{escape_attribute(stanza.get('to'))}' to='{escape_attribute(stanza.get('from'))}'"
        f"{with_id} type='error'><error type='{kind}'><{condition} xmlns='{STANZA_ERRORS_NS}'/>{exactly}</error>"
        f"</{stanza.name}>"
    )


def build_refusal(stanza: Element, verdict: Rejected | TryLater) -> str:
    """Write intake's refusal of an answer as the error that it is."""
    if isinstance(verdict, TryLater):
        return build_error(stanza, "wait", "resource-constraint", "try-later", f" after='{verdict.after_s:g}'")
    kind, condition = REFUSALS[verdict.reason]
    since = f" since='{stamp(verdict.since_us)}'" if verdict.since_us else ""
    return build_error(stanza, kind, condition, verdict.reason.value, since)


def read_text(stanza: Element, sender: Jid) -> TextFromDesk:
    """Read what a CSR wrote.

    The token is the token element's; without one, the thread's, if that is spelt as a token: a client that knows
    nothing of us repeats the thread of what it answers (XEP-0201 §4).

    Raises: BadJid: it is to nothing that has a telephone address.
    """
    to = stanza.get("to")
    recipient = parse_jid(to)
    token = ""
    given = stanza.child(TOKEN)
    if given is not None:
        token = given.text.strip().lower()
    else:
        thread = stanza.child_text("thread").strip()
        if _TOKEN_SYNTAX.fullmatch(thread) is not None:
            token = thread
    return TextFromDesk(
        sender,
        to,
        stanza.get("id"),
        address_of(recipient.node),
        number_of(recipient.resource),
        token,
        stanza.child_text("body"),
        stanza.child(REQUEST) is not None,
        stanza.child(OPT_IN_REQUEST) is not None,
    )


def read_error(stanza: Element) -> StanzaError:
    """Read why a stanza came back; what says nothing is ``cancel/undefined-condition``."""
    error = stanza.child("error")
    if error is None:
        return StanzaError("cancel", "undefined-condition")
    for child in error.children:
        space, _, local = child.name.rpartition(" ")
        if space == STANZA_ERRORS_NS and local != "text":
            return StanzaError(error.get("type", "cancel"), local)
    return StanzaError(error.get("type", "cancel"), "undefined-condition")


def read_sender(stanza: Element) -> Jid | None:
    """Who a stanza is from, None when that is no JID."""
    try:
        return parse_jid(stanza.get("from"))
    except BadJid:
        return None
