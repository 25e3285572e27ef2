"""Whatever a registry answers: each task gets one answer, in order, and nothing that the protocol does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from provisioning.directories.adapter import Answer, Finding, Listing, Task
from provisioning.directories.replies import (
    MAX_AFTER_S,
    MAX_REASON,
    Entry,
    State,
    answers_to_confirm,
    answers_to_publish,
    answers_to_withdraw,
)
from provisioning.directories.rest_json import Unreadable, read_looked_up, read_problem, read_submitted
from provisioning.directories.soap_envelope import envelope
from provisioning.directories.soap_xml import NAMESPACE, as_carried, read_answer, write_listing_of, write_submit
from provisioning.directories.speaking import Postponed, Unacceptable, in_requests, retry_after_s
from provisioning.directories.xml_reading import BadXml, read_xml

NUMBERS = [f"+1617555010{n}" for n in range(4)]
TASKS = [Task(f"k{n}", Listing(number=number, real_number="", call_centre="")) for n, number in enumerate(NUMBERS)]

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from([*NUMBERS, *State]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["items", "records", "number", "state", "key", "listing", "retry_after_s", "reason", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
_entries = st.lists(
    st.builds(
        Entry,
        number=st.sampled_from([*NUMBERS, "+1999"]),
        state=st.sampled_from(State),
        key=st.sampled_from(["k0", "k1", "k2", "k3", "k4", ""]),
        reason=st.text(),
        remote_id=st.text(),
        after_s=st.floats(),
        listing=st.none() | st.sampled_from([task.listing for task in TASKS]),
    ),
    max_size=8,
)


@given(st.binary(max_size=200) | _json.map(msgspec.json.encode))
def test_any_octets_are_entries_or_unreadable_json(body: bytes) -> None:
    for read in (read_submitted, read_looked_up):
        try:
            entries = read(body)
        except Unreadable:
            continue
        assert all(isinstance(entry.state, State) for entry in entries)
    assert read_problem(body).isprintable()


_xml_pieces = st.lists(
    st.sampled_from(
        [
            *("<item>", "</item>", "<key>", "</key>", "k1", "<number>", "</number>", "+1", "<state>", "</state>"),
            *("active", "<listing>", "</listing>", "<textsPerDay>", "</textsPerDay>", "9", "&amp;", "&x;", "<!-- -->"),
            *("<retryAfter>", "</retryAfter>", "-1", "<!DOCTYPE a>", "<?p?>", "\x00", "<![CDATA[", "]]>"),
        ]
    ),
    max_size=20,
).map("".join)


@given(st.binary(max_size=200) | _xml_pieces.map(str.encode))
def test_any_octets_are_an_answer_or_bad_xml(body: bytes) -> None:
    wrapped = b'<SubmitResponse xmlns="%b">%b</SubmitResponse>' % (NAMESPACE.encode(), body)
    for octets in (body, envelope("X").replace(b"X", body), envelope("X").replace(b"X", wrapped)):
        try:
            read_answer(octets, "Submit")
        except BadXml:
            continue


@given(st.text(), st.text(), st.integers(0, 10**15))
def test_what_is_written_is_read_again_but_for_what_xml_cannot_carry(title: str, reason: str, texts: int) -> None:
    listing = msgspec.structs.replace(TASKS[0].listing, title=title, white_list_reason=reason, texts_per_day=texts)
    task = Task("k<&>", listing)
    read_xml(envelope(write_submit([task], "r")))
    record = f"<record><number>{listing.number}</number><state>active</state>{write_listing_of(task)}</record>"
    answer = read_answer(envelope(f'<QueryResponse xmlns="{NAMESPACE}">{record}</QueryResponse>'), "Query")
    assert isinstance(answer, list)
    found = answer[0].listing
    assert found is not None
    assert (found.number, found.texts_per_day) == (listing.number, texts)
    for was, came in ((title, found.title), (reason, found.white_list_reason)):
        assert len(was) == len(came)
        assert all(a == b or b == "\ufffd" for a, b in zip(was, came, strict=True))
    [confirmed] = answers_to_confirm([as_carried(task)], answer)
    assert confirmed.finding is Finding.ACTIVE


@given(_entries, st.sampled_from([answers_to_publish, answers_to_withdraw, answers_to_confirm]))
def test_each_task_gets_one_answer_that_is_fit_to_be_shown(
    entries: list[Entry], answers_of: Callable[[Sequence[Task], Sequence[Entry]], list[Answer]]
) -> None:
    answers = answers_of(TASKS, entries)
    assert len(answers) == len(TASKS)
    for task, answer in zip(TASKS, answers, strict=True):
        assert answer.reason.isprintable()
        assert len(answer.reason) <= MAX_REASON
        assert 0 <= answer.after_s <= MAX_AFTER_S
        if answer.finding is not Finding.LATER:
            # Somebody said so, of this number, and nobody said otherwise.
            mine = [e for e in entries if (e.number if answers_of is answers_to_confirm else e.key) in _names(task)]
            assert mine
            assert {(e.number, e.state) for e in mine} == {(task.listing.number, mine[0].state)}


def _names(task: Task) -> tuple[str, str]:
    return task.key, task.listing.number


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.dictionaries(st.integers(0, 59), st.sampled_from(["bad", "busy", "broken"]), max_size=4),
)
def test_a_batch_is_answered_in_order_whatever_happens(count: int, most: int, trouble: dict[int, str]) -> None:
    tasks = [Task(f"k{n}", TASKS[0].listing) for n in range(count)]
    kinds: dict[str, Any] = {"bad": Unacceptable("no"), "busy": Postponed("busy", 3), "broken": ConnectionError("gone")}

    def ask(these: Sequence[Task]) -> list[Answer]:
        assert 1 <= len(these) <= most
        for task in these:
            if (kind := trouble.get(int(task.key[1:]))) is not None:
                raise kinds[kind]
        return [Answer(Finding.ACTIVE, task.key) for task in these]

    try:
        answers = in_requests(tasks, most, ask)
    except ConnectionError:
        assert "broken" in trouble.values()
        return
    assert len(answers) == count
    for n, answer in enumerate(answers):
        match answer.finding:
            case Finding.ACTIVE:
                assert answer.reason == f"k{n}"
            case Finding.REFUSED:
                assert trouble[n] == "bad"
            case _:
                assert answer.finding is Finding.LATER
    if set(trouble.values()) <= {"bad"}:
        # At most 4 bad ones among 20 at a time, and 24 refusals are enough for them, or the rest waits.
        assert all(answers[n].finding in (Finding.REFUSED, Finding.LATER) for n in trouble if n < count)


@given(st.text(), st.floats(0, 4e9))
def test_any_retry_after_is_a_wait_within_bounds(text: str, now_s: float) -> None:
    assert 0 <= retry_after_s(text, now_s) <= MAX_AFTER_S
