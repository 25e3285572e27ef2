"""What a daemon shares with other nodes beside PostgreSQL: bells, rates, the stream of events. All of it, wired.

Where no Redis is named nothing of it is there: an account's bounds hold for each node, nothing is kept for a stream
that is not written, and Redis's client is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import structlog
import trio
from prometheus_client.registry import Collector

from hub import Hub
from hub.cluster import LEASE, Cluster
from ops.config import Config
from ops.redis_bells import EVERYTHING, RedisBells
from ops.redis_binds import SharedBinds
from ops.redis_feed import FeedStream, forget_stream
from ops.redis_rates import SharedRates
from store import StoreError
from translators.shared_pace import IntakePace

if TYPE_CHECKING:
    from ops.redis_link import RedisLink

FORGET_AGAIN_S: Final = 5.0

log = structlog.get_logger("ops.redis")


class RedisSharing:
    """See the module's head.

    Args:
        config: checked.
        environ: to look secrets up in.
        hub: the hub.
        cluster: this node among others; None when it is alone.

    Raises: UnreadableSecret; OSError, ssl.SSLError: a certificate cannot be read.

    Attributes:
        make_pace: makes the pace of an account that several nodes share; None when none is shared.
        binds: counts accounts' binds and knows of locks, over all nodes; None likewise.
    """

    def __init__(self, config: Config, environ: Mapping[str, str], hub: Hub, cluster: Cluster | None) -> None:
        settings = config.redis
        self._hub = hub
        self._cluster = cluster
        self._link: RedisLink | None = None
        self._bells: RedisBells | None = None
        self._rates: SharedRates | None = None
        self._stream: FeedStream | None = None
        self.binds: SharedBinds | None = None
        self.make_pace: Callable[[str, float], IntakePace] | None = None
        if not settings.url:
            return
        from ops.redis_link import open_link  # it loads the client

        link = self._link = open_link(settings, environ)
        node, prefix = config.node.id, settings.prefix
        if cluster is not None:
            self._rates = SharedRates(link, node, lambda: cluster.live, hub.clock, prefix)
            self.make_pace = self._rates.pace
            self.binds = SharedBinds(link, node, prefix)
            bells = self._bells = RedisBells(link, node, self._answer, prefix)
            hub.ways.ring = bells.ring
            hub.hears = lambda: bells.is_heard
        if settings.feed_stream:
            self._stream = FeedStream(hub.store, link, hub.clock, prefix, settings.feed_keep)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Share what each node shares, until cancelled. Started at once: Redis may be away."""
        try:
            async with trio.open_nursery() as nursery:
                for part in (self._bells, self._rates, self.binds):
                    if part is not None:
                        await nursery.start(part.run)
                task_status.started()
                await trio.sleep_forever()
        finally:
            if self._link is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._link.close)

    async def relay(self) -> None:
        """Do what one node does for all: write the stream, until cancelled."""
        if self._stream is not None:
            await self._stream.run()
        while True:
            try:
                return await forget_stream(self._hub.store)
            except StoreError:
                await trio.sleep(FORGET_AGAIN_S)

    def collectors(self) -> Iterator[Collector]:
        """What its metrics are read from; of a daemon without Redis, nothing."""
        if self._link is not None:
            for part in (self._link, self._bells, self._rates, self._stream):
                if part is not None:
                    yield part

    def _answer(self, names: frozenset[str]) -> None:
        """Look where another node says that there is something."""
        hub, cluster = self._hub, self._cluster
        if cluster is not None and (names == EVERYTHING or any(name.startswith(LEASE) for name in names)):
            cluster.look()
        if names == EVERYTHING or any(hub.is_here(name) for name in names):
            hub.rung()
