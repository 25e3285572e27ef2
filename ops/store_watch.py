"""Looks at the store now and then, for metrics: does it answer, how much waits there and for how long, is there room.

A scrape must not wait for the store, and several who scrape must not ask it several times: it is asked beside, and a
scrape reads what was found last. After a look there is a rest of several times as long as it took.

Of several nodes each tells of the queues that it holds, so that sums over nodes count nothing twice. One of them, which
does what is done once for all, tells besides of the store as a whole, and of queues that nobody holds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import sqlalchemy
import structlog
import trio
from prometheus_client.core import Metric

from hub.backlog import Backlog, Waiting, backlog
from hub.cluster_rows import Between, between
from hub.model import Kind
from ops.config import Config
from ops.metric_families import family
from provisioning import catalog
from store import Store, StoreError, Transaction
from store.audit import head

LOOK_S = 5.0  # as long as anybody may wait for a figure to be true
REST = 20.0  # times as long as a look took
PATIENCE_S = 10.0  # a transaction that takes longer is no answer

log = structlog.get_logger("ops.store_watch")


class Found(msgspec.Struct, frozen=True):
    """What one look found.

    Attributes:
        at_us: when.
        backlog: what waits.
        audit_entries: how many entries the audit has.
        revision: of the catalog in the store.
        between: what nodes have left for each other; None for a daemon that is alone.
    """

    at_us: int
    backlog: Backlog
    audit_entries: int
    revision: int
    between: Between | None = None


class StoreWatch:
    """See the module's head.

    Args:
        store: the store.
        clock: now in microseconds, UTC.
        folders: word → folder whose file system is looked at.
        endpoints: answers the names of those that are told of even when nothing waits for them.
        look_s: seconds between two looks.
        tells_all: whether it is this node that tells of the store as a whole.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        folders: Mapping[str, str],
        endpoints: Callable[[], Iterable[str]] = tuple,
        look_s: float = LOOK_S,
        tells_all: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._folders = folders
        self._endpoints = endpoints
        self._look_s = look_s
        self._tells_all = tells_all
        self._found: Found | None = None
        self._answers = False
        self._answer_s = 0.0
        self._disks: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        """Look until cancelled. Nothing that it meets ends it."""
        while True:
            began = time.monotonic()
            try:
                await self.look()
            except Exception:  # a fault of ours: texts must go on
                log.exception("the store could not be looked at")
            await trio.sleep(max(self._look_s, REST * (time.monotonic() - began)))

    async def look(self) -> None:
        """Look once."""
        self._disks = await trio.to_thread.run_sync(_disks, self._folders)
        if not await self._ask():
            return
        try:
            self._found = await self._store.read(self._find)
        except StoreError as error:
            self._lost(type(error).__name__)

    async def _ask(self) -> bool:
        """Whether the writer answers in time."""
        began = time.monotonic()
        why = "no answer in time"
        answered = False
        with trio.move_on_after(PATIENCE_S):
            try:
                await self._store.transact(lambda tx: None)
                answered = True
            except StoreError as error:
                why = type(error).__name__
        self._answer_s = time.monotonic() - began
        if not answered:
            self._lost(why)
        elif not self._answers:
            self._answers = True
            log.info("the store answers")
        return answered

    def _lost(self, why: str) -> None:
        if self._answers:
            log.warning("the store does not answer", error=why)
        self._answers = False

    def _find(self, tx: Transaction) -> Found:
        now_us = self._clock()
        left = between(tx) if self._store.is_shared else None
        return Found(now_us, backlog(tx, now_us), head(tx).id, catalog.revision(tx), left)

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_store_up", float(self._answers))
        yield family("smshub_store_answer_seconds", self._answer_s)
        yield family("smshub_disk_free_bytes", {(what,): free for what, (free, _) in self._disks.items()})
        yield family("smshub_disk_size_bytes", {(what,): size for what, (_, size) in self._disks.items()})
        found = self._found
        if found is None:
            return
        names = [*self._endpoints()]
        tells_all = self._tells_all()
        held = found.between.held if found.between is not None else frozenset()

        def is_told(endpoint: str) -> bool:
            return endpoint in names or (tells_all and endpoint not in held)

        waits = {(name, word): _NOTHING for name in names for word in _WORDS.values()}
        for (endpoint, kind), each in found.backlog.waiting.items():
            if is_told(endpoint):
                waits[endpoint, _WORDS[kind]] = each
        yield family("smshub_queue_messages", {labels: each.messages for labels, each in waits.items()})
        # As of the look: ages that went on growing would tell of a text that has gone since.
        ages = {labels: _age_s(found.at_us, each.since_us) for labels, each in waits.items()}
        yield family("smshub_queue_oldest_seconds", ages)
        scheduled = {name: count for name, count in found.backlog.scheduled.items() if is_told(name)}
        yield family("smshub_scheduled_messages", _by_label(dict.fromkeys(names, 0) | scheduled))
        yield family("smshub_catalog_stored_revision", found.revision)
        if tells_all:
            yield from _of_all(found)
        if found.between is not None:
            yield family("smshub_waiting_bells", found.between.bells)
            yield family("smshub_waiting_errands", found.between.errands)
            yield family("smshub_outbox_oldest_seconds", _age_s(found.at_us, found.between.outbox_since_us))


def _of_all(found: Found) -> Iterator[Metric]:
    """What is told of the store as a whole."""
    yield family("smshub_dead_letter_messages", found.backlog.dead)
    yield family("smshub_open_threads", _by_label(found.backlog.open_threads))
    lags = {(name,): _age_s(found.at_us, since_us) for name, since_us in found.backlog.followers.items()}
    yield family("smshub_feed_lag_seconds", lags)
    yield family("smshub_audit_entries_total", found.audit_entries)


_NOTHING = Waiting(0, 0)
_WORDS = {Kind.TEXT: "text", Kind.RECEIPT: "receipt"}


def _by_label(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(label,): count for label, count in counts.items()}


def _age_s(now_us: int, since_us: int) -> float:
    return max(0.0, (now_us - since_us) / 1e6) if since_us else 0.0


def _disks(folders: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Octets that may still be written, and the size, of the file systems of folders. Blocks."""
    found: dict[str, tuple[int, int]] = {}
    for what, folder in folders.items():
        try:
            of = os.statvfs(folder)
        except OSError:
            continue  # who writes there says why it cannot
        found[what] = (of.f_bavail * of.f_frsize, of.f_blocks * of.f_frsize)
    return found


def folders_of(config: Config) -> dict[str, str]:
    """The folders that a daemon writes to, by word; a store that is no file has none."""
    url = sqlalchemy.make_url(config.store.url)
    found: dict[str, str] = {}
    if url.get_backend_name() == "sqlite" and url.database:
        found["store"] = os.path.dirname(os.path.abspath(url.database))
    if config.charging.directory:
        found["charging"] = config.charging.directory
    if config.archive.target.startswith("directory:"):
        found["archive"] = os.path.join(os.path.dirname(config.path), config.archive.target.removeprefix("directory:"))
    return found
