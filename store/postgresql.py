"""PostgreSQL, for hubs of several nodes: psycopg 3, in worker threads.

Why the statements look as they do: what costs this process most is turning values into the driver's parameters, one by
one. msgspec encodes a row as JSON in a fraction of a microsecond, so JSON is what travels:

- as one parameter with all rows of a write, which the server takes apart;
- new rows by COPY, the server's shortest way in. A JSON array without its brackets is a line of CSV: its strings are in
  double quotes, in which a backslash stands before a quote and before itself. Only escapes of control characters mean
  something else there: rows that hold any go by the parameter.

COPY's binary form would be as quick, but psycopg cuts an integer that is too large for its column, in silence: 70,000
became 4,464. Figures: docs/discussion/store-batching.md.
"""

# ruff: noqa: S608 - statements are made of declarations in the source, never of input

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
import sqlalchemy
from psycopg import pq
from sqlalchemy.dialects import postgresql as postgresql_dialect

from store.backend import driver_error
from store.batching import runs
from store.errors import StoreConflict, StoreContended, StoreError, StoreFull, StoreRefused, StoreUnavailable
from store.statements import Delete, Insert, Row, SelectByKeys, Statement, Update, Upsert

LONGEST_REASON = 200  # characters
LARGEST_PIECE = 2048  # rows in one parameter: a few MiB at most, far below what JSON may hold
PREPARED_STATEMENTS = 1000
CONNECT_WAIT_S = 5
# A peer that has gone without a word is found out in this time, milliseconds. Everything waits for the writer.
DEAD_PEER_MS = 15_000

_FULL = ("53100",)  # disk_full
_AGAIN = ("40001", "40P01")  # serialization_failure, deadlock_detected
_UNAVAILABLE_CLASSES = ("08", "57", "53", "58")  # connection, operator intervention, resources, system errors
_READ_ONLY = "25006"  # a standby that has not been promoted
_STOOD_STILL = "25P03"  # idle_in_transaction_session_timeout: this process was frozen, and its connection was ended

_dialect = postgresql_dialect.dialect()  # type: ignore[no-untyped-call]
_quote = _dialect.identifier_preparer.quote
_encode = msgspec.json.Encoder().encode
_find_other_escape = re.compile(rb'\\[^"\\]').search  # finds the second half of an escaped backslash too


def _quoted(name: str) -> str:
    """A name, fit for a query that has placeholders."""
    return _quote(name).replace("%", "%%")


def _fragment(text: str) -> str:
    return text.replace("%", "%%")


def _value(column: sqlalchemy.Column[Any], at: int) -> str:
    """The expression that takes a column's value out of a row of the parameter."""
    type_ = column.type
    if isinstance(type_, sqlalchemy.LargeBinary):
        return f"decode(batch_row->>{at}, 'base64')"
    if isinstance(type_, sqlalchemy.String):
        # No cast: a cast to varchar(n) would cut in silence what the assignment refuses.
        return f"batch_row->>{at}"
    return f"(batch_row->>{at})::{type_.compile(_dialect)}"


def _matches(table: sqlalchemy.Table, key: Sequence[str]) -> str:
    name = _quoted(table.name)
    return " AND ".join(f"{name}.{_quoted(part)} = {_value(table.columns[part], at)}" for at, part in enumerate(key))


_SOURCE = "jsonb_array_elements(%s::jsonb) AS batch_row"


