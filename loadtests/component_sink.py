"""An XMPP server that takes whatever a component sends. A tool of ``loadtests.bench``; see ``loadtests.wire``.

The accepting side of XEP-0114 without a parser: start tags are found by their first octets, which is enough for what
the hub writes. Every ping is answered at once, so every text is handed over as soon as it was read. Any secret will do.

Commands: ``listen`` (port), ``bound`` (within_s), ``expect`` (count, within_s), ``reset``.
"""

from __future__ import annotations

import re

import trio

from loadtests.channel import Channel, listen
from loadtests.wire import Command, Commands, Meter, serve_commands

_PING = re.compile(rb"<iq from='([^']*)' to='([^']*)' id='([^']*)' type='get'>")
_PRESENCE = re.compile(rb"<presence from='([^']*)' to='([^']*)'")
_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    b"xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
)


class Component:
    """The hub's stream."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._channel: Channel

    def connected(self, channel: Channel) -> None:
        """See ``loadtests.channel``."""
        self._channel = channel

    def received(self, data: bytes) -> None:
        """See ``loadtests.channel``."""
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
            self._channel.write(b"".join(out))
        count = data.count(b"<message ")
        if count:
            self._sink.meter.add(count)

    def lost(self) -> None:
        """See ``loadtests.channel``."""
        self._sink.bound = trio.Event()


class Sink:
    """The tool.

    Args:
        nursery: its streams belong to it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.meter = Meter()
        self.bound = trio.Event()

    async def listen(self, command: Command) -> Command:
        return {"port": await listen(command["port"], lambda: Component(self), self._nursery)}

    async def wait_bound(self, command: Command) -> Command:
        with trio.fail_after(command["within_s"]):
            await self.bound.wait()
        return {}

    async def reset(self, _: Command) -> Command:
        self.meter.reset()
        return {}


def commands(nursery: trio.Nursery) -> Commands:
    """The tool's, by name."""
    sink = Sink(nursery)
    return {"listen": sink.listen, "bound": sink.wait_bound, "expect": sink.meter.expect, "reset": sink.reset}


if __name__ == "__main__":
    trio.run(serve_commands, commands)
