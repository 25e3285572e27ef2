"""The ESME's side: a bind, and a link that stays bound. The network is memory, the clock jumps."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import structlog
import trio
import trio.testing

from smpp.backoff import Backoff, Ceiling, Trouble
from smpp.client import BindType, Credentials, Target, connect, connect_and_bind, keep_bound
from smpp.constants import CommandStatus
from smpp.errors import EncodeError
from smpp.events import Ending, Lost, Settings
from smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, SubmitSm, Unbind
from smpp.session import BindRefused, Session, SessionEnded
from smpp.testing import ScriptedSMSC

Script = Callable[[ScriptedSMSC], Awaitable[None]]

CREDENTIALS = Credentials(system_id="me", password="pa55word", system_type="hub", address_range="1", addr_ton=1)


class Network:
    """Stands in for TCP: each connection runs the next script, the last one again and again."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.scripts: list[Script | Exception] = []
        self.opened: list[float] = []

    async def open_tcp_stream(self, host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.opened.append(trio.current_time())
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, Exception):
            raise script
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(script, ScriptedSMSC(theirs))
        return ours


@pytest.fixture
async def network(monkeypatch, nursery) -> Network:
    network = Network(nursery)
    monkeypatch.setattr(trio, "open_tcp_stream", network.open_tcp_stream)
    return network


def target(**more) -> Target:
    return Target(host="smsc.test", port=2775, credentials=CREDENTIALS, **more)


async def accept(smsc: ScriptedSMSC) -> None:
    """Accept the bind, then answer whatever comes until the end."""
    await smsc.accept_bind()
    while (pdu := await smsc.receive()) is not None:
        await smsc.answer(pdu)
        if isinstance(pdu, Unbind):
            break
    await smsc.close()


def refuse(status: int) -> Script:
    async def script(smsc: ScriptedSMSC) -> None:
        await smsc.accept_bind(status)
        await smsc.close()

    return script


async def drop(smsc: ScriptedSMSC) -> None:
    await smsc.accept_bind()
    await smsc.close()


async def silent(smsc: ScriptedSMSC) -> None:
    await smsc.receive()
    await smsc.expect_end()


class Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def backoff() -> Backoff:
    ceilings = {
        Trouble.NETWORK: Ceiling(1, 4),
        Trouble.GHOST: Ceiling(10, 20),
        Trouble.REFUSED: Ceiling(5, 5),
        Trouble.CREDENTIALS: Ceiling(100, 400),
    }
    return Backoff(Highest(), ceilings)


@asynccontextmanager
async def link(handler, recorder, **more) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:

        async def keep() -> None:
            await keep_bound(target(), handler, name="acme", new_backoff=backoff, observer=recorder, **more)

        nursery.start_soon(keep)
        yield
        nursery.cancel_scope.cancel()


async def idle(session: Session) -> None:
    await session.wait_over()


# --- One bind -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pdu"), [(BindType.TX, BindTransmitter), (BindType.RX, BindReceiver), (BindType.TRX, BindTransceiver)]
)
async def test_a_bind_says_who_we_are(autojump_clock, network, kind, pdu):
    seen = []

    async def script(smsc: ScriptedSMSC) -> None:
        seen.append(await smsc.accept_bind())
        await smsc.answer(await smsc.expect(Unbind))
        await smsc.expect_end()
        await smsc.close()

    network.scripts = [script]
    async with connect_and_bind(target(), kind) as session:
        assert session.state.name.removeprefix("BOUND_") == kind.name
    assert session.ended.ending is Ending.UNBOUND
    [bind] = seen
    assert isinstance(bind, pdu)
    assert (bind.system_id, bind.password, bind.system_type, bind.address_range) == ("me", "pa55word", "hub", "1")


async def test_a_refusal_is_raised_with_its_status(autojump_clock, network):
    network.scripts = [refuse(CommandStatus.ESME_RINVPASWD)]
    with pytest.raises(BindRefused) as caught:
        async with connect_and_bind(target()):
            pytest.fail("it is not bound")
    assert caught.value.command_status == CommandStatus.ESME_RINVPASWD


async def test_an_smsc_that_does_not_answer_a_bind_is_left(autojump_clock, network):
    network.scripts = [silent]
    with pytest.raises(SessionEnded) as caught:
        async with connect_and_bind(target(settings=Settings(session_init_s=7))):
            pytest.fail("it is not bound")
    assert caught.value.ending is Ending.SESSION_INIT
    assert trio.current_time() == pytest.approx(7, abs=1.1)


