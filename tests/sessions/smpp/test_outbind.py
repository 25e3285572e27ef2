"""outbind, both sides: an SMSC calls, an ESME binds. Memory streams and a jumping clock; loopback where it matters."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import structlog
import trio
import trio.testing

from smpp import outbind as outbind_module
from smpp.backoff import Backoff, Ceiling, Trouble
from smpp.client import Credentials
from smpp.codec import encode
from smpp.constants import CommandStatus
from smpp.events import Settings
from smpp.outbind import MAX_CALLERS, Call, Callee, Terms, answer_outbinds, call_out, comes_from
from smpp.pdu import BindReceiver, BindTransceiver, DeliverSm, DeliverSmResp, EnquireLink, Outbind, Unbind
from smpp.server import BindRequest, Grant, Limits, Server
from smpp.session import Session
from smpp.states import State
from smpp.testing import ScriptedESME, ScriptedSMSC

CREDENTIALS = Credentials(system_id="hub", password="ourpass")
TERMS = Terms(credentials=CREDENTIALS, password="theirs", system_id="SMSC")
OUTBIND = Outbind(sequence_number=1, system_id="SMSC", password="theirs")
RIGHT = Call(host="127.0.0.1", system_id="SMSC", password="theirs")


class Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def backoff() -> Backoff:
    ceilings = {trouble: Ceiling(100, 400) for trouble in Trouble}
    return Backoff(Highest(), ceilings)


class Esme:
    """A callee's handler: answers what is delivered."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.texts: list[bytes] = []

    async def handle(self, session: Session) -> None:
        self.states.append(session.state)
        while True:
            requests = await session.receive_requests()
            for request in requests:
                if request.short_message == b"crash":
                    raise ZeroDivisionError("the handler of one call")
                self.texts.append(request.short_message)
            session.respond([DeliverSmResp(sequence_number=pdu.sequence_number) for pdu in requests])


Connect = Callable[[], ScriptedSMSC]


@asynccontextmanager
async def callee(recorder, terms: Terms = TERMS, **more) -> AsyncIterator[tuple[Esme, Connect, Callee]]:
    """An ESME that may be called, and a function that connects a scripted SMSC to it."""
    esme = Esme()
    called = Callee(terms, esme.handle, name="acme", backoff=backoff(), observer=recorder, **more)
    async with trio.open_nursery() as nursery:

        def connect() -> ScriptedSMSC:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(called.serve_stream, ours)
            return ScriptedSMSC(theirs)

        yield esme, connect, called
        nursery.cancel_scope.cancel()


async def works(smsc: ScriptedSMSC, number: int = 5) -> bool:
    await smsc.send(DeliverSm(sequence_number=number, short_message=b"hello"))
    return (await smsc.expect(DeliverSmResp)).sequence_number == number


# --- The ESME's side -------------------------------------------------------------------------------------------------


async def test_an_outbind_is_answered_with_bind_receiver_on_the_same_connection(autojump_clock, recorder):
    async with callee(recorder) as (esme, connect, _):
        smsc = connect()
        await smsc.send(OUTBIND)
        bind = await smsc.accept_bind()
        assert isinstance(bind, BindReceiver)
        assert (bind.system_id, bind.password) == ("hub", "ourpass")
        assert await works(smsc)
        assert esme.states == [State.BOUND_RX]
        assert esme.texts == [b"hello"]
        assert recorder["bound"] == 1
        await smsc.send(Unbind(sequence_number=9))
        await smsc.receive()
        await smsc.close()
        await recorder.wait("closed")


@pytest.mark.parametrize(
    "outbind",
    [
        Outbind(system_id="SMSC", password="wrong"),
        Outbind(system_id="SMSC", password=""),
        Outbind(system_id="other", password="theirs"),
    ],
)
async def test_who_says_the_wrong_thing_is_closed_and_counted_and_never_told_our_password(
    autojump_clock, recorder, outbind
):
    async with callee(recorder) as (_, connect, called):
        with structlog.testing.capture_logs() as logs:
            smsc = connect()
            await smsc.send(outbind)
            await smsc.expect_end()
        assert recorder["outbind_refused"] == 1
        assert "theirs" not in repr(logs)
        await trio.testing.wait_all_tasks_blocked()
        # Strangers cost the SMSC nothing: it is answered right after them.
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind()
        assert await works(smsc)
        assert called.sessions == 1


