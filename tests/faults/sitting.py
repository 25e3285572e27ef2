"""From a signed letter to a number that texts, in one sitting, with a hub that is killed in between.

An operator provisions a block, has a letter drawn, files it signed, and publishes the block in four directories: BIND
by ENUM, a registry by SOAP, the same kind by REST, a folder where another reads files. All are processes of their own
(the folder's reader a thread), and what they have in the end is asked of them, not of the hub.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import msgspec

from ops.demo import free_port
from tests.fixtures_bind import SECRETS, ZONE, NameServer, make_bind
from tests.integration.provisioning.file_registry import FileRegistry

SMSHUB = Path(__file__).parents[2] / ".venv/bin/smshub"
FIRST = 16175550000
DIRECTORIES = ("dns", "folder", "rest", "soap")
PATIENCE_S = 120.0
ASKED_OF_DNS = 500  # numbers

CONFIGURATION = """
[store]
url = "{url}"

[smpp]
port = 0

[metrics]
port = 0

[[call_centre]]
name = "helpline"
title = "Helpline of Example Ltd"
element = "SPID:6006"

[[directory]]
name = "dns"
adapter = "enum"
server = "127.0.0.1"
port = {dns_port}
zone = "{zone}"
tsig_name = "hub-key"
tsig_secret = "{tsig_secret}"
gateway = "sms.example.net"
{more}

[[directory]]
name = "soap"
adapter = "soap"
url = "http://127.0.0.1:{registry_port}/soap"
username = "hub"
password = "soap-password"
{more}

[[directory]]
name = "rest"
adapter = "rest"
url = "http://127.0.0.1:{rest_port}/v1"
password = "rest-token"
{more}

