"""A carrier that takes whatever comes, and can send as well. A tool of ``loadtests.bench``; see ``loadtests.wire``.

Commands: ``listen`` (port; more than once for several links), ``slow`` (delay_s: answers come so late), ``receipts``
(on: answer texts that ask for it with receipts, at most ``window`` of them unanswered), ``bound`` (within_s, binds:
wait until the hub has so many binds here, one if not said), ``expect`` (count, within_s), ``reset``, ``load`` (see
``wire.load``; also text, destination, and among, numbers of ``wire.Template``: deliver_sm from customers), ``watch``
(from now on look at the order of texts that bear their running number), ``order`` (what was seen: see
``loadtests.order``).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import trio

from loadtests.channel import listen
from loadtests.order import Order
from loadtests.wire import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    HEADER,
    RESPONSE,
    SUBMIT_SM,
    Command,
    Commands,
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
        order = sink.order
        for request in requests:
            command_id, begin, end = request
            if command_id == SUBMIT_SM:
                taken += 1
                if order is not None:
                    order.note(data, begin)
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
                sink.came(self)
            else:
                out.append(self.answer(data, *request))
        if taken and sink.delay_s:
            self.channel.write_later(b"".join(out), sink.delay_s)
        else:
            self.channel.write(b"".join(out))
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
            self.channel.write(b"".join(frames))

    def lost(self) -> None:
        """See ``loadtests.channel``."""
        super().lost()
        self._sink.bound.discard(self)


class Sink:
    """The tool.

    Args:
        nursery: its sessions belong to it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.meter = Meter()
        self.order: Order | None = None
        self.bound: set[Hub] = set()
        self.bind: Hub | None = None
        self._somebody_came = trio.Event()
        self.last_id = 0
        self.receipt_window = 0
        self.delay_s = 0.0

    async def listen(self, command: Command) -> Command:
        return {"port": await listen(command["port"], lambda: Hub(self), self._nursery)}

    async def slow(self, command: Command) -> Command:
        self.delay_s = command["delay_s"]
        return {}

    async def receipts(self, command: Command) -> Command:
        self.receipt_window = command["window"] if command["on"] else 0
        return {}

    def came(self, hub: Hub) -> None:
        self.bind = hub
        self.bound.add(hub)
        self._somebody_came.set()

    async def wait_bound(self, command: Command) -> Command:
        with trio.fail_after(command["within_s"]):
            while len(self.bound) < command.get("binds", 1):
                self._somebody_came = trio.Event()
                await self._somebody_came.wait()
        return {"binds": len(self.bound)}

    async def watch(self, _: Command) -> Command:
        self.order = Order()
        return {}

    async def tell_order(self, _: Command) -> dict[str, Any]:
        return {} if self.order is None else self.order.found()

    async def reset(self, _: Command) -> Command:
        self.meter.reset()
        return {}

    async def load(self, command: Command) -> Command:
        if self.bind is None:
            raise SystemExit("the hub has not bound")
        text = b"x" * command.get("text", 100)
        more = {key: command[key] for key in ("among", "numbers") if key in command}
        return await load([self.bind], Template(DELIVER_SM, command["destination"], "source", text, **more), command)


def commands(nursery: trio.Nursery) -> Commands:
    """The tool's, by name."""
    sink = Sink(nursery)
    return {
        "listen": sink.listen,
        "slow": sink.slow,
        "receipts": sink.receipts,
        "bound": sink.wait_bound,
        "expect": sink.meter.expect,
        "reset": sink.reset,
        "load": sink.load,
        "watch": sink.watch,
        "order": sink.tell_order,
    }


if __name__ == "__main__":
    trio.run(serve_commands, commands)
