"""The publisher over a real database, with a registry in memory that can be slow, wrong, silent, and well again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import asynccontextmanager

import msgspec
import pytest
import sqlalchemy
import trio

from provisioning import (
    Block,
    CallCentre,
    CarrierDirectory,
    Loa,
    Number,
    ProvisioningError,
    WhiteList,
    built,
    catalog,
    directory_publisher,
    load_directory,
    publication,
    publisher,
)
from provisioning.directories import Answer, Finding
from provisioning.publication import PublishedByAnother
from provisioning.publisher import Publisher
from provisioning.publishing_rules import UNCOVERED, State
from provisioning.publishing_steps import KEPT_US, forgettable, resume, sweep
from provisioning.tables import block_table

sqlite_only = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
BOUND_S = 60.0  # for what takes a second
DAY_US = 86_400_000_000
SIZE = 30
BLOCK = built(Block, first="+16175550000", last=f"+161755500{SIZE - 1}", call_centre="a", element="SPID:6006")
LETTER = built(
    Loa,
    name="l1",
    call_centre="a",
    owner="O",
    designee="D",
    contact="C",
    numbers=["+16175550000-+16175559999"],
    valid_from="2020-01-01",
    signed_by="x",
    signed_on="2020-01-01",
    digest="sha256:" + "0" * 64,
)


def a_directory(name, **more):
    given = {"batch": 7, "timeout_s": 0.1, "retry_first_s": 0.1, "retry_longest_s": 1, **more}
    return built(CarrierDirectory, name=name, adapter="file", drop_directory="/nowhere", **given)


class Registry:
    """An adapter and what is behind it.

    Attributes:
        listed: number → what it was last told of it.
        told: how often it was told each key.
        keys: the keys that it was told of each number.
        trouble: called at the begin of each call, to raise, hang, or answer instead.
        answers_later: answers SUBMITTED, and decides when it is looked up.
    """

    def __init__(self):
        self.listed = {}
        self.told = Counter()
        self.keys = {}
        self.trouble = None
        self.answers_later = False
        self.is_closed = False

    def _call(self, tasks, one):
        instead = self.trouble(tasks) if self.trouble else None
        return [one(task) for task in tasks] if instead is None else instead

    def _tell(self, task, listing):
        self.told[task.key] += 1
        self.keys.setdefault(task.listing.number, []).append(task.key)
        if listing is None:
            self.listed.pop(task.listing.number, None)
        else:
            self.listed[task.listing.number] = listing
        if self.answers_later:
            return Answer(Finding.SUBMITTED, remote_id=f"r-{task.key}")
        return Answer(Finding.ABSENT if listing is None else Finding.ACTIVE)

    def _look(self, task):
        there = self.listed.get(task.listing.number)
        if there is None:
            return Answer(Finding.ABSENT)
        assert not self.answers_later or task.remote_id == f"r-{task.key}"
        return Answer(Finding.ACTIVE if there == task.listing else Finding.DIFFERS)

    def publish(self, tasks):
        return self._call(tasks, lambda task: self._tell(task, task.listing))

    def withdraw(self, tasks):
        return self._call(tasks, lambda task: self._tell(task, None))

    def confirm(self, tasks):
        return self._call(tasks, self._look)

    def close(self):
        self.is_closed = True


class Site:
    """A store with a call centre, directories, and a publisher that can be stopped and started."""

    def __init__(self, store):
        self.store = store
        self.ahead_us = 0
        self.snapshot = None
        self.registries = {}
        self.publisher = None

    def clock(self):
        return time.time_ns() // 1000 + self.ahead_us

    async def apply(self, *entries):
        await self.store.transact(lambda tx: catalog.apply(tx, entries, who="t", now_us=self.clock()))
        self.snapshot = await self.store.read(load_directory)

    async def remove(self, kind, key):
        await self.store.transact(lambda tx: catalog.remove(tx, kind, key, who="t", now_us=self.clock()))
        self.snapshot = await self.store.read(load_directory)

    async def publish(self, **more):
        given = {"call_centre": "a", "who": "t", "now_us": self.clock(), **more}
        return await self.store.transact(lambda tx: publication.publish(tx, **given))

    async def withdraw(self, **more):
        given = {"call_centre": "a", "who": "t", "now_us": self.clock(), **more}
        return await self.store.transact(lambda tx: publication.withdraw(tx, **given))

    async def rows(self, directory="one"):
        return await self.store.read(lambda tx: publication.numbers(tx, directories=[directory], limit=None))

    async def states(self, directory="one"):
        return Counter(State(row.state).word for row in await self.rows(directory))

    async def until(self, condition):
        with trio.fail_after(BOUND_S):
            while not await condition():  # noqa: ASYNC110 - it is in the database
                await trio.sleep(0.02)

    async def until_states(self, directory="one", **wanted):
        try:
            await self.until(lambda: self._is(directory, wanted))
        except trio.TooSlowError:
            raise AssertionError(f"{await self.states(directory)} instead of {wanted}") from None

    async def _is(self, directory, wanted):
        return await self.states(directory) == wanted

    @asynccontextmanager
    async def publishing(self):
        self.publisher = Publisher(self.store, lambda: self.snapshot, {}, self.clock, self._make, poll_s=0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.publisher.run)
            yield self.publisher
            nursery.cancel_scope.cancel()

    def _make(self, directory, environ):
        return self.registries.setdefault(directory.name, Registry())


@pytest.fixture
async def site(store, request):
    made = Site(store)
    await made.apply(built(CallCentre, name="a", title="Acme"), BLOCK, a_directory("one"))
    await made.apply(getattr(request, "param", LETTER))
    made.registries["one"] = Registry()
    return made


async def has_called(publisher, result, times):
    return publisher.tally.calls["one", "publish", result] >= times


def cannot_be_reached(tasks):
    raise ConnectionRefusedError(111, "Connection refused")


async def is_true(condition):
    return bool(condition())


async def test_numbers_are_published_confirmed_and_withdrawn_each_told_once(site):
    registry = site.registries["one"]
    registry.answers_later = True
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        assert len(registry.listed) == SIZE
        assert set(registry.told.values()) == {1}
        listing = registry.listed["+16175550003"]
        assert (listing.element, listing.loa, listing.title) == ("SPID:6006", "l1", "Acme")
        assert (await site.publish()).changed == 0
        await site.withdraw()
        await site.until_states(withdrawn=SIZE)
        assert registry.listed == {}
        assert set(registry.told.values()) == {1}
        await site.publish()
        await site.until_states(active=SIZE)
    assert len(registry.told) == 3 * SIZE  # a new wish has a new key
    assert registry.is_closed


@sqlite_only
async def test_a_directory_that_is_down_is_asked_again_and_hurts_no_other(site):
    await site.apply(a_directory("two"))
    broken = site.registries["one"]

    broken.trouble = cannot_be_reached
    async with site.publishing() as publisher:
        await site.publish()
        await site.until_states("two", active=SIZE)
        await site.until(lambda: has_called(publisher, "failed", 3))
        rows = await site.rows()
        assert {row.reason for row in rows if row.reason} == {"it cannot be spoken to: [Errno 111] Connection refused"}
        assert {State(row.state) for row in rows} == {State.WANTED, State.SUBMITTING}
        broken.trouble = None
        await site.until_states(active=SIZE)
    assert set(broken.told.values()) == {1}
    assert {row.reason for row in await site.rows()} == {""}


@sqlite_only
async def test_a_directory_that_never_answers_is_told_the_same_again(site):
    await site.apply(a_directory("two"))
    silent, gate, calls = site.registries["one"], threading.Event(), []

    def hang(tasks):
        calls.append([task.key for task in tasks])
        gate.wait(BOUND_S)

    silent.trouble = hang
    try:
        async with site.publishing() as publisher:
            await site.publish()
            await site.until_states("two", active=SIZE)
            await site.until(lambda: has_called(publisher, "timeout", 2))
            assert len(calls) == 1  # one call at a time: the next waits for the one that was given up
            rows = await site.rows()
            assert {row.reason for row in rows if row.state == State.SUBMITTING} <= {"no answer within 0.4 s", ""}
            gate.set()
            await site.until_states(active=SIZE)
    finally:
        gate.set()
    assert {len(set(keys)) for keys in silent.keys.values()} == {1}


@sqlite_only
async def test_what_is_no_answer_is_none(site):
    nonsense = iter([[], None, "no list", ["a"] * 7, [Answer(Finding.ACTIVE)] * 8])

    def wrong(tasks):
        for answer in nonsense:
            if answer is None:
                raise ValueError("a fault of the adapter's, with words of a stranger")
            return answer
        return None

    registry = site.registries["one"]
    registry.trouble = wrong
    async with site.publishing() as publisher:
        await site.publish()
        await site.until_states(active=SIZE)
        assert publisher.tally.calls["one", "publish", "wrong"] == 4
        assert publisher.tally.calls["one", "publish", "fault"] == 1
    assert set(registry.told.values()) == {1}


@sqlite_only
async def test_each_number_is_judged_by_itself(site):
    findings = {
        "+16175550001": Answer(Finding.REFUSED, "not\x1b here"),
        "+16175550002": Answer(Finding.CONFLICT, "another's"),
        "+16175550004": Answer(Finding.LATER, "busy", after_s=3e9),
    }
    registry = site.registries["one"]
    registry.trouble = lambda tasks: [findings.get(t.listing.number) or registry._tell(t, t.listing) for t in tasks]
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE - 3, refused=1, conflict=1, submitting=1)
        rows = {row.digits: row for row in await site.rows()}
        assert rows[16175550001].reason == "not? here"
        assert rows[16175550004].next_us <= site.clock() + 1_000_000  # never later than retry_longest_s
        findings.clear()
        await site.until_states(active=SIZE - 2, refused=1, conflict=1)
        assert (await site.publish()).changed == 2  # asked again, for what was refused
        await site.until_states(active=SIZE)


@sqlite_only
async def test_what_is_provisioned_is_followed(site):
    registry = site.registries["one"]

    def listed(**more):
        async def condition():
            return len(registry.listed) == SIZE and all(
                getattr(listing, name) == value for listing in registry.listed.values() for name, value in more.items()
            )

        return condition

    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        await site.apply(msgspec.structs.replace(BLOCK, element="SPID:7007"))
        await site.until(listed(element="SPID:7007"))
        lists = built(WhiteList, name="w", call_centre="a", numbers=["+16175550000-+16175550099"], texts_per_day=99)
        await site.apply(lists)
        await site.until(listed(element="SPID:7007", texts_per_day=99))
        await site.apply(a_directory("one", network_id="31026"))  # another adapter is made for other settings
        await site.until(listed(network_id="31026", texts_per_day=99))
        await site.until_states(active=SIZE)
        told = sum(registry.told.values())
        await site.apply(built(CallCentre, name="b"))
        await site.apply(built(Number, number="+12025550143", call_centre="b"))
        await site.publish()
        await site.until_states(active=SIZE)
        assert sum(registry.told.values()) == told == 4 * SIZE


@sqlite_only
async def test_what_is_due_need_not_wait_until_all_is_looked_through_again(site, monkeypatch):
    """A catalog that changes all the time has not all publications looked through all the time."""
    registry = site.registries["one"]
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        monkeypatch.setattr(directory_publisher, "RESTS", 1e9)
        await site.apply(msgspec.structs.replace(BLOCK, element="SPID:7007"))
        await site.until(lambda: is_true(lambda: registry.listed["+16175550000"].element == "SPID:7007"))
        await site.until_states(active=SIZE)
        await site.apply(msgspec.structs.replace(BLOCK, element="SPID:8008"))
        await site.withdraw(spans=[(16175550000, 16175550004)])
        await site.until_states(active=SIZE - 5, withdrawn=5)
        await site.publish()
        await site.until_states(active=SIZE)
        there = Counter(listing.element for listing in registry.listed.values())
        assert there == {"SPID:8008": 5, "SPID:7007": SIZE - 5}
        monkeypatch.undo()
    async with site.publishing():
        await site.until(lambda: is_true(lambda: {one.element for one in registry.listed.values()} == {"SPID:8008"}))


@sqlite_only
async def test_what_is_suspended_rests_and_what_is_gone_is_withdrawn(site):
    registry = site.registries["one"]
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        await site.apply(msgspec.structs.replace(BLOCK, state="suspended"))
        await site.until_states(withdrawn=SIZE)
        assert registry.listed == {}
        await site.apply(BLOCK)
        await site.until_states(active=SIZE)
        # The catalog refuses to remove what is published; a database that was put back from elsewhere may lack it.
        await site.store.transact(lambda tx: tx.sql.execute(sqlalchemy.delete(block_table)))
        await site.apply(built(CallCentre, name="another"))
        await site.until_states(withdrawn=SIZE)
        assert {row.wanted for row in await site.rows()} == {0}
        await site.apply(BLOCK)
        assert (await site.publish()).changed == SIZE  # the wish had ended with the number
        await site.until_states(active=SIZE)


@sqlite_only
async def test_a_number_that_moves_is_withdrawn_for_the_one_and_published_for_the_other(site):
    registry = site.registries["one"]
    letter = msgspec.structs.replace(LETTER, name="l2", call_centre="b")
    await site.apply(built(CallCentre, name="b", title="Other"), letter)
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        registry.trouble = cannot_be_reached
        await site.withdraw()
        await site.remove(Block, BLOCK.key)
        await site.apply(msgspec.structs.replace(BLOCK, call_centre="b"))
        with pytest.raises(PublishedByAnother):
            await site.publish(call_centre="b")
        registry.trouble = None
        await site.until_states(withdrawn=SIZE)
        assert registry.listed == {}
        await site.publish(call_centre="b")
        await site.until_states(active=SIZE)
    assert {listing.call_centre for listing in registry.listed.values()} == {"b"}


@sqlite_only
@pytest.mark.parametrize("site", [msgspec.structs.replace(LETTER, valid_until="2999-12-30")], indirect=True)
async def test_a_letter_that_expires_in_mid_provisioning(site):
    registry = site.registries["one"]
    half = [16175550000 + each for each in range(10)]

    def only_half(tasks):
        if any(int(task.listing.number) not in half for task in tasks):
            raise TimeoutError("too busy for the rest")

    registry.trouble = only_half
    await site.apply(a_directory("one", batch=10))
    async with site.publishing() as publisher:
        await site.publish()
        await site.until(lambda: has_called(publisher, "failed", 1))
        site.ahead_us = 1000 * 366 * DAY_US
        await site.until_states(active=10, held=10, submitting=10)
        assert {row.reason for row in await site.rows() if row.state in (State.ACTIVE, State.HELD)} == {UNCOVERED}
        registry.trouble = None  # what may have been told is looked up, not told
        await site.until_states(active=10, held=20)
        assert len(registry.listed) == 10
        (active, held) = await site.store.read(publication.status)
        assert (active.uncovered, held.uncovered) == (10, 0)  # what is held is in no directory
        await site.apply(msgspec.structs.replace(LETTER, name="l2"))
        await site.until_states(active=SIZE)
        assert {row.reason for row in await site.rows()} == {""}


@sqlite_only
async def test_a_clock_that_was_ahead_holds_nothing_up(site):
    registry = site.registries["one"]
    await site.apply(a_directory("one", retry_first_s=1000, retry_longest_s=1000))
    registry.answers_later = True
    site.ahead_us = 365 * DAY_US
    async with site.publishing():
        await site.publish()
        await site.until_states(submitted=SIZE)
        site.ahead_us = 0
        await site.until_states(active=SIZE)


@sqlite_only
async def test_who_starts_after_a_crash_repeats_what_was_being_told_under_the_same_keys(site):
    registry, gate, calls = site.registries["one"], threading.Event(), []

    def hang_after(tasks):
        calls.append([task.key for task in tasks])
        for task in tasks:
            registry._tell(task, task.listing)
        gate.wait(BOUND_S)

    registry.trouble = hang_after
    await site.apply(a_directory("one", timeout_s=600))
    try:
        async with site.publishing():
            await site.publish()
            await site.until(lambda: is_true(lambda: calls))
    finally:
        registry.trouble = None
        gate.set()
    assert (await site.states())["submitting"] == 7
    async with site.publishing():
        await site.until_states(active=SIZE)
    assert {len(set(keys)) for keys in registry.keys.values()} == {1}
    assert max(registry.told.values()) >= 2


@sqlite_only
async def test_an_adapter_that_cannot_be_made_is_made_when_it_can(site):
    made = []

    def make(directory, environ):
        made.append(directory.name)
        if len(made) < 3:
            raise ProvisioningError("the secret cannot be read")
        return site.registries[directory.name]

    site._make = make
    async with site.publishing() as publisher:
        await site.publish()
        await site.until_states(active=SIZE)
        assert publisher.tally.calls["one", "publish", "failed"] == 2


@sqlite_only
async def test_a_view_that_is_older_than_the_wish_ends_nothing(site):
    """Numbers, letter and wish may be written within one second; the snapshot follows later."""
    old = site.snapshot
    new = built(Block, first="+16175551000", last="+16175551009", call_centre="a")
    await site.apply(new)
    fresh, site.snapshot = site.snapshot, old
    async with site.publishing() as publisher:
        await site.publish()
        await site.until_states(active=SIZE, wanted=10)
        assert publisher.samples()
        site.snapshot = fresh
        await site.until_states(active=SIZE + 10)


@sqlite_only
async def test_what_metrics_tell(site):
    async with site.publishing() as publisher:
        await site.publish()
        await site.until_states(active=SIZE)

        async def counted():
            return any(
                sample.name == "smshub_publications"
                and sample.labels == {"directory": "one", "state": "active"}
                and sample.value == SIZE
                for sample in publisher.samples()
            )

        await site.until(counted)
        samples = {(sample.name, *sample.labels.values()): sample.value for sample in publisher.samples()}
    assert samples["smshub_directory_calls_total", "one", "publish", "answered"] == 5
    assert samples["smshub_directory_call_seconds_count", "one", "publish"] == 5
    assert samples["smshub_directory_call_seconds_sum", "one", "publish"] > 0
    assert samples["smshub_publication_oldest_seconds", "one", "active"] >= 0
    assert samples["smshub_publications_overdue", "one", "active"] == 0


@sqlite_only
async def test_metrics_follow_what_commands_end_and_what_only_waits(site, monkeypatch):
    """Nothing of the publisher's own happens then: it would tell for ever of numbers that wait, and of none overdue."""
    monkeypatch.setattr(publisher, "RECOUNTED_S", 0.1)
    site.registries["one"].answers_later = True
    await site.apply(a_directory("one", retry_first_s=3600, retry_longest_s=3600, confirm_s=1800))
    async with site.publishing() as publishing:

        def value(name, state):
            found = [each for each in publishing.samples() if each.name == name and each.labels["state"] == state]
            return found[0].value if found else None

        await site.publish()
        await site.until_states(submitted=SIZE)
        await site.until(lambda: is_true(lambda: value("smshub_publications_overdue", "submitted") == 0))
        site.ahead_us = 1_801_000_000
        await site.until(lambda: is_true(lambda: value("smshub_publications_overdue", "submitted") == SIZE))
        await site.withdraw(forget=True)
        await site.until(lambda: is_true(lambda: value("smshub_publications", "submitted") is None))
        assert value("smshub_publications", "withdrawn") == SIZE


async def has_rows(site, count):
    return len(await site.rows()) == count


@sqlite_only
async def test_a_directory_that_goes_is_left_alone_and_what_was_withdrawn_is_forgotten_in_time(site, monkeypatch):
    registry = site.registries["one"]
    async with site.publishing():
        await site.publish()
        await site.until_states(active=SIZE)
        await site.withdraw()
        await site.until_states(withdrawn=SIZE)
        await site.remove(CarrierDirectory, "one")

        await site.until(lambda: is_true(lambda: registry.is_closed))
    later_us = site.clock() + KEPT_US + 1_000_000
    assert await site.store.read(lambda tx: forgettable(tx, site.clock(), SIZE)) == []
    keys = await site.store.read(lambda tx: forgettable(tx, later_us, SIZE))
    assert len(keys) == SIZE
    assert await site.store.transact(lambda tx: sweep(tx, keys, site.clock())) == 0  # not so old any more
    site.ahead_us = KEPT_US + 1_000_000
    monkeypatch.setattr(publisher, "PAGE", 7)
    monkeypatch.setattr(publisher, "PIECE", 3)
    async with site.publishing():
        await site.until(lambda: has_rows(site, 0))
    assert await site.store.transact(lambda tx: resume(tx, "one", 1)) == 0
