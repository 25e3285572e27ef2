"""Filters and limits of accounts in a whole hub, on both stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import sqlalchemy
import trio

from hub import (
    Accepted,
    Arrival,
    Concatenation,
    Effect,
    Hub,
    Kind,
    Message,
    Name,
    Outcome,
    Part,
    Reason,
    ReceiptWanted,
    Rejected,
    Result,
    TryLater,
)
from hub.filtering import Filtering
from hub.filters import FilterSettings
from hub.quota import DAY_US
from hub.statistics import Counters
from hub.tables import account_day
from provisioning import Account, CallCentre, WhiteList
from store import StoreFull
from tests.fixtures_hub import (
    CUSTOMER,
    EPOCH_US,
    FAR_AWAY,
    NUMBER,
    OTHER_NUMBER,
    SECOND,
    Clock,
    World,
    _secret,
    inbound,
    make_directory,
    opened_world,
    reply,
    transit,
)

OFF = FilterSettings(loop_texts=0)
THROTTLED = Rejected(Reason.TOO_MUCH)


class Way(NamedTuple):
    call_centre: str
    number: str


def account(**settings: object) -> dict[str, list[Account]]:
    return {"accounts": [Account(system_id="agg", password=_secret(), allowed_sources=("*",), **settings)]}  # type: ignore[arg-type]


def with_endpoints(world: World) -> World:
    for name in ("link:one", "link:two", "account:agg", "desk:help", "desk:shy"):
        world.add(name)
    return world


async def days(world: World) -> list[tuple[object, ...]]:
    query = sqlalchemy.select(account_day).order_by(account_day.c.day)
    return [tuple(row) for row in await world.store.read(lambda tx: tx.sql.execute(query).all())]


# --- the daily limit --------------------------------------------------------------------------------------------------


async def test_a_daily_limit_holds_over_a_restart_and_ends_with_the_day(any_world: World, fast_clock: Clock) -> None:
    world = with_endpoints(any_world)
    world.directory = make_directory(**account(throughput_per_day=3))
    today = EPOCH_US // DAY_US
    async with world.running(filters=OFF) as hub:
        said = await world.receive("account:agg", *(transit(str(n)) for n in range(2)))
        assert all(isinstance(verdict, Accepted) for verdict in said)
        # A refused text does not count, nor does a receipt.
        (refused,) = await world.receive("account:agg", transit(destination="nowhere"))
        assert isinstance(refused, Rejected)
        await hub.release()
    assert await days(world) == [("account:agg", today, 2)]
    async with world.running(filters=OFF) as hub:
        said = await world.receive("account:agg", *(transit(f"more {n}") for n in range(3)))
        assert [isinstance(verdict, Accepted) for verdict in said] == [True, False, False]
        assert said[1:] == [THROTTLED, THROTTLED]
        assert hub.counters.filtered["account:agg", "daily-limit"] == 2
        assert hub.taken_today() == {"account:agg": 3}
        assert hub.counters.refusals["account:agg", "too-much"] == 2
        (other,) = await world.receive("link:one", inbound("a customer's"))
        assert isinstance(other, Accepted)
        # Within a second, without any end.
        while (today, 3) not in [row[1:] for row in await days(world)]:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.5)
        fast_clock.jump((DAY_US - (world.now_us() % DAY_US)) / 1e6)
        assert hub.taken_today() == {}
        (verdict,) = await world.receive("account:agg", transit("tomorrow"))
        assert isinstance(verdict, Accepted)


async def test_a_text_that_the_store_refused_is_not_counted(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_endpoints(world)
    world.directory = make_directory(**account(throughput_per_day=1, duplicate_s=60))
    async with world.running(filters=FilterSettings(loop_texts=1)):
        await world.settled()

        async def full(*args: object, **kwargs: object) -> None:
            await trio.lowlevel.checkpoint()
            raise StoreFull("no space")

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "commit", full)
            for _ in range(5):
                said = await world.receive("account:agg", transit("again"), transit("again"))
                assert [type(verdict) for verdict in said] == [TryLater, TryLater]
        first, second = await world.receive("account:agg", transit("again"), transit("again"))
        assert isinstance(first, Accepted)
        assert second == first
        assert await world.receive("account:agg", transit("other")) == [THROTTLED]


async def test_a_part_that_the_store_refused_is_not_counted(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part that completes a text comes again and again while the disk is full, and is no loop for that."""
    with_endpoints(world)
    async with world.running(filters=FilterSettings(loop_texts=2)):
        await world.settled()

        def part(number: int) -> Arrival:
            return transit(f"part {number}", concatenation=Concatenation(7, 2, number))

        (first,) = await world.receive("account:agg", part(1))
        assert isinstance(first, Accepted)
        transact = world.store.transact

        async def full(work: Any, **options: Any) -> None:
            def fail(tx: Any) -> None:
                work(tx)
                raise StoreFull("no space")

            await transact(fail, **options)

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "transact", full)
            for _ in range(5):
                (verdict,) = await world.receive("account:agg", part(2))
                assert isinstance(verdict, TryLater)
        (second,) = await world.receive("account:agg", part(2))
        assert isinstance(second, Accepted)


