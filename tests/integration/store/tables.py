"""Tables for the store's tests, on a MetaData of their own kind: no daemon has them."""

import sqlalchemy as sa

from store import Delete, Insert, SelectByKeys, Update, Upsert
from store.schema import metadata as _daemons

metadata = sa.MetaData(naming_convention=_daemons.naming_convention)

_open = sa.text("is_open")

note = sa.Table(
    "note",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("text", sa.String),
    sa.Column("data", sa.LargeBinary),
    sa.Column("weight", sa.Double),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.String, nullable=False, server_default="x"),
    # The names of columns may be words of SQL, or the names that the compiled statements use.
    sa.Column("order", sa.Integer),
    sa.Column("column1", sa.Integer),
    sa.CheckConstraint("kind < 100", name="kind_small"),
    sa.Index(
        "uq_note_open_text", "text", unique=True, sqlite_where=sa.text("is_open"), postgresql_where=sa.text("is_open")
    ),
)

pair = sa.Table(
    "pair",
    metadata,
    sa.Column("a", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("b", sa.String, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
)

child = sa.Table(
    "child",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note_id", sa.BigInteger, sa.ForeignKey("note.id"), nullable=False),
)

COLUMNS = ("id", "kind", "text", "data", "weight", "is_open", "order")
add_note = Insert(note, COLUMNS)
add_text = Insert(note, ("id", "kind", "text", "is_open"))
set_note = Update(note, key="id", set=("text", "data", "order"))
try_note = Update(note, key="id", expressions={"attempts": "attempts + 1"}, where="kind < 50")
put_note = Upsert(
    note,
    ("id", "kind", "text", "is_open"),
    conflict="id",
    update=("kind", "text"),
    expressions={"attempts": "note.attempts + excluded.kind"},
)
keep_note = Upsert(note, ("id", "kind", "text", "is_open"), conflict="text", conflict_where="is_open", update="nothing")
drop_note = Delete(note, "id")
drop_light = Delete(note, "id", where="kind % 2 = 0")
notes = SelectByKeys(note, (*COLUMNS, "attempts"), key="id")
texts = SelectByKeys(note, ("id", "text", "data"), key="text")
texts_alone = SelectByKeys(note, ("id", "text"), key="id")
heavy = SelectByKeys(note, ("id",), key="id", where="kind % 10 > 5")

add_pair = Insert(pair, ("a", "b", "n"))
put_pair = Upsert(pair, ("a", "b", "n"), conflict=("a", "b"), update=("n",))
sum_pair = Update(pair, key=("a", "b"), set=("n",), expressions={})
drop_pair = Delete(pair, ("a", "b"))
pairs = SelectByKeys(pair, ("a", "b", "n"), key=("a", "b"))

add_child = Insert(child, ("id", "note_id"))


def a_note(identity, *, kind=1, text="hello", data=None, weight=None, is_open=False, order=None):
    """A row of add_note."""
    return (identity, kind, text, data, weight, is_open, order)
