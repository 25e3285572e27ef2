"""The daemon under a service manager: what it tells systemd, and that systemd takes the unit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "ops" / "systemd" / "smshub.service"
PATIENCE_S = 60
CONFIGURATION = '[store]\nurl = "sqlite:///hub.db"\n[smpp]\nport = {port}\n[metrics]\nport = 0\n'
MOST_EXPOSED = 1.5  # of systemd-analyze's 10; what is left is the network


@contextmanager
def manager(folder: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(PATIENCE_S)
        yield listening


def heard(listening: socket.socket, until: str) -> list[str]:
    """Datagrams up to the first with a word in it; what keeps the watchdog quiet is left out."""
    found: list[str] = []
    while not found or until not in found[-1]:
        said = listening.recv(4096).decode()
        if said != "WATCHDOG=1" or until == said:
            found.append(said)
    return found


def test_it_says_when_it_is_ready_reloads_lives_and_stops(tmp_path: Path, unused_tcp_port: int) -> None:
    path = tmp_path / "smshub.toml"
    path.write_text(CONFIGURATION.format(port=unused_tcp_port))
    with manager(tmp_path) as listening, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "run", "--config", str(path)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "400000",
            },
        )
        try:
            assert heard(listening, "READY=1") == ["READY=1"]
            with socket.create_connection(("127.0.0.1", unused_tcp_port), timeout=PATIENCE_S):
                pass  # it said so once it was true
            assert heard(listening, "WATCHDOG=1") == ["WATCHDOG=1"]
            process.send_signal(signal.SIGHUP)
            begun, over, state = heard(listening, "STATUS=")
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", begun)
            assert over == "READY=1"
            assert state == "STATUS=last reload: done"
            path.write_text("[smpp]\npott = 1\n")
            process.send_signal(signal.SIGHUP)
            assert heard(listening, "STATUS=")[-1] == "STATUS=last reload: refused"
            process.terminate()
            assert heard(listening, "STOPPING=1") == ["STOPPING=1"]
            assert process.wait(PATIENCE_S) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    said = (tmp_path / "log").read_text()
    assert f"{path}:2: smpp.pott: is no setting" in said


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is installed, but for the program's path: systemd looks whether that is there."""
    program = tmp_path / "smshub"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / "smshub.service"
    path.write_text(UNIT.read_text().replace("/opt/smshub/bin/smshub", str(program)))
    return path


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: run ops/setup/setup system"
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=PATIENCE_S)


def test_systemd_takes_the_unit_without_a_word(unit: Path) -> None:
    done = _analyze("verify", "--recursive-errors=no", str(unit))
    assert done.returncode == 0
    assert (done.stdout + done.stderr).strip() == ""


def test_the_unit_leaves_little_to_attack(unit: Path) -> None:
    done = _analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSED * 10)}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout[-500:]
    found = re.search(r"exposure level for smshub\.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED
