"""Which ops may travel together."""

import pytest
import sqlalchemy as sa

from store import Insert, Op, Update
from store.batching import distinct_runs, merge, needs_order, plan, runs

metadata = sa.MetaData()
a = sa.Table("a", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
b = sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True))
c = sa.Table("c", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("a_id", sa.ForeignKey("a.id")))
add_a, add_b, add_c = Insert(a, ("id",)), Insert(b, ("id",)), Insert(c, ("id", "a_id"))
set_a = Update(a, key="id", set=("n",))


def merged(*ops):
    return [(op.statement, list(op.rows)) for op in merge([Op(statement, rows) for statement, rows in ops])]


def test_adjacent_ops_of_one_statement_become_one():
    assert merged((add_a, [(1,)]), (add_a, [(2,), (3,)])) == [(add_a, [(1,), (2,), (3,)])]


def test_ops_on_unrelated_tables_do_not_keep_others_apart():
    """A hundred submissions of a message and an event are two writes."""
    ops = [op for at in range(100) for op in ((add_a, [(at,)]), (add_b, [(at,)]))]
    rows = [(at,) for at in range(100)]
    assert merged(*ops) == [(add_a, rows), (add_b, rows)]


def test_ops_on_one_table_keep_their_order():
    ops = [(add_a, [(1,)]), (set_a, [(1, 5)]), (add_a, [(2,)]), (set_a, [(2, 6)])]
    assert merged(*ops) == ops


def test_a_table_bound_by_a_foreign_key_keeps_order():
    ops = [(add_c, [(1, 1)]), (add_a, [(2,)]), (add_c, [(2, 2)])]
    assert merged(*ops) == ops
    # Parents may go forward past unrelated rows, and children join when no parent stands between.
    assert merged((add_a, [(1,)]), (add_b, [(1,)]), (add_c, [(1, 1)]), (add_b, [(2,)]), (add_c, [(2, 1)])) == [
        (add_a, [(1,)]),
        (add_b, [(1,), (2,)]),
        (add_c, [(1, 1), (2, 1)]),
    ]


def test_empty_ops_vanish():
    assert merged((add_a, []), (add_b, [(1,)]), (add_a, [])) == [(add_b, [(1,)])]
    assert merged() == []


def test_a_run_holds_each_key_once():
    rows = [(1, "a"), (2, "b"), (1, "c"), (1, "d"), (3, "e")]
    assert list(distinct_runs(rows, (0,))) == [rows[:2], rows[2:3], rows[3:]]
    assert list(distinct_runs(rows, (0, 1))) == [rows]
    assert list(distinct_runs(rows, ())) == [rows]


unique = sa.Table(
    "unique",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Integer) for name in ("pair_a", "pair_b", "open", "lower", "free")),
    sa.UniqueConstraint("pair_a", "pair_b"),
    sa.Index("uq_open", "free", unique=True, sqlite_where=sa.text("open = 0"), postgresql_where=sa.text("open = 0")),
    sa.Index("ix_lower", "lower"),
)


@pytest.mark.parametrize(
    ("statement", "order"),
    [
        (Update(unique, key="id", set=("lower",)), False),
        (Update(unique, key="id", set=("lower", "pair_b")), True),
        (Update(unique, key="id", set=("open",)), True),
        (Update(unique, key="lower", set=("free",)), True),
        (Update(unique, key="lower", expressions={"lower": "lower + 1"}), True),
        (Update(unique, key="lower", expressions={"id": "id + 1"}), True),
        (Update(unique, key="id", expressions={"lower": "lower + 1"}), False),
        (Insert(unique, ("id", "pair_a")), False),
    ],
)
def test_what_changes_a_unique_column_goes_row_by_row(statement, order):
    assert needs_order(statement) is order
    rows = [(1, 2), (3, 4), (5, 6)]
    assert [list(run) for run in runs(statement, rows)] == ([[row] for row in rows] if order else [rows])


@pytest.mark.parametrize(
    ("count", "may_pad", "pieces"),
    [
        (0, False, []),
        (1, False, [(1, 1)]),
        (7, False, [(4, 4), (2, 2), (1, 1)]),
        (7, True, [(8, 7)]),
        (5, True, [(4, 4), (1, 1)]),
        (16, True, [(16, 16)]),
        (39, True, [(16, 16), (16, 16), (8, 7)]),
    ],
)
def test_pieces_are_powers_of_two(count, may_pad, pieces):
    assert list(plan(count, 16, may_pad)) == pieces
