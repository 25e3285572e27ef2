"""What is remembered of directories' answers, for how long, and whose turn it is to be looked up."""

from __future__ import annotations

import random

import pytest

from translators.enum_cache import NOTHING_SHARE, TURNED_AWAY, CacheRules, EnumCache, Result

S = 1_000_000
NOW = 1_760_000_000 * S
RULES = CacheRules(size=3, queue=4, shortest_us=10 * S, longest_us=1000 * S, negative_us=100 * S, failure_us=5 * S)


def number(place: int) -> str:
    return f"+1617{place:07d}"


ONE, TWO = number(1), number(2)


@pytest.fixture
def cache() -> EnumCache:
    return EnumCache(RULES)


def learn(cache: EnumCache, which: str, element: str = "SPID:6006", ttl_s: int = 100, now_us: int = NOW) -> None:
    cache.answer(which, now_us)
    assert cache.take() == which
    cache.settle(which, Result.FOUND if element else Result.ABSENT, element, ttl_s, now_us)


def test_what_is_not_known_is_wanted_once(cache: EnumCache) -> None:
    assert cache.answer(ONE, NOW) is None
    assert cache.answer(ONE, NOW) is None
    assert cache.waiting == 1
    assert cache.take() == ONE
    assert cache.answer(ONE, NOW) is None  # it is being asked for
    assert cache.take() is None


def test_an_answer_holds_for_its_time_to_live(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=100)
    found = cache.answer(ONE, NOW)
    assert found is not None
    assert (found.element, found.endpoint, found.valid_until_us) == ("SPID:6006", "", NOW + 100 * S)
    assert cache.answer(ONE, NOW + 100 * S - 1) is found
    assert cache.answer(ONE, NOW + 100 * S) is None


@pytest.mark.parametrize(("ttl_s", "lasts_s"), [(0, 10), (9, 10), (500, 500), (2**31, 1000)])
def test_times_to_live_are_bounded(cache: EnumCache, ttl_s: int, lasts_s: int) -> None:
    learn(cache, ONE, ttl_s=ttl_s)
    found = cache.answer(ONE, NOW)
    assert found is not None
    assert found.valid_until_us == NOW + lasts_s * S


@pytest.mark.parametrize(("ttl_s", "lasts_s"), [(0, 10), (50, 50), (2**31, 100)])
def test_that_there_is_nothing_is_remembered_too(cache: EnumCache, ttl_s: int, lasts_s: int) -> None:
    learn(cache, ONE, element="", ttl_s=ttl_s)
    cache.answer(ONE, NOW + lasts_s * S - 1)
    assert cache.waiting == 0
    cache.answer(ONE, NOW + lasts_s * S)
    assert cache.waiting == 1


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNTRUSTED])
def test_a_failure_is_an_answer_for_a_short_time(cache: EnumCache, result: Result) -> None:
    cache.answer(ONE, NOW)
    cache.settle(cache.take() or "", result, "", 0, NOW)
    cache.answer(ONE, NOW + 5 * S - 1)
    assert cache.waiting == 0
    cache.answer(ONE, NOW + 5 * S)
    assert cache.waiting == 1


def test_what_is_in_use_is_looked_up_before_it_ends(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=100)
    cache.answer(ONE, NOW + 90 * S - 1)
    assert cache.waiting == 0
    assert cache.answer(ONE, NOW + 90 * S) is not None
    assert cache.take() == ONE
    cache.settle(ONE, Result.FOUND, "SPID:7007", 100, NOW + 91 * S)
    found = cache.answer(ONE, NOW + 150 * S)
    assert found is not None
    assert found.element == "SPID:7007"


def test_when_that_fails_the_answer_holds_to_its_end_and_is_not_asked_for_all_the_time(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=100)
    cache.answer(ONE, NOW + 90 * S)
    cache.settle(cache.take() or "", Result.FAILED, "", 0, NOW + 90 * S)
    assert cache.answer(ONE, NOW + 95 * S - 1) is not None
    assert cache.waiting == 0
    assert cache.answer(ONE, NOW + 95 * S) is not None
    assert cache.waiting == 1
    assert cache.answer(ONE, NOW + 100 * S) is None


