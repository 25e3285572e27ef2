"""A small HTTP/1.1 server for metrics and health: h11 over trio. GET only, one page a request, all of it bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import h11
import trio

MAX_REQUEST_OCTETS: Final = 16_384
MAX_CONNECTIONS: Final = 100
REQUEST_S: Final = 10.0
IDLE_S: Final = 75.0
LINGER_S: Final = 1.0
LINGER_READS: Final = 16

Page = tuple[int, str, bytes]
"""Status, content type, body."""

Answer = Callable[[str], Awaitable[Page]]
"""Makes the page of a path."""


async def serve(
    answer: Answer, host: str, port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Started with the port.

    Args:
        answer: makes the page of a path.
        host, port: where to listen; port 0 for any.

    Raises: OSError when the port is taken.
    """
    limiter = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def handle(stream: trio.SocketStream) -> None:
        if limiter.available_tokens < 1:
            await trio.aclose_forcefully(stream)
            return
        async with limiter:
            try:
                await _converse(stream, answer)
                await _part(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, OSError):
                pass  # a scraper that went away, or no HTTP at all: nothing of ours is lost
            finally:
                await trio.aclose_forcefully(stream)

    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def _part(stream: trio.SocketStream) -> None:
    """Close so that what was said still arrives: octets that nobody reads make the kernel reset the connection."""
    with trio.move_on_after(LINGER_S):
        await stream.send_eof()
        for _ in range(LINGER_READS):
            if not await stream.receive_some(MAX_REQUEST_OCTETS):
                return


async def _converse(stream: trio.SocketStream, answer: Answer) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_OCTETS)
    while True:
        request: h11.Request | None = None
        wait_s = IDLE_S
        while True:
            with trio.move_on_after(wait_s) as waiting:
                event = await _next_event(connection, stream)
            if waiting.cancelled_caught or isinstance(event, h11.ConnectionClosed):
                return
            wait_s = REQUEST_S
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                break
        await _reply(connection, stream, request, answer)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _next_event(connection: h11.Connection, stream: trio.SocketStream) -> Any:
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _send(connection, stream, error.error_status_hint, "text/plain; charset=utf-8", b"bad request\n")
            return h11.ConnectionClosed()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await stream.receive_some(MAX_REQUEST_OCTETS))


async def _reply(connection: h11.Connection, stream: trio.SocketStream, request: h11.Request, answer: Answer) -> None:
    if request.method not in (b"GET", b"HEAD"):
        await _send(connection, stream, 405, "text/plain; charset=utf-8", b"GET only\n")
        return
    path = request.target.partition(b"?")[0].decode("latin-1")
    status, content_type, body = await answer(path)
    await _send(connection, stream, status, content_type, b"" if request.method == b"HEAD" else body)


async def _send(
    connection: h11.Connection, stream: trio.SocketStream, status: int, content_type: str, body: bytes
) -> None:
    headers = [("content-type", content_type), ("content-length", str(len(body)))]
    octets = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    octets += connection.send(h11.Data(body)) or b""
    octets += connection.send(h11.EndOfMessage()) or b""
    with trio.fail_after(REQUEST_S):
        await stream.send_all(octets)
