"""An XMPP server that takes whatever a component sends. A tool of ``loadtests.bench``; see ``loadtests.wire``.

The accepting side of XEP-0114 without a parser: start tags are found by their first octets, which is enough for what
the hub writes. Every ping is answered at once, so every text is handed over as soon as it was read. Any secret will do.

Commands: ``listen`` (port), ``bound`` (within_s), ``expect`` (count, within_s), ``reset``.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from loadtests.wire import Command, Meter, serve_commands

_PING = re.compile(rb"<iq from='([^']*)' to='([^']*)' id='([^']*)' type='get'>")
_PRESENCE = re.compile(rb"<presence from='([^']*)' to='([^']*)'")
_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    b"xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
)


class Component(asyncio.Protocol):
    """The hub's stream."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        cut = data.rfind(b">") + 1  # a start tag is seen when it is whole
        self._rest = data[cut:]
        data = data[:cut]
        out: list[bytes] = []
        if not self._sink.bound.is_set():
            if b"<stream:stream" in data:
                out.append(_HEADER)
            if b"</handshake>" in data:
                out.append(b"<handshake/>")
                self._sink.bound.set()
        for sender, to in _PRESENCE.findall(data):
            out.append(b"<presence from='%s/bench' to='%s'/>" % (to, sender))
        for sender, to, own in _PING.findall(data):
            out.append(b"<iq from='%s' to='%s' id='%s' type='result'/>" % (to, sender, own))
        if out:
            self._transport.write(b"".join(out))
        count = data.count(b"<message ")
        if count:
            self._sink.meter.add(count)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.bound.clear()


class Sink:
    """The tool."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.bound = asyncio.Event()

    async def listen(self, command: Command) -> Command:
        server = await asyncio.get_running_loop().create_server(lambda: Component(self), "127.0.0.1", command["port"])
        return {"port": server.sockets[0].getsockname()[1]}

    async def wait_bound(self, command: Command) -> Command:
        await asyncio.wait_for(self.bound.wait(), command["within_s"])
        return {}

    async def reset(self, _: Command) -> Command:
        self.meter.reset()
        return {}


def main() -> None:
    async def run() -> None:
        sink = Sink()
        await serve_commands(
            {"listen": sink.listen, "bound": sink.wait_bound, "expect": sink.meter.expect, "reset": sink.reset}
        )

    asyncio.run(run())


if __name__ == "__main__":
    main()
