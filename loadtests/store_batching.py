"""How rows should travel to the databases: the measurements behind docs/discussion/store-batching.md.

Run ``python -m loadtests.store_batching [--postgresql URL]``; it prints the tables of that page.

Each way of writing moves the same rows (20 columns, about 400 octets) in transactions of a given size, in a thread, as
the store's writer does: alone, and beside a main thread that never rests, as a loaded trio thread does. "CPU" is the
writing thread's own; a server's is not in it.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import trio

from store import SWITCH_INTERVAL_S, Insert, Op, SelectByKeys, Update, open_store
from store.postgresql import _write_text
from store.store import backend_for

Row = tuple[Any, ...]
Write = Callable[[Any, Sequence[Row]], object]

INTERVALS_S = (0.005, 0.0005, 0.0001)  # CPython's default first
ROWS = 30_000
SLOW_ROWS = 1_500  # where the default interval makes a row take milliseconds
GROUPS = (300, 47)
# Callers, rows a call, calls of each.
SHAPES = ((1, 1, 300), (1, 100, 300), (50, 1, 200), (200, 1, 100), (4, 100, 100), (20, 50, 50))
SIZES = (512, 128, 32, 8, 1)

metadata = sa.MetaData()
_pending = sa.text("state < 2")
table = sa.Table(
    "bench_message",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Integer) for name in ("kind", "state", "receipt_wanted", "attempts")),
    *(sa.Column(name, sa.BigInteger) for name in ("received_us", "expires_us", "not_before_us", "thread_id")),
    *(sa.Column(name, sa.String) for name in ("origin", "endpoint", "source", "destination", "text", "upstream_id")),
    *(sa.Column(name, sa.String) for name in ("call_centre", "token", "designation", "attributes")),
    sa.Column("reason", sa.String),
    sa.Index(
        "ix_bench_pending", "endpoint", "id", sqlite_where=sa.text("state < 2"), postgresql_where=sa.text("state < 2")
    ),
)
COLUMNS = tuple(column.name for column in table.columns)
TYPES = {sa.BigInteger: "bigint", sa.Integer: "integer", sa.String: "text"}
add = Insert(table, COLUMNS)
done = Update(table, key="id", set=("state", "upstream_id"))
by_id = SelectByKeys(table, COLUMNS, key="id")


def a_row(at: int) -> Row:
    start = (at, 0, 1, 1, 0, 1_700_000_000_000_000 + at, 1_700_086_400_000_000 + at, 0, at // 7)
    addresses = ("link:acme", "desk:helpline", "+16175551212", "+18005550100")
    rest = ("x" * 160, f"upstream-{at}", "helpline", "abcdefghijklmnopqrstuvwxyz", "csr@desk.example/one", '{"a":"b"}')
    return (*start, *addresses, *rest, "")


# --- Ways of writing ------------------------------------------------------------------------------------------------


def row_by_row(sql: str) -> Write:
    return lambda connection, rows: connection.cursor().executemany(sql, rows)


def in_pieces(head: str, row: str, tail: str, **options: Any) -> Write:
    texts = [(size, head + ",".join([row] * size) + tail) for size in SIZES]

    def write(connection: Any, rows: Sequence[Row]) -> None:
        start = 0
        for size, text in texts:
            while len(rows) - start >= size:
                connection.execute(text, list(chain.from_iterable(rows[start : start + size])), **options)
                start += size

    return write


def as_json(sql: str, **options: Any) -> Write:
    encode = msgspec.json.Encoder().encode
    return lambda connection, rows: connection.execute(sql, (encode(rows).decode(),), **options)


def as_arrays(sql: str) -> Write:
    return lambda connection, rows: connection.execute(sql, [list(values) for values in zip(*rows, strict=True)])


def by_copy(sql: str, types: Sequence[str] = ()) -> Write:
    def write(connection: Any, rows: Sequence[Row]) -> None:
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            if types:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    return write


def sqlite_ways() -> dict[str, tuple[Write, Write]]:
    names, marks = ",".join(COLUMNS), ",".join("?" * len(COLUMNS))
    paths = ",".join(f"value->>{at}" for at in range(len(COLUMNS)))
    update = "UPDATE bench_message SET state = v.column2, upstream_id = v.column3 FROM"
    return {
        "executemany": (
            row_by_row(f"INSERT INTO bench_message ({names}) VALUES ({marks})"),
            row_by_row("UPDATE bench_message SET state = ?2, upstream_id = ?3 WHERE id = ?1"),
        ),
        f"VALUES, pieces of {'/'.join(map(str, SIZES))}": (
            in_pieces(f"INSERT INTO bench_message ({names}) VALUES ", f"({marks})", ""),
            in_pieces(f"{update} (VALUES ", "(?,?,?)", ") AS v WHERE bench_message.id = v.column1"),
        ),
        "one JSON value": (
            as_json(f"INSERT INTO bench_message ({names}) SELECT {paths} FROM json_each(?)"),
            as_json(
                f"{update} (SELECT value->>0 AS column1, value->>1 AS column2, value->>2 AS column3 FROM json_each(?))"
                " AS v WHERE bench_message.id = v.column1"
            ),
        ),
    }


def postgresql_ways() -> dict[str, tuple[Write, Write]]:
    names, marks = ",".join(COLUMNS), ",".join(["%s"] * len(COLUMNS))
    types = [TYPES[type(column.type)] for column in table.columns]
    arrays = ",".join(f"%s::{name}[]" for name in types)
    update = "UPDATE bench_message SET state = v.b, upstream_id = v.c FROM"
    update_arrays = as_arrays(
        f"{update} unnest(%s::bigint[], %s::integer[], %s::text[]) AS v(a, b, c) WHERE bench_message.id = v.a"
    )
    return {
        "executemany (pipelined)": (
            row_by_row(f"INSERT INTO bench_message ({names}) VALUES ({marks})"),
            row_by_row(f"{update} (VALUES (%s::bigint, %s::integer, %s::text)) AS v(a, b, c) WHERE id = a"),
        ),
        f"VALUES, pieces of {'/'.join(map(str, SIZES))}": (
            in_pieces(f"INSERT INTO bench_message ({names}) VALUES ", f"({marks})", "", prepare=True),
            in_pieces(f"{update} (VALUES ", "(%s::bigint,%s::integer,%s::text)", ") AS v(a, b, c) WHERE id = a"),
        ),
        "arrays, unnest": (
            as_arrays(f"INSERT INTO bench_message ({names}) SELECT * FROM unnest({arrays})"),
            update_arrays,
        ),
        "one JSON value": (as_json(_write_text(add), prepare=True), as_json(_write_text(done), prepare=True)),
        "COPY, text (insert), unnest (update)": (by_copy(f"COPY bench_message ({names}) FROM STDIN"), update_arrays),
        "COPY, binary (insert), unnest (update)": (
            by_copy(f"COPY bench_message ({names}) FROM STDIN (FORMAT binary)", types),
            update_arrays,
        ),
    }


# --- Measuring ------------------------------------------------------------------------------------------------------


@contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_thread(work: Callable[[], None], *, busy: bool) -> tuple[float, float]:
    """Run work in a thread beside an idle or a busy main thread. Returns seconds of the clock and of its CPU."""
    took: list[float] = []

    def run() -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        work()
        took.extend((time.perf_counter() - wall, time.thread_time() - cpu))

    thread = threading.Thread(target=run)
    thread.start()
    spent: dict[int, tuple[int, str]] = {}
    while busy and thread.is_alive():
        for at in range(2000):
            spent[at & 63] = (at, str(at))
    thread.join()
    return took[0], took[1]


def figure(rows: int, took: tuple[float, float]) -> str:
    return f"{rows / took[0] / 1000:6.1f} k/s {took[1] / rows * 1e6:5.1f} µs"


def compare(url: str, ways: dict[str, tuple[Write, Write]]) -> None:
    """Print a table of all ways, and the store's own, for one database."""
    backend = backend_for(url)
    ways = ways | {
        "the store": (lambda raw, rows: backend.write(raw, add, rows), lambda raw, rows: backend.write(raw, done, rows))
    }
    print(f"{'way':42} {'rows':>4} {'main':>12}  {'insert':>18}  {'update':>18}")
    for group in GROUPS:
        for name, (insert, update) in ways.items():
            for interval_s in (0.0, *INTERVALS_S):
                count = SLOW_ROWS if interval_s == INTERVALS_S[0] else ROWS
                with switch_interval(interval_s or INTERVALS_S[0]):
                    inserted, updated = one_way(backend, insert, update, count, group, busy=bool(interval_s))
                beside = f"busy {interval_s * 1e3:g} ms" if interval_s else "idle"
                print(
                    f"{name:42} {group:4} {beside:>12}  {figure(count, inserted):>18}  {figure(count, updated):>18}",
                    flush=True,
                )
    backend.dispose()


