"""How much of what nobody wants a peer may send. Pure; time is an argument.

Not all that arrives is worth its cost: questions whether we live, things that cannot be read or are refused, octets by
the kilobyte around a word. A peer may chatter so much; what is beyond is paid for by not being read for a while, which
it feels as TCP's backpressure. So a peer that is mad costs a share of a core that is known, however fast it sends.
"""

from __future__ import annotations

from typing import Final

PER_S: Final = 1000.0
BURST_S: Final = 2.0  # so much of it may come at once
PAUSE_S: Final = 5.0  # at most, less than any peer's patience
OCTETS: Final = 4_096  # beyond what is useful, count like one thing that nobody wanted


class Chatter:
    """One peer's.

    Args:
        per_s: things nobody wanted, a second; 0 for any number. May be set to another.

    Attributes:
        is_too_much: whether a pause is due.
    """

    def __init__(self, per_s: float = PER_S) -> None:
        self.per_s = per_s
        self.is_too_much = False
        self._credit = per_s * BURST_S
        self._at = 0.0

    def count(self, things: int, now: float) -> None:
        """So many came.

        Args:
            things: how many.
            now: seconds of any clock that never goes back.
        """
        per_s = self.per_s
        if per_s:
            self._credit = min(per_s * BURST_S, self._credit + (now - self._at) * per_s) - things
            self._at = now
            self.is_too_much = self._credit < 0
        else:
            self.is_too_much = False

    def pause_s(self) -> float:
        """How long to read nothing; call ``count`` with nothing after it."""
        return min(PAUSE_S, -self._credit / self.per_s) if self.is_too_much and self.per_s else 0.0


def excess(octets: int, useful_octets: int) -> int:
    """How many things octets count as, beside the useful ones."""
    return max(0, octets - useful_octets) // OCTETS
