"""The whole daemon with a group from its configuration file, between an ESME and two simulated carriers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from ops.config import read_config
from ops.daemon import Daemon, open_daemon
from ops.simulators.smsc import SimulatedSmsc
from ops.simulators.smsc_settings import SmscSettings
from smpp.constants import CommandStatus as S
from smpp.pdu import DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from tests.integration.esmes import Peer, until

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = {port}
[metrics]
port = 0
[[link]]
name = "one"
host = "127.0.0.1"
port = {one}
system_id = "hub"
password = "x"
registered_delivery = "always"
[[link]]
name = "two"
host = "127.0.0.1"
port = {two}
system_id = "hub"
password = "x"
registered_delivery = "always"
[[group]]
name = "pair"
links = ["one=3", "two"]
gap_ms = 0
[[account]]
system_id = "agg"
password = "rightpwd"
[[route]]
prefix = "*"
endpoint = "group:pair"
"""
CUSTOMERS = [f"1202555{number:04}" for number in range(100, 140)]


def submits(text: str) -> list[SubmitSm]:
    """One text to each customer, receipts asked for."""
    return [
        SubmitSm(
            sequence_number=number,
            source_addr="77377",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=customer,
            registered_delivery=1,
            short_message=text.encode(),
        )
        for number, customer in enumerate(CUSTOMERS, 10)
    ]


async def submit(peer: Peer, pdus: Sequence[SubmitSm]) -> set[str]:
    """Submit, and wait for each answer and each receipt. Returns: the ids that were delivered."""
    await peer.send(*pdus)
    ids: set[str] = set()
    delivered: set[str] = set()
    while len(ids) < len(pdus) or delivered != ids:
        pdu = await peer.next()
        if isinstance(pdu, SubmitSmResp):
            assert pdu.command_status == S.ESME_ROK
            ids.add(pdu.message_id)
        elif isinstance(pdu, DeliverSm):
            await peer.send(DeliverSmResp(sequence_number=pdu.sequence_number))
            words = pdu.short_message.decode().split()
            assert "stat:DELIVRD" in words
            delivered.add(words[0].removeprefix("id:"))
    return delivered


def texts_of(smsc: SimulatedSmsc) -> dict[str, list[str]]:
    """What each customer has got from a carrier."""
    return {number: [reception.text for reception in handset.received] for number, handset in smsc.handsets.items()}


def bound(daemon: Daemon) -> set[str]:
    return {name for name, link in daemon.links.items() if link.is_bound}


async def test_texts_go_by_a_group_and_on_by_the_link_that_is_left(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    ports = {name: unused_tcp_port_factory() for name in ("port", "one", "two")}
    carriers = {name: SimulatedSmsc(SmscSettings(port=ports[name], seed=1, name=name)) for name in ("one", "two")}
    config = read_config(CONFIGURATION.format(**ports), "", tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(carriers["two"].run)
        first = await nursery.start(_until_cut, carriers["one"])
        async with open_daemon(config) as daemon, await Peer.connect(ports["port"]) as peer:
            await until(lambda: bound(daemon) == {"one", "two"})
            assert await peer.bind() == S.ESME_ROK
            assert len(await submit(peer, submits("both"))) == len(CUSTOMERS)
            by_one, by_two = texts_of(carriers["one"]), texts_of(carriers["two"])
            assert len(by_one) > len(by_two) > 0
            assert not by_one.keys() & by_two.keys(), "a customer stays with a link"
            first.cancel()
            await until(lambda: bound(daemon) == {"two"})
            assert len(await submit(peer, submits("one is away"))) == len(CUSTOMERS)
            assert texts_of(carriers["one"]) == by_one
            left = texts_of(carriers["two"])
            assert all(left[number][-1] == "one is away" for number in left)
            assert len(left) == len(CUSTOMERS)
        nursery.cancel_scope.cancel()


async def _until_cut(smsc: SimulatedSmsc, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    """Run a carrier until the scope that this starts with is cancelled."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(smsc.run)
            task_status.started(scope)
