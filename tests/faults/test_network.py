"""The network between the hub and everybody it talks to: cut, half deaf, slow, dripping, swallowing.

A proxy stands on each road: to the carrier, to the desk, from the ESME, to PostgreSQL. One piece of weather after the
other comes over one road or another while all flows run; after each, the load goes on, and at the end every text is
accounted for. What a network does to octets is done by a proxy of our own, on loopback, and not by namespaces: it
needs no root, and it can be told to the octet what it does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.check import Rules
from tests.faults.process import until
from tests.faults.scene import Scene, open_scene
from tests.faults.weather_proxy import Way, WeatherProxy, open_proxy
from tests.fixtures_postgres import PORT, PostgresServer

pytestmark = pytest.mark.slow

# So short that holes and deaf ears are found out within a test, by whichever side they are deaf to.
QUICK = "response_timeout_s = 1\nenquire_link_s = 0.5"
ROADS = ("carrier", "desk", "esme", "store")
PATIENCE_S = 90.0
LONGEST_S = 1.5


def _cut(road: WeatherProxy) -> None:
    road.cut()


def _deaf_there(road: WeatherProxy) -> None:
    road.deaf.add(Way.THERE)


def _deaf_back(road: WeatherProxy) -> None:
    road.deaf.add(Way.BACK)


def _delays(road: WeatherProxy) -> None:
    road.delay_s = 0.15


def _drips(road: WeatherProxy) -> None:
    road.drips = True


def _hole(road: WeatherProxy) -> None:
    road.is_hole = True


def _hole_and_cut(road: WeatherProxy) -> None:
    """Who comes back falls into the hole."""
    road.is_hole = True
    road.cut()


WEATHERS = (_cut, _deaf_there, _deaf_back, _delays, _drips, _hole, _hole_and_cut)


def _acknowledged(scene: Scene) -> dict[str, int]:
    texts = scene.load.sent.values()
    counts = {flow: sum(1 for text in texts if text.name[0] == flow and text.acknowledged) for flow in "ABD"}
    return {**counts, "taken": len(scene.carrier.taken), "seen": len(scene.desk.taken)}


async def _goes_on(scene: Scene, what: str) -> None:
    """Every direction moves: texts are acknowledged and taken."""
    before = _acknowledged(scene)

    def moved() -> bool:
        scene.daemon.check_alive()
        return all(count > before[flow] + 2 for flow, count in _acknowledged(scene).items())

    await until(moved, PATIENCE_S, f"all goes on after {what}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Short campaigns, as many as the scale says."""
    if "campaign" in metafunc.fixturenames:
        metafunc.parametrize("campaign", range(int(metafunc.config.getoption("--scale"))))


async def test_whatever_the_network_does_nothing_is_lost(
    postgres_server: PostgresServer,
    postgres_url: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    campaign: int,
) -> None:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    chance = random.Random(seed)
    # The long form has all weathers on all roads; each campaign has each road once.
    shift = campaign or chance.randrange(len(WEATHERS))
    plan = [(road, WEATHERS[(at * 2 + shift) % len(WEATHERS)]) for at, road in enumerate(ROADS)]
    chance.shuffle(plan)
    database = postgres_url.partition("@/")[2].partition("?")[0]
    async with open_proxy(postgres_server.folder / f".s.PGSQL.{PORT}") as store:
        hub_url = f"postgresql://postgres@127.0.0.1:{store.port}/{database}"
        async with open_scene(
            tmp_path,
            postgres_url,
            unused_tcp_port_factory,
            seed,
            hub_url=hub_url,
            with_roads=True,
            link=QUICK,
            account=QUICK,
        ) as scene:
            scene.rules = Rules(patience_s=0.0)
            scene.roads["store"] = store
            async with trio.open_nursery() as nursery:
                nursery.start_soon(scene.load.run)
                await _goes_on(scene, "the start")
                for road, weather in plan:
                    what = f"{weather.__name__.strip('_')} to the {road}"
                    with scene.broken(what):
                        weather(scene.roads[road])
                        await trio.sleep(chance.uniform(0.05, LONGEST_S))
                        scene.roads[road].clear()
                    await _goes_on(scene, what)
                scene.load.running = False
            await scene.drain(120)
            await scene.stop()
    violations, book = scene.account()
    print(f"{len(plan)} weathers, {scene.tally}, {book.doubts} doubts")
    assert not violations, "\n".join(violations[:50])
