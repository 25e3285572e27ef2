"""What one desk is told. Pure.

The daemon makes it from the provisioned desk. Numbers that nobody sets have their reason here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from translators.xmpp.jid import parse_jid
from translators.xmpp.stream import MAX_STANZA_OCTETS

_US = 1_000_000


class DeskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One desk: a component link of one call centre.

    Attributes:
        name: the endpoint will be ``desk:<name>``.
        call_centre: the tenant.
        host, port: the XMPP server's component port.
        domain: the component's domain; no two connections may have the same (a server would split the answers over
            both).
        secret: what the server knows the component by.
        director: JID of the call centre's director.
        allowed_domains: whose users may text and command; empty: the director's domain only.
        server: JID that answers pings in the order of the stream; empty: the director's domain.
        receipt_on: ``"handover"``: a text is delivered when the server has it; ``"received"``: when the CSR's client
            says so (XEP-0184).
        window: texts given and not yet answered for, at most.
        max_stanza_octets: a bigger stanza from the server ends the stream.
        inbox: stanzas from the desk waiting for the journal; more are answered ``wait``.
        late_after_us: a text older than this carries the time at which it came (XEP-0203).
        gap_us, validity_us, max_attempts: see ``hub.endpoint.Endpoint``. A thread does not time out as a web chat
            does (H38): three days. H30's gap is the network's, not the desk's.
        ping_after_s: silence after which the server is pinged.
        pong_within_s: a server that answers no ping for so long is gone.
        connect_within_s: for the transport, TLS and handshake together.
        first_wait_s, longest_wait_s: back-off between connections, and between trials of an absent director.
        tls: an ``ssl.SSLContext`` to wrap the link in, or None for a private link (XEP-0114 itself has no TLS).
    """

    name: str
    call_centre: str
    domain: str
    secret: str
    director: str
    host: str = "127.0.0.1"
    port: int = 5347
    allowed_domains: tuple[str, ...] = ()
    server: str = ""
    receipt_on: str = "handover"
    window: int = 500
    max_stanza_octets: int = MAX_STANZA_OCTETS
    inbox: int = 10_000
    late_after_us: int = 10 * _US
    gap_us: int = 0
    validity_us: int = 3 * 86_400 * _US
    max_attempts: int = 16
    ping_after_s: float = 30.0
    pong_within_s: float = 30.0
    connect_within_s: float = 15.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    tls: Any = None

    def __post_init__(self) -> None:
        """Refuse what could never work.

        Raises:
            BadJid: ``director``, ``domain`` or ``server`` is no JID.
            ValueError: ``receipt_on`` is neither of its two words, or ``window`` is less than 1.
        """
        parse_jid(self.director)
        parse_jid(self.domain)
        if self.server:
            parse_jid(self.server)
        if self.receipt_on not in ("handover", "received"):
            raise ValueError(f"receipt_on is handover or received, not {self.receipt_on!r}")
        if self.window < 1:
            raise ValueError(f"window is 1 or more, not {self.window}")

    def __repr__(self) -> str:
        """Show which desk it is, and no secret."""
        return f"<DeskSettings {self.name!r} {self.domain}@{self.host}:{self.port}>"

    @property
    def domains(self) -> frozenset[str]:
        """The domains whose users may speak, in lower case."""
        return frozenset(d.lower() for d in self.allowed_domains) or frozenset((parse_jid(self.director).domain,))
