"""Erasing a person over real databases: nothing of them is left, everything of others is, and holds are obeyed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy
import trio

from hub import feed, journal, opt_out_ledger
from hub.erasing import Eraser, Report, Request
from hub.keeping import ArchiveError
from hub.keeping_tables import archive_object
from hub.model import Kind, State
from hub.opt_out import Entry
from hub.opt_out_ledger import Change
from hub.tables import arrived_part, message, operator_request
from hub.tables import opt_out as opt_out_table
from ops.archive import DirectoryShelf, ObjectArchive
from provisioning import Number
from store import Op, audit
from store.schema import metadata
from tests.fixtures_hub import World, accept, inbound, reply
from tests.fixtures_keeping import CUSTOMER, DAY, HOUR, NUMBER, OTHER, Stock, hold, opened_stock, receipt, rule

from trio.testing import MockClock as Clock  # isort: skip

ASK = Request((CUSTOMER,), None, "cli:ann", "ticket 5", patience_s=0.5)


@pytest.fixture
async def stock(tmp_path: Path) -> AsyncIterator[Stock]:
    async with opened_stock(f"sqlite:///{tmp_path}/hub.db") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_stock(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stock]:
    url = f"sqlite:///{tmp_path}/hub.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with opened_stock(url) as made:
        yield made


def eraser(stock: Stock, archive: ObjectArchive | None = None, request: Request = ASK) -> Eraser:
    return Eraser(stock.store, lambda: stock.now_us, stock.keeper(archive, "eraser"), archive, request)


async def fill(stock: Stock) -> list[int]:
    """A person's traces of every kind beside another's. Returns: the ids of the other's messages."""
    await stock.add(Number(number=NUMBER, call_centre="acme"))
    await stock.put_thread(7, opened_us=stock.now_us - DAY)
    await stock.put_thread(8, closed_age_us=3 * DAY)
    await stock.put_thread(9, customer=OTHER)
    await stock.put(2 * DAY, thread_id=7, parts=2)
    await stock.put(2 * DAY, thread_id=7, source=NUMBER, destination=CUSTOMER, origin="desk:b", endpoint="link:a")
    await stock.put(5 * DAY, thread_id=8)
    await stock.put(5 * DAY, thread_id=8, kind=Kind.RECEIPT, receipt=receipt(), destination=CUSTOMER, source=NUMBER)
    await stock.put(5 * DAY, call_centre="", source="+13105550000", destination=CUSTOMER)
    others = [await stock.put(2 * DAY, thread_id=9, source=OTHER, parts=2)]
    others.append(await stock.put(2 * DAY, thread_id=9, source=NUMBER, destination=OTHER))
    parts = [(stock.new_id(stock.now_us), 0, "link:a", who, NUMBER, 1, 2, 1, 0, "{}") for who in (CUSTOMER, OTHER)]
    await stock.store.commit([Op(journal.insert_arrived_part, parts)])

    def opt_out(tx: Any) -> None:
        for who in (CUSTOMER, OTHER):
            entry = Entry(NUMBER, who, is_out=True, since_us=5, how="operator", who="cli:ann")
            opt_out_ledger.record(tx, [Change("out", entry, "phoned")], stock.now_us)

    await stock.store.transact(opt_out)
    return others


async def everything(stock: Stock, but: tuple[str, ...] = ("opt_out", "opt_out_audit")) -> str:
    """All that the tables say."""
    tables = [table for name, table in metadata.tables.items() if name not in but]
    found = [repr(await stock.rows(table)) for table in tables]
    return "\n".join(found)


async def test_nothing_of_the_person_is_left_and_all_of_others(any_stock: Stock) -> None:
    others = await fill(any_stock)
    assert CUSTOMER in await everything(any_stock)
    rehearsed = await eraser(any_stock).rehearse()
    report = await eraser(any_stock).erase()
    assert report == rehearsed
    assert msgspec.structs.asdict(report) == {
        **msgspec.structs.asdict(Report()),
        "messages": 5,
        "parts": 1,
        "threads": 2,
        "audit_rows": 1,
    }
    assert CUSTOMER not in await everything(any_stock)
    assert await any_stock.ids() == sorted(others)
    assert await any_stock.counts() == (3, 2, 1, 1)
    verdict = await any_stock.store.read(audit.verify)
    assert (verdict.is_whole, verdict.redacted) == (True, 1), verdict
    rows = await any_stock.store.read(lambda tx: audit.read(tx, 3))
    assert [(row.who, row.action, row.kind) for row in rows] == [
        ("cli:ann", "erased", "person"),
        ("cli:ann", "redacted", "audit"),
        ("cli:ann", "erasure begun", "person"),
    ]
    assert '"reason":"ticket 5","messages":5' in rows[0].detail
    out = {row.customer for row in await any_stock.rows(opt_out_table)}
    assert out == {CUSTOMER, OTHER}, "that they are out must be obeyed still"
    assert await eraser(any_stock).erase() == Report()


