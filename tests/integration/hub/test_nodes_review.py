"""What goes wrong between several nodes in rare moments: each moment made on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import insert, select

from hub import Accepted, Hub, Part, ReceiptWanted
from hub.cluster import Cluster
from hub.cluster_rows import NodeGuard, instance_name, join
from hub.hub import NUMBER_S
from hub.model import Outcome, Result
from hub.tables import errand
from ops.config import read_config
from ops.daemon import open_daemon
from store import Store
from store.store import backend_for
from tests.fixtures_hub import CUSTOMER, NUMBER, inbound, transit
from tests.fixtures_nodes import NAMES, Node, open_nodes
from tests.integration.esmes import until


def run_ahead(store: Store, minutes: int = 1) -> None:
    """Let a node give out ids as if its clock were ahead."""
    store.advance_ids_past(store.new_id() + (minutes * 60_000 << 22))


def be_deaf(node: Node) -> None:
    """Let a node not hear how far the ids of others are, as between two of its beats."""
    node.store.advance_ids_past = lambda known_id: None  # type: ignore[method-assign]


async def test_many_texts_of_one_lane_from_another_node_are_read_to_the_last(postgres_url: str) -> None:
    """More than a lane holds in memory, and nothing is taken in at the node that has the lane."""
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        await second.hub.receive("account:agg", [transit(f"{n:03}") for n in range(150)])
        link = first.endpoints["link:one"]
        await nodes.until(lambda: len(link.texts()) == 150, 20)
        assert link.texts() == [f"{n:03}" for n in range(150)]


async def test_more_texts_from_another_node_than_memory_reads_at_once_are_read_to_the_last(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.hub.dispatcher("link:one").hold(8)
        await second.hub.receive("account:agg", [transit(f"{n:03}", source=f"+1202555{n:04}") for n in range(100)])
        link = first.endpoints["link:one"]
        await nodes.until(lambda: len(link.texts()) == 100, 20)


async def test_more_receipts_from_another_node_than_memory_reads_at_once_are_read_to_the_last(
    postgres_url: str,
) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: {"link:two"} <= second.held)
        account = first.endpoints["account:agg"]
        account.window = 0
        first.hub.dispatcher("account:agg").hold(8)
        link = second.endpoints["link:two"]
        link.window = 100
        answers: list[Part] = []

        def script(part: Part) -> Outcome | None:
            answers.append(part)
            return None

        link.script = script
        texts = [
            transit(f"{n:03}", "+18885550000", f"+1202555{n:04}", receipt_wanted=ReceiptWanted.FINAL) for n in range(60)
        ]
        await first.hub.receive("account:agg", texts)
        await nodes.until(lambda: len(answers) == 60)
        await second.hub.report("link:two", [Outcome(part, Result.ACCEPTED) for part in answers])
        account.come_back(first.hub)
        await nodes.until(lambda: len(account.receipts()) == 60, 20)


async def test_texts_of_a_node_whose_clock_is_ahead_hide_none_of_its_neighbour(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        be_deaf(first)
        run_ahead(second.store)
        link = first.endpoints["link:one"]
        first.hub.dispatcher("link:one").hold(8)
        link.window = 0
        for n in range(0, 100, 10):
            sources = [f"+1202555{m:04}" for m in range(n, n + 10)]
            for node in (first, second):
                verdicts = await node.hub.receive("account:agg", [transit("x", source=source) for source in sources])
                assert all(isinstance(verdict, Accepted) for verdict in verdicts)
        link.come_back(first.hub)
        await nodes.until(lambda: len(link.texts()) == 200, 20)
        assert {part.message.id for _, part in link.given} == {row.id for row in await nodes.messages()}


async def test_receipts_of_a_node_whose_clock_is_ahead_hide_none_of_its_neighbour(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: {"link:two"} <= second.held)
        be_deaf(first)
        run_ahead(second.store)
        account = first.endpoints["account:agg"]
        for number in ("+18885550000", "+13035550000"):  # by the link of the other, then by its own
            before = len(account.receipts())
            await first.hub.receive("account:agg", [transit("x", number, receipt_wanted=ReceiptWanted.FINAL)])
            await nodes.until(lambda before=before: len(account.receipts()) > before, 20)


async def test_lanes_go_on_when_a_sign_was_long_under_way(postgres_url: str) -> None:
    """Its hold on its leases went stale while the sign was being written, and is fresh again with it."""
    async with open_nodes(postgres_url) as nodes:
        node = await nodes.start(1)
        link = node.endpoints["link:one"]
        await nodes.beat(node)
        transact, reached, go_on = node.store.transact, trio.Event(), trio.Event()

        async def slow(*arguments: object, **more: object) -> object:
            reached.set()
            await go_on.wait()
            return await transact(*arguments, **more)  # type: ignore[arg-type]

        nodes.steady.now_s += 5.0
        node.store.transact = slow  # type: ignore[method-assign, assignment]
        node.cluster.look()
        await reached.wait()
        nodes.steady.now_s += 2.0
        assert not node.cluster.is_fresh()
        await node.hub.receive("account:agg", [transit("a")])
        for _ in range(20):  # a hub that would give it had done so
            await node.store.read(lambda tx: None)
        assert link.texts() == []
        node.store.transact = transact  # type: ignore[method-assign]
        go_on.set()
        await nodes.until(lambda: link.texts() == ["a"], 20)


@contextmanager
def frozen_in_a_copy(url: str, guard: NodeGuard) -> Iterator[None]:
    """A node's writer that stopped between a COPY and its rows: no timeout of the database runs then."""
    backend = backend_for(url)
    with backend.connect(read_only=False) as connection:
        guard.connected(connection)
        connection.begin()
        guard.check(connection)
        raw: Any = connection.connection.dbapi_connection
        raw.pgconn.exec_(b"COPY bell (endpoint, kind, first_id, last_id) FROM STDIN")
        try:
            yield
        finally:
            raw.pgconn.finish()
            connection.invalidate()
    backend.dispose()


