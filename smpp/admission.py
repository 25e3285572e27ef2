"""Who is let in at a port, and who has to make room: the connections that have not bound yet. Pure.

A stranger can open connections as fast as a network carries them, from as many addresses as it has. What it must not
be able to do is to keep others out, or to keep us busy. So:

**Rates.** An address may connect so often a second, and all addresses that nobody has bound from lately, the
*strangers*, together so often. Each rate is a bucket that holds ``BURST_S`` seconds' worth: a carrier whose fifty ESMEs
come back after an outage finds them. Who comes too often is closed at once, before anything is spent on it.

**Places.** There are ``places`` for connections that have not bound. When all are taken, a newcomer takes the place of

1. one that is over and only lingers, so that its last words arrive;
2. the silent one that came first of the address that has the most, when that has more than the newcomer's would have:
   one address fills what is empty, and keeps nobody out;
3. the silent stranger that came first, when it has had ``PATIENCE_S`` or the newcomer is none;
4. the stranger that came first whose bind is being looked at, when the newcomer is no stranger;

and else there is none. A TCP connection cannot be made in another's name, so a flood from everywhere, which looks like
any number of new customers, costs none of the old ones.

Each step is a look at the head of a list: a port with a hundred thousand places is no slower.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

BURST_S: Final = 4.0  # a rate's worth of so many seconds may come at once
PATIENCE_S: Final = 1.0  # a sound ESME binds within a round trip or two, three with TLS
ADDRESSES: Final = 10_000  # that are remembered to have connected: some 200 octets each


class Standing(Enum):
    """What a connection that has not bound is doing."""

    SILENT = "silent"
    ASKING = "asking"  # its bind has come
    OVER = "over"  # it has been refused


class Refusal(Enum):
    """Why a connection is not let in."""

    TOO_OFTEN = "too often"
    FULL = "full"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a port bears.

    Attributes:
        places: connections that have not bound, at a time.
        address_per_s: new connections of one address, a second; 0 for any.
        strangers_per_s: new connections of all strangers, a second; 0 for any.
    """

    places: int = 200
    address_per_s: float = 0.0
    strangers_per_s: float = 0.0


class Visit:
    """One connection that has not bound.

    Attributes:
        source: whose it is, see ``source_of``.
        is_stranger: nobody has bound from there lately.
        since: when it came, in seconds of the caller's clock.
        standing: what it is doing.
        instead_of: the visit that has to end for it, if one has to.
        make_room: what ends it. The caller sets it.
    """

    __slots__ = ("instead_of", "is_stranger", "make_room", "since", "source", "standing")

    def __init__(self, source: str, is_stranger: bool, since: float) -> None:
        self.source = source
        self.is_stranger = is_stranger
        self.since = since
        self.standing = Standing.SILENT
        self.instead_of: Visit | None = None
        self.make_room: Callable[[], None] | None = None


class _Source:
    """The visits of one address."""

    __slots__ = ("count", "silent")

    def __init__(self) -> None:
        self.count = 0
        self.silent: OrderedDict[Visit, None] = OrderedDict()


