"""Walks docs/tutorial/first-text.md: every file, command and output of the page, in its order, on real servers.

What is not done as it is written: set-up (the tests' own has been done), `pip install` (`.venv-peers` has smpplib
already), the XMPP client (slixmpp for profanity), and ports, which are replaced by free ones.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import fixtures_prosody
from tests.documented.pages import patterns_of, plain
from tests.fixtures_prosody import PEER_PYTHON, ROOT, Csr
from tests.servers import listens

PAGE = ROOT / "docs/tutorial/first-text.md"
FILES = ROOT / "docs/tutorial/first-text"
README = ROOT / "README.md"
PORTS = ("5222", "5347", "2775", "9464")
PATIENCE_S = 60.0

_BLOCK = re.compile(r"(?:^`(\w+\.[\w.]+)`[^`]*?:\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LONG = ("prosody -F", "smshub run", "esme/bin/python esme.py")
_DONE_ALREADY = ("ops/setup/setup run", "export PATH=$PWD/.venv/bin:$PATH")


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """The fenced blocks of a page: the file they show, or empty; their language; their text."""
    return [(name, language, text) for name, language, text in _BLOCK.findall(path.read_text())]


class Client(Csr):
    """A CSR's client that forgets nothing: what comes before it is asked for is kept."""

    def __init__(self, jid: str, port: int, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kept: list[dict[str, Any]] = []
        monkeypatch.setattr(fixtures_prosody, "PASSWORD", password)
        super().__init__(jid, port)

    def expect(self, event: str) -> dict[str, Any]:
        """Wait for an event of this name."""
        until = time.monotonic() + PATIENCE_S
        while True:
            found = next((told for told in self._kept if told["event"] == event), None)
            if found is not None:
                self._kept.remove(found)
                return found
            try:
                line = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{self.jid} waited {PATIENCE_S:g} s for {event} in vain; it had {self._kept}")
            if not line:
                pytest.fail(f"{self.jid}: the client ended while {event} was waited for")
            self._kept.append(json.loads(line))


class Walk:
    """Somebody who does what the page says."""

    def __init__(self, home: Path, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = home
        self._ports = ports
        self._monkeypatch = monkeypatch
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        self._output: str | None = None  # of the last command that came to its end
        self._environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
        self._environment.pop("SMSHUB_CONFIG", None)
        self.clients: dict[str, Client] = {}
        self.first: dict[str, Any] = {}

    def moved(self, text: str) -> str:
        """A text of the page with our ports for the page's."""
        return re.sub(r"\b\d{4}\b", lambda found: str(self._ports.get(found[0], found[0])), text)

    def obey(self, line: str) -> None:
        """Give a command."""
        line = self.moved(line)
        words = shlex.split(line)
        if line in _DONE_ALREADY:
            return
        if words[0] == "cd":
            self._here /= words[1]
            for file in self._here.iterdir():
                file.write_text(self.moved(file.read_text()))
        elif line == "python3 -m venv esme":
            (self._here / "esme").symlink_to(PEER_PYTHON.parent.parent)
        elif line == "esme/bin/pip install smpplib":
            assert (PEER_PYTHON.parent / "pip").exists()
        elif line.startswith(_LONG):
            self._start(line, words)
        else:
            done = subprocess.run(
                words,
                cwd=self._here,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=60,
                **self._as(words),
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            self._output = done.stdout

    def _start(self, line: str, words: list[str]) -> None:
        for name, process, _ in self._running:
            if name == words[0] == "esme/bin/python":  # the page says: end it with Ctrl-C
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE_S)
        if words[0] == "esme/bin/python":
            self._until_open(self._ports["2775"])
        path = self._here / f"output-{len(self._running)}"
        with path.open("wb") as output:
            process = subprocess.Popen(
                words,
                cwd=self._here,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self._as(words),
            )
        self._running.append((words[0], process, path))
        self._output = None
        if words[0] == "prosody":
            self._until_open(self._ports["5222"])
            self._until_open(self._ports["5347"])

    def _as(self, words: list[str]) -> dict[str, Any]:
        """As whom a command runs: Prosody does not run as root."""
        if not words[0].startswith("prosody"):
            return {}
        fixtures_prosody._own(self._here)
        return fixtures_prosody._identity()

    def _until_open(self, port: int) -> None:
        self._until(lambda: listens(port), f"port {port}")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, f"in vain: {what}\n{self.outputs()}"
            time.sleep(0.05)  # a real process: nothing else tells

    def outputs(self) -> str:
        """What all that was started has said."""
        return "".join(f"--- {name}\n{path.read_text(errors='replace')}" for name, _, path in self._running)

    def compare(self, shown: str) -> None:
        """See the lines that the page shows: of the last command, or of what runs, which says them when it can."""
        patterns = patterns_of(self.moved(shown))
        if self._output is not None:
            assert all(p.search(plain(self._output or "")) for p in patterns), f"shown:\n{shown}it is:\n{self._output}"
        else:
            self._until(lambda: all(p.search(plain(self.outputs())) for p in patterns), shown)

    def log_in(self, name: str) -> Client:
        """Log somebody in."""
        client = Client(f"{name}@localhost", self._ports["5222"], f"{name}-password", self._monkeypatch)
        self.clients[name] = client
        self._output = None
        return client

    def converse(self, xml: str, prose: str) -> None:
        """Do what the page does with a stanza: see it and answer it, or send it."""
        if xml.startswith("<message"):
            self.first = self.clients["director"].expect("message")
            assert self.first["body"] == re.findall(r"<body>(.*)</body>", xml)[0]
            shown = re.findall(r"^  <([\w-]+)", xml, re.MULTILINE)
            seen = [tag.partition("}")[2] for tag in self.first["elements"]]
            assert [tag for tag in seen if tag != "delay"] == shown  # on a slow machine the text may come late
            assert (self.first["news"], self.first["thread"]) == ("new", self.first["token"])
            answer = " ".join(re.findall(r"Answer, in the same window: \*(.*?)\*", prose, re.DOTALL)[0].split())
            self.clients["director"].tell(do="say", to=self.first["sender"], id="a1", body=answer, request=True)
            assert self.clients["director"].expect("receipt")["id"] == "a1"
            return
        self.log_in("alice")
        self.clients["director"].tell(do="raw", xml=xml.replace("TOKEN", self.first["token"]))
        self._until(lambda: self.clients["director"].expect("iq")["id"] == "t1", "the answer to the command")

    def end(self) -> None:
        """Ctrl-C everywhere."""
        for client in self.clients.values():
            client.stop()
        for _, process, _ in reversed(self._running):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def walking(ports: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    # Not pytest's own folder: it is closed to other users, and Prosody is one.
    with tempfile.TemporaryDirectory(prefix="smshub-tutorial-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        (home / "docs").symlink_to(ROOT / "docs")
        walk = Walk(home, {port: ports() for port in PORTS}, monkeypatch)
        try:
            yield walk
        finally:
            walk.end()


@pytest.mark.slow
def test_the_first_text_is_as_the_page_says(
    unused_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    prose = PAGE.read_text()
    with walking(unused_tcp_port_factory, monkeypatch) as walk:
        for name, language, text in blocks(PAGE):
            if name:
                assert text == (FILES / name).read_text(), f"the page shows another {name}"
            elif language == "sh":
                for line in text.splitlines():
                    walk.obey(line)
            elif language == "text":
                walk.compare(text)
            elif language == "xml":
                walk.converse(text, prose)
            else:
                assert text == "profanity\n/connect director@localhost server 127.0.0.1 port 5222 tls disable\n"
                walk.log_in("director")
        second = walk.clients["alice"].expect("message")
        assert (second["body"], second["token"]) == ("It went out by itself", walk.first["token"])
        walk.compare("receipt from 18005550100: … stat:DELIVRD err:000 text:It went out by itsel\n")


def test_the_readme_takes_the_same_way() -> None:
    """The short form names no command that the page, which is walked, does not have."""
    walked = {line for _, language, text in blocks(PAGE) if language == "sh" for line in text.splitlines()}
    short = [line for _, language, text in blocks(README) if language == "sh" for line in text.splitlines()]
    assert len(short) > 5
    assert [line for line in short if line.partition(" # ")[0].rstrip() not in walked] == []


def test_the_configuration_is_short() -> None:
    assert len((FILES / "smshub.toml").read_text().splitlines()) <= 40
