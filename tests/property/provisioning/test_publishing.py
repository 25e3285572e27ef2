"""The rules of publishing against a directory that decides at once or later, forgets, and is cut off at any instant.

The engine is the publisher's in few lines: what is due is written as told, told, and what came of it is written; at any
of these the process may die. The directory remembers keys, as registries do: who tells it the same twice is answered
from its memory, and who reuses a key for something new would be answered wrongly.
"""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from provisioning.directories import Answer, Finding
from provisioning.publishing_rules import (
    ON_ITS_WAY_OUT,
    STEPS,
    Publication,
    Standing,
    State,
    Step,
    Waits,
    answered,
    is_due,
    key_of,
    reconciled,
    step_of,
    told,
    unwished,
    wished,
)

NUMBERS = (1, 2)
SECOND_US = 1_000_000
WAITS = Waits(first_us=10 * SECOND_US, longest_us=100 * SECOND_US)
numbers = st.sampled_from(NUMBERS)


class Registry:
    """What is at the other end."""

    def __init__(self) -> None:
        self.listed: dict[int, str] = {}
        self.pending: list[tuple[str, int, str]] = []  # key, number, content or "" for a withdrawal
        self.keys: dict[str, tuple[int, str]] = {}
        self.decides_at_once = True
        self.refuses = False

    def tell(self, key: str, number: int, content: str) -> Answer:
        if key in self.keys:
            assert self.keys[key] == (number, content), "a key was used for something else"
            return self.look_up(number, content)
        self.keys[key] = number, content
        if self.refuses and content:
            return Answer(Finding.REFUSED, "no")
        self.pending = [each for each in self.pending if each[1] != number]
        self.pending.append((key, number, content))
        if not self.decides_at_once:
            return Answer(Finding.SUBMITTED)
        self.decide()
        return self.look_up(number, content)

    def decide(self) -> None:
        for _, number, content in self.pending:
            if content:
                self.listed[number] = content
            else:
                self.listed.pop(number, None)
        self.pending = []

    def look_up(self, number: int, content: str) -> Answer:
        if any(number == pending for _, pending, _ in self.pending):
            return Answer(Finding.SUBMITTED)
        there = self.listed.get(number)
        if there is None:
            return Answer(Finding.ABSENT)
        return Answer(Finding.ACTIVE if there == content else Finding.DIFFERS)


