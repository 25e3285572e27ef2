"""A link's binds as a whole: several of a kind, calls by outbind beside them, and a bind that the SMSC forgets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from hub import Result
from smpp.constants import CommandStatus as Status
from smpp.outbind import answer_outbinds
from smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, DeliverSm, DeliverSmResp, Outbind, SubmitSm, Unbind
from smpp.states import State
from smpp.testing import ScriptedSMSC
from tests.sessions.hub.test_smpp_endpoint import WritingRoad, benched, idle, now_us
from translators import smpp_links
from translators.smpp_links import BindType, LinkSettings, SmppLink

OUTBIND = Outbind(sequence_number=1, system_id="SMSC", password="theirs")


class Carrier:
    """The SMSC of a link: what it calls comes in over memory, what it is called by goes out over loopback."""

    def __init__(self, link: SmppLink, road: WritingRoad, nursery: trio.Nursery) -> None:
        self.link = link
        self.road = road
        self.bound: list[ScriptedSMSC] = []
        self.kinds: list[type] = []
        self.port = 0
        self.shutdown = trio.Event()
        self._nursery = nursery

    async def open_tcp_stream(self, host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.link.settings.tls is not None:
            raise ConnectionRefusedError(111, "refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._accept, ScriptedSMSC(theirs))
        return ours

    async def _accept(self, smsc: ScriptedSMSC) -> None:
        self.kinds.append(type(await smsc.accept_bind()))
        self.bound.append(smsc)

    async def call(self) -> ScriptedSMSC:
        return ScriptedSMSC(await _open_tcp_stream("127.0.0.1", self.port))


_open_tcp_stream = trio.open_tcp_stream


@asynccontextmanager
async def carrier(monkeypatch: pytest.MonkeyPatch, *, listen: bool = True, **settings: Any) -> AsyncIterator[Carrier]:
    road = WritingRoad()
    link = SmppLink(
        LinkSettings(name="x", host="127.0.0.1", port=2775, system_id="hub", password="ourpass", **settings),
        road,
        now_us,
    )
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            made = Carrier(link, road, nursery)
            monkeypatch.setattr(trio, "open_tcp_stream", made.open_tcp_stream)
            if listen:
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                made.port = listeners[0].socket.getsockname()[1]
                monkeypatch.setattr(smpp_links, "answer_outbinds", partial(answer_outbinds, listeners=listeners))
            nursery.start_soon(link.run, made.shutdown)
            yield made
            nursery.cancel_scope.cancel()


# --- Several binds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "binds", "made"),
    [
        ((BindType.TRX,), 1, [BindTransceiver]),
        ((BindType.TRX,), 3, [BindTransceiver] * 3),
        ((BindType.TX, BindType.RX), 2, [BindReceiver, BindReceiver, BindTransmitter, BindTransmitter]),
    ],
)
async def test_a_link_has_as_many_binds_of_each_kind_as_it_is_told(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch, kinds: Any, binds: int, made: list[type]
) -> None:
    async with carrier(monkeypatch, listen=False, bind_types=kinds, binds=binds, window=10) as smsc:
        await idle()
        assert sorted(smsc.kinds, key=lambda kind: kind.__name__) == made
        assert len(smsc.link.sessions) == len(made)
        carriers = sum(session.state is not State.BOUND_RX for session in smsc.link.sessions)
        assert smsc.link.room() == 10 * carriers


async def test_one_bind_that_is_gone_leaves_the_others_at_work(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with carrier(monkeypatch, listen=False, binds=2, window=10) as smsc:
        await idle()
        await smsc.bound[0].close()
        await idle()
        assert smsc.link.room() == 10
        await smsc.bound[1].send(
            DeliverSm(sequence_number=1, source_addr="1", destination_addr="2", short_message=b"x")
        )
        await smsc.bound[1].expect(DeliverSmResp)
        await trio.sleep(2)
        assert smsc.link.room() == 20


# --- outbind ---------------------------------------------------------------------------------------------------------


async def test_an_smsc_that_calls_delivers_on_the_connection_that_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrier(monkeypatch, outbind_port=1, outbind_password="theirs") as smsc:
        caller = await smsc.call()
        await caller.send(OUTBIND)
        bind = await caller.accept_bind()
        assert isinstance(bind, BindReceiver)
        assert (bind.system_id, bind.password) == ("hub", "ourpass")
        await caller.send(DeliverSm(sequence_number=7, source_addr="1", destination_addr="2", short_message=b"hello"))
        assert (await caller.expect(DeliverSmResp)).sequence_number == 7
        assert [arrival.text for batch in smsc.road.received for arrival in batch] == ["hello"]
        assert State.BOUND_RX in [session.state for session in smsc.link.sessions]
        await caller.close()


async def test_who_says_another_word_gets_nothing_from_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrier(monkeypatch, outbind_port=1, outbind_password="theirs") as smsc:
        caller = await smsc.call()
        await caller.send(Outbind(sequence_number=1, system_id="SMSC", password="guess"))
        await caller.expect_end()
        await caller.close()


async def test_without_a_password_the_address_of_the_links_host_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrier(monkeypatch, outbind_port=1) as smsc:
        caller = await smsc.call()
        await caller.send(Outbind(sequence_number=1))
        await caller.accept_bind()
        await caller.close()


async def test_without_a_password_another_address_will_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrier(monkeypatch, outbind_port=1) as smsc:
        monkeypatch.setattr("smpp.outbind.peer_address", lambda stream: "203.0.113.9")
        caller = await smsc.call()
        await caller.send(Outbind(sequence_number=1))
        await caller.expect_end()
        await caller.close()


async def test_a_link_that_is_told_to_stop_unbinds_its_callers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrier(monkeypatch, outbind_port=1, outbind_password="theirs") as smsc:
        caller = await smsc.call()
        await caller.send(OUTBIND)
        await caller.accept_bind()
        while len(smsc.link.sessions) < 2:
            await trio.testing.wait_all_tasks_blocked(0.01)
        smsc.shutdown.set()
        for peer in (caller, smsc.bound[0]):
            await peer.answer(await peer.expect(Unbind))
            await peer.expect_end()
            await peer.close()
        while smsc.link.sessions:
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_link_with_tls_opens_no_plain_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said there holds both sides' passwords."""
    called = []
    monkeypatch.setattr(smpp_links, "answer_outbinds", lambda *args, **more: called.append(args))
    with structlog.testing.capture_logs() as logs:
        async with carrier(monkeypatch, listen=False, outbind_port=1, tls=ssl.create_default_context()) as smsc:
            await idle()
            assert smsc.link.settings.outbind_tls is None
    assert called == []
    assert any("no port for outbind" in line["event"] for line in logs)


