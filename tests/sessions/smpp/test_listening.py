"""Behind a balancer, and beside other processes: who is at the other end, and what a stranger gets. Over loopback."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from smpp.codec import encode
from smpp.events import Ending
from smpp.listening import ADDRESSES, Seldom, open_listeners, receive_header
from smpp.log_lines import BURST, PER_S
from smpp.pdu import BindTransceiver, BindTransceiverResp, EnquireLink, SubmitSm, SubmitSmResp
from smpp.proxy_protocol import SIGNATURE, BadHeader, Own, Proxied
from smpp.server import BindRequest, Grant, Limits, Server
from smpp.session import Session
from smpp.testing import ScriptedESME

PATIENCE_S = 30
BALANCERS = ("127.0.0.0/28",)
STRANGER = "127.0.1.1"
CLIENT = "203.0.113.7"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
CHECK_V1 = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 2775\r\n"
BIND = BindTransceiver(sequence_number=1, system_id="acme", password="pa55word", interface_version=0x34)


_called: list[trio.SocketStream] = []


@contextmanager
def hanging_up() -> Iterator[None]:
    """Close what a test has called by, once it is over."""
    try:
        yield
    finally:
        while _called:
            _called.pop().socket.close()


async def call(number: int, source: str = "127.0.0.1") -> trio.SocketStream:
    """Connect to a port; it is closed when the test is over."""
    _called.append(await trio.open_tcp_stream("127.0.0.1", number, local_address=source))
    return _called[-1]


def header(address: str = CLIENT) -> bytes:
    packed = ip_address(address).packed
    family = 0x11 if len(packed) == 4 else 0x21
    return SIGNATURE + struct.pack("!BBH", 0x21, family, 2 * len(packed) + 4) + packed * 2 + b"\xc0\x00\x0a\xd7"


class Port:
    """A port that balancers connect to.

    Attributes:
        asked: the binds that were asked for.
        said: lines of the log.
    """

    def __init__(self, recorder: Any, limits: Limits | None, context: ssl.SSLContext | None, **grant: Any) -> None:
        self.asked: list[BindRequest] = []
        self.said: list[Any] = []
        self._grant = grant
        self.server = Server(
            self._work, self._let_in, limits=limits, ssl_context=context, observer=recorder, proxies=BALANCERS
        )
        self.number = 0

    async def _let_in(self, request: BindRequest) -> Grant:
        self.asked.append(request)
        return Grant(account=request.system_id, **self._grant)

    async def _work(self, session: Session, grant: Grant) -> None:
        while True:
            session.respond([SubmitSmResp(sequence_number=r.sequence_number) for r in await session.receive_requests()])

    async def connect(self, source: str = "127.0.0.1") -> trio.SocketStream:
        return await call(self.number, source)

    def told(self, event: str) -> list[Any]:
        return [line for line in self.said if line["event"] == event]


@asynccontextmanager
async def opened(
    recorder: Any, limits: Limits | None = None, context: ssl.SSLContext | None = None, **grant: Any
) -> AsyncIterator[Port]:
    port = Port(recorder, limits, context, **grant)
    with structlog.testing.capture_logs() as port.said, trio.fail_after(PATIENCE_S), hanging_up():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(lambda task_status: port.server.run(
                port=0, host="127.0.0.1", task_status=task_status
            ))  # fmt: skip
            port.number = listeners[0].socket.getsockname()[1]
            yield port
            nursery.cancel_scope.cancel()


async def is_closed(stream: trio.abc.Stream) -> bool:
    """Wait until the other end has closed, with nothing said."""
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


async def nobody(port: Port) -> None:
    """Wait until no connection is left."""
    with trio.fail_after(PATIENCE_S):
        while port.server.connections:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.01)


async def bound(stream: trio.abc.Stream) -> ScriptedESME:
    esme = ScriptedESME(stream)
    assert (await esme.bind(BIND)).command_status == 0
    return esme


@pytest.mark.parametrize("address", [CLIENT, "2001:db8::7"])
async def test_the_header_says_who_binds(recorder: Any, address: str) -> None:
    async with opened(recorder) as port:
        stream = await port.connect()
        await stream.send_all(header(address))
        esme = await bound(stream)
        assert [request.peer for request in port.asked] == [address]
        await esme.close()
        await recorder.wait("closed")
        for event in ("smpp bound", "smpp closed"):
            [line] = port.told(event)
            assert (line["peer"], line["via"]) == (address, "127.0.0.1")


async def test_header_and_bind_may_come_in_one_piece_or_octet_by_octet(recorder: Any) -> None:
    async with opened(recorder) as port:
        for pieces in ([header() + encode(BIND)], [bytes([octet]) for octet in header() + encode(BIND)]):
            stream = await port.connect()
            for piece in pieces:
                await stream.send_all(piece)
            assert (await ScriptedESME(stream).expect(BindTransceiverResp)).command_status == 0
        line = b"PROXY TCP4 192.0.2.9 192.0.2.1 1025 2775\r\n"
        stream = await port.connect()
        await stream.send_all(line + encode(BIND))
        assert (await ScriptedESME(stream).expect(BindTransceiverResp)).command_status == 0
        assert [request.peer for request in port.asked] == [CLIENT, CLIENT, "192.0.2.9"]


async def test_networks_go_by_the_address_of_the_header(recorder: Any) -> None:
    async with opened(recorder, networks=("203.0.113.0/24",)) as port:
        for address, status in ((CLIENT, 0), ("198.51.100.1", 13)):
            stream = await port.connect()
            await stream.send_all(header(address))
            assert (await ScriptedESME(stream).bind(BIND)).command_status == status
        stream = await port.connect()  # a header that names nobody: the balancer's own address, which is not allowed
        await stream.send_all(b"PROXY UNKNOWN\r\n")
        assert (await ScriptedESME(stream).bind(BIND)).command_status == 13
        assert port.asked[-1].peer == "127.0.0.1"


async def test_who_is_no_balancer_is_closed_whatever_it_says_and_told_of_once(recorder: Any) -> None:
    async with opened(recorder) as port:
        for _ in range(5):
            stream = await port.connect(STRANGER)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(header() + encode(BIND))
            assert await is_closed(stream)
        assert recorder["no_proxy_header"] == 5
        assert port.asked == []
        [line] = port.told("smpp connection without a PROXY header closed")
        assert (line["peer"], line["reason"]) == (STRANGER, "it is none of smpp.proxy_networks")
        await bound_through(port)


async def test_strangers_from_everywhere_fill_no_log(recorder: Any) -> None:
    async with opened(recorder) as port:
        begun = trio.current_time()
        for number in range(3 * BURST):
            assert await is_closed(await port.connect(f"127.0.2.{number + 1}"))
        assert recorder["no_proxy_header"] == 3 * BURST
        lines = port.told("smpp connection without a PROXY header closed")
        assert BURST <= len(lines) <= BURST + 1 + (trio.current_time() - begun) * PER_S
        await bound_through(port)


async def bound_through(port: Port) -> None:
    """The port still works."""
    stream = await port.connect()
    await stream.send_all(header())
    await bound(stream)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (encode(BIND), "begins like no header"),
        (b"\x16\x03\x01\x02\x00", "begins like no header"),
        (SIGNATURE + b"\x21\x11\xff\xff", "it has 65535 octets; no more than 4096 are read"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "its line has not six words"),
    ],
)
async def test_a_balancer_that_sends_no_header_is_closed(recorder: Any, octets: bytes, reason: str) -> None:
    async with opened(recorder) as port:
        stream = await port.connect()
        await stream.send_all(octets)
        assert await is_closed(stream)
        [line] = port.told("smpp connection without a PROXY header closed")
        assert line["reason"] == reason
        await nobody(port)
        await bound_through(port)


async def test_a_header_that_stops_in_the_midst_is_told_of(recorder: Any) -> None:
    async with opened(recorder) as port:
        stream = await port.connect()
        await stream.send_all(header()[:20])
        await stream.send_eof()
        assert await is_closed(stream)
        assert port.told("smpp connection without a PROXY header closed")[0]["reason"] == "ended in the midst of it"


async def test_the_header_and_the_bind_have_one_time_together(autojump_clock: Any, recorder: Any, monkeypatch) -> None:
    """Half of it for the header leaves half for the bind."""
    monkeypatch.setattr("smpp.server.peer_address", lambda stream: "127.0.0.1")
    port = Port(recorder, Limits(session_init_s=10), None)
    with structlog.testing.capture_logs() as port.said:
        for wait_s, sent in ((0, b""), (6, header())):
            ours, theirs = trio.testing.memory_stream_pair()
            begun = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(port.server.serve_stream, ours)
                await trio.sleep(wait_s)
                await theirs.send_all(sent)
                assert await theirs.receive_some() == b""
                assert 9.9 <= trio.current_time() - begun <= 13
                await theirs.aclose()
    assert port.told("smpp connection without a PROXY header closed")[0]["reason"] == "it did not come in time"
    assert recorder["closed"] == 1
    assert ("closed", {"account": "", "ending": Ending.SESSION_INIT}) in recorder.labels


@pytest.mark.parametrize(
    ("octets", "header_octets"),
    [
        (b"", 0),
        (LOCAL, 16),
        (LOCAL + encode(EnquireLink(sequence_number=1)), 16),
        (CHECK_V1, len(CHECK_V1)),
        (CHECK_V1 + encode(EnquireLink(sequence_number=1)), len(CHECK_V1)),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_check_of_the_balancer_is_counted_and_not_told_of(
    recorder: Any, octets: bytes, header_octets: int, reset: bool
) -> None:
    async with opened(recorder) as port:
        stream = await port.connect()
        if octets:
            await stream.send_all(octets)
        if len(octets) > header_octets:
            await stream.receive_some()
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        await recorder.wait("checked", within_s=PATIENCE_S)
        assert port.said == []
        assert sum(recorder.events.values()) == 1
        await bound_through(port)


async def test_a_check_that_binds_is_an_esme_of_the_balancers_address(recorder: Any) -> None:
    async with opened(recorder) as port:
        stream = await port.connect("127.0.0.3")
        await stream.send_all(LOCAL)
        esme = await bound(stream)
        await esme.send(SubmitSm(sequence_number=2))
        await esme.expect(SubmitSmResp)
        await esme.close()
        await recorder.wait("closed")
        assert [line["peer"] for line in port.said] == ["127.0.0.3", "127.0.0.3"]


async def test_the_header_stands_before_the_hello_of_tls(recorder: Any, certificate: Any) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    client = ssl.create_default_context(cafile=str(certificate[0]))
    async with opened(recorder, context=context) as port:
        stream = await port.connect()
        await stream.send_all(header())
        secure = trio.SSLStream(stream, client, server_hostname="smsc.test", https_compatible=True)
        await secure.do_handshake()
        await bound(secure)
        assert [request.peer for request in port.asked] == [CLIENT]
        stream = await port.connect()  # inside of TLS it is noise
        secure = trio.SSLStream(stream, client, server_hostname="smsc.test", https_compatible=True)
        with pytest.raises(trio.BrokenResourceError):
            await secure.do_handshake()


async def test_waiting_for_headers_takes_the_places_of_the_unbound(recorder: Any) -> None:
    async with opened(recorder, Limits(max_unbound=2)) as port:
        waiting = [await port.connect() for _ in range(2)]
        for stream in waiting:
            await stream.send_all(header()[:3])
        with trio.fail_after(PATIENCE_S):
            while port.server.connections < 2:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
        assert await is_closed(await port.connect())
        assert recorder["turned_away"] == 1
        for stream in waiting:
            await stream.aclose()
        await nobody(port)
        await bound_through(port)


async def test_the_last_place_is_for_who_comes_over_the_balancer_too(recorder: Any) -> None:
    async with opened(recorder, Limits(max_connections=1)) as port:
        await bound_through(port)
        assert await is_closed(await port.connect())
        assert recorder["turned_away"] == 1


async def test_other_balancers_are_believed_from_now_on(recorder: Any) -> None:
    async with opened(recorder) as port:
        port.server.keep_to(Limits(), ["127.0.1.0/24"])
        stream = await port.connect(STRANGER)
        await stream.send_all(header())
        await bound(stream)
        assert await is_closed(await port.connect())
        port.server.keep_to(Limits())  # a file without them: the port was opened behind balancers, and stays there
        assert await is_closed(await port.connect())
        assert [request.peer for request in port.asked] == [CLIENT]


async def test_where_there_are_no_balancers_there_will_be_none(recorder: Any) -> None:
    port = Port(recorder, None, None)
    server = Server(port._work, port._let_in, observer=recorder)
    server.keep_to(Limits(), BALANCERS)
    with hanging_up():
        async with trio.open_nursery() as nursery:
            listeners = await open_listeners("127.0.0.1", 0)
            await nursery.start(lambda task_status: server.run(listeners=listeners, task_status=task_status))
            await bound(await call(listeners[0].socket.getsockname()[1]))
            assert [request.peer for request in port.asked] == ["127.0.0.1"]
            nursery.cancel_scope.cancel()


async def test_nothing_behind_the_header_is_taken(autojump_clock: Any) -> None:
    for head, found in (
        (header(), Proxied(CLIENT, 0xC000, 28)),
        (LOCAL, Own(is_local=True, length=16)),
        (b"PROXY UNKNOWN\r\n", Own(is_local=False, length=15)),
        (b"PROXY TCP6 ::1 ::2 1 2\r\n", Proxied("::1", 1, 24)),
    ):
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(head + b"behind")
        assert await receive_header(ours) == found
        assert await ours.receive_some() == b"behind"
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    assert await receive_header(ours) is None
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"PRO")
    await theirs.send_eof()
    assert await receive_header(ours) == BadHeader("ended in the midst of it")


def test_what_was_said_is_not_said_again_for_a_while() -> None:
    seldom = Seldom(60)
    assert [seldom.unsaid("a", now) for now in (0, 1, 59, 60, 61)] == [0, None, None, 2, None]
    assert seldom.unsaid("b", 61) == 0
    for number in range(2 * ADDRESSES):
        seldom.unsaid(f"n{number}", 62)
    assert len(seldom._said) == ADDRESSES


# --- several processes on one port ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_is_shared_by_those_who_say_so(host: str, unused_tcp_port: int) -> None:
    shared = [*await open_listeners(host, unused_tcp_port, reuse_port=True)]
    shared += await open_listeners(host, unused_tcp_port, reuse_port=True)
    try:
        assert {listener.socket.getsockname()[1] for listener in shared} == {unused_tcp_port}
        with pytest.raises(OSError, match="in use") as refused:
            await open_listeners(host, unused_tcp_port)
        assert refused.value.errno == errno.EADDRINUSE
    finally:
        for listener in shared:
            await listener.aclose()
    alone = await open_listeners("127.0.0.1", unused_tcp_port)
    try:
        with pytest.raises(OSError, match="in use"):
            await open_listeners("127.0.0.1", unused_tcp_port, reuse_port=True)
    finally:
        for listener in alone:
            await listener.aclose()


async def test_connections_are_spread_and_one_listener_that_ends_takes_nobody_along(recorder: Any) -> None:
    with hanging_up():
        async with trio.open_nursery() as nursery:
            servers = []
            number = 0
            for _ in range(2):
                port = Port(recorder, None, None)
                port.server = Server(port._work, port._let_in, observer=recorder)
                listeners = await open_listeners("127.0.0.1", number, reuse_port=True)
                number = listeners[0].socket.getsockname()[1]
                scope = await nursery.start(_serving, port.server, listeners)
                servers.append((port, scope))
            esmes = []
            for _ in range(64):  # the chance that a fair hash leaves one without any is 2⁻⁶³
                esmes.append(await bound(await call(number)))
            first, second = (port.server.binds["acme"] for port, _ in servers)
            assert first + second == 64
            assert min(first, second) > 0
            servers[0][1].cancel()
            for _ in range(8):
                await bound(await call(number))
            assert servers[1][0].server.binds["acme"] == second + 8
            nursery.cancel_scope.cancel()


async def _serving(server: Server, listeners: Any, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.run(listeners=listeners, task_status=task_status))
            task_status.started(scope)
