"""Lanes: the pure scheduler of one endpoint.

A lane is the ordered queue of one (origin address, destination address) at one endpoint. Rules:

1. **Order.** Entries of a lane leave in the order in which they were pushed; an entry that comes back (retry, throttle,
   doubt) is still its lane's head.
2. **One at a time.** Between ``take`` and ``done``/``again`` of an entry its lane gives nothing.
3. **The gap** (H30). After an entry's part was taken at *t*, its lane gives nothing before *t* + gap, whatever the
   outcome; an empty lane is remembered for that long.
4. **Lanes do not wait for each other.** Ready lanes are served first come, first served.
5. **Held entries** are on their way to the journal: they keep their place and are not given before ``release``.

Three places hold a lane that is not idle: ``_ready`` (has a head that may go), ``_waiting`` (a heap by the time at
which it may), and the wire (``busy``). Time is an argument; nothing here sleeps, reads a clock or does I/O.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

E = TypeVar("E", bound="Entry")


class Entry:
    """A thing in a lane. Subclasses add what they carry.

    Attributes:
        lane: the lane it is in, set by ``push``.
        held: True until its journal write is on disk.
    """

    __slots__ = ("held", "lane")

    def __init__(self) -> None:
        self.lane: Lane | None = None
        self.held = True


class Lane:
    """One ordered queue. The head stands alone: nearly every lane holds one entry, and a deque costs 600 octets."""

    __slots__ = ("busy", "free_us", "head", "key", "more", "on_the_way", "queued", "tail")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.head: Entry | None = None
        self.tail: deque[Entry] | None = None
        self.busy = False
        self.queued = False  # in _ready or _waiting
        self.free_us = 0
        self.more = False  # entries of this lane wait in the store behind those held here
        self.on_the_way = 0  # of these, not on disk yet

    def __len__(self) -> int:
        return (self.head is not None) + (len(self.tail) if self.tail else 0)


class Lanes(Generic[E]):
    """The lanes of one endpoint.

    Args:
        gap_us: least time between two parts of one lane.
    """

    def __init__(self, gap_us: int) -> None:
        self.gap_us = gap_us
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._waiting: list[tuple[int, int, Lane]] = []
        self._cooling: deque[tuple[int, Lane]] = deque()  # empty lanes whose gap runs, by the time it ends
        self._tie = 0
        self.size = 0  # entries held, those on the wire included

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, key: Hashable) -> Lane | None:
        """The lane of a key, when it is held."""
        return self._lanes.get(key)

    def push(self, key: Hashable, entry: E) -> Lane:
        """Put an entry at the end of its lane. It is held: ``release`` it once it is on disk. Returns: the lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        entry.lane = lane
        if lane.head is None:
            lane.head = entry
        elif lane.tail is None:
            lane.tail = deque((entry,))
        else:
            lane.tail.append(entry)
        self.size += 1
        return lane

    def seize(self, entry: E, now_us: int) -> bool:
        """Take a held entry at once if its lane could give it: it then counts as taken. Saves the way over ``release``.

        Returns: True when it was taken.
        """
        lane = entry.lane
        assert lane is not None  # noqa: S101 - the caller pushed it
        if lane.head is not entry or lane.busy or lane.queued or lane.free_us > now_us:
            return False
        lane.busy = True
        lane.free_us = now_us + self.gap_us
        return True

    def release(self, entry: E, now_us: int) -> None:
        """The entry is on disk: it may be given when its turn comes."""
        entry.held = False
        lane = entry.lane
        if lane is not None and lane.head is entry and not lane.busy and not lane.queued:
            self._schedule(lane, now_us)

    def take(self, limit: int, now_us: int) -> list[E]:
        """The heads that may go now, at most ``limit``; their lanes are busy until ``done`` or ``again``."""
        self.advance(now_us)
        ready = self._ready
        taken: list[Entry] = []
        while ready and len(taken) < limit:
            lane = ready.popleft()
            lane.queued = False
            head = lane.head
            if head is None or head.held or lane.busy:
                continue
            lane.busy = True
            lane.free_us = now_us + self.gap_us
            taken.append(head)
        return taken  # type: ignore[return-value]

    def done(self, entry: E, now_us: int) -> Lane | None:
        """The entry is finished with: its lane goes on behind it.

        Returns: the lane when it ran dry while the store holds more of it, else None.
        """
        lane = entry.lane
        assert lane is not None  # noqa: S101 - it was pushed
        entry.lane = None
        self.size -= 1
        if lane.head is entry:
            lane.busy = False
            lane.head = lane.tail.popleft() if lane.tail else None
        else:  # expired or dropped from the middle
            assert lane.tail is not None  # noqa: S101 - not the head, so in the tail
            lane.tail.remove(entry)
            return None
        if lane.head is not None:
            if not lane.queued:
                self._schedule(lane, now_us)
        elif lane.more:
            return lane
        else:
            self._retire(lane, now_us)
        return None

    def again(self, entry: E, at_us: int, now_us: int) -> None:
        """The entry goes again, as the head of its lane, not before ``at_us`` nor before the gap has passed."""
        lane = entry.lane
        assert lane is not None  # noqa: S101 - it was pushed
        lane.busy = False
        if at_us > lane.free_us:
            lane.free_us = at_us
        if not lane.queued:
            self._schedule(lane, now_us)

    def drained(self, lane: Lane, now_us: int) -> None:
        """The store holds no more of this lane."""
        lane.more = False
        if lane.head is None and not lane.busy:
            self._retire(lane, now_us)

    def advance(self, now_us: int) -> None:
        """Move lanes whose time has come; forget empty lanes whose gap has passed."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_us:
            self._ready.append(heapq.heappop(waiting)[2])
        cooling = self._cooling
        while cooling and cooling[0][0] <= now_us:
            lane = cooling.popleft()[1]
            if lane.head is None and not lane.more and not lane.busy and self._lanes.get(lane.key) is lane:
                del self._lanes[lane.key]

    def next_wakeup(self) -> int | None:
        """When ``take`` can give more than now, if nothing else happens: 0 for at once, None for never."""
        if self._ready:
            return 0
        return self._waiting[0][0] if self._waiting else None

    def entries(self) -> int:
        """How many entries are held."""
        return self.size

    def _schedule(self, lane: Lane, now_us: int) -> None:
        lane.queued = True
        if lane.free_us <= now_us:
            self._ready.append(lane)
        else:
            self._tie += 1
            heapq.heappush(self._waiting, (lane.free_us, self._tie, lane))

    def _retire(self, lane: Lane, now_us: int) -> None:
        if lane.free_us <= now_us:
            self._lanes.pop(lane.key, None)
        else:
            # Never longer than the gap: a retry's long wait must not keep the lanes behind it in memory.
            self._cooling.append((min(lane.free_us, now_us + self.gap_us), lane))
