"""Groups and rates with a real hub and store; the links speak over memory streams to carriers that are scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock as Clock

from hub import Hub, Outcome, Part, ReceiptWanted, Result, State
from hub.retry import RetryWaits
from ops.metrics import Pages, SessionCounters
from provisioning import Group, Route
from smpp.connection import Connection
from smpp.constants import CommandStatus as Status
from smpp.events import Settings
from smpp.pdu import BindTransceiver, DeliverSm, SubmitSm
from smpp.session import Options, Session
from smpp.states import Role
from smpp.testing import ScriptedSMSC
from tests.fixtures_hub import DAY, SECOND, World, make_directory, transit
from translators.smpp_groups import GroupSettings, SmppGroup
from translators.smpp_links import LinkSettings, SmppLink

Answer = Callable[[SubmitSm], int | None]
GAP_S = 100  # a second of ours: a campaign of 300 takes five minutes unless the clock is made to jump
QUICK = RetryWaits(first_us=SECOND, longest_us=2 * SECOND)


def take(pdu: SubmitSm) -> int:
    """The script of a carrier that takes all."""
    return 0


class Carrier:
    """One link and the SMSC behind it, which answers as its script says.

    Attributes:
        answer: the status to answer a submit_sm with, None for no answer. May be exchanged.
        got: the texts it was sent, in order.
        taken: those it accepted, with the ids it gave: ``name-1``, ``name-2`` …
    """

    def __init__(self, name: str, nursery: trio.Nursery, road: Hub, **settings: Any) -> None:
        chosen: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "system_id": "hub", "password": "x"} | settings
        self.link = SmppLink(LinkSettings(name=name, **chosen), road, road.clock)
        self.name = name
        self.answer: Answer = take
        self.got: list[str] = []
        self.taken: dict[str, str] = {}
        self._nursery = nursery
        self._peer: ScriptedSMSC | None = None
        self._scope = trio.CancelScope()

    async def bind(self, window: int = 10) -> None:
        """Bind the link."""
        ours, theirs = trio.testing.memory_stream_pair()
        settings = Settings(window=window, enquire_link_s=0, response_s=3_000, session_init_s=0)
        session = Session(ours, Connection(Role.ESME, settings, now=trio.current_time()), Options())
        self._peer = ScriptedSMSC(theirs)
        await self._nursery.start(session.run)
        async with trio.open_nursery() as binding:
            binding.start_soon(session.bind, BindTransceiver(system_id="me"))
            await self._peer.accept_bind()
        self._nursery.start_soon(lambda: self.link.serve(session, carries=True))
        self._nursery.start_soon(self._answer, self._peer)

    async def leave(self) -> None:
        """Cut the connection."""
        assert self._peer is not None
        peer, self._peer = self._peer, None
        await peer.close()

    async def _answer(self, peer: ScriptedSMSC) -> None:
        while True:
            try:
                pdu = await peer.receive()
            except trio.ClosedResourceError:
                return
            if pdu is None:
                return
            if not isinstance(pdu, SubmitSm):
                continue
            text = pdu.short_message.decode()
            self.got.append(text)
            status = self.answer(pdu)
            if status is None:
                continue
            if status == 0:
                self.taken[text] = f"{self.name}-{len(self.taken) + 1}"
            try:
                await peer.answer(pdu, status, message_id=self.taken.get(text, ""))
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return

    async def send_receipt(self, text: str, word: str = "DELIVRD") -> None:
        """A receipt for a text that was taken."""
        assert self._peer is not None
        body = (
            f"id:{self.taken[text]} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:{word} err:000"
        )
        await self._peer.send(
            DeliverSm(
                sequence_number=1, source_addr="1", destination_addr="2", esm_class=4, short_message=body.encode()
            )
        )


class Grouped:
    """A hub with a group of carriers; texts come by ``account:agg``."""

    def __init__(self, world: World, hub: Hub, carriers: dict[str, Carrier], group: SmppGroup) -> None:
        self.world = world
        self.hub = hub
        self.carriers = carriers
        self.group = group
        self.submitted: list[tuple[int, str]] = []  # (time, source), by the hub's own book

    async def submit(self, *texts: str, **fields: Any) -> None:
        await self.world.receive("account:agg", *[transit(text, **fields) for text in texts])

    def __getitem__(self, name: str) -> Carrier:
        return self.carriers[name]

    def preferring(self, name: str, number: int = 0) -> str:
        """A customer who prefers a link; another one for each number."""
        wanted = list(self.carriers).index(name)
        for candidate in range(number * 1_000, (number + 1) * 1_000):
            destination = f"+4477009{candidate:06}"
            if self.group._preference.order(transit().source, destination)[0] == wanted:
                return destination
        raise AssertionError("nobody prefers it")


@asynccontextmanager
async def grouped(
    world: World,
    members: dict[str, int],
    standby: Sequence[str] = (),
    links: dict[str, Any] | None = None,
    hold: bool = False,
    heads: int = 10_000,
    **settings: Any,
) -> AsyncIterator[Grouped]:
    world.directory = make_directory(
        groups=[Group(name="g", links=tuple(f"{name}={weight}" for name, weight in members.items()))],
        routes=[Route(prefix="*", endpoint="group:g")],
    )
    if "account:agg" not in world.endpoints:
        world.add("account:agg")
    async with world.running(waits=QUICK, heads=heads) as hub, trio.open_nursery() as nursery:
        carriers = {name: Carrier(name, nursery, hub, **(links or {})) for name in [*members, *standby]}
        group = SmppGroup(
            GroupSettings(
                name="g",
                members=tuple(members.items()),
                standby=tuple(standby),
                **({"gap_us": 0, "validity_us": 3_600 * SECOND, "max_attempts": 50} | settings),
            ),
            {name: carrier.link for name, carrier in carriers.items()},
            hub,
            hub.clock,
        )
        made = Grouped(world, hub, carriers, group)
        nursery.start_soon(group.do_chores)
        for carrier in carriers.values():
            hub.attach(carrier.link)
            nursery.start_soon(carrier.link.do_chores)
        hub.attach(group, hold_in_doubt=hold)
        lanes = hub.dispatcher("group:g").lanes
        submitted = lanes.submitted

        def note(entry: Any, now_us: int) -> None:
            made.submitted.append((now_us, entry.message.source))
            submitted(entry, now_us)

        lanes.submitted = note  # type: ignore[method-assign]
        await world.settled()
        yield made
        nursery.cancel_scope.cancel()


async def test_receipts_are_matched_on_the_link_that_took_the_part(any_world: World, fast_clock: Clock) -> None:
    """Both carriers give out ids of their own; the group's parts bear the link's."""
    world = any_world
    async with grouped(world, {"one": 1, "two": 1}) as g:
        await g["one"].bind()
        await g["two"].bind()
        for number, name in enumerate(("one", "two")):
            destination = g.preferring(name)
            await g.submit(f"text {number}", destination=destination, receipt_wanted=ReceiptWanted.FINAL)
        await world.until(lambda: g["one"].taken and g["two"].taken)
        await world.until_counts({"ACCEPTED": 2})
        assert g["one"].got == ["text 0"]
        assert g["two"].got == ["text 1"]
        g["two"].taken["text 1"] = "one-1"  # two's receipt names an id that only one has given out
        await g["two"].send_receipt("text 1")
        await world.until(lambda: g.hub.counters.events["receipts_parked", "link:two"] == 1)
        await g["one"].send_receipt("text 0")
        await world.until_counts({"DELIVERED": 1, "ACCEPTED": 1})
        g["two"].taken["text 1"] = "two-1"
        await g["two"].send_receipt("text 1", "UNDELIV")
        await world.until_counts({"DELIVERED": 1, "UNDELIVERABLE": 1})
        account = world.endpoints["account:agg"]
        await world.until(lambda: len(account.receipts()) == 2)


async def test_a_receipt_that_overtakes_its_answer_is_matched_on_its_link(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1}) as g:
        await g["one"].bind()
        g["one"].taken["hello"] = "one-1"
        g["one"].answer = lambda pdu: None
        await g.submit("hello", receipt_wanted=ReceiptWanted.FINAL)
        await world.until(lambda: g["one"].got)
        await g["one"].send_receipt("hello")
        await world.until(lambda: g.hub.counters.events["receipts_parked", "link:one"] == 1)
        (entry,) = g.hub.dispatcher("group:g").held.values()
        part = Part(entry.message, 1, 1, None)
        await g.hub.report("group:g", [Outcome(part, Result.ACCEPTED, "one-1", receipt_expected=True, via="link:one")])
        await world.until_counts({"DELIVERED": 1})


async def test_order_holds_over_all_links_while_they_come_and_go(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}, standby=["three"]) as g:
        order: dict[str, list[str]] = defaultdict(list)

        def note(pdu: SubmitSm) -> int:
            order[pdu.destination_addr].append(pdu.short_message.decode())
            return 0

        for carrier in g.carriers.values():
            carrier.answer = note
        customers = [g.preferring(name, number) for name in ("one", "two") for number in range(5)]
        for number in range(10):
            for customer in customers:
                await g.submit(f"{number}", destination=customer)
            for name in ("one", "two", "three"):
                if g[name].link.is_bound and number % 3 != 2:
                    await g[name].leave()
                    await world.until(lambda name=name: not g[name].link.is_bound)
                elif not g[name].link.is_bound:
                    await g[name].bind(window=3)
        for name in ("one", "two"):
            if not g[name].link.is_bound:
                await g[name].bind()
        await world.until_counts({"DELIVERED": 100}, within_s=60)
        for texts in order.values():
            # What was in doubt when a connection was cut is sent again, and nothing overtakes.
            assert list(dict.fromkeys(texts)) == [str(number) for number in range(10)]
        assert len(order) == 10


async def test_a_part_in_doubt_goes_by_another_link(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}) as g:
        await g["one"].bind()
        g["one"].answer = lambda pdu: None
        await g.submit("hello", destination=g.preferring("one"))
        await world.until(lambda: g["one"].got)
        await g["two"].bind()
        await g["one"].leave()
        await world.until_counts({"DELIVERED": 1})
        assert g["two"].got == ["hello"]
        assert g.hub.counters.events["in_doubt", "group:g"] == 1
        assert g.hub.counters.events["resent", "group:g"] == 1


async def test_a_group_may_hold_what_is_in_doubt(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}, hold=True) as g:
        await g["one"].bind()
        await g["two"].bind()
        g["one"].answer = lambda pdu: None
        await g.submit("hello", destination=g.preferring("one"))
        await world.until(lambda: g["one"].got)
        await g["one"].leave()
        await world.until_counts({"DEAD": 1})
        assert g["two"].got == []


async def test_what_one_refuses_is_carried_by_the_other(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}) as g:
        await g["one"].bind(window=5)
        await g["two"].bind(window=1)
        g["one"].answer = lambda pdu: Status.ESME_RINVSRCADR
        for number in range(40):
            await g.submit(f"text {number}", destination=g.preferring("one", number))
        await world.until_counts({"DELIVERED": 40})
        assert len(g["two"].got) == 40
        assert g.hub.counters.events["rerouted", "group:g"] == len(g["one"].got)
        assert len(g["one"].got) <= 40  # nobody was asked twice
        assert not g.group._refusals, "what ended is forgotten"
        assert {row.attempts for row in await world.texts()} == {0}
        _, _, page = await Pages(g.hub, world.store, SessionCounters(), dict).answer("/metrics")
        lines = page.decode().splitlines()
        assert 'smshub_group_parts_total{endpoint="group:g",link="link:two",result="accepted"} 40.0' in lines
        assert f'smshub_rerouted_total{{endpoint="group:g"}} {len(g["one"].got)}.0' in lines
        assert 'smshub_rate_limit_parts_per_second{endpoint="link:one"} 0.0' in lines


async def test_when_all_refuse_it_is_a_dead_letter_and_the_lane_goes_on(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}) as g:

        def only_good(pdu: SubmitSm) -> int:
            return Status.ESME_RINVDSTADR if pdu.short_message == b"bad" else 0

        for name in ("one", "two"):
            await g[name].bind()
            g[name].answer = only_good
        await g.submit("bad", "good")
        await world.until_counts({"DEAD": 1, "DELIVERED": 1})
        dead = next(row for row in await world.texts() if row.state == State.DEAD)
        assert dead.reason == "ESME_RINVDSTADR"
        assert sorted(g["one"].got + g["two"].got) == ["bad", "bad", "good"]


async def test_what_the_bound_link_refuses_waits_for_the_one_that_is_away(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}) as g:
        await g["one"].bind()
        g["one"].answer = lambda pdu: Status.ESME_RINVSRCADR
        await g.submit("hello")
        await world.until(lambda: g.hub.counters.events["retried", "group:g"] >= 2)
        assert g["one"].got == ["hello"]  # it is not asked again
        await g["two"].bind()
        await world.until_counts({"DELIVERED": 1})
        assert (g["one"].got, g["two"].got) == (["hello"], ["hello"])


async def test_a_member_works_for_its_own_texts_beside_the_group(world: World, fast_clock: Clock) -> None:
    """Two dispatchers give into one window; both get what is theirs done."""
    async with grouped(world, {"one": 1, "two": 1}) as g:
        world.directory = world.hub.directory = make_directory(
            groups=world.directory.groups.values(),
            routes=[Route(prefix="*", endpoint="group:g"), Route(prefix="+1888", endpoint="link:one")],
        )
        await g["one"].bind(window=1)
        for number in range(30):
            await g.submit(f"group {number}", destination=f"+4477009{number:06}")
            await g.submit(f"own {number}", destination=f"+1888555{number:04}")
        await world.until_counts({"DELIVERED": 60}, within_s=60)
        assert len(g["one"].got) == 60
        assert g.hub.counters.events["handed_over", "group:g"] == 30
        assert g.hub.counters.events["handed_over", "link:one"] == 30
        assert g.group.carried["link:one", "accepted"] == 30


async def test_a_link_and_a_number_keep_to_their_rates_at_once(world: World, fast_clock: Clock) -> None:
    """10 parts a second by the link, 1 a second from each number; measured by the hub's own book."""
    numbers = [f"+1202555{n:04}" for n in range(15)]
    async with grouped(world, {"one": 1}, links={"per_s": 10.0, "source_gap_us": SECOND}) as g:
        link = g["one"].link
        deliver, given = link.deliver, []

        def note(parts: Sequence[Part]) -> None:
            given.extend([world.now_us()] * len(parts))  # after the link was asked for its room
            deliver(parts)

        link.deliver = note  # type: ignore[method-assign]
        await g["one"].bind(window=50)
        began_us = world.now_us()
        for round_ in range(4):
            for number in numbers:
                await g.submit(f"{number} {round_}", source=number, destination=f"+4477009{round_:06}")
        await world.until_counts({"DELIVERED": 60}, within_s=60)
    by_source: dict[str, list[int]] = defaultdict(list)
    for at_us, source in g.submitted:
        by_source[source].append(at_us)
    assert {source: len(times) for source, times in by_source.items()} == dict.fromkeys(numbers, 4)
    for times in by_source.values():
        assert all(later - earlier >= SECOND for earlier, later in pairwise(times))
    # From an instant before the first token, any number of them is bounded by rate and burst.
    assert all(sent <= 1 + 10 * (at_us - began_us) / 1e6 for sent, at_us in enumerate(given, start=1))


