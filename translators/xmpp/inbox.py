"""What a desk says, on its way to the hub's intake: answers of CSRs, and news of texts that clients have.

The reader puts stanzas in and never waits; one task gives them to intake in batches, as big as the journal is slow, and
answers what intake refuses. Acceptance is silent. The inbox outlives a connection: what a CSR said before it fell
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
import trio

from hub.endpoint import Road
from hub.model import (
    Accepted,
    Arrival,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Rejected,
    TryLater,
    Verdict,
)
from hub.opt_out import ATTRIBUTE, REQUEST
from translators.xmpp import stanzas
from translators.xmpp.errors import BadJid
from translators.xmpp.jid import Jid
from translators.xmpp.stream import Element

BATCH = 500  # given to intake at once: where the store's group commit stops gaining
PUT_OFF_S = 1.0  # news that intake put off is told again after this
RECEIPTS_REMEMBERED = 65_536

log = structlog.get_logger("xmpp")


class Inbox:
    """See the module's head.

    Args:
        endpoint: the desk's name for the hub.
        road: the hub.
        size: stanzas that may wait.
        reply: sends a stanza to the desk, now or by the next connection.
        clock_us: now, in microseconds UTC.
        progressed: called whenever something left the inbox.

    Attributes:
        taken_in, refused: answers that the hub accepted; answers refused or put off.
        malformed: of the refused, those to what is no address.
        ignored: news that was told before, or of nothing.
        busy: True while intake has a batch.
    """

    def __init__(
        self,
        endpoint: str,
        road: Road,
        *,
        size: int,
        reply: Callable[[str], None],
        clock_us: Callable[[], int],
        progressed: Callable[[], None],
    ) -> None:
        self.taken_in = self.refused = self.malformed = self.ignored = 0
        self.busy = False
        self._endpoint = endpoint
        self._road = road
        self._size = size
        self._reply = reply
        self._clock_us = clock_us
        self._progressed = progressed
        self._waiting: list[tuple[Element, Jid]] = []
        self._received: dict[str, None] = {}  # texts that a client said it has, oldest first
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unwanted(self) -> int:
        """What came for nothing."""
        return self.refused + self.ignored

    def put_answer(self, stanza: Element, sender: Jid) -> None:
        """Take what a CSR wrote; a full inbox answers ``wait``."""
        if len(self._waiting) >= self._size:
            self.refused += 1
            self._reply(stanzas.build_refusal(stanza, TryLater()))
            return
        self._put(stanza, sender)

    def put_receipt(self, stanza: Element, sender: Jid) -> None:
        """Take news that a client has a text of ours, the first time.

        A bare JID with two clients answers twice, and a text that was sent again after a doubt is answered again.
        """
        marker = stanza.child(stanzas.RECEIVED)
        own = marker.get("id") if marker is not None else ""
        if not stanzas.is_stanza_id(own) or own in self._received or len(self._waiting) >= self._size:
            self.ignored += 1
            return
        if len(self._received) >= RECEIPTS_REMEMBERED:
            del self._received[next(iter(self._received))]
        self._received[own] = None
        self._put(stanza, sender)

    def put_failure(self, own: str, sender: Jid) -> None:
        """Take the news that a text of ours came back after its hand-over."""
        if stanzas.is_stanza_id(own) and len(self._waiting) < self._size:
            self._put(Element("message", {"type": "error", "id": own}), sender)

    async def run(self) -> None:
        """Give to intake what there is, for ever. Cancelled in a batch, the batch stays."""
        while True:
            if not self._waiting:
                self._filled = trio.Event()
                await self._filled.wait()
            await self._give()

    async def drain(self) -> None:
        """Give to intake everything that is in now."""
        while self._waiting:
            await self._give()

    def _put(self, stanza: Element, sender: Jid) -> None:
        self._waiting.append((stanza, sender))
        self._filled.set()

    async def _give(self) -> None:
        batch = self._waiting[:BATCH]
        arrivals: list[Arrival] = []
        given: list[tuple[Element, Jid]] = []
        malformed: list[Element] = []
        for stanza, sender in batch:
            try:
                arrivals.append(self._arrival(stanza, sender))
            except BadJid:
                malformed.append(stanza)
            else:
                given.append((stanza, sender))
        self.busy = True
        try:
            # Cancelled here, the batch stays in the inbox and is given again: better twice than never.
            verdicts = await self._road.receive(self._endpoint, arrivals) if arrivals else []
            del self._waiting[: len(batch)]
        finally:
            self.busy = False
        if malformed:
            self.malformed += len(malformed)
            log.info("answers to what is no address", endpoint=self._endpoint, number=len(malformed))
        for stanza in malformed:
            self.refused += 1
            self._reply(stanzas.build_refusal(stanza, Rejected(Reason.BAD_DESTINATION)))
        put_off = self._answer(given, verdicts)
        self._progressed()
        if put_off:
            self._waiting[:0] = put_off
            await trio.sleep(PUT_OFF_S)

    def _answer(self, given: list[tuple[Element, Jid]], verdicts: Sequence[Verdict]) -> list[tuple[Element, Jid]]:
        """Say what was refused. Returns: news put off; nobody would send it again."""
        put_off = []
        for (stanza, sender), verdict in zip(given, verdicts, strict=True):
            if isinstance(verdict, Accepted):
                self.taken_in += 1
            elif stanza.child_text("body"):
                self.refused += 1
                self._reply(stanzas.build_refusal(stanza, verdict))
            elif isinstance(verdict, TryLater):
                put_off.append((stanza, sender))
        return put_off

    def _arrival(self, stanza: Element, sender: Jid) -> Arrival:
        """What a stanza says, in the hub's words. Raises: BadJid."""
        if not stanza.child_text("body"):
            marker = stanza.child(stanzas.RECEIVED)
            own = marker.get("id") if marker is not None else stanza.get("id")
            state = ReceiptState.DELIVERED if marker is not None else ReceiptState.UNDELIVERABLE
            return Arrival(source="", destination="", receipt=Receipt(own, state, done_us=self._clock_us()))
        text = stanzas.read_text(stanza, sender)
        return Arrival(
            source=text.number,
            destination=text.customer,
            text=text.body,
            token=text.token,
            upstream_id=stanzas.upstream_id_of(text),
            # Without a request a sender still hears of failures: an error is not a receipt (RFC 6120 §8.3).
            receipt_wanted=ReceiptWanted.FINAL if text.receipt_requested else ReceiptWanted.FAILURE,
            attributes={"from": sender.bare, ATTRIBUTE: REQUEST} if text.asks_to_opt_in else {"from": sender.bare},
        )
