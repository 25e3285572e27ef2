"""The feed in a stream of Redis: what happened, for services and consoles that follow without asking the database.

A follower of the feed like any other, which relays instead of counting. The truth is the feed; the stream is a copy of
its last events.

**Once, whatever dies when.** An entry's id is made of its event: ``<row of the feed>-<place in the row>``. A stream
takes no id that is not greater than its last, so a relay that repeats itself adds nothing twice. What the stream has
already is held against what was to be added: another event by the same id, or a gap where it should be, means that the
stream is of another store, or of one that was set back to an older copy; it is told of, never written over.

**Redis is away, full, or refuses**: the relay waits. The feed keeps events for some days whether somebody waits for
them or not, so after ``HOLD_US`` the relay does not hold them any longer: retention and erasing go on, and what is
still in the feed when Redis is back is relayed then.

**Redis lost what it had** (FLUSHALL, a failover to a replica that was behind): each call tells the stream's end that
the relay knows of. When the stream ends before it, the relay goes back to where it ends now, or to the first of the
last ``keep`` events, and says so. Followers that keep the last id that they have worked off see each event once in
effect: what comes again is not greater.

*One script for a batch.* The check and the additions are one step in Redis, a few milliseconds long; ids travel as
text, since Lua's numbers hold 53 bits of the 63 that a message's id has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog
import trio
from prometheus_client.core import Metric
from sqlalchemy import select

from hub import feed
from hub.tables import feed as feed_table
from ops.metric_families import family
from ops.redis_trouble import RedisAway, RedisRefused
from store import Store, StoreError, Transaction

if TYPE_CHECKING:
    import redis

    from ops.redis_link import RedisLink

NAME: Final = "redis"
"""The follower's name in ``feed_follower``."""
STREAM: Final = "feed"
LOOK_S: Final = 0.5  # between looks at the feed, one read each
CHECK_S: Final = 5.0  # between looks at the stream while nothing happens
RETRY_S: Final = 5.0
ROWS: Final = 100  # read at once
ENTRIES: Final = 500  # added at once: some two milliseconds of Redis
REST: Final = 1.0  # times as long as a batch took: half of one core at most, when it catches up
HOLD_US: Final = 600_000_000  # an event that was not relayed for so long is not kept for the relay alone
NOTHING: Final = (0, 0)
RESULTS: Final = ("added", "repeated", "refused")

log = structlog.get_logger("ops.redis_feed")

StreamId = tuple[int, int]
"""Of an entry: the row of the feed, and the event's place in it, from 0."""

SCRIPT: Final = """
local stream, expected, keep = KEYS[1], ARGV[1], ARGV[2]

local function parts(id)
  local dash = string.find(id, '-', 1, true)
  return tonumber(string.sub(id, 1, dash - 1)), tonumber(string.sub(id, dash + 1))
end

local function is_less(one, other)
  local a, b = parts(one)
  local c, d = parts(other)
  return a < c or (a == c and b < d)
end

local last = '0-0'
local about = redis.pcall('XINFO', 'STREAM', stream)
if about.err then
  if not string.find(about.err, 'no such key', 1, true) then return about end
else
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then last = about[i + 1] end
  end
end
if is_less(last, expected) then return {'lost', last, 0, 0, 0} end

-- Whether the stream had an entry, or has trimmed it since; not when it has another by that id, or none.
local function is_known(entry)
  local found = redis.call('XRANGE', stream, entry[1], entry[1])
  if #found == 0 then
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
    return #first == 0 or is_less(entry[1], first[1][1])
  end
  local fields = found[1][2]
  if #fields ~= #entry - 1 then return false end
  for i = 1, #fields do
    if fields[i] ~= entry[i + 1] then return false end
  end
  return true
end

local added, repeated, refused = 0, 0, 0
for _, entry in ipairs(cjson.decode(ARGV[3])) do
  if is_less(last, entry[1]) then
    redis.call('XADD', stream, unpack(entry))
    last = entry[1]
    added = added + 1
  elseif is_known(entry) then
    repeated = repeated + 1
  else
    refused = refused + 1
  end
end
if added > 0 then redis.call('XTRIM', stream, 'MAXLEN', '~', keep) end
return {'relayed', last, added, repeated, refused}
"""
"""One key, the stream. Arguments: the id that it must reach already, how many entries it keeps, and entries as JSON:
each its id, then field, value, field, value."""


