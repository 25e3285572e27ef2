"""Shared pace: how fast an account may send that is bound at several nodes at once. Pure; time is an argument.

What was agreed is one rate for all nodes. Somebody who sees them all (``ops.redis_rates``) keeps one token bucket for
each account and gives its tokens out; a node fetches them ahead, so that taking a message waits for nobody:

- a node holds about as many tokens as it was asked for in ``AHEAD_S``, and never fewer than its ``RESERVE_S`` of the
  rate, for what comes out of silence; what it does not need any more it gives back;
- every token comes out of the one bucket: over any time all nodes together take no more than the rate, and what nodes
  and bucket may hold at once (``HELD_S`` each). One node alone gets all of the rate;
- a node whose tokens nobody vouches for any more, because the others cannot be spoken to, goes by its part: the rate
  divided by the number of nodes. Whoever keeps the bucket fills it more slowly by that part meanwhile.

The bucket must hold what flows in between two fetches, or a node that is late would lose of the rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from translators.pace import Pace

RESERVE_S: Final = 0.1  # of the rate, all nodes together: as large as the bucket of one that shares with nobody
AHEAD_S: Final = 0.15  # twice the time between fetches, and then some
HELD_S: Final = 0.25  # of the rate: what the bucket holds, and a node at most
LOW: Final = 0.5  # of what a node is to hold: below, it asks for more
FADES: Final = 0.25  # of what it was asked for, each time that it counts


class IntakePace(Protocol):
    """What an account is held to: ``Pace``, or one that is shared."""

    per_s: float

    def agree(self, per_s: float) -> None:
        """Another limit was agreed, 0 for none."""

    def allowance(self, now_us: int) -> int:
        """How many messages may go now."""

    def spend(self, number: int) -> None:
        """Messages went."""


class Sharing:
    """How this node stands to the others; one for all its paces.

    Attributes:
        nodes: how many are alive, this one counted.
        until_us: until then this one is known to be among those that share, and its tokens count.
    """

    __slots__ = ("nodes", "until_us")

    def __init__(self) -> None:
        self.nodes = 1
        self.until_us = 0


class SharedPace:
    """One account's pace at one node.

    Args:
        per_s: messages a second that were agreed, 0 for no limit.
        sharing: this node's.
        wake: called with this pace when its tokens run low, once until it was asked what it wants.

    Attributes:
        per_s: as agreed, for all nodes together.
    """

    def __init__(self, per_s: float, sharing: Sharing, wake: Callable[[SharedPace], None]) -> None:
        self.per_s = per_s
        self._sharing = sharing
        self._wake = wake
        self._nodes = sharing.nodes
        self._part = Pace(per_s / self._nodes)
        self._is_parted = True
        self._tokens = 0
        self._low = 0
        self._has_woken = False
        self._asked = 0  # messages since the last count
        self._asked_per_s = 0.0
        self._counted_us = 0

    def agree(self, per_s: float) -> None:
        """Another limit was agreed, 0 for none."""
        self.per_s = per_s
        self._part.agree(per_s / self._nodes)
        self._tokens = min(self._tokens, self.most)
        if per_s > 0:
            self._wake(self)

    @property
    def most(self) -> int:
        """How many tokens are held at most."""
        return max(1, int(self.per_s * HELD_S))

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing comes, and what is held is about what shall be: there is nothing to ask for."""
        return self.per_s <= 0 or (not self._asked and self._asked_per_s < 1 and 0 < self._tokens <= 2 * self._low + 1)

    def allowance(self, now_us: int) -> int:
        """How many messages may go now. Asked once for each that came: that is how much is wanted."""
        self._asked += 1
        tokens = self._tokens
        if tokens <= self._low and not self._has_woken:
            self._has_woken = True
            self._wake(self)
        sharing = self._sharing
        if now_us <= sharing.until_us:
            self._is_parted = False
            return tokens
        self._is_parted = True
        if self._nodes != sharing.nodes:
            self._nodes = sharing.nodes
            self._part.agree(self.per_s / self._nodes)
        return self._part.allowance(now_us)

    def spend(self, number: int) -> None:
        """Messages went."""
        if self._is_parted:
            self._part.spend(number)
        else:
            self._tokens -= number

    def wants(self, now_us: int) -> int:
        """How many tokens to ask for, or below 0, to give back. Counts what it was asked for since the last time.

        Tokens that it gives back are gone from here at once: lost, if whoever asked for them does not get them.
        """
        self._has_woken = False
        if self.per_s <= 0:
            return 0
        passed_s = (now_us - self._counted_us) / 1e6
        if passed_s:
            # After a silence, what came is taken for what came just now.
            now_per_s = self._asked / min(passed_s, AHEAD_S / 2) if passed_s > 0 else 0.0
            self._asked_per_s = max(now_per_s, self._asked_per_s * FADES)
            self._asked = 0
            self._counted_us = now_us
        reserve = max(1.0, self.per_s * RESERVE_S / self._sharing.nodes)
        target = max(1, int(min(self.most, max(reserve, self._asked_per_s * AHEAD_S))))
        self._low = int(target * LOW)
        wanted = target - self._tokens
        if wanted >= 0 or -wanted > target * (1 - LOW):
            self._tokens = min(self._tokens, target)
            return wanted
        return 0  # not for a few

    def take(self, tokens: int) -> None:
        """These are this node's from now on. When they are few, it asks again."""
        self._tokens += tokens
        if self._tokens <= self._low and not self._has_woken:
            self._has_woken = True
            self._wake(self)