[[directory]]
name = "folder"
adapter = "file"
drop_directory = "{folder}"
{more}
"""
QUICK = "retry_first_s = 0.2\nretry_longest_s = 2"


class Figures(msgspec.Struct):
    """What a sitting took.

    Attributes:
        numbers, kills: how many.
        seconds: by step.
        progress: lines of progress that were printed while it was published.
        peak_kib: the hub's memory at its highest, over all its lives.
        told_twice: keys that the folder's registry was told more than once, which it counts as once.
    """

    numbers: int
    kills: int = 0
    seconds: dict[str, float] = {}
    progress: list[str] = []
    peak_kib: int = 0
    told_twice: int = 0


def _until(condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    until = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.05)  # real processes: nothing else tells
    return found


class Sitting:
    """One of them, in a folder of its own.

    Args:
        home: the folder.
        numbers: how many the block has.
        url: the store's.
    """

    def __init__(self, home: Path, numbers: int, url: str = "") -> None:
        self.home, self.figures = home, Figures(numbers)
        self.last = FIRST + numbers - 1
        self.block = f"+{FIRST}-+{self.last}"
        self._url = url or f"sqlite:///{home / 'smshub.db'}"
        self._hub: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SMSHUB")},
            "SMSHUB_CONFIG": str(home / "smshub.toml"),
            "REGISTRY_PASSWORD": "soap-password",
            "REGISTRY_TOKEN": "rest-token",
        }
        self.bind: NameServer
        self.folder: FileRegistry
        self._states: dict[str, Path] = {}

    # --- what is around the hub --------------------------------------------------------------------------------------

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """The four directories, for as long as the body lasts; the hub ends with them."""
        with ExitStack() as stack:
            (self.home / "bind").mkdir()
            self.bind = make_bind(self.home / "bind", free_port())
            self.bind.start()
            stack.callback(self.bind.stop)
            ports = {name: stack.enter_context(self._registry(name)) for name in ("soap", "rest")}
            drop = self.home / "drop"
            drop.mkdir()
            self.folder = FileRegistry(drop)
            stack.enter_context(self._reading(self.folder))
            text = CONFIGURATION.format(
                url=self._url,
                dns_port=self.bind.port,
                zone=ZONE,
                tsig_secret=SECRETS["hub-key"],
                registry_port=ports["soap"],
                rest_port=ports["rest"],
                folder=drop,
                more=QUICK,
            )
            (self.home / "smshub.toml").write_text(text)
            stack.callback(self.stop)
            yield

    @contextmanager
    def _registry(self, name: str) -> Iterator[int]:
        port, state = free_port(), self.home / f"{name}.jsonl"
        self._states[name] = state
        words = ["simulate", "registry", "--port", str(port), "--user", "hub:acme", "--state", str(state)]
        words += ["--password-env", "REGISTRY_PASSWORD", "--token-env", "REGISTRY_TOKEN"]
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [SMSHUB, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=self._environment,
            )
        try:

            def listens() -> bool:
                assert process.poll() is None, (self.home / f"{name}.log").read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    return False
                return True

            _until(listens, f"registry {name}")
            yield port
        finally:
            process.terminate()
            process.wait(30)

    @contextmanager
    def _reading(self, registry: FileRegistry) -> Iterator[None]:
        ended = threading.Event()

        def read() -> None:
            while not ended.wait(0.1):
                registry.process()

        reader = threading.Thread(target=read, name="file registry")
        reader.start()
        try:
            yield
        finally:
            ended.set()
            reader.join()

    # --- the hub -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the hub, and wait until it has read its file."""
        path = self.home / "smshub.log"
        with path.open("ab") as log:
            before = log.tell()
            self._hub = subprocess.Popen(
                [SMSHUB, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home, env=self._environment
            )

        def has_read_it() -> bool:
            said = path.read_bytes()[before:]
            assert self._hub is not None
            assert self._hub.poll() is None, said.decode()[-4000:]
            return b"file applied" in said

        _until(has_read_it, "the hub's word that it has read its file")

    def kill(self) -> None:
        """End the hub at once, wherever it is."""
        assert self._hub is not None
        assert self._hub.poll() is None, (self.home / "smshub.log").read_text()[-4000:]
        self._note_peak()
        self._hub.send_signal(signal.SIGKILL)
        self._hub.wait()
        self._hub = None
        self.figures.kills += 1

    def stop(self) -> None:
        """End the hub in order."""
        if self._hub is not None:
            self._note_peak()
            self._hub.terminate()
            self._hub.wait(60)
            self._hub = None

    def _note_peak(self) -> None:
        try:
            status = Path(f"/proc/{self._hub.pid}/status").read_text() if self._hub is not None else ""
        except OSError:
            return
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        if found:
            self.figures.peak_kib = max(self.figures.peak_kib, int(found[1]))

    def give(self, *words: str, status: int = 0) -> str:
        """Give a command. Returns: what it printed."""
        done = subprocess.run(
            [SMSHUB, *words], cwd=self.home, env=self._environment, capture_output=True, text=True, timeout=600
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, f"smshub {' '.join(words)} ended with {done.returncode}:\n{output}"
        return output

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Take the time of a step."""
        begin = time.monotonic()
        yield
        self.figures.seconds[step] = round(time.monotonic() - begin, 2)

    # --- the steps ---------------------------------------------------------------------------------------------------

    def provision(self) -> None:
        """The block, which may not be published yet; the letter, drawn, signed and filed."""
        with self.timed("block"):
            self.give("provision", "block", "add", f"+{FIRST}", f"+{self.last}", "--call-centre", "helpline")
        refused = self.give("provision", "publish", "--call-centre", "helpline", status=2)
        assert self.block in refused, refused
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        letter = ["--call-centre", "helpline", "--numbers", self.block, "--owner", "Example Ltd"]
        letter += ["--designee", "Example Messaging LLC", "--contact", "Pat Example", "--valid-from", today]
        with self.timed("letter drawn"):
            self.give("provision", "loa", "draft", "letter-1", *letter, "--output", "letter.pdf")
        refused = self.give("provision", "publish", "--call-centre", "helpline", status=2)
        assert self.block in refused, "nobody has signed it"
        with self.timed("letter filed"):
            signed = ["--document", "letter.pdf", "--signed-by", "Pat Example", "--signed-on", today]
            self.give("provision", "loa", "add", "letter-1", *signed)

    def publish(self, kills: int, seed: int) -> None:
        """Publish, with the hub killed so many times at moments drawn by lot."""
        dice = random.Random(seed)
        with self.timed("published"):
            with (self.home / "progress.txt").open("wb") as output:
                command = subprocess.Popen(
                    [SMSHUB, "provision", "publish", "--call-centre", "helpline", "--wait"],
                    cwd=self.home,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            try:
                for _ in range(kills):
                    time.sleep(dice.uniform(0.3, 3.0))  # a moment that nobody chose
                    if command.poll() is not None:
                        break
                    self.kill()
                    self.start()
                status = command.wait(600)
            finally:
                if command.poll() is None:
                    command.kill()
                    command.wait()
        self.figures.progress = (self.home / "progress.txt").read_text().splitlines()
        assert status == 0, self.figures.progress

    def withdraw(self) -> None:
        """Take all of it out again."""
        with self.timed("withdrawn"):
            self.give("provision", "withdraw", "--call-centre", "helpline", "--wait")

    # --- what the others have ----------------------------------------------------------------------------------------

    def counts(self) -> dict[tuple[str, str], int]:
        """What the hub says: (directory, state) → numbers."""
        rows = json.loads(self.give("provision", "status", "--json"))
        return {(row["directory"], str(row["state"])): row["count"] for row in rows}

    def check_directories(self, *, there: bool) -> None:
        """Ask each directory itself whether it has every number, or none."""
        numbers = [f"+{number}" for number in range(FIRST, self.last + 1)]
        wanted = set(numbers) if there else set()
        assert set(self.folder.listed) == wanted
        self.figures.told_twice = sum(1 for times in self.folder.told.values() if times > 1)
        for name, state in self._states.items():
            assert _listed(state) == wanted, name
        step = max(1, len(numbers) // ASKED_OF_DNS)
        for number in numbers[::step]:
            assert bool(self._naptr(number)) is there, number

    def _naptr(self, number: str) -> list[str]:
        name = dns.name.from_text(".".join(reversed(number[1:])) + f".{ZONE}")
        query = dns.message.make_query(name, dns.rdatatype.NAPTR)
        answer = dns.query.tcp(query, "127.0.0.1", port=self.bind.port, timeout=30)
        return [record.to_text() for rrset in answer.answer for record in rrset]


def _listed(state: Path) -> set[str]:
    """The numbers that a registry's file says are listed."""
    standing: dict[str, Any] = {}
    for line in state.read_bytes().splitlines():
        standing |= json.loads(line)
    return {number for number, entry in standing.items() if entry["holding"] is not None}
