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

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import structlog
import trio

from provisioning.authority import Loa, WhiteList
from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Adapter
from provisioning.directories.making import adapter_of
from provisioning.directory import Directory
from provisioning.directory_publisher import AGAIN_S, PAGE, PIECE, DirectoryPublisher
from provisioning.listings import Listings, View
from provisioning.publication import day_of
from provisioning.publishing_steps import counts, forgettable, sweep
from provisioning.publishing_tally import Sample, Tally
from provisioning.rows import read_all
from store import Store, StoreError, Transaction

POLL_S = 1.0
COUNTED_POLLS = 5  # between two counts of what there is, while it changes
RECOUNTED_S = 60.0  # when nothing seems to change: commands end wishes too, and waiting becomes overdue by itself
SWEPT_S = 3_600.0

MakeAdapter = Callable[[CarrierDirectory, Mapping[str, str]], Adapter]

log = structlog.get_logger("provisioning.publisher")


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
        self._poll_s = poll_s
        self._view: View | None = None
        self._workers: dict[str, tuple[CarrierDirectory, trio.CancelScope]] = {}
        self.tally = Tally()

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
                await trio.sleep(self._poll_s)

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
        return self.tally.samples(self._clock())

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
            make = partial(self._make_adapter, directory, self._environ)
            worker = DirectoryPublisher(self._store, directory, self.view, self.tally, self._clock, make, self._poll_s)
            await worker.run()

    async def _sweep(self) -> None:
        """Forget what was withdrawn long ago, in pieces: a million rows at once would hold texts up for seconds."""
        while keys := await self._store.read(partial(forgettable, now_us=self._clock(), limit=PAGE)):
            for start in range(0, len(keys), PIECE):
                work = partial(sweep, keys=keys[start : start + PIECE], now_us=self._clock())
                await self._store.transact(work, rows=PIECE)
            self.tally.is_dirty = True

    async def _do_chores(self) -> None:
        """Count what there is, for metrics, and forget what was withdrawn long ago."""
        swept_at, counted_at = -SWEPT_S, 0.0
        while True:
            try:
                is_old = bool(self.tally.counted) and trio.current_time() >= counted_at + RECOUNTED_S
                if (self.tally.is_dirty or is_old) and self._view is not None:
                    self.tally.is_dirty = False
                    counted_at = trio.current_time()
                    confirm_s = {each.name: each.confirm_s for each in self._view.directories.values()}
                    self.tally.counted = await self._store.read(
                        partial(counts, confirm_s=confirm_s, now_us=self._clock())
                    )
                if trio.current_time() >= swept_at + SWEPT_S and self.tally.counted:
                    swept_at = trio.current_time()
                    await self._sweep()
            except StoreError as error:
                self.tally.is_dirty = True
                log.warning("publications could not be counted", error=type(error).__name__)
            await trio.sleep(COUNTED_POLLS * self._poll_s)
