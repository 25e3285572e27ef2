"""Never lost: the daemon is killed with -9 at random instants under load, in all directions, on both stores.

A round is one kill. The load goes on while the daemon is away, the peers come back, and what was in flight at the kill
is unknown to everybody but the journal. At the end every text is accounted for: see ``check``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.scene import Scene, open_scene
from tests.fixtures_faults import kills_asked_for

CAMPAIGN = 13  # kills of one test
LONGEST_LIFE_S = 1.2
EARLY = 0.2  # how many kills, of 1, do not wait for the daemon to be ready: recovery is an instant like others
LONGEST_START_S = 2.5

# Peers that are slower than the load, and a memory of a few texts: most of the queue is in the store alone, so that a
# restart goes through scans, deep lanes and endpoints that are behind.
BEHIND = {"limits": "heads_per_endpoint = 40", "link": "window = 4", "account": "window = 4"}


async def _kill_at_random(scene: Scene, chance: random.Random, rounds: int) -> None:
    for _ in range(rounds):
        if chance.random() < EARLY:
            await trio.sleep(chance.uniform(0.0, LONGEST_START_S))
        else:
            await scene.daemon.wait_ready()
            await trio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
        scene.daemon.kill()
        scene.daemon.spawn()
    await scene.daemon.wait_ready()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the kills into campaigns, in turns on either database: a test that takes minutes tells little, late."""
    if "campaign" in metafunc.fixturenames:
        total = kills_asked_for(metafunc.config)
        sizes = [min(CAMPAIGN, total - begun) for begun in range(0, total, CAMPAIGN)]
        kinds = [("sqlite", "keeping-up"), ("postgresql", "keeping-up"), ("sqlite", "behind"), ("postgresql", "behind")]
        campaigns = [(*kinds[number % len(kinds)], size) for number, size in enumerate(sizes)]
        ids = [f"{number}-{database}-{pace}-{size}-kills" for number, (database, pace, size) in enumerate(campaigns)]
        metafunc.parametrize("campaign", campaigns, ids=ids)


@pytest.mark.slow
async def test_no_acknowledged_text_is_lost_when_the_daemon_is_killed(
    campaign: tuple[str, str, int],
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    request: pytest.FixtureRequest,
) -> None:
    database, pace, rounds = campaign
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    sqlite = f"sqlite:///{tmp_path / 'hub.db'}"
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else sqlite
    chance = random.Random(seed)
    more = BEHIND if pace == "behind" else {}
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed, **more) as scene:
        scene.carrier.answer_delay_s = scene.esme.answer_delay_s = 0.1 if pace == "behind" else 0.02
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _kill_at_random(scene, chance, rounds)
            await scene.wait_up()
            scene.load.running = False
        scene.carrier.answer_delay_s = scene.esme.answer_delay_s = 0.0
        await scene.drain()
        await scene.stop()
    violations, book = scene.account()
    texts = scene.load.sent.values()
    print(
        f"{rounds} kills on {database}, {pace}: {len(texts)} texts, {sum(1 for text in texts if text.acknowledged)} "
        f"acknowledged, {book.doubts} doubts; {len(scene.carrier.taken)} parts to the carrier, "
        f"{len(scene.desk.taken)} texts to the desk, {len(scene.esme.taken)} to the ESME"
    )
    assert not violations, "\n".join(violations[:100])
    # The test is about kills under load: see that there was load, in each direction.
    for flow in "ABCD":
        assert sum(1 for text in texts if text.name[0] == flow and text.acknowledged) > 2 * rounds, flow
    assert scene.daemon.starts == rounds + 1
