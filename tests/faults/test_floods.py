"""Floods of strangers, mad accounts, a mad desk and HTTP, beside honest traffic of all four flows.

How much of its pace honest traffic keeps is ``python -m loadtests.floods``'s to measure. Here: nothing of it is lost or
out of order, an ESME that was cut off comes back in the midst of it, and what the hub holds, logs and has open is
bounded.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from loadtests.floods import FLOODS, Flood
from loadtests.processes import PASSWORD, Tool
from smpp.pdu import BindTransceiverResp
from tests.faults.process import until
from tests.faults.scene import Scene, open_scene
from tests.faults.strangers import Stranger, Watch, never_logged
from tests.fixtures_tls import Certificate

pytestmark = pytest.mark.slow

SECONDS = 1.0
PATIENCE_S = 60.0
GROWTH_MB = 96.0
LINES = 400
FEW = 20  # descriptors: of the store's readers, and of peers that were away
TAIL = """
[api]
port = {api}
[[account]]
system_id = "visitor"
password = "{password}"
max_binds = 50
[[account]]
system_id = "mad"
password = "{password}"
max_binds = 50
validity_s = 5
[[account]]
system_id = "agreed"
password = "{password}"
throughput_per_s = 100
[[account]]
system_id = "single"
password = "{password}"
max_binds = 1
validity_s = 5
[[route]]
prefix = "+1777"
endpoint = "account:single"
[[call_centre]]
name = "mad"
[[desk]]
name = "mad"
call_centre = "mad"
domain = "mad.example.net"
port = {mad}
secret = "{password}"
director = "mad@desk.example"
allowed_domains = ["desk.example"]
"""
SMPP = """
tls_port = {tls}
tls_cert_file = "{certificate.cert_file}"
tls_key_file = "{certificate.key_file}"
"""
RATE = {  # a second; less than loadtests.floods takes where several play at once on a busy machine
    "binds": 100.0,
    "half-open": 200.0,
    "churn": 200.0,
    "lengths": 100.0,
    "session": 5000.0,
    "xml": 2500.0,
    "http": 100.0,
    "http-crowd": 100.0,
}


def kinds(*names: str) -> list[Flood]:
    return [flood for flood in FLOODS if flood.arguments["kind"] in names]


class Beside:
    """A daemon with honest traffic, and a tool that floods it."""

    def __init__(self, scene: Scene, tool: Tool, ports: dict[str, int]) -> None:
        self.scene, self._tool, self._ports = scene, tool, ports

    @asynccontextmanager
    async def flooding(self, *floods: Flood, seconds: float = SECONDS, **heard: int) -> AsyncIterator[None]:
        """Play floods at once, while the body looks on.

        Args:
            floods: which.
            seconds: at least.
            heard: what the strangers must have done and heard until they end: ``status_429=1``.
        """
        for flood in floods:
            kind = flood.arguments["kind"]
            command = {
                **flood.arguments,
                "per_s": min(flood.per_s, RATE.get(kind, flood.per_s)),
                "seconds": 3 * PATIENCE_S,
            }
            if "port" in command:
                command["port"] = self._ports[command["port"]]
            await self._ask("flood", **command)
        await trio.sleep(seconds)
        await self.honest_bind()
        yield
        wanted = {word.replace("_", " "): count for word, count in heard.items()}
        with trio.move_on_after(PATIENCE_S):
            while True:
                so_far = (await self._ask("look"))["done"]
                if all(so_far.get(word, 0) >= count for word, count in wanted.items()):
                    break
                await trio.sleep(0.1)
        done: dict[str, int] = (await self._ask("stop"))["done"]
        assert all(done.get(word, 0) >= count for word, count in wanted.items()), done
        assert not [word for word in done if word.startswith("failed")], done
        self.scene.daemon.check_alive()

    async def honest_bind(self) -> None:
        """An ESME comes from where it has bound before; after a while it is in."""
        with trio.fail_after(PATIENCE_S):
            while True:
                stream = await trio.open_tcp_stream("127.0.0.1", self._ports["smpp"], local_address="127.0.0.3")
                visitor = Stranger(stream)
                try:
                    answer = await visitor.bind("visitor", PASSWORD)
                except EOFError:
                    answer = None
                await visitor.close()
                if isinstance(answer, BindTransceiverResp) and answer.command_status == 0:
                    return
                await trio.sleep(0.2)

    async def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return await trio.to_thread.run_sync(lambda: self._tool.ask(do, **arguments))


@asynccontextmanager
async def beside_honest_traffic(
    folder: Path, new_port: Callable[[], int], certificate: Certificate, seed: int
) -> AsyncIterator[tuple[Beside, Watch]]:
    """Play honest traffic while the body floods; afterwards nothing of it may be missing, and all be as it was."""
    ports = {name: new_port() for name in ("tls", "api", "mad")}
    more = {"tail": TAIL.format(password=PASSWORD, **ports), "smpp": SMPP.format(certificate=certificate, **ports)}
    with Tool("loadtests.strangers") as tool:
        await trio.to_thread.run_sync(lambda: tool.ask("listen", port=ports["mad"]))
        async with (
            open_scene(folder, f"sqlite:///{folder / 'hub.db'}", new_port, seed, **more) as scene,
            trio.open_nursery() as nursery,
        ):
            daemon = scene.daemon
            ports |= {"smpp": daemon.smpp_port, "metrics": daemon.metrics_port}
            nursery.start_soon(scene.load.run)
            beside = Beside(scene, tool, ports)
            await beside.honest_bind()
            watch = await Watch.begin(daemon)
            begun, open_before = daemon.log_size(), descriptors(daemon.process_id)
            memory_before = await memory_mb(scene)
            yield beside, watch
            scene.load.running = False
            assert await memory_mb(scene) - memory_before < GROWTH_MB
            await until(
                lambda: descriptors(daemon.process_id) < open_before + FEW, PATIENCE_S, "descriptors have come back"
            )
            lines = [str(line["event"]) for line in daemon.log_lines(begun)]
            assert len(lines) < LINES, {event: lines.count(event) for event in set(lines)}
            never_logged(daemon, [PASSWORD, "wrongpwd"])
            await scene.drain()
            await scene.stop(PATIENCE_S)
            violations, _ = scene.account()
            assert not violations, "\n".join(violations[:50])
            assert len(scene.load.sent) > 50, "honest traffic went on"


def descriptors(process_id: int) -> int:
    return len(os.listdir(f"/proc/{process_id}/fd"))


async def memory_mb(scene: Scene) -> float:
    return (await scene.daemon.metrics())["process_resident_memory_bytes"] / 1_048_576


async def test_strangers_at_the_smpp_ports(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], certificate: Certificate
) -> None:
    floods = kinds("binds", "half-open", "drip", "churn", "lengths")
    async with (
        beside_honest_traffic(tmp_path, unused_tcp_port_factory, certificate, 31) as (beside, watch),
        beside.flooding(*floods, begun=500),
    ):
        await watch.counted("smshub_smpp_sessions_total", 'event="turned_away"', at_least=50)
        await watch.counted("smshub_smpp_sessions_total", 'event="bind_refused"')
        await watch.logged("smpp lines left out")


async def test_accounts_that_pour(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], certificate: Certificate
) -> None:
    async with beside_honest_traffic(tmp_path, unused_tcp_port_factory, certificate, 32) as (beside, watch):
        async with beside.flooding(*kinds("session"), sent=2000, status_0xc0=1, status_0x58=1):
            await watch.counted("smshub_peer_faults_total", "account:mad", 'fault="chatter"')
            await watch.counted("smshub_peer_faults_total", "account:agreed", "ESME_RTHROTTLED")
        await watch.counted("smshub_peer_faults_total", "account:mad", 'fault="unparsable"')


async def test_a_desk_that_went_mad(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], certificate: Certificate
) -> None:
    floods = {flood.arguments["what"]: flood for flood in kinds("xml")}
    ending = [floods.pop(what) for what in ("deep", "bomb")]  # the stream: the hub waits before it comes back
    async with beside_honest_traffic(tmp_path, unused_tcp_port_factory, certificate, 33) as (beside, watch):
        async with beside.flooding(*floods.values(), sent=100):
            await watch.counted("smshub_peer_faults_total", "desk:mad", 'fault="too-much-in-it"')
            await watch.counted("smshub_peer_faults_total", "desk:mad", 'fault="chatter"')
        for flood in ending:
            async with beside.flooding(flood, seconds=0.0, sent=1, streams_ended=1):
                await watch.counted("smshub_peer_faults_total", "desk:mad", 'fault="stream-')


async def test_http(tmp_path: Path, unused_tcp_port_factory: Callable[[], int], certificate: Certificate) -> None:
    floods = kinds("http", "http-crowd", "http-drip")
    async with (
        beside_honest_traffic(tmp_path, unused_tcp_port_factory, certificate, 34) as (beside, _),
        beside.flooding(*floods, status_401=1, status_429=1, status_200=1),
    ):
        assert (await beside.scene.daemon.metrics())["process_open_fds"] < 400
