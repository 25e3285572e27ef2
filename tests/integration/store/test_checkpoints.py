"""The journal goes to the database beside the writer, whose commits need not wait for that."""

import shutil
import sqlite3

import pytest

from store import sqlite
from store.store import backend_for
from tests.integration.store.tables import a_note, add_note, metadata


@pytest.fixture
def backend(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "CHECKPOINT_ROWS", 100)
    monkeypatch.setattr(sqlite, "CHECKPOINT_PAGES", 1_000_000)  # the writer's own must not be what a test sees
    backend = backend_for(f"sqlite:///{tmp_path / 'store.db'}")
    yield backend
    backend.dispose()


def rows_without_journal(directory):
    """How many rows a copy of the database has whose journal was lost."""
    shutil.copy(directory / "store.db", directory / "copy.db")
    with sqlite3.connect(directory / "copy.db") as copy:
        (count,) = copy.execute("SELECT count(*) FROM note").fetchone()
    copy.close()
    return count


def write(backend, connection, first, count):
    with connection.begin():
        rows = [a_note(at) for at in range(first, first + count)]
        backend.write(connection.connection.dbapi_connection, add_note, rows)


def test_checkpoints_beside_the_writer(backend, tmp_path):
    connection = backend.connect(read_only=False)
    with connection.begin():
        metadata.create_all(connection)
    with connection.begin():
        connection.exec_driver_sql("PRAGMA user_version = 1")
    connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    write(backend, connection, 0, 99)
    assert rows_without_journal(tmp_path) == 0  # not worth a checkpoint yet
    write(backend, connection, 99, 1)  # counted before it is committed: at least the first 99 are moved
    backend._checkpointer.end()
    assert rows_without_journal(tmp_path) >= 99
    write(backend, connection, 100, 100)  # the thread begins anew when it ended
    backend._checkpointer.end()
    assert rows_without_journal(tmp_path) >= 100
    connection.close()


def test_a_checkpoint_that_cannot_be_made_is_left_to_the_writer(backend, tmp_path):
    connection = backend.connect(read_only=False)
    with connection.begin():
        metadata.create_all(connection)
    (tmp_path / "away").mkdir()
    for file in tmp_path.glob("store.db*"):
        file.rename(tmp_path / "away" / file.name)
    (tmp_path / "store.db").mkdir()  # no connection can be opened
    write(backend, connection, 0, 100)
    backend._checkpointer.end()
    write(backend, connection, 100, 100)
    backend._checkpointer.end()
    with connection.begin():
        assert connection.exec_driver_sql("SELECT count(*) FROM note").scalar() == 200
    connection.close()
