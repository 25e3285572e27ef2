"""The daemon as a process of its own, started from a real configuration file, to be killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio

from tests.faults.history import History
from tests.servers import said_lines

ROOT = Path(__file__).parents[2]
READY_S = 60.0
LOOK_S = 0.01
RESTART_S = 1.0  # as the unit file has it

SECRET = "s3cr3t-0f-the-desk"
LINK_PASSWORD = "l1nkpass"
ACCOUNT_PASSWORD = "acc0pass"
NUMBER = "+18005550100"
AGGREGATED = "+1999"  # numbers with this beginning belong to the account

CONFIGURATION = """
[store]
url = "{url}"

[smpp]
port = {smpp_port}
{smpp_more}

[metrics]
port = {metrics_port}

[limits]
reassembly_wait_s = 2
retry_first_s = 0.2
{limits_more}

[[call_centre]]
name = "acme"
title = "Acme Routers"
default_number = "{number}"
default_link = "link:carrier"

[[number]]
number = "{number}"
call_centre = "acme"
alias_of = "+16175550100"

[[link]]
name = "carrier"
host = "127.0.0.1"
port = {carrier_port}
system_id = "smshub"
password = "{link_password}"
gap_ms = 5
{link_more}

[[desk]]
name = "acme"
call_centre = "acme"
domain = "{desk.domain}"
port = {desk_port}
secret = "{desk.secret}"
director = "{desk.director}"
{desk_more}

[[account]]
system_id = "agg"
password = "{account_password}"
gap_ms = 5
{account_more}

[[route]]
prefix = "{aggregated}"
endpoint = "account:agg"

[[route]]
prefix = "*"
endpoint = "link:carrier"
"""


class DeskSide(NamedTuple):
    """How the daemon knows its desk."""

    domain: str = "sms.desk.example"
    secret: str = SECRET
    director: str = "director@desk.example"


class Died(AssertionError):
    """The daemon ended without being asked to."""


class DaemonProcess:
    """A daemon that can be started again and again on the same store.

    Args:
        folder: for its configuration and log.
        url: of its store.
        carrier_port, desk_port: where its peers listen.
        new_port: gives free ports.
        desk: how its desk is called.
        more: further lines of configuration: of ``smpp``, ``limits``, ``link``, ``account``, ``desk``; ``tail`` for the
            end.

    Attributes:
        smpp_port, metrics_port: where it listens.
        config_path: its configuration file.
        log_path: what it says; all lives in one file.
        starts: how often it was started.
        history: where its deaths are noted, when there is one.
        name: under this name.
        environment: what its environment has beside ours.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        carrier_port: int,
        desk_port: int,
        new_port: Callable[[], int],
        *,
        desk: DeskSide = DeskSide(),  # noqa: B008 - it is immutable
        **more: str,
    ) -> None:
        self.smpp_port, self.metrics_port = new_port(), new_port()
        self.log_path = folder / "smshub.log"
        self.starts = 0
        self.config_path = folder / "smshub.toml"
        text = CONFIGURATION.format(
            url=url,
            smpp_port=self.smpp_port,
            metrics_port=self.metrics_port,
            carrier_port=carrier_port,
            desk_port=desk_port,
            number=NUMBER,
            aggregated=AGGREGATED,
            desk=desk,
            link_password=LINK_PASSWORD,
            account_password=ACCOUNT_PASSWORD,
            **{f"{name}_more": more.get(name, "") for name in ("smpp", "limits", "link", "account", "desk")},
        )
        self.config_path.write_text(text + more.get("tail", ""))
        self.history: History | None = None
        self.name = "hub"
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    @property
    def process_id(self) -> int:
        """Of the running daemon."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since by us."""
        return self._process is not None

    def spawn(self) -> None:
        """Start it; it is not ready yet."""
        assert self._process is None
        self._read = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "run", "--config", str(self.config_path)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            )
        self.starts += 1

    async def wait_ready(self) -> None:
        """Wait until it serves. Raises: Died."""
        assert self._process is not None
        with trio.fail_after(READY_S):
            while b'"event": "ready"' not in self._latest():
                if self._process.poll() is not None:
                    raise Died(f"the daemon ended with {self._process.returncode}: {self._latest()[-2000:].decode()}")
                await trio.sleep(LOOK_S)
        if self.history is not None:
            self.history.fault(f"kill {self.name}", over=True)

    async def wait_ready_anyhow(self) -> None:
        """As a process manager would: start it again for as long as it ends for want of a store. Raises: Died."""
        with trio.fail_after(READY_S):
            while True:
                try:
                    return await self.wait_ready()
                except Died:
                    if b"smshub: the store is not available" not in self._latest():
                        raise
                self._process = None
                await trio.sleep(RESTART_S)
                self.spawn()

    async def start(self) -> None:
        """Start it and wait until it serves."""
        self.spawn()
        await self.wait_ready()

    def check_alive(self) -> None:
        """Raises: Died."""
        if self._process is not None and self._process.poll() is not None:
            raise Died(f"the daemon ended with {self._process.returncode}: {self._latest()[-2000:].decode()}")

    def kill(self) -> None:
        """End it as a power cut would. Raises: Died when somebody else was first."""
        self.check_alive()
        if self.history is not None:
            self.history.fault(f"kill {self.name}")
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While it does not run, and does not know it."""
        self.check_alive()
        if self.history is not None:
            self.history.fault(f"freeze {self.name}")
        os.kill(self.process_id, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process_id, signal.SIGCONT)
            if self.history is not None:
                self.history.fault(f"freeze {self.name}", over=True)

    def stop(self) -> int:
        """End it in order. Returns: its exit status."""
        self.check_alive()
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(60)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _latest(self) -> bytes:
        """What it said since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._read)
            return log.read()

    def log_lines(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """What it said, from an octet of the log on. A line that is no JSON object fails the test."""
        for line in said_lines(self.log_path, start):
            yield json.loads(line)

    def log_size(self) -> int:
        """Octets said so far."""
        return self.log_path.stat().st_size

    async def metrics(self) -> dict[str, float]:
        """Its metrics: a name with its labels as written → the value."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        text = await trio.to_thread.run_sync(_fetch, url)
        return {
            name: float(value)
            for name, value in re.findall(r"^(smshub_\S+(?:\{.*\})?|process_\S+) (\S+)$", text, re.MULTILINE)
        }


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


async def until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Look until a condition is true. Raises: AssertionError with ``what``."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {within_s} s: {what}"
        await trio.sleep(LOOK_S)
