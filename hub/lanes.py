"""Lanes: the pure scheduler of one endpoint.

A lane is the ordered queue of one (origin address, destination address) at one endpoint. Rules:

1. **Order.** Entries of a lane leave in the order in which they were pushed; an entry that comes back (retry, throttle,
   doubt) is still its lane's head.
2. **One at a time.** Between ``take`` and ``done``/``again`` of an entry its lane gives nothing.
3. **The gap** (H30). After a part was submitted at *t*, its lane gives nothing before *t* + gap, whatever the outcome;
   an empty lane is remembered for that long. What was taken and not submitted after all costs no gap.
4. **Lanes do not wait for each other.** Ready lanes are served first come, first served, and nothing that comes later
   overtakes them (``seize``). What a head waits for (``again``) is its own: when it goes, its lane waits no longer.
5. **Held entries** are on their way to the journal: they keep their place and are not given before ``release``.
6. **A lane may sleep**: all its entries are in the store alone, and nothing of it is read before its time comes.

Four places hold a lane that is not idle: ``_ready`` (has a head that may go), ``_waiting`` (a heap by the time at which
it may), ``_asleep`` (a heap by the time at which it is to be read), and the wire (``busy``). Time is an argument;
nothing here sleeps, reads a clock or does I/O.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

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
    """One ordered queue. The head stands alone: nearly every lane holds one entry, and a deque costs 600 octets.

    Attributes:
        key: its name.
        head, tail: its entries.
        busy: its head was taken.
        queued: it is in ``_ready`` or ``_waiting``.
        wait: the tie of its place in ``_waiting``, 0 when it has none there.
        asleep: it sleeps.
        free_us: the gap after its last submission ends.
        due_us: its head waits until then.
        more: entries of it are in the store behind those held here.
        on_the_way: of these, not on disk yet.
        left: how often one was left to the store, ever: says whether a reading is still the last word.
    """

    __slots__ = (
        "asleep",
        "busy",
        "due_us",
        "free_us",
        "head",
        "key",
        "left",
        "more",
        "on_the_way",
        "queued",
        "tail",
        "wait",
    )

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.head: Entry | None = None
        self.tail: deque[Entry] | None = None
        self.busy = False
        self.queued = False
        self.wait = 0
        self.asleep = False
        self.free_us = 0
        self.due_us = 0
        self.more = False
        self.on_the_way = 0
        self.left = 0

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
        self._asleep: list[tuple[int, int, Lane]] = []
        self._cooling: deque[tuple[int, Lane]] = deque()  # empty lanes whose gap runs, about by the time it ends
        self._tie = 0
        self.size = 0  # entries held, those on the wire included

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def sleeping(self) -> int:
        """How many lanes sleep."""
        return len(self._asleep)

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
        """Take a held entry at once if it is its turn: it then counts as taken. Saves the way over ``release``.

        Returns: True when it was taken.
        """
        lane = entry.lane
        assert lane is not None  # noqa: S101 - the caller pushed it
        if lane.head is not entry or lane.busy or lane.queued or lane.free_us > now_us or self._ready:
            return False
        lane.busy = True
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
            if lane.free_us > now_us or lane.due_us > now_us:  # it was filled anew since it became ready
                self._schedule(lane, now_us)
                continue
            lane.busy = True
            taken.append(head)
        return taken  # type: ignore[return-value]

    def submitted(self, entry: E, now_us: int) -> None:
        """A part of the entry goes out now: its lane's gap begins."""
        lane = entry.lane
        assert lane is not None  # noqa: S101 - it was taken
        lane.free_us = now_us + self.gap_us

    def done(self, entry: E, now_us: int) -> Lane | None:
        """The entry is finished with: its lane goes on behind it.

        Returns: the lane when it ran dry while the store holds more of it, else None.
        """
        lane = entry.lane
        assert lane is not None  # noqa: S101 - it was pushed
        entry.lane = None
        self.size -= 1
        if lane.head is not entry:  # expired or dropped from the middle
            assert lane.tail is not None  # noqa: S101 - not the head, so in the tail
            lane.tail.remove(entry)
            return None
        lane.busy = False
        lane.due_us = 0
        head = lane.head = lane.tail.popleft() if lane.tail else None
        if lane.wait:  # what the lane waited for has gone
            lane.wait = 0
            lane.queued = False
        if head is not None:
            if not lane.queued and not head.held:
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
        lane.due_us = at_us
        if not lane.queued:
            self._schedule(lane, now_us)

    def wait(self, lane: Lane, due_us: int) -> None:
        """The head of a lane is not to go before ``due_us``. Before its ``release``."""
        lane.due_us = due_us

    def sleep(self, key: Hashable, until_us: int) -> list[E]:
        """Let a lane sleep: what it holds is to be forgotten here, and read from the store after ``until_us``.

        Nothing of it may be held, and its head not be taken.

        Returns: the entries that it held, which are out of it now.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        entries: list[Any] = [] if lane.head is None else [lane.head, *(lane.tail or ())]
        for entry in entries:
            entry.lane = None
        self.size -= len(entries)
        lane.head = lane.tail = None
        lane.due_us = 0
        lane.more = lane.asleep = True
        if lane.wait:
            lane.wait = 0
            lane.queued = False
        self._tie += 1
        heapq.heappush(self._asleep, (until_us, self._tie, lane))
        return entries

    def waking(self, now_us: int) -> list[Lane]:
        """Lanes whose sleep is over: read them from the store."""
        woken: list[Lane] = []
        while self._asleep and self._asleep[0][0] <= now_us:
            lane = heapq.heappop(self._asleep)[2]
            lane.asleep = False
            woken.append(lane)
        return woken

    def drained(self, lane: Lane, now_us: int) -> None:
        """The store holds no more of this lane."""
        lane.more = False
        if lane.head is None and not lane.busy:
            self._retire(lane, now_us)

    def advance(self, now_us: int) -> None:
        """Move lanes whose time has come; forget empty lanes whose gap has passed."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_us:
            _, tie, lane = heapq.heappop(waiting)
            if lane.wait == tie:
                lane.wait = 0
                self._ready.append(lane)
        cooling = self._cooling
        while cooling and cooling[0][0] <= now_us:
            lane = cooling.popleft()[1]
            idle = lane.head is None and not lane.more and lane.free_us <= now_us
            if idle and self._lanes.get(lane.key) is lane:
                del self._lanes[lane.key]

    def next_wakeup(self) -> int | None:
        """When ``take`` or ``waking`` can give more, if nothing else happens: 0 for at once, None for never."""
        if self._ready:
            return 0
        waiting, asleep = self._waiting, self._asleep
        if waiting and asleep:
            return min(waiting[0][0], asleep[0][0])
        return waiting[0][0] if waiting else asleep[0][0] if asleep else None

    def entries(self) -> int:
        """How many entries are held."""
        return self.size

    def _schedule(self, lane: Lane, now_us: int) -> None:
        at_us = lane.free_us if lane.free_us > lane.due_us else lane.due_us
        lane.queued = True
        if at_us <= now_us:
            self._ready.append(lane)
        else:
            self._tie += 1
            lane.wait = self._tie
            heapq.heappush(self._waiting, (at_us, self._tie, lane))

    def _retire(self, lane: Lane, now_us: int) -> None:
        if lane.free_us > now_us:
            self._cooling.append((lane.free_us, lane))
        elif self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