def test_a_number_that_lost_its_element_has_none(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=100)
    cache.answer(ONE, NOW + 90 * S)
    cache.settle(cache.take() or "", Result.ABSENT, "", 100, NOW + 90 * S)
    assert cache.answer(ONE, NOW + 91 * S) is None
    assert (cache.known, cache.nothing) == (0, 1)


def test_what_was_asked_for_longest_ago_is_forgotten(cache: EnumCache) -> None:
    for place in range(3):
        learn(cache, number(place))
    cache.answer(number(0), NOW)
    learn(cache, number(3))
    assert [cache.answer(number(place), NOW) is not None for place in range(4)] == [True, False, True, True]


def test_numbers_that_do_not_exist_drive_out_none_that_does(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=1000)
    for place in range(100, 300):
        learn(cache, number(place), element="")
    assert cache.nothing == NOTHING_SHARE * RULES.size
    assert cache.answer(ONE, NOW) is not None


def test_a_flood_is_bounded_and_keeps_out_no_number_that_is_asked_for_again(cache: EnumCache) -> None:
    chance = random.Random(4)
    served = set()
    for step in range(20_000):
        cache.answer(f"+44{chance.randrange(10**10):010d}", NOW)
        if step % 20 == 0:
            cache.answer(ONE, NOW)
        if step % 50 == 0:  # far fewer are looked up than arrive
            which = cache.take()
            assert which is not None
            served.add(which)
            cache.settle(which, Result.FOUND if which == ONE else Result.ABSENT, "SPID:6006", 1000, NOW)
        assert cache.waiting <= 2 * RULES.queue
        assert cache.turned_away <= TURNED_AWAY * RULES.queue
    assert cache.counts["dropped"] > 10_000
    assert len(served) > 200
    assert ONE in served


def test_a_number_that_was_turned_away_comes_in_the_second_time(cache: EnumCache) -> None:
    for place in range(10, 14):
        cache.answer(number(place), NOW)
    cache.answer(ONE, NOW)
    assert cache.waiting == 4
    assert cache.counts["dropped"] == 1
    cache.answer(ONE, NOW)
    assert cache.waiting == 5
    assert [cache.take() for _ in range(3)] == [ONE, number(10), number(11)]
    assert cache.turned_away == 0


def test_both_queues_have_their_turn(cache: EnumCache) -> None:
    for place in range(3):
        learn(cache, number(place), ttl_s=100)
    for place in range(10, 13):
        cache.answer(number(place), NOW)
    for place in range(3):
        cache.answer(number(place), NOW + 95 * S)
    kinds = ["known" if int((cache.take() or "")[-2:]) < 10 else "new" for _ in range(6)]
    assert sorted(kinds[:2]) == sorted(kinds[2:4]) == ["known", "new"]


def test_a_clock_that_is_set_back_keeps_what_is_known(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=100)
    assert cache.answer(ONE, NOW - 3600 * S) is not None
    assert cache.answer(ONE, NOW + 3600 * S) is None


def test_what_a_clock_wrote_that_ran_a_year_ahead_is_looked_up_and_ends(cache: EnumCache) -> None:
    year = 365 * 86_400 * S
    learn(cache, ONE, ttl_s=100, now_us=NOW + year)
    learn(cache, TWO, element="", now_us=NOW + year)
    known = cache.answer(ONE, NOW)
    assert known is not None
    assert known.valid_until_us == NOW + RULES.longest_us
    assert cache.answer(TWO, NOW) is None
    assert sorted([cache.take() or "", cache.take() or ""]) == [ONE, TWO]
    cache.settle(ONE, Result.FAILED, "", 0, NOW)
    assert cache.answer(ONE, NOW + RULES.longest_us) is None


def test_the_longest_time_to_live_is_no_clock_that_ran_ahead(cache: EnumCache) -> None:
    learn(cache, ONE, ttl_s=2**31)
    known = cache.answer(ONE, NOW)
    assert known is not None
    assert known.valid_until_us == NOW + RULES.longest_us
    assert cache.waiting == 0
