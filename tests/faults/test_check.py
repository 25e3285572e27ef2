"""The checker finds what is planted, of each kind, in the right words, and nothing where nothing is."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.check import Journalled, Kind, Rules, Violation, check, main
from tests.faults.history import BadHistory, Event, History, Recorder, read
from tests.faults.invented import Invention
from tests.faults.process import ROOT
from tests.faults.texts import name_of

MS = 1_000_000
S = 1_000 * MS
ONE, TWO, THREE = (name_of("A", 1, number) for number in range(3))


class Story:
    """A history told line by line; each line is ten milliseconds after the one before."""

    def __init__(self, *, sink_nodes: tuple[str, ...] = ("", "")) -> None:
        self.events: list[Event] = []
        self.now = 0
        self.journal: dict[str, Journalled] = {}
        self.note("esme", "bind", "ok", 1)
        for number, node in enumerate(sink_nodes, 1):
            self.note("sink", "bind", "ok", number, node=node)

    def note(self, who: str, do: str, how: str, session: int = 1, **more: object) -> Story:
        self.now += 10 * MS
        self.events.append(Event(at=self.now, who=who, do=do, how=how, session=session, **more))  # type: ignore[arg-type]
        return self

    def send(self, name: str, *, asked: bool = False, who: str = "esme", session: int = 1) -> Story:
        return self.note(who, "send", "invoke", session, name=name, lane=name[:3], asked=asked)

    def ok(self, name: str, *, who: str = "esme", session: int = 1) -> Story:
        self.journal.setdefault(name, Journalled())
        return self.note(who, "send", "ok", session, name=name, id=f"id-{name}")

    def text(self, name: str, *, asked: bool = False) -> Story:
        return self.send(name, asked=asked).ok(name)

    def came(self, name: str, part: int = 1, total: int = 1, session: int = 1) -> Story:
        return self.note("sink", "take", "invoke", session, name=name, part=part, total=total)

    def took(
        self, name: str, part: int = 1, total: int = 1, session: int = 1, how: str = "ok", word: str = ""
    ) -> Story:
        return self.note("sink", "take", how, session, name=name, part=part, total=total, word=word)

    def take(self, name: str, part: int = 1, total: int = 1, session: int = 1) -> Story:
        return self.came(name, part, total, session).took(name, part, total, session)

    def told(self, name: str, word: str = "DELIVRD", session: int = 1) -> Story:
        return self.note("esme", "told", "ok", session, id=f"id-{name}", word=word)

    def wait(self, seconds: float) -> Story:
        self.now += int(seconds * S)
        return self

    def found(self, *, rules: Rules | None = None, with_journal: bool = True) -> list[str]:
        return [str(violation) for violation in self.violations(rules=rules, with_journal=with_journal)]

    def violations(self, *, rules: Rules | None = None, with_journal: bool = True) -> list[Violation]:
        return check(self.events, self.journal if with_journal else None, {}, rules)[0]


SEVERAL = Rules(one_hub=False)


# --- lost ---


def test_what_was_not_acknowledged_may_be_missing_or_come_once() -> None:
    assert Story().send(ONE).found() == []
    story = Story().send(ONE).take(ONE)
    story.journal[ONE] = Journalled()
    assert story.found() == []
    assert Story().send(ONE).take(ONE).found(with_journal=False) == []


def test_a_lost_text_is_found() -> None:
    story = Story().text(ONE).text(TWO).take(TWO)
    assert story.found() == [f"lost: {ONE}: lost"]
    assert story.found(with_journal=False) == [f"lost: {ONE}: lost"]


def test_a_text_that_is_not_even_in_the_journal_is_found() -> None:
    story = Story().text(ONE)
    story.journal.clear()
    assert story.found() == [f"lost: {ONE}: acknowledged, but not in the journal", f"lost: {ONE}: lost"]


def test_a_text_that_only_the_journal_knows_is_found() -> None:
    story = Story().send(ONE)
    story.journal[ONE] = Journalled()
    assert story.found() == [f"lost: {ONE}: lost"]


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_lost_part_is_found(part: int) -> None:
    story = Story().text(ONE)
    for other in {1, 2, 3} - {part}:
        story.take(ONE, other, 3)
    left = sorted({1, 2, 3} - {part})
    assert f"lost: {ONE}: lost in part: {left} of 3" in story.found()


def test_parts_of_what_was_never_acknowledged_are_not_left_over() -> None:
    assert Story().send(ONE).take(ONE, 1, 2).found(with_journal=False) == [f"lost: {ONE}: lost in part: [1] of 2"]


def test_a_text_that_stays_in_the_queue_is_found() -> None:
    story = Story().text(ONE).take(ONE)
    story.journal[ONE] = Journalled(is_over=False)
    assert story.found() == [f"lost: {ONE}: journalled, but not handed over"]


def test_a_text_that_was_refused_for_now_and_never_came_again_is_found() -> None:
    story = Story().text(ONE).came(ONE).took(ONE, how="fail", word="0x00000058")
    assert story.found() == [f"lost: {ONE}: lost: it came, and the sink never took it"]
    assert Story().text(ONE).came(ONE).took(ONE, how="fail", word="0x0000000b").found() == []


def test_a_text_that_was_acknowledged_whole_and_came_with_parts_missing_is_found() -> None:
    story = Story()
    for piece in (1, 2):
        story.note("esme", "send", "invoke", name=ONE, lane="A01", part=piece, total=2)
        story.note("esme", "send", "ok", name=ONE, part=piece)
    story.note("sink", "take", "ok", name=ONE, whole=False)
    assert story.found(with_journal=False) == [f"lost: {ONE}: every piece was acknowledged, and some are missing"]


def test_of_a_text_that_was_sent_twice_each_acknowledged_copy_is_to_be_taken() -> None:
    story = Story().text(ONE).text(ONE).take(ONE)
    story.journal[ONE] = Journalled(copies=2)
    assert story.found() == [f"lost: {ONE}: acknowledged 2 times, and not taken as often"]
    assert story.take(ONE).found() == []


# --- twice ---


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_repetition_is_found_and_pardoned_by_the_journal_and_a_reason(part: int) -> None:
    story = Story().text(ONE)
    for each in (1, 2, 3):
        story.take(ONE, each, 3)
        if each == part:
            story.take(ONE, each, 3)
    assert story.found() == [
        f"twice: {ONE}: part {part} was taken again, and its answer was in no doubt",
        f"twice: {ONE}: taken again 1 times, in doubt 0 times",
    ]
    story.journal[ONE] = Journalled(in_doubt=1)  # the journal alone does not make a doubt
    assert story.found() == [f"twice: {ONE}: part {part} was taken again, and its answer was in no doubt"]


REASONS: dict[str, Callable[[Story], Story]] = {
    "its session ended": lambda story: story.take(ONE).note("sink", "end", "ok", 1).take(ONE, session=2),
    "its session ended unanswered": lambda story: story.came(ONE).note("sink", "end", "ok", 1).take(ONE, session=2),
    "the end was seen late": lambda story: story.take(ONE).take(ONE, session=2).note("sink", "end", "ok", 1),
    "the answer was late": lambda story: story.came(ONE).wait(4).took(ONE).take(ONE),
    "it was never answered": lambda story: story.came(ONE).took(ONE, how="info").take(ONE),
    "something broke": lambda story: (
        story.take(ONE).note("weather", "fault", "invoke", word="kill postgresql").take(ONE)
    ),
    "something was broken": lambda story: (
        story.note("weather", "fault", "invoke", word="x").wait(9).take(ONE).take(ONE)
    ),
    "it waited, and something broke": lambda story: (
        story.came(ONE).note("weather", "fault", "invoke", word="freeze hub").came(ONE, session=2).took(ONE, session=2)
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_leaves_a_doubt(reason: str) -> None:
    story = REASONS[reason](Story().text(ONE))
    assert story.found(with_journal=False) == []
    assert story.found() == [f"twice: {ONE}: taken again 1 times, in doubt 0 times"]
    story.journal[ONE] = Journalled(in_doubt=1)
    assert story.found() == []


def test_a_refused_part_may_come_again() -> None:
    assert Story().text(ONE).came(ONE).took(ONE, how="fail", word="0x00000058").take(ONE).found() == []


def test_a_part_that_is_sent_again_while_it_waits_is_found() -> None:
    story = Story().text(ONE).came(ONE).came(ONE, session=2).took(ONE, session=2).took(ONE)
    assert f"twice: {ONE}: part 1 was sent again while it was waiting for its answer" in story.found()
    assert f"twice: {ONE}: taken again 1 times, in doubt 0 times" in story.found()


def test_the_end_of_a_session_long_after_is_no_excuse() -> None:
    story = Story().text(ONE).take(ONE).take(ONE, session=2).wait(9).note("sink", "end", "ok", 1)
    assert story.found(with_journal=False) == [f"twice: {ONE}: part 1 was taken again, and its answer was in no doubt"]


def test_a_text_that_stands_twice_in_the_journal_is_found() -> None:
    story = Story().text(ONE).take(ONE).take(ONE)
    story.journal[ONE] = Journalled(copies=2)
    assert f"twice: {ONE}: 2 times in the journal, sent 1 times" in story.found()


# --- order ---


def test_order_is_of_acknowledgement_whatever_died_meanwhile() -> None:
    story = Story().text(ONE).note("esme", "end", "ok").note("esme", "bind", "ok", 2).send(TWO, session=2).take(TWO)
    story.take(ONE).ok(TWO, session=2)
    words = f"order: lane A01: {ONE} came after {TWO}, which was sent when {ONE} was acknowledged"
    assert words in story.found(rules=SEVERAL)


def test_nodes_may_mix_up_what_came_at_nearly_the_same_time_where_the_rules_say_so() -> None:
    story = (
        Story().text(ONE).note("other", "bind", "ok").send(TWO, who="other").ok(TWO, who="other").take(TWO).take(ONE)
    )
    assert story.found(rules=Rules(one_hub=False, overtake_s=0.1)) == []
    assert [kind for kind, *_ in map(msgspec.structs.astuple, story.violations(rules=SEVERAL))] == [Kind.ORDER]
    story = Story().text(ONE).wait(0.2).send(TWO, who="other").ok(TWO, who="other").take(TWO).take(ONE)
    assert story.found(rules=Rules(one_hub=False, overtake_s=0.1)) != []


def test_of_what_was_under_way_at_the_same_time_over_two_sessions_either_may_be_first() -> None:
    story = Story().send(ONE).send(TWO, who="other").ok(TWO, who="other").ok(ONE).take(TWO).take(ONE)
    assert story.found(rules=SEVERAL) == []
    assert story.found() == [], "two senders have no order in one hub either"


def test_what_was_not_acknowledged_may_come_in_late_only_where_there_are_several_hubs() -> None:
    story = Story().send(ONE).note("esme", "end", "ok").note("esme", "bind", "ok", 2)
    story.send(TWO, session=2).ok(TWO, session=2).take(TWO).take(ONE)
    story.journal[ONE] = Journalled()
    assert story.found(rules=SEVERAL) == []
    assert story.found() == [f"order: lane A01: {ONE} came after {TWO}, which esme sent later"]


def test_one_session_keeps_the_order_of_sending() -> None:
    story = Story().send(ONE).send(TWO).ok(ONE).ok(TWO).take(TWO).take(ONE)
    for rules in (Rules(), SEVERAL):
        assert story.found(rules=rules) == [f"order: lane A01: {ONE} came after {TWO}, which esme sent later"]


def test_an_order_between_lanes_is_none() -> None:
    other = name_of("A", 2, 1)
    assert Story().text(ONE).text(other).take(other).take(ONE).found() == []


@pytest.mark.parametrize(
    ("takes", "words"),
    [
        ([(ONE, 2), (ONE, 1), (ONE, 3)], f"{ONE} began with part 2"),
        ([(ONE, 1), (ONE, 3), (ONE, 2)], f"{ONE} part 3 came straight after part 1"),
        ([(ONE, 1), (TWO, 1), (ONE, 2)], f"{ONE} part 2 came after {TWO} part 1"),
        ([(ONE, 1), (ONE, 2), (ONE, 3), (TWO, 1), (ONE, 3)], f"{ONE} part 3 came after {TWO} part 1"),
        ([(ONE, 1), (ONE, 2), (ONE, 1)], f"{ONE} part 1 came after {ONE} part 2"),
    ],
)
def test_parts_that_are_out_of_their_place_are_found(takes: list[tuple[str, int]], words: str) -> None:
    story = Story().text(ONE).text(TWO)
    for name, part in takes:
        story.take(name, part, 3)
    assert f"order: lane A01: {words}" in story.found()


def test_a_text_that_came_with_parts_missing_has_its_place_when_the_wait_was_over() -> None:
    story = Story().note("esme", "send", "invoke", name=ONE, lane="A01", part=1, total=2)
    story.note("esme", "send", "ok", name=ONE, part=1).text(TWO).take(TWO)
    story.note("sink", "take", "ok", name=ONE, whole=False)
    assert story.found(with_journal=False) == []


# --- early and split ---


def test_a_part_before_the_answer_to_the_one_before_it_is_found() -> None:
    story = Story().text(ONE).came(ONE, 1, 2).came(ONE, 2, 2).took(ONE, 1, 2).took(ONE, 2, 2)
    assert f"early: {ONE}: part 2 was submitted before {ONE} part 1 was answered" in story.found()
    story = Story().text(ONE).text(TWO).came(ONE).came(TWO).took(ONE).took(TWO)
    assert f"early: {TWO}: part 1 was submitted before {ONE} part 1 was answered" in story.found()


def test_two_links_of_one_hub_are_not_two_hubs() -> None:
    story = Story(sink_nodes=("north", "north")).text(ONE).text(TWO)
    story.came(ONE).came(TWO, session=2).took(ONE).took(TWO, session=2)
    assert [violation.kind for violation in story.violations()] == [Kind.EARLY]
    assert (
        Story(sink_nodes=("north", "north"))
        .text(ONE)
        .text(TWO)
        .text(THREE)
        .take(ONE)
        .take(TWO, session=2)
        .take(THREE)
        .found()
        == []
    )


def test_two_that_send_at_once_are_found() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO)
    story.came(ONE).came(TWO, session=2).took(TWO, session=2).took(ONE)
    assert story.found(rules=SEVERAL) == [
        f"split: {TWO}: two send at once: by south session 2, part 1 was submitted before {ONE} part 1 was answered "
        "to sink session 1"
    ]


def test_one_that_goes_on_after_another_has_begun_is_found() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO).text(THREE)
    story.take(ONE).take(TWO, session=2).take(THREE)
    words = f"split: {THREE}: part 1 was begun by north session 1 after south had taken the lane from it"
    assert story.found(rules=SEVERAL) == [words]


def test_a_lane_may_come_back_over_a_new_session() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO).text(THREE)
    story.take(ONE).note("sink", "end", "ok").take(TWO, session=2).note("sink", "bind", "ok", 3, node="north")
    assert story.take(THREE, session=3).found(rules=SEVERAL) == []


def test_one_that_repeats_its_last_part_when_it_wakes_is_not_split_but_must_have_been_in_doubt() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO).came(ONE)
    story.note("weather", "fault", "invoke", word="freeze north").take(ONE, session=2).take(TWO, session=2)
    story.took(ONE)
    assert story.found(rules=SEVERAL) == [f"twice: {ONE}: taken again 1 times, in doubt 0 times"]
    story.journal[ONE] = Journalled(in_doubt=1)
    assert story.found(rules=SEVERAL) == []


def test_a_copy_that_a_frozen_one_writes_when_it_wakes_has_no_place_in_the_order_but_must_have_been_in_doubt() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO).text(THREE).take(ONE)
    story.note("weather", "fault", "invoke", word="freeze north")
    story.take(TWO, session=2).came(THREE, session=2).note("weather", "fault", "ok", word="freeze north")
    story.take(TWO).took(THREE, session=2)
    assert story.found(rules=SEVERAL) == [f"twice: {TWO}: taken again 1 times, in doubt 0 times"]
    story.journal[TWO] = Journalled(in_doubt=1)
    assert story.found(rules=SEVERAL) == []
    story.take(ONE, session=2)
    assert story.found(rules=SEVERAL) == [
        f"order: lane A01: {ONE} part 1 came after {THREE} part 1",
        f"twice: {ONE}: taken again 1 times, in doubt 0 times",
    ], "the one that has the lane repeats only its last"


def test_who_has_lost_the_lane_repeats_nothing_while_nothing_is_broken() -> None:
    story = Story(sink_nodes=("north", "south")).text(ONE).text(TWO).take(ONE).take(TWO, session=2).take(TWO)
    words = f"twice: {TWO}: part 1 was taken again, and its answer was in no doubt"
    assert story.found(rules=SEVERAL, with_journal=False) == [words]


# --- receipts ---


def test_a_receipt_is_one_and_says_what_the_sink_said() -> None:
    assert Story().text(ONE, asked=True).take(ONE).told(ONE).found() == []
    story = Story().text(ONE, asked=True).take(ONE).note("sink", "news", "ok", name=ONE, word="UNDELIV")
    assert story.told(ONE, "UNDELIV").found() == []


def test_a_missing_receipt_is_found() -> None:
    assert Story().text(ONE, asked=True).take(ONE).found() == [f"receipt: {ONE}: no receipt"]
    story = Story().text(ONE, asked=True).take(ONE).told(ONE, "ENROUTE")
    assert story.found() == [f"receipt: {ONE}: no receipt"], "what is not final is none"


def test_a_repeated_receipt_is_found_and_pardoned_by_the_journal() -> None:
    story = Story().text(ONE, asked=True).take(ONE).told(ONE).told(ONE)
    assert story.found() == [f"receipt: {ONE}: 2 receipts, in doubt 0 times"]
    assert story.found(with_journal=False) == [f"receipt: {ONE}: 2 receipts, and the first was in no doubt"]
    story.journal[ONE] = Journalled(receipt_doubts=1)
    assert story.found() == []
    story = Story().text(ONE, asked=True).take(ONE).told(ONE).note("esme", "end", "ok").told(ONE, session=2)
    assert story.found(with_journal=False) == []


def test_a_receipt_that_was_made_twice_is_found() -> None:
    story = Story().text(ONE, asked=True).take(ONE).told(ONE)
    story.journal[ONE] = Journalled(receipts=2)
    assert story.found() == [f"receipt: {ONE}: 2 receipts made"]


def test_a_receipt_that_nobody_asked_for_is_found() -> None:
    assert Story().text(ONE).take(ONE).told(ONE).found() == [f"receipt: {ONE}: a receipt that nobody asked for"]


def test_a_receipt_for_what_nobody_sent_is_found() -> None:
    assert Story().told(ONE).found() == [f"receipt: id-{ONE}: a receipt for what nobody sent"]
    assert Story().told(ONE).found(with_journal=False) == [], "an id that only the journal can name"


def test_a_receipt_that_quotes_another_text_is_found() -> None:
    story = Story().text(ONE, asked=True).take(ONE)
    story.note("esme", "told", "ok", id=f"id-{ONE}", name=TWO, word="DELIVRD")
    assert story.found() == [f"receipt: {TWO}: a receipt quotes it that names the id of {ONE}"]


@pytest.mark.parametrize(
    ("news", "told", "words"),
    [
        ("", "UNDELIV", "told UNDELIV, and it was taken whole"),
        ("DELIVRD", "UNDELIV", "told UNDELIV, and it was taken whole"),
        ("UNDELIV", "DELIVRD", "told DELIVRD, and the sink said UNDELIV"),
    ],
)
def test_a_receipt_of_the_wrong_word_is_found(news: str, told: str, words: str) -> None:
    story = Story().text(ONE, asked=True).take(ONE)
    if news:
        story.note("sink", "news", "ok", name=ONE, word=news)
    assert story.told(ONE, told).found() == [f"receipt: {ONE}: {words}"]


def test_delivered_before_anybody_took_it_is_found() -> None:
    story = Story().text(ONE, asked=True).take(ONE, 1, 2).told(ONE).take(ONE, 2, 2)
    assert story.found() == [f"receipt: {ONE}: told DELIVRD before it was taken"]
    story = Story().text(ONE, asked=True).came(ONE).took(ONE, how="fail", word="0x0000000b").told(ONE)
    assert story.found() == [f"receipt: {ONE}: told DELIVRD before anybody took it, whole"]


# --- stray ---


def test_a_text_from_nowhere_is_found() -> None:
    assert Story().take(ONE).found()[0] == f"stray: {ONE}: taken, but nobody sent it"


def test_a_text_that_was_refused_is_not_taken_unless_something_was_broken() -> None:
    story = Story().send(ONE).note("esme", "send", "fail", name=ONE, word="0x00000058").take(ONE)
    story.journal[ONE] = Journalled()
    assert story.found() == [f"stray: {ONE}: refused, and taken all the same"]
    assert story.note("weather", "fault", "invoke", word="kill postgresql").found() == []


def test_a_text_that_is_taken_and_not_in_the_journal_is_found() -> None:
    story = Story().send(ONE).take(ONE)
    assert story.found() == [f"stray: {ONE}: taken, but not in the journal"]


# --- whole histories ---


@given(seed=st.integers(0, 1 << 32), several=st.booleans(), calm=st.booleans())
def test_what_an_honest_hub_was_seen_to_do_has_no_violation(seed: int, several: bool, calm: bool) -> None:
    made = Invention(seed, several_hubs=several, is_calm=calm)
    rules = Rules(one_hub=not several)
    assert check(made.events, made.journal, made.names, rules)[0] == []
    assert check(made.events, None, None, rules)[0] == []


# A mutation takes a history that is fine and plants one fault; it returns None when there is no place for it.
Mutation = Callable[[random.Random, list[Event], dict[str, Journalled]], list[Event] | None]


def _texts(events: list[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event.name:
            found.setdefault(event.name, []).append(event)
    return found


def _is(event: Event, do: str, how: str) -> bool:
    return (event.do, event.how) == (do, how)


def _taken(events: list[Event]) -> list[str]:
    return [name for name, own in _texts(events).items() if any(_is(event, "take", "ok") for event in own)]


def _without(events: list[Event], gone: Callable[[Event], bool]) -> list[Event]:
    return [event for event in events if not gone(event)]


def lose(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    sure = [name for name in _taken(events) if any(_is(event, "send", "ok") for event in _texts(events)[name])]
    if not sure:
        return None
    victim = chance.choice(sure)
    return _without(events, lambda event: event.do == "take" and event.name == victim)


def lose_a_part(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    long = [event for event in events if _is(event, "take", "ok") and event.total > 1]
    if not long:
        return None
    victim = chance.choice(long)
    return _without(events, lambda e: e.do == "take" and (e.name, e.part) == (victim.name, victim.part))


def take_twice(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    # A doubt whose repetition was refused, or never written, would pardon this one.
    sure = {name for name, row in journal.items() if not row.in_doubt}
    at = [number for number, event in enumerate(events) if _is(event, "take", "ok") and event.name in sure]
    if not at:
        return None
    number = chance.choice(at)
    again = [msgspec.structs.replace(events[number], how=how) for how in ("invoke", "ok")]
    return [*events[: number + 1], *again, *events[number + 1 :]]


def swap(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    """Two texts of one lane, one of which was acknowledged before the other was sent, change places."""
    own, pairs = _texts(events), []
    for one in _taken(events):
        for other in _taken(events):
            ends = [event.at for event in own[one] if _is(event, "send", "ok")]
            begins = [event.at for event in own[other] if _is(event, "send", "invoke")]
            came = [event.at for event in own[one] if event.do == "take"]
            # The first was not taken before the other was sent: else that would come before anybody sent it.
            if one[:3] == other[:3] and ends and max(ends) < min(begins) < min(came):
                pairs.append((one, other))
    if not pairs:
        return None
    one, other = chance.choice(pairs)
    names = {one: other, other: one}
    return [
        msgspec.structs.replace(event, name=names.get(event.name, event.name)) if event.do == "take" else event
        for event in events
    ]


def _follows(events: list[Event]) -> list[tuple[int, int]]:
    """Places of an answer, and of the next part of its lane that came after it in the same session.

    The next part's text had been sent by then: else, moved to before the answer, it would be one that nobody sent.
    """
    answers: dict[str, int] = {}
    sent: dict[str, int] = {}
    found = []
    for number, event in enumerate(events):
        if _is(event, "send", "invoke"):
            sent.setdefault(event.name, number)
        elif _is(event, "take", "ok"):
            answers[event.name[:3]] = number
        elif _is(event, "take", "invoke") and (before := answers.pop(event.name[:3], None)) is not None:
            answered, is_sent = events[before], sent.get(event.name, number) < before
            is_next = (answered.name, answered.part) != (event.name, event.part)
            if is_sent and is_next and answered.session == event.session:
                found.append((before, number))
    return found


def hurry(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    follows = _follows(events)
    if not follows:
        return None
    answer, part = chance.choice(follows)
    moved = msgspec.structs.replace(events[part], at=events[answer].at)
    return [*events[:answer], moved, *events[answer:part], *events[part + 1 :]]


def split(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    """Another hub, which nobody knew of, takes a part while the one before it is under way."""
    follows = _follows(events)
    if not follows:
        return None
    answer, part = chance.choice(follows)
    came = msgspec.structs.replace(events[part], at=events[answer].at, session=99)
    bind = Event(at=came.at, who="sink", do="bind", how="ok", session=99, node="zombie")
    last = events[part]

    def is_its_answer(event: Event) -> bool:
        return event.do == "take" and event.how != "invoke" and (event.name, event.part) == (last.name, last.part)

    rest = events[part + 1 :]
    at = next((number for number, event in enumerate(rest) if is_its_answer(event)), None)
    if at is None:
        return None
    rest[at] = msgspec.structs.replace(rest[at], session=99)
    return [*events[:answer], bind, came, *events[answer:part], *rest]


def keep_a_receipt(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    told = [event.id for event in events if event.do == "told"]
    if not told:
        return None
    victim = chance.choice(told)
    return _without(events, lambda event: event.do == "told" and event.id == victim)


def repeat_a_receipt(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    told = [number for number, event in enumerate(events) if event.do == "told"]
    if not told:
        return None
    number = chance.choice(told)
    return [*events[:number], events[number], *events[number:]]


def lie(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    told = [number for number, event in enumerate(events) if event.do == "told"]
    if not told:
        return None
    number = chance.choice(told)
    word = "UNDELIV" if events[number].word == "DELIVRD" else "DELIVRD"
    return [*events[:number], msgspec.structs.replace(events[number], word=word), *events[number + 1 :]]


def tell_whom_it_does_not_concern(
    chance: random.Random, events: list[Event], journal: dict[str, Journalled]
) -> list[Event] | None:
    silent = [e.name for e in events if _is(e, "send", "invoke") and not e.asked and e.name in journal]
    if not silent:
        return None
    last = events[-1]
    name = chance.choice(silent)
    return [*events, Event(at=last.at, who="east", do="told", how="ok", session=1, id=f"id-{name}", word="DELIVRD")]


def invent(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    number = chance.randrange(len(events))
    at = events[number].at
    both = [Event(at=at, who="sink", do="take", how=how, session=1, name="Z0000000.") for how in ("invoke", "ok")]  # type: ignore[arg-type]
    return [*events[:number], *both, *events[number:]]


def forget(chance: random.Random, events: list[Event], journal: dict[str, Journalled]) -> list[Event] | None:
    sure = [event.name for event in events if _is(event, "send", "ok")]
    if not sure:
        return None
    del journal[chance.choice(sure)]
    return events


MUTATIONS: dict[Mutation, Kind] = {
    lose: Kind.LOST,
    lose_a_part: Kind.LOST,
    forget: Kind.LOST,
    take_twice: Kind.TWICE,
    swap: Kind.ORDER,
    hurry: Kind.EARLY,
    split: Kind.SPLIT,
    keep_a_receipt: Kind.RECEIPT,
    repeat_a_receipt: Kind.RECEIPT,
    lie: Kind.RECEIPT,
    tell_whom_it_does_not_concern: Kind.RECEIPT,
    invent: Kind.STRAY,
}


@given(
    mutation=st.sampled_from(list(MUTATIONS)),
    seed=st.integers(0, 1 << 32),
    place=st.integers(0, 1 << 32),
    several=st.booleans(),
    calm=st.booleans(),
)
def test_what_is_planted_in_it_is_found(mutation: Mutation, seed: int, place: int, several: bool, calm: bool) -> None:
    made = Invention(seed, several_hubs=several, is_calm=calm)
    events = mutation(random.Random(place), made.events, made.journal)
    if events is None:
        return
    found = check(events, made.journal, made.names, Rules(one_hub=not several))[0]
    assert MUTATIONS[mutation] in {violation.kind for violation in found}, mutation.__name__


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.__name__))
def test_most_histories_have_a_place_for_each_mutation(mutation: Mutation) -> None:
    made = [Invention(seed, is_calm=seed % 2 == 0) for seed in range(20)]
    places = [mutation(random.Random(1), each.events, each.journal) for each in made]
    assert sum(place is not None for place in places) > len(places) / 2


# --- files ---


def _write(path: Path, events: list[Event]) -> Path:
    history = History(path)
    for event in events:
        history.note(event)
    history.close()
    return path


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    made = Invention(3)
    whos = sorted({event.who for event in made.events})
    paths = [_write(tmp_path / who, [event for event in made.events if event.who == who]) for who in whos]
    assert [(e.at, e.who) for e in read(paths)] == [(e.at, e.who) for e in made.events]


def test_a_line_that_its_writer_did_not_finish_is_left(tmp_path: Path) -> None:
    path = _write(tmp_path / "h", Invention(3).events)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(list(read([path]))) == len(Invention(3).events) - 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"nonsense\n", "malformed"),
        (b'{"at":1}\n', "who"),
        (b'{"at":1,"who":"x","do":"steal","how":"ok"}\n', "steal"),
        (b'{"at":1,"who":"x","do":"send","how":"ok","extra":1}\n', "extra"),
        (b'{"at":1,"who":"x","do":"send","how":"ok"}\n', "earlier"),
        (b"\xff\xfe\n", "malformed|utf"),
    ],
)
def test_what_is_no_history_is_said_with_its_line(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "h"
    path.write_bytes(b'{"at":5,"who":"x","do":"bind","how":"ok"}\n' + line)
    with pytest.raises(BadHistory, match=words) as refused:
        list(read([path]))
    assert refused.value.line == 2
    assert main([str(path)]) == 2


def test_the_pen_notes_what_the_checker_reads(tmp_path: Path) -> None:
    history = History(tmp_path / "h")
    esme, sink = Recorder(history, "esme"), Recorder(history, "sink")
    mine, its = esme.began(), sink.began("north")
    esme.sending(ONE, "A01", session=mine, asked=True)
    esme.sent(ONE, session=mine, id="7")
    for part in (1, 2):
        sink.came(ONE, session=its, part=part, total=2)
        sink.took(ONE, session=its, part=part, total=2)
        sink.reporting(ONE, "DELIVRD", session=its, part=part)
    esme.told("DELIVRD", session=mine, id="7")
    history.fault("kill hub")
    sink.ended(its)
    history.fault("kill hub", over=True)
    history.close()
    found, tally = check(read([history.path]))
    assert found == []
    assert (tally.texts, tally.acknowledged, tally.taken, tally.receipts, tally.sessions) == (1, 1, 2, 1, 2)
    assert tally.faults == 1


def test_the_command(tmp_path: Path) -> None:
    good, bad = Invention(4), Invention(5)
    broken = lose(random.Random(1), bad.events, bad.journal)
    assert broken is not None
    paths = [str(_write(tmp_path / "good", good.events)), str(_write(tmp_path / "bad", broken))]
    ended = [
        subprocess.run(
            [sys.executable, "-m", "tests.faults.check", path], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        for path in paths
    ]
    assert [each.returncode for each in ended] == [0, 1], [each.stderr for each in ended]
    assert "0 violations" in ended[0].stdout
    assert "lost: A" in ended[1].stdout
    assert main([str(tmp_path / "not there")]) == 2
