"""PostgreSQL fails over to a streaming replica under load: with synchronous replication nothing is lost.

The primary is killed with -9, with all of its processes, and the replica promoted. The hub's URL names both and asks
for the one that takes writes; it goes on by itself. Without synchronous replication what the replica had not received
is gone, whatever the hub was told: the second test makes that so, and sees that the checker finds it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.faults.postgres import Replica, both, kill_hard
from tests.faults.process import until
from tests.faults.scene import Scene, open_scene
from tests.fixtures_postgres import PostgresServer, find_programs

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
TEXTS = 60


@pytest.fixture
def primary(postgres_factory: Callable[[], PostgresServer]) -> PostgresServer:
    return postgres_factory()


@contextmanager
def _replica_of(primary: PostgresServer, *, synchronous: bool) -> Iterator[Replica]:
    programs = find_programs()
    assert programs is not None, "the primary runs"
    replica = Replica(programs, primary)
    try:
        replica.follow(synchronous=synchronous)
        yield replica
    finally:
        replica.remove()


def _acknowledged(scene: Scene) -> dict[str, int]:
    texts = scene.load.sent.values()
    return {flow: sum(1 for text in texts if text.name[0] == flow and text.acknowledged) for flow in "ABD"}


async def _more(scene: Scene, what: str) -> None:
    """Wait until the ESME has so many more answers, and the carrier some."""
    before = _acknowledged(scene)

    def moved() -> bool:
        scene.daemon.check_alive()
        now = _acknowledged(scene)
        return now["A"] >= before["A"] + TEXTS and all(now[flow] > before[flow] for flow in "BD")

    await until(moved, PATIENCE_S, what)


async def _fail_over(scene: Scene, primary: PostgresServer, replica: Replica) -> None:
    """The primary dies, and after a moment the replica takes over."""
    with scene.broken("kill the primary"):
        await trio.to_thread.run_sync(kill_hard, primary)
        await trio.sleep(scene.carrier.chance.uniform(0.0, 1.0))
        scene.daemon.check_alive()
        await trio.to_thread.run_sync(replica.promote)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In the long form the hub dies with the primary too."""
    if "hub_dies" in metafunc.fixturenames:
        deaths = [False, True] * (int(metafunc.config.getoption("--scale")) // 2) or [False]
        metafunc.parametrize("hub_dies", deaths)


async def test_nothing_is_lost_when_a_synchronous_replica_takes_over(
    hub_dies: bool,
    primary: PostgresServer,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
) -> None:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    database = primary.new_database().partition("@/")[2].partition("?")[0]
    with _replica_of(primary, synchronous=True) as replica:
        url = both(primary, replica, database)
        async with open_scene(tmp_path, url, unused_tcp_port_factory, seed) as scene:
            scene.carrier.answer_delay_s = 0.02
            async with trio.open_nursery() as nursery:
                nursery.start_soon(scene.load.run)
                await _more(scene, "load")
                if hub_dies:
                    scene.daemon.kill()
                await _fail_over(scene, primary, replica)
                if hub_dies:
                    await scene.daemon.start()
                await _more(scene, "it goes on by itself")
                scene.load.running = False
            await scene.drain()
            await scene.stop()
        violations, book = scene.account()
    print(f"{scene.tally}, {book.doubts} doubts")
    assert not violations, "\n".join(violations[:50])


async def test_an_asynchronous_replica_may_have_missed_what_was_acknowledged(
    primary: PostgresServer, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """The replica's receiver stands still while texts are acknowledged: the hub knows none of them afterwards."""
    database = primary.new_database().partition("@/")[2].partition("?")[0]
    with _replica_of(primary, synchronous=False) as replica:
        url = both(primary, replica, database)
        async with open_scene(tmp_path, url, unused_tcp_port_factory, 31) as scene:
            scene.carrier.is_deaf = True  # so that nobody has them when the primary dies
            os.kill(receiver := replica.receiver(), signal.SIGSTOP)
            try:
                texts = [scene.load._next("A", lane) for lane in range(8)]
                for lane, text in enumerate(texts):
                    await scene.esme.ask([scene.esme.text(text, "+12005550000", f"+1300555{lane:04d}")])
                await until(lambda: all(text.acknowledged for text in texts), PATIENCE_S, "texts are acknowledged")
                with scene.broken("kill all"):
                    scene.daemon.kill()
                    await trio.to_thread.run_sync(kill_hard, primary)
            finally:
                os.kill(receiver, signal.SIGKILL)  # it has missed what is gone
            await trio.to_thread.run_sync(replica.promote)
            scene.carrier.is_deaf = False
            await scene.daemon.start()
            await scene.wait_up()
            await scene.drain()
            await scene.stop()
        violations, _ = scene.account()
    assert {f"lost: {text.name}: acknowledged, but not in the journal" for text in texts} <= set(violations)
