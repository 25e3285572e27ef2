"""The publisher: carries out the wishes for external directories (H5).

One task for each directory, so that one that is slow, wrong or silent holds up no other. A task goes in rounds: it
reads the batch that is due the longest, writes it as told, calls the adapter in a worker thread, and writes what came
of it. The rows say all: whoever starts after a crash goes on from them, and repeats what was being told under the same
keys.

When the catalog has changed, and when a day begins, each task looks through its directory's rows for those that are
not as they should be any more. Nothing an adapter does ends a task: a call that raises, or that does not end, is a call
that decided nothing, and the directory is left alone for a while.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
import structlog
import trio

from provisioning.authority import Loa, WhiteList
from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Adapter, Answer, Finding
from provisioning.directories.making import adapter_of
from provisioning.directory import Directory
from provisioning.errors import ProvisioningError
from provisioning.listings import Listings
from provisioning.publication import day_of
from provisioning.publishing_rules import MAX_REASON_CHARACTERS, Publication, Step, Waits, believed, bounded_text
from provisioning.publishing_steps import (
    Claimed,
    Counted,
    claim,
    counts,
    differing,
    due,
    reconcile,
    resume,
    settle,
    sweep,
)
from provisioning.rows import read_all
from store import Store, StoreError, Transaction

POLL_S = 1.0
AGAIN_S = 5.0  # after a fault of ours or of the store
TIMEOUTS = 4  # a call may take so many times as long as one answer: a batch may take several
CLOSE_S = 2.0
PAGE = 1_000  # rows looked through at a time
COUNTED_POLLS = 5  # between two counts of what there is, while it changes
SWEPT_S = 3_600.0

MakeAdapter = Callable[[CarrierDirectory, Mapping[str, str]], Adapter]

log = structlog.get_logger("provisioning.publisher")


class Sample(msgspec.Struct, frozen=True):
    """One value for metrics.

    Attributes:
        name: the metric's.
        kind: ``"gauge"`` or ``"counter"``.
        help: what it says.
        labels: names and values.
        value: the value.
    """

    name: str
    kind: str
    help: str
    labels: dict[str, str]
    value: float


class View(msgspec.Struct, frozen=True):
    """What is provisioned, as one reading of the catalog saw it.

    Attributes:
        directories: by name.
        listings: what is told of numbers.
    """

    directories: dict[str, CarrierDirectory]
    listings: Listings


class Publisher:
    """Carries out wishes until it is cancelled.

    Args:
        store: where they are.
        snapshot: the hub's own snapshot of the catalog, as new as the caller has one.
        environ: where secrets that are given by a variable are looked up.
        clock: now, in microseconds.
        make_adapter: for tests.
        poll_s: until a wish of another process is seen, and what is provisioned is looked at again.
    """

    def __init__(
        self,
        store: Store,
        snapshot: Callable[[], Directory],
        environ: Mapping[str, str],
        clock: Callable[[], int],
        make_adapter: MakeAdapter = adapter_of,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._environ = environ
        self._clock = clock
        self._make_adapter = make_adapter
        self.poll_s = poll_s
        self._view: View | None = None
        self._workers: dict[str, tuple[CarrierDirectory, trio.CancelScope]] = {}
        self._counted: list[Counted] = []
        self.calls: Counter[tuple[str, str, str]] = Counter()
        """Calls by directory, call (a step's word) and result."""
        self.call_seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        """Seconds spent in them, by directory and call."""
        self.is_dirty = True
        """Whether publications have changed since they were counted."""

    async def run(self) -> None:
        """Publish, until cancelled. Nothing that happens to one directory ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._do_chores)
            while True:
                try:
                    view = await self.view()
                except StoreError as error:
                    log.warning("publisher: the catalog could not be read", error=type(error).__name__)
                    await trio.sleep(AGAIN_S)
                    continue
                self._employ(view, nursery)
                await trio.sleep(self.poll_s)

    async def view(self) -> View:
        """What is provisioned, as new as the snapshot. Raises: StoreError."""
        snapshot, today = self._snapshot(), day_of(self._clock())
        known = self._view
        if known is not None and (known.listings.revision, known.listings.today) == (snapshot.revision, today):
            return known

        def work(tx: Transaction) -> View:
            directories = {directory.name: directory for directory in read_all(tx, CarrierDirectory)}
            if not directories:  # then nobody asks of letters
                return View({}, Listings(snapshot, (), (), today))
            return View(directories, Listings(snapshot, read_all(tx, Loa), read_all(tx, WhiteList), today))

        self._view = await self._store.read(work)
        return self._view

    def samples(self) -> Iterator[Sample]:
        """What metrics tell of it, as it is now."""
        now_us = self._clock()
        for row in self._counted:
            labels = {"directory": row.directory, "state": row.state}
            age_s = max(0.0, (now_us - row.oldest_since_us) / 1e6)
            yield Sample("smshub_publications", "gauge", "Numbers in directories, by state.", labels, row.count)
            help_text = "How long the one that is in this state the longest has been in it."
            yield Sample("smshub_publication_oldest_seconds", "gauge", help_text, labels, age_s)
            help_text = "Publications that wait for a decision for longer than confirm_s."
            yield Sample("smshub_publications_overdue", "gauge", help_text, labels, row.overdue)
            help_text = "Publications that no valid letter of authorization covers any more."
            yield Sample("smshub_publications_uncovered", "gauge", help_text, labels, row.uncovered)
        for (directory, call, result), count in self.calls.items():
            help_text = "Calls of directories, by what became of them."
            told = {"directory": directory, "call": call, "result": result}
            yield Sample("smshub_directory_calls_total", "counter", help_text, told, count)
        for (directory, call), seconds in self.call_seconds.items():
            made = sum([count for (d, c, _), count in self.calls.items() if (d, c) == (directory, call)])
            told = {"directory": directory, "call": call}
            help_text = "Time that calls of directories took."
            yield Sample("smshub_directory_call_seconds_sum", "counter", help_text, told, seconds)
            yield Sample("smshub_directory_call_seconds_count", "counter", help_text, told, made)

    def _employ(self, view: View, nursery: trio.Nursery) -> None:
        """Let a task run for each directory, anew when its settings have changed."""
        for name, (directory, scope) in list(self._workers.items()):
            if view.directories.get(name) != directory:
                scope.cancel()
                del self._workers[name]
        for name, directory in view.directories.items():
            if name not in self._workers:
                scope = trio.CancelScope()
                self._workers[name] = directory, scope
                nursery.start_soon(self._work, directory, scope)

    async def _work(self, directory: CarrierDirectory, scope: trio.CancelScope) -> None:
        with scope:
            await DirectoryPublisher(self, self._store, directory, self._clock, self._make_adapter_of(directory)).run()

    def _make_adapter_of(self, directory: CarrierDirectory) -> Callable[[], Adapter]:
        return partial(self._make_adapter, directory, self._environ)

    async def _do_chores(self) -> None:
        """Count what there is, for metrics, and forget what was withdrawn long ago."""
        swept_at = -SWEPT_S
        while True:
            try:
                if self.is_dirty and self._view is not None:
                    self.is_dirty = False
                    confirm_s = {each.name: each.confirm_s for each in self._view.directories.values()}
                    self._counted = await self._store.read(partial(counts, confirm_s=confirm_s, now_us=self._clock()))
                if trio.current_time() >= swept_at + SWEPT_S and self._counted:
                    swept_at = trio.current_time()
                    await self._store.transact(partial(sweep, now_us=self._clock()))
                    self.is_dirty = True
            except StoreError as error:
                self.is_dirty = True
                log.warning("publications could not be counted", error=type(error).__name__)
            await trio.sleep(COUNTED_POLLS * self.poll_s)


class DirectoryPublisher:
    """The task of one directory."""

    def __init__(
        self,
        publisher: Publisher,
        store: Store,
        directory: CarrierDirectory,
        clock: Callable[[], int],
        make_adapter: Callable[[], Adapter],
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._directory = directory
        self._clock = clock
        self._make_adapter = make_adapter
        self._adapter: Adapter | None = None
        self._limiter = trio.CapacityLimiter(1)  # a call that was given up still holds it until its thread ends
        self._reconciled = (-1, "")  # revision and day
        self._failures = 0
        self._resumed = False
        self._log = log.bind(directory=directory.name)

    async def run(self) -> None:
        """Go from round to round, until cancelled."""
        try:
            while True:
                try:
                    pause_s = await self._round()
                except StoreError as error:
                    self._log.warning("publications could not be read or written", error=type(error).__name__)
                    pause_s = AGAIN_S
                except Exception:
                    self._log.exception("publishing failed, it goes on", again_in_s=AGAIN_S)
                    pause_s = AGAIN_S
                await trio.sleep(pause_s)
        finally:
            await self._close()

    async def _round(self) -> float:
        """Do what is due. Returns: seconds until there may be more."""
        name = self._directory.name
        if not self._resumed:
            resumed = await self._store.transact(partial(resume, directory=name, now_us=self._clock()))
            self._resumed = True
            if resumed:
                self._log.info("publishing goes on where it ended", numbers=resumed)
        listings = (await self._publisher.view()).listings
        if (listings.revision, listings.today) != self._reconciled:
            await self._reconcile(listings)
        waits = self._waits()
        now_us = self._clock()
        batch, next_us = await self._store.read(
            partial(due, directory=name, waits=waits, now_us=now_us, limit=self._directory.batch)
        )
        if not batch:
            poll_s = self._publisher.poll_s
            return min(max((next_us - now_us) / 1e6, 0.01), poll_s) if next_us else poll_s
        until_us = now_us + min(round((self._patience_s() + self._directory.retry_first_s) * 1e6), waits.longest_us)
        claimed = await self._store.transact(
            partial(claim, batch=batch, listings=listings, carrier=self._directory, until_us=until_us, now_us=now_us),
            rows=len(batch),
        )
        self._publisher.is_dirty = True
        if not claimed.rows:
            return 0.0 if claimed.moved else self._publisher.poll_s
        answers, failure = await self._call(claimed)
        await self._settle(claimed.rows, answers, listings, waits)
        if not failure:
            self._failures = 0
            return 0.0
        self._failures += 1
        return waits.after(self._failures) / 1e6

    async def _settle(
        self, rows: Sequence[Publication], answers: Sequence[Answer], listings: Listings, waits: Waits
    ) -> None:
        await self._store.transact(
            partial(
                settle,
                asked=rows,
                answers=answers,
                listings=listings,
                carrier=self._directory,
                waits=waits,
                now_us=self._clock(),
            ),
            rows=len(rows),
        )

    async def _call(self, claimed: Claimed) -> tuple[list[Answer], bool]:
        """Ask the directory. Returns: an answer for each task; and whether the call as a whole came to nothing."""
        name, call = self._directory.name, claimed.step.value
        began = trio.current_time()
        result, reason, answers = "timeout", f"no answer within {self._patience_s():g} s", None
        with trio.move_on_after(self._patience_s()):
            try:
                given = await trio.to_thread.run_sync(
                    self._asked, claimed, abandon_on_cancel=True, limiter=self._limiter
                )
                answers = believed(given, len(claimed.tasks))
                result, reason = "answered", ""
                if answers is None:
                    result, reason = "wrong", "its adapter did not answer for each number"
            except (OSError, ProvisioningError) as error:
                result, reason = "failed", bounded_text(f"it cannot be spoken to: {error}", MAX_REASON_CHARACTERS)
            except Exception as error:
                result, reason = "fault", f"its adapter failed: {type(error).__name__}"
                self._log.exception("the adapter failed", call=call)
        self._publisher.calls[name, call, result] += 1
        self._publisher.call_seconds[name, call] += trio.current_time() - began
        if answers is not None:
            return answers, False
        if not self._failures:
            self._log.warning("the directory decided nothing, it is asked again", call=call, result=result, why=reason)
        return [Answer(Finding.LATER, reason)] * len(claimed.tasks), True

    def _asked(self, claimed: Claimed) -> list[Answer]:
        """In a worker thread: the call itself."""
        if self._adapter is None:
            self._adapter = self._make_adapter()
        if claimed.step is Step.PUBLISH:
            return self._adapter.publish(claimed.tasks)
        if claimed.step is Step.WITHDRAW:
            return self._adapter.withdraw(claimed.tasks)
        return self._adapter.confirm(claimed.tasks)

    async def _reconcile(self, listings: Listings) -> None:
        """Look through all publications of the directory for those that must be told, held or ended now."""
        after: int | None = -1
        changed = 0
        while after is not None:
            found, after = await self._store.read(
                partial(
                    differing,
                    listings=listings,
                    carrier=self._directory,
                    after=after,
                    limit=PAGE,
                    now_us=self._clock(),
                )
            )
            if found:
                changed += await self._store.transact(
                    partial(reconcile, rows=found, listings=listings, carrier=self._directory, now_us=self._clock()),
                    rows=len(found),
                )
        self._reconciled = (listings.revision, listings.today)
        if changed:
            self._publisher.is_dirty = True
            self._log.info("publications follow what is provisioned", revision=listings.revision, changed=changed)

    def _patience_s(self) -> float:
        return self._directory.timeout_s * TIMEOUTS

    def _waits(self) -> Waits:
        first_us, longest_us = (
            round(s * 1e6) for s in (self._directory.retry_first_s, self._directory.retry_longest_s)
        )
        return Waits(first_us, longest_us, random.random())  # noqa: S311 - no secret

    async def _close(self) -> None:
        """Let go of the adapter, unless a call that was given up still has it."""
        adapter = self._adapter
        if adapter is None:
            return
        with trio.move_on_after(CLOSE_S, shield=True):
            try:
                await trio.to_thread.run_sync(adapter.close, abandon_on_cancel=True, limiter=self._limiter)
            except Exception:
                self._log.exception("the adapter did not close")
