"""The rules of publishing, one by one; tests/property/provisioning/test_publishing.py tries them together."""

import itertools

import msgspec
import pytest

from provisioning import CarrierDirectory, built
from provisioning.directories import Answer, Finding, Listing
from provisioning.directories.enum import CHUNK
from provisioning.publishing_rules import (
    AFTER,
    FINAL,
    GONE,
    ON_ITS_WAY_OUT,
    STEPS,
    SUSPENDED,
    UNCOVERED,
    Publication,
    Standing,
    State,
    Step,
    Waits,
    answered,
    believed,
    content_of,
    forgotten,
    is_due,
    key_of,
    patience_s,
    reconciled,
    step_of,
    told,
    unwished,
    wished,
)

NOW = 1_000_000_000
WAITS = Waits(first_us=5_000_000, longest_us=60_000_000, jitter=0.999999)
ASKED = (State.SUBMITTING, State.SUBMITTED, State.WITHDRAWING, State.LEAVING)


def a_row(state, **more):
    given = {"wanted": int(state not in ON_ITS_WAY_OUT), "content": "c0ffee", "submission": 7, "since_us": 1, **more}
    return Publication("d", 16175550100, "acme", state=state, **given)


def test_the_tables_are_total():
    assert set(STEPS) == set(State)
    assert set(AFTER) == set(ASKED)
    for answers in AFTER.values():
        assert set(answers) == set(Finding)


@pytest.mark.parametrize("state", ASKED)
@pytest.mark.parametrize("finding", Finding)
def test_an_answer_leads_somewhere_and_what_is_not_decided_is_due_again(state, finding):
    new = answered(a_row(state, attempts=3), Answer(finding, "because", "remote"), WAITS, NOW)
    assert (new.next_us > 0) == (STEPS[State(new.state)] is not None)
    assert NOW + 1 <= new.next_us <= NOW + WAITS.longest_us or new.state in FINAL
    assert new.attempts == (0 if new.state in FINAL else 4)
    assert new.remote_id == "remote"
    assert new.since_us == (1 if new.state not in FINAL else NOW)
    assert (new.content == "") == (new.state == State.WITHDRAWN)


def test_an_answer_without_a_name_keeps_the_old_one():
    assert answered(a_row(State.SUBMITTED, remote_id="r"), Answer(Finding.ACTIVE), WAITS, NOW).remote_id == "r"


@pytest.mark.parametrize("state", State)
def test_only_what_has_a_step_is_ever_due(state):
    assert is_due(a_row(state, next_us=NOW), NOW, WAITS) == (STEPS[state] is not None)


def test_what_a_clock_that_ran_ahead_wrote_is_due_now():
    row = a_row(State.WANTED, next_us=NOW + WAITS.longest_us)
    assert not is_due(row, NOW, WAITS)
    assert is_due(msgspec.structs.replace(row, next_us=NOW + 365 * 86_400_000_000), NOW, WAITS)


def test_waits_double_up_to_the_longest_whatever_a_directory_says():
    waits = Waits(first_us=100, longest_us=1_000)
    assert [waits.after(attempt) for attempt in (1, 2, 3, 4, 5, 30_000)] == [50, 100, 200, 400, 500, 500]
    assert waits.after(1, at_least_s=0.0005) == 500
    assert waits.after(1, at_least_s=1e300) == 1_000
    assert waits.after(1, at_least_s=float("-inf")) == 50
    assert waits.after(1, at_least_s=float("nan")) == 50
    assert all(500 <= Waits(1_000, 9_000, jitter / 100).after(1) < 1_000 for jitter in range(100))


def test_a_wish_is_idempotent_and_refusals_are_tried_again():
    new = wished(None, "d", 16175550100, "acme", NOW)
    assert (new.state, new.wanted, new.next_us) == (State.WANTED, 1, NOW)
    for state in State:
        row = a_row(state, attempts=9, reason="x")
        again = wished(row, "d", row.digits, "acme", NOW)
        if state in (State.WANTED, State.SUBMITTING, State.SUBMITTED, State.ACTIVE, State.HELD):
            assert again is row
        else:
            assert (again.state, again.wanted, again.attempts, again.reason) == (State.WANTED, 1, 0, "")
            assert again.content == row.content  # the directory may have it still


