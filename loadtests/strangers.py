"""Strangers and peers that do harm, for ``loadtests.floods``: a tool like the others of this folder; see ``wire``.

One process plays one flood or several at once, on loopback only, bounded in rate, number and time: what it takes of
the machine's cores is told at the end, since a flood that simply takes the cores away proves nothing.

Commands: ``flood`` (kind, per_s, seconds, and what the kind needs: port, what …) begins one, beside those that go on,
and answers at once; ``look`` tells what was done and heard so far; ``stop`` does so and ends them all; ``visit`` (port,
every_s) begins to bind, and part, again and again, as an honest ESME that was cut off does; ``listen`` (port) waits for
a hub's component, whose floods are of kind ``xml``.

Floods that come "from everywhere" come from addresses of 127.0.0.0/8, all of which are this machine.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from loadtests.channel import READ_OCTETS
from loadtests.wire import (
    BIND_TRANSCEIVER,
    ENQUIRE_LINK,
    HEADER,
    SUBMIT_SM,
    Command,
    Commands,
    quantile,
    serve_commands,
)

TICK_S = 0.01
ANSWER_S = 15.0  # longer than the hub lets anybody stay unbound
AT_ONCE = 600  # connections of one flood, far below a process's descriptors
DRIPS = 80  # dripping connections of one flood
BURST = 8_192  # octets after which a flooding session looks whether anybody reads
TLV_PRIVATE = 0x1400
MANY_TLVS = b"".join(struct.pack(">HH", TLV_PRIVATE + each % 999, 0) for each in range(16_000))
FAILURES = (OSError, EOFError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError)
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(189)  # the beginning of a TLS ClientHello


def everywhere() -> str:
    """Some address of this machine that is nobody's."""
    return f"127.{random.randint(1, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def frame(command_id: int, body: bytes, sequence: int = 1, length: int | None = None) -> bytes:
    """Any PDU."""
    return HEADER.pack(16 + len(body) if length is None else length, command_id, 0, sequence) + body


def bind_of(system_id: str, password: str) -> bytes:
    """A bind_transceiver."""
    return frame(BIND_TRANSCEIVER, f"{system_id}\0{password}\0\0".encode() + b"\x34\0\0\0")


def submit_of(sequence: int, tlvs: bytes = b"") -> bytes:
    """A submit_sm of a flooding account to a customer of its own."""
    destination = f"1777{sequence % 10_000_000:07d}".encode()
    body = b"\0\1\1" + b"12125550199\0\1\1" + destination + b"\0" + bytes(9) + b"\x05flood" + tlvs
    return frame(SUBMIT_SM, body, sequence)


class Line:
    """A connection that is read by pieces."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.write = stream.send_all
        self._rest = b""

    async def read(self) -> bytes:
        """What there is, one octet or more; none when the other side has closed."""
        rest, self._rest = self._rest, b""
        return rest or await self.stream.receive_some(READ_OCTETS)

    async def exactly(self, count: int) -> bytes:
        """So many octets. Raises: EOFError."""
        while len(self._rest) < count:
            await self._more()
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    async def until(self, mark: bytes) -> bytes:
        """All until some octets, with them. Raises: EOFError."""
        while mark not in self._rest:
            await self._more()
        found, mark, self._rest = self._rest.partition(mark)
        return found + mark

    async def _more(self) -> None:
        octets = await self.stream.receive_some(READ_OCTETS)
        if not octets:
            raise EOFError
        self._rest += octets

    async def reset(self) -> None:
        """End it by a reset: thousands of connections must not wait for their last minute in the kernel's tables."""
        with contextlib.suppress(OSError):
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self.stream)


