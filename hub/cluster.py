"""One of several nodes on one database: it gives signs of life, and brings its endpoints to the leases it holds.

A beat:

1. write a sign, behind the guard (``cluster_rows.NodeGuard``): who was fenced hears of it here at the latest;
2. read who is there and who holds what; fence who has given no sign for the length of a lease (``leases.Watch``);
3. decide (``leases.decide``), and carry it out: take what is free, hand over what another shall have, let go of what is
   no more, say what is wanted.

What is handed over is parted from in peace first: its sessions end, what is on its way comes back, and only then the
lease is written to its next holder, in a transaction behind all that this node has written for it.

A node that could not write its sign for a while does not know whether others have fenced it. It gives nothing to its
endpoints then (``is_fresh``); what it takes in is refused by the store, or journalled. When it turns out that it was
fenced, ``run`` raises Fenced: everything that this process holds in memory is void.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec
import structlog
import trio

from hub import bells, cluster_rows, leases
from hub.hub import Hub
from hub.leases import Lease, NodeRow, Watch
from store import Store, StoreError, StoreFenced

FRESH = 0.6  # of a lease: so long after its last sign a node still gives parts to its endpoints
BEATS = 10  # in a lease
LEASE = "lease:"  # before an endpoint's name, when it is rung for since its lease is given or wanted
PRUNE_BEATS = 60  # between two looks for bells that nobody will hear

log = structlog.get_logger("hub.cluster")


class Fenced(Exception):
    """Other nodes hold this one for dead, and have taken over from it."""


class Holder(Protocol):
    """What has endpoints of this node."""

    async def take(self, endpoints: Sequence[str]) -> None:
        """Their lanes are here from now on: serve them."""
        ...

    async def part(self, endpoint: str) -> bool:
        """End an endpoint's sessions, in peace, and take its lanes off the road. Returns: False when it could not."""
        ...

    def is_bound(self, endpoint: str) -> bool:
        """Whether an account has sessions on this node."""
        ...


class ClusterStatistics(msgspec.Struct, frozen=True):
    """A snapshot for metrics and people.

    Attributes:
        nodes: all nodes, as they were seen last.
        held: endpoints whose lanes are here.
        taken, given: leases since the start.
        fenced: nodes that this one has fenced since the start.
        late_s: seconds since the last sign that was written.
        beats: since the start.
    """

    nodes: tuple[NodeRow, ...]
    held: tuple[str, ...]
    taken: int
    given: int
    fenced: int
    late_s: float
    beats: int


