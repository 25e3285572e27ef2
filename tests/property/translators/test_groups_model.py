"""A group over links that do anything, against the promises of docs/discussion/failover.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub import Kind, Message, Outcome, Part, Result
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_groups import GroupSettings, SmppGroup

REGULAR = ("a", "b", "c")
STANDBY = ("s", "t")
OTHERS = [Result.RETRY, Result.THROTTLED, Result.IN_DOUBT, Result.UNSENT]
ANSWERS = [Result.ACCEPTED, Result.REFUSED, Result.REFUSED, *OTHERS]  # refusals are what the group is about


class FakeLink:
    """A link that is told what its carrier does."""

    source_gap_us = 0

    def __init__(self, name: str, dialect: str) -> None:
        self.name = f"link:{name}"
        self.dialect = dialect
        self.window = 0
        self.is_bound = False
        self.unanswered: list[Part] = []
        self.given: list[tuple[str, int]] = []
        self.refused: set[int] = set()
        self.is_standby = name in STANDBY

    def join(self, group: SmppGroup) -> None:
        self.group = group

    def split(self, message: Message) -> Sequence[Any]:
        return [f"{self.dialect}:{message.id}"]

    def room(self) -> int:
        return max(0, self.window - len(self.unanswered)) if self.is_bound else 0

    def deliver(self, parts: Sequence[Part]) -> None:
        assert len(parts) <= self.room(), "more than there is room for"
        for part in parts:
            assert part.payload == f"{self.dialect}:{part.message.id}", "in another's hand"
            assert part.message.id not in self.refused, "it has refused that"
        self.unanswered += parts


class GroupModel(RuleBasedStateMachine):
    """The model is the hub: what is to be given, what the group has, what ended."""

    def __init__(self) -> None:
        super().__init__()
        self.links = {name: FakeLink(name, "hand" if name in "ab" else name) for name in (*REGULAR, *STANDBY)}
        self.waiting: dict[int, tuple[Message, int]] = {}
        self.flying: dict[int, tuple[Message, int]] = {}
        self.ended: dict[int, Result] = {}
        self.number = 0
        self.woken = False

    @initialize(
        resend=st.sampled_from([True, True, False]),
        weights=st.tuples(*[st.integers(1, 9)] * 3),
        bound=st.sets(st.sampled_from([*REGULAR, *STANDBY])),
    )
    def make(self, resend: bool, weights: tuple[int, int, int], bound: set[str]) -> None:
        self.resend = resend
        self.group = SmppGroup(
            GroupSettings(
                name="g", members=tuple(zip(REGULAR, weights, strict=True)), standby=STANDBY, resend_refused=resend
            ),
            cast("dict[str, SmppEndpoint]", self.links),
            self,
            lambda: 0,
        )
        for name in sorted(bound):
            self.bind(name, 2)
        self.come(6)

    # --- the road ----------------------------------------------------------------------------------------------------

    def wake(self, endpoint: str) -> None:
        assert endpoint == "group:g"
        self.woken = True

    def may_give(self) -> bool:
        return True

    async def receive(self, endpoint: str, arrivals: Any) -> Any:
        raise NotImplementedError

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        assert endpoint == "group:g"
        for outcome in outcomes:
            message_id = outcome.part.message.id
            message, attempt = self.flying.pop(message_id)  # a KeyError: it was not given, or is reported twice
            if outcome.result in (Result.ACCEPTED, Result.REFUSED):
                self.ended[message_id] = outcome.result
                if outcome.result is Result.REFUSED and self.resend:
                    left = [name for name in REGULAR if message_id not in self.links[name].refused]
                    assert not left, "not everybody was asked"
            else:
                self.waiting[message_id] = (message, attempt + (outcome.result is Result.RETRY))
            if outcome.result is Result.REROUTED:
                able = [link for link in self.in_use() if message_id not in link.refused]
                assert able, "there is no other way"

    def do_now(self, work: Any) -> None:
        """Run something asynchronous that waits for nothing."""
        try:
            work.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    def in_use(self) -> list[FakeLink]:
        bound = [self.links[name] for name in REGULAR if self.links[name].is_bound]
        return bound or [self.links[name] for name in STANDBY if self.links[name].is_bound]

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from([*REGULAR, *STANDBY]), window=st.integers(1, 3))
    def bind(self, name: str, window: int) -> None:
        link = self.links[name]
        if not link.is_bound:
            link.is_bound, link.window, self.woken = True, window, False
            self.group.freed()
            assert self.woken

    @rule(name=st.sampled_from([*REGULAR, *STANDBY]), written=st.booleans())
    def leave(self, name: str, written: bool) -> None:
        link = self.links[name]
        link.is_bound = False
        lost, link.unanswered = link.unanswered, []
        if lost:
            result = Result.IN_DOUBT if written else Result.UNSENT
            self.do_now(self.group.settle(link.name, [Outcome(part, result) for part in lost]))
        self.group.freed()

    @rule(texts=st.integers(1, 6))
    def come(self, texts: int) -> None:
        for _ in range(texts):
            self.number += 1
            message = Message(
                id=self.number,
                kind=Kind.TEXT,
                origin="account:a",
                endpoint="group:g",
                source="+12025550100",
                destination=f"+44770090{self.number:04}",
                received_us=0,
                expires_us=1,
            )
            self.waiting[self.number] = (message, 1)

    @precondition(lambda self: self.waiting)
    @rule(limit=st.sampled_from([1, 3, 20, 20]), together=st.booleans())
    def dispatch(self, limit: int, together: bool) -> None:
        parts: list[Part] = []
        for message_id in sorted(self.waiting)[: min(self.group.room(), limit)]:
            message, attempt = self.flying[message_id] = self.waiting.pop(message_id)
            (payload,) = self.group.split(message)
            parts.append(Part(message, 1, 1, payload, attempt))
        standby_in_use = not any(self.links[name].is_bound for name in REGULAR)
        before = {name: len(self.links[name].unanswered) for name in STANDBY}
        for batch in [parts] if together else [[part] for part in parts]:
            self.group.deliver(batch)
        if not standby_in_use:
            assert before == {name: len(self.links[name].unanswered) for name in STANDBY}

    @precondition(lambda self: any(link.unanswered for link in self.links.values()))
    @rule(data=st.data(), result=st.sampled_from(ANSWERS), count=st.integers(1, 4))
    def answer_alike(self, data: st.DataObject, result: Result, count: int) -> None:
        name = data.draw(st.sampled_from([name for name, link in self.links.items() if link.unanswered]))
        self.answer(name, [result] * count)

    @rule(name=st.sampled_from([*REGULAR, *STANDBY]), results=st.lists(st.sampled_from(ANSWERS), max_size=4))
    def answer(self, name: str, results: list[Result]) -> None:
        link = self.links[name]
        answered = list(zip(link.unanswered, results, strict=False))
        link.unanswered = link.unanswered[len(answered) :]
        if not answered:
            return
        for part, result in answered:
            if result is Result.REFUSED and self.resend:
                link.refused.add(part.message.id)
        self.do_now(self.group.settle(link.name, [Outcome(part, result, reason="no") for part, result in answered]))
        self.group.freed()

    @rule()
    def chores(self) -> None:
        owed, self.group._owed = self.group._owed, []
        self.do_now(self.report("group:g", owed))

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def every_part_is_somewhere_once(self) -> None:
        if not hasattr(self, "group"):
            return
        with_links = [part.message.id for link in self.links.values() for part in link.unanswered]
        aside = [part.message.id for part in self.group._aside]
        owed = [outcome.part.message.id for outcome in self.group._owed]
        assert sorted(with_links + aside + owed) == sorted(self.flying)
        assert len(self.flying) + len(self.waiting) + len(self.ended) == self.number

    @invariant()
    def only_what_has_no_other_way_waits_aside(self) -> None:
        if not hasattr(self, "group"):
            return
        for part in self.group._aside:
            able = [link for link in self.in_use() if part.message.id not in link.refused]
            assert able, "nobody can carry it now: it is to be given back"
            assert not any(link.room() for link in able), "somebody has room for it"
        room = sum(link.room() for link in self.in_use())
        assert self.group.room() == max(0, room - self.group.waiting())

    def teardown(self) -> None:
        """With all links bound and willing, everything ends."""
        if not hasattr(self, "group"):
            return
        for name in REGULAR:
            self.bind(name, 4)
        for _ in range(40 + 4 * self.number):
            if not self.waiting and not self.flying:
                break
            self.chores()
            if self.waiting:
                self.dispatch(20, together=True)
            for name, link in self.links.items():
                self.answer(name, [Result.ACCEPTED] * len(link.unanswered))
        assert not self.waiting, "something is never given"
        assert not self.flying, "something is never answered for"
        assert all(message_id in self.ended for message_id in range(1, self.number + 1))


TestGroupModel = GroupModel.TestCase