def _write_text(statement: Statement) -> str:
    """A statement in PostgreSQL's words, with one parameter."""
    table = _quoted(statement.table.name)
    columns = statement.table.columns
    match statement:
        case Insert() | Upsert():
            names = ", ".join(map(_quoted, statement.columns))
            values = ", ".join(_value(columns[name], at) for at, name in enumerate(statement.columns))
            text = f"INSERT INTO {table} ({names}) SELECT {values} FROM {_SOURCE}"
            return text + (_upsert_tail(statement) if isinstance(statement, Upsert) else "")
        case Update():
            keys = len(statement.key)
            changes = [f"{_quoted(name)} = {_value(columns[name], keys + at)}" for at, name in enumerate(statement.set)]
            changes += [f"{_quoted(name)} = {_fragment(text)}" for name, text in statement.expressions.items()]
            extra = f" AND ({_fragment(statement.where)})" if statement.where else ""
            matches = _matches(statement.table, statement.key)
            return f"UPDATE {table} SET {', '.join(changes)} FROM {_SOURCE} WHERE {matches}{extra}"
        case Delete():
            extra = f" AND ({_fragment(statement.where)})" if statement.where else ""
            return f"DELETE FROM {table} USING {_SOURCE} WHERE {_matches(statement.table, statement.key)}{extra}"
        case _:
            raise TypeError(f"not a statement that writes: {statement!r}")


def _copy_text(statement: Insert) -> str:
    """A statement as the beginning of a COPY of what ``_csv`` makes; empty when its rows cannot travel so."""
    columns = statement.table.columns
    if any(isinstance(columns[name].type, sqlalchemy.LargeBinary) for name in statement.columns):
        return ""  # octets are base64 in JSON
    names = ", ".join(map(_quote, statement.columns))
    form = "FORMAT csv, NULL 'null', ESCAPE E'\\\\', ENCODING 'UTF8'"
    return f"COPY {_quote(statement.table.name)} ({names}) FROM STDIN ({form})"


def _csv(rows: Sequence[Row]) -> bytes | None:
    """Rows as lines of CSV, None when one of them holds a control character."""
    lines = b"\n".join([_encode(row)[1:-1] for row in rows])
    if _find_other_escape(lines) and b"\\" in lines.replace(b"\\\\", b"").replace(b'\\"', b""):
        return None
    return lines


def _upsert_tail(statement: Upsert) -> str:
    conflict = f" ON CONFLICT ({', '.join(map(_quoted, statement.conflict))})"
    if statement.conflict_where:
        conflict += f" WHERE {_fragment(statement.conflict_where)}"
    changes = [f"{_quoted(name)} = excluded.{_quoted(name)}" for name in statement.update]
    changes += [f"{_quoted(name)} = {_fragment(text)}" for name, text in statement.expressions.items()]
    return f"{conflict} DO UPDATE SET {', '.join(changes)}" if changes else f"{conflict} DO NOTHING"


def _read_text(statement: SelectByKeys) -> str:
    table = _quoted(statement.table.name)
    names = ", ".join(f"{table}.{_quoted(name)}" for name in statement.columns)
    extra = f" WHERE ({_fragment(statement.where)})" if statement.where else ""
    return f"SELECT {names} FROM {_SOURCE} JOIN {table} ON {_matches(statement.table, statement.key)}{extra}"


def _set_up(connection: psycopg.Connection[Row], _record: object) -> None:
    # A plan made while a table was small reads all of it, and would be kept until the next autovacuum: at a million
    # rows that is a second for each group. Planning each time costs the server some 0.1 ms.
    connection.execute("SET plan_cache_mode = force_custom_plan")
    # The default is for spinning disks, and makes reading a whole table look cheaper than a hundred look-ups.
    connection.execute("SET random_page_cost = 1.1")
    connection.commit()
    connection.prepared_max = PREPARED_STATEMENTS


