"""What a run is told at its end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadtests.locust.ledger import Account, Flow
from loadtests.locust.scenario import Bounds
from loadtests.locust.verdict import Findings, broken_bounds, summary


def account(**changes: int) -> Account:
    flow = Flow("texts")
    for _ in range(10):
        key = flow.offer()
        flow.acknowledge(key)
        flow.arrive(key, 0)
    return msgspec.structs.replace(flow.account(), **changes)


def findings(**changes: Any) -> Findings:
    good: dict[str, Any] = {
        "title": "a run",
        "accounts": [account()],
        "failures": 0,
        "requests": 20,
        "p99_ms": {"SMPP submit_sm": 12.0},
        "settled": True,
        "under_way": {},
        "drained_s": 2.0,
        "strange": 0,
        "leftovers": 0,
        "interrupted": False,
        "troubles": [],
        "tool_cpu_s": 1.0,
        "hub_cpu_s": 2.0,
        "wall_s": 10.0,
    }
    return Findings(**(good | changes))


def test_a_good_run() -> None:
    found = findings()
    assert broken_bounds(found, Bounds(p99_ms={"SMPP submit_sm": 12})) == []
    lines = summary(found, [])
    assert "Every acknowledged text arrived, once, in order." in lines
    assert lines[-1] == "All bounds held."
    assert any("the tool 1.0 s (100.00 s per 1,000 texts), the hub 2.0 s" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "bounds", "said"),
    [
        ({"accounts": [account(lost=2)], "settled": False}, {}, "lost: 2, at most 0 (texts 2)"),
        ({"accounts": [account(doubled=1)]}, {}, "doubled: 1"),
        ({"accounts": [account(disordered=1)]}, {}, "disordered: 1"),
        ({"accounts": [account(strange=1)]}, {}, "strange: 1"),
        ({"strange": 3}, {}, "strange: 3"),
        (
            {"settled": False, "under_way": {"answers at the desk": 2}},
            {},
            "after 2 s of drain this was still under way: 2 answers at the desk",
        ),
        ({"failures": 4}, {"failures": 3}, "failed requests: 4, at most 3"),
        ({"accounts": []}, {}, "arrived: 0, at least 1"),
        ({}, {"arrived": 11}, "arrived: 10, at least 11"),
        ({"interrupted": True}, {}, "ended before its time"),
        ({"troubles": ["the hub ended"]}, {}, "the hub ended"),
        ({}, {"p99_ms": {"SMPP submit_sm": 11.0}}, "p99 of SMPP submit_sm: 12 ms, at most 11 ms"),
        ({}, {"p99_ms": {"SMPP deliver_sm": 11.0}}, "p99 of SMPP deliver_sm: there was none"),
    ],
)
def test_what_is_broken_is_said(changes: dict[str, Any], bounds: dict[str, Any], said: str) -> None:
    found = findings(**changes)
    broken = broken_bounds(found, Bounds(**bounds))
    assert any(said in each for each in broken), broken
    lines = summary(found, broken)
    assert any(line.startswith("BROKEN ") and said in line for line in lines)
    assert "All bounds held." not in lines


@pytest.mark.parametrize(
    ("changes", "bounds"),
    [({"accounts": [account(lost=2)]}, {"lost": 2}), ({"failures": 4}, {"failures": 4})],
)
def test_a_bound_may_be_wider(changes: dict[str, Any], bounds: dict[str, Any]) -> None:
    assert broken_bounds(findings(**changes), Bounds(**bounds)) == []


def test_nothing_is_claimed_that_is_not_so() -> None:
    for changes in ({"accounts": [account(lost=1)]}, {"accounts": [account(doubled=1)]}, {"settled": False}):
        assert not any(line.startswith("Every acknowledged") for line in summary(findings(**changes), ["x"]))
    disordered = summary(findings(accounts=[account(disordered=1, again=2)]), ["x"])
    assert "Every acknowledged text arrived, once; 2 came again after a doubt." in disordered
    assert any("5 texts or receipts came that an earlier run" in line for line in summary(findings(leftovers=5), []))


def test_a_hub_that_is_not_ours_has_no_cpu_and_nothing_arrived_no_cost() -> None:
    lines = summary(findings(hub_cpu_s=None, accounts=[]), ["x"])
    assert any(line.endswith("CPU: the tool 1.0 s.") for line in lines)
