"""``smshub run --processes N``: several processes of one hub on one machine, on one PostgreSQL.

They are behind one port, or each behind its own (``apart``). The process that was started serves nothing: it starts N
others, each the same command with some settings of its own (``overrides_of``), and keeps them running (``ops.crew``).
Each is a node: a process of a daemon that knows others (``cluster.enabled``). To the service manager it is one service;
to its processes it is the service manager: each tells it, on a socket of its own and in systemd's words, when it
serves, reloads, stops and lives.

**The end.** SIGTERM is passed on: all drain at once, and this process ends when the last has. A second one, or
``STOP_S`` more than they may drain, ends them at once. When this process itself is gone, however it ended, so are they:
each holds the end of a pipe that nobody else holds, and ends itself when that closes (``end_with``). Nothing
acknowledged is lost by any of it.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from ops.config import Config, ConfigError, ConfigErrors, load_config
from ops.crew import Crew, Standing
from ops.readiness import READY, STOPPING, Supervisor, reloading, status, watchdog_s

MOST: Final = 64
SILENCE_S: Final = 60.0  # when no service manager says how long; the unit's WatchdogSec
STOP_S: Final = 30.0
KILLED_S: Final = 5.0  # until a process that was killed is gone
SAME_SIGNAL_S: Final = 0.5  # a terminal and a process manager may both pass one on
WORD_OCTETS: Final = 4096

log = structlog.get_logger("ops.processes")

Command = Callable[[int, int], Sequence[str]]
"""Makes the command line of a process, of its number and of the descriptor that it holds on to."""


# --- what each process is given ---------------------------------------------------------------------------------------


def overrides_of(config: Config, number: int, *, apart: bool = False) -> dict[str, str]:
    """The settings that a process has of its own, in words.

    Args:
        config: of the command.
        number: of the process, from 0.
        apart: each has ports of its own for accounts too, instead of one for all.

    Returns: all ``--set`` of its command.
    """
    own = {
        "node.id": str(config.node.id + number),
        "cluster.enabled": "true",
        "smpp.reuse_port": str(not apart).lower(),
    }
    for name, first in _ports(config).items():
        if apart or not name.startswith("smpp."):
            own[name] = str(first + number if first else 0)
    return dict(config.overrides) | own


def _ports(config: Config) -> dict[str, int]:
    """The settings of ports, and the first process's."""
    return {
        "smpp.port": config.smpp.port,
        "smpp.tls_port": config.smpp.tls_port,
        "metrics.port": config.metrics.port,
        "api.port": config.api.port,
    }


def check_processes(config: Config, count: int, *, apart: bool = False) -> None:
    """Refuse what cannot be several processes.

    Args:
        config: of the command.
        count: of processes.
        apart: see ``overrides_of``.

    Raises: ConfigErrors, with every reason.
    """
    errors = []
    if not 1 <= count <= MOST:
        errors.append(f"{count}: must be 1 to {MOST}")
    if config.store.url.startswith("sqlite"):
        errors.append("SQLite is for one process: set store.url to 'postgresql://…'")
    taken: dict[int, str] = {}
    for name, first in _ports(config).items():
        shared = name.startswith("smpp.") and not apart
        for number in range(1 if shared else min(count, MOST)):
            port = first + number
            if first and port > 0xFFFF:
                errors.append(f"{name} = {first}: there is no port for process {number}, {port} is beyond 65535")
            elif first and port in taken:
                errors.append(f"{name} = {first}: process {number} would have {port}, which is {taken[port]}")
            elif first:
                taken[port] = name if shared else f"{name} of process {number}"
    if not errors:
        # Of the last, whose numbers are the greatest.
        load_config(config.path or None, overrides_of(config, count - 1, apart=apart))
        return
    raise ConfigErrors(config.path, [ConfigError(0, "--processes", why) for why in errors])


def command_of(config: Config, number: int, descriptor: int, *, apart: bool = False) -> list[str]:
    """The command line of a process. ``-P``: a folder that it is started in must not give it its modules."""
    words = [sys.executable, "-P", "-m", "ops.cli", "run", "--hold-on-to", str(descriptor)]
    words += ["--config", config.path] if config.path else []
    return words + [f"--set={name}={value}" for name, value in overrides_of(config, number, apart=apart).items()]


# --- in each process --------------------------------------------------------------------------------------------------


def end_with(descriptor: int) -> None:
    """End this process at once when the other end of a pipe closes: whoever started it is gone.

    A thread of its own waits for that: the loop may hang.

    Raises: OSError: it is no descriptor.
    """
    os.fstat(descriptor)

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        log.error("the process that started this one is gone: ending at once")
        os._exit(1)

    threading.Thread(target=wait, name="hold-on-to", daemon=True).start()


# --- the process that has the others ----------------------------------------------------------------------------------


