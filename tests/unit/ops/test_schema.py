"""The migrations make exactly the tables that the packages declare, and go back again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import hub.journal
import hub.keeping_tables
import hub.tables
import ops.reload_requests
import provisioning.tables
import store.audit
import threading_tokens.tables
from ops import schema
from store import metadata
from store.audit_chain import AuditRow, Examination, Head

OWNERS = (
    hub.keeping_tables,
    hub.tables,
    ops.reload_requests,
    provisioning.tables,
    store.audit,
    threading_tokens.tables,
)


def differences(url: str) -> list[object]:
    """What Alembic would change to bring the database to the declared tables."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


def test_an_upgraded_store_has_the_declared_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    before, after = schema.upgrade(url)
    assert before is None
    assert after is not None
    assert differences(url) == []
    assert OWNERS


def test_an_upgraded_postgresql_has_the_declared_tables(postgres_url: str) -> None:
    schema.upgrade(postgres_url)
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    assert differences(url) == []
    # What Alembic does not compare.
    declared = hub.tables.message.dialect_options["postgresql"]["with"]
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT reloptions FROM pg_class WHERE relname = 'message'").scalar()
    engine.dispose()
    assert found == [f"{name}={value}" for name, value in declared.items()]


def test_routes_are_named_anew_and_back(tmp_path: Path) -> None:
    """Before 0003 a route was named by its prefix alone."""
    url = f"sqlite:///{tmp_path}/x.db"
    schema.upgrade(url)
    engine = sqlalchemy.create_engine(url)

    def rows() -> list[tuple[str, str]]:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT name, settings FROM route ORDER BY settings")
            return [(row[0], json.loads(row[1])["settings"]["endpoint"]) for row in found]

    def to(revision: str) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["store_connection"] = connection
            step = alembic.command.downgrade if revision == "0002" else alembic.command.upgrade
            step(config, revision)

    def put(prefix: str, endpoint: str, name: str) -> None:
        settings = json.dumps({"version": 1, "settings": {"prefix": prefix, "endpoint": endpoint}})
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO route VALUES (?, ?, 0)", (name, settings))

    to("0002")
    put("*", "link:a", "*")
    put("+1", "account:b", "+1")
    to("0003")
    assert rows() == [("*→link:a", "link:a"), ("+1→account:b", "account:b")]
    put("+1", "link:a", "+1→link:a")
    to("0002")
    assert rows() == [("*", "link:a"), ("+1", "account:b")]
    engine.dispose()


def test_prepare_sets_a_new_store_up_and_leaves_a_ready_one_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    schema.prepare(url)
    schema.prepare(url)
    assert differences(url) == []


def test_prepare_refuses_a_store_of_another_version(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    schema.prepare(url)
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    engine.dispose()
    with pytest.raises(schema.SchemaMismatch, match=r"0000.*db upgrade") as caught:
        schema.prepare(url)
    assert caught.value.has == "0000"


def _step(engine: sqlalchemy.Engine, revision: str, *, back: bool = False) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["store_connection"] = connection
        (alembic.command.downgrade if back else alembic.command.upgrade)(config, revision)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_audit_of_provisioning_becomes_part_of_the_chain(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Its rows are chained in their order, the database guards them from then on, and there is a way back."""
    url = f"sqlite:///{tmp_path}/x.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url").replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    select = sqlalchemy.text("SELECT * FROM audit ORDER BY id")
    try:
        _step(engine, "0004")
        with engine.begin() as connection:
            for n in range(3):
                values = {"at": n, "key": f"key {n}"}
                connection.execute(
                    sqlalchemy.text(
                        "INSERT INTO provisioning_audit (at_us, who, action, kind, key, detail)"
                        " VALUES (:at, 'cli:ann', 'added', 'link', :key, '{}')"
                    ),
                    values,
                )
        _step(engine, "0006")
        with engine.connect() as connection:
            rows = [AuditRow(*row) for row in connection.execute(select)]
            head = Head(*connection.execute(sqlalchemy.text("SELECT last_id, chain FROM audit_head")).one())
        examination = Examination()
        assert examination.take(rows)
        assert examination.verdict(head).is_whole
        assert [(row.id, row.key) for row in rows] == [(1, "key 0"), (2, "key 1"), (3, "key 2")]
        with engine.connect() as connection, pytest.raises(sqlalchemy.exc.DBAPIError, match="append-only"):
            connection.execute(sqlalchemy.text("DELETE FROM audit"))
        _step(engine, "0004", back=True)
        with engine.connect() as connection:
            back = connection.execute(sqlalchemy.text("SELECT at_us, key FROM provisioning_audit ORDER BY id")).all()
        assert back == [(0, "key 0"), (1, "key 1"), (2, "key 2")]
    finally:
        engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_pending_and_what_is_dead_is_said_anew(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Until 0007 a message's state alone said so."""
    url = f"sqlite:///{tmp_path}/x.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url").replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    columns = [column.name for column in hub.tables.message.columns]
    plain = dict.fromkeys(columns, 0) | dict.fromkeys(("origin", "endpoint", "source", "destination"), "")
    plain |= {"call_centre": "", "reason": "", "body": "{}", "received_us": 5}

    def rows() -> list[tuple[int, ...]]:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT id, state, next_us, done_us FROM message ORDER BY id")
            return [tuple(row) for row in found]

    def at_most(condition: str) -> int:
        with engine.connect() as connection:
            return connection.exec_driver_sql(f"SELECT count(*) FROM message WHERE {condition}").scalar() or 0

    before = [(1, 0, 9, 0), (2, 1, 0, 7), (3, 2, 0, 8), (4, 3, 0, 0), (5, 5, 0, 8), (6, 5, 3, 0), (7, 6, 0, 8)]
    try:
        _step(engine, "0007")
        with engine.begin() as connection:
            for row in before:
                values = plain | dict(zip(("id", "state", "next_us", "done_us"), row, strict=True))
                marks = ", ".join(f":{name}" for name in columns)
                connection.execute(
                    sqlalchemy.text(f"INSERT INTO message ({', '.join(columns)}) VALUES ({marks})"), values
                )
        _step(engine, "0008")
        assert rows() == [
            (1, 0, 9, 0),
            (2, 1, 0, 0),
            (3, 2, 0, 8),
            (4, 3, 0, 5),
            (5, 5, -1, 8),
            (6, 5, -1, 5),
            (7, 6, 0, 8),
        ]
        assert at_most(hub.tables.IS_PENDING) == at_most("state < 2") == 2
        assert at_most(hub.tables.IS_DEAD) == at_most("state = 5") == 2
        assert at_most(hub.tables.IS_UNTRIED) == 1
        _step(engine, "0007", back=True)
        assert [row[2] for row in rows()] == [9, 0, 0, 0, 0, 0, 0]
        _step(engine, "head")
        assert [row[2] for row in rows()] == [9, 0, 0, 0, -1, -1, 0]
    finally:
        engine.dispose()


def test_a_claim_changes_nothing_that_an_index_is_made_of() -> None:
    """PostgreSQL then leaves all indexes alone."""
    watched: set[str] = set()
    for index in hub.tables.message.indexes:
        conditions = [index.dialect_options[kind]["where"] for kind in ("sqlite", "postgresql")]
        for text in map(str, [*index.expressions, *conditions]):
            watched.update(re.findall(r"\w+", text))
    assert {"endpoint", "done_us", "next_us"} <= watched
    assert watched.isdisjoint(hub.journal.claim_message.set)
