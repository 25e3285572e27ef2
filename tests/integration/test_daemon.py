"""The daemon holds its endpoints apart: a fault of ours in one is logged, counted, and nobody else's trouble."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ops import endpoints
from ops.config import read_config
from ops.daemon import open_daemon
from translators.smpp_links import SmppLink

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[[link]]
name = "sound"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "x"
[[link]]
name = "broken"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "x"
"""


async def test_an_endpoint_that_fails_is_started_again_and_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    runs: list[str] = []
    sound = SmppLink.run

    async def run(self: SmppLink, shutdown: trio.Event | None = None) -> None:
        runs.append(self.name)
        if self.name == "link:broken":
            raise RuntimeError("a fault of ours")
        await sound(self, shutdown)

    monkeypatch.setattr(SmppLink, "run", run)
    monkeypatch.setattr(endpoints, "AGAIN_S", 0.05)
    config = read_config(CONFIGURATION.format(port=unused_tcp_port), "", tmp_path)
    with trio.fail_after(20):
        async with open_daemon(config) as daemon:
            while runs.count("link:broken") < 3:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.02)
            assert runs.count("link:sound") == 1
            assert not daemon.draining
            assert daemon.observer.counts["endpoint_failed", "link:broken", ""] >= 2
