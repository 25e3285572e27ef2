"""The stores that load tools use: SQLite files, or databases of a private PostgreSQL, and what they take up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from loadtests.processes import TICKS, Place, ToolFailed, cpu_s_of
from tests.fixtures_postgres import PostgresServer, find_programs


class Stores:
    """Makes stores.

    Args:
        server: where they are databases; None for files.
    """

    def __init__(self, server: PostgresServer | None = None) -> None:
        self._server = server

    @property
    def is_server(self) -> bool:
        """Whether a process beside the hub does part of the work."""
        return self._server is not None

    def new_url(self) -> str:
        """A new database; empty for a file beside the hub."""
        return "" if self._server is None else self._server.new_database()

    def cpu_s(self) -> float:
        """Seconds of CPU of the server with all its processes since it started; 0 without one."""
        if self._server is None:
            return 0.0
        own = self._server.process_id
        while True:
            buried = _of_the_buried(own)
            found = cpu_s_of(own) + buried
            for path in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):  # it ended meanwhile
                    if int(_fields(path)[1]) == own:
                        found += cpu_s_of(int(path.parent.name))
            if _of_the_buried(own) == buried:  # else one may have been missed, or counted twice
                return found

    def octets(self, place: Place) -> int:
        """What the store of a hub takes up."""
        if self._server is None:
            return sum(path.stat().st_size for path in place.directory.glob("hub.db*"))
        with psycopg.connect(place.url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(row[0]) if row is not None else 0

    def version(self) -> str:
        """The server's, empty without one."""
        if self._server is None:
            return ""
        with psycopg.connect(self._server.url()) as connection:
            return str(connection.info.parameter_status("server_version"))


def _fields(stat: Path) -> list[str]:
    """What ``/proc/PID/stat`` says behind the name: state, parent, …"""
    return stat.read_text().rpartition(")")[2].split()


def _of_the_buried(process_id: int) -> float:
    """Seconds of CPU of a process's children that have ended."""
    return sum(map(int, _fields(Path(f"/proc/{process_id}/stat"))[13:15])) / TICKS


@contextlib.contextmanager
def open_stores(kind: str) -> Iterator[Stores]:
    """Stores of a kind, until the end of the body.

    Args:
        kind: ``"sqlite"`` or ``"postgresql"``.

    Raises: ToolFailed: PostgreSQL is not installed.
    """
    if kind == "sqlite":
        yield Stores()
        return
    programs = find_programs()
    if programs is None:
        raise ToolFailed("PostgreSQL is missing: install its server (Debian: apt-get install postgresql)")
    server = PostgresServer(programs)
    try:
        server.start()
        yield Stores(server)
    finally:
        server.remove()
