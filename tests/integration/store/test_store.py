"""What the store promises, over both back ends."""

import sqlite3

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from store import (
    Op,
    StoreClosed,
    StoreConflict,
    StoreRefused,
    StoreUnavailable,
    open_store,
)
from tests.integration.store.tables import (
    COLUMNS,
    a_note,
    add_child,
    add_note,
    add_pair,
    add_text,
    child,
    drop_light,
    drop_note,
    drop_pair,
    heavy,
    keep_note,
    note,
    notes,
    pair,
    pairs,
    put_note,
    put_pair,
    set_note,
    sum_pair,
    texts,
    texts_alone,
    try_note,
)

HARD_TEXTS = [
    "",
    "plain",
    "quote ' double \" back \\ slash",
    "percent %s %% %(x)s ? :x",
    "line\nfeed\r\ttab\x01\x1f\x7f",
    "é € ß \u2028\u2029\ufeff",
    "\U0001f468\u200d\U0001f469 \U0010ffff",
    "null",
    "NULL",
    "{}[],",
    '\\n \\\\ \\" \\',
    '"',
    "\\.",
    "x" * 100_000,
]


async def rows_of(store, table=note):
    return await store.read(lambda tx: sorted(map(tuple, tx.sql.execute(sa.select(table)))))


async def ids_of(store):
    return await store.read(lambda tx: sorted(tx.sql.scalars(sa.select(note.c.id))))


async def select(store, statement, keys):
    return sorted(await store.read(lambda tx: tx.select(statement, keys)))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 31, 100, 511, 512, 513, 1500, 5000])
async def test_any_number_of_rows(store, count):
    rows = [a_note(at, text=f"t{at}", order=at % 5) for at in range(count)]
    await store.commit([Op(add_note, rows)])
    found = await select(store, notes, list(range(count)))
    assert [row[:-1] for row in found] == rows
    await store.commit([Op(set_note, [(at, f"u{at}", b"\x00\xff", -at) for at in range(count)])])
    found = await select(store, texts, [f"u{at}" for at in range(count)])
    assert found == [(at, f"u{at}", b"\x00\xff") for at in range(count)]
    await store.commit([Op(drop_note, [(at,) for at in range(count)])])
    assert await ids_of(store) == []


async def test_values_come_back_as_they_were(store):
    rows = [a_note(at, text=text) for at, text in enumerate(HARD_TEXTS)]
    rows += [
        a_note(2**63 - 1, kind=-(2**31), data=b"", weight=0.1),
        a_note(-(2**63), kind=99, text=None, data=bytes(range(256)), weight=-1.7976931348623157e308, is_open=True),
        a_note(100, data=b"x" * 100_000, weight=5e-324, order=2**31 - 1),
    ]
    await store.commit([Op(add_note, rows)])
    found = await select(store, notes, [row[0] for row in rows])
    assert [row[:-1] for row in found] == sorted(rows)
    # The hot way of reading and SQLAlchemy's agree.
    again = await store.read(
        lambda tx: [tuple(row) for row in tx.sql.execute(sa.select(*[note.c[n] for n in COLUMNS]))]
    )
    assert sorted(again) == sorted(rows)
    by_text = await select(store, texts, HARD_TEXTS)
    assert [row[1] for row in by_text if row[0] < len(HARD_TEXTS)] == HARD_TEXTS


@pytest.mark.parametrize("text", [*HARD_TEXTS, None], ids=lambda text: ascii(text)[:20])
async def test_new_rows_of_texts_come_back_as_they_were(store, text):
    """PostgreSQL takes rows without octets in another way than those with them."""
    rows = [(1, "plain", 1), (2, text or "", 2), (3, "plain again", 3)]
    await store.commit(
        [Op(add_pair, rows), Op(add_text, [(1, 1, text, True), (2, 2, "x", False), (3, 3, text, False)])]
    )
    assert await rows_of(store, pair) == rows
    assert await select(store, texts_alone, [1, 2, 3]) == [(1, text), (2, "x"), (3, text)]


@pytest.mark.parametrize("count", [1, 2, 2047, 2048, 2049, 5000])
async def test_any_number_of_rows_of_texts(store, count):
    rows = [(at, f"t{at}", at) for at in range(count)]
    assert await store.transact(lambda tx: tx.write(Op(add_pair, rows))) == count
    assert await rows_of(store, pair) == rows
    # The one that is there already is found in whatever piece it travels.
    with pytest.raises(StoreConflict) as raised:
        await store.commit([Op(add_pair, [(at + 10_000, "x", at) for at in range(count)] + [rows[-1]])])
    assert (raised.value.table, raised.value.constraint) == ("pair", "pk_pair")
    assert await rows_of(store, pair) == rows


