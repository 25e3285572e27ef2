"""A private PostgreSQL: its own directory, socket and port, durable as in the field (fsync stays on).

It listens on a Unix socket only. As root it runs as user ``postgres``, because PostgreSQL refuses root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

START_WAIT_S = 60
STOP_WAIT_S = 60
# Waits for the end of the process that holds the other end of its stdin, however it ends; then removes the server.
WATCH = """
import os, pathlib, shutil, signal, sys, time
folder = pathlib.Path(sys.argv[1])
sys.stdin.buffer.read()
try:
    process_id = int((folder / "data/postmaster.pid").read_text().split()[0])
    os.kill(process_id, signal.SIGINT)
    for _ in range(300):
        os.kill(process_id, 0)
        time.sleep(0.1)
except (OSError, ValueError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""
PORT = 5999  # names the socket's file; nothing listens on TCP


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; Debian keeps them out of PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


class PostgresServer:
    """One server in a folder of its own.

    Attributes:
        folder: where all of it lives.
        process_id: the server's, or 0 when it does not run.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.process_id = 0
        # The path of a Unix socket has about a hundred characters: a folder deep inside pytest's own would not do.
        self.folder = Path(tempfile.mkdtemp(prefix="smshub-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        # pytest may be killed, or end itself when a test hangs: no fixture is taken down then.
        self._watcher = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._run("initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: str) -> None:
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_postgres, str(self._programs / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            log = self.folder / "log"
            pytest.fail(
                f"{program} failed: {done.stdout.decode()}{log.read_text() if log.exists() else ''}", pytrace=False
            )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-k {self.folder} -p {PORT} -c listen_addresses='' -c max_connections=50"
        log = f"{self.folder}/log"
        data = f"{self.folder}/data"
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-t", str(START_WAIT_S), "start")
        self.process_id = int((self.folder / "data/postmaster.pid").read_text().split("\n", 1)[0])

    def stop(self) -> None:
        """End it in order, at once: sessions are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would. SIGQUIT ends the postmaster's children too, without a checkpoint."""
        self._end(signal.SIGQUIT)

    def _end(self, number: int) -> None:
        if not self.process_id:
            return
        os.kill(self.process_id, number)
        give_up_at = time.monotonic() + STOP_WAIT_S
        while self._is_alive():
            if time.monotonic() > give_up_at:
                os.kill(self.process_id, signal.SIGKILL)
                break
            time.sleep(0.02)
        self.process_id = 0

    def _is_alive(self) -> bool:
        try:
            # A zombie whose parent has not looked yet is dead for our purpose.
            return " Z " not in Path(f"/proc/{self.process_id}/stat").read_text()
        except OSError:
            return False

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        self._watcher.communicate()

    def url(self, database: str = "postgres") -> str:
        """Where ``store.open_store`` finds a database."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={PORT}"

    def new_database(self, how: LiteralString = "") -> str:
        """Create an empty database. Returns its URL.

        Args:
            how: SQL that follows its name, for example its collation.
        """
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" {how}')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database that ``new_database`` made, and cut who is still in it."""
        name = url.partition("@/")[2].partition("?")[0]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_factory() -> Iterator[Callable[[], PostgresServer]]:
    """Starts servers for tests that break them; all end with the session."""
    programs = find_programs()
    if programs is None:
        pytest.fail("PostgreSQL is missing: install its server (Debian: apt-get install postgresql)", pytrace=False)
    servers: list[PostgresServer] = []

    def start() -> PostgresServer:
        server = PostgresServer(programs)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server(postgres_factory: Callable[[], PostgresServer]) -> PostgresServer:
    """The server that tests share. Do not stop it: take one from ``postgres_factory`` for that."""
    return postgres_factory()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)
