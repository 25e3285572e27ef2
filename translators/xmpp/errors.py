"""What can go wrong with an XMPP stream, in attributes."""

from __future__ import annotations


class XmppError(Exception):
    """Root of this package's errors."""


class StreamError(XmppError):
    """The stream is over: one side broke the protocol, or said that the other did.

    Attributes:
        condition: the condition's element name (``"not-well-formed"``, ``"policy-violation"``, ``"conflict"``…).
        clause: what was wrong, in words of the standard; never content of a stanza.
        remote: True when the other side said it, False when this side found it.

    Source: RFC 6120 §4.9.
    """

    def __init__(self, condition: str, clause: str = "", *, remote: bool = False) -> None:
        super().__init__(f"{condition}{f' ({clause})' if clause else ''}{' said by the peer' if remote else ''}")
        self.condition = condition
        self.clause = clause
        self.remote = remote


class BadJid(XmppError):
    """An address that is no JID, or a JID that names no telephone address."""


class CommandError(XmppError):
    """A desk's command cannot be done; it becomes a typed stanza error.

    Attributes:
        kind: ``cancel``, ``modify``, ``auth`` or ``wait``.
        condition: the defined condition of RFC 6120 §8.3.3.
        specific: the element of our own namespace that says it exactly.
    """

    def __init__(self, kind: str, condition: str, specific: str) -> None:
        super().__init__(f"{specific} ({kind}/{condition})")
        self.kind = kind
        self.condition = condition
        self.specific = specific