@pytest.mark.parametrize("restart", [False, True])
async def test_one_numbers_campaign_does_not_stop_the_others(world: World, fast_clock: Clock, restart: bool) -> None:
    """Memory holds a part of the campaign; the other numbers' texts pass, though they came later."""
    slow, texts, heads = "+12025550000", 300, 120
    link = world.add("link:one", source_gap_us=GAP_S * SECOND, validity_us=1_000 * DAY)
    world.add("account:agg")
    if restart:
        link.window = 0
    async with world.running(heads=heads):
        await world.settled()
        for start in range(0, texts, 50):
            many = [transit(f"slow {n}", f"+4477009{n:06}", slow) for n in range(start, start + 50)]
            await world.receive("account:agg", *many)
        if not restart:
            await _others_pass(world, slow, texts)
            await _all_go(world, fast_clock, texts + 50)
    if restart:
        link.window = 100
        async with world.running(heads=heads):
            await _others_pass(world, slow, texts)
            await _all_go(world, fast_clock, texts + 50)
    given = [part.message.text for _, part in link.given]
    assert Counter(given) == Counter([f"slow {n}" for n in range(texts)] + [f"other {n}" for n in range(50)])


async def _others_pass(world: World, slow: str, texts: int) -> None:
    link = world.endpoints["link:one"]
    many = [transit(f"other {n}", f"+4477009{n:06}", f"+1202556{n:04}") for n in range(50)]
    await world.receive("account:agg", *many)

    def others() -> int:
        return sum(part.message.source != slow for _, part in link.given)

    await world.until(lambda: others() == 50, within_s=60)
    assert len(link.given) < texts, "they waited for the campaign"
    dispatcher = world.hub.dispatcher("link:one")
    assert dispatcher.lanes.sleeping > 0
    assert dispatcher.lanes.size < 120