async def test_a_connection_that_does_not_come_about_is_given_up(autojump_clock, network, monkeypatch):
    async def never(host, port):
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", never)
    with pytest.raises(TimeoutError):
        await connect(target(connect_s=3))
    assert trio.current_time() == 3


async def test_what_the_body_raises_comes_out_and_closes(autojump_clock, network):
    network.scripts = [accept]
    with pytest.raises(ZeroDivisionError):
        async with connect_and_bind(target()) as session:
            raise ZeroDivisionError
    assert session.ended.ending is Ending.CLOSED


async def test_credentials_that_do_not_fit_into_a_bind(autojump_clock, network):
    network.scripts = [silent]
    long = Target(host="x", port=1, credentials=Credentials(system_id="x" * 99, password=""))
    with pytest.raises(EncodeError, match="system_id"):
        async with connect_and_bind(long):
            pytest.fail("it is not bound")


def test_credentials_print_without_the_password():
    assert "pa55word" not in repr(CREDENTIALS) + repr(target())


# --- Staying bound --------------------------------------------------------------------------------------------------


async def test_a_link_that_is_cut_binds_again_sooner_then_later(autojump_clock, network, recorder):
    network.scripts = [OSError("refused"), drop, drop, drop, accept]
    sessions = []

    async def handler(session: Session) -> None:
        sessions.append(session)
        await session.wait_over()

    with structlog.testing.capture_logs():
        async with link(handler, recorder):
            await trio.sleep(300)
    waits = [later - sooner for sooner, later in pairwise(network.opened)]
    assert waits == pytest.approx([1, 2, 4, 4])
    assert len(sessions) == recorder["bound"] == 4
    assert recorder["connect_failed"] == 1
    assert recorder["closed"] == 3


async def test_a_ghost_bind_is_waited_out(autojump_clock, network, recorder):
    network.scripts = [refuse(CommandStatus.ESME_RALYBND), refuse(CommandStatus.ESME_RALYBND), accept]
    with structlog.testing.capture_logs() as logs:
        async with link(idle, recorder):
            await trio.sleep(60)
    assert network.opened == pytest.approx([0, 10, 30])
    assert recorder["bind_refused"] == 2
    assert {line["log_level"] for line in logs if line["event"] == "smpp bind refused"} == {"warning"}


async def test_wrong_credentials_are_an_alert_not_a_storm_and_not_the_end(autojump_clock, network, recorder):
    network.scripts = [refuse(CommandStatus.ESME_RINVPASWD)] * 3 + [accept]
    with structlog.testing.capture_logs() as logs:
        async with link(idle, recorder):
            await trio.sleep(1000)
    assert network.opened == pytest.approx([0, 100, 300, 700])
    assert [line["log_level"] for line in logs if line["event"] == "smpp bind refused"] == ["error"] * 3
    assert "pa55word" not in repr(logs)
    assert recorder["bound"] == 1


async def test_a_handler_that_fails_is_logged_and_the_link_goes_on(autojump_clock, network, recorder):
    network.scripts = [accept]
    runs = []

    async def handler(session: Session) -> None:
        runs.append(session)
        if len(runs) == 1:
            raise ZeroDivisionError
        await session.wait_over()

    with structlog.testing.capture_logs() as logs:
        async with link(handler, recorder):
            await trio.sleep(100)
    assert len(runs) == 2
    assert recorder["handler_failed"] == 1
    assert "smpp session failed" in [line["event"] for line in logs]


async def test_a_handler_that_returns_has_its_session_unbound_and_bound_again(autojump_clock, network, recorder):
    network.scripts = [accept]
    endings = []

    async def handler(session: Session) -> None:
        session.submit([(SubmitSm(), 1)])
        await session.receive_answers()
        endings.append(session)

    with structlog.testing.capture_logs():
        async with link(handler, recorder):
            await trio.sleep(10)
    assert len(endings) > 2
    assert endings[0].ended.ending is Ending.UNBOUND


async def test_session_ended_may_pass_out_of_a_handler(autojump_clock, network, recorder):
    network.scripts = [drop]

    async def handler(session: Session) -> None:
        while True:
            await session.receive_requests()

    with structlog.testing.capture_logs() as logs:
        async with link(handler, recorder):
            await trio.sleep(10)
    assert recorder["handler_failed"] == 0
    assert {line["event"] for line in logs} == {"smpp bound", "smpp closed"}


