"""What carrier directories have said of numbers, and what they are still to be asked. Pure; all of it is bounded.

The message path asks for the number of every text that looks for a route, and gets what is known at once. What is not
known is put down to be looked up, and the text goes without it. Four bounds hold whatever customers send to:

- *Numbers with an element and numbers without are remembered apart.* Who sends to a million numbers that do not exist
  fills the memory of those, and drives out no number that routes go by.
- *The queue is bounded*, and what comes when it is full is not queued. Only a number that was turned away once already
  goes into a second queue, as bounded, which has its turn as often: made-up numbers are rarely asked for twice, a
  conversation's number is, and so a flood does not keep it out. Numbers whose answer ends soon are in that one too.
- *A failure is an answer for a short time*: a directory that is down is not asked again for every text.
- *Times to live are kept between bounds*, and no number is queued twice or while it is being asked for.

A known answer is looked up again in the last tenth of its time, so that a number that is in use does not change its
route for the length of a look-up. When that fails, the answer holds to its end.

What would hold longer than the longest was written by a clock that ran ahead, for a year perhaps: it is looked up at
once, and holds no longer than the longest from now on.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from enum import StrEnum
from typing import Final

import msgspec

from hub.enum_answers import EnumAnswer

NOTHING_SHARE: Final = 2  # numbers without an element remembered for each with one
TURNED_AWAY: Final = 10  # numbers turned away that are remembered, for each place in the queue
REFRESH_SHARE: Final = 10  # the last tenth


class Result(StrEnum):
    """How a look-up ended."""

    FOUND = "found"  # with an element
    EMPTY = "empty"  # the directory knows the number and tells no element that is believed
    ABSENT = "absent"  # the directory does not know the number
    UNTRUSTED = "untrusted"  # an answer came, without what it takes to be believed
    FAILED = "failed"  # no answer, or one that says that the server failed


class CacheRules(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds.

    Attributes:
        size: numbers with an element that are remembered.
        queue: numbers that may wait in each of the two queues.
        shortest_us, longest_us: what times to live are brought between.
        negative_us: the longest for numbers without an element.
        failure_us: how long a failure is an answer.
    """

    size: int = 100_000
    queue: int = 1000
    shortest_us: int = 60_000_000
    longest_us: int = 86_400_000_000
    negative_us: int = 3_600_000_000
    failure_us: int = 30_000_000


class _Known(msgspec.Struct, gc=False):
    answer: EnumAnswer
    refresh_us: int


class EnumCache:
    """What is known, and what is wanted.

    Args:
        rules: bounds.

    Attributes:
        counts: ``"hit"``, ``"nothing"`` (known to have no element), ``"miss"``, ``"dropped"`` (a miss that found the
            queue full) → how often.
    """

    def __init__(self, rules: CacheRules) -> None:
        self._rules = rules
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._nothing: OrderedDict[str, int] = OrderedDict()  # until when
        self._new: dict[str, None] = {}
        self._insistent: dict[str, None] = {}
        self._asked: set[str] = set()
        self._turned_away: OrderedDict[str, None] = OrderedDict()
        self._new_has_turn = False
        self.counts: Counter[str] = Counter()

    @property
    def known(self) -> int:
        """Numbers remembered with an element."""
        return len(self._known)

    @property
    def nothing(self) -> int:
        """Numbers remembered without one."""
        return len(self._nothing)

    @property
    def waiting(self) -> int:
        """Numbers to be looked up."""
        return len(self._new) + len(self._insistent)

    @property
    def turned_away(self) -> int:
        """Numbers remembered that found the queue full."""
        return len(self._turned_away)

    def answer(self, number: str, now_us: int) -> EnumAnswer | None:
        """What is known of a number; what is not, or ends soon, is wanted from now on."""
        known = self._known.get(number)
        if known is not None:
            if known.answer.valid_until_us > now_us + self._rules.longest_us:
                known.answer = msgspec.structs.replace(known.answer, valid_until_us=now_us + self._rules.longest_us)
                known.refresh_us = now_us
            if now_us < known.answer.valid_until_us:
                self._known.move_to_end(number)
                if now_us >= known.refresh_us:
                    self._want(number, insistent=True)
                self.counts["hit"] += 1
                return known.answer
            del self._known[number]
        until_us = self._nothing.get(number)
        if until_us is not None:
            if now_us < until_us <= now_us + self._rules.longest_us:
                self._nothing.move_to_end(number)
                self.counts["nothing"] += 1
                return None
            del self._nothing[number]
        self.counts["miss"] += 1
        self._want(number, insistent=number in self._turned_away)
        return None

    def take(self) -> str | None:
        """The next number to look up; it counts as being asked for until ``settle``. None when none is wanted."""
        first, second = (self._new, self._insistent) if self._new_has_turn else (self._insistent, self._new)
        queue = first or second
        if not queue:
            return None
        self._new_has_turn = queue is self._insistent
        number = next(iter(queue))
        del queue[number]
        self._asked.add(number)
        return number

    def settle(self, number: str, result: Result, element: str, ttl_s: int, now_us: int) -> None:
        """Remember what a look-up came to.

        Args:
            number: from ``take``.
            result: how it ended.
            element: with FOUND.
            ttl_s: how long the directory says that its answer holds; with FOUND, EMPTY and ABSENT.
            now_us: the time, microseconds UTC.
        """
        rules = self._rules
        self._asked.discard(number)
        self._turned_away.pop(number, None)
        if result in (Result.FAILED, Result.UNTRUSTED):
            known = self._known.get(number)
            if known is not None and now_us < known.answer.valid_until_us:
                known.refresh_us = now_us + rules.failure_us
                return
            self._remember_nothing(number, now_us + rules.failure_us)
            return
        lasts_us = max(min(ttl_s * 1_000_000, rules.longest_us), rules.shortest_us)
        if result is not Result.FOUND:
            self._known.pop(number, None)
            self._remember_nothing(number, now_us + min(lasts_us, rules.negative_us))
            return
        self._nothing.pop(number, None)
        answer = EnumAnswer(element, "", now_us + lasts_us)
        self._known[number] = _Known(answer, now_us + lasts_us - lasts_us // REFRESH_SHARE)
        self._known.move_to_end(number)
        while len(self._known) > rules.size:
            self._known.popitem(last=False)

    def _remember_nothing(self, number: str, until_us: int) -> None:
        self._nothing[number] = until_us
        self._nothing.move_to_end(number)
        while len(self._nothing) > NOTHING_SHARE * self._rules.size:
            self._nothing.popitem(last=False)

    def _want(self, number: str, *, insistent: bool) -> None:
        if number in self._asked or number in self._new or number in self._insistent:
            return
        queue = self._insistent if insistent else self._new
        if len(queue) < self._rules.queue:
            queue[number] = None
            self._turned_away.pop(number, None)
            return
        self.counts["dropped"] += 1
        self._turned_away[number] = None
        self._turned_away.move_to_end(number)
        while len(self._turned_away) > TURNED_AWAY * self._rules.queue:
            self._turned_away.popitem(last=False)
