"""``smshub audit``: every operator's change is in it, it is verified, and a broken one is told by the exit status."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import main

Cli = Callable[..., str]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "hub.toml").write_text('[store]\nurl = "sqlite:///hub.db"\n')

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, [*words], env={"SMSHUB_CONFIG": str(tmp_path / "hub.toml")})
        assert result.exit_code == status, result.output + repr(result.exception)
        return result.output

    return run


def test_every_change_by_an_operator_is_listed_and_verified(cli: Cli, tmp_path: Path) -> None:
    cli("provision", "call-centre", "add", "acme")
    cli("provision", "number", "add", "+18005550100", "--call-centre", "acme")
    head = cli("audit", "head").strip()
    cli("opt-out", "add", "+18005550100", "+12025551212", "--reason", "phoned us")
    exported = tmp_path / "out.csv"
    cli("opt-out", "export", str(exported))
    cli("opt-out", "remove", "+18005550100", "+12025551212", "--reason", "phoned again")
    exported.write_text(exported.read_text().replace("+12025551212", "+12025551213"))
    cli("opt-out", "import", str(exported))
    rows = json.loads(cli("audit", "list", "--json"))
    assert [(row["action"], row["kind"], row["key"]) for row in rows] == [
        ("imported", "opt-out", "out.csv"),
        ("in", "opt-out", "+18005550100 +12025551212"),
        ("out", "opt-out", "+18005550100 +12025551212"),
        ("added", "number", "+18005550100"),
        ("added", "call-centre", "acme"),
    ]
    assert all(row["who"].startswith("cli") for row in rows)
    listed = cli("audit", "list", "--kind", "opt-out", "--limit", "1", "--before", "5")
    assert "in  opt-out +18005550100 +12025551212" in listed
    assert cli("audit", "list", "--until", "2020-01-01") == ""
    assert len(cli("audit", "list", "--since", "2020-01-01T00:00:00Z").splitlines()) == 5
    assert "5 rows are whole" in cli("audit", "verify", "--head", head)
    assert json.loads(cli("audit", "verify", "--json"))["whole"] is True


def test_requests_are_in_the_audit(cli: Cli, tmp_path: Path) -> None:
    cli("db", "upgrade")
    dead = (
        "INSERT INTO message VALUES (?, 0, 5, 'account:a', 'link:b', '+1', '+2', '', 0,"
        " 1, 2, -1, 3, 0, 1, 0, 0, 0, 0, 'x', '{\"v\":1}')"
    )
    with sqlite3.connect(tmp_path / "hub.db") as connection:
        connection.executemany(dead, [(77,), (78,), (79,)])
    cli("queue", "retry", "77")
    cli("queue", "drop", "78", "79")
    rows = json.loads(cli("audit", "list", "--json"))
    assert [(row["action"], row["key"], row["detail"]) for row in rows] == [
        ("asked to drop", "2 messages", '{"ids":[78,79]}'),
        ("asked to retry", "77", ""),
    ]


def test_what_was_changed_behind_our_back_ends_with_status_1(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        cli("provision", "call-centre", "add", name)
    head = cli("audit", "head").strip()
    with sqlite3.connect(tmp_path / "hub.db") as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE audit SET who = 'nobody' WHERE id = 2")
        connection.execute("DROP TRIGGER audit_only_redaction")
        connection.execute("UPDATE audit SET who = 'nobody' WHERE id = 2")
    told = cli("audit", "verify", status=1)
    assert "broken at row 2: its words are not those that were written" in told
    assert json.loads(cli("audit", "verify", "--json", status=1))["broken_id"] == 2
    assert "write 2026-11-22" in cli("audit", "list", "--since", "yesterday", status=2)
    assert "ID:HASH" in cli("audit", "verify", "--head", "nonsense", status=2)
    assert head.startswith("3:")
