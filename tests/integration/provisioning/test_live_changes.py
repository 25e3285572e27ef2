"""What a running daemon makes of changes by commands: routes, links and groups are in force at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from ops.config import read_config
from ops.daemon import Daemon, open_daemon
from provisioning import Group, Link, Route, built, catalog

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[limits]
reload_s = 0.1
[[link]]
name = "one"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "x"
[[link]]
name = "two"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "x"
[[group]]
name = "pair"
links = ["one", "two"]
in_doubt = "hold"
[[route]]
prefix = "*"
endpoint = "link:one"
"""


async def change(daemon: Daemon, *entries: Any) -> None:
    """Change the catalog as a command beside the daemon does, and wait until the daemon has it."""
    await daemon.store.transact(lambda tx: catalog.apply(tx, entries, who="test", now_us=1))
    revision = await daemon.store.read(catalog.revision)
    while daemon.hub.directory.revision != revision:  # noqa: ASYNC110 - nothing tells of it
        await trio.sleep(0.02)


async def test_routes_links_and_groups_are_in_force_at_once(tmp_path: Path, unused_tcp_port: int) -> None:
    config = read_config(CONFIGURATION.format(port=unused_tcp_port), "", tmp_path)

    def way(daemon: Daemon, destination: str = "+442079460018") -> str | None:
        return daemon.hub.directory.routes.choose(destination, daemon.hub.clock())

    third = built(Link, name="three", host="127.0.0.1", port=unused_tcp_port, system_id="s", password="x")
    with trio.fail_after(60), structlog.testing.capture_logs() as logs:
        async with open_daemon(config) as daemon:
            assert daemon.groups["pair"].name == "group:pair"
            assert way(daemon) == "link:one"
            await change(daemon, built(Route, prefix="+44", endpoint="group:pair"))
            assert way(daemon) == "group:pair"
            await change(daemon, third, built(Route, prefix="+44207", endpoint="link:three"))
            assert way(daemon) == "link:three"
            assert daemon.links["three"].settings.port == unused_tcp_port
            await change(daemon, built(Group, name="pair", links=["one=3", "two"]))
            assert daemon.groups["pair"].settings.members == (("one", 3), ("two", 1))
        told = [entry["endpoints"] for entry in logs if entry["event"] == "catalog loaded"]
        assert told == [{}, {"added": ["link:three"]}, {"changed": ["group:pair"]}]


@pytest.mark.parametrize("endpoint", ["group:pair", "link:one"])
async def test_a_daemon_holds_in_doubt_as_each_endpoint_is_told(
    tmp_path: Path, unused_tcp_port: int, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hub import Hub

    held: dict[str, bool] = {}
    attach = Hub.attach

    def note(self: Hub, attached: Any, *, hold_in_doubt: bool = False) -> None:
        held[attached.name] = hold_in_doubt
        attach(self, attached, hold_in_doubt=hold_in_doubt)

    monkeypatch.setattr(Hub, "attach", note)
    config = read_config(CONFIGURATION.format(port=unused_tcp_port), "", tmp_path)
    with trio.fail_after(60):
        async with open_daemon(config):
            assert held[endpoint] == (endpoint == "group:pair")
