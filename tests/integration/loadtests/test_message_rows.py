"""The measurement of what a message costs PostgreSQL still fits the tables."""

import subprocess
import sys

from loadtests.message_rows import WAYS
from loadtests.processes import ROOT


def test_every_way_writes_its_messages(postgres_url: str) -> None:
    command = [sys.executable, "-m", "loadtests.message_rows", "--postgresql", postgres_url]
    command += ["--count", "60", "--group", "10", "--runs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:38].rstrip() for line in lines] == [way.name for way in WAYS]
    assert all("insert" in line and "claim" in line and "move" in line for line in lines)