def test_a_wish_that_nobody_heard_of_needs_no_withdrawal():
    for state in State:
        row = a_row(state, content="")
        if state not in ON_ITS_WAY_OUT:
            assert unwished(row, NOW).state == State.WITHDRAWN
        told_of = a_row(state)
        ended = unwished(told_of, NOW)
        assert ended.state == (state if state in ON_ITS_WAY_OUT else State.UNWANTED)
        assert ended.wanted == 0
        assert unwished(ended, NOW) is ended


def test_what_is_forgotten_is_told_to_nobody():
    for state in State:
        ended = forgotten(a_row(state, content="" if state == State.WITHDRAWN else "c"), NOW)
        assert (ended.state, ended.content, ended.wanted, ended.next_us) == (State.WITHDRAWN, "", 0, 0)


def test_what_is_gone_or_suspended_is_withdrawn_and_only_the_suspended_comes_back():
    gone = reconciled(a_row(State.ACTIVE), Standing.GONE, "c0ffee", True, NOW)
    assert (gone.state, gone.wanted, gone.reason) == (State.UNWANTED, 0, GONE)
    assert reconciled(gone, Standing.SERVED, "c0ffee", True, NOW) is gone
    resting = reconciled(a_row(State.ACTIVE), Standing.SUSPENDED, "c0ffee", True, NOW)
    assert (resting.state, resting.wanted, resting.reason) == (State.UNWANTED, 1, SUSPENDED)
    back = reconciled(resting, Standing.SERVED, "c0ffee", True, NOW)
    assert (back.state, back.reason) == (State.WANTED, "")
    assert reconciled(resting, Standing.SERVED, "c0ffee", False, NOW).state == State.HELD


@pytest.mark.parametrize("state", [state for state in State if state not in ON_ITS_WAY_OUT])
def test_a_letter_that_lapses_holds_what_was_not_told_and_flags_what_is_active(state):
    row = a_row(state)
    held = reconciled(row, Standing.SERVED, "other", False, NOW)
    if state == State.WANTED:
        assert (held.state, held.reason) == (State.HELD, UNCOVERED)
        assert reconciled(held, Standing.SERVED, "other", True, NOW).state == State.WANTED
    elif state == State.ACTIVE:
        assert (held.state, held.reason) == (State.ACTIVE, UNCOVERED)
        assert reconciled(held, Standing.SERVED, "c0ffee", True, NOW).reason == ""
    else:
        assert held is row
    assert reconciled(held, Standing.SERVED, "other", False, NOW) is held


@pytest.mark.parametrize("state", [state for state in State if state not in ON_ITS_WAY_OUT])
def test_other_content_is_told_anew(state):
    row = a_row(state)
    new = reconciled(row, Standing.SERVED, "other", True, NOW)
    assert new.state == State.WANTED
    assert (new is row) == (state == State.WANTED)
    if state not in (State.HELD, State.WANTED):
        assert reconciled(row, Standing.SERVED, "c0ffee", True, NOW) is row


def test_reconciling_twice_changes_nothing_more():
    for state, standing, covered, wanted, content in itertools.product(
        State, Standing, (True, False), (0, 1), ("", "c0ffee")
    ):
        row = a_row(state, wanted=wanted, content=content)
        once = reconciled(row, standing, "other", covered, NOW)
        if once.state == State.WANTED:  # told with the other content when its turn comes
            continue
        assert reconciled(once, standing, "other", covered, NOW) == once


def test_nothing_is_told_without_a_letter():
    assert step_of(a_row(State.WANTED), covered=False) is None
    assert step_of(a_row(State.SUBMITTING), covered=False) is Step.CONFIRM
    assert step_of(a_row(State.SUBMITTING), covered=True) is Step.PUBLISH
    assert step_of(a_row(State.WITHDRAWING), covered=False) is Step.WITHDRAW