# --- repetitions ------------------------------------------------------------------------------------------------------


async def test_a_repetition_is_answered_as_the_first_and_not_sent(any_world: World, fast_clock: Clock) -> None:
    world = with_endpoints(any_world)
    world.directory = make_directory(**account(duplicate_s=60))
    async with world.running(filters=OFF) as hub:
        (first,) = await world.receive("account:agg", transit("pay 5"))
        said = await world.receive("account:agg", transit("pay 5"), transit("pay 6"), transit("pay 6"))
        assert said[0] == first
        assert said[1] == said[2] != first
        (elsewhere,) = await world.receive("account:agg", transit("pay 5", destination="+447700900124"))
        assert elsewhere != first
        (other,) = await world.receive("link:one", inbound("pay 5"))
        (again,) = await world.receive("link:one", inbound("pay 5"))
        assert other != again  # only accounts that asked for it
        assert hub.counters.filtered["account:agg", "repetition"] == 2
        await world.until(lambda: len(world.endpoints["link:one"].texts()) == 3)
        assert sorted(world.endpoints["link:one"].texts()) == ["pay 5", "pay 5", "pay 6"]
        await trio.sleep(61)
        (later,) = await world.receive("account:agg", transit("pay 5"))
        assert later != first


async def test_a_repetition_waits_until_the_first_is_on_disk(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions of one account bring the same text: neither answer may come before the one write."""
    with_endpoints(world)
    world.directory = make_directory(**account(duplicate_s=60))
    async with world.running(filters=OFF):
        await world.settled()
        commit, writing, may_write = world.store.commit, trio.Event(), trio.Event()

        async def slow(*args: object, **kwargs: object) -> None:
            writing.set()
            await may_write.wait()
            await commit(*args, **kwargs)  # type: ignore[arg-type]

        verdicts: list[object] = []

        async def submit() -> None:
            verdicts.extend(await world.receive("account:agg", transit("pay 5")))

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "commit", slow)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit)
                await writing.wait()
                nursery.start_soon(submit)
                await trio.sleep(5)
                assert verdicts == []
                may_write.set()
        assert len(verdicts) == 2
        assert isinstance(verdicts[0], Accepted)
        assert verdicts[0] == verdicts[1]
        assert len(await world.texts()) == 1


async def test_a_text_that_was_cancelled_may_be_said_again(world: World, fast_clock: Clock) -> None:
    with_endpoints(world)
    world.endpoints["link:one"].window = 0  # away: all waits
    world.directory = make_directory(**account(duplicate_s=60))
    async with world.running(filters=OFF) as hub:
        await world.settled()
        (first,) = await world.receive("account:agg", transit("pay 5"))
        assert isinstance(first, Accepted)
        assert await hub.cancel("account:agg", Name(first.message_id)) is Effect.DONE
        (second,) = await world.receive("account:agg", transit("pay 5"))
        assert second != first
        assert await hub.cancel_all("account:agg", CUSTOMER, FAR_AWAY) == 1
        (third,) = await world.receive("account:agg", transit("pay 5"))
        assert third not in (first, second)
        world.endpoints["link:one"].come_back(hub)
        await world.until(lambda: world.endpoints["link:one"].texts())
        assert world.endpoints["link:one"].texts() == ["pay 5"]


async def test_a_restart_forgets_what_was_said(world: World, fast_clock: Clock) -> None:
    """As documented: a repetition that comes after it is sent."""
    with_endpoints(world)
    world.directory = make_directory(**account(duplicate_s=60))
    async with world.running(filters=OFF):
        (first,) = await world.receive("account:agg", transit("pay 5"))
    async with world.running(filters=OFF):
        (second,) = await world.receive("account:agg", transit("pay 5"))
    assert first != second


# --- volume traps and the URL list ------------------------------------------------------------------------------------


async def test_a_volume_trap_is_sprung_released_and_changed_while_the_hub_runs(
    any_world: World, fast_clock: Clock
) -> None:
    world = with_endpoints(any_world)
    acme = CallCentre(
        name="acme", default_number=NUMBER, default_link="link:one", trap_texts=2, trap_s=60, trap_exceptions=("77377",)
    )
    other = CallCentre(name="other", default_number=OTHER_NUMBER)
    world.directory = make_directory(call_centres=[acme, other])
    async with world.running(filters=OFF) as hub:
        said = await world.receive("link:one", *(inbound(str(n), source=f"+1202555{n:04d}") for n in range(4)))
        assert [type(verdict) for verdict in said] == [Accepted, Accepted, Rejected, Rejected]
        assert said[2] == THROTTLED
        assert hub.counters.filtered["link:one", "volume-trap"] == 2
        said = await world.receive("link:one", inbound("x", source="77377"), inbound("y", destination=OTHER_NUMBER))
        assert all(isinstance(verdict, Accepted) for verdict in said)
        hub.directory = make_directory(call_centres=[msgspec.structs.replace(acme, trap_texts=3), other])
        said = await world.receive("link:one", inbound("a"), inbound("b"))
        assert [type(verdict) for verdict in said] == [Accepted, Rejected]
        await trio.sleep(70)
        (verdict,) = await world.receive("link:one", inbound("c"))
        assert isinstance(verdict, Accepted)


async def test_a_white_list_widens_the_trap_of_its_numbers_while_it_is_valid(world: World) -> None:
    acme = CallCentre(name="acme", trap_texts=2, trap_s=60)
    other = CallCentre(name="other", trap_texts=2, trap_s=60)
    white_lists = [
        WhiteList(name="sale", call_centre="acme", numbers=(NUMBER,), texts_per_day=1200, valid_until="2026-01-01"),
        WhiteList(name="busy", call_centre="acme", numbers=(NUMBER,), texts_per_day=900),
        WhiteList(name="foreign", call_centre="acme", numbers=(OTHER_NUMBER,), texts_per_day=100_000),
    ]
    now_us = EPOCH_US
    snapshot = make_directory(call_centres=[acme, other], white_lists=white_lists)
    filtering = Filtering(world.store, lambda: now_us, lambda: snapshot, Counters(), OFF)

    def room(call_centre: str, number: str) -> int:
        """How many texts one number takes in a new minute."""
        nonlocal now_us
        now_us += 120 * SECOND
        way = Way(call_centre, number)
        filters = filtering.filters
        said = [filters.check("link:one", inbound(str(n)), CUSTOMER, way, now_us) for n in range(9)]
        return said.count(None)

    # A fifth of 1,200 in the busiest hour is 240, and 4 of these in a minute.
    assert [room("acme", NUMBER), room("acme", "+16175550000"), room("other", OTHER_NUMBER)] == [4, 2, 2]
    now_us += DAY_US
    await filtering.do_chores()
    assert room("acme", NUMBER) == 3
    snapshot = make_directory(call_centres=[acme, other])
    await filtering.do_chores()
    assert room("acme", NUMBER) == 2


async def test_the_url_list_is_read_again_when_it_changes(world: World, fast_clock: Clock, tmp_path: Path) -> None:
    with_endpoints(world)
    file = tmp_path / "hosts"
    file.write_text("evil.example\nnot a host\n")
    bad, worse = "see http://EVIL.example/", "see worse.example"

    async def refused(text: str) -> bool:
        verdicts = await world.receive("link:one", inbound(text))
        verdicts += await world.receive("account:agg", transit(text))
        verdicts += await world.receive("desk:help", reply(text))
        kinds = {isinstance(verdict, Rejected) for verdict in verdicts}
        assert len(kinds) == 1, verdicts
        assert kinds == {False} or {verdict.reason for verdict in verdicts} == {Reason.FILTERED}  # type: ignore[union-attr]
        return kinds.pop()

    async def until(text: str, verdict: type) -> None:
        while type((await world.receive("link:one", inbound(text)))[0]) is not verdict:  # noqa: ASYNC110
            await trio.sleep(1)

    async with world.running(filters=FilterSettings(url_list_file=str(file), loop_texts=0)):
        await world.settled()
        await world.receive("link:one", inbound("hello"))
        assert await refused(bad)
        assert not await refused(worse)
        file.write_text("worse.example\n")
        await until(worse, Rejected)
        assert await refused(worse)
        assert not await refused(bad)
        file.unlink()  # somebody edits it: what was read stays
        await trio.sleep(30)
        assert await refused(worse)
        file.write_text("")
        await until(worse, Accepted)
        assert not await refused(worse)


async def test_a_url_list_that_cannot_be_read_stops_the_start(world: World, fast_clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Hub(world.store, make_directory(), filters=FilterSettings(url_list_file=str(tmp_path / "none")))


# --- loops ------------------------------------------------------------------------------------------------------------


class Answering:
    """A desk that answers every text with the same words, as fast as it can."""

    name = "desk:help"
    gap_us = 0
    source_gap_us = 0
    validity_us = DAY_US
    max_attempts = 3

    def __init__(self, words: str) -> None:
        self.words = words
        self.given = 0
        self.verdicts: list[object] = []
        self._work, self._more = trio.open_memory_channel[Part](1000)

    def split(self, message: Message) -> Sequence[object]:
        return [message.text]

    def room(self) -> int:
        return 100

    def deliver(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._work.send_nowait(part)

    async def run(self, hub: Hub) -> None:
        async for part in self._more:
            await hub.report(self.name, [Outcome(part, Result.ACCEPTED)])
            message = part.message
            if message.kind is Kind.TEXT:
                self.given += 1
                answer = Arrival(
                    source="",
                    destination=message.source,
                    text=self.words,
                    token=message.token,
                    receipt_wanted=ReceiptWanted.FINAL,
                )
                self.verdicts += await hub.receive(self.name, [answer])


class Bridge:
    """What one hub gives it arrives at another, from ``there``; receipts as well."""

    gap_us = 0
    source_gap_us = 0
    validity_us = DAY_US
    max_attempts = 3

    def __init__(self, name: str, there: str) -> None:
        self.name = name
        self.there = there
        self.receipts = 0
        self.texts = 0
        self._work, self._more = trio.open_memory_channel[Part](1000)

    def split(self, message: Message) -> Sequence[object]:
        return [message.text]

    def room(self) -> int:
        return 100

    def deliver(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._work.send_nowait(part)

    async def run(self, here: Hub, other: Hub) -> None:
        async for part in self._more:
            m = part.message
            is_text = m.kind is Kind.TEXT
            self.texts += is_text
            self.receipts += not is_text
            arrival = Arrival(
                source=m.source,
                destination=m.destination,
                text=m.text,
                receipt=m.receipt,
                receipt_wanted=m.receipt_wanted,
            )
            (verdict,) = await other.receive(self.there, [arrival])
            if isinstance(verdict, Accepted):
                carrier_id = str(verdict.message_id)
                outcome = Outcome(
                    part, Result.ACCEPTED, carrier_id, receipt_expected=is_text and bool(m.receipt_wanted)
                )
            elif isinstance(verdict, TryLater):
                outcome = Outcome(part, Result.RETRY, reason="later")
            else:
                outcome = Outcome(part, Result.REFUSED, reason=verdict.reason.value)
            await here.report(self.name, [outcome])


async def test_two_hubs_with_desks_that_answer_everything_come_to_rest(tmp_path: Path, fast_clock: Clock) -> None:
    """Each hub is the other's carrier; all ask for receipts. Nothing goes round for ever, and no receipt begets one."""
    near_number, far_number = NUMBER, FAR_AWAY
    directory = make_directory()
    far_directory = make_directory(
        call_centres=[CallCentre(name="acme", default_number=far_number, default_link="link:one")],
        numbers=[msgspec.structs.replace(directory.number(NUMBER), number=far_number)],  # type: ignore[type-var]
        blocks=[],
        desks=[directory.desk("help")],
    )
    async with (
        opened_world(f"sqlite:///{tmp_path}/near.db", fast_clock, directory, synchronous="OFF") as near,
        opened_world(f"sqlite:///{tmp_path}/far.db", fast_clock, far_directory, synchronous="OFF") as far,
        trio.open_nursery() as nursery,
    ):
        # Long enough for a slow machine: twenty repetitions take it a second of ours, which are a hundred of these.
        rules = FilterSettings(loop_texts=20, loop_us=300 * SECOND)
        hubs, desks, bridges = [], [], []
        for world in (near, far):
            hub = Hub(world.store, world.directory, clock=world.now_us, filters=rules)
            desk, bridge = Answering(f"This is {len(hubs)}. Thank you!"), Bridge("link:one", "link:one")
            hub.attach(desk)
            hub.attach(bridge)
            hubs.append(hub)
            desks.append(desk)
            bridges.append(bridge)
        for hub, other, desk, bridge in zip(hubs, hubs[::-1], desks, bridges, strict=True):
            await nursery.start(hub.run)
            nursery.start_soon(desk.run, hub)
            nursery.start_soon(bridge.run, hub, other)
        (verdict,) = await hubs[1].receive("link:one", [inbound("hello", source=near_number, destination=far_number)])
        assert isinstance(verdict, Accepted)

        async def counts() -> tuple[int, ...]:
            return tuple([len(await world.rows()) for world in (near, far)])

        def cut() -> int:
            return sum(hub.counters.filtered[name, "loop-guard"] for hub in hubs for name in ("link:one", "desk:help"))

        with trio.fail_after(60 * 100):
            while not cut():  # noqa: ASYNC110
                await trio.sleep(1)
            # At rest: nothing moves for much longer than the guard remembers, so no round begins again.
            before, still_s = await counts(), 0
            while still_s < 900:
                await trio.sleep(30)
                now = await counts()
                still_s = still_s + 30 if now == before else 0
                before = now
        assert cut() == 1
        texts = sum(desk.given for desk in desks)
        assert 20 <= texts <= 45
        # One receipt from hub to hub for each text at most, and one on to the desk that wrote it: none for a receipt.
        assert 0 < sum(bridge.receipts for bridge in bridges) <= texts
        receipts = [row for world in (near, far) for row in await world.rows() if row.kind == Kind.RECEIPT]
        assert len(receipts) <= 2 * texts
        nursery.cancel_scope.cancel()


async def test_a_text_that_routes_send_round_is_cut(world: World, fast_clock: Clock) -> None:
    """A routing loop: a text of ours comes in again by an account, in the same direction each time."""
    with_endpoints(world)
    async with world.running(filters=FilterSettings(loop_texts=20)) as hub:
        verdicts = []
        for _ in range(30):
            verdicts += await world.receive("account:agg", transit("round and round", source=CUSTOMER))
        assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True] * 20 + [False] * 10
        assert verdicts[-1] == Rejected(Reason.FILTERED)
        assert hub.counters.filtered["account:agg", "loop-guard"] == 10
