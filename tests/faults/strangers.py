"""What the tests of bad input share: an honest session to watch, raw connections, and what was counted and logged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import trio

from smpp.codec import decode, encode, split_frames
from smpp.pdu import PDU, BindReceiver, BindTransceiver, BindTransmitter
from tests.faults.process import DaemonProcess, until
from tests.faults.scene import Scene
from tests.faults.texts import Sent, name_of

BEAT_S = 0.02
PATIENCE_S = 10.0  # the longest that an honest session may wait, on a machine that has much else to do
ANSWER_S = 60.0
ENOUGH = 20


class Honest:
    """The ESME of a scene, sending a text every few milliseconds and watching how long each answer takes."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._running = True
        self.longest_s = 0.0
        self.sent = self.answered = 0

    async def run(self) -> None:
        """Send until told to stop."""
        scene, number = self._scene, 0
        while self._running:
            text = Sent(name=name_of("A", number % 20, number // 20), wants_receipt=number % 3 == 0)
            scene.load.sent[text.name] = text
            pdu, settle = scene.esme.text(text, "+12005550000", f"+1300555{number % 20:04d}")
            begun = time.monotonic()

            def answered(status: int, response: PDU, *, settle: object = settle, begun: float = begun) -> None:
                settle(status, response)  # type: ignore[operator]
                self.answered += 1
                self.longest_s = max(self.longest_s, time.monotonic() - begun)

            await scene.esme.ask([(pdu, answered)])
            number = self.sent = number + 1
            await trio.sleep(BEAT_S)

    async def finish(self) -> None:
        """Stop, drain, end the daemon, and see that nothing was lost, refused, or late."""
        scene = self._scene
        await until(lambda: self.answered > ENOUGH, ANSWER_S, "the honest session is served")
        self._running = False
        await scene.drain()
        await scene.stop()
        violations, _ = scene.account()
        assert not violations, "\n".join(violations[:50])
        assert scene.esme.refused == []
        assert self.answered == self.sent, "the honest session was cut"
        assert self.longest_s < PATIENCE_S


class Stranger:
    """A connection to the SMPP port that says what a test wants."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""
        self._frames: list[bytes] = []

    @classmethod
    async def connect(cls, port: int) -> Stranger:
        """Connect."""
        return cls(await trio.open_tcp_stream("127.0.0.1", port))

    async def bind(self, system_id: str, password: str, **fields: object) -> PDU:
        """Bind. Returns: the answer."""
        await self.send(bind_of(system_id, password, **fields))
        return await self.answer()

    async def send(self, *things: PDU | bytes) -> None:
        """Send PDUs and octets. Whoever hangs up in the middle of it has heard enough."""
        octets = b"".join(thing if isinstance(thing, bytes) else encode(thing) for thing in things)
        try:
            await self.stream.send_all(octets)
        except trio.BrokenResourceError:
            return

    async def answer(self) -> PDU:
        """The next PDU. Raises: EOFError at the end."""
        with trio.fail_after(ANSWER_S):
            while not self._frames:
                data = await self._receive()
                if not data:
                    raise EOFError
                self._frames, consumed = split_frames(self._buffer + data)
                self._buffer = (self._buffer + data)[consumed:]
        return decode(self._frames.pop(0))

    async def rest(self) -> bytes:
        """All octets until the other side closes."""
        octets = self._buffer
        with trio.fail_after(ANSWER_S):
            while data := await self._receive():
                octets += data
        return octets

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(65_536))
        except trio.BrokenResourceError:
            return b""

    async def close(self) -> None:
        """Hang up."""
        await self.stream.aclose()


class Watch:
    """What a daemon counts and logs from now on."""

    def __init__(self, daemon: DaemonProcess, before: dict[str, float]) -> None:
        self._daemon = daemon
        self._before = before
        self._start = daemon.log_size()

    @classmethod
    async def begin(cls, daemon: DaemonProcess) -> Watch:
        """Begin to watch."""
        return cls(daemon, await daemon.metrics())

    async def counted(self, name: str, *labels: str, at_least: float = 1) -> None:
        """A counter moves, now or soon. ``labels`` are pieces of its line: ``'event="closed"'``."""
        moved: dict[str, float] = {}
        with trio.move_on_after(ANSWER_S):
            while True:
                now = await self._daemon.metrics()
                moved = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
                found = [k for k in moved if k.startswith(name) and all(label in k for label in labels)]
                if sum(moved[key] for key in found) >= at_least:
                    return
                await trio.sleep(0.05)
        changes = {key: value for key, value in moved.items() if value and key.startswith("smshub")}
        raise AssertionError(f"{name} {labels} did not move by {at_least}; what moved: {changes}")

    async def logged(self, event: str, at_least: int = 1, **fields: object) -> None:
        """A line of this event is logged, now or soon, with these fields."""
        with trio.move_on_after(ANSWER_S):
            while True:
                lines = list(self._daemon.log_lines(self._start))
                found = [line for line in lines if line["event"] == event and fields.items() <= line.items()]
                if len(found) >= at_least:
                    return
                await trio.sleep(0.05)
        raise AssertionError(f"no {at_least} of {event} {fields} in: {json.dumps(lines)[-3000:]}")


def never_logged(daemon: DaemonProcess, contents: Sequence[str]) -> None:
    """None of these stands anywhere in the log."""
    log = daemon.log_path.read_text(errors="replace")
    assert [content for content in contents if content in log] == []


def bind_of(system_id: str, password: str, *, mode: str = "trx", **fields: object) -> PDU:
    """A bind."""
    kinds: dict[str, Callable[..., PDU]] = {"trx": BindTransceiver, "tx": BindTransmitter, "rx": BindReceiver}
    values: dict[str, object] = {"sequence_number": 1, "system_type": "", "interface_version": 0x34, **fields}
    return kinds[mode](system_id=system_id, password=password, **values)


def c_string(text: str) -> bytes:
    """A C-octet string of any length, as the codec would not write it."""
    return text.encode() + b"\0"


def raw_bind(system_id: str, password: str) -> bytes:
    """A bind_transceiver whose fields may break the standard's bounds."""
    body = c_string(system_id) + c_string(password) + c_string("") + bytes((0x34, 0, 0)) + c_string("")
    return frame(0x00000009, body, 1)


def frame(command_id: int, body: bytes, sequence_number: int, command_length: int | None = None) -> bytes:
    """Any frame."""
    length = 16 + len(body) if command_length is None else command_length
    return b"".join(number.to_bytes(4, "big") for number in (length, command_id, 0, sequence_number)) + body
