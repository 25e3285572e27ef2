"""``smshub run --processes``: several processes behind one port, on a real PostgreSQL, as one service.

The configuration and the command are those of docs/howto/several-processes.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from click.testing import CliRunner

from ops import processes
from ops.cli import main
from ops.config import ConfigErrors, load_config, read_config
from ops.processes import Foreman, check_processes, command_of, overrides_of
from smpp.constants import CommandStatus as S
from smpp.pdu import SubmitSmResp
from tests.documented.pages import DOCS, read_page
from tests.integration.esmes import PASSWORD, PATIENCE_S, Peer
from tests.integration.test_accounts_daemon import submit
from tests.servers import said_events

ROOT = Path(__file__).parents[2]
PAGE = DOCS / "howto" / "several-processes.md"
BESIDE = """
[node]
id = 4
[limits]
drain_s = 5
[[account]]
system_id = "agg"
password = "{password}"
[[account]]
system_id = "sink"
password = "{password}"
[[route]]
prefix = "*"
endpoint = "account:sink"
"""
"""What the tests need beside the page's configuration."""
NODES = (4, 5)


class Service:
    """A hub of two processes, and the service manager that started it.

    Attributes:
        words: what the manager was told, in order.
    """

    def __init__(self, folder: Path, url: str, new_port: Callable[[], int], *more: str, silence_s: int = 60):
        self.port = _pair(new_port)
        self.metrics_port = _pair(new_port)
        self._log = folder / "log"
        blocks = read_page(PAGE).blocks
        [shown] = [block for block in blocks if block.file]
        [[command]] = [block.commands for block in blocks if block.commands]
        text = shown.text + BESIDE.format(password=PASSWORD)
        here = {
            "postgresql://smshub@db.example.net/smshub": url,
            "2775": str(self.port),
            "9464": str(self.metrics_port),
        }
        for words, meant in here.items():
            assert words in text
            text = text.replace(words, meant)
        (folder / shown.file).write_text(text)
        program, *self._words = [*command.line.split(), *more]
        assert program == "smshub"
        self.words: list[str] = []
        self._folder = folder
        self._silence_s = silence_s
        self.process: subprocess.Popen[bytes]

    @contextmanager
    def running(self) -> Iterator[Service]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self._manager, self._log.open("ab") as log:
            self._manager.bind(str(self._folder / "notify"))
            self._manager.setblocking(False)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", *self._words],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "NOTIFY_SOCKET": str(self._folder / "notify"),
                    "WATCHDOG_USEC": str(self._silence_s * 1_000_000),
                },
            )
            try:
                yield self
            finally:
                self.process.kill()
                self.process.wait()
                self.until(lambda: not self.left(), "all processes are gone")

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for what processes do."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_at, f"in vain: {what}\n{self.words}\n{self._log.read_text()[-4000:]}"
            time.sleep(0.02)  # real processes: nothing else tells

    def told(self) -> list[str]:
        """What the manager was told up to now, but for signs of life."""
        while True:
            try:
                said = self._manager.recv(4096).decode()
            except BlockingIOError:
                return self.words
            if said != "WATCHDOG=1":
                self.words.append(said)

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return "READY=1" in self.told()

        self.until(is_ready, "the manager is told that all serve")

    def said(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log, of all processes."""
        return said_events(self._log, event)

    def serves(self) -> list[int]:
        """The process ids of the processes, as they were started last; by node."""
        return [[line["pid"] for line in self.said("process started") if line["node"] == node][-1] for node in NODES]

    def left(self) -> list[int]:
        """Processes that were started and are still there."""
        pids = [line["pid"] for line in self.said("process started")]
        return [pid for pid in pids if _is_alive(pid)]

    async def connect(self) -> Peer:
        return Peer(await trio.open_tcp_stream("127.0.0.1", self.port))

    def bound_nodes(self) -> set[int]:
        return {line["node"] for line in self.said("smpp bound")}


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _pair(new_port: Callable[[], int]) -> int:
    """A free port with a free one after it."""
    before = new_port()
    while (port := new_port()) != before + 1:
        before = port
    return before


def _ready(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=PATIENCE_S) as answer:
        return int(answer.status)


async def _binds_on_both(service: Service) -> None:
    """ESMEs come to both nodes, and each takes their texts."""
    with trio.fail_after(PATIENCE_S):
        while service.bound_nodes() != set(NODES):
            async with await service.connect() as peer:
                assert await peer.bind() == S.ESME_ROK
                await peer.send(submit("hello"))
                answer = await peer.next()
                while not isinstance(answer, SubmitSmResp):
                    answer = await peer.next()
                assert answer.command_status == S.ESME_ROK


def test_two_processes_are_one_service(
    tmp_path: Path, postgres_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    with Service(tmp_path, postgres_url, unused_tcp_port_factory).running() as service:
        service.wait_ready()
        assert [_ready(service.metrics_port + number) for number in (0, 1)] == [200, 200]
        assert {line["node"] for line in service.said("ready") if "node" in line} == set(NODES)
        trio.run(_binds_on_both, service)

        before, words = service.serves(), len(service.told())
        os.kill(before[1], signal.SIGKILL)
        service.until(lambda: "STATUS=1 of 2 processes serve" in service.told()[words:], "the manager hears of it")
        service.until(lambda: service.told()[-1] == "STATUS=2 of 2 processes serve", "it is started again")
        after = service.serves()
        assert after[0] == before[0]
        assert after[1] != before[1]
        [ended] = service.said("process ended")
        assert (ended["node"], ended["status"], ended["again_in_s"]) == (5, -9, 0.5)
        assert _ready(service.metrics_port + 1) == 200

        words = len(service.told())
        service.process.send_signal(signal.SIGHUP)
        service.until(lambda: "READY=1" in service.told()[words:], "both have read the file again")
        assert service.words[words].startswith("RELOADING=1\nMONOTONIC_USEC=")
        service.until(lambda: len(service.said("reload")) == 2, "they say what came of it")
        assert [(line["node"], line["state"]) for line in service.said("reload")] == [(4, "done"), (5, "done")]

        service.process.terminate()
        assert service.process.wait(PATIENCE_S) == 0, service.said("process ended")
        assert "STOPPING=1" in service.told()[words:]
        assert [line["status"] for line in service.said("process ended")[1:]] == [0, 0]
        assert service.left() == []


def test_a_frozen_process_is_replaced_and_all_go_with_the_one_that_started_them(
    tmp_path: Path, postgres_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """With ports apart, which is told by the way: a bind at each port comes to the node of that port."""

    async def binds(service: Service) -> None:
        for number in (0, 1):
            async with Peer(await trio.open_tcp_stream("127.0.0.1", service.port + number)) as peer:
                assert await peer.bind() == S.ESME_ROK

    apart = Service(tmp_path, postgres_url, unused_tcp_port_factory, "--ports-apart", silence_s=5)
    with apart.running() as service:
        service.wait_ready()
        trio.run(binds, service)
        assert [line["node"] for line in service.said("smpp bound")] == list(NODES)
        frozen = service.serves()[1]
        os.kill(frozen, signal.SIGSTOP)
        service.until(lambda: not _is_alive(frozen), "it is killed")
        assert 5 in {line["node"] for line in service.said("a process hangs: killed")}
        service.until(lambda: service.serves()[1] != frozen, "it is started again")
        running = service.left()
        service.process.kill()
        service.process.wait()
        service.until(lambda: not service.left(), "they have noticed")
        assert running
        assert service.said("the process that started this one is gone: ending at once")


def test_what_keeps_a_process_from_starting_is_told_and_ends_all(
    tmp_path: Path, postgres_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    service = Service(tmp_path, postgres_url, unused_tcp_port_factory)
    with socket.create_server(("127.0.0.1", service.port)), service.running():
        assert service.process.wait(PATIENCE_S) == 2
        assert "READY=1" not in service.told()
    assert f"Address already in use: smpp 127.0.0.1:{service.port}" in (tmp_path / "log").read_text()
    [ended] = service.said("process ended")
    assert (ended["node"], ended["again_in_s"]) == (4, None)


def test_systemd_takes_the_drop_in_of_the_page(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: run ops/setup/setup system"
    [drop_in] = [block.text for block in read_page(PAGE).blocks if block.language == "ini"]
    fake = tmp_path / "smshub"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    unit = tmp_path / "smshub.service"
    unit.write_text((ROOT / "ops/systemd/smshub.service").read_text().replace("/opt/smshub/bin/smshub", str(fake)))
    (tmp_path / "smshub.service.d").mkdir()
    override = drop_in.replace("/opt/smshub/bin/smshub", str(fake))
    assert override != drop_in
    (tmp_path / "smshub.service.d" / "override.conf").write_text(override)
    done = subprocess.run(
        [program, "verify", "--recursive-errors=no", str(unit)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0
    assert (done.stdout + done.stderr).strip() == ""


# --- what is refused, and what each process is given ------------------------------------------------------------------


def _config(text: str, **overrides: str) -> Any:
    return read_config(text, "", Path("/etc"), {name.replace("__", "."): value for name, value in overrides.items()})


POSTGRES = "[store]\nurl = 'postgresql://hub@db/hub'\n"


@pytest.mark.parametrize(
    ("text", "count", "why"),
    [
        ("", 2, "SQLite is for one process"),
        (POSTGRES, 0, "0: must be 1 to 64"),
        (POSTGRES, 65, "65: must be 1 to 64"),
        (POSTGRES + "[metrics]\nport = 65530", 8, "there is no port for process 6, 65536 is beyond 65535"),
        (POSTGRES + "[metrics]\nport = 2773", 3, "process 2 would have 2775, which is smpp.port"),
        (POSTGRES + "[api]\nport = 9466", 4, "process 0 would have 9466, which is metrics.port of process 2"),
        (POSTGRES + "[node]\nid = 1022", 2, "node.id"),
    ],
)
def test_what_cannot_be_several_processes_is_refused(text: str, count: int, why: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        check_processes(_config(text), count)
    assert why in str(refused.value)


def test_ports_apart_must_be_free_as_well() -> None:
    text = POSTGRES + "[smpp]\nport = 9462\ntls_port = 3550\ntls_cert_file = 'c'\ntls_key_file = 'k'"
    with pytest.raises(
        ConfigErrors, match=r"metrics\.port = 9464: process 0 would have 9464, which is smpp\.port of pro"
    ):
        check_processes(_config(text), 3, apart=True)
    with pytest.raises(
        ConfigErrors, match=r"smpp\.tls_port = 2777: process 0 would have 2777, which is smpp\.port of pro"
    ):
        check_processes(_config(text.replace("9462", "2775").replace("3550", "2777")), 3, apart=True)


def test_the_command_refuses_with_the_reason_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("")
    for words, why in (
        (["--config", str(tmp_path / "f.toml"), "--processes", "2"], "SQLite is for one process"),
        (["--demo", "--processes", "2"], "the demonstration is one process"),
        (["--processes", "0"], "0 is not in the range 1<=x<=64"),
        (["--ports-apart"], "--ports-apart: say how many by --processes N"),
        (["--hold-on-to", "999"], "Bad file descriptor"),
    ):
        result = CliRunner().invoke(main, ["run", *words])
        assert result.exit_code == 2
        assert why in result.output


def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (tmp_path / "f.toml").write_text(POSTGRES)
    result = CliRunner().invoke(main, ["run", "--config", str(tmp_path / "f.toml"), "--processes", "2"])
    assert result.exit_code == 2
    assert f"AF_UNIX path too long: set TMPDIR to another folder: {folder}" in result.output


def test_each_process_has_settings_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text(POSTGRES + "[node]\nid = 7\n[api]\nport = 8000")
    config = load_config(path, {"metrics.port": "9000", "log.level": "debug"})
    check_processes(config, 3)
    assert overrides_of(config, 2) == {
        "log.level": "debug",
        "metrics.port": "9002",
        "node.id": "9",
        "cluster.enabled": "true",
        "smpp.reuse_port": "true",
        "api.port": "8002",
    }
    apart = overrides_of(config, 1, apart=True)
    assert (apart["smpp.port"], apart["smpp.tls_port"], apart["smpp.reuse_port"]) == ("2776", "0", "false")
    check_processes(config, 3, apart=True)
    off = _config(POSTGRES + "[metrics]\nport = 0")
    assert (overrides_of(off, 1)["metrics.port"], overrides_of(off, 1)["api.port"]) == ("0", "0")
    command = command_of(config, 1, 5)
    assert command[1:9] == ["-P", "-m", "ops.cli", "run", "--hold-on-to", "5", "--config", str(path)]
    assert "--set=node.id=8" in command


# --- processes that behave badly --------------------------------------------------------------------------------------

SAY = (
    "import os, signal, socket, time\n"
    "def say(words):\n"
    "    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(words, os.environ['NOTIFY_SOCKET'])\n"
)
DEAF = SAY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(b'READY=1')\ntime.sleep(600)\n"
NOISY = SAY + "say(b'\\xff\\0READY=2' * 200)\nsay(b'')\nsay(b'READY=1\\nX=\\xff')\ntime.sleep(600)\n"


def _foreman(script: str, drain_s: float = 0.0) -> Foreman:
    def command(number: int, descriptor: int) -> Sequence[str]:
        return [sys.executable, "-c", script]

    return Foreman(command, 2, 0, drain_s, {**os.environ, "NOTIFY_SOCKET": ""})


async def _until(condition: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.02)


async def _end(foreman: Foreman, said: list[Any], told: Sequence[str]) -> None:
    """Run them, tell them to stop, once more when a line has been said, and see that none is left."""
    status = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            status.append(await foreman.run())

        nursery.start_soon(run)
        for event in told:
            await _until(lambda event=event: any(line["event"] == event for line in said))
            os.kill(os.getpid(), signal.SIGTERM)
        await _until(lambda: status)
    assert status == [1]
    assert any(line["event"] == "processes are killed" for line in said)
    pids = [line["pid"] for line in said if line["event"] == "process started"]
    assert len(pids) == 2
    assert not any(map(_is_alive, pids))


async def test_processes_that_do_not_end_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_S", 0.3)
    with structlog.testing.capture_logs() as said:
        await _end(_foreman(DEAF), said, ["ready"])


async def test_told_twice_all_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be waited for until long after the test has given up."""
    monkeypatch.setattr(processes, "SAME_SIGNAL_S", 0.0)
    with structlog.testing.capture_logs() as said:
        await _end(_foreman(DEAF, drain_s=10 * PATIENCE_S), said, ["ready", "told to stop"])
    assert any(line["event"] == "stopping at once" for line in said)


async def test_a_cancelled_foreman_leaves_nobody_behind_and_noise_is_no_word() -> None:
    with structlog.testing.capture_logs() as said:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_foreman(NOISY).run)
            await _until(lambda: any(line["event"] == "ready" for line in said))
            nursery.cancel_scope.cancel()
    pids = [line["pid"] for line in said if line["event"] == "process started"]
    assert len(pids) == 2
    await _until(lambda: not any(map(_is_alive, pids)))


async def test_a_program_that_is_not_there_ends_it_with_the_reason() -> None:
    with structlog.testing.capture_logs() as said:
        foreman = Foreman(lambda number, descriptor: ["/nowhere/smshub"], 2, 0, 0.0, {})
        with trio.fail_after(PATIENCE_S):
            assert await foreman.run() == 1
    [line] = [line for line in said if line["event"] == "a process cannot be started"]
    assert "/nowhere/smshub" in line["error"]
