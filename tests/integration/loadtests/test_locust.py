"""Each scenario in a small form around the real hub, locust's page, and what a run says of a hub that lies.

They run at the same time, as processes, since each mostly waits. Nothing here depends on how quick the machine is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from loadtests.processes import ROOT, free_ports
from tests.integration.loadtests.lying_hub import LyingHub

SCENARIOS = ("busy-hour", "campaign-burst", "carrier-outage", "slow-desk")
WITHIN_S = 240.0
SMALL = ("--seconds", "3", "--load", "0.05")
PLAIN = """
title = "Forwarding"
[applications]
receipts = false
addresses = 1
[[phase]]
name = "all"
seconds = 2
applications = 1
texts_per_s = 50
[bounds]
drain_s = 2
arrived = 30
"""


class Played:
    """A run of the command in a process of its own.

    Args:
        directory: for what it writes.
        words: of its command line.
    """

    def __init__(self, directory: Path, *words: str) -> None:
        self._json, self._output = directory / "found.json", directory / "output.txt"
        command = [sys.executable, "-m", "loadtests.locust", *words, "--json", str(self._json)]
        with self._output.open("wb") as output:
            self.child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        return self._output.read_text()

    def end(self) -> int:
        """Wait for its end. Returns: its exit status."""
        return self.child.wait(WITHIN_S)

    @property
    def found(self) -> dict[str, Any]:
        return dict(json.loads(self._json.read_bytes()))

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            self.child.wait(WITHIN_S)


class Stage:
    """All runs of this file, begun at once."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack, self._directory = stack, directory
        self.page_port, carrier_port, desk_port, nobody = free_ports(4)
        more = {
            "busy-hour": ("--web", str(self.page_port)),
            "carrier-outage": ("--html", str(directory / "report.html")),
        }
        self.scenarios = {
            name: self.play(name, f"loadtests/scenarios/{name}.toml", *SMALL, *more.get(name, ())) for name in SCENARIOS
        }
        self.report = directory / "report.html"
        plain = directory / "plain.toml"
        plain.write_text(PLAIN)
        self.liar = stack.enter_context(LyingHub(carrier_port, desk_port))
        ports = ("--carrier-port", str(carrier_port), "--desk-port", str(desk_port))
        self.lied_to = self.play("lied-to", str(plain), "--hub", f"127.0.0.1:{self.liar.port}", *ports)
        ports = ("--carrier-port", "0", "--desk-port", "0")
        self.alone = self.play("alone", str(plain), "--hub", f"127.0.0.1:{nobody}", *ports, "--ready-s", "1")

    def play(self, name: str, *words: str) -> Played:
        directory = self._directory / name
        directory.mkdir()
        played = Played(directory, *words)
        self._stack.callback(played.stop)
        return played

    def page_says(self, path: str) -> bytes:
        """A page of the busy hour's, asked for until it is there."""
        give_up_at = time.monotonic() + WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}{path}", timeout=WITHIN_S) as answer:
                    return bytes(answer.read())
            except OSError:
                assert self.scenarios["busy-hour"].child.poll() is None, self.scenarios["busy-hour"].said
                assert time.monotonic() < give_up_at
                time.sleep(0.1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, tmp_path_factory.mktemp("locust"))


def test_the_page_shows_the_run_and_stays(stage: Stage) -> None:
    busy = stage.scenarios["busy-hour"]
    assert b"<title>Locust</title>" in stage.page_says("/")
    give_up_at = time.monotonic() + WITHIN_S
    while not (scenario := json.loads(stage.page_says("/scenario")))["over"]:
        assert time.monotonic() < give_up_at, scenario
        time.sleep(0.2)
    assert scenario["title"] == "Busy hour"
    assert scenario["broken"] == []
    assert all(account["lost"] == 0 for account in scenario["accounts"])
    statistics = json.loads(stage.page_says("/stats/requests"))
    assert {f"{row['method']} {row['name']}" for row in statistics["stats"]} >= {"SMPP submit_sm", "XMPP text to desk"}
    assert busy.child.poll() is None
    busy.child.send_signal(signal.SIGTERM)
    assert busy.end() == 0, busy.said


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_text_of_a_scenario_is_accounted_for(stage: Stage, name: str) -> None:
    played = stage.scenarios[name]
    assert played.end() == 0, played.said
    assert "Every acknowledged text arrived, once" in played.said
    assert "All bounds held." in played.said
    found = played.found
    flows = {account["flow"]: account for account in found["accounts"]}
    assert set(flows) == {"texts", "their receipts", "questions", "answers", "receipts of answers"}
    for flow, account in flows.items():
        assert account["arrived"] > 0, flow
        assert account["lost"] == account["doubled"] == account["disordered"] == account["strange"] == 0, flow
        # What a falling stream took along was in doubt, and nothing else goes missing, in good or bad weather.
        assert account["offered"] - account["arrived"] <= account["doubtful"], flow
    assert flows["questions"]["arrived"] == flows["answers"]["offered"]
    for measure in ("SMPP submit_sm", "SMPP submit_sm to receipt", "XMPP text to desk", "XMPP answer to carrier"):
        assert found["p99_ms"][measure] > 0
        assert measure.partition(" ")[2] in played.said
    assert found["tool_cpu_s"] > 0
    assert found["hub_cpu_s"] > 0


def test_an_outage_is_one(stage: Stage) -> None:
    """What came during the outage had to wait: the weather is not only in the file."""
    played = stage.scenarios["carrier-outage"]
    assert played.end() == 0, played.said
    # Of three seconds, the carrier was down for two thirds of one: one text in five or six had to wait.
    assert played.found["p99_ms"]["SMPP submit_sm to carrier"] > 300
    assert "submit_sm to carrier" in stage.report.read_text()


def test_a_hub_that_lies_is_found_out(stage: Stage) -> None:
    played = stage.lied_to
    assert played.end() == 1, played.said
    (texts,) = played.found["accounts"]
    assert (texts["lost"], texts["doubled"], texts["disordered"]) == (1, 1, 1)
    assert 30 <= texts["arrived"] < texts["acknowledged"] <= stage.liar.taken
    for said in ("lost: 1", "doubled: 1", "disordered: 1", "after"):
        assert f"BROKEN {said}" in played.said
    assert "Every acknowledged" not in played.said


def test_nobody_there_is_said(stage: Stage) -> None:
    assert stage.alone.end() == 1, stage.alone.said
    assert "BROKEN the hub did not connect to the carrier and desk in 1 s" in stage.alone.said


def test_what_cannot_be_played_ends_with_2_and_a_word(tmp_path: Path) -> None:
    played = Played(tmp_path, "none.toml")
    assert played.end() == 2
    assert played.said == "loadtests.locust: none.toml: cannot be read: No such file or directory\n"