async def test_rows_that_do_not_fit_are_refused_on_postgresql(postgres_url):
    """Neither cut nor wrapped around, and nothing of what came with them is written."""
    wrong = [
        (2, 2**31, "x", True),
        (2**63, 1, "x", True),
        (2, 1, "nul\0", True),
        (2, 1, "half \ud800", True),
        (2, 1, "x", 7),
        (2, "one", "x", True),
        (2, None, "x", True),
        (2, 1, "x"),
        (2, 1, "x", True, 1),
    ]
    async with open_store(postgres_url) as store:
        await store.transact(lambda tx: note.metadata.create_all(tx.sql))
        for row in wrong:
            with pytest.raises(StoreRefused):
                await store.commit([Op(add_text, [(1, 1, "fits", True), row])])
            assert await ids_of(store) == []


async def test_an_update_touches_its_keys_only(store):
    await store.commit([Op(add_note, [a_note(1), a_note(2), a_note(3, kind=60)])])
    await store.commit([Op(set_note, [(2, "new", None, 4), (9, "nobody", None, 4), (None, "none", None, 4)])])
    assert [row[2] for row in await select(store, notes, [1, 2, 3])] == ["hello", "new", "hello"]
    # A key twice in one op counts twice; the condition holds back the third.
    await store.commit([Op(try_note, [(1,), (2,), (1,), (3,), (1,)])])
    assert [row[-1] for row in await select(store, notes, [1, 2, 3])] == [3, 1, 0]


async def test_an_update_may_hand_a_unique_value_on(store):
    """Row by row each value is free when it is taken; in the databases' own order it might not be."""
    for order in ((1, 2, 3), (3, 2, 1)):
        texts_of = dict(zip(order, "abc", strict=True))
        await store.commit([Op(drop_note, [(1,), (2,), (3,)])])
        await store.commit([Op(add_note, [a_note(each, text=texts_of[each], is_open=True) for each in (1, 2, 3)])])
        # Whoever has a leaves it, whoever has b takes it, and so on.
        moves = list(zip(order, ("z", "a", "b"), strict=True))
        await store.commit([Op(set_note, [(identity, text, None, None) for identity, text in moves])])
        assert {row[0]: row[2] for row in await select(store, notes, [1, 2, 3])} == dict(moves)


async def test_an_upsert_adds_or_changes(store):
    await store.commit([Op(put_note, [(1, 5, "one", False), (2, 6, "two", False)])])
    await store.commit([Op(put_note, [(2, 7, "zwei", False), (3, 8, "three", False), (2, 9, "deux", False)])])
    found = await select(store, notes, [1, 2, 3])
    assert [(row[0], row[1], row[2], row[-1]) for row in found] == [
        (1, 5, "one", 0),
        (2, 9, "deux", 16),
        (3, 8, "three", 0),
    ]


async def test_an_upsert_may_leave_the_old_row(store):
    added = await store.transact(lambda tx: tx.write(Op(keep_note, [(1, 1, "a", True), (2, 1, "a", True)])))
    assert added == 1
    added = await store.transact(lambda tx: tx.write(Op(keep_note, [(3, 1, "a", True), (4, 1, "a", False)])))
    assert added == 1
    assert await ids_of(store) == [1, 4]


async def test_keys_of_several_columns(store):
    rows = [(at, text, 0) for at in range(40) for text in ("x", "y'", 'z"')]
    await store.commit([Op(add_pair, rows)])
    await store.commit([Op(sum_pair, [(1, "x", 5), (2, "y'", 6)]), Op(put_pair, [(3, "x", 7), (3, "new", 8)])])
    await store.commit([Op(drop_pair, [(at, "x") for at in range(4, 40)])])
    found = await select(
        store, pairs, [(1, "x"), (2, "y'"), (2, "x"), (3, "new"), (3, "x"), (4, "x"), (4, 'z"'), (1, "x")]
    )
    assert found == [(1, "x", 5), (2, "x", 0), (2, "y'", 6), (3, "new", 8), (3, "x", 7), (4, 'z"', 0)]
    assert len(await rows_of(store, pair)) == 120 + 1 - 36


async def test_conditions_of_deletes_and_selects(store):
    await store.commit([Op(add_note, [a_note(at, kind=at) for at in range(20)])])
    assert await select(store, heavy, range(20)) == [(6,), (7,), (8,), (9,), (16,), (17,), (18,), (19,)]
    removed = await store.transact(lambda tx: tx.write(Op(drop_light, [(at,) for at in range(10)])))
    assert removed == 5
    assert await ids_of(store) == [1, 3, 5, 7, 9, *range(10, 20)]


