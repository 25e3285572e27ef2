"""The follower of the feed that makes charging records of it: the shell around ``records`` and ``files``.

It looks at the feed now and then, and makes a file once there are enough records, the oldest has waited long enough, or
somebody waits for it (``keeping_ledger.hurry``).
Nothing of a file is in memory but a chunk; what it holds is read again from the store, which keeps the feed and the
messages for a follower that has not seen them. A disk that is full, a directory that is away, or a store that does not
answer only make it late, which its metrics tell.

*Beside the message path.* Records are read, encoded and written in threads; what these take of the interpreter's lock
is taken from the path that moves texts. So there is a rest after each chunk, in proportion to what it took.

*Erased meanwhile.* A message that is not there any more (somebody's data was erased on request) leaves no record; it is
counted and told of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio
from prometheus_client.core import Metric

from hub import feed, journal, keeping_ledger
from hub.model import Message
from ops.charging.files import BadState, Spool, SpoolState, Writing
from ops.charging.records import CHARGED, Record, record_of
from ops.metric_families import family
from ops.settings import ChargingSettings
from store import Store, StoreError, Transaction

NAME: Final = "charging"
"""The follower's name in ``feed_follower``."""
LOOK_S: Final = 1.0  # between looks at the feed, one read each
RETRY_S: Final = 5.0  # after a failure
LOOK_ROWS: Final = 500  # a row has some hundred events under load
CHUNK_ROWS: Final = 100
CHUNK_EVENTS: Final = 500  # messages read in one query; some 20 ms of work
REST: Final = 4.0  # times as long as a chunk took: a fifth of one core at most, some 6,000 records a second

log = structlog.get_logger("ops.charging")


class Pending:
    """What waits for its file.

    Attributes:
        until: the last row that was looked at.
        records: how many records it comes to.
        since_us: when the oldest of it happened, 0 when nothing waits.
    """

    __slots__ = ("records", "since_us", "until")

    def __init__(self, until: int) -> None:
        self.until = until
        self.records = 0
        self.since_us = 0

    def take(self, rows: list[feed.FeedRow], most: int) -> bool:
        """Count rows in until there are enough records. Returns: whether all were."""
        for row in rows:
            if self.records >= most:
                return False
            self.until = row.id
            self.since_us = self.since_us or row.at_us
            self.records += sum(event[0] in CHARGED for event in row.events)
        return True


