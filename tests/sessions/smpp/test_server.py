"""The SMSC's side. Memory streams and a jumping clock where the network does not matter; loopback where it does."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import structlog
import trio
import trio.testing

from smpp import server as server_module
from smpp.client import BindType, Credentials, Target, connect_and_bind
from smpp.codec import encode
from smpp.constants import CommandStatus
from smpp.events import Ending, Settings
from smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    DeliverSm,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from smpp.server import (
    BindRequest,
    Grant,
    Limits,
    Server,
    address_allowed,
    check_credentials,
    peer_address,
    serve,
)
from smpp.session import BindRefused, Options, Session, SessionEnded
from smpp.states import State
from smpp.testing import ScriptedESME

PASSWORD = "pa55word"


class Office:
    """Lets in whoever knows the password, and answers every submit_sm."""

    def __init__(self, **grant) -> None:
        self.asked: list[BindRequest] = []
        self.grant = grant

    async def authenticate(self, request: BindRequest) -> Grant | int:
        self.asked.append(request)
        if request.password != PASSWORD:
            return CommandStatus.ESME_RINVPASWD
        return Grant(account=request.system_id, **self.grant)

    async def handle(self, session: Session, grant: Grant) -> None:
        while True:
            requests = await session.receive_requests()
            for request in requests:
                if request.short_message == b"crash":
                    raise ZeroDivisionError("the handler of one session")
            session.respond(
                [SubmitSmResp(sequence_number=pdu.sequence_number, message_id=grant.account) for pdu in requests]
            )


def bind(system_id: str = "acme", password: str = PASSWORD, kind=BindTransceiver):
    return kind(sequence_number=1, system_id=system_id, password=password)


@asynccontextmanager
async def office(recorder, authenticate=None, handle=None, limits: Limits | None = None, **grant) -> AsyncIterator:
    """A server, and a function that connects a scripted ESME to it."""
    desk = Office(**grant)
    server = Server(handle or desk.handle, authenticate or desk.authenticate, limits=limits, observer=recorder)
    async with trio.open_nursery() as nursery:

        def connect() -> ScriptedESME:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, ours)
            return ScriptedESME(theirs)

        yield server, connect, desk
        nursery.cancel_scope.cancel()


async def works(esme: ScriptedESME, number: int = 2) -> bool:
    await esme.send(SubmitSm(sequence_number=number, short_message=b"ping"))
    return (await esme.expect(SubmitSmResp)).sequence_number == number


# --- Letting in -----------------------------------------------------------------------------------------------------


async def test_who_is_known_gets_in_and_is_served(autojump_clock, recorder):
    async with office(recorder, system_id="hub") as (server, connect, desk):
        esme = connect()
        response = await esme.bind(bind())
        assert (response.command_status, response.system_id) == (0, "hub")
        assert desk.asked == [BindRequest("acme", PASSWORD, "", State.BOUND_TRX, "", 0x34)]
        assert await works(esme)
        assert server.binds == {"acme": 1}
        await esme.send(Unbind(sequence_number=3))
        await esme.expect(UnbindResp)
        await esme.close()
        await trio.testing.wait_all_tasks_blocked()
        assert server.binds == {}
        assert server.connections == 0
    assert recorder["bound"] == recorder["closed"] == 1


@pytest.mark.parametrize(
    ("pdu", "status"),
    [
        (bind(password="wrong"), CommandStatus.ESME_RINVPASWD),
        (bind(password=""), CommandStatus.ESME_RINVPASWD),
    ],
)
async def test_who_is_not_known_is_told_and_closed(autojump_clock, recorder, pdu, status):
    async with office(recorder) as (server, connect, _):
        esme = connect()
        assert (await esme.bind(pdu)).command_status == status
        await esme.expect_end()
        assert server.binds == {}
    assert recorder["bind_refused"] == 1
    assert recorder["bound"] == 0


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [
        ("x" * 16, PASSWORD, CommandStatus.ESME_RINVSYSID),
        ("x" * 5000, PASSWORD, CommandStatus.ESME_RINVSYSID),
        ("acme", "p" * 9, CommandStatus.ESME_RINVPASWD),
        ("acme", "p" * 60_000, CommandStatus.ESME_RINVPASWD),
    ],
)
async def test_over_long_credentials_are_refused_before_anybody_is_asked(
    autojump_clock, recorder, system_id, password, status
):
    async with office(recorder) as (_, connect, desk):
        esme = connect()
        body = system_id.encode() + b"\0" + password.encode() + b"\0\0\x34\0\0\0"
        await esme.send_raw((16 + len(body)).to_bytes(4, "big") + bytes.fromhex("000000090000000000000001") + body)
        assert (await esme.expect(BindTransceiverResp)).command_status == status
        await esme.expect_end()
        assert desk.asked == []


def test_passwords_may_be_longer_where_accounts_say_so():
    assert check_credentials(BindTransceiver(password="p" * 9)) == CommandStatus.ESME_RINVPASWD
    assert check_credentials(BindTransceiver(password="p" * 9), 64) == CommandStatus.ESME_ROK


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("192.0.2.7", (), True),
        ("192.0.2.7", ("192.0.2.0/24",), True),
        ("192.0.2.7", ("198.51.100.1", "192.0.2.7"), True),
        ("192.0.3.7", ("192.0.2.0/24",), False),
        ("::ffff:192.0.2.7", ("192.0.2.0/24",), True),
        ("2001:db8::7", ("2001:db8::/32",), True),
        ("2001:db8::7", ("192.0.2.0/24",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("", ("0.0.0.0/0",), False),
    ],
)
def test_networks(address, networks, allowed):
    assert address_allowed(address, networks) is allowed


async def test_a_foreign_address_is_refused(autojump_clock, recorder, monkeypatch):
    monkeypatch.setattr(server_module, "peer_address", lambda stream: "198.51.100.9")
    async with office(recorder, networks=("192.0.2.0/24",)) as (_, connect, desk):
        esme = connect()
        assert (await esme.bind(bind())).command_status == CommandStatus.ESME_RBINDFAIL
        await esme.expect_end()
        assert desk.asked[0].peer == "198.51.100.9"


async def test_one_bind_too_many_is_refused_and_there_is_room_again_after_one_ends(autojump_clock, recorder):
    async with office(recorder, max_binds=2) as (server, connect, _):
        first, second, third = connect(), connect(), connect()
        assert (await first.bind(bind())).command_status == 0
        assert (await second.bind(bind())).command_status == 0
        assert (await third.bind(bind())).command_status == CommandStatus.ESME_RALYBND
        assert (await connect().bind(bind("other"))).command_status == 0
        await first.close()
        await trio.testing.wait_all_tasks_blocked()
        assert server.binds == {"acme": 1, "other": 1}
        assert (await connect().bind(bind())).command_status == 0


async def test_two_ports_that_count_together_grant_no_more_binds_than_one(autojump_clock, recorder):
    """A plain port and a TLS port are one hub: max_binds is the account's, not the port's."""
    desk, counts = Office(max_binds=2), Counter()
    ports = [Server(desk.handle, desk.authenticate, observer=recorder, counts=counts) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        answers = []
        for port in (*ports, *ports):
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(port.serve_stream, ours)
            answers.append((await ScriptedESME(theirs).bind(bind())).command_status)
        assert answers == [0, 0, CommandStatus.ESME_RALYBND, CommandStatus.ESME_RALYBND]
        assert ports[0].binds == ports[1].binds == {"acme": 2}
        nursery.cancel_scope.cancel()


async def test_the_grant_is_what_the_session_keeps_to(autojump_clock, recorder):
    async def handle(session: Session, grant: Grant) -> None:
        assert session.room == 7
        assert session.options.inbox == 2
        await session.wait_over()

    grant = {"settings": Settings(window=7, enquire_link_s=5, response_s=3), "options": Options(inbox=2)}
    async with office(recorder, handle=handle, **grant) as (_, connect, _desk):
        esme = connect()
        await esme.bind(bind())
        await esme.send(*(SubmitSm(sequence_number=number) for number in range(2, 5)))
        throttled = await esme.expect(SubmitSmResp)
        assert (throttled.sequence_number, throttled.command_status) == (4, CommandStatus.ESME_RTHROTTLED)
        await trio.sleep(100)
        assert ("closed", {"account": "acme", "ending": Ending.NOT_ANSWERING}) in recorder.labels


@pytest.mark.parametrize("kind", [BindReceiver, BindTransmitter, BindTransceiver])
async def test_a_bind_is_what_it_says(autojump_clock, recorder, kind):
    async with office(recorder) as (_, connect, desk):
        esme = connect()
        await esme.bind(bind(kind=kind))
        await esme.send(SubmitSm(sequence_number=2))
        status = (await esme.expect(SubmitSmResp)).command_status
        assert (status == CommandStatus.ESME_RINVBNDSTS) == (kind is BindReceiver)
        assert desk.asked[0].state.name == {"BindReceiver": "BOUND_RX", "BindTransmitter": "BOUND_TX"}.get(
            kind.__name__, "BOUND_TRX"
        )


async def test_what_authentication_raises_is_our_trouble(autojump_clock, recorder):
    async def authenticate(request):
        raise ZeroDivisionError

    async with office(recorder, authenticate=authenticate) as (_, connect, _desk):
        esme = connect()
        with structlog.testing.capture_logs():
            assert (await esme.bind(bind())).command_status == CommandStatus.ESME_RSYSERR
            await esme.expect_end()


async def test_authentication_that_takes_too_long_is_cut_off(autojump_clock, recorder):
    cancelled = []

    async def authenticate(request):
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(trio.current_time())

    async with office(recorder, authenticate=authenticate, limits=Limits(session_init_s=8)) as (server, connect, _):
        esme = connect()
        await esme.send(bind())
        await esme.expect_end()
        await esme.close()
        assert cancelled == [8]
        await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0


# --- Strangers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "word"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "tls"),
        (b"\xff" * 64, "senseless command_length"),
        (b"\0\0\0\x04\0\0\0\x09", "senseless command_length"),
        (b"\x7f\0\0\0" + bytes(60), "senseless command_length"),
    ],
)
async def test_noise_is_closed_without_a_word_and_named_in_the_log(autojump_clock, recorder, noise, word):
    async with office(recorder) as (_, connect, _desk):
        neighbour = connect()
        await neighbour.bind(bind())
        with structlog.testing.capture_logs() as logs:
            stranger = connect()
            await stranger.send_raw(noise)
            await stranger.expect_end()
            await stranger.close()
            await recorder.wait("closed")
        assert [(line["event"], line["detail"]) for line in logs] == [("smpp closed", word)]
        assert await works(neighbour)


@pytest.mark.parametrize("octets", [b"", b"\0", encode(bind())[:30]])
async def test_who_says_too_little_is_gone_in_time(autojump_clock, recorder, octets):
    async with office(recorder, limits=Limits(session_init_s=8)) as (server, connect, _):
        stranger = connect()
        if octets:
            await stranger.send_raw(octets)
        await stranger.expect_end()
        assert trio.current_time() == 8
        await stranger.close()
        await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0
    assert ("closed", {"account": "", "ending": Ending.SESSION_INIT}) in recorder.labels


async def test_a_slow_drip_of_a_bind_is_gone_in_time(autojump_clock, recorder):
    async with office(recorder, limits=Limits(session_init_s=8)) as (_, connect, desk):
        stranger = connect()
        for octet in encode(bind()):
            with trio.move_on_after(1):
                await trio.sleep(1)
            try:
                await stranger.send_raw(bytes((octet,)))
            except trio.BrokenResourceError:
                break
        await stranger.expect_end()
        assert desk.asked == []


async def test_more_strangers_than_allowed_are_turned_away_and_the_bound_stay(autojump_clock, recorder):
    async with office(recorder, limits=Limits(max_unbound=2, session_init_s=8)) as (_, connect, _desk):
        friend = connect()
        await friend.bind(bind())
        strangers = [connect() for _ in range(5)]
        await trio.testing.wait_all_tasks_blocked()
        assert recorder["turned_away"] == 3
        for stranger in strangers[2:]:
            await stranger.expect_end()
        assert await works(friend)
        await trio.sleep(10)  # session_init_s, and the second that a peer has to close first
        assert (await connect().bind(bind())).command_status == 0


async def test_an_address_that_has_all_places_makes_room(monkeypatch, autojump_clock, recorder):
    """Each connection that comes is of the address that stands first in the list; '' is an address like another."""
    coming = ["192.0.2.1"] * 3 + ["192.0.2.2", "192.0.2.1", "192.0.2.3"]
    monkeypatch.setattr(server_module, "peer_address", lambda _: coming.pop(0))
    async with office(recorder, limits=Limits(max_unbound=3, session_init_s=8)) as (server, connect, _):
        flood = []
        for _ in range(3):
            flood.append(connect())
            await trio.testing.wait_all_tasks_blocked()
        friend = connect()
        await flood[0].expect_end()
        assert (await friend.bind(bind())).command_status == 0
        late = connect()  # of the flood, which has what the friend has left
        await trio.testing.wait_all_tasks_blocked()
        other = connect()
        await flood[1].expect_end()
        assert (await other.bind(bind("other"))).command_status == 0
        assert recorder["displaced"] == 2
        assert recorder["turned_away"] == 0
        assert await works(friend)
        await trio.sleep(10)
        for each in (flood[2], late):
            await each.expect_end()
        assert len(server._admission) == 0


async def test_a_flood_from_everywhere_gives_way_to_who_has_bound_before(monkeypatch, autojump_clock, recorder):
    coming = [f"198.51.100.{at}" for at in range(6)] + ["192.0.2.1", "192.0.2.2"]
    monkeypatch.setattr(server_module, "peer_address", lambda _: coming.pop(0))
    async with office(recorder, limits=Limits(max_unbound=4, session_init_s=8)) as (server, connect, _):
        server._is_known = lambda address: address.startswith("192.0.2.")
        flood = []
        for _ in range(6):
            flood.append(connect())
            await trio.testing.wait_all_tasks_blocked()
        for late in flood[4:]:
            await late.expect_end()
        friends = [connect() for _ in range(2)]
        for friend, name in zip(friends, ("first", "second"), strict=True):
            assert (await friend.bind(bind(name))).command_status == 0
        for displaced in flood[:2]:
            await displaced.expect_end()
        assert (recorder["turned_away"], recorder["displaced"]) == (2, 2)


async def test_lines_that_strangers_cause_are_few(autojump_clock, recorder):
    limits = Limits(max_unbound=2, session_init_s=8)
    with structlog.testing.capture_logs() as logs:
        async with office(recorder, limits=limits) as (_, connect, _desk), trio.open_nursery() as nursery:
            for _ in range(100):
                stranger = connect()
                assert (await stranger.bind(bind(password="wrong"))).command_status
                await stranger.close()
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert recorder["bind_refused"] == 100
    assert sum(line["event"] == "smpp bind refused" for line in logs) == 20
    assert sum(line["event"] == "smpp closed" for line in logs) == 20


async def test_more_connections_than_allowed_are_turned_away(autojump_clock, recorder):
    async with office(recorder, limits=Limits(max_connections=2)) as (_, connect, _desk):
        first, second = connect(), connect()
        await first.bind(bind())
        await second.bind(bind())
        await connect().expect_end()
        assert recorder["turned_away"] == 1
        assert await works(first)


async def test_a_submit_before_the_bind_is_refused_and_the_bind_still_works(autojump_clock, recorder):
    async with office(recorder) as (_, connect, _desk):
        esme = connect()
        await esme.send(SubmitSm(sequence_number=9))
        assert (await esme.expect(SubmitSmResp)).command_status == CommandStatus.ESME_RINVBNDSTS
        assert (await esme.bind(bind())).command_status == 0


# --- Apart ----------------------------------------------------------------------------------------------------------


async def test_a_handler_that_fails_takes_only_its_own_session_along(autojump_clock, recorder):
    async with office(recorder) as (server, connect, _):
        bad, good = connect(), connect()
        await bad.bind(bind("bad"))
        await good.bind(bind("good"))
        with structlog.testing.capture_logs() as logs:
            await bad.send(SubmitSm(sequence_number=5, short_message=b"crash"))
            unbind = await bad.expect(Unbind)
            await bad.answer(unbind)
            await bad.expect_end()
            await bad.close()
            await recorder.wait("handler_failed")
        assert "smpp session failed" in [line["event"] for line in logs]
        assert await works(good)
        assert server.binds == {"good": 1}
    assert recorder["handler_failed"] == 1


async def test_garbage_after_a_bind_disturbs_nobody_else(autojump_clock, recorder):
    async with office(recorder) as (_, connect, _desk):
        bad, good = connect(), connect()
        await bad.bind(bind("bad"))
        await good.bind(bind("good"))
        await bad.send_raw(b"\xde\xad\xbe\xef" * 10)
        assert (await bad.receive()).command_status == CommandStatus.ESME_RINVCMDLEN
        await bad.expect_end()
        assert await works(good)


async def test_no_password_and_no_text_gets_into_a_log_or_a_repr(autojump_clock, recorder):
    async with office(recorder) as (_, connect, desk):
        with structlog.testing.capture_logs() as logs:
            for password in (PASSWORD, "sesame"):
                esme = connect()
                await esme.bind(bind(password=password))
                await esme.send(SubmitSm(sequence_number=2, short_message=b"between us"))
                await esme.close()
            await trio.testing.wait_all_tasks_blocked()
        said = repr(logs) + repr(desk.asked) + repr(recorder.labels)
        for secret in (PASSWORD, "sesame", "between us"):
            assert secret not in said
        assert len(logs) == 4


async def test_shutting_down_unbinds_everybody_and_turns_newcomers_away(autojump_clock, recorder):
    async with office(recorder, limits=Limits(grace_s=10)) as (server, connect, _):
        polite, deaf = connect(), connect()
        await polite.bind(bind("polite"))
        await deaf.bind(bind("deaf"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.shut_down)
            unbind = await polite.expect(Unbind)
            await polite.answer(unbind)
            await polite.expect_end()
            await connect().expect_end()
        assert trio.current_time() == 10
        assert server.binds == {"deaf": 1}


# --- The network ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def port(desk: Office, **options) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        start = partial(serve, desk.handle, desk.authenticate, port=0, host="127.0.0.1", **options)
        listeners = await nursery.start(start)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def target(number: int, password: str = PASSWORD, **more) -> Target:
    return Target(host="127.0.0.1", port=number, credentials=Credentials(system_id="acme", password=password), **more)


@pytest.mark.parametrize("kind", BindType)
async def test_over_tcp(kind):
    desk = Office(networks=("127.0.0.0/8",))
    async with port(desk) as number, connect_and_bind(target(number), kind) as session:
        assert desk.asked[0].peer == "127.0.0.1"
        if kind is not BindType.RX:
            session.submit([(SubmitSm(), 1)])
            assert (await session.receive_answers())[0].response.message_id == "acme"
    assert session.ended.ending is Ending.UNBOUND


async def test_over_tls(server_tls, client_tls):
    desk = Office()
    async with port(desk, ssl_context=server_tls) as number:
        async with connect_and_bind(target(number, ssl_context=client_tls)) as session:
            session.submit([(SubmitSm(), 1)])
            assert (await session.receive_answers())[0].response.message_id == "acme"
        assert session.ended.ending is Ending.UNBOUND
        assert desk.asked[0].peer == "127.0.0.1"
        with pytest.raises(BindRefused):
            async with connect_and_bind(target(number, "wrong", ssl_context=client_tls)):
                pass


async def test_a_certificate_for_somebody_else_is_refused(server_tls, client_tls):
    async with port(Office(), ssl_context=server_tls) as number:
        with pytest.raises(trio.BrokenResourceError):
            async with connect_and_bind(target(number, ssl_context=client_tls, server_hostname="else.test")):
                pass
        async with connect_and_bind(target(number, ssl_context=client_tls, server_hostname="smsc.test")):
            pass


async def test_plain_smpp_on_a_tls_port_and_tls_on_a_plain_one_are_closed(server_tls, client_tls):
    async with port(Office(), ssl_context=server_tls) as secure, port(Office()) as plain:
        with pytest.raises(SessionEnded):
            async with connect_and_bind(target(secure)):
                pass
        with pytest.raises((trio.BrokenResourceError, OSError)):
            async with connect_and_bind(target(plain, ssl_context=client_tls)):
                pass
        async with connect_and_bind(target(secure, ssl_context=client_tls)), connect_and_bind(target(plain)):
            pass


async def test_a_reset_connection_is_a_cut_and_the_port_stays_open(recorder):
    async with port(Office(), observer=recorder) as number:
        esme = ScriptedESME(await trio.open_tcp_stream("127.0.0.1", number))
        await esme.bind(bind())
        esme.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await esme.close()
        await recorder.wait("closed")
        assert ("closed", {"account": "acme", "ending": Ending.CUT}) in recorder.labels
        async with connect_and_bind(target(number)):
            pass


async def test_serve_ends_in_peace_when_told():
    desk, shutdown = Office(), trio.Event()
    async with trio.open_nursery() as nursery:
        start = partial(serve, desk.handle, desk.authenticate, port=0, host="127.0.0.1", shutdown=shutdown)
        listeners = await nursery.start(start)
        esme = ScriptedESME(await trio.open_tcp_stream(*listeners[0].socket.getsockname()))
        await esme.bind(bind())
        shutdown.set()
        await esme.answer(await esme.expect(Unbind))
        await esme.expect_end()
        await esme.close()


async def test_serve_waits_for_answers_on_their_way_and_then_unbinds():
    desk, shutdown = Office(), trio.Event()

    async def handle(session: Session, grant: Grant) -> None:
        session.submit([(DeliverSm(short_message=b"mo"), "mo")])
        await session.wait_over()

    async with trio.open_nursery() as nursery:
        start = partial(serve, handle, desk.authenticate, port=0, host="127.0.0.1", shutdown=shutdown)
        listeners = await nursery.start(start)
        esme = ScriptedESME(await trio.open_tcp_stream(*listeners[0].socket.getsockname()))
        await esme.bind(bind())
        delivery = await esme.expect(DeliverSm)
        shutdown.set()
        await trio.testing.wait_all_tasks_blocked()
        await esme.answer(delivery)
        with trio.fail_after(3):
            await esme.answer(await esme.expect(Unbind))
            await esme.expect_end()
        await esme.close()


@pytest.mark.parametrize("called", [False, True])
async def test_a_server_ends_after_what_its_handlers_have_to_write_down(called: bool) -> None:
    """What a peer has answered for would be sent again after a restart, if it were not journalled."""
    written, over, shutdown = trio.Event(), trio.Event(), trio.Event()
    desk, events = Office(), []

    async def handle(session: Session, grant: Grant) -> None:
        try:
            await session.wait_over()
            over.set()
            await written.wait()  # a journal that takes its time
            events.append("written")
        except trio.Cancelled:
            events.append("cut")
            raise

    async def write_when_over() -> None:
        await over.wait()
        await trio.testing.wait_all_tasks_blocked()
        written.set()

    server = server_module.Server(handle, desk.authenticate)
    async with trio.open_nursery() as calls:
        calls.start_soon(write_when_over)
        async with trio.open_nursery() as nursery:
            run = partial(server.run, port=0, host="127.0.0.1", shutdown=shutdown)
            listeners = await nursery.start(run)
            if called:
                ours, theirs = trio.testing.memory_stream_pair()
                calls.start_soon(server.serve_called, ours, Outbind())
                esme = ScriptedESME(theirs)
                await esme.expect(Outbind)
            else:
                esme = ScriptedESME(await trio.open_tcp_stream(*listeners[0].socket.getsockname()))
            await esme.bind(bind())
            shutdown.set()
            await esme.answer(await esme.expect(Unbind))
            await esme.expect_end()
            await esme.close()
        calls.cancel_scope.cancel()  # whoever made the call waits for the server only
    assert events == ["written"]


async def test_serve_ends_without_whoever_does_not_answer():
    desk, shutdown = Office(), trio.Event()

    async def handle(session: Session, grant: Grant) -> None:
        session.submit([(DeliverSm(short_message=b"mo"), "mo")])
        await session.wait_over()

    limits = Limits(grace_s=0.2)
    async with trio.open_nursery() as nursery:
        start = partial(serve, handle, desk.authenticate, port=0, host="127.0.0.1", shutdown=shutdown, limits=limits)
        listeners = await nursery.start(start)
        esme = ScriptedESME(await trio.open_tcp_stream(*listeners[0].socket.getsockname()))
        await esme.bind(bind())
        await esme.expect(DeliverSm)
        shutdown.set()
        with trio.fail_after(3):
            await esme.expect(Unbind)  # after half of the grace
            await esme.expect_end()
        await esme.close()


async def test_an_address_is_found_where_there_is_one():
    left, _ = trio.testing.memory_stream_pair()
    assert peer_address(left) == ""


async def test_deliveries_go_out_by_the_handler(autojump_clock, recorder):
    answered: list[object] = []

    async def handle(session: Session, grant: Grant) -> None:
        session.submit([(DeliverSm(short_message=b"mo"), "mo")])
        answered.extend(answer.key for answer in await session.receive_answers())

    async with office(recorder, handle=handle) as (_, connect, _desk):
        esme = connect()
        await esme.bind(bind())
        await esme.answer(await esme.expect(DeliverSm))
        await esme.answer(await esme.expect(Unbind))  # the handler has returned
        await esme.expect_end()
    assert answered == ["mo"]
