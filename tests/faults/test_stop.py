"""Ends other than kill -9: orderly stops leave no doubts; a link that holds what is in doubt repeats nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.scene import open_scene

pytestmark = pytest.mark.slow

STOPS = 4


async def test_an_orderly_stop_under_load_loses_nothing_and_leaves_no_doubt(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int
) -> None:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed) as scene:
        scene.carrier.answer_delay_s = scene.esme.answer_delay_s = 0.02
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for _ in range(STOPS):
                await trio.sleep(scene.carrier.chance.uniform(0.5, 1.5))
                # The peers must live while it ends: it waits for their answers.
                await scene.stop()
                await scene.daemon.start()
                await scene.wait_up()
            scene.load.running = False
        await scene.drain()
        await scene.stop()
    violations, book = scene.account()
    assert not violations, "\n".join(violations[:50])
    assert book.doubts == 0
    for flow in "ABCD":
        assert sum(1 for text in scene.load.sent.values() if text.name[0] == flow and text.acknowledged) > STOPS, flow


async def test_a_link_that_holds_what_is_in_doubt_repeats_nothing(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int
) -> None:
    """What a kill leaves in doubt becomes a dead letter for an operator: no handset shows a text twice."""
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    chance = random.Random(seed)
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed, link='in_doubt = "hold"') as scene:
        scene.carrier.answer_delay_s = 0.05
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for _ in range(STOPS):
                await scene.wait_up()
                await trio.sleep(chance.uniform(0.3, 1.0))
                scene.daemon.kill()
                await scene.daemon.start()
            await scene.wait_up()
            scene.load.running = False
        await scene.drain()
        await scene.stop()
    _, book = scene.account()
    taken = Counter((take.name, take.part) for take in scene.carrier.taken)
    assert [name for name, count in taken.items() if count > 1] == []
    held = {name for name, state in book.state_of.items() if state == "DEAD in-doubt"}
    assert held, "no kill left a doubt: the test did not do what it is for"
    names = {name for name, _ in taken}
    acknowledged = {text.name for text in scene.load.sent.values() if text.acknowledged and text.name[0] in "AC"}
    assert acknowledged - names - held == set()
    assert acknowledged - book.texts.keys() == set()