async def test_who_froze_in_the_midst_of_a_copy_is_fenced(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.die()
        with frozen_in_a_copy(postgres_url, first.guard):
            await nodes.pass_a_lease()
            await nodes.pass_beats(2)
            await nodes.until(lambda: second.held == set(NAMES), 20)


async def test_who_begins_anew_does_not_wait_for_an_earlier_one_that_froze_in_a_copy(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first = await nodes.start(1)
        first.die()
        with frozen_in_a_copy(postgres_url, first.guard), trio.fail_after(30):
            work = partial(join, postgres_url, 1, instance_name(), 0, 0.0)
            assert await trio.to_thread.run_sync(work, abandon_on_cancel=True) == first.guard.epoch + 1


async def test_who_has_left_numbers_nothing_any_more(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes over numbers the feed from that moment on: two at once would number events twice."""
    words = f'[store]\nurl = "{postgres_url}"\n[cluster]\nenabled = true\n[smpp]\nport = 0\n[metrics]\nport = 0\n'
    config = read_config(words, "", tmp_path)
    looks = 0
    has_left = False
    number, leave = Hub._number, Cluster.leave

    async def numbering(hub: Hub) -> None:
        nonlocal looks
        looks += has_left
        await number(hub)

    async def leaving(cluster: Cluster, store: Store) -> None:
        nonlocal has_left
        await leave(cluster, store)
        has_left = True
        await trio.sleep(3 * NUMBER_S)  # as if the answer were as late as that

    monkeypatch.setattr(Hub, "_number", numbering)
    monkeypatch.setattr(Cluster, "leave", leaving)
    async with open_daemon(config) as daemon:
        await until(lambda: daemon.hub.is_upkeeper)
    assert has_left
    assert not looks


async def test_a_text_that_a_node_took_in_before_it_heard_of_a_stop_is_ended_where_it_waits(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.endpoints["link:one"].window = 0
        second.hub._opt_outs.learn = lambda senders: None  # type: ignore[method-assign]
        await first.hub.receive("link:one", [inbound("STOP")])
        follower = first.hub._opt_out_follower
        await nodes.until(lambda: follower._read and not follower._new)
        (verdict,) = await second.hub.receive("desk:help", [transit("hello", CUSTOMER, NUMBER)])
        assert isinstance(verdict, Accepted)
        with trio.fail_after(30):
            while {row.id: row.reason for row in await nodes.messages()}[verdict.message_id] != "opted-out":  # noqa: ASYNC110
                await trio.sleep(0.1)


async def test_an_errand_of_a_later_version_is_answered_with_no(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first = await nodes.start(1)
        row = {"id": 7, "node": 2, "endpoint": "link:one", "verb": "hurry", "answer": ""}
        body = '{"v": 2, "what": {"type": "hurry", "message_id": 1}}'
        await first.store.transact(lambda tx: tx.sql.execute(insert(errand).values(**row, body=body)).close())
        with trio.fail_after(30):
            while [each.answer for each in await nodes.rows(select(errand))] != ["0"]:  # noqa: ASYNC110
                await trio.sleep(0.05)
        await first.hub.receive("account:agg", [transit("goes on")])
        await nodes.until(lambda: first.endpoints["link:one"].texts() == ["goes on"])
