"""Bells: one node tells the others that there is something to do at an endpoint. Over pub/sub of Redis.

What there is to do stands in PostgreSQL, which every node looks at now and then anyway; a bell only makes it look at
once. So a bell may be lost, come twice, or come late. It never waits: names gather while a message is on its way, and
go together in the next one. Who was not listening for a while is told to look at everything (``EVERYTHING``).

A message is ``[node, name, …]`` in JSON. What is none is passed over: others may use the channel's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
import trio
from prometheus_client.core import Metric

from ops.metric_families import family
from ops.redis_trouble import RedisTrouble

if TYPE_CHECKING:
    import redis

    from ops.redis_link import RedisLink

EVERYTHING: Final = frozenset({"*"})
"""Look at all endpoints."""
MOST_NAMES: Final = 1000  # in one message, or waiting for one; with more it is quicker to look at all
MOST_OCTETS: Final = 200_000  # a thousand names of the longest form
REST_S: Final = (
    0.005  # between messages: a thread is woken for each, and two hundred a second take a fiftieth of a core
)

CHANNEL: Final = "bells"
WHAT: Final = ("sent", "heard", "unreadable")
"""What messages are counted as."""

log = structlog.get_logger("ops.redis")


def packed(node: int, names: Iterable[str]) -> bytes:
    """A message."""
    return msgspec.json.encode([node, *sorted(names)])


_decoder = msgspec.json.Decoder(list[int | str])


def unpacked(octets: bytes) -> tuple[int, frozenset[str]] | None:
    """Who rang, and for what; None of what is no message of ours."""
    if len(octets) > MOST_OCTETS:
        return None
    try:
        words = _decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names = [word for word in words[1:] if isinstance(word, str)]
    if not words or not isinstance(words[0], int) or len(names) != len(words) - 1:
        return None
    return words[0], gathered(frozenset(), names)


def gathered(before: frozenset[str], names: Iterable[str]) -> frozenset[str]:
    """Names with others, or ``EVERYTHING`` once there are too many."""
    both = before.union(names)
    return EVERYTHING if len(both) > MOST_NAMES or "*" in both else both


class RedisBells:
    """See the module's head.

    Args:
        link: to Redis.
        node: this one; what it rang itself it does not hear.
        on_ring: called in trio's thread with the names of endpoints, or with ``EVERYTHING``.
        prefix: how the channel's name begins.

    Attributes:
        is_heard: whether what others ring is heard now. While it is not, look more often.
    """

    def __init__(
        self, link: RedisLink, node: int, on_ring: Callable[[frozenset[str]], None], prefix: str = "smshub:"
    ) -> None:
        self._link = link
        self._node = node
        self._on_ring = on_ring
        self._channel = prefix + CHANNEL
        self._to_ring: frozenset[str] = frozenset()
        self._something = trio.Event()
        self._heard_something = trio.Event()
        self._lock = Lock()
        self._rung: frozenset[str] = frozenset()  # by others; under the lock
        self._counts = Counter[str]()
        self.is_heard = False

    def ring(self, endpoints: Iterable[str]) -> None:
        """Tell the other nodes, soon. From trio's thread."""
        if endpoints:  # called for each batch, mostly with nothing
            self._to_ring = gathered(self._to_ring, endpoints)
            self._something.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ring and hear until cancelled. Started at once: Redis may be away."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ring_all)
            nursery.start_soon(self._hear_all)
            nursery.start_soon(self._pass_on_all)
            task_status.started()

    async def _ring_all(self) -> None:
        while True:
            await self._something.wait()
            self._something = trio.Event()
            names, self._to_ring = self._to_ring, frozenset()
            if not names:
                continue
            try:
                await self._link.call(partial(_publish, channel=self._channel, message=packed(self._node, names)))
                self._counts["sent"] += 1
            except RedisTrouble:
                # Kept: that is quicker than when the others look by themselves.
                self.ring(names)
                await trio.sleep(max(self._link.rest_s(), REST_S * 20))
            await trio.sleep(REST_S)

    async def _hear_all(self) -> None:
        token = trio.lowlevel.current_trio_token()

        def heard(octets: bytes) -> None:  # in a thread
            message = unpacked(octets)
            if message is None:
                self._counts["unreadable"] += 1
            elif message[0] != self._node and message[1]:
                self._counts["heard"] += 1
                with self._lock:
                    self._rung = gathered(self._rung, message[1])
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(self._wake, idempotent=True)

        while True:
            try:
                await self._link.hear(self._channel, self._subscribed, heard)
            except RedisTrouble:
                pass
            finally:
                self.is_heard = False
            await trio.sleep(max(self._link.rest_s(), REST_S * 20))

    def _subscribed(self) -> None:
        self.is_heard = True
        with self._lock:
            self._rung = EVERYTHING  # what was rung before was heard by nobody
        self._wake()

    def _wake(self) -> None:
        self._heard_something.set()

    async def _pass_on_all(self) -> None:
        while True:
            await self._heard_something.wait()
            self._heard_something = trio.Event()
            with self._lock:
                names, self._rung = self._rung, frozenset()
            if names:
                try:
                    self._on_ring(names)
                except Exception:  # a fault of ours: the next bell must be heard
                    log.exception("a bell was not answered")
                await trio.sleep(REST_S)  # whoever else rings here by mistake must not keep this node busy

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_redis_bells_total", {(what,): self._counts[what] for what in WHAT})


def _publish(client: redis.Redis, channel: str, message: bytes) -> None:
    client.publish(channel, message)
