"""The store as the daemon uses it: the trio side of group commit.

A caller's submission is put behind what waits and its task sleeps until the writer's thread has answered. The order of
calls is the order of commits; trio may wake the tasks of one group in any order.

Bounded: when the rows that wait pass ``max_pending_rows``, later submissions wait to be let in, in order. A caller has
no more than one submission in flight for each task, so tasks are what bounds memory beyond that.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Lock
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy
import trio

from store.backend import Backend
from store.errors import StoreClosed
from store.guard import Guard
from store.ids import IdClock
from store.postgresql import PostgresqlBackend
from store.reader import Readers
from store.sqlite import SqliteBackend
from store.statements import Op
from store.transaction import Transaction
from store.writer import Submission, Writer

MAX_PENDING_ROWS = 16_384  # four full groups
PATIENCE_S = 10.0
READERS = 4  # reads at once; more would only fight for two cores

SWITCH_INTERVAL_S = 0.0001
"""What the daemon gives to ``sys.setswitchinterval``: the writer's thread waits so long for a busy trio thread, at each
step of a statement. Measured against the default of 5 ms: docs/discussion/store-batching.md."""

T = TypeVar("T")


class StoreStatistics(msgspec.Struct, frozen=True):
    """What a store has done and what it has before it.

    Attributes:
        groups, rows: transactions of the writer and the rows they wrote; a ``transact`` counts as it was announced.
        pending_rows: taken, not yet answered.
        waiting: submissions not yet let in.
        last_group_rows: rows in the last group.
        busy_s, longest_group_s: seconds that the writer spent in groups, in all and at most.
        culprits: works that raised.
        reruns: submissions that were written alone because their group failed.
        reconnects: connections opened after the first.
    """

    groups: int
    rows: int
    pending_rows: int
    waiting: int
    last_group_rows: int
    busy_s: float
    longest_group_s: float
    culprits: int
    reruns: int
    reconnects: int


class Store:
    """Durability. Open it with ``open_store``; its async methods belong to one trio run.

    Attributes:
        node: part of each id.
        is_shared: other nodes write to the same database.
    """

    def __init__(
        self,
        backend: Backend,
        node: int,
        *,
        readers: int,
        max_pending_rows: int,
        patience_s: float,
        guard: Guard | None = None,
    ) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._writer = Writer(backend, self._hand_back, patience_s, guard)
        self._readers = Readers(backend)
        self._read_limiter = trio.CapacityLimiter(readers)
        self._max_pending_rows = max_pending_rows
        self._pending_rows = 0
        self._waiting: deque[Submission] = deque()
        self._is_closing = False
        self._drained = trio.Event()
        self._ids = IdClock(node)
        self._ids_lock = Lock()
        self.node = node
        self.is_shared = guard is not None

    def new_id(self) -> int:
        """An id greater than all before it; see ``store.ids``. May be called from work too."""
        with self._ids_lock:
            return self._ids.next(time.time_ns() // 1000)

    def new_ids(self, count: int) -> list[int]:
        """Several ids at once, rising."""
        with self._ids_lock:
            return self._ids.take(count, time.time_ns() // 1000)

    def newest_id(self) -> int:
        """No id that was given out is greater than this one."""
        with self._ids_lock:
            return self._ids.newest

    def advance_ids_past(self, known_id: int) -> None:
        """Make later ids greater than one found in the database: the machine's clock may have been set back."""
        with self._ids_lock:
            self._ids.advance_past(known_id)

    async def commit(self, ops: Sequence[Op]) -> None:
        """Write ops in one transaction, together with what others want written now. On disk when it returns.

        Args:
            ops: run in order. Adjacent and independent ops of one statement travel together.

        Raises:
            StoreFull, StoreConflict, StoreRefused: nothing of ``ops`` was written.
            StoreUnavailable: nothing was written, unless ``in_doubt``.
            StoreClosed, StoreFenced: nothing was written.

        Cancellation: ops that the writer has not taken are not written; those that it has taken are. The caller cannot
        tell. Others are not touched.
        Backpressure: waits while more rows are pending than the store allows.
        Order: the order of calls.
        """
        if not ops:
            await trio.lowlevel.checkpoint()
            return
        await self._submit(Submission(ops, None, max(sum([len(op.rows) for op in ops]), 1)))

    async def transact(self, work: Callable[[Transaction], T], *, rows: int = 1) -> T:
        """Run work that reads before it writes, in the same groups and the same order as ``commit``.

        Args:
            work: runs in the writer's thread, possibly more than once; it touches nothing but its transaction and its
                own locals. All others wait for it: it must not wait for anything itself.
            rows: about how many rows it writes, for the bounds of groups and of what is pending.

        Returns: what the work returned, when it is on disk.
        Raises: as ``commit``; and what the work raises, when nothing of it was written.
        Cancellation, backpressure, order: as ``commit``.
        """
        return cast(T, await self._submit(Submission((), work, max(rows, 1))))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run work over a snapshot that holds all commits that returned before. Does not wait for the writer.

        Args:
            work: runs in a thread; ``Transaction.write`` is refused. Runs again when an idle connection had died.

        Raises: StoreError, and what the work raises.
        Cancellation: not while it runs.
        """
        if self._is_closing:
            raise StoreClosed
        return await trio.to_thread.run_sync(self._readers.run, work, limiter=self._read_limiter)

    def statistics(self) -> StoreStatistics:
        """A snapshot for metrics."""
        counts = self._writer.counts
        return StoreStatistics(
            groups=counts.groups,
            rows=counts.rows,
            pending_rows=self._pending_rows,
            waiting=len(self._waiting),
            last_group_rows=counts.last_group_rows,
            busy_s=counts.busy_s,
            longest_group_s=counts.longest_group_s,
            culprits=counts.culprits,
            reruns=counts.reruns,
            reconnects=counts.reconnects,
        )

    async def _submit(self, submission: Submission) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        # From here to the sleep nothing yields: the order of calls is the order of what is pending.
        if self._is_closing:
            raise StoreClosed
        submission.task = trio.lowlevel.current_task()
        if self._waiting or self._pending_rows >= self._max_pending_rows:
            self._waiting.append(submission)
        else:
            self._let_in(submission)

        def abandon(_: object) -> trio.lowlevel.Abort:
            submission.task = None
            submission.is_abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abandon)

    def _let_in(self, submission: Submission) -> None:
        self._pending_rows += submission.rows
        self._writer.submit(submission)

    def _hand_back(self, group: list[Submission]) -> None:
        """In the writer's thread: wake those who wait."""
        with suppress(trio.RunFinishedError):  # then nobody is left to wait
            self._token.run_sync_soon(self._wake, group)

    def _wake(self, group: list[Submission]) -> None:
        for submission in group:
            self._pending_rows -= submission.rows
            if submission.task is not None:
                trio.lowlevel.reschedule(submission.task, submission.answer)
        while self._waiting and self._pending_rows < self._max_pending_rows:
            submission = self._waiting.popleft()
            if not submission.is_abandoned:
                self._let_in(submission)
        if self._is_closing and not self._pending_rows:
            self._drained.set()

    async def _open(self) -> None:
        await trio.to_thread.run_sync(self._writer.connect)
        self._writer.start()

    async def _close(self) -> None:
        """Write all that was submitted; take no more."""
        self._is_closing = True
        self._writer.hurry()
        if self._pending_rows:
            await self._drained.wait()
        await trio.to_thread.run_sync(self._writer.end)
        await trio.to_thread.run_sync(self._readers.close)


