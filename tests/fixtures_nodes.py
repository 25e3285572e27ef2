"""Several nodes on one PostgreSQL, in one process: each with a store of its own behind a guard, a hub, and endpoints.

The clock that leases are counted by is the test's: nothing dies of a slow machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy
import trio

from hub import Hub, wall_clock_us
from hub.cluster import Cluster, Fenced
from hub.cluster_rows import NodeGuard, instance_name, join
from hub.tables import lease as lease_table
from hub.tables import message as message_table
from provisioning import Directory
from store import Store, create_all, open_store
from tests.fixtures_hub import ScriptedEndpoint, make_directory

LEASE_S = 10.0
STEP_S = 3.0  # less than half a lease: nobody misses a look
WITHIN_S = 60.0
NAMES = ("link:one", "link:two", "desk:help", "desk:shy", "account:agg")


class SteadyClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Node:
    """A node, and what serves its endpoints.

    Attributes:
        endpoints: by name: all of them, as this node has them.
        bound: accounts with sessions here.
        fenced: set when it heard that others have taken over.
        over: set when it has ended, and nothing of it is on its way to the store.
        refuses_to_part: set to let it keep what it should hand over.
    """

    def __init__(self, store: Store, cluster: Cluster, guard: NodeGuard, directory: Directory) -> None:
        self.store, self.cluster, self.guard = store, cluster, guard
        self.hub = Hub(store, directory, may_give=cluster.is_fresh)
        self.endpoints: dict[str, ScriptedEndpoint] = {}
        self.bound: set[str] = set()
        self.fenced = trio.Event()
        self.over = trio.Event()
        self.refuses_to_part = False
        self.scope = trio.CancelScope()
        for name in NAMES:
            self.endpoints[name] = ScriptedEndpoint(name, wall_clock_us, window=0)
            self.hub.stand_by(self.endpoints[name])

    async def take(self, endpoints: Sequence[str]) -> None:
        """See ``hub.cluster.Holder``: what is here is bound at once."""
        await trio.lowlevel.checkpoint()
        for name in endpoints:
            self.hub.attach(self.endpoints[name])
            self.endpoints[name].come_back(self.hub)

    async def part(self, endpoint: str) -> bool:
        """See ``hub.cluster.Holder``."""
        if self.refuses_to_part:
            return False
        self.endpoints[endpoint].window = 0
        return await self.hub.detach(endpoint, for_another=True)

    def is_bound(self, endpoint: str) -> bool:
        """See ``hub.cluster.Holder``."""
        return endpoint in self.bound

    @property
    def held(self) -> set[str]:
        """Whose lanes are here."""
        return {name for name in NAMES if self.hub.is_here(name)}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until cut off, or fenced."""
        with self.scope:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.hub.run)
                    for endpoint in self.endpoints.values():
                        nursery.start_soon(endpoint.run, self.hub)
                    nursery.start_soon(self._keep_house)
                    await nursery.start(self.cluster.run, self.hub, self)
                    task_status.started()
                    await trio.sleep_forever()
            except* Fenced:
                self.fenced.set()

    async def _keep_house(self) -> None:
        await self.cluster.has_services.wait()
        self.hub.keep_house()

    def die(self) -> None:
        """End as a power cut would: nothing is said to anybody."""
        self.scope.cancel()


class Nodes:
    """Nodes that come and go.

    Attributes:
        url: of their database.
        steady: the clock of their leases.
        nodes: all that were started, in order.
    """

    def __init__(self, url: str, nursery: trio.Nursery, directory: Directory) -> None:
        self.url, self.directory = url, directory
        self.steady = SteadyClock()
        self.nodes: list[Node] = []
        self._nursery = nursery

    async def start(self, identity: int) -> Node:
        """Start a node. It has looked once when this returns."""
        return await self._nursery.start(self._live, identity)  # type: ignore[no-any-return]

    async def _live(self, identity: int, task_status: trio.TaskStatus[Node]) -> None:
        epoch = await trio.to_thread.run_sync(join, self.url, identity, instance_name(), wall_clock_us(), 0.0)
        guard = NodeGuard(identity, epoch, LEASE_S)
        async with open_store(self.url, identity, guard=guard) as store:
            node = Node(store, Cluster(identity, LEASE_S, self.steady), guard, self.directory)
            self.nodes.append(node)
            async with trio.open_nursery() as nursery:
                await nursery.start(node.run)
                task_status.started(node)
        node.over.set()

    def look(self) -> None:
        """Let all nodes look at once, as they would with their next beat."""
        for node in self.nodes:
            node.cluster.look()

    async def pass_a_lease(self) -> None:
        """Let so much time pass that who gives no sign is dead."""
        await self.pass_beats(5)

    async def pass_beats(self, count: int) -> None:
        """Let time pass, in steps in which everybody who lives gives a sign."""
        for _ in range(count):
            self.steady.now_s += STEP_S
            for node in self.nodes:
                await self.beat(node)

    async def beat(self, node: Node) -> None:
        """Let a node that lives look, and wait until it has."""
        begun = node.cluster.statistics().beats + 1  # one may be under way, and have looked already
        while not (node.scope.cancel_called or node.fenced.is_set() or node.cluster.statistics().beats > begun):
            node.cluster.look()
            await trio.sleep(0.005)

    async def until(self, condition: Callable[[], Any], within_s: float = WITHIN_S) -> None:
        """Wait for something."""
        with trio.fail_after(within_s):
            while not condition():  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.005)

    async def rows(self, query: Any) -> list[Any]:
        """What a query finds."""
        async with open_store(self.url, 900) as store:
            found: list[Any] = await store.read(lambda tx: tx.sql.execute(query).all())
        return found

    async def leases(self) -> dict[str, int]:
        """Who holds what, as the database says."""
        return {row.endpoint: row.node for row in await self.rows(sqlalchemy.select(lease_table))}

    async def messages(self) -> list[Any]:
        """All messages, in order of id."""
        return await self.rows(sqlalchemy.select(message_table).order_by(message_table.c.id))


@asynccontextmanager
async def open_nodes(url: str, directory: Directory | None = None) -> AsyncIterator[Nodes]:
    """No nodes yet, on an empty database."""
    async with open_store(url, 900) as store:
        await store.transact(create_all)
    async with trio.open_nursery() as nursery:
        nodes = Nodes(url, nursery, directory or make_directory())
        yield nodes
        for node in nodes.nodes:
            node.die()