async def test_a_port_that_is_taken_costs_only_the_calls(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def taken(*args: Any, **more: Any) -> None:
        await trio.lowlevel.checkpoint()
        tries.append(trio.current_time())
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(smpp_links, "answer_outbinds", taken)
    async with carrier(monkeypatch, listen=False, outbind_port=1, enquire_link_s=0) as smsc:
        await trio.sleep(45)
        assert len(tries) == 2
        assert len(smsc.link.sessions) == 1
        smsc.shutdown.set()
        await smsc.bound[0].answer(await smsc.bound[0].expect(Unbind))
        await smsc.bound[0].close()
        await idle()
        assert smsc.link.sessions == []


# --- A bind that the SMSC forgets ------------------------------------------------------------------------------------


async def test_what_an_smsc_that_forgot_the_bind_refuses_is_queued_again_and_no_attempt_counts(
    autojump_clock: Any,
) -> None:
    async with benched() as bench:
        session, peer = await bench.connect()
        bench.endpoint.deliver(bench.parts(3))
        for _ in range(3):
            await peer.answer(await peer.expect(SubmitSm), Status.ESME_RINVBNDSTS)
        await peer.answer(await peer.expect(Unbind))
        await session.wait_over()
        await idle()
        assert bench.road.results() == [(1, Result.UNSENT), (2, Result.UNSENT), (3, Result.UNSENT)]
        assert bench.endpoint.room() == 0
        assert bench.endpoint.faults()["bind forgotten"] == 3


async def test_another_bind_of_the_link_goes_on_when_one_is_forgotten(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, forgetful = await bench.connect(window=10)
        bench.endpoint.deliver(bench.parts(1))
        _, other = await bench.connect(window=10)
        await forgetful.answer(await forgetful.expect(SubmitSm), Status.ESME_RINVBNDSTS)
        await forgetful.answer(await forgetful.expect(Unbind))
        await idle()
        assert bench.endpoint.room() == 10
        bench.endpoint.deliver(bench.parts(1))
        await other.answer(await other.expect(SubmitSm), message_id="a")
        await idle()
        assert bench.road.results() == [(1, Result.UNSENT), (1, Result.ACCEPTED)]


async def test_a_congested_carrier_is_given_less(autojump_clock: Any) -> None:
    async with benched() as bench:
        session, peer = await bench.connect(window=10)
        bench.endpoint.deliver(bench.parts(10))
        for _ in range(10):
            await peer.answer(await peer.expect(SubmitSm), message_id="a", tlvs=((0x0428, b"\x64"),))
        await idle()
        assert session.congestion == 100
        assert bench.endpoint.room() == 1
        assert bench.road.results() == [(number, Result.ACCEPTED) for number in range(1, 11)]
