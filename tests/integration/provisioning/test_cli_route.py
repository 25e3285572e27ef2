"""``smshub route …`` over a database of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hub import opt_out_ledger
from hub.opt_out import Entry
from ops.cli import main
from ops.cli_provision import in_store
from ops.config import load_config

FILE = """[store]
url = "sqlite:///hub.db"
[[link]]
name = "acme"
host = "smsc.example.net"
system_id = "hub"
password = "x"
[[link]]
name = "backup"
host = "smsc.example.org"
system_id = "hub"
password = "x"
[[group]]
name = "carriers"
links = ["acme=3", "backup"]
[[call_centre]]
name = "helpline"
[[number]]
number = "+12025550143"
call_centre = "helpline"
link = "link:acme"
[[route]]
prefix = "*"
endpoint = "group:carriers"
[[route]]
prefix = "+44"
endpoint = "link:backup"
hours = ["Mon-Fri 08:00-18:00"]
time_zone = "Europe/London"
"""


class Cli:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(FILE)
        self("provision", "apply", str(path))

    def __call__(self, *words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, [*words], env={"SMSHUB_CONFIG": str(self.path)})
        assert result.exit_code == status, result.output + repr(result.exception)
        return result.stdout if status == 0 else result.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "hub.toml")


def test_where_a_text_goes_at_which_time(cli: Cli) -> None:
    at_night = cli("route", "explain", "+44 20 7946 0018", "--at", "2026-07-06T06:59")
    assert at_night.splitlines()[0] == "+442079460018 goes to group:carriers"
    assert "it is not open at this time" in at_night
    by_day = cli.json("route", "explain", "+442079460018", "--at", "2026-07-06T07:00")  # 08:00 in London's summer
    assert by_day["endpoint"] == "link:backup"
    assert [route["standing"] for route in by_day["routes"]] == ["taken", "a longer prefix comes first"]
    zoned = cli.json("route", "explain", "+442079460018", "--at", "2026-07-06T03:00-04:00")
    assert zoned["at"] == "2026-07-06T07:00:00Z"
    assert "--at" in cli("route", "explain", "+442079460018", "--at", "noon", status=2)


def test_a_desks_text_and_an_opt_out(cli: Cli) -> None:
    told = cli.json("route", "explain", "+13105550100", "--from", "+1 202-555-0143")
    assert told["endpoint"] == "group:carriers"
    assert told["ways"][1] == {
        "what": "the number's link",
        "endpoint": "link:acme of group:carriers",
        "standing": "taken",
    }
    assert told["opted_out_since"] == ""
    entry = Entry("+12025550143", "+13105550100", True, 1_704_067_200_000_000, "operator", "cli")
    config = load_config(cli.path)
    in_store(config, lambda tx: opt_out_ledger.record(tx, [opt_out_ledger.Change("out", entry)], 1))
    words = cli("route", "explain", "+13105550100", "--from", "+12025550143")
    assert "wants no texts from +12025550143 since 2024-01-01T00:00:00Z" in words


def test_numbers_nonsense_and_names(cli: Cli) -> None:
    assert "in a thread" not in cli("route", "explain", "+12025550143")  # it has no desk
    assert "refused" in cli("route", "explain", "+12025550143")
    assert "destination = 'ACME'" in cli("route", "explain", "ACME", status=2)
    assert cli.json("route", "explain", "77377", "--from", "ACME")["endpoint"] == "group:carriers"
    assert cli.json("route", "explain", "+19995551212")["endpoint"] == "group:carriers"  # assigned to nobody yet
    assert "--element" in cli("route", "explain", "77377", "--element", "x", status=2)


def test_a_text_never_goes_back_to_where_it_came_from(cli: Cli) -> None:
    told = cli("route", "explain", "+13105550100", "--by", "link:backup")
    assert "a text to +13105550100 is refused: no way leads there" in told
    assert "the text came from there" in told
    assert "--by = 'link:nobody': is not provisioned" in cli(
        "route", "explain", "77377", "--by", "link:nobody", status=2
    )


def test_the_list_is_in_the_order_of_consideration(cli: Cli) -> None:
    found = cli.json("route", "list", "--at", "2026-07-05T12:00")  # a Sunday
    assert [(route["prefix"], route["standing"]) for route in found] == [
        ("+44", "it is not open at this time"),
        ("*", "open"),
    ]
    assert cli("route", "list").splitlines()[0].split()[:2] == ["prefix", "endpoint"]
