"""SQLite, the embedded default: WAL, one writer, each commit synced.

Why the statements look as they do: CPython's sqlite3 gives up the GIL at every step of a statement and takes it back
after. Beside a busy trio thread each taking costs up to a switch interval (5 ms by default), so ``executemany`` or a
``fetchall`` over n rows wait n times. Therefore rows are written by statements of many rows, in fixed sizes that stay
prepared, and read as one row that holds a JSON array. Figures: docs/discussion/store-batching.md.

Nobody may run ANALYZE on this database: with its statistics SQLite builds a Bloom filter over the whole table for each
update of many rows. Without them it looks up each key in the index, which is what all hot statements want.
"""

# ruff: noqa: S608 - statements are made of declarations in the source, never of input

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from typing import Any, cast

import msgspec
import sqlalchemy
from sqlalchemy.dialects import sqlite as sqlite_dialect

from store.backend import driver_error
from store.batching import plan, runs
from store.errors import StoreConflict, StoreError, StoreFull, StoreRefused, StoreUnavailable
from store.schema import metadata
from store.statements import Delete, Insert, Row, SelectByKeys, Statement, Update, Upsert

LARGEST_PIECE = 512  # rows in one statement; twice that measured no better
CACHED_STATEMENTS = 1024  # ten sizes of about a hundred statements
LEAST_VARIABLES = 999  # SQLite's limit of values in a statement, in its oldest builds; the real one is asked for
CACHE_KIB = 32_768  # of the writer: what it touches are the ends of tables and the rows of the last minutes
READER_CACHE_KIB = 4_096  # of each other connection: the operating system has the pages as well
CHECKPOINT_PAGES = 4096  # 16 MiB of journal between checkpoints: four times the default, fewer syncs of the database
CHECKPOINT_ROWS = 8192  # rows written between checkpoints beside the writer: about half of that much journal
JOURNAL_LIMIT_BYTES = 67_108_864

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNAVAILABLE = (
    *_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
)
_UNIQUE = (
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)

