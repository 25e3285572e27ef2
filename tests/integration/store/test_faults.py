"""What the store does when its database does not do what it should."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import sqlalchemy as sa
import trio
import trio.testing

from store import Op, StoreConflict, StoreError, StoreFull, StoreRefused, StoreUnavailable, open_store
from tests.integration.store.tables import a_note, add_note, add_pair, drop_note, metadata, note, notes, pair, sum_pair
from tests.integration.store.test_store import ids_of


async def create(store):
    await store.transact(lambda tx: metadata.create_all(tx.sql))


# --- A full disk ----------------------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing_and_heals(tmp_path):
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        await create(store)
        pages = await store.transact(lambda tx: tx.sql.exec_driver_sql("PRAGMA page_count").scalar())
        await store.transact(lambda tx: tx.sql.exec_driver_sql(f"PRAGMA max_page_count = {pages + 60}"))
        written = []
        with contextlib.suppress(StoreFull):
            for at in range(1000):
                await store.commit([Op(add_note, [a_note(at, data=b"x" * 4000)])])
                written.append(at)
        assert 10 < len(written) < 100
        assert await ids_of(store) == written
        # In one group: what needs space fails, what frees it goes through.
        answers = {}

        async def commit(at, ops):
            try:
                await store.commit(ops)
                answers[at] = "written"
            except StoreFull:
                answers[at] = "full"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, "large", [Op(add_note, [a_note(5000, data=b"x" * 400_000)])])
            nursery.start_soon(commit, "delete", [Op(drop_note, [(at,) for at in written[:5]])])
        assert answers == {"large": "full", "delete": "written"}
        with pytest.raises(StoreFull):
            await store.transact(lambda tx: tx.write(Op(add_note, [a_note(5001, data=b"x" * 400_000)])))
        await store.transact(lambda tx: tx.sql.exec_driver_sql(f"PRAGMA max_page_count = {pages + 6000}"))
        await store.commit([Op(add_note, [a_note(5000, data=b"x" * 400_000)])])
        assert await ids_of(store) == [*written[5:], 5000]
    assert sqlite3.connect(tmp_path / "store.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


# --- Another process holds the lock ---------------------------------------------------------------------------------


async def test_a_lock_that_is_held_for_long_is_an_error_without_doubt(tmp_path):
    async with open_store(f"sqlite:///{tmp_path}/store.db", lock_wait_s=0.1, patience_s=0.1) as store:
        await create(store)
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        errors = []

        async def commit(at):
            try:
                await store.commit([Op(add_note, [a_note(at)])])
            except StoreUnavailable as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for at in range(5):
                nursery.start_soon(commit, at)
        assert [error.in_doubt for error in errors] == [False] * 5
        assert len(set(map(id, errors))) == 5
        assert await ids_of(store) == []  # reading does not wait
        other.execute("ROLLBACK")
        other.close()
        await store.commit([Op(add_note, [a_note(9)])])
        assert await ids_of(store) == [9]


async def test_a_lock_that_is_held_shortly_is_waited_for(tmp_path):
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        await create(store)
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO note (id, kind, is_open) VALUES (1, 1, 0)")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.commit, [Op(add_note, [a_note(2)])])
            await trio.testing.wait_all_tasks_blocked(0.05)
            other.execute("COMMIT")
        other.close()
        assert await ids_of(store) == [1, 2]


# --- Errors that come with the commit -------------------------------------------------------------------------------


async def test_a_constraint_that_is_checked_at_the_commit(store_url):
    tables = sa.MetaData()
    sa.Table("parent", tables, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False))
    parent_id = sa.ForeignKey("parent.id", deferrable=True, initially="DEFERRED")
    late = sa.Table(
        "late",
        tables,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("parent_id", sa.BigInteger, parent_id),
    )
    answers = {}
    async with open_store(store_url) as store:
        await store.transact(lambda tx: tables.create_all(tx.sql))
        await store.transact(lambda tx: tx.sql.exec_driver_sql("INSERT INTO parent VALUES (1)"))

        async def transact(at):
            row = {"id": at, "parent_id": 2 if at == 3 else 1}
            try:
                await store.transact(lambda tx: tx.sql.execute(sa.insert(late), [row]) and None)
                answers[at] = "written"
            except StoreRefused:
                answers[at] = "refused"

        async with trio.open_nursery() as nursery:
            for at in range(10):
                nursery.start_soon(transact, at)
        assert answers == {at: "refused" if at == 3 else "written" for at in range(10)}
        found = await store.read(lambda tx: sorted(tx.sql.scalars(sa.select(late.c.id))))
        assert found == [at for at in range(10) if at != 3]


async def test_a_connection_lost_in_the_commit_is_in_doubt(postgres_url):
    async with open_store(postgres_url, patience_s=5) as store:
        await create(store)

        def booby_trap(tx):
            tx.sql.exec_driver_sql(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
            tx.sql.exec_driver_sql(
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON pair DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW WHEN (NEW.n = 13) EXECUTE FUNCTION die()"
            )

        await store.transact(booby_trap)
        with pytest.raises(StoreUnavailable) as raised:
            await store.commit([Op(add_pair, [(1, "x", 13)])])
        assert raised.value.in_doubt
        await store.commit([Op(add_pair, [(2, "x", 1)])])
        assert store.statistics().reconnects == 1
        assert await store.read(lambda tx: list(tx.sql.scalars(sa.select(pair.c.a)))) == [2]


async def test_works_that_deadlock_are_run_again(postgres_url):
    async with open_store(postgres_url) as first, open_store(postgres_url, node=1) as second:
        await create(first)
        await first.commit([Op(add_pair, [(1, "x", 0), (2, "x", 0)])])
        meet = threading.Barrier(2)
        runs = []

        def work(order):
            def run(tx):
                runs.append(order)
                tx.write(Op(sum_pair, [(order[0], "x", order[0])]))
                if runs.count(order) == 1:
                    meet.wait(30)
                tx.write(Op(sum_pair, [(order[1], "x", order[0])]))

            return run

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.transact, work((1, 2)))
            nursery.start_soon(second.transact, work((2, 1)))
        assert len(runs) >= 3  # 4 when both noticed at once
        values = await first.read(lambda tx: sorted(tx.sql.scalars(sa.select(pair.c.n))))
        assert values in ([1, 1], [2, 2])


# --- The server goes away -------------------------------------------------------------------------------------------


def cut_sessions(url):
    """End all sessions of a database but our own, as an administrator may."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


