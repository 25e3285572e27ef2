"""How much of its one core an HTTP port may take: rates that those who come wait for. Pure; time is an argument.

Hypercorn takes about a millisecond for a request, and as much for a connection. A port that only answered would let a
thousand refusals a second take the core that texts are carried on. So answers that nobody gains by, and the octets that
come in, have a rate each, and who goes beyond it waits before the next request is looked at. An address waits for its
own; one that had an answer it could use lately is not made to wait for what all others do.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

ADDRESSES: Final = 10_000
UNWANTED_PER_S: Final = 200.0  # of a port: a fifth of a core
ADDRESS_UNWANTED_PER_S: Final = 50.0
OCTETS_PER_S: Final = 16_000_000.0
BURST_S: Final = 2.0  # a rate's worth of so many seconds has not to wait
LONGEST_S: Final = 10.0  # whoever would wait longer is refused
WELCOME_S: Final = 3600.0


class Rate:
    """Things a second.

    Args:
        per_s: how many.
        burst_s: so many seconds' worth at once.
    """

    __slots__ = ("_burst_s", "_free_at", "_per_s")

    def __init__(self, per_s: float, burst_s: float = BURST_S) -> None:
        self._per_s = per_s
        self._burst_s = burst_s
        self._free_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long the next thing has to wait."""
        return max(0.0, self._free_at - now)

    def count(self, things: float, now: float) -> None:
        """So many came."""
        self._free_at = max(self._free_at, now - self._burst_s) + things / self._per_s


class PortRates:
    """The rates of one port."""

    def __init__(self) -> None:
        self._unwanted = Rate(UNWANTED_PER_S)
        self._octets = Rate(OCTETS_PER_S)
        self._of: OrderedDict[str, Rate] = OrderedDict()  # unwanted, by address
        self._welcome: OrderedDict[str, float] = OrderedDict()  # address → until when

    def wait_s(self, source: str, now: float) -> float:
        """How long a request of an address has to wait."""
        own = self._of.get(source)
        wait_s = own.wait_s(now) if own is not None else 0.0
        if now < self._welcome.get(source, now):
            return wait_s
        return max(wait_s, self._unwanted.wait_s(now))

    def answered(self, source: str, is_wanted: bool, now: float) -> None:
        """An address had an answer.

        Args:
            source: whose it is, see ``smpp.admission.source_of``.
            is_wanted: no refusal.
            now: seconds of any clock that never goes back.
        """
        if is_wanted:
            self._welcome[source] = now + WELCOME_S
            _keep_last(self._welcome, source)
            return
        self._unwanted.count(1, now)
        own = self._of.setdefault(source, Rate(ADDRESS_UNWANTED_PER_S))
        own.count(1, now)
        _keep_last(self._of, source)

    def octets_wait_s(self, count: int, now: float) -> float:
        """So many octets came in. Returns: how long to read no more."""
        wait_s = self._octets.wait_s(now)
        self._octets.count(count, now)
        return min(LONGEST_S, wait_s)


def _keep_last(known: OrderedDict[str, float] | OrderedDict[str, Rate], source: str) -> None:
    known.move_to_end(source)
    if len(known) > ADDRESSES:
        known.popitem(last=False)
