"""Several nodes on one PostgreSQL, of which one dies, freezes, is cut off, leaves or comes, under load.

Whatever happens, what was acknowledged by any of them arrives, in order, and again only where the journal was in doubt;
and no two of them feed one lane at a time (``split``). A node that was frozen past its lease and wakes must find that
it has been fenced: it writes nothing, sends nothing new, and starts from anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.nodes import NodesScene, open_nodes_scene
from tests.faults.process import until
from tests.fixtures_postgres import PostgresServer

pytestmark = pytest.mark.slow


def _seed(fault_seed: int) -> int:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    return seed


async def _settle(scene: NodesScene) -> None:
    """Let all that is under way come to its end, end all nodes, and account for everything."""
    scene.load.running = False
    await scene.wait_up(90.0)
    await scene.drain(120.0)
    assert await trio.to_thread.run_sync(scene.daemon.stop) == 0
    violations, book = scene.account()
    print(scene.tally, f"{book.doubts} doubts")
    assert not violations, "\n".join(violations[:100])
    assert scene.tally.acknowledged > 100
    assert scene.tally.receipts > 10


async def _kill(scene: NodesScene, chance: random.Random) -> None:
    """Kill the node that feeds the carrier; the other goes on; the dead one comes back."""
    dead = scene.holder()
    scene.lead_esme_to(1 - dead)
    await trio.sleep(chance.uniform(0, 0.3))
    scene.nodes[dead].kill()
    if chance.random() < 0.5:  # before its lease has ended: it takes its own back
        scene.nodes[dead].spawn()
        await scene.nodes[dead].wait_ready()
    else:
        await scene.until_held("link:carrier", {1 - dead})
        await scene.more()
        await scene.nodes[dead].start()
    await scene.more()


async def _freeze(scene: NodesScene, chance: random.Random) -> None:
    """Freeze the node that feeds the carrier until another does, and wake it under load."""
    frozen = scene.holder()
    if chance.random() < 0.5:
        scene.lead_esme_to(1 - frozen)
    await trio.sleep(chance.uniform(0, 0.3))
    at = scene.nodes[frozen].log_size()
    with scene.nodes[frozen].frozen():
        scene.lead_esme_to(1 - frozen)
        await scene.until_held("link:carrier", {1 - frozen})
        await scene.more()
    await until(
        lambda: any(line["event"].startswith("fenced") for line in scene.nodes[frozen].log_lines(at)),
        60,
        "the frozen node hears that it was fenced",
    )
    await until(
        lambda: any(line["event"] == "ready" for line in scene.nodes[frozen].log_lines(at)), 60, "it has begun anew"
    )
    await scene.more()


async def _cut_off(scene: NodesScene, chance: random.Random) -> None:
    """Cut one node from PostgreSQL until the other feeds the carrier."""
    alone = scene.holder()
    road = scene.roads_to_store[alone]
    with scene.broken(f"node-{alone + 1} without a store"):
        if chance.random() < 0.5:
            road.is_gone = True
            road.cut()
        else:
            road.is_hole = True
        scene.lead_esme_to(1 - alone)
        await scene.until_held("link:carrier", {1 - alone})
        await scene.more()
        road.clear()
        road.cut()
    await scene.more()


async def _leave_and_come(scene: NodesScene, chance: random.Random) -> None:
    """Stop the node that feeds the carrier in order, and start it again."""
    leaving = scene.holder()
    scene.lead_esme_to(1 - leaving)
    await trio.sleep(chance.uniform(0, 0.3))
    assert await trio.to_thread.run_sync(scene.nodes[leaving].stop) == 0
    await scene.until_held("link:carrier", {1 - leaving})
    await scene.more()
    await scene.nodes[leaving].start()
    await scene.more()


async def _move_esme(scene: NodesScene, chance: random.Random) -> None:
    """Let the ESME go from one node to the other, and its account with it."""
    for index in (1, 0):
        scene.lead_esme_to(index)
        await scene.until_held("account:agg", {index})
        await scene.more(10)


FAULTS = {
    "kill": _kill,
    "freeze": _freeze,
    "leave": _leave_and_come,
    "cut-off": _cut_off,
    "move": _move_esme,
}
SHORT = (("kill", "freeze"), ("freeze", "leave"))  # in one run of `make test`: one of these, in an order of chance


async def test_what_any_node_acknowledged_arrives_whatever_befalls_one(
    tmp_path: Path,
    postgres_server: PostgresServer,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    request: pytest.FixtureRequest,
) -> None:
    chance = random.Random(_seed(fault_seed))
    scale = int(request.config.getoption("--scale"))
    faults = list(chance.choice(SHORT)) if scale == 1 else list(FAULTS) * scale
    chance.shuffle(faults)
    async with open_nodes_scene(tmp_path, postgres_server, unused_tcp_port_factory, chance.randrange(1 << 30)) as scene:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await scene.more(10)
            for fault in faults:
                print(fault, flush=True)
                await FAULTS[fault](scene, chance)
            scene.load.running = False
        await _settle(scene)
