"""Versions of the schema, by Alembic.

The scripts live with the daemon, which knows all tables; this module only runs them. All functions block: call them in
a thread. ``env.py`` of a script location is two lines::

    from store.migrations import run_in_alembic
    run_in_alembic()
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import sqlalchemy
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.errors import StoreError, StoreUnavailable
from store.schema import metadata
from store.store import backend_for

_CONNECTION = "store_connection"
_LOCK_KEY = 0x736D7368  # an arbitrary number: PostgreSQL's advisory lock that two starting nodes meet at


def _config(script_location: str | Path) -> Config:
    config = Config()
    # ConfigParser gives "%" a meaning.
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    return config


def _connect(url: str, *, read_only: bool = False) -> sqlalchemy.Connection:
    backend = backend_for(url)
    try:
        return backend.connect(read_only=read_only)
    except Exception as error:
        mapped = backend.error(error)
        if mapped is None:
            raise
        raise (mapped if isinstance(mapped, StoreUnavailable) else StoreUnavailable(str(mapped))) from None


def _is_unmade(url: str) -> bool:
    """Whether this is a file of SQLite's that is not there yet, in a folder that is: connecting would make it."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return False
    path = Path(str(parsed.database))
    return path.parent.is_dir() and not path.exists()


def migrate(url: str, script_location: str | Path, revision: str = "head") -> None:
    """Bring the schema to a revision, in one transaction: all of it, or nothing.

    Args:
        url: as for ``open_store``.
        script_location: the folder with Alembic's ``env.py`` and ``versions``.
        revision: which; a later one than the database has.

    Raises: StoreUnavailable; StoreError, when a step fails; nothing is changed then.
    """
    with _connect(url) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        config = _config(script_location)
        config.attributes[_CONNECTION] = connection
        try:
            command.upgrade(config, revision)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StoreError(f"the schema cannot be brought to {revision!r}: {type(error).__name__}") from error


def current_revision(url: str) -> str | None:
    """The revision that the database has, None for an empty one.

    Nothing is made or locked: a file that is not there is an empty database.

    Raises: StoreUnavailable.
    """
    if _is_unmade(url):
        return None
    with _connect(url, read_only=True) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision(script_location: str | Path) -> str | None:
    """The newest revision that the scripts know."""
    return ScriptDirectory.from_config(_config(script_location)).get_current_head()


def run_in_alembic() -> None:
    """What ``env.py`` of a script location calls: run the steps over the connection that ``migrate`` opened."""
    connection = cast(sqlalchemy.Connection, context.config.attributes[_CONNECTION])
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
