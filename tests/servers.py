"""What tests that start somebody's server have in common: is it there, what it says, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any


def listens(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def said_lines(log: Path, start: int = 0) -> list[bytes]:
    """The lines of a file that somebody may be writing, from an octet of it on; none that is still being written."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().split(b"\n")[:-1]


def said_events(log: Path, event: str, start: int = 0) -> list[dict[str, Any]]:
    """Those of ``said_lines`` that tell of this event. What is no JSON, as a command's last words, is passed over."""
    lines = [json.loads(line) for line in said_lines(log, start) if line.startswith(b"{")]
    return [line for line in lines if line["event"] == event]


def wait_or_kill(process: subprocess.Popen[Any], within_s: float) -> None:
    """Wait until a process that was told to end is gone; one that does not go in time is killed."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
