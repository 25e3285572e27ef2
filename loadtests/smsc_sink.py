"""A carrier that takes whatever comes, and can send as well. A tool of ``loadtests.bench``; see ``loadtests.wire``.

Commands: ``listen`` (port; more than once for several links), ``slow`` (delay_s: answers come so late), ``receipts``
(on: answer texts that ask for it with receipts, at most ``window`` of them unanswered), ``bound`` (within_s: wait for
the hub's bind), ``expect`` (count, within_s), ``reset``, ``load`` (see ``wire.load``; also text, destination:
deliver_sm from distinct customers to one number).
"""

from __future__ import annotations

import asyncio
from collections import deque

from loadtests.wire import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    HEADER,
    RESPONSE,
    SUBMIT_SM,
    Command,
    Meter,
    Peer,
    Template,
    load,
    receipts_of,
    serve_commands,
)


class Hub(Peer):
    """The hub's session."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._owed: deque[tuple[bytes, bytes]] = deque()  # frames whose receipts wait for room, and their ids
        self._receipts_out = 0

    def take(self, data: bytes, requests: list[tuple[int, int, int]]) -> None:
        out: list[bytes] = []
        taken = 0
        sink = self._sink
        for request in requests:
            command_id, begin, end = request
            if command_id == SUBMIT_SM:
                taken += 1
                sink.last_id += 1
                message_id = b"%08x" % sink.last_id
                out.append(
                    HEADER.pack(25, RESPONSE | SUBMIT_SM, 0, int.from_bytes(data[begin + 12 : begin + 16], "big"))
                )
                out.append(message_id + b"\0")
                if sink.receipt_window:
                    self._owed.append((data[begin:end], message_id))
            elif command_id == BIND_TRANSCEIVER:
                out.append(
                    HEADER.pack(
                        21, RESPONSE | BIND_TRANSCEIVER, 0, int.from_bytes(data[begin + 12 : begin + 16], "big")
                    )
                )
                out.append(b"sink\0")
                sink.bind = self
                sink.bound.set()
            else:
                out.append(self.answer(data, *request))
        if taken and sink.delay_s:
            asyncio.get_running_loop().call_later(sink.delay_s, self.transport.write, b"".join(out))
        else:
            self.transport.write(b"".join(out))
        if taken:
            sink.meter.add(taken)
        self.fill()

    def fill(self) -> None:
        super().fill()
        room = min(self._sink.receipt_window - len(self._sent_at), len(self._owed))
        if room > 0 and not self._left:
            owed = [self._owed.popleft() for _ in range(room)]
            frames = receipts_of([frame for frame, _ in owed], [own for _, own in owed], self._sequence)
            self._sent_at.update(dict.fromkeys(range(self._sequence, self._sequence + room), 0.0))
            self._sequence += room
            self.transport.write(b"".join(frames))


class Sink:
    """The tool."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.bound = asyncio.Event()
        self.bind: Hub | None = None
        self.last_id = 0
        self.receipt_window = 0
        self.delay_s = 0.0

    async def listen(self, command: Command) -> Command:
        server = await asyncio.get_running_loop().create_server(lambda: Hub(self), "127.0.0.1", command["port"])
        return {"port": server.sockets[0].getsockname()[1]}

    async def slow(self, command: Command) -> Command:
        self.delay_s = command["delay_s"]
        return {}

    async def receipts(self, command: Command) -> Command:
        self.receipt_window = command["window"] if command["on"] else 0
        return {}

    async def wait_bound(self, command: Command) -> Command:
        await asyncio.wait_for(self.bound.wait(), command["within_s"])
        return {}

    async def reset(self, _: Command) -> Command:
        self.meter.reset()
        return {}

    async def load(self, command: Command) -> Command:
        if self.bind is None:
            raise SystemExit("the hub has not bound")
        text = b"x" * command.get("text", 100)
        return await load([self.bind], Template(DELIVER_SM, command["destination"], "source", text), command)


def main() -> None:
    async def run() -> None:
        sink = Sink()
        await serve_commands(
            {
                "listen": sink.listen,
                "slow": sink.slow,
                "receipts": sink.receipts,
                "bound": sink.wait_bound,
                "expect": sink.meter.expect,
                "reset": sink.reset,
                "load": sink.load,
            }
        )

    asyncio.run(run())


if __name__ == "__main__":
    main()
