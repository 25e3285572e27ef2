"""Desks of a running daemon change against a real Prosody: what did not change keeps its connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from ops.config import load_config
from ops.daemon import Daemon, open_daemon
from provisioning import Desk, Number, catalog
from smpp.constants import CommandStatus as S
from smpp.pdu import SubmitSm, SubmitSmResp
from tests.fixtures_prosody import SECRET, Csr, Prosody
from tests.integration.esmes import Peer, until

from .conftest import hear

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = {smpp}
[metrics]
port = 0
[[call_centre]]
name = "acme"
[[number]]
number = "+18005550100"
call_centre = "acme"
[[desk]]
name = "acme"
call_centre = "acme"
domain = "sms.localhost"
port = {component}
secret = "{secret}"
director = "{director}@localhost"
[[account]]
system_id = "agg"
password = "rightpwd"
allowed_sources = ["*"]
"""
OTHER = """
[[call_centre]]
name = "other"
[[number]]
number = "+18005550200"
call_centre = "other"
[[desk]]
name = "other"
call_centre = "other"
domain = "other.localhost"
port = {component}
secret_file = "other-secret"
director = "bob@localhost"
"""


async def test_desks_come_change_and_go(
    tmp_path: Path,
    prosody: Prosody,
    log_in: Callable[[Prosody, str], Csr],
    unused_tcp_port: int,
) -> None:
    path, secret = tmp_path / "smshub.toml", tmp_path / "other-secret"
    facts = {"smpp": unused_tcp_port, "component": prosody.component_port, "secret": SECRET}
    path.write_text(CONFIGURATION.format(director="director", **facts))
    people = {name: await trio.to_thread.run_sync(log_in, prosody, name) for name in ("director", "alice", "bob")}
    sequence = iter(range(10, 100))

    async def text(peer: Peer, number: str, body: str) -> None:
        await peer.send(
            SubmitSm(
                sequence_number=next(sequence),
                source_addr_ton=1,
                source_addr_npi=1,
                source_addr="12025551212",
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=number,
                short_message=body.encode(),
            )
        )
        answer = await peer.next()
        assert isinstance(answer, SubmitSmResp)
        assert answer.command_status == S.ESME_ROK

    async def reloaded(daemon: Daemon) -> dict[str, str]:
        answer = await daemon.reload("test")
        assert answer.state == "done", answer.errors
        return {change.endpoint: change.how.value for change in answer.endpoints}

    async with open_daemon(load_config(path)) as daemon, await Peer.connect(unused_tcp_port) as peer:
        assert await peer.bind() == S.ESME_ROK
        acme = daemon.desks["acme"]
        await until(lambda: acme.statistics().connected)
        await text(peer, "18005550100", "for the director")
        assert (await hear(people["director"], "message"))["body"] == "for the director"

        # Another director: who texts now is heard by her, by the same connection.
        secret.write_text(SECRET)
        path.write_text(CONFIGURATION.format(director="alice", **facts) + OTHER.format(**facts))
        assert await reloaded(daemon) == {"desk:acme": "changed", "desk:other": "added"}
        await text(peer, "18005550100", "for alice")
        assert (await hear(people["alice"], "message"))["body"] == "for alice"
        assert acme.statistics().connections == 1

        # The new desk has texts at once.
        await text(peer, "18005550200", "for bob")
        assert (await hear(people["bob"], "message"))["body"] == "for bob"

        # Its secret changes, in its file: only it is connected anew. What waits meanwhile is not lost.
        other = daemon.desks["other"]
        secret.write_text("wrong")
        assert await reloaded(daemon) == {"desk:other": "restarted"}
        await text(peer, "18005550200", "waits")
        secret.write_text(SECRET)
        assert await reloaded(daemon) == {"desk:other": "restarted"}
        assert (await hear(people["bob"], "message"))["body"] == "waits"
        assert daemon.desks["other"] is other
        assert other.statistics().connections == 2

        # It goes, and the texts that it got no answer for stay with it.
        await daemon.store.transact(lambda tx: catalog.remove(tx, Number, "+18005550200", who="test", now_us=1))
        await daemon.store.transact(lambda tx: catalog.remove(tx, Desk, "other", who="test", now_us=1))
        await until(lambda: "desk:other" not in daemon.hub.statistics())
        assert not other.statistics().connected
        assert set(daemon.desks) == {"acme"}
        assert acme.statistics().connections == 1
