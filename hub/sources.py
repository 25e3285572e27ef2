"""Sources: the least time between two parts from one number, over all its lanes. Pure; a part of ``hub.lanes``.

A carrier may allow a long code one part a second whatever the link carries. Rules:

1. **One at a time.** The lanes of a source that could go stand in its queue, first come, first served. One of them has
   the *turn*: it is ready, or taken and not submitted yet. After a submission at *t* nobody has it before *t* + gap.
2. **A turn that is not used costs nothing**: it passes to the next at once. Who had it and could not be submitted for
   want of room has it again first.
3. **Other sources pass.** Only who has the turn stands among the ready lanes.
4. **A crowd rests in the store.** Lanes that the dispatcher keeps out of memory while a source has a crowd waiting are
   read one by one as its queue gets short; while some rest, a timer runs, so that none is forgotten whatever became of
   those before it.

Each step costs the same however many lanes a source has. A source is forgotten when it has no lanes and its gap has
passed.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hub.lanes import Lane

CROWD: Final = 32
"""Lanes that wait in memory for a source that others rest behind: reading one takes milliseconds, and 32 gaps of a
number that may send 100 parts a second are 320 of them."""


class Source:
    """What one number's lanes share.

    Attributes:
        name: the number.
        free_us: the gap after its last submission ends.
        lanes: how many lanes of it are held.
        queue: lanes that could go.
        turn: the lane whose turn it is.
        timer_us: when it is looked at again, 0 for not.
        resting: lanes whose entries are in the store alone until the queue is short.
    """

    __slots__ = ("free_us", "lanes", "name", "queue", "resting", "timer_us", "turn")

    def __init__(self, name: str) -> None:
        self.name = name
        self.free_us = 0
        self.lanes = 0
        self.queue: deque[Lane] = deque()
        self.turn: Lane | None = None
        self.timer_us = 0
        self.resting: deque[Lane] = deque()


class Sources:
    """The sources of one endpoint's lanes.

    Args:
        gap_us: least time between two parts of one source, more than 0.
        ready: where a lane is put when it has its turn.
        woken: where a lane is put when it is to be read from the store.
    """

    def __init__(self, gap_us: int, ready: deque[Lane], woken: list[Lane]) -> None:
        self.gap_us = gap_us
        self.resting = 0  # lanes, of all sources
        self._ready = ready
        self._woken = woken
        self._sources: dict[str, Source] = {}
        self._timers: list[tuple[int, int, Source]] = []
        self._cooling: deque[tuple[int, Source]] = deque()  # those without lanes whose gap runs
        self._tie = 0

    def __len__(self) -> int:
        return len(self._sources)

    def enrol(self, lane: Lane, name: str) -> Source:
        """A lane is one of a source from now on."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(name)
        source.lanes += 1
        lane.source = source
        return source

    def leave(self, source: Source, now_us: int) -> None:
        """A lane of a source is forgotten. It may still stand in the queue: when its turn comes, it passes it on.

        So may the last one in the queue of a source that is forgotten: nobody waits behind it.
        """
        source.lanes -= 1
        self._forget(source, now_us)

    def enter(self, source: Source, lane: Lane, now_us: int, *, first: bool = False) -> None:
        """A lane could go but for its source."""
        if first:
            source.queue.appendleft(lane)
        else:
            source.queue.append(lane)
        self.serve(source, now_us)

    def seize(self, source: Source, lane: Lane, now_us: int) -> bool:
        """Give a lane that does not stand in the queue the turn, if nobody waits for it. Returns: whether it has it."""
        if source.turn is not None or source.queue or source.resting or source.free_us > now_us:
            return False
        source.turn = lane
        return True

    def submitted(self, source: Source, now_us: int) -> None:
        """A part of the source goes out now."""
        source.free_us = now_us + self.gap_us
        source.turn = None
        self.serve(source, now_us)

    def give_up_turn(self, source: Source, lane: Lane) -> bool:
        """A lane that has the turn will not use it. ``serve`` the source then. Returns: whether it had it."""
        if source.turn is not lane:
            return False
        source.turn = None
        return True

    def rest(self, source: Source, lane: Lane, now_us: int) -> None:
        """Keep a lane out of memory until the source's queue is short."""
        source.resting.append(lane)
        self.resting += 1
        self.serve(source, now_us)

    def is_crowded(self, name: str) -> bool:
        """Whether new lanes of a source had better rest."""
        source = self._sources.get(name)
        return source is not None and (len(source.queue) >= CROWD or bool(source.resting))

    def serve(self, source: Source, now_us: int) -> None:
        """Give the turn to who is next, if it is free, and see to it that somebody looks again."""
        queue = source.queue
        if source.turn is None and queue and source.free_us <= now_us:
            lane = source.turn = queue.popleft()
            self._ready.append(lane)
        at_us = source.free_us if source.turn is None and queue else 0
        if source.resting and len(queue) < CROWD:
            lane = source.resting.popleft()
            lane.asleep = False
            self.resting -= 1
            self._woken.append(lane)
            at_us = at_us or max(source.free_us, now_us + self.gap_us)
        if at_us and (not source.timer_us or at_us < source.timer_us):
            source.timer_us = at_us
            self._tie += 1
            heapq.heappush(self._timers, (at_us, self._tie, source))
        elif not source.lanes:
            self._forget(source, now_us)

    def advance(self, now_us: int) -> None:
        """Give out the turns whose time has come; forget sources that nobody uses."""
        timers = self._timers
        while timers and timers[0][0] <= now_us:
            at_us, _, source = heapq.heappop(timers)
            if source.timer_us == at_us:
                source.timer_us = 0
                self.serve(source, now_us)
        cooling = self._cooling
        while cooling and cooling[0][0] <= now_us:
            self._forget(cooling.popleft()[1], now_us)

    def next_wakeup(self) -> int | None:
        """When ``advance`` may do something, if nothing else happens."""
        return self._timers[0][0] if self._timers else None

    def _forget(self, source: Source, now_us: int) -> None:
        if source.lanes:
            return
        if source.free_us > now_us:
            self._cooling.append((source.free_us, source))
        elif self._sources.get(source.name) is source:
            del self._sources[source.name]
