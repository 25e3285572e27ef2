"""A group over links whose carriers are scripts. With a real hub: tests/integration/hub/test_groups.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from hub import Kind, Message, Outcome, Part, ReceiptWanted, Result
from smpp.connection import Connection
from smpp.constants import CommandStatus as Status
from smpp.events import Settings
from smpp.pdu import BindTransceiver, SubmitSm
from smpp.session import Options, Session
from smpp.states import Role
from smpp.testing import ScriptedSMSC
from tests.sessions.hub.test_smpp_endpoint import EPOCH_US, WritingRoad, idle, now_us
from translators.smpp_groups import GroupSettings, SmppGroup
from translators.smpp_links import LinkSettings, SmppLink
from translators.smpp_messages import Dialect


class GroupRoad(WritingRoad):
    """Writes down who reported and who was woken."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Outcome]] = []
        self.wakes: list[str] = []

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        await super().report(endpoint, outcomes)
        self.told += [(endpoint, outcome) for outcome in outcomes]

    def wake(self, endpoint: str) -> None:
        super().wake(endpoint)
        self.wakes.append(endpoint)

    def take(self) -> list[tuple[str, int, Result, str]]:
        """What was reported since the last call, in order of message."""
        told, self.told = self.told, []
        return sorted((name, o.part.message.id, o.result, o.reason) for name, o in told)


