"""An SMPP endpoint between a hub that writes down and a scripted peer, over memory streams, on a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from hub import (
    Accepted,
    Arrival,
    Kind,
    Message,
    Outcome,
    Part,
    Reason,
    ReceiptWanted,
    Rejected,
    Result,
    TryLater,
    Verdict,
)
from smpp import tlv
from smpp.connection import Connection
from smpp.constants import VERSION_3_4
from smpp.constants import CommandStatus as Status
from smpp.events import Settings
from smpp.pdu import (
    AlertNotification,
    BindTransceiver,
    CancelSm,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    response_class,
)
from smpp.session import Options, Session
from smpp.states import Role
from smpp.testing import ScriptedSMSC
from translators.smpp_endpoint import SmppEndpoint
from translators.smpp_messages import Dialect

EPOCH_US = 1_767_225_600_000_000


def now_us() -> int:
    return EPOCH_US + int(trio.current_time() * 1e6)


class WritingRoad:
    """A hub that writes down what it is told and answers as it was told to."""

    def __init__(self) -> None:
        self.received: list[list[Arrival]] = []
        self.reported: list[Outcome] = []
        self.woken: list[int] = []
        self.verdicts: list[Verdict] = []
        self.alerts: list[str] = []
        self.holds = True  # this node, what it was given

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        await trio.lowlevel.checkpoint()
        self.received.append(list(arrivals))
        return [self.verdicts.pop(0) if self.verdicts else Accepted(7) for _ in arrivals]

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.reported += outcomes

    def wake(self, endpoint: str) -> None:
        self.woken.append(now_us())

    def may_give(self) -> bool:
        return self.holds

    def alert(self, endpoint: str, address: str) -> None:
        self.alerts.append(address)

    def results(self) -> list[tuple[int, Result]]:
        return [(outcome.part.message.id, outcome.result) for outcome in self.reported]


class Bench:
    """An endpoint with its road, and peers to connect to it."""

    def __init__(self, nursery: trio.Nursery, **settings: Any) -> None:
        self.road = WritingRoad()
        self.endpoint = SmppEndpoint(
            "link:x",
            self.road,
            settings.pop("dialect", Dialect()),
            SubmitSm,
            clock=now_us,
            gap_us=0,
            validity_us=1,
            max_attempts=1,
            **settings,
        )
        self.nursery = nursery
        nursery.start_soon(self.endpoint.do_chores)

    async def connect(
        self, *, window: int = 10, carries: bool = True, version: int | None = VERSION_3_4, serve: bool = True
    ) -> tuple[Session, ScriptedSMSC]:
        """A bound session that the endpoint serves, and its peer."""
        ours, theirs = trio.testing.memory_stream_pair()
        settings = Settings(window=window, enquire_link_s=0, response_s=30)
        session = Session(ours, Connection(Role.ESME, settings, now=trio.current_time()), Options())
        peer = ScriptedSMSC(theirs)
        await self.nursery.start(session.run)
        async with trio.open_nursery() as binding:
            binding.start_soon(session.bind, BindTransceiver(system_id="me"))
            await peer.accept_bind(version=version)
        if serve:
            self.nursery.start_soon(lambda: self.endpoint.serve(session, carries=carries))
        await trio.testing.wait_all_tasks_blocked()
        return session, peer

    def parts(self, count: int, first: int = 1, **fields: Any) -> list[Part]:
        """Parts of as many messages."""
        made = []
        for number in range(first, first + count):
            message = Message(
                id=number,
                kind=Kind.TEXT,
                origin="account:a",
                endpoint="link:x",
                source="+12025550100",
                destination="+447700900123",
                text=f"text {number}",
                received_us=EPOCH_US,
                expires_us=EPOCH_US + 1,
                **fields,
            )
            (payload,) = self.endpoint.split(message)
            made.append(Part(message, 1, 1, payload))
        return made


@asynccontextmanager
async def benched(**settings: Any) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        yield Bench(nursery, **settings)
        nursery.cancel_scope.cancel()


async def idle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_without_a_session_there_is_no_room_and_with_one_the_hub_is_woken(autojump_clock: Any) -> None:
    async with benched() as bench:
        assert bench.endpoint.room() == 0
        await bench.connect(window=5)
        assert bench.endpoint.room() == 5
        assert len(bench.road.woken) == 1
        await bench.connect(window=7, carries=False)
        assert bench.endpoint.room() == 5
        await bench.connect(window=3)
        assert bench.endpoint.room() == 8


async def test_parts_go_out_and_answers_come_back_as_outcomes(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        wanting = bench.parts(1, receipt_wanted=ReceiptWanted.FINAL)
        bench.endpoint.deliver([*wanting, *bench.parts(4, 2)])
        assert bench.endpoint.room() == 5
        pdus = [await peer.expect(SubmitSm) for _ in range(5)]
        assert [pdu.short_message for pdu in pdus] == [f"text {n}".encode() for n in range(1, 6)]
        assert [bool(pdu.registered_delivery) for pdu in pdus] == [True, False, False, False, False]
        await peer.answer(pdus[0], message_id="abc")
        await peer.answer(pdus[2], Status.ESME_RINVDSTADR)
        await peer.answer(pdus[1], message_id="def")
        await peer.answer(pdus[4], Status.ESME_RSYSERR)
        await peer.send(GenericNack(sequence_number=pdus[3].sequence_number, command_status=Status.ESME_RINVCMDID))
        await idle()
        outcomes = {outcome.part.message.id: outcome for outcome in bench.road.reported}
        assert len(bench.road.reported) == 5
        assert (outcomes[1].result, outcomes[1].carrier_id, outcomes[1].receipt_expected) == (
            Result.ACCEPTED,
            "abc",
            True,
        )
        assert (outcomes[2].result, outcomes[2].receipt_expected) == (Result.ACCEPTED, False)
        assert (outcomes[3].result, outcomes[3].reason) == (Result.REFUSED, "ESME_RINVDSTADR")
        assert (outcomes[4].result, outcomes[4].reason) == (Result.REFUSED, "ESME_RINVCMDID")
        assert (outcomes[5].result, outcomes[5].reason) == (Result.RETRY, "ESME_RSYSERR")
        assert bench.endpoint.room() == 10


async def test_parts_are_held_while_they_may_be_anothers(autojump_clock: Any) -> None:
    async with benched() as bench:
        session, peer = await bench.connect()
        bench.endpoint.deliver(bench.parts(1))
        bench.road.holds = False  # between the giving and the writing, as for a node that was frozen there
        with trio.move_on_after(5) as waited:
            await peer.expect(SubmitSm)
        assert waited.cancelled_caught
        bench.road.holds = True
        assert (await peer.expect(SubmitSm)).short_message == b"text 1"
        bench.endpoint.deliver(bench.parts(2, 2))
        bench.road.holds = False
        await trio.sleep(5)
        session.close()
        await trio.sleep(5)
        assert bench.road.results() == [(1, Result.IN_DOUBT), (2, Result.UNSENT), (3, Result.UNSENT)]
        assert await peer.receive() is None


async def test_no_receipt_is_awaited_for_a_part_without_id(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bench.endpoint.deliver(bench.parts(1, receipt_wanted=ReceiptWanted.FINAL))
        await peer.answer(await peer.expect(SubmitSm), message_id="")
        await idle()
        assert [outcome.receipt_expected for outcome in bench.road.reported] == [False]


async def test_what_one_session_has_no_room_for_goes_to_the_next(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, small = await bench.connect(window=2)
        _, large = await bench.connect(window=4)
        bench.endpoint.deliver(bench.parts(6))
        assert bench.endpoint.room() == 0
        got = [(await peer.expect(SubmitSm)).short_message for peer in (large, large, large, large, small, small)]
        assert sorted(got) == [f"text {n}".encode() for n in range(1, 7)]


async def test_every_part_of_a_session_that_dies_is_reported_once(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bench.endpoint.deliver(bench.parts(4))
        first = await peer.expect(SubmitSm)
        await peer.answer(first, message_id="1")
        await peer.close()
        await idle()
        await trio.sleep(60)
        assert sorted(bench.road.results()) == [(1, Result.ACCEPTED), *((n, Result.IN_DOUBT) for n in (2, 3, 4))]
        assert bench.endpoint.room() == 0
        assert bench.endpoint.sessions == []


async def test_a_part_that_is_never_answered_is_in_doubt_and_costs_only_itself(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bench.endpoint.deliver(bench.parts(2))
        await peer.expect(SubmitSm)
        await peer.answer(await peer.expect(SubmitSm), message_id="2")
        await trio.sleep(31)
        assert sorted(bench.road.results()) == [(1, Result.IN_DOUBT), (2, Result.ACCEPTED)]
        assert bench.endpoint.room() == 10


async def test_what_is_given_when_the_session_has_just_gone_is_unsent(autojump_clock: Any) -> None:
    async with benched() as bench:
        session, _ = await bench.connect()
        parts = bench.parts(3)
        bench.endpoint.sessions.clear()
        bench.endpoint._carriers.clear()  # what serve does as it ends, before the hub knows
        bench.endpoint.deliver(parts)
        await idle()
        assert bench.road.results() == [(n, Result.UNSENT) for n in (1, 2, 3)]
        bench.endpoint.sessions.append(session)
        bench.endpoint._carriers.append(session)


async def test_a_throttled_peer_rests_and_the_hub_is_woken_when_it_is_over(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        woken = len(bench.road.woken)
        bench.endpoint.deliver(bench.parts(2))
        for status in (Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL):
            await peer.answer(await peer.expect(SubmitSm), status)
        await idle()
        start = now_us()
        assert [result for _, result in bench.road.results()] == [Result.THROTTLED] * 2
        assert bench.endpoint.room() == 0
        await trio.sleep(0.6)
        assert bench.endpoint.room() == 1  # it goes on slowly
        assert [at - start for at in bench.road.woken[woken:]] == [pytest.approx(500_000, abs=2_000)]


async def test_what_could_not_be_written_is_reported_while_the_brake_is_on(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        for _ in range(4):  # up to a long rest
            bench.endpoint.deliver(bench.parts(1))
            await peer.answer(await peer.expect(SubmitSm), Status.ESME_RTHROTTLED)
            await idle()
            await trio.sleep(bench.endpoint._pace.next_us(now_us()) / 1e6 - now_us() / 1e6)
        bench.endpoint.deliver(bench.parts(1))
        await peer.answer(await peer.expect(SubmitSm), Status.ESME_RTHROTTLED)
        await idle()
        assert bench.endpoint.room() == 0
        bench.road.reported.clear()
        bench.endpoint._carriers.clear()
        bench.endpoint.deliver(bench.parts(1, 9))
        await trio.sleep(0.1)
        assert bench.road.results() == [(9, Result.UNSENT)]
        bench.endpoint._carriers.extend(bench.endpoint.sessions)


async def test_an_agreed_rate_is_kept_and_the_hub_is_woken_for_more(autojump_clock: Any) -> None:
    async with benched(per_s=20.0) as bench:
        _, peer = await bench.connect(window=100)
        start, sent = now_us(), 0
        while sent < 40:
            room = bench.endpoint.room()
            if not room:
                woken = len(bench.road.woken)
                with trio.fail_after(1):
                    while len(bench.road.woken) == woken:  # noqa: ASYNC110
                        await trio.sleep(0.001)
                continue
            bench.endpoint.deliver(bench.parts(room, sent + 1))
            sent += room
            for _ in range(room):
                await peer.answer(await peer.expect(SubmitSm), message_id="x")
        assert (now_us() - start) / 1e6 == pytest.approx((sent - 2) / 20, rel=0.05)


@pytest.mark.parametrize("make", [DeliverSm, DataSm])
async def test_requests_are_answered_by_the_hubs_verdict(autojump_clock: Any, make: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bench.road.verdicts = [
            Accepted(123456789),
            Rejected(Reason.BAD_SOURCE),
            Rejected(Reason.NO_ROUTE),
            Rejected(Reason.TOO_LONG),
            TryLater(1.0),
            TryLater(5.0),
        ]
        requests = [make(sequence_number=n, source_addr="1", destination_addr="2") for n in range(1, 7)]
        await peer.send(*requests)
        answer_class = {DeliverSm: DeliverSmResp, DataSm: DataSmResp}[make]
        answers = [await peer.expect(answer_class) for _ in requests]
        assert [(a.sequence_number, a.command_status) for a in answers] == [
            (1, Status.ESME_ROK),
            (2, Status.ESME_RINVSRCADR),
            (3, Status.ESME_RINVDSTADR),
            (4, Status.ESME_RINVMSGLEN),
            (5, Status.ESME_RTHROTTLED),
            (6, Status.ESME_RMSGQFUL),
        ]
        if make is DataSm:
            assert answers[0].message_id == "123456789"


async def test_a_bad_message_is_answered_at_once_and_costs_no_other(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bad = DeliverSm(
            sequence_number=1, source_addr="1", destination_addr="2", esm_class=0x40, short_message=b"\x09x"
        )
        good = DeliverSm(sequence_number=2, source_addr="1", destination_addr="2", short_message=b"ok")
        await peer.send(bad, good)
        answers = {answer.sequence_number: answer for answer in [await peer.expect(DeliverSmResp) for _ in range(2)]}
        assert answers[1].command_status == Status.ESME_RINVESMCLASS
        assert answers[2].command_status == Status.ESME_ROK
        assert [[arrival.text for arrival in batch] for batch in bench.road.received] == [["ok"]]
        assert bench.endpoint.faults()["ESME_RINVESMCLASS"] == 1


async def test_what_an_smsc_may_not_ask_of_an_esme_is_refused_by_the_standard(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        misplaced = (SubmitSm, SubmitMulti, QuerySm, CancelSm, ReplaceSm)
        for number, request in enumerate(misplaced, 1):
            more = {"dest_address": (SmeAddress(1, 1, "2"),)} if request is SubmitMulti else {}
            await peer.send(request(sequence_number=number, **more))
            answer = await peer.expect(response_class(request))  # type: ignore[type-var]
            assert (answer.sequence_number, answer.command_status) == (number, Status.ESME_RINVBNDSTS)
        await peer.send_raw(bytes.fromhex("00000010 0000ABCD 00000000 00000063"))
        nack = await peer.expect(GenericNack)
        assert (nack.sequence_number, nack.command_status) == (0x63, Status.ESME_RINVCMDID)
        assert bench.road.received == []


@pytest.mark.parametrize("version", [None, 0x34], ids=["3.3", "3.4"])
async def test_an_answer_names_a_reason_that_no_status_says(autojump_clock: Any, version: int | None) -> None:
    async with benched() as bench:
        _, peer = await bench.connect(version=version)
        bench.road.verdicts = [Rejected(Reason.OPTED_OUT), Rejected(Reason.NO_ROUTE)]
        told = []
        for number in (1, 2):
            await peer.send(DataSm(sequence_number=number, source_addr="1", destination_addr="2"))
            answer = await peer.expect(DataSmResp)
            assert answer.command_status == Status.ESME_RINVDSTADR
            told.append(tlv.get(answer, tlv.Tag.ADDITIONAL_STATUS_INFO_TEXT))
        assert told == ["opted-out" if version else None, None]


async def test_an_alert_has_no_answer_and_holds_up_nothing(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        await peer.send(AlertNotification(sequence_number=1, source_addr="1", esme_addr="2"))
        await peer.send(DataSm(sequence_number=2, source_addr="1", destination_addr="2"))
        assert (await peer.expect(DataSmResp)).command_status == 0
        assert len(bench.road.received) == 1
        assert bench.road.alerts == ["1"]


async def test_requests_that_were_not_answered_when_the_session_died_are_dropped(autojump_clock: Any) -> None:
    """The peer sends them again: nobody has acknowledged them."""
    async with benched() as bench:
        _, peer = await bench.connect()
        await peer.send(DeliverSm(sequence_number=1, source_addr="1", destination_addr="2"))
        await peer.close()
        await idle()
        await trio.sleep(10)
        assert bench.endpoint.sessions == []


async def test_a_link_of_two_binds_sends_by_the_one_that_carries(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, receiver = await bench.connect(carries=False)
        assert bench.endpoint.room() == 0
        assert bench.road.woken == []
        _, transmitter = await bench.connect()
        bench.endpoint.deliver(bench.parts(1))
        await transmitter.expect(SubmitSm)
        await receiver.send(DeliverSm(sequence_number=1, source_addr="1", destination_addr="2", short_message=b"mo"))
        await receiver.expect(DeliverSmResp)
        await receiver.close()
        await idle()
        assert bench.endpoint.room() == 9


async def test_a_fault_of_ours_in_a_request_costs_no_part_its_outcome(autojump_clock: Any) -> None:
    """A part without an outcome would keep its lane waiting until the daemon is started again."""
    async with benched() as bench:
        session, peer = await bench.connect(serve=False)
        failures: list[Exception] = []

        async def serve() -> None:
            try:
                await bench.endpoint.serve(session, carries=True)
            except ZeroDivisionError as error:
                failures.append(error)

        async def fail(endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
            raise ZeroDivisionError

        bench.road.receive = fail  # type: ignore[method-assign]
        bench.nursery.start_soon(serve)
        await idle()
        bench.endpoint.deliver(bench.parts(2))
        await peer.answer(await peer.expect(SubmitSm))
        await peer.expect(SubmitSm)
        await peer.send(DeliverSm(sequence_number=1, source_addr="1", destination_addr="2"))
        await session.wait_over()
        await idle()
        assert bench.road.results() == [(1, Result.ACCEPTED), (2, Result.IN_DOUBT)]
        assert len(failures) == 1
        assert not bench.endpoint.sessions
