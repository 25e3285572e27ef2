"""The processes of a benchmark: the hub as it is installed, and the tools around it.

The hub is started by its own command with a configuration file of its own, on a store in a directory that is thrown
away. Its CPU and memory are the kernel's figures: nothing is asked of the hub itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
SMSHUB = Path(sys.executable).parent / "smshub"
TICKS = os.sysconf("SC_CLK_TCK")
STOP_S = 30.0
PASSWORD = "bench"
HELPLINE = "+18002530000"

CONFIG = """
[store]
url = "{url}"
synchronous = "{synchronous}"
[smpp]
port = {smpp_port}
max_connections = 2000
address_per_s = 0  # all load comes from one address
[metrics]
port = 0
[log]
level = "info"
format = "json"
[[link]]
name = "carrier"
host = "127.0.0.1"
port = {carrier_port}
system_id = "hub"
password = "{password}"
window = {window}
throughput_per_s = 0
[[account]]
system_id = "load"
password = "{password}"
max_binds = 16
window = {window}
inbox = 5000
[[call_centre]]
name = "helpline"
[[number]]
number = "{number}"
call_centre = "helpline"
alias_of = "+12025550144"
[[desk]]
name = "helpline"
call_centre = "helpline"
domain = "sms.example.net"
host = "127.0.0.1"
port = {desk_port}
secret = "{password}"
director = "director@example.net"
window = {desk_window}
[[route]]
prefix = "*"
endpoint = "link:carrier"
"""
LINK = """
[[link]]
name = "{name}"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "{password}"
window = {window}
[[route]]
prefix = "{prefix}"
endpoint = "link:{name}"
"""


def link_of(name: str, port: int, prefix: str, window: int = 100) -> str:
    """Lines of configuration: a link to a carrier on this machine, and the route that leads to it."""
    return LINK.format(name=name, port=port, password=PASSWORD, window=window, prefix=prefix)


class ToolFailed(RuntimeError):
    """A tool ended, or did not answer in time."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, from where Linux takes none for outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(24_000, 32_000)  # above what tests beside us draw from
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def cpu_s_of(process_id: int) -> float:
    """Seconds of CPU of a process that runs, of all its threads, in user and system mode.

    Its CPU clock (clock_getcpuclockid(3)) counts nanoseconds, where ``/proc/PID/stat`` counts hundredths of a second.

    Raises: OSError: there is no such process.
    """
    return time.clock_gettime((~process_id << 3) | 2)


class Process:
    """A child that ends with the benchmark, whatever happens to it.

    Args:
        command: the words of its command line.
        options: for ``subprocess.Popen``.
    """

    def __init__(self, command: list[str], **options: Any) -> None:
        self.child = subprocess.Popen(command, cwd=ROOT, **options)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.child.kill()
        self.child.wait()

    def cpu_s(self) -> float:
        """Seconds of CPU, of all its threads, in user and system mode."""
        return cpu_s_of(self.child.pid)

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Resident memory now (VmRSS) or at its peak (VmHWM), in units of 1,048,576 octets."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(which + ":"):
                return int(line.split()[1]) / 1024
        raise LookupError(which)


class Tool(Process):
    """A tool that is told what to do by lines of JSON.

    Args:
        module: its module's name.
    """

    def __init__(self, module: str) -> None:
        super().__init__([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.module = module
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe(self.child.stdout), selectors.EVENT_READ)

    def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        self._selector.close()
        super().stop()

    def tell(self, do: str, **arguments: Any) -> None:
        """Give a command; ``answer`` then waits for what comes of it."""
        self._pipe(self.child.stdin).write(json.dumps({"do": do, **arguments}).encode() + b"\n")

    def answer(self, within_s: float = 60.0) -> dict[str, Any]:
        """What came of the oldest command that is not answered. Raises: ToolFailed."""
        give_up_at = time.monotonic() + within_s
        while b"\n" not in self._rest:
            if not self._selector.select(max(0.0, give_up_at - time.monotonic())):
                raise ToolFailed(f"{self.module} did not answer in {within_s:g} s")
            octets = self._pipe(self.child.stdout).read(65536)
            if not octets:
                raise ToolFailed(f"{self.module} ended")
            self._rest += octets
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def ask(self, do: str, within_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Give a command and wait for what comes of it. Raises: ToolFailed."""
        self.tell(do, within_s=within_s, **arguments)
        return self.answer(within_s + 30.0)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


class Echo(Process):
    """The yardstick."""

    def __init__(self, port: int) -> None:
        super().__init__([sys.executable, "-m", "loadtests.echo", str(port)], stdout=subprocess.DEVNULL)


class Place:
    """Where one hub lives: its directory, ports and configuration.

    Args:
        directory: exists; the store and the log go there.
        synchronous: how the store commits.
        more: further lines of configuration.
        url: of its store; an SQLite file in the directory when not given.
    """

    def __init__(
        self,
        directory: Path,
        *,
        synchronous: str = "FULL",
        window: int = 1000,
        desk_window: int = 1000,
        more: str = "",
        url: str = "",
    ) -> None:
        self.directory = directory
        self.smpp_port, self.carrier_port, self.desk_port = free_ports(3)
        self.url = url or f"sqlite:///{directory / 'hub.db'}"
        self.config = directory / "hub.toml"
        self.config.write_text(
            CONFIG.format(
                url=self.url,
                synchronous=synchronous,
                smpp_port=self.smpp_port,
                carrier_port=self.carrier_port,
                desk_port=self.desk_port,
                password=PASSWORD,
                number=HELPLINE,
                window=window,
                desk_window=desk_window,
            )
            + more
        )
        self.config.chmod(0o600)


class HubProcess(Process):
    """The daemon.

    Args:
        place: where.
        before: words put before its command line, such as those of a profiler.
    """

    def __init__(self, place: Place, before: tuple[str, ...] = ()) -> None:
        self.log = place.directory / "hub.log"
        self._skip = self.log.stat().st_size if self.log.exists() else 0
        started = time.monotonic()
        with self.log.open("ab") as log:
            command = [*before, sys.executable, str(SMSHUB), "run", "--config", str(place.config)]
            super().__init__(command, stdout=log, stderr=log)
        self.ready_s = self._wait_ready(started)

    def _wait_ready(self, started: float) -> float:
        while time.monotonic() < started + 120:
            if self.child.poll() is not None:
                raise ToolFailed(f"the hub ended:\n{self.tail()}")
            if b'"ready"' in self.log.read_bytes()[self._skip :]:
                return time.monotonic() - started
            time.sleep(0.01)
        raise ToolFailed(f"the hub is not ready:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text().splitlines()[-20:])
