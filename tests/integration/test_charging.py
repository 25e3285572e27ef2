"""Charging records of a hub that runs: each event once, whatever dies at which step, and whoever takes files away."""

from __future__ import annotations

import csv
import errno
import io
import os
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy
import structlog
import trio

from hub import Outcome, ReceiptWanted, Result, feed
from hub.erasing import Eraser, Request
from hub.keeping import Keeper
from hub.model import Arrival, Receipt, ReceiptState
from hub.tables import message as message_table
from ops.charging import ChargingFollower, Record, Spool, ber, files
from ops.charging.records import CHARGED
from provisioning import CallCentre, Number
from store import create_all, open_store
from tests.fixtures_hub import CUSTOMER, NUMBER, Clock, World, accept, inbound, make_directory, reply, transit

SECRET = "the words of a customer"
FAR_FUTURE_US = 10**15
NODE = "+16175550000"


class Dies(BaseException):
    """The process is killed."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "charging"
    made.mkdir()
    return made


def follower_of(
    world: World, folder: Path, most: int = 10, age_us: int = FAR_FUTURE_US, **more: Any
) -> ChargingFollower:
    spool = Spool(folder, 7, more.get("formats", "ber+csv"))
    return ChargingFollower(world.store, spool, world.now_us, rotate_records=most, rotate_us=age_us, node=NODE)


@asynccontextmanager
async def following(follower: ChargingFollower) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(follower.run)
        yield
        nursery.cancel_scope.cancel()


async def charged_events(world: World) -> list[tuple[str, int]]:
    """(word, message id) of all that should have a record, in order."""
    rows = await world.store.read(partial(feed.rows_after, position=0, limit=100_000))
    return [(str(event[0]), int(event[1])) for row in rows for event in row.events if event[0] in CHARGED]


_WORDS = {
    "submission": ("message",),
    "delivery": ("handed-over", "dead"),
    "delivery-report": ("delivered", "undeliverable"),
}


def records_in(folder: Path) -> list[Record]:
    """The records of all files of a folder, in the order of their names; each twin says the same."""
    found: list[Record] = []
    for path in files.files_of(folder):
        if path.suffix == ".cdr":
            records = list(ber.decode(path.read_bytes()))
            twin = path.with_suffix(".csv")
            if twin.exists():
                rows = list(csv.DictReader(io.StringIO(twin.read_text(), newline="")))
                shown = [(row["sequence"], row["message_id"], row["event"], row["recipient"]) for row in rows]
                told = [files.csv_twin.row_of(record) for record in records]
                assert shown == [(str(row[0]), str(row[4]), row[6], row[9]) for row in told]
            found += records
    return found


def octets_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def hidden_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name[0] == "."]


def assert_each_once(records: list[Record], events: list[tuple[str, int]]) -> None:
    assert [record.message_id for record in records] == [message_id for _, message_id in events]
    for record, (word, _) in zip(records, events, strict=True):
        assert word in _WORDS[record.message_type.value]
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))


def with_endpoints(world: World) -> World:
    centre = CallCentre(name="acme", default_number=NUMBER, default_link="link:one", element="OCN:7421")
    world.directory = make_directory(call_centres=[centre], numbers=[Number(number=NUMBER, call_centre="acme")])

    def script(part: Any) -> Outcome:
        if "bad" in str(part.payload):
            return Outcome(part, Result.REFUSED, reason="ESME_RINVDSTADR")
        if "awaited" in str(part.payload):
            return Outcome(part, Result.ACCEPTED, carrier_id=f"c{part.message.id}", receipt_expected=True)
        return accept(part)

    world.add("link:one", script=script)
    world.add("account:agg")
    world.add("desk:help")
    return world


# --- what is recorded ------------------------------------------------------------------------------------------------


async def test_a_conversation_and_its_fate_are_recorded(any_world: World, fast_clock: Clock, folder: Path) -> None:
    world = with_endpoints(any_world)
    follower = follower_of(world, folder, age_us=1_000_000)
    async with world.running(), following(follower):
        await world.settled()
        await world.receive("link:one", inbound(SECRET))
        await world.receive("desk:help", reply(f"awaited {SECRET}", receipt_wanted=ReceiptWanted.FINAL))
        await world.receive("account:agg", transit(f"bad {SECRET}"))
        await world.until(lambda: len(world.endpoints["link:one"].given) == 2)
        await world.until(lambda: not world.endpoints["link:one"].unanswered)
        sent = next(p.message for _, p in world.endpoints["link:one"].given if "awaited" in p.message.text)
        receipt = Receipt(f"c{sent.id}", ReceiptState.DELIVERED)
        await world.receive("link:one", Arrival(source=CUSTOMER, destination=NUMBER, receipt=receipt))
        await world.until(lambda: len(records_in(folder)) == 7)
        await world.until(lambda: follower.lag_s() == 0)
    records = records_in(folder)
    assert_each_once(records, await charged_events(world))
    of = {(r.message_type.value, r.recipient_interface): r for r in records}
    taken = of["submission", "desk:help"]
    assert (taken.originator, taken.recipient, taken.originator_interface) == (CUSTOMER, NUMBER, "link:one")
    assert (taken.call_centre, taken.element, taken.node) == ("acme", "OCN:7421", NODE)
    assert taken.thread_id > 0
    report = of["delivery-report", "link:one"]
    assert (report.status, report.result, report.report_requested, report.element) == (0, 0, True, "OCN:7421")
    failed = next(r for r in records if r.result)
    assert (failed.reason, failed.status, failed.result) == ("ESME_RINVDSTADR", 0x43, 1)
    octets = octets_in(folder)
    assert SECRET.encode() not in octets
    token = next(p.message.token for _, p in world.endpoints["desk:help"].given)
    assert token.encode() not in octets
    values = {sample.name: sample.value for metric in follower.samples() for sample in metric.samples}
    assert values["smshub_charging_records_total"] == 7
    assert values["smshub_charging_lag_seconds"] == 0
    assert values["smshub_charging_failures_total"] == 0


async def test_who_begins_begins_now_and_who_was_away_goes_on(
    any_world: World, fast_clock: Clock, folder: Path
) -> None:
    world = with_endpoints(any_world)
    async with world.running():
        await world.settled()
        await world.receive("account:agg", transit("before there was charging"))
        await world.until(
            lambda: len(world.endpoints["link:one"].given) == 1 and not world.endpoints["link:one"].unanswered
        )
        await world.store.transact(lambda tx: None)
        before = await charged_events(world)
        async with following(follower_of(world, folder, age_us=1)):
            await world.receive("account:agg", *[transit(str(n)) for n in range(3)])
            await world.until(lambda: len(records_in(folder)) == 6)
        assert (await charged_events(world))[: len(before)] == before
        await world.receive("account:agg", transit("while nobody followed"))
        async with following(follower_of(world, folder, age_us=1, formats="ber")):
            await world.until(lambda: len(records_in(folder)) == 8)
    assert_each_once(records_in(folder), (await charged_events(world))[len(before) :])
    suffixes = [path.suffix for path in files.files_of(folder)]
    assert suffixes.count(".csv") == suffixes.count(".cdr") - 1


async def test_a_file_is_closed_when_it_has_enough_records(world: World, fast_clock: Clock, folder: Path) -> None:
    world = with_endpoints(world)
    follower = follower_of(world, folder, most=10)
    async with world.running(), following(follower):
        await world.settled()
        for at in range(17):
            await world.receive("account:agg", transit(str(at)))
        await world.until(lambda: len(records_in(folder)) >= 30)
        await world.until(lambda: not world.endpoints["link:one"].unanswered)
        # Those that are in no file wait for more; where the last file was just full, none does.
        await world.until(lambda: (follower.lag_s() > 0) == (len(records_in(folder)) < 34))
    events = await charged_events(world)
    assert len(events) == 34
    records = records_in(folder)
    assert_each_once(records, events[: len(records)])
    sizes = [len(list(ber.decode(path.read_bytes()))) for path in files.files_of(folder) if path.suffix == ".cdr"]
    assert all(10 <= size < 27 for size in sizes)


async def test_what_was_erased_leaves_no_record_and_is_counted(
    any_world: World, fast_clock: Clock, folder: Path
) -> None:
    world = with_endpoints(any_world)
    await world.store.transact(lambda tx: feed.begin(tx, "charging"))
    async with world.running():
        await world.settled()
        await world.receive("account:agg", transit("erased"))
        await world.until(lambda: len(world.endpoints["link:one"].given) == 1)
        await world.until(lambda: not world.endpoints["link:one"].unanswered)
        await world.store.transact(lambda tx: tx.sql.execute(sqlalchemy.delete(message_table)))
        follower = follower_of(world, folder, age_us=1)
        async with following(follower):
            await world.until(lambda: _count(follower, "erased") == 2)
            assert files.files_of(folder) == []
            await world.receive("account:agg", *[transit(str(n)) for n in range(5)])
            await world.until(lambda: len(records_in(folder)) == 10)
    assert [record.sequence for record in records_in(folder)] == list(range(1, 11))


async def test_rows_without_records_are_passed_by_in_silence(world: World, fast_clock: Clock, folder: Path) -> None:
    """The position is then beyond the last file's end, which is no sign of another store."""
    world = with_endpoints(world)
    async with world.running():
        await world.settled()
        with structlog.testing.capture_logs() as logged:
            async with following(follower_of(world, folder, age_us=1)):
                await world.receive("account:agg", transit("charged"))
                await world.until(lambda: len(records_in(folder)) == 2)
                await world.store.commit([feed.outbox(world.store, world.now_us(), [("thread", 1, "opened")])])
                last = await world.store.read(feed.last)
                while await world.store.read(partial(feed.position_of, name="charging")) != last:  # noqa: ASYNC110
                    await trio.sleep(1.0)
            async with following(follower_of(world, folder, age_us=1)):
                await world.receive("account:agg", transit("charged too"))
                await world.until(lambda: len(records_in(folder)) == 4)
        assert [line for line in logged if line["log_level"] in ("warning", "error")] == []
    assert_each_once(records_in(folder), await charged_events(world))


