"""A simulated SMSC without a port, and ESMEs that bind to it through memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from ops.simulators.smsc import SimulatedSmsc
from smpp.connection import Connection
from smpp.events import DEFAULT_SETTINGS, Settings
from smpp.pdu import PDU, BindReceiver, BindTransceiver, BindTransmitter, DeliverSm, DeliverSmResp, SubmitSm
from smpp.session import Session, SessionEnded
from smpp.states import Role, State
from smpp.testing import ScriptedESME

HANDSET, DESK = "+16175550101", "+18005550100"

_BINDS = {State.BOUND_TX: BindTransmitter, State.BOUND_RX: BindReceiver, State.BOUND_TRX: BindTransceiver}


@asynccontextmanager
async def bound_to(
    smsc: SimulatedSmsc,
    state: State = State.BOUND_TRX,
    *,
    system_id: str = "hub",
    password: str = "secret",
    settings: Settings = DEFAULT_SETTINGS,
) -> AsyncIterator[Session]:
    """A session of an ESME; cut when the body ends."""
    ours, theirs = trio.testing.memory_stream_pair()
    session = Session(ours, Connection(Role.ESME, settings, now=trio.current_time()))
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(smsc.serve_stream, theirs)
        await nursery.start(session.run)
        try:
            await session.bind(_BINDS[state](system_id=system_id, password=password))
            yield session
        except Exception as error:
            failure = error
        session.close()
    if failure is not None:
        raise failure


@asynccontextmanager
async def scripted(smsc: SimulatedSmsc, state: State = State.BOUND_TRX) -> AsyncIterator[ScriptedESME]:
    """A bound peer without manners, to which the order on the wire is visible."""
    ours, theirs = trio.testing.memory_stream_pair()
    esme = ScriptedESME(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(smsc.serve_stream, theirs)
        response = await esme.bind(_BINDS[state](system_id="hub", password="secret", sequence_number=1))
        assert response.command_status == 0
        yield esme
        await esme.close()


def submit_sm(text: bytes = b"hello", **fields: object) -> SubmitSm:
    return SubmitSm(
        **{
            "source_addr_ton": 1,
            "source_addr": DESK[1:],
            "dest_addr_ton": 1,
            "destination_addr": HANDSET[1:],
            "short_message": text,
        }
        | fields
    )


async def answer_all(session: Session, seen: list[PDU] | None = None, statuses: list[int] | None = None) -> None:
    """Answer whatever the SMSC delivers until the session ends, with these statuses first."""
    while True:
        try:
            requests = await session.receive_requests()
        except SessionEnded:
            return
        for pdu in requests:
            if seen is not None:
                seen.append(pdu)
            if isinstance(pdu, DeliverSm):
                status = statuses.pop(0) if statuses else 0
                session.respond([DeliverSmResp(sequence_number=pdu.sequence_number, command_status=status)])