class Admission:
    """The connections of one port that have not bound.

    Args:
        bounds: see ``Bounds``; may be set to others at any time.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self._places = 0
        self._sources: dict[str, _Source] = {}
        self._with: dict[int, OrderedDict[str, None]] = {}  # how many visits → the addresses that have so many
        self._most = 0
        self._silent: OrderedDict[Visit, None] = OrderedDict()  # strangers, in order of arrival
        self._asking: dict[bool, OrderedDict[Visit, None]] = {True: OrderedDict(), False: OrderedDict()}  # is_stranger
        self._over: OrderedDict[Visit, None] = OrderedDict()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at
        self._strangers = (0.0, -1e9)

    def __len__(self) -> int:
        return self._places

    def admit(self, source: str, is_stranger: bool, now: float) -> Visit | Refusal:
        """Let a connection in, or not.

        Args:
            source: whose it is, see ``source_of``; empty when nobody can tell, which is no stranger and has no rate.
            is_stranger: nobody has bound from there lately.
            now: seconds of any clock that never goes back.

        Returns: its visit, or why it is to be closed. What is ``instead_of`` has left already: only its connection is
            still to be ended.
        """
        bounds = self.bounds
        if source and not self._has_token(source, is_stranger, now):
            return Refusal.TOO_OFTEN
        victim = None
        if self._places >= bounds.places:
            victim = self._victim(source, is_stranger, now)
            if victim is None:
                return Refusal.FULL
            self.leave(victim)
        if source:
            self._spend(source, is_stranger)
        visit = Visit(source, is_stranger, now)
        visit.instead_of = victim
        self._enter(visit)
        return visit

    def asks(self, visit: Visit) -> None:
        """Its bind has come."""
        self._stand(visit, Standing.ASKING)

    def is_over(self, visit: Visit) -> None:
        """It has been refused: whoever comes may have its place."""
        self._stand(visit, Standing.OVER)

    def leave(self, visit: Visit) -> None:
        """It has bound, or is gone. One that has left already may leave again."""
        source = self._sources.get(visit.source)
        if source is None or not self._forget(visit):
            return
        self._places -= 1
        self._recount(visit.source, source, -1)
        if not source.count:
            del self._sources[visit.source]

    # --- places ------------------------------------------------------------------------------------------------------

    def _enter(self, visit: Visit) -> None:
        source = self._sources.setdefault(visit.source, _Source())
        self._places += 1
        self._recount(visit.source, source, 1)
        self._list(visit)

    def _stand(self, visit: Visit, standing: Standing) -> None:
        if self._forget(visit):
            visit.standing = standing
            self._list(visit)

    def _list(self, visit: Visit) -> None:
        if visit.standing is Standing.SILENT:
            self._sources[visit.source].silent[visit] = None
            if visit.is_stranger:
                self._silent[visit] = None
        elif visit.standing is Standing.OVER:
            self._over[visit] = None
        else:
            self._asking[visit.is_stranger][visit] = None

    def _forget(self, visit: Visit) -> bool:
        """Take it out of its lists. Returns: whether it was in them."""
        if visit.standing is Standing.OVER:
            return self._over.pop(visit, self) is None
        if visit.standing is Standing.ASKING:
            return self._asking[visit.is_stranger].pop(visit, self) is None
        source = self._sources.get(visit.source)
        if source is None or source.silent.pop(visit, self) is not None:
            return False
        self._silent.pop(visit, None)
        return True

    def _recount(self, name: str, source: _Source, change: int) -> None:
        peers = self._with.get(source.count)
        if peers is not None:
            peers.pop(name, None)
            if not peers:
                del self._with[source.count]
        source.count += change
        if source.count:
            self._with.setdefault(source.count, OrderedDict())[name] = None
        if source.count > self._most:
            self._most = source.count
        elif self._most not in self._with:
            self._most = max(0, self._most - 1)

    def _victim(self, source: str, is_stranger: bool, now: float) -> Visit | None:
        if self._over:
            return next(iter(self._over))
        own = self._sources.get(source)
        if self._most > (own.count if own is not None else 0) + 1:
            for name in self._with[self._most]:
                heaviest = self._sources[name]
                if heaviest.silent:
                    return next(iter(heaviest.silent))
                break  # all that it has is being looked at
        if self._silent:
            first = next(iter(self._silent))
            if first.source != source and (not is_stranger or now - first.since >= PATIENCE_S):
                return first
        return None if is_stranger else next(iter(self._asking[True]), None)

    # --- rates -------------------------------------------------------------------------------------------------------

    def _has_token(self, source: str, is_stranger: bool, now: float) -> bool:
        bounds = self.bounds
        if bounds.address_per_s:
            tokens, at = self._buckets.pop(source, (bounds.address_per_s * BURST_S, now))
            tokens = min(bounds.address_per_s * BURST_S, tokens + max(0.0, now - at) * bounds.address_per_s)
            self._buckets[source] = (tokens, now)
            if len(self._buckets) > ADDRESSES:
                self._buckets.popitem(last=False)
            if tokens < 1:
                return False
        if is_stranger and bounds.strangers_per_s:
            tokens, at = self._strangers
            tokens = min(bounds.strangers_per_s * BURST_S, tokens + max(0.0, now - at) * bounds.strangers_per_s)
            self._strangers = (tokens, now)
            return tokens >= 1
        return True

    def _spend(self, source: str, is_stranger: bool) -> None:
        bounds = self.bounds
        if bounds.address_per_s:
            tokens, at = self._buckets[source]
            self._buckets[source] = (tokens - 1, at)
        if is_stranger and bounds.strangers_per_s:
            tokens, at = self._strangers
            self._strangers = (tokens - 1, at)


@lru_cache(maxsize=4096)
def source_of(address: str) -> str:
    """Whose an address is: the IPv4 address, or the /64 of an IPv6 one, which is what one customer of a network has.

    Words that are no address count as they are.
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False).network_address)
