"""The hot statements: declared once at import, compiled once for each dialect, run with many rows.

A statement is a declaration; the dialects (``sqlite.py``, ``postgresql.py``) turn it into the text that measured best
there (docs/discussion/store-batching.md). Rows are tuples in the order of ``statement.columns``. A statement means the
same as running it row by row in order, however many rows travel at once.

Values are what both databases hold: int of 64 bits, str, bytes, bool (in Boolean columns only), float (finite), None.
PostgreSQL refuses U+0000 in texts; both refuse lone surrogates.

Fragments of SQL (``where``, ``expressions``) are written in the source, never made from input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy

Row = tuple[Any, ...]


def _names(table: sqlalchemy.Table, names: Sequence[str], what: str) -> tuple[str, ...]:
    """Check names against the table, so that a slip is found at import."""
    if not names:
        raise ValueError(f"{what} of {table.name} names no column")
    if len(set(names)) != len(names):
        raise ValueError(f"{what} of {table.name} names a column twice: {', '.join(names)}")
    for name in names:
        if name not in table.columns:
            raise ValueError(f"{what} of {table.name} names an unknown column {name!r}")
    return tuple(names)


def _key(key: str | Sequence[str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


class Statement:
    """What all statements have. Two statements are the same only when they are the same object.

    Attributes:
        table: the table it touches.
        columns: what each value of a row is, in order.
        identity: positions in a row of what two rows must not share to travel in one piece; empty when they may.
    """

    __slots__ = ("columns", "identity", "table")

    def __init__(self, table: sqlalchemy.Table, columns: tuple[str, ...], identity: tuple[int, ...] = ()) -> None:
        self.table = table
        self.columns = columns
        self.identity = identity

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.table.name} ({', '.join(self.columns)})>"


class Insert(Statement):
    """Add rows; a row that is there already is a StoreConflict.

    Args:
        table: where to.
        columns: the columns of a row, in order.
    """

    __slots__ = ()

    def __init__(self, table: sqlalchemy.Table, columns: Sequence[str]) -> None:
        super().__init__(table, _names(table, columns, "Insert"))


class Upsert(Statement):
    """Add rows, or change those that are there.

    Args:
        table: where to.
        columns: the columns of a row, in order.
        conflict: the columns of the unique constraint that says whether a row is there.
        update: the columns that take the row's value then, or ``"nothing"`` to leave the old row.
        expressions: columns that take an SQL expression then; ``excluded.x`` is the row's value, ``table.x`` the old.
        conflict_where: the condition of a partial unique index, exactly as in its definition.
    """

    __slots__ = ("conflict", "conflict_where", "expressions", "update")

    def __init__(
        self,
        table: sqlalchemy.Table,
        columns: Sequence[str],
        *,
        conflict: str | Sequence[str],
        update: Sequence[str] | Literal["nothing"],
        expressions: Mapping[str, str] | None = None,
        conflict_where: str = "",
    ) -> None:
        columns = _names(table, columns, "Upsert")
        self.conflict = _names(table, _key(conflict), "Upsert.conflict")
        self.expressions = dict(expressions or {})
        self.conflict_where = conflict_where
        if self.expressions:
            _names(table, tuple(self.expressions), "Upsert.expressions")
        if isinstance(update, str):
            if update != "nothing" or self.expressions:
                raise ValueError(f"Upsert.update of {table.name} is {update!r}: give columns, or 'nothing' alone")
            self.update: tuple[str, ...] = ()
        else:
            self.update = tuple(update)
            for name in _names(table, [*self.update, *self.expressions], "Upsert.update"):
                if name in self.update and name not in columns:
                    raise ValueError(f"Upsert.update of {table.name} names {name!r}, which is not in the row")
        missing = [name for name in self.conflict if name not in columns]
        if missing:
            raise ValueError(f"Upsert.conflict of {table.name} names {missing[0]!r}, which is not in the row")
        changes = bool(self.update or self.expressions)
        super().__init__(table, columns, tuple(columns.index(name) for name in self.conflict) if changes else ())


class Update(Statement):
    """Change the rows with these keys. A key that is not there changes nothing.

    A row of it is the key's values, then the values of ``set``. Where it changes columns of a unique constraint, of a
    partial unique index's condition, or of its own key, rows travel one by one: keep such changes off hot paths.

    Args:
        table: where.
        key: the column or columns that say which rows.
        set: the columns that take the row's values.
        expressions: columns that take an SQL expression of the old row, such as ``{"attempts": "attempts + 1"}``.
        where: a further condition on the old row, such as ``"state < 3"``.
    """

    __slots__ = ("expressions", "key", "set", "where")

    def __init__(
        self,
        table: sqlalchemy.Table,
        *,
        key: str | Sequence[str],
        set: Sequence[str] = (),
        expressions: Mapping[str, str] | None = None,
        where: str = "",
    ) -> None:
        self.key = _names(table, _key(key), "Update.key")
        self.set = tuple(set)
        self.expressions = dict(expressions or {})
        self.where = where
        _names(table, [*self.set, *self.expressions], "Update.set")
        _names(table, [*self.key, *self.set], "Update")
        super().__init__(table, (*self.key, *self.set), tuple(range(len(self.key))))


class Delete(Statement):
    """Remove the rows with these keys. A key that is not there removes nothing.

    Args:
        table: where.
        key: the column or columns that say which rows; they are the row.
        where: a further condition on the old row.
    """

    __slots__ = ("key", "where")

    def __init__(self, table: sqlalchemy.Table, key: str | Sequence[str], *, where: str = "") -> None:
        self.key = _names(table, _key(key), "Delete.key")
        self.where = where
        super().__init__(table, self.key)


class SelectByKeys:
    """Read the rows of many keys in one query: see ``Transaction.select``.

    Args:
        table: where.
        columns: what an answer holds, in order. Name the key too, to tell whose an answer is.
        key: a column's name: keys are plain values; a sequence of names: keys are tuples.
        where: a further condition on the row.
    """

    __slots__ = ("columns", "is_plain", "key", "table", "where")

    def __init__(
        self, table: sqlalchemy.Table, columns: Sequence[str], *, key: str | Sequence[str], where: str = ""
    ) -> None:
        self.table = table
        self.columns = _names(table, columns, "SelectByKeys")
        self.key = _names(table, _key(key), "SelectByKeys.key")
        self.is_plain = isinstance(key, str)
        self.where = where

    def __repr__(self) -> str:
        return f"<SelectByKeys {self.table.name} by ({', '.join(self.key)})>"


class Op(msgspec.Struct, frozen=True, gc=False):
    """One statement and the rows to run it with.

    Attributes:
        statement: what to do.
        rows: tuples of values in the order of ``statement.columns``. Must not change until the commit is done.
    """

    statement: Statement
    rows: Sequence[Row]
