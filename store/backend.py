"""What the two databases have in common, as the rest of the package sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy

from store.errors import StoreError
from store.statements import Row, SelectByKeys, Statement

MAX_ORIGINS = 5  # an error is looked for this deep in SQLAlchemy's wrappers


class Backend(Protocol):
    """One database. Its methods are called in worker threads; one connection is used by one thread at a time.

    Attributes:
        may_doubt_commits: whether a commit that failed for want of a connection may have been written.
    """

    @property
    def may_doubt_commits(self) -> bool:
        """See the class."""
        ...

    def connect(self, *, read_only: bool) -> sqlalchemy.Connection:
        """Open a connection. The transactions of a read-only one are snapshots."""
        ...

    def write(self, connection: Any, statement: Statement, rows: Sequence[Row]) -> int:
        """Run a statement with rows over a driver's connection. Returns how many rows it added or changed."""
        ...

    def select(self, connection: Any, statement: SelectByKeys, keys: Sequence[Any]) -> list[Row]:
        """Read the rows of keys over a driver's connection."""
        ...

    def is_doomed(self, connection: Any) -> bool:
        """Whether an error inside the transaction left it unable to commit."""
        ...

    def error(self, error: BaseException) -> StoreError | None:
        """The store's error for a driver's, or None when it is not a driver's."""
        ...

    def dispose(self) -> None:
        """Let go of what all connections share."""
        ...


def driver_error(error: BaseException) -> BaseException:
    """Take a driver's error out of SQLAlchemy's wrapper."""
    for _ in range(MAX_ORIGINS):
        origin = getattr(error, "orig", None)
        if not isinstance(origin, BaseException):
            break
        error = origin
    return error
