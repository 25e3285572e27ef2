"""The whole daemon, from its configuration file: what accounts are held to, and who is called for what waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from hub import State
from ops.config import read_config
from ops.daemon import Daemon, open_daemon
from provisioning import Account, catalog
from smpp.constants import CommandStatus as S
from smpp.pdu import DeliverSm, DeliverSmResp, EnquireLink, EnquireLinkResp, SubmitSm, SubmitSmResp
from store import Transaction
from tests.integration.esmes import PASSWORD, Called, Peer, away_from_midnight, listening, until

REASON = 0x001D  # additional_status_info_text
CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = {port}
[metrics]
port = 0
[limits]
reload_s = 0.1
[filters]
url_list_file = "hosts"
loop_texts = 2
[[account]]
system_id = "sender"
password = "senderpw"
allowed_destinations = ["+1888*"]
throughput_per_day = 6
duplicate_s = 300
lock_out_after = 2
[[account]]
system_id = "agg"
password = "{password}"
gap_ms = 0
outbind_host = "127.0.0.1"
outbind_port = {called}
outbind_password = "knock"
[[route]]
prefix = "*"
endpoint = "account:agg"
"""


def submit(text: str, destination: str = "18885550000", **fields: object) -> SubmitSm:
    values: dict[str, object] = {
        "sequence_number": 5,
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "12005550000",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": destination,
        "short_message": text.encode(),
    }
    return SubmitSm(**(values | fields))  # type: ignore[arg-type]


async def ask(peer: Peer, pdu: SubmitSm) -> SubmitSmResp:
    """Submit, and the answer."""
    await peer.send(pdu)
    answer = await peer.next()
    while isinstance(answer, DeliverSm):
        answer = await peer.next()
    assert isinstance(answer, SubmitSmResp)
    return answer


async def test_an_account_is_held_to_its_limits(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    await away_from_midnight()
    (tmp_path / "hosts").write_text("evil.example\n")
    ports = {"port": unused_tcp_port_factory(), "called": unused_tcp_port_factory()}
    config = read_config(CONFIGURATION.format(password=PASSWORD, **ports), "", tmp_path)

    async def said(peer: Peer, text: str, **fields: object) -> tuple[int, bytes]:
        answer = await ask(peer, submit(text, **fields))
        return answer.command_status, dict(answer.tlvs).get(REASON, b"").rstrip(b"\0")

    async with open_daemon(config) as daemon, await Peer.connect(daemon.ports["smpp"]) as peer:
        assert await peer.bind("sender", "senderpw") == S.ESME_ROK
        first = await ask(peer, submit("pay 5"))
        assert first.command_status == S.ESME_ROK
        again = await ask(peer, submit("pay 5", sequence_number=6))
        assert (again.sequence_number, again.message_id) == (6, first.message_id)
        assert (await said(peer, "hello", destination="19995550000"))[0] == S.ESME_RINVDSTADR
        assert await said(peer, "see EVIL.example.") == (S.ESME_RX_P_APPN, b"filtered")
        for number in range(5):
            assert (await said(peer, f"text {number}"))[0] == S.ESME_ROK
        assert await said(peer, "one too many") == (S.ESME_RTHROTTLED, b"too-much")
        assert daemon.hub.counters.filtered == {
            ("account:sender", "repetition"): 1,
            ("account:sender", "url-list"): 1,
            ("account:sender", "daily-limit"): 1,
        }
        for status in (S.ESME_RINVPASWD, S.ESME_RINVPASWD, S.ESME_RBINDFAIL):
            async with await Peer.connect(daemon.ports["smpp"]) as guesser:
                assert await guesser.bind("sender", "wrongpwd") == status
        assert daemon.observer.counts["locked_out", "account:sender", ""] == 1
        # Who is bound stays bound.
        assert (await said(peer, "one too many"))[0] == S.ESME_RTHROTTLED
    with sqlite3.connect(tmp_path / "hub.db") as database:
        rows = database.execute("SELECT account, taken FROM account_day").fetchall()
    database.close()
    assert rows == [("account:sender", 6)]
    async with open_daemon(config) as daemon, await Peer.connect(daemon.ports["smpp"]) as peer:
        assert await peer.bind("sender", "senderpw") == S.ESME_ROK  # a restart forgets locks, not the day
        assert await said(peer, "one too many") == (S.ESME_RTHROTTLED, b"too-much")
        await _allow_more(daemon)
        with trio.fail_after(60):
            while (await said(peer, "one too many"))[0] != S.ESME_ROK:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.05)


