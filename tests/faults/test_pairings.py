"""Two die together, or the second while the first recovers: hub, PostgreSQL, Redis, Prosody, carrier, in each pairing.

Each dies by SIGKILL, with all of its processes. The carrier is a peer in this process that is cut off with resets and
cannot be reached: to the hub it is the same. It keeps the receipts it owes, as an SMSC does. Behind Prosody stands a
component that answers the hub's pings, so that what Prosody had in memory when it died was not handed over yet.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
import trio

from tests.faults.postgres import kill_hard
from tests.faults.process import DeskSide, until
from tests.faults.scene import Scene, open_scene
from tests.fixtures_postgres import PostgresServer
from tests.fixtures_prosody import COMPONENTS, SECRET, Prosody
from tests.fixtures_redis import RedisServer

pytestmark = pytest.mark.slow

VICTIMS = ("hub", "postgresql", "redis", "prosody", "carrier")
MANNERS = ("together", "in recovery")
PATIENCE_S = 120.0
SIDE = DeskSide(COMPONENTS[0], SECRET, f"director@{COMPONENTS[1]}")
CAMPAIGN = 5  # pairings of one test


Pairing = tuple[tuple[str, str], str]


class Mortal(msgspec.Struct, frozen=True):
    """Somebody who can be killed and brought back. Bringing the hub back does not wait until it is ready."""

    kill: Callable[[], Awaitable[None]]
    revive: Callable[[], Awaitable[None]]


def _mortals(scene: Scene, postgres: PostgresServer, redis: RedisServer, prosody: Prosody) -> dict[str, Mortal]:
    def in_thread(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        return partial(trio.to_thread.run_sync, work)

    def kill_prosody() -> None:
        os.kill(int((prosody.home / "prosody.pid").read_text()), signal.SIGKILL)
        prosody.stop()  # it is dead: this only takes note of it

    async def kill_hub() -> None:
        scene.daemon.kill()

    async def start_hub() -> None:
        scene.daemon.spawn()

    async def kill_carrier() -> None:
        scene.roads["carrier"].is_gone = True
        scene.roads["carrier"].cut()

    async def start_carrier() -> None:
        scene.roads["carrier"].clear()

    return {
        "hub": Mortal(kill_hub, start_hub),
        "postgresql": Mortal(in_thread(lambda: kill_hard(postgres)), in_thread(postgres.start)),
        "redis": Mortal(in_thread(redis.kill), in_thread(redis.start)),
        "prosody": Mortal(in_thread(kill_prosody), in_thread(prosody.start)),
        "carrier": Mortal(kill_carrier, start_carrier),
    }


async def _kill_two(scene: Scene, mortals: dict[str, Mortal], pair: tuple[str, str], manner: str) -> None:
    chance, (one, other) = scene.carrier.chance, pair
    with scene.broken(f"kill {one} and {other} {manner}"):
        await mortals[one].kill()
        if manner == "in recovery":
            await trio.sleep(chance.uniform(0.0, 0.5))
            await mortals[one].revive()
            await trio.sleep(chance.uniform(0.0, 0.8))
        await mortals[other].kill()
        await trio.sleep(chance.uniform(0.0, 0.5))
        for name in pair if manner == "together" else (other,):
            await mortals[name].revive()


def _counts(scene: Scene) -> list[int]:
    texts = scene.load.sent.values()
    counts = [sum(1 for text in texts if text.name[0] == flow and text.acknowledged) for flow in "ABD"]
    return [*counts, len(scene.carrier.taken), len(scene.esme.taken), len(scene.desk.taken)]


async def _goes_on(scene: Scene, what: str) -> None:
    await scene.daemon.wait_ready_anyhow()
    before = _counts(scene)

    def moved() -> bool:
        scene.daemon.check_alive()
        return all(now > then + 2 for now, then in zip(_counts(scene), before, strict=True))

    await until(moved, PATIENCE_S, f"all goes on after {what}")


def _plan(chance: random.Random, campaign: int, campaigns: int) -> list[Pairing]:
    """One campaign in `make test`: each one dies twice, in some pairing. Several: every pairing in both manners."""
    if campaigns == 1:
        ring = chance.sample(VICTIMS, len(VICTIMS))
        return [((one, ring[at - 1]), MANNERS[at % 2]) for at, one in enumerate(ring)]
    every = [(pair, manner) for pair in combinations(VICTIMS, 2) for manner in MANNERS]
    mine = [every[(campaign * CAMPAIGN + at) % len(every)] for at in range(CAMPAIGN)]
    return [(pair if chance.random() < 0.5 else pair[::-1], manner) for pair, manner in chance.sample(mine, len(mine))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Short campaigns, as many as the scale says: a test that takes minutes tells little, late."""
    if "campaign" in metafunc.fixturenames:
        metafunc.parametrize("campaign", range(int(metafunc.config.getoption("--scale"))))


async def test_whichever_two_die_nothing_is_lost(
    postgres_factory: Callable[[], PostgresServer],
    redis_server: RedisServer,
    mortal_prosody: Prosody,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    scale: int,
    campaign: int,
) -> None:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    postgres = await trio.to_thread.run_sync(postgres_factory)
    plan = _plan(random.Random(seed), campaign, scale)
    async with open_scene(
        tmp_path,
        postgres.new_database(),
        unused_tcp_port_factory,
        seed,
        with_roads=True,
        desk_port=mortal_prosody.component_port,
        desk_side=SIDE,
        tail=f'[redis]\nurl = "{redis_server.url}"\n',
    ) as scene:
        mortals = _mortals(scene, postgres, redis_server, mortal_prosody)
        scene.carrier.answer_delay_s = 0.02
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _goes_on(scene, "the start")
            for pair, manner in plan:
                await _kill_two(scene, mortals, pair, manner)
                await _goes_on(scene, f"killing {pair[0]} and {pair[1]} {manner}")
            scene.load.running = False
        scene.carrier.answer_delay_s = 0.0
        await scene.drain(120)
        await scene.stop()
    violations, book = scene.account()
    print(f"{len(plan)} pairings, {scene.tally}, {book.doubts} doubts")
    assert not violations, "\n".join(violations[:50])
