"""The keeper and its archive, in a directory and in an S3-compatible server, dying at every step."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy
import trio

from hub import operations
from hub.erasing import Eraser, Request
from hub.keeping import ArchiveError, LeaseTaken, Stored
from hub.keeping_ledger import Removed
from hub.keeping_record import Record
from hub.keeping_tables import archive_object, retention_cursor, retention_later
from hub.model import State
from hub.tables import message
from ops.archive import DirectoryShelf, ObjectArchive, S3Shelf, Shelf, archive_of, manifest_name
from ops.settings import ArchiveSettings
from provisioning import BadValue, Secret, SecretKind
from provisioning.keeping import LegalHold
from tests.conftest import TESTS
from tests.fixtures_keeping import CUSTOMER, DAY, HOUR, Stock, hold, opened_stock, rule

SERVER = TESTS.parent / ".venv-peers/bin/moto_server"


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private S3: moto's server, which is what there is to install here; it keeps objects in memory."""
    if not SERVER.exists():
        pytest.fail("moto's server is missing: ops/setup/setup peers", pytrace=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    process = subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"moto's server does not answer: {(Path(log.name)).read_text()}")
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def s3_shelf(url: str, prefix: str) -> S3Shelf:
    shelf = S3Shelf("texts", prefix, endpoint_url=url, region="us-east-1", access_key="testing", secret_key="testing")
    shelf._client.create_bucket(Bucket="texts")
    return shelf


