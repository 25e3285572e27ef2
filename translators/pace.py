"""Pace: how fast an endpoint may go. Pure; time is an argument.

Two brakes, of which the stronger counts, both by a token bucket:

- a **limit that was agreed**, messages a second; the bucket holds a tenth of a second's worth;
- the **peer's own word** (ESME_RTHROTTLED, ESME_RMSGQFUL). Then nothing goes for half a second, doubling up to eight
  while it repeats itself before it has accepted anything, and after that the rate begins at half of what the peer took
  before, and at half of that again with each repetition. It rises in a straight line to just below where it was
  refused, and then with the square of the time: slowly where the limit probably is, fast when it has gone. A plain
  additive increase would either be refused every few messages or take an hour to come back from one bad minute; the
  form is that of CUBIC's window (RFC 9438 §4.1). At the agreed limit, or after half a minute without a refusal where
  none was agreed, this brake comes off.

ESME_RMSGQFUL may mean the queue of one handset as well as that of all: it counts once it is more than a tenth of what
comes back. What was on the way when the brake went on was sent before it: the refusals among it are no news. What the
peer takes is measured over about a second, rests left out. A clock that is set back neither gives nor takes: what was
measured by it begins anew.
"""

from __future__ import annotations

import math
from typing import Final

FIRST_REST_US: Final = 500_000
LONGEST_REST_US: Final = 8_000_000
BURST_S: Final = 0.1
SLOWED_BURST_S: Final = 0.02  # a peer that refuses what is too fast is not sent several at once below 50 a second
LEAST_PER_S: Final = 1.0
FALL: Final = 0.5
KNEE: Final = 0.95  # of what the peer took when it refused: from there on with care
CLIMB_S: Final = 1.0  # to the knee
RETURN_S: Final = 6.0  # from there to the best of the last minutes: most peers are short of breath for seconds
BEST_S: Final = 120.0  # in which what was the best counts for less and less
PROBE: Final = 0.002  # of the best, each second squared: where it is the limit, that is slow
LEAST_PROBE: Final = 0.1  # messages a second, each second squared
OFF_S: Final = 30.0
MEASURED_S: Final = 1.0
FULL_SHARE: Final = 0.1


