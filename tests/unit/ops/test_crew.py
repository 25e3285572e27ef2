"""Several processes of one hub: what follows from what, on a clock that tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import readiness
from ops.crew import FIRST_S, INFINITY, LONGEST_S, READY, RELOAD_S, RELOADING, STEADY_S, STOPPING, Crew, Stage, Standing

SILENCE_S = 10.0
ALIVE = "WATCHDOG=1"


def serving(count: int = 3, now: float = 0.0) -> Crew:
    """A crew of which all serve."""
    crew = Crew(count, SILENCE_S)
    for number in range(count):
        crew.started(number, now)
        crew.said(number, [READY], now)
    return crew


def test_the_words_are_those_of_the_service_manager() -> None:
    assert (READY, STOPPING) == (readiness.READY, readiness.STOPPING)
    assert RELOADING in readiness.reloading(7).splitlines()


def test_the_first_starts_alone_and_the_others_when_it_serves() -> None:
    crew = Crew(3, SILENCE_S)
    assert crew.to_start(0) == [0]
    crew.started(0, 0)
    assert crew.to_start(0) == []
    assert crew.next_at() == INFINITY, "how long a start takes is not known"
    crew.said(0, [READY], 5)
    assert crew.to_start(5) == [1, 2]
    for number in (1, 2):
        crew.started(number, 5)
    crew.said(2, [READY], 6)
    assert (crew.standing, crew.serving) == (Standing.STARTING, 2)
    crew.said(1, [READY], 7)
    assert (crew.standing, crew.serving) == (Standing.SERVING, 3)


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_ends_before_all_have_served_ends_all(who: int) -> None:
    crew = Crew(2, SILENCE_S)
    crew.started(0, 0)
    if who:
        crew.said(0, [READY], 1)
        crew.started(1, 1)
    ended = crew.ended(who, 2)
    assert (ended.is_failure, ended.again_in_s) == (True, None)
    assert crew.standing is Standing.STOPPING
    assert crew.to_start(1e9) == []
    if who:
        assert not crew.is_gone
        assert not crew.ended(0, 3).is_failure
    assert crew.is_gone


def test_one_that_ends_is_started_again_after_longer_and_longer_waits() -> None:
    crew = serving()
    now, waits = 100.0, []
    for _ in range(9):
        ended = crew.ended(1, now)
        assert not ended.is_failure
        assert ended.again_in_s is not None
        waits.append(ended.again_in_s)
        assert crew.to_start(now + ended.again_in_s - 0.01) == []
        assert crew.next_at() <= now + ended.again_in_s
        now += ended.again_in_s
        assert crew.to_start(now) == [1]
        crew.started(1, now)
        now += 1
    assert waits == [FIRST_S, 1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S]
    assert crew.ended(1, now - 1 + STEADY_S).again_in_s == FIRST_S
    assert crew.ended(2, now).again_in_s == FIRST_S, "each for itself"


def test_all_are_started_again_even_when_all_have_ended() -> None:
    crew = serving()
    for number in range(3):
        crew.ended(number, 100)
    assert crew.is_gone
    assert crew.to_start(100 + FIRST_S) == [0, 1, 2]
    assert crew.standing is Standing.SERVING, "it does not become unready for the service manager"
    assert crew.serving == 0


def test_one_that_serves_and_falls_silent_is_named_once() -> None:
    crew = serving()
    for number in (0, 2):
        crew.said(number, [ALIVE], 9)
    assert crew.hung(SILENCE_S - 0.1) == []
    assert crew.next_at() == SILENCE_S
    assert crew.hung(SILENCE_S) == [1]
    assert crew.hung(SILENCE_S) == []
    assert crew.ended(1, SILENCE_S).again_in_s == FIRST_S
    assert crew.hung(9 + SILENCE_S) == [0, 2]


def test_one_that_starts_or_stops_may_be_silent() -> None:
    crew = serving(2)
    crew.ended(0, 0)
    crew.started(0, 1)
    crew.said(0, [ALIVE], 1)
    crew.said(1, [STOPPING], 1)
    assert crew.hung(1e9) == []
    assert crew.next_at() == INFINITY
    assert crew.stages() == [Stage.STARTING, Stage.STOPPING]
    crew.said(1, [READY], 2)  # it had reloaded, and was told to stop meanwhile
    assert crew.stages()[1] is Stage.STOPPING


def test_files_are_read_one_after_the_other() -> None:
    crew = serving()
    assert crew.to_reload(0) is None
    crew.reload()
    for number in range(3):
        assert crew.standing is Standing.RELOADING
        assert crew.to_reload(number) == number
        assert crew.to_reload(number) is None
        crew.said(number, [ALIVE], number)
        crew.said(number, [RELOADING, "MONOTONIC_USEC=1"], number)
        assert crew.stages()[number] is Stage.RELOADING
        assert crew.serving == 3
        assert crew.to_reload(number) is None
        crew.said(number, [READY], number)
    assert crew.to_reload(9) is None
    assert crew.standing is Standing.SERVING


def test_who_starts_is_told_when_it_serves_and_who_is_away_is_not_told() -> None:
    crew = serving()
    crew.ended(0, 0)
    crew.ended(1, 0)
    crew.started(1, 1)
    crew.reload()
    assert crew.to_reload(1) is None, "1 starts: who knows which file it has read"
    crew.said(1, [READY], 2)
    assert crew.to_reload(2) == 1
    crew.ended(1, 3)  # it did not survive it
    assert crew.to_reload(3) == 2
    assert crew.to_reload(3 + RELOAD_S - 1) is None
    assert crew.next_at() <= 3 + RELOAD_S
    assert crew.to_reload(3 + RELOAD_S) is None
    assert crew.standing is Standing.SERVING, "2 never said that it has; it is not waited for"


def test_who_is_told_to_stop_meanwhile_is_not_waited_for() -> None:
    crew = serving(2)
    crew.reload()
    assert crew.to_reload(0) == 0
    crew.said(0, [STOPPING], 1)
    assert crew.to_reload(1) == 1


def test_a_second_wish_begins_anew() -> None:
    crew = serving(2)
    crew.reload()
    assert crew.to_reload(0) == 0
    crew.reload()
    assert crew.to_reload(0) is None, "one at a time"
    crew.said(0, [RELOADING], 1)
    crew.said(0, [READY], 1)
    assert crew.to_reload(1) == 0


def test_when_all_stop_nothing_is_begun() -> None:
    crew = serving()
    crew.ended(2, 0)
    crew.reload()
    crew.stop()
    assert (crew.to_start(1e9), crew.to_reload(0), crew.standing) == ([], None, Standing.STOPPING)
    crew.reload()
    assert crew.standing is Standing.STOPPING
    for number in (0, 1):
        assert not crew.is_gone
        assert crew.ended(number, 1).again_in_s is None
    assert crew.is_gone


def test_one_alone_is_a_crew() -> None:
    crew = Crew(1, SILENCE_S)
    assert crew.to_start(0) == [0]
    crew.started(0, 0)
    crew.said(0, [READY], 1)
    assert (crew.standing, crew.to_start(1)) == (Standing.SERVING, [])


def test_a_crew_has_somebody() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Crew(0, SILENCE_S)


happenings = st.lists(
    st.tuples(
        st.sampled_from(["start", "ready", "reloading", "alive", "stopping", "end", "reload", "tell", "hung", "stop"]),
        st.integers(0, 2),
        st.floats(0, 40),
    ),
    max_size=60,
)


@given(happenings=happenings)
def test_whatever_happens_there_is_a_next_thing_to_do(happenings: list[tuple[str, int, float]]) -> None:
    """Who is away is started in the end, nobody is started twice, and at most one reads its file."""
    crew, now = serving(), 0.0
    told: int | None = None
    for what, number, wait_s in happenings:
        now += wait_s
        runs = crew.stages()[number] is not Stage.AWAY
        if what == "start":
            for due in crew.to_start(now):
                assert crew.stages()[due] is Stage.AWAY
                crew.started(due, now)
        elif what in ("ready", "reloading", "alive", "stopping"):
            words = {"ready": READY, "reloading": RELOADING, "alive": ALIVE, "stopping": STOPPING}[what]
            crew.said(number, [words], now)
            assert runs or crew.stages()[number] is Stage.AWAY
        elif what == "end" and runs:
            ended = crew.ended(number, now)
            assert (ended.again_in_s is None) is crew.is_stopping
        elif what == "reload":
            crew.reload()
        elif what == "tell":
            told = crew.to_reload(now)
            assert told is None or crew.stages()[told] in (Stage.SERVING, Stage.RELOADING)
            assert told is None or crew.to_reload(now) is None
        elif what == "hung":
            for silent in crew.hung(now):
                assert crew.stages()[silent] in (Stage.SERVING, Stage.RELOADING)
        elif what == "stop" and number == 0 and wait_s > 39:
            crew.stop()
    if not crew.is_stopping:
        away = [number for number, stage in enumerate(crew.stages()) if stage is Stage.AWAY]
        assert list(crew.to_start(now + LONGEST_S)) == away
        if away:
            assert crew.next_at() <= now + LONGEST_S