async def _allow_more(daemon: Daemon) -> None:
    """What ``smshub provision account set`` does; the daemon sees it by itself."""

    def work(tx: Transaction) -> None:
        account = catalog.get(tx, Account, "sender")
        catalog.update(tx, msgspec.structs.replace(account, throughput_per_day=100), who="test", now_us=1)

    await daemon.store.transact(work)


async def test_what_waits_for_an_account_has_its_esme_called(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    (tmp_path / "hosts").write_text("")
    esme = Called()
    async with listening(esme) as called:
        text = CONFIGURATION.format(password=PASSWORD, port=unused_tcp_port_factory(), called=called)
        config = read_config(text, "", tmp_path)
        async with open_daemon(config) as daemon, await Peer.connect(daemon.ports["smpp"]) as peer:
            assert await peer.bind("sender", "senderpw") == S.ESME_ROK
            assert esme.calls == []
            assert (await ask(peer, submit("wake up"))).command_status == S.ESME_ROK
            await until(lambda: esme.taken)
            assert esme.taken[0].short_message == b"wake up"
            assert esme.calls[0].password == "knock"
            assert len(esme.calls) == 1


HUB = """
[store]
url = "sqlite:///{name}.db"
[smpp]
port = {port}
[metrics]
port = 0
[filters]
loop_texts = 8
[[link]]
name = "other"
host = "127.0.0.1"
port = {other}
system_id = "peer"
password = "peerpass"
gap_ms = 0
registered_delivery = "always"
[[account]]
system_id = "peer"
password = "peerpass"
gap_ms = 0
[[account]]
system_id = "sender"
password = "senderpw"
gap_ms = 0
[[route]]
prefix = "*"
endpoint = "link:other"
"""

ENDPOINTS = ("link:other", "account:peer", "account:sender")


async def test_two_hubs_whose_routes_point_at_each_other_come_to_rest(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """A text goes round over real sessions until it is cut; its sender is told once that it will not arrive."""
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    near, far = (
        read_config(HUB.format(name=name, port=port, other=other), "", tmp_path)
        for name, port, other in (("near", *ports), ("far", *ports[::-1]))
    )
    async with open_daemon(near) as here, open_daemon(far) as there, await Peer.connect(ports[0]) as peer:
        await until(lambda: all(daemon.links["other"].is_bound for daemon in (here, there)))
        assert await peer.bind("sender", "senderpw") == S.ESME_ROK
        await peer.send(submit("round and round", registered_delivery=1))
        answer = await peer.next()
        assert isinstance(answer, SubmitSmResp)
        assert answer.command_status == S.ESME_ROK
        receipt = await peer.next()
        assert isinstance(receipt, DeliverSm)
        assert f"id:{answer.message_id} ".encode() in receipt.short_message
        assert b"stat:UNDELIV" in receipt.short_message
        await peer.send(DeliverSmResp(sequence_number=receipt.sequence_number))
        cuts = [daemon.hub.counters.filtered["account:peer", "loop-guard"] for daemon in (here, there)]
        assert sum(cuts) == 1
        # Nothing is left that could move: each hop has had its one receipt.
        await until(lambda: not any(d.hub.has_waiting(e) for d in (here, there) for e in ENDPOINTS))
        await peer.send(EnquireLink(sequence_number=9))
        assert isinstance(await peer.next(), EnquireLinkResp)
    for name in ("near", "far"):
        with sqlite3.connect(tmp_path / f"{name}.db") as database:
            rows = database.execute("SELECT kind, state FROM message").fetchall()
        database.close()
        texts, receipts = ([state for kind, state in rows if kind == wanted] for wanted in (0, 1))
        assert min(texts) >= State.DELIVERED
        assert len(texts) == 8
        assert len(receipts) == 8
