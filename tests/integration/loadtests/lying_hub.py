"""A hub that loses, doubles and swaps what it has acknowledged: what scenarios must notice.

It stands between an application and the carrier and forwards texts from one lane to it; a desk finds it connected and
silent. Of the texts it takes, counted from 0, it loses number 5, sends number 10 twice, and sends number 20 after 21.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

from loadtests.locust import pdus
from loadtests.locust.stanzas import StanzaReader, proof
from loadtests.wire import BIND_TRANSCEIVER, DELIVER_SM, RESPONSE, SUBMIT_SM

HOST = "127.0.0.1"
LOST, TWICE, LATE = 5, 10, 20
DOMAIN, SECRET = "sms.example.net", "bench"
PATIENCE_S = 60.0


class LyingHub:
    """See the module's head.

    Args:
        carrier_port, desk_port: where it binds and connects, once somebody listens there.

    Attributes:
        port: of its account.
        taken: texts that it acknowledged.
    """

    def __init__(self, carrier_port: int, desk_port: int) -> None:
        self._ports = carrier_port, desk_port
        self.taken = 0
        self._late: bytes | None = None
        self._sequence = 2
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._carrier: socket.socket | None = None
        self._threads = [threading.Thread(target=work) for work in (self._serve, self._bind, self._connect)]

    def __enter__(self) -> LyingHub:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in [self._listener, *self._open]:
            each.close()

    def _knock(self, port: int) -> socket.socket | None:
        while not self._over.wait(0.05):
            with contextlib.suppress(OSError):
                self._open.append(socket.create_connection((HOST, port), PATIENCE_S))
                return self._open[-1]
        return None

    def _frames(self, connected: socket.socket) -> Iterator[bytes]:
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while octets := connected.recv(65_536):
                buffer += octets
                yield from pdus.cut_frames(buffer)

    def _serve(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError:
            return
        self._open.append(connected)
        for frame in self._frames(connected):
            command_id = int.from_bytes(frame[4:8], "big")
            if command_id < RESPONSE:
                body = b"%x\0" % self.taken if command_id == SUBMIT_SM else b"lying\0"
                connected.sendall(pdus.write_response(frame, pdus.ESME_ROK, body * (command_id != 6)))
            if command_id == SUBMIT_SM:
                for each in self._dealt(frame[16:]):
                    self._forward(each)
                self.taken += 1

    def _dealt(self, text: bytes) -> Sequence[bytes]:
        late, self._late = self._late, None
        if self.taken == LATE:
            self._late = text
        if self.taken in (LOST, LATE):
            return ()
        if late is not None:
            return (text, late)
        return (text,) * (2 if self.taken == TWICE else 1)

    def _forward(self, text: bytes) -> None:
        assert self._carrier is not None
        self._carrier.sendall(pdus.write_request(SUBMIT_SM, self._sequence, text))
        self._sequence += 1

    def _bind(self) -> None:
        connected = self._knock(self._ports[0])
        if connected is None:
            return
        connected.sendall(pdus.write_request(BIND_TRANSCEIVER, 1, pdus.write_bind("hub", SECRET)))
        self._carrier = connected
        for frame in self._frames(connected):
            if int.from_bytes(frame[4:8], "big") == DELIVER_SM:
                connected.sendall(pdus.write_response(frame, pdus.ESME_ROK, b"\0"))

    def _connect(self) -> None:
        connected = self._knock(self._ports[1])
        if connected is None:
            return
        connected.sendall(
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'"
            f" xmlns:stream='http://etherx.jabber.org/streams' to='{DOMAIN}'>".encode()
        )
        reader, greeting = StanzaReader(), b""
        with contextlib.suppress(OSError):
            while octets := connected.recv(65_536):
                greeting += octets
                reader.receive(octets)
                if b" id='" in greeting:
                    stream_id = greeting.partition(b" id='")[2].partition(b"'")[0].decode()
                    connected.sendall(f"<handshake>{proof(stream_id, SECRET)}</handshake>".encode())
                    greeting = b""
