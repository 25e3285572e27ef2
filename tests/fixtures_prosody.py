"""A private Prosody: one for each worker, on loopback, with two component hosts and a few users.

It runs as Debian's own user when the tests run as root (Prosody refuses root), and as whoever runs them otherwise. A
machine without it, or without slixmpp in ``.venv-peers``, fails the tests that need them: skipping would look like
passing.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import listens, wait_or_kill

ROOT = Path(__file__).parent.parent
PEER = ROOT / "tests" / "peers" / "slixmpp_csr.py"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"

VHOST = "localhost"
COMPONENTS = ("sms.localhost", "other.localhost")
SECRET = "component-secret"
PASSWORD = "user-password"
START_S = 60.0
PEER_S = 60.0

CONFIG = """
daemonize = false
pidfile = "{home}/prosody.pid"
data_path = "{home}/data"
certificates = "{home}/certs"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
component_interfaces = {{ "127.0.0.1" }}
component_ports = {{ {component} }}
network_backend = "epoll"
http_ports = {{ }}
https_ports = {{ }}
s2s_ports = {{ }}
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "presence", "message", "iq"{offline} }}
modules_disabled = {{ "s2s", "tls"{no_offline} }}
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
component_stanza_size_limit = 524288
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{home}/prosody.log" }} }}
VirtualHost "{vhost}"
{components}
"""


class Prosody:
    """A running server.

    Attributes:
        c2s_port, component_port: where clients and components connect.
        home: its folder.
    """

    def __init__(self, home: Path, c2s_port: int, component_port: int, *, offline: bool) -> None:
        self.home, self.c2s_port, self.component_port = home, c2s_port, component_port
        self._config = home / "prosody.cfg.lua"
        self._process: subprocess.Popen[bytes] | None = None
        hosts = "\n".join(f'Component "{name}"\n  component_secret = "{SECRET}"' for name in COMPONENTS)
        self._config.write_text(
            CONFIG.format(
                home=home,
                c2s=c2s_port,
                component=component_port,
                vhost=VHOST,
                components=hosts,
                offline=', "offline"' if offline else "",
                no_offline="" if offline else ', "offline"',
            )
        )
        for folder in ("data", "certs"):
            (home / folder).mkdir(exist_ok=True)

    def add_user(self, name: str) -> None:
        """Register a user, whose password is ``PASSWORD``."""
        accounts = self.home / "data" / VHOST / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        (accounts / f"{name}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')

    def start(self) -> None:
        """Start it and wait until it listens."""
        _own(self.home)
        with (self.home / "stdout").open("wb") as stdout:
            self._process = subprocess.Popen(
                [_program(), "-F", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                # Not runuser: it sleeps two seconds when it is told to end.
                **_identity(),
            )
        until = time.monotonic() + START_S
        for port in (self.c2s_port, self.component_port):
            while not listens(port):
                if self._process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"Prosody did not start:\n{self.log()}", pytrace=False)
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        wait_or_kill(self._process, 10)
        self._process = None

    def log(self) -> str:
        """What it wrote."""
        texts = [
            path.read_text(errors="replace")
            for path in (self.home / "stdout", self.home / "prosody.log")
            if path.exists()
        ]
        return "\n".join(texts)[-4000:]


class Csr:
    """A CSR's client: slixmpp in a process of its own, told and telling in JSON (tests/peers/slixmpp_csr.py)."""

    def __init__(self, jid: str, port: int) -> None:
        self.jid = jid
        self._process = subprocess.Popen(
            [str(PEER_PYTHON), str(PEER), jid, PASSWORD, "127.0.0.1", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._events: queue.Queue[str] = queue.Queue()
        # A thread and not a wait on the pipe: what a test waits for may never come.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.expect("ready")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(line)
        self._events.put("")

    def tell(self, **order: Any) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def expect(self, event: str) -> dict[str, Any]:
        """Take events until one of this name; the others are dropped. It blocks: call it in a thread from trio."""
        while True:
            try:
                line = self._events.get(timeout=PEER_S)
            except queue.Empty:
                pytest.fail(f"{self.jid} waited {PEER_S:g} s for {event} in vain", pytrace=False)
            if not line:
                pytest.fail(f"slixmpp ended while {event} was waited for", pytrace=False)
            told = json.loads(line)
            if told["event"] == "failed":
                pytest.fail(f"slixmpp: {told}", pytrace=False)
            if told["event"] == event:
                return dict(told)

    def stop(self) -> None:
        """Log out."""
        with contextlib.suppress(OSError, ValueError):
            self.tell(do="quit")
        wait_or_kill(self._process, 10)
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _program() -> str:
    found = shutil.which("prosody", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin:/usr/local/bin")
    if found is None:
        pytest.fail("Prosody is not installed: ops/setup/setup system", pytrace=False)
    return found


def _identity() -> dict[str, Any]:
    """As whom it runs."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("prosody")
    except KeyError:
        pytest.fail("the tests run as root and there is no user prosody to run it as", pytrace=False)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _own(home: Path) -> None:
    identity = _identity()
    for path in (home, *home.rglob("*")) if identity else ():
        os.chown(path, identity["user"], identity["group"])


def _run(ports: Callable[[], int], *, offline: bool) -> Iterator[Prosody]:
    _program()
    _identity()
    # Not pytest's own folder: it is closed to other users, and Prosody is one.
    with tempfile.TemporaryDirectory(prefix="smshub-prosody-") as folder:
        server = Prosody(Path(folder), ports(), ports(), offline=offline)
        for name in ("director", "alice", "bob"):
            server.add_user(name)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def prosody(unused_tcp_port_factory: Callable[[], int]) -> Iterator[Prosody]:
    """A Prosody that returns texts for users who are not there."""
    yield from _run(unused_tcp_port_factory, offline=False)


@pytest.fixture
def mortal_prosody(unused_tcp_port_factory: Callable[[], int]) -> Iterator[Prosody]:
    """A Prosody of one test, which may stop and start it."""
    yield from _run(unused_tcp_port_factory, offline=False)


@pytest.fixture
def log_in() -> Iterator[Callable[[Prosody, str], Csr]]:
    """Logs users of a Prosody in with slixmpp; they are logged out at the end of the test."""
    if not PEER_PYTHON.exists():
        pytest.fail("slixmpp is not installed in .venv-peers: ops/setup/setup peers", pytrace=False)
    logged_in: list[Csr] = []

    def one(server: Prosody, name: str) -> Csr:
        logged_in.append(csr := Csr(f"{name}@{VHOST}/{sys.implementation.name}", server.c2s_port))
        return csr

    yield one
    for csr in logged_in:
        csr.stop()
