"""Group commit, in a thread of its own.

The thread takes what has arrived, in the order of arrival, writes it in one transaction, and hands the answers back;
what arrives meanwhile is the next group. It asks nobody before it takes the next one: beside a busy trio thread, a task
that started each group would cost a turn of the scheduler for each.

When a group fails:

1. The connection was lost, or the database was locked, before the commit was sent: nothing was written. The group is
   tried again, with growing pauses, until ``patience_s`` is over; then all get StoreUnavailable. While the database
   stays away each later group is tried once.
2. The connection was lost while the commit was under way: nobody knows. All get StoreUnavailable with ``in_doubt``.
3. A piece of work raised: everything before it in the group had been applied, so it failed as it would have alone. It
   gets its error, and the others are written without it.
4. A joined write failed: which submission was wrong is not known. Each is written alone, in order, and gets its own
   answer.
5. The guard refused: all get StoreFenced, and so does all that follows.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import outcome
import sqlalchemy

from store.backend import Backend
from store.batching import merge
from store.errors import StoreContended, StoreError, StoreFenced, StoreFull, StoreUnavailable
from store.guard import Guard
from store.statements import Op
from store.transaction import Transaction

MAX_GROUP_ROWS = 4096  # rows in one transaction, about 20 ms of SQLite: bounds how long the last of a group waits
MAX_CULPRITS = 8  # works that fail in one group before all are written alone
MAX_CONTENTIONS = 8  # tries after deadlocks and the like
CONTENTION_PAUSE_S = 0.02
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

Work = Callable[[Transaction], Any]


class Submission:
    """What one caller wants written, and its answer.

    Attributes:
        ops, work: one of the two.
        rows: how many rows it counts for.
        answer: set by the writer.
        task: the caller's, None when it no longer waits. The writer does not look at it.
        is_abandoned: the caller was cancelled: not written if not yet taken.
    """

    __slots__ = ("answer", "is_abandoned", "ops", "rows", "task", "work")

    def __init__(self, ops: Sequence[Op], work: Work | None, rows: int) -> None:
        self.ops = ops
        self.work = work
        self.rows = rows
        self.answer: outcome.Outcome[Any] = outcome.Value(None)
        self.task: Any = None
        self.is_abandoned = False


class _Culprit(Exception):
    """A work raised ``error``."""

    def __init__(self, submission: Submission, error: BaseException) -> None:
        super().__init__()
        self.submission = submission
        self.error = error


class Counts:
    """What the writer has done; written by its thread alone."""

    __slots__ = ("busy_s", "culprits", "groups", "last_group_rows", "longest_group_s", "reconnects", "reruns", "rows")

    def __init__(self) -> None:
        self.groups = self.rows = self.last_group_rows = self.culprits = self.reruns = self.reconnects = 0
        self.busy_s = self.longest_group_s = 0.0


class Writer:
    """The writing thread.

    Args:
        backend: the database.
        deliver: called in this thread with each group whose answers are set. Must not raise.
        patience_s: how long a group waits for a database that went away.
        guard: what each transaction asks first, if anything.
    """

    def __init__(
        self,
        backend: Backend,
        deliver: Callable[[list[Submission]], None],
        patience_s: float,
        guard: Guard | None = None,
    ) -> None:
        self.counts = Counts()
        self._backend = backend
        self._guard = guard
        self._deliver = deliver
        self._patience_s = patience_s
        self._pending: deque[Submission] = deque()
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._is_idle = False
        self._is_ending = False
        self._is_down = False
        self._hurry = Event()
        self._connection: sqlalchemy.Connection | None = None
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)

    # Called from outside.

    def connect(self) -> None:
        """Open the connection. Call before ``start``, so that a database that is not there is found out early.

        Raises: StoreUnavailable.
        """
        try:
            connection = self._backend.connect(read_only=False)
            if self._guard is not None:
                self._guard.connected(connection)
            self._connection = connection
        except Exception as error:
            mapped = self._backend.error(error)
            if mapped is None:
                raise
            if isinstance(mapped, StoreUnavailable):
                raise mapped from None
            raise StoreUnavailable(str(mapped)) from None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Put something behind what waits. Never blocks."""
        self._pending.append(submission)
        if self._is_idle:
            self._is_idle = False
            self._signal.put(None)

    def hurry(self) -> None:
        """Wait no more for a database that is away: the store is closing."""
        self._hurry.set()

    def end(self) -> None:
        """Write what is pending, close the connection, and wait for the thread's end. Blocks."""
        self._is_ending = True
        self._signal.put(None)
        self._thread.join()

    # In the thread.

    def _run(self) -> None:
        while True:
            group = self._take()
            if group:
                self._write(group)
                self._deliver(group)
                continue
            if self._is_ending:
                break
            # Idle is said first and looked at again after: what is put between is seen here or signalled.
            self._is_idle = True
            if not self._pending and not self._is_ending:
                self._signal.get()
            self._is_idle = False
        self._disconnect()

    def _take(self) -> list[Submission]:
        group: list[Submission] = []
        rows = 0
        pending = self._pending
        while pending and rows < MAX_GROUP_ROWS:
            submission = pending.popleft()
            rows += submission.rows
            group.append(submission)
        return group

    def _write(self, group: list[Submission]) -> None:
        started = time.perf_counter()
        live = [submission for submission in group if not submission.is_abandoned]
        if live:
            self._settle(live)
        took = time.perf_counter() - started
        counts = self.counts
        counts.groups += 1
        counts.last_group_rows = sum([submission.rows for submission in live])
        counts.rows += counts.last_group_rows
        counts.busy_s += took
        counts.longest_group_s = max(counts.longest_group_s, took)

    def _settle(self, group: list[Submission]) -> None:
        """Write a group; afterwards each of its submissions has its answer."""
        culprits = 0
        while group:
            try:
                self._insist(group)
            except _Culprit as culprit:
                culprit.submission.answer = outcome.Error(culprit.error)
                group = [each for each in group if each is not culprit.submission]
                self.counts.culprits += 1
                culprits += 1
                if culprits > MAX_CULPRITS:
                    break
            except StoreFenced:
                for each in group:
                    each.answer = outcome.Error(StoreFenced())
                return
            except StoreUnavailable as error:
                for each in group:
                    # Each its own: an error that is raised in several tasks would gather their tracebacks.
                    each.answer = outcome.Error(StoreUnavailable(error.reason, in_doubt=error.in_doubt))
                return
            except BaseException as error:
                if len(group) == 1:
                    group[0].answer = outcome.Error(error)
                    return
                break
            else:
                return
        self.counts.reruns += len(group)
        for each in group:
            self._settle([each])

    def _insist(self, group: list[Submission]) -> None:
        """Write a group, again and again as long as it is certain that it was not written and there is hope."""
        give_up_at = time.monotonic() + (0.0 if self._is_down else self._patience_s)
        pause_s = FIRST_PAUSE_S
        contentions = 0
        while True:
            try:
                self._transact(group)
            except StoreContended:
                contentions += 1
                if contentions > MAX_CONTENTIONS:
                    raise
                # Two that deadlocked and start again in step would meet again.
                self._hurry.wait(random.uniform(0.0, CONTENTION_PAUSE_S * contentions))  # noqa: S311 - no secret
            except StoreUnavailable as error:
                self._disconnect()
                if error.in_doubt:
                    raise
                if self._hurry.is_set() or time.monotonic() + pause_s > give_up_at:
                    self._is_down = True
                    raise
                self._hurry.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._is_down = False
                return

    def _transact(self, group: list[Submission]) -> None:
        """Write a group in one transaction, once.

        Raises: StoreError or _Culprit; then nothing was written, unless it is StoreUnavailable with ``in_doubt``.
        """
        if self._connection is None:
            self.connect()
            self.counts.reconnects += 1
        connection = self._connection
        if connection is None:  # connect() sets it or raises
            raise StoreUnavailable("no connection")
        current: Submission | None = None
        is_committing = False
        try:
            transaction = connection.begin()
            if self._guard is not None:
                self._guard.check(connection)
            handle = Transaction(self._backend, connection)
            ops: list[Op] = []
            for submission in group:
                if submission.work is None:
                    ops += submission.ops
                    continue
                _flush(handle, ops)
                current = submission
                submission.answer = outcome.Value(submission.work(handle))
                handle.check()
                current = None
            _flush(handle, ops)
            handle.check()
            is_committing = True
            transaction.commit()
        except BaseException as error:  # a work may raise anything; this thread must outlive it
            self._roll_back(connection)
            mapped = error if isinstance(error, StoreError) else self._backend.error(error)
            if isinstance(mapped, StoreContended):
                raise mapped from None
            if isinstance(mapped, StoreUnavailable):
                in_doubt = is_committing and self._backend.may_doubt_commits
                raise StoreUnavailable(mapped.reason, in_doubt=in_doubt) from None
            if current is not None and not isinstance(mapped, StoreFull):
                raise _Culprit(current, error if mapped is None else mapped) from None
            if mapped is None or mapped is error:
                raise
            raise mapped from None

    def _roll_back(self, connection: sqlalchemy.Connection) -> None:
        try:
            connection.rollback()
            # After a commit that failed SQLAlchemy holds the transaction for ended; SQLite still has it open.
            raw: Any = connection.connection.dbapi_connection
            raw.rollback()
        except Exception:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)


def _flush(transaction: Transaction, ops: list[Op]) -> None:
    for op in merge(ops):
        transaction.write(op)
    ops.clear()


def _close(connection: sqlalchemy.Connection) -> None:
    """Close a connection that may be broken."""
    try:
        connection.invalidate()
        connection.close()
    except Exception:  # noqa: S110 - it is being thrown away: there is nobody to tell
        pass
