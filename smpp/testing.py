"""For tests of whatever speaks SMPP: two bound sessions in memory, and a peer that does what a script says.

``bound_pair`` gives two real sessions over a pair of memory streams. ``ScriptedPeer`` is the opposite: it has no state,
no timers and no manners, sends exactly what it is told (octets too) and says what it got. With an autojump clock both
work without waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio.testing

from smpp.codec import decode, encode, split_frames
from smpp.connection import Connection
from smpp.constants import VERSION_3_4
from smpp.events import DEFAULT_SETTINGS, Bind, Settings
from smpp.pdu import (
    PDU,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    response_class,
)
from smpp.session import DEFAULT_OPTIONS, Options, Session
from smpp.states import Role, State
from smpp.versions import TAG_SC_INTERFACE_VERSION

_BINDS: dict[State, type[Bind]] = {
    State.BOUND_TX: BindTransmitter,
    State.BOUND_RX: BindReceiver,
    State.BOUND_TRX: BindTransceiver,
}

_P = TypeVar("_P", bound=PDU)


class Unexpected(AssertionError):
    """A scripted peer got something else than its script says.

    Attributes:
        expected: the name of the PDU that was waited for, or ``"the end"``.
        got: what came instead: a PDU, octets, or None for the end of the stream.
    """

    def __init__(self, expected: str, got: PDU | bytes | None) -> None:
        what = "the end" if got is None else f"{len(got)} octets" if isinstance(got, bytes) else type(got).__name__
        super().__init__(f"expected {expected}, got {what}")
        self.expected = expected
        self.got = got


class ScriptedPeer:
    """The other side of a session under test.

    Args:
        stream: any stream.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""
        self._frames: list[bytes] = []

    async def send(self, *pdus: PDU) -> None:
        """Send PDUs as they are, sequence numbers included, in one piece."""
        await self.stream.send_all(b"".join(map(encode, pdus)))

    async def send_raw(self, data: bytes) -> None:
        """Send octets."""
        await self.stream.send_all(data)

    async def receive(self) -> PDU | None:
        """The next PDU, or None at the end of the stream. A stream that breaks has ended."""
        while not self._frames:
            try:
                data = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return None
            self._frames, consumed = split_frames(self._buffer + data)
            self._buffer = (self._buffer + data)[consumed:]
        return decode(self._frames.pop(0))

    async def expect(self, pdu_type: type[_P]) -> _P:
        """The next PDU, which must be of this type. Raises: Unexpected."""
        pdu = await self.receive()
        if not isinstance(pdu, pdu_type):
            raise Unexpected(pdu_type.__name__, pdu)
        return pdu

    async def expect_end(self) -> None:
        """The other side must close without another PDU. Raises: Unexpected."""
        pdu = await self.receive()
        if pdu is not None or self._buffer:
            raise Unexpected("the end", self._buffer if pdu is None else pdu)

    async def answer(self, request: PDU, command_status: int = 0, **fields: object) -> None:
        """Send the response to a request. ``fields`` are those of the response, as its class names them."""
        response = response_class(request)
        if response is None:
            raise LookupError(f"nothing answers {type(request).__name__}")
        make: type = response
        await self.send(make(sequence_number=request.sequence_number, command_status=command_status, **fields))

    async def close(self) -> None:
        """Close the stream, without a word."""
        await self.stream.aclose()


class ScriptedSMSC(ScriptedPeer):
    """A scripted peer that knows how to be bound to."""

    async def accept_bind(
        self, command_status: int = 0, *, system_id: str = "SMSC", version: int | None = VERSION_3_4
    ) -> Bind:
        """Wait for a bind and answer it.

        Args:
            command_status: other than 0 refuses.
            system_id: of the SMSC.
            version: sc_interface_version, or None to name none, as a 3.3 SMSC does.
        """
        bind = await self.receive()
        if not isinstance(bind, BindReceiver | BindTransmitter | BindTransceiver):
            raise Unexpected("a bind", bind)
        tlvs = () if version is None else ((TAG_SC_INTERFACE_VERSION, bytes((version,))),)
        await self.answer(bind, command_status, system_id=system_id, tlvs=tlvs)
        return bind


class ScriptedESME(ScriptedPeer):
    """A scripted peer that knows how to bind."""

    async def bind(self, pdu: Bind) -> BindReceiverResp | BindTransmitterResp | BindTransceiverResp:
        """Bind, and give the answer back whatever it says."""
        await self.send(pdu)
        response = await self.receive()
        if not isinstance(response, BindReceiverResp | BindTransmitterResp | BindTransceiverResp):
            raise Unexpected("a bind response", response)
        return response


@asynccontextmanager
async def bound_pair(
    state: State = State.BOUND_TRX,
    *,
    esme: Settings = DEFAULT_SETTINGS,
    smsc: Settings = DEFAULT_SETTINGS,
    esme_options: Options = DEFAULT_OPTIONS,
    smsc_options: Options = DEFAULT_OPTIONS,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
) -> AsyncIterator[tuple[Session, Session]]:
    """Two sessions bound to each other: the ESME's and the SMSC's. Both are cut when the body ends.

    Args:
        state: BOUND_TX, BOUND_RX or BOUND_TRX.
        esme, smsc, esme_options, smsc_options: see ``Settings`` and ``Options``.
        streams: the two ends of something else than unbounded memory.
    """
    left, right = streams or trio.testing.memory_stream_pair()
    now = trio.current_time()
    client = Session(left, Connection(Role.ESME, esme, now=now), esme_options)
    server = Session(right, Connection(Role.SMSC, smsc, now=now), smsc_options)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        await nursery.start(server.run)
        try:
            async with trio.open_nursery() as binding:
                binding.start_soon(client.bind, _BINDS[state](system_id="esme", password="secret"))  # noqa: S106
                await server.receive_bind()
                server.accept_bind("smsc")
            yield client, server
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
