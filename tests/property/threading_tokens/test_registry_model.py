"""The registry against a model of a few dicts, over SQLite and over PostgreSQL, with two nodes in each other's way.

The model knows the rules only by the texts that it sends: each text says what it must do. What is proved: never two
open threads of a pair; tokens are unique; a closed token never resolves; another call centre's never does; the rows are
what the answers said. On PostgreSQL a second node's batch runs into a first that has not committed, which then commits
or rolls back.

No trio here: transactions are driven by hand, so that two of them can interleave.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store import Transaction, metadata
from store.store import backend_for
from threading_tokens import (
    AlreadyDesignated,
    Designation,
    ExpiredToken,
    ForeignToken,
    Resolution,
    Thread,
    ThreadArrival,
    ThreadRules,
    TokenError,
    registry,
)
from threading_tokens.tables import event_table, thread_table

MINUTE = 60_000_000
START = 1_700_000_000_000_000
RULES = {
    "acme": ThreadRules(idle_us=10 * MINUTE, max_age_us=30 * MINUTE, products=("Router", "Modem")),
    "other": ThreadRules(idle_us=0, key_phrases=(), products=("Modem",)),
}
# What each text says to the rules of each call centre: whether it begins anew, and the products it names.
TEXTS: dict[str, dict[str, tuple[bool, tuple[str, ...]]]] = {
    "acme": {
        "hello": (False, ()),
        "I have a New  Problem.": (True, ()),
        "the router!": (False, ("Router",)),
        "MODEM": (False, ("Modem",)),
        "new problem: modem": (True, ("Modem",)),
        "is the router a modem?": (False, ("Router", "Modem")),
        "renew problems, rerouter": (False, ()),
    },
    "other": {"hello": (False, ()), "new problem": (False, ()), "my Modem": (False, ("Modem",)), "router": (False, ())},
}
CSRS = [Designation("address", "alice@desk.example"), Designation("login", "bob")]
WAIT_S = 20


class Step(NamedTuple):
    """One arrival, as hypothesis makes it."""

    call_centre: str
    number: str
    customer: str
    text: str
    endpoint: str
    outbound: bool


class Known(NamedTuple):
    """What the model knows of an open thread."""

    token: str
    opened_us: int
    last_us: int
    product: str = ""
    channel: str = "sms"
    csr: Designation | None = None


Pair = tuple[str, str, str]

steps = st.sampled_from(sorted(RULES)).flatmap(
    lambda call_centre: st.builds(
        Step,
        st.just(call_centre),
        st.sampled_from(["+1800", "+1801"]),
        st.sampled_from(["+1617", "+1618", "ACME Bank"]),
        st.sampled_from(sorted(TEXTS[call_centre])),
        st.sampled_from(["link:one", "link:two"]),
        st.booleans(),
    )
)
batches = st.lists(steps, min_size=1, max_size=6)
tokens = st.integers(min_value=0)


def arrivals_of(batch: list[Step]) -> list[ThreadArrival]:
    return [
        ThreadArrival(step.call_centre, step.number, step.customer, step.endpoint, step.text, step.outbound)
        for step in batch
    ]


class RegistryMachine(RuleBasedStateMachine):
    """See the module's head."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.backend = backend_for(self.url, synchronous="OFF")
        self.connections = [self.backend.connect(read_only=False) for _ in range(2)]
        with self.connections[0].begin():
            metadata.create_all(self.connections[0], [thread_table, event_table])
            self.connections[0].execute(event_table.delete())
            self.connections[0].execute(thread_table.delete())
        ids = count(1)
        self.new_id: Callable[[], int] = lambda: next(ids)
        self.now_us = START
        self.open: dict[Pair, Known] = {}
        self.closed: set[str] = set()
        self.owners: dict[str, str] = {}  # of every token there ever was, the call centre

    def teardown(self) -> None:
        for connection in self.connections:
            connection.close()
        self.backend.dispose()

    @contextmanager
    def transaction(self, node: int = 0) -> Iterator[Transaction]:
        with self.connections[node].begin():
            yield Transaction(self.backend, self.connections[node])

    def resolve(self, tx: Transaction, batch: list[Step]) -> list[Resolution]:
        return registry.resolve(tx, arrivals_of(batch), RULES, self.now_us, self.new_id)

    # --- What the model expects -------------------------------------------------------------------------------------

    def expected_news(self, step: Step, known: Known | None) -> str:
        rules = RULES[step.call_centre]
        begins, products = TEXTS[step.call_centre][step.text]
        if known is None:
            return "new:outbound" if step.outbound else "new:new-address"
        if rules.max_age_us and self.now_us > known.opened_us + rules.max_age_us:
            return "new:max-age"
        if rules.idle_us and self.now_us > known.last_us + rules.idle_us:
            return "new:elapsed"
        if step.outbound:
            return ""
        if begins:
            return "new:key-phrase"
        if products and known.product and known.product not in products:
            return "new:product"
        return ""

    def check(self, step: Step, resolution: Resolution) -> None:
        """Compare one answer with the model, and take it over."""
        pair = step[:3]
        known = self.open.get(pair)
        news = self.expected_news(step, known)
        assert resolution.news == news
        thread = resolution.thread
        assert (thread.call_centre, thread.number, thread.customer) == pair
        assert thread.is_open
        products = () if step.outbound else TEXTS[step.call_centre][step.text][1]
        if news:
            assert thread.token not in self.owners
            assert (resolution.closed.token if resolution.closed else None) == (known.token if known else None)
            if known is not None:
                self.closed.add(known.token)
            self.owners[thread.token] = step.call_centre
            known = Known(thread.token, self.now_us, self.now_us, products[0] if products else "")
        else:
            assert known is not None
            assert resolution.closed is None
            product = known.product or (products[0] if products else "")
            known = known._replace(last_us=self.now_us, product=product, channel="sms")
        self.open[pair] = known
        self.agree(thread, known)

    def agree(self, thread: Thread, known: Known) -> None:
        assert (thread.token, thread.opened_us, thread.last_us) == known[:3]
        assert (thread.product, thread.channel, thread.designation) == known[3:]

    def pair_at(self, choice: int) -> Pair:
        return sorted(self.open)[choice % len(self.open)]

    # --- What happens -----------------------------------------------------------------------------------------------

    @rule(batch=batches)
    def arrive(self, batch: list[Step]) -> None:
        with self.transaction() as tx:
            answers = self.resolve(tx, batch)
        for step, answer in zip(batch, answers, strict=True):
            self.check(step, answer)

    @rule(batch=batches)
    def arrive_in_vain(self, batch: list[Step]) -> None:
        with self.connections[0].begin() as transaction:
            self.resolve(Transaction(self.backend, self.connections[0]), batch)
            transaction.rollback()

    @precondition(lambda self: self.url.startswith("postgresql"))
    @rule(first=batches, second=batches, commits=st.booleans())
    def race(self, first: list[Step], second: list[Step], commits: bool) -> None:
        answers: list[Any] = []

        def follow() -> None:
            try:
                with self.transaction(1) as tx:
                    answers.append(self.resolve(tx, second))
            except BaseException as error:
                answers.append(error)

        follower = threading.Thread(target=follow)
        with self.connections[0].begin() as transaction:
            leading = self.resolve(Transaction(self.backend, self.connections[0]), first)
            follower.start()
            if {step[:3] for step in first} & {step[:3] for step in second}:
                self.wait_for_a_lock(follower)
            else:
                follower.join(WAIT_S)
                assert not follower.is_alive(), "nodes with nothing in common wait for each other"
            if not commits:
                transaction.rollback()
        follower.join(WAIT_S)
        assert not follower.is_alive()
        if isinstance(answers[0], BaseException):
            raise answers[0]
        if commits:
            for step, answer in zip(first, leading, strict=True):
                self.check(step, answer)
        for step, answer in zip(second, answers[0], strict=True):
            self.check(step, answer)

    def wait_for_a_lock(self, follower: threading.Thread) -> None:
        question = sqlalchemy.text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        watcher = self.backend.connect(read_only=False)
        try:
            # The second node meets the first's uncommitted rows, so it waits; were it to end instead, the answers show.
            while follower.is_alive():
                with watcher.begin():
                    if watcher.execute(question).scalar_one():
                        return
        finally:
            watcher.close()

    @rule(minutes=st.sampled_from([1, 9, 10, 11, 31]), exactly=st.booleans())
    def wait(self, minutes: int, exactly: bool) -> None:
        self.now_us += minutes * MINUTE + (0 if exactly else 1)

    @rule(limit=st.integers(1, 4))
    def sweep(self, limit: int) -> None:
        due = {
            known.token
            for pair, known in self.open.items()
            if pair[0] == "acme"
            and (self.now_us > known.last_us + 10 * MINUTE or self.now_us > known.opened_us + 30 * MINUTE)
        }
        swept: set[str] = set()
        while True:
            with self.transaction() as tx:
                closed = registry.expire(tx, RULES, self.now_us, limit, self.new_id)
            assert len(closed) <= limit
            swept |= {thread.token for thread in closed}
            assert swept <= due
            if len(closed) < limit:
                break
        # One that is full of threads that were touched may leave some for the next.
        with self.transaction() as tx:
            swept |= {thread.token for thread in registry.expire(tx, RULES, self.now_us, 100, self.new_id)}
        assert swept == due
        self.closed |= due
        self.open = {pair: known for pair, known in self.open.items() if known.token not in due}

    @precondition(lambda self: self.open)
    @rule(choice=tokens, reason=st.sampled_from(["", "solved"]))
    def release(self, choice: int, reason: str) -> None:
        pair = self.pair_at(choice)
        known = self.open.pop(pair)
        self.closed.add(known.token)
        with self.transaction() as tx:
            thread = registry.release(
                tx, pair[0], known.token, by="csr", reason=reason, now_us=self.now_us, new_id=self.new_id
            )
        assert thread.close_reason == (reason or "released")

    @precondition(lambda self: self.open)
    @rule(choice=tokens, csr=st.sampled_from(CSRS), is_transfer=st.booleans())
    def give(self, choice: int, csr: Designation, is_transfer: bool) -> None:
        pair = self.pair_at(choice)
        known = self.open[pair]
        function = registry.transfer if is_transfer else registry.designate
        with self.transaction() as tx:
            if known.csr not in (None, csr) and not is_transfer:
                with pytest.raises(AlreadyDesignated):
                    function(tx, pair[0], known.token, csr, by="x", now_us=self.now_us, new_id=self.new_id)
                return
            thread = function(tx, pair[0], known.token, csr, by="x", now_us=self.now_us, new_id=self.new_id)
        self.open[pair] = known._replace(csr=csr)
        self.agree(thread, self.open[pair])

    @rule(step=steps, direction=st.sampled_from(["in", "out"]), csr=st.sampled_from([None, *CSRS]))
    def call(self, step: Step, direction: str, csr: Designation | None) -> None:
        pair = step[:3]
        known = self.open.get(pair)
        with self.transaction() as tx:
            resolution = registry.note_call(
                tx,
                *pair,
                direction=direction,
                started_us=self.now_us,
                rules=RULES[pair[0]],
                now_us=self.now_us,
                new_id=self.new_id,
                csr=csr,
            )
        quiet = step._replace(text="hello", outbound=True)
        news = self.expected_news(quiet, known)
        assert resolution.news == ("new:call" if news == "new:outbound" else news)
        if news:
            if known is not None:
                self.closed.add(known.token)
            assert resolution.thread.token not in self.owners
            self.owners[resolution.thread.token] = pair[0]
            known = Known(resolution.thread.token, self.now_us, self.now_us)
        assert known is not None
        self.open[pair] = known._replace(last_us=self.now_us, channel="voice", csr=known.csr or csr)
        self.agree(resolution.thread, self.open[pair])

    @precondition(lambda self: self.open)
    @rule(choices=st.lists(tokens, min_size=1, max_size=4))
    def answer(self, choices: list[int]) -> None:
        pairs = {self.pair_at(choice) for choice in choices}
        for call_centre in sorted({pair[0] for pair in pairs}):
            mine = sorted(pair for pair in pairs if pair[0] == call_centre)
            with self.transaction() as tx:
                found = registry.by_token(tx, call_centre, [self.open[pair].token for pair in mine])
                threads = [thread for thread in found if isinstance(thread, Thread)]
                assert len(threads) == len(mine)
                registry.touch(tx, threads, self.now_us)
            for pair in mine:
                self.open[pair] = self.open[pair]._replace(last_us=self.now_us)

    # --- What always holds ------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.now_us = START

    @invariant()
    def every_token_answers_as_it_should(self) -> None:
        names = sorted(self.owners)
        with self.transaction() as tx:
            answers = {call_centre: registry.by_token(tx, call_centre, names) for call_centre in RULES}
        living = {known.token: pair for pair, known in self.open.items()}
        for call_centre, found in answers.items():
            for name, answer in zip(names, found, strict=True):
                if self.owners[name] != call_centre:
                    assert isinstance(answer, ForeignToken)
                elif name in self.closed:
                    assert isinstance(answer, ExpiredToken)
                else:
                    assert not isinstance(answer, TokenError)
                    self.agree(answer, self.open[living[name]])

    @invariant()
    def the_rows_are_the_models(self) -> None:
        with self.transaction() as tx:
            threads = registry.list_threads(tx, None, open_only=False, limit=10_000)
            events = tx.sql.execute(sqlalchemy.select(event_table.c.thread_id, event_table.c.kind)).all()
        running = [thread for thread in threads if thread.is_open]
        assert sorted((t.call_centre, t.number, t.customer) for t in running) == sorted(self.open)
        assert len({thread.token for thread in threads}) == len(threads) == len(self.owners)
        # Each thread has one beginning, and one end if it ended.
        for kinds, ids in (
            (("opened",), [thread.id for thread in threads]),
            (("closed", "expired", "released"), [thread.id for thread in threads if not thread.is_open]),
        ):
            assert sorted(thread_id for thread_id, kind in events if kind in kinds) == sorted(ids)


def machine_for(url: str) -> type[RegistryMachine]:
    return type("BoundRegistryMachine", (RegistryMachine,), {"url": url})


def test_over_sqlite(tmp_path: Path) -> None:
    run_state_machine_as_test(
        machine_for(f"sqlite:///{tmp_path}/model.db"), settings=settings(max_examples=150, stateful_step_count=30)
    )


@pytest.mark.slow
def test_over_postgresql_with_two_nodes(postgres_url: str) -> None:
    run_state_machine_as_test(machine_for(postgres_url), settings=settings(max_examples=60, stateful_step_count=25))
