"""Declarations are checked when they are made, and compiled to the text that is meant."""

import re

import pytest
import sqlalchemy as sa

from store import Delete, Insert, Op, SelectByKeys, Update, Upsert
from store.postgresql import _read_text, _write_text
from store.sqlite import _Read, _write_parts

metadata = sa.MetaData()
thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("order", sa.String(5)),
    sa.Column("data", sa.LargeBinary),
    sa.Column("n", sa.Integer),
)

WRONG = {
    "unknown column": lambda: Insert(thing, ("id", "nowhere")),
    "a column twice": lambda: Insert(thing, ("id", "id")),
    "no column": lambda: Insert(thing, ()),
    "unknown key": lambda: Update(thing, key="nowhere", set=("n",)),
    "nothing to set": lambda: Update(thing, key="id"),
    "key is set": lambda: Update(thing, key="id", set=("id",)),
    "set and expression": lambda: Update(thing, key="id", set=("n",), expressions={"n": "n + 1"}),
    "unknown expression": lambda: Update(thing, key="id", expressions={"nowhere": "1"}),
    "conflict not in row": lambda: Upsert(thing, ("n",), conflict="id", update=("n",)),
    "update not in row": lambda: Upsert(thing, ("id",), conflict="id", update=("n",)),
    "update is a word": lambda: Upsert(thing, ("id",), conflict="id", update="everything"),
    "nothing and something": lambda: Upsert(thing, ("id",), conflict="id", update="nothing", expressions={"n": "1"}),
    "unknown delete": lambda: Delete(thing, "nowhere"),
    "unknown select": lambda: SelectByKeys(thing, ("nowhere",), key="id"),
    "unknown select key": lambda: SelectByKeys(thing, ("id",), key=("id", "nowhere")),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_slip_is_found_where_it_is_made(wrong):
    with pytest.raises(ValueError, match="thing"):
        wrong()


def test_rows_are_key_then_values():
    assert Update(thing, key=("id", "n"), set=("data", "order")).columns == ("id", "n", "data", "order")


def test_only_what_may_touch_a_row_twice_needs_distinct_keys():
    assert Insert(thing, ("id", "n")).identity == ()
    assert Upsert(thing, ("n", "id"), conflict="id", update="nothing").identity == ()
    assert Upsert(thing, ("n", "id"), conflict="id", update=("n",)).identity == (1,)
    assert Update(thing, key=("id", "n"), set=("data",)).identity == (0, 1)
    assert Delete(thing, "id").identity == ()


def test_statements_are_themselves_only():
    assert Insert(thing, ("id",)) != Insert(thing, ("id",))
    assert "thing" in repr(Insert(thing, ("id",)))


SQLITE = {
    Insert(thing, ("id", "order")): 'INSERT INTO thing (id, "order") VALUES (?,?),(?,?)',
    Upsert(thing, ("id", "n"), conflict="id", update=("n",), expressions={"order": "thing.n + excluded.n"}): (
        "INSERT INTO thing (id, n) VALUES (?,?),(?,?)"
        ' ON CONFLICT (id) DO UPDATE SET n = excluded.n, "order" = thing.n + excluded.n'
    ),
    Upsert(thing, ("id", "n"), conflict="id", conflict_where="n > 1", update="nothing"): (
        "INSERT INTO thing (id, n) VALUES (?,?),(?,?) ON CONFLICT (id) WHERE n > 1 DO NOTHING"
    ),
    Update(thing, key="id", set=("n",), expressions={"order": "'x%'"}, where="n < 3 OR n > 5"): (
        "UPDATE thing SET n = piece.column2, \"order\" = 'x%' FROM (VALUES (?,?),(?,?)) AS piece"
        " WHERE thing.id = piece.column1 AND (n < 3 OR n > 5)"
    ),
    Delete(thing, "id"): "DELETE FROM thing WHERE id IN (?,?)",
    Delete(thing, ("id", "n"), where="n = 1"): (
        "DELETE FROM thing WHERE rowid IN (SELECT thing.rowid FROM (VALUES (?,?),(?,?)) AS piece CROSS JOIN thing"
        " WHERE thing.id = piece.column1 AND thing.n = piece.column2 AND (n = 1))"
    ),
}


@pytest.mark.parametrize("statement", SQLITE, ids=repr)
def test_the_text_for_sqlite(statement):
    head, row, tail = _write_parts(statement)
    assert head + ",".join([row] * 2) + tail == SQLITE[statement]


def test_sqlite_reads_one_row_of_json_unless_a_float_would_be_cut():
    assert "json_group_array" in _Read(SelectByKeys(thing, ("id", "data"), key="id"), 8)._head
    floats = sa.Table("floats", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("x", sa.Double))
    assert "json" not in _Read(SelectByKeys(floats, ("id", "x"), key="id"), 8)._head
    assert "json" in _Read(SelectByKeys(floats, ("id",), key="id"), 8)._head


def test_the_text_for_postgresql_has_one_parameter_and_no_cast_that_cuts():
    for statement in SQLITE:
        text = _write_text(statement)
        assert len(re.findall(r"(?<!%)%s", text)) == 1
        assert "varchar" not in text.lower()
    update = next(each for each in SQLITE if isinstance(each, Update))
    assert "'x%%'" in _write_text(update)
    assert "(n < 3 OR n > 5)" in _write_text(update)
    assert "base64" in _write_text(Insert(thing, ("id", "data")))
    assert _read_text(SelectByKeys(thing, ("id", "order"), key="id", where="n = 1")).endswith(" WHERE (n = 1)")


def test_a_select_does_not_write():
    statement = SelectByKeys(thing, ("id",), key="id")
    with pytest.raises(TypeError):
        _write_text(statement)
    with pytest.raises(TypeError):
        _write_parts(statement)
    assert Op(Insert(thing, ("id",)), [(1,)]).rows == [(1,)]
