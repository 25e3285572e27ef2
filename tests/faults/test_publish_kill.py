"""Publishing under kill -9: ``smshub provision publish --now`` is killed at many instants and started again.

The registry is the far end of the file adapter, read while the command runs and while it is dead. Whatever instant it
died at, each number ends active, under one key and with one content: no second file names it.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.process import ROOT
from tests.integration.provisioning.file_registry import FileRegistry

SIZE = 1_000
DIRECTORIES = ("one", "two")
KILLS = 4
BOUND_S = 120.0
ENTRIES = """
[store]
url = "{url}"
[[call_centre]]
name = "acme"
[[block]]
first = "+16175550000"
last = "+16175550999"
call_centre = "acme"
[[loa]]
name = "letter"
call_centre = "acme"
owner = "O"
designee = "D"
contact = "C"
numbers = ["+16175550000-+16175550999"]
valid_from = "2020-01-01"
signed_by = "x"
signed_on = "2020-01-02"
digest = "sha256:{digest}"
"""
DIRECTORY = """
[[directory]]
name = "{name}"
adapter = "file"
drop_directory = "{folder}"
batch = 100
retry_first_s = 0.1
retry_longest_s = 1
"""


def start(configuration: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ops.cli", "provision", *words]
    environ = {**os.environ, "SMSHUB_CONFIG": str(configuration)}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(configuration: Path, *words: str) -> str:
    process = start(configuration, *words)
    output, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0, output
    return output


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[list[FileRegistry]]:
    """Both registries, busy in a thread of their own."""
    found = []
    for name in DIRECTORIES:
        folder = tmp_path / name
        folder.mkdir()
        found.append(FileRegistry(folder))
    ending = threading.Event()
    faults: list[BaseException] = []

    def work() -> None:
        try:
            while not ending.wait(0.02):
                for registry in found:
                    registry.process()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    yield found
    ending.set()
    thread.join(BOUND_S)
    assert not faults


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "hub.toml"
    text = ENTRIES.format(url=f"sqlite:///{tmp_path}/hub.db", digest="0" * 64)
    path.write_text(text + "".join(DIRECTORY.format(name=name, folder=tmp_path / name) for name in DIRECTORIES))
    return path


def keys_told(folder: Path) -> dict[str, set[str]]:
    """The keys under which each number was told, of all files that were ever dropped."""
    found: dict[str, set[str]] = {}
    for file in folder.glob("*.csv"):
        if not file.name.endswith(".ack.csv"):
            for row in csv.DictReader(file.read_text().splitlines()):
                found.setdefault(row["number"], set()).add(row["key"])
    return found


def kill_after(configuration: Path, registry: FileRegistry, files: int, chance: random.Random, *words: str) -> None:
    """Start the command, and kill it some instant after the registry has seen so many files."""
    process = start(configuration, *words)
    deadline = time.monotonic() + BOUND_S
    while len(registry.files) < files and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(chance.random() * 0.15)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=BOUND_S)


def test_each_number_is_told_once_whatever_instant_the_publisher_dies_at(
    configuration: Path, registries: list[FileRegistry], tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    run(configuration, "apply", str(configuration))
    asked = ("publish", "--call-centre", "acme", "--now")
    for kill in range(KILLS):
        kill_after(configuration, registries[0], 2 * kill + 1, chance, *asked)
    output = run(configuration, *asked)
    assert output.endswith(f"{2 * SIZE:,} of {2 * SIZE:,} active\n"), output
    for name, registry in zip(DIRECTORIES, registries, strict=True):
        told = keys_told(tmp_path / name)
        assert len(told) == SIZE
        assert {len(keys) for keys in told.values()} == {1}, f"seed {seed}"
        assert set(registry.told.values()) == {1}, f"seed {seed}"
        assert len(registry.listed) == SIZE
    gone = ("withdraw", "--call-centre", "acme", "--now")
    kill_after(configuration, registries[0], len(registries[0].files) + 3, chance, *gone)
    run(configuration, *gone)
    for registry in registries:
        assert registry.listed == {}
        assert set(registry.told.values()) == {1}, f"seed {seed}"