async def test_very_many_parts_of_texts_that_never_became_whole(any_stock: Stock) -> None:
    """More than a statement may name."""
    await any_stock.add(Number(number=NUMBER, call_centre="acme"))
    ids = range(1, 66_001)
    rows = [(each, 0, "link:a", CUSTOMER, NUMBER, each % 60_000, 2, 1, 0, "{}") for each in ids]
    await any_stock.store.commit([Op(journal.insert_arrived_part, rows)])
    report = await eraser(any_stock).erase()
    assert report.parts == 66_000
    assert await any_stock.counts() == (0, 0, 0, 0)


async def test_a_rehearsal_changes_nothing(stock: Stock) -> None:
    await fill(stock)
    before = await everything(stock)
    await eraser(stock).rehearse()
    assert await everything(stock) == before


async def test_one_call_centre_erases_what_is_its_own(any_stock: Stock) -> None:
    await fill(any_stock)
    theirs = [await any_stock.put(DAY, call_centre="other", destination="+18005550999"), 0]
    transit = [row.id for row in await any_stock.rows(message) if row.call_centre == ""]
    request = msgspec.structs.replace(ASK, call_centre="other")
    report = await eraser(any_stock, request=request).erase()
    assert (report.messages, report.parts, report.threads, report.audit_rows) == (1, 0, 0, 0)
    assert theirs[0] not in await any_stock.ids()
    report = await eraser(any_stock, request=msgspec.structs.replace(ASK, call_centre="acme")).erase()
    assert (report.messages, report.parts, report.threads, report.audit_rows) == (4, 1, 2, 1)
    left = [row.id for row in await any_stock.rows(message) if CUSTOMER in (row.source, row.destination)]
    assert left == transit


async def test_a_hold_keeps_what_it_fits(stock: Stock) -> None:
    await fill(stock)
    await stock.add(hold("matter", CUSTOMER, received_from="2026-09-18"))
    report = await eraser(stock).erase()
    assert (report.held, report.holds, report.messages, report.audit_rows) == (2, ["matter"], 3, 0)
    left = [row for row in await stock.rows(message) if CUSTOMER in (row.source, row.destination)]
    assert [row.thread_id for row in left] == [7, 7]
    assert len([row for row in await stock.rows(arrived_part) if row.source == CUSTOMER and row.message_id == 0]) == 1


async def test_what_waits_is_dropped_when_the_daemon_is_stopped(stock: Stock) -> None:
    await stock.put(HOUR, state=State.QUEUED)
    await stock.put(HOUR, state=State.SUBMITTING)
    report = await eraser(stock).erase()  # nobody drops them: they stay, and it says so
    assert (report.messages, report.pending) == (0, 2)
    assert {row.verb for row in await stock.rows(operator_request)} == {"drop"}
    report = await eraser(stock, request=msgspec.structs.replace(ASK, is_stopped=True)).erase()
    assert (report.messages, report.pending) == (2, 0)


@pytest.fixture
async def archived(tmp_path: Path) -> AsyncIterator[tuple[Stock, ObjectArchive]]:
    """Three objects: with the person alone, with both, with the other alone."""
    async with opened_stock(f"sqlite:///{tmp_path}/hub.db") as stock:
        await stock.add(rule("all", 1, action="archive"))
        await stock.put(9 * DAY)
        await stock.put(8 * DAY)
        await stock.put(8 * DAY, source=OTHER)
        await stock.put(8 * DAY, destination=CUSTOMER, source=NUMBER, kind=Kind.RECEIPT, receipt=receipt())
        await stock.put(7 * DAY, source=OTHER)
        archive = ObjectArchive(DirectoryShelf(tmp_path / "archive"))
        await stock.keeper(archive).round()
        yield stock, archive


def in_archive(archive: ObjectArchive) -> dict[str, int]:
    """Objects, and how many of their lines are the person's."""
    names = [name for name in archive.shelf.names("") if not name.endswith(".json")]
    return {name: repr(archive.load(name)).count(CUSTOMER) for name in sorted(names)}


