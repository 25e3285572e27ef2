"""Load on an account: an ESME with any number of binds. A tool of ``loadtests.bench``; see ``loadtests.wire``.

Commands: ``bind`` (port, binds, system_id, password), ``load`` (see ``wire.load``; also text, receipts, and spread,
apart, lanes of ``wire.Template``), ``receipts`` (count, within_s: wait until so many receipts came back), ``reset``.
"""

from __future__ import annotations

import time

import trio

from loadtests.channel import connect
from loadtests.wire import SUBMIT_SM, Command, Commands, Meter, Peer, Template, load, serve_commands

HUNT_NUMBER = "12125550100"  # who the texts are from
BIND_PATIENCE_S = 60.0


class Bind(Peer):
    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def take(self, data: bytes, requests: list[tuple[int, int, int]]) -> None:
        super().take(data, requests)
        self._meter.add(len([1 for command_id, _, _ in requests if command_id == 0x05]))


class Esme:
    """The tool.

    Args:
        nursery: its binds belong to it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.meter = Meter()
        self.peers: list[Bind] = []

    async def bind(self, command: Command) -> Command:
        """Bind; a port that nobody listens on yet is knocked at until it opens."""
        give_up_at = time.monotonic() + BIND_PATIENCE_S
        self.peers = []
        while len(self.peers) < command["binds"]:
            peer = Bind(self.meter)
            try:
                await connect(command["port"], peer, self._nursery)
            except OSError:
                if time.monotonic() > give_up_at:
                    raise
                await trio.sleep(0.05)
                continue
            peer.bind(command["system_id"], command["password"])
            await peer.bound.wait()
            if peer.is_over or peer.statuses.pop(-1, None) != 0:
                raise SystemExit("the bind was refused")
            self.peers.append(peer)
        return {"binds": len(self.peers)}

    async def load(self, command: Command) -> Command:
        text = b"x" * command.get("text", 100)
        receipts = int(command.get("receipts", False))
        more = {key: command[key] for key in ("spread", "apart", "lanes") if key in command}
        if "lanes" in command:  # the texts of a lane go over one bind: between binds there is no order to be kept
            binds = len(self.peers)
            if command["count"] % binds or command["lanes"] % binds:
                raise SystemExit(
                    f"{command['count']} texts of {command['lanes']} lanes cannot be dealt to {binds} binds"
                )
            more |= {"lanes": command["lanes"] // binds, "share": command["count"] // binds}
        template = Template(SUBMIT_SM, HUNT_NUMBER, "destination", text, receipts, **more)
        return await load(list(self.peers), template, command)

    async def reset(self, _: Command) -> Command:
        self.meter.reset()
        return {}


def commands(nursery: trio.Nursery) -> Commands:
    """The tool's, by name."""
    esme = Esme(nursery)
    return {"bind": esme.bind, "load": esme.load, "receipts": esme.meter.expect, "reset": esme.reset}


if __name__ == "__main__":
    trio.run(serve_commands, commands)
