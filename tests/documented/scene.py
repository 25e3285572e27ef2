"""What the pages' commands are given at: a store with a conversation, a dead letter, a text that waits, and
somebody who texted STOP.

``template`` makes the folder once; each page has a copy of its own. The ids that pages show stand for what is there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from click.testing import CliRunner

from hub import Accepted, Outcome, Part, Receipt, ReceiptState, Result
from ops import schema
from ops.cli import main
from ops.cli_provision import apply_config
from ops.config import load_config
from ops.demo import free_port
from provisioning import load_directory
from store import open_store
from tests.documented.pages import DOCS, ROOT, Block, Command, Page, patterns_of, plain, read_page
from tests.fixtures_ejabberd import Ejabberd
from tests.fixtures_hub import World, fast_mock_clock, inbound, reply
from tests.fixtures_postgres import PORT as POSTGRES_PORT
from tests.fixtures_postgres import PostgresServer, find_programs
from tests.fixtures_prosody import PASSWORD, PEER_PYTHON, Prosody
from tests.servers import wait_or_kill

CONFIG = Path(__file__).parent / "smshub.toml"
DIRECTOR = DOCS / "howto/acd/director.md"
CUSTOMER, WHO_IS_OUT = "+12025550147", "+12025550143"
PATIENCE_S = 60.0
COMMAND_S = 150.0  # several steps, each of which may take its time on a busy machine
DEAD, THREAD = "382700674988638208", "382700674997026816"
"""The ids that pages show of a dead letter and a thread."""

PORTS = ("2775", "2776", "3550", "5222", "5300", "5347", "8080", "8443", "8444", "9464", "13000", "13001", "13013")
SECRETS = {
    "SMSHUB_ACME_PASSWORD": "secret",
    "REGISTRY_PASSWORD": "soap-password",
    "REGISTRY_TOKEN": "rest-token",
    "DIRECTOR_PASSWORD": PASSWORD,
}
"""The variables that pages read secrets from."""
_SHELL = re.compile(r"[|<>&;$`*\\]")  # what a shell has to read


class Scene(msgspec.Struct, frozen=True):
    """The folder and what is in it.

    Attributes:
        folder: with ``smshub.toml`` and ``smshub.db``.
        ids: what a page shows → what it is here.
    """

    folder: Path
    ids: dict[str, str]


class _Today(World):
    """A world of our time: what waits in it shall not have expired when a daemon finds it."""

    begin_us = 0

    def now_us(self) -> int:
        return self.begin_us + int(self.clock.current_time() * 1e6)


async def _furnish(folder: Path) -> dict[str, str]:
    config = load_config(folder / "smshub.toml")
    url = config.store_url({})
    await trio.to_thread.run_sync(schema.prepare, url)
    async with open_store(url, synchronous="OFF") as store:
        await apply_config(config, store, who="file smshub.toml")
        clock = trio.lowlevel.current_clock()
        world = _Today(store, clock, await store.read(load_directory))  # type: ignore[arg-type]
        world.begin_us = time.time_ns() // 1000 - 600_000_000 - int(trio.current_time() * 1e6)

        def carrier(part: Part) -> Outcome:
            if part.message.text.startswith("Refused"):
                return Outcome(part, Result.REFUSED, reason="ESME_RINVDSTADR")
            return Outcome(part, Result.ACCEPTED, f"c{part.message.id}", receipt_expected=True)

        link = world.add("link:acme", script=carrier, validity_us=86_400_000_000)
        world.add("desk:helpline")
        world.add("account:agg2")
        number = "+18005550100"
        async with world.running():
            arrived = await world.receive("link:acme", inbound("My router shows red.", CUSTOMER, number))
            assert isinstance(arrived[0], Accepted)
            token = arrived[0].token
            await world.receive("desk:helpline", reply("Please restart it.", CUSTOMER, token=token))
            await world.until(lambda: link.texts() == ["Please restart it."])
            await world.receive("desk:helpline", reply("Refused by the carrier", CUSTOMER, token=token))
            await world.until(lambda: len(link.texts()) == 2)
            text = link.given[0][1].message
            receipt = Receipt(message_id=f"c{text.id}", state=ReceiptState.DELIVERED, done_us=world.now_us())
            await world.receive("link:acme", msgspec.structs.replace(inbound("", CUSTOMER, number), receipt=receipt))
            await world.receive("link:acme", inbound("STOP", WHO_IS_OUT, number))
            await world.until(lambda: len(link.texts()) == 3 and not link.unanswered)
            link.window = 0
            await world.receive("desk:helpline", reply("Does it work now?", CUSTOMER, token=token))
            rows = await world.texts()
            dead = next(row for row in rows if row.reason == "ESME_RINVDSTADR")
            return {DEAD: str(dead.id), THREAD: str(dead.thread_id)}


def template(folder: Path) -> Scene:
    """Make the folder that pages have copies of."""
    shutil.copy(CONFIG, folder / "smshub.toml")
    ids = trio.run(_furnish, folder, clock=fast_mock_clock())
    return Scene(folder, ids)


class Walk:
    """Somebody who types what a page says, in a copy of the scene.

    Args:
        scene: what there is.
        folder: where to be; made.
        page: what it says.
        patch: for the environment of commands that need no process.
    """

    def __init__(self, scene: Scene, folder: Path, page: Page, patch: pytest.MonkeyPatch) -> None:
        shutil.copytree(scene.folder, folder)
        self.folder = folder
        self._renamed = dict(scene.ids) | {port: str(free_port()) for port in PORTS}
        self._patch = patch
        self._page = page
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        self._ends: list[Callable[[], None]] = []
        config = folder / "smshub.toml"
        text = config.read_text()
        if "empty" in page.scene:
            text = text[: text.index("\n[[")]
        if "empty" in page.scene or "bare" in page.scene:
            for file in folder.glob("smshub.db*"):
                file.unlink()
        if "bare" in page.scene:
            config.unlink()
        else:
            config.write_text(self.moved(text))
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SMSHUB")},
            "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
            "SMSHUB_CONFIG": config.name,
            **SECRETS,
        }

    def moved(self, text: str) -> str:
        """A page's words with what stands for them here."""
        return re.sub(r"\b\d{4,}\b", lambda found: self._renamed.get(found[0], found[0]), text)

    def obey(self, block: Block) -> None:
        """Do what a block says: keep its file, or give its commands."""
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.moved(block.text))
            return
        commands = block.commands
        for command in commands:
            if block.remark == "in the background":
                self._start(block, command)
                continue
            wanted = 0
            if block.remark.startswith("exits: ") and command is commands[-1]:
                wanted = int(block.remark.removeprefix("exits: "))
            typed = f"{block.remark.removeprefix('input: ')}\n" if block.remark.startswith("input: ") else ""
            status, output = self._give(self.moved(command.line), typed)
            assert status == wanted, f"{block}: $ {command.line}\nends with {status}:\n{output}\n{self.outputs()}"
            for pattern in patterns_of(self.moved(command.prints)):
                assert pattern.search(plain(output)), f"{block}: $ {command.line}\nshown: {pattern.pattern}\n{output}"

    def _give(self, line: str, typed: str) -> tuple[int, str]:
        """Give a command. Returns: its status, and what it printed."""
        if line.startswith("smshub ") and not _SHELL.search(line):
            return self._in_process(line, typed)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        return done.returncode, done.stdout + done.stderr

    def _in_process(self, line: str, typed: str) -> tuple[int, str]:
        """The same without a new interpreter: that takes most of the time of a command."""
        runner = CliRunner()
        with self._patch.context() as patch:
            patch.chdir(self.folder)
            for name in os.environ.keys() - self._environment.keys():
                patch.delenv(name)
            for name, value in self._environment.items():
                patch.setenv(name, value)
            result = runner.invoke(main, shlex.split(line)[1:], input=typed, prog_name="smshub")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(f"$ {line}\n{result.output}") from result.exception
        return result.exit_code, result.output

    def _start(self, block: Block, command: Command) -> None:
        """Start what goes on until the page ends, and see what it prints first."""
        line = self.moved(command.line)
        path = self.folder / f".output-{len(self._running)}"
        with path.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append((command.line, process, path))
        patterns = patterns_of(self.moved(command.prints))

        def seen() -> bool:
            assert process.poll() is None, f"{block}: $ {command.line}\nended with {process.poll()}\n{self.outputs()}"
            return all(pattern.search(plain(path.read_text(errors="replace"))) for pattern in patterns)

        self.until(seen, f"{block}: $ {command.line}")

    def start_postgres(self) -> None:
        """Run a PostgreSQL that libpq finds by the environment."""
        programs = find_programs()
        if programs is None:
            pytest.fail("PostgreSQL is missing: run 'ops/setup/setup system'", pytrace=False)
        server = PostgresServer(programs)
        self._ends.append(server.remove)
        server.start()
        self._environment |= {"PGHOST": str(server.folder), "PGPORT": str(POSTGRES_PORT), "PGUSER": "postgres"}

    def start_prosody(self) -> None:
        """Run a Prosody with a director, two CSRs and a component; slixmpp is in ``venv``."""
        home = tempfile.TemporaryDirectory(prefix="smshub-prosody-")  # not in pytest's: Prosody is another user
        self._ends.append(home.cleanup)
        server = Prosody(Path(home.name), int(self._renamed["5222"]), int(self._renamed["5347"]), offline=False)
        for name in ("director", "alice", "bob"):
            server.add_user(name)
        self._ends.append(server.stop)
        server.start()
        (self.folder / "venv").symlink_to(PEER_PYTHON.parent.parent)

    def start_ejabberd(self) -> None:
        """Run an ejabberd by the page's own configuration, with the same people; the director's program is there."""
        home = tempfile.TemporaryDirectory(prefix="smshub-ejabberd-")
        self._ends.append(home.cleanup)
        [shown] = [block for block in self._page.blocks if block.file == "ejabberd.yml"]
        (Path(home.name) / shown.file).write_text(self.moved(shown.text))
        ports = tuple(int(self._renamed[port]) for port in ("5222", "5347"))
        server = Ejabberd(Path(home.name), ports, "localhost", PASSWORD, ("director", "alice", "bob"))
        self._ends.append(server.stop)
        server.start()
        (self.folder / "venv").symlink_to(PEER_PYTHON.parent.parent)
        [director] = [block for block in read_page(DIRECTOR).blocks if block.file == "director.py"]
        (self.folder / director.file).write_text(self.moved(director.text))

    def start_daemon(self) -> None:
        """Run the hub until the page ends."""
        page = Block(ROOT / "README.md", 0, "console", "", "", "")
        self._start(page, Command("smshub run", ""))
        url = f"http://127.0.0.1:{self._renamed['9464']}/ready"

        def is_ready() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        self.until(is_ready, "the hub's readiness")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that a process does."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, f"in vain: {what}\n{self.outputs()}"
            time.sleep(0.05)  # a real process: nothing else tells

    def outputs(self) -> str:
        """What all that goes on in the background has said."""
        return "".join(f"--- {line}\n{path.read_text(errors='replace')}" for line, _, path in self._running)

    def close(self) -> None:
        """End what was started, the last first."""
        for _, process, _ in reversed(self._running):
            if process.poll() is None:
                process.terminate()  # all before any is waited for: some end when their peer does
        for _, process, _ in reversed(self._running):
            wait_or_kill(process, PATIENCE_S)
        for end in reversed(self._ends):
            end()


STARTED: dict[str, Callable[[Walk], None]] = {
    "daemon": Walk.start_daemon,
    "empty": lambda walk: None,
    "bare": lambda walk: None,
    "postgres": Walk.start_postgres,
    "prosody": Walk.start_prosody,
    "ejabberd": Walk.start_ejabberd,
}
"""What a page can ask for at its head: ``empty`` is a store where nothing is provisioned yet, ``bare`` a folder
without a configuration: the page shows its own."""


@contextmanager
def walking(scene: Scene, folder: Path, patch: pytest.MonkeyPatch, page: Page) -> Iterator[Walk]:
    """Somebody at a copy of the scene, with what the page needs beside it."""
    walk = Walk(scene, folder, page, patch)
    try:
        for name in page.scene:
            STARTED[name](walk)
        yield walk
    finally:
        walk.close()