async def test_a_session_that_was_cut_while_idle_is_not_noticed(postgres_url):
    async with open_store(postgres_url) as store:
        await create(store)
        await ids_of(store)
        await trio.to_thread.run_sync(cut_sessions, postgres_url)
        await store.commit([Op(add_note, [a_note(1)])])
        assert await ids_of(store) == [1]
        await trio.to_thread.run_sync(cut_sessions, postgres_url)
        assert await store.transact(lambda tx: len(tx.select(notes, [1, 2]))) == 1
        assert store.statistics().reconnects == 2


@pytest.fixture(scope="module")
def breakable_server(postgres_factory):
    """A server that the tests of this module stop and kill."""
    return postgres_factory()


async def test_a_server_that_comes_back_in_time_is_waited_for(breakable_server):
    url = breakable_server.new_database()
    async with open_store(url, patience_s=60) as store:
        await create(store)
        await store.commit([Op(add_note, [a_note(1)])])
        await trio.to_thread.run_sync(breakable_server.kill)
        async with trio.open_nursery() as nursery:
            for at in range(2, 12):
                nursery.start_soon(store.commit, [Op(add_note, [a_note(at)])])
            await trio.testing.wait_all_tasks_blocked(0.2)
            await trio.to_thread.run_sync(breakable_server.start)
        assert await ids_of(store) == list(range(1, 12))
        assert store.statistics().reconnects >= 1


async def test_a_server_that_stays_away_is_said_and_found_again(breakable_server):
    url = breakable_server.new_database()
    async with open_store(url, patience_s=0.5) as store:
        await create(store)
        await store.commit([Op(add_note, [a_note(1)])])
        await trio.to_thread.run_sync(breakable_server.stop)
        with pytest.raises(StoreUnavailable) as raised:
            await store.commit([Op(add_note, [a_note(2)])])
        assert not raised.value.in_doubt
        # Patience is spent: the next ones hear it at once.
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.commit([Op(add_note, [a_note(2)])])
        assert time.monotonic() - started < 0.5
        with pytest.raises(StoreUnavailable):
            await ids_of(store)
        await trio.to_thread.run_sync(breakable_server.start)
        await store.commit([Op(add_note, [a_note(3)])])
        assert await ids_of(store) == [1, 3]


async def test_closing_does_not_wait_for_a_server_that_is_away(breakable_server):
    url = breakable_server.new_database()
    errors = []

    async def commit(store, at):
        try:
            await store.commit([Op(add_note, [a_note(at)])])
        except StoreError as error:
            errors.append(type(error))

    started = 0.0
    async with trio.open_nursery() as nursery:
        async with open_store(url, patience_s=600) as store:
            await create(store)
            await trio.to_thread.run_sync(breakable_server.stop)
            for at in range(5):
                nursery.start_soon(commit, store, at)
            await trio.testing.wait_all_tasks_blocked(0.2)
            started = time.monotonic()
        assert time.monotonic() - started < 10
    assert errors == [StoreUnavailable] * 5
    await trio.to_thread.run_sync(breakable_server.start)


# --- The process dies -----------------------------------------------------------------------------------------------

ACKNOWLEDGING = """
import sys, trio
from store import Op, open_store
from tests.integration.store.tables import a_note, add_note, metadata

async def main():
    async with open_store(sys.argv[1]) as store, trio.open_nursery() as nursery:
        await store.transact(lambda tx: metadata.create_all(tx.sql))
        async def write():
            while True:
                ids = store.new_ids(3)
                await store.commit([Op(add_note, [a_note(identity) for identity in ids])])
                sys.stdout.write("".join(f"{identity}\\n" for identity in ids))
                sys.stdout.flush()
        for _ in range(20):
            nursery.start_soon(write)

trio.run(main)
"""


async def test_what_was_acknowledged_survives_kill_9(store_url, pytestconfig):
    process = await trio.to_thread.run_sync(
        lambda: subprocess.Popen(
            [sys.executable, "-c", ACKNOWLEDGING, store_url], cwd=pytestconfig.rootpath, stdout=subprocess.PIPE
        )
    )

    def until_killed():
        lines = [process.stdout.readline() for _ in range(2000)]
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        return {int(line) for line in lines if line.endswith(b"\n")}

    acknowledged = await trio.to_thread.run_sync(until_killed)
    assert len(acknowledged) >= 2000
    async with open_store(store_url) as store:
        written = await ids_of(store)
        assert acknowledged <= set(written)
        # A commit is there as a whole: three rows each.
        assert len(written) % 3 == 0
        with contextlib.suppress(StoreConflict):
            await store.commit([Op(add_note, [a_note(written[-1])])])
            raise AssertionError("a row that is there was added again")
        assert await store.read(lambda tx: tx.sql.scalar(sa.select(sa.func.count()).select_from(note))) == len(written)