class GroupBench:
    """A group with its links and road, and carriers to connect to them."""

    def __init__(
        self,
        nursery: trio.Nursery,
        members: dict[str, int],
        standby: Sequence[str] = (),
        links: dict[str, dict[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.road = GroupRoad()
        self.nursery = nursery
        self.links = {name: self._link(name, (links or {}).get(name, {})) for name in [*members, *standby]}
        self.group = SmppGroup(
            GroupSettings(name="g", members=tuple(members.items()), standby=tuple(standby), **settings),
            self.links,
            self.road,
            now_us,
        )
        nursery.start_soon(self.group.do_chores)
        for link in self.links.values():
            nursery.start_soon(link.do_chores)

    def _link(self, name: str, settings: dict[str, Any]) -> SmppLink:
        chosen: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "system_id": "hub", "password": "x"} | settings
        return SmppLink(LinkSettings(name=name, **chosen), self.road, now_us)

    async def connect(self, name: str, *, window: int = 10) -> ScriptedSMSC:
        """Bind a link. Returns: its carrier."""
        ours, theirs = trio.testing.memory_stream_pair()
        settings = Settings(window=window, enquire_link_s=0, response_s=30)
        session = Session(ours, Connection(Role.ESME, settings, now=trio.current_time()), Options())
        peer = ScriptedSMSC(theirs)
        await self.nursery.start(session.run)
        async with trio.open_nursery() as binding:
            binding.start_soon(session.bind, BindTransceiver(system_id="me"))
            await peer.accept_bind()
        self.nursery.start_soon(lambda: self.links[name].serve(session, carries=True))
        await idle()
        return peer

    def message(self, number: int, destination: str, endpoint: str = "group:g", text: str = "") -> Message:
        return Message(
            id=number,
            kind=Kind.TEXT,
            origin="account:a",
            endpoint=endpoint,
            source="+12025550100",
            destination=destination,
            text=text or f"text {number}",
            received_us=EPOCH_US,
            expires_us=EPOCH_US + 1,
            receipt_wanted=ReceiptWanted.FINAL,
        )

    def parts(self, count: int, first: int = 1, prefer: str = "", attempt: int = 1) -> list[Part]:
        """Parts of the group, one of each message, for customers who prefer a link."""
        made: list[Part] = []
        customer = first * 1000
        while len(made) < count:
            customer += 1
            message = self.message(first + len(made), f"+4477009{customer:06}")
            (payload,) = self.group.split(message)
            if not prefer or self.preferred(message) == prefer:
                made.append(Part(message, 1, 1, payload, attempt))
        return made

    def preferred(self, message: Message) -> str:
        """The link that a message's customer prefers."""
        (payload, *_) = self.group.split(message)
        return next(name for i, name in enumerate(self.links) if i == payload.order[0])


@asynccontextmanager
async def grouped(members: dict[str, int], standby: Sequence[str] = (), **settings: Any) -> AsyncIterator[GroupBench]:
    async with trio.open_nursery() as nursery:
        yield GroupBench(nursery, members, standby, **settings)
        nursery.cancel_scope.cancel()


async def texts(peer: ScriptedSMSC, count: int) -> list[str]:
    """What a carrier was sent, answered with an id made of it."""
    got = []
    for _ in range(count):
        pdu = await peer.expect(SubmitSm)
        got.append(pdu.short_message.decode())
        await peer.answer(pdu, message_id=f"id-{pdu.short_message.decode()}")
    await idle()
    return sorted(got)


async def refuse(peer: ScriptedSMSC, status: int = Status.ESME_RINVDSTADR, count: int = 1) -> None:
    """Let a carrier refuse."""
    for _ in range(count):
        await peer.answer(await peer.expect(SubmitSm), status)
    await idle()


def again(bench: GroupBench, part: Part) -> Part:
    """The part as the hub gives it once more."""
    (payload,) = bench.group.split(part.message)
    return Part(part.message, 1, 1, payload, part.attempt)


async def test_room_is_that_of_the_bound_members(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        assert bench.group.room() == 0
        await bench.connect("a", window=5)
        assert bench.group.room() == 5
        assert bench.road.wakes == ["link:a", "group:g"]
        b = await bench.connect("b", window=7)
        assert bench.group.room() == 12
        await b.close()
        await idle()
        assert bench.group.room() == 5


async def test_a_customer_keeps_a_link_while_it_is_bound_and_the_others_while_it_is_not(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a"), await bench.connect("b")
        bench.group.deliver([*bench.parts(2, 1, prefer="a"), *bench.parts(3, 11, prefer="b")])
        assert await texts(a, 2) == ["text 1", "text 2"]
        assert await texts(b, 3) == ["text 11", "text 12", "text 13"]
        await b.close()
        await idle()
        bench.group.deliver([*bench.parts(1, 21, prefer="b"), *bench.parts(1, 31, prefer="a")])
        assert await texts(a, 2) == ["text 21", "text 31"]
        b = await bench.connect("b")
        bench.group.deliver(bench.parts(1, 41, prefer="b"))
        assert await texts(b, 1) == ["text 41"]


async def test_outcomes_go_to_the_group_with_the_ids_of_the_link(autojump_clock: Any) -> None:
    async with grouped({"a": 1}) as bench:
        a = await bench.connect("a")
        own = bench.message(7, "+447700900123", endpoint="link:a")
        bench.group.deliver(bench.parts(1))
        bench.links["a"].deliver([Part(own, 1, 1, bench.links["a"].split(own)[0])])
        assert await texts(a, 2) == ["text 1", "text 7"]
        told = dict(bench.road.told)
        assert told.keys() == {"group:g", "link:a"}
        for name, number in (("group:g", 1), ("link:a", 7)):
            outcome = told[name]
            assert (outcome.part.message.id, outcome.result) == (number, Result.ACCEPTED)
            assert (outcome.carrier_id, outcome.via, outcome.receipt_expected) == (f"id-text {number}", "link:a", True)


async def test_what_one_has_freed_wakes_both_who_give(autojump_clock: Any) -> None:
    async with grouped({"a": 1}) as bench:
        a = await bench.connect("a", window=1)
        bench.group.deliver(bench.parts(1))
        bench.road.wakes.clear()
        await texts(a, 1)
        assert {"link:a", "group:g"} <= set(bench.road.wakes)


async def test_a_full_link_holds_nobody_up(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a", window=1), await bench.connect("b", window=5)
        bench.group.deliver(bench.parts(3, prefer="a"))
        assert await texts(a, 1) == ["text 1"]
        assert await texts(b, 2) == ["text 2", "text 3"]


async def test_a_standby_is_used_while_no_other_is_bound_and_no_longer(autojump_clock: Any) -> None:
    async with grouped({"a": 1}, standby=["s"]) as bench:
        s = await bench.connect("s", window=4)
        assert bench.group.room() == 4
        bench.group.deliver(bench.parts(1))
        assert await texts(s, 1) == ["text 1"]
        a = await bench.connect("a", window=2)
        assert bench.group.room() == 2
        bench.group.deliver(bench.parts(2, 11))
        assert await texts(a, 2) == ["text 11", "text 12"]
        bench.group.deliver(bench.parts(2, 21))
        assert bench.group.room() == 0  # full is not gone
        bench.road.wakes.clear()
        await a.close()
        await idle()
        assert bench.group.room() == 4
        assert "group:g" in bench.road.wakes


async def test_each_link_writes_in_its_own_way(autojump_clock: Any) -> None:
    links = {"a": {"dialect": Dialect(service_type="AAA", source_ton=3)}, "b": {"dialect": Dialect(plus=True)}}
    async with grouped({"a": 1, "b": 1}, links=links) as bench:
        a = await bench.connect("a")
        (part,) = bench.parts(1, prefer="b")
        assert part.payload.pdu.service_type == "AAA"  # b is not there
        b = await bench.connect("b")
        bench.group.deliver([part])
        pdu = await b.expect(SubmitSm)
        assert (pdu.service_type, pdu.source_addr_ton, pdu.source_addr) == ("", 1, "+12025550100")
        (part,) = bench.parts(1, 2, prefer="a")
        bench.group.deliver([part])
        pdu = await a.expect(SubmitSm)
        assert (pdu.service_type, pdu.source_addr_ton, pdu.source_addr) == ("AAA", 3, "12025550100")


async def test_a_text_is_written_once_by_links_that_write_alike(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, _ = await bench.connect("a"), await bench.connect("b", window=1)
        (part,) = bench.parts(1, prefer="b")
        bench.group.deliver(bench.parts(1, 5, prefer="b"))
        for link in bench.links.values():
            monkeypatch.setattr(link, "split", None)
        bench.group.deliver([part])
        assert await texts(a, 1) == ["text 1"]


async def test_parts_of_one_text_may_take_different_links(autojump_clock: Any) -> None:
    links = {"a": {"dialect": Dialect(service_type="AAA")}, "b": {"dialect": Dialect(service_type="BBB")}}
    async with grouped({"a": 1, "b": 1}, links=links) as bench:
        message = bench.message(1, "+447700900123", text="x" * 300)
        payloads = bench.group.split(message)
        assert len(payloads) == 2
        alone = [list(link.split(message)) for link in bench.links.values()]
        for number, name in enumerate("ab", start=1):
            peer = await bench.connect(name)
            bench.group.deliver([Part(message, number, 2, payloads[number - 1])])
            pdu = await peer.expect(SubmitSm)
            expected = alone[number - 1][number - 1]
            assert (pdu.service_type, pdu.short_message) == (expected.service_type, expected.short_message)
            await peer.close()
            await idle()


async def test_a_throttled_link_rests_and_its_part_goes_by_another(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a"), await bench.connect("b")
        (part,) = bench.parts(1, prefer="a")
        bench.group.deliver([part])
        await refuse(a, Status.ESME_RTHROTTLED)
        (outcome,) = [outcome for _, outcome in bench.road.told]
        assert (outcome.result, outcome.retry_after_us) == (Result.THROTTLED, 1)
        assert bench.group.room() == 10
        bench.group.deliver([again(bench, part)])
        assert await texts(b, 1) == ["text 1"]
        bench.group.deliver(bench.parts(1, 2, prefer="b"))
        await refuse(b, Status.ESME_RTHROTTLED)
        assert bench.group.room() == 0
        assert [o.retry_after_us for _, o in bench.road.told if o.result is Result.THROTTLED] == [1, 0]
        bench.road.wakes.clear()
        await trio.sleep(1)
        assert bench.group.room() == 2  # both go on slowly
        assert "group:g" in bench.road.wakes


async def test_one_handsets_full_queue_is_not_asked_again_at_once_by_every_link(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, _ = await bench.connect("a"), await bench.connect("b")
        bench.group.deliver(bench.parts(10, 11, prefer="a"))
        await texts(a, 10)
        bench.road.told.clear()
        bench.group.deliver(bench.parts(1, prefer="a"))
        await refuse(a, Status.ESME_RMSGQFUL)
        (outcome,) = [outcome for _, outcome in bench.road.told]
        assert (outcome.result, outcome.retry_after_us) == (Result.THROTTLED, 5_000_000)
        assert bench.group.room() == 20


async def test_after_a_temporary_refusal_the_next_link_is_asked(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a"), await bench.connect("b")
        (part,) = bench.parts(1, prefer="a")
        bench.group.deliver([part])
        await refuse(a, Status.ESME_RSYSERR)
        assert bench.road.take() == [("group:g", 1, Result.RETRY, "ESME_RSYSERR")]
        bench.group.deliver([Part(part.message, 1, 1, part.payload, attempt=2)])
        await refuse(b, Status.ESME_RSYSERR)
        bench.group.deliver([Part(part.message, 1, 1, part.payload, attempt=3)])
        assert await texts(a, 1) == ["text 1"]


async def test_what_one_refuses_goes_to_the_others_and_dies_when_all_have(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1, "c": 1}) as bench:
        peers = {name: await bench.connect(name) for name in "abc"}
        (part,) = bench.parts(1)
        order = [list(bench.links)[index] for index in part.payload.order]
        for name in order[:2]:
            bench.group.deliver([again(bench, part)])
            await refuse(peers[name])
            assert bench.road.take() == [("group:g", 1, Result.REROUTED, "ESME_RINVDSTADR")]
        bench.group.deliver([again(bench, part)])
        await refuse(peers[order[2]], Status.ESME_RINVSRCADR)
        assert bench.road.take() == [("group:g", 1, Result.REFUSED, "ESME_RINVSRCADR")]
        bench.group.deliver([again(bench, part)])  # an operator sends it again: all are asked again
        await refuse(peers[order[0]])
        assert bench.road.take() == [("group:g", 1, Result.REROUTED, "ESME_RINVDSTADR")]


async def test_when_the_second_link_takes_it_its_id_counts(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a"), await bench.connect("b")
        (part,) = bench.parts(1, prefer="a")
        bench.group.deliver([part])
        await refuse(a)
        bench.road.take()
        bench.group.deliver([again(bench, part)])
        assert await texts(b, 1) == ["text 1"]
        (outcome,) = [outcome for _, outcome in bench.road.told]
        assert (outcome.result, outcome.via, outcome.carrier_id) == (Result.ACCEPTED, "link:b", "id-text 1")
        assert bench.group.carried == {("link:a", "refused"): 1, ("link:b", "accepted"): 1}


@pytest.mark.parametrize("status", [Status.ESME_RINVMSGLEN, Status.ESME_RINVEXPIRY, Status.ESME_RINVSCHED])
async def test_what_condemns_the_message_is_not_tried_again(autojump_clock: Any, status: Status) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, _ = await bench.connect("a"), await bench.connect("b")
        bench.group.deliver(bench.parts(1, prefer="a"))
        await refuse(a, status)
        assert bench.road.take() == [("group:g", 1, Result.REFUSED, status.name)]


async def test_a_group_may_take_the_first_refusal_for_the_last(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}, resend_refused=False) as bench:
        a, _ = await bench.connect("a"), await bench.connect("b")
        bench.group.deliver(bench.parts(1, prefer="a"))
        await refuse(a)
        assert bench.road.take() == [("group:g", 1, Result.REFUSED, "ESME_RINVDSTADR")]


async def test_while_the_link_that_has_not_refused_is_away_the_part_is_tried_again_later(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a = await bench.connect("a")
        (part,) = bench.parts(1, prefer="a")
        bench.group.deliver([part])
        await refuse(a)
        assert bench.road.take() == [("group:g", 1, Result.RETRY, "ESME_RINVDSTADR")]
        bench.group.deliver([again(bench, part)])  # a would only refuse again
        await idle()
        assert bench.road.take() == [("group:g", 1, Result.RETRY, "ESME_RINVDSTADR")]
        b = await bench.connect("b")
        bench.group.deliver([again(bench, part)])
        assert await texts(b, 1) == ["text 1"]


async def test_a_refused_part_waits_for_room_at_a_link_that_has_not_refused_it(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a", window=2), await bench.connect("b", window=1)
        bench.group.deliver(bench.parts(1, 5, prefer="b"))  # b is full
        parts = bench.parts(2, prefer="a")
        bench.group.deliver(parts)
        await refuse(a, count=2)
        assert [result for _, _, result, _ in bench.road.take()] == [Result.REROUTED] * 2
        assert bench.group.room() == 2
        bench.group.deliver([again(bench, part) for part in parts])
        assert bench.group.waiting() == 2
        assert bench.group.room() == 0  # or what a refuses would pile up here
        assert await texts(b, 3) == ["text 1", "text 2", "text 5"]
        assert bench.group.waiting() == 0
        assert bench.group.room() == 3


@pytest.mark.parametrize(("last", "result"), [("b", Result.RETRY), ("both", Result.UNSENT)])
async def test_what_waits_for_a_link_that_goes_is_given_back(autojump_clock: Any, last: str, result: Result) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a, b = await bench.connect("a"), await bench.connect("b", window=1)
        bench.group.deliver(bench.parts(1, 5, prefer="b"))
        (part,) = bench.parts(1, prefer="a")
        bench.group.deliver([part])
        await refuse(a)
        bench.group.deliver([again(bench, part)])
        bench.road.take()
        if last == "both":
            bench.links["a"]._carriers.clear()  # what serve does as it ends, an instant before b's
        await b.close()
        await idle()
        assert [told for told in bench.road.take() if told[1] == 1] == [
            ("group:g", 1, result, "ESME_RINVDSTADR" if result is Result.RETRY else "")
        ]
        assert bench.group.waiting() == 0
        link = bench.links["a"]
        link._carriers[:] = link.sessions


async def test_the_window_of_a_link_that_dies_is_reported_to_those_who_gave(autojump_clock: Any) -> None:
    async with grouped({"a": 1, "b": 1}) as bench:
        a = await bench.connect("a")
        own = bench.message(7, "+447700900123", endpoint="link:a")
        bench.group.deliver(bench.parts(2))
        bench.links["a"].deliver([Part(own, 1, 1, bench.links["a"].split(own)[0])])
        for _ in range(3):
            await a.expect(SubmitSm)
        await a.close()
        await idle()
        assert bench.road.take() == [
            ("group:g", 1, Result.IN_DOUBT, "on the wire"),
            ("group:g", 2, Result.IN_DOUBT, "on the wire"),
            ("link:a", 7, Result.IN_DOUBT, "on the wire"),
        ]


async def test_what_is_given_when_the_last_link_has_just_gone_is_unsent(autojump_clock: Any) -> None:
    async with grouped({"a": 1}) as bench:
        await bench.connect("a")
        parts = bench.parts(2)
        bench.links["a"]._carriers.clear()  # what serve does as it ends, before the hub knows
        bench.group.deliver(parts)
        await idle()
        assert [result for _, _, result, _ in bench.road.take()] == [Result.UNSENT] * 2
        bench.links["a"]._carriers.extend(bench.links["a"].sessions)


async def test_the_slowest_number_rate_of_the_members_is_the_groups(autojump_clock: Any) -> None:
    links = {"a": {"source_gap_us": 100_000}, "b": {"source_gap_us": 1_000_000}}
    async with grouped({"a": 1}, standby=["b"], links=links, gap_us=7, validity_us=8, max_attempts=9) as bench:
        group = bench.group
        assert (group.source_gap_us, group.gap_us, group.validity_us, group.max_attempts) == (1_000_000, 7, 8, 9)
