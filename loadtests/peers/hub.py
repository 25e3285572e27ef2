"""smshub on the paths of the others: its own command, SQLite, an fsync before each acknowledgement."""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from typing import Any

from loadtests.peers.gateway import Gateway
from loadtests.peers.kannel import BEYOND
from loadtests.processes import PASSWORD, HubProcess, Place, Tool, free_ports

BINDS = 4
WINDOW = 250  # of each bind, as in make bench
SOURCE_WINDOW = 1000

SOURCE = """
[[link]]
name = "source"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "{password}"
window = 1000
"""


class Hub(Gateway):
    """What both paths share."""

    name = "smshub"
    durability = "on disk (SQLite FULL)"

    def versions(self) -> str:
        return f"smshub {version('smshub')}, SQLite {sqlite3.sqlite_version}"

    def hub(self, more: str = "") -> Place:
        place = Place(self.directory, more=more)
        self.carrier.ask("listen", port=place.carrier_port)
        self.run(HubProcess(place))
        self.carrier.ask("bound")
        return place


class HubApplication(Hub):
    """An account's texts to a link."""

    path = "application"
    legs = "SMPP → SMPP"
    load = f"{BINDS} binds, window {WINDOW}"

    def start(self) -> None:
        place = self.hub()
        self.tool = self.stack.enter_context(Tool("loadtests.esme"))
        self.tool.ask("bind", port=place.smpp_port, binds=BINDS, system_id="load", password=PASSWORD)

    def send(self, count: int, customer: int) -> dict[str, Any]:
        return self.tool.ask("load", 300, count=count, window=WINDOW, customer=customer)


class HubTransit(Hub):
    """A carrier's texts for a number that is no call centre's, by a route, to another carrier."""

    path = "transit"
    legs = "SMPP → SMPP"
    load = f"window {SOURCE_WINDOW}"

    def start(self) -> None:
        (port,) = free_ports(1)
        self.tool = self.stack.enter_context(Tool("loadtests.smsc_sink"))
        self.tool.ask("listen", port=port)
        self.hub(SOURCE.format(port=port, password=PASSWORD))
        self.tool.ask("bound")

    def send(self, count: int, customer: int) -> dict[str, Any]:
        return self.tool.ask("load", 300, count=count, window=SOURCE_WINDOW, customer=customer, destination=BEYOND)
