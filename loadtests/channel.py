"""Octets over a socket on trio: a call for what was read, and a write that does not wait.

A load tool must cost less than what it measures, on the one core it has. So there is one task for each connection: it
waits until there is something to read and hands all of it over. What is to be written goes to the system at once; only
what that has no room for waits for a task of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import trio

READ_OCTETS = 1 << 18


class Peer(Protocol):
    """Whoever is on our side of a channel."""

    def connected(self, channel: Channel) -> None:
        """The channel is open."""

    def received(self, data: bytes) -> None:
        """The other side sent this."""

    def lost(self) -> None:
        """The channel is over."""


class Channel:
    """One connection.

    Args:
        connection: connected; the channel's own from now on.
        peer: on our side; hears at once that it is connected.
        nursery: what waits belongs to it.
    """

    def __init__(self, connection: socket.socket, peer: Peer, nursery: trio.Nursery) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._nursery = nursery
        self._waiting = bytearray()
        self._is_over = False
        self._peer = peer
        peer.connected(self)

    def write(self, data: bytes) -> None:
        """Send, now or as soon as there is room. To a channel that is over: nothing."""
        if self._is_over:
            return
        if self._waiting:
            self._waiting += data
            return
        sent = self._send(data)
        if sent < len(data):
            self._waiting += memoryview(data)[sent:]
            self._nursery.start_soon(self._write_on)

    def write_later(self, data: bytes, delay_s: float) -> None:
        """Send after a while."""

        async def wait() -> None:
            await trio.sleep(delay_s)
            self.write(data)

        self._nursery.start_soon(wait)

    async def run(self) -> None:
        """Hand what comes to our side until the other one has closed."""
        try:
            while not self._is_over:
                await trio.lowlevel.wait_readable(self._socket)
                try:
                    data = self._socket.recv(READ_OCTETS)
                except BlockingIOError:
                    continue
                except OSError:
                    break
                if not data:
                    break
                self._peer.received(data)
        finally:
            self._close()
            self._peer.lost()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # the reader will hear of it too
            self._close()
            return len(data)

    async def _write_on(self) -> None:
        while self._waiting and not self._is_over:
            await trio.lowlevel.wait_writable(self._socket)
            del self._waiting[: self._send(self._waiting)]

    def _close(self) -> None:
        if not self._is_over:
            self._is_over = True
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def connect(port: int, peer: Peer, nursery: trio.Nursery) -> None:
    """Connect to a port of this machine. Raises: OSError."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    nursery.start_soon(Channel(_own(stream), peer, nursery).run)


async def listen(port: int, new_peer: Callable[[], Peer], nursery: trio.Nursery) -> int:
    """Take whoever comes to a port of this machine; 0 for any. Returns: the port. Raises: OSError."""
    (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
    bound = listener.socket.getsockname()[1]

    async def take(stream: trio.SocketStream) -> None:
        await Channel(_own(stream), new_peer(), nursery).run()

    nursery.start_soon(trio.serve_listeners, take, [listener])
    return int(bound)


def _own(stream: trio.SocketStream) -> socket.socket:
    return socket.socket(fileno=stream.socket.detach())
