"""Charging records and kill -9: a real process dies again and again at any instant; each text is recorded once.

Beside it somebody fetches each file as soon as it can be seen, as mediation systems do: whatever was seen is final.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import trio

from hub import feed
from ops.charging import ber, files
from ops.charging.records import CHARGED, Record
from store import create_all, open_store

pytestmark = pytest.mark.slow

DEATHS = 8
ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


def start(url: str, directory: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.charging_process", url, str(directory), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def fetch(directory: Path, basket: Path) -> None:
    for path in files.files_of(directory):
        os.replace(path, basket / path.name)


def records_of(basket: Path) -> list[Record]:
    found: list[Record] = []
    for path in files.files_of(basket):
        if path.suffix == ".cdr":
            records = list(ber.decode(path.read_bytes()))
            assert len(records) == len(path.with_suffix(".csv").read_bytes().splitlines()) - 1
            found += records
    return found


def test_who_is_killed_at_any_instant_neither_loses_nor_repeats(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    directory, basket = tmp_path / "charging", tmp_path / "basket"
    directory.mkdir()
    basket.mkdir()
    chance = random.Random(31)

    async def prepare() -> None:
        async with open_store(url) as store:
            await store.transact(create_all)

    async def events() -> Counter[tuple[str, int]]:
        async with open_store(url) as store:
            rows = await store.read(lambda tx: feed.rows_after(tx, 0, 1_000_000))
        return Counter((str(e[0]), int(e[1])) for row in rows for e in row.events if e[0] in CHARGED)

    trio.run(prepare)
    for _ in range(DEATHS):
        with start(url, directory) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            dies_at = time.monotonic() + chance.uniform(0.0, 0.6)
            while time.monotonic() < dies_at:
                fetch(directory, basket)
                time.sleep(0.001)
            process.kill()
            process.wait(PATIENCE_S)
        fetch(directory, basket)
    with start(url, directory, "end") as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert said.splitlines()[-1] == "done", said
    fetch(directory, basket)
    records = records_of(basket)
    expected = trio.run(events)
    words = {"submission": "message", "delivery": "handed-over"}
    assert Counter((words[r.message_type.value], r.message_id) for r in records) == expected
    assert records, "it was killed before it began, each time"
    assert [r.sequence for r in records] == list(range(1, len(records) + 1))
    assert [path.name for path in directory.iterdir()] == [".smshub0-charging"]
