"""Whatever travels together means the same as one by one."""

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from store import Delete, Insert, Op, Update
from store.batching import PADDING, distinct_runs, merge, plan
from store.ids import MAX_ID, IdClock

LAST_US = 3_900_000_000_000_000  # in 2093; ids end soon after

metadata = sa.MetaData()
tables = [
    sa.Table(
        f"t{at}",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.ForeignKey(f"t{at - 1}.id") if at in (1, 3) else sa.Integer()),
    )
    for at in range(4)
]
statements = [
    statement
    for table in tables
    for statement in (Insert(table, ("id", "n")), Update(table, key="id", set=("n",)), Delete(table, ("id", "n")))
]
bound = {frozenset({"t0", "t1"}), frozenset({"t2", "t3"})}


@given(st.lists(st.tuples(st.sampled_from(statements), st.integers(0, 3))))
def test_merging_only_swaps_what_has_nothing_to_do_with_each_other(plan_):
    ops, number = [], 0
    for statement, count in plan_:
        ops.append(Op(statement, [(number + at, 0) for at in range(count)]))
        number += count
    before = [(op.statement.table.name, row[0]) for op in ops for row in op.rows]
    merged = merge(ops)
    after = [(op.statement.table.name, row[0]) for op in merged for row in op.rows]
    assert sorted(before) == sorted(after)
    statement_of = {row[0]: op.statement for op in ops for row in op.rows}
    assert all(statement_of[row[0]] is op.statement for op in merged for row in op.rows)
    # Rows are numbered in the order of calls: a later one may stand first only when the tables are strangers.
    for at, (table, row) in enumerate(after):
        for other, later in after[at + 1 :]:
            if later < row:
                assert table != other
                assert frozenset({table, other}) not in bound


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2))), st.sampled_from([(), (0,), (0, 1)]))
def test_runs_are_the_rows_in_order_and_hold_no_key_twice(rows, identity):
    runs = list(distinct_runs(rows, identity))
    assert [row for run in runs for row in run] == rows
    if identity:
        for run in runs:
            keys = [tuple(row[at] for at in identity) for row in run]
            assert len(set(keys)) == len(keys)


@given(st.integers(0, 5000), st.integers(0, 9), st.booleans())
def test_a_plan_takes_all_rows_in_few_pieces(count, exponent, may_pad):
    largest = 1 << exponent
    pieces = plan(count, largest, may_pad)
    assert sum(taken for _, taken in pieces) == count
    assert all(size & (size - 1) == 0 and 0 < taken <= size <= largest for size, taken in pieces)
    assert all(size == taken or may_pad for size, taken in pieces)
    assert sum(size for size, _ in pieces) <= count * PADDING / (PADDING - 1)
    assert len(pieces) <= count // largest + exponent


@given(
    st.lists(st.tuples(st.integers(-(2**62), LAST_US), st.integers(0, 5000), st.booleans()), max_size=20),
    st.integers(0, 1023),
)
def test_ids_rise_whatever_the_clock_does(steps, node):
    clock, last = IdClock(node), -1
    for now_us, count, knows in steps:
        if knows and last >= 0:
            last += count << 22
            clock.advance_past(last)
        ids = clock.take(count, now_us)
        assert ids == sorted(set(ids))
        assert all(last < identity <= MAX_ID and identity >> 12 & 1023 == node for identity in ids)
        last = ids[-1] if ids else last
