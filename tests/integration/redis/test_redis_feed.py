"""The feed in a stream of a real Redis: each event once, in order, whatever dies when, and whatever Redis loses."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import trio
from prometheus_client import CollectorRegistry, generate_latest

from hub import feed, keeping_ledger
from hub.tables import feed as feed_table
from ops import redis_feed
from ops.redis_feed import NAME, FeedStream, forget_stream
from ops.redis_link import RedisLink
from ops.redis_trouble import RedisAway
from store import Store, StoreUnavailable, create_all, open_store
from tests.fixtures_redis import RedisServer
from tests.integration.redis.conftest import said, until

Links = Callable[..., RedisLink]
STREAM = "smshub:feed"
ID = 2**62 + 12345  # more than Lua's numbers hold
NOW_US = 1_790_000_000_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_S", 0.02), ("CHECK_S", 0.0), ("RETRY_S", 0.05), ("REST", 0.0)):
        monkeypatch.setattr(redis_feed, name, value)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path}/hub.db", synchronous="OFF") as made:
        await made.transact(create_all)
        yield made


class Clock:
    now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


@asynccontextmanager
async def relaying(stream: FeedStream) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(stream.run)
        yield
        nursery.cancel_scope.cancel()


async def happen(store: Store, *batches: list[tuple[Any, ...]], at_us: int = NOW_US) -> None:
    """Batches of events, one row of the feed each."""
    for events in batches:
        await store.commit([feed.outbox(store, at_us, events)])


async def messages(store: Store, first: int, count: int, size: int = 3) -> None:
    for number in range(first, first + count, size):
        await happen(store, [("message", ID + n) for n in range(number, min(number + size, first + count))])


async def position(store: Store) -> int | None:
    return await store.read(partial(feed.position_of, name=NAME))


async def until_position(store: Store, is_right: Callable[[int | None], bool]) -> None:
    with trio.fail_after(60):
        while not is_right(await position(store)):  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.02)


async def truth(store: Store) -> list[tuple[str, dict[str, str]]]:
    """The entries that a stream of all of the feed has."""
    rows = await store.read(partial(feed.rows_after, position=0, limit=100_000))
    found = []
    for row in rows:
        for place, event in enumerate(row.events):
            fields = {"event": str(event[0]), "at_us": str(row.at_us), "id": str(event[1])}
            if len(event) > 2:
                fields["detail"] = str(event[2])
            found.append((f"{row.id}-{place}", fields))
    return found


async def until_relayed(store: Store, server: RedisServer, behind: int = 0) -> None:
    """Wait until the stream is the feed from a row on, and has each event once."""
    wanted = [entry for entry in await truth(store) if int(entry[0].partition("-")[0]) > behind]
    with server.client() as other:
        await until(lambda: other.xrange(STREAM)[-len(wanted) :] == wanted if wanted else True, "relayed")
        entries = other.xrange(STREAM)
    assert len(entries) == len({entry[0] for entry in entries})
    assert entries == sorted(entries, key=lambda entry: redis_feed.read_id(entry[0]))


async def test_what_happens_is_in_the_stream(store: Store, links: Links, redis_server: RedisServer) -> None:
    await happen(store, [("message", 1)])  # before anybody followed
    stream = FeedStream(store, links(redis_server.url), Clock())
    async with relaying(stream):
        await until_position(store, lambda at: at is not None)
        await happen(
            store,
            [("message", ID), ("dead", ID + 1, "no-route")],
            [("thread", ID + 2, "opened"), ("opted-out", 3)],
            [("message", n) for n in range(redis_feed.ENTRIES * 2 + 1)],
        )
        await until_relayed(store, redis_server, behind=1)
        await until_position(store, lambda at: at == 4)
    with redis_server.client() as other:
        first, second = other.xrange(STREAM, count=2)
    assert first == ("2-0", {"event": "message", "at_us": str(NOW_US), "id": str(ID)})
    assert second == ("2-1", {"event": "dead", "at_us": str(NOW_US), "id": str(ID + 1), "detail": "no-route"})


async def test_the_stream_keeps_about_as_many_as_it_shall(
    store: Store, links: Links, redis_server: RedisServer
) -> None:
    stream = FeedStream(store, links(redis_server.url), Clock(), keep=200)
    await store.transact(partial(feed.begin, name=NAME))
    async with relaying(stream):
        await messages(store, 0, 2000, 40)
        with redis_server.client() as other:
            await until(
                lambda: other.xrevrange(STREAM, count=1)[:1] and other.xrevrange(STREAM, count=1)[0][0] == "50-39"
            )
            assert 200 <= other.xlen(STREAM) < 500


async def test_a_relay_that_dies_at_any_point_adds_each_event_once(
    store: Store, links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, scale: int
) -> None:
    """Cut at every await, and at calls whose effect was had and whose answer was lost."""
    chance = random.Random(5)
    link = links(redis_server.url)
    call, transact = link.call, store.transact

    async def lossy_call(work: Any) -> Any:
        if chance.random() < 0.1:
            raise RedisAway("away")
        done = await call(work)
        if chance.random() < 0.2:
            raise RedisAway("timeout")
        return done

    async def lossy_transact(work: Any, **more: Any) -> Any:
        if chance.random() < 0.1:
            raise StoreUnavailable("away")
        done = await transact(work, **more)
        if chance.random() < 0.1:
            raise StoreUnavailable("in doubt", in_doubt=True)
        return done

    await store.transact(partial(feed.begin, name=NAME))
    monkeypatch.setattr(link, "call", lossy_call)
    monkeypatch.setattr(store, "transact", lossy_transact)
    for start in range(0, 600 * scale, 60):
        async with relaying(FeedStream(store, link, Clock())):
            await messages(store, start, 60, chance.randrange(1, 9))
            await trio.sleep(chance.random() * 0.1)
    monkeypatch.undo()
    for name, value in (("LOOK_S", 0.02), ("REST", 0.0)):
        monkeypatch.setattr(redis_feed, name, value)
    async with relaying(FeedStream(store, link, Clock())):
        await until_relayed(store, redis_server)


async def test_two_that_relay_at_once_add_each_event_once(
    store: Store, links: Links, redis_server: RedisServer
) -> None:
    """The lease moved, and who had it does not know yet."""
    await store.transact(partial(feed.begin, name=NAME))
    one, other = (FeedStream(store, links(redis_server.url), Clock()) for _ in range(2))
    async with relaying(one), relaying(other):
        await messages(store, 0, 400, 3)
        await until_relayed(store, redis_server)
        await until_position(store, lambda at: at == 134)


@pytest.mark.parametrize("how", ["emptied", "killed", "behind"])
async def test_what_redis_lost_is_relayed_again(
    store: Store, links: Links, redis_server: RedisServer, how: str, lines: list[Any]
) -> None:
    await store.transact(partial(feed.begin, name=NAME))
    stream = FeedStream(store, links(redis_server.url), Clock())
    async with relaying(stream):
        await messages(store, 0, 100)
        await until_relayed(store, redis_server)
        if how == "killed":  # it had nothing on disk
            redis_server.kill()
            redis_server.start()
        with redis_server.client() as other:
            if how == "emptied":
                other.flushall()
            elif how == "behind":  # as a replica that had not got the last of it: its end is in the midst of a row
                entries = other.xrange(STREAM)[:50]
                with other.pipeline(transaction=True) as pipe:
                    pipe.delete(STREAM)
                    for entry_id, fields in entries:
                        pipe.xadd(STREAM, fields, id=entry_id)
                    pipe.execute()
            await until(lambda: len(other.xrange(STREAM)) == 100, "filled again")
        await messages(store, 100, 10)
        await until_relayed(store, redis_server)
    assert said(lines, "the stream ends before what was relayed")


async def test_a_stream_that_was_lost_gets_what_it_would_keep(
    store: Store, links: Links, redis_server: RedisServer
) -> None:
    await store.transact(partial(feed.begin, name=NAME))
    await messages(store, 0, 3000, 10)
    link = links(redis_server.url)
    async with relaying(FeedStream(store, link, Clock(), keep=100)):
        await until_relayed(store, redis_server, behind=290)
        with redis_server.client() as other:
            other.flushall()
            await until(lambda: other.xlen(STREAM) == 100)
        await until_relayed(store, redis_server, behind=290)


async def test_redis_is_full_and_then_is_not(
    store: Store, links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    await store.transact(partial(feed.begin, name=NAME))
    stream = FeedStream(store, links(redis_server.url), Clock())
    with redis_server.client() as other:
        other.config_set("maxmemory", "1")
        async with relaying(stream):
            await messages(store, 0, 50)
            await until(lambda: said(lines, "the feed is not relayed"))
            assert await position(store) == 0
            other.config_set("maxmemory", "0")
            await until_relayed(store, redis_server)
            await until(lambda: said(lines, "the feed is relayed again"))
    assert [line["reason"] for line in said(lines, "the feed is not relayed")] == ["full"]


async def test_while_redis_is_away_the_feed_is_not_kept_for_ever(
    store: Store, links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    clock = Clock()
    redis_server.kill()
    await store.transact(partial(feed.begin, name=NAME))
    await messages(store, 0, 30)
    stream = FeedStream(store, links(redis_server.url), clock)
    async with relaying(stream):
        await until(lambda: said(lines, "redis does not answer"))
        await until(lambda: stream.lag_s() >= 0 and stream._waits_since_us)
        assert await position(store) == 0
        clock.now_us += redis_feed.HOLD_US + 1
        await until_position(store, lambda at: at == 10)
        assert stream.lag_s() >= redis_feed.HOLD_US / 1e6
        assert await store.transact(lambda tx: keeping_ledger.unseen_since_us(tx, 7)) == 7, "retention goes on"
        await messages(store, 30, 30)
        # What retention has not removed yet is relayed when it is back.
        await store.transact(lambda tx: tx.sql.execute(sqlalchemy.delete(feed_table).where(feed_table.c.id <= 4)))
        redis_server.start()
        await until_relayed(store, redis_server)
        await until(lambda: stream.lag_s() == 0)


async def test_a_stream_of_another_store_is_told_of_and_not_written_over(
    store: Store, links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    await store.transact(partial(feed.begin, name=NAME))
    stream = FeedStream(store, links(redis_server.url), Clock())
    with redis_server.client() as other:
        for row in (900, 901):
            other.xadd(STREAM, {"event": "message", "id": "theirs"}, id=f"{row}-0")
        async with relaying(stream):
            await messages(store, 0, 30)
            await until(lambda: said(lines, "the stream holds other events"))
            registry = CollectorRegistry()
            registry.register(stream)
            await until(lambda: 'events_total{result="refused"} 30.0' in generate_latest(registry).decode())
            assert other.xlen(STREAM) == 2
            other.delete(STREAM)
            await until_relayed(store, redis_server)
    assert len(said(lines, "the stream holds other events")) == 1


async def test_a_store_that_was_set_back_is_told_of(
    store: Store, links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    await store.transact(partial(feed.begin, name=NAME))
    stream = FeedStream(store, links(redis_server.url), Clock())
    async with relaying(stream):
        await messages(store, 0, 30)
        await until_relayed(store, redis_server)

        await until_position(store, lambda at: at == 10)  # the relay is at rest: what it writes is not set back as well

        def set_back(tx: Any) -> None:
            tx.sql.execute(sqlalchemy.delete(feed_table).where(feed_table.c.id > 5))
            tx.sql.execute(sqlalchemy.text("UPDATE sqlite_sequence SET seq = 5 WHERE name = 'feed'"))
            feed.advance(tx, NAME, 5)

        await store.transact(set_back)
        await happen(store, [("message", ID - 1)])
        await until(lambda: said(lines, "the stream holds other events"))
        await messages(store, 1000, 30, 1)  # numbers go on, past the stream's end
        await until_relayed(store, redis_server, behind=10)


async def test_what_the_relay_is_not_wanted_for_is_not_kept(
    store: Store, links: Links, redis_server: RedisServer
) -> None:
    async with relaying(FeedStream(store, links(redis_server.url), Clock())):
        await until_position(store, lambda at: at is not None)
        await messages(store, 0, 30)
        await until_relayed(store, redis_server)
    await forget_stream(store)
    await forget_stream(store)
    assert await position(store) is None
    await messages(store, 30, 30)
    async with relaying(FeedStream(store, links(redis_server.url), Clock())):  # wanted again: what it missed is there
        await until_relayed(store, redis_server)
