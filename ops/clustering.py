"""How a daemon becomes one of several nodes, as its configuration says."""

from __future__ import annotations

from functools import partial

import structlog
import trio

from hub import cluster_rows, wall_clock_us
from hub.cluster import Cluster
from hub.cluster_rows import NodeGuard
from ops.config import Config

IDLE = 0.5  # of a lease: so long may one that froze in the midst of a write keep others waiting for a row; not longer,
# or they, who give no sign while they wait, would be fenced for its sake

log = structlog.get_logger("ops.clustering")


async def join_cluster(config: Config, url: str) -> tuple[Cluster | None, NodeGuard | None]:
    """Join the others, when there may be any.

    Args:
        config: checked.
        url: of the store, which has the schema that this program needs.

    Returns: the node, and what its writes are to be guarded by; nothing for a daemon that is alone.
    Raises: NodeInUse; StoreError.
    """
    if not config.cluster.enabled:
        return None, None
    cluster = Cluster(config.node.id, config.cluster.lease_s)
    instance = cluster_rows.instance_name()
    work = partial(cluster_rows.join, url, config.node.id, instance, wall_clock_us(), cluster.beat_s)
    epoch = await trio.to_thread.run_sync(work)
    log.info("joined", node=config.node.id, epoch=epoch, lease_s=config.cluster.lease_s)
    return cluster, NodeGuard(config.node.id, epoch, config.cluster.lease_s * IDLE)
