"""What registries say, and what becomes of it: nothing that a registry answers is believed to be well-formed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from provisioning.directories.adapter import Answer, Finding, Listing, Task
from provisioning.directories.replies import (
    MAX_AFTER_S,
    MAX_REASON,
    Entry,
    State,
    answers_to_confirm,
    answers_to_publish,
    answers_to_withdraw,
    bounded_wait_s,
    clean,
)
from provisioning.directories.rest_json import (
    Unreadable,
    idempotency_key,
    read_looked_up,
    read_problem,
    read_submitted,
    write_submission,
)
from provisioning.directories.speaking import (
    MAX_REFUSED,
    Postponed,
    Unacceptable,
    in_requests,
    judge_status,
    retry_after_s,
)

LISTING = Listing(number="+16175550100", real_number="+16175550100", call_centre="acme", element="spid:1234", loa="l1")
TASK = Task("k1", LISTING)


def entry(state: State, **fields: object) -> Entry:
    return msgspec.convert({"number": LISTING.number, "state": state, "key": "k1", **fields}, Entry)


def finding(answers: list[Answer]) -> Finding:
    [answer] = answers
    return answer.finding


# --- States ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "published", "withdrawn"),
    [
        (State.ACTIVE, Finding.ACTIVE, Finding.LATER),
        (State.PENDING, Finding.SUBMITTED, Finding.SUBMITTED),
        (State.REFUSED, Finding.REFUSED, Finding.REFUSED),
        (State.ABSENT, Finding.LATER, Finding.ABSENT),
        (State.TAKEN, Finding.CONFLICT, Finding.CONFLICT),
    ],
)
def test_what_a_state_means_after_a_call(state: State, published: Finding, withdrawn: Finding) -> None:
    assert finding(answers_to_publish([TASK], [entry(state)])) is published
    assert finding(answers_to_withdraw([TASK], [entry(state)])) is withdrawn


@pytest.mark.parametrize(
    ("state", "looked_up"),
    [
        (State.PENDING, Finding.SUBMITTED),
        (State.REFUSED, Finding.REFUSED),
        (State.ABSENT, Finding.ABSENT),
        (State.TAKEN, Finding.CONFLICT),
    ],
)
def test_what_a_state_means_when_looked_up(state: State, looked_up: Finding) -> None:
    assert finding(answers_to_confirm([TASK], [entry(state)])) is looked_up


def test_an_active_number_is_held_against_its_listing() -> None:
    there = msgspec.structs.replace(LISTING, element="ocn:99", loa="l0")
    [same] = answers_to_confirm([TASK], [entry(State.ACTIVE, listing=LISTING, remote_id="r7")])
    [other] = answers_to_confirm([TASK], [entry(State.ACTIVE, listing=there, reason="change refused")])
    [silent] = answers_to_confirm([TASK], [entry(State.ACTIVE)])
    assert same == Answer(Finding.ACTIVE, remote_id="r7")
    assert other == Answer(Finding.DIFFERS, "other element, loa: change refused")
    assert silent.finding is Finding.LATER


def test_answers_stand_in_the_order_of_the_tasks() -> None:
    tasks = [Task(f"k{n}", Listing(number=f"+1617555010{n}", real_number="", call_centre="")) for n in range(3)]
    entries = [Entry(number=task.listing.number, state=State.ACTIVE, key=task.key) for task in reversed(tasks)]
    entries[0] = msgspec.structs.replace(entries[0], state=State.TAKEN)
    assert [a.finding for a in answers_to_publish(tasks, entries)] == [Finding.ACTIVE, Finding.ACTIVE, Finding.CONFLICT]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "answered nothing"),
        ([entry(State.ACTIVE), entry(State.TAKEN)], "twice, and not the same"),
        ([entry(State.ACTIVE, number="+19995550199")], "another number: +19995550199"),
        ([entry(State.ACTIVE, key="k2")], "answered nothing"),
    ],
)
def test_what_is_no_answer_to_the_task_decides_nothing(entries: list[Entry], expected: str) -> None:
    for answers_of in (answers_to_publish, answers_to_withdraw):
        [answer] = answers_of([TASK], entries)
        assert answer.finding is Finding.LATER
        assert expected in answer.reason


def test_the_same_answer_twice_is_one() -> None:
    assert finding(answers_to_publish([TASK], [entry(State.ACTIVE)] * 2)) is Finding.ACTIVE


def test_words_of_a_registry_are_bounded_and_printable() -> None:
    [answer] = answers_to_publish(
        [TASK], [entry(State.REFUSED, reason="no\r\n\x1b[31m" + "x" * 9999, remote_id="r" * 999)]
    )
    assert len(answer.reason) == MAX_REASON
    assert answer.reason.isprintable()
    assert len(answer.remote_id) == 100
    assert clean("a\n\tb ") == "a b"


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, MAX_AFTER_S + 1])
def test_a_wait_has_an_end(seconds: float) -> None:
    [answer] = answers_to_publish([TASK], [entry(State.PENDING, after_s=seconds)])
    assert answer.after_s == MAX_AFTER_S


@pytest.mark.parametrize("seconds", [-1.0, 0.0, float("nan"), float("-inf")])
def test_no_wait_is_none(seconds: float) -> None:
    assert bounded_wait_s(seconds) == 0


# --- Batches ---------------------------------------------------------------------------------------------------------

TASKS = [Task(f"k{n}", Listing(number=f"+1617555{n:04d}", real_number="", call_centre="")) for n in range(1000)]
ACTIVE = Answer(Finding.ACTIVE)


def test_a_batch_is_told_in_requests_of_a_size() -> None:
    sizes: list[int] = []

    def ask(these: Sequence[Task]) -> list[Answer]:
        sizes.append(len(these))
        return [Answer(Finding.ACTIVE, task.key) for task in these]

    answers = in_requests(TASKS, 300, ask)
    assert sizes == [300, 300, 300, 100]
    assert [answer.reason for answer in answers] == [task.key for task in TASKS]
    assert in_requests([], 300, ask) == []


def test_a_number_that_a_registry_chokes_on_stands_alone_in_the_end() -> None:
    bad = {"k17", "k640"}

    def ask(these: Sequence[Task]) -> list[Answer]:
        if bad & {task.key for task in these}:
            raise Unacceptable("HTTP 400")
        return [ACTIVE] * len(these)

    answers = in_requests(TASKS, 1000, ask)
    refused = {task.key for task, answer in zip(TASKS, answers, strict=True) if answer.finding is Finding.REFUSED}
    assert refused == bad
    assert answers.count(ACTIVE) == 998


def test_a_registry_that_refuses_everything_is_not_stormed() -> None:
    asked = 0

    def ask(these: Sequence[Task]) -> list[Answer]:
        nonlocal asked
        asked += 1
        raise Unacceptable("HTTP 400: no")

    answers = in_requests(TASKS, 1000, ask)
    assert asked == MAX_REFUSED
    assert {answer.finding for answer in answers} <= {Finding.LATER, Finding.REFUSED}
    assert answers[-1] == Answer(Finding.LATER, "the registry refuses whole requests: HTTP 400: no")


def test_a_busy_registry_is_not_asked_on() -> None:
    asked = 0

    def ask(these: Sequence[Task]) -> list[Answer]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Postponed("busy", 7)
        return [ACTIVE] * len(these)

    answers = in_requests(TASKS, 100, ask)
    assert asked == 2
    assert answers == [ACTIVE] * 100 + [Answer(Finding.LATER, "busy", after_s=7)] * 900


def test_what_was_answered_before_the_line_broke_is_not_lost() -> None:
    asked = 0

    def ask(these: Sequence[Task]) -> list[Answer]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ConnectionResetError("reset by peer")
        return [ACTIVE] * len(these)

    answers = in_requests(TASKS, 500, ask)
    assert answers == [ACTIVE] * 500 + [Answer(Finding.LATER, "reset by peer")] * 500
    asked = 1
    with pytest.raises(ConnectionResetError):
        in_requests(TASKS, 500, ask)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_nothing_to_judge(status: int) -> None:
    judge_status(status, after_s=0, words="")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "credentials"),
        (403, "credentials"),
        (429, "busy"),
        (503, "busy"),
        (409, "still at an earlier request"),
        (302, "elsewhere"),
        (404, "check the url"),
        (405, "check the url"),
        (500, "failed"),
        (502, "failed"),
        (999, "failed"),
    ],
)
def test_a_status_that_puts_us_off(status: int, words: str) -> None:
    with pytest.raises(Postponed, match=words) as put_off:
        judge_status(status, after_s=3, words="why\x00")
    assert put_off.value.after_s in (0, 3)
    assert put_off.value.reason.isprintable()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_status_that_refuses_the_request(status: int) -> None:
    with pytest.raises(Unacceptable, match=f"HTTP {status}: why"):
        judge_status(status, after_s=0, words="why")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("999999999999", MAX_AFTER_S),
        ("Sun, 22 Nov 2026 06:31:00 GMT", 60),
        ("Sun, 22 Nov 2026 06:29:00 GMT", 0),
        ("Sun, 22 Nov 2026 99:29:00 GMT", 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("9" * 5000, MAX_AFTER_S),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    assert retry_after_s(text, 1_795_329_000.0) == seconds


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"items": 1}', b'{"item": []}', b"[" * 100_000),
        *(b'{"items": ' + b"[" * 100_000, b"<html>", b'{"items": [}'),
    ],
)
def test_json_that_is_none_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_submitted(body)
    with pytest.raises(Unreadable):
        read_looked_up(body)


def test_an_entry_that_cannot_be_read_costs_no_other() -> None:
    body = (
        b'{"items": [1, null, {"number": 5, "state": "active"}, {"number": "+1", "state": "fine"}, {"key": "k"},'
        b'{"number": "+16175550100", "state": "active", "key": "k1", "surprise": [1], "record_id": "r1"}], "more": {}}'
    )
    assert read_submitted(body) == [entry(State.ACTIVE, remote_id="r1")]


def test_a_listing_that_cannot_be_read_is_not_told() -> None:
    body = b'{"records": [{"number": "+16175550100", "state": "active", "listing": {"number": 5}}]}'
    assert finding(answers_to_confirm([TASK], read_looked_up(body))) is Finding.LATER


def test_the_words_of_a_problem() -> None:
    assert read_problem(b'{"title": "t", "detail": "no\\nsuch"}') == "no such"
    assert read_problem(b'{"title": "t"}') == "t"
    for body in (b"", b"[]", b"<html>", b"{" * 100_000):
        assert read_problem(body) == ""


def test_a_request_has_the_same_name_and_octets_when_repeated_and_another_when_it_is_another() -> None:
    names = {idempotency_key(TASKS[:n], action) for n in (1, 2, 500) for action in ("publish", "withdraw")}
    assert len(names) == 6
    assert idempotency_key(list(TASKS), "publish") == idempotency_key(TASKS, "publish")
    assert write_submission(TASKS, "publish") == write_submission(list(TASKS), "publish")
