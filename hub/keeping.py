"""The keeper: removes what is due, archives it before where a rule says so, in the daemon's spare time (H36).

How it finds what is due without reading everything each time: ids rise with time, so for each period that a rule has
there is one pass over the messages in the order of ids. It goes as far as messages that are older than the period (and
a little, ``keeping_rules.slack_us``), and remembers how far it came. So each row is read once for each period, and a
second time when it had not ended by then (``retention_later``). When a rule or a hold changes, the passes begin anew;
so they do every 30 days, for what changed its class after a pass had gone by.

What keeps it from being felt: pages of 500 rows, each a transaction, and after each a rest of several times as long as
that took. What keeps it honest: a message that is archived is removed only after its object is on disk or its PUT was
confirmed, and the plan of that object is in the store before it is made. Whoever dies in between is followed by one who
makes the same object, of the same name, again: nothing is lost, and nothing is there twice.

One keeper works at a time: it holds a lease, which ends by itself when it dies.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
import trio

from hub import keeping_ledger as ledger
from hub.keeping_ledger import Changed, Found, Shelved
from hub.keeping_record import Record, day_of, object_name, record_of
from hub.keeping_rules import DAY_US, NEVER_US, Rulebook, period_us, slack_us
from provisioning import catalog
from provisioning.model import CallCentre
from store import Store, StoreError, Transaction
from store.ids import EPOCH_US

LOOK_S = 10.0  # between two rounds
REST = 3.0  # rests so many times as long as it kept a thread of the store busy
LEAST_REST_S = 0.005
RENEW_S = 10.0
CHANGED_S = 0.5  # before the rules are read anew
READ_PAGE = 2_000
LEASE_US = 60_000_000
REFUSED_US = 600_000_000  # before a message is looked at again that the archive did not take
RESCAN_US = 30 * DAY_US
_ID_SHIFT = 22  # see store/ids.py

log = structlog.get_logger("hub.keeping")

T = TypeVar("T")


class ArchiveError(Exception):
    """The archive did not take, give or remove an object. The message says which, why, and never what is in it."""


class Stored(msgspec.Struct, frozen=True):
    """An object that the archive has taken.

    Attributes:
        octets, sha256: its size and digest.
    """

    octets: int
    sha256: str


class Archive(Protocol):
    """Where archived messages go. Its methods block and are called in a worker thread."""

    @property
    def suffix(self) -> str:
        """What its objects' names end in, such as ``.jsonl.gz``."""
        ...

    def store(self, name: str, records: Sequence[Record]) -> Stored:
        """Write an object and its manifest so that both outlast a power cut; the same again when it is there.

        Raises: ArchiveError.
        """
        ...

    def load(self, name: str) -> list[Record]:
        """Read an object. Raises: ArchiveError."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object and its manifest; nothing happens when they are not there. Raises: ArchiveError."""
        ...


class KeepingSettings(msgspec.Struct, frozen=True):
    """How long what no rule names is kept.

    Attributes:
        feed_us: rows of the feed that all followers have seen.
        account_days: days of which it is known what an account sent.
        most_ahead_us: nothing is removed any more when the clock was set ahead by more than this since the keeper was
            made; 0 to trust it. A clock that is a year ahead would erase a year's texts.
    """

    feed_us: int = 7 * DAY_US
    account_days: int = 400
    most_ahead_us: int = 0


class Tally(msgspec.Struct):
    """What a keeper has done since it was made.

    Attributes:
        erased, archived: messages.
        threads, feed_rows: rows removed.
        objects: of the archive, written.
        failures: rounds that ended with an error.
        done_us: when a round last did all that was due; when it was made, before the first.
    """

    erased: int = 0
    archived: int = 0
    threads: int = 0
    feed_rows: int = 0
    objects: int = 0
    failures: int = 0
    done_us: int = 0


class LeaseTaken(Exception):
    """Another keeper is at work."""


class ClockSetAhead(Exception):
    """The machine's clock has gone on by far more than time has: by it, everything may seem due."""


