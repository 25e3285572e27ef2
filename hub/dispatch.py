"""Dispatch: one for each endpoint. It keeps the lanes fed from the store and the endpoint fed from the lanes.

Rules:

1. **Reserve before the commit.** Intake reserves a place in memory, gives out ids and submits its write without a pause
   in between: order of ids = order of commits = order in the lane.
2. **Memory is bounded.** At most ``heads`` entries are held. When there is no place, the endpoint is *behind*: all
   texts that come stay in the store until a scan, in order of id from the cursor, has caught up. While behind, nothing
   new enters by intake, so nothing overtakes. What lies at or before the cursor is in memory, in a lane marked
   ``more``, or finished.
3. **One deep lane starves no other.** A lane holds at most ``DEPTH`` entries; what lies beyond stays in the store, and
   is read lane by lane when that lane runs dry.
4. **A part is on the wire only while its row says SUBMITTING.** Claims are committed before delivery; an entry that
   could go at once when it came was born claimed, which saves a write.
5. **Receipts come only by scan**, with a cursor of their own. The writer makes them (and gives them their ids) in the
   transaction of what they tell of, so nothing but the store knows their order.
6. **Nothing is read twice.** A row read from the store is dropped when its entry is held, or ended while the read ran.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
import trio

from hub import journal
from hub.endpoint import Endpoint
from hub.errors import Unsplittable
from hub.lanes import Entry, Lane, Lanes
from hub.model import Kind, Message, Part, State
from store import Store, StoreError, Transaction

HEADS = 10_000  # entries held in memory for each endpoint; about 1 KB each
DEPTH = 32  # entries held of one lane
SCAN_PAGE = 2_000  # rows a scan reads at once
BATCH = 1_000  # parts given to an endpoint at once
STORE_RETRY_S = 0.5

log = structlog.get_logger("hub.dispatch")


class Queued(Entry):
    """A message in its lane.

    Attributes:
        id: the message's id.
        message: the message; None between ``reserve`` and its commit where only the writer can complete it (threads).
        payloads: what the endpoint's ``split`` made of it, once it was its turn.
        next_part: parts answered for.
        attempts: temporary refusals so far.
        in_doubt: times that an answer was lost.
        doubtful: True when the part that is next may have arrived already.
        claimed: True when its row says SUBMITTING.
        seized: True when it was promised a place of the endpoint's room.
        flying: True while the endpoint has it.
    """

    __slots__ = (
        "attempts",
        "claimed",
        "doubtful",
        "flying",
        "id",
        "in_doubt",
        "message",
        "next_part",
        "payloads",
        "seized",
    )

    def __init__(self, message_id: int, message: Message | None) -> None:
        super().__init__()
        self.id = message_id
        self.message = message
        self.payloads: Sequence[Any] | None = None
        self.next_part = 0
        self.attempts = 0
        self.in_doubt = 0
        self.doubtful = False
        self.claimed = False
        self.seized = False
        self.flying = False


Finish = Callable[["Dispatcher", list[tuple[Queued, str]]], Awaitable[None]]


class Cursor:
    """How far a scan has come in the rows of one kind.

    Attributes:
        at: every row at or before it has been seen.
        tail: the last row known to be committed and left to the scan.
        on_the_way: rows left to the scan that are not committed yet.
        resuming: True until the first scan has reached the end: a restart finds the store as it is.
    """

    __slots__ = ("at", "on_the_way", "resuming", "tail")

    def __init__(self) -> None:
        self.at = 0
        self.tail = 0
        self.on_the_way = 0
        self.resuming = True

    @property
    def behind(self) -> bool:
        """True while the store may hold rows that were not seen."""
        return self.resuming or self.on_the_way > 0 or self.at < self.tail

    @property
    def readable(self) -> bool:
        """True when a scan would find something."""
        return self.resuming or self.at < self.tail


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
    """

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        clock: Callable[[], int],
        finish: Finish,
        heads: int = HEADS,
        hold_in_doubt: bool = False,
    ) -> None:
        self.hold_in_doubt = hold_in_doubt
        self.endpoint = endpoint
        self.name = endpoint.name
        self.lanes: Lanes[Queued] = Lanes(endpoint.gap_us)
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
        self._dry: list[Lane] = []
        self._replaying: set[int] = set()
        self._ended_while_reading: set[int] | None = None
        self._wakeup = trio.Event()

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
            due_us: not before this time, 0 for at once; a text that is not due has a lane of its own.
            now_us: now.

        Returns: its entry, ``claimed`` when its row shall say SUBMITTING; None when it is left to the store.
        """
        texts, lanes = self._texts, self.lanes
        if texts.resuming or texts.on_the_way or texts.at < texts.tail or lanes.size >= self._heads:
            texts.on_the_way += 1
            return None
        texts.at = message_id
        key: Any = (source, destination) if due_us <= now_us else message_id
        lane = lanes.lane(key)
        if lane is not None and (lane.more or len(lane) >= DEPTH):
            lane.more = True
            lane.on_the_way += 1
            self._left_to_lane[message_id] = lane
            return None
        entry = Queued(message_id, message)
        self.held[message_id] = entry
        lane = lanes.push(key, entry)
        if due_us > now_us:
            lane.free_us = due_us
        elif self._seized < self.endpoint.room() and lanes.seize(entry, now_us):
            entry.claimed = entry.seized = True
            self._seized += 1
        return entry

    def commit_done(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """The journal has what was reserved: ``entries`` in memory, ``left`` (ids) in the store only."""
        if left:
            self._settle_left(left, committed=True)
        parts: list[Part] = []
        room = self.endpoint.room() if entries else 0
        for entry in entries:
            if not entry.seized:
                self.lanes.release(entry, now_us)
                continue
            entry.seized = entry.held = False
            self._seized -= 1
            part = self._part(entry) if len(parts) < room else None
            if part is None:
                self.lanes.again(entry, now_us, now_us)
            else:
                entry.flying = True
                parts.append(part)
        if parts:
            self.endpoint.deliver(parts)
        if len(parts) < len(entries):
            self._wakeup.set()

    def commit_failed(self, entries: Sequence[Queued], left: Sequence[int], now_us: int) -> None:
        """The journal does not have what was reserved: forget it."""
        self._settle_left(left, committed=False)
        for entry in entries:
            if entry.seized:
                self._seized -= 1
            self.ended(entry, now_us)

    def receipts_made(self, last_id: int) -> None:
        """The journal has receipts for this endpoint, the last of them with this id."""
        self._receipts.tail = max(self._receipts.tail, last_id)
        self._wakeup.set()

    def _settle_left(self, left: Sequence[int], *, committed: bool) -> None:
        texts = self._texts
        for message_id in left:
            lane = self._left_to_lane.pop(message_id, None)
            if lane is None:
                texts.on_the_way -= 1
                if committed:
                    texts.tail = max(texts.tail, message_id)
            else:
                lane.on_the_way -= 1
                if lane.head is None:
                    self._dry.append(lane)
        self._wakeup.set()

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to do."""
        self._wakeup.set()

    def ended(self, entry: Queued, now_us: int) -> None:
        """The message is finished with, and its row says so."""
        self.held.pop(entry.id, None)
        entry.flying = False
        if self._ended_while_reading is not None:
            self._ended_while_reading.add(entry.id)
        dry = self.lanes.done(entry, now_us)
        if dry is not None:
            self._dry.append(dry)
        self._wakeup.set()

    def goes_on(self, entry: Queued, at_us: int, now_us: int) -> None:
        """The message has a part to send, the same or the next, and its row says so."""
        entry.flying = False
        self.lanes.again(entry, at_us, now_us)
        self._wakeup.set()

    # --- the operator's side -----------------------------------------------------------------------------------------

    def begin_replay(self, message_id: int) -> None:
        """A dead letter is about to be queued again: the scan is to leave it alone."""
        self._replaying.add(message_id)

    def end_replay(self, standing: journal.Standing | None, message_id: int) -> None:
        """The journal has it queued (or, with None, has not): it stands alone in its lane."""
        self._replaying.discard(message_id)
        if standing is not None and message_id not in self.held:
            self._enter(message_id, standing)
            self._wakeup.set()

    def take_aside(self, standing: journal.Standing) -> Queued:
        """An entry for a message that lies only in the store and is to be ended: alone in its lane, never given.

        While it is held, no scan loads the message. Read the row again before you believe it.
        """
        entry = Queued(standing.message.id, standing.message)
        entry.next_part, entry.attempts, entry.in_doubt = standing.next_part, standing.attempts, standing.in_doubt
        self.held[entry.id] = entry
        self.lanes.push(entry.id, entry)
        return entry

    def idle(self, message_id: int) -> Queued | None:
        """The entry of a message that is held and not given to the endpoint."""
        entry = self.held.get(message_id)
        return None if entry is None or entry.flying or entry.held else entry

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Feed the endpoint until cancelled."""
        while True:
            try:
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
        timeout_s = max(0.0, (wakeup_us - self._clock()) / 1e6) if wakeup_us else math.inf
        with trio.move_on_after(timeout_s):
            await self._wakeup.wait()
        self._wakeup = trio.Event()

    async def _round(self) -> bool:
        """One look at everything. Returns: whether another look may find more at once."""
        read = False
        for kind, cursor in ((Kind.TEXT, self._texts), (Kind.RECEIPT, self._receipts)):
            if cursor.readable and self.lanes.size < self._heads:
                read |= await self._scan(kind, cursor)
        while self._dry:
            read |= await self._refill(self._dry.pop())
        now_us = self._clock()
        self.lanes.advance(now_us)
        limit = min(self.endpoint.room() - self._seized, BATCH)
        entries = self.lanes.take(limit, now_us) if limit > 0 else []
        if entries:
            await self._give(entries, now_us)
        return read or bool(entries)

    async def _give(self, entries: list[Queued], now_us: int) -> None:
        unclaimed = [(entry.id, entry.in_doubt) for entry in entries if not entry.claimed]
        if unclaimed:
            try:
                await self._store.commit([journal.claim(unclaimed)])
            except StoreError:
                for entry in entries:
                    self.lanes.again(entry, now_us, now_us)
                raise
            now_us = self._clock()
        room = self.endpoint.room() - self._seized
        parts: list[Part] = []
        over: list[tuple[Queued, str]] = []
        for entry in entries:
            entry.claimed = True
            message = entry.message
            if message is not None and message.expires_us <= now_us:
                over.append((entry, "expired"))
            elif entry.doubtful and self.hold_in_doubt:
                over.append((entry, "in-doubt"))
            elif len(parts) >= room:
                self.lanes.again(entry, now_us, now_us)
            elif (part := self._part(entry)) is None:
                over.append((entry, "cannot-be-carried"))
            else:
                entry.flying = True
                parts.append(part)
        if parts:
            self.endpoint.deliver(parts)
        if over:
            await self._finish(self, over)

    def _part(self, entry: Queued) -> Part | None:
        """The part of a message that is next; None when the endpoint cannot carry it."""
        message, payloads = entry.message, entry.payloads
        assert message is not None  # noqa: S101 - completed before its commit was reported
        if payloads is None:
            try:
                payloads = self.endpoint.split(message)
            except Unsplittable as error:
                log.info("message cannot be carried", endpoint=self.name, message_id=message.id, reason=error.reason)
                return None
            if len(payloads) > 1:
                entry.payloads = payloads
        number = entry.next_part
        if number >= len(payloads):  # the endpoint's settings changed over a restart: fewer parts than were sent
            return None
        return Part(message, number + 1, len(payloads), payloads[number], entry.attempts + 1, entry.doubtful)

    # --- the store's side --------------------------------------------------------------------------------------------

    async def _read(self, query: Any) -> tuple[list[Any], list[Any]]:
        """The rows of a query, and those of them that are neither held nor ended while it ran."""
        ended: set[int] = set()
        self._ended_while_reading = ended

        def work(tx: Transaction) -> list[Any]:
            return list(tx.sql.execute(query).all())

        try:
            rows = await self._store.read(work)
        finally:
            self._ended_while_reading = None
        known = (self.held, ended, self._replaying)
        return rows, [row for row in rows if not any(row[0] in ids for ids in known)]

    async def _scan(self, kind: Kind, cursor: Cursor) -> bool:
        """Read the next page beyond the cursor. Returns: whether it held anything."""
        tail = cursor.tail
        limit = max(1, min(SCAN_PAGE, self._heads - self.lanes.size))
        rows, fresh = await self._read(journal.pending_page(self.name, kind, cursor.at, limit))
        for row in fresh:
            self._load(journal.standing_of(row))
        if rows:
            cursor.at = max(cursor.at, rows[-1][0])
        if len(rows) < limit:  # all that was committed when the read began has been seen
            cursor.at = max(cursor.at, tail)
            cursor.resuming = False
        return bool(rows)

    def _load(self, standing: journal.Standing) -> None:
        message = standing.message
        alone = message.kind is Kind.RECEIPT or message.not_before_us > self._clock()
        key: Any = message.id if alone else (message.source, message.destination)
        lane = self.lanes.lane(key)
        if lane is not None and (lane.more or len(lane) >= DEPTH):
            lane.more = True
        else:
            self._enter(key, standing)

    def _enter(self, key: Any, standing: journal.Standing) -> None:
        entry = Queued(standing.message.id, standing.message)
        entry.next_part = standing.next_part
        entry.attempts = standing.attempts
        entry.in_doubt = standing.in_doubt
        if standing.state is State.SUBMITTING:
            # Its claim is to be written again, with the doubt: the journal knows of each time it may have gone out.
            entry.doubtful = True
            entry.in_doubt += 1
            self.resumed_in_doubt += 1
        self.held[entry.id] = entry
        lane = self.lanes.push(key, entry)
        if lane.head is entry and standing.next_us > lane.free_us:
            lane.free_us = standing.next_us
        self.lanes.release(entry, self._clock())

    async def _refill(self, lane: Lane) -> bool:
        """Read on in a lane that ran dry. Returns: whether it held anything."""
        key: Any = lane.key  # (source, destination): a lane of its own never holds more than one
        if lane.head is not None or not lane.more:
            return False
        on_the_way = lane.on_the_way
        rows, fresh = await self._read(journal.lane_page(self.name, key[0], key[1], DEPTH))
        seen = self._texts.at  # what lies beyond is the scan's
        for row in fresh:
            if row[0] <= seen:
                self._enter(key, journal.standing_of(row))
        if (len(rows) < DEPTH or rows[-1][0] > seen) and not on_the_way:
            self.lanes.drained(lane, self._clock())
        return lane.head is not None
