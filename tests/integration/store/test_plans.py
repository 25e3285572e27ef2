"""No hot statement reads a whole table, whatever was in it when the statement was first prepared."""

import pytest
import sqlalchemy as sa

from store import Delete, Op, SelectByKeys, Update, Upsert, open_store
from store.postgresql import _read_text, _write_text
from store.sqlite import _Read, _write_parts
from tests.integration.store.tables import (
    a_note,
    add_note,
    add_pair,
    drop_light,
    drop_note,
    drop_pair,
    heavy,
    note,
    notes,
    pairs,
    put_note,
    put_pair,
    set_note,
    try_note,
)

indexed = sa.Index("ix_note_owner_kind", note.c.owner, note.c.kind)
by_owner = Update(note, key=("owner", "kind"), set=("text",), where="kind < 50")
drop_owner = Delete(note, ("owner", "kind"), where="kind < 50")
of_owner = SelectByKeys(note, ("id",), key=("owner", "kind"), where="kind < 50")

WRITES = [set_note, try_note, drop_note, drop_light, drop_pair, put_note, put_pair, by_owner, drop_owner]
READS = [notes, heavy, pairs, of_owner]


@pytest.mark.parametrize("statement", [*WRITES, *READS], ids=repr)
@pytest.mark.parametrize("size", [1, 512])
async def test_sqlite_looks_up_by_index(store_url, store, statement, size):
    if store_url.startswith("postgresql"):
        return
    if isinstance(statement, SelectByKeys):
        text, width = _Read(statement, 512)._text(size), len(statement.key)
    else:
        head, row, tail = _write_parts(statement)
        text, width = head + ",".join([row] * size) + tail, len(statement.columns)

    def plan(tx):
        return [row[3] for row in tx.sql.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (None,) * (size * width))]

    steps = await store.read(plan)
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in ("note", "pair")], steps
    if not isinstance(statement, Upsert):
        assert [step for step in steps if step.startswith("SEARCH")], steps


async def test_postgresql_looks_up_by_index_when_a_table_has_grown(postgres_url):
    async with open_store(postgres_url) as store:
        await store.transact(lambda tx: note.metadata.create_all(tx.sql))
        # Prepared while the tables are empty.
        for _ in range(8):
            await store.commit([Op(set_note, [(1, "x", None, 1)]), Op(drop_pair, [(1, "x")])])
            await store.transact(lambda tx: (tx.select(notes, [1]), tx.select(pairs, [(1, "x")])))
        await store.commit([Op(add_note, [a_note(at) for at in range(30_000)])])
        await store.commit([Op(add_pair, [(at, "x", 1) for at in range(30_000)])])

        def plans(tx):
            raw = tx.sql.connection.dbapi_connection
            cases = [(_write_text(each), "[[1, 1, 1, 1]]") for each in WRITES if not isinstance(each, Upsert)]
            cases += [(_read_text(each), "[[1, 1]]") for each in READS]
            return ["\n".join(row[0] for row in raw.execute(f"EXPLAIN {text}", (value,))) for text, value in cases]

        for plan in await store.transact(plans):
            assert "Index" in plan
            assert "Seq Scan" not in plan
        # What is prepared is planned anew: a lookup that read all rows would take tens of milliseconds each.
        mode = await store.transact(lambda tx: tx.sql.exec_driver_sql("SHOW plan_cache_mode").scalar())
        assert mode == "force_custom_plan"
