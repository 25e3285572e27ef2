"""What work sees of the database: one transaction, for as long as the work runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from store.backend import Backend
from store.errors import StoreError, StoreRefused
from store.statements import Op, Row, SelectByKeys

_BAD_VALUES = (UnicodeEncodeError, OverflowError, TypeError)  # from encoding a row; from nowhere else in write, select


class Transaction:
    """One transaction, in a worker thread. Not valid after the work has returned.

    Work must touch nothing but its transaction: it may run more than once, and what it did may be undone. An error that
    a method raises dooms the transaction, even when the work catches it; inside ``savepoint`` it dooms only that.
    """

    __slots__ = ("_backend", "_connection", "_error", "_is_read_only", "_raw")

    def __init__(self, backend: Backend, connection: sqlalchemy.Connection, *, is_read_only: bool = False) -> None:
        self._backend = backend
        self._connection = connection
        self._raw: Any = connection.connection.dbapi_connection
        self._is_read_only = is_read_only
        self._error: StoreError | None = None

    @property
    def sql(self) -> sqlalchemy.Connection:
        """A SQLAlchemy connection inside this transaction, for all that is not hot.

        Do not commit or roll it back. Its errors are SQLAlchemy's while they are inside the work, the store's outside.
        """
        return self._connection

    def write(self, op: Op) -> int:
        """Run a statement with its rows, as if one by one in order.

        Returns: how many rows were added, changed or removed.
        Raises: StoreError.
        """
        if self._is_read_only:
            raise StoreRefused("a read does not write", op.statement.table.name)
        if not op.rows:
            return 0
        try:
            return self._backend.write(self._raw, op.statement, op.rows)
        except Exception as error:
            # Without the driver's error, whose text may quote a row.
            raise self._doom(error) from None

    def select(self, statement: SelectByKeys, keys: Sequence[Any]) -> list[Row]:
        """Read the rows of many keys in one query.

        Args:
            statement: what to read.
            keys: plain values or tuples, as the statement says; repeated keys count once.

        Returns: rows in the order of the statement's columns. The order of rows is not defined.
        Raises: StoreError.
        """
        if not keys:
            return []
        try:
            return self._backend.select(self._raw, statement, keys)
        except Exception as error:
            raise self._doom(error) from None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happened inside when an error leaves the block: ``with tx.savepoint(): …``.

        Raises: the store's error for a database's, other errors as they are.
        """
        try:
            with self._connection.begin_nested():
                yield
        except Exception as error:
            self._error = None
            mapped = None if isinstance(error, StoreError) else self._backend.error(error)
            if mapped is None:
                raise
            raise mapped from None

    def check(self) -> None:
        """Raise what dooms this transaction, if anything does: the commit would be a rollback in disguise."""
        if self._error is not None:
            raise self._error
        if self._backend.is_doomed(self._raw):
            raise StoreRefused("an error inside the transaction was swallowed")
        if not self._connection.in_transaction():
            raise StoreRefused("the work ended its transaction itself")

    def _doom(self, error: Exception) -> Exception:
        mapped = self._backend.error(error)
        if mapped is None:
            if not isinstance(error, _BAD_VALUES):
                return error
            mapped = StoreRefused(type(error).__name__)
        self._error = mapped
        return mapped
