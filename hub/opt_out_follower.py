"""Behind the ledger: what waits for a customer who went out is ended, and what the command line did takes effect.

It follows the audit, whose numbers rise with every change, whoever made it:

1. Numbers that somebody went out of are watched from then on.
2. Texts that wait for that customer are ended with the reason ``opted-out``. One that is just being given to its
   endpoint cannot be called back; should it come back (refused for now, or the next of its parts is due), it is ended
   then. How far this has come is in the store: after a crash it goes on. Of several nodes each looks for a while: one
   that has not heard of the change yet may still take texts in for lanes that are here.
3. Changes that were made beside the daemon are told to the feed. (Those that came with a text were told with it.)

The daemon's own changes wake it at once, those of others are found within ``LOOK_S``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import structlog
import trio

from hub import feed, journal, operations, opt_out_ledger
from hub.model import Message
from hub.opt_out import ATTRIBUTE
from hub.opt_out_guard import OptOuts
from hub.opt_out_ledger import Noted, Waiting
from store import Store, StoreError, Transaction

LOOK_S = 1.0
PAGE = 200  # changes looked at together
WAITING_PAGE = 1_000  # texts looked at together
MOST_OPEN = 10_000  # changes that something may wait for, before more are read
LATE_US = 10_000_000  # so long texts may still come from nodes that had not heard of a change, where there are several
RECENT_US = 60_000_000  # an older change was heard of by all; the clocks of nodes may differ
MOST_LATE = 1_000  # changes that are looked at for so long: an import of thousands is not
SEEN, ENDED = "opt-out-seen", "opt-out-ended"  # names of its positions
REASON = "opted-out"

log = structlog.get_logger("hub.opt_out")

EndWaiting = Callable[[Sequence[journal.Standing], str], Awaitable[None]]


class OptOutFollower:
    """See the module's head.

    Args:
        store: the journal's store.
        opt_outs: what is known in memory; it is told of changes.
        clock: now in microseconds.
        end_waiting: ends texts that wait for a reason, but for those that are just being given.
        tells: whether it is this node that tells the feed.
    """

    def __init__(
        self,
        store: Store,
        opt_outs: OptOuts,
        clock: Callable[[], int],
        end_waiting: EndWaiting,
        tells: Callable[[], bool],
    ) -> None:
        self._store = store
        self._opt_outs = opt_outs
        self._clock = clock
        self._end_waiting = end_waiting
        self._read = 0  # changes up to here were read
        self._ended = 0  # and up to here, nothing waits any more
        # Changes by the audit's number, and whose: those whose texts nobody has looked at yet, and those of whom
        # something was found, in the order in which they are looked at again.
        self._new: dict[int, str] = {}
        self._again: dict[int, str] = {}
        self._late_until_us: dict[int, int] = {}  # by the audit's number, where other nodes take texts in as well
        self._ended_name = f"{ENDED}:{store.node}" if store.is_shared else ENDED
        self._is_behind_others = False
        self._tells = tells
        self._changed = trio.Event()
        opt_outs.changed = self._wake

    def _wake(self) -> None:
        self._changed.set()

    def look_again(self) -> None:
        """Endpoints have come here from another node, which may not have ended all that waited there."""
        self._is_behind_others = True
        self._wake()

    async def load(self) -> None:
        """Read what the ledger says at the start. Until then every text to a customer is looked up."""

        def work(tx: Transaction) -> tuple[set[str], int]:
            return opt_out_ledger.senders(tx), opt_out_ledger.position(tx, self._ended_name)

        senders, self._ended = await self._store.read(work)
        self._read = self._ended
        self._opt_outs.load(senders)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                busy = await self.step()
            except StoreError as error:
                log.warning("the store refused, opt-outs are followed again", error=type(error).__name__)
                busy = False
            if not busy:
                with trio.move_on_after(LOOK_S):
                    await self._changed.wait()
            self._changed = trio.Event()

    def spares(self, tx: Transaction, message: Message) -> bool:
        """Whether a dead letter may not be sent again: who it is to is out."""
        if ATTRIBUTE in message.attributes:
            return False
        number = opt_out_ledger.number_of_thread(tx, message.thread_id) if message.thread_id else ""
        return self._opt_outs.are_out(tx, [(message.source, number, message.call_centre, message.destination)])[0]

    async def step(self) -> bool:
        """Look once. Returns: whether there are changes that nobody has looked at yet."""
        fresh: list[Noted] = []
        if self._is_behind_others:
            self._read = min(self._read, await self._store.read(_least))
            self._is_behind_others = False
        if len(self._new) + len(self._again) < MOST_OPEN:
            fresh = await self._store.read(lambda tx: opt_out_ledger.changes_after(tx, self._read, PAGE))
        if fresh:
            gone_out = [change for change in fresh if change.action == "out"]
            self._opt_outs.learn(change.number for change in gone_out)
            # A write behind all that intake gave the writer unwatched: what waits is looked for after it.
            await self._store.transact(lambda tx: self._tell(tx, fresh) if self._tells() else None)
            self._new.update((change.id, change.customer) for change in gone_out)
            if self._store.is_shared:
                self._expect_late(gone_out)
            self._read = fresh[-1].id
        changes = self._new or self._again
        looked_at = list(islice(changes.items(), PAGE))
        found = await self._end_what_waits(list(dict.fromkeys(customer for _, customer in looked_at)))
        for number, customer in looked_at:
            del changes[number]
            if customer in found or (self._late_until_us and self._clock() < self._late_until_us.get(number, 0)):
                self._again[number] = customer
            else:
                self._late_until_us.pop(number, None)
        ended_up_to = min((*self._new, *self._again), default=self._read + 1) - 1
        if ended_up_to != self._ended:
            await self._store.transact(lambda tx: feed.advance(tx, self._ended_name, ended_up_to))
            self._ended = ended_up_to
        return bool(self._new) or len(fresh) == PAGE

    def _expect_late(self, changes: Sequence[Noted]) -> None:
        """Texts may still come from nodes that have not heard of these."""
        now_us = self._clock()
        recent = [change.id for change in changes if change.at_us > now_us - RECENT_US]
        room = MOST_LATE - len(self._late_until_us)
        self._late_until_us.update(dict.fromkeys(recent[: max(room, 0)], now_us + LATE_US))

    def _tell(self, tx: Transaction, fresh: Sequence[Noted]) -> None:
        """Tell the feed of changes that nobody has told of yet. May run more than once."""
        seen = opt_out_ledger.position(tx, SEEN)
        unseen = [change for change in fresh if change.id > seen]
        events = [
            (f"opted-{change.action}", change.id)
            for change in unseen
            if change.how != "keyword" and change.action != "override"
        ]
        if events:
            tx.write(feed.outbox(self._store, self._clock(), events))
        if unseen:
            feed.advance(tx, SEEN, unseen[-1].id)

    async def _end_what_waits(self, customers: Sequence[str]) -> set[str]:
        """End texts to customers who went out. Returns: those of whom there were some: to be looked at again."""
        found: set[str] = set()
        if customers and await self._end_page(customers, 0, found):
            for customer in customers:  # more than a page: each alone, page by page
                last_id = 0
                while last_id := await self._end_page([customer], last_id, found):
                    pass
        return found

    async def _end_page(self, customers: Sequence[str], after_id: int, found: set[str]) -> int:
        """End those of a page of texts that their recipients do not want.

        Args:
            customers: whose.
            after_id: of one customer: the page after this id.
            found: gets the customers of whom there were some.

        Returns: the last id of a full page, 0 when there are no more.
        """

        def work(tx: Transaction) -> tuple[list[Waiting], list[journal.Standing]]:
            waiting = opt_out_ledger.waiting_for(tx, customers, after_id, WAITING_PAGE)
            out = self._opt_outs.are_out(tx, [(w.source, w.number, w.call_centre, w.customer) for w in waiting])
            ids = [text.message_id for text, is_out in zip(waiting, out, strict=True) if is_out]
            return waiting, operations.standings(tx, ids) if ids else []

        waiting, standings = await self._store.read(work)
        # The hub's own answers, and the desk's one request, go to who is out.
        standings = [standing for standing in standings if ATTRIBUTE not in standing.message.attributes]
        if standings:
            await self._end_waiting(standings, REASON)
            found.update(standing.message.destination for standing in standings)
        return waiting[-1].message_id if len(waiting) == WAITING_PAGE else 0


def _least(tx: Transaction) -> int:
    """Up to where all nodes have done what is to be done."""
    return min(opt_out_ledger.position(tx, SEEN), opt_out_ledger.least_position(tx, ENDED))
