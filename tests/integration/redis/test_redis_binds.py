"""Binds and locks of accounts over nodes, by a real Redis: the last place is given once, and comes free again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ops import redis_binds
from ops.redis_binds import SharedBinds
from ops.redis_link import RedisLink
from tests.fixtures_redis import RedisServer
from tests.integration.redis.conftest import until

Links = Callable[..., RedisLink]


@asynccontextmanager
async def nodes(links: Links, url: str, count: int = 2) -> AsyncIterator[list[SharedBinds]]:
    made = [SharedBinds(links(url), number) for number in range(count)]
    async with trio.open_nursery() as nursery:
        for node in made:
            await nursery.start(node.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_the_last_place_is_given_once(links: Links, redis_server: RedisServer) -> None:
    async with nodes(links, redis_server.url, 3) as made:
        answers: list[bool] = []

        async def bind(node: SharedBinds) -> None:
            admitted = await node.admits_bind("agg", 4)
            answers.append(admitted)
            if admitted:
                node.counts["agg"] += 1

        async with trio.open_nursery() as nursery:
            for node in made * 4:
                nursery.start_soon(bind, node)
        assert answers.count(True) == 4
        assert sum(node.counts["agg"] for node in made) == 4
        assert await made[0].admits_bind("other", 1)


async def test_a_session_that_ends_makes_room_everywhere(links: Links, redis_server: RedisServer) -> None:
    async with nodes(links, redis_server.url) as (one, two):
        assert await one.admits_bind("agg", 1)
        one.counts["agg"] += 1
        assert not await two.admits_bind("agg", 1)
        assert not await one.admits_bind("agg", 1)
        one.counts["agg"] -= 1
        with trio.fail_after(60):
            while not await two.admits_bind("agg", 1):  # noqa: ASYNC110
                await trio.sleep(0.02)


async def test_what_a_node_told_is_believed_as_long_as_it_tells(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_binds, "TELLS_S", 0.1)
    monkeypatch.setattr(redis_binds, "BELIEVED_S", 1.0)
    async with nodes(links, redis_server.url, 1) as (two,):
        async with nodes(links, redis_server.url, 2) as (_, one):
            assert await one.admits_bind("agg", 1)
            one.counts["agg"] += 1
            with redis_server.client() as other:
                first = other.hget("smshub:binds", "agg")
                await until(lambda: other.hget("smshub:binds", "agg") != first, "it is told again")
        with trio.fail_after(60):  # it is gone, and said nothing
            while not await two.admits_bind("agg", 1):  # noqa: ASYNC110
                await trio.sleep(0.1)


async def test_without_redis_each_node_goes_by_itself(links: Links, tmp_path: Path) -> None:
    async with nodes(links, f"unix://{tmp_path}/nobody") as made:
        for node in made:
            assert await node.admits_bind("agg", 1)
            assert not await node.is_locked("agg", "192.0.2.1")
            node.lock("agg", "192.0.2.1", 10**6)


async def test_a_frozen_redis_keeps_nobody_waiting_for_long(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nodes(links, redis_server.url) as (one, _):
        assert await one.admits_bind("agg", 1)
        monkeypatch.setattr(redis_binds, "PATIENCE_S", 0.1)
        redis_server.freeze()
        assert await one.admits_bind("agg", 1)
        assert not await one.is_locked("agg", "192.0.2.1")
        redis_server.thaw()


async def test_a_lock_holds_on_all_nodes_and_ends(links: Links, redis_server: RedisServer) -> None:
    async with nodes(links, redis_server.url) as (one, two):
        one.lock("agg", "192.0.2.1", 60 * 10**6)
        one.lock("", "192.0.2.9", 60 * 10**6)
        one.lock("brief", "192.0.2.1", 50_000)
        with trio.fail_after(60):
            while not await two.is_locked("agg", "192.0.2.1"):  # noqa: ASYNC110
                await trio.sleep(0.02)
            while await two.is_locked("brief", "192.0.2.1"):  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert await two.is_locked("", "192.0.2.9")
        assert not await two.is_locked("agg", "192.0.2.2")
        assert not await two.is_locked("other", "192.0.2.1")