@pytest.fixture(params=["directory", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "directory":
        return DirectoryShelf(tmp_path / "archive")
    return s3_shelf(request.getfixturevalue("s3_url"), tmp_path.name)


@pytest.fixture
async def stock(tmp_path: Path) -> AsyncIterator[Stock]:
    async with opened_stock(f"sqlite:///{tmp_path}/hub.db") as made:
        yield made


def objects(shelf: Shelf) -> dict[str, list[Record]]:
    archive = ObjectArchive(shelf)
    return {name: archive.load(name) for name in shelf.names("") if not name.endswith(".json")}


def test_a_shelf(shelf: Shelf) -> None:
    assert list(shelf.names("")) == []
    shelf.remove("a/b")
    with pytest.raises(ArchiveError, match="a/b"):
        shelf.get("a/b")
    shelf.put("a/b", b"1")
    shelf.put("a/b", b"2" * 100_000)
    shelf.put("a/c/d", b"")
    shelf.put("b", b"3")
    assert shelf.get("a/b") == b"2" * 100_000
    assert sorted(shelf.names("a/")) == ["a/b", "a/c/d"]
    shelf.remove("a/b")
    shelf.remove("a/b")
    assert sorted(shelf.names("")) == ["a/c/d", "b"]


async def test_what_is_due_is_archived_and_then_removed(stock: Stock, shelf: Shelf) -> None:
    await stock.add(rule("acme", 30, call_centre="acme", action="archive"), rule("rest", 30, action="erase", order=200))
    await stock.put_thread(7, closed_age_us=DAY, designation_value="csr@desk", product="Router")
    first = await stock.put(40 * DAY, thread_id=7, text="first", token="token-7")
    second = await stock.put(40 * DAY - HOUR, thread_id=7, text="second")
    third = await stock.put(35 * DAY, state=State.DEAD)
    await stock.put(40 * DAY, call_centre="other")
    young = await stock.put(20 * DAY)
    archive = ObjectArchive(shelf)
    keeper = stock.keeper(archive)
    await keeper.round()
    assert await stock.ids() == [young]
    assert (keeper.tally.archived, keeper.tally.erased, keeper.tally.objects) == (3, 1, 2)
    found = objects(shelf)
    assert [name.rsplit("/", 1) for name in found] == [
        ["acme/2026/08/12", f"{first}-{second}.jsonl.gz"],
        ["acme/2026/08/17", f"{third}-{third}.jsonl.gz"],
    ]
    one, two = found[f"acme/2026/08/12/{first}-{second}.jsonl.gz"]
    assert (one.id, one.text, one.ended, two.id, two.text) == (first, "first", "delivered", second, "second")
    assert one.thread is not None
    assert (one.thread.csr, one.thread.product, len(one.thread.token)) == ("csr@desk", "Router", 26)
    for row in await stock.rows(archive_object):
        assert (row.is_stored, row.ids, row.superseded) == (1, "", "")
        assert archive.fault_of(row.name, row.sha256, row.messages) == ""
        manifest = json.loads(shelf.get(manifest_name(row.name)))
        assert (manifest["sha256"], manifest["messages"]) == (row.sha256, row.messages)


async def test_an_object_that_was_tampered_with_is_found(stock: Stock, shelf: Shelf) -> None:
    await stock.add(rule("all", 1, action="archive"))
    await stock.put(4 * DAY)
    archive = ObjectArchive(shelf)
    await stock.keeper(archive).round()
    (row,) = await stock.rows(archive_object)
    lines = gzip.decompress(shelf.get(row.name)).replace(b"words", b"other")
    shelf.put(row.name, gzip.compress(lines, mtime=0))
    assert "SHA-256" in archive.fault_of(row.name, row.sha256, row.messages)
    shelf.put(row.name, b"short")
    assert "gzip" in archive.fault_of(row.name, row.sha256, row.messages)
    shelf.remove(row.name)
    assert row.name in archive.fault_of(row.name, row.sha256, row.messages)


class Dies(Exception):
    """The process ends here."""


class Mortal(ObjectArchive):
    """An archive whose process dies at the n-th write or removal: before it, after it."""

    def __init__(self, shelf: Shelf, life: int) -> None:
        super().__init__(shelf)
        self.life = life

    def store(self, name: str, records: Sequence[Record]) -> Stored:
        self._live()
        stored = super().store(name, records)
        self._live()
        return stored

    def remove(self, name: str) -> None:
        self._live()
        super().remove(name)
        self._live()

    def _live(self) -> None:
        self.life -= 1
        if self.life < 0:
            raise Dies


async def one_life(stock: Stock, shelf: Shelf, where: str, life: int) -> bool:
    """A keeper's round that dies at one step. Returns: whether it did."""
    left, original = life, stock.store.transact

    async def transact(work: Callable[..., Any], *, rows: int = 1) -> Any:
        nonlocal left
        left -= 1
        if left < 0 and where == "store":
            raise Dies
        return await original(work, rows=rows)

    stock.store.transact = transact  # type: ignore[method-assign]
    try:
        await stock.keeper(Mortal(shelf, life if where == "archive" else 1000)).round()
    except Dies:
        return True
    finally:
        stock.store.transact = original  # type: ignore[method-assign]
    return False


@pytest.mark.parametrize(("where", "steps"), [("archive", 8), ("store", 20)])
async def test_whoever_dies_in_between_loses_nothing_and_writes_nothing_twice(
    tmp_path: Path, where: str, steps: int
) -> None:
    """Dies at each step of the archive, or of the store; then another goes on, and all is there once."""
    async with opened_stock(f"sqlite:///{tmp_path}/first.db") as stock:
        await stock.add(rule("all", 1, action="archive"))
        put = [await stock.put((9 - n % 2) * DAY, call_centre=("acme", "other")[n // 3]) for n in range(6)]
    life, died = 0, True
    while died:
        shelf = DirectoryShelf(tmp_path / f"archive{life}")
        shutil.copyfile(tmp_path / "first.db", tmp_path / f"hub{life}.db")
        async with opened_stock(f"sqlite:///{tmp_path}/hub{life}.db", is_new=False) as stock:
            died = await one_life(stock, shelf, where, life)
            kept, archived = await stock.ids(), [each.id for records in objects(shelf).values() for each in records]
            assert set(kept) | set(archived) == set(put)
            stock.now_us += 61_000_000  # the lease of who died ends
            await stock.keeper(ObjectArchive(shelf)).round()
            assert await stock.ids() == []
            archived = [each.id for records in objects(shelf).values() for each in records]
            assert sorted(archived) == sorted(put)
            assert len(await stock.rows(archive_object)) == len(objects(shelf))
        life += 1
    assert life > steps


async def test_an_archive_that_refuses_keeps_everything(stock: Stock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    await stock.add(rule("all", 1, action="archive"))
    put = [await stock.put(4 * DAY)]
    keeper = stock.keeper(ObjectArchive(DirectoryShelf(tmp_path / "file")))
    for _ in range(2):
        with pytest.raises(ArchiveError, match="Not a directory"):
            await keeper.round()
    assert await stock.ids() == put
    (tmp_path / "file").unlink()
    await keeper.round()
    assert await stock.ids() == []


async def test_an_archive_that_refuses_stops_nothing_else(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be erased is, and the feed is trimmed; what is to be archived is, once it is there again."""
    monkeypatch.setattr("hub.keeping.READ_PAGE", 4)
    await stock.add(rule("acme", 1, call_centre="acme", action="archive"), rule("rest", 1, order=200))
    later = await stock.put(4 * DAY, state=State.ACCEPTED, validity_us=5 * DAY)
    put = [await stock.put(3 * DAY, call_centre=("acme", "other")[n % 2]) for n in range(20)]
    await stock.publish(9 * DAY)
    (tmp_path / "file").write_text("")
    keeper = stock.keeper(ObjectArchive(DirectoryShelf(tmp_path / "file")))
    for _ in range(3):
        with pytest.raises(ArchiveError, match="Not a directory"):
            await keeper.round()
    assert await stock.ids() == sorted([later, *put[::2]])
    assert keeper.tally.feed_rows == 1
    stock.now_us += 3 * DAY  # the one that had not ended is due, and the others are looked at again
    with pytest.raises(ArchiveError):
        await keeper.round()
    (tmp_path / "file").unlink()
    stock.now_us += HOUR
    await keeper.round()
    assert await stock.ids() == []
    found = [each.id for records in objects(DirectoryShelf(tmp_path / "file")).values() for each in records]
    assert sorted(found) == sorted([later, *put[::2]])
    assert await stock.rows(retention_later) == []


async def test_without_an_archive_rules_that_archive_wait(stock: Stock, tmp_path: Path) -> None:
    await stock.add(rule("all", 1, action="archive"))
    put = [await stock.put(4 * DAY)]
    await stock.keeper().round()
    assert await stock.ids() == put
    await stock.keeper(ObjectArchive(DirectoryShelf(tmp_path / "archive"))).round()
    assert await stock.ids() == []


async def test_a_hold_between_plan_and_object_is_obeyed(stock: Stock, tmp_path: Path) -> None:
    await stock.add(rule("all", 1, action="archive"))
    put = [await stock.put(4 * DAY), await stock.put(4 * DAY, source="+13105550000")]
    shelf = DirectoryShelf(tmp_path / "archive")
    with pytest.raises(Dies):
        await stock.keeper(Mortal(shelf, 1)).round()  # the object is there, its row says planned
    await stock.add(hold("matter", "+1202*"))
    stock.now_us += 61_000_000
    await stock.keeper(ObjectArchive(shelf)).round()
    assert await stock.ids() == put[:1]
    assert [each.id for records in objects(shelf).values() for each in records] == put[1:]


async def test_what_was_held_back_comes_into_an_object_of_its_own(stock: Stock, tmp_path: Path) -> None:
    """First and last of a planned object were held when it was made; released, they make one of the same name."""
    await stock.add(rule("all", 1, action="archive"))
    sources = [CUSTOMER, "+13105550001", "+13105550002", CUSTOMER]
    put = [await stock.put(4 * DAY, source=source) for source in sources]
    archive = ObjectArchive(DirectoryShelf(tmp_path / "archive"))
    with pytest.raises(Dies):
        await stock.keeper(Mortal(archive.shelf, 0)).round()  # it is planned
    await stock.add(hold("matter", CUSTOMER))
    stock.now_us += 61_000_000
    await stock.keeper(archive).round()
    await stock.remove(LegalHold, "matter")
    await stock.keeper(archive).round()
    assert await stock.ids() == []
    found = [[each.id for each in records] for records in objects(archive.shelf).values()]
    assert sorted(found) == [[put[0], put[3]], put[1:3]]
    request = Request((CUSTOMER,), None, "cli:ann", "ticket 5", patience_s=0.5)
    for people in ((CUSTOMER,), ("+13105550001",), ("+13105550002",)):
        request = msgspec.structs.replace(request, people=people)
        await Eraser(stock.store, lambda: stock.now_us, stock.keeper(archive), archive, request).erase()
        for row in await stock.rows(archive_object):
            assert archive.fault_of(row.name, row.sha256, row.messages) == ""
    assert objects(archive.shelf) == {}


async def test_a_dead_letter_that_is_sent_again_while_it_is_archived_is_archived_once(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the object again, and comes into another when it has ended."""
    await stock.add(rule("all", 1, action="archive"))
    put = [await stock.put(4 * DAY, state=State.DEAD) for _ in range(3)]
    archive = ObjectArchive(DirectoryShelf(tmp_path / "archive"))
    original = archive.shelf.put

    async def retry() -> None:
        await stock.store.transact(lambda tx: operations.revive(tx, [put[1]], stock.now_us + DAY))

    def put_slowly(name: str, octets: bytes) -> None:
        original(name, octets)
        trio.from_thread.run(retry)

    with monkeypatch.context() as patch:
        patch.setattr(archive.shelf, "put", put_slowly)
        await stock.keeper(archive).round()
    assert await stock.ids() == [put[1]]
    assert [[each.id for each in records] for records in objects(archive.shelf).values()] == [[put[0], put[2]]]
    await stock.keeper(archive).round()

    def end(tx: Any) -> None:
        tx.sql.execute(sqlalchemy.update(message).values(state=State.DELIVERED.value, done_us=stock.now_us))

    await stock.store.transact(end)
    stock.now_us += 2 * DAY
    await stock.keeper(archive).round()
    assert await stock.ids() == []
    found = [(each.id, each.ended) for records in objects(archive.shelf).values() for each in records]
    assert sorted(found) == [(put[0], "dead"), (put[1], "delivered"), (put[2], "dead")]
    for row in await stock.rows(archive_object):
        assert archive.fault_of(row.name, row.sha256, row.messages) == ""


async def test_a_slow_archive_costs_nobody_the_lease(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an object is on its way to the archive nobody else makes it, nor erases beside it."""
    monkeypatch.setattr("hub.keeping.RENEW_S", 0.0)
    await stock.add(rule("all", 1, action="archive"))
    await stock.put(4 * DAY)
    shelf = DirectoryShelf(tmp_path / "archive")
    puts, original = 0, shelf.put

    def put(name: str, octets: bytes) -> None:
        nonlocal puts
        puts += 1
        for _ in range(3):  # three minutes, in which the other looks again and again
            stock.now_us += 60_000_000
            asked = trio.from_thread.run(attempts)
            assert asked == "taken"
        original(name, octets)

    async def attempts() -> str:
        with trio.fail_after(60):
            while ends_us() <= stock.now_us:
                await trio.sleep(0.01)
                await look()
        try:
            await stock.keeper(ObjectArchive(shelf), "another").renew()
        except LeaseTaken:
            return "taken"
        return "free"

    found: list[Any] = []

    async def look() -> None:
        found[:] = [row for row in await stock.rows(retention_cursor) if row.name == "lease"]

    def ends_us() -> int:
        return int(found[0].position) if found else 0

    monkeypatch.setattr(shelf, "put", put)
    await stock.keeper(ObjectArchive(shelf)).round()
    assert puts == 2, "an object and its manifest"
    assert await stock.ids() == []


async def test_a_hold_between_object_and_removal_is_obeyed(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some messages are removed and in the object alone; of the others one is held: it leaves the object again."""
    monkeypatch.setattr("hub.keeping_ledger.REMOVE_PAGE", 2)
    await stock.add(rule("all", 1, action="archive"))
    sources = ["+13105550001", "+13105550002", "+12025551212", "+13105550004"]
    put = [await stock.put(4 * DAY, source=source) for source in sources]
    shelf = DirectoryShelf(tmp_path / "archive")
    removals, original = 0, stock.store.transact

    async def transact(work: Callable[..., Any], *, rows: int = 1) -> Any:
        nonlocal removals
        answer = await original(work, rows=rows)
        if isinstance(answer, tuple) and isinstance(answer[0], Removed):
            removals += 1
            await stock.add(hold("matter", "+1202*"))  # the next removal finds the rules changed
        return answer

    monkeypatch.setattr(stock.store, "transact", transact)
    monkeypatch.setattr("hub.keeping.CHANGED_S", 0.0)
    await stock.keeper(ObjectArchive(shelf)).round()
    assert removals >= 2
    assert await stock.ids() == [put[2]]
    assert [each.id for records in objects(shelf).values() for each in records] == [put[0], put[1], put[3]]
    (row,) = await stock.rows(archive_object)
    assert (row.ids, row.messages) == ("", 3)
    assert ObjectArchive(shelf).fault_of(row.name, row.sha256, row.messages) == ""


def test_a_folder_that_may_not_be_left(tmp_path: Path) -> None:
    shelf = DirectoryShelf(tmp_path / "archive")
    for name in ("../x", "/etc/x", "a/../../x"):
        with pytest.raises(ArchiveError, match="no name"):
            shelf.put(name, b"")
    shelf.put("a/b", b"")
    assert (tmp_path / "archive/a/b").stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_not_there_or_refuses_is_told(s3_url: str) -> None:
    with pytest.raises(ArchiveError, match="NoSuchBucket"):
        S3Shelf("nothing-here", endpoint_url=s3_url, region="us-east-1", access_key="a", secret_key="b").put("x", b"")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ArchiveError, match="EndpointConnectionError"):
            S3Shelf("texts", endpoint_url=nowhere, region="us-east-1", access_key="a", secret_key="b").get("x")


def test_the_settings_make_an_archive(tmp_path: Path, s3_url: str) -> None:
    assert archive_of(ArchiveSettings(), tmp_path, {}) is None
    made = archive_of(ArchiveSettings(target="directory:texts"), tmp_path, {})
    assert made is not None
    made.shelf.put("a", b"1")
    assert (tmp_path / "texts/a").read_bytes() == b"1"
    key = Secret(SecretKind.ENV, "KEY")
    with pytest.raises(BadValue, match="both"):
        archive_of(ArchiveSettings(target="s3:texts", s3_access_key=key), tmp_path, os.environ)
    s3_shelf(s3_url, "")
    settings = ArchiveSettings(
        target="s3:texts/here", s3_endpoint_url=s3_url, s3_region="us-east-1", s3_access_key=key, s3_secret_key=key
    )
    made = archive_of(settings, tmp_path, {"KEY": "testing"})
    assert made is not None
    made.shelf.put("a", b"1")
    assert list(made.shelf.names("")) == ["a"]
