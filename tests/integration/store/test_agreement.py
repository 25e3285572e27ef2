"""SQLite, PostgreSQL and a plain model agree: what is written, what is answered, in what order.

One stateful machine gives the same groups of submissions to all three. A group is really one: a work that waits holds
the writer until all of it was called, in a known order.
"""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import trio
import trio.testing
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from store import Delete, Insert, Op, SelectByKeys, StoreConflict, StoreRefused, Update, Upsert, open_store
from tests.integration.store.tables import (
    add_pair,
    drop_note,
    drop_pair,
    metadata,
    note,
    pair,
    pairs,
    put_pair,
    set_note,
    sum_pair,
    try_note,
)

add = Insert(note, ("id", "kind", "text", "is_open"))
put = Upsert(
    note,
    ("id", "kind", "text", "is_open"),
    conflict="id",
    update=("kind",),
    expressions={"attempts": "note.attempts + excluded.kind"},
)
keep = Upsert(note, ("id", "kind", "text", "is_open"), conflict="id", update="nothing")
close = Update(note, key="text", set=("kind",), expressions={"is_open": "(1 = 0)"}, where="is_open")
drop_kind = Delete(note, "kind", where="attempts < 3")
by_kind = SelectByKeys(note, ("id", "kind", "text", "data", "is_open", "order", "attempts"), key="kind")
by_id = SelectByKeys(note, by_kind.columns, key="id")
NOTE_COLUMNS = by_kind.columns

ids = st.integers(0, 4)
BROKEN = 100  # breaks a check
kinds = st.sampled_from([0, 1, 2, 60, BROKEN])  # 60 is past the condition of try_note
words = st.sampled_from(["a", "b", "ü'\"\\%", "\n\\.\n", "null", None])


def rows(*values, max_size=4):
    return st.lists(st.tuples(*values), min_size=1, max_size=max_size)


note_rows = rows(ids, kinds, words, st.booleans())
ops = st.one_of(
    st.builds(Op, st.sampled_from([add, put, keep]), note_rows),
    st.builds(Op, st.just(set_note), rows(ids, words, st.sampled_from([None, b"", b"\x00\xff"]), ids)),
    st.builds(Op, st.just(try_note), rows(ids)),
    st.builds(Op, st.just(close), rows(words, st.integers(0, 2))),
    st.builds(Op, st.just(drop_note), rows(ids)),
    st.builds(Op, st.just(drop_kind), rows(kinds)),
    st.builds(Op, st.sampled_from([add_pair, put_pair, sum_pair]), rows(ids, st.sampled_from("xy"), ids)),
    st.builds(Op, st.just(drop_pair), rows(ids, st.sampled_from("xy"))),
)
submissions = st.tuples(st.sampled_from(["commit", "transact", "raise"]), st.lists(ops, min_size=1, max_size=3))


class OursError(Exception):
    pass


# --- The model ------------------------------------------------------------------------------------------------------


class Model:
    """What the statements mean, row by row, over two dictionaries."""

    def __init__(self) -> None:
        self.notes: dict[int, dict] = {}
        self.pairs: dict[tuple, int] = {}

    def submit(self, how, ops):
        """All of it or nothing. Returns the answer."""
        before = {key: dict(row) for key, row in self.notes.items()}, dict(self.pairs)
        try:
            counts = [self.write(op) for op in ops]
            if how == "raise":
                raise OursError
        except (OursError, StoreConflict, StoreRefused) as error:
            self.notes, self.pairs = before
            return type(error).__name__
        return counts if how == "transact" else None

    def write(self, op):
        return sum([self.write_row(op.statement, row) for row in op.rows])

    def write_row(self, statement, row):
        if statement.table is pair:
            return self.write_pair(statement, row)
        if statement in (add, put, keep):
            return self.put_note(statement, dict(zip(statement.columns, row, strict=True)))
        if statement is drop_note:
            return self.remove([row[0]] if row[0] in self.notes else [])
        if statement is drop_kind:
            return self.remove(
                [key for key, each in self.notes.items() if each["kind"] == row[0] and each["attempts"] < 3]
            )
        if statement is close:
            found = [each for each in self.notes.values() if each["text"] == row[0] and row[0] and each["is_open"]]
            changes = {"kind": row[1], "is_open": False}
        elif statement is try_note:
            found = [self.notes[row[0]]] if row[0] in self.notes and self.notes[row[0]]["kind"] < 50 else []
            changes = {"attempts": found[0]["attempts"] + 1} if found else {}
        else:
            found = [self.notes[row[0]]] if row[0] in self.notes else []
            changes = dict(zip(("text", "data", "order"), row[1:], strict=True))
        for each in found:
            self.check({**each, **changes})
            each.update(changes)
        return len(found)

    def remove(self, keys):
        for key in keys:
            del self.notes[key]
        return len(keys)

    def put_note(self, statement, values):
        old = self.notes.get(values["id"])
        if statement is not add and values["kind"] >= 100:
            raise StoreRefused("check")  # checked before the conflict is looked for
        if old is None or statement is add:
            self.check(values, is_new=True)
            self.notes[values["id"]] = {"data": None, "order": None, "attempts": 0, **values}
            return 1
        if statement is keep:
            return 0
        old["attempts"] += values["kind"]
        old["kind"] = values["kind"]
        return 1

    def check(self, values, *, is_new=False):
        if values["kind"] >= 100:
            raise StoreRefused("check")
        if is_new and values["id"] in self.notes:
            raise StoreConflict("note", "pk_note")
        others = [each for each in self.notes.values() if each["id"] != values["id"] and each["is_open"]]
        if values["is_open"] and values["text"] is not None and values["text"] in [each["text"] for each in others]:
            raise StoreConflict("note", "uq_note_open_text")

    def write_pair(self, statement, row):
        key = row[:2]
        if statement is drop_pair:
            return self.pairs.pop(key, None) is not None
        if statement is sum_pair and key not in self.pairs:
            return 0
        if statement is add_pair and key in self.pairs:
            raise StoreConflict("pair", "pk_pair")
        self.pairs[key] = row[2]
        return 1

    def state(self):
        found = sorted(tuple(row[name] for name in NOTE_COLUMNS) for row in self.notes.values())
        return found, sorted((*key, n) for key, n in self.pairs.items())