class Relayed(msgspec.Struct, frozen=True):
    """What a call of the script found and did.

    Attributes:
        is_lost: the stream ends before where it must; nothing was added.
        last: where it ends.
        added, repeated, refused: entries: new; there already; not to be added, because something else is there.
    """

    is_lost: bool
    last: StreamId
    added: int
    repeated: int
    refused: int


def entries_of(row: feed.FeedRow) -> list[list[str]]:
    """The entries of a row of the feed: each its id, then fields and values.

    ``event`` is its word, ``id`` what it happened to, ``detail`` what else it says, ``at_us`` when.
    """
    entries: list[list[str]] = []
    for place, event in enumerate(row.events):
        entry = [f"{row.id}-{place}", "event", str(event[0]), "at_us", str(row.at_us)]
        for field, value in zip(("id", "detail"), event[1:], strict=False):
            entry += (field, str(value))
        entries.append(entry)
    return entries


def id_text(found: StreamId) -> str:
    """An id as Redis writes it."""
    return f"{found[0]}-{found[1]}"


def read_id(words: bytes | str) -> StreamId:
    """An id, read."""
    row, _, place = (words.decode() if isinstance(words, bytes) else words).partition("-")
    return int(row), int(place)


def decide_start(stream_ends: StreamId, at: int, earliest: int) -> int:
    """Where to go on after the stream ends, or ended, elsewhere.

    Args:
        stream_ends: its last id now.
        at: the row that the relay was at.
        earliest: the row before the first that is worth relaying: older ones would be trimmed at once.

    Returns: the row to go on behind: of the one that the stream ends in, the rest may be missing.
    """
    return min(at, max(stream_ends[0] - 1, earliest))


