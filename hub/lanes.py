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
7. **Lanes of one source** take turns, where the endpoint has a gap for these: ``hub.sources``.

Four places hold a lane that is not idle: ``_ready`` (has a head that may go), ``_waiting`` (a heap by the time at which
it may), ``_asleep`` (a heap by the time at which it is to be read), and the wire (``busy``); a fifth, the queue of its
source, stands before ``_ready``. Time is an argument; nothing here sleeps, reads a clock or does I/O.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from hub.sources import Source, Sources

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
        queued: it is in ``_ready`` or ``_waiting``, or in the queue of its source.
        wait: the tie of its place in ``_waiting``, 0 when it has none there.
        asleep: it sleeps.
        free_us: the gap after its last submission ends.
        due_us: its head waits until then.
        more: entries of it are in the store behind those held here.
        on_the_way: of these, not on disk yet.
        left: how often one was left to the store, ever: says whether a reading is still the last word.
        source: what it shares with other lanes, where sources have a gap.
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
        "source",
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
        self.source: Source | None = None

    def __len__(self) -> int:
        return (self.head is not None) + (len(self.tail) if self.tail else 0)


class Lanes(Generic[E]):
    """The lanes of one endpoint.

    Args:
        gap_us: least time between two parts of one lane.
        source_gap_us: least time between two parts of one source, 0 for none.
    """

    def __init__(self, gap_us: int, source_gap_us: int = 0) -> None:
        self.gap_us = gap_us
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._waiting: list[tuple[int, int, Lane]] = []
        self._asleep: list[tuple[int, int, Lane]] = []
        self._cooling: deque[tuple[int, Lane]] = deque()  # empty lanes whose gap runs, about by the time it ends
        self._tie = 0
        self._woken: list[Lane] = []
        self._sources = Sources(source_gap_us, self._ready, self._woken)
        self._paced = source_gap_us > 0
        self.size = 0  # entries held, those on the wire included

    def keep_to(self, gap_us: int, source_gap_us: int) -> None:
        """Keep to other gaps from the next submission on. A lane without a source gets its own once it has run dry."""
        self.gap_us = gap_us
        self._sources.gap_us = source_gap_us
        self._paced = source_gap_us > 0

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def sleeping(self) -> int:
        """How many lanes sleep."""
        return len(self._asleep) + self._sources.resting

    @property
    def ready(self) -> int:
        """How many lanes, about, have something that could go now."""
        return len(self._ready)

    @property
    def sources(self) -> int:
        """How many sources are remembered for their gap."""
        return len(self._sources)

    def lane(self, key: Hashable) -> Lane | None:
        """The lane of a key, when it is held."""
        return self._lanes.get(key)

    def push(self, key: Hashable, entry: E, source: str = "") -> Lane:
        """Put an entry at the end of its lane. It is held: ``release`` it once it is on disk.

        Args:
            key: of its lane.
            entry: the entry.
            source: whose gap it keeps to; one lane's entries are all of one source. Empty for nobody's.

        Returns: the lane.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        if self._paced and source and lane.source is None and lane.head is None and not lane.queued:
            self._sources.enrol(lane, source)
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
        if lane.source is not None and not self._sources.seize(lane.source, lane, now_us):
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
                if lane.source is not None:
                    self._pass_turn(lane, lane.source, now_us)
                continue
            if lane.free_us > now_us or lane.due_us > now_us:  # it was filled anew since it became ready
                if lane.source is not None:
                    self._pass_turn(lane, lane.source, now_us)
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
        if lane.source is not None:
            self._sources.submitted(lane.source, now_us)

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
        if lane.busy and lane.source is not None:
            self._pass_turn(lane, lane.source, now_us)
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
        source = lane.source
        if source is None or not self._sources.give_up_turn(source, lane):
            if not lane.queued:
                self._schedule(lane, now_us)
            return
        if not lane.queued:
            self._schedule(lane, now_us, first=True)
        self._sources.serve(source, now_us)

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

    def is_crowded(self, source: str) -> bool:
        """Whether so many lanes of a source wait here that a new one had better ``rest``."""
        return self._paced and self._sources.is_crowded(source)

    def rest(self, key: Hashable, source: str, now_us: int) -> Lane:
        """Let a new lane sleep until few enough lanes of its source wait here. Returns: the lane."""
        lane = self._lanes[key] = Lane(key)
        lane.more = lane.asleep = True
        self._sources.rest(self._sources.enrol(lane, source), lane, now_us)
        return lane

    def waking(self, now_us: int) -> list[Lane]:
        """Lanes whose sleep is over: read them from the store."""
        woken = self._woken.copy()
        self._woken.clear()
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
        if self._paced:
            self._sources.advance(now_us)
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_us:
            _, tie, lane = heapq.heappop(waiting)
            if lane.wait == tie:
                lane.wait = 0
                if lane.source is None:
                    self._ready.append(lane)
                else:
                    self._sources.enter(lane.source, lane, now_us)
        cooling = self._cooling
        while cooling and cooling[0][0] <= now_us:
            lane = cooling.popleft()[1]
            idle = lane.head is None and not lane.more and lane.free_us <= now_us
            if idle:
                self._forget(lane, now_us)

    def next_wakeup(self) -> int | None:
        """When ``take`` or ``waking`` can give more, if nothing else happens: None for never.

        0: a head is ready, and goes when there is room. Any other time that has passed: at once.
        """
        if self._woken:
            return 1
        if self._ready:
            return 0
        times = [heap[0][0] for heap in (self._waiting, self._asleep) if heap]
        at_us = self._sources.next_wakeup()
        return min(times, default=None) if at_us is None else min([*times, at_us])

    def entries(self) -> int:
        """How many entries are held."""
        return self.size

    def _schedule(self, lane: Lane, now_us: int, *, first: bool = False) -> None:
        at_us = lane.free_us if lane.free_us > lane.due_us else lane.due_us
        lane.queued = True
        if at_us <= now_us:
            if lane.source is None:
                self._ready.append(lane)
            else:
                self._sources.enter(lane.source, lane, now_us, first=first)
        else:
            self._tie += 1
            lane.wait = self._tie
            heapq.heappush(self._waiting, (at_us, self._tie, lane))

    def _retire(self, lane: Lane, now_us: int) -> None:
        if lane.free_us > now_us:
            self._cooling.append((lane.free_us, lane))
        else:
            self._forget(lane, now_us)

    def _forget(self, lane: Lane, now_us: int) -> None:
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
            if lane.source is not None:
                self._sources.leave(lane.source, now_us)

    def _pass_turn(self, lane: Lane, source: Source, now_us: int) -> None:
        """A lane that was ready or taken does not submit: the next of its source may."""
        if self._sources.give_up_turn(source, lane):
            self._sources.serve(source, now_us)
