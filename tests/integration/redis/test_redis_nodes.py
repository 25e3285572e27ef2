"""Two whole daemons on one PostgreSQL, with a Redis between them: bells, the stream and rates, and Redis killed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hub import feed
from ops import redis_feed, redis_link
from ops.config import read_config
from ops.daemon import Daemon, open_daemon
from ops.metrics_table import METRICS
from smpp.constants import CommandStatus as S
from smpp.pdu import DeliverSm, DeliverSmResp, EnquireLink, EnquireLinkResp, SubmitSm, SubmitSmResp
from tests.fixtures_redis import RedisServer
from tests.integration.esmes import PASSWORD, Peer, until
from tests.integration.redis.conftest import said
from translators.shared_pace import HELD_S, SharedPace

PER_S = 20
NODE = """
[store]
url = "{store}"
[node]
id = {node}
[cluster]
enabled = true
lease_s = 5
[smpp]
port = {port}
[metrics]
port = 0
[limits]
drain_s = 0
[redis]
url = "{redis}"
feed_stream = true
[[account]]
system_id = "sender"
password = "senderpw"
throughput_per_s = {per_s}
lock_out_after = 2
[[account]]
system_id = "only"
password = "onlyone"
max_binds = 1
[[account]]
system_id = "agg"
password = "{password}"
gap_ms = 0
[[route]]
prefix = "*"
endpoint = "account:agg"
"""


@asynccontextmanager
async def nodes(
    store: str, redis_url: str, folder: Path, port: Callable[[], int], per_s: int = 0
) -> AsyncIterator[list[Daemon]]:
    async with AsyncExitStack() as stack:
        made = []
        for node in (1, 2):
            words = {"store": store, "redis": redis_url, "node": node, "port": port(), "per_s": per_s}
            config = read_config(NODE.format(password=PASSWORD, **words), "", folder)
            made.append(await stack.enter_async_context(open_daemon(config)))
        yield made


def submit(text: str, number: int) -> SubmitSm:
    return SubmitSm(
        sequence_number=number,
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="12005550000",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="18885550000",
        short_message=text.encode(),
    )


class Inbox:
    """What an ESME was given; it takes all."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def read(self, peer: Peer) -> None:
        while True:
            pdu = await peer.next()
            if isinstance(pdu, DeliverSm):
                self.texts.append(pdu.short_message.decode())
                await peer.send(DeliverSmResp(sequence_number=pdu.sequence_number))
            elif isinstance(pdu, EnquireLink):
                await peer.send(EnquireLinkResp(sequence_number=pdu.sequence_number))


async def send(peer: Peer, text: str) -> int:
    await peer.send(submit(text, 9))
    while not isinstance(answer := await peer.next(), SubmitSmResp):
        pass
    return answer.command_status


def metrics(daemon: Daemon) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    for collector in daemon.sharing.collectors():
        registry.register(collector)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


async def test_a_text_taken_here_goes_out_there_with_redis_and_without(
    postgres_url: str,
    redis_server: RedisServer,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    lines: list[Any],
    scale: int,
) -> None:
    for name, value in (("QUIET_S", 1.0), ("HEAR_S", 0.1), ("ANSWER_S", 0.5)):
        monkeypatch.setattr(redis_link, name, value)
    monkeypatch.setattr(redis_feed, "RETRY_S", 0.2)
    made = nodes(postgres_url, redis_server.url, tmp_path, unused_tcp_port_factory)
    async with made as (one, two), trio.open_nursery() as nursery, AsyncExitStack() as stack:
        agg = await stack.enter_async_context(await Peer.connect(one.ports["smpp"]))
        sender = await stack.enter_async_context(await Peer.connect(two.ports["smpp"]))
        assert await agg.bind("agg") == S.ESME_ROK
        assert await sender.bind("sender", "senderpw") == S.ESME_ROK
        inbox = Inbox()
        nursery.start_soon(inbox.read, agg)
        await until(lambda: one.hub.is_here("account:agg") and not two.hub.is_here("account:agg"))
        await until(lambda: one.hub.hears() and two.hub.hears())

        async def passes(text: str) -> None:
            assert await send(sender, text) == S.ESME_ROK
            await until(lambda: text in inbox.texts)
            wanted.append(text)

        wanted: list[str] = []
        before = metrics(one)["smshub_redis_bells_total", "heard"]
        while metrics(one)["smshub_redis_bells_total", "heard"] == before:
            await passes(f"with redis {len(wanted)}")
        for round_ in range(scale):
            redis_server.kill()
            await until(lambda: not one.hub.hears() and not two.hub.hears())
            await passes(f"without redis {round_}")
            assert metrics(one)["smshub_redis_up",] == 0
            redis_server.start()
            await until(lambda: one.hub.hears() and two.hub.hears())
            await passes(f"with redis again {round_}")
            redis_server.freeze()
            await until(lambda: not one.hub.hears() and not two.hub.hears())
            await passes(f"with a frozen one {round_}")
            redis_server.thaw()
            await until(lambda: one.hub.hears() and two.hub.hears())
            with redis_server.client() as other:
                other.config_set("maxmemory", "1")
                await passes(f"with a full one {round_}")
                other.config_set("maxmemory", "0")
        assert inbox.texts == wanted

        def told() -> list[str]:
            with redis_server.client() as other:
                return [fields["event"] for _, fields in other.xrange("smshub:feed")]

        # What happened while it was away, and before it lost all it had, is there again.
        await until(lambda: [told().count(word) for word in ("message", "handed-over")] == [len(wanted)] * 2)
        relays = [daemon for daemon in (one, two) if daemon.hub.is_upkeeper]
        assert len(relays) == 1
        names = {name for name in METRICS if name.startswith("smshub_redis_")}
        assert {key[0] for key in metrics(relays[0])} == names
        assert len(said(lines, "redis does not answer")) >= 4, "two nodes, two outages"
        nursery.cancel_scope.cancel()