class Keeper:
    """See the module's head.

    Args:
        store: the store.
        clock: now in microseconds.
        archive: where rules that archive put messages; None when none is set up: such rules wait.
        settings: how long what no rule names is kept.
        holder: this keeper's name in the lease; no two may share one.

    Attributes:
        tally: what it has done.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        archive: Archive | None = None,
        settings: KeepingSettings | None = None,
        holder: str = "daemon",
    ) -> None:
        self.tally = Tally(done_us=clock())
        self._store = store
        self._clock = clock
        self._archive = archive
        self._settings = settings or KeepingSettings()
        self._holder = holder
        self._book = Rulebook()
        self._revision = -1
        self._has_warned = self._is_held_up = False
        self._refusal: ArchiveError | None = None  # of this round
        self._renewed_at = 0.0
        self._began_us, self._began_at = clock(), time.monotonic()

    async def run(self) -> None:
        """Keep until cancelled. An error ends a round, never the keeper."""
        while True:
            try:
                await self.round()
            except LeaseTaken:
                pass
            except ClockSetAhead as error:
                self.tally.failures += 1
                log.error("retention rests until the daemon starts again, or `smshub retention run`", why=str(error))
            except (StoreError, ArchiveError) as error:
                self.tally.failures += 1
                log.warning("retention stopped, it goes on later", error=type(error).__name__, why=str(error))
            except Exception:
                self.tally.failures += 1
                log.exception("retention failed, it is tried again later")
            await trio.sleep(LOOK_S)

    async def round(self) -> None:
        """Remove and archive all that is due now.

        Raises: LeaseTaken, ClockSetAhead, StoreError, ArchiveError. What was done stays done.
        """
        self._distrust_clock()
        async with self.leased():
            while True:
                try:
                    await self._go_round()
                except Changed:
                    await trio.sleep(CHANGED_S)  # somebody is at it
                    continue
                if not self._is_held_up:
                    self.tally.done_us = self._clock()
                return

    def _distrust_clock(self) -> None:
        """Raises: ClockSetAhead."""
        passed_us = round((time.monotonic() - self._began_at) * 1e6)
        ahead_us = self._clock() - self._began_us - passed_us
        if self._settings.most_ahead_us and ahead_us > self._settings.most_ahead_us:
            raise ClockSetAhead(f"the machine's clock was set ahead by {ahead_us / 3.6e9:.1f} hours")

    @asynccontextmanager
    async def leased(self) -> AsyncIterator[None]:
        """Be the one who removes and archives while the body lasts. Raises: LeaseTaken."""
        await self.renew()
        try:
            yield
        finally:
            with trio.move_on_after(2.0, shield=True):
                await self._store.transact(lambda tx: ledger.end_lease(tx, self._holder))

    async def renew(self) -> None:
        """Go on being it: to be called every few seconds. Raises: LeaseTaken."""
        now_us = self._clock()
        if not await self._store.transact(lambda tx: ledger.take_lease(tx, self._holder, now_us, now_us + LEASE_US)):
            raise LeaseTaken
        self._renewed_at = time.monotonic()

    async def at_archive(self, work: Callable[..., T], *arguments: Any) -> T:
        """Have the archive do something, and go on being the one meanwhile: a store far away may take its time.

        Raises: what ``work`` raises; LeaseTaken.
        """
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._renew_on)
            try:
                answer = await trio.to_thread.run_sync(work, *arguments)
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if time.monotonic() > self._renewed_at + RENEW_S:
            await self.renew()
        return answer

    async def _renew_on(self) -> None:
        """Renew until cancelled. What speaks against it is found by whoever needs the lease next."""
        with suppress(LeaseTaken):
            while True:
                await trio.sleep(RENEW_S)
                with suppress(StoreError):
                    await self.renew()

    async def read_rules(self) -> Rulebook:
        """Go by the rules and holds that are in force now."""
        self._revision, self._book = await self._store.read(ledger.rulebook)
        return self._book

    async def _go_round(self) -> None:
        """Raises: Changed; ArchiveError, when all that needs no archive is done."""
        await self.read_rules()
        self._refusal = None
        if self._archive is not None:
            with self._archive_refusing():
                await self.finish_objects()
        elif any(rule.action == "archive" for rule in self._book.rules) and not self._has_warned:
            self._has_warned = True
            log.warning("a rule archives, and archive.target is not set: what it fits stays in the store")
        names = {f"pass:{period}": period for period in self._book.periods_us}
        await self._store.transact(lambda tx: ledger.drop_cursors(tx, "pass:", names))
        for name, period in names.items():
            await self._pass(name, period)
        await self._look_again()
        await self._sweep_threads()
        await self._trim()
        if self._refusal is not None:
            raise self._refusal

    @contextmanager
    def _archive_refusing(self) -> Iterator[None]:
        """An archive that refuses keeps what is to go there, and nothing else."""
        try:
            yield
        except ArchiveError as error:
            self._refusal = error

    # --- messages ----------------------------------------------------------------------------------------------------

    async def _pass(self, name: str, period: int) -> None:
        """Go on with the pass of one period."""
        now_us = self._clock()
        word = f"{ledger.digest(self._book.fingerprint)}:{self._archive is not None}:{now_us // RESCAN_US}"
        position = await self._store.read(lambda tx: ledger.cursor(tx, name, word))
        until_id = _id_at(now_us - period - slack_us(period))
        while position < until_id:
            unseen_us, found = await self._read(
                lambda tx, after=position: (  # type: ignore[misc]
                    ledger.unseen_since_us(tx, now_us),
                    ledger.page(tx, after, until_id, READ_PAGE),
                )
            )
            position, is_over = await self._handle(found, period, now_us, unseen_us, position)
            if not is_over and len(found) < READ_PAGE:
                position = max(position, until_id)
            await self._store.transact(
                lambda tx, at=position: ledger.move_cursor(tx, name, at, word)  # type: ignore[misc]
            )
            if is_over != self._is_held_up:
                self._is_held_up = is_over
                if is_over:
                    log.warning("a follower of the feed is behind: what it has not seen is kept")
            if is_over or len(found) < READ_PAGE:
                return

    async def _handle(
        self, found: Sequence[Found], period: int, now_us: int, unseen_us: int, position: int
    ) -> tuple[int, bool]:
        """Deal with a page. Returns: the last id that was dealt with, and whether a follower has not seen the next."""
        due: list[Found] = []
        looks: list[tuple[int, int]] = []
        held_up = False
        for each in found:
            ruling = self._book.decide(each.subject, now_us)
            if ruling.again_us:
                looks.append((each.subject.id, ruling.again_us))
            elif ruling.is_due(now_us):
                if ledger.is_unseen(each.subject, unseen_us, now_us):
                    held_up = True
                    break
                due.append(each)
            elif ruling.rule is not None and not ruling.hold and period_us(ruling.rule) <= period:
                # No longer pass will come by.
                looks.append((each.subject.id, ruling.due_us))
            position = each.subject.id
        if looks:
            await self._store.transact(lambda tx: ledger.put_later(tx, looks), rows=len(looks))
        await self._let_go(due, now_us)
        return position, held_up

    async def _look_again(self) -> None:
        """Look at messages that had not ended when a pass met them.

        Those that are due when it begins: under load others become due all the time, and the passes wait for its end.
        """
        now_us = self._clock()
        while True:
            ids, found = await self._read(lambda tx: ledger.later(tx, now_us, READ_PAGE))
            if not ids:
                return
            unseen_us = await self._store.read(lambda tx: ledger.unseen_since_us(tx, now_us))
            due: list[Found] = []
            looks: list[tuple[int, int]] = []
            for each in found:
                ruling = self._book.decide(each.subject, now_us)
                unseen = ledger.is_unseen(each.subject, unseen_us, now_us)
                if ruling.again_us or (ruling.is_due(now_us) and unseen):
                    looks.append((each.subject.id, ruling.again_us or now_us + ledger.SEEN_MARGIN_US))
                elif ruling.is_due(now_us):
                    due.append(each)
                elif ruling.rule is not None and not ruling.hold:
                    looks.append((each.subject.id, ruling.due_us))
            if looks:
                await self._store.transact(lambda tx, looks=looks: ledger.put_later(tx, looks), rows=len(looks))  # type: ignore[misc]
            put = {message_id for message_id, _ in looks} | await self._let_go(due, now_us)
            rest = [each for each in ids if each not in put]
            await self._store.transact(lambda tx, rest=rest: ledger.forget_later(tx, rest), rows=len(rest))  # type: ignore[misc]

    async def _let_go(self, due: Sequence[Found], now_us: int) -> set[int]:
        """Remove messages, archived before where their rule says so. Returns: those that wait for the archive."""
        erased: list[int] = []
        groups: dict[tuple[str, str], list[int]] = {}
        for each in due:
            rule = self._book.decide(each.subject, now_us).rule
            if rule is not None and rule.action == "archive":
                if self._archive is not None:
                    key = (each.subject.call_centre, day_of(each.subject.received_us))
                    groups.setdefault(key, []).append(each.subject.id)
                continue
            erased.append(each.subject.id)
        self.tally.erased += await self._remove(erased)
        if not groups or self._archive is None:
            return set()
        if self._refusal is not None:
            waiting = [(each, now_us + REFUSED_US) for ids in groups.values() for each in ids]
            await self._store.transact(lambda tx: ledger.put_later(tx, waiting), rows=len(waiting))
            return {each for each, _ in waiting}
        planned = [
            Shelved(
                self._store.new_id(),
                object_name(call_centre, day, ids[0], ids[-1]) + self._archive.suffix,
                call_centre,
                day,
                ids=msgspec.json.encode(ids).decode(),
                messages=len(ids),
            )
            for (call_centre, day), ids in groups.items()
        ]
        planned = await self._store.transact(lambda tx: ledger.plan(tx, planned), rows=len(planned))
        with self._archive_refusing():  # then they are planned, and finished by a later round
            for each_object in planned:
                await self._finish(each_object)
        return set()

    async def _remove(self, ids: Sequence[int]) -> int:
        """Remove messages, a page at a time. Raises: Changed."""
        removed = 0
        for start in range(0, len(ids), ledger.REMOVE_PAGE):
            chunk = ids[start : start + ledger.REMOVE_PAGE]

            def work(tx: Transaction, chunk: Sequence[int] = chunk) -> ledger.Removed:
                ledger.guard(tx, self._revision)
                return ledger.remove(tx, chunk, self._book.holds)

            done = await self._write(work, len(chunk))
            removed += done.messages
            self.tally.threads += done.threads
        return removed

    async def _write(self, work: Callable[[Transaction], T], rows: int) -> T:
        """Have the store do something, and rest."""
        answer, busy_s = await self._store.transact(lambda tx: _timed(tx, work), rows=rows)
        await self._rest(busy_s)
        return answer

    async def _read(self, work: Callable[[Transaction], T]) -> T:
        """Read something, and rest."""
        answer, busy_s = await self._store.read(lambda tx: _timed(tx, work))
        await self._rest(busy_s)
        return answer

    async def _rest(self, busy_s: float) -> None:
        await trio.sleep(max(LEAST_REST_S, REST * busy_s))
        if time.monotonic() > self._renewed_at + RENEW_S:
            await self.renew()

    # --- objects of the archive --------------------------------------------------------------------------------------

    async def finish_objects(self) -> None:
        """Go on with objects of the archive that somebody had begun, who died. Needs ``leased`` and ``read_rules``."""
        while unfinished := await self._store.read(lambda tx: ledger.unfinished(tx, 100)):
            for each in unfinished:
                await self._finish(each)

    async def _finish(self, planned: Shelved) -> None:
        """Make an object, remove its messages, and what it replaces."""
        archive = self._archive
        assert archive is not None  # noqa: S101 - the callers' promise
        if planned.superseded:
            await self.at_archive(archive.remove, planned.superseded)
            planned = msgspec.structs.replace(planned, superseded="")
            await self._store.transact(lambda tx: ledger.shelve(tx, [planned]))
        while True:
            made = await self._make(archive, planned)
            if made is None:
                return
            planned, ids = made, made.message_ids
            removed = await self._remove(ids)
            self.tally.archived += removed
            if removed == len(ids):
                break
            # Some are on their way again, an operator had dead letters sent: they leave the object, or came twice.
        done = msgspec.structs.replace(planned, ids="")
        await self._store.transact(lambda tx: ledger.shelve(tx, [done]))

    async def _make(self, archive: Archive, planned: Shelved) -> Shelved | None:
        """Make an object of those of its messages that are due now; what was held or erased since is not in it.

        Returns: its row of the index; None when nothing is left to archive, and the object is gone.
        """
        ids = planned.message_ids
        found = await self._store.read(lambda tx: ledger.by_ids(tx, ids))
        due = [each for each in found if self._book.decide(each.subject, self._clock()).is_due(NEVER_US - 1)]
        if planned.is_stored:
            stay = {each.subject.id for each in found} - {each.subject.id for each in due}
            if not stay:
                return msgspec.structs.replace(planned, ids=_ids_of(due))
            # Some of its messages are in it alone by now.
            records = await self.at_archive(archive.load, planned.name)
            records = [record for record in records if record.id not in stay]
        else:
            records = [record_of(each.row, each.thread) for each in due]
        if not records:
            empty = msgspec.structs.replace(planned, is_stored=0, ids="")  # whoever finds it so removes it
            await self._store.transact(lambda tx: ledger.shelve(tx, [empty]))
            await self.at_archive(archive.remove, planned.name)
            await self._store.transact(lambda tx: ledger.unshelve(tx, planned.id))
            return None
        stored = await self.at_archive(archive.store, planned.name, records)
        made = msgspec.structs.replace(
            planned,
            is_stored=1,
            ids=_ids_of(due),
            messages=len(records),
            octets=stored.octets,
            sha256=stored.sha256,
        )
        await self._store.transact(lambda tx: ledger.shelve(tx, [made]))
        self.tally.objects += 1
        return made

    # --- the rest ----------------------------------------------------------------------------------------------------

    async def _sweep_threads(self) -> None:
        """Remove threads that were closed after the last of their messages had gone."""
        centres = await self._store.read(lambda tx: [each.name for each in catalog.entries(tx, CallCentre)])
        for centre in centres:
            period = self._book.thread_period_us(centre)
            if period >= NEVER_US:
                continue
            await self._sweep_threads_of(centre, self._clock() - period - slack_us(period))

    async def _sweep_threads_of(self, centre: str, before_us: int) -> None:
        name, word = f"threads:{centre}"[:80], ledger.digest(self._book.fingerprint)

        def work(tx: Transaction) -> tuple[int, bool]:
            ledger.guard(tx, self._revision)
            after = ledger.thread_cursor(tx, name, word)
            found = ledger.closed_threads(tx, centre, after, before_us, ledger.REMOVE_PAGE)
            removed = ledger.remove_threads(tx, [each[1] for each in found], self._book.holds)
            ledger.move_thread_cursor(tx, name, found[-1] if found else after, word)
            return removed, bool(found)

        while True:
            removed, goes_on = await self._write(work, ledger.REMOVE_PAGE)
            self.tally.threads += removed
            if not goes_on:
                return

    async def _trim(self) -> None:
        """Shorten the feed and the accounts' days."""
        now_us = self._clock()
        before_us, before_day = now_us - self._settings.feed_us, now_us // DAY_US - self._settings.account_days
        while True:
            removed = await self._write(lambda tx: ledger.trim_feed(tx, before_us), ledger.REMOVE_PAGE)
            self.tally.feed_rows += removed
            if removed < ledger.REMOVE_PAGE:
                break
        await self._store.transact(lambda tx: ledger.trim_account_days(tx, before_day))


def _ids_of(found: Sequence[Found]) -> str:
    return msgspec.json.encode([each.subject.id for each in found]).decode()


def _id_at(at_us: int) -> int:
    """The least id that could be given out at a time."""
    return max(0, (at_us - EPOCH_US) // 1000) << _ID_SHIFT


def _timed(tx: Transaction, work: Callable[[Transaction], T]) -> tuple[T, float]:
    """In a thread of the store: do work. Returns: its answer, and how long it took."""
    began = time.perf_counter()
    answer = work(tx)
    return answer, time.perf_counter() - began
