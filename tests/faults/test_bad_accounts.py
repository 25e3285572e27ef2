"""Accounts and links that behave badly for a while, beside an honest session that must not notice.

Each is kept up for some seconds (``--scale=1200`` makes an hour of it): the daemon's memory stays flat, the honest
session loses nothing and waits no longer, and a metric tells what goes on.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from smpp.codec import decode, encode, split_frames
from smpp.constants import CommandStatus as S
from smpp.pdu import (
    PDU,
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from tests.faults.process import DaemonProcess, until
from tests.faults.scene import Scene, open_scene
from tests.faults.strangers import Honest, Stranger, Watch, bind_of, never_logged

pytestmark = pytest.mark.slow

SECONDS = 3.0
GROWTH_MB = 64.0  # windows, inboxes, write buffers and what the allocator keeps; an unbounded list is hundreds
PASSWORD = "abusepwd"
BODY = "B0DY-0F-AN-ABUSER"
BAD = ("unread", "silent", "twice", "again", "fast", "daily")
ACCOUNTS = "".join(
    f"""
[[account]]
system_id = "{name}"
password = "{PASSWORD}"
validity_s = 5
response_timeout_s = 1
window = 20
inbox = 100
gap_ms = 0
{more}
[[route]]
prefix = "+1888{number}"
endpoint = "account:{name}"
"""
    for number, (name, more) in enumerate(
        (
            *((name, "") for name in BAD[:4]),
            ("fast", "throughput_per_s = 20"),
            ("daily", "throughput_per_day = 10"),
            ("source", ""),
        )
    )
)
LINK = """
[[link]]
name = "sink"
host = "127.0.0.1"
port = {port}
system_id = "smshub"
password = "sinkpass"
gap_ms = 0
validity_s = 5
response_timeout_s = 1
[[route]]
prefix = "+1777"
endpoint = "link:sink"
"""
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class Smsc:
    """An SMSC that takes everything, until a test says otherwise.

    Attributes:
        binds, texts: how many it took.
        lasts_s: how long a session lasts; None: until the hub ends it.
        wanted: what it sends, in order, once bound; asked for more until it is empty.
        answered: responses that came, by status.
    """

    def __init__(self) -> None:
        self.binds = self.texts = 0
        self.lasts_s: float | None = None
        self.wanted: Callable[[], list[PDU]] = list
        self.answered: dict[int, int] = {}
        self.unanswered = 0
        self._bound = trio.Event()
        self._conversing = trio.CancelScope()

    def flap(self) -> None:
        """Hang up now, and ``lasts_s`` after each bind from now on."""
        self.lasts_s = 0.3
        self._conversing.cancel()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self._bound = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, stream, self._bound)
            with trio.move_on_after(self.lasts_s if self.lasts_s is not None else float("inf")) as self._conversing:
                await self._converse(stream)
            nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(stream)

    async def _send(self, stream: trio.SocketStream, bound: trio.Event) -> None:
        await bound.wait()
        self.unanswered = 0
        while True:
            if self.unanswered < 500:
                pdus = self.wanted()
                self.unanswered += len(pdus)
                if pdus:
                    await _write(stream, *pdus)
            await trio.sleep(0.002)

    async def _converse(self, stream: trio.SocketStream) -> None:
        async with aclosing(_pdus(stream)) as pdus:
            async for pdu in pdus:
                answer: PDU | None = None
                number = pdu.sequence_number
                if isinstance(pdu, BindTransceiver):
                    self.binds += 1
                    answer = BindTransceiverResp(sequence_number=number)
                    self._bound.set()
                elif isinstance(pdu, SubmitSm):
                    self.texts += 1
                    answer = SubmitSmResp(sequence_number=number, message_id=f"{self.texts:x}")
                elif isinstance(pdu, EnquireLink):
                    answer = EnquireLinkResp(sequence_number=number)
                elif isinstance(pdu, Unbind):
                    answer = UnbindResp(sequence_number=number)
                elif isinstance(pdu, DeliverSmResp):
                    self.unanswered -= 1
                    self.answered[pdu.command_status] = self.answered.get(pdu.command_status, 0) + 1
                if answer is not None:
                    await _write(stream, answer)


async def _write(stream: trio.SocketStream, *pdus: PDU) -> None:
    try:
        await stream.send_all(b"".join(encode(pdu) for pdu in pdus))
    except (*_BROKEN, trio.BusyResourceError):
        return


async def _pdus(stream: trio.SocketStream) -> AsyncGenerator[PDU, None]:
    """What comes, to the end of the stream."""
    buffer = b""
    while True:
        try:
            data = bytes(await stream.receive_some(65_536))
        except _BROKEN:
            return
        if not data:
            return
        frames, consumed = split_frames(buffer + data)
        buffer = (buffer + data)[consumed:]
        for frame in frames:
            yield decode(frame)


def submit(sequence_number: int, destination: str = "17770001111", text: str = "") -> SubmitSm:
    return SubmitSm(
        sequence_number=sequence_number,
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="12005550000",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=destination,
        short_message=f"{BODY} {text or sequence_number}".encode(),
    )


async def rss_mb(daemon: DaemonProcess) -> float:
    return (await daemon.metrics())["process_resident_memory_bytes"] / 1_048_576


@asynccontextmanager
async def beside_an_honest_session(
    folder: Path, new_port: Callable[[], int], seed: int, smsc: Smsc
) -> AsyncIterator[Scene]:
    """A daemon with bad accounts and a link to ``smsc``. At the end nothing of the honest session may be missing."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    tail = ACCOUNTS + LINK.format(port=port)
    async with (
        open_scene(folder, f"sqlite:///{folder / 'hub.db'}", new_port, seed, tail=tail) as scene,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(trio.serve_listeners, smsc.serve, listeners)
        honest = Honest(scene)
        nursery.start_soon(honest.run)
        await until(lambda: smsc.binds > 0 and honest.answered > 5, 60, "link and honest session are up")
        yield scene
        await honest.finish()
        never_logged(scene.daemon, (BODY, PASSWORD))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def bound(scene: Scene, system_id: str) -> AsyncIterator[Stranger]:
    """A session of an account, bound as soon as the hub lets it."""
    with trio.fail_after(60):
        while True:
            stranger, is_in = await Stranger.connect(scene.daemon.smpp_port), False
            try:
                is_in = not (await stranger.bind(system_id, PASSWORD)).command_status
            except EOFError:
                pass
            finally:  # a test that ends cancels whoever is still on the way in
                if not is_in:
                    await trio.aclose_forcefully(stranger.stream)
            if is_in:
                break
            await trio.sleep(0.1)
    try:
        yield stranger
    finally:
        await trio.aclose_forcefully(stranger.stream)


# --- what accounts do -------------------------------------------------------------------------------------------------


async def never_reads(scene: Scene) -> None:
    """Asks and asks, and reads none of the answers."""
    while True:
        stream = await trio.open_tcp_stream("127.0.0.1", scene.daemon.smpp_port)
        try:
            await stream.send_all(encode(bind_of("unread", PASSWORD)))
            number = 1
            while True:
                chunk = [EnquireLink(sequence_number=number + n) for n in range(500)]
                await stream.send_all(b"".join(encode(pdu) for pdu in chunk))
                number += 500
        except _BROKEN:
            pass
        finally:
            await trio.aclose_forcefully(stream)
        await trio.sleep(0.1)


async def never_answers(scene: Scene) -> None:
    """Reads what it is sent, and answers none of it."""
    while True:
        async with bound(scene, "silent") as stranger, aclosing(_pdus(stranger.stream)) as pdus:
            async for _ in pdus:
                pass
        await trio.sleep(0.1)


async def answers_twice(scene: Scene) -> None:
    """Answers everything twice, and what it was never asked."""
    while True:
        async with bound(scene, "twice") as stranger, aclosing(_pdus(stranger.stream)) as pdus:
            async for pdu in pdus:
                if isinstance(pdu, DeliverSm):
                    answer = DeliverSmResp(sequence_number=pdu.sequence_number)
                    await _write(stranger.stream, answer, answer, DeliverSmResp(sequence_number=0x7FFFFFF0))
                elif isinstance(pdu, EnquireLink):
                    await _write(stranger.stream, *[EnquireLinkResp(sequence_number=pdu.sequence_number)] * 2)
        await trio.sleep(0.1)


async def reuses_sequence_numbers(scene: Scene) -> None:
    """Gives all its requests one number."""
    texts = 0
    async with bound(scene, "again") as stranger:
        while True:
            await stranger.send(*(submit(7, text=f"again {texts + n}") for n in range(20)))
            texts += 20
            for _ in range(20):
                answer = await stranger.answer()
                assert isinstance(answer, SubmitSmResp)
                assert answer.sequence_number == 7
                assert answer.command_status in (S.ESME_ROK, S.ESME_RTHROTTLED)


def pouring(system_id: str) -> Callable[[Scene], Awaitable[None]]:
    """Sends as fast as it is answered, whatever it is answered."""

    async def pour(scene: Scene) -> None:
        number = 2
        async with bound(scene, system_id) as stranger:
            while True:
                await stranger.send(*(submit(number + n, text=f"{system_id} {number + n}") for n in range(50)))
                number += 50
                for _ in range(50):
                    answer = await stranger.answer()
                    assert answer.command_status in (S.ESME_ROK, S.ESME_RTHROTTLED)

    return pour


async def texts_for_them(scene: Scene) -> None:
    """An account that sends texts to the bad ones, so that these have something not to answer."""
    number = 2
    async with bound(scene, "source") as stranger:
        while True:
            for account in range(3):
                await stranger.send(submit(number, f"1888{account}{number % 100:06d}", f"for {account} {number}"))
                answer = await stranger.answer()
                assert answer.command_status in (S.ESME_ROK, S.ESME_RTHROTTLED)
                number += 1
            await trio.sleep(0.01)


async def test_accounts_that_behave_badly_cost_themselves_only(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], scale: int
) -> None:
    smsc = Smsc()
    async with beside_an_honest_session(tmp_path, unused_tcp_port_factory, 11, smsc) as scene:
        daemon = scene.daemon
        watch, before_mb, begun = await Watch.begin(daemon), await rss_mb(daemon), time.time()
        abuse = (
            never_reads,
            never_answers,
            answers_twice,
            reuses_sequence_numbers,
            pouring("fast"),
            pouring("daily"),
            texts_for_them,
        )
        async with trio.open_nursery() as abusers:
            for each in abuse:
                abusers.start_soon(each, scene)
            half_mb, end = 0.0, time.monotonic() + SECONDS * scale
            while time.monotonic() < end:
                await trio.sleep(0.25)
                daemon.check_alive()
                if not half_mb and time.monotonic() > end - SECONDS * scale / 2:
                    half_mb = await rss_mb(daemon)
            # Each is told of by a metric, while it goes on.
            await watch.counted("smshub_in_doubt_total", "account:silent")
            await watch.counted("smshub_peer_faults_total", "account:twice", 'fault="stray"')
            await watch.counted("smshub_accepted_total", "account:again")
            await watch.counted("smshub_peer_faults_total", "account:fast", "ESME_RTHROTTLED")
            await watch.counted("smshub_refused_total", "account:daily", 'reason="too-much"')
            await watch.counted("smshub_filtered_total", "account:daily", 'filter="daily-limit"')
            await watch.logged("texts kept back", endpoint="account:daily", filter="daily-limit")
            after_mb = await rss_mb(daemon)
            abusers.cancel_scope.cancel()
        assert after_mb - before_mb < GROWTH_MB, f"{before_mb:.0f} MB before, {after_mb:.0f} MB after"
        if scale >= 20:
            assert after_mb - half_mb < GROWTH_MB / 4, f"{half_mb:.0f} MB at half time, {after_mb:.0f} MB after"
        taken = (await daemon.metrics())['smshub_accepted_total{endpoint="account:daily"}']
        assert taken in [10 * days for days in range(1, 2 + int(time.time() // 86_400 - begun // 86_400))]
        lines = [line for line in daemon.log_lines() if line["event"] == "texts kept back"]
        minutes = 1 + (time.time() - begun) // 60
        assert len([line for line in lines if line["endpoint"] == "account:daily"]) <= 1 + minutes


async def test_a_link_that_flaps_every_second_hurts_no_other_and_loses_nothing(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], scale: int
) -> None:
    smsc = Smsc()
    async with beside_an_honest_session(tmp_path, unused_tcp_port_factory, 12, smsc) as scene:
        daemon = scene.daemon
        watch, before_mb = await Watch.begin(daemon), await rss_mb(daemon)
        async with bound(scene, "source") as sender:
            smsc.flap()  # the hub's own waits make about a second of it
            accepted, number, end = 0, 2, time.monotonic() + SECONDS * scale
            flaps = smsc.binds + 2
            with trio.fail_after(60 + SECONDS * scale):
                while time.monotonic() < end or smsc.binds < flaps:
                    await sender.send(submit(number, f"1777{number % 1000:07d}", f"flapping {number}"))
                    answer = await sender.answer()
                    assert answer.command_status == 0
                    accepted += 1
                    number += 1
                    await trio.sleep(0.01)
        await watch.counted("smshub_smpp_sessions_total", 'event="closed"', "link:sink", at_least=2)
        after_mb = await rss_mb(daemon)
        assert after_mb - before_mb < GROWTH_MB, f"{before_mb:.0f} MB before, {after_mb:.0f} MB after"
        smsc.lasts_s = None
        # Those whose five seconds had passed were given up; each other one came.
        given_up = 'smshub_dead_letters_total{endpoint="link:sink",reason="expired"}'
        with trio.fail_after(120):
            while True:
                metrics = await daemon.metrics()
                if smsc.texts + metrics.get(given_up, 0) >= accepted:
                    break
                await trio.sleep(0.1)
        handed_over = metrics['smshub_handed_over_total{endpoint="link:sink"}']
        assert handed_over + metrics.get(given_up, 0) <= accepted


async def test_a_storm_of_receipts_for_unknown_ids_takes_bounded_room(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], scale: int
) -> None:
    smsc, sent = Smsc(), 0

    def storm() -> list[PDU]:
        nonlocal sent
        sent += 100
        return [
            DeliverSm(
                sequence_number=number,
                source_addr="13005550000",
                destination_addr="12005550000",
                esm_class=0x04,
                short_message=f"id:{number:010x} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 "
                f"stat:DELIVRD err:000 text:".encode(),
            )
            for number in range(sent - 99, sent + 1)
        ]

    async with beside_an_honest_session(tmp_path, unused_tcp_port_factory, 13, smsc) as scene:
        daemon = scene.daemon
        watch, before_mb = await Watch.begin(daemon), await rss_mb(daemon)
        smsc.wanted = storm
        await trio.sleep(SECONDS * scale)
        smsc.wanted = list
        await until(lambda: smsc.unanswered <= 0, 60, "the storm's receipts are answered")
        assert set(smsc.answered) <= {S.ESME_ROK, S.ESME_RTHROTTLED}
        await watch.counted("smshub_receipts_parked_total", "link:sink", at_least=100)
        after_mb = await rss_mb(daemon)
        assert after_mb - before_mb < GROWTH_MB, f"{before_mb:.0f} MB before, {after_mb:.0f} MB after"
