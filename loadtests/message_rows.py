"""What the life of a message costs PostgreSQL: the measurements behind docs/discussion/store-batching.md.

Run ``python -m loadtests.message_rows --postgresql URL`` (an empty database on this machine; its table ``message`` is
dropped). Each way writes the same messages in groups as the store's writer does: inserted, claimed by the next
transaction, moved to their end two groups later. A way is what the store did once, or what was tried.

"Server" is the CPU of the one backend that serves us, read from ``/proc``; what it leaves to the background writer and
the checkpointer is not in it. "Client" is this thread's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy

from hub import journal
from hub.model import Kind, Message, State
from hub.tables import message
from store import Op, Row
from store.postgresql import PostgresqlBackend, _write_text
from store.store import backend_for

NOW_US = 1_700_000_000_000_000
DAY_US = 86_400_000_000
LAG = 2  # groups between a claim and its end
BY_STATE = {
    "ix_message_pending": ("endpoint, kind, id", "state < 2"),
    "ix_message_due": ("endpoint, next_us, id", "state = 0 AND attempts = 0 AND next_us > 0"),
    "ix_message_expiry": ("expires_us, id", "state < 2"),
    "ix_message_lane": ("destination, id", "state < 2"),
    "ix_message_dead": ("id", "state = 5"),
}
STEPS = ("insert", "claim", "move")


class Way(msgspec.Struct, frozen=True):
    """One way.

    Attributes:
        name: what it is called.
        fill_percent: how full pages are made.
        by_state: the conditions of the indexes name the state.
        by_copy: rows are added by COPY.
    """

    name: str
    fill_percent: int
    by_state: bool = False
    by_copy: bool = True


WAYS = (
    Way("JSON, indexes by state, full pages", 100, by_state=True, by_copy=False),
    Way("COPY", 100, by_state=True),
    Way("COPY, indexes by done_us", 100),
    *(Way(f"COPY, indexes by done_us, {percent} %", percent) for percent in (80, 60, 50, 40)),
)


def a_message(at: int) -> Message:
    addresses = {"source": "+12125550100", "destination": f"+1{2_000_000_000 + at}"}
    times = {"received_us": NOW_US + at, "expires_us": NOW_US + at + DAY_US}
    ways = {"origin": "account:load", "endpoint": "link:carrier", "upstream_id": f"{at:08x}"}
    return Message(id=at << 22, kind=Kind.TEXT, text="x" * 100, **addresses, **times, **ways)


class Life:
    """One way, tried.

    Args:
        backend: the database.
        way: the way.
        group: messages in a transaction.
    """

    def __init__(self, backend: PostgresqlBackend, way: Way, group: int) -> None:
        self._backend = backend
        self._way = way
        self._group = group
        self._connection = backend.connect(read_only=False)
        self._raw: Any = self._connection.connection.dbapi_connection
        self._spent = {step: [0.0, 0.0] for step in STEPS}

    def run(self, count: int) -> str:
        """Write so many messages. Returns: a line of the table."""
        self._make_table()
        before = self._one("SELECT pg_current_wal_insert_lsn()")
        ends: list[list[Row]] = []
        for first in range(1, count, self._group):
            made = [a_message(at) for at in range(first, first + self._group)]
            rows = [journal.row_of(each, State.QUEUED) for each in made]
            self._step("insert", lambda rows=rows: self._insert(rows))
            self._step("claim", lambda made=made: self._write(journal.claim([(each.id, 0) for each in made])))
            ends.append([(each.id, State.DELIVERED.value, 1, 0, 0, 0, NOW_US, "") for each in made])
            if len(ends) > LAG:
                ended = Op(journal.move_message, ends.pop(0))
                self._step("move", lambda ended=ended: self._write(ended))
        wal = self._one("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before)
        octets = self._one("SELECT pg_table_size('message') + pg_indexes_size('message')")
        self._connection.close()
        server, client = (sum(each[at] for each in self._spent.values()) for at in (0, 1))
        steps = "  ".join(f"{name} {took[0] / count * 1e6:5.2f}" for name, took in self._spent.items())
        return (
            f"{self._way.name:38} {steps}  server {server / count * 1e6:6.2f}  client {client / count * 1e6:5.2f} µs"
            f"  WAL {wal / count:6.0f}  store {octets / count:6.0f} octets a message"
        )

    def _make_table(self) -> None:
        with self._connection.begin():
            message.drop(self._connection, checkfirst=True)
            message.create(self._connection)
            run = self._connection.exec_driver_sql
            run(f"ALTER TABLE message SET (fillfactor = {self._way.fill_percent:d}, autovacuum_enabled = off)")
            for name, (columns, condition) in BY_STATE.items() if self._way.by_state else ():
                run(f"DROP INDEX {name}")
                run(f"CREATE INDEX {name} ON message ({columns}) WHERE {condition}")

    def _insert(self, rows: list[Row]) -> None:
        if self._way.by_copy:
            self._write(Op(journal.insert_message, rows))
        else:
            parameter = msgspec.json.encode(rows).decode()
            self._raw.execute(_write_text(journal.insert_message), (parameter,), prepare=True)

    def _write(self, op: Op) -> None:
        self._backend.write(self._raw, op.statement, op.rows)

    def _step(self, name: str, work: Callable[[], None]) -> None:
        server, client = self._server_s(), time.thread_time()
        with self._connection.begin():
            work()
        spent = self._spent[name]
        spent[0] += self._server_s() - server
        spent[1] += time.thread_time() - client

    def _server_s(self) -> float:
        return int(Path(f"/proc/{self._raw.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9

    def _one(self, query: str, *values: Any) -> Any:
        with self._connection.begin():
            return self._raw.execute(query, values).fetchone()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgresql", metavar="URL", required=True, help="an empty database on this machine")
    parser.add_argument("--count", type=int, default=24_000, help="messages of one way")
    parser.add_argument("--group", type=int, default=400, help="messages in a transaction")
    parser.add_argument("--runs", type=int, default=3, help="how often all ways are tried")
    arguments = parser.parse_args()
    backend = backend_for(arguments.postgresql)
    if not isinstance(backend, PostgresqlBackend):
        parser.error("this is about PostgreSQL")
    for _ in range(arguments.runs):
        for way in WAYS:
            print(Life(backend, way, arguments.group).run(arguments.count), flush=True)
    with backend.connect(read_only=False) as connection, connection.begin():
        connection.execute(sqlalchemy.schema.DropTable(message, if_exists=True))
    backend.dispose()


if __name__ == "__main__":
    main()
