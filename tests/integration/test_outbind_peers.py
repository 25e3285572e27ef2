"""outbind with a program of others, node-smpp, in both roles: it calls us and delivers, and it is called and binds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial

import trio

from smpp.client import Credentials
from smpp.outbind import Call, Terms, answer_outbinds, call_out
from smpp.pdu import DeliverSm, DeliverSmResp
from smpp.server import Grant, Server
from smpp.session import Session
from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import until
from tests.integration.end_to_end.sites import NUMBER
from tests.integration.test_smpp_peers import NODE_MODULES, PATIENCE_S, PEERS, Smsc, peer_node, run

SCRIPT = str(PEERS / "node" / "smpp_outbind.js")
TERMS = Terms(credentials=Credentials(system_id="smshub", password="secret"), password="calling", system_id="node-smsc")


async def called_by_node(password: str) -> tuple[dict, list[bytes]]:
    """What node-smpp saw when it called us, and the texts that we got."""
    texts: list[bytes] = []

    async def take(session: Session) -> None:
        while True:
            batch = await session.receive_requests()
            texts.extend(pdu.short_message for pdu in batch if isinstance(pdu, DeliverSm))
            session.respond([DeliverSmResp(sequence_number=pdu.sequence_number) for pdu in batch])

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(answer_outbinds, TERMS, take, port=0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        seen = await run(*peer_node(), SCRIPT, "smsc", str(port), password)
        nursery.cancel_scope.cancel()
    return seen, texts


async def test_node_smpp_calls_us_and_delivers():
    seen, texts = await called_by_node("calling")
    assert (seen["bind"], seen["system_id"], seen["delivered"]) == ("bind_receiver", "smshub", 0)
    assert texts == [b"called for this"]


async def test_node_smpp_with_another_word_gets_no_bind():
    seen, texts = await called_by_node("guess")
    assert (seen["bind"], seen["delivered"], texts) == (None, None, [])


async def test_node_smpp_is_called_and_binds():
    office = Smsc()
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    process = await trio.lowlevel.open_process(
        [*peer_node(), SCRIPT, "esme"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    answered: list[int] = []

    async def deliver(session: Session, grant: Grant) -> None:
        session.submit([(DeliverSm(source_addr="1", short_message=b"hello"), None)])
        while True:
            answered.extend(answer.response.command_status for answer in await session.receive_answers())

    try:
        with trio.fail_after(PATIENCE_S):
            port = int((await process.stdout.receive_some()).split()[1])
            call = Call(host="127.0.0.1", port=port, system_id="smshub", password="calling")
            assert await call_out(Server(deliver, office.authenticate), call)
            seen = json.loads(await process.stdout.receive_some())
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()
        await process.stderr.aclose()
    assert (seen["outbind"], seen["bound"], seen["texts"]) == (["smshub", "calling"], 0, ["hello"])
    assert answered == [0]


def test_a_text_of_a_carrier_that_calls_reaches_the_call_centre(
    open_site: Open, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """The whole way: the file's settings, the daemon's port, node-smpp's call, the director."""
    port = unused_tcp_port_factory()
    site = open_site(link=f'outbind_port = {port}\noutbind_password = "calling"')
    director = site.person("director")
    site.start()
    command = [*peer_node(), SCRIPT, "smsc", str(port), "calling", NUMBER[1:]]
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}

    def call() -> dict:
        """The link's port is opened beside its binds, so the first call may come too early."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else {}

    seen = until("a bind for the call", lambda: [told] if (told := call()).get("bind") else [])[0]
    assert (seen["bind"], seen["system_id"], seen["delivered"]) == ("bind_receiver", "smshub", 0)
    director.text("called for this")
