"""Lanes whose sources have a gap, against a simple model: the rules of ``hub.sources`` said one by one."""

from __future__ import annotations

import heapq
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from hub import sources
from hub.lanes import Entry, Lanes

GAP = 100
SOURCE_GAP = 250
SOURCES = "xy"
CROWD = sources.CROWD
LANES = [source + lane for source in SOURCES for lane in "abc"] + ["-a"]  # the last is of nobody's source
KEYS = st.sampled_from(LANES)


def source_of(key: str) -> str:
    return "" if key[0] == "-" else key[0]


class Numbered(Entry):
    __slots__ = ("due_us", "number", "taken")

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.taken = False
        self.due_us = 0


class SourcesModel(RuleBasedStateMachine):
    """The model keeps each lane's entries, when each lane and each source last submitted, and whose turn is out."""

    entries: Bundle[Any] = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        sources.CROWD = 1  # type: ignore[misc]  # or a thousand lanes would have to wait before one rests
        self.lanes: Lanes[Numbered] = Lanes(GAP, SOURCE_GAP)
        self.now = 1_000
        self.number = 0
        self.model: dict[str, list[Numbered]] = {key: [] for key in LANES}
        self.stored: dict[str, list[Numbered]] = {key: [] for key in LANES}
        self.last: dict[str, int] = {}  # of lanes and of sources
        self.turn: dict[str, Numbered] = {}  # taken and not submitted

    def due(self, key: str) -> int | None:
        """When a lane's head may go by itself; None when it must not."""
        queue = self.model[key]
        if not queue or queue[0].taken or queue[0].held:
            return None
        return max(self.last.get(key, -GAP) + GAP, queue[0].due_us)

    def source_due(self, source: str) -> int | None:
        """When a source may submit; None while a turn of its is out."""
        if not source:
            return 0
        return None if source in self.turn else self.last.get(source, -SOURCE_GAP) + SOURCE_GAP

    def submit(self, key: str, entry: Numbered) -> None:
        source = source_of(key)
        assert self.last.get(key, -GAP) + GAP <= self.now, "the lane's gap was not kept"
        if source:
            assert self.last.get(source, -SOURCE_GAP) + SOURCE_GAP <= self.now, "the source's gap was not kept"
            self.last[source] = self.now
            self.turn.pop(source, None)
        self.lanes.submitted(entry, self.now)
        self.last[key] = self.now

    def leave(self, key: str, entry: Numbered) -> None:
        if self.turn.get(source_of(key)) is entry:
            del self.turn[source_of(key)]

    @rule(target=entries, key=KEYS, way=st.sampled_from(["release", "seize", "hold"]))
    def push(self, key: str, way: str) -> Any:
        if self.stored[key]:
            return None
        entry = Numbered(self.number)
        self.number += 1
        self.lanes.push(key, entry, source_of(key))
        self.model[key].append(entry)
        if way == "release":
            self.lanes.release(entry, self.now)
        elif way == "seize" and self.lanes.seize(entry, self.now):
            assert self.model[key][0] is entry, "overtook its lane"
            due = self.source_due(source_of(key))
            assert due is not None, "two turns of one source"
            assert due <= self.now, "the source's gap was not kept"
            entry.taken = True
            if source_of(key):
                self.turn[source_of(key)] = entry
        return key, entry

    @rule(one=entries)
    def settle_seized(self, one: Any) -> None:
        """The journal has what was seized: it goes out."""
        if one is not None and one[1].held and one[1].taken and one[1].lane is not None:
            one[1].held = False
            self.submit(*one)

    @rule(one=entries)
    def release(self, one: Any) -> None:
        if one is not None and one[1].held and not one[1].taken and one[1].lane is not None:
            self.lanes.release(one[1], self.now)

    @rule(limit=st.integers(1, 4), submit=st.booleans())
    def take(self, limit: int, submit: bool) -> None:
        may: dict[str, set[int]] = {}
        for key in LANES:
            due, source_due = self.due(key), self.source_due(source_of(key))
            if due is not None and due <= self.now and source_due is not None and source_due <= self.now:
                may.setdefault(source_of(key) or key, set()).add(self.model[key][0].number)
        taken = self.lanes.take(limit, self.now)
        groups = []
        for entry in taken:
            assert entry.lane is not None
            key = str(entry.lane.key)
            group = source_of(key) or key
            assert entry.number in may.get(group, ()), "gave what may not go"
            groups.append(group)
            entry.taken = True
            if source_of(key):
                self.turn[source_of(key)] = entry
        assert len(set(groups)) == len(groups), "two turns of one source"
        assert len(taken) == min(limit, len(may)), "did not give what may go"
        if submit:
            for entry in taken:
                assert entry.lane is not None
                self.submit(str(entry.lane.key), entry)

    @rule(one=entries)
    def done(self, one: Any) -> None:
        if one is None or one[1].lane is None:
            return
        key, entry = one
        assert self.lanes.done(entry, self.now) is None
        self.model[key].remove(entry)
        self.leave(key, entry)

    @rule(one=entries, wait=st.sampled_from([0, 30, 100, 500]))
    def again(self, one: Any, wait: int) -> None:
        if one is None or not one[1].taken or one[1].lane is None:
            return
        key, entry = one
        entry.taken = entry.held = False
        entry.due_us = self.now + wait
        self.leave(key, entry)
        self.lanes.again(entry, self.now + wait, self.now)

    @rule(key=KEYS, wait=st.sampled_from([100, 500]))
    def sleep(self, key: str, wait: int) -> None:
        queue = self.model[key]
        if not queue or queue[0].taken or any(entry.held for entry in queue):
            return
        assert self.lanes.sleep(key, self.now + wait) == queue
        for entry in queue:
            entry.due_us = 0  # the row knows
        self.stored[key], self.model[key] = queue, []

    @rule(target=entries, key=KEYS)
    def rest(self, key: str) -> Any:
        """A lane that is new comes in by way of the store."""
        source = source_of(key)
        if not source or self.stored[key] or self.lanes.lane(key) is not None:
            return None
        entry = Numbered(self.number)
        self.number += 1
        self.stored[key] = [entry]
        self.lanes.rest(key, source, self.now)
        return key, entry

    @precondition(lambda self: any(self.stored.values()))
    @rule(wait=st.sampled_from([0, 0, 400]))
    def wake(self, wait: int) -> None:
        for lane in self.lanes.waking(self.now):
            key = str(lane.key)
            for entry in self.stored[key]:
                self.lanes.push(key, entry, source_of(key))
                self.model[key].append(entry)
                if lane.head is entry:
                    entry.due_us = self.now + wait
                    self.lanes.wait(lane, entry.due_us)
                self.lanes.release(entry, self.now)
            self.stored[key] = []
            self.lanes.drained(lane, self.now)

    @rule(step=st.sampled_from([1, 50, 100, 250, 700]))
    def advance(self, step: int) -> None:
        self.now += step

    @invariant()
    def who_could_go_is_not_slept_through(self) -> None:
        wakeup = self.lanes.next_wakeup()
        for key in LANES:
            due, source_due = self.due(key), self.source_due(source_of(key))
            if due is not None and source_due is not None:
                assert wakeup is not None
                assert wakeup <= max(due, source_due, self.now), "it would be woken too late"

    def teardown(self) -> None:
        try:
            self.work_off()
        finally:
            sources.CROWD = CROWD  # type: ignore[misc]

    def work_off(self) -> None:
        """All that is left can be worked off in order, and leaves nothing behind."""
        for key, queue in self.model.items():
            for entry in list(queue):
                if entry.taken:
                    entry.taken = entry.held = False
                    self.leave(key, entry)
                    self.lanes.again(entry, 0, self.now)
                elif entry.held:
                    self.lanes.release(entry, self.now)
        expected = {
            key: [
                e.number for e in [*self.model[key], *self.stored[key]] if e.lane is not None or e in self.stored[key]
            ]
            for key in LANES
        }
        order: dict[str, list[int]] = {key: [] for key in LANES}
        for _ in range(2_000):
            wakeup = self.lanes.next_wakeup()
            if wakeup is None:
                break
            self.now = max(self.now, wakeup)
            self.wake(0)
            for entry in self.lanes.take(3, self.now):
                assert entry.lane is not None
                key = str(entry.lane.key)
                entry.due_us = 0
                self.submit(key, entry)
                order[key].append(entry.number)
                self.lanes.done(entry, self.now)
                self.model[key].remove(entry)
        assert order == expected
        self.lanes.advance(self.now + GAP + SOURCE_GAP)
        assert self.lanes.size == 0
        assert len(self.lanes) == 0, "lanes were kept for nothing"
        assert self.lanes.sources == 0, "sources were kept for nothing"
        assert self.lanes.next_wakeup() is None


