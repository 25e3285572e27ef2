"""Several nodes on one database: whose the endpoints are, what moves, and that who was fenced writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy
import trio
from msgspec import structs

from hub import Accepted, Effect, Name, Part, ReceiptWanted, Rejected, State, TryLater, feed
from hub.cluster_rows import NodeInUse, join
from hub.model import Concatenation, Outcome, Receipt, ReceiptState, Result
from hub.tables import bell, errand, outbox
from store import StoreFenced, open_store
from tests.fixtures_hub import inbound, transit
from tests.fixtures_nodes import NAMES, STEP_S, open_nodes


def wants(text: str) -> object:
    return transit(text, receipt_wanted=ReceiptWanted.FINAL)


async def test_a_node_that_is_alone_holds_all_and_one_that_comes_gets_its_share(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first = await nodes.start(1)
        assert first.held == set(NAMES)
        second = await nodes.start(2)
        nodes.look()
        await nodes.until(lambda: len(second.held) == 2)
        await nodes.until(lambda: len(first.held) == 3)
        assert second.held == {"link:two", "desk:shy"}
        assert not first.held & second.held
        await nodes.pass_beats(2)
        assert await nodes.leases() == {
            "service:upkeep": 1,
            **dict.fromkeys(first.held, 1),
            **dict.fromkeys(second.held, 2),
        }


async def test_what_one_takes_in_the_holder_delivers_in_order(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        link = first.endpoints["link:one"]
        for at in range(0, 60, 3):
            verdicts = await second.hub.receive("account:agg", [transit(f"{n:03}") for n in range(at, at + 3)])
            assert all(isinstance(verdict, Accepted) for verdict in verdicts)
            await first.hub.receive("account:agg", [transit(f"own {at:03}", source="+12025550000")])
        await nodes.until(lambda: len(link.texts()) == 80)
        assert [text for text in link.texts() if not text.startswith("own")] == [f"{n:03}" for n in range(60)]
        assert [text for text in link.texts() if text.startswith("own")] == [f"own {n:03}" for n in range(0, 60, 3)]
        assert not second.endpoints["link:one"].given
        await nodes.until(lambda: not link.unanswered)
        assert {State(row.state) for row in await nodes.messages()} == {State.DELIVERED}
        assert await nodes.rows(sqlalchemy.select(bell)) == []


async def test_receipts_find_the_sender_wherever_it_is_bound(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        second.bound.add("account:agg")
        nodes.look()
        await nodes.until(lambda: "account:agg" in second.held)
        assert "account:agg" not in first.held
        await first.hub.receive("account:agg", [wants("a"), wants("b")])  # type: ignore[list-item]
        await nodes.until(lambda: len(second.endpoints["account:agg"].receipts()) == 2)
        assert not first.endpoints["account:agg"].given


async def test_an_account_bound_at_both_stays_where_it_is_until_it_is_bound_at_the_other_alone(
    postgres_url: str,
) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        first.bound.add("account:agg")
        second.bound.add("account:agg")
        await nodes.pass_beats(2)
        assert "account:agg" in first.held
        first.bound.clear()
        nodes.look()
        await nodes.until(lambda: "account:agg" in second.held)


async def test_who_gives_no_sign_is_fenced_and_others_go_on(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.endpoints["link:one"].window = 0  # what comes now waits
        await second.hub.receive("account:agg", [transit("waits")])
        first.die()
        await nodes.pass_a_lease()
        await nodes.until(lambda: second.held == set(NAMES))
        await nodes.until(lambda: second.endpoints["link:one"].texts() == ["waits"])
        assert second.cluster.statistics().fenced == 1
        with pytest.raises(StoreFenced):
            async with open_store(postgres_url, 1, guard=first.guard) as store:
                await store.transact(lambda tx: None)


async def test_a_node_that_was_taken_for_dead_writes_nothing_and_gives_nothing(postgres_url: str) -> None:
    """It was only frozen: its tasks go on where they were."""
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.endpoints["link:one"].window = 0
        await first.hub.receive("account:agg", [transit("one")])
        frozen = trio.Event()
        transact = first.store.transact

        async def freeze(*arguments: object, **more: object) -> object:
            await frozen.wait()
            return await transact(*arguments, **more)  # type: ignore[arg-type]

        first.store.transact = freeze  # type: ignore[method-assign, assignment]
        for _ in range(5):
            nodes.steady.now_s += STEP_S
            await nodes.beat(second)
        await nodes.until(lambda: second.held == set(NAMES))
        first.endpoints["link:one"].come_back(first.hub)
        await nodes.until(lambda: second.endpoints["link:one"].texts() == ["one"])
        assert first.endpoints["link:one"].given == []  # it is not fresh
        verdicts = await first.hub.receive("account:agg", [transit("two")])
        assert isinstance(verdicts[0], TryLater)
        frozen.set()
        await nodes.until(first.fenced.is_set)
        assert first.endpoints["link:one"].given == []
        assert [row.endpoint for row in await nodes.messages()] == ["link:one"]


async def test_what_was_on_the_wire_of_the_dead_is_in_doubt_at_the_next(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.endpoints["link:one"].script = lambda part: None
        await first.hub.receive("account:agg", [transit("a"), transit("b")])
        await nodes.until(lambda: first.endpoints["link:one"].texts() == ["a"])
        first.die()
        await nodes.pass_a_lease()
        given = second.endpoints["link:one"]
        await nodes.until(lambda: given.texts() == ["a", "b"])
        assert [part.in_doubt for _, part in given.given] == [True, False]


async def test_who_leaves_in_order_leaves_nothing_in_doubt_and_nobody_waits(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.endpoints["link:one"].window = 0
        await first.hub.receive("account:agg", [transit("a")])
        await first.hub.release()
        await first.cluster.leave(first.store)
        first.die()
        nodes.look()
        await nodes.until(lambda: second.held == set(NAMES))
        await nodes.until(lambda: second.endpoints["link:one"].texts() == ["a"])
        assert not second.endpoints["link:one"].given[0][1].in_doubt


async def test_an_endpoint_is_handed_over_under_load_without_doubt(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first = await nodes.start(1)
        sent = 0
        second = None
        for turn in range(60):
            await first.hub.receive("account:agg", [transit(f"{sent + n:03}", "+18885550000") for n in range(3)])
            sent += 3
            if turn == 20:
                second = await nodes.start(2)
                nodes.look()
        assert second is not None
        links = first.endpoints["link:two"], second.endpoints["link:two"]
        await nodes.until(lambda: len(links[0].texts()) + len(links[1].texts()) == sent)
        assert links[0].texts() + links[1].texts() == [f"{n:03}" for n in range(sent)]
        assert links[1].texts()
        assert {row.in_doubt for row in await nodes.messages()} == {0}


async def test_a_part_that_comes_at_each_of_two_nodes_makes_one_text(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        halves = [
            transit(text, concatenation=Concatenation(reference=7, total=2, number=number))
            for number, text in ((1, "one "), (2, "two"))
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.hub.receive, "account:agg", halves[:1])
            nursery.start_soon(second.hub.receive, "account:agg", halves[1:])
        await nodes.until(lambda: first.endpoints["link:one"].texts() == ["one two"])
        assert len(await nodes.messages()) == 1


async def test_a_sender_cancels_and_replaces_what_waits_at_another_node(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        link = first.endpoints["link:one"]
        link.window = 0
        verdicts = await second.hub.receive("account:agg", [transit("a"), transit("b"), transit("c")])
        a, b, c = (verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted))
        await nodes.until(lambda: first.hub.statistics()["link:one"].held == 3)
        assert await second.hub.cancel("account:agg", Name(a)) is Effect.DONE
        assert await second.hub.cancel("link:two", Name(b)) is Effect.UNKNOWN
        changed = await second.hub.replace("account:agg", Name(b), lambda m: structs.replace(m, text="B"))
        assert changed is Effect.DONE
        link.come_back(first.hub)
        await nodes.until(lambda: link.texts() == ["B", "c"])
        assert await second.hub.cancel("account:agg", Name(c)) is Effect.IMPOSSIBLE
        assert await nodes.rows(sqlalchemy.select(errand)) == []


async def test_the_feed_has_every_event_once_and_in_order(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        for at in range(20):
            await (first, second)[at % 2].hub.receive("account:agg", [transit(str(at))])
        await nodes.until(lambda: len(first.endpoints["link:one"].texts()) == 20)
        with trio.fail_after(60):
            while await nodes.rows(sqlalchemy.select(outbox)):  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.05)
        _, events = await first.store.read(lambda tx: feed.follow(tx, "somebody", 1000))
        ids = [row.id for row in await nodes.messages()]
        for message_id in ids:
            assert [event[0] for event in events if event[1] == message_id] == ["message", "handed-over"]
        assert len(events) == 40


async def test_a_customer_who_went_out_at_one_node_is_out_at_the_other(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        number = "+18005550100"
        await first.hub.receive("link:one", [inbound("STOP")])
        with trio.fail_after(60):
            while True:
                verdicts = await second.hub.receive("desk:help", [transit("hello", "+12025551212", number)])
                if isinstance(verdicts[0], Rejected):
                    break
                await trio.sleep(0.1)


async def test_two_processes_of_one_number_are_refused_and_a_restart_is_not(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first = await nodes.start(1)

        async def beat_on() -> None:
            while True:
                nodes.look()
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat_on)
            # The first one's process is ours, which lives: whoever comes has to see that it gives signs.
            with pytest.raises(NodeInUse):
                await trio.to_thread.run_sync(join, postgres_url, 1, "1-other", 0, 1.0)
            nursery.cancel_scope.cancel()
        first.die()
        await first.over.wait()  # its last sign may be on its way to the row
        again = await nodes.start(1)
        assert again.held == set(NAMES)
        assert again.guard.epoch == first.guard.epoch + 1


async def test_a_carriers_receipt_is_settled_where_its_link_is(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)

        def script(part: Part) -> Outcome:
            return Outcome(part, Result.ACCEPTED, carrier_id="c1", receipt_expected=True)

        first.endpoints["link:one"].script = script
        await second.hub.receive("account:agg", [wants("a")])  # type: ignore[list-item]
        await nodes.until(lambda: first.endpoints["link:one"].texts() == ["a"])
        receipt = Receipt("c1", ReceiptState.DELIVERED)
        await first.hub.receive("link:one", [inbound("", receipt=receipt)])
        await nodes.until(lambda: len(first.endpoints["account:agg"].receipts()) == 1)
        assert State((await nodes.messages())[0].state) is State.DELIVERED


async def test_what_was_on_its_way_when_the_lanes_came_here_is_not_overtaken(postgres_url: str) -> None:
    async with open_nodes(postgres_url) as nodes:
        first, second = await nodes.start(1), await nodes.start(2)
        await nodes.until(lambda: second.held)
        first.die()  # the lease comes at a moment that the test chooses
        gate = threading.Event()
        store = second.store

        def pending(rows: int) -> Callable[[], bool]:
            return lambda: store.statistics().pending_rows >= rows

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.transact, lambda tx: gate.wait(60))
            await nodes.until(pending(1))
            nursery.start_soon(second.hub.receive, "account:agg", [transit(f"{n:02}") for n in range(20)])
            await nodes.until(pending(20))
            await second.take(["link:one"])
            for _ in range(200):  # a scan that did not wait would be over
                if not second.hub.statistics()["link:one"].behind:
                    break
                await store.read(lambda tx: None)
            nursery.start_soon(second.hub.receive, "account:agg", [transit(f"{n:02}") for n in range(20, 40)])
            await nodes.until(pending(40))
            gate.set()
            await nodes.until(lambda: len(second.endpoints["link:one"].texts()) == 40)
        assert second.endpoints["link:one"].texts() == [f"{n:02}" for n in range(40)]
