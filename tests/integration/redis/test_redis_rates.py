"""Rates that nodes share over a real Redis. Bounds are those of the time that really passed: no test is in a hurry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from hub import wall_clock_us
from ops import redis_rates
from ops.redis_link import RedisLink
from ops.redis_rates import SharedRates
from tests.fixtures_redis import RedisServer
from tests.integration.redis.conftest import until
from translators.shared_pace import HELD_S, SharedPace

Links = Callable[..., RedisLink]
PER_S = 200.0


class Node:
    """A node that one account sends at."""

    def __init__(self, link: RedisLink, number: int, alive: Callable[[], int]) -> None:
        self.rates = SharedRates(link, number, alive, wall_clock_us)
        self.pace: SharedPace = self.rates.pace("agg", PER_S)
        self.taken = 0

    @property
    def is_vouched_for(self) -> bool:
        return bool(next(iter(self.rates.collect())).samples[0].value)

    def offer(self, messages: int) -> None:
        now_us = wall_clock_us()
        for _ in range(messages):
            if self.pace.allowance(now_us) >= 1:
                self.pace.spend(1)
                self.taken += 1


@asynccontextmanager
async def nodes(links: list[RedisLink], alive: Callable[[], int]) -> AsyncIterator[list[Node]]:
    made = [Node(link, number, alive) for number, link in enumerate(links)]
    async with trio.open_nursery() as nursery:
        for node in made:
            await nursery.start(node.rates.run)
        yield made
        nursery.cancel_scope.cancel()


async def offer_until(made: list[Node], condition: Callable[[], bool]) -> None:
    """All are sent far too much, until something has happened."""
    with trio.fail_after(60):
        while not condition():
            for node in made:
                node.offer(20)
            await trio.sleep(0.005)


def bound(passed_s: float, count: int) -> float:
    return PER_S * passed_s + (count + 1) * (PER_S * HELD_S + 1)


async def test_together_they_keep_to_the_rate_and_each_gets_some(links: Links, redis_server: RedisServer) -> None:
    async with nodes([links(redis_server.url) for _ in range(3)], lambda: 3) as made:
        await until(lambda: all(node.is_vouched_for for node in made))
        began = time.monotonic()
        before = [node.taken for node in made]
        await offer_until(made, lambda: min(node.taken - b for node, b in zip(made, before, strict=True)) >= 80)
        passed_s = time.monotonic() - began
    taken = sum(node.taken for node in made) - sum(before)
    assert taken <= bound(passed_s, 3)


async def test_one_that_is_alone_in_wanting_gets_more_than_its_part(links: Links, redis_server: RedisServer) -> None:
    """Its part would be a hundredth: two a second."""
    async with nodes([links(redis_server.url)], lambda: 1) as others:
        async with nodes([links(redis_server.url)], lambda: 1) as made:
            await until(lambda: made[0].is_vouched_for and others[0].is_vouched_for)
            began = time.monotonic()
            await offer_until(made, lambda: made[0].taken >= PER_S)
            assert made[0].taken <= bound(time.monotonic() - began, 1)
        assert others[0].taken == 0


async def test_without_redis_each_goes_by_its_part(links: Links, tmp_path: Path) -> None:
    link = links(f"unix://{tmp_path}/nobody")
    async with nodes([link, link], lambda: 2) as made:
        began = time.monotonic()
        await offer_until(made, lambda: made[0].taken >= PER_S * 0.3)
        passed_s = time.monotonic() - began
    for node in made:
        assert node.taken <= PER_S / 2 * passed_s + PER_S / 2 * 0.1 + 1


async def test_redis_goes_and_comes_back(links: Links, redis_server: RedisServer) -> None:
    async with nodes([links(redis_server.url) for _ in range(2)], lambda: 2) as made:
        await until(lambda: all(node.is_vouched_for for node in made))
        began = time.monotonic()
        redis_server.kill()
        await offer_until(made, lambda: not any(node.is_vouched_for for node in made))
        before = [node.taken for node in made]
        await offer_until(made, lambda: all(node.taken > b for node, b in zip(made, before, strict=True)))
        redis_server.start()
        await offer_until(made, lambda: all(node.is_vouched_for for node in made))
        before = [node.taken for node in made]
        await offer_until(made, lambda: all(node.taken > b for node, b in zip(made, before, strict=True)))
        passed_s = time.monotonic() - began
    # The bucket is full when Redis has lost it, and the parts' own buckets were as well.
    assert sum(node.taken for node in made) <= bound(passed_s, 2) + 2 * PER_S * HELD_S


async def test_those_who_cannot_ask_have_their_part(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of four asks: the bucket fills by a quarter. Then a second one asks as well, and is gone again."""
    monkeypatch.setattr(redis_rates, "REPORTS_S", 600.0)
    rates = [SharedRates(links(redis_server.url), number, lambda: 4, wall_clock_us) for number in range(2)]

    async def ask(of: SharedRates, wanted: int) -> tuple[int, int]:
        body = msgspec.json.encode([("agg", 1000.0, wanted)])
        asking, given = await of._link.call(partial(of._evaluate, alive=4, body=body))
        return asking, given[0]

    began = time.monotonic()
    assert await ask(rates[0], 10_000) == (1, 250), "a bucket that nobody knew is full"
    await trio.sleep(0.2)
    asking, given = await ask(rates[0], 10_000)
    assert asking == 1
    assert 49 <= given <= 250 * (time.monotonic() - began) + 1
    assert (await ask(rates[1], 0))[0] == 2
    assert (await ask(rates[0], -1000))[1] == 0
    assert (await ask(rates[0], 10_000))[1] == 250, "what is given back counts, as far as the bucket holds it"

    async def asking_now() -> int:
        return (await ask(rates[0], 0))[0]

    monkeypatch.setattr(redis_rates, "REPORTS_S", 0.8)
    with trio.fail_after(60):
        while await asking_now() != 1:  # noqa: ASYNC110
            await trio.sleep(0.1)


async def test_strange_contents_of_the_hash_are_a_trouble_and_no_end(
    links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    with redis_server.client() as other:
        other.set("smshub:rates", "somebody else's")
        async with nodes([links(redis_server.url)], lambda: 2) as made:
            await offer_until(made, lambda: made[0].taken > 5)
            assert not made[0].is_vouched_for
            other.delete("smshub:rates")
            await until(lambda: made[0].is_vouched_for)
