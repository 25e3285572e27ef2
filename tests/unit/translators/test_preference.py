"""Who has refused what, and who is asked next. The shares: tests/property/translators/test_preference_properties.py."""

from __future__ import annotations

import pytest

from translators.preference import Preference, Refusals, turned


def test_an_order_is_the_same_for_ever() -> None:
    """It must outlast restarts and versions of Python: the customers of a link are told apart by nothing else."""
    preference = Preference([("east", 3), ("west", 1), ("north", 1)])
    orders = [preference.order("+12025550100", f"+44770090000{n}") for n in range(6)]
    assert orders == [(1, 2, 0), (1, 0, 2), (2, 1, 0), (0, 2, 1), (2, 1, 0), (2, 0, 1)]


def test_a_name_that_no_codec_takes_has_an_order() -> None:
    assert sorted(Preference([("a", 1), ("b", 1)]).order("\ud800", "")) == [0, 1]


@pytest.mark.parametrize(
    ("attempt", "asked"), [(1, [2, 0, 3]), (2, [0, 3, 2]), (3, [3, 2, 0]), (4, [2, 0, 3]), (50, [0, 3, 2])]
)
def test_each_attempt_begins_one_further_down(attempt: int, asked: list[int]) -> None:
    assert turned((2, 1, 0, 3), {0, 2, 3}, attempt) == asked


def test_nobody_is_asked_when_nobody_may_be() -> None:
    assert turned((0, 1), set(), 7) == []


def test_refusals_are_of_one_part() -> None:
    refusals = Refusals()
    assert refusals.note(7, 1, 0, "first") == {0}
    assert refusals.note(7, 1, 2, "second") == {0, 2}
    assert refusals.of(7, 1) == ({0, 2}, "second")
    assert refusals.of(7, 2) == ((), "")
    assert refusals.note(7, 2, 1, "third") == {1}
    assert refusals.of(7, 1) == ((), "")
    refusals.forget(7)
    assert refusals.of(7, 2) == ((), "")
    assert len(refusals) == 0


def test_the_oldest_refusals_are_forgotten_first() -> None:
    refusals = Refusals(limit=3)
    for message_id in (1, 2, 3, 1, 4):
        refusals.note(message_id, 1, message_id, "no")
    assert [bool(refusals.of(message_id, 1)[0]) for message_id in (1, 2, 3, 4)] == [True, False, True, True]
    assert len(refusals) == 3
