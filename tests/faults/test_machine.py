"""The machine under the hub: its clock jumps, its descriptors run out, it stands still for a while.

After each the hub goes on by itself, and every text is accounted for.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.faults.check import Rules
from tests.faults.process import ROOT, until
from tests.faults.scene import Scene, open_scene

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
HOUR_S, DAY_S = 3600, 86_400
JUMPS_S = (HOUR_S, -HOUR_S, DAY_S, -DAY_S)
SPARE_DESCRIPTORS = 12
FROZEN_S = 1.5
LONG_FROZEN_S = 20.0


def _counts(scene: Scene) -> list[int]:
    texts = scene.load.sent.values()
    counts = [sum(1 for text in texts if text.name[0] == flow and text.acknowledged) for flow in "ABD"]
    return [*counts, len(scene.carrier.taken), len(scene.esme.taken), len(scene.desk.taken), len(scene.esme.told)]


async def _goes_on(scene: Scene, what: str) -> None:
    """Texts are acknowledged and taken in each direction, and receipts told."""
    before = _counts(scene)

    def moved() -> bool:
        scene.daemon.check_alive()
        return all(now > then + 2 for now, then in zip(_counts(scene), before, strict=True))

    await until(moved, PATIENCE_S, f"all goes on after {what}")


async def _account(scene: Scene) -> None:
    scene.load.running = False
    await scene.drain()
    await scene.stop()
    violations, book = scene.account()
    print(f"{scene.tally}, {book.doubts} doubts")
    assert not violations, "\n".join(violations[:50])


# --- the clock ---


class WallClock:
    """The wall clock of a process: see ``jumping_clock``."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.write_bytes(bytes(8))
        self._ahead_s = 0

    @property
    def environment(self) -> dict[str, str]:
        """What the process needs."""
        return {"SMSHUB_TEST_CLOCK": str(self._file), "PYTHONPATH": f"{Path(__file__).parent / 'jumping_clock'}:{ROOT}"}

    def jump(self, by_s: int) -> None:
        """Set it."""
        self._ahead_s += by_s
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", self._ahead_s * 1_000_000_000))


def test_the_clock_jumps_and_the_other_one_does_not(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    program = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    environment = {**os.environ, **clock.environment}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        seen = []
        for jump_s in (0, DAY_S, -2 * DAY_S):
            clock.jump(jump_s)
            process.stdin.write("\n")
            process.stdin.flush()
            wall_s, steady_s = map(float, process.stdout.readline().split())
            seen.append((wall_s - time.time(), steady_s - time.monotonic()))
        process.stdin.close()
    for (ahead_s, drift_s), wanted_s in zip(seen, (0, DAY_S, -DAY_S), strict=True):
        assert abs(ahead_s - wanted_s) < HOUR_S / 2
        assert abs(drift_s) < HOUR_S / 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In the long form on both databases."""
    if "database" in metafunc.fixturenames:
        both = int(metafunc.config.getoption("--scale")) > 1
        metafunc.parametrize("database", ["sqlite", "postgresql"] if both else ["sqlite"])


async def test_a_clock_that_jumps_holds_up_nothing(
    database: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    request: pytest.FixtureRequest,
    fault_seed: int,
    scale: int,
) -> None:
    """An hour and a day, there and back, and a kill -9 after each step back: what is new stays behind what is old."""
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    chance, clock = random.Random(seed), WallClock(tmp_path)
    sqlite = f"sqlite:///{tmp_path / 'hub.db'}"
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else sqlite
    jumps = list(JUMPS_S) if scale > 1 else [first := chance.choice(JUMPS_S), -first]
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed, start=False) as scene:
        scene.daemon.environment = clock.environment
        await scene.daemon.start()
        await scene.wait_up()
        scene.carrier.answer_delay_s = 0.05
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _goes_on(scene, "the start")
            for jump_s in jumps:
                clock.jump(jump_s)
                await trio.sleep(chance.uniform(0.0, 1.0))
                if jump_s < 0:
                    scene.daemon.kill()
                    await scene.daemon.start()
                await _goes_on(scene, f"a jump by {jump_s} s")
            scene.load.running = False
        await _account(scene)


# --- descriptors ---


@asynccontextmanager
async def _leaving(strangers: list[trio.SocketStream]) -> AsyncIterator[None]:
    """However it ends, they leave."""
    try:
        yield
    finally:
        for stream in strangers:
            await trio.aclose_forcefully(stream)


async def test_running_out_of_descriptors_hurts_only_who_comes_then(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Strangers take all that are left: who is bound notices nothing; who comes waits until they leave."""
    strangers: list[trio.SocketStream] = []
    # The hub's own bounds would be met first.
    more = {"smpp": "max_unbound = 10000\nsession_init_s = 600\naddress_per_s = 0\nstrangers_per_s = 0"}
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with (
        _leaving(strangers),
        open_scene(tmp_path, url, unused_tcp_port_factory, 41, **more) as scene,
    ):
        folder = f"/proc/{scene.daemon.process_id}/fd"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            await _goes_on(scene, "the start")
            sessions = scene.carrier.stream, scene.esme.stream, scene.desk.stream
            _, hard = resource.prlimit(scene.daemon.process_id, resource.RLIMIT_NOFILE)
            limit = max(map(int, os.listdir(folder))) + SPARE_DESCRIPTORS
            resource.prlimit(scene.daemon.process_id, resource.RLIMIT_NOFILE, (limit, hard))
            with scene.broken("no descriptors"):
                for _ in range(2 * limit):
                    strangers.append(await trio.open_tcp_stream("127.0.0.1", scene.daemon.smpp_port))
                await until(lambda: len(os.listdir(folder)) >= limit - 1, PATIENCE_S, "none is left")
                await _goes_on(scene, "descriptors ran out")
                now = scene.carrier.stream, scene.esme.stream, scene.desk.stream
                assert now == sessions, "who was there notices nothing"
                for _ in range(3):
                    await scene.carrier.cut()  # its link, which the hub itself opens, comes back all the same …
                    await trio.sleep(0.2)
                while strangers:
                    await trio.aclose_forcefully(strangers.pop())
            await scene.esme.cut()  # … and when they have left, so does who dials in
            await until(lambda: scene.esme.stream not in (None, sessions[1]), PATIENCE_S, "the ESME is back")
            await until(lambda: scene.carrier.bound, PATIENCE_S, "the link is back")
            await _goes_on(scene, "the strangers left")
            scene.load.running = False
        await _account(scene)


# --- standing still ---


async def test_a_hub_that_stood_still_goes_on_where_it_was(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int, scale: int
) -> None:
    """SIGSTOP, as a hypervisor does: meanwhile its sessions are cut, some or all, and the clock runs on."""
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    quick = "response_timeout_s = 1\nenquire_link_s = 1"
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed, link=quick, account=quick) as scene:
        scene.rules = Rules(patience_s=0.0)  # what is slow for these links is not slow for a busy machine
        scene.carrier.answer_delay_s = scene.esme.answer_delay_s = 0.03
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.load.run)
            for cut in ((), (scene.carrier, scene.esme), (scene.desk, scene.carrier)):
                await _goes_on(scene, "the start, or the freeze before")
                with scene.daemon.frozen():
                    for peer in cut:
                        await trio.sleep(scene.carrier.chance.uniform(0.0, 0.2))
                        await peer.cut()
                    await trio.sleep(LONG_FROZEN_S if scale > 1 else FROZEN_S)
            await _goes_on(scene, "the last freeze")
            scene.load.running = False
        await _account(scene)
