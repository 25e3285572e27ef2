"""What every gateway of the comparison is to the measurement, and the one measurement that all of them get.

The same carrier (``loadtests.smsc_sink``) stands behind each. Delivered counts at the carrier: from the first request
of the load tool to the carrier's last submit_sm. CPU is that of all processes that a gateway consists of, with their
children, from ``/proc``; the load tool and the carrier are neither gateway's and are shown apart.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from loadtests.processes import TICKS, Process, Tool, ToolFailed

READY_S = 120.0  # a broker on a busy machine takes half a minute
MEASURE_S = 300.0
LOOK_S = 0.05


class NotInstalled(RuntimeError):
    """A gateway, or something that it needs, is not on this machine."""


@dataclass(frozen=True)
class Run:
    """What one measurement found.

    Attributes:
        delivered_per_s: at the carrier.
        cpu_s_per_1000: CPU seconds of all processes of the gateway for a thousand texts.
        ack_p50_ms, ack_p99_ms: from the request to its answer.
        tools_cpu_s_per_1000: the same of the load tool and the carrier.
        load_average: of the machine, over the last minute.
    """

    delivered_per_s: float
    cpu_s_per_1000: float
    ack_p50_ms: float
    ack_p99_ms: float
    tools_cpu_s_per_1000: float
    load_average: float


class Gateway:
    """One gateway on one path. A context: what it started ends with it.

    Attributes:
        name: in the table.
        path: what is compared with what has the same path: "application" or "transit".
        legs: the protocols, in and out.
        durability: what is on disk when a text was acknowledged.
        load: how it is loaded.
        share: it gets the texts of the others over this: what is slow need not take minutes.
    """

    name = ""
    path = ""
    legs = ""
    durability = ""
    load = ""
    share = 1

    def __init__(self, directory: Path, carrier: Tool) -> None:
        self.directory = directory
        self.carrier = carrier
        self.stack = ExitStack()
        self.processes: list[Process] = []
        self.tool: Tool

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # closed here only when starting fails
            self.stack = stack
            self.start()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def start(self) -> None:
        """Start all processes of the gateway, and the load tool; return when texts would go through."""
        raise NotImplementedError

    def send(self, count: int, customer: int) -> dict[str, Any]:
        """Let the load tool send, and wait until all is answered. Returns: as ``wire.load``."""
        raise NotImplementedError

    def positive(self) -> str:
        """The one status that a text that was taken has."""
        return "0x0"

    def versions(self) -> str:
        """What was measured."""
        raise NotImplementedError

    def cpu_s(self) -> float:
        """Seconds of CPU so far."""
        return sum(tree_cpu_s(process.child.pid) for process in self.processes)

    def run(self, process: Process) -> Process:
        """Let a process end with the gateway, before those that were started before it, and count its CPU."""
        self.processes.append(self.stack.enter_context(process))
        return process

    def tail(self) -> str:
        """The last lines of the logs, for a failure."""
        found = []
        for log in sorted(self.directory.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-8:]
            found.append(f"--- {log.name}\n" + "\n".join(lines))
        return "\n".join(found)

    def measure(self, count: int, customer: int) -> Run:
        """One load of so many texts. Raises: ToolFailed: a text was refused or did not arrive."""
        self.carrier.ask("reset")
        cpu = self.cpu_s()
        self.carrier.tell("expect", count=count, within_s=MEASURE_S)
        sent = self.send(count, customer)
        if sent["acked"] != count or set(sent["statuses"]) != {self.positive()}:
            raise ToolFailed(f"{self.name}: {sent['acked']} of {count} answered: {sent['statuses']}\n{self.tail()}")
        arrived = self.carrier.answer(MEASURE_S + 30)
        if arrived["count"] != count:
            raise ToolFailed(f"{self.name}: {arrived['count']} of {count} arrived\n{self.tail()}")
        return Run(
            delivered_per_s=count / (arrived["last"] - sent["first"]),
            cpu_s_per_1000=(self.cpu_s() - cpu) / count * 1000,
            ack_p50_ms=sent["p50_ms"],
            ack_p99_ms=sent["p99_ms"],
            tools_cpu_s_per_1000=(sent["cpu_s"] + arrived["cpu_s"]) / count * 1000,
            load_average=os.getloadavg()[0],
        )


class Logged(Process):
    """A child whose output goes to a file. A server that does not end by SIGTERM is killed with all its children.

    Args:
        command: its command line.
        log: the file.
        environment: of the child; None for ours.
    """

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        with log.open("ab") as output:
            super().__init__(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        self.log = log

    def kill(self) -> None:
        """End it and what it started."""
        for pid in reversed(tree(self.child.pid)):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self.child.wait()


def tree(pid: int) -> list[int]:
    """A process and all its descendants, parents before children; those that are gone are not in it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, []))
    return found


def tree_cpu_s(pid: int) -> float:
    """Seconds of CPU of a process, of its descendants, and of those children that ended and were waited for."""
    ticks = 0
    for each in tree(pid):
        fields = _stat(each)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, so that proc(5)'s field N is at N - 3; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_until(what: str, is_so: Callable[[], bool], gateway: Gateway) -> None:
    """Look until something is so. Raises: ToolFailed: a process ended, or patience did."""
    give_up_at = time.monotonic() + READY_S
    while not is_so():
        for process in gateway.processes:
            if process.child.poll() is not None:
                raise ToolFailed(f"{gateway.name}: {process.child.args!r} ended\n{gateway.tail()}")
        if time.monotonic() > give_up_at:
            raise ToolFailed(f"{gateway.name}: not {what} within {READY_S:g} s\n{gateway.tail()}")
        time.sleep(LOOK_S)


def program(name: str, package: str) -> str:
    """The path of a server's program, also where only root looks for it. Raises: NotInstalled."""
    found = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if found is None:
        raise NotInstalled(f"{name} is not there: loadtests/peers/setup installs {package}")
    return found


def says(*command: str) -> str:
    """What a program prints about itself; nothing where it fails."""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the loopback interface."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