class Foreman:
    """Keeps the processes running.

    Args:
        command: see ``Command``.
        count: of processes.
        base: the first one's node.id, for the log.
        drain_s: how long they may drain.
        environ: what they are started with, and what tells of the service manager.
    """

    def __init__(
        self, command: Command, count: int, base: int, drain_s: float, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._command = command
        self._base = base
        self._drain_s = drain_s
        silence_s = 2 * watchdog_s(environ, os.getpid()) or SILENCE_S
        self._environ = {name: value for name, value in environ.items() if name != "WATCHDOG_PID"}
        self._environ["WATCHDOG_USEC"] = str(round(silence_s * 1e6))
        self._manager = Supervisor(environ)
        self._crew = Crew(count, silence_s)
        self._running: dict[int, trio.Process] = {}
        self._starts = 0
        self._status = 0
        self._at_once = False
        self._told = (Standing.STARTING, "")  # what the service manager was told
        self._news = trio.Event()

    async def run(self) -> int:
        """Start them, and keep them running until told to stop. Returns: the exit status.

        Cancellation: ends them at once.
        """
        with (
            trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals,
            tempfile.TemporaryDirectory(prefix="smshub-") as folder,
            _pipe() as held,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                nursery.start_soon(self._manager.feed_watchdog)
                try:
                    await self._tend(nursery, Path(folder), held)
                finally:
                    for process in self._running.values():
                        process.kill()
                nursery.cancel_scope.cancel()
        return self._status

    async def _tend(self, nursery: trio.Nursery, folder: Path, held: int) -> None:
        crew = self._crew
        give_up_at = math.inf
        while not (crew.is_stopping and crew.is_gone):
            self._news = trio.Event()  # before looking: what happens meanwhile is looked at in the next round
            now = trio.current_time()
            if crew.is_stopping and give_up_at == math.inf:
                give_up_at = now + self._drain_s + STOP_S
                self._tell_all(signal.SIGTERM)
            if now >= give_up_at or self._at_once:
                log.error("processes are killed", nodes=[self._base + number for number in self._running])
                self._tell_all(signal.SIGKILL)
                self._at_once, give_up_at = False, now + STOP_S
            for number in crew.to_start(now):
                await nursery.start(self._live, number, folder, held)
            for number in crew.hung(now):
                log.error("a process hangs: killed", node=self._base + number)
                self._running[number].kill()
            while (number_to_tell := crew.to_reload(now)) is not None:
                self._running[number_to_tell].send_signal(signal.SIGHUP)
            self._tell_manager()
            with trio.move_on_at(min(crew.next_at(), give_up_at)):
                await self._news.wait()

    async def _live(
        self, number: int, folder: Path, held: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """The life of a process."""
        self._starts += 1
        path = folder / str(self._starts)
        node = self._base + number
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as words:
            with _named(path):
                await words.bind(str(path))
            self._crew.started(number, trio.current_time())
            try:
                process = await trio.lowlevel.open_process(
                    self._command(number, held),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(held,),
                    process_group=0,  # what a terminal sends goes to this process, which passes it on
                    env={**self._environ, "NOTIFY_SOCKET": str(path)},
                )
            except OSError as error:  # no memory, no process: there may be some later
                ended = self._crew.ended(number, trio.current_time())
                self._status = 1 if ended.is_failure else self._status
                log.error("a process cannot be started", node=node, error=str(error), again_in_s=ended.again_in_s)
                task_status.started()
                self._news.set()
                return
            self._running[number] = process
            log.info("process started", node=node, pid=process.pid)
            task_status.started()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, words, number)
                    await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                if process.returncode is None:
                    process.kill()
                    with trio.move_on_after(KILLED_S, shield=True):
                        await process.wait()
                path.unlink(missing_ok=True)
        del self._running[number]
        ended = self._crew.ended(number, trio.current_time())
        ended_with = process.returncode or 0
        if ended.is_failure or (self._crew.is_stopping and ended_with):
            self._status = max(self._status, ended_with, 1)
        say = log.info if self._crew.is_stopping and not ended_with else log.error
        say("process ended", node=node, pid=process.pid, status=ended_with, again_in_s=ended.again_in_s)
        self._news.set()

    async def _listen(self, words: trio.socket.SocketType, number: int) -> None:
        while True:
            said = (await words.recv(WORD_OCTETS)).decode("ascii", "replace").splitlines()
            self._crew.said(number, said, trio.current_time())
            self._news.set()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        told_at = -math.inf
        async for number in signals:
            if number == signal.SIGHUP:
                self._crew.reload()
            elif trio.current_time() >= told_at + SAME_SIGNAL_S:
                if self._crew.is_stopping:
                    log.warning("stopping at once", signal=signal.Signals(number).name)
                    self._at_once = True
                told_at = trio.current_time()
                log.info("told to stop", signal=signal.Signals(number).name)
                self._crew.stop()
            self._news.set()

    def _tell_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            process.send_signal(number)

    def _tell_manager(self) -> None:
        """Tell the service manager how they stand, when that has changed."""
        crew = self._crew
        standing = crew.standing
        words = f"{crew.serving} of {len(crew.stages())} processes serve"
        if (standing, words) == self._told:
            return
        if standing is not self._told[0]:
            self._manager.tell(_WORDS[standing]())
        if standing is Standing.SERVING and self._told[0] is Standing.STARTING:
            log.info("ready", processes=len(crew.stages()))
        self._manager.tell(status(words))
        self._told = (standing, words)


_WORDS: Final[dict[Standing, Callable[[], str]]] = {
    Standing.SERVING: lambda: READY,
    Standing.RELOADING: lambda: reloading(time.monotonic_ns() // 1000),
    Standing.STOPPING: lambda: STOPPING,
}
"""What the service manager is told once they stand so."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of a socket's name say which that is: "AF_UNIX path too long" helps nobody."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror or error}: set TMPDIR to another folder", str(path)) from error


@contextmanager
def _pipe() -> Iterator[int]:
    """A pipe whose other end only this process holds, for as long as it lives. Yields the end to be handed on."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


async def run_processes(config: Config, count: int, *, apart: bool = False) -> int:
    """Run several processes until SIGTERM or SIGINT. SIGHUP makes them read their file again.

    Args:
        config: checked, by ``check_processes`` as well.
        count: how many.
        apart: see ``overrides_of``.

    Returns: the exit status: 0 when all ended in order, after they were told to.
    """
    foreman = Foreman(partial(command_of, config, apart=apart), count, config.node.id, config.limits.drain_s)
    return await foreman.run()