class FeedStream:
    """See the module's head.

    Args:
        store: the hub's.
        link: to Redis.
        clock: now in microseconds.
        prefix: how the stream's key begins.
        keep: events that the stream keeps, about.
    """

    def __init__(
        self, store: Store, link: RedisLink, clock: Callable[[], int], prefix: str = "smshub:", keep: int = 100_000
    ) -> None:
        self._store = store
        self._link = link
        self._clock = clock
        self._key = prefix + STREAM
        self._keep = keep
        self._at = -1  # the last row that is in the stream; -1: not known
        self._moved_to = 0  # what the store knows of that
        self._expects: StreamId = NOTHING  # the stream reaches that
        self._waits_since_us = 0  # since when the oldest event waits that is not in the stream
        self._checked_at = -float("inf")
        self._counts = Counter[str]()
        self._losses = 0
        self._said = ""  # why nothing is relayed, as far as the log has it
        self._foreign_until = 0  # up to that row, the stream's entries are not of this store

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled. Started at once.

        Cancellation: at any time; who relays next, here or on another node, goes on without a gap.
        """
        self._at = -1
        task_status.started()
        while True:
            wait_s = LOOK_S
            try:
                while await self._step():
                    pass
                self._is_well()
            except RedisAway:  # the link has said so
                wait_s = max(self._link.rest_s(), LOOK_S)
                await self._let_go()
            except RedisRefused as error:
                self._is_ill(error.reason)
                wait_s = RETRY_S
                await self._let_go()
            except StoreError as error:
                self._is_ill(type(error).__name__)
                wait_s = RETRY_S
                self._at = -1
            except Exception:  # a fault of ours: texts must go on
                self._is_ill("fault")
                log.exception("the feed could not be relayed, it is tried again", again_in_s=RETRY_S)
                wait_s = RETRY_S
                self._at = -1
            await trio.sleep(wait_s)

    def _is_ill(self, why: str) -> None:
        if self._said != why:
            self._said = why
            log.error("the feed is not relayed to its stream until this is mended", stream=self._key, reason=why)

    def _is_well(self) -> None:
        if self._said:
            self._said = ""
            log.info("the feed is relayed again", stream=self._key)

    # --- one batch ---------------------------------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Relay the next rows. Returns: whether there may be more."""
        if self._at < 0:
            await self._begin()
        began = time.monotonic()
        rows = await self._store.read(partial(feed.rows_after, position=self._at, limit=ROWS))
        if not rows:
            self._waits_since_us = 0
            await self._check()
            return False
        self._waits_since_us = rows[0].at_us
        entries = [entry for row in rows for entry in entries_of(row)]
        for place in range(0, len(entries), ENTRIES):
            if not await self._relay(entries[place : place + ENTRIES]):
                return True  # from further back
        self._at = rows[-1].id
        if self._at > self._moved_to:
            await self._move_to(self._at)
        self._waits_since_us = 0
        if len(rows) < ROWS:
            return False
        await trio.sleep((time.monotonic() - began) * REST)
        return True

    async def _begin(self) -> None:
        """Find out how store and stream stand."""
        ends = (await self._call((), NOTHING)).last  # before the store: what is in the stream was in the feed

        def begin(tx: Transaction) -> tuple[bool, int, int]:
            known = feed.position_of(tx, NAME)
            return known is None, feed.begin(tx, NAME), known_last(tx)

        is_new, position, last = await self._store.transact(begin)
        self._at = self._moved_to = position
        self._expects = NOTHING
        self._foreign_until = ends[0] if ends[0] > last else 0
        if self._foreign_until:
            self._say_foreign(ends, last)
        elif ends < (position, 0) and (not is_new or ends > NOTHING):
            # By a loss, or because the relay did not hold what it could not relay, or was not wanted for a while.
            await self._go_back(ends)

    async def _check(self) -> None:
        """See now and then whether stream and store are what they were, also when nothing happens."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_S:
            self._checked_at = now
            await self._relay([])
            if await self._store.read(known_last) < self._at:  # PostgreSQL failed over to a copy that was behind
                self._at = -1

    async def _relay(self, entries: Sequence[list[str]]) -> bool:
        """Add entries. Returns: False when the stream was found shorter than it was, and it goes on further back."""
        found = await self._call(entries, self._expects)
        if found.is_lost:
            self._losses += 1
            await self._go_back(found.last)
            return False
        self._checked_at = time.monotonic()
        self._expects = found.last
        repeated, refused = found.repeated, found.refused
        if entries and read_id(entries[0][0])[0] <= self._foreign_until:  # new here: they cannot have been relayed
            repeated, refused = 0, repeated + refused
        for result, number in zip(RESULTS, (found.added, repeated, refused), strict=True):
            self._counts[result] += number
        if refused and not self._foreign_until:
            self._foreign_until = found.last[0]
            self._say_foreign(found.last, read_id(entries[0][0])[0])
        return True

    def _say_foreign(self, ends: StreamId, row: int) -> None:
        log.error(
            "the stream holds other events by the ids of this store's: it is another store's, or the store was set "
            "back; these events are not relayed. Remove the stream, and it is filled from the store",
            stream=self._key,
            stream_ends=id_text(ends),
            store_is_at=row,
        )

    async def _go_back(self, ends: StreamId) -> None:
        earliest = await self._store.read(partial(earliest_of, until=self._at, keep=self._keep))
        start = decide_start(ends, self._at, earliest)
        log.warning(
            "the stream ends before what was relayed: it is filled from the store",
            stream=self._key,
            ends=id_text(ends),
            relayed=self._at,
            again_from=start + 1,
        )
        self._at = start
        self._expects = NOTHING
        self._foreign_until = 0

    async def _call(self, entries: Sequence[list[str]], expects: StreamId) -> Relayed:
        body = msgspec.json.encode(entries)
        answer = await self._link.call(partial(self._evaluate, body=body, expects=id_text(expects)))
        word, last, added, repeated, refused = answer
        return Relayed(word == b"lost", read_id(last), added, repeated, refused)

    def _evaluate(self, client: redis.Redis, *, body: bytes, expects: str) -> list[Any]:
        script = cast(Any, client.register_script(SCRIPT))
        return cast("list[Any]", script(keys=[self._key], args=[expects, self._keep, body], client=client))

    async def _move_to(self, row: int) -> None:
        """Let the store know. Another node's relay may have come further: it is never moved back."""

        def move(tx: Transaction) -> None:
            if (feed.position_of(tx, NAME) or 0) < row:
                feed.advance(tx, NAME, row)

        await self._store.transact(move)
        self._moved_to = row

    async def _let_go(self) -> None:
        """Have the feed not kept any longer for a relay that waits for Redis."""
        before_us = self._clock() - HOLD_US

        def look(tx: Transaction) -> tuple[int, int]:
            position = feed.position_of(tx, NAME)
            if position is None:
                return 0, 0
            return oldest_after(tx, position if self._at < 0 else self._at), last_before(tx, position, before_us)

        try:
            since_us, held = await self._store.read(look)
            self._waits_since_us = since_us
            if held:
                await self._move_to(held)
        except StoreError:
            return  # the store has other worries

    def lag_s(self) -> float:
        """How old the oldest event is that is not in the stream yet, 0 when none waits."""
        since_us = self._waits_since_us
        return max(0.0, (self._clock() - since_us) / 1e6) if since_us else 0.0

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_redis_stream_events_total", {(result,): self._counts[result] for result in RESULTS})
        yield family("smshub_redis_stream_lag_seconds", self.lag_s())
        yield family("smshub_redis_stream_losses_total", self._losses)


