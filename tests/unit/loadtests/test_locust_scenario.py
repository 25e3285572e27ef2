"""Scenario files: what they say about any moment, and what is said of those that cannot be played."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from loadtests.locust.scenario import Level, Scenario, ScenarioError, check_scenario, read_scenario
from tests.meta.tree import ROOT

GOOD = """
title = "Two phases"
[[phase]]
name = "up"
seconds = 10
applications = 4
texts_per_s = 100
customers = 20
rising = true
[[phase]]
name = "down"
seconds = 10
applications = 2
texts_per_s = 50
[[weather]]
who = "carrier"
does = "slow"
answer_ms = 300
from_s = 5
until_s = 10
[[weather]]
who = "carrier"
does = "throttles"
per_s = 60
from_s = 8
until_s = 12
[[weather]]
who = "desk"
does = "down"
from_s = 0
until_s = 20
"""


def scenario(text: str = GOOD) -> Scenario:
    return check_scenario(tomllib.loads(text))


def changed(old: str, new: str) -> dict[str, Any]:
    assert old in GOOD
    return tomllib.loads(GOOD.replace(old, new, 1))


def test_a_rising_phase_is_a_straight_line_and_another_is_a_step() -> None:
    two = scenario()
    assert two.total_s == 20
    assert two.level(0) == Level(0, 0, 0.0)
    assert two.level(5) == Level(2, 10, 50.0)
    assert two.level(10) == two.level(19.9) == Level(2, 0, 50.0)
    assert two.level(20) == Level(0, 0, 0.0)


def test_a_phase_that_rises_begins_where_the_one_before_ended() -> None:
    words = changed("texts_per_s = 50", "texts_per_s = 50\nrising = true")
    assert check_scenario(words).level(15) == Level(3, 10, 75.0)


def test_phases_have_names_and_the_drain_is_the_last() -> None:
    two = scenario()
    assert [two.phase_at(at) for at in (0, 9.9, 10, 20, 99)] == ["up", "up", "down", "drain", "drain"]


def test_the_weather_of_each_side() -> None:
    two = scenario()
    assert two.conditions("carrier", 4.9).answer_ms is None
    both = two.conditions("carrier", 9)
    assert (both.answer_ms, both.per_s, both.down) == (300, 60, False)
    after = two.conditions("carrier", 12)
    assert (after.answer_ms, after.per_s) == (None, None)
    assert two.conditions("desk", 9).down
    assert not two.conditions("desk", 20).down


def test_stretched_and_loaded() -> None:
    small = scenario().stretched(2).loaded(0.1)
    assert small.total_s == pytest.approx(2)
    assert small.level(1.5) == Level(1, 0, 5.0)
    assert small.conditions("carrier", 0.9).per_s == 6
    assert small.conditions("carrier", 1.3).per_s is None
    assert scenario().loaded(100).level(9.999).applications == 16  # no more may bind


@pytest.mark.parametrize("path", sorted((ROOT / "loadtests" / "scenarios").glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_that_we_have_can_be_played(path: Path) -> None:
    ours = read_scenario(path)
    assert ours.about
    assert ours.bounds.lost == ours.bounds.doubled == ours.bounds.disordered == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "missing required field 'title'"),
        ({"title": "x"}, "missing required field 'phase'"),
        ({"title": "x", "phase": []}, "phase"),
        (changed('title = "Two phases"', 'title = "x"\ntittle = 1'), "unknown field 'tittle'"),
        (changed("seconds = 10", "seconds = 0"), "'float' > 0.0 - at 'phase[0].seconds'"),
        (changed("seconds = 10", "seconds = 'ten'"), "Expected 'float', got 'str' - at 'phase[0].seconds'"),
        (changed("seconds = 10", "seconds = nan"), "'float' > 0.0 - at 'phase[0].seconds'"),
        (changed("applications = 4", "applications = 17"), "phase[0].applications"),
        (changed("customers = 20", "customers = -1"), "phase[0].customers"),
        (changed("texts_per_s = 100\n", ""), "phase 1 ('up'): give both applications and texts_per_s, or neither"),
        (changed('does = "slow"', 'does = "late"'), "'late' - at 'weather[0].does'"),
        (changed("answer_ms = 300\n", ""), "weather 1 (carrier slow): answer_ms belongs to 'slow', which needs it"),
        (changed("\nper_s = 60", "\nper_s = 0"), "weather[1].per_s"),
        (changed("\nper_s = 60", ""), "weather 2 (carrier throttles): per_s belongs to 'throttles'"),
        (changed("until_s = 20", "until_s = 21"), "weather 3 (desk down): ends at 21 s, after the last phase"),
        (changed("until_s = 10", "until_s = 5"), "until_s, 5, is not after from_s, 5"),
        (changed('who = "desk"\ndoes = "down"', 'who = "carrier"\ndoes = "away"'), "only a desk is away"),
        (changed('who = "carrier"\ndoes = "thr', 'who = "desk"\ndoes = "thr'), "only a carrier throttles"),
        (
            changed('does = "throttles"\nper_s = 60', 'does = "slow"\nanswer_ms = 1'),
            "weather 2 (carrier slow): begins before the one of 5 s to 10 s is over",
        ),
        (changed("[[phase]]", "[customers]\nthink_s = [2, 1]\n[[phase]]"), "think_s: the least, 2, is more than"),
        (changed("[[phase]]", "[bounds]\nlost = -1\n[[phase]]"), "bounds.lost"),
        (changed("[[phase]]", "[bounds.p99_ms]\nsubmit = 5\n[[phase]]"), "nothing is called 'submit'; there are: SMPP"),
        (changed("[[phase]]", "[applications]\nloop = 'closed'\n[[phase]]"), "has no meaning in a closed loop"),
        ({"title": "x", "phase": [{"name": "n", "seconds": 1}]}, "nothing would be sent"),
    ],
)
def test_what_cannot_be_played_is_said(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        check_scenario(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("octets", "said"),
    [(b"title = ", "is no TOML"), (b"\xff\xfe", "is not UTF-8 text"), (b"", "missing required field 'title'")],
)
def test_files_that_are_none(tmp_path: Path, octets: bytes, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(octets)
    with pytest.raises(ScenarioError, match=r"mine\.toml") as caught:
        read_scenario(path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read: No such file"):
        read_scenario(tmp_path / "none.toml")
