"""The page server: what it answers, and what it does to bad peers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ops import http


async def answer(path: str) -> http.Page:
    """A page that says its path."""
    return (200, "text/plain", path.encode()) if path != "/none" else (404, "text/plain", b"no")


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(http.serve, answer, "127.0.0.1", 0)
        nursery.cancel_scope.cancel()


async def ask(port: int, octets: bytes) -> bytes:
    """All that comes back before the server closes, or falls silent."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    received = b""
    async with stream:
        await stream.send_all(octets)
        with trio.move_on_after(1):
            while True:
                chunk = await stream.receive_some(65_536)
                if not chunk:
                    break
                received += chunk
    return received


async def test_a_page_and_its_status() -> None:
    async with serving() as port:
        reply = await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n/metrics")
        reply = await ask(port, b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 404 ")


async def test_head_has_no_body_and_post_is_refused() -> None:
    async with serving() as port:
        reply = await ask(port, b"HEAD /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n")
        reply = await ask(port, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 405 ")


async def test_several_requests_on_one_connection() -> None:
    async with serving() as port:
        once = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
        assert (await ask(port, once + once)).count(b"HTTP/1.1 200 ") == 2


async def test_bad_peers_get_an_error_or_are_closed_and_hurt_nobody() -> None:
    async with serving() as port:
        assert (await ask(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n")).startswith(
            b"HTTP/1.1 400 "
        )
        assert (await ask(port, b"GET /" + b"a" * 40_000)).startswith(b"HTTP/1.1 431 ")
        reply = await ask(port, b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")


async def test_connections_are_bounded() -> None:
    async with serving() as port:
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(http.MAX_CONNECTIONS)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await ask(port, b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") == b""
        await idle.pop().aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        reply = await ask(port, b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        for stream in idle:
            await stream.aclose()
