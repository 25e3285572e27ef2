"""To whom a customer's text goes (H23, H26). Pure.

The thread's CSR, when that is a JID of this desk; else the director. A message says who the CSR was when it was
journalled; a command that was done since says it better, so what commands said is remembered over what messages say. A
CSR that is not
there is passed over for a while: the director then sees a text of a designated thread and may transfer it.

Addresses are kept as they are written into an attribute, for the hot path.
"""

from __future__ import annotations

from collections.abc import Collection

from hub.model import Message
from translators.xmpp.errors import BadJid
from translators.xmpp.jid import Jid, parse_jid
from translators.xmpp.stream import escape_attribute

DESIGNATIONS_MAX = 100_000  # threads whose CSR is remembered over what the message said; about 10 MB
ADDRESSES_MAX = 10_000  # CSRs of one desk
ABSENT_US = 60_000_000  # after an error a CSR's texts go to the director for so long


class Addressing:
    """Knows for each text whom it is for.

    Args:
        director: the director.
        domains: whose users may be CSRs, in lower case.

    Attributes:
        director: the director, as an attribute.
    """

    def __init__(self, director: Jid, domains: Collection[str]) -> None:
        self.director = escape_attribute(str(director))
        self._domains = domains
        self._designated: dict[int, str] = {}  # thread id → address; empty: the CSR has none
        self._known: dict[str, str] = {}  # designation → as an attribute; empty: no JID of this desk
        self._absent: dict[str, int] = {}  # CSR's bare JID, as an attribute → until when

    def follow(self, director: Jid, domains: Collection[str]) -> None:
        """Another director, or other domains, from now on."""
        self.director = escape_attribute(str(director))
        self._domains = domains
        self._known.clear()

    def address_for(self, message: Message, now_us: int) -> str:
        """The JID for a customer's text, as an attribute."""
        designated = self._designated
        address = designated.get(message.thread_id) if designated else None
        if address is None:
            address = message.designation
        if not address:
            return self.director
        known = self._known.get(address)
        if known is None:
            known = self._learn(address)
        if not known or (self._absent and self._is_absent(known, now_us)):
            return self.director
        return known

    def remember(self, thread_id: int, address: str) -> None:
        """A thread was designated to a CSR with this address, empty when they have none."""
        designated = self._designated
        designated.pop(thread_id, None)
        if len(designated) >= DESIGNATIONS_MAX:
            del designated[next(iter(designated))]
        designated[thread_id] = address

    def forget(self, thread_id: int) -> None:
        """A thread was released."""
        self._designated.pop(thread_id, None)

    def absent(self, csr: Jid, now_us: int) -> None:
        """A text for a CSR came back because they are not there."""
        if len(self._absent) >= ADDRESSES_MAX:
            self._absent.clear()
        self._absent[escape_attribute(csr.bare)] = now_us + ABSENT_US

    def present(self, csr: Jid) -> None:
        """A CSR said that they are there."""
        self._absent.pop(escape_attribute(csr.bare), None)

    def _learn(self, address: str) -> str:
        """Whether a designation is a JID of this desk; a telephone, an email elsewhere are not."""
        try:
            jid = parse_jid(address)
            known = escape_attribute(str(jid)) if jid.node and jid.domain in self._domains else ""
        except BadJid:
            known = ""
        if len(self._known) >= ADDRESSES_MAX:
            self._known.clear()
        self._known[address] = known
        return known

    def _is_absent(self, known: str, now_us: int) -> bool:
        bare = known.partition("/")[0]
        until_us = self._absent.get(bare)
        if until_us is not None and until_us <= now_us:
            del self._absent[bare]
            return False
        return until_us is not None