class ChargingFollower:
    """See the module's head.

    Args:
        store: the hub's.
        spool: where files go.
        clock: now in microseconds.
        rotate_records: a file is closed once it has so many records (and the rest of their batch).
        rotate_us: or once its oldest record is so old.
        node: the hub's own address, E.164, or empty.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        clock: Callable[[], int],
        *,
        rotate_records: int,
        rotate_us: int,
        node: str = "",
    ) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._rotate_records = rotate_records
        self._rotate_us = rotate_us
        self._node = node
        self._state: SpoolState | None = None  # None: nobody knows how the directory and the store stand
        self._position = 0
        self._pending = Pending(0)
        self._counts = {"records": 0, "files": 0, "failures": 0, "erased": 0}
        self._is_failing = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled. Ready once the store keeps the feed for it.

        Cancellation: what was being written is removed, or is finished by the next start.
        """
        is_ready = False
        while True:
            wait_s = LOOK_S
            try:
                if not is_ready:
                    await self._store.transact(lambda tx: feed.begin(tx, NAME))
                    is_ready = True
                    task_status.started()
                while await self._step():
                    pass
                if self._is_failing:
                    self._is_failing = False
                    log.info("charging records are written again")
            except (OSError, BadState, StoreError) as error:
                self._failed(str(error))
                wait_s = RETRY_S
            except Exception:  # a fault of ours: texts must go on
                self._failed("fault")
                log.exception("charging failed, it is tried again", again_in_s=RETRY_S)
                wait_s = RETRY_S
            await trio.sleep(wait_s)

    def _failed(self, why: str) -> None:
        self._state = None
        self._counts["failures"] += 1
        if not self._is_failing:
            self._is_failing = True
            log.error("no charging records are written until this is mended; nothing is lost", error=why)

    def samples(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        for name, count in self._counts.items():
            yield family(f"smshub_charging_{name}_total", count)
        yield family("smshub_charging_lag_seconds", self.lag_s())

    def collect(self) -> Iterator[Metric]:
        """As a collector of the registry's."""
        return self.samples()

    def lag_s(self) -> float:
        """How old the oldest record is that is in no file yet, 0 when none waits."""
        since_us = self._pending.since_us
        return max(0.0, (self._clock() - since_us) / 1e6) if since_us else 0.0

    # --- one file ----------------------------------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Make a file when it is time. Returns: whether it was."""
        state = self._state if self._state is not None else await self._recover()
        await self._look()
        pending = self._pending
        # A clock that was ahead and is right again must not keep records back until it is as late as they say.
        waited_us = abs(self._clock() - pending.since_us)
        if not pending.since_us:
            return False
        if pending.records < self._rotate_records and waited_us < self._rotate_us and not await self._is_hurried():
            return False
        if pending.records:
            await self._make(state, pending.until)
        else:  # nothing that anybody is billed for
            await self._move_to(pending.until)
        return True

    async def _is_hurried(self) -> bool:
        """Whether somebody waits for what is in no file yet: who erases a person does."""
        return await self._store.read(lambda tx: keeping_ledger.cursor(tx, keeping_ledger.WANTED)) > self._position

    async def _recover(self) -> SpoolState:
        """Find out how the directory and the store stand, and end what was begun."""
        state = await trio.to_thread.run_sync(self._spool.load)
        self._position, last = await self._store.transact(lambda tx: (feed.begin(tx, NAME), feed.last(tx)))
        if state.after == self._position < state.until <= last:
            log.info("a file of charging records is finished that the last run began", names=state.names)
            await self._show(state)
        elif state.until:
            await trio.to_thread.run_sync(self._spool.show, state)
            if state.until > self._position:  # rows without records are passed by without a file
                log.warning(
                    "charging records go on elsewhere: the directory's belong to another store, or to a copy of this",
                    directory=str(self._spool.directory),
                    directory_is_at=state.until,
                    store_is_at=self._position,
                )
        self._pending = Pending(self._position)
        self._state = state
        return state

    async def _look(self) -> None:
        """See what the feed has, as far as the next file needs."""
        pending = self._pending
        while pending.records < self._rotate_records:
            rows = await self._store.read(partial(feed.rows_after, position=pending.until, limit=LOOK_ROWS))
            if not pending.take(rows, self._rotate_records) or len(rows) < LOOK_ROWS:
                return

    async def _make(self, state: SpoolState, until: int) -> None:
        """Make the file of what is behind the position, up to and with ``until``."""
        self._state = None  # whatever happens now, the directory is looked at again
        writing = await trio.to_thread.run_sync(self._spool.begin, state, self._position, self._clock())
        try:
            made, erased = await self._fill(writing, until)
            made_state = await trio.to_thread.run_sync(writing.finish, until) if made else None
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(writing.abandon)
            raise
        if made_state is None:  # all of it is erased
            await trio.to_thread.run_sync(writing.abandon)
            await self._move_to(until)
            self._state = state
        else:
            await self._show(made_state)
            self._state = made_state
        self._counts["records"] += made
        self._counts["erased"] += erased

    async def _fill(self, writing: Writing, until: int) -> tuple[int, int]:
        """Write the records of a range. Returns: how many, and how many there are none of: their messages are gone."""
        made, events, after = 0, 0, self._position
        while after < until:
            began = time.monotonic()
            work = partial(self._records_after, after=after, until=until, sequence=writing.next_sequence)
            records, looked_at, after = await self._store.read(work)
            await trio.to_thread.run_sync(writing.append, records)
            made += len(records)
            events += looked_at
            await trio.sleep((time.monotonic() - began) * REST)
        return made, events - made

    def _records_after(
        self, tx: Transaction, *, after: int, until: int, sequence: int
    ) -> tuple[list[Record], int, int]:
        """The next records, of how many events they are, and the row that they end with. Runs in a thread."""
        rows = feed.rows_after(tx, after, CHUNK_ROWS, until)
        after = rows[-1].id if len(rows) == CHUNK_ROWS else until
        events: list[tuple[list[str | int], int]] = []
        for row in rows:
            events += [(event, row.at_us) for event in row.events if event[0] in CHARGED]
            if len(events) >= CHUNK_EVENTS:
                after = row.id
                break
        records: list[Record] = []
        for at in range(0, len(events), CHUNK_EVENTS):
            records += self._records_of(tx, events[at : at + CHUNK_EVENTS], sequence + len(records))
        return records, len(events), after

    def _records_of(self, tx: Transaction, events: list[tuple[list[str | int], int]], sequence: int) -> list[Record]:
        keys = list(dict.fromkeys((int(event[1]),) for event, _ in events))
        found: dict[int, tuple[Message, int, str]] = {
            row[0]: (journal.message_of(row), row[13], row[19]) for row in tx.select(journal.select_messages, keys)
        }
        records: list[Record] = []
        for event, at_us in events:
            there = found.get(int(event[1]))
            if there is None:  # erased
                continue
            what = (str(event[0]), str(event[2]) if len(event) > 2 else "")
            records.append(record_of(what, at_us, *there, self._node, sequence + len(records)))
        return records

    async def _show(self, state: SpoolState) -> None:
        await trio.to_thread.run_sync(self._spool.show, state)
        await self._move_to(state.until)
        self._counts["files"] += 1
        log.info("file of charging records closed", names=state.names, until=state.until)

    async def _move_to(self, position: int) -> None:
        await self._store.transact(lambda tx: feed.advance(tx, NAME, position))
        self._position = position
        self._pending = Pending(position)


def open_follower(
    settings: ChargingSettings, node_id: int, store: Store, clock: Callable[[], int]
) -> ChargingFollower | None:
    """The follower that the settings ask for, None when no records are wanted."""
    if not settings.directory:
        return None
    return ChargingFollower(
        store,
        Spool(Path(settings.directory), node_id, settings.format),
        clock,
        rotate_records=settings.rotate_records,
        rotate_us=round(settings.rotate_s * 1e6),
        node=settings.node_address,
    )