async def test_a_clock_that_was_ahead_keeps_no_records_back(world: World, fast_clock: Clock, folder: Path) -> None:
    """What happened while it was a year ahead is in a file soon after it was set right, not in a year."""
    world = with_endpoints(world)
    year_us = 365 * 86_400_000_000
    follower = ChargingFollower(
        world.store,
        Spool(folder, 7, "ber"),
        lambda: world.now_us() - year_us,
        rotate_records=100,
        rotate_us=900_000_000,
    )
    async with world.running(), following(follower):
        await world.settled()
        await world.receive("account:agg", transit("next year"))
        await world.until(lambda: len(records_in(folder)) == 2)
        assert follower.lag_s() >= 0


async def test_a_new_store_over_an_old_directory_loses_nothing(
    world: World, fast_clock: Clock, folder: Path, tmp_path: Path
) -> None:
    """The old one's only file began behind row 0, as the new one's first will: it is not taken for that one's."""
    world = with_endpoints(world)
    async with world.running(), following(follower_of(world, folder, age_us=1, formats="ber")):
        await world.settled()
        for at in range(5):
            await world.receive("account:agg", transit(str(at)))
        await world.until(lambda: len(records_in(folder)) == 10)
    _take_away(folder, tmp_path)
    state = msgspec.structs.replace(await trio.to_thread.run_sync(Spool(folder, 7, "ber").load), after=0)
    (folder / ".smshub7-charging").write_bytes(msgspec.json.encode(state))
    async with open_store(f"sqlite:///{tmp_path}/new.db") as store:
        await store.transact(create_all)
        other = with_endpoints(World(store, fast_clock, world.directory))
        with structlog.testing.capture_logs() as logged:
            async with other.running(), following(follower_of(other, folder, age_us=1, formats="ber")):
                await other.settled()
                await other.receive("account:agg", transit("new"))
                await other.until(lambda: len(records_in(folder)) == 2)
            assert any("go on elsewhere" in line["event"] for line in logged)
        assert [record.message_id for record in records_in(folder)] == [id for _, id in await charged_events(other)]


