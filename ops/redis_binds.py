"""Binds of accounts, counted over all nodes, and locks of who guesses passwords, known to all nodes. In Redis.

``max_binds`` of an account holds for all nodes together: whoever binds is counted with what the other nodes have told
of, in one script, before the bind is answered. A node tells anew every few seconds, and at once when a session has
ended; one that tells no more (it died, or cannot reach Redis) counts no more after ``BELIEVED_S``.

A lock (``translators.lock_out``) that begins on one node is a key that lives as long as the lock; every node looks for
it before it looks at a password.

While Redis is away each node goes by what it knows itself: ``max_binds`` holds for each, and so do locks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog
import trio

from ops.redis_trouble import RedisTrouble

if TYPE_CHECKING:
    import redis

    from ops.redis_link import RedisLink

KEY: Final = "binds"
LOCK: Final = "lock:"
TELLS_S: Final = 3.0
BELIEVED_S: Final = 10.0
SOONEST_S: Final = 0.05  # between two messages of this node, however many sessions end
PATIENCE_S: Final = 1.0  # whoever binds waits that long for Redis, and no longer
AT_ONCE: Final = 500  # accounts told of in one call
MOST_LOCKS: Final = 1000  # that wait to be told of
CLAIMED_S: Final = 10.0  # a bind that was let in and has not come about by then does not

log = structlog.get_logger("ops.redis_binds")

SCRIPT: Final = """
local key, node, believed_ms, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local admitted = 1
for _, told in ipairs(cjson.decode(ARGV[4])) do
  local account, own = told[1], told[2]
  local kept, others = {}, 0
  for id, count, at in string.gmatch(redis.call('HGET', key, account) or '', '(%d+):(%d+):(%d+)') do
    if id ~= node and now - tonumber(at) <= believed_ms then
      kept[#kept + 1] = id .. ':' .. count .. ':' .. at
      others = others + tonumber(count)
    end
  end
  if most > 0 and others + own > most then
    own = own - 1
    admitted = 0
  end
  if own > 0 then kept[#kept + 1] = string.format('%s:%d:%.0f', node, own, now) end
  if #kept > 0 then redis.call('HSET', key, account, table.concat(kept, ' ')) else redis.call('HDEL', key, account) end
end
redis.call('PEXPIRE', key, believed_ms * 2)
return admitted
"""
"""One key, a hash: account → ``node:count:when`` of each node. Arguments: the node, for how many ms a count is
believed, how many an account may have over all nodes (0: this only tells), and as JSON [account, this node's count], of
one account where it asks: one more than it has. Answers 1, or 0 when that one would be too many."""


class SharedBinds:
    """See the module's head. Implements ``translators.smpp_accounts.Neighbours``.

    Args:
        link: to Redis.
        node: this one.
        prefix: how keys begin.

    Attributes:
        counts: account → sessions that are bound here; for ``smpp.server.Server``, which keeps it.
    """

    def __init__(self, link: RedisLink, node: int, prefix: str = "smshub:") -> None:
        self._link = link
        self._node = node
        self._prefix = prefix
        self.counts = WatchedCounts(self._changed)
        self._claims: dict[str, list[float]] = {}  # binds that were let in and have not come about: until when
        self._to_tell: set[str] = set()
        self._to_lock: dict[tuple[str, str], int] = {}
        self._news = trio.Event()
        self._telling = trio.Lock()  # what is told last must be what is true last

    def _changed(self, account: str, before: int, now: int) -> None:
        if now > before:
            claims = self._claims.get(account)
            if claims:
                claims.pop(0)
        else:
            self._to_tell.add(account)
            self._news.set()

    async def admits_bind(self, account: str, most: int) -> bool:
        """Whether an account may have one more bind, over all nodes; True when nobody knows. Counts it, if so."""
        with trio.move_on_after(PATIENCE_S):
            async with self._telling:
                now = trio.current_time()
                claims = self._claims[account] = [until for until in self._claims.get(account, ()) if until > now]
                claims.append(now + CLAIMED_S)
                own = self.counts[account] + len(claims)
                try:
                    if await self._link.call(partial(self._evaluate, told=[(account, own)], most=most)):
                        return True
                except RedisTrouble:
                    return True
                if claims:  # unless it came about meanwhile, of all things
                    claims.pop()
                return False
        return True

    async def is_locked(self, account: str, source: str) -> bool:
        """Whether some node has locked an account to an address; False when nobody knows."""
        keys = [self._lock_key(account, source)]
        with trio.move_on_after(PATIENCE_S):
            try:
                return bool(await self._link.call(partial(_exists, keys=keys)))
            except RedisTrouble:
                return False
        return False

    def lock(self, account: str, source: str, for_us: int) -> None:
        """A lock begins here: let the other nodes know, soon."""
        if len(self._to_lock) < MOST_LOCKS:
            self._to_lock[account, source] = for_us
            self._news.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell the other nodes until cancelled. Started at once.

        Cancellation: what was told is believed for a while.
        """
        task_status.started()
        while True:
            with trio.move_on_after(TELLS_S) as waiting:
                await self._news.wait()
            self._news = trio.Event()
            try:
                await self._tell(all_of_them=waiting.cancelled_caught)
            except RedisTrouble:
                await self._link.rest()
            except Exception:  # a fault of ours: binds must go on
                log.exception("binds could not be told of")
                await trio.sleep(TELLS_S)
            await trio.sleep(SOONEST_S)

    async def _tell(self, *, all_of_them: bool) -> None:
        locks, self._to_lock = self._to_lock, {}
        if locks:
            named = [(self._lock_key(account, source), for_us) for (account, source), for_us in locks.items()]
            await self._link.call(partial(_lock_all, locks=named))
        changed, self._to_tell = self._to_tell, set()
        if all_of_them:
            changed.update(account for account, count in self.counts.items() if count)
            async with self._telling:
                now = trio.current_time()
                left = {name: [until for until in claims if until > now] for name, claims in self._claims.items()}
                self._claims = {name: claims for name, claims in left.items() if claims}
        names = sorted(changed)
        for at in range(0, len(names), AT_ONCE):
            async with self._telling:
                told = [
                    (each, self.counts[each] + len(self._claims.get(each, ()))) for each in names[at : at + AT_ONCE]
                ]
                await self._link.call(partial(self._evaluate, told=told, most=0))

    def _evaluate(self, client: redis.Redis, *, told: list[tuple[str, int]], most: int) -> int:
        script = cast(Any, client.register_script(SCRIPT))
        arguments = [self._node, round(BELIEVED_S * 1000), most, msgspec.json.encode(told)]
        return int(script(keys=[self._prefix + KEY], args=arguments, client=client))

    def _lock_key(self, account: str, source: str) -> str:
        return f"{self._prefix}{LOCK}{account}|{source}"


class WatchedCounts(Counter[str]):
    """Counts that tell of each change: name, count before, count now."""

    def __init__(self, changed: Callable[[str, int, int], None]) -> None:
        super().__init__()
        self._tell = changed

    def __setitem__(self, name: str, count: int) -> None:
        before = self[name]
        super().__setitem__(name, count)
        self._tell(name, before, count)


def _exists(client: redis.Redis, keys: list[str]) -> int:
    return client.exists(*keys)


def _lock_all(client: redis.Redis, locks: list[tuple[str, int]]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for key, for_us in locks:
            pipe.set(key, 1, px=max(1, for_us // 1000))
        pipe.execute()
