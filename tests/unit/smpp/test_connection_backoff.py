"""How long to wait before the next bind."""

from __future__ import annotations

import random

import pytest

from smpp.backoff import DEFAULT_CEILINGS, Backoff, Ceiling, Trouble, trouble_of
from smpp.constants import CommandStatus


class Highest(random.Random):
    """Chance that always draws the ceiling."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_ceiling_doubles_to_its_bound():
    backoff = Backoff(Highest(), {Trouble.NETWORK: Ceiling(1, 10)})
    assert [backoff.failed(Trouble.NETWORK, 0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_month_of_failures_overflows_nothing():
    backoff = Backoff(Highest())
    assert {backoff.failed(Trouble.NETWORK, 0) for _ in range(5000)} <= {1, 2, 4, 8, 16, 32, 60}


def test_jitter_is_full_but_no_storm():
    assert Backoff(Lowest(), floor_s=0.25).failed(Trouble.NETWORK, 0) == 0.25
    backoff = Backoff(random.Random(1))
    for _ in range(10):
        backoff.failed(Trouble.NETWORK, 0)
    draws = [backoff.failed(Trouble.NETWORK, 0) for _ in range(1000)]
    assert min(draws) < 6 < 54 < max(draws) <= 60


def test_a_bind_that_lasted_is_success_and_one_that_did_not_is_none():
    backoff = Backoff(Highest(), stable_s=30)
    backoff.failed(Trouble.NETWORK, 0)
    backoff.bound(100)
    assert backoff.failed(Trouble.NETWORK, 129) == 2
    backoff.bound(200)
    assert backoff.failed(Trouble.NETWORK, 230) == 1


def test_another_trouble_begins_anew():
    backoff = Backoff(Highest())
    for _ in range(5):
        backoff.failed(Trouble.NETWORK, 0)
    assert backoff.failed(Trouble.GHOST, 0) == DEFAULT_CEILINGS[Trouble.GHOST].first_s


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (CommandStatus.ESME_RALYBND, Trouble.GHOST),
        (CommandStatus.ESME_RINVPASWD, Trouble.CREDENTIALS),
        (CommandStatus.ESME_RINVSYSID, Trouble.CREDENTIALS),
        (CommandStatus.ESME_RBINDFAIL, Trouble.REFUSED),
        (0x401, Trouble.REFUSED),
    ],
)
def test_what_a_refusal_says(status, trouble):
    assert trouble_of(status) is trouble


def test_credentials_are_tried_a_few_times_an_hour_and_for_ever():
    backoff = Backoff(Highest())
    waits = [backoff.failed(Trouble.CREDENTIALS, 0) for _ in range(20)]
    assert min(waits) >= 300
    assert max(waits) <= 1800
