"""One TCP connection under gevent, and the port that such connections come from.

A greenlet reads and one writes. Nobody else waits for the network: what is to be written is put down and goes out with
whatever else there is, as the hub itself does it. What waits to be written is bounded by the windows of those who
write.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import gevent
from gevent.event import Event

READ_OCTETS = 1 << 16
BACKLOG = 64


class Line:
    """A connection.

    Args:
        connected: its own from now on.
        take: called with octets as they come; a ValueError or OSError of it ends the line.
        ended: called once, when nothing comes any more.

    Attributes:
        is_over: nothing comes or goes any more.
    """

    def __init__(self, connected: socket.socket, take: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self.is_over = False
        self._socket = connected
        self._take, self._ended = take, ended
        self._output: list[bytes] = []
        self._to_write = Event()
        self._finishing = False
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.spawn(self._read)
        gevent.spawn(self._write)

    def write(self, octets: bytes) -> None:
        """Send octets; nothing happens when the line is over."""
        if not self.is_over:
            self._output.append(octets)
            self._to_write.set()

    def finish(self, octets: bytes) -> None:
        """Send last words, and end it."""
        self.write(octets)
        self._finishing = True

    def close(self) -> None:
        """End it at once, whatever is on its way."""
        if not self.is_over:
            self.is_over = True
            self._to_write.set()
            with contextlib.suppress(OSError):  # the other side may have been first
                self._socket.shutdown(socket.SHUT_RDWR)  # by this the greenlet that reads wakes, and tells everybody

    def _write(self) -> None:
        while not self.is_over:
            self._to_write.wait()
            self._to_write.clear()
            octets = b"".join(self._output)
            self._output.clear()
            try:
                self._socket.sendall(octets)
            except OSError:
                self.close()
            if self._finishing and not self._output:
                self.close()

    def _read(self) -> None:
        try:
            while octets := self._socket.recv(READ_OCTETS):
                self._take(octets)
        except (OSError, ValueError):
            pass  # either says only that it is over, which is what comes next
        finally:
            self.is_over = True
            self._to_write.set()
            self._socket.close()
            self._ended()


class Port:
    """A loopback port that is open or refuses connections, as one likes.

    Args:
        host: address to listen on.
        port: may be 0: then ``number`` says which one it became.
        serve: called with each connection.

    Raises:
        OSError: it is taken.
    """

    def __init__(self, host: str, port: int, serve: Callable[[socket.socket], None]) -> None:
        self._address = (host, port)
        self._serve = serve
        self._listener: socket.socket | None = None
        self.open()

    @property
    def number(self) -> int:
        """The port."""
        return self._address[1]

    def open(self) -> None:
        """Listen."""
        if self._listener is None:
            listener = socket.create_server(self._address, backlog=BACKLOG)
            self._address = listener.getsockname()[:2]
            self._listener = listener
            gevent.spawn(self._accept, listener)

    def close(self) -> None:
        """Refuse connections; those that came stay."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            self._serve(connected)
