"""What metrics tell of several nodes on one database: who lives, who holds what, and what is on its way between them.

Each node tells what it sees itself, from the snapshot of its last beat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from hub.cluster import Cluster
from ops.metric_families import family

STATES: Final = ("up", "left", "dead")
KINDS: Final = ("link", "group", "desk", "account", "service")
"""What comes before the colon of an endpoint's name."""


class ClusterMetrics:
    """See the module's head.

    Args:
        cluster: the daemon's.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        found = self._cluster.statistics()
        states = Counter(node.state for node in found.nodes)
        kinds = Counter(name.partition(":")[0] for name in found.held)
        yield family("smshub_nodes", {(state,): float(states[state]) for state in STATES})
        yield family("smshub_leases", {(kind,): float(kinds[kind]) for kind in KINDS})
        moved = {("taken",): float(found.taken), ("given",): float(found.given)}
        yield family("smshub_leases_moved_total", moved)
        yield family("smshub_nodes_fenced_total", found.fenced)
        yield family("smshub_node_sign_age_seconds", found.late_s)
        yield family("smshub_node_lease_seconds", self._cluster.lease_s)