async def test_who_is_erased_is_recorded_before(any_world: World, fast_clock: Clock, folder: Path) -> None:
    """A file would be made in a quarter of an hour; whoever erases has it made now, and what has none yet stays."""
    world = with_endpoints(any_world)
    request = Request((CUSTOMER,), None, "cli:ann", "ticket 5", patience_s=30.0)
    keeper = Keeper(world.store, world.now_us, holder="eraser")
    eraser = Eraser(world.store, world.now_us, keeper, None, request)
    await world.store.transact(lambda tx: feed.begin(tx, "charging"))
    async with world.running():
        await world.settled()
        await world.receive("link:one", *[inbound(f"words {n}") for n in range(3)])
        await world.until(lambda: not world.endpoints["desk:help"].unanswered)
        report = await eraser.erase()
        assert (report.messages, report.unseen) == (0, 3), "charging is late"
        follower = follower_of(world, folder)
        async with following(follower):
            report = await eraser.erase()
            assert (report.messages, report.unseen) == (3, 0)
            assert _count(follower, "erased") == 0
    assert_each_once(records_in(folder), await charged_events(world))


def _count(follower: ChargingFollower, name: str) -> float:
    (value,) = [s.value for m in follower.samples() for s in m.samples if s.name.startswith(f"smshub_charging_{name}")]
    return value


