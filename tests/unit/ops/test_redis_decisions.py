"""What bells and the stream decide, without a Redis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.feed import FeedRow
from ops.redis_bells import EVERYTHING, MOST_NAMES, gathered, packed, unpacked
from ops.redis_feed import decide_start, entries_of, id_text, read_id
from ops.redis_link import trouble_of
from ops.redis_trouble import RedisAway

names = st.frozensets(st.text(min_size=1, max_size=70).filter(lambda name: name != "*"), max_size=20)


@given(st.integers(0, 1022), names)
def test_a_bell_says_who_rang_and_for_what(node: int, rung: frozenset[str]) -> None:
    assert unpacked(packed(node, rung)) == (node, rung)


@given(st.binary(max_size=200))
def test_any_octets_are_a_bell_or_none(octets: bytes) -> None:
    found = unpacked(octets)
    assert found is None or isinstance(found[0], int)


@given(st.lists(names, max_size=8))
def test_names_gather_and_never_grow_beyond_bounds(rounds: list[frozenset[str]]) -> None:
    before: frozenset[str] = frozenset()
    for rung in rounds:
        before = gathered(before, rung)
        assert rung <= before
    assert gathered(before, map(str, range(MOST_NAMES + 1))) == EVERYTHING
    assert gathered(before, ["*"]) == EVERYTHING == gathered(EVERYTHING, rounds[0] if rounds else ())


def test_the_entries_of_a_row() -> None:
    row = FeedRow(7, 11, [["message", 2**62], ["dead", 3, "no-route"], ["word"]])
    assert entries_of(row) == [
        ["7-0", "event", "message", "at_us", "11", "id", str(2**62)],
        ["7-1", "event", "dead", "at_us", "11", "id", "3", "detail", "no-route"],
        ["7-2", "event", "word", "at_us", "11"],
    ]


stream_ids = st.tuples(st.integers(0, 2**53), st.integers(0, 10_000))


@given(stream_ids)
def test_ids_are_read_as_they_are_written(found: tuple[int, int]) -> None:
    assert read_id(id_text(found)) == read_id(id_text(found).encode()) == found


@given(stream_ids, st.integers(0, 2**53), st.integers(0, 2**53))
def test_the_relay_never_leaves_a_gap_that_it_could_fill(ends: tuple[int, int], at: int, earliest: int) -> None:
    start = decide_start(ends, at, earliest)
    assert start <= at
    assert start < ends[0] or start in (at, earliest), "the row that the stream ends in comes again, whole"
    assert start >= earliest or start == at, "nothing that would be trimmed at once"


def test_what_nobody_has_thought_of_is_an_outage() -> None:
    assert isinstance(trouble_of(ValueError("?")), RedisAway)