async def test_the_archive_is_written_anew_without_the_person(archived: tuple[Stock, ObjectArchive]) -> None:
    stock, archive = archived
    before = in_archive(archive)
    assert list(before.values()) == [1, 2, 0]
    assert (await eraser(stock, archive).rehearse()).archived == 3
    assert in_archive(archive) == before
    report = await eraser(stock, archive).erase()
    assert (report.archived, report.objects) == (3, 2)
    after = in_archive(archive)
    assert list(after.values()) == [0, 0]
    assert [".r1.jsonl.gz" in name for name in after] == [True, False]
    rows = await stock.rows(archive_object)
    assert sorted(row.name for row in rows) == sorted(after)
    assert [archive.fault_of(row.name, row.sha256, row.messages) for row in rows] == ["", ""]
    assert (await eraser(stock, archive).erase()).archived == 0
    other = await eraser(stock, archive, msgspec.structs.replace(ASK, people=(OTHER,))).erase()
    assert other.archived == 2
    assert list(archive.shelf.names("")) == []


async def test_an_archive_that_is_not_set_up_any_more_is_told(archived: tuple[Stock, ObjectArchive]) -> None:
    stock, archive = archived
    for work in (eraser(stock).rehearse, eraser(stock).erase):
        with pytest.raises(ArchiveError, match=r"jsonl.gz: archive.target is not set"):
            await work()
    assert (await eraser(stock, archive).erase()).archived == 3


async def test_a_rehearsal_of_the_archive_leaves_the_lease_alone(archived: tuple[Stock, ObjectArchive]) -> None:
    stock, archive = archived
    before = await everything(stock)
    await eraser(stock, archive).rehearse()
    assert await everything(stock) == before


async def test_a_hold_keeps_the_archives_lines_too(archived: tuple[Stock, ObjectArchive]) -> None:
    stock, archive = archived
    await stock.add(hold("matter", CUSTOMER))
    before = in_archive(archive)
    report = await eraser(stock, archive).erase()
    assert (report.archived, report.held) == (0, 3)
    assert in_archive(archive) == before


@pytest.mark.parametrize("step", range(6))
async def test_killed_while_it_rewrites_it_goes_on_when_asked_again(
    archived: tuple[Stock, ObjectArchive], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after a new object is there, or an old one is gone: asked again, nothing of them is left."""
    stock, archive = archived
    left = step

    class Killed(Exception):
        pass

    def mortal(method: Any) -> Any:
        def run(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return method(*arguments)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(archive.shelf, "put", mortal(archive.shelf.put))
        patch.setattr(archive.shelf, "remove", mortal(archive.shelf.remove))
        with pytest.raises(Killed):
            await eraser(stock, archive).erase()
    stock.now_us += 61_000_000
    await eraser(stock, archive).erase()
    after = in_archive(archive)
    assert list(after.values()) == [0, 0]
    rows = await stock.rows(archive_object)
    assert sorted(row.name for row in rows) == sorted(after)
    assert all(archive.fault_of(row.name, row.sha256, row.messages) == "" for row in rows)


async def test_who_follows_the_feed_sees_what_happened_first(stock: Stock) -> None:
    """Charging records are made of messages that the feed names."""
    put = await stock.put(HOUR)
    await stock.publish(HOUR)
    await stock.store.transact(lambda tx: feed.begin(tx, "charging"))
    await stock.publish(HOUR)
    seen: list[bool] = []
    request = msgspec.structs.replace(ASK, patience_s=60.0)

    async def follow() -> None:
        while not await stock.store.read(lambda tx: audit.read(tx, kind="person")):  # noqa: ASYNC110
            await trio.sleep(0.02)
        seen.append(put in await stock.ids())
        await stock.store.transact(lambda tx: feed.advance(tx, "charging", feed.last(tx)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        assert (await eraser(stock, request=request).erase()).messages == 1
    assert seen == [True]


async def test_beside_a_running_hub(any_world: World, fast_clock: Clock) -> None:
    """What waits is dropped by the hub, which holds it in memory, and the person may write again afterwards."""
    desk = any_world.add("desk:help", window=0)
    any_world.add("link:one", script=accept)
    async with any_world.running():
        for n in range(5):
            await any_world.receive("link:one", inbound(f"words {n}", receipt_wanted=1))
        await any_world.settled()
        stock = Stock(any_world.store)
        stock.now_us = any_world.now_us()
        request = msgspec.structs.replace(ASK, patience_s=600.0)
        keeper = stock.keeper(None, "eraser")
        report = await Eraser(any_world.store, any_world.now_us, keeper, None, request).erase()
        assert report.messages >= 5
        assert report.pending == 0
        assert await any_world.rows() == []
        desk.come_back(any_world.hub)
        await any_world.receive("link:one", inbound("again"))
        await any_world.until(lambda: desk.texts() == ["again"])
        await any_world.receive("desk:help", reply("hello", token=desk.given[0][1].message.token))
    assert not await any_world.store.read(lambda tx: tx.sql.execute(sqlalchemy.select(arrived_part.c.id)).all())