async def test_whoever_may_call_without_a_password_must_come_from_the_smscs_host(autojump_clock, recorder, monkeypatch):
    monkeypatch.setattr(outbind_module, "peer_address", lambda stream: "203.0.113.9")
    terms = Terms(credentials=CREDENTIALS, host="127.0.0.1")
    async with callee(recorder, terms) as (_, connect, _called):
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.expect_end()
        assert recorder.labels == [("outbind_refused", {"link": "acme", "status": "address"})]
        monkeypatch.setattr(outbind_module, "peer_address", lambda stream: "::ffff:127.0.0.1")
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind()
        assert await works(smsc)


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")])
async def test_a_host_without_an_address_lets_nobody_in(monkeypatch, error):
    assert await comes_from("127.0.0.1", "127.0.0.1")

    async def fail(*args, **options):
        raise error

    monkeypatch.setattr(trio.socket, "getaddrinfo", fail)
    assert not await comes_from("127.0.0.1", "smsc.test")


async def test_what_is_no_outbind_is_closed_in_time(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, called):
        smsc = connect()
        await smsc.send(EnquireLink(sequence_number=1))
        await smsc.receive()
        await smsc.expect_end()
        assert trio.current_time() >= 10
        await recorder.wait("connect_failed")
        assert called.sessions == 0


@pytest.mark.parametrize("status", [CommandStatus.ESME_RINVPASWD, CommandStatus.ESME_RALYBND])
async def test_a_bind_that_the_caller_refuses_is_not_repeated_at_its_call(autojump_clock, recorder, status):
    async with callee(recorder) as (_, connect, _called):
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind(status)
        await smsc.expect_end()
        await recorder.wait("bind_refused")
        for _ in range(20):
            await connect().expect_end()  # turned away: our password is not told again
        assert recorder["bind_refused"] == 1
        assert recorder["turned_away"] == 20
        await trio.sleep(101)
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind()
        assert await works(smsc)


async def test_a_caller_that_does_not_answer_our_bind_is_given_a_rest(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, _called):
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.expect(BindReceiver)
        await smsc.expect_end()
        await recorder.wait("connect_failed")
        await connect().expect_end()
        assert recorder["turned_away"] == 1


async def test_more_callers_than_can_be_heard_are_turned_away(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, _called):
        waiting = [connect() for _ in range(MAX_CALLERS)]
        await trio.testing.wait_all_tasks_blocked()
        await connect().expect_end()
        assert recorder["turned_away"] == 1
        await waiting[0].close()
        await trio.testing.wait_all_tasks_blocked()
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind()
        assert await works(smsc)


async def test_more_sessions_than_allowed_are_turned_away(autojump_clock, recorder):
    async with callee(recorder, Terms(credentials=CREDENTIALS, max_sessions=2)) as (_, connect, called):
        for _ in range(2):
            smsc = connect()
            await smsc.send(OUTBIND)
            await smsc.accept_bind()
            assert await works(smsc)
        assert called.sessions == 2
        await connect().expect_end()
        assert recorder["turned_away"] == 1
        await smsc.close()
        await recorder.wait("closed")
        await trio.testing.wait_all_tasks_blocked()
        assert called.sessions == 1


async def test_a_handler_that_fails_takes_only_its_own_call_along(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, _called):
        first, second = connect(), connect()
        for smsc in (first, second):
            await smsc.send(OUTBIND)
            await smsc.accept_bind()
        with structlog.testing.capture_logs() as logs:
            await first.send(DeliverSm(sequence_number=1, short_message=b"crash"))
            unbind = await first.expect(Unbind)
            await first.answer(unbind)
            await first.expect_end()
            await recorder.wait("handler_failed")
        assert any(line["log_level"] == "error" for line in logs)
        assert await works(second)


