"""The feed over both stores: nothing is missed, and each event has its effect once."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import sqlalchemy
import trio

from hub import Concatenation, Outcome, ReceiptWanted, Result, feed
from store import Store, Transaction
from tests.fixtures_hub import Clock, World, accept, inbound, transit


class Died(Exception):
    """A follower was killed."""


class Follower:
    """Counts events into a table of its own, in the transaction that moves it on; dies now and then."""

    def __init__(self, store: Store, name: str, seed: int) -> None:
        self.store = store
        self.name = name
        self.random = random.Random(seed)

    async def step(self, limit: int = 3) -> bool:
        """Work off some rows. Returns: whether there were any."""
        position, events = await self.store.read(lambda tx: feed.follow(tx, self.name, limit))
        if not events:
            return False
        dies = self.random.random()
        if dies < 0.2:
            return True  # between reading and its effects: nothing has happened

        def work(tx: Transaction) -> None:
            for event in events:
                tx.sql.execute(
                    sqlalchemy.text("INSERT INTO seen (follower, event) VALUES (:f, :e)"),
                    {"f": self.name, "e": ":".join(map(str, event))},
                )
            if dies < 0.4:
                raise Died
            feed.advance(tx, self.name, position)
            if dies < 0.6:
                raise Died

        with pytest.raises(Died) if dies < 0.6 else trio.CancelScope():
            await self.store.transact(work)
        return True

    async def seen(self) -> list[str]:
        rows = await self.store.read(
            lambda tx: tx.sql.execute(
                sqlalchemy.text("SELECT event FROM seen WHERE follower = :f"), {"f": self.name}
            ).all()
        )
        return [row[0] for row in rows]


async def test_a_follower_that_dies_at_any_point_sees_each_event_once(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add(
        "link:one",
        script=lambda part: Outcome(part, Result.REFUSED, reason="no") if part.payload == "bad" else accept(part),
    )
    for name in ("account:agg", "desk:help"):
        world.add(name)
    await world.store.transact(
        lambda tx: tx.sql.execute(sqlalchemy.text("CREATE TABLE seen (follower TEXT, event TEXT)"))
    )
    followers = [Follower(world.store, f"f{n}", n) for n in range(3)]
    writing = True

    async def follow(follower: Follower) -> None:
        while await follower.step() or writing:  # noqa: ASYNC110
            await trio.sleep(0.5)

    async def write(number: int) -> None:
        for at in range(6):
            await world.receive("account:agg", transit("bad" if at % 3 == 0 else "good", f"+4477009{number:02}{at:02}"))
            if number % 2:  # not plain: its row is written by the writer, between others that were drawn before
                parts = [inbound(f"{at}{n}", concatenation=Concatenation(at, 2, n)) for n in (1, 2)]
                await world.receive("link:one", *parts)

    async with world.running():
        await world.settled()
        async with trio.open_nursery() as nursery:
            for follower in followers:
                nursery.start_soon(follow, follower)
            async with trio.open_nursery() as writers:
                for number in range(8):
                    writers.start_soon(write, number)
            await world.until(lambda: len(world.endpoints["link:one"].given) == 48)
            await world.until(lambda: not world.endpoints["link:one"].unanswered)
            await trio.sleep(5)
            writing = False
    rows = await world.texts()
    expected = sorted(
        [f"message:{row.id}" for row in rows]
        + [f"handed-over:{row.id}" for row in rows if row.reason == ""]
        + [f"dead:{row.id}:no" for row in rows if row.reason == "no"]
    )
    assert len(rows) == 48 + 24
    for follower in followers:
        seen = await follower.seen()
        assert len(seen) == len(set(seen))
        assert sorted(event for event in seen if not event.startswith("thread:")) == expected
        assert sum(event.startswith("thread:") for event in seen) == 1


async def test_rows_are_numbered_in_the_order_of_commits(any_world: World, fast_clock: Clock) -> None:
    """What a follower may not see: a row committed behind one that it has passed."""
    world = any_world
    for name in ("link:one", "account:agg", "desk:help"):
        world.add(name)
    positions: list[int] = []
    writing = True

    async def watch() -> None:
        position = 0
        while writing:
            rows = await world.store.read(
                lambda tx, after=position: tx.sql.execute(  # type: ignore[misc]
                    sqlalchemy.text("SELECT id FROM feed WHERE id > :p ORDER BY id"), {"p": after}
                ).all()
            )
            positions.extend(row[0] for row in rows)
            position = positions[-1] if positions else 0
            await trio.lowlevel.checkpoint()

    async def write(number: int) -> None:
        for at in range(20):
            arrival = transit(str(at)) if number % 2 else inbound(str(at))
            await world.receive("account:agg" if number % 2 else "link:one", arrival)

    async with world.running():
        await world.settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            async with trio.open_nursery() as writers:
                for number in range(6):
                    writers.start_soon(write, number)
            await trio.sleep(10)
            writing = False
    everything = await world.store.read(
        lambda tx: [row[0] for row in tx.sql.execute(sqlalchemy.text("SELECT id FROM feed ORDER BY id"))]
    )
    assert len(positions) > 100
    assert positions == everything[: len(positions)]
    assert all(earlier < later for earlier, later in pairwise(positions))


async def test_an_event_stands_or_falls_with_its_change(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world
    for name in ("link:one", "account:agg", "desk:help"):
        world.add(name)

    def broken(*_: object) -> object:
        raise RuntimeError("the writer stumbled after its events")

    async with world.running() as hub:
        await world.settled()
        with monkeypatch.context() as patched:
            patched.setattr("hub.intake.feed.outbox", broken)
            with pytest.raises(RuntimeError):
                await world.receive("link:one", inbound("a", receipt_wanted=ReceiptWanted.FINAL))
        assert await world.rows() == []
        assert await world.store.read(lambda tx: feed.follow(tx, "f")) == (0, [])
        assert hub.statistics()["desk:help"].held == 0
        await world.receive("link:one", inbound("b"))
        await world.until(world.endpoints["desk:help"].texts)
    position, events = await world.store.read(lambda tx: feed.follow(tx, "f"))
    assert [event[0] for event in events] == ["thread", "message", "handed-over"]
    await world.store.transact(lambda tx: feed.advance(tx, "f", position))
    assert await world.store.read(lambda tx: feed.follow(tx, "f")) == (position, [])


def test_a_number_is_never_given_out_again() -> None:
    """A follower's position stays valid when old rows are removed."""
    from hub.tables import feed as feed_table

    assert feed_table.dialect_options["sqlite"]["autoincrement"] is True