async def test_a_transmitter_and_a_receiver_come_and_go_by_themselves(autojump_clock, network, recorder):
    binds = []

    async def script(smsc: ScriptedSMSC) -> None:
        bind = await smsc.accept_bind()
        binds.append(type(bind))
        if isinstance(bind, BindReceiver) and binds.count(BindReceiver) < 3:
            await smsc.close()
        else:
            await smsc.expect_end()

    network.scripts = [script]
    with structlog.testing.capture_logs():
        async with link(idle, recorder, bind_types=(BindType.TX, BindType.RX)):
            await trio.sleep(20)
    assert binds.count(BindTransmitter) == 1
    assert binds.count(BindReceiver) == 3


async def test_told_to_stop_it_unbinds_and_returns(autojump_clock, network, recorder):
    network.scripts = [accept]
    shutdown = trio.Event()
    sessions = []

    async def handler(session: Session) -> None:
        sessions.append(session)
        while True:
            await session.receive_requests()

    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await trio.sleep(50)
                shutdown.set()

            nursery.start_soon(stop)
            await keep_bound(target(), handler, observer=recorder, shutdown=shutdown)
    assert trio.current_time() == pytest.approx(50)
    assert sessions[0].ended.ending is Ending.UNBOUND


async def test_told_to_stop_while_it_waits_it_returns_at_once(autojump_clock, network, recorder):
    network.scripts = [OSError("refused")]
    shutdown = trio.Event()
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await trio.sleep(1.5)
                shutdown.set()

            nursery.start_soon(stop)
            await keep_bound(target(), idle, new_backoff=backoff, shutdown=shutdown)
    assert trio.current_time() == 1.5


# --- A bind that the SMSC forgets -----------------------------------------------------------------------------------


async def forget(smsc: ScriptedSMSC) -> None:
    """Accept the bind, and know nothing of it afterwards."""
    await smsc.accept_bind()
    while (pdu := await smsc.receive()) is not None:
        await smsc.answer(pdu, 0 if isinstance(pdu, Unbind) else CommandStatus.ESME_RINVBNDSTS)
        if isinstance(pdu, Unbind):
            break
    await smsc.close()


async def test_a_bind_that_the_smsc_has_forgotten_is_made_anew_and_not_in_a_storm(autojump_clock, network, recorder):
    network.scripts = [forget] * 6 + [accept]
    lost = []

    async def submit_one(session: Session) -> None:
        session.submit([(SubmitSm(), "key")])
        try:
            while True:
                lost.extend(answer.lost for answer in await session.receive_answers())
        finally:
            lost.append(session.ended.ending if session.ended else None)

    ceilings = {trouble: Ceiling(1, 1) for trouble in Trouble} | {Trouble.FORGOTTEN: Ceiling(2, 16)}
    async with trio.open_nursery() as nursery:

        async def keep() -> None:
            make = lambda: Backoff(Highest(), ceilings)  # noqa: E731
            await keep_bound(target(), submit_one, name="acme", new_backoff=make, observer=recorder)

        nursery.start_soon(keep)
        await recorder.wait("bound", 7, within_s=100)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert lost[:12] == [Lost.NOT_BOUND, Ending.FORGOTTEN] * 6
    waits = [round(after - before) for before, after in pairwise(network.opened)]
    assert waits == [2, 4, 8, 16, 16, 16]
    assert {labels["ending"] for event, labels in recorder.labels if event == "closed"} >= {"bind forgotten"}


# --- Several binds of a kind ----------------------------------------------------------------------------------------


async def test_one_ghost_bind_does_not_stop_the_others(autojump_clock, network, recorder):
    """Three of a kind: the SMSC holds the last session of one, and lets the others in."""
    ghost = refuse(CommandStatus.ESME_RALYBND)
    network.scripts = [accept, ghost, accept, ghost, ghost, accept]
    async with link(idle, recorder, bind_types=[BindType.TRX] * 3):
        await recorder.wait("bound", 2)
        await recorder.wait("bind_refused")
        assert (recorder["bind_refused"], recorder["closed"]) == (1, 0)
        start = trio.current_time()
        await recorder.wait("bound", 3, within_s=100)
        assert trio.current_time() - start == pytest.approx(10 + 20 + 20)  # its own waits, nobody else's
        assert (recorder["bind_refused"], recorder["closed"]) == (3, 0)


async def test_each_of_several_binds_has_waits_of_its_own(autojump_clock, network, recorder):
    """One that is dropped again and again waits longer and longer; the other is back as if nothing had been."""
    wrong = refuse(CommandStatus.ESME_RINVPASWD)
    network.scripts = [wrong, accept]
    async with link(idle, recorder, bind_types=[BindType.TX, BindType.TX]):
        await recorder.wait("bound", 1)
        assert trio.current_time() < 1
        await recorder.wait("bound", 2, within_s=200)
        assert trio.current_time() == pytest.approx(100, abs=1)