def backend_for(url: str, *, synchronous: str = "FULL", lock_wait_s: float = PATIENCE_S) -> Backend:
    """The database that a URL names.

    Raises: ValueError, without the URL's password.
    """
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        raise ValueError("the store's URL is not one: it looks like sqlite:///path or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite":
            return SqliteBackend(parsed, synchronous=synchronous, lock_wait_s=lock_wait_s)
        case "postgresql" | "postgres":
            return PostgresqlBackend(parsed)
        case other:
            raise ValueError(f"the store is sqlite or postgresql, not {other!r}")


@asynccontextmanager
async def open_store(
    url: str,
    node: int = 0,
    synchronous: str = "FULL",
    *,
    readers: int = READERS,
    max_pending_rows: int = MAX_PENDING_ROWS,
    patience_s: float = PATIENCE_S,
    lock_wait_s: float = PATIENCE_S,
    guard: Guard | None = None,
) -> AsyncIterator[Store]:
    """Open a store; when the block ends, what was submitted is written and the store is closed.

    Args:
        url: ``sqlite:///path`` (four slashes for an absolute path) or ``postgresql://user:password@host/database``.
        node: 0…1023, part of each id; no two processes that write at once may share it.
        synchronous: SQLite's; anything but ``"FULL"`` may lose acknowledged commits in a power cut.
        readers: how many reads run at once.
        max_pending_rows: rows that may wait for the writer before callers wait to be let in.
        patience_s: how long a group waits for a database that went away before its callers get StoreUnavailable.
        lock_wait_s: how long SQLite waits for another process that writes.
        guard: what each write asks first; see ``store.guard``.

    Raises: StoreUnavailable when it cannot be opened, ValueError for a URL or setting that makes no sense.
    """
    if max_pending_rows < 1 or readers < 1:
        raise ValueError(f"a store needs room: max_pending_rows={max_pending_rows}, readers={readers}")
    backend = backend_for(url, synchronous=synchronous, lock_wait_s=lock_wait_s)
    store = Store(backend, node, readers=readers, max_pending_rows=max_pending_rows, patience_s=patience_s, guard=guard)
    await store._open()
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await store._close()
            backend.dispose()
