"""What several nodes on one PostgreSQL carry together: ``python -m loadtests.nodes --nodes 1 2 3``.

Each node has an ESME and holds the lease of one carrier's link. Measured twice: every text goes out by the link of the
node that it came in at (``own``), and every text goes out by another node's (``across``): what a node journals for
another is read once more. All processes, PostgreSQL and the load tools share the machine, so that the rate says when
its cores are used up; what a thousand texts cost says why. Figures go to ``var/nodes.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from loadtests.processes import PASSWORD, ROOT, HubProcess, Place, Tool, ToolFailed, free_ports, link_of
from loadtests.stores import Stores
from loadtests.wire import CUSTOMERS_OF_A_LINK
from tests.fixtures_postgres import PostgresServer, find_programs

BINDS = 4
WINDOW = 250
WARM_UP = 4000
SPREAD_S = 60.0  # for leases to be spread and links to be bound

MORE = """
[node]
id = {node}
[cluster]
enabled = {enabled}
lease_s = 10
"""


class Node:
    """A node, its ESME and the carrier of its link."""

    def __init__(self, hub: HubProcess, esme: Tool, carrier: Tool) -> None:
        self.hub, self.esme, self.carrier = hub, esme, carrier
        self.link = 0


class Several:
    """So many nodes on a fresh database.

    Args:
        count: how many; one is a daemon that is alone, without leases.
        stores: makes the database.
        directory: for their configurations and logs.
        stack: ends them.
    """

    def __init__(self, count: int, stores: Stores, directory: Path, stack: ExitStack) -> None:
        self.stores = stores
        self.url = stores.new_url()
        ports = free_ports(count)
        links = "".join(link_of(f"link{at}", port, f"+12{at}", window=1000) for at, port in enumerate(ports))
        self.nodes: list[Node] = []
        self._used = [0] * count
        carriers = [stack.enter_context(Tool("loadtests.smsc_sink")) for _ in ports]
        for carrier, port in zip(carriers, ports, strict=True):
            carrier.ask("listen", port=port)
        for at in range(count):
            folder = directory / f"{count}-{at}"
            folder.mkdir()
            more = MORE.format(node=at + 1, enabled=str(count > 1).lower())
            place = Place(folder, url=self.url, more=more + links)
            hub = stack.enter_context(HubProcess(place))
            esme = stack.enter_context(Tool("loadtests.esme"))
            esme.ask("bind", port=place.smpp_port, binds=BINDS, system_id="load", password=PASSWORD)
            self.nodes.append(Node(hub, esme, carriers[at]))
        if count > 1:
            self._spread(carriers)
        for carrier in carriers:
            carrier.ask("bound")

    def _spread(self, carriers: list[Tool]) -> None:
        """Wait until each node holds a link. Raises: ToolFailed."""
        give_up_at = time.monotonic() + SPREAD_S
        while time.monotonic() < give_up_at:
            with psycopg.connect(self.url) as connection:
                found = connection.execute(
                    "SELECT endpoint, node FROM lease WHERE endpoint LIKE 'link:link%'"
                ).fetchall()
            if len({node for _, node in found}) == len(self.nodes):
                for endpoint, node in found:
                    link = int(endpoint.removeprefix("link:link"))
                    self.nodes[node - 1].link, self.nodes[node - 1].carrier = link, carriers[link]
                return
            time.sleep(0.2)
        raise ToolFailed("the links were not spread over the nodes")

    def measure(self, count: int, *, across: bool) -> dict[str, float]:
        """Send so many texts at each node. Returns: figures of all together."""
        nodes = self.nodes
        ways = [nodes[(at + across) % len(nodes)] for at in range(len(nodes))]
        for node in nodes:
            node.carrier.ask("reset")
        cpu, store_cpu = sum(node.hub.cpu_s() for node in nodes), self.stores.cpu_s()
        for node, way in zip(nodes, ways, strict=True):
            way.carrier.tell("expect", count=count, within_s=120)
            first = way.link * CUSTOMERS_OF_A_LINK + self._used[way.link]
            self._used[way.link] += count
            node.esme.tell("load", count=count, window=WINDOW, customer=first, within_s=120)
        sent = [node.esme.answer(150) for node in nodes]
        arrived = [way.carrier.answer(150) for way in ways]
        if any(run["acked"] != count for run in sent) or any(run["count"] < count for run in arrived):
            raise ToolFailed(f"acknowledged {[r['acked'] for r in sent]}, arrived {[r['count'] for r in arrived]}")
        total = count * len(nodes)
        took_s = max(run["last"] for run in arrived) - min(run["first"] for run in sent)
        return {
            "msgs_per_s": total / took_s,
            "cpu_s_per_1000_hubs": (sum(node.hub.cpu_s() for node in nodes) - cpu) / total * 1000,
            "cpu_s_per_1000_postgresql": (self.stores.cpu_s() - store_cpu) / total * 1000,
            "cpu_s_per_1000_tools": sum(run["cpu_s"] for run in (*sent, *arrived)) / total * 1000,
            "ack_p99_ms": max(run["p99_ms"] for run in sent),
        }


def measure(counts: list[int], texts: int, runs: int) -> list[dict[str, float | str]]:
    """Measure each number of nodes. Returns: a row for each number and way."""
    programs = find_programs()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: ops/setup/setup system")
    server = PostgresServer(programs)
    directory = Path(tempfile.mkdtemp(prefix="smshub-nodes-"))
    rows: list[dict[str, float | str]] = []
    try:
        server.start()
        for count in counts:
            with ExitStack() as stack:
                several = Several(count, Stores(server), directory, stack)
                for across in (False, True) if count > 1 else (False,):
                    several.measure(WARM_UP, across=across)
                    found = [several.measure(texts // count, across=across) for _ in range(runs)]
                    row: dict[str, float | str] = {"nodes": count, "way": "across" if across else "own"}
                    row |= {name: statistics.median(run[name] for run in found) for name in found[0]}
                    rows.append(row)
                    show(row)
    finally:
        server.remove()
        shutil.rmtree(directory, ignore_errors=True)
    return rows


def show(row: dict[str, float | str]) -> None:
    """Print a row."""
    print(
        f"{row['nodes']} nodes, {row['way']:6}  {row['msgs_per_s']:8,.0f}/s  CPU s/1,000: "
        f"hubs {row['cpu_s_per_1000_hubs']:.4f}, PostgreSQL {row['cpu_s_per_1000_postgresql']:.4f}, "
        f"tools {row['cpu_s_per_1000_tools']:.4f}  ack p99 {row['ack_p99_ms']:.0f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3], help="how many, one number after the other")
    parser.add_argument("--count", type=int, default=60_000, help="texts of one measurement, of all nodes together")
    parser.add_argument("--runs", type=int, default=3, help="repetitions, whose median counts")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "nodes.json", help="where the figures go")
    options = parser.parse_args()
    rows = measure(options.nodes, options.count, options.runs)
    about = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"rows": rows, "about": about}, indent=1) + "\n")


if __name__ == "__main__":
    main()
