"""What filters let pass and what they keep back. Pure: time is a number here."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hub import filters as module
from hub.filters import (
    LISTED_URL,
    LOOP,
    OVER_DAILY_LIMIT,
    SLOTS,
    TRAPPED,
    FilterRules,
    Filters,
    FilterSettings,
    LoopGuard,
    Recent,
    Repetitions,
    SlidingCount,
    Trap,
    VolumeTraps,
)
from hub.model import Arrival, Concatenation, Reason
from hub.quota import DAY_US, Quotas
from hub.url_list import MAX_PARTS, UrlFilter, UrlList, canonical, read_list

S = 1_000_000
NOON = 20_000 * DAY_US + DAY_US // 2
NUMBER = "+18005550100"
ANN, BOB = "+12025550101", "+12025550102"


class Way(NamedTuple):
    call_centre: str = ""
    number: str = ""


def arrival(text: str = "hello", source: str = ANN, destination: str = BOB, **fields: object) -> Arrival:
    return Arrival(source=source, destination=destination, text=text, **fields)  # type: ignore[arg-type]


# --- the URL list -----------------------------------------------------------------------------------------------------

LISTED = """
# what we do not want
evil.example       # a domain
*.wild.example
.dotted.example
HTTPS.Example.
xn--mnchen-3ya.example
faß.example
192.0.2.66
пример.example
""".splitlines()
URLS = UrlList(read_list(LISTED)[0])


@pytest.mark.parametrize(
    "text",
    [
        "evil.example",
        "EVIL.Example",
        "go to http://evil.example/now",
        "go to http://evil.example:8080/now",
        "http://evil.example./",
        "evil.example.",
        "https://user:password@evil.example?x=y",
        "https://bank.example@evil.example",
        "https://deep.sub.evil.example#top",
        "//evil.example",
        "(evil.example)",
        "<http://evil.example>",
        "see:evil.example,ok",
        "http://%65vil.example/",
        "http://evil%2Eexample/",
        "ｅｖｉｌ．ｅｘａｍｐｌｅ",
        "http://evil。example",
        "http://evil｡example",
        "e\u00advil.exam\u200bple",
        "\u24d4vil.example",
        "请看evil.example谢谢",
        "“evil.example”",
        "a wild.example b",
        "any.wild.example",
        "dotted.example",
        "https.example",
        "http://münchen.example/x",
        "http://MÜNCHEN.example/x",
        "http://mu\u0308nchen.example/x",
        "“münchen.example”",
        "sub.münchen.example",
        "xn--mnchen-3ya.example",
        "XN--MNCHEN-3YA.EXAMPLE",
        "xn--fa-hia.example",
        "ПРИМЕР.example",
        "http://192.0.2.66/x",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.evil.example",
        "x" * 30_000 + " evil.example",
        "..evil.example..",
        "-evil.example-",
    ],
)
def test_a_listed_host_is_found_however_it_is_written(text: str) -> None:
    assert URLS.find(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evil example",
        "evil",
        "example",
        "notevil.example",
        "not-evil.example",
        "evil.example.org",
        "evil..example",
        "evil.examples",
        "évil.example",  # another host, whose last letters are the listed one's
        "dévil.example",
        "evil.exampleé",
        "fass.example",  # another domain than faß.example
        "munchen.example",
        "1192.0.2.66",
        "192.0.2.6",
        "End of a sentence. Another one. 3.14 ...",
        "100% evil",
        "a" * 39_000,
        "a." * 19_000,
        "%" * 10_000,
        "é." * 10_000,
        ".",
        "\ud83d.\ude00",
    ],
)
def test_what_is_not_listed_is_not_found(text: str) -> None:
    assert URLS.find(text) == ""


def test_lines_that_name_no_host_are_told() -> None:
    hosts, wrong = read_list(
        ["a.example", "", "# x", "http://b.example/", "two words", "..", "c.example#x", "\ufeffd.example"]
    )
    assert hosts == {"a.example", "c.example", "d.example"}
    assert wrong == [4, 5, 6]


def test_an_empty_list_finds_nothing() -> None:
    assert UrlList().find("evil.example") == ""
    assert len(UrlList()) == 0


_labels = st.text("abcxyz0189", min_size=1, max_size=8)
_hosts = st.lists(_labels, min_size=2, max_size=4).map(".".join)


@given(_hosts, st.lists(_labels, max_size=3), st.sampled_from(["", "http://", "(", "x@", "a/", "“", "说"]))
def test_any_listed_host_is_found_below_any_label(host: str, below: list[str], before: str) -> None:
    text = before + ".".join([*below, host]).upper() + ":80/"
    assert UrlList(frozenset((canonical(host),))).find(text) == host


@given(st.lists(_labels, min_size=1, max_size=5).map(".".join), st.sets(_hosts, min_size=1, max_size=5))
def test_a_host_is_found_exactly_when_it_or_one_above_it_is_listed(host: str, listed: set[str]) -> None:
    above = {".".join(host.split(".")[at:]) for at in range(host.count("."))}
    assert bool(UrlList(frozenset(listed)).find(f"see {host} now")) == bool((above | {host}) & listed)


@given(st.text())
def test_no_text_is_too_much_for_the_list(text: str) -> None:
    URLS.find(text)
    once = canonical(text)
    assert canonical(once) == once


def test_a_host_cut_in_two_parts_is_found_in_either_order() -> None:
    first, second = "Look at http://ev", "il.example/ now"
    for order in ((1, 2), (2, 1)):
        urls = UrlFilter(URLS)
        found = [
            urls.names_listed("link:a", ANN, BOB, (first, second)[number - 1], Concatenation(7, 2, number))
            for number in order
        ]
        assert found == [False, True]
    # Parts of other texts are not joined to it.
    urls = UrlFilter(URLS)
    assert not urls.names_listed("link:a", ANN, BOB, first, Concatenation(7, 2, 1))
    assert not urls.names_listed("link:a", ANN, BOB, second, Concatenation(8, 2, 2))
    assert not urls.names_listed("link:a", BOB, ANN, second, Concatenation(7, 2, 2))
    assert not urls.names_listed("link:b", ANN, BOB, second, Concatenation(7, 2, 2))


def test_what_is_remembered_of_parts_is_bounded() -> None:
    urls = UrlFilter(URLS)
    for number in range(MAX_PARTS + 100):
        urls.names_listed("link:a", ANN, f"+1{number}", "text", Concatenation(1, 2, 1))
    assert len(urls._parts) == MAX_PARTS


# --- counting in time -------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.lists(st.integers(0, 40), max_size=80))
def test_a_sliding_count_never_lets_more_pass_and_never_waits_a_slot_too_long(limit: int, waits: list[int]) -> None:
    """Against a list of all times. A slot is 10, so that the time is 120."""
    width, over = 10, 10 * (SLOTS - 1)
    count, now, passed = SlidingCount(), NOON, [0]
    for wait in waits:
        now += wait
        if count.take(limit, now // width):
            passed.append(now)
            assert len([t for t in passed if t > now - over]) <= limit
        else:
            assert len([t for t in passed if t > now - over - width]) >= limit


def test_what_is_taken_back_makes_room() -> None:
    count = SlidingCount()
    assert [count.take(2, 5) for _ in range(3)] == [True, True, False]
    count.take_back(5)
    assert count.total == 1
    assert count.take(2, 6)
    count.take_back(6)
    count.take_back(6)
    count.take_back(6)  # more than there was
    assert count.total == 0
    assert count.take(1, 7)


def test_recent_values_are_bounded_and_the_latest_stay() -> None:
    recent: Recent[int] = Recent(100)
    for number in range(10_000):
        recent.put(number, number)
        assert recent.get(0) == 0  # what is asked for stays
    assert len(recent) <= 200
    assert [recent.get(number) for number in range(9_901, 10_000)] == list(range(9_901, 10_000))
    assert recent.get(5) is None


# --- volume traps -----------------------------------------------------------------------------------------------------


def _trapped(texts: int = 3, **fields: object) -> Filters:
    trap = Trap(texts=texts, over_us=60 * S, **fields)  # type: ignore[arg-type]
    return Filters(FilterSettings(loop_texts=0), FilterRules(traps={"acme": trap}))


def test_a_number_takes_so_many_texts_and_then_asks_for_patience() -> None:
    filters, way = _trapped(), Way("acme", NUMBER)
    said = [filters.check("link:a", arrival(str(n), destination=NUMBER), ANN, way, NOON) for n in range(5)]
    assert said == [None, None, None, TRAPPED, TRAPPED]
    assert TRAPPED.reason is Reason.TOO_MUCH
    # Another number of the call centre, another call centre, transit, and the desk's own texts have their own way.
    assert filters.check("link:a", arrival(), ANN, Way("acme", "+18005550101"), NOON) is None
    assert filters.check("link:a", arrival(), ANN, Way("other", NUMBER), NOON) is None
    assert filters.check("link:a", arrival(), ANN, Way(), NOON) is None
    assert filters.check("desk:help", arrival(), NUMBER, way, NOON) is None
    assert filters.check("link:a", arrival(), ANN, way, NOON + 70 * S) is None


def test_senders_on_the_white_list_are_neither_stopped_nor_counted() -> None:
    filters, way = _trapped(exceptions=("77377", "+1202*")), Way("acme", NUMBER)
    for source in ("77377", ANN, BOB) * 10:
        assert filters.check("link:a", arrival(), source, way, NOON) is None
    others = [filters.check("link:a", arrival(), "+13035550000", way, NOON) for _ in range(4)]
    assert others == [None, None, None, TRAPPED]


class Listed:
    def __init__(self, **texts: int) -> None:
        self._texts = texts

    def texts(self, number: str) -> int:
        return self._texts.get(number, 0)


def test_a_number_on_a_white_list_takes_more_and_never_fewer() -> None:
    filters = _trapped(2, volumes=Listed(**{NUMBER: 4, "+18005550101": 1}))
    taken = {
        number: [filters.check("link:a", arrival(str(n)), ANN, Way("acme", number), NOON) for n in range(6)].count(None)
        for number in (NUMBER, "+18005550101", "+18005550102")
    }
    assert taken == {NUMBER: 4, "+18005550101": 2, "+18005550102": 2}


def test_another_time_of_a_trap_begins_to_count_anew() -> None:
    filters, way = _trapped(1), Way("acme", NUMBER)
    assert filters.check("link:a", arrival(), ANN, way, NOON) is None
    assert filters.check("link:a", arrival(), ANN, way, NOON) is TRAPPED
    filters.follow(FilterRules(traps={"acme": Trap(texts=1, over_us=3600 * S)}))
    assert filters.check("link:a", arrival(), ANN, way, NOON) is None
    assert filters.check("link:a", arrival(), ANN, way, NOON + 120 * S) is TRAPPED
    filters.follow(FilterRules())
    assert not filters.active


def test_traps_of_a_block_of_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAP_GENERATION", 50)
    traps = VolumeTraps()
    for number in range(1000):
        traps.take(f"+1{number}", 5, 60 * S, NOON)
    assert len(traps._counts) <= 100


# --- the loop guard ---------------------------------------------------------------------------------------------------


def test_a_text_that_goes_to_and_fro_is_cut_and_no_other() -> None:
    guard = LoopGuard(4, 60 * S)
    told = [
        guard.take(*((ANN, BOB) if n % 2 else (BOB, ANN)), arrival("I am away"), NOON + n * S)  # type: ignore[misc]
        for n in range(6)
    ]
    assert told == [True] * 4 + [False] * 2
    assert guard.take(ANN, BOB, arrival("I am here"), NOON + 7 * S)
    assert guard.take(ANN, "+12025550103", arrival("I am away"), NOON + 7 * S)
    assert guard.take(ANN, BOB, arrival("", data=b"I am away"), NOON + 7 * S)
    assert not guard.take(ANN, BOB, arrival("I am away"), NOON + 8 * S)
    assert guard.take(ANN, BOB, arrival("I am away"), NOON + 200 * S)


def test_two_programs_that_answer_each_other_with_texts_of_their_own_are_cut() -> None:
    guard, cut = LoopGuard(20, 60 * S), 0
    for n in range(200):
        source, destination, text = (ANN, BOB, "Thank you!") if n % 2 else (BOB, ANN, "Please hold.")
        cut += not guard.take(source, destination, arrival(text), NOON + n * S // 10)
    assert cut == 160


def test_equal_parts_of_one_long_text_are_no_loop() -> None:
    guard = LoopGuard(1, 60 * S)
    for number in range(1, 26):
        assert guard.take(ANN, BOB, arrival("x" * 153, concatenation=Concatenation(1, 25, number)), NOON)


def test_a_text_that_was_not_taken_is_not_counted_as_a_round() -> None:
    guard = LoopGuard(2, 60 * S)
    for _ in range(100):
        assert guard.take(ANN, BOB, arrival(), NOON)
        guard.take_back(ANN, BOB, arrival(), NOON)
    assert [guard.take(ANN, BOB, arrival(), NOON) for _ in range(3)] == [True, True, False]


def test_a_loop_is_seen_among_many_other_texts_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOP_GENERATION", 1000)
    guard, cut = LoopGuard(20, 60 * S), 0
    for n in range(100_000):
        now_us = NOON + n * 300  # 30 seconds in all
        guard.take(ANN, BOB, arrival(str(n)), now_us)
        if n % 999 == 0:  # once in a generation: a hundred rounds
            cut += not guard.take(ANN, BOB, arrival("again"), now_us)
    assert cut == 81
    assert len(guard) <= 2000


# --- daily limits -----------------------------------------------------------------------------------------------------


def test_an_account_sends_its_number_and_begins_anew_at_midnight_of_utc() -> None:
    filters = Filters(FilterSettings(loop_texts=0), FilterRules(per_day={"account:agg": 2}))
    midnight = (NOON // DAY_US + 1) * DAY_US
    said = [filters.check("account:agg", arrival(), ANN, Way(), NOON) for _ in range(3)]
    assert said == [None, None, OVER_DAILY_LIMIT]
    assert OVER_DAILY_LIMIT.reason is Reason.TOO_MUCH
    assert filters.check("account:other", arrival(), ANN, Way(), NOON) is None
    assert filters.check("account:agg", arrival(), ANN, Way(), midnight - 1) is OVER_DAILY_LIMIT
    assert filters.check("account:agg", arrival(), ANN, Way(), midnight) is None
    assert filters.quotas.taken("account:agg", midnight) == 1


def test_counts_of_a_day_are_written_once_and_again_when_that_failed() -> None:
    quotas, day = Quotas(), NOON // DAY_US
    quotas.load(NOON, [("account:agg", 40)])
    assert quotas.changed() == []
    assert quotas.take("account:agg", 100, NOON)
    assert quotas.changed() == [("account:agg", day, 41)]
    assert quotas.changed() == []
    quotas.unwritten([("account:agg", day, 41)])
    quotas.take_back("account:agg", NOON)
    assert quotas.changed() == [("account:agg", day, 40)]
    # What was counted before midnight is written under its day though it is written after.
    quotas.take("account:agg", 100, NOON)
    quotas.take("account:agg", 100, NOON + DAY_US)
    assert sorted(quotas.changed()) == [("account:agg", day, 41), ("account:agg", day + 1, 1)]
    quotas.take_back("account:agg", NOON + 2 * DAY_US)  # the day turned between the two
    assert quotas.taken("account:agg", NOON + 2 * DAY_US) == 0


# --- all together -----------------------------------------------------------------------------------------------------


def test_what_is_only_early_is_never_taken_for_a_loop() -> None:
    """A text that is refused for now comes again: it must not be refused for good for that."""
    rules = FilterRules(per_day={"account:agg": 3}, traps={"acme": Trap(texts=2, over_us=60 * S)})
    filters, way = Filters(FilterSettings(loop_texts=2, loop_us=3600 * S), rules), Way("acme", NUMBER)
    assert filters.check("account:agg", arrival("one"), ANN, way, NOON) is None
    assert filters.check("account:agg", arrival("two"), ANN, way, NOON) is None
    assert {filters.check("account:agg", arrival("early"), ANN, way, NOON) for _ in range(50)} == {TRAPPED}
    assert filters.check("account:agg", arrival("early"), ANN, way, NOON + 70 * S) is None
    # The trap's refusals counted for nothing: that was the third of the day.
    later = NOON + 140 * S
    assert {filters.check("account:agg", arrival("late"), ANN, way, later) for _ in range(50)} == {OVER_DAILY_LIMIT}
    assert filters.check("account:agg", arrival("late"), ANN, way, NOON + DAY_US) is None


def test_a_text_cut_as_a_loop_uses_up_nothing() -> None:
    rules = FilterRules(per_day={"account:agg": 5}, traps={"acme": Trap(texts=5, over_us=60 * S)})
    filters, way = Filters(FilterSettings(loop_texts=2), rules), Way("acme", NUMBER)
    said = [filters.check("account:agg", arrival(), ANN, way, NOON) for _ in range(9)]
    assert said == [None, None, *[LOOP] * 7]
    said = [filters.check("account:agg", arrival(str(n)), ANN, way, NOON) for n in range(4)]
    assert said == [None, None, None, OVER_DAILY_LIMIT]


def test_what_intake_could_not_journal_is_taken_back_everywhere() -> None:
    rules = FilterRules(per_day={"account:agg": 1}, traps={"acme": Trap(texts=1, over_us=60 * S)})
    filters, way = Filters(FilterSettings(loop_texts=1), rules), Way("acme", NUMBER)
    for _ in range(10):
        assert filters.check("account:agg", arrival(), ANN, way, NOON) is None
        filters.take_back("account:agg", arrival(), ANN, way, NOON)
    assert filters.check("account:agg", arrival(), ANN, way, NOON) is None
    assert filters.check("account:agg", arrival(), ANN, way, NOON) is OVER_DAILY_LIMIT


@given(
    st.lists(
        st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["account:agg", "link:a"]), st.booleans()),
        max_size=40,
    )
)
def test_what_is_taken_back_leaves_no_trace(steps: list[tuple[str, str, bool]]) -> None:
    """One that sees texts which are taken back at once decides as one that never saw them."""
    rules = FilterRules(per_day={"account:agg": 5}, traps={"acme": Trap(texts=7, over_us=60 * S)})
    way = Way("acme", NUMBER)
    touched, untouched = (Filters(FilterSettings(loop_texts=3), rules) for _ in range(2))
    for text, endpoint, is_kept in steps:
        said = touched.check(endpoint, arrival(text), ANN, way, NOON)
        if is_kept:
            assert untouched.check(endpoint, arrival(text), ANN, way, NOON) is said
        elif said is None:
            touched.take_back(endpoint, arrival(text), ANN, way, NOON)


def test_a_listed_host_is_refused_before_anything_is_counted() -> None:
    filters = Filters(FilterSettings(loop_texts=1), FilterRules(per_day={"account:agg": 1}))
    filters.exchange_urls(URLS)
    for _ in range(3):
        assert filters.check("account:agg", arrival("http://evil.example"), ANN, Way(), NOON) is LISTED_URL
    assert filters.check("account:agg", arrival("fine.example"), ANN, Way(), NOON) is None
    filters.exchange_urls(UrlList())
    assert filters.check("link:a", arrival("http://evil.example"), ANN, Way(), NOON) is None


def test_without_a_filter_nothing_need_be_asked() -> None:
    assert not Filters(FilterSettings(loop_texts=0), FilterRules(repetition_us={"account:agg": S})).active
    assert Filters(FilterSettings(), FilterRules()).active


# --- repetitions ------------------------------------------------------------------------------------------------------

_arrivals = st.builds(
    arrival,
    text=st.text(max_size=3),
    source=st.sampled_from([ANN, BOB]),
    destination=st.sampled_from([ANN, BOB]),
    data=st.none() | st.binary(max_size=2),
    concatenation=st.none() | st.builds(Concatenation, st.integers(0, 1), st.just(2), st.integers(1, 2)),
    attributes=st.sampled_from([{}, {"udh": "0b"}]),
)


@given(_arrivals, _arrivals)
def test_two_texts_share_a_digest_exactly_when_they_are_one(one: Arrival, other: Arrival) -> None:
    if one.data is not None:
        one = msgspec.structs.replace(one, text="")
    if other.data is not None:
        other = msgspec.structs.replace(other, text="")
    assert (Repetitions.digest(one) == Repetitions.digest(other)) == (one == other)


@given(_arrivals)
def test_what_is_asked_for_beside_the_text_makes_no_other_text(one: Arrival) -> None:
    assume(one.data is None)
    again = msgspec.structs.replace(one, validity_us=5, attributes={**one.attributes, "service_type": "X"})
    assert Repetitions.digest(one) == Repetitions.digest(again)


def test_a_repetition_is_known_for_its_time() -> None:
    known = Repetitions(60 * S)
    digest = known.digest(arrival())
    assert known.answer(digest, NOON) is None
    known.remember(digest, 7, NOON)
    assert known.answer(digest, NOON + 60 * S - 1) == 7
    assert known.answer(digest, NOON + 60 * S) is None
    known.remember(known.digest(arrival("other")), 8, NOON + 60 * S)
    assert len(known) == 1  # what is over is forgotten


def test_repetitions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPETITIONS", 100)
    known = Repetitions(3600 * S)
    for number in range(1000):
        known.remember(known.digest(arrival(str(number))), number, NOON)
    assert len(known) == 100
    assert known.answer(known.digest(arrival("999")), NOON) == 999


def test_a_text_that_was_cancelled_or_replaced_is_no_repetition_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPETITIONS", 3)
    known = Repetitions(60 * S)
    digests = [known.digest(arrival(str(number))) for number in range(5)]
    for number, digest in enumerate(digests):
        known.remember(digest, 100 + number, NOON)
    known.remember(digests[4], 200, NOON)  # said again after its time: under another id
    for message_id in (100, 103, 104, 999):
        known.forget(message_id)
    assert [known.answer(digest, NOON) for digest in digests] == [None, None, 102, None, 200]
    known.forget(200)
    assert known.answer(digests[4], NOON) is None
    assert len(known) == len(known._digests) == 1
