"""Our SMPP against the programs of others: smpplib and node-smpp as ESMEs, node-smpp as an SMSC.

Each foreign program runs as a process of its own, and says at its end what it saw.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from smpp.client import BindType, Credentials, Target, connect_and_bind
from smpp.constants import CommandStatus
from smpp.events import Ending, Settings
from smpp.pdu import DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from smpp.server import BindRequest, Grant, serve
from smpp.session import BindRefused, Session, SessionEnded

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests" / "peers"
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
NODE_MODULES = ROOT / "var" / "node" / "node_modules"

PATIENCE_S = 60
RECEIPTED_MESSAGE_ID, MESSAGE_STATE = 0x001E, 0x0427


def peer_python() -> list[str]:
    if not PYTHON.exists() or not list(PYTHON.parents[1].glob("lib/python3*/site-packages/smpplib")):
        pytest.fail(".venv-peers has no smpplib: 'make test' sets it up", pytrace=False)
    return [str(PYTHON)]


def peer_node() -> list[str]:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "smpp").exists():
        pytest.fail("node, or var/node/node_modules/smpp, is missing: 'make test' sets it up", pytrace=False)
    return [node]


class Smsc:
    """Our side of the tests with foreign ESMEs: takes texts, sends a receipt for each, and one text."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.answered: list[int] = []

    async def authenticate(self, request: BindRequest) -> Grant | int:
        if request.password != "secret":
            return CommandStatus.ESME_RINVPASWD
        return Grant(account=request.system_id, settings=Settings(window=1000))

    async def handle(self, session: Session, grant: Grant) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answers, session)
            session.submit([(DeliverSm(source_addr="1", short_message=b"hello"), None)])
            while True:
                self._serve(session, await session.receive_requests())

    def _serve(self, session: Session, requests: list) -> None:
        responses, receipts = [], []
        for request in requests:
            assert isinstance(request, SubmitSm)
            message_id = f"id{len(self.texts)}"
            self.texts.append(request.short_message)
            responses.append(SubmitSmResp(sequence_number=request.sequence_number, message_id=message_id))
            receipts.append(self._receipt(request, message_id))
        session.respond(responses)
        session.submit([(receipt, None) for receipt in receipts])

    def _receipt(self, request: SubmitSm, message_id: str) -> DeliverSm:
        return DeliverSm(
            source_addr=request.destination_addr,
            destination_addr=request.source_addr,
            esm_class=0x04,
            short_message=f"id:{message_id} sub:001 dlvrd:001 stat:DELIVRD err:000 text:".encode(),
            tlvs=((RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"), (MESSAGE_STATE, b"\x02")),
        )

    async def _answers(self, session: Session) -> None:
        try:
            while True:
                for answer in await session.receive_answers():
                    assert answer.response is not None, answer.lost
                    self.answered.append(answer.response.command_status)
        except SessionEnded:
            return


@asynccontextmanager
async def smsc() -> AsyncIterator[tuple[Smsc, int]]:
    ours = Smsc()
    async with trio.open_nursery() as nursery:
        start = partial(serve, ours.handle, ours.authenticate, host="127.0.0.1", port=0)
        listeners = await nursery.start(start)
        yield ours, listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def run(*command: str) -> dict:
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


async def test_smpplib_is_an_esme_of_ours():
    python = peer_python()
    async with smsc() as (ours, port):
        seen = await run(*python, str(PEERS / "smpplib_esme.py"), str(port), "20")
        assert seen["ids"] == [f"id{n}" for n in range(20)]
        assert seen["receipts"] == [
            [f"id{n}", f"id:id{n} sub:001 dlvrd:001 stat:DELIVRD err:000 text:"] for n in range(20)
        ]
        assert seen["texts"] == ["hello"]
        assert len(ours.texts) == 20
        assert ours.texts[0].startswith(b"text 0 ")
        assert ours.answered == [0] * 21


async def test_node_smpp_is_an_esme_of_ours():
    node = peer_node()
    async with smsc() as (ours, port):
        seen = await run(*node, str(PEERS / "node" / "smpp_esme.js"), str(port), "200")
        assert seen["bind"] == seen["enquired"] == 0
        assert seen["version"] == 0x50
        assert seen["refused"] == CommandStatus.ESME_RALYBND
        assert seen["ids"] == [f"id{n}" for n in range(200)]
        assert seen["receipts"] == [[f"id{n}", 2] for n in range(200)]
        assert seen["texts"] == ["hello"]
        assert ours.texts == [f"text {n}".encode() for n in range(200)]
        assert ours.answered == [0] * 201


@asynccontextmanager
async def node_smsc() -> AsyncIterator[tuple[subprocess.Popen, int]]:
    command = [*peer_node(), str(PEERS / "node" / "smpp_smsc.js")]
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        with trio.fail_after(PATIENCE_S):
            line = await process.stdout.receive_some()
        yield process, int(line.split()[1])
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()
        await process.stderr.aclose()


def target(port: int, password: str = "secret") -> Target:
    return Target(host="127.0.0.1", port=port, credentials=Credentials(system_id="smshub", password=password))


async def converse(session: Session) -> tuple[dict[object, str], list[DeliverSm]]:
    """Submit ten texts; take what the SMSC answers and delivers."""
    session.submit([(SubmitSm(destination_addr="1", short_message=f"text {n}".encode()), n) for n in range(10)])
    ids: dict[object, str] = {}
    deliveries: list[DeliverSm] = []
    while len(ids) < 10:
        for answer in await session.receive_answers():
            assert isinstance(answer.response, SubmitSmResp)
            ids[answer.key] = answer.response.message_id
    while len(deliveries) < 11:
        batch = await session.receive_requests()
        session.respond([DeliverSmResp(sequence_number=pdu.sequence_number) for pdu in batch])
        deliveries += [pdu for pdu in batch if isinstance(pdu, DeliverSm)]
    return ids, deliveries


async def test_node_smpp_is_an_smsc_to_us():
    async with node_smsc() as (process, port):
        with trio.fail_after(PATIENCE_S):
            with pytest.raises(BindRefused) as refused:
                async with connect_and_bind(target(port, "wrong")):
                    pytest.fail("it is not bound")
            assert refused.value.command_status == CommandStatus.ESME_RINVPASWD
            async with connect_and_bind(target(port), BindType.TRX) as session:
                assert session.peer_version == 0x34
                ids, deliveries = await converse(session)
            assert session.ended.ending is Ending.UNBOUND
            seen = json.loads(await process.stdout.receive_some())
    assert ids == {n: ids[n] for n in range(10)}
    assert len(set(ids.values())) == 10
    receipts = {dict(pdu.tlvs)[RECEIPTED_MESSAGE_ID].rstrip(b"\0").decode() for pdu in deliveries if pdu.esm_class}
    assert receipts == set(ids.values())
    assert [pdu.short_message for pdu in deliveries if not pdu.esm_class] == [b"from a handset"]
    assert seen["binds"][-1] == ["bind_transceiver", "smshub", 0x34]
    assert seen["texts"] == [f"text {n}" for n in range(10)]
    assert seen["delivered"] == [0] * 11
    assert seen["enquired"] == 0
    assert seen["unbound"] is True
