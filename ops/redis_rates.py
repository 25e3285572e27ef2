"""Rates of accounts that nodes share: the one token bucket of each, in Redis, and the task that fetches from it ahead.

What a token is, and what a node does when it gets none, ``translators.shared_pace`` says. Here is who keeps the
buckets. All is one script over one hash: it fills each bucket by the time since it was last asked for, by Redis's own
clock, and gives whoever asks what it has. It also notes which nodes ask: when some of those that are alive do not (they
cannot reach Redis, and go by their part), the buckets fill by the others' parts alone.

A node asks when an account's tokens run low, not more often than ``SOONEST_S`` apart, and now and then when nothing
happens, so that it counts among those that ask. While Redis is away nothing is asked, and every node goes by its part.

The order of times matters: a node that cannot ask any more is left out of the sum (``REPORTS_S``) before it begins to
go by its part (``VOUCHED_S``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog
import trio
from prometheus_client.core import Metric

from ops.metric_families import family
from ops.redis_trouble import RedisTrouble
from translators.shared_pace import HELD_S, SharedPace, Sharing

if TYPE_CHECKING:
    import redis

    from ops.redis_link import RedisLink

KEY: Final = "rates"
SOONEST_S: Final = (0.04, 0.08)  # drawn anew each time, or who asks right after another would always find nothing
BEAT_S: Final = 0.25
REPORTS_S: Final = 0.8
VOUCHED_S: Final = 1.0
KEEPS_S: Final = 3600  # a hash that nobody asks for goes away

log = structlog.get_logger("ops.redis_rates")

SCRIPT: Final = """
local key, node, alive, reports_ms, held_s = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local known = redis.call('HGET', key, 'nodes')
local nodes = known and cjson.decode(known) or {}
nodes[node] = now
local asking = 0
for id, at in pairs(nodes) do
  if now - at > reports_ms then nodes[id] = nil else asking = asking + 1 end
end
redis.call('HSET', key, 'nodes', cjson.encode(nodes))
local part = math.min(1, asking / math.max(1, alive))

local given = {}
for i, want in ipairs(cjson.decode(ARGV[6])) do
  local field, per_s, wanted = 'a:' .. want[1], want[2], want[3]
  local most = math.max(1, per_s * held_s)
  local tokens, at = most, now
  local before = redis.call('HGET', key, field)
  if before then
    local t, a = string.match(before, '^(%S+) (%S+)$')
    tokens, at = tonumber(t), tonumber(a)
  end
  tokens = math.min(most, tokens + math.max(0, now - at) / 1000 * per_s * part)
  local gets = wanted
  if wanted > 0 then gets = math.max(0, math.min(wanted, math.floor(tokens))) end
  tokens = math.min(most, tokens - gets)
  redis.call('HSET', key, field, string.format('%.6f %.0f', tokens, now))
  given[i] = math.max(0, gets)
end
redis.call('PEXPIRE', key, ARGV[5])
return {asking, given}
"""
"""One key, the hash. Arguments: the node, how many are alive, after how many ms one does not ask any more, seconds of
the rate that a bucket holds, ms that the hash is kept, and as JSON a list of [account, messages a second, tokens wanted
or given back]. Answers: how many ask, and the tokens that are given."""


class SharedRates:
    """See the module's head.

    Args:
        link: to Redis.
        node: this one.
        nodes_alive: answers how many nodes share the accounts, this one counted.
        clock: now in microseconds; the one that paces are asked with.
        prefix: how keys begin.
    """

    def __init__(
        self,
        link: RedisLink,
        node: int,
        nodes_alive: Callable[[], int],
        clock: Callable[[], int],
        prefix: str = "smshub:",
    ) -> None:
        self._link = link
        self._node = node
        self._nodes_alive = nodes_alive
        self._clock = clock
        self._key = prefix + KEY
        self._sharing = Sharing()
        self._active: dict[str, SharedPace] = {}  # those that may have to ask
        self._low = trio.Event()
        self._chance = random.SystemRandom()

    def pace(self, account: str, per_s: float) -> SharedPace:
        """The pace of an account at this node."""
        self._sharing.nodes = max(1, self._nodes_alive())

        def wake(pace: SharedPace) -> None:
            self._active[account] = pace
            self._low.set()

        made = self._active[account] = SharedPace(per_s, self._sharing, wake)
        return made

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch until cancelled. Started at once. Cancellation: accounts go by their part soon after."""
        task_status.started()
        while True:
            with trio.move_on_after(BEAT_S):
                await self._low.wait()
            self._low = trio.Event()
            try:
                await self._fetch()
            except Exception:  # a fault of ours: texts must go on, by their parts
                log.exception("shared rates could not be fetched")
                await trio.sleep(BEAT_S)
            await trio.sleep(self._chance.uniform(*SOONEST_S))

    async def _fetch(self) -> None:
        self._sharing.nodes = alive = max(1, self._nodes_alive())
        if self._link.rest_s() > 0:
            return
        now_us = self._clock()
        wants: list[tuple[str, float, int]] = []
        asked: list[SharedPace] = []
        for account, pace in list(self._active.items()):
            if pace.is_at_rest:
                del self._active[account]
            elif wanted := pace.wants(now_us):
                wants.append((account, pace.per_s, wanted))
                asked.append(pace)
        try:
            _, given = await self._link.call(partial(self._evaluate, alive=alive, body=msgspec.json.encode(wants)))
        except RedisTrouble:
            return  # the link has said so
        self._sharing.until_us = now_us + round(VOUCHED_S * 1e6)
        for pace, tokens in zip(asked, given, strict=True):
            pace.take(tokens)

    def _evaluate(self, client: redis.Redis, *, alive: int, body: bytes) -> tuple[int, list[int]]:
        script = cast(Any, client.register_script(SCRIPT))
        arguments = [self._node, alive, round(REPORTS_S * 1000), HELD_S, KEEPS_S * 1000, body]
        asking, given = script(keys=[self._key], args=arguments, client=client)
        return asking, given

    def collect(self) -> Iterator[Metric]:
        """Metrics, as the registry wants them."""
        yield family("smshub_redis_shared_rates", float(self._clock() <= self._sharing.until_us))