class Publishing(RuleBasedStateMachine):
    """One directory, a few numbers."""

    @initialize()
    def begin(self) -> None:
        self.now_us = 10**12
        self.registry = Registry()
        self.rows: dict[int, Publication] = {}
        self.wanted: dict[int, bool] = dict.fromkeys(NUMBERS, False)
        self.standing = dict.fromkeys(NUMBERS, Standing.SERVED)
        self.content = dict.fromkeys(NUMBERS, "v0")
        self.covered = True
        self.versions = 0

    # --- what operators do ------------------------------------------------------------------------------------------

    @rule(number=numbers)
    def publish(self, number: int) -> None:
        if not self.covered or self.standing[number] is Standing.GONE:
            return  # refused
        self.rows[number] = wished(self.rows.get(number), "d", number, "acme", self.now_us)
        self.wanted[number] = True

    @rule(number=numbers)
    def withdraw(self, number: int) -> None:
        if number in self.rows:
            self.rows[number] = unwished(self.rows[number], self.now_us)
        self.wanted[number] = False

    @rule(number=numbers, standing=st.sampled_from(Standing))
    def stand(self, number: int, standing: Standing) -> None:
        self.standing[number] = standing
        if standing is Standing.GONE:
            self.wanted[number] = False
        self._reconcile()

    @rule(number=numbers)
    def change(self, number: int) -> None:
        self.versions += 1
        self.content[number] = f"v{self.versions}"
        self._reconcile()

    @rule(covered=st.booleans())
    def lapse_or_renew(self, covered: bool) -> None:
        self.covered = covered
        self._reconcile()

    # --- what the directory does ------------------------------------------------------------------------------------

    @rule(at_once=st.booleans(), refuses=st.booleans())
    def mood(self, at_once: bool, refuses: bool) -> None:
        self.registry.decides_at_once = at_once
        self.registry.refuses = refuses

    @rule()
    def decide(self) -> None:
        self.registry.decide()

    # --- what the publisher does ------------------------------------------------------------------------------------

    @rule(leap_s=st.integers(0, 200))
    def wait(self, leap_s: int) -> None:
        self.now_us += leap_s * SECOND_US

    @rule(back_s=st.integers(0, 10_000))
    def clock_jumps_back(self, back_s: int) -> None:
        self.now_us -= back_s * SECOND_US

    @rule(number=numbers, dies=st.sampled_from(["never", "before the call", "after the call"]), lost=st.booleans())
    def round(self, number: int, dies: str, lost: bool) -> None:
        self._round(number, dies, lost=lost)

    @rule()
    def rounds(self) -> None:
        """All is well for a while."""
        for _ in range(4):
            self.now_us += WAITS.longest_us
            self.registry.decide()
            for number in NUMBERS:
                self._round(number)

    def _round(self, number: int, dies: str = "never", *, lost: bool = False) -> None:
        row = self.rows.get(number)
        if row is None or not is_due(row, self.now_us, WAITS):
            return
        new = reconciled(row, self.standing[number], self.content[number], self.covered, self.now_us)
        if new.state != row.state:
            self.rows[number] = new
            return
        step = step_of(new, self.covered)
        if step is None:
            return
        if step is not Step.CONFIRM:
            submission = max(self.now_us, new.submission + 1)
            new = told(new, self.content[number], submission, self.now_us + 20 * SECOND_US, self.now_us)
            self.rows[number] = new
        if dies == "before the call":
            return
        out = new.state in ON_ITS_WAY_OUT
        if step is Step.CONFIRM:
            answer = self.registry.look_up(number, new.content)
        else:
            assert step is Step.WITHDRAW or (self.covered and self.standing[number] is Standing.SERVED)
            answer = self.registry.tell(key_of(new), number, "" if out else new.content)
        if dies == "after the call":
            return
        if lost:
            answer = Answer(Finding.LATER, "no answer")
        self.rows[number] = reconciled(
            answered(new, answer, WAITS, self.now_us),
            self.standing[number],
            self.content[number],
            self.covered,
            self.now_us,
        )

    def _reconcile(self) -> None:
        for number, row in self.rows.items():
            self.rows[number] = reconciled(row, self.standing[number], self.content[number], self.covered, self.now_us)

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_from_sight(self) -> None:
        """What the directory has, or may come to have, a row knows of."""
        for number in [*self.registry.listed, *(each[1] for each in self.registry.pending if each[2])]:
            row = self.rows[number]
            assert row.content, row
            assert row.state != State.WITHDRAWN, row

    @invariant()
    def what_is_withdrawn_is_let_go_of(self) -> None:
        for row in self.rows.values():
            assert row.state != State.WITHDRAWN or not row.content, row

    @invariant()
    def what_has_a_step_is_due_some_time(self) -> None:
        for row in self.rows.values():
            assert (row.next_us > 0) == (STEPS[State(row.state)] is not None), row

    def teardown(self) -> None:
        """When directory and letters are well again, it comes to stand as it is wished, and then rests."""
        self.registry.decides_at_once, self.registry.refuses, self.covered = True, False, True
        self._reconcile()
        for number in NUMBERS:
            if self.wanted[number]:
                self.publish(number)  # what was refused stays so until somebody asks again
        for _ in range(60):
            self.now_us += WAITS.longest_us
            self.registry.decide()
            for number in NUMBERS:
                self._round(number)
        served = {number for number in NUMBERS if self.standing[number] is Standing.SERVED}
        wished_for = {number for number in NUMBERS if self.wanted[number] and number in served}
        assert self.registry.listed == {number: self.content[number] for number in wished_for}
        for number, row in self.rows.items():
            assert row.state == (State.ACTIVE if number in wished_for else State.WITHDRAWN), row
            assert msgspec.structs.astuple(row)[9] == 0  # next_us: at rest


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=300, stateful_step_count=40)
