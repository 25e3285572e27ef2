"""Bad input on the SMPP port, at a real daemon, beside an honest session that must not notice.

Each input gets the protocol's own error, moves a counter, and is told in a line of the log without contents.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from smpp.constants import CommandStatus as S
from smpp.pdu import (
    BindTransceiverResp,
    CancelSm,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    QuerySm,
    ReplaceSm,
    SubmitSm,
    SubmitSmResp,
)
from tests.faults.process import ACCOUNT_PASSWORD
from tests.faults.scene import Scene, open_scene
from tests.faults.strangers import Honest, Stranger, Watch, bind_of, c_string, frame, never_logged, raw_bind

pytestmark = pytest.mark.slow

BODY = "B0DY-0F-A-STRANGER"
WRONG = "wr0ngpwd"
ACCOUNTS = """
[[account]]
system_id = "bad"
password = "badpass1"
allowed_sources = ["+1200*"]

[[account]]
system_id = "foreign"
password = "forpass1"
allowed_ips = ["10.1.2.0/24"]

[[account]]
system_id = "single"
password = "sinpass1"
max_binds = 1

[[account]]
system_id = "sender"
password = "senpass1"
bind_modes = ["tx"]
"""
PASSWORDS = (ACCOUNT_PASSWORD, WRONG, "badpass1", "forpass1", "sinpass1", "senpass1")


def _client_hello() -> bytes:
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(into, out, server_hostname="hub.example").do_handshake()
    return out.read()


_CHANCE = random.Random(20261122)
NOISE: dict[str, bytes] = {
    "random octets": _CHANCE.randbytes(4096),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "command_length 15": (15).to_bytes(4, "big") + bytes(11),
    "command_length of 2 GiB": (0x7FFFFFFF).to_bytes(4, "big") + bytes(12),
    "http": f"GET /{BODY} HTTP/1.1\r\nHost: hub\r\n\r\n".encode(),
    "http post": f"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n{BODY}".encode(),
    "tls": _client_hello(),
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "xml": b"<?xml version='1.0'?><stream:stream>",
}


async def _scene_of(scene: Scene, nursery: trio.Nursery) -> Honest:
    honest = Honest(scene)
    nursery.start_soon(honest.run)
    await trio.sleep(0.1)
    return honest


async def test_noise_is_closed_without_a_word(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    async with (
        open_scene(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 1) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        for name, octets in NOISE.items():
            watch = await Watch.begin(daemon)
            stranger = await Stranger.connect(daemon.smpp_port)
            await stranger.send(octets)
            assert await stranger.rest() == b"", name
            await stranger.close()
            await watch.counted("smshub_smpp_sessions_total", 'event="closed"', 'detail="protocol error"')
            await watch.logged("smpp closed", reason="protocol error", account="", system_id="")
        await honest.finish()
        never_logged(daemon, (BODY, "OpenSSH", *PASSWORDS))


async def test_what_ends_in_the_middle_or_comes_before_a_bind(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with (
        open_scene(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 2) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        whole = raw_bind("bad", "badpass1")
        for cut in (1, 4, 15, 16, len(whole) - 1):
            watch = await Watch.begin(daemon)
            stranger = await Stranger.connect(daemon.smpp_port)
            await stranger.send(whole[:cut])
            await stranger.stream.send_eof()
            assert await stranger.rest() == b""
            await stranger.close()
            await watch.counted("smshub_smpp_sessions_total", 'event="closed"', 'endpoint=""')
            await watch.logged("smpp closed", account="")
        watch = await Watch.begin(daemon)
        stranger = await Stranger.connect(daemon.smpp_port)
        await stranger.send(SubmitSm(sequence_number=7, short_message=BODY.encode()))
        answer = await stranger.answer()
        assert isinstance(answer, SubmitSmResp)
        assert (answer.command_status, answer.sequence_number) == (S.ESME_RINVBNDSTS, 7)
        await stranger.send(frame(0x00007777, b"", 8))
        answer = await stranger.answer()
        assert isinstance(answer, GenericNack)
        assert (answer.command_status, answer.sequence_number) == (S.ESME_RINVCMDID, 8)
        await stranger.send(frame(0x00000009, b"no end of a string", 9))
        answer = await stranger.answer()
        assert isinstance(answer, BindTransceiverResp)
        assert answer.command_status != 0
        await stranger.close()
        await watch.logged("smpp closed", account="", reason="closed by peer")
        await watch.counted("smshub_smpp_sessions_total", 'event="closed"', 'endpoint=""')
        await honest.finish()
        never_logged(daemon, (BODY, *PASSWORDS))


async def test_binds_that_are_refused(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    refusals: dict[str, tuple[bytes, int]] = {
        "wrong password": (raw_bind("bad", WRONG), S.ESME_RINVPASWD),
        "no password": (raw_bind("bad", ""), S.ESME_RINVPASWD),
        "nobody": (raw_bind("nobody", WRONG), S.ESME_RINVSYSID),
        "over-long name": (raw_bind("n" * 16, WRONG), S.ESME_RINVSYSID),
        "endless name": (raw_bind("n" * 60_000, WRONG), S.ESME_RINVSYSID),
        "over-long password": (raw_bind("bad", WRONG + "9"), S.ESME_RINVPASWD),
        "endless password": (raw_bind("bad", WRONG * 5000), S.ESME_RINVPASWD),
        "foreign address": (raw_bind("foreign", "forpass1"), S.ESME_RBINDFAIL),
        "as what it may not": (raw_bind("sender", "senpass1"), S.ESME_RBINDFAIL),
        "above its number": (raw_bind("single", "sinpass1"), S.ESME_RALYBND),
    }
    async with (
        open_scene(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 3, tail=ACCOUNTS) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        first = await Stranger.connect(daemon.smpp_port)
        answer = await first.bind("single", "sinpass1")
        assert isinstance(answer, BindTransceiverResp)
        assert answer.command_status == 0
        for name, (octets, status) in refusals.items():
            watch = await Watch.begin(daemon)
            stranger = await Stranger.connect(daemon.smpp_port)
            await stranger.send(octets)
            answer = await stranger.answer()
            assert isinstance(answer, BindTransceiverResp), name
            assert answer.command_status == status, (name, hex(answer.command_status))
            assert await stranger.rest() == b"", name
            await stranger.close()
            await watch.counted("smshub_smpp_sessions_total", 'event="bind_refused"', f'detail="{S(status).name}"')
            await watch.logged("smpp bind refused", status=S(status).name)
        await first.send(bind_of("single", "sinpass1", sequence_number=5))
        answer = await first.answer()
        assert isinstance(answer, BindTransceiverResp)
        assert answer.command_status == S.ESME_RALYBND  # bound already; its session goes on
        await first.send(EnquireLink(sequence_number=6))
        assert isinstance(await first.answer(), EnquireLinkResp)
        await first.close()
        await honest.finish()
        never_logged(daemon, (*PASSWORDS, "n" * 40))


def _submit(**fields: object) -> SubmitSm:
    values: dict[str, object] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "12005559999",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": "13005559999",
        "short_message": BODY.encode(),
    }
    return SubmitSm(sequence_number=77, **{**values, **fields})  # type: ignore[arg-type]


def _spelt(sm_length: int) -> bytes:
    head = b"\0\1\1" + c_string("12005559999") + b"\1\1" + c_string("13005559999")
    return frame(0x00000004, head + bytes(3) + b"\0\0" + bytes(4) + bytes((sm_length,)) + b"text", 77)


BAD_PDUS: dict[str, tuple[SubmitSm | bytes, int | None, str]] = {
    # name: octets, status, a piece of the metric's labels that moves
    "unknown command": (frame(0x00000F00, b"", 77), S.ESME_RINVCMDID, 'fault="unparsable"'),
    "a body that is missing": (frame(0x00000004, b"", 77), None, 'fault="'),
    "a string without an end": (frame(0x00000004, b"\0\1\1" + b"7" * 40, 77), None, 'fault="unparsable"'),
    "sm_length beyond the PDU": (_spelt(200), None, 'fault="unparsable"'),
    "no destination": (_submit(destination_addr=""), S.ESME_RINVDSTADR, 'reason="bad-destination"'),
    "letters for a destination": (_submit(destination_addr="NOT-A-NUMBER"), S.ESME_RINVDSTADR, "bad-destination"),
    "too many digits": (_submit(destination_addr="1" * 20), S.ESME_RINVDSTADR, 'reason="bad-destination"'),
    "no source": (_submit(source_addr=""), S.ESME_RINVSRCADR, 'fault="ESME_RINVSRCADR"'),
    "a source that is not its own": (_submit(source_addr="19995551234"), S.ESME_RINVSRCADR, "ESME_RINVSRCADR"),
    "a validity that is no time": (_submit(validity_period="NOT-A-TIME-AT-AL"), S.ESME_RINVEXPIRY, "ESME_RINVEXPIRY"),
    "a validity in the past": (_submit(validity_period="200101000000000+"), S.ESME_RINVEXPIRY, "ESME_RINVEXPIRY"),
    "a schedule that is no time": (_submit(schedule_delivery_time="261399000000000+"), S.ESME_RINVSCHED, "RINVSCHED"),
    "a header longer than its text": (
        _submit(esm_class=0x40, short_message=b"\xff" + BODY.encode()),
        S.ESME_RINVESMCLASS,
        'fault="ESME_RINVESMCLASS"',
    ),
    "a receipt without an id": (_submit(esm_class=0x08), S.ESME_RINVMSGID, 'fault="ESME_RINVMSGID"'),
}


async def test_bad_pdus_cost_themselves_only(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    async with (
        open_scene(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 4, tail=ACCOUNTS) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        stranger = await Stranger.connect(daemon.smpp_port)
        assert (await stranger.bind("bad", "badpass1")).command_status == 0
        for name, (octets, status, label) in BAD_PDUS.items():
            watch = await Watch.begin(daemon)
            await stranger.send(octets)
            answer = await stranger.answer()
            assert answer.sequence_number == 77, name
            assert isinstance(answer, GenericNack if name == "unknown command" else SubmitSmResp), name
            expected = answer.command_status == status if status is not None else answer.command_status != 0
            assert expected, (name, hex(answer.command_status))
            if "reason" in label or "bad-" in label:
                await watch.counted("smshub_refused_total", "account:bad", label)
                await watch.logged("arrivals refused", endpoint="account:bad")
            else:
                await watch.counted("smshub_peer_faults_total", "account:bad", label)
            if isinstance(octets, SubmitSm) and "fault" in label:
                await watch.logged("messages refused", endpoint="account:bad")
        for request, expected_status in (
            (QuerySm(sequence_number=78, message_id="1"), S.ESME_RINVMSGID),
            (CancelSm(sequence_number=79, message_id="1"), S.ESME_RINVMSGID),
            (ReplaceSm(sequence_number=80, message_id="1"), S.ESME_RINVMSGID),
        ):
            await stranger.send(request)
            answer = await stranger.answer()
            assert (answer.sequence_number, answer.command_status) == (request.sequence_number, expected_status)
        # It is still bound. Only a senseless length ends it.
        await stranger.send(EnquireLink(sequence_number=81))
        assert isinstance(await stranger.answer(), EnquireLinkResp)
        watch = await Watch.begin(daemon)
        await stranger.send(frame(0x00000004, b"", 82, command_length=0x00FFFFFF))
        answer = await stranger.answer()
        assert isinstance(answer, GenericNack)
        assert answer.command_status == S.ESME_RINVCMDLEN
        assert await stranger.rest() == b""
        await stranger.close()
        await watch.counted("smshub_smpp_sessions_total", 'event="closed"', "account:bad", "protocol error")
        await watch.logged("smpp closed", account="bad", reason="protocol error")
        await honest.finish()
        never_logged(daemon, (BODY, *PASSWORDS))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_texts_of_every_plane_travel_whole(
    database: str, tmp_path: Path, unused_tcp_port_factory: Callable[[], int], request: pytest.FixtureRequest
) -> None:
    """Characters of all 17 planes, halves of pairs, non-characters, NULs: taken, carried on, and no other text hurt."""
    seen: list[bytes] = []
    plain: list[bytes] = []
    sqlite = f"sqlite:///{tmp_path / 'hub.db'}"
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else sqlite
    async with (
        open_scene(tmp_path, url, unused_tcp_port_factory, 5, tail=ACCOUNTS) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        take = scene.carrier._text

        def noting(pdu: SubmitSm) -> list[bytes]:
            if not pdu.destination_addr.startswith("1300777"):
                return take(pdu)
            (seen if pdu.data_coding == 8 else plain).append(pdu.short_message)
            return [scene.carrier._answer(pdu, 0, "")]

        scene.carrier._text = noting  # type: ignore[method-assign,assignment]
        stranger = await Stranger.connect(daemon.smpp_port)
        assert (await stranger.bind("bad", "badpass1")).command_status == 0
        texts = [
            "".join(chr((plane << 16) + offset) for offset in (0x2603, 0x4E2D, 0xFFFE, 0xFFFF)) for plane in range(17)
        ]
        octets = [text.encode("utf-16-be") for text in texts]
        # Halves, halves turned round, an odd octet, NULs alone and within.
        octets += [b"\xd8\x3d", b"\xde\x00", b"\xde\x00\xd8\x3d", b"\x00\x41\x00"]
        octets += [b"\x00\x00", b"\x26\x03\x00\x00\x26\x03"]
        for number, each in enumerate(octets):
            await stranger.send(_submit(data_coding=8, short_message=each, destination_addr=f"1300777{number:04d}"))
            answer = await stranger.answer()
            assert answer.command_status == 0, (number, hex(answer.command_status))
        await stranger.close()
        await honest.finish()
        # In any order: each goes to another handset. What is broken may have been mended on its way.
        assert {each for each in octets[:17] if each not in seen} == set()
        assert len(seen) + len(plain) == len(octets)


async def test_half_open_and_dripping_connections_are_bounded(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Two hundred strangers that say nothing, or an octet now and then: bounded in number and in time."""
    limits = "max_unbound = 40\nsession_init_s = 2"
    async with (
        open_scene(
            tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", unused_tcp_port_factory, 6, smpp=limits, tail=ACCOUNTS
        ) as scene,
        trio.open_nursery() as nursery,
    ):
        honest, daemon = await _scene_of(scene, nursery), scene.daemon
        watch = await Watch.begin(daemon)
        begun = trio.current_time()
        ends: list[float] = []

        async def linger(number: int) -> None:
            stranger = await Stranger.connect(daemon.smpp_port)
            async with trio.open_nursery() as own:

                async def drip() -> None:
                    for octet in raw_bind("bad", "badpass1"):
                        await stranger.send(bytes((octet,)))
                        await trio.sleep(0.2)

                if number % 2:
                    own.start_soon(drip)
                assert await stranger.rest() == b""
                own.cancel_scope.cancel()
            ends.append(trio.current_time() - begun)
            await stranger.close()

        async with trio.open_nursery() as flood:
            for number in range(200):
                flood.start_soon(linger, number)
        assert len(ends) == 200
        assert max(ends) < 2 + 1 + 3, "session_init_s, a second of lingering, and what a busy machine takes"
        assert sorted(ends)[-30] > 1.5, "those that were taken in had their time"
        await watch.counted("smshub_smpp_sessions_total", 'event="turned_away"', at_least=150)
        await watch.counted("smshub_smpp_sessions_total", 'event="closed"', 'detail="no bind in time"', at_least=30)
        await watch.logged("smpp connection turned away")
        await watch.logged("smpp closed", reason="no bind in time")
        late = await Stranger.connect(daemon.smpp_port)
        assert (await late.bind("bad", "badpass1")).command_status == 0
        await late.close()
        await honest.finish()
        never_logged(daemon, PASSWORDS)
