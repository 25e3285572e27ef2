"""Pace: how fast an endpoint may go. Pure; time is an argument.

Two brakes: a limit that was agreed (messages a second, a token bucket that holds one tenth of a second's worth), and
the peer's own word (ESME_RTHROTTLED): then nothing for half a second, doubling with each repetition up to eight,
forgotten once the peer has accepted again. A clock that is set back neither gives nor takes: what was measured by it
begins anew.
"""

from __future__ import annotations

from typing import Final

FIRST_REST_US: Final = 500_000
LONGEST_REST_US: Final = 8_000_000
BURST_S: Final = 0.1


class Pace:
    """One endpoint's brakes.

    Args:
        per_s: messages a second, 0 for no limit.
    """

    def __init__(self, per_s: float = 0.0) -> None:
        self.per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._tokens = self._burst
        self._filled_us = 0
        self._rest_us = 0
        self.resting_until_us = 0

    def allowance(self, now_us: int) -> int:
        """How many messages may go now; large when there is no limit."""
        if self._rests(now_us):
            return 0
        if not self.per_s:
            return 1 << 30
        if now_us > self._filled_us:
            gained = (now_us - self._filled_us) * self.per_s / 1e6 if self._filled_us else self._burst
            self._tokens = min(self._burst, self._tokens + gained)
        self._filled_us = now_us
        return max(0, int(self._tokens))

    def spend(self, number: int) -> None:
        """Messages went."""
        if self.per_s:
            self._tokens -= number

    def next_us(self, now_us: int) -> int:
        """When ``allowance`` is at least one, if nothing goes in the meantime."""
        if self._rests(now_us):
            return self.resting_until_us
        if not self.per_s or self._tokens >= 1:
            return now_us
        return now_us + int((1 - self._tokens) * 1e6 / self.per_s) + 1

    def throttled(self, now_us: int) -> None:
        """The peer asked to go slower. Several of a window's answers say so at once: that counts once."""
        if self._rests(now_us):
            return
        self._rest_us = min(self._rest_us * 2 or FIRST_REST_US, LONGEST_REST_US)
        self.resting_until_us = now_us + self._rest_us

    def accepted(self, now_us: int) -> None:
        """The peer accepted something after its rest."""
        if self._rest_us and now_us >= self.resting_until_us:
            self._rest_us = 0
            self.resting_until_us = 0

    def _rests(self, now_us: int) -> bool:
        if now_us >= self.resting_until_us:
            return False
        self.resting_until_us = min(self.resting_until_us, now_us + self._rest_us)
        return True