def one_way(
    backend: Any, insert: Write, update: Write, count: int, group: int, *, busy: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    connection = backend.connect(read_only=False)
    with connection.begin():
        metadata.drop_all(connection)
        metadata.create_all(connection)
    raw = connection.connection.dbapi_connection
    rows = [a_row(at) for at in range(count)]
    changes = [(at, 2, f"carrier-{at}") for at in range(count)]

    def write(way: Write, what: Sequence[Row]) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, count, group):
                with connection.begin():
                    way(raw, what[start : start + group])

        return run

    result = in_thread(write(insert, rows), busy=busy), in_thread(write(update, changes), busy=busy)
    connection.close()
    return result


def reading(url: str) -> None:
    """Print how rows of many keys are best read from SQLite."""
    backend = backend_for(url)
    connection = backend.connect(read_only=False)
    raw = connection.connection.dbapi_connection
    with connection.begin():
        metadata.drop_all(connection)
        metadata.create_all(connection)
        backend.write(raw, add, [a_row(at) for at in range(ROWS)])

    def fetchall(keys: list[int]) -> None:
        names, marks = ",".join(COLUMNS), ",".join("?" * len(keys))
        raw.execute(f"SELECT {names} FROM bench_message WHERE id IN ({marks})", keys).fetchall()

    print(f"{'reading 256 keys':42} {'':4} {'main':>12}  {'select':>18}")
    for name, read in (("fetchall", fetchall), ("the store", lambda keys: backend.select(raw, by_id, keys))):
        for interval_s in (0.0, *INTERVALS_S):
            loops = 4 if interval_s == INTERVALS_S[0] else 40

            def work(read: Callable[[list[int]], object] = read, loops: int = loops) -> None:
                for _ in range(loops):
                    with connection.begin():
                        read(random.sample(range(ROWS), 256))

            with switch_interval(interval_s or INTERVALS_S[0]):
                took = in_thread(work, busy=bool(interval_s))
            beside = f"busy {interval_s * 1e3:g} ms" if interval_s else "idle"
            print(f"{name:42} {'':4} {beside:>12}  {figure(loops * 256, took):>18}", flush=True)
    connection.close()
    backend.dispose()


