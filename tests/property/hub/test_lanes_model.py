"""Lanes against a simple model: a list for each lane, and the rules said one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from hub.lanes import Entry, Lanes

GAP = 100
KEYS = st.sampled_from("abcd")


class Numbered(Entry):
    __slots__ = ("due_us", "number", "taken")

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.taken = False
        self.due_us = 0


class LanesModel(RuleBasedStateMachine):
    """The model keeps all entries of each lane in order, and when the lane last submitted."""

    entries: Bundle[Any] = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[Numbered] = Lanes(GAP)
        self.now = 1_000
        self.number = 0
        self.model: dict[str, list[Numbered]] = {key: [] for key in "abcd"}
        self.stored: dict[str, list[Numbered]] = {key: [] for key in "abcd"}  # of lanes that sleep
        self.last: dict[str, int] = {}
        self.finished: list[int] = []

    def at_rest(self, key: str) -> bool:
        """Neither on the wire nor asleep."""
        return not self.stored[key] and not (self.model[key] and self.model[key][0].taken)

    def wanted(self, key: str) -> Numbered | None:
        """The entry that a lane would have to give now."""
        queue = self.model[key]
        if not queue or queue[0].taken or queue[0].held:
            return None
        ready = max(self.last.get(key, -GAP) + GAP, queue[0].due_us) <= self.now
        return queue[0] if ready else None

    @rule(target=entries, key=KEYS, now_at_once=st.booleans())
    def push(self, key: str, now_at_once: bool) -> Any:
        if self.stored[key]:
            return None  # a lane whose rest is in the store takes no entries: the dispatcher leaves them there
        entry = Numbered(self.number)
        self.number += 1
        self.lanes.push(key, entry)
        self.model[key].append(entry)
        if now_at_once:
            self.lanes.release(entry, self.now)
        return key, entry

    @rule(target=entries, key=KEYS)
    def push_and_seize(self, key: str) -> Any:
        if self.stored[key]:
            return None
        entry = Numbered(self.number)
        self.number += 1
        self.lanes.push(key, entry)
        self.model[key].append(entry)
        if self.lanes.seize(entry, self.now):
            assert self.model[key][0] is entry, "overtook its lane"
            assert self.last.get(key, -GAP) + GAP <= self.now, "the gap was not kept"
            entry.held, entry.taken = False, True
            self.lanes.submitted(entry, self.now)
            self.last[key] = self.now
        return key, entry

    @rule(one=entries)
    def release(self, one: Any) -> None:
        if one is not None and one[1].held and one[1].lane is not None:
            self.lanes.release(one[1], self.now)

    @rule(limit=st.integers(1, 5), submit=st.booleans())
    def take(self, limit: int, submit: bool) -> None:
        wanted = {entry.number for key in self.model if (entry := self.wanted(key)) is not None}
        taken = self.lanes.take(limit, self.now)
        numbers = {entry.number for entry in taken}
        assert numbers <= wanted, "gave what may not go"
        assert len(numbers) == min(limit, len(wanted)), "did not give what may go"
        for entry in taken:
            entry.taken = True
            if submit:
                self.lanes.submitted(entry, self.now)
                self.last[entry.lane.key] = self.now  # type: ignore[union-attr, index]

    @rule(one=entries)
    def done(self, one: Any) -> None:
        """The wire's answer, an expiry in the queue, a failed commit: whatever ends an entry."""
        if one is None or one[1].lane is None:
            return
        key, entry = one
        dry = self.lanes.done(entry, self.now)
        assert dry is None
        self.model[key].remove(entry)
        self.finished.append(entry.number)

    @rule(one=entries, wait=st.sampled_from([0, 30, 100, 500]))
    def again(self, one: Any, wait: int) -> None:
        if one is not None and one[1].taken and one[1].lane is not None:
            one[1].taken = False
            one[1].due_us = self.now + wait
            self.lanes.again(one[1], self.now + wait, self.now)

    @rule(key=KEYS, wait=st.sampled_from([100, 500]))
    def sleep(self, key: str, wait: int) -> None:
        queue = self.model[key]
        if not queue or not self.at_rest(key) or any(entry.held for entry in queue):
            return
        assert self.lanes.sleep(key, self.now + wait) == queue
        self.stored[key], self.model[key] = queue, []

    @precondition(lambda self: self.lanes.sleeping)
    @rule()
    def wake(self) -> None:
        for lane in self.lanes.waking(self.now):
            key = str(lane.key)
            for entry in self.stored[key]:  # as read from the store: all at once, in order
                self.lanes.push(key, entry)
                self.model[key].append(entry)
                if lane.head is entry:
                    entry.due_us = self.now + 50
                    self.lanes.wait(lane, entry.due_us)
                self.lanes.release(entry, self.now)
            self.stored[key] = []
            self.lanes.drained(lane, self.now)

    @rule(step=st.sampled_from([1, 50, 100, 700]))
    def advance(self, step: int) -> None:
        self.now += step

    @invariant()
    def nothing_is_lost(self) -> None:
        held = sum(map(len, self.model.values()))
        assert self.lanes.size == held
        assert held + sum(map(len, self.stored.values())) + len(self.finished) == self.number

    @invariant()
    def who_could_go_is_not_slept_through(self) -> None:
        wakeup = self.lanes.next_wakeup()
        for key, queue in self.model.items():
            if queue and not queue[0].taken and not queue[0].held:
                due = max(self.last.get(key, -GAP) + GAP, queue[0].due_us)
                assert wakeup is not None
                assert wakeup <= max(due, self.now), "it would be woken too late"

    def teardown(self) -> None:
        """All that is left can be worked off in order, and leaves nothing behind."""
        self.now += 1_000
        self.wake()
        for queue in list(self.model.values()):
            for entry in list(queue):
                if entry.taken:
                    entry.taken, entry.due_us = False, 0
                    self.lanes.again(entry, 0, self.now)
                elif entry.held:
                    self.lanes.release(entry, self.now)
        order: dict[str, list[int]] = {key: [] for key in self.model}
        expected = {key: [entry.number for entry in queue] for key, queue in self.model.items()}
        for _ in range(10_000):
            if not self.lanes.size:
                break
            for entry in self.lanes.take(3, self.now):
                self.lanes.submitted(entry, self.now)
                order[str(entry.lane.key)].append(entry.number)  # type: ignore[union-attr]
                self.lanes.done(entry, self.now)
            self.now += 60
        assert order == expected
        assert self.lanes.take(1, self.now + GAP) == []  # a lane whose head was ended while it was ready is passed over
        assert len(self.lanes) == 0, "lanes were kept for nothing"
        assert self.lanes.next_wakeup() is None


TestLanesModel = LanesModel.TestCase
