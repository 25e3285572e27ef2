"""A small TCP proxy that makes the weather between two parties.

It stands on a road (hub → carrier, ESME → hub, …) and does to it what networks do: cuts it with a reset, lets one
direction hear nothing, delays, lets octets drip, or swallows everything, new connections too. It reorders nothing: TCP
does not either.

What is held back while a direction is deaf goes on when the weather clears, unless its sender has given the connection
up in the meantime: then it is lost, as in a network whose sender no longer repeats. (Octets that arrive long after
their sender has gone and come again by another way could overtake; no sender on earth can call them back, so that no
promise covers them.)

Its own memory is bounded: a sender that runs ahead of a deaf or slow direction is not read.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path

import trio

MOST_HELD_OCTETS = 256 * 1024
DRIP_OCTETS = 40
DRIP_S = 0.004
_RESET = struct.pack("ii", 1, 0)  # l_onoff, l_linger: close by RST, not by FIN
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Way(Enum):
    """A direction: from who connects, or back to them."""

    THERE = "there"
    BACK = "back"


class WeatherProxy:
    """One road.

    Args:
        target: host and port, or the Unix socket, of who is behind it.

    Attributes:
        port: where it listens, on 127.0.0.1.
        deaf: the directions that carry nothing.
        delay_s: before each piece that it passes on.
        drips: octets come a few at a time.
        is_hole: connections are taken and not passed on.
        is_gone: connections are reset at once, as if nobody listened.
        connections: passed on so far.
    """

    def __init__(self, target: tuple[str, int] | Path) -> None:
        self._target = target
        self.port = 0
        self.deaf: set[Way] = set()
        self.delay_s = 0.0
        self.drips = False
        self.is_hole = self.is_gone = False
        self.connections = 0
        self._clearing = trio.Event()
        self._open: dict[trio.SocketStream, trio.CancelScope] = {}

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what is under way is reset."""
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started(self.port)
        await trio.serve_listeners(self._serve, [listener])

    def lead_to(self, target: tuple[str, int] | Path) -> None:
        """Let somebody else be behind it, for connections from now on; those that are there are reset."""
        self._target = target
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for scope in list(self._open.values()):
            scope.cancel()

    def clear(self) -> None:
        """Let the sun shine. Connections that came into a hole are reset."""
        if self.is_hole:
            self.cut()
        self.deaf.clear()
        self.delay_s, self.drips, self.is_hole, self.is_gone = 0.0, False, False, False
        self._clearing.set()
        self._clearing = trio.Event()

    async def _serve(self, near: trio.SocketStream) -> None:
        far: trio.SocketStream | None = None
        try:
            with trio.CancelScope() as scope, suppress(*_BROKEN):
                self._open[near] = scope
                if self.is_gone:
                    return
                if self.is_hole:
                    await trio.sleep_forever()
                far = await self._connect()
                self.connections += 1
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, near, far, Way.THERE, nursery)
                    nursery.start_soon(self._carry, far, near, Way.BACK, nursery)
        finally:
            del self._open[near]
            for stream in (near, far):
                if stream is not None:
                    _reset(stream)

    async def _connect(self) -> trio.SocketStream:
        if isinstance(self._target, Path):
            unix = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                await unix.connect(str(self._target))
            except BaseException:
                unix.close()
                raise
            return trio.SocketStream(unix)
        host, port = self._target
        return await trio.open_tcp_stream(host, port)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, way: Way, nursery: trio.Nursery) -> None:
        """One direction. Its end is the end of both: none of the protocols here closes half of a connection."""
        held = bytearray()
        changed = trio.Event()
        is_over = False

        async def write() -> None:
            nonlocal changed
            while held or not is_over:
                if not held:
                    changed = trio.Event()
                    await changed.wait()
                    continue
                if self._is_deaf(way):
                    await self._clearing.wait()
                    continue
                if self.delay_s:
                    await trio.sleep(self.delay_s)
                if self._is_deaf(way):
                    continue
                if self.drips:
                    piece = bytes(held[:DRIP_OCTETS])
                    await trio.sleep(DRIP_S)
                else:
                    piece = bytes(held)
                del held[: len(piece)]
                await _send(sink, piece)
            nursery.cancel_scope.cancel()

        nursery.start_soon(write)
        while True:
            while len(held) > MOST_HELD_OCTETS:  # noqa: ASYNC110 - a look now and then is enough
                await trio.sleep(DRIP_S)
            data = await _receive(source)
            if not data and self._is_deaf(way):
                nursery.cancel_scope.cancel()  # what is held is lost
                return
            is_over = not data
            held += data
            changed.set()
            if is_over:
                return

    def _is_deaf(self, way: Way) -> bool:
        return self.is_hole or way in self.deaf


async def _receive(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some(65_536))
    except _BROKEN:
        return b""


async def _send(stream: trio.SocketStream, octets: bytes) -> None:
    with suppress(*_BROKEN):
        await stream.send_all(octets)


def _reset(stream: trio.SocketStream) -> None:
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):
            raise
    stream.socket.close()


@asynccontextmanager
async def open_proxy(target: tuple[str, int] | Path) -> AsyncIterator[WeatherProxy]:
    """A road to a TCP address, or a Unix socket, in the sun."""
    proxy = WeatherProxy(target)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()