async def group_commit(url: str, callers: int, rows_a_call: int, calls: int) -> None:
    """Print what callers get who each wait for their commit, in a trio thread that is busy between."""
    waits: list[float] = []
    async with open_store(url) as store:
        await store.transact(lambda tx: metadata.drop_all(tx.sql))
        await store.transact(lambda tx: metadata.create_all(tx.sql))

        async def caller() -> None:
            for _ in range(calls):
                ids = store.new_ids(rows_a_call)
                ops = [Op(add, [a_row(identity) for identity in ids])]
                started = time.perf_counter()
                await store.commit(ops)
                waits.append(time.perf_counter() - started)

        wall, cpu = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(caller)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        statistics = store.statistics()
    waits.sort()
    rows = callers * calls * rows_a_call
    print(
        f"{callers:5} callers × {rows_a_call:3} rows: {rows / wall / 1000:6.1f} k rows/s,"
        f" {cpu / rows * 1e6:5.1f} µs CPU a row,"
        f" {statistics.rows / statistics.groups:6.0f} rows a group,"
        f" p50 {waits[len(waits) // 2] * 1e3:5.1f} ms, p99 {waits[len(waits) * 99 // 100] * 1e3:5.1f} ms",
        flush=True,
    )


async def hand_over(*, busy_s: float) -> None:
    """Print what it costs to give a thread work and hear of its end, 2,000 groups that take 0.2 ms each.

    Args:
        busy_s: how long each turn of another task holds the trio thread.
    """
    count, work_s = 2000, 0.0002
    token = trio.lowlevel.current_trio_token()

    async def hold() -> None:
        while True:
            until = time.perf_counter() + busy_s
            while time.perf_counter() < until:
                pass
            await trio.lowlevel.checkpoint()

    async def one_by_one() -> None:
        for _ in range(count):
            await trio.to_thread.run_sync(time.sleep, work_s)

    async def own_thread() -> None:
        heard, ended = [0], trio.Event()

        def hear() -> None:
            heard[0] += 1
            if heard[0] == count:
                ended.set()

        def run() -> None:
            for _ in range(count):
                time.sleep(work_s)
                token.run_sync_soon(hear)

        thread = threading.Thread(target=run)
        thread.start()
        await ended.wait()
        thread.join()

    for name, way in (("a task and trio.to_thread", one_by_one), ("a thread that goes on by itself", own_thread)):
        async with trio.open_nursery() as nursery:
            if busy_s:
                nursery.start_soon(hold)
            started, cpu = time.perf_counter(), time.process_time()
            await way()
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu
            nursery.cancel_scope.cancel()
        spent = "" if busy_s else f", {cpu / count * 1e6:5.1f} µs CPU"
        print(
            f"{name:42} other tasks' turns {busy_s * 1e3:g} ms: {wall / count * 1e3:6.2f} ms a group{spent}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgresql", metavar="URL", help="an empty database; its table bench_message is dropped")
    parser.add_argument("--directory", type=Path, help="where SQLite's file goes: a disk like the one in the field")
    parser.add_argument("--only", choices=["ways", "groups"], help="one half")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        sqlite = f"sqlite:///{folder}/bench.db"
        print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
        if arguments.only != "groups":
            compare(sqlite, sqlite_ways())
            reading(sqlite)
            if arguments.postgresql:
                print("PostgreSQL")
                compare(arguments.postgresql, postgresql_ways())
        if arguments.only == "ways":
            return
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for busy_s in (0.0, 0.001, 0.005):
            trio.run(partial(hand_over, busy_s=busy_s))
        for url in filter(None, (sqlite, arguments.postgresql)):
            print("group commit,", url.partition(":")[0])
            for callers, rows_a_call, calls in (
                (1, 1, 300),
                (1, 100, 300),
                (50, 1, 200),
                (200, 1, 100),
                (4, 100, 100),
                (20, 50, 50),
            ):
                trio.run(group_commit, url, callers, rows_a_call, calls)


if __name__ == "__main__":
    main()
