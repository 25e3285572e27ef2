"""The commands of retention, archive and erasure, over a database of their own."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from hub.model import State
from ops import schema
from ops.cli import main
from store import open_store
from tests.fixtures_keeping import CUSTOMER, DAY, NUMBER, OTHER, Stock

Cli = Callable[..., str]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    config = tmp_path / "hub.toml"
    config.write_text('[store]\nurl = "sqlite:///hub.db"\n[archive]\ntarget = "directory:archive"\n')
    schema.prepare(f"sqlite:///{tmp_path}/hub.db")

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, [*words], env={"SMSHUB_CONFIG": str(config)})
        assert result.exit_code == status, result.output + repr(result.exception)
        assert "Traceback" not in result.output
        return result.output

    run("provision", "call-centre", "add", "acme")
    run("provision", "call-centre", "add", "other")
    return run


def put(tmp_path: Path, *ages_days: float, **fields: object) -> list[int]:
    """Messages of some ages. Returns: their ids."""

    async def work() -> list[int]:
        async with open_store(f"sqlite:///{tmp_path}/hub.db", synchronous="OFF") as store:
            stock = Stock(store)
            stock.now_us = time.time_ns() // 1000
            return [await stock.put(round(age * DAY), **fields) for age in ages_days]  # type: ignore[arg-type]

    return trio.run(work)


def test_rules_are_explained_and_carried_out(cli: Cli, tmp_path: Path) -> None:
    old, young = put(tmp_path, 40, 2)
    (waiting,) = put(tmp_path, 40, state=State.QUEUED)
    (others,) = put(tmp_path, 40, call_centre="other")
    cli("provision", "retention", "add", "month", "--call-centre", "acme", "--period-days", "30", "--action", "archive")
    assert cli("retention", "explain", str(old)) == "rule month lets it go: it is due\n"
    assert cli("retention", "explain", str(young)).startswith("rule month keeps it until 20")
    assert "has not ended" in cli("retention", "explain", str(waiting))
    assert json.loads(cli("retention", "explain", str(others), "--json"))["why"].startswith("no rule fits it")
    assert "1 archived in 1 objects" in cli("retention", "run")
    assert "there is no message" in cli("retention", "explain", str(old), status=2)
    assert json.loads(cli("retention", "run", "--json"))["archived"] == 0
    cli("provision", "legal-hold", "add", "matter", "--call-centre", "acme", "--reason", "x")
    assert cli("retention", "explain", str(young)) == "legal hold matter keeps it\n"


def test_the_archive_is_listed_shown_and_verified(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path, 40, text="between us", token="sesame")
    cli("provision", "retention", "add", "all", "--period-days", "1", "--action", "archive")
    cli("retention", "run")
    (row,) = json.loads(cli("archive", "list", "--json"))
    assert (row["call_centre"], row["messages"], row["state"]) == ("acme", 1, "stored")
    assert row["name"] in cli("archive", "list", "--call-centre", "acme", "--day", row["day"])
    assert cli("archive", "list", "--call-centre", "other") == "none\n"
    hidden = cli("archive", "show", row["name"])
    assert json.loads(hidden)["characters"] == 10
    assert "between us" not in hidden
    assert "sesame" not in hidden
    assert json.loads(cli("archive", "show", row["name"], "--texts"))["text"] == "between us"
    assert json.loads(cli("audit", "list", "--kind", "archive", "--json"))[0]["action"] == "read"
    assert cli("archive", "verify") == "1 of 1 objects are whole, 1 messages\n"
    (tmp_path / "archive" / row["name"]).write_bytes(b"nonsense")
    assert f"{row['name']}: it is not whole gzip" in cli("archive", "verify", status=1)
    assert json.loads(cli("archive", "verify", "--json", status=1))["faults"][0]["name"] == row["name"]
    assert "not whole gzip" in cli("archive", "show", row["name"], status=2)
    assert "has no object" in cli("archive", "show", "../hub.toml", status=2)
    assert "archive.target is not set" in cli("archive", "verify", "--set", "archive.target=", status=2)


def test_a_person_is_erased(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path, 40, 2)
    put(tmp_path, 2, source=OTHER)
    put(tmp_path, 0.01, state=State.QUEUED)
    cli("provision", "retention", "add", "month", "--period-days", "30", "--action", "archive")
    cli("retention", "run")
    told = json.loads(cli("erase", CUSTOMER, "--all", "--dry-run", "--json"))
    assert (told["messages"], told["pending"], told["archived"]) == (1, 1, 1)
    assert "still on their way" in cli("erase", CUSTOMER, "--all", "--reason", "ticket 7", "--wait", "1", status=1)
    told = json.loads(cli("erase", CUSTOMER, "--all", "--reason", "ticket 7", "--stopped", "--json"))
    assert (told["messages"], told["pending"], told["archived"]) == (1, 0, 0)
    with sqlite3.connect(tmp_path / "hub.db") as connection:
        assert CUSTOMER not in "\n".join(connection.iterdump())
        assert OTHER in "\n".join(connection.iterdump())
    assert not [file for file in (tmp_path / "archive").rglob("*") if file.is_file()]
    assert "rows are whole" in cli("audit", "verify")


def test_a_hold_is_told(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path, 2)
    cli("provision", "legal-hold", "add", "matter", "--call-centre", "acme", "--reason", "x")
    told = cli("erase", CUSTOMER, "--call-centre", "acme", "--reason", "ticket 7", status=1)
    assert "1 messages stay: legal hold matter" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((CUSTOMER, "--reason", "x"), "--call-centre NAME, or --all"),
        ((CUSTOMER, "--all", "--call-centre", "acme", "--reason", "x"), "--call-centre NAME, or --all"),
        ((CUSTOMER, "--all"), "--reason is missing"),
        ((CUSTOMER, "--all", "--reason", "12025551212 asked"), "names the person"),
        (("+1", "--all", "--reason", "x"), "NUMBER"),
        (("", "--all", "--reason", "x"), "NUMBER is empty"),
        ((), "Missing argument"),
    ],
)
def test_what_is_not_clear_is_refused(cli: Cli, words: tuple[str, ...], told: str) -> None:
    assert told in cli("erase", *words, status=2)


def test_a_call_centres_own_number_is_nobody_to_erase(cli: Cli, tmp_path: Path) -> None:
    """One slip, and all that all its customers wrote would be gone."""
    put(tmp_path, 2)
    cli("provision", "number", "add", NUMBER, "--call-centre", "acme")
    for words in (("--dry-run",), ("--reason", "x")):
        assert f"{NUMBER}: a call centre's own" in cli("erase", NUMBER, "--all", *words, status=2)
    assert json.loads(cli("erase", CUSTOMER, "--all", "--dry-run", "--json"))["messages"] == 1