async def test_an_account_that_sends_at_both_has_its_rate_once(
    postgres_url: str, redis_server: RedisServer, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with nodes(postgres_url, redis_server.url, tmp_path, unused_tcp_port_factory, PER_S) as both:
        taken = [0, 0]
        vouched: list[Any] = ["smshub_redis_shared_rates"]
        await until(lambda: all(metrics(daemon)[*vouched,] == 1 for daemon in both))
        assert all(isinstance(daemon.accounts["sender"]._intake_pace, SharedPace) for daemon in both)
        await until(lambda: all(daemon.cluster is not None and daemon.cluster.live == 2 for daemon in both))
        began = time.monotonic()

        async def pour(at: int) -> None:
            asked = 0
            async with await Peer.connect(both[at].ports["smpp"]) as peer:
                assert await peer.bind("sender", "senderpw") == S.ESME_ROK
                while min(taken) < PER_S or sum(taken) < 3 * PER_S:
                    asked += 1  # a text that repeats itself would be cut as a loop
                    status = await send(peer, f"text {asked} at {at}")
                    assert status in (S.ESME_ROK, S.ESME_RTHROTTLED)
                    taken[at] += status == S.ESME_ROK
                    await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            for at in range(2):
                nursery.start_soon(pour, at)
        passed_s = time.monotonic() - began
        assert sum(taken) <= PER_S * passed_s + 3 * (PER_S * HELD_S + 1)


ALONE = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[redis]
url = "{redis}"
password = "wrong-one"
feed_stream = true
"""


async def test_a_daemon_whose_password_is_wrong_serves_and_comes_to_it(
    redis_factory: Callable[..., RedisServer], tmp_path: Path, lines: list[Any]
) -> None:
    server = redis_factory("--requirepass", "right-one")
    server.start("right-one")
    config = read_config(ALONE.format(redis=server.url), "", tmp_path)
    async with open_daemon(config) as daemon:
        await until(lambda: metrics(daemon)["smshub_redis_failures_total", "credentials"] >= 2)
        assert len(said(lines, "redis does not answer")) == 1
        assert metrics(daemon)["smshub_redis_up",] == 0
        with server.client(password="right-one") as other:
            other.config_set("requirepass", "wrong-one")
        await until(lambda: metrics(daemon)["smshub_redis_up",] == 1)
        await daemon.store.commit([feed.outbox(daemon.store, 1, [("message", 7)])])
        with server.client(password="wrong-one") as other:
            await until(lambda: other.xlen("smshub:feed") == 1)
    assert "-one" not in str(lines)


async def test_a_lock_and_the_last_bind_hold_on_both(
    postgres_url: str, redis_server: RedisServer, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    made = nodes(postgres_url, redis_server.url, tmp_path, unused_tcp_port_factory)
    async with made as (one, two), AsyncExitStack() as stack:

        async def bind(daemon: Daemon, system_id: str, password: str) -> int:
            peer = await stack.enter_async_context(await Peer.connect(daemon.ports["smpp"]))
            return await peer.bind(system_id, password)

        await until(lambda: one.hub.hears() and two.hub.hears())
        assert await bind(one, "only", "onlyone") == S.ESME_ROK
        assert await bind(two, "only", "onlyone") == S.ESME_RALYBND
        for _ in range(2):
            assert await bind(one, "sender", "wrongpw") == S.ESME_RINVPASWD
        with trio.fail_after(60):  # that the other node hears of it is not waited for
            while await bind(two, "sender", "senderpw") != S.ESME_RBINDFAIL:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.2)
        for session in list(one.accounts["only"].sessions):
            session.close()
        with trio.fail_after(60):
            while await bind(two, "only", "onlyone") != S.ESME_ROK:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.2)