async def test_told_to_stop_it_unbinds_the_bound_and_cuts_the_others():
    esme, shutdown = Esme(), trio.Event()
    terms = Terms(credentials=CREDENTIALS, settings=Settings(session_init_s=600))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            listen = partial(answer_outbinds, terms, esme.handle, port=0, host="127.0.0.1", shutdown=shutdown)
            listeners = await nursery.start(listen)
            port = listeners[0].socket.getsockname()[1]
            silent = ScriptedSMSC(await trio.open_tcp_stream("127.0.0.1", port))
            bound = ScriptedSMSC(await trio.open_tcp_stream("127.0.0.1", port))
            await bound.send(OUTBIND)
            await bound.accept_bind()
            assert await works(bound)
            shutdown.set()
            await bound.answer(await bound.expect(Unbind))
            await bound.expect_end()
            await bound.close()
            await silent.expect_end()
            await silent.close()


@pytest.mark.parametrize("password", ["theirs", "\xe9t\xe9", "\u043f\u0430\u0440"])
def test_only_the_word_itself_fits(password):
    terms = Terms(credentials=CREDENTIALS, password=password)
    assert terms.fit(Outbind(password=password))
    for wrong in ("", "?", "???", password[:-1], password + " ", password.upper()):
        assert not terms.fit(Outbind(password=wrong))
    assert Terms(credentials=CREDENTIALS).fit(Outbind(password="anything"))


def test_terms_and_calls_print_without_their_passwords():
    assert "theirs" not in repr(TERMS) + repr(RIGHT)
    assert "ourpass" not in repr(TERMS)


# --- The SMSC's side -------------------------------------------------------------------------------------------------


class Office:
    """Lets in whoever knows the password, and delivers one text to each."""

    def __init__(self) -> None:
        self.asked: list[BindRequest] = []
        self.answers: list[int] = []
        self.answered = trio.Event()

    async def authenticate(self, request: BindRequest) -> Grant | int:
        self.asked.append(request)
        if request.password != "ourpass":
            return CommandStatus.ESME_RINVPASWD
        return Grant(account=request.system_id, max_binds=1)

    async def handle(self, session: Session, grant: Grant) -> None:
        session.submit([(DeliverSm(short_message=b"hello"), None)])
        while True:
            self.answers += [answer.response.command_status for answer in await session.receive_answers()]
            self.answered.set()


@asynccontextmanager
async def telephone(monkeypatch, script, recorder, **limits) -> AsyncIterator[tuple[Office, Server]]:
    """A server whose calls run a script of the ESME's."""
    office = Office()
    server = Server(office.handle, office.authenticate, limits=Limits(**limits), observer=recorder)
    async with trio.open_nursery() as nursery:

        async def connect(call: Call) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(script, ScriptedESME(theirs))
            return ours

        monkeypatch.setattr(outbind_module, "connect", connect)
        yield office, server
        nursery.cancel_scope.cancel()


async def test_a_called_esme_is_told_who_calls_and_served_like_one_that_came(autojump_clock, monkeypatch, recorder):
    heard = []

    async def script(esme: ScriptedESME) -> None:
        heard.append(await esme.expect(Outbind))
        response = await esme.bind(BindReceiver(sequence_number=1, system_id="acme", password="ourpass"))
        heard.append(response.command_status)
        await esme.answer(await esme.expect(DeliverSm))
        await esme.send(Unbind(sequence_number=2))
        await esme.receive()
        await esme.close()

    async with telephone(monkeypatch, script, recorder) as (office, server):
        assert await call_out(server, RIGHT)
        assert (heard[0].system_id, heard[0].password, heard[1]) == ("SMSC", "theirs", 0)
        assert [request.state for request in office.asked] == [State.BOUND_RX]
        assert office.answers == [0]
        assert server.connections == 0
        assert server.binds == {}
        assert recorder["bound"] == recorder["closed"] == 1