TestSourcesModel = SourcesModel.TestCase


@given(
    lanes=st.lists(st.integers(1, 4), min_size=2, max_size=2 * CROWD),
    latency=st.integers(0, SOURCE_GAP - 1),
    memory=st.integers(1, 3 * CROWD),
    data=st.data(),
)
@settings(deadline=None)
def test_the_rate_is_reached_in_turns_whatever_rests_in_the_store(
    lanes: list[int], latency: int, memory: int, data: st.DataObject
) -> None:
    """One source with enough to do submits each gap, no sooner and no later; every lane has its turn in each round.

    Lanes that come while more than ``memory`` entries are held rest in the store, some are withdrawn there.
    """
    scheduler: Lanes[Numbered] = Lanes(0, SOURCE_GAP)
    store: dict[int, list[Numbered]] = {}
    number = itertools.count()
    for key, count in enumerate(lanes):
        entries = [Numbered(next(number)) for _ in range(count)]
        if scheduler.size > memory and scheduler.is_crowded("x"):
            scheduler.rest(key, "x", 0)
            store[key] = entries if data.draw(st.booleans(), "is left") else []
            continue
        for entry in entries:
            scheduler.push(key, entry, "x")
            scheduler.release(entry, 0)
    left = [count if key not in store else len(store[key]) for key, count in enumerate(lanes)]
    total = sum(left)
    given_out: list[tuple[int, int]] = []
    answers: list[tuple[int, int, Numbered]] = []
    now = 0
    while len(given_out) < total or answers:
        wakeup = scheduler.next_wakeup()
        times = [max(now, wakeup)] if wakeup is not None else []
        now = min([*times, *(answers[0][:1] if answers else ())])
        while answers and answers[0][0] <= now:
            scheduler.done(heapq.heappop(answers)[2], now)
        for lane in scheduler.waking(now):
            key = int(str(lane.key))
            for entry in store.pop(key):
                scheduler.push(key, entry, "x")
                scheduler.release(entry, now)
            scheduler.drained(lane, now)
        for entry in scheduler.take(10, now):
            assert entry.lane is not None
            given_out.append((now, int(str(entry.lane.key))))
            scheduler.submitted(entry, now)
            heapq.heappush(answers, (now + latency, entry.number, entry))
    assert all(later[0] - earlier[0] >= SOURCE_GAP for earlier, later in itertools.pairwise(given_out))
    if not any(count == 0 for count in left):
        assert [at for at, _ in given_out] == [SOURCE_GAP * n for n in range(total)], "a gap went by unused"
    waited = dict.fromkeys(range(len(lanes)), 0)
    for _, key in given_out:
        waited[key] = 0
        for other in waited:
            waited[other] += other != key
        left[key] -= 1
        assert all(count <= 2 * len(lanes) for other, count in waited.items() if left[other]), "a lane starves"
