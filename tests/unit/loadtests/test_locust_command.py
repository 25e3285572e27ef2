"""The command line of scenarios: where everything is, and what it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.locust.command import config_for, parser, scenario_of, site_in, site_of
from loadtests.locust.scenario import ScenarioError
from loadtests.processes import Place
from ops.config import load_config
from tests.meta.tree import ROOT

BUSY = str(ROOT / "loadtests/scenarios/busy-hour.toml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--load", "0"), "--load 0: give more than 0"),
        (("--load", "nan"), "--load nan"),
        (("--seconds", "-1"), "--seconds -1: give more than 0"),
        (("--seconds", "inf"), "--seconds inf"),
    ],
)
def test_how_much_and_how_long(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario_of(parser().parse_args([BUSY, *words]))


def test_a_scenario_is_loaded_and_stretched() -> None:
    scenario = scenario_of(parser().parse_args([BUSY, "--seconds", "12", "--load", "0.5"]))
    assert scenario.total_s == pytest.approx(12)
    assert scenario.level(5).customers == 20


@pytest.mark.parametrize("address", ["here", ":2775", "h:", "h:0", "h:65536", "h:-1", "h:port"])
def test_a_hub_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ScenarioError, match="give HOST:PORT"):
        site_of(parser().parse_args([BUSY, "--hub", address]))


def test_where_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSHUB_LOAD_PASSWORD", "hushhush")
    options = parser().parse_args(
        [BUSY, "--hub", "[::1]:2775", "--hub", "there:1", "--carrier-port", "4711", "--hub-window", "50"]
    )
    site = site_of(options)
    assert (site.hubs, site.carrier_port, site.hub_window) == ((("::1", 2775), ("there", 1)), 4711, 50)
    assert (site.password, site.secret) == ("hushhush", "hushhush")


def test_the_configuration_for_a_hub_that_is_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSHUB_LOAD_PASSWORD", "hushhush")
    path = tmp_path / "hub.toml"
    path.write_text(config_for(parser().parse_args([BUSY, "--print-config", "--carrier-port", "4711"])))
    path.chmod(0o600)
    config = load_config(path)
    assert "port = 4711" in path.read_text()
    assert "hushhush" in path.read_text()
    assert config is not None


def test_where_everything_is_with_a_hub_of_our_own(tmp_path: Path) -> None:
    place = Place(tmp_path)
    site = site_in(place)
    assert (site.hubs[0][1], site.carrier_port, site.desk_port) == (
        place.smpp_port,
        place.carrier_port,
        place.desk_port,
    )
