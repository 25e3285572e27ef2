"""What a component and the numbers on it answer about themselves: presence, service discovery, ping. Pure.

Numbers have no client of their own, so the component speaks for each: without an answer to a presence probe a number
would look offline and some clients would not let one write to it.

Source: RFC 6121 §3 and §4, XEP-0030, XEP-0199, XEP-0114.
"""

from __future__ import annotations

from translators.xmpp.jid import Jid
from translators.xmpp.stanzas import (
    DELAY_NS,
    NICK_NS,
    OOB_NS,
    PING_NS,
    RECEIPTS_NS,
    STANZA_ID_NS,
    THREAD_NS,
    build_error,
    build_presence,
    build_result,
)
from translators.xmpp.stream import Element

INFO_NS = "http://jabber.org/protocol/disco#info"
ITEMS_NS = "http://jabber.org/protocol/disco#items"

_FEATURES = (INFO_NS, ITEMS_NS, PING_NS, RECEIPTS_NS, STANZA_ID_NS, DELAY_NS, NICK_NS, OOB_NS, THREAD_NS)
_FEATURE_ELEMENTS = "".join(f"<feature var='{feature}'/>" for feature in sorted(_FEATURES))
# https://xmpp.org/registrar/disco-categories.html: a gateway to SMS, and a client that is a telephone.
_GATEWAY = f"<query xmlns='{INFO_NS}'><identity category='gateway' type='sms' name='SMS'/>{_FEATURE_ELEMENTS}</query>"
_TELEPHONE = f"<query xmlns='{INFO_NS}'><identity category='client' type='sms'/>{_FEATURE_ELEMENTS}</query>"
_NO_ITEMS = f"<query xmlns='{ITEMS_NS}'/>"


def answer_iq(iq: Element, recipient: Jid) -> str:
    """Answer a get or set that is no command.

    Returns: a result or an error; a stanza in any case, for RFC 6120 §8.2.3 leaves no IQ unanswered.
    """
    if len(iq.children) != 1 or not iq.get("id"):
        return build_error(iq, "modify", "bad-request")
    query = iq.children[0]
    if iq.get("type") == "get":
        if query.name == f"{PING_NS} ping":
            return build_result(iq)
        if query.name in (f"{INFO_NS} query", f"{ITEMS_NS} query"):
            if query.get("node"):
                return build_error(iq, "cancel", "item-not-found")
            if query.name == f"{ITEMS_NS} query":
                return build_result(iq, _NO_ITEMS)
            return build_result(iq, _TELEPHONE if recipient.node else _GATEWAY)
    return build_error(iq, "cancel", "service-unavailable")


def answer_presence(presence: Element) -> str:
    """Answer a presence: a number is always there, and anyone allowed may know it. Returns: stanzas, or empty."""
    kind = presence.get("type")
    own, other = presence.get("to").partition("/")[0], presence.get("from")
    bare = other.partition("/")[0]
    if kind == "probe":
        return build_presence(own, other)
    if kind == "subscribe":
        return build_presence(own, bare, "subscribed") + build_presence(own, bare)
    if kind == "unsubscribe":
        return build_presence(own, bare, "unsubscribed")
    return ""
