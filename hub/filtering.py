"""The shell of the filters: what they need of disk, clock and log. The decisions are in ``hub.filters``.

- The URL list is read when the hub starts and again when its file changes. One that cannot be read then leaves the
  list that is in force.
- What accounts have sent today is read at the start and written within a second of changing, and at the end. A
  crash forgets the last second's.
- A text that repeats one whose write is still under way waits for the end of that write: it must not be answered for
  before the first is on disk.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
import trio
from sqlalchemy import select

from hub.filters import REPETITION, D, Draft, FilterRules, Filters, FilterSettings, Repetitions, Trap
from hub.model import Accepted, Arrival, Rejected, TryLater, Verdict
from hub.quota import day_of
from hub.statistics import Counters
from hub.tables import account_day
from hub.url_list import UrlList, read_list
from hub.volumes import ExpectedVolumes
from provisioning import CallCentre, Directory
from provisioning.authority import day_of as day_named
from store import Op, SelectByKeys, Store, Transaction, Upsert

SAY_AGAIN_US: Final = 60_000_000  # one line a minute for each endpoint and filter
URL_LIST_US: Final = 5_000_000  # between two looks at the file
TRY_AGAIN_S: Final = 1.0

_add_account_day = Upsert(
    account_day,
    ("account", "day", "taken"),
    conflict=("account", "day"),
    update=(),
    expressions={"taken": "account_day.taken + excluded.taken"},
)
_select_account_days = SelectByKeys(account_day, ("account", "day", "taken"), key=("account", "day"))
write_account_day = Upsert(account_day, ("account", "day", "taken"), conflict=("account", "day"), update=("taken",))

log = structlog.get_logger("hub.filters")

Take = Callable[[str, Sequence[Arrival]], Awaitable[list[Verdict]]]


class Filtering:
    """The filters of one hub.

    Args:
        store: the journal's store.
        clock: now in microseconds.
        directory: answers the snapshot in force.
        counters: the hub's.
        settings: what holds for all texts.

    Raises: OSError: the URL list cannot be read.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        directory: Callable[[], Directory],
        counters: Counters,
        settings: FilterSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._counters = counters
        self._settings = settings
        self._followed = directory()
        self._day = day_named(clock())
        self.filters = Filters(settings, rules_of(self._followed, self._day))
        self._repetitions: dict[str, Repetitions] = {}
        self._under_way: dict[tuple[str, bytes], trio.Event] = {}
        self._said_us: dict[tuple[str, str], int] = {}
        self._unsaid: Counter[tuple[str, str]] = Counter()
        self._url_stamp: tuple[int, ...] = ()
        self._url_looked_us = clock()
        self._loaded = False
        self._written: dict[tuple[str, int], int] = {}  # (account, day) → what all nodes had counted, of several
        if settings.url_list_file:
            self._url_stamp = _stamp(settings.url_list_file)
            self._exchange_urls(*_read_hosts(settings.url_list_file))

    # --- intake's side -----------------------------------------------------------------------------------------------

    def sift(self, endpoint: str, drafts: list[D], verdicts: list[Verdict | None]) -> list[D]:
        """Let drafts pass or give them a verdict. Returns: those that passed, which are counted."""
        self._follow()
        filters = self.filters
        if not filters.active:
            return drafts
        now_us = self._clock()
        refused = filters.refused(endpoint, drafts, now_us)
        if not refused:
            return drafts
        for draft, refusal in refused:
            verdicts[draft.index] = Rejected(refusal.reason)
        kept = Counter(refusal for _, refusal in refused)
        for refusal, number in kept.items():
            self._counters.refuse(endpoint, refusal.reason.value, number)
            self._count(endpoint, refusal.filter, number, now_us)
        return [draft for draft in drafts if verdicts[draft.index] is None]

    def take_back(self, endpoint: str, drafts: Sequence[Draft]) -> None:
        """Drafts that passed were not journalled after all."""
        now_us = self._clock()
        if self.filters.active:
            for draft in drafts:
                self.filters.take_back(endpoint, draft.part, draft.source, draft.route, now_us)

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival], take: Take) -> list[Verdict]:
        """Give a batch to intake, without what repeats an earlier text of the same account.

        Args:
            endpoint, arrivals: see ``hub.endpoint.Road.receive``.
            take: intake.
        """
        self._follow()
        over_us = self.filters.rules.repetition_us.get(endpoint)
        if over_us is None:
            return await take(endpoint, arrivals)
        known = self._repetitions.get(endpoint)
        if known is None or known.over_us != over_us:
            known = self._repetitions[endpoint] = Repetitions(over_us)
        now_us = self._clock()
        verdicts: list[Verdict | None] = [None] * len(arrivals)
        firsts: dict[bytes, int] = {}
        fresh: list[int] = []  # indices that go to intake
        repeats: list[tuple[int, bytes]] = []
        waits: list[trio.Event] = []
        for index, arrival in enumerate(arrivals):
            if arrival.receipt is not None:
                fresh.append(index)
                continue
            digest = known.digest(arrival)
            answer = known.answer(digest, now_us)
            if answer is not None:
                verdicts[index] = Accepted(answer)
            elif digest in firsts:
                repeats.append((index, digest))
            elif (endpoint, digest) in self._under_way:
                repeats.append((index, digest))
                waits.append(self._under_way[endpoint, digest])
            else:
                firsts[digest] = index
                fresh.append(index)
        repeated = len(arrivals) - len(fresh)
        await self._take_firsts(endpoint, arrivals, fresh, firsts, known, verdicts, take)
        for wait in waits:
            await wait.wait()
        for index, digest in repeats:
            answer = known.answer(digest, now_us)
            own = firsts.get(digest)
            if answer is not None:
                verdicts[index] = Accepted(answer)
            else:  # the first was not taken: what it was told holds for its repetition
                verdicts[index] = verdicts[own] if own is not None else TryLater(TRY_AGAIN_S)
        if repeated:
            self._count(endpoint, REPETITION, repeated, now_us)
        return verdicts  # type: ignore[return-value]  # every index was filled

    async def _take_firsts(
        self,
        endpoint: str,
        arrivals: Sequence[Arrival],
        fresh: Sequence[int],
        firsts: dict[bytes, int],
        known: Repetitions,
        verdicts: list[Verdict | None],
        take: Take,
    ) -> None:
        """Give intake what repeats nothing, and remember what it took."""
        under_way = trio.Event()
        for digest in firsts:
            self._under_way[endpoint, digest] = under_way
        try:
            taken = await take(endpoint, [arrivals[index] for index in fresh]) if fresh else []
            for index, verdict in zip(fresh, taken, strict=True):
                verdicts[index] = verdict
            now_us = self._clock()
            for digest, index in firsts.items():
                first = verdicts[index]
                if isinstance(first, Accepted):
                    known.remember(digest, first.message_id, now_us)
        finally:
            for digest in firsts:
                del self._under_way[endpoint, digest]
            under_way.set()

    def forget(self, endpoint: str, message_id: int | None) -> None:
        """A text of an account was cancelled or replaced, or (None) some were: their like is no repetition now."""
        known = self._repetitions.get(endpoint)
        if known is None:
            return
        if message_id is None:
            del self._repetitions[endpoint]
        else:
            known.forget(message_id)

    # --- the hub's side ----------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what accounts have sent today. Before anything arrives. Raises: StoreError."""
        now_us = self._clock()
        query = select(account_day.c.account, account_day.c.taken).where(account_day.c.day == day_of(now_us))

        def work(tx: Transaction) -> list[Any]:
            return list(tx.sql.execute(query).all())

        rows = await self._store.read(work)
        self.filters.quotas.load(now_us, [(account, taken) for account, taken in rows])
        self._written = {(account, day_of(now_us)): taken for account, taken in rows}

    def taken_today(self) -> dict[str, int]:
        """Account's endpoint → what it has sent today, of accounts with a daily limit."""
        return self.filters.quotas.all_taken(self._clock())

    async def write(self) -> None:
        """Write down what accounts have sent since the last time. Raises: StoreError: it is written the next time."""
        rows = self.filters.quotas.changed()
        if not rows:
            return
        try:
            if self._store.is_shared:
                await self._add(rows)
            else:
                await self._store.commit([Op(write_account_day, rows)])
        except BaseException:
            self.filters.quotas.unwritten(rows)
            raise

    async def _add(self, rows: Sequence[tuple[str, int, int]]) -> None:
        """Add what was counted here to what all nodes have counted, and learn of that."""
        written = self._written
        more = [(account, day, taken - written.get((account, day), 0)) for account, day, taken in rows]

        def work(tx: Transaction) -> list[Any]:
            tx.write(Op(_add_account_day, more))
            return tx.select(_select_account_days, [row[:2] for row in more])

        totals = {(row[0], row[1]): row[2] for row in await self._store.transact(work)}
        for account, day, taken in rows:
            total = totals.get((account, day), taken)
            written[account, day] = total
            self.filters.quotas.learn(account, day, total - taken)
        newest = max(day for _, day in written)
        self._written = {key: taken for key, taken in written.items() if key[1] >= newest - 1}

    async def do_chores(self) -> None:
        """Once a second: write counts down, look whether the URL list's file has changed. Raises: StoreError."""
        self._look_at_day()
        self._follow()
        await self._look_at_urls()
        await self.write()

    async def _look_at_urls(self) -> None:
        file, now_us = self._settings.url_list_file, self._clock()
        if not file or now_us - self._url_looked_us < URL_LIST_US:
            return
        self._url_looked_us = now_us
        try:
            stamp = await trio.to_thread.run_sync(_stamp, file)
            if stamp == self._url_stamp:
                return
            urls, wrong = await trio.to_thread.run_sync(_read_hosts, file)
        except OSError as error:
            if self._url_stamp:  # said once
                log.warning("the URL list cannot be read, the one before stays", file=file, error=type(error).__name__)
            self._url_stamp = ()
            return
        self._url_stamp = stamp
        self._exchange_urls(urls, wrong)

    async def keep_to(self, settings: FilterSettings) -> None:
        """Go by other settings. Raises: OSError: the URL list cannot be read, nothing has changed."""
        before, file = self._settings, settings.url_list_file
        if file != before.url_list_file:
            stamp = await trio.to_thread.run_sync(_stamp, file) if file else ()
            urls, wrong = await trio.to_thread.run_sync(_read_hosts, file) if file else (UrlList(), ())
            self._settings, self._url_stamp = settings, stamp
            self._exchange_urls(urls, wrong)
        self._settings = settings
        if (settings.loop_texts, settings.loop_us) != (before.loop_texts, before.loop_us):
            self.filters.cut_loops(settings.loop_texts, settings.loop_us)

    def _exchange_urls(self, urls: UrlList, wrong: Sequence[int]) -> None:
        self.filters.exchange_urls(urls)
        log.info("URL list read", file=self._settings.url_list_file, hosts=len(urls))
        if wrong:
            log.warning("lines of the URL list name no host", lines=list(wrong[:20]), number=len(wrong))

    def _follow(self) -> None:
        directory = self._directory()
        if directory is not self._followed:
            self._followed = directory
            self.filters.follow(rules_of(directory, self._day))
            for endpoint in set(self._repetitions) - set(self.filters.rules.repetition_us):
                del self._repetitions[endpoint]

    def _look_at_day(self) -> None:
        """White lists end with a day: look at them anew on the next."""
        today = day_named(self._clock())
        if today != self._day:
            self._day = today
            if self._followed.white_lists:
                self.filters.follow(rules_of(self._followed, today))

    def _count(self, endpoint: str, which: str, number: int, now_us: int) -> None:
        """Count what was kept back; say so, but not for each."""
        key = (endpoint, which)
        self._counters.filtered[key] += number
        self._unsaid[key] += number
        if now_us - self._said_us.get(key, -SAY_AGAIN_US) >= SAY_AGAIN_US:
            self._said_us[key] = now_us
            say = log.info if which == REPETITION else log.warning
            say("texts kept back", endpoint=endpoint, filter=which, number=self._unsaid.pop(key))