def test_a_new_telling_has_a_new_key_and_a_repetition_the_old():
    first = told(a_row(State.WANTED), "c1", 100, NOW + 5, NOW)
    assert (first.state, first.content, first.next_us, first.submission) == (State.SUBMITTING, "c1", NOW + 5, 100)
    again = told(first, "ignored", 999, NOW + 9, NOW)
    assert key_of(again) == key_of(first)
    later = told(a_row(State.WANTED), "c1", 101, NOW + 5, NOW)
    assert key_of(later) > key_of(first)  # in the order of their beginnings
    out = told(a_row(State.UNWANTED), "", 100, NOW, NOW)
    assert out.state == State.WITHDRAWING
    assert key_of(out) != key_of(first)
    assert key_of(answered(first, Answer(Finding.SUBMITTED), WAITS, NOW)) == key_of(first)


def test_a_new_telling_forgets_the_name_of_the_last():
    """Of a number that is looked up instead of told again, because its letter lapsed, the old answer says nothing."""
    again = told(a_row(State.WANTED, remote_id="file-1"), "c2", 100, NOW + 5, NOW)
    assert again.remote_id == ""
    named = answered(again, Answer(Finding.LATER, remote_id="file-2"), WAITS, NOW)
    assert told(named, "c2", 101, NOW + 5, NOW).remote_id == "file-2"  # the same telling


@pytest.mark.parametrize("finding", [Finding.DIFFERS, Finding.ABSENT])
def test_a_number_that_never_arrives_is_seen_to_be_on_its_way_for_long(finding):
    """A directory takes it, and has it not: each state lasts for a moment, the whole for a week."""
    row = told(a_row(State.WANTED), "c", NOW, NOW + 5, NOW)
    for round_number in range(1, 20):
        now_us = NOW + round_number * 60_000_000
        row = answered(row, Answer(Finding.SUBMITTED), WAITS, now_us)
        if round_number > 1:
            assert row.since_us == NOW + 60_000_000
        row = answered(row, Answer(finding), WAITS, now_us)
        row = told(row, "c", now_us, now_us + 5, now_us)
    assert (row.state, row.since_us) == (State.SUBMITTING, NOW + 60_000_000)
    there = answered(row, Answer(Finding.ACTIVE), WAITS, 5 * NOW)
    assert (there.since_us, there.attempts) == (5 * NOW, 0)


@pytest.mark.parametrize("batch", [1, 500, 10_000])
def test_a_slow_directory_comes_to_the_end_of_any_batch(batch):
    """Each of its answers takes nearly as long as it may, and one is of a hundred numbers."""
    directory = built(CarrierDirectory, name="d", adapter="file", drop_directory="/x", batch=batch, timeout_s=7)
    assert patience_s(directory) > 7 * (batch // CHUNK + 1)


def test_what_an_adapter_returns_is_bounded_or_not_believed():
    good = Answer(Finding.ACTIVE, "fine", "id-1")
    assert believed([good], 1) == [good]
    for nonsense in (None, [], [good, good], [good, None], (good,), "answer", [Finding.ACTIVE]):
        assert believed(nonsense, 1) is None
    long = believed([Answer(Finding.LATER, "a\x00b\n\x1b[31m" + "x" * 10_000, "y" * 1_000)], 1)
    assert long is not None
    assert long[0].reason.startswith("a?b ?[31mxxx")
    assert len(long[0].reason) == 200
    assert long[0].remote_id == ""


def test_the_content_tells_of_all_that_the_directory_hears():
    listing = Listing(number="+1", real_number="+1", call_centre="a", element="SPID:6006")
    directory = built(CarrierDirectory, name="d", adapter="file", drop_directory="/x")
    contents = {
        content_of(listing, directory),
        content_of(msgspec.structs.replace(listing, element="SPID:6007"), directory),
        content_of(msgspec.structs.replace(listing, loa_digest="sha256:1"), directory),
        content_of(listing, msgspec.structs.replace(directory, gateway="gw.example.net")),
    }
    assert len(contents) == 4
    assert content_of(listing, msgspec.structs.replace(directory, batch=9)) in contents