class Strangers:
    """The tool.

    Args:
        nursery: its floods belong to it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.done: Counter[str] = Counter()
        self.waits: list[float] = []
        self._nursery = nursery
        self._floods: list[trio.CancelScope] = []
        self._going_on = 0
        self._all_over = trio.Event()
        self._begun = self._cpu = 0.0
        self._component: Line | None = None
        self._speaking = trio.Lock()  # floods and pongs are sent by different tasks
        self._address = ""  # of a flood that comes from one

    # --- commands ------------------------------------------------------------------------------------------------

    async def flood(self, command: Command) -> Command:
        """Begin a flood."""
        kinds: dict[str, Callable[[Command], Awaitable[None]]] = {
            "binds": self._binds,
            "half-open": self._half_open,
            "drip": self._drip,
            "churn": self._churn,
            "lengths": self._lengths,
            "session": self._session,
            "http": self._http,
            "http-crowd": self._http_crowd,
            "http-drip": self._http_drip,
            "xml": self._xml,
        }
        self._begin(partial(kinds[command["kind"]], command), command["seconds"])
        return {}

    async def visit(self, command: Command) -> Command:
        """Begin to bind again and again as an honest ESME."""
        self._begin(partial(self._visits, command), command["seconds"])
        return {}

    def _begin(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        if not self._floods:
            self.done, self.waits, self._address = Counter(), [], everywhere()
            self._begun, self._cpu = time.monotonic(), time.process_time()
            self._all_over = trio.Event()
        scope = trio.CancelScope(deadline=trio.current_time() + seconds)

        async def bounded() -> None:
            try:
                with scope:
                    await work()
            except Exception as error:  # told with what was done
                self.done[f"failed: {type(error).__name__}: {error}"] += 1
            self._going_on -= 1
            if not self._going_on:
                self._all_over.set()

        self._going_on += 1
        self._floods.append(scope)
        self._nursery.start_soon(bounded)

    async def look(self, _: Command) -> Command:
        """Tell what was done so far."""
        return {"done": dict(self.done)}

    async def stop(self, _: Command) -> Command:
        """End what goes on, and tell what was done."""
        for scope in self._floods:
            scope.cancel()
        if self._going_on:
            await self._all_over.wait()
        self._floods.clear()
        if self._component is not None:  # what it has not read yet would be a part of the next flood
            await self._component.reset()
        seconds = max(time.monotonic() - self._begun, 1e-9)
        waits = sorted(self.waits)
        return {
            "seconds": seconds,
            "done": dict(self.done),
            "cpu_share": (time.process_time() - self._cpu) / seconds,
            "p50_ms": quantile(waits, 0.5) * 1e3,
            "max_ms": (waits[-1] if waits else 0.0) * 1e3,
        }

    # --- pacing --------------------------------------------------------------------------------------------------

    async def _each(self, per_s: float, one: Callable[[], Awaitable[None]]) -> None:
        """Begin so many a second, at most ``AT_ONCE`` of them at a time; what is not begun in time is not made up."""
        begun, number = time.monotonic(), 0.0
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(TICK_S)
                now = time.monotonic()
                due = min((now - begun) * per_s - number, per_s * 4 * TICK_S + 1)
                for _ in range(min(int(due), AT_ONCE - len(nursery.child_tasks))):
                    nursery.start_soon(self._tried, one)
                    self.done["begun"] += 1
                number = (now - begun) * per_s - due % 1

    async def _tried(self, one: Callable[[], Awaitable[None]]) -> None:
        try:
            await one()
        except FAILURES as error:
            self.done[type(error).__name__] += 1

    @asynccontextmanager
    async def _connected(self, command: Command) -> AsyncIterator[Line]:
        source = everywhere() if command.get("everywhere") else command.get("source", self._address)
        line = Line(await trio.open_tcp_stream("127.0.0.1", command["port"], local_address=source))
        try:
            yield line
        finally:
            await line.reset()

    # --- strangers at the SMPP port ----------------------------------------------------------------------------------

    async def _binds(self, command: Command) -> None:
        """Binds with names and passwords as told; ``unknown`` makes up a name for each."""

        async def one() -> None:
            name = f"x{random.getrandbits(40):x}" if command.get("unknown") else command["system_id"]
            async with self._connected(command) as line:
                await line.write(bind_of(name, command["password"]))
                with trio.fail_after(ANSWER_S):
                    answer = await line.exactly(16)
                self.done[f"status {HEADER.unpack(answer)[2]:#x}"] += 1

        await self._each(command["per_s"], one)

    async def _half_open(self, command: Command) -> None:
        """Connect and say nothing, for as long as one is let."""

        async def one() -> None:
            async with self._connected(command) as line:
                with trio.fail_after(ANSWER_S):
                    await line.read()
                self.done["closed by the hub"] += 1

        await self._each(command["per_s"], one)

    async def _drip(self, command: Command) -> None:
        """An octet a second: of a bind, or of a TLS hello."""
        octets = HELLO if command.get("tls") else bind_of("dripping", "password")
        await self._dripping(command, lambda: (b"", octets))

    async def _dripping(self, command: Command, say: Callable[[], tuple[bytes, bytes]]) -> None:
        """Connections that come again and again. ``say``: what comes at once, and what comes an octet a second."""

        async def one() -> None:
            async with self._connected(command) as line, trio.open_nursery() as nursery:
                at_once, octets = say()

                async def drip() -> None:
                    with contextlib.suppress(trio.BrokenResourceError):
                        if at_once:
                            await line.write(at_once)
                        for octet in octets:
                            await line.write(bytes((octet,)))
                            await trio.sleep(1.0)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(drip)
                with contextlib.suppress(trio.BrokenResourceError):
                    await line.read()
                nursery.cancel_scope.cancel()
            self.done["closed by the hub"] += 1

        async def again_and_again() -> None:
            while True:
                await self._tried(one)
                await trio.sleep(0.2)

        async with trio.open_nursery() as nursery:
            for _ in range(DRIPS):
                nursery.start_soon(again_and_again)

    async def _churn(self, command: Command) -> None:
        """Connect and close."""

        async def one() -> None:
            async with self._connected(command):
                self.done["connected"] += 1

        await self._each(command["per_s"], one)

    async def _lengths(self, command: Command) -> None:
        """A PDU that says it is long: beyond any bound, or just within and then never whole."""

        async def one() -> None:
            async with self._connected(command) as line:
                with trio.fail_after(ANSWER_S):
                    if random.getrandbits(1):
                        await line.write(frame(BIND_TRANSCEIVER, b"x" * 40, length=0x7FFFFFFF))
                    else:
                        await line.write(frame(BIND_TRANSCEIVER, b"x" * 60_000, length=69_000))
                    await line.read()
                self.done["closed by the hub"] += 1

        await self._each(command["per_s"], one)

    # --- a bound account ---------------------------------------------------------------------------------------------

    async def _session(self, command: Command) -> None:
        """One bound session that pours PDUs of one kind, and reads what it is answered."""
        makes: dict[str, Callable[[int], bytes]] = {
            "enquire": lambda n: frame(ENQUIRE_LINK, b"", n),
            "submits": submit_of,
            "giant-tlvs": lambda n: submit_of(n, struct.pack(">HH", TLV_PRIVATE, 65_535) + bytes(65_535)),
            "many-tlvs": lambda n: submit_of(
                n, b"".join(struct.pack(">HH", TLV_PRIVATE + i % 999, 0) for i in range(16_000))
            ),
            "unknown": lambda n: frame(0x0F00, b"", n),
        }
        make, per_s = makes[command["what"]], command["per_s"]
        async with self._connected(command) as line:
            await line.write(bind_of(command["system_id"], command["password"]))
            with trio.fail_after(ANSWER_S):
                length, _, status, _ = HEADER.unpack(await line.exactly(16))
                if status:
                    raise RuntimeError(f"the bind of {command['system_id']} was refused with {status:#x}")
                await line.exactly(length - 16)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_answers, line)
                begun, number = time.monotonic(), 0
                batch = max(1, BURST // len(make(1)))
                ready = [make(n) for n in range(1, 3 * batch + 1)]  # made once: the flood must cost the hub, not us
                while True:
                    due = int((time.monotonic() - begun) * per_s) - number
                    if due < 1:
                        await trio.sleep(TICK_S)
                        continue
                    due = min(due, batch)
                    at = number % (2 * batch)
                    await line.write(b"".join(ready[at : at + due]))
                    number += due
                    self.done["sent"] += due

    async def _read_answers(self, line: Line) -> None:
        rest = b""
        while octets := await line.read():
            octets = rest + octets
            at = 0
            while len(octets) - at >= 16:
                length, _, status, _ = HEADER.unpack_from(octets, at)
                if len(octets) - at < length:
                    break
                self.done[f"status {status:#x}"] += 1
                at += length
            rest = octets[at:]
        self.done["closed by the hub"] += 1

    # --- an honest visitor -------------------------------------------------------------------------------------------

    async def _visits(self, command: Command) -> None:
        while True:
            begun = time.monotonic()
            self.done["asked"] += 1
            try:
                async with self._connected(command) as line:
                    await line.write(bind_of(command["system_id"], command["password"]))
                    with trio.fail_after(ANSWER_S):
                        answer = await line.exactly(16)
                    if HEADER.unpack(answer)[2] == 0:
                        self.done["bound"] += 1
                        self.waits.append(time.monotonic() - begun)
                    else:
                        self.done[f"status {HEADER.unpack(answer)[2]:#x}"] += 1
            except FAILURES as error:
                self.done[type(error).__name__] += 1
            await trio.sleep(command["every_s"])

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def _http(self, command: Command) -> None:
        """Requests on connections that are kept, ``AT_ONCE`` at most: path, headers and body as told."""
        body = b"x" * command.get("body", 0)
        head = f"{command.get('method', 'GET')} {command['path']} HTTP/1.1\r\nhost: hub\r\n{command.get('headers', '')}"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        connections = int(command.get("connections", 20))

        async def one() -> None:
            async with self._connected(command) as line:
                while True:
                    begun = time.monotonic()
                    with trio.fail_after(ANSWER_S):
                        await line.write(request)
                        answer = await line.until(b"\r\n\r\n")
                        found = re.search(rb"content-length: (\d+)", answer.lower())
                        await line.exactly(int(found[1]) if found else 0)
                    self.done[f"status {answer[9:12].decode()}"] += 1
                    await trio.sleep(max(0.0, connections / command["per_s"] - (time.monotonic() - begun)))

        async def again_and_again() -> None:
            while True:
                await self._tried(one)
                await trio.sleep(connections / command["per_s"])

        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(again_and_again)

    async def _http_crowd(self, command: Command) -> None:
        """Connections that ask once, or say nothing."""

        async def one() -> None:
            async with self._connected(command) as line:
                with trio.fail_after(ANSWER_S):
                    if random.getrandbits(1):
                        await line.write(f"GET {command['path']} HTTP/1.1\r\nhost: hub\r\n\r\n".encode())
                    await line.read()
                self.done["closed or answered by the hub"] += 1

        await self._each(command["per_s"], one)

    async def _http_drip(self, command: Command) -> None:
        """Heads, and bodies, that come an octet a second."""
        head = b"POST /v1/numbers HTTP/1.1\r\nhost: hub\r\ncontent-length: 500\r\n\r\n"
        await self._dripping(command, lambda: (head * random.getrandbits(1), b"GET /" + b"x" * 400))

    # --- a desk's server that went mad -------------------------------------------------------------------------------

    async def listen(self, command: Command) -> Command:
        """Wait for the hub's component. Between two floods it is left in peace."""
        (listener,) = await trio.open_tcp_listeners(command["port"], host="127.0.0.1")
        self._nursery.start_soon(trio.serve_listeners, self._serve_component, [listener])
        return {}

    async def _serve_component(self, stream: trio.SocketStream) -> None:
        line = Line(stream)
        try:
            await line.until(b"accept'")
            await line.until(b">")
            await line.write(
                b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                b"xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
            )
            await line.until(b"</handshake>")
            await line.write(b"<handshake/>")
            self._component, self._speaking = line, trio.Lock()
            while octets := await line.read():
                self.done["octets answered"] += len(octets)
                # Alive for the hub's pings, or it would go away by itself.
                pings = re.findall(rb"<iq from='([^']*)' to='([^']*)' id='([^']*)' type='get'>", octets)
                pongs = [b"<iq from='%s' to='%s' id='%s' type='result'/>" % (to, by, own) for by, to, own in pings]
                if pongs:
                    async with self._speaking:
                        await line.write(b"".join(pongs))
        except FAILURES:
            pass
        finally:
            self._component = None
            self.done["streams ended"] += 1
            await line.reset()

    async def _xml(self, command: Command) -> None:
        """Pour stanzas of one kind at whatever component is connected."""
        own, number = command["domain"], "+18002530001"
        bomb = (
            b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]><message>&b;</message>"
        )
        deep = b"<message to='%s@%s'>" % (number.encode(), own.encode()) + b"<a>" * 2000
        huge = b"<message to='x@%s'><body>" % own.encode() + b"x" * 500_000 + b"</body></message>"
        wide = b"<message to='x@%s'>" % own.encode() + b"<a b='c'/>" * 20_000 + b"</message>"
        iq = b"<iq type='get' from='mad@desk.example' to='x@%s' id='1'><q xmlns='urn:none'/></iq>" % own.encode()
        presence = b"<presence from='mad@desk.example/x' to='x@%s'/>" % own.encode()
        head = b"<message type='chat' from='mad@desk.example/x' to='+12025550111@%s' id='1'>" % own.encode()
        texts = head + b"<body>of no number</body></message>"
        kinds = {"bomb": bomb, "deep": deep, "huge": huge, "wide": wide, "iq": iq, "presence": presence, "texts": texts}
        one, per_s = kinds[command["what"]], command["per_s"]
        begun, number_sent = time.monotonic(), 0
        while True:
            component = self._component
            due = int((time.monotonic() - begun) * per_s) - number_sent
            if component is None or due < 1:
                if component is None:
                    number_sent += max(due, 0)  # what could not be sent is not made up
                await trio.sleep(TICK_S)
                continue
            due = min(due, max(1, BURST // len(one)))
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async with self._speaking:
                    await component.write(one * due)
            number_sent += due
            self.done["sent"] += due


def commands(nursery: trio.Nursery) -> Commands:
    """The tool's, by name."""
    tool = Strangers(nursery)
    return {"flood": tool.flood, "look": tool.look, "stop": tool.stop, "visit": tool.visit, "listen": tool.listen}


if __name__ == "__main__":
    trio.run(serve_commands, commands)
