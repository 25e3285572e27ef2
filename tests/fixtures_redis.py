"""A private Redis: its own directory and Unix socket, no port; and Sentinels, which need one.

A server writes nothing to disk unless a test says so: what it held is gone with it, as after a crash in the field.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from tests.servers import wait_or_kill

START_S = 60.0
STOP_S = 20.0


def find_redis() -> str | None:
    """The program, or None."""
    return shutil.which("redis-server")


class RedisServer:
    """One server.

    Attributes:
        folder: where all of it lives.
        socket: its Unix socket.
    """

    def __init__(self, *options: str) -> None:
        program = find_redis()
        if program is None:
            pytest.fail("redis-server is missing: run 'ops/setup/setup system'", pytrace=False)
        # The path of a Unix socket has about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="smshub-redis-"))
        self.socket = self.folder / "socket"
        self._command = [program, "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        self._command += ["--save", "", "--appendonly", "no", "--logfile", str(self.folder / "log"), *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As ``[redis] url`` has it."""
        return f"unix://{self.socket}"

    def client(self, **options: object) -> redis.Redis:
        """Somebody else's client. Closed by whoever asks for it."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2, decode_responses=True, **options)  # type: ignore[arg-type]

    def start(self, password: str | None = None) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while True:
            with suppress(redis.ConnectionError, OSError), self.client(password=password) as client:
                client.ping()
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it go on to hold its connections, and do nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            wait_or_kill(process, STOP_S)
        self.socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """End it and delete its folder."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_sentinel(folder: Path, port: int, master: int, replica: int) -> Iterator[None]:
    """A Sentinel that watches a server, by the name of ``hub``, and knows its replica.

    Args:
        folder: for its file, which it rewrites.
        port, master, replica: ports of 127.0.0.1.
    """
    file = folder / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor hub 127.0.0.1 {master} 1\n"
        f"sentinel known-replica hub 127.0.0.1 {replica}\n"
        "sentinel down-after-milliseconds hub 200\nsentinel failover-timeout hub 3000\n"
    )
    program = find_redis()
    assert program is not None
    process = subprocess.Popen([program, str(file), "--sentinel"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        wait_or_kill(process, STOP_S)


@pytest.fixture
def redis_factory() -> Iterator[Callable[..., RedisServer]]:
    """Makes servers, not started yet; all end with the test. Arguments: the server's own options."""
    servers: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        server = RedisServer(*options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def redis_server(redis_factory: Callable[..., RedisServer]) -> RedisServer:
    """One that runs."""
    server = redis_factory()
    server.start()
    return server
