"""What ESMEs ask of their texts, asked by the programs of others and by a scripted peer, of a hub over a real store."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from hub import Arrival, Hub, Kind, Outcome, Part, Receipt, ReceiptState, Result, wall_clock_us
from smpp import pdu as p
from smpp import tlv
from smpp.constants import CommandStatus as Status
from smpp.constants import MessageState
from smpp.testing import ScriptedESME
from smpp.timeformat import format_absolute
from store import create_all, open_store
from tests.fixtures_hub import ScriptedEndpoint, make_directory
from tests.integration.test_smpp_peers import NODE_MODULES, PATIENCE_S, PEERS, peer_node, peer_python
from translators.smpp_accounts import AccountSettings, SmppAccount, SmppAccounts

SOURCE = "+12025551212"
FROM: dict[str, Any] = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": SOURCE[1:]}
FAR_AWAY = "447700900123"
HOUR_US = 3_600_000_000


def to(digits: str) -> dict[str, Any]:
    return {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": digits}


class Site:
    """A hub in this process: a scripted carrier that is away at first, and an account on a port of its own."""

    def __init__(self, hub: Hub, link: ScriptedEndpoint, account: SmppAccount, port: int) -> None:
        self.hub = hub
        self.link = link
        self.account = account
        self.port = port

    def texts(self) -> list[str]:
        return [part.message.text for _, part in self.link.given if part.message.kind is Kind.TEXT]

    async def until(self, condition: Callable[[], Any]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)

    async def deliver_all(self, state: ReceiptState = ReceiptState.DELIVERED) -> None:
        """What a carrier does in the end: news of all that it was given."""
        for _, part in self.link.given:
            message = part.message
            receipt = Receipt(f"c{message.id}", state, "000" if state is ReceiptState.DELIVERED else "042")
            await self.hub.receive(
                "link:one", [Arrival(source=message.destination, destination=message.source, receipt=receipt)]
            )

    @asynccontextmanager
    async def peer(self, version: int = 0x34, bind: type[p.PDU] = p.BindTransceiver) -> AsyncIterator[ScriptedESME]:
        """An ESME that is bound."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            esme = ScriptedESME(stream)
            request: Any = bind(system_id="agg", password="secret", interface_version=version, sequence_number=1)
            with trio.fail_after(PATIENCE_S):
                assert (await esme.bind(request)).command_status == 0
                yield esme


async def ask(esme: ScriptedESME, request: p.PDU) -> Any:
    """Ask one thing. Receipts that come first are answered."""
    await esme.send(request)
    return await next_answer(esme)


async def next_answer(esme: ScriptedESME) -> Any:
    while True:
        pdu = await esme.receive()
        if not isinstance(pdu, p.DeliverSm):
            return pdu
        await esme.answer(pdu)


def carrier(part: Part) -> Outcome:
    return Outcome(part, Result.ACCEPTED, f"c{part.message.id}", receipt_expected=True)