def rules_of(directory: Directory, today: str) -> FilterRules:
    """What filters go by in a snapshot.

    Args:
        directory: the snapshot.
        today: the day, UTC: ``"2026-11-01"``; white lists are valid until one.
    """
    accounts = directory.accounts.values()
    return FilterRules(
        per_day={f"account:{a.system_id}": a.throughput_per_day for a in accounts if a.throughput_per_day},
        repetition_us={f"account:{a.system_id}": round(a.duplicate_s * 1e6) for a in accounts if a.duplicate_s},
        traps={
            centre.name: Trap(
                texts=centre.trap_texts,
                over_us=round(centre.trap_s * 1e6),
                exceptions=tuple(centre.trap_exceptions),
                volumes=_volumes_of(directory, centre, today),
            )
            for centre in directory.call_centres.values()
            if centre.trap_texts
        },
    )


def _volumes_of(directory: Directory, centre: CallCentre, today: str) -> ExpectedVolumes | None:
    """None when nothing is on a white list: then nothing is asked for each text."""
    if not directory.white_lists:
        return None
    listing = directory.white_listing(centre.name, today)
    return ExpectedVolumes(listing, round(centre.trap_s * 1e6)) if listing.white_lists else None


def _stamp(file: str) -> tuple[int, ...]:
    """What changes when a file is written or another is put in its place."""
    found = os.stat(file)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _read_hosts(file: str) -> tuple[UrlList, list[int]]:
    with open(file, encoding="utf-8", errors="replace") as lines:
        hosts, wrong = read_list(lines)
    return UrlList(hosts), wrong