async def test_a_called_esme_with_a_wrong_password_is_refused(autojump_clock, monkeypatch, recorder):
    heard = []

    async def script(esme: ScriptedESME) -> None:
        await esme.expect(Outbind)
        response = await esme.bind(BindReceiver(sequence_number=1, system_id="acme", password="wrong"))
        heard.append(response.command_status)
        await esme.close()

    async with telephone(monkeypatch, script, recorder) as (_, server):
        assert not await call_out(server, RIGHT)
        assert heard == [CommandStatus.ESME_RINVPASWD]
        assert server.connections == 0


async def test_a_called_esme_has_no_more_binds_than_one_that_came(autojump_clock, monkeypatch, recorder):
    heard = []

    async def script(esme: ScriptedESME) -> None:
        await esme.expect(Outbind)
        response = await esme.bind(BindTransceiver(sequence_number=1, system_id="acme", password="ourpass"))
        heard.append(response.command_status)
        await esme.expect_end() if response.command_status else await trio.sleep_forever()

    async with telephone(monkeypatch, script, recorder) as (_, server), trio.open_nursery() as nursery:
        nursery.start_soon(call_out, server, RIGHT)
        await recorder.wait("bound")
        assert not await call_out(server, RIGHT)
        assert heard == [0, CommandStatus.ESME_RALYBND]
        assert server.binds == {"acme": 1}
        nursery.cancel_scope.cancel()


async def test_a_called_esme_that_does_not_bind_is_left_in_time(autojump_clock, monkeypatch, recorder):
    async def script(esme: ScriptedESME) -> None:
        await esme.expect(Outbind)
        await esme.expect_end()
        await esme.close()

    async with telephone(monkeypatch, script, recorder, session_init_s=7) as (office, server):
        assert not await call_out(server, RIGHT)
        assert 7 <= trio.current_time() < 20
        assert office.asked == []


async def test_a_server_that_closes_makes_no_calls(autojump_clock, monkeypatch, recorder):
    async def script(esme: ScriptedESME) -> None:
        await esme.expect_end()

    async with telephone(monkeypatch, script, recorder) as (_, server):
        await server.shut_down()
        assert not await call_out(server, RIGHT)


async def test_whom_nobody_answers_for_is_an_os_error(monkeypatch):
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(trio, "open_tcp_stream", refuse)
    office = Office()
    with pytest.raises(OSError, match="refused"):
        await call_out(Server(office.handle, office.authenticate), RIGHT)


# --- Both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
async def test_our_two_sides_call_and_answer_each_other_over_tcp(server_tls, client_tls, secure):
    """The one that connects is TLS's client, whichever role it has in SMPP."""
    esme, office = Esme(), Office()
    server = Server(office.handle, office.authenticate)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            tls = server_tls if secure else None
            listen = partial(answer_outbinds, TERMS, esme.handle, port=0, host="127.0.0.1", ssl_context=tls)
            listeners = await nursery.start(listen)
            call = Call(
                host="127.0.0.1",
                port=listeners[0].socket.getsockname()[1],
                system_id="SMSC",
                password="theirs",
                ssl_context=client_tls if secure else None,
            )
            nursery.start_soon(call_out, server, call)
            await office.answered.wait()
            assert (esme.texts, office.answers) == ([b"hello"], [0])
            assert server.binds == {"hub": 1}
            nursery.cancel_scope.cancel()


async def test_an_outbind_in_any_pieces_is_one(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, _called):
        smsc = connect()
        for octet in encode(OUTBIND):
            await smsc.send_raw(bytes((octet,)))
        await smsc.accept_bind()
        assert await works(smsc)


async def test_who_is_cut_after_the_outbind_ends_quietly(autojump_clock, recorder):
    async with callee(recorder) as (_, connect, called):
        smsc = connect()
        await smsc.send(OUTBIND)
        await smsc.accept_bind()
        await smsc.close()
        await recorder.wait("closed")
        await trio.testing.wait_all_tasks_blocked()
        assert called.sessions == 0