@asynccontextmanager
async def open_site(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    async with open_store(f"sqlite:///{folder}/hub.db", synchronous="OFF") as store, trio.open_nursery() as nursery:
        await store.transact(create_all)
        hub = Hub(store, make_directory())
        link = ScriptedEndpoint("link:one", wall_clock_us, script=carrier, window=0)
        made = AccountSettings(name="agg", system_id="agg", password_hash="secret", gap_us=0, **settings)
        account = SmppAccount(made, hub, wall_clock_us)
        hub.attach(link)
        hub.attach(account)
        accounts = SmppAccounts(dict.fromkeys(("agg", "node", "smpplib"), account), lambda known, said: known == said)
        nursery.start_soon(account.do_chores)
        nursery.start_soon(link.run, hub)
        await nursery.start(hub.run)
        listeners: Sequence[trio.SocketListener] = await nursery.start(partial(accounts.run, "127.0.0.1", 0))
        yield Site(hub, link, account, listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def foreign(*command: str) -> AsyncIterator[trio.Process]:
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await trio.lowlevel.open_process(command, env=environment, **pipes)  # type: ignore[arg-type]
    try:
        with trio.fail_after(PATIENCE_S):
            yield process
    finally:
        process.kill()
        await process.wait()


class Lines:
    """What a foreign program prints, line by line."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._buffer = b""

    async def next(self) -> str:
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            assert data, "the peer has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


async def test_node_smpp_asks_cancels_replaces_and_submits_to_several(tmp_path: Path) -> None:
    script = [*peer_node(), str(PEERS / "node" / "smpp_requests.js")]
    async with open_site(tmp_path) as site, foreign(*script, str(site.port)) as node:
        lines = Lines(node)
        seen = json.loads(await lines.next())
        assert seen["bound"] == 0
        assert seen["statuses"] == [0] * 5
        assert len(set(seen["ids"])) == 5
        assert seen["unsuccess"] == [["friends", Status.ESME_RINVDLNAME], ["", Status.ESME_RINVDSTADR]]
        assert seen["first"] == seen["several"] == [0, MessageState.ENROUTE, False, 0]
        assert (seen["cancelled"], seen["again"]) == (0, Status.ESME_RCANCELFAIL)
        assert seen["replaced"] == 0
        assert seen["gone"][:3] == [0, MessageState.DELETED, True]
        assert seen["stranger"][0] == seen["other_source"][0] == Status.ESME_RINVMSGID
        site.link.come_back(site.hub)
        await site.until(lambda: len(site.link.given) == 5 and not site.link.unanswered)
        await site.deliver_all()
        site.hub.alert("link:one", "+447700900004")
        site.hub.alert("link:one", "+447700900001")  # nobody asked
        assert node.stdin is not None
        await node.stdin.send_all(b"go on\n")
        told = json.loads(await lines.next())
    assert sorted(site.texts()) == ["a", "in a TLV", "to several", "to several", "\u4e2d\u6587"]
    assert told["ended"] == told["replaced"] == told["several"] == [0, MessageState.DELIVERED, True, 0]
    assert (told["late"], told["too_late"]) == (Status.ESME_RCANCELFAIL, Status.ESME_RREPLACEFAIL)
    a, b, _, multi, data = seen["ids"]
    assert sorted(told["receipts"]) == sorted(
        [
            [a, MessageState.DELIVERED, "447700900001"],
            [b, MessageState.DELETED, "447700900001"],
            [multi, MessageState.DELIVERED, "447700900002"],
            [multi, MessageState.DELIVERED, "447700900003"],
            [data, MessageState.DELIVERED, "447700900004"],
        ]
    )
    assert told["alerts"] == [["447700900004", SOURCE[1:]]]


async def test_smpplib_asks_and_hears_of_handsets(tmp_path: Path) -> None:
    script = [*peer_python(), str(PEERS / "smpplib_queries.py")]
    async with open_site(tmp_path) as site, foreign(*script, str(site.port)) as peer:
        lines = Lines(peer)
        assert await lines.next() == "asked"
        site.link.come_back(site.hub)
        await site.until(lambda: site.link.given and not site.link.unanswered)
        await site.deliver_all()
        site.hub.expect_alert("account:agg", "+447700900001", SOURCE)
        site.hub.alert("link:one", "+447700900001")
        seen = json.loads(await lines.next())
    (message_id,) = seen["ids"]
    assert seen["answers"] == [[message_id, MessageState.ENROUTE, False], [message_id, MessageState.DELIVERED, True]]
    assert seen["errors"] == [["query_sm_resp", Status.ESME_RINVMSGID]] * 2
    assert seen["alerts"] == [["447700900001", SOURCE[1:]]]


async def test_a_cancel_finds_the_submit_before_it(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.peer() as esme:
        await esme.send(
            p.SubmitSm(sequence_number=2, **FROM, **to(FAR_AWAY), short_message=b"a"),
            p.SubmitSm(sequence_number=3, **FROM, **to(FAR_AWAY), short_message=b"b", service_type="ALRT"),
            p.CancelSm(sequence_number=4, **FROM, **to(FAR_AWAY), service_type="ALRT"),
            p.CancelSm(sequence_number=5, **FROM, **to(FAR_AWAY)),
            p.CancelSm(sequence_number=6, **FROM, **to(FAR_AWAY)),
            p.CancelSm(sequence_number=7, **FROM),
            p.SubmitSm(sequence_number=8, **FROM, **to(FAR_AWAY), short_message=b"c"),
            p.QuerySm(sequence_number=9, message_id="1"),
        )
        answers = [await next_answer(esme) for _ in range(8)]
        assert [type(answer) for answer in answers] == [
            *[p.SubmitSmResp] * 2,
            *[p.CancelSmResp] * 4,
            p.SubmitSmResp,
            p.QuerySmResp,
        ]
        assert [answer.command_status for answer in answers] == [
            *[0] * 4,
            Status.ESME_RCANCELFAIL,
            Status.ESME_RINVDSTADR,
            0,
            Status.ESME_RINVMSGID,
        ]
        site.link.come_back(site.hub)
        await site.until(site.texts)
    assert site.texts() == ["c"]


async def test_a_schedule_is_told_to_who_speaks_5_0(tmp_path: Path) -> None:
    later = format_absolute(wall_clock_us() + HOUR_US)
    async with open_site(tmp_path) as site:
        async with site.peer(version=0x50) as esme:
            submit = p.SubmitSm(sequence_number=2, **FROM, **to(FAR_AWAY), short_message=b"a")
            taken = await ask(esme, submit)
            query = p.QuerySm(sequence_number=3, message_id=taken.message_id)
            assert (await ask(esme, query)).message_state == MessageState.ENROUTE
            replace = p.ReplaceSm(
                sequence_number=4, message_id=taken.message_id, schedule_delivery_time=later, short_message=b"b"
            )
            assert (await ask(esme, replace)).command_status == 0
            assert (await ask(esme, query)).message_state == MessageState.SCHEDULED
            past = p.ReplaceSm(sequence_number=5, message_id=taken.message_id, validity_period=later)
            assert (await ask(esme, past)).command_status == Status.ESME_RINVEXPIRY
            odd = p.ReplaceSm(sequence_number=6, message_id=taken.message_id, schedule_delivery_time="0" * 16)
            assert (await ask(esme, odd)).command_status == Status.ESME_RINVSCHED
            predefined = p.ReplaceSm(sequence_number=7, message_id=taken.message_id, sm_default_msg_id=1)
            assert (await ask(esme, predefined)).command_status == Status.ESME_RINVDFTMSGID
        async with site.peer(version=0x34) as esme:
            assert (await ask(esme, query)).message_state == MessageState.ENROUTE


async def test_broadcasts_fail_in_the_words_of_the_peers_version(tmp_path: Path) -> None:
    requests = [
        p.BroadcastSm(sequence_number=2, **FROM),
        p.QueryBroadcastSm(sequence_number=3, message_id="1", **FROM),
        p.CancelBroadcastSm(sequence_number=4, message_id="1", **FROM),
    ]
    async with open_site(tmp_path) as site:
        async with site.peer(version=0x50) as esme:
            answers = [await ask(esme, request) for request in requests]
            assert [(type(answer), answer.command_status) for answer in answers] == [
                (p.BroadcastSmResp, Status.ESME_RBCASTFAIL),
                (p.QueryBroadcastSmResp, Status.ESME_RBCASTQUERYFAIL),
                (p.CancelBroadcastSmResp, Status.ESME_RBCASTCANCELFAIL),
            ]
        async with site.peer(version=0x34) as esme:
            for request in requests:
                assert (await ask(esme, request)).command_status == Status.ESME_RINVCMDID


@pytest.mark.parametrize("count", [1, 254])
async def test_submit_multi_to_as_many_as_there_may_be(tmp_path: Path, count: int) -> None:
    everybody = tuple(p.SmeAddress(1, 1, f"4477009{n:05}") for n in range(count))
    async with open_site(tmp_path) as site, site.peer() as esme:
        multi = p.SubmitMulti(sequence_number=2, **FROM, dest_address=everybody, short_message=b"a")
        answer = await ask(esme, multi)
        assert (answer.command_status, answer.unsuccess_sme) == (0, ())
        state = await ask(esme, p.QuerySm(sequence_number=3, message_id=answer.message_id))
        assert state.message_state == MessageState.ENROUTE
        cancelled = await ask(esme, p.CancelSm(sequence_number=4, message_id=answer.message_id))
        assert cancelled.command_status == 0
        state = await ask(esme, p.QuerySm(sequence_number=5, message_id=answer.message_id))
        assert state.message_state == MessageState.DELETED


async def test_submit_multi_that_nobody_gets(tmp_path: Path) -> None:
    async with open_site(tmp_path, sources=("+1202*",), destinations=("+44*",)) as site, site.peer() as esme:

        async def statuses(*dest_address: Any, **fields: Any) -> tuple[int, list[int]]:
            multi = p.SubmitMulti(sequence_number=2, dest_address=dest_address, **{**FROM, **fields})
            answer = await ask(esme, multi)
            assert isinstance(answer, p.SubmitMultiResp)
            assert answer.message_id == ""
            return answer.command_status, [sme.error_status_code for sme in answer.unsuccess_sme]

        friends, good, bad = p.DistributionList("friends"), p.SmeAddress(1, 1, FAR_AWAY), p.SmeAddress(1, 1, "1809")
        assert await statuses(friends) == (Status.ESME_RINVDLNAME, [Status.ESME_RINVDLNAME])
        assert await statuses(friends, bad) == (
            Status.ESME_RSUBMITFAIL,
            [Status.ESME_RINVDLNAME, Status.ESME_RINVDSTADR],
        )
        assert await statuses(good, bad, source_addr="1303") == (
            Status.ESME_RINVSRCADR,
            [Status.ESME_RINVSRCADR] * 2,
        )
        assert await statuses(good, esm_class=0x04) == (Status.ESME_RINVESMCLASS, [])
        # 255 of them: more than may be written, so by hand.
        many = encode_multi(255)
        await esme.send_raw(many)
        answer = await next_answer(esme)
        assert (answer.command_status, answer.unsuccess_sme) == (Status.ESME_RINVNUMDESTS, ())
        assert not site.hub.dispatcher("link:one").held


def encode_multi(count: int) -> bytes:
    body = b"\0\1\1" + SOURCE[1:].encode() + b"\0" + bytes((count,)) + (b"\1\1\1" + FAR_AWAY.encode() + b"\0") * count
    body += b"\0\0\0\0\0\0\0\0\0\1a"
    return (16 + len(body)).to_bytes(4, "big") + b"\0\0\0\x21\0\0\0\0\0\0\0\x09" + body


async def test_each_destination_of_a_submit_multi_counts_for_the_accounts_rate(tmp_path: Path) -> None:
    async with open_site(tmp_path, in_per_s=0.001) as site, site.peer() as esme:
        everybody = tuple(p.SmeAddress(1, 1, f"4477009{n:05}") for n in range(3))
        answer = await ask(esme, p.SubmitMulti(sequence_number=2, **FROM, dest_address=everybody, short_message=b"a"))
        assert answer.command_status == 0
        assert [sme.error_status_code for sme in answer.unsuccess_sme] == [Status.ESME_RTHROTTLED] * 2


async def test_what_data_sm_says_in_tlvs_is_kept(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.peer() as esme:
        times = ((int(tlv.Tag.MESSAGE_PAYLOAD), b"a"), tlv.make(tlv.Tag.QOS_TIME_TO_LIVE, 60))
        first = await ask(esme, p.DataSm(sequence_number=2, **FROM, **to(FAR_AWAY), tlvs=times))
        assert isinstance(first, p.DataSmResp)
        assert first.command_status == 0
        for number, text in ((1, b"one "), (2, b"two")):
            sar = (
                tlv.make(tlv.Tag.SAR_MSG_REF_NUM, 9),
                tlv.make(tlv.Tag.SAR_TOTAL_SEGMENTS, 2),
                tlv.make(tlv.Tag.SAR_SEGMENT_SEQNUM, number),
                (int(tlv.Tag.MESSAGE_PAYLOAD), text),
            )
            part = p.DataSm(sequence_number=2 + number, **FROM, **to(FAR_AWAY), registered_delivery=1, tlvs=sar)
            assert (await ask(esme, part)).command_status == 0
        site.link.come_back(site.hub)
        await site.until(lambda: len(site.texts()) == 2)
    assert site.texts() == ["a", "one two"]
    messages = [part.message for _, part in site.link.given]
    assert messages[0].expires_us - messages[0].received_us == 60_000_000
    assert messages[1].receipt_wanted


async def test_ids_that_are_none_are_answered_and_hurt_nobody(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.peer() as esme:
        for number, message_id in enumerate(("", "abc", "-1", "007", "9" * 40, "x" * 64, "1" + "0" * 18)):
            query = p.QuerySm(sequence_number=10 + number, message_id=message_id)
            assert (await ask(esme, query)).command_status == Status.ESME_RINVMSGID
            replace = p.ReplaceSm(sequence_number=30 + number, message_id=message_id)
            assert (await ask(esme, replace)).command_status == Status.ESME_RINVMSGID
        # Longer than an answer may hold: the codec forgives it, so by hand.
        body = b"9" * 200 + b"\0\0\0\0"
        await esme.send_raw((16 + len(body)).to_bytes(4, "big") + b"\0\0\0\x03\0\0\0\0\0\0\0\x63" + body)
        answer = await next_answer(esme)
        assert (answer.sequence_number, answer.command_status) == (0x63, Status.ESME_RINVMSGID)
        assert site.account.is_bound


async def test_a_receiver_may_not_ask(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.peer(bind=p.BindReceiver) as esme:
        for number, request in enumerate((p.QuerySm, p.CancelSm, p.ReplaceSm)):
            answer = await ask(esme, request(sequence_number=2 + number, message_id="1"))
            assert answer.command_status == Status.ESME_RINVBNDSTS


async def test_alerts_go_to_who_may_have_them(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert site.account.alert("+447700900123", SOURCE) is False, "nobody is bound"
        async with site.peer(bind=p.BindTransmitter):
            await site.until(lambda: site.account.sessions)
            assert site.account.alert("+447700900123", SOURCE) is False
        async with site.peer(bind=p.BindReceiver) as esme:
            await site.until(lambda: site.account.is_bound)
            assert site.account.alert("+447700900123", SOURCE) is True
            alert = await esme.receive()
    assert isinstance(alert, p.AlertNotification)
    assert (alert.source_addr_ton, alert.source_addr, alert.esme_addr) == (1, "447700900123", SOURCE[1:])
