"""Dispatch: one for each endpoint. It keeps the lanes fed from the store and the endpoint fed from the lanes.

Rules:

1. **Reserve before the commit.** Intake reserves a place in memory, gives out ids and submits its write without a pause
   in between: order of ids = order of commits = order in the lane.
2. **Memory is bounded.** At most ``heads`` entries are held. When there is no place, the endpoint is *behind*: all
   texts that come stay in the store until a scan, in order of id from the cursor, has caught up. While behind, nothing
   new enters by intake, so nothing overtakes. What lies at or before the cursor is in memory, in a lane marked
   ``more``, not due yet, or finished. Under steady traffic something is always on its way to the journal: when only
   that is missing, arrivals are asked to wait the few milliseconds (``admission``) until it has been read.
3. **One deep lane starves no other.** A lane holds at most ``DEPTH`` entries; what lies beyond stays in the store, and
   is read lane by lane when that lane runs dry.
4. **A part is on the wire only while its row says SUBMITTING.** Claims are committed before delivery; an entry that
   could go at once when it came was born claimed, which saves a write.
5. **Receipts come only by scan**, with a cursor of their own. The writer makes them (and gives them their ids) in the
   transaction of what they tell of, so nothing but the store knows their order.
6. **Nothing is read twice.** A row read from the store is dropped when its entry is held, or went out of memory while
   the read ran.
7. **What another node journals is visited.** Its bell names the first and the last of the ids; they are read at once,
   or, when memory has not seen all that was there before them, by a scan that goes back to them (docs/discussion/
   many-nodes.md). Nothing is given while this node's hold on its leases is stale.
8. **Who waits long waits in the store**: texts that are not due yet always; refused ones (with all of their lane), and
   those of a number whose gap many others wait for, when memory is half full. A thousand handsets that are switched
   off, or one number's campaign, must not stop a carrier's traffic.
9. **What is here goes before what comes.** While an endpoint takes a batch in a breath and another batch is ready for
   it, the hub itself is the narrow place, and arrivals wait for a moment (``admission``): let in, they would only push
   others out of memory and into the store, to be claimed and read by themselves. A slow endpoint's never wait.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
import trio

from hub import journal
from hub.cursors import Alarm, Cursor
from hub.endpoint import Endpoint
from hub.errors import Unsplittable
from hub.grips import Grips
from hub.lanes import Lane, Lanes
from hub.model import Kind, Message, Part, State
from hub.queued import Queued
from hub.tempo import Tempo
from store import Store, StoreError, node_of

# long because: one loop and what it keeps in step; cursors, lanes, grips and entries stand apart already.

HEADS = 10_000  # entries held in memory for each endpoint; about 1 KB each
DEPTH = 32  # entries held of one lane
SCAN_PAGE = 2_000  # rows a scan reads at once
BATCH = 1_000  # parts given to an endpoint at once
SLEEP_US = 1_000_000  # a shorter wait is not worth a reading
SLEEPING_LANES = 8  # times ``heads``: a sleeping lane costs half as much as an entry
ADMISSION_S = 0.25  # how long arrivals wait at most for a scan to catch up
BREATH_S = 0.1  # how long arrivals wait at most for what is before them; an endpoint that takes a batch in it is swift
STORE_RETRY_S = 0.5
VISITS = 1_000  # batches of other nodes that wait to be read one by one

log = structlog.get_logger("hub.dispatch")


Finish = Callable[["Dispatcher", list[tuple[Queued, str]]], Awaitable[None]]


def always() -> bool:
    """A node that is alone holds what it has for as long as it lives."""
    return True


def _is_busy(entry: Queued) -> bool:
    """Whether the entry was taken from its lane: it is on the wire, or what became of it is on its way to its row."""
    lane = entry.lane
    return lane is None or (lane.busy and lane.head is entry)


class Dispatcher:
    """Feeds one endpoint.

    Args:
        endpoint: the endpoint.
        store: the journal's store.
        clock: now in microseconds.
        finish: journals the end of entries that are not given at all (expired, cannot be carried), each with its
            reason, and calls ``ended`` for them.
        heads: entries held in memory.
        hold_in_doubt: see ``hub.hub.Hub.attach``.
        may_give: whether this node may give anything to its endpoints now.
    """

    is_here = True

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        clock: Callable[[], int],
        finish: Finish,
        heads: int = HEADS,
        hold_in_doubt: bool = False,
        may_give: Callable[[], bool] = always,
    ) -> None:
        self.hold_in_doubt = hold_in_doubt
        self._may_give = may_give
        self.endpoint = endpoint
        self.name = endpoint.name
        self.deliver = endpoint.deliver  # somebody who watches may stand between
        self._paced = endpoint.source_gap_us > 0
        self.lanes: Lanes[Queued] = Lanes(endpoint.gap_us, endpoint.source_gap_us)
        self.held: dict[int, Queued] = {}
        self.resumed_in_doubt = 0
        self._store = store
        self._clock = clock
        self._finish = finish
        self._heads = heads
        self._seized = 0  # places of the endpoint's room promised to entries on their way to the journal
        self._texts = Cursor()
        self._receipts = Cursor()
        self._left_to_lane: dict[int, Lane] = {}  # rows on their way that only a lane's refill will find
        self._left_until_due: dict[int, int] = {}  # rows on their way that are not due: id → when they are
        self._visits: list[tuple[int, int]] = []  # first and last id of what other nodes have journalled
        self._alarm = Alarm()
        self._dry: list[Lane] = []
        self._replaying: set[int] = set()
        self._condemned: dict[int, str] = {}  # messages that are ended should they come back, and why
        self.grips = Grips()
        self._gone_while_reading: set[int] | None = None
        self._reading = 0  # entries that may come of the reading under way
        self._receipts_first = False
        self._catching_up: trio.Event | None = None
        self._relieved: trio.Event | None = None
        self._tempo = Tempo(BATCH, round(BREATH_S * 1e6))
        self._wakeup = trio.Event()
        self._running = trio.CancelScope()
        self.is_over = False

    # --- intake's side -----------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """True while texts wait in the store that memory has not seen."""
        return self._texts.behind

    def reserve(
        self, message_id: int, message: Message | None, source: str, destination: str, due_us: int, now_us: int
    ) -> Queued | None:
        """Find a place for a text that is about to be journalled.

        Args:
            message_id: its id.
            message: the message, or None when the writer will complete it (set it before ``commit_done``).
            source, destination: its lane.
            due_us: not before this time, 0 for at once; a text that is not due is left to the store.
            now_us: now.

        Returns: its entry, ``claimed`` when its row shall say SUBMITTING; None when it is left to the store.
        """
        texts, lanes = self._texts, self.lanes
        if due_us > now_us:
            self._left_until_due[message_id] = due_us
            return None
        if texts.resuming or texts.on_the_way or texts.at < texts.tail or lanes.size + self._reading >= self._heads:
            texts.on_the_way += 1
            return None
        if message_id > texts.at:  # less where another node's clock is ahead
            texts.at = message_id
        key = (source, destination)
        lane = lanes.lane(key)
        if self._paced and self._is_crowded(source):
            if lane is None:
                lane = lanes.rest(key, source, now_us)
            lane.more = True
        if lane is not None and (lane.more or len(lane) >= DEPTH):
            lane.more = True
            lane.on_the_way += 1
            lane.left += 1
            self._left_to_lane[message_id] = lane
            return None
        entry = Queued(message_id, message)
        self.held[message_id] = entry
        lanes.push(key, entry, source)
        if self._seized < self.endpoint.room() and lanes.seize(entry, now_us):
            entry.claimed = entry.seized = True
            self._seized += 1
        return entry

    def _is_crowded(self, source: str) -> bool:
        """Whether new texts of a source are left to the store: they would only take the place of others'."""
        lanes = self.lanes
        return (
            lanes.size > self._heads // 2 and lanes.is_crowded(source) and lanes.sleeping < SLEEPING_LANES * self._heads
        )

    def commit_done(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """The journal has what was reserved: ``entries`` in memory, ``left`` (ids) in the store only."""
        if left:
            self._settle_left(left, committed=True)
        parts: list[Part] = []
        room = self.endpoint.room() if entries and self._may_give() else 0
        for entry in entries:
            if not entry.seized:
                self.lanes.release(entry, now_us)
                continue
            entry.seized = entry.held = False
            self._seized -= 1
            part = None
            if len(parts) < room:
                try:
                    part = self._part(entry)
                except Unsplittable:  # the loop will find out again, and end it
                    part = None
            if part is None:
                self.lanes.again(entry, now_us, now_us)
            else:
                self.lanes.submitted(entry, now_us)
                entry.flying = True
                parts.append(part)
        if parts:
            self._tempo.took(len(parts), now_us)
            self.deliver(parts)
        if len(parts) < len(entries):
            self._wakeup.set()

    def commit_failed(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """The journal does not have what was reserved: forget it."""
        self._settle_left(left, committed=False)
        for entry in entries:
            if entry.seized:
                self._seized -= 1
            self.ended(entry, now_us)

    def commit_doubtful(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """Nobody knows whether the journal has what was reserved: forget it, and let the scan look."""
        ids = [*(entry.id for entry in entries), *left]
        until_due = [(i, self._left_until_due[i]) for i in left if i in self._left_until_due]
        self.commit_failed(entries, left, now_us)
        self._texts.rewind(min(ids))
        for message_id, due_us in until_due:
            self._alarm.note(message_id, due_us)

    async def admission(self) -> None:
        """Wait until arrivals may be reserved for: at once, but for the moments that rules 2 and 9 tell of."""
        if self._catching_up is not None:
            with trio.move_on_after(ADMISSION_S):
                await self._catching_up.wait()
        elif self._is_outrun():
            if self._relieved is None:
                self._relieved = trio.Event()
            with trio.move_on_after(BREATH_S):
                await self._relieved.wait()

    @property
    def must_wait(self) -> bool:
        """Whether ``admission`` would wait."""
        return self._catching_up is not None or self._is_outrun()

    def _is_outrun(self) -> bool:
        return self.lanes.ready >= BATCH and self._tempo.is_swift(self._clock())

    def receipts_made(self, first_id: int, last_id: int) -> None:
        """The journal has receipts for this endpoint, with ids between these, both included."""
        self._left_to_scan(self._receipts, first_id, last_id)
        self._wakeup.set()

    def _left_to_scan(self, cursor: Cursor, first_id: int, last_id: int) -> None:
        if self._store.is_shared:
            cursor.came(first_id, last_id)
        else:  # ids rise from commit to commit: what a scan has gone beyond, it has seen
            cursor.tail = max(cursor.tail, last_id)

    def journalled_elsewhere(self, kind: Kind, first_id: int, last_id: int) -> None:
        """Another node has journalled messages for this endpoint: those of its ids between two, both included."""
        if kind is Kind.RECEIPT:
            self._receipts.rewind(first_id, last_id)
        elif self._texts.behind or len(self._visits) >= VISITS:
            self._texts.rewind(first_id, last_id)
        else:
            self._visits.append((first_id, last_id))
        self._wakeup.set()

    def receipts_doubtful(self) -> None:
        """Nobody knows whether the journal has receipts for this endpoint: look."""
        self._receipts.doubtful = True
        self._wakeup.set()

    def _settle_left(self, left: Sequence[int], *, committed: bool) -> None:
        texts = self._texts
        for message_id in left:
            lane = self._left_to_lane.pop(message_id, None)
            due_us = self._left_until_due.pop(message_id, 0)
            if due_us:
                if committed:
                    self._alarm.note(message_id, due_us)
            elif lane is None:
                texts.on_the_way -= 1
                if committed:
                    self._left_to_scan(texts, message_id, message_id)
            else:
                lane.on_the_way -= 1
                if lane.head is None and not lane.asleep:
                    self._dry.append(lane)
        self._wakeup.set()

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to do."""
        self._wakeup.set()

    def ended(self, entry: Queued, now_us: int) -> None:
        """The message is finished with, and its row says so."""
        self.held.pop(entry.id, None)
        if self._condemned:
            self._condemned.pop(entry.id, None)
        entry.flying = False
        if self._gone_while_reading is not None:
            self._gone_while_reading.add(entry.id)
        dry = self.lanes.done(entry, now_us)
        if dry is not None:
            self._dry.append(dry)
        self._wakeup.set()

    def goes_on(self, entry: Queued, at_us: int, now_us: int) -> None:
        """The message has a part to send, the same or the next, and its row says so."""
        entry.flying = False
        self.lanes.again(entry, at_us, now_us)
        if at_us - now_us >= SLEEP_US and not entry.claimed and self.lanes.size > self._heads // 2:
            self._put_to_sleep(entry, at_us)
        self._wakeup.set()

    def _put_to_sleep(self, entry: Queued, until_us: int) -> None:
        """Let the lane of a head that waits be in the store alone."""
        lane = entry.lane
        if lane is None or self.lanes.sleeping >= SLEEPING_LANES * self._heads:
            return
        if lane.tail and any(behind.held for behind in lane.tail):
            return
        for gone in self.lanes.sleep(lane.key, until_us):
            del self.held[gone.id]
            if self._gone_while_reading is not None:
                self._gone_while_reading.add(gone.id)

    def keep_to_settings(self) -> None:
        """The endpoint has other gaps, or cuts texts in another way. What was begun goes on as it was cut."""
        endpoint = self.endpoint
        self._paced = endpoint.source_gap_us > 0
        self.lanes.keep_to(endpoint.gap_us, endpoint.source_gap_us)
        for entry in self.held.values():
            if not (entry.next_part or entry.flying or entry.doubtful):
                entry.payloads = None
        self._wakeup.set()

    def hold(self, heads: int) -> None:
        """Hold at most so many entries from now on."""
        self._heads = heads
        self._wakeup.set()

    # --- the end ---------------------------------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way: not to the journal, not on the wire, not in somebody's hands."""
        left = self._texts.on_the_way or self._left_to_lane or self._left_until_due or self._replaying
        if left or self.grips or self._seized:
            return False
        return not any(entry.held or entry.flying or _is_busy(entry) for entry in self.held.values())

    def stop(self) -> None:
        """Feed the endpoint no more."""
        self.is_over = True
        self._running.cancel()

    def unsent(self) -> list[tuple[Any, ...]]:
        """Rows of ``journal.move_message`` for what is claimed and not on the wire, when no session is left.

        Without them an orderly restart would find all of it in doubt, though nothing of it has gone out.
        """
        return [
            (entry.id, State.QUEUED.value, entry.next_part, entry.attempts, entry.in_doubt, 0, 0, "")
            for entry in self.held.values()
            if entry.claimed and not entry.held and not entry.doubtful and not _is_busy(entry)
        ]

    def put_down(self, message_ids: Sequence[int]) -> None:
        """The rows of these, which ``unsent`` answered, say that they are not on the wire."""
        for message_id in message_ids:
            entry = self.held.get(message_id)
            if entry is not None:
                entry.claimed = False

    # --- the operator's side -----------------------------------------------------------------------------------------

    def begin_replay(self, message_id: int) -> None:
        """A dead letter is about to be queued again: the scan is to leave it alone."""
        self._replaying.add(message_id)

    def end_replay(self, standing: journal.Standing | None, message_id: int) -> None:
        """The journal has it queued (or, with None, has not): it stands alone in its lane."""
        self._replaying.discard(message_id)
        if standing is None or message_id in self.held:
            return
        if self.lanes.size < self._heads:
            self._enter(message_id, standing)
        else:
            self._texts.rewind(message_id)
        self._wakeup.set()

    def take_aside(self, standing: journal.Standing) -> Queued:
        """An entry, never given, of what lies in the store only and is to be ended: no scan loads it. Read it again!"""
        entry = Queued(standing.message.id, standing.message)
        entry.stands(standing)
        self.held[entry.id] = entry
        self.lanes.push(entry.id, entry)
        return entry

    def condemn(self, message_id: int, reason: str) -> None:
        """What is just being given cannot be called back: should it come back, it is ended instead of given again."""
        if message_id in self.held:
            self._condemned[message_id] = reason

    def put_back(self, entry: Queued, now_us: int) -> None:
        """What was taken aside is not ended after all: it lies in the store only, in its place, as before."""
        self.ended(entry, now_us)
        (self._gone_while_reading or set()).discard(entry.id)
        self._texts.rewind(entry.id)

    def withhold(self, message_id: int) -> Queued | None:
        """The entry of a message that is in memory and not being given; from now on it is not given any more."""
        entry = self.held.get(message_id)
        if entry is None or entry.flying or entry.held or _is_busy(entry):
            return None
        entry.held = True
        return entry

    # --- the sender's side -------------------------------------------------------------------------------------------

    def lay_hold(self, message_id: int) -> bool:
        """Take hold of a message, in memory or in the store only: it keeps its place, and waits for ``let_go``.

        Returns: False when it is being given, or somebody else has hold of it.
        """
        if message_id in self.grips or (message_id in self.held and self.withhold(message_id) is None):
            return False
        self.grips.begin(message_id)
        return True

    def let_go(self, message_id: int, now_us: int, rewritten: journal.Standing | None = None) -> None:
        """The end of ``lay_hold``; ``rewritten`` says how the message stands now, when its row was written anew."""
        self.grips.end(message_id)
        entry = self.held.get(message_id)
        if rewritten is not None:
            if self._gone_while_reading is not None:
                self.grips.rewritten[message_id] = rewritten
            if entry is not None:
                entry.message, entry.payloads, entry.claimed = rewritten.message, None, False
            if rewritten.next_us > (now_us if entry is not None else 0):  # who waits for a time waits in the store
                if entry is not None:
                    self.ended(entry, now_us)
                self._alarm.note(message_id, rewritten.next_us)
                entry = None
        if entry is not None:
            self.lanes.release(entry, now_us)
        self._wakeup.set()

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Feed the endpoint until cancelled, or until ``stop``."""
        # What was taken in here while another node held the lanes may be on its way to the journal still. It comes
        # before all that is reserved from now on, so the first scan has to see it.
        is_begun = not self._store.is_shared
        with self._running:
            while True:
                try:
                    if not is_begun:
                        await self._store.transact(lambda tx: None)
                        is_begun = True
                    progressed = await self._round()
                except StoreError as error:
                    log.warning("the store refused, dispatch goes on", endpoint=self.name, error=type(error).__name__)
                    await trio.sleep(STORE_RETRY_S)
                    continue
                if not progressed:
                    await self._pause()

    async def _pause(self) -> None:
        wakeup_us = self.lanes.next_wakeup()
        # 0: something is ready and only room is missing; the endpoint wakes us when it has some.
        if wakeup_us != 0 and self._alarm.at_us is not None and self._page():
            wakeup_us = min(wakeup_us or self._alarm.at_us, self._alarm.at_us)
        timeout_s = max(0.0, (wakeup_us - self._clock()) / 1e6) if wakeup_us else math.inf
        with trio.move_on_after(timeout_s):
            await self._wakeup.wait()
        self._wakeup = trio.Event()

    def _page(self) -> int:
        """How many rows may be read now. 0 rather than a few: a reading costs about as much as a hundred rows of it."""
        free = self._heads - self.lanes.size
        page = min(SCAN_PAGE, max(1, self._heads // 4))
        return min(free, SCAN_PAGE) if free >= page else 0

    async def _round(self) -> bool:
        """One look at everything. Returns: whether another look may find more at once."""
        read = False
        kinds = ((Kind.TEXT, self._texts), (Kind.RECEIPT, self._receipts))
        # In turns: a backlog of the one that fills memory again and again must not starve the other.
        self._receipts_first = not self._receipts_first
        for kind, cursor in kinds if self._receipts_first else kinds[::-1]:
            if cursor.readable and self._page():
                read |= await self._scan(kind, cursor)
        while self._visits:
            read |= await self._visit()
        if self._alarm.rings(self._clock()) and self._page():
            read |= await self._load_due()
        self._dry += self.lanes.waking(self._clock())
        while self._dry and self.lanes.size < self._heads:
            lane = self._dry.pop()
            try:
                read |= await self._refill(lane)
            except StoreError:
                self._dry.append(lane)
                raise
        if self._catching_up is not None and (not self.behind or not self._page()):
            self._catching_up.set()
            self._catching_up = None
        now_us = self._clock()
        limit = min(self.endpoint.room() - self._seized, BATCH) if self._may_give() else 0
        if limit > 0:
            entries = self.lanes.take(limit, now_us)
        else:
            self.lanes.advance(now_us)
            entries = []
        if self._relieved is not None and self.lanes.ready < BATCH:
            self._relieved.set()
            self._relieved = None
        if entries:
            await self._give(entries, now_us)
        return read or bool(entries)

    async def _give(self, entries: list[Queued], now_us: int) -> None:
        over: list[tuple[Queued, str]] = []
        going: list[Queued] = []
        for entry in entries:
            message = entry.message
            if message is not None and message.expires_us <= now_us:
                over.append((entry, "expired"))
            elif entry.unanswered and self.hold_in_doubt:
                over.append((entry, "in-doubt"))
            elif self._condemned and entry.id in self._condemned:
                over.append((entry, self._condemned[entry.id]))
            else:
                going.append(entry)
        unclaimed = [(entry.id, entry.in_doubt) for entry in going if not entry.claimed]
        if unclaimed:
            try:
                await self._store.commit([journal.claim(unclaimed)])
            except StoreError:
                for entry in entries:
                    self.lanes.again(entry, now_us, now_us)
                raise
            now_us = self._clock()
        room = self.endpoint.room() - self._seized if self._may_give() else 0
        parts: list[Part] = []
        for entry in going:
            entry.claimed = True
            if len(parts) >= room:
                self.lanes.again(entry, now_us, now_us)
                continue
            try:
                part = self._part(entry)
            except Unsplittable as error:
                log.info("message cannot be carried", endpoint=self.name, message_id=entry.id, reason=error.reason)
                over.append((entry, error.reason))
                continue
            self.lanes.submitted(entry, now_us)
            entry.flying = True
            parts.append(part)
        if parts:
            self._tempo.took(len(parts), now_us)
            self.deliver(parts)
        if over:
            await self._finish(self, over)

    def _part(self, entry: Queued) -> Part:
        """The part of a message that is next. Raises: Unsplittable."""
        message, payloads = entry.message, entry.payloads
        assert message is not None  # noqa: S101 - completed before its commit was reported
        if payloads is None:
            payloads = self.endpoint.split(message)
            if len(payloads) > 1:
                entry.payloads = payloads
        number = entry.next_part
        if number >= len(payloads):  # the endpoint's settings changed over a restart: fewer parts than were sent
            raise Unsplittable("split-differently")
        return Part(message, number + 1, len(payloads), payloads[number], entry.attempts + 1, entry.doubtful)

    # --- the store's side --------------------------------------------------------------------------------------------

    async def _read(self, query: Any, limit: int) -> tuple[list[Any], list[Any]]:
        """The rows of a query, and those of them that are neither in memory nor went out of it while it ran."""
        gone: set[int] = set()
        self._gone_while_reading, self._reading = gone, limit
        self.grips.rewritten.clear()

        try:
            rows = await self._store.read(lambda tx: list(tx.sql.execute(query).all()))
        finally:
            self._gone_while_reading, self._reading = None, 0
        known = (self.held, gone, self._replaying)
        return rows, [row for row in rows if not any(row[0] in ids for ids in known)]

    def _standing(self, row: Any) -> journal.Standing:
        """What a row that was just read says, or what was made of it meanwhile."""
        return self.grips.rewritten.get(row[0]) or journal.standing_of(row)

    async def _scan(self, kind: Kind, cursor: Cursor) -> bool:
        """Read the next page beyond the cursor. Returns: whether it held anything."""
        at, tail, limit = cursor.at, cursor.tail, self._page()
        doubtful, cursor.doubtful = cursor.doubtful, False
        cursor.begin()
        try:
            rows, fresh = await self._read(journal.pending_page(self.name, kind, at, limit), limit)
        except BaseException:
            cursor.doubtful |= doubtful
            raise
        now_us = self._clock()
        for row in fresh:
            self._load(self._standing(row), now_us)
        is_last = len(rows) < limit  # all that was committed when the read began has been seen
        if is_last:
            cursor.resuming = False
        cursor.end(at, max(rows[-1][0] if rows else 0, tail if is_last else 0))
        if is_last and kind is Kind.TEXT and cursor.behind and self._catching_up is None:
            self._catching_up = trio.Event()
        return bool(rows)

    async def _visit(self) -> bool:
        """Read what another node has journalled for this endpoint. Returns: whether there was anything."""
        first, last = self._visits[0]
        limit = self._page()
        if self._texts.behind or not limit:
            self._visits.pop(0)
            self._texts.rewind(first, last)
            return False
        rows, fresh = await self._read(journal.pending_page(self.name, Kind.TEXT, first - 1, limit, last), limit)
        self._visits.pop(0)
        if self.behind:  # meanwhile: texts come in order of id
            self._texts.rewind(first, last)
            return True
        now_us, node = self._clock(), node_of(first)
        for row in fresh:
            if node_of(row[0]) == node:  # ids of other nodes lie between: who gave them out tells of them
                self._load(self._standing(row), now_us)
        if rows:  # a lane that is refilled goes as far: what did not get into memory is its own now
            self._texts.at = max(self._texts.at, rows[-1][0])
        if len(rows) == limit:
            self._texts.rewind(rows[-1][0], last)
        return bool(rows)

    def _load(self, standing: journal.Standing, now_us: int) -> None:
        message = standing.message
        scheduled = message.not_before_us > 0
        if scheduled and message.not_before_us > now_us and standing.state is State.QUEUED:
            self._alarm.note(message.id, message.not_before_us)
            return
        alone = scheduled or message.kind is Kind.RECEIPT
        key: Any = message.id if alone else (message.source, message.destination)
        lane = self.lanes.lane(key)
        if lane is not None and (lane.more or len(lane) >= DEPTH):
            lane.more = True
        elif (
            lane is None
            and standing.state is State.QUEUED
            and standing.next_us - now_us >= SLEEP_US
            and self.lanes.size > self._heads // 2
            and self.lanes.sleeping < SLEEPING_LANES * self._heads
        ):
            self.lanes.sleep(key, standing.next_us)
        elif (
            self._paced
            and message.kind is Kind.TEXT
            and standing.state is State.QUEUED
            and (lane is None or lane.head is not None)
            and self._is_crowded(message.source)
        ):
            if lane is None:
                self.lanes.rest(key, message.source, now_us)
            else:
                lane.more = True
        else:
            self._enter(key, standing)

    def _enter(self, key: Any, standing: journal.Standing) -> None:
        entry = Queued(standing.message.id, standing.message)
        entry.stands(standing)
        # A refusal after a doubt does not end it. For a later part the mark may be one too many: that costs nothing.
        entry.doubtful = standing.in_doubt > 0 and standing.attempts > 0
        if standing.state is State.SUBMITTING:
            # Its claim is to be written again, with the doubt: the journal knows of each time it may have gone out.
            entry.doubtful = entry.unanswered = True
            entry.in_doubt += 1
            self.resumed_in_doubt += 1
        self.held[entry.id] = entry
        message = standing.message
        lane = self.lanes.push(key, entry, message.source if message.kind is Kind.TEXT else "")
        if lane.head is entry:
            self.lanes.wait(lane, standing.next_us)
        if entry.id not in self.grips:
            self.lanes.release(entry, self._clock())

    async def _load_due(self) -> bool:
        """Read texts that have become due. Returns: whether there were any."""
        alarm, now_us, limit = self._alarm, self._clock(), self._page()
        seen, at_us = alarm.seen, alarm.at_us
        alarm.begin()
        due: list[Any] = []
        try:
            rows, fresh = await self._read(journal.due_page(self.name, seen, limit), limit)
            due = [row for row in rows if row[11] <= now_us]
            if due:
                seen = (due[-1][11], due[-1][0])
            # A full page of due ones: there may be more. A page with one that is not due yet: that is the next.
            at_us = rows[len(due)][11] if len(due) < len(rows) else now_us if len(rows) == limit else None
        finally:
            alarm.end(seen, at_us)
        for row in fresh:
            standing = self._standing(row)
            if standing.next_us <= now_us:
                self._enter(row[0], standing)
        return bool(due)

    async def _refill(self, lane: Lane) -> bool:
        """Read on in a lane that ran dry or woke. Returns: whether it held anything."""
        if lane.head is not None or not lane.more or lane.asleep:
            return False
        key: Any = lane.key  # (source, destination), or the id of a message that is alone
        alone = isinstance(key, int)
        after_id = 0
        while True:
            on_the_way, left = lane.on_the_way, lane.left
            limit = min(DEPTH, self._heads - self.lanes.size)
            if limit < 1:  # memory has filled up since the page before
                self._dry.append(lane)
                return False
            query = journal.alone(key) if alone else journal.lane_page(self.name, key[0], key[1], after_id, limit)
            rows, fresh = await self._read(query, limit)
            seen = self._texts.at  # what lies beyond is the scan's
            for row in fresh:
                standing = self._standing(row)
                if standing.message.not_before_us > self._clock() and standing.state is State.QUEUED:
                    self._alarm.note(row[0], standing.message.not_before_us)  # it is not of this lane any more
                elif alone or row[0] <= seen:
                    self._enter(key, standing)
            is_last = alone or len(rows) < limit or rows[-1][0] > seen
            if is_last or lane.head is not None:
                break
            after_id = rows[-1][0]  # a page of rows that are in memory elsewhere: replayed, or once scheduled
        # Only a reading during which nothing was left to the lane, or was still on its way, is the last word.
        if is_last and not on_the_way and lane.left == left:
            self.lanes.drained(lane, self._clock())
        return lane.head is not None
