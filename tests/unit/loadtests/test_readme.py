"""The page about load tools names all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.locust.command import parser
from loadtests.locust.scenario import (
    MEASURES,
    Applications,
    Bounds,
    CarrierScript,
    Customers,
    DeskScript,
    Phase,
    Scenario,
    Weather,
    read_scenario,
)
from tests.meta.tree import ROOT

FOLDER = ROOT / "loadtests"
README = (FOLDER / "README.md").read_text()
TOOLS = [path for path in sorted(FOLDER.glob("*.py")) if '__name__ == "__main__"' in path.read_text()]
TOOLS += [path.parent for path in sorted(FOLDER.glob("*/__main__.py"))]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_every_tool_is_named(path: Path) -> None:
    assert f"`loadtests.{path.stem}`" in README


@pytest.mark.parametrize("path", sorted((FOLDER / "scenarios").glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_is_there_with_its_length(path: Path) -> None:
    (row,) = [line for line in README.splitlines() if f"`loadtests/scenarios/{path.name}`" in line]
    assert row.endswith(f"| {read_scenario(path).total_s:g} |")


def test_every_measure_is_explained() -> None:
    for name in MEASURES:
        assert f"| {name} |" in README


def test_every_setting_is_named() -> None:
    for struct in (Applications, Customers, CarrierScript, DeskScript, Phase, Weather, Bounds):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in README or f".{name}]`" in README, name
    for name in Scenario.__struct_fields__:
        assert any(mark in README for mark in (f"`{name}`", f"`[{name}]`", f"`[[{name}]]`")), name


def test_every_option_is_named() -> None:
    for action in parser()._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in README, option