class Pace:
    """One endpoint's brakes.

    Args:
        per_s: messages a second that were agreed, 0 for no limit.

    Attributes:
        is_on: whether there is any brake: ask ``allowance`` only then.
    """

    def __init__(self, per_s: float = 0.0) -> None:
        self.per_s = per_s
        self.is_on = per_s > 0
        self._tokens = max(1.0, per_s * BURST_S)
        self._filled_us = 0
        # The peer's word.
        self._rest_us = 0
        self.resting_until_us = 0
        self._start = 0.0  # the rate after the rest; 0 while this brake is off
        self._refused_at = 0.0  # what the peer took when it refused
        self._best = 0.0  # the most that it took of late, when it refused
        self._since_us = 0  # the end of the rest
        self._stale = 0  # answers to come for what was sent before the brake went on
        # What the peer takes: a sum that fades, and when it was last looked at.
        self._taken = 0.0
        self._full = 0.0
        self._measured_us = 0

    def agree(self, per_s: float) -> None:
        """Another limit was agreed, 0 for none. What the peer has said of its own holds as before."""
        self.per_s = per_s
        self.is_on = per_s > 0 or self._start > 0

    def limit(self, now_us: int) -> float:
        """Messages a second that may go now, rests apart; 0 for no limit."""
        if not self._start:
            return self.per_s
        self._since_us = min(self._since_us, max(now_us, self.resting_until_us))
        risen_s = max(0.0, (now_us - self._since_us) / 1e6)
        knee = max(self._start, KNEE * self._refused_at)
        if risen_s < CLIMB_S:
            rate = self._start + (knee - self._start) * risen_s / CLIMB_S
        else:
            probe = max(LEAST_PROBE, PROBE * self._best + (self._best - knee) / RETURN_S**2)
            rate = knee + probe * (risen_s - CLIMB_S) ** 2
        if rate < self.per_s or (not self.per_s and risen_s < OFF_S):
            return rate
        self._start = 0.0
        self.is_on = self.per_s > 0
        return self.per_s

    def allowance(self, now_us: int) -> int:
        """How many messages may go now; large when there is no limit."""
        if self._rests(now_us):
            return 0
        limit = self.limit(now_us)
        if not limit:
            return 1 << 30
        burst = max(1.0, limit * (SLOWED_BURST_S if self._start else BURST_S))
        if now_us > self._filled_us:
            gained = (now_us - self._filled_us) * limit / 1e6 if self._filled_us else burst
            self._tokens = min(burst, self._tokens + gained)
        self._filled_us = now_us
        return max(0, int(self._tokens))

    def spend(self, number: int) -> None:
        """Messages went."""
        if self.is_on:
            self._tokens -= number

    def next_us(self, now_us: int) -> int:
        """When ``allowance`` is at least one, if nothing goes in the meantime."""
        if self._rests(now_us):
            return self.resting_until_us
        limit = self.limit(now_us)
        if not limit or self._tokens >= 1:
            return now_us
        return now_us + int((1 - self._tokens) * 1e6 / limit) + 1

    def answered(
        self, taken: int, throttled: int, now_us: int, *, full: int = 0, lost: int = 0, in_flight: int = 0
    ) -> None:
        """Answers came.

        Args:
            taken: how many messages the peer took, be it to refuse them for a reason of their own.
            throttled: how many it found to come too fast.
            now_us: now.
            full: how many found a queue full, the peer's or a handset's.
            lost: how many will not be answered.
            in_flight: how many are still unanswered; used when some were throttled.
        """
        self._measure(taken, full, now_us)
        if full and self._full > FULL_SHARE * (self._full + self._taken):
            throttled += full
        else:
            taken += full
        if not throttled and not self._rest_us:
            return
        stale = self._stale
        if stale:
            self._stale = max(0, stale - taken - throttled - lost)
            if stale >= taken + throttled + lost:
                return
        if self._rests(now_us):
            return
        if taken:
            self._rest_us = 0
        if throttled:
            self._slow_down(now_us, in_flight)

    def _slow_down(self, now_us: int, in_flight: int) -> None:
        limit = self.limit(now_us)
        took = min(self._taken / MEASURED_S, limit) if limit else self._taken / MEASURED_S
        if not self._rest_us:  # else it has taken nothing since: it is closed, which says nothing of its rate
            self._refused_at = max(took, LEAST_PER_S)
        since_s = max(0.0, (now_us - self._since_us) / 1e6)
        self._best = max(took, self._best * math.exp(-since_s / BEST_S))
        self._start = max(LEAST_PER_S, took * FALL)
        self._rest_us = min(self._rest_us * 2 or FIRST_REST_US, LONGEST_REST_US)
        self.resting_until_us = self._since_us = now_us + self._rest_us
        self._stale = in_flight
        self._tokens = min(self._tokens, 1.0) if self.per_s else 1.0
        self._filled_us = self._measured_us = self.resting_until_us
        self.is_on = True

    def _measure(self, taken: int, full: int, now_us: int) -> None:
        passed_us = now_us - self._measured_us
        if passed_us > 0:
            faded = math.exp(-passed_us / 1e6 / MEASURED_S)
            self._taken *= faded
            self._full *= faded
            self._measured_us = now_us
        elif not self._rests(now_us):
            self._measured_us = now_us  # the clock was set back
        self._taken += taken
        self._full += full

    def _rests(self, now_us: int) -> bool:
        if now_us >= self.resting_until_us:
            return False
        self.resting_until_us = min(self.resting_until_us, now_us + self._rest_us)
        return True
