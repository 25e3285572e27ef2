"""PostgreSQL in ways to die, and in twos: kill -9 of all of it, and a replica that takes over."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg

from tests.fixtures_postgres import PORT, PostgresServer

GONE_S = 60.0


def _stat(process_id: int) -> list[str]:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_alive(process_id: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return bool(stat := _stat(process_id)) and stat[0] != "Z"


def kill_hard(server: PostgresServer) -> None:
    """End the postmaster and all that it started with SIGKILL: nobody has a last word."""
    postmaster = server.process_id
    mine = [
        number
        for path in Path("/proc").glob("[0-9]*")
        if (stat := _stat(number := int(path.name))) and stat[1] == str(postmaster)
    ]
    for process_id in (postmaster, *mine):
        try:
            os.kill(process_id, signal.SIGKILL)
        except ProcessLookupError:
            continue
    give_up_at = time.monotonic() + GONE_S
    while any(is_alive(process_id) for process_id in (postmaster, *mine)):
        assert time.monotonic() < give_up_at, "PostgreSQL survived SIGKILL"
        time.sleep(0.01)
    server.process_id = 0
    # Whoever should bury the dead may take his time, and a zombie's number still counts as a postmaster that lives.
    for lock in (server.folder / "data/postmaster.pid", server.folder / f".s.PGSQL.{PORT}.lock"):
        lock.unlink(missing_ok=True)


class Replica(PostgresServer):
    """A server that streams from another one, until it is promoted."""

    def __init__(self, programs: Path, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(programs)

    def _run(self, program: str, *arguments: str) -> None:
        if program == "initdb":  # a copy of the primary instead of a new cluster
            program = "pg_basebackup"
            where = ("-h", str(self._primary.folder), "-p", str(PORT), "-U", "postgres")
            arguments = (*where, "-D", f"{self.folder}/data", "-R", "-X", "stream", "--checkpoint=fast")
        super()._run(program, *arguments)

    def follow(self, *, synchronous: bool) -> None:
        """Start, and wait until it has all that the primary has; from then on the primary waits for it, or does not."""
        self.start()
        with psycopg.connect(self._primary.url(), autocommit=True) as connection:
            if synchronous:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                connection.execute("SELECT pg_reload_conf()")
            wanted = "sync" if synchronous else "async"
            give_up_at = time.monotonic() + GONE_S
            while True:
                row = connection.execute("SELECT state, sync_state FROM pg_stat_replication").fetchone()
                if row == ("streaming", wanted):
                    return
                assert time.monotonic() < give_up_at, f"the replica does not follow: {row}"
                time.sleep(0.05)

    def promote(self) -> None:
        """Let it take over."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "promote")

    def receiver(self) -> int:
        """The process that takes what the primary sends."""
        with psycopg.connect(self.url()) as connection:
            row = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
        assert row is not None
        return int(row[0])


def both(primary: PostgresServer, replica: PostgresServer, database: str) -> str:
    """The URL of a database that is on whichever of two takes writes."""
    hosts = f"host={primary.folder},{replica.folder}&port={PORT},{PORT}"
    return f"postgresql://postgres@/{database}?{hosts}&target_session_attrs=read-write"