class PostgresqlBackend:
    """See ``Backend``.

    Attributes:
        may_doubt_commits: True: a connection that is lost during a commit does not tell.

    Args:
        url: ``postgresql://user:password@host:port/database``; libpq's own settings may follow as a query.
    """

    may_doubt_commits = True

    def __init__(self, url: sqlalchemy.URL) -> None:
        settings: dict[str, Any] = {
            "connect_timeout": CONNECT_WAIT_S,
            "keepalives_idle": 5,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": DEAD_PEER_MS,
        }
        self._engine = sqlalchemy.create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=sqlalchemy.NullPool,
            hide_parameters=True,
            connect_args={name: value for name, value in settings.items() if name not in url.query},
            use_native_hstore=False,
        )
        sqlalchemy.event.listen(self._engine, "connect", _set_up)
        self._copies: dict[Statement, str] = {}
        self._writes: dict[Statement, str] = {}
        self._reads: dict[SelectByKeys, str] = {}

    def connect(self, *, read_only: bool) -> sqlalchemy.Connection:
        """See ``Backend``."""
        connection = self._engine.connect()
        if read_only:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return connection

    def write(self, connection: Any, statement: Statement, rows: Sequence[Row]) -> int:
        """See ``Backend``."""
        if isinstance(statement, Insert):
            copy = self._copies.get(statement)
            if copy is None:
                copy = self._copies[statement] = _copy_text(statement)
            if copy:
                pieces = [rows[at : at + LARGEST_PIECE] for at in range(0, len(rows), LARGEST_PIECE)]
                return sum([self._add(connection, statement, copy, piece) for piece in pieces])
        return self._write(connection, statement, rows)

    def _add(self, connection: Any, statement: Insert, copy: str, rows: Sequence[Row]) -> int:
        """Add a piece of rows."""
        lines = _csv(rows)
        if lines is None:
            return self._write(connection, statement, rows)
        with connection.cursor() as cursor:
            with cursor.copy(copy) as to:
                to.write(lines)
            return int(cursor.rowcount)

    def _write(self, connection: Any, statement: Statement, rows: Sequence[Row]) -> int:
        """Run a statement by a parameter that holds the rows."""
        text = self._writes.get(statement)
        if text is None:
            text = self._writes[statement] = _write_text(statement)
        changed = 0
        for run in runs(statement, rows):
            for start in range(0, len(run), LARGEST_PIECE):
                parameter = _encode(run[start : start + LARGEST_PIECE]).decode()
                changed += connection.execute(text, (parameter,), prepare=True).rowcount
        return changed

    def select(self, connection: Any, statement: SelectByKeys, keys: Sequence[Any]) -> list[Row]:
        """See ``Backend``."""
        text = self._reads.get(statement)
        if text is None:
            text = self._reads[statement] = _read_text(statement)
        distinct = list(dict.fromkeys(keys))
        found: list[Row] = []
        for start in range(0, len(distinct), LARGEST_PIECE):
            piece = distinct[start : start + LARGEST_PIECE]
            parameter = _encode([(key,) for key in piece] if statement.is_plain else piece).decode()
            found += connection.execute(text, (parameter,), prepare=True).fetchall()
        return found

    def is_doomed(self, connection: Any) -> bool:
        """See ``Backend``."""
        # Inside a transaction that met an error COMMIT means ROLLBACK, and says so to nobody.
        return bool(connection.info.transaction_status == pq.TransactionStatus.INERROR)

    def error(self, error: BaseException) -> StoreError | None:
        """See ``Backend``."""
        if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated and error.orig is None:
            return StoreUnavailable("connection lost")
        error = driver_error(error)
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate or ""
        diagnosis = error.diag
        table, constraint = diagnosis.table_name or "", diagnosis.constraint_name or diagnosis.column_name or ""
        if state == "23505":
            return StoreConflict(table, constraint)
        if state in _AGAIN:
            return StoreContended(state)
        if state in _FULL:
            return StoreFull(state)
        if not state and isinstance(error, psycopg.OperationalError):
            # No server has spoken: these are libpq's words, which know hosts and users, but no rows and no passwords.
            return StoreUnavailable(" ".join(str(error).split())[:LONGEST_REASON])
        if state[:2] in _UNAVAILABLE_CLASSES or state in (_READ_ONLY, _STOOD_STILL):
            return StoreUnavailable(state)
        return StoreRefused(state or type(error).__name__, table, constraint)

    def dispose(self) -> None:
        """See ``Backend``."""
        self._engine.dispose()
