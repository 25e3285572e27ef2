"""What nobody wants, and lines of a log: rates that floods wait for. Pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smpp.chatter import BURST_S, OCTETS, PAUSE_S, Chatter, excess
from smpp.log_lines import LogLines


def test_so_much_at_once_and_so_much_a_second() -> None:
    chatter = Chatter(100.0)
    chatter.count(round(100 * BURST_S), 0.0)
    assert not chatter.is_too_much
    assert chatter.pause_s() == 0.0
    chatter.count(50, 0.0)
    assert chatter.is_too_much
    assert chatter.pause_s() == 0.5
    chatter.count(0, 0.5)
    assert not chatter.is_too_much
    chatter.count(1_000_000, 0.5)
    assert chatter.pause_s() == PAUSE_S, "no pause is longer than a peer's patience"


def test_without_a_rate_there_is_no_pause() -> None:
    chatter = Chatter(0.0)
    chatter.count(1_000_000, 0.0)
    assert not chatter.is_too_much
    later = Chatter(1.0)
    later.count(100, 0.0)
    later.per_s = 0.0
    later.count(0, 0.0)
    assert (later.is_too_much, later.pause_s()) == (False, 0.0)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 3)), max_size=50), st.sampled_from([10.0, 1000.0]))
def test_whoever_keeps_to_its_pauses_is_heard_at_the_rate(sent: list[tuple[int, float]], per_s: float) -> None:
    chatter, now, things = Chatter(per_s), 0.0, 0
    for count, silence in sent:
        now += silence
        while chatter.is_too_much:
            now += chatter.pause_s()
            chatter.count(0, now + 1e-6)
            now += 1e-6
        before = things
        chatter.count(count, now)
        things += count
        assert before <= per_s * (now + BURST_S) + per_s * 1e-3


def test_octets_count_beyond_what_is_useful() -> None:
    assert excess(1000, 2000) == 0
    assert excess(2000 + OCTETS - 1, 2000) == 0
    assert excess(2000 + 3 * OCTETS, 2000) == 3


def test_lines_of_a_log() -> None:
    lines = LogLines(burst=3, per_s=2.0)
    assert [lines.may_say("a", 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert lines.may_say("b", 0.0), "kinds have a bucket each"
    assert lines.take_unsaid() == {"a": 2}
    assert lines.take_unsaid() == {}
    assert lines.may_say("a", 0.5)
    assert not lines.may_say("a", 0.5)
    assert [lines.may_say("a", 100.0) for _ in range(4)] == [True] * 3 + [False]
