"""The scenarios' carrier and desk do what the weather says, and write down what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from loadtests.processes import ROOT

WITHIN_S = 240.0


@pytest.fixture(scope="module")
def happened() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.integration.loadtests.locust_sites"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_carrier_throttles_what_is_more_than_it_takes(happened: dict[str, Any]) -> None:
    carrier = happened["carrier"]
    assert 14 <= carrier["throttled"] <= 17  # three a second of twenty; a second may have ended meanwhile
    assert carrier["throttled"] + carrier["taken"] == 20


def test_a_slow_carrier_answers_no_sooner(happened: dict[str, Any]) -> None:
    assert happened["carrier"]["slow_s"] >= 0.25  # of 0.3: timers count from when their loop last looked at the clock
    assert happened["carrier"]["receipt"].startswith("id:")


def test_a_carrier_tries_again_what_the_hub_does_not_take_now(happened: dict[str, Any]) -> None:
    carrier = happened["carrier"]
    assert carrier["questions"] == ["q000100000000"] * 2
    assert carrier["failures"] == [["SMPP deliver_sm", "ESME_RTHROTTLED"]]
    assert carrier["answered"]


def test_a_carrier_that_is_down_is_gone_and_what_the_hub_may_not_know_is_in_doubt(happened: dict[str, Any]) -> None:
    carrier = happened["carrier"]
    assert carrier["refused"]
    assert carrier["doubtful"] == [0, 2, 1]  # with a window of three: of texts before, texts and answers after
    assert carrier["owed"] == 0


def test_what_fell_with_a_session_goes_by_the_next_in_its_order(happened: dict[str, Any]) -> None:
    assert happened["carrier"]["unanswered"] == ["q000100000002", "q000100000003", "q000100000004"]


def test_what_another_node_sends_again_was_in_doubt_only_if_it_was_among_the_last(happened: dict[str, Any]) -> None:
    """The last, sent again by a newer session, twice: in doubt. The first of four, or by the older one: doubled."""
    assert happened["carrier"]["again"] == [2, 2]


def test_a_desk_knows_who_knows_the_secret(happened: dict[str, Any]) -> None:
    assert happened["desk"]["stranger"] == [False, 1]
    assert happened["desk"]["second"]


def test_a_csr_sends_again_what_is_to_come_later_and_nothing_else(happened: dict[str, Any]) -> None:
    desk = happened["desk"]
    assert desk["again"] == ["a000200000000"] * 2
    measure = "XMPP answer to carrier"
    assert desk["failures"] == [
        [measure, "try-later"],
        [measure, "unknown-token"],
        [measure, "receipt says UNDELIV"],
    ]


def test_answers_are_acknowledged_by_the_pong_behind_them(happened: dict[str, Any]) -> None:
    assert happened["desk"]["acknowledged_before_pong"] == 0


def test_a_desk_is_away_slow_and_down(happened: dict[str, Any]) -> None:
    desk = happened["desk"]
    assert desk["presence"] == ["unavailable", None]
    assert desk["slow_s"] >= 0.25
    assert desk["disordered"] == 0
    assert desk["refused"]
    assert desk["doubtful"] == 3  # the last three, as many as its window
