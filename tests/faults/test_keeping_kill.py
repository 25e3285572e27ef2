"""Retention under kill -9: at any moment each message is in the store or in the archive, in the end once in this."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from ops import schema
from ops.archive import DirectoryShelf, ObjectArchive
from provisioning import CallCentre
from store import open_store
from tests.fixtures_keeping import DAY, Stock, rule
from tests.integration.end_to_end.sites import SMSHUB

DAYS, EACH = 40, 20
KILLS = (1, 8, 15, 25)  # objects of the archive that are there when it is killed
PATIENCE_S = 120.0


def fill(folder: Path) -> set[int]:
    """Messages of many days, all due. Returns: their ids."""
    schema.prepare(f"sqlite:///{folder}/hub.db")

    async def work() -> set[int]:
        async with open_store(f"sqlite:///{folder}/hub.db", synchronous="OFF") as store:
            stock = Stock(store)
            stock.now_us = time.time_ns() // 1000
            await stock.add(CallCentre(name="acme"), rule("all", 1, action="archive"))
            return {await stock.put((day + 3) * DAY + n) for day in range(DAYS) for n in range(EACH)}

    return trio.run(work)


def archived(shelf: DirectoryShelf) -> list[int]:
    archive = ObjectArchive(shelf)
    return [record.id for name in shelf.names("") if name.endswith(".gz") for record in archive.load(name)]


def kept(folder: Path) -> set[int]:
    with sqlite3.connect(folder / "hub.db") as connection:
        return {row[0] for row in connection.execute("SELECT id FROM message")}


@pytest.mark.slow
def test_each_message_is_archived_once(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text('[store]\nurl = "sqlite:///hub.db"\n[archive]\ntarget = "directory:archive"\n')
    put, shelf = fill(tmp_path), DirectoryShelf(tmp_path / "archive")
    command = [sys.executable, str(SMSHUB), "retention", "run", "--config", str(tmp_path / "hub.toml")]
    for objects in KILLS:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up_at = time.monotonic() + PATIENCE_S
        while sum(name.endswith(".gz") for name in shelf.names("")) < objects:
            assert time.monotonic() < give_up_at, "it does not archive"
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        in_archive = archived(shelf)
        assert len(in_archive) == len(set(in_archive))
        assert set(in_archive) | kept(tmp_path) == put
        with sqlite3.connect(tmp_path / "hub.db") as connection:  # a minute passes
            connection.execute("UPDATE retention_cursor SET position = 0 WHERE name = 'lease'")
    subprocess.run(command, check=True, timeout=PATIENCE_S, stdout=subprocess.DEVNULL)
    assert sorted(archived(shelf)) == sorted(put)
    assert kept(tmp_path) == set()
    subprocess.run(
        [sys.executable, str(SMSHUB), "archive", "verify", "--config", str(tmp_path / "hub.toml")],
        check=True,
        timeout=PATIENCE_S,
        stdout=subprocess.DEVNULL,
    )