def agree(answers, expected, group):
    """Whether a store answers a group as the model does. Of several rows that are wrong it may name any."""
    return all(
        answer == wanted or ({answer, wanted} == {"StoreConflict", "StoreRefused"} and any(map(is_broken, ops)))
        for answer, wanted, (_, ops) in zip(map(hashable, answers), map(hashable, expected), group, strict=True)
    )


def is_broken(op):
    return op.statement in (add, put, keep) and any(row[1] == BROKEN for row in op.rows)


def hashable(answer):
    return tuple(answer) if isinstance(answer, list) else answer


# --- The two stores -------------------------------------------------------------------------------------------------


class Stores:
    """Both back ends, open in a trio thread of their own; the machine's steps are plain calls."""

    def __init__(self, *urls) -> None:
        self._urls = urls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._hold,))

    async def _hold(self):
        self._token, self._end = trio.lowlevel.current_trio_token(), trio.Event()
        async with open_store(self._urls[0]) as first, open_store(self._urls[1]) as second:
            self._stores = (first, second)
            for store in self._stores:
                await store.transact(lambda tx: metadata.create_all(tx.sql))
            self._ready.set()
            await self._end.wait()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._token.run_sync_soon(self._end.set)
        self._thread.join()

    def each(self, function, *arguments):
        """Run an async function with each store."""
        return [trio.from_thread.run(function, store, *arguments, trio_token=self._token) for store in self._stores]


async def clear(store):
    await store.transact(lambda tx: [tx.sql.execute(sa.delete(table)).close() for table in (note, pair)])


async def submit_group(store, group):
    """Submit all in order while the writer is held. Returns their answers in order."""
    answers = [None] * len(group)
    gate = threading.Event()

    async def submit(at, how, ops):
        def work(tx):
            counts = [tx.write(op) for op in ops]
            if how == "raise":
                raise OursError
            return counts

        try:
            answers[at] = await (store.commit(ops) if how == "commit" else store.transact(work))
        except (OursError, StoreConflict, StoreRefused) as error:
            answers[at] = type(error).__name__

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.transact, lambda tx: gate.wait(60))
        for at, (how, ops) in enumerate(group):
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(submit, at, how, ops)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    return answers


async def state_of(store):
    def work(tx):
        found = sorted(tx.select(by_id, range(5)))
        kinds = [row[1] for row in found]
        assert sorted(tx.select(by_kind, kinds)) == found
        pairs_ = sorted(tx.select(pairs, [(a, b) for a in range(5) for b in "xy"]))
        assert len(found) == tx.sql.scalar(sa.select(sa.func.count()).select_from(note))
        return found, pairs_

    return await store.read(work)


@pytest.fixture
def stores(tmp_path, postgres_url) -> Iterator[Stores]:
    with Stores(f"sqlite:///{tmp_path}/store.db", postgres_url) as stores:
        yield stores


@pytest.mark.slow
def test_all_agree(stores, scale):
    class Machine(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.model = Model()
            stores.each(clear)

        @rule(group=st.lists(submissions, min_size=1, max_size=6))
        def submit(self, group):
            expected = [self.model.submit(how, ops) for how, ops in group]
            for answers in stores.each(submit_group, group):
                assert agree(answers, expected, group), (answers, expected)

        @invariant()
        def same(self):
            if hasattr(self, "model"):
                for state in stores.each(state_of):
                    assert state == self.model.state()

    # Without shrinking: groups are small, and shrinking a failure over two databases outlasts the time that a test has.
    phases = (Phase.reuse, Phase.generate)
    bounds = settings(max_examples=40 * scale, stateful_step_count=10, deadline=None, phases=phases)
    run_state_machine_as_test(Machine, settings=bounds)
