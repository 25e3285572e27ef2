"""How much a key or an address may ask: token buckets in a bounded table. Pure; time is an argument.

A bucket holds as many tokens as may be asked in a minute, and fills at that rate: a client that was silent may ask a
minute's worth at once. The table forgets whoever has been silent longest: a bucket that is full again is the same as
none, and an attacker who comes from more addresses than fit gains no more than those many addresses already give.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

MINUTE_US = 60_000_000
MAX_BUCKETS = 10_000


class Ruling(msgspec.Struct, frozen=True):
    """What a bucket says to one request.

    Attributes:
        is_allowed: whether it may go on.
        limit: requests a minute.
        left: whole tokens that are left.
        wait_s: until the next token, rounded up; 0 while there is one.
    """

    is_allowed: bool
    limit: int
    left: int
    wait_s: int


class Buckets:
    """Buckets by name.

    Args:
        most: so many are kept.
    """

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._most = most
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()  # tokens, at

    def __len__(self) -> int:
        return len(self._known)

    def take(self, name: str, per_minute: int, now_us: int) -> Ruling:
        """Take a token, when there is one.

        Args:
            name: whose bucket.
            per_minute: its size, and how fast it fills; may differ from call to call.
            now_us: now, on any clock; one that goes back fills nothing.
        """
        tokens, at_us = self._known.pop(name, (float(per_minute), now_us))
        tokens = min(per_minute, tokens + max(0, now_us - at_us) * per_minute / MINUTE_US)
        is_allowed = tokens >= 1
        tokens -= is_allowed
        self._known[name] = (tokens, now_us)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        wait_us = 0.0 if tokens >= 1 else (1 - tokens) * MINUTE_US / per_minute
        return Ruling(is_allowed, per_minute, int(tokens), -int(-wait_us // 1_000_000))


def source_of(address: str) -> str:
    """Who is behind an address: of IPv6 the first 64 bits, since a subscriber has all of the others."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
