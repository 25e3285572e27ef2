"""Who holds what, of several nodes on one database: decided alike by all of them, each for itself. Pure.

An endpoint's lanes belong to the node that holds its lease. Each node looks at who is there and who holds what, once in
a beat, and decides what it takes, gives away and wants. Two rules make that safe, whatever a node believes: a lease is
only taken where there is none, which the database sees to; and only its holder, or who has fenced its holder, takes one
away. So a decision made on old news is at worst undone by the next one.

- What must be together (a group and its links) is one *unit*, and goes by the holder of its first endpoint.
- Units of one kind are spread evenly: each node has at most one more than another.
- An account goes where its ESME is bound. Its holder keeps it while it has sessions itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from provisioning import Directory

NOBODY = -1
SERVICES = "service:upkeep"
"""The lease of what is done once for all nodes: housekeeping, and the services that follow the feed."""


class NodeRow(msgspec.Struct, frozen=True):
    """A node as its row says.

    Attributes:
        id: 0…1022.
        epoch: the fencing number.
        beat: rises for as long as it lives.
        state: ``"up"``, ``"left"``, ``"dead"``, or ``"gone"`` when somebody wanted it forgotten.
        instance: of its process.
        host: where it runs.
        since_us, seen_us: when it came, and last said something, by its own clock.
        newest_id: of the ids that it gave out.
    """

    id: int
    epoch: int
    beat: int
    state: str
    instance: str
    host: str
    since_us: int
    seen_us: int
    newest_id: int


class Lease(msgspec.Struct, frozen=True):
    """A lease.

    Attributes:
        endpoint: what of.
        node: who holds it.
        wanted_by: another node, where the sessions are; ``NOBODY`` for none.
    """

    endpoint: str
    node: int
    wanted_by: int = NOBODY


class Unit(msgspec.Struct, frozen=True):
    """What is held by one node.

    Attributes:
        kind: units of one kind are spread evenly.
        endpoints: of one node; the first says whose all of them are.
        follows: it goes where its sessions are.
    """

    kind: str
    endpoints: tuple[str, ...]
    follows: bool = False


class Decision(msgspec.Struct, frozen=True):
    """What a node is to do.

    Attributes:
        take: endpoints that nobody holds.
        give: (endpoint, node): to whom.
        drop: endpoints that there are none of any more.
        want: accounts that another node holds and whose sessions are here.
    """

    take: tuple[str, ...] = ()
    give: tuple[tuple[str, int], ...] = ()
    drop: tuple[str, ...] = ()
    want: tuple[str, ...] = ()


def units_of(directory: Directory) -> list[Unit]:
    """What there is to be held, in order: links that a group connects are one unit with it."""
    units = [Unit("service", (SERVICES,))]
    together: dict[str, set[str]] = {}
    for group in directory.groups.values():
        names = {group.endpoint, *(f"link:{name}" for name in group.link_names)}
        for name in list(names):
            names |= together.get(name, set())
        for name in names:
            together[name] = names
    seen: set[str] = set()
    for link in sorted(directory.links.values(), key=lambda each: each.name):
        if link.endpoint not in seen:
            names = together.get(link.endpoint, {link.endpoint})
            seen |= names
            units.append(Unit("link", tuple(sorted(names))))
    units += [Unit("desk", (desk.endpoint,)) for desk in sorted(directory.desks.values(), key=lambda each: each.name)]
    accounts = sorted(directory.accounts.values(), key=lambda each: each.system_id)
    return units + [Unit("account", (account.endpoint,), follows=True) for account in accounts]


def decide(
    me: int,
    live: Sequence[int],
    units: Sequence[Unit],
    leases: Mapping[str, Lease],
    is_bound_here: Callable[[str], bool],
) -> Decision:
    """What a node is to do.

    Args:
        me: the node.
        live: nodes that live, this one with them.
        units: what there is to be held.
        leases: by endpoint; a lease of a node that does not live counts as held: who fences it frees it.
        is_bound_here: whether an account has sessions here.
    """
    take: list[str] = []
    give: list[tuple[str, int]] = []
    want: list[str] = []
    by_kind: dict[str, list[Unit]] = {}
    for unit in units:
        by_kind.setdefault(unit.kind, []).append(unit)
    for same in by_kind.values():
        _decide_kind(me, live, same, leases, take, give)
    for unit in by_kind.get("account", ()):
        lease = leases.get(unit.endpoints[0])
        if lease is None:
            continue
        bound = is_bound_here(lease.endpoint)
        if lease.node == me:
            if lease.wanted_by in live and lease.wanted_by != me and not bound:
                give.append((lease.endpoint, lease.wanted_by))
        elif bound and lease.wanted_by != me:
            want.append(lease.endpoint)
    known = {endpoint for unit in units for endpoint in unit.endpoints}
    drop = [lease.endpoint for lease in leases.values() if lease.node == me and lease.endpoint not in known]
    return Decision(tuple(take), tuple(give), tuple(drop), tuple(want))


def _decide_kind(
    me: int,
    live: Sequence[int],
    units: Sequence[Unit],
    leases: Mapping[str, Lease],
    take: list[str],
    give: list[tuple[str, int]],
) -> None:
    holders = [_holder(unit, leases) for unit in units]
    counts = {node: holders.count(node) for node in sorted(live)}
    for unit, holder in zip(units, holders, strict=True):
        if holder is None:  # all nodes fill up in the same order, and so each takes its own
            holder = min(counts, key=counts.__getitem__)
            counts[holder] += 1
        if holder == me:
            take += [endpoint for endpoint in unit.endpoints if endpoint not in leases]
        elif holder in counts:
            give += [(name, holder) for name in unit.endpoints if (held := leases.get(name)) and held.node == me]
    if not units or units[0].follows:
        return  # who is bound elsewhere is asked for
    # One at a time: the next beat sees what came of it. Each move costs its links a bind.
    emptiest = min(counts, key=counts.__getitem__)
    if counts.get(me, 0) - counts[emptiest] >= 2:
        unit = next(unit for unit, holder in zip(reversed(units), reversed(holders), strict=True) if holder == me)
        give += [(name, emptiest) for name in unit.endpoints if (held := leases.get(name)) and held.node == me]


def _holder(unit: Unit, leases: Mapping[str, Lease]) -> int | None:
    return next((leases[endpoint].node for endpoint in unit.endpoints if endpoint in leases), None)


class Watch:
    """Finds out who is dead: a node whose beat has stood still for the length of a lease.

    Only what was seen with own eyes counts, by this node's steady clock: neither the clock of another machine nor of
    the database says anything. Who could not look for a while (the database was away, this node was frozen) begins to
    count anew: nobody could beat then.

    Args:
        me: this node.
        lease_us: how long a node is believed to live without a sign.
    """

    def __init__(self, me: int, lease_us: int) -> None:
        self._me = me
        self._lease_us = lease_us
        self._looked_us = -1
        self._signs: dict[int, tuple[int, int, int]] = {}  # node → epoch, beat, when it was first seen so

    def look(self, nodes: Iterable[NodeRow], steady_us: int) -> list[NodeRow]:
        """Look at all nodes. Returns: those that are dead, and nobody has said so."""
        if steady_us - self._looked_us > self._lease_us // 2:
            self._signs.clear()
        self._looked_us = steady_us
        dead = []
        for node in nodes:
            if node.id == self._me or node.state != "up":
                self._signs.pop(node.id, None)
                continue
            epoch, beat, since_us = self._signs.get(node.id, (-1, -1, 0))
            if (epoch, beat) != (node.epoch, node.beat):
                self._signs[node.id] = (node.epoch, node.beat, steady_us)
            elif steady_us - since_us >= self._lease_us:
                dead.append(node)
        return dead
