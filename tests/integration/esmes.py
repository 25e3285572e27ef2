"""ESMEs for the tests of accounts: one that says what a test wants, and one that binds when it is called."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from smpp.codec import decode, encode, split_frames
from smpp.pdu import (
    PDU,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    Outbind,
    Unbind,
    UnbindResp,
)

PATIENCE_S = 60
MARGIN_S = 60
PASSWORD = "rightpwd"


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nothing tells of."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.02)


async def away_from_midnight() -> None:
    """Let a midnight of UTC pass that is so near that it would come in the middle of a test of a day's limit."""
    left_s = 86_400 - time.time() % 86_400
    if left_s < MARGIN_S:
        await trio.sleep(left_s + 1)


class Peer:
    """An ESME that says what a test wants."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""
        self._frames: list[bytes] = []

    @classmethod
    async def connect(cls, port: int, address: str = "127.0.0.1") -> Peer:
        return cls(await trio.open_tcp_stream("127.0.0.1", port, local_address=address))

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, *pdus: PDU) -> None:
        await self.stream.send_all(b"".join(encode(pdu) for pdu in pdus))

    async def next(self) -> PDU:
        """The next PDU. Raises: EOFError."""
        with trio.fail_after(PATIENCE_S):
            while not self._frames:
                data = await self.stream.receive_some(65_536)
                if not data:
                    raise EOFError
                self._frames, consumed = split_frames(self._buffer + data)
                self._buffer = (self._buffer + data)[consumed:]
        return decode(self._frames.pop(0))

    async def bind(self, system_id: str = "agg", password: str = PASSWORD) -> int:
        bind = BindTransceiver(sequence_number=1, system_id=system_id, password=password, interface_version=0x50)
        await self.send(bind)
        answer = await self.next()
        assert isinstance(answer, BindTransceiverResp)
        return answer.command_status


class Called:
    """An ESME that listens, and binds when it is called.

    Args:
        as_receiver: False: hang up on every call.
    """

    def __init__(self, *, as_receiver: bool = True) -> None:
        self.as_receiver = as_receiver
        self.calls: list[Outbind] = []
        self.at_once = self.most_at_once = 0
        self.taken: list[DeliverSm] = []
        self.statuses: list[int] = []
        self.hang_up = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            peer = Peer(stream)
            outbind = await peer.next()
            assert isinstance(outbind, Outbind)
            self.calls.append(outbind)
            if not self.as_receiver:
                return
            await peer.send(BindReceiver(sequence_number=1, system_id="agg", password=PASSWORD, interface_version=0x34))
            answer = await peer.next()
            assert isinstance(answer, BindReceiverResp)
            self.statuses.append(answer.command_status)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take, peer)
                await self.hang_up.wait()
                nursery.cancel_scope.cancel()
        except EOFError:
            pass
        finally:
            self.at_once -= 1
            await stream.aclose()

    async def _take(self, peer: Peer) -> None:
        try:
            while True:
                pdu = await peer.next()
                if isinstance(pdu, DeliverSm):
                    self.taken.append(pdu)
                    await peer.send(DeliverSmResp(sequence_number=pdu.sequence_number))
                elif isinstance(pdu, Unbind):
                    await peer.send(UnbindResp(sequence_number=pdu.sequence_number))
        except EOFError:
            self.hang_up.set()


@asynccontextmanager
async def listening(esme: Called) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, esme.serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
