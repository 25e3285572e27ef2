"""A block of numbers, from its letter to a real name server and out again, by the publisher that the daemon runs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import trio

from provisioning import Block, CallCentre, CarrierDirectory, Loa, built, catalog, load_directory, publication
from provisioning.publisher import Publisher
from store import Transaction, create_all, open_store
from tests.fixtures_bind import SECRETS, ZONE, NameServer

SIZE = 250
PATIENCE_S = 120.0  # for what takes a second


def now_us() -> int:
    return time.time_ns() // 1000


def dig(server: NameServer, name: str, kind: str) -> str:
    command = ["dig", "@127.0.0.1", "-p", str(server.port), "+short", "+tcp", "+time=30", f"{name}.{ZONE}", kind]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


async def test_a_block_goes_into_the_zone_and_out_again(bind: NameServer, tmp_path: Path) -> None:
    """H5, H9."""
    entries = (
        built(CallCentre, name="a"),
        built(
            Loa,
            name="l1",
            call_centre="a",
            owner="O",
            designee="D",
            contact="C",
            numbers=["+12125550000-+12125559999"],
            valid_from="2020-01-01",
            signed_by="x",
            signed_on="2020-01-01",
            digest="sha256:" + "0" * 64,
        ),
        built(Block, first="+12125550000", last=f"+12125550{SIZE - 1}", call_centre="a", element="SPID:6006"),
        built(
            CarrierDirectory,
            name="carriers",
            adapter="enum",
            server="127.0.0.1",
            port=bind.port,
            zone=ZONE,
            tsig_name="hub-key",
            tsig_secret_env="ENUM_SECRET",
            gateway="gw.example.net",
            batch=100,
            timeout_s=60,
        ),
    )
    async with open_store(f"sqlite:///{tmp_path}/hub.db", synchronous="OFF") as store, trio.open_nursery() as nursery:
        await store.transact(create_all)
        await store.transact(lambda tx: catalog.apply(tx, entries, who="t", now_us=now_us()))
        snapshot = await store.read(load_directory)
        environ = {"ENUM_SECRET": SECRETS["hub-key"]}
        publisher = Publisher(store, lambda: snapshot, environ, now_us, poll_s=0.05)
        nursery.start_soon(publisher.run)

        async def until(state: str) -> None:
            def stand(tx: Transaction) -> dict[str, int]:
                return {row.state: row.count for row in publication.status(tx)}

            with trio.fail_after(PATIENCE_S):
                while await store.read(stand) != {state: SIZE}:  # noqa: ASYNC110 - nothing tells of it
                    await trio.sleep(0.05)

        wanted = {"directories": ["carriers"], "spans": None, "call_centre": "a", "who": "t"}
        await store.transact(lambda tx: publication.publish(tx, **wanted, now_us=now_us()))  # type: ignore[arg-type]
        await until("active")
        told = await trio.to_thread.run_sync(dig, bind, "0.0.0.0.5.5.5.2.1.2.1", "NAPTR")
        assert "tel:+12125550000;spn=6006" in told
        owner = await trio.to_thread.run_sync(dig, bind, "9.4.2.0.5.5.5.2.1.2.1", "TXT")
        assert owner == '"v=smshub1" "owner=hub-key" "call-centre=a"\n'
        await store.transact(lambda tx: publication.withdraw(tx, **wanted, now_us=now_us()))  # type: ignore[arg-type]
        await until("withdrawn")
        assert await trio.to_thread.run_sync(dig, bind, "0.0.0.0.5.5.5.2.1.2.1", "NAPTR") == ""
        nursery.cancel_scope.cancel()
