"""The comparison with other gateways in small: texts go through a real Kannel and through the hub, on both paths."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.peers import jasmin
from loadtests.peers.__main__ import Comparison
from loadtests.peers.gateway import Gateway, Logged, NotInstalled, program, tree, tree_cpu_s
from loadtests.peers.hub import HubApplication
from loadtests.peers.jasmin import Jasmin
from loadtests.peers.kannel import KannelHttp, KannelHttpSpool, KannelTransit
from loadtests.processes import ROOT, Tool, ToolFailed

MESSAGES = 60
WITHIN_S = 60.0


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only waits to be waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def carrier() -> Iterator[Tool]:
    with Tool("loadtests.smsc_sink") as tool:
        yield tool


@pytest.mark.parametrize("kind", [KannelHttp, KannelHttpSpool, KannelTransit, HubApplication])
def test_texts_go_through_once_and_nothing_stays(kind: type[Gateway], carrier: Tool, tmp_path: Path) -> None:
    with kind(tmp_path, carrier) as gateway:
        pids = [process.child.pid for process in gateway.processes]
        found = gateway.measure(MESSAGES, 0)
        again = gateway.measure(MESSAGES, MESSAGES)
        assert gateway.versions()
        if kind is KannelHttp:  # what is called durable is: the texts alone have so many octets
            assert (tmp_path / "store").stat().st_size > 2 * MESSAGES * 100
    for run in (found, again):
        assert run.delivered_per_s > 0
        assert 0 < run.ack_p50_ms <= run.ack_p99_ms
    assert pids
    assert not [pid for pid in pids if is_running(pid)]


def test_a_text_that_is_refused_is_no_measurement(carrier: Tool, tmp_path: Path) -> None:
    class WrongPassword(KannelHttp):
        def send(self, count: int, customer: int) -> dict[str, object]:
            target = "/cgi-bin/sendsms?username=load&password=wrong&from=1&text=x&to={customer}"
            return self.tool.ask(
                "load", 30, port=self.sendsms, target=target, connections=2, count=count, customer=customer
            )

    with WrongPassword(tmp_path, carrier) as gateway, pytest.raises(ToolFailed, match="403"):
        gateway.measure(3, 0)


def test_the_command_from_end_to_end(tmp_path: Path) -> None:
    figures = tmp_path / "peers.json"
    command = [sys.executable, "-m", "loadtests.peers", "--only", "kannel", "--only", "smshub", "--path", "transit"]
    command += ["--count", str(MESSAGES), "--rounds", "1", "--json", str(figures)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(figures.read_text())
    names = ["smshub", "Kannel, file store", "Kannel, no store"]
    assert [row["name"] for row in report["rows"]] == names
    assert report["failures"] == []
    hub, kannel, none = report["rows"]
    assert hub["runs"] == kannel["hubs"] + none["hubs"]
    (beside,), (own,) = kannel["hubs"], kannel["runs"]
    assert kannel["times_rate"] == pytest.approx(beside["delivered_per_s"] / own["delivered_per_s"])
    for name in names:
        assert ended.stdout.count(f"| transit | {name} ") == 2  # in both tables
    assert any("Kannel 1." in version for version in report["about"]["versions"])


def test_what_is_not_installed_is_named_and_the_rest_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jasmin, "PYTHON", ROOT / "var" / "no-such-environment" / "python")
    with pytest.raises(NotInstalled, match="loadtests/peers/setup"):
        program("no-such-program", "no-such-package")
    comparison = Comparison([Jasmin, KannelTransit], False, MESSAGES, tmp_path)
    for _ in range(2):
        comparison.round()
    assert [each.name for each in comparison.rows()] == [KannelTransit.name]
    assert len(comparison.rows()[0].runs) == 2
    assert len(comparison.failures) == 1  # it is not tried again
    assert "loadtests/peers/setup" in comparison.failures[0]
    assert "left out" in capsys.readouterr().out


def test_one_failure_does_not_leave_a_gateway_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class OnceBroken(KannelTransit):
        times = 0

        def start(self) -> None:
            OnceBroken.times += 1
            if OnceBroken.times == 1:
                raise ToolFailed("the box ended")
            super().start()

    comparison = Comparison([OnceBroken], False, MESSAGES, tmp_path)
    for _ in range(2):
        comparison.round()
    assert [len(row.runs) for row in comparison.rows()] == [1]
    assert comparison.failures == [f"transit, {OnceBroken.name}: the box ended"]
    assert "left out: the box ended" in capsys.readouterr().out


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Answers each connection's first octets with these, and hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "more than the answer"),
        (b"SSH-2.0-x\r\nContent-Length: 0\r\n\r\n", "not HTTP"),
    ],
)
def test_the_http_tool_notices_a_bad_answer(answer: bytes, error: str) -> None:
    with server(answer) as port, Tool("loadtests.peers.http_load") as tool:
        load = {"port": port, "target": "/{customer}", "connections": 1, "count": 2, "customer": 0}
        assert error in tool.ask("load", WITHIN_S, **load)["error"]


def test_a_process_is_counted_and_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; (trap '' TERM; echo ready; while :; do sleep 600; done) & wait"
    process = Logged(["bash", "-c", script], tmp_path / "bash.log")
    pids: list[int] = []
    while len(pids) < 3:  # bash, its subshell and the sleep
        assert process.child.poll() is None
        time.sleep(0.02)
        pids = tree(process.child.pid)
    assert pids[0] == process.child.pid
    assert all(is_running(pid) for pid in pids)
    assert tree_cpu_s(process.child.pid) >= 0
    process.kill()
    while any(is_running(pid) for pid in pids):  # each was sent the signal that none can refuse
        time.sleep(0.02)
    assert tree(os.getpid())[0] == os.getpid()


@pytest.mark.skipif(not jasmin.PYTHON.exists(), reason="loadtests/peers/setup has not been run")
def test_jasmin_with_its_broker(carrier: Tool, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if int(pytestconfig.getoption("--scale")) == 1:
        pytest.skip("a broker takes ten seconds to start: with --scale=2 and more")
    with Jasmin(tmp_path, carrier) as gateway:
        assert gateway.measure(MESSAGES, 0).cpu_s_per_1000 > 0
        pids = [pid for process in gateway.processes for pid in tree(process.child.pid)]
    assert not [pid for pid in pids if is_running(pid)]