async def test_write_counts_the_rows_it_changed(store):
    def work(tx):
        return [
            tx.write(Op(add_note, [a_note(at) for at in range(700)])),
            tx.write(Op(set_note, [(at, "x", None, 1) for at in range(695, 705)])),
            tx.write(Op(drop_note, [(at,) for at in range(-5, 5)])),
            tx.write(Op(drop_note, [])),
        ]

    assert await store.transact(work) == [700, 5, 5, 0]


async def test_selecting_nothing_finds_nothing(store):
    assert await select(store, notes, []) == []
    assert await select(store, notes, [None, 5]) == []


async def test_work_sees_what_came_before_it_in_its_group(store):
    seen = []

    async def count():
        seen.append(await store.transact(lambda tx: tx.sql.scalar(sa.select(sa.func.count()).select_from(note))))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.commit, [Op(add_note, [a_note(1), a_note(2)])])
        nursery.start_soon(count)
    assert seen[0] in (0, 2)

    order = []

    async def in_order(at, work):
        order.append((at, await store.transact(work)))

    async with trio.open_nursery() as nursery:
        for at in range(50):
            # Each work returns how many rows there were before it: the order of calls.
            def work(tx, at=at):
                before = tx.sql.scalar(sa.select(sa.func.max(note.c.id)))
                tx.write(Op(add_note, [a_note(before + 1, order=at)]))
                return before

            if at == 25:
                await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(in_order, at, work)
    orders = await store.read(lambda tx: tx.sql.execute(sa.select(note.c.id, note.c.order).order_by(note.c.id)).all())
    assert [row[0] for row in orders] == list(range(1, 53))
    assert sorted(row[1] for row in orders[2:]) == list(range(50))
    assert sorted(order) == sorted((row[1], row[0] - 1) for row in orders[2:])


async def test_the_order_of_calls_is_the_order_of_commits(store):
    """The value of the last call must win."""
    await store.commit([Op(add_note, [a_note(1), a_note(2)])])
    for round_ in range(20):
        async with trio.open_nursery() as nursery:
            calls = []

            async def call(at, calls=calls):
                calls.append(at)
                await store.commit([Op(set_note, [(1, str(at), None, at)])])

            for at in range(round_ + 2):
                nursery.start_soon(call, at)
        assert (await select(store, notes, [1]))[0][2] == str(calls[-1])


async def test_one_that_is_wrong_hurts_no_other(store):
    """A failing submission in a group of fifty: it alone gets the error, all others are written."""
    await store.commit([Op(add_note, [a_note(1000)])])
    answers = {}

    async def commit(at, ops):
        try:
            await store.commit(ops)
            answers[at] = "written"
        except StoreConflict as error:
            answers[at] = (error.table, error.constraint)
        except StoreRefused:
            answers[at] = "refused"

    async with trio.open_nursery() as nursery:
        for at in range(50):
            ops = [Op(add_note, [a_note(at), a_note(1000 if at == 7 else at + 100)])]
            if at == 9:
                ops = [Op(add_note, [a_note(9)]), Op(add_note, [a_note(109, kind=100)])]
            if at == 11:
                ops = [Op(add_note, [a_note(11, text="lone \ud800")])]
            if at == 13:
                ops = [Op(add_note, [a_note(2**63)])]
            nursery.start_soon(commit, at, ops)
    assert answers.pop(7) == ("note", "pk_note")
    assert {at: answers.pop(at) for at in (9, 11, 13)} == {9: "refused", 11: "refused", 13: "refused"}
    assert set(answers.values()) == {"written"}
    good = [at for at in range(50) if at not in (7, 9, 11, 13)]
    assert await ids_of(store) == sorted([*good, *[at + 100 for at in good], 1000])
    assert store.statistics().pending_rows == 0


async def test_a_work_that_raises_gets_its_own_error_and_writes_nothing(store):
    class OursError(Exception):
        pass

    answers = {}

    async def transact(at):
        def work(tx):
            tx.write(Op(add_note, [a_note(at)]))
            if at % 3 == 0:
                raise OursError(at)
            return -at

        try:
            answers[at] = await store.transact(work)
        except OursError as error:
            answers[at] = error.args[0]

    async with trio.open_nursery() as nursery:
        for at in range(1, 40):
            nursery.start_soon(transact, at)
    assert answers == {at: at if at % 3 == 0 else -at for at in range(1, 40)}
    assert await ids_of(store) == [at for at in range(1, 40) if at % 3]