async def _all_go(world: World, clock: Clock, total: int) -> None:
    link = world.endpoints["link:one"]
    for _ in range(20 * total):
        if len(link.given) == total and not link.unanswered:
            break
        clock.jump(GAP_S)
        await trio.sleep(0.5)
    assert len(link.given) == total


async def test_members_come_and_go_while_texts_are_on_their_way(world: World, fast_clock: Clock) -> None:
    """Each change of the members while some texts are on the wire and some wait: each arrives once, in order."""
    async with grouped(world, {"one": 1, "two": 1, "three": 1}) as g:
        order: dict[str, list[str]] = defaultdict(list)

        def note(pdu: SubmitSm) -> int:
            order[pdu.destination_addr].append(pdu.short_message.decode())
            return 0

        members = {name: carrier.link for name, carrier in g.carriers.items()}
        for carrier in g.carriers.values():
            carrier.answer = note
            await carrier.bind(window=2)
        customers = [g.preferring(name, number) for name in members for number in range(4)]
        sets = [("one",), ("two", "three"), ("three",), ("one", "two", "three"), ("two",)]
        for number, names in enumerate(sets * 2):
            for customer in customers:
                await g.submit(f"{number}", destination=customer)
            settings = GroupSettings(
                name="g", members=tuple((name, 1) for name in names), gap_us=0, validity_us=3_600 * SECOND
            )
            g.group.adopt(settings, members)
            g.hub.keep_to_settings("group:g")
        await world.until_counts({"DELIVERED": 10 * len(customers)}, within_s=60)
        assert {tuple(texts) for texts in order.values()} == {tuple(map(str, range(10)))}
        assert len(order) == len(customers)
        with pytest.raises(KeyError):
            g.group.adopt(GroupSettings(name="g", members=(("unknown", 1),)), members)


async def test_a_group_is_taken_off_the_road_and_its_links_stay(world: World, fast_clock: Clock) -> None:
    async with grouped(world, {"one": 1, "two": 1}) as g:
        await g["one"].bind(window=1)
        g["one"].answer = lambda pdu: None
        for number in range(3):
            await g.submit(f"text {number}", destination=g.preferring("one", number))
        await world.until(lambda: g["one"].got == ["text 0"])
        g.group.close()
        assert g.group.room() == 0
        assert not await g.hub.detach("group:g", within_s=60.0)
        for carrier in g.carriers.values():
            carrier.link.leave("group:g")
        await g["one"].leave()
        await world.until(lambda: not g["one"].link.is_bound)
        states = await world.states()
        assert sorted(states) == ["QUEUED", "QUEUED", "SUBMITTING"], "one had no answer: it is in doubt"