# --- whatever dies ---------------------------------------------------------------------------------------------------


class Fates:
    """Lets the n-th step of those that matter be the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self.last = 0
        self.error: BaseException = Dies()
        self._patch = monkeypatch
        for owner, name in (
            (files.os, "fsync"),
            (files.os, "open"),
            (files.Path, "rename"),
            (files.Writing, "append"),
            (feed, "advance"),
        ):
            self._wrap(owner, name)
        abandon = files.Writing.abandon

        def leave(writing: files.Writing) -> None:
            """Who is killed cleans nothing up: what was on the disk stays as it was."""
            left = [path for path in writing._directory.iterdir() if path.name.endswith(".part")]
            octets = {path: path.read_bytes() for path in left}
            abandon(writing)
            if isinstance(self.error, Dies):
                for path, content in octets.items():
                    path.write_bytes(content)

        monkeypatch.setattr(files.Writing, "abandon", leave)

    def _wrap(self, owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)
        is_everywhere = owner is files.os and name == "open"

        def step(*args: Any, **kwargs: Any) -> Any:
            if is_everywhere and "smshub7" not in str(args[0]):
                return real(*args, **kwargs)
            self.steps += 1
            if self.last and self.steps == self.last:
                if name == "rename" and random.Random(self.last).random() < 0.5:
                    real(*args, **kwargs)  # it was done, and nobody heard of it
                raise self.error
            return real(*args, **kwargs)

        self._patch.setattr(owner, name, step)


async def followed(world: World, meanwhile: Callable[[], object]) -> None:
    """Wait until everything is in files."""
    with trio.fail_after(6_000):  # a minute of ours
        while True:
            meanwhile()
            position, last = await world.store.read(lambda tx: (feed.position_of(tx, "charging"), feed.last(tx)))
            if position == last:
                meanwhile()
                return
            await trio.sleep(0.5)


def _take_away(folder: Path, basket: Path) -> None:
    """What a mediation system does: it fetches what it sees."""
    for path in files.files_of(folder):
        os.replace(path, basket / path.name)


@pytest.mark.parametrize("takes_away", [False, True])
async def test_who_dies_at_any_step_neither_loses_nor_repeats(
    world: World, fast_clock: Clock, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_away: bool
) -> None:
    world = with_endpoints(world)
    basket = tmp_path / "basket" if takes_away else folder
    basket.mkdir(exist_ok=True)
    await world.store.transact(lambda tx: feed.begin(tx, "charging"))
    fates, deaths = Fates(monkeypatch), 0
    async with world.running():
        await world.settled()
        for last in range(1, 28):
            await world.receive("account:agg", *[transit(f"{last} {n}") for n in range(3)])
            await world.until(lambda: not world.endpoints["link:one"].unanswered)
            fates.steps, fates.last = 0, last
            try:
                async with following(follower_of(world, folder, age_us=1)):
                    await followed(world, lambda: takes_away and _take_away(folder, basket))
            except* Dies:
                deaths += 1
            if takes_away:
                _take_away(folder, basket)
        fates.last = 0
        async with following(follower_of(world, folder, age_us=1)):
            await followed(world, lambda: takes_away and _take_away(folder, basket))
    assert deaths > 10, "a file has more steps than that"
    assert_each_once(records_in(basket), await charged_events(world))
    assert hidden_in(folder) == [".smshub7-charging"]


async def test_a_directory_that_refuses_makes_it_late_and_no_more(
    any_world: World, fast_clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_endpoints(any_world)
    fates = Fates(monkeypatch)
    fates.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    follower = follower_of(world, folder, age_us=1)
    async with world.running(), following(follower):
        await world.settled()
        for last in range(1, 16):
            failures = _count(follower, "failures")
            fates.steps, fates.last = 0, last
            await world.receive("account:agg", transit(str(last)))
            await world.until(lambda f=failures: _count(follower, "failures") > f or fates.steps > fates.last)  # type: ignore[misc]
        fates.last = 0
        with trio.fail_after(6_000):
            while len(records_in(folder)) < len(await charged_events(world)) or follower.lag_s():  # noqa: ASYNC110
                await trio.sleep(1)
    assert _count(follower, "failures") >= 10
    assert_each_once(records_in(folder), await charged_events(world))
    assert hidden_in(folder) == [".smshub7-charging"]


async def test_a_directory_that_is_away_is_waited_for(world: World, fast_clock: Clock, folder: Path) -> None:
    world = with_endpoints(world)
    away = folder.rename(folder.with_name("away"))  # noqa: ASYNC240
    follower = follower_of(world, folder, age_us=1)
    async with world.running(), following(follower):
        await world.settled()
        await world.receive("account:agg", transit())
        await world.until(lambda: _count(follower, "failures") > 1)
        assert not folder.exists(), "it may be a disk that is not mounted"  # noqa: ASYNC240
        await world.until(lambda: follower.lag_s() >= 0)
        away.rename(folder)
        await world.until(lambda: len(records_in(folder)) == 2)


async def test_a_state_that_cannot_be_read_stops_it_and_says_so(world: World, fast_clock: Clock, folder: Path) -> None:
    world = with_endpoints(world)
    state = folder / ".smshub7-charging"
    state.write_bytes(b'{"v":1,"number":')
    follower = follower_of(world, folder, age_us=1)
    async with world.running(), following(follower):
        await world.settled()
        await world.receive("account:agg", transit())
        await world.until(lambda: _count(follower, "failures") > 1)
        assert files.files_of(folder) == []
        state.unlink()
        await world.until(lambda: len(records_in(folder)) == 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a hundred kilobytes, which only root may mount."""
    made = tmp_path / "disk"
    made.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(made)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system may be mounted here: {mounted.stderr.strip()}")
    yield made
    subprocess.run(["umount", "-l", str(made)], check=True)


async def test_a_full_disk_is_waited_for(world: World, fast_clock: Clock, small_disk: Path) -> None:
    world = with_endpoints(world)
    filling = small_disk / "filling"
    follower = follower_of(world, small_disk, age_us=1)
    async with world.running(), following(follower):
        await world.settled()
        filling.write_bytes(bytes(96 * 1024))
        await world.receive("account:agg", *[transit(str(n)) for n in range(20)])
        await world.until(lambda: _count(follower, "failures") > 1)
        assert records_in(small_disk) == []
        filling.unlink()
        await world.until(lambda: len(records_in(small_disk)) == 40)
    assert_each_once(records_in(small_disk), await charged_events(world))
