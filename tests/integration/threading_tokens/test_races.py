"""Two nodes and one pair: whoever commits first wins, and the other goes on with what it finds.

Node A works and holds its transaction open; node B starts and is seen waiting for A's lock; then A commits or fails.
PostgreSQL only: SQLite has one writer at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy
import trio

from store import Store, Transaction, create_all, open_store
from threading_tokens import (
    AlreadyDesignated,
    Designation,
    ExpiredToken,
    Resolution,
    ThreadArrival,
    ThreadRules,
    registry,
)
from threading_tokens.tables import event_table, thread_table

NOW = 1_700_000_000_000_000
RULES = {"acme": ThreadRules()}
ALICE, BOB = Designation("login", "alice"), Designation("login", "bob")
PATIENCE_S = 60

Work = Callable[[Transaction, Store], Any]


class Failed(Exception):
    """Node A's transaction was to fail."""


class Nodes:
    """Two nodes on one database."""

    def __init__(self, url: str, first: Store, second: Store) -> None:
        self.url = url
        self.first = first
        self.second = second

    async def race(self, first: Work, second: Work, *, fails: bool = False) -> tuple[Any, Any]:
        """Let the second run into what the first has done and not committed. Returns what both answered or raised."""
        done, may_end = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> Any:
            answer = first(tx, self.first)
            done.set()
            may_end.wait(PATIENCE_S)
            if fails:
                raise Failed
            return answer

        answers: dict[str, Any] = {}

        async def run(name: str, store: Store, work: Callable[[Transaction], Any]) -> None:
            try:
                answers[name] = await store.transact(work)
            except Exception as error:
                answers[name] = error

        try:
            with trio.fail_after(PATIENCE_S):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run, "first", self.first, hold)
                    await trio.to_thread.run_sync(done.wait, PATIENCE_S)
                    nursery.start_soon(run, "second", self.second, lambda tx: second(tx, self.second))
                    await trio.to_thread.run_sync(self._wait_for_a_lock)
                    may_end.set()
        finally:
            may_end.set()
        return answers["first"], answers["second"]

    def _wait_for_a_lock(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as watcher:
            question = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            give_up_at = time.monotonic() + PATIENCE_S
            while not (row := watcher.execute(question).fetchone()) or not row[0]:
                assert time.monotonic() < give_up_at, "the second node waits for nothing"


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[Nodes]:
    async with open_store(postgres_url, node=1) as first, open_store(postgres_url, node=2) as second:
        await first.transact(create_all)
        yield Nodes(postgres_url, first, second)


def arrive(body: str, *customers: str) -> Work:
    arrivals = [ThreadArrival("acme", "+1800", customer, "link:one", body) for customer in customers or ("+1617",)]
    return lambda tx, store: registry.resolve(tx, arrivals, RULES, NOW, store.new_id)


async def open_threads(nodes: Nodes) -> dict[str, int]:
    threads = await nodes.first.read(lambda tx: registry.list_threads(tx, "acme"))
    assert len({thread.customer for thread in threads}) == len(threads)
    return {thread.customer: thread.id for thread in threads}


async def kinds(nodes: Nodes, customer: str = "+1617") -> list[str]:
    past = await nodes.first.read(lambda tx: registry.history(tx, "acme", customer=customer))
    return [event.kind for event in reversed(past.events)]


async def test_both_open_the_same_pair(nodes: Nodes) -> None:
    first, second = await nodes.race(arrive("hello"), arrive("hello too"))
    assert [resolution.news for resolution in first + second] == ["new:new-address", ""]
    assert first[0].thread == second[0].thread
    assert await kinds(nodes) == ["opened"]


async def test_the_loser_loses_only_what_it_lost(nodes: Nodes) -> None:
    def second(tx: Transaction, store: Store) -> list[Resolution]:
        bodies = [("+1617", "hi"), ("+1618", "hi"), ("+1617", "new problem"), ("+1619", "hi"), ("+1618", "new problem")]
        arrivals = [ThreadArrival("acme", "+1800", customer, "link:two", body) for customer, body in bodies]
        return registry.resolve(tx, arrivals, RULES, NOW, store.new_id)

    one, two = await nodes.race(arrive("hello", "+1617", "+1620"), second)
    assert [resolution.news for resolution in two] == [
        "",
        "new:new-address",
        "new:key-phrase",
        "new:new-address",
        "new:key-phrase",
    ]
    assert two[0].thread.id == one[0].thread.id
    assert two[2].closed.id == one[0].thread.id
    assert await open_threads(nodes) == {
        "+1617": two[2].thread.id,
        "+1618": two[4].thread.id,
        "+1619": two[3].thread.id,
        "+1620": one[1].thread.id,
    }
    assert await kinds(nodes) == ["opened", "closed", "opened"]
    assert await kinds(nodes, "+1618") == ["opened", "closed", "opened"]
    # of what the second node planned for the pair that it lost, nothing is left
    orphans = sqlalchemy.select(event_table.c.kind).where(
        event_table.c.thread_id.not_in(sqlalchemy.select(thread_table.c.id))
    )
    assert await nodes.first.read(lambda tx: tx.sql.execute(orphans).all()) == []


async def test_the_winner_fails_after_all(nodes: Nodes) -> None:
    first, second = await nodes.race(arrive("hello"), arrive("hello"), fails=True)
    assert isinstance(first, Failed)
    assert second[0].news == "new:new-address"
    assert await kinds(nodes) == ["opened"]


async def test_a_text_meets_a_thread_that_is_replaced(nodes: Nodes) -> None:
    await nodes.first.transact(lambda tx: arrive("hello")(tx, nodes.first))
    first, second = await nodes.race(arrive("new problem"), arrive("hello?"))
    assert second[0].news == ""
    assert second[0].thread.id == first[0].thread.id
    assert await kinds(nodes) == ["opened", "closed", "opened"]


async def test_both_replace_a_thread(nodes: Nodes) -> None:
    await nodes.first.transact(lambda tx: arrive("hello")(tx, nodes.first))
    first, second = await nodes.race(arrive("new problem"), arrive("new problem"))
    assert second[0].closed.id == first[0].thread.id
    assert await open_threads(nodes) == {"+1617": second[0].thread.id}
    assert (await kinds(nodes)).count("closed") == 2


async def test_a_text_meets_a_release(nodes: Nodes) -> None:
    (old,) = await nodes.first.transact(lambda tx: arrive("hello")(tx, nodes.first))

    def release(token: str) -> Work:
        return lambda tx, store: registry.release(tx, "acme", token, by="alice", now_us=NOW, new_id=store.new_id)

    _, second = await nodes.race(release(old.thread.token), arrive("one more thing"))
    assert second[0].news == "new:new-address"
    first, third = await nodes.race(arrive("new problem"), release(second[0].thread.token))
    assert first[0].news == "new:key-phrase"
    assert isinstance(third, ExpiredToken)


async def test_two_csrs_claim_a_thread(nodes: Nodes) -> None:
    (old,) = await nodes.first.transact(lambda tx: arrive("hello")(tx, nodes.first))

    def claim(who: Designation) -> Work:
        return lambda tx, store: registry.designate(
            tx, "acme", old.thread.token, who, by=who.value, now_us=NOW, new_id=store.new_id
        )

    first, second = await nodes.race(claim(ALICE), claim(BOB))
    assert first.designation == ALICE
    assert isinstance(second, AlreadyDesignated)
    assert await kinds(nodes) == ["opened", "designated"]


async def test_the_sweep_meets_a_text(nodes: Nodes) -> None:
    await nodes.first.transact(lambda tx: arrive("hello")(tx, nodes.first))
    late = NOW + 2 * RULES["acme"].idle_us

    def sweep(tx: Transaction, store: Store) -> Any:
        return registry.expire(tx, RULES, late, 10, store.new_id)

    first, second = await nodes.race(sweep, arrive("hello"))
    assert len(first) == 1
    assert second[0].news == "new:new-address"


async def test_nodes_that_take_the_same_threads_in_opposite_order(nodes: Nodes) -> None:
    """They deadlock; the database ends one, and the store does its work again."""
    customers = [f"+1617{number:03}" for number in range(40)]
    await nodes.first.transact(lambda tx: arrive("hello", *customers)(tx, nodes.first))
    met = threading.Barrier(2)
    attempts = []

    def both(order: list[str]) -> Work:
        def work(tx: Transaction, store: Store) -> Any:
            attempts.append(order[0])
            first = arrive("hello", *order[:20])(tx, store)
            if len(attempts) <= 2:
                met.wait(PATIENCE_S)  # each holds its half now
            return first + arrive("new problem", *order[20:])(tx, store)

        return work

    answers: list[Any] = []

    async def run(store: Store, work: Work) -> None:
        answers.append(await store.transact(lambda tx: work(tx, store)))

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, nodes.first, both(customers))
            nursery.start_soon(run, nodes.second, both(customers[::-1]))
    assert len(attempts) == 3
    assert [len(answer) for answer in answers] == [40, 40]
    assert len(await open_threads(nodes)) == 40
