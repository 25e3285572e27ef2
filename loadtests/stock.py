"""Stores that hold much already: open threads by the million, written by SQL while the hub is away.

The rows are what the hub itself would have written (a thread and the event of its opening), of one call centre, one
number and customers that follow each other. Their tokens are as random as real ones, so that the index of tokens is as
scattered. They were opened, and last spoken in, within the last twenty hours: none is old yet.

Many rows at once are written without indexes, which are then made anew as they were.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import LiteralString, cast

import psycopg

from loadtests.processes import HELPLINE, Place
from loadtests.wire import FIRST_KNOWN
from store.ids import EPOCH_US

FIRST_NUMBER = 12_132_000_000  # a million of them, all in the numbering plan: +1 213 200 0000 to 299 9999
CALL_CENTRE = "helpline"
SPAN_US = 20 * 3_600_000_000
MANY = 50_000  # rows from which on indexes are made anew
CACHE_KIB = 1_000_000

# The hexadecimal digits that tokens have not become letters; the last character is one that ends a token.
_SQLITE_TOKEN = "replace(replace(replace(replace(lower(hex(randomblob(13))),'0','g'),'1','h'),'8','i'),'9','j')"
_POSTGRESQL_TOKEN = "translate(replace(gen_random_uuid()::text, '-', ''), '0189', 'ghij')"

_COLUMNS = (
    "id, call_centre, number, customer, token, network_endpoint, opened_us, last_us, opened_because, channel, seen_us"
)
_EVENT_COLUMNS = "id, thread_id, call_centre, at_us, kind, by, channel, detail"

# Thread `i` of those from :first to before :last was opened when so much of the span was over.
_AT = ":start + CAST(:span AS bigint) * (i - :first) / (:last - :first)"
_ID = f"(({_AT} - {EPOCH_US}) / 1000) * 4194304 + i % 4194304"


def _thread_words(token: str, rows: str) -> str:
    return (
        f"INSERT INTO thread ({_COLUMNS}) SELECT {_ID}, '{CALL_CENTRE}', '{HELPLINE}',"
        f" '+1' || CAST({FIRST_KNOWN} + i AS text), substr({token}, 1, 25) || 'a', 'link:carrier',"
        f" {_AT}, {_AT}, 'new-address', 'sms', {_AT} FROM {rows}"
    )


def _event_words(rows: str) -> str:
    return (
        f"INSERT INTO thread_event ({_EVENT_COLUMNS}) SELECT {_ID}, {_ID}, '{CALL_CENTRE}', {_AT}, 'opened', 'hub',"
        f" 'sms', 'new-address' FROM {rows}"
    )


def add_threads(place: Place, first: int, last: int) -> None:
    """Open the threads of the customers from ``first`` to before ``last`` (see ``wire.FIRST_KNOWN``). Blocks.

    Args:
        place: whose store; its hub has made the tables, and is away.
    """
    values = {"first": first, "last": last, "start": time.time_ns() // 1000 - SPAN_US, "span": SPAN_US}
    if place.url.startswith("sqlite:///"):
        _add_sqlite(place.url.removeprefix("sqlite:///"), values)
    else:
        _add_postgresql(place.url, values)


def _add_sqlite(path: str, values: dict[str, int]) -> None:
    counting = "WITH RECURSIVE each(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM each WHERE i + 1 < :last) "
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # a journal beside would hold all of it again
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'thread' AND sql IS NOT NULL"
        ).fetchall()
        anew = indexes if values["last"] - values["first"] >= MANY else []
        database.execute("BEGIN")
        for name, _ in anew:
            database.execute(f'DROP INDEX "{name}"')
        database.execute(counting + _thread_words(_SQLITE_TOKEN, "each"), values)
        database.execute(counting + _event_words("each"), values)
        for _, sql in anew:
            database.execute(sql)
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode = WAL")


def _add_postgresql(url: str, values: dict[str, int]) -> None:
    rows = "generate_series(CAST(:first AS bigint), :last - 1) AS i"
    with psycopg.connect(url) as database:
        indexes = database.execute(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
            " WHERE i.indrelid = 'thread'::regclass AND NOT i.indisprimary"
        ).fetchall()
        anew = indexes if values["last"] - values["first"] >= MANY else []
        for name, _ in anew:
            database.execute(cast(LiteralString, f"DROP INDEX {name}"))
        for words in (_thread_words(_POSTGRESQL_TOKEN, rows), _event_words(rows)):
            database.execute(_psycopg_words(words), values)
        for _, sql in anew:
            database.execute(sql)
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM ANALYZE thread, thread_event")  # as it does by itself, some minutes later


def _psycopg_words(words: str) -> LiteralString:
    """psycopg's way of naming values; nothing in the statements has a percent sign but the remainder."""
    words = words.replace("%", "%%")
    for name in ("first", "last", "start", "span"):
        words = words.replace(f":{name}", f"%({name})s::bigint")
    return cast(LiteralString, words)