def steady_s() -> float:
    """A clock that is never set, and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Cluster:
    """See the module's head.

    Args:
        identity: this node.
        lease_s: how long a node that gives no sign is believed to live.
        steady: seconds on a clock that is never set.

    Attributes:
        is_leaving: set when it is about to end: it takes and gives nothing any more.
        has_services: set when it has the lease of what is done once for all nodes; it keeps that until it ends.
    """

    def __init__(self, identity: int, lease_s: float, steady: Callable[[], float] = steady_s) -> None:
        self.identity = identity
        self._steady = steady
        self.lease_s = lease_s
        self._watch = Watch(identity, round(lease_s * 1e6))
        self._fresh_until_s = steady() + lease_s * FRESH
        self._signed_s = steady()
        self._nodes: tuple[NodeRow, ...] = ()
        self._held: set[str] = set()
        self._parting: set[str] = set()
        self._taken = self._given = self._fenced = self._beats = 0
        self._moves = 0  # leases that this node has let go of, or tried to
        self._look = trio.Event()
        self.is_leaving = False
        self.has_services = trio.Event()

    @property
    def beat_s(self) -> float:
        """Seconds between two signs."""
        return self.lease_s / BEATS

    def is_fresh(self) -> bool:
        """Whether what this node holds is certainly still its own. Costs a look at the clock."""
        return self._steady() < self._fresh_until_s

    def holds(self, endpoint: str) -> bool:
        """Whether the lanes of an endpoint belong here, and are not being handed over."""
        return endpoint in self._held and endpoint not in self._parting

    @property
    def live(self) -> int:
        """How many nodes live, this one with them."""
        return max(1, sum(1 for node in self._nodes if node.state == "up"))

    def look(self) -> None:
        """Something has changed: decide now, not with the next beat."""
        self._look.set()

    def statistics(self) -> ClusterStatistics:
        """A snapshot."""
        return ClusterStatistics(
            self._nodes,
            tuple(sorted(self._held)),
            self._taken,
            self._given,
            self._fenced,
            self._steady() - self._signed_s,
            self._beats,
        )

    async def run(
        self, hub: Hub, holder: Holder, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Be a node until cancelled. Started when the first beat has been carried out.

        Raises: Fenced.
        """
        async with trio.open_nursery() as nursery:
            while True:
                self._look = trio.Event()
                try:
                    await self._sign(hub)
                    await self._beat(hub, holder, nursery)
                    if self._beats % PRUNE_BEATS == 0 and leases.SERVICES in self._held:
                        await hub.store.transact(bells.forget_unheld)
                except StoreFenced:
                    raise Fenced from None
                except StoreError as error:
                    log.warning("a beat was missed", error=type(error).__name__, is_fresh=self.is_fresh())
                if not self._beats:
                    task_status.started()
                self._beats += 1
                with trio.move_on_after(self.beat_s):
                    await self._look.wait()

    async def leave(self, store: Store) -> None:
        """Go in order, when everything has parted. Raises: StoreError."""
        self.is_leaving = True
        await store.transact(partial(cluster_rows.leave, identity=self.identity))
        self._held.clear()

    # --- a beat ------------------------------------------------------------------------------------------------------

    async def _sign(self, hub: Hub) -> None:
        begun_s = self._steady()
        store, now_us, newest_id = hub.store, hub.clock(), hub.store.newest_id()
        await store.transact(lambda tx: cluster_rows.beat(tx, self.identity, now_us, newest_id))
        was_fresh = self.is_fresh()  # and so it was all the while
        self._signed_s, self._fresh_until_s = begun_s, begun_s + self.lease_s * FRESH
        if not was_fresh:
            log.info("signs of life reach the others again")
            hub.wake_all()

    async def _beat(self, hub: Hub, holder: Holder, nursery: trio.Nursery) -> None:
        store, moves = hub.store, self._moves
        nodes, held = await store.read(cluster_rows.look)
        self._nodes = tuple(nodes)
        # Ids rise from node to node too, but for what was given out since this look.
        store.advance_ids_past(max((node.newest_id for node in nodes), default=0))
        for dead in self._watch.look(nodes, round(self._steady() * 1e6)):
            if await store.transact(lambda tx, dead=dead: cluster_rows.fence(tx, dead)):  # type: ignore[misc]
                self._fenced += 1
                log.warning("a node gave no sign and was fenced", dead=dead.id, host=dead.host, lease_s=self.lease_s)
                nodes, held = await store.read(cluster_rows.look)
        if self.is_leaving:
            return
        if moves != self._moves:  # what was read may be of before: a lease that was handed over is not taken back
            self._look.set()
            return
        live = [node.id for node in nodes if node.state == "up"]
        await self._keep_to_leases(held, holder)
        gone = sorted({lease.node for lease in held.values()} - set(live))
        if gone:
            await store.transact(lambda tx: cluster_rows.free_orphans(tx, gone))
            self._look.set()
            return
        units = leases.units_of(hub.directory)
        decision = leases.decide(self.identity, live, units, held, holder.is_bound)
        if decision.take:
            now_us = hub.clock()
            got = await store.transact(lambda tx: cluster_rows.take(tx, self.identity, decision.take, now_us))
            await self._take(got, holder)
        for endpoint, to in decision.give:
            self._start_parting(nursery, endpoint, partial(self._give, hub, holder, endpoint, to))
        for endpoint in decision.drop:
            self._start_parting(nursery, endpoint, partial(self._drop, hub, holder, endpoint))
        if decision.want:
            await store.transact(partial(cluster_rows.want, identity=self.identity, endpoints=decision.want))
            hub.ways.ring([f"{LEASE}{endpoint}" for endpoint in decision.want])

    async def _keep_to_leases(self, held: dict[str, Lease], holder: Holder) -> None:
        """Serve what was given to this node, or was left by an earlier process of it; see what is not its own."""
        own = {lease.endpoint for lease in held.values() if lease.node == self.identity}
        await self._take(sorted(own - self._held), holder)
        lost = self._held - own - self._parting
        if lost:  # nobody but who fences takes a lease away: the database was restored, or somebody wrote to it
            log.error("leases are gone that this node holds", endpoints=sorted(lost))
            raise StoreFenced

    async def _take(self, endpoints: Sequence[str], holder: Holder) -> None:
        if not endpoints:
            return
        self._held.update(endpoints)
        self._taken += len(endpoints)
        log.info("leases taken", endpoints=list(endpoints), node=self.identity)
        await holder.take([name for name in endpoints if name != leases.SERVICES])
        if leases.SERVICES in endpoints:
            self.has_services.set()

    def _start_parting(self, nursery: trio.Nursery, endpoint: str, part: Callable[[], Awaitable[None]]) -> None:
        if endpoint not in self._parting and endpoint != leases.SERVICES:
            self._parting.add(endpoint)
            nursery.start_soon(part)

    async def _give(self, hub: Hub, holder: Holder, endpoint: str, to: int) -> None:
        try:
            if not await holder.part(endpoint):
                return
            now_us = hub.clock()
            await hub.store.transact(lambda tx: cluster_rows.give(tx, self.identity, endpoint, to, now_us))
            self._given += 1
            log.info("a lease was handed over", endpoint=endpoint, node=self.identity, to=to)
            hub.ways.ring([f"{LEASE}{endpoint}"])
        except StoreError as error:
            # Nobody knows whether it was written. When it was not, a beat takes it back.
            log.warning("handing over was not heard of", endpoint=endpoint, error=type(error).__name__)
        finally:
            self._parting.discard(endpoint)
        self._held.discard(endpoint)
        self._moves += 1

    async def _drop(self, hub: Hub, holder: Holder, endpoint: str) -> None:
        try:
            if hub.is_here(endpoint):  # it is being parted from: see the next beat
                return
            await hub.store.transact(partial(cluster_rows.drop, identity=self.identity, endpoints=[endpoint]))
            self._held.discard(endpoint)
            self._moves += 1
        except StoreError as error:
            self._moves += 1
            log.warning("a lease was not let go", endpoint=endpoint, error=type(error).__name__)
        finally:
            self._parting.discard(endpoint)
