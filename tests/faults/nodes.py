"""Several daemons on one PostgreSQL, between one set of peers.

The ESME goes through a proxy that leads it to one of the nodes, as a balancer would. Each node reaches PostgreSQL by a
road of its own, which can be cut. The carrier listens on one port; whose session it has is found in ``/proc``, so that
histories say which node it was.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import trio

from tests.faults.check import Rules
from tests.faults.history import History
from tests.faults.peers import Carrier, Desk, Esme
from tests.faults.process import LINK_PASSWORD, DaemonProcess, until
from tests.faults.scene import Scene
from tests.faults.weather_proxy import WeatherProxy
from tests.fixtures_postgres import PORT, PostgresServer

LEASE_S = 3.0
MOST_BEHIND = 600  # texts: so many are worked off within seconds
MOVED_S = 90.0  # for a lease to be where it should, on a machine that has other things to do

MORE = """
[node]
id = {node}

[cluster]
enabled = true
lease_s = {lease_s}

[[link]]
name = "second"
host = "127.0.0.1"
port = {second_port}
system_id = "smshub"
password = "{password}"
gap_ms = 5
"""


class Crew:
    """All daemons, as the scene sees one."""

    def __init__(self, nodes: list[DaemonProcess]) -> None:
        self.nodes = nodes

    def check_alive(self) -> None:
        """Raises: Died, when one of them ended by itself."""
        for node in self.nodes:
            node.check_alive()

    def stop(self) -> int:
        """End all in order. Returns: the greatest of their statuses."""
        return max(node.stop() for node in self.nodes if node.is_running)

    def close(self) -> None:
        """Leave none behind."""
        for node in self.nodes:
            node.close()


class NodesScene(Scene):
    """Nodes 1, 2 … between their peers.

    Attributes:
        nodes: the daemons.
        roads_to_store: between each of them and PostgreSQL.
        road: the ESME's.
    """

    def __init__(
        self, nodes: list[DaemonProcess], carrier: Carrier, esme: Esme, desk: Desk, url: str, history: History
    ) -> None:
        super().__init__(Crew(nodes), carrier, esme, desk, url, history)  # type: ignore[arg-type]
        self.nodes = nodes
        self.roads_to_store: list[WeatherProxy] = []
        self.road: WeatherProxy
        # What was taken in at one node and sent on by another may be overtaken: docs/discussion/many-nodes.md.
        self.rules = Rules(one_hub=False, overtake_s=2.0)

    def lead_esme_to(self, index: int) -> None:
        """Let the ESME be bound at a node."""
        self.road.lead_to(("127.0.0.1", self.nodes[index].smpp_port))

    def leases(self) -> dict[str, int]:
        """Endpoint → index of the node that holds it."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("SELECT endpoint, node FROM lease").fetchall()
        return {endpoint: node - 1 for endpoint, node in rows}

    def holder(self, endpoint: str = "link:carrier") -> int:
        """Who holds an endpoint; -1 for nobody."""
        return self.leases().get(endpoint, -1)

    async def until_held(self, endpoint: str, by: set[int]) -> int:
        """Wait until one of some nodes holds an endpoint. Returns: which."""
        await until(lambda: self.holder(endpoint) in by, MOVED_S, f"{endpoint} is held by one of {by}")
        return self.holder(endpoint)

    async def more(self, texts: int = 40) -> None:
        """Wait until so many more texts have gone each way of the links: what was broken is whole again."""
        before = self._moved()
        await until(
            lambda: all(now >= was + texts for now, was in zip(self._moved(), before, strict=True)),
            MOVED_S,
            f"{texts} more texts at carrier, desk and ESME",
        )

    def _moved(self) -> tuple[int, int, int]:
        return len(self.carrier.taken), len(self.desk.taken), len(self.esme.taken)

    def node_of(self, stream: trio.SocketStream) -> str:
        """Which node is at the other end of a connection."""
        port = stream.socket.getpeername()[1]
        inode = _inode_of(port)
        for index, node in enumerate(self.nodes):
            if node.is_running and inode and inode in _sockets_of(node.process_id):
                return f"node-{index + 1}"
        return "node-?"


def _inode_of(port: int) -> str:
    """The inode of the socket of 127.0.0.1 with a local port, as the kernel lists it."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return fields[9]
    return ""


def _sockets_of(process_id: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for path in Path(f"/proc/{process_id}/fd").iterdir():
            with suppress(OSError):
                found.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


@asynccontextmanager
async def open_nodes_scene(
    folder: Path, server: PostgresServer, new_port: Callable[[], int], seed: int, count: int = 2
) -> AsyncIterator[NodesScene]:
    """Start peers and nodes; all is connected when this yields, and the ESME bound at the first node."""
    url = server.new_database()
    chance = random.Random(seed)
    history = History(folder / "history.jsonl")
    carrier, desk = Carrier(chance, history), Desk(history)
    async with trio.open_nursery() as nursery:
        listeners = [await trio.open_tcp_listeners(0, host="127.0.0.1") for _ in range(3)]
        ports = [each[0].socket.getsockname()[1] for each in listeners]
        second = Carrier(chance, history, "carrier-2")
        nodes, roads = [], []
        for index in range(count):
            place = folder / f"node-{index + 1}"
            place.mkdir()
            road = WeatherProxy(server.folder / f".s.PGSQL.{PORT}")
            await nursery.start(road.run)
            roads.append(road)
            database = url.partition("@/")[2].partition("?")[0]
            own_url = f"postgresql://postgres@127.0.0.1:{road.port}/{database}?sslmode=disable"
            more = MORE.format(node=index + 1, lease_s=LEASE_S, second_port=ports[2], password=LINK_PASSWORD)
            node = DaemonProcess(place, own_url, ports[0], ports[1], new_port, account="max_binds = 10", tail=more)
            node.history, node.name = history, f"node-{index + 1}"
            nodes.append(node)
        road = WeatherProxy(("127.0.0.1", nodes[0].smpp_port))
        await nursery.start(road.run)
        esme = Esme(chance, road.port, history)
        scene = NodesScene(nodes, carrier, esme, desk, url, history)
        scene.load.most_behind = MOST_BEHIND
        scene.nursery, scene.roads_to_store, scene.road = nursery, roads, road

        def serving(each: Carrier | Desk) -> Callable[[trio.SocketStream], object]:
            async def serve(stream: trio.SocketStream) -> None:
                await each.serve(stream, await trio.to_thread.run_sync(scene.node_of, stream))

            return serve

        nursery.start_soon(trio.serve_listeners, serving(carrier), listeners[0])
        nursery.start_soon(trio.serve_listeners, serving(desk), listeners[1])
        nursery.start_soon(trio.serve_listeners, serving(second), listeners[2])
        nursery.start_soon(esme.run)
        try:
            for node in nodes:
                await node.start()
            await scene.wait_up(MOVED_S)
            yield scene
        finally:
            scene.daemon.close()
            history.close()
            nursery.cancel_scope.cancel()
    server.drop_database(url)
