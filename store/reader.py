"""Reads, beside the writer: each in a transaction of its own that sees one state of the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy

from store.backend import Backend
from store.errors import StoreError, StoreUnavailable
from store.transaction import Transaction

T = TypeVar("T")


class Readers:
    """Read-only connections, opened as needed. Methods may be called from several threads.

    Args:
        backend: the database.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._idle: list[sqlalchemy.Connection] = []
        self._is_closed = False

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run work over a snapshot.

        Raises: StoreError, and what the work raises.
        """
        try:
            connection, is_fresh = self._idle.pop(), False
        except IndexError:
            connection, is_fresh = self._open(), True
        try:
            return self._run(connection, work)
        except StoreUnavailable:
            if is_fresh:
                raise
        # A connection that lay idle may have died with a server that is back since. A read may be run again.
        return self._run(self._open(), work)

    def close(self) -> None:
        """Close what is idle; what is in use is closed after its use."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> sqlalchemy.Connection:
        try:
            return self._backend.connect(read_only=True)
        except Exception as error:
            mapped = self._backend.error(error)
            if mapped is None:
                raise
            raise mapped from None

    def _run(self, connection: sqlalchemy.Connection, work: Callable[[Transaction], T]) -> T:
        is_sound = False
        try:
            connection.begin()
            try:
                return work(Transaction(self._backend, connection, is_read_only=True))
            finally:
                connection.rollback()
                is_sound = not connection.invalidated
        except Exception as error:
            mapped = None if isinstance(error, StoreError) else self._backend.error(error)
            is_sound = is_sound and not isinstance(mapped or error, StoreUnavailable)
            if mapped is None:
                raise
            raise mapped from None
        finally:
            if is_sound and not self._is_closed:
                self._idle.append(connection)
            else:
                connection.invalidate()
                connection.close()