# --- the feed, as the relay looks at it ------------------------------------------------------------------------------


def earliest_of(tx: Transaction, until: int, keep: int) -> int:
    """The row before the first of the last ``keep`` events up to a row, as far as the feed has them."""
    c = feed_table.c
    events, earliest = 0, until + 1
    while events < keep:
        query = select(c.id).where(c.id < earliest).order_by(c.id.desc()).limit(ROWS)
        ids = [row[0] for row in tx.sql.execute(query)]
        if not ids:
            break
        for row in reversed(feed.rows_after(tx, ids[-1] - 1, len(ids))):
            earliest = row.id
            events += len(row.events)
            if events >= keep:
                break
    return earliest - 1


def known_last(tx: Transaction) -> int:
    """The last row that the store knows of, be it gone since."""
    return max(feed.last(tx), feed.position_of(tx, NAME) or 0)


def oldest_after(tx: Transaction, position: int) -> int:
    """When the first event behind a row happened, 0 when there is none."""
    c = feed_table.c
    return tx.sql.execute(select(c.at_us).where(c.id > position).order_by(c.id).limit(1)).scalar() or 0


def last_before(tx: Transaction, position: int, before_us: int) -> int:
    """A row behind a position that happened before a time, among the next few thousand; 0 when there is none."""
    c = feed_table.c
    query = select(c.id, c.at_us).where(c.id > position).order_by(c.id).limit(5000)
    found = 0
    for row_id, at_us in tx.sql.execute(query):
        if at_us >= before_us:
            break
        found = row_id
    return found


async def forget_stream(store: Store) -> None:
    """Have nothing kept for a relay that is not wanted any more. Raises: StoreError."""
    if await store.read(lambda tx: feed.position_of(tx, NAME)) is not None:
        await store.transact(lambda tx: feed.forget(tx, NAME))
        log.info("the feed is not relayed any more: nothing is kept for it")