async def test_a_conflict_names_table_and_constraint(store):
    await store.commit([Op(add_note, [a_note(1, text="a", is_open=True)]), Op(add_pair, [(1, "b", 1)])])
    cases = [
        (Op(add_note, [a_note(1)]), "note", "pk_note"),
        (Op(add_note, [a_note(2, text="a", is_open=True)]), "note", "uq_note_open_text"),
        (Op(add_pair, [(1, "b", 2)]), "pair", "pk_pair"),
    ]
    for op, table, constraint in cases:
        with pytest.raises(StoreConflict) as raised:
            await store.commit([op])
        assert (raised.value.table, raised.value.constraint) == (table, constraint)
        with pytest.raises(StoreConflict):
            await store.transact(lambda tx, op=op: tx.write(op))

    def by_sqlalchemy(tx):
        tx.sql.execute(sa.insert(pair), [{"a": 1, "b": "b", "n": 1}])

    with pytest.raises(StoreConflict) as raised:
        await store.transact(by_sqlalchemy)
    assert raised.value.table == "pair"


async def test_errors_hold_no_values(store):
    secret = "Dear doctor"
    for row in (a_note(1, kind=100, text=secret), a_note(1, text=secret + "\ud800"), a_note(None, text=secret)):
        with pytest.raises(StoreRefused) as raised:
            await store.commit([Op(add_note, [row])])
        shown = repr(raised.value) + str(raised.value)
        assert secret not in shown
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


async def test_foreign_keys_hold_and_merging_keeps_their_order(store):
    with pytest.raises(StoreRefused):
        await store.commit([Op(add_child, [(1, 5)])])
    before = store.statistics().reruns
    async with trio.open_nursery() as nursery:
        for at in range(20):
            nursery.start_soon(store.commit, [Op(add_note, [a_note(at)]), Op(add_child, [(at, at)])])
    assert len(await rows_of(store, child)) == 20
    assert store.statistics().reruns == before


async def test_a_swallowed_error_cannot_become_a_silent_rollback(store):
    def work(tx):
        tx.write(Op(add_note, [a_note(1)]))
        try:
            tx.write(Op(add_note, [a_note(1)]))
        except StoreConflict:
            return "went on"

    with pytest.raises(StoreConflict):
        await store.transact(work)
    assert await ids_of(store) == []


async def test_a_savepoint_undoes_what_is_inside_it(store):
    def by_write(tx):
        tx.write(Op(add_note, [a_note(2)]))
        tx.write(Op(add_note, [a_note(1)]))

    def by_sqlalchemy(tx):
        rows = [{"id": identity, "kind": 1, "is_open": False} for identity in (3, 1)]
        tx.sql.execute(sa.insert(note), rows)

    def by_ourselves(tx):
        tx.write(Op(add_note, [a_note(5)]))
        raise ZeroDivisionError

    def work(tx):
        tx.write(Op(add_note, [a_note(1)]))
        for wrong, error in (
            (by_write, StoreConflict),
            (by_sqlalchemy, StoreConflict),
            (by_ourselves, ZeroDivisionError),
        ):
            with pytest.raises(error), tx.savepoint():
                wrong(tx)
        with tx.savepoint():
            tx.write(Op(add_note, [a_note(4)]))
        return "went on"

    assert await store.transact(work) == "went on"
    assert await ids_of(store) == [1, 4]


async def test_work_may_not_end_its_transaction(store):
    with pytest.raises(StoreRefused):
        await store.transact(lambda tx: tx.sql.rollback())
    await store.commit([Op(add_note, [a_note(1)])])
    assert await ids_of(store) == [1]


async def test_a_cancelled_waiter_leaves_the_others_alone(store):
    await store.commit([Op(add_note, [a_note(at) for at in range(1000, 1005)])])
    for round_ in range(10):
        done = []

        async def commit(at, done=done):
            await store.commit([Op(add_note, [a_note(at)])])
            done.append(at)

        base = round_ * 20
        async with trio.open_nursery() as nursery:
            for at in range(base, base + 10):
                nursery.start_soon(commit, at)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as doomed:
                    for at in range(base + 10, base + 15):
                        doomed.start_soon(commit, at)
                    await trio.lowlevel.checkpoint()
                    scope.cancel()
        assert sorted(each for each in done if each < base + 10) == list(range(base, base + 10))
        written = await ids_of(store)
        # A cancelled one is wholly written or not at all; what returned is written.
        assert set(done) <= set(written)
    assert store.statistics().pending_rows == 0
    await store.commit([Op(drop_note, [(1000,)])])


