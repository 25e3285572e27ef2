"""The watch over the store: what a scrape says when the store does not answer, and when nothing waits."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from ops import store_watch
from ops.config import read_config
from ops.store_watch import StoreWatch, folders_of
from store import create_all, open_store

NOW_US = 1_795_305_600_000_000


def values(watch: StoreWatch) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value for family in watch.collect() for sample in family.samples
    }


def watched(store, tmp_path: Path) -> StoreWatch:  # type: ignore[no-untyped-def]
    folders = {"store": str(tmp_path), "charging": str(tmp_path / "gone")}
    return StoreWatch(store, lambda: NOW_US, folders, lambda: ["link:a", "desk:b"])


async def test_before_the_first_look_nothing_is_claimed(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        said = values(watched(store, tmp_path))
    assert said == {("smshub_store_up",): 0, ("smshub_store_answer_seconds",): 0}


async def test_where_nothing_waits_zero_is_said_and_a_folder_that_is_gone_is_not(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        await store.transact(create_all)
        watch = watched(store, tmp_path)
        await watch.look()
        said = values(watch)
    for endpoint in ("link:a", "desk:b"):
        for kind in ("text", "receipt"):
            assert said["smshub_queue_messages", endpoint, kind] == 0
            assert said["smshub_queue_oldest_seconds", endpoint, kind] == 0
        assert said["smshub_scheduled_messages", endpoint] == 0
    assert said["smshub_store_up",] == 1
    assert 0 < said["smshub_disk_free_bytes", "store"] <= said["smshub_disk_size_bytes", "store"]
    assert ("smshub_disk_free_bytes", "charging") not in said


async def test_a_store_that_is_held_by_somebody_else_is_down_until_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        await store.transact(create_all)
        monkeypatch.setattr(store_watch, "PATIENCE_S", 120.0)
        watch = watched(store, tmp_path)
        await watch.look()
        with monkeypatch.context() as impatient:
            impatient.setattr(store_watch, "PATIENCE_S", 0.2)
            other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
            try:
                other.execute("BEGIN IMMEDIATE")
                with capture_logs() as lines:
                    await watch.look()
                    await watch.look()
                assert values(watch)["smshub_store_up",] == 0
                assert values(watch)["smshub_store_answer_seconds",] >= 0.2
                assert [line["event"] for line in lines] == ["the store does not answer"], "said once"
            finally:
                other.execute("ROLLBACK")
                other.close()
        with capture_logs() as lines:
            await watch.look()
        assert values(watch)["smshub_store_up",] == 1
        assert [line["event"] for line in lines] == ["the store answers"]


async def test_a_store_that_is_closed_ends_no_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        await store.transact(create_all)
        watch = watched(store, tmp_path)
        await watch.look()
    await watch.look()
    assert values(watch)["smshub_store_up",] == 0


async def test_a_fault_in_a_look_ends_no_watch(tmp_path: Path, autojump_clock: object) -> None:
    looks = 0

    class Faulty(StoreWatch):
        async def look(self) -> None:
            nonlocal looks
            looks += 1
            raise LookupError("a fault of ours")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Faulty(None, lambda: NOW_US, {}).run)  # type: ignore[arg-type]
        while looks < 3:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(1)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", {"store": "/etc/smshub/var"}),
        ('[store]\nurl = "postgresql://hub@db/hub"', {}),
        ('[archive]\ntarget = "s3:bucket/texts"', {"store": "/etc/smshub/var"}),
        (
            '[archive]\ntarget = "directory:archive"\n[charging]\ndirectory = "cdr"',
            {"store": "/etc/smshub/var", "charging": "/etc/smshub/cdr", "archive": "/etc/smshub/archive"},
        ),
    ],
)
def test_the_folders_of_a_configuration(words: str, said: dict[str, str]) -> None:
    config = read_config(words, "/etc/smshub/smshub.toml", Path("/etc/smshub"))
    assert folders_of(config) == said
