"""Peers that misbehave or die under load: whatever they do costs them, and nobody else; nothing is lost.

Every test ends with the account of every text, like the tests that kill the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.book import Book
from tests.faults.check import Rules
from tests.faults.process import until
from tests.faults.scene import Scene, open_scene
from tests.fixtures_postgres import PostgresServer

pytestmark = pytest.mark.slow

QUICK_LINK = "response_timeout_s = 1\nenquire_link_s = 1"
# What is slow for these links is not slow for a busy machine: the journal says what was in doubt.
QUICK = Rules(patience_s=0.0)


async def _settle(scene: Scene) -> Book:
    """End the load, drain, end the daemon, account."""
    scene.load.running = False
    await scene.drain(120)
    await scene.stop()
    violations, book = scene.account()
    assert not violations, "\n".join(violations[:50])
    return book


def _acknowledged(scene: Scene, flow: str) -> int:
    return sum(1 for text in scene.load.sent.values() if text.name[0] == flow and text.acknowledged)


async def _more_from(scene: Scene, flow: str, count: int, what: str) -> None:
    """Wait until so many more texts of a flow are acknowledged."""
    wanted = _acknowledged(scene, flow) + count
    await until(lambda: _acknowledged(scene, flow) >= wanted, 30, what)


async def test_a_deaf_carrier_holds_up_nobody_else(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """It reads and never answers: texts to it wait, in doubt; those to the ESME and the desk go on."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 21, link=QUICK_LINK) as scene:
        scene.rules = QUICK
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _more_from(scene, "A", 100, "load")
            scene.carrier.is_deaf = True
            begun = time.monotonic()
            await _more_from(scene, "A", 300, "texts are taken in while the carrier is deaf")
            assert time.monotonic() - begun < 15
            doubts = 0.0
            while not doubts:
                metrics = await scene.daemon.metrics()
                doubts = metrics.get('smshub_in_doubt_total{endpoint="link:carrier"}', 0.0)
                assert time.monotonic() - begun < 30, "nothing was found to be in doubt"
                await trio.sleep(0.1)
            scene.carrier.is_deaf = False
            scene.load.running = False
        book = await _settle(scene)
        assert book.doubts > 0


async def test_a_slow_carrier_slows_nobody_else(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """Half a second for each answer: the hub goes on taking, and answering, at its own speed."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 22) as scene:
        scene.carrier.answer_delay_s = 0.5
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _more_from(scene, "A", 300, "texts are taken in while the carrier is slow")
            scene.load.running = False
        begun = time.monotonic()
        text = scene.load._next("D", 0)
        await scene.carrier.ask(scene.carrier.customer_text(text, scene.load.customer(0), "+19995550000", 0))
        await until(lambda: any(taken.name == text.name for taken in scene.esme.taken), 10, "the ESME has it")
        assert time.monotonic() - begun < 3
        scene.carrier.answer_delay_s = 0.0
        book = await _settle(scene)
        assert book.doubts == 0


async def test_a_carrier_that_drops_its_window_leaves_doubts_and_no_more(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """It takes a window of texts and is gone instead of answering, again and again."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 23, link=QUICK_LINK) as scene:
        scene.rules = QUICK
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for _ in range(3):
                await until(lambda: scene.carrier.bound, 60, "the link is bound again")
                taken = len(scene.carrier.taken)
                await until(lambda at=taken: len(scene.carrier.taken) > at + 50, 60, "texts flow")  # type: ignore[misc]
                scene.carrier.drops_answers = True
                await until(lambda: not scene.carrier.bound, 60, "the carrier has cut")
                scene.carrier.drops_answers = False
            scene.load.running = False
        book = await _settle(scene)
        assert book.doubts > 0
        names = [(take.name, take.part) for take in scene.carrier.taken]
        assert len(set(names)) < len(names), "no text was taken twice: the test did not do what it is for"


async def test_a_carrier_that_flaps_loses_nothing(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """Its connection is cut about every second, and sometimes its binds are refused."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 24, link=QUICK_LINK) as scene:
        scene.rules = QUICK
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for _ in range(4):
                await until(lambda: scene.carrier.bound, 60, "the link is bound again")
                await trio.sleep(scene.carrier.chance.uniform(0.1, 1.0))
                await scene.carrier.cut()
                await until(lambda: not scene.carrier.bound, 10, "the connection is gone")
            scene.load.running = False
        await _settle(scene)
        assert scene.carrier.binds == 5


async def test_a_desk_that_is_killed_and_comes_back_gets_every_text(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Cut under load, then deaf to pings and cut: texts in doubt come again with the same id, in order."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 25) as scene:
        desk = scene.desk
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for round_ in range(3):
                await until(lambda: desk.connected, 30, "the desk is connected")
                taken = len(desk.taken)
                await until(lambda at=taken: len(desk.taken) > at + 20, 30, "texts flow")  # type: ignore[misc]
                desk.pongs = round_ == 0
                await trio.sleep(0.3)
                await desk.cut()
                await until(lambda: not desk.connected, 10, "the connection is gone")
                desk.pongs = True
                await _more_from(scene, "B", 20, "customers' texts are taken in while the desk is away")
            scene.load.running = False
        book = await _settle(scene)
        assert book.doubts > 0
        assert desk.connections == 4


@pytest.fixture
def own_postgres(postgres_factory: Callable[[], PostgresServer]) -> PostgresServer:
    """A server that only this test has, and may break."""
    return postgres_factory()


async def test_a_database_that_crashes_under_load_loses_nothing(
    own_postgres: PostgresServer, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """PostgreSQL is killed and started again while all flows run: senders wait meanwhile, the daemon lives on."""
    url = own_postgres.new_database()
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 26) as scene:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for _ in range(3):
                await _more_from(scene, "A", 100, "load")
                with scene.broken("kill postgresql"):
                    await trio.to_thread.run_sync(own_postgres.kill)
                    await trio.sleep(scene.carrier.chance.uniform(0.0, 1.5))
                    scene.daemon.check_alive()
                    await trio.to_thread.run_sync(own_postgres.start)
            await _more_from(scene, "A", 100, "it goes on by itself")
            await _more_from(scene, "B", 20, "it goes on by itself")
            scene.load.running = False
        await _settle(scene)