_quote = sqlite_dialect.dialect().identifier_preparer.quote
_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class _Write:
    """A statement in SQLite's words, in each size when first needed."""

    __slots__ = ("_largest", "_may_pad", "_parts", "_texts", "_width")

    def __init__(self, statement: Statement, largest: int) -> None:
        self._width = len(statement.columns)
        # A row of NULL keys matches nothing in an Update or Delete: pieces may be filled up with these.
        self._may_pad = isinstance(statement, Update | Delete)
        self._largest = largest
        self._parts = _write_parts(statement)
        self._texts: dict[int, str] = {}

    def run(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> int:
        """Write rows of distinct identities."""
        changed = 0
        start = 0
        for size, taken in plan(len(rows), self._largest, self._may_pad):
            piece = rows if taken == len(rows) else rows[start : start + taken]
            values = list(chain.from_iterable(piece))
            if size != taken:
                values += [None] * (self._width * (size - taken))
            cursor.execute(self._texts.get(size) or self._text(size), values)
            changed += cursor.rowcount
            start += taken
        return changed

    def _text(self, size: int) -> str:
        head, row, tail = self._parts
        text = self._texts[size] = head + ",".join([row] * size) + tail
        return text


def _write_parts(statement: Statement) -> tuple[str, str, str]:
    """What stands before the rows of values, one row, and what stands after."""
    table = _quote(statement.table.name)
    row = f"({','.join('?' * len(statement.columns))})"
    columns = ", ".join(map(_quote, statement.columns))
    match statement:
        case Insert():
            return f"INSERT INTO {table} ({columns}) VALUES ", row, ""
        case Upsert():
            conflict = f"ON CONFLICT ({', '.join(map(_quote, statement.conflict))})"
            if statement.conflict_where:
                conflict += f" WHERE {statement.conflict_where}"
            changes = [f"{_quote(name)} = excluded.{_quote(name)}" for name in statement.update]
            changes += [f"{_quote(name)} = {text}" for name, text in statement.expressions.items()]
            action = f"DO UPDATE SET {', '.join(changes)}" if changes else "DO NOTHING"
            return f"INSERT INTO {table} ({columns}) VALUES ", row, f" {conflict} {action}"
        case Update():
            keys = len(statement.key)
            changes = [f"{_quote(name)} = piece.column{keys + at}" for at, name in enumerate(statement.set, 1)]
            changes += [f"{_quote(name)} = {text}" for name, text in statement.expressions.items()]
            match_ = " AND ".join(
                f"{table}.{_quote(name)} = piece.column{at}" for at, name in enumerate(statement.key, 1)
            )
            extra = f" AND ({statement.where})" if statement.where else ""
            return f"UPDATE {table} SET {', '.join(changes)} FROM (VALUES ", row, f") AS piece WHERE {match_}{extra}"
        case Delete():
            if len(statement.key) == 1 and not statement.where:
                return f"DELETE FROM {table} WHERE {columns} IN (", "?", ")"
            found = f"SELECT {table}.rowid FROM (VALUES "
            return f"DELETE FROM {table} WHERE rowid IN ({found}", row, f"{_joined(statement)})"
        case _:
            raise TypeError(f"not a statement that writes: {statement!r}")


def _joined(statement: Delete | SelectByKeys) -> str:
    """What follows the rows of keys when their table is looked up by them.

    ``(a, b) IN (VALUES …)`` would do, but SQLite then reads the whole table. CROSS JOIN says which loop is the outer.
    """
    table = _quote(statement.table.name)
    matches = [f"{table}.{_quote(name)} = piece.column{at}" for at, name in enumerate(statement.key, 1)]
    if statement.where:
        matches.append(f"({statement.where})")
    return f") AS piece CROSS JOIN {table} WHERE {' AND '.join(matches)}"


class _Read:
    """A SelectByKeys in SQLite's words.

    The answer is one row with a JSON array of arrays where the columns' types allow it: one step, whatever the number
    of rows. JSON holds no octets, which travel as hex; and no exact floats, for which rows are fetched as they are.
    """

    __slots__ = ("_head", "_is_json", "_is_plain", "_largest", "_octets", "_row", "_tail", "_texts")

    def __init__(self, statement: SelectByKeys, largest: int) -> None:
        types = [statement.table.columns[name].type for name in statement.columns]
        self._is_json = all(
            isinstance(type_, sqlalchemy.Integer | sqlalchemy.String | sqlalchemy.Boolean | sqlalchemy.LargeBinary)
            for type_ in types
        )
        self._octets = [at for at, type_ in enumerate(types) if isinstance(type_, sqlalchemy.LargeBinary)]
        self._is_plain = statement.is_plain
        self._largest = largest
        table = _quote(statement.table.name)
        names = [f"{table}.{_quote(name)}" for name in statement.columns]
        for at in self._octets if self._is_json else ():
            names[at] = f"iif({names[at]} IS NULL, NULL, hex({names[at]}))"
        answer = f"json_group_array(json_array({', '.join(names)}))" if self._is_json else ", ".join(names)
        self._head = f"SELECT {answer} FROM (VALUES "
        self._row = f"({','.join('?' * len(statement.key))})"
        self._tail = _joined(statement)
        self._texts: dict[int, str] = {}

    def run(self, cursor: sqlite3.Cursor, keys: Sequence[Any]) -> list[Row]:
        """Read the rows of distinct keys."""
        found: list[Row] = []
        start = 0
        for size, taken in plan(len(keys), self._largest, True):
            piece = keys[start : start + taken]
            values = list(piece) if self._is_plain else list(chain.from_iterable(piece))
            values += [None] * (len(values) // taken * (size - taken))
            cursor.execute(self._texts.get(size) or self._text(size), values)
            found += _decode_rows(cursor.fetchone()[0]) if self._is_json else cursor.fetchall()
            start += taken
        if self._is_json and self._octets:
            return [self._with_octets(row) for row in found]
        return found

    def _with_octets(self, row: Row) -> Row:
        values = list(row)
        for at in self._octets:
            if values[at] is not None:
                values[at] = bytes.fromhex(values[at])
        return tuple(values)

    def _text(self, size: int) -> str:
        text = self._texts[size] = self._head + ",".join([self._row] * size) + self._tail
        return text


def _unique_name(table: sqlalchemy.Table, columns: set[str]) -> str:
    """The name of the unique constraint or index over exactly these columns, or empty."""
    candidates: list[sqlalchemy.PrimaryKeyConstraint | sqlalchemy.UniqueConstraint | sqlalchemy.Index] = [
        table.primary_key,
        *(each for each in table.constraints if isinstance(each, sqlalchemy.UniqueConstraint)),
        *(each for each in table.indexes if each.unique),
    ]
    for each in candidates:
        if {column.name for column in each.columns} == columns:
            return str(each.name)
    return ""


def _raw(connection: sqlalchemy.Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


class _Checkpointer:
    """Moves what was committed from the journal to the database, beside the writer.

    SQLite lets the commit that fills the journal do it, which then takes as long as the disk needs to sync scattered
    pages: 50 to 150 ms every half second under load, while everybody waits for an answer. A PASSIVE checkpoint on a
    connection of its own blocks neither writers nor readers. It never empties the journal of a writer that does not
    rest; so the writer's own checkpoints stay, and find next to nothing to do.

    A checkpoint that fails is the writer's affair: the next of its own meets the same trouble and says so.

    Args:
        engine: opens connections.
        rows: how many are written between two checkpoints.
    """

    def __init__(self, engine: sqlalchemy.Engine, rows: int) -> None:
        self._engine = engine
        self._every = rows
        self._rows = 0
        self._thread: Thread | None = None
        self._wanted: SimpleQueue[bool] = SimpleQueue()

    def written(self, rows: int) -> None:
        """Count rows; in the writer's thread. The thread starts when it first has something to do."""
        self._rows += rows
        if self._rows < self._every:
            return
        self._rows = 0
        if self._thread is None:
            self._thread = Thread(target=self._run, name="store-checkpointer", daemon=True)
            self._thread.start()
        self._wanted.put(True)

    def end(self) -> None:
        """Wait for the thread's end."""
        if self._thread is not None:
            self._wanted.put(False)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while self._wanted.get():
            with suppress(sqlite3.Error, sqlalchemy.exc.SQLAlchemyError):
                self._checkpoint_until_told_otherwise()
                return

    def _checkpoint_until_told_otherwise(self) -> None:
        with self._engine.connect() as connection:
            raw = _raw(connection)
            while True:
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                wanted = self._wanted.get()
                while wanted and not self._wanted.empty():
                    wanted = self._wanted.get()
                if not wanted:
                    return


class SqliteBackend:
    """See ``Backend``.

    Attributes:
        may_doubt_commits: False: a commit that fails was rolled back.

    Args:
        url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``; not ``:memory:``, which no two
            connections share.
        synchronous: ``"FULL"``: what is committed is on disk. ``"NORMAL"``: a power cut may lose the last commits.
        lock_wait_s: how long to wait for another process that is writing.
    """

    may_doubt_commits = False

    def __init__(self, url: sqlalchemy.URL, *, synchronous: str = "FULL", lock_wait_s: float = 10.0) -> None:
        if url.database in (None, "", ":memory:"):
            raise ValueError(f"the store needs a file, not {url.render_as_string()!r}")
        if synchronous.upper() not in ("FULL", "EXTRA", "NORMAL", "OFF"):
            raise ValueError(f"synchronous is FULL, EXTRA, NORMAL or OFF, not {synchronous!r}")
        self._engine = sqlalchemy.create_engine(
            url,
            poolclass=sqlalchemy.NullPool,
            hide_parameters=True,
            connect_args={
                "check_same_thread": False,
                "timeout": lock_wait_s,
                "cached_statements": CACHED_STATEMENTS,
                # The driver's own transaction control stays out of the way: the hooks below begin.
                "isolation_level": None,
            },
        )
        self._variables = LEAST_VARIABLES
        self._tables: dict[str, sqlalchemy.Table] = {}
        self._writes: dict[Statement, _Write] = {}
        self._reads: dict[SelectByKeys, _Read] = {}
        self._checkpointer: _Checkpointer | None = None
        self._set_up(synchronous.upper())

    def _set_up(self, synchronous: str) -> None:
        pragmas = (
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {synchronous}",
            "PRAGMA foreign_keys = ON",
            "PRAGMA temp_store = MEMORY",
            f"PRAGMA cache_size = -{CACHE_KIB}",
            f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}",
        )

        def opened(connection: sqlite3.Connection, _record: object) -> None:
            for pragma in pragmas:
                connection.execute(pragma).close()

        def begun(connection: sqlalchemy.Connection) -> None:
            read_only = connection.get_execution_options().get("store_read_only", False)
            # IMMEDIATE takes the write lock at once: waiting for it then is safe, waiting in mid-transaction is not.
            _raw(connection).execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

        sqlalchemy.event.listen(self._engine, "connect", opened)
        sqlalchemy.event.listen(self._engine, "begin", begun)

    def connect(self, *, read_only: bool) -> sqlalchemy.Connection:
        """See ``Backend``."""
        connection = self._engine.connect()
        raw = _raw(connection)
        if read_only:
            connection = connection.execution_options(store_read_only=True)
            raw.execute("PRAGMA query_only = ON").close()
            raw.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}").close()
        elif self._checkpointer is None:
            self._checkpointer = _Checkpointer(self._engine, CHECKPOINT_ROWS)
        self._variables = raw.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        return connection

    def write(self, connection: Any, statement: Statement, rows: Sequence[Row]) -> int:
        """See ``Backend``."""
        compiled = self._writes.get(statement)
        if compiled is None:
            self._tables[statement.table.name] = statement.table
            compiled = self._writes[statement] = _Write(statement, self._fitting(len(statement.columns)))
        if self._checkpointer is not None:
            self._checkpointer.written(len(rows))
        cursor = connection.cursor()
        try:
            return sum([compiled.run(cursor, run) for run in runs(statement, rows)])
        finally:
            cursor.close()

    def select(self, connection: Any, statement: SelectByKeys, keys: Sequence[Any]) -> list[Row]:
        """See ``Backend``."""
        compiled = self._reads.get(statement)
        if compiled is None:
            compiled = self._reads[statement] = _Read(statement, self._fitting(len(statement.key)))
        cursor = connection.cursor()
        try:
            return compiled.run(cursor, list(dict.fromkeys(keys)))
        finally:
            cursor.close()

    def _fitting(self, width: int) -> int:
        """The largest piece of rows of this width that a statement may have."""
        return min(LARGEST_PIECE, 1 << (self._variables // width).bit_length() - 1)

    def is_doomed(self, connection: Any) -> bool:
        """See ``Backend``."""
        # SQLite undoes a failed statement only, except after some errors (a full disk), when all is rolled back.
        return not connection.in_transaction

    def error(self, error: BaseException) -> StoreError | None:
        """See ``Backend``."""
        error = driver_error(error)
        if not isinstance(error, sqlite3.Error):
            return None
        code = getattr(error, "sqlite_errorcode", 0)
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        primary = code & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            return StoreFull(name)
        if primary in _UNAVAILABLE:
            return StoreUnavailable(name)
        # "UNIQUE constraint failed: t.a, t.b" or "… failed: index 'i'"
        what = str(error).partition("constraint failed: ")[2]
        if code in _UNIQUE:
            return self._conflict(what)
        table, _, column = what.partition(",")[0].partition(".")
        return StoreRefused(name, table if column else "", column or what)

    def _conflict(self, what: str) -> StoreConflict:
        """SQLite names columns (``t.a, t.b``), or an index of expressions: the constraint is looked up."""
        if what.startswith("index "):
            name = what.removeprefix("index ").strip("'")
            owners = [table for table in metadata.tables.values() if any(index.name == name for index in table.indexes)]
            return StoreConflict(owners[0].name if owners else "", name)
        table_name, _, _ = what.partition(".")
        columns = {column.strip().rpartition(".")[2] for column in what.split(",")}
        table = self._tables.get(table_name, metadata.tables.get(table_name))
        return StoreConflict(table_name, "" if table is None else _unique_name(table, columns))

    def dispose(self) -> None:
        """See ``Backend``."""
        if self._checkpointer is not None:
            self._checkpointer.end()
            self._checkpointer = None
        self._engine.dispose()
