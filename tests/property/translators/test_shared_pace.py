"""A rate that nodes share: together they take no more than it and what may be held; one alone gets all of it.

The nodes are the real ones, pure; the bucket is a model of the script of ``ops.redis_rates``, which
tests/integration/redis/test_redis_rates.py holds to the same.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from translators.shared_pace import HELD_S, SharedPace, Sharing

MS = 1000
STEP_US = 2 * MS
VOUCHED_US = 1_000 * MS


class Bucket:
    """The one bucket of an account."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self.tokens = self.most = max(1.0, per_s * HELD_S)
        self.at_us = 0

    def ask(self, wanted: int, part: float, now_us: int) -> int:
        self.tokens = min(self.most, self.tokens + (now_us - self.at_us) / 1e6 * self.per_s * part)
        self.at_us = now_us
        gets = min(wanted, int(self.tokens)) if wanted > 0 else wanted
        self.tokens = min(self.most, self.tokens - gets)
        return max(0, gets)


class Node:
    """One that is asked for messages, and fetches as the shell does."""

    def __init__(self, per_s: float, chance: random.Random) -> None:
        self.sharing = Sharing()
        self.woken = False
        self.pace = SharedPace(per_s, self.sharing, self._wake)
        self.chance = chance
        self.next_fetch_us = 0
        self.next_beat_us = 0
        self.takes: list[int] = []
        self.refused = 0

    def _wake(self, pace: SharedPace) -> None:
        assert pace is self.pace
        self.woken = True

    def offer(self, messages: int, now_us: int) -> None:
        for _ in range(messages):
            if self.pace.allowance(now_us) >= 1:
                self.pace.spend(1)
                self.takes.append(now_us)
            else:
                self.refused += 1

    def fetch(self, bucket: Bucket, part: float, now_us: int) -> None:
        if now_us < self.next_fetch_us or not (self.woken or now_us >= self.next_beat_us):
            return
        self.woken = False
        if not self.pace.is_at_rest:
            self.pace.take(bucket.ask(self.pace.wants(now_us), part, now_us))
        self.sharing.until_us = now_us + VOUCHED_US
        self.next_fetch_us = now_us + self.chance.randrange(40, 80) * MS
        self.next_beat_us = now_us + 250 * MS


def play(per_s: float, loads: list[list[float]], seed: int, cut_off: int | None = None) -> tuple[list[Node], int]:
    """Nodes under loads, in parts of the rate, that change each half second. Returns: them, and for how long."""
    chance = random.Random(seed)
    bucket = Bucket(per_s)
    nodes = [Node(per_s, chance) for _ in loads]
    for node in nodes:
        node.sharing.nodes = len(nodes)
    reaching = [node for number, node in enumerate(nodes) if number != cut_off]
    part = len(reaching) / len(nodes)
    owed = [0.0 for _ in nodes]
    end_us = 500 * MS * len(loads[0])
    for now_us in range(STEP_US, end_us, STEP_US):
        for node in reaching:
            node.fetch(bucket, part, now_us)
        for number, node in enumerate(nodes):
            owed[number] += loads[number][now_us // (500 * MS)] * per_s * STEP_US / 1e6
            node.offer(int(owed[number]), now_us)
            owed[number] -= int(owed[number])
    return nodes, end_us


def most_within(takes: list[int], over_us: int) -> int:
    """The most that were taken in any time of a length."""
    most = first = 0
    for last, at_us in enumerate(takes):
        while takes[first] <= at_us - over_us:
            first += 1
        most = max(most, last - first + 1)
    return most


rates = st.sampled_from([1.0, 7.0, 50.0, 400.0])
loads = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]), min_size=6, max_size=6)


@given(rates, st.lists(loads, min_size=1, max_size=4), st.integers(0, 1000), st.booleans())
def test_all_nodes_together_keep_to_the_rate(
    per_s: float, loads: list[list[float]], seed: int, one_is_cut_off: bool
) -> None:
    nodes, end_us = play(per_s, loads, seed, 0 if one_is_cut_off else None)
    takes = sorted(at_us for node in nodes for at_us in node.takes)
    held = max(1.0, per_s * HELD_S) * (len(nodes) + 1)
    for over_us in (500 * MS, 1000 * MS, end_us):
        assert most_within(takes, over_us) <= per_s * over_us / 1e6 + held + len(nodes)


@settings(max_examples=30)
@given(st.sampled_from([20.0, 400.0]), st.integers(2, 4), st.integers(0, 1000))
def test_one_that_is_alone_in_wanting_gets_all_of_it(per_s: float, count: int, seed: int) -> None:
    idle = [[0.0] * 8 for _ in range(count - 1)]
    nodes, end_us = play(per_s, [[1.5] * 8, *idle], seed)
    assert len(nodes[0].takes) >= 0.9 * per_s * end_us / 1e6 - count


@settings(max_examples=30)
@given(st.sampled_from([20.0, 400.0]), st.integers(0, 1000))
def test_who_wants_less_than_its_part_is_hardly_refused(per_s: float, seed: int) -> None:
    nodes, end_us = play(per_s, [[0.2] * 12, [3.0] * 12], seed)
    offered = 0.2 * per_s * end_us / 1e6
    assert nodes[0].refused <= 0.25 * offered + 2
    taken = len(nodes[0].takes) + len(nodes[1].takes)
    assert taken >= 0.85 * per_s * end_us / 1e6 - 2


def test_what_is_not_needed_any_more_is_given_back() -> None:
    bucket = Bucket(400.0)
    node = Node(400.0, random.Random(1))
    node.sharing.nodes = 2
    for now_us in range(STEP_US, 3_000 * MS, STEP_US):
        node.fetch(bucket, 1.0, now_us)
        if now_us < 500 * MS:
            node.offer(1, now_us)
    assert node.pace.is_at_rest
    assert bucket.tokens == bucket.most
    node.offer(1, 3_000 * MS)
    assert node.takes[-1] == 3_000 * MS, "what comes out of silence is taken at once"


def test_whom_nobody_vouches_for_goes_by_its_part() -> None:
    sharing = Sharing()
    sharing.nodes = 4
    pace = SharedPace(400.0, sharing, lambda _: None)
    pace.take(1000)
    taken = 0
    for now_us in range(STEP_US, 1_000 * MS, STEP_US):
        if pace.allowance(now_us):
            pace.spend(1)
            taken += 1
    assert 90 <= taken <= 112
    sharing.nodes = 1  # the others are gone
    before = taken
    for now_us in range(1_000 * MS, 2_000 * MS, STEP_US):
        if pace.allowance(now_us):
            pace.spend(1)
            taken += 1
    assert taken - before >= 390


def test_another_limit_holds_at_once() -> None:
    sharing = Sharing()
    sharing.until_us = 10**9
    pace = SharedPace(400.0, sharing, lambda _: None)
    pace.take(100)
    pace.agree(8.0)
    assert pace.allowance(1) == 2
    pace.agree(0.0)
    assert pace.is_at_rest
    assert pace.wants(1) == 0
