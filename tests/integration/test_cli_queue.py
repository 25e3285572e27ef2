"""``smshub queue``: what an operator asks for is what is done, beside a daemon and without one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import CliRunner

from hub import Kind, Message, State, journal
from ops import schema
from ops.cli import main
from ops.queue_requests import PAGE
from store import open_store
from tests.fixtures_sites import Open

HOUR_US = 3_600_000_000
CONFIG = """
[store]
url = "{url}"

[[link]]
name = "one"
host = "127.0.0.1"
system_id = "hub"
password = "secret"

[[link]]
name = "two"
host = "127.0.0.1"
system_id = "hub"
password = "secret"
"""


class Place:
    """A store with messages, and a command line at it.

    Attributes:
        folder: with the file.
        url: the store's.
    """

    def __init__(self, folder: Path, url: str, config: Path | None = None) -> None:
        self.folder, self.url = folder, url
        file = config or folder / "hub.toml"
        self.environment = {"SMSHUB_CONFIG": str(file)}
        if config is None:
            file.write_text(CONFIG.format(url=url))
            self.run("provision", "apply", str(file))

    def run(self, *words: str, typed: str = "", status: int = 0) -> tuple[str, str]:
        """Give a command. Returns: what it printed, and what it said beside."""
        result = CliRunner().invoke(main, [*words], env=self.environment, input=typed)
        assert result.exit_code == status, result.output + repr(result.exception)
        return result.stdout, result.stderr

    def json(self, *words: str, **more: Any) -> Any:
        return json.loads(self.run(*words, "--json", **more)[0])

    def furnish(self, *messages: Message, state: State = State.DEAD, reason: str = "", **columns: int) -> None:
        """Put messages into the store."""

        async def work() -> None:
            url = self.url.replace("sqlite:///", f"sqlite:///{self.folder}/")
            await trio.to_thread.run_sync(schema.prepare, url)
            async with open_store(url, synchronous="OFF") as store:
                op = journal.insert_messages([(message, state) for message in messages])
                await store.commit([op])
                ids = ",".join(str(message.id) for message in messages)
                columns_told = "".join(f", {name} = {value}" for name, value in columns.items())
                statement = f"UPDATE message SET reason = '{reason}'{columns_told} WHERE id IN ({ids})"
                await store.transact(lambda tx: tx.sql.exec_driver_sql(statement))

        trio.run(work)

    def audit(self) -> list[tuple[str, str, Any]]:
        """Of messages, the oldest first: action, key, detail."""
        rows = self.json("audit", "list", "--kind", "message")
        return [(row["action"], row["key"], json.loads(row["detail"] or "null")) for row in reversed(rows)]


def made(number: int, text: str = "", **fields: Any) -> Message:
    now_us = time.time_ns() // 1000
    message = Message(
        id=number,
        kind=Kind.TEXT,
        origin="account:agg",
        endpoint="link:one",
        source="+18005550100",
        destination=f"+1617{number:07d}",
        text=text or f"secret {number}",
        received_us=now_us,
        expires_us=now_us + HOUR_US,
    )
    return msgspec.structs.replace(message, **fields)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = "sqlite:///hub.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return Place(tmp_path, url)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path, "sqlite:///hub.db")


def test_what_is_meant_is_looked_at_confirmed_and_asked_for_once(place: Place) -> None:
    count = PAGE + 300
    place.furnish(*(made(n) for n in range(1, count + 1)), reason="ESME_RINVDSTADR")
    place.furnish(made(9_000), made(9_001, endpoint="link:two"), reason="expired")
    told = place.run("queue", "retry", "--reason", "ESME_RINVDSTADR", "--endpoint", "link:one", typed="n\n", status=2)
    assert f"retry {count} messages" in told[1]
    assert f"{count}  link:one  dead  ESME_RINVDSTADR" in told[1]
    assert "nothing was asked for" in told[1]
    assert "--yes" in place.run("queue", "retry", "--all", status=2)[1], "nobody is there to answer"
    assert place.json("queue", "requests") == []
    assert place.audit() == []

    assert place.json("queue", "retry", "--reason", "ESME_RINVDSTADR", "--limit", "3", typed="y\n") == {
        "asked": 3,
        "already": 0,
    }
    again = place.json("queue", "retry", "--reason", "ESME_RINVDSTADR", "--yes")
    assert again == {"asked": count - 3, "already": 3}
    requests = place.json("queue", "requests", "--limit", "10000")
    assert [request["message_id"] for request in requests] == list(range(1, count + 1))
    first, *others = place.audit()
    assert first == ("asked to retry", "3 messages", {"reason": "ESME_RINVDSTADR", "ids": [1, 2, 3]})
    assert [key for _, key, _ in others] == [f"{PAGE - 3} messages", "300 messages"]
    assert [number for _, _, words in others for number in words["ids"]] == list(range(4, count + 1))
    assert "already" in place.run("queue", "drop", "5", "--yes")[0]
    assert place.run("queue", "drop", "--endpoint", "link:three")[0].startswith("0 asked for")


def test_what_makes_no_sense_is_refused(here: Place) -> None:
    here.furnish(made(1), made(2, kind=Kind.RECEIPT, endpoint="account:agg"), made(3, endpoint="desk:help"))
    here.furnish(made(4), next_part=1)
    here.furnish(made(5), state=State.QUEUED)
    here.furnish(made(6), state=State.DELIVERED)
    refused = {
        (): "say --all",
        ("1", "--all"): "say --all",
        ("1", "--endpoint", "link:one"): "say --all",
        ("1", "7"): "there is no message 7",
        ("5",): "message 5 is queued; retry takes only what is dead",
        ("1", "--via", "two"): "name a link or a group",
        ("1", "--via", "link:three"): "no such link or group",
        ("2", "--via", "link:two"): "cannot go by link:two",
        ("3", "--via", "link:two"): "cannot go by link:two",
        ("4", "--via", "link:two"): "some of it may have left",
        ("0",): "0 is not in the range",
        ("--all", "--older", "soon"): "is no time span",
        ("--all", "--older", "0s"): "is no time span",
        ("--all", "--state", "delivered"): "is not",
    }
    for words, why in refused.items():
        assert why in here.run("queue", "retry", *words, status=2)[1], words
    assert "drop takes only what is dead, queued, submitting" in here.run("queue", "drop", "6", status=2)[1]
    assert here.json("queue", "requests") == []


def test_by_another_link(place: Place) -> None:
    place.furnish(made(1), made(2), made(3, endpoint="desk:help"), made(4, endpoint="link:gone"), reason="refused")
    place.furnish(made(5), next_part=1)
    told = place.run("queue", "retry", "--state", "dead", "--reason", "refused", "--via", "link:two", "--yes")
    assert told[0].startswith("3 asked for")
    assert [each["endpoint"] for each in place.json("queue", "list", "--state", "dead")] == [
        "link:two",
        "link:two",
        "desk:help",
        "link:two",
        "link:one",
    ]
    assert place.audit() == [
        (
            "asked to retry",
            "3 messages",
            {"state": "dead", "reason": "refused", "via": "link:two", "ids": [1, 2, 4]},
        )
    ]
    told = place.run("queue", "retry", "3")
    assert "desk:help is not provisioned" in told[1]


def test_without_a_daemon_requests_wait(here: Place) -> None:
    here.furnish(made(1), made(2))
    told = here.run("queue", "drop", "--all", "--yes", "--wait", "--wait-s", "0.3", status=1)
    assert "is a daemon running" in told[1]
    assert "0 of 2 carried out" in told[0]
    assert here.run("queue", "requests")[0].count("drop") == 2


def test_looking(here: Place) -> None:
    old_us = time.time_ns() // 1000 - 3 * HOUR_US
    here.furnish(made(1, received_us=old_us, call_centre="acme"), made(2), reason="\x1b[2J")
    here.furnish(made(3), state=State.QUEUED)
    assert [each["id"] for each in here.json("queue", "list", "--state", "all")] == [1, 2, 3]
    assert [each["id"] for each in here.json("queue", "list", "--state", "all", "--older", "2h")] == [1]
    assert here.json("queue", "list", "--state", "all", "--older", "4h", "--to", "+16170000001") == []
    assert [each["id"] for each in here.json("queue", "list", "--state", "dead", "--call-centre", "acme")] == [1]
    assert here.json("queue", "show", "3")["state"] == "queued"
    everything = here.run("queue", "list", "--state", "all")[0] + here.run("queue", "show", "1")[0]
    everything += here.run("queue", "count", "--reasons")[0]
    assert "\x1b" not in everything, "a terminal would obey it"
    assert "secret" not in everything
    assert here.json("queue", "count") == [
        {"endpoint": "link:one", "state": "dead", "count": 2},
        {"endpoint": "link:one", "state": "queued", "count": 1},
    ]


def test_exports(place: Place) -> None:
    place.furnish(made(1, "=HYPERLINK(1)\nsecond line"), made(2, 'café \U0001f600, "quoted"'), reason="refused")
    place.furnish(made(3), state=State.QUEUED)
    lines = place.run("queue", "export", "--state", "dead")[0].splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert "text" not in json.loads(lines[0])
    assert place.audit() == []

    file = place.folder / "out.csv"
    file.write_text("what was there")
    for _ in range(2):
        told = place.run("queue", "export", "--state", "dead", "--with-text", "--format", "csv", "--output", str(file))
        assert "2 messages" in told[1]
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["text"] for row in rows] == ["'=HYPERLINK(1)\nsecond line", 'café \U0001f600, "quoted"']
    assert rows[0]["destination"] == "+16170000001"
    assert file.stat().st_mode & 0o777 == 0o600
    assert place.audit() == [("exported with text", "2 messages", {"state": "dead", "count": 2})] * 2
    texts = [json.loads(line)["text"] for line in place.run("queue", "export", "--with-text")[0].splitlines()]
    assert texts == ["secret 3"]
    assert place.run("queue", "export", "--reason", "none", "--format", "csv")[0].startswith("id,kind,state,")


def test_an_export_is_there_whole_or_not_at_all(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    here.furnish(made(1))
    assert "No such file" in here.run("queue", "export", "--output", str(here.folder / "no/where"), status=2)[1]
    assert "is no file" in here.run("queue", "export", "--output", str(here.folder), status=2)[1]
    before = sorted(path.name for path in here.folder.iterdir())
    full = Path("/dev/full")
    if full.exists():
        program = [sys.executable, "-m", "ops.cli", "queue", "export", "--state", "dead"]
        with full.open("wb") as nowhere:
            environment = {**os.environ, **here.environment}
            done = subprocess.run(program, stdout=nowhere, stderr=subprocess.PIPE, env=environment, timeout=120)
        assert done.returncode != 0
        assert b"No space left" in done.stderr
        assert b"Traceback" not in done.stderr
    monkeypatch.setattr("ops.queue_files.os.fsync", _no_space)
    here.run("queue", "export", "--state", "dead", "--output", str(here.folder / "out"), status=2)
    assert sorted(path.name for path in here.folder.iterdir()) == before


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_running_daemon_replays_pages_of_dead_letters(open_site: Open) -> None:
    """Dead letters of an endpoint, more than a page, are asked for, carried out, and told of."""
    site = open_site()
    hub = site.hub
    hub.start()
    place = Place(hub.config.parent, "sqlite:///smshub.db", hub.config)
    place.furnish(*(made(n, endpoint="link:carrier", origin="account:agg1") for n in range(1, PAGE + 101)))
    told = place.json("queue", "retry", "--all", "--yes", "--wait")
    assert (told["asked"], told["carried_out"]) == (PAGE + 100, PAGE + 100)
    assert sum(kind["count"] for kind in told["now"]) == PAGE + 100
    assert {kind["state"] for kind in told["now"]} <= {"queued", "submitting", "accepted", "delivered"}
    site.carrier.expect_many(PAGE + 100, "submit")
    dead = place.json("queue", "drop", "--all", "--yes", "--wait")
    assert dead == {"asked": 0, "already": 0, "carried_out": 0, "now": []}
