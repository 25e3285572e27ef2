"""Threads that are written by SQL are threads: the registry reads them, and the store is as it was made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loadtests import stock
from loadtests.processes import HELPLINE, Place
from loadtests.wire import FIRST_KNOWN
from ops import schema
from store import open_store
from threading_tokens.registry import by_token, open_thread
from threading_tokens.thread import Thread
from threading_tokens.token import is_token

INDEXES = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'thread' AND type = 'index' ORDER BY name"
PG_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'thread' ORDER BY indexname"


def make_place(directory: Path, url: str = "") -> Place:
    place = Place(directory, url=url)
    schema.prepare(place.url)
    return place


def ask_sqlite(place: Place, words: str) -> list[Any]:
    with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as database:
        return database.execute(words).fetchall()


async def check_threads(place: Place, count: int) -> None:
    """Every thread is found by its customer and by its token."""
    async with open_store(place.url) as store:

        def read(tx: Any) -> list[Thread | None]:
            return [
                open_thread(tx, stock.CALL_CENTRE, HELPLINE, f"+1{FIRST_KNOWN + at}")
                for at in (0, 1, count // 2, count - 1)
            ]

        threads = await store.read(read)
        assert all(thread is not None and is_token(thread.token) and thread.is_open for thread in threads)
        tokens = [thread.token for thread in threads if thread is not None]
        assert await store.read(lambda tx: by_token(tx, stock.CALL_CENTRE, tokens)) == threads
        beyond = await store.read(lambda tx: open_thread(tx, stock.CALL_CENTRE, HELPLINE, f"+1{FIRST_KNOWN + count}"))
        assert beyond is None


async def test_in_sqlite_row_by_row_and_with_indexes_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path)
    before = ask_sqlite(place, INDEXES)
    stock.add_threads(place, 0, 10)
    monkeypatch.setattr(stock, "MANY", 100)
    stock.add_threads(place, 10, 500)
    assert ask_sqlite(place, INDEXES) == before
    assert ask_sqlite(place, "PRAGMA integrity_check") == [("ok",)]
    assert ask_sqlite(place, "PRAGMA journal_mode") == [("wal",)]
    rows = ask_sqlite(place, "SELECT count(*), count(DISTINCT token), min(closed_us), max(closed_us) FROM thread")
    assert rows == [(500, 500, 0, 0)]
    assert ask_sqlite(place, "SELECT count(DISTINCT thread_id) FROM thread_event WHERE kind = 'opened'") == [(500,)]
    await check_threads(place, 500)


async def test_in_postgresql(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path, postgres_url)
    with psycopg.connect(postgres_url) as database:
        before = database.execute(PG_INDEXES).fetchall()
    stock.add_threads(place, 0, 10)
    monkeypatch.setattr(stock, "MANY", 100)
    stock.add_threads(place, 10, 500)
    with psycopg.connect(postgres_url) as database:
        assert database.execute(PG_INDEXES).fetchall() == before
        assert database.execute("SELECT count(*), count(DISTINCT token) FROM thread").fetchone() == (500, 500)
        assert database.execute("SELECT count(DISTINCT thread_id) FROM thread_event").fetchone() == (500,)
    await check_threads(place, 500)