async def test_a_call_that_is_cancelled_before_it_waits_writes_nothing(store):
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.commit([Op(add_note, [a_note(1)])])
    await store.commit([Op(add_note, [a_note(2)])])
    assert await ids_of(store) == [2]


async def test_reads_see_a_snapshot_and_never_write(store):
    await store.commit([Op(add_note, [a_note(1)])])
    began, go_on = trio.Event(), trio.Event()

    def work(tx):
        first = tx.select(notes, [1, 2])
        trio.from_thread.run_sync(began.set)
        trio.from_thread.run(go_on.wait)
        return first, tx.select(notes, [1, 2])

    async with trio.open_nursery() as nursery:

        async def reader():
            first, second = await store.read(work)
            assert first == second
            assert len(first) == 1

        nursery.start_soon(reader)
        await began.wait()
        await store.commit([Op(add_note, [a_note(2)])])
        go_on.set()
    assert await ids_of(store) == [1, 2]
    with pytest.raises(StoreRefused):
        await store.read(lambda tx: tx.write(Op(add_note, [a_note(3)])))
    with pytest.raises((StoreRefused, StoreUnavailable)):
        await store.read(lambda tx: tx.sql.execute(sa.delete(note)))
    with pytest.raises(ZeroDivisionError):
        await store.read(lambda tx: 1 / 0)
    assert await ids_of(store) == [1, 2]


async def test_what_is_submitted_before_the_end_is_written(store_url):
    async with open_store(store_url) as store:
        await store.transact(lambda tx: note.metadata.create_all(tx.sql))
        async with trio.open_nursery() as nursery:
            for at in range(30):
                nursery.start_soon(store.commit, [Op(add_note, [a_note(at)])])
            await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(StoreClosed):
        await store.commit([Op(add_note, [a_note(99)])])
    with pytest.raises(StoreClosed):
        await store.read(lambda tx: None)
    async with open_store(store_url) as store:
        assert await ids_of(store) == list(range(30))


async def test_pending_rows_are_bounded_and_order_holds_at_the_bound(store_url):
    async with open_store(store_url, max_pending_rows=5) as store:
        await store.transact(lambda tx: note.metadata.create_all(tx.sql))
        await store.commit([Op(add_note, [a_note(0)])])
        calls, most = [], 0

        async def call(at):
            nonlocal most
            calls.append(at)
            await store.commit([Op(set_note, [(0, str(at), None, at)] * 3)])
            most = max(most, store.statistics().pending_rows)

        async with trio.open_nursery() as nursery:
            for at in range(200):
                nursery.start_soon(call, at)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            assert store.statistics().waiting > 0
            most = store.statistics().pending_rows
        assert 0 < most <= 5 + 3
        assert (await select(store, notes, [0]))[0][2] == str(calls[-1])
        assert store.statistics().waiting == 0


async def test_a_second_process_may_write_too(store, store_url):
    """As the command line does while the daemon runs."""
    async with open_store(store_url, node=1) as other, trio.open_nursery() as nursery:
        for at in range(100):
            nursery.start_soon((store, other)[at % 2].commit, [Op(add_note, [a_note(at)])])
    assert await ids_of(store) == list(range(100))


async def test_ids_rise_in_tasks_and_in_work(store):
    ids = [store.new_id(), *store.new_ids(5000)]
    ids += await store.transact(lambda tx: store.new_ids(3))
    store.advance_ids_past(ids[-1] + (1 << 40))
    ids.append(store.new_id())
    assert ids == sorted(set(ids))
    assert ids[-1] > ids[-2] + (1 << 40) - (1 << 22)


async def test_an_empty_commit_is_no_transaction(store):
    before = store.statistics().groups
    await store.commit([])
    assert store.statistics().groups == before


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "nonsense secret"])
async def test_a_url_that_makes_no_sense_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match="store") as raised:
        async with open_store(url):
            pass
    assert "secret" not in str(raised.value)


async def test_a_database_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(StoreUnavailable):
        async with open_store(f"sqlite:///{tmp_path}/missing/store.db"):
            pass
    with pytest.raises(StoreUnavailable):
        async with open_store(f"postgresql://u:secret@/d?host={tmp_path}"):
            pass


async def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("Dear customer, " * 1000)
    with pytest.raises(StoreUnavailable):
        async with open_store(f"sqlite:///{path}"):
            pass
    assert path.read_text() == "Dear customer, " * 1000


async def test_sqlite_is_durable(tmp_path):
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        pragmas = await store.transact(
            lambda tx: [tx.sql.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        )
        assert pragmas == ["wal", 2]
    assert sqlite3.connect(tmp_path / "store.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
