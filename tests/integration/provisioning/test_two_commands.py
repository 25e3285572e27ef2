"""Two commands at once, in two processes, on one database: neither undoes what the other did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import CliRunner

from ops.cli_provision import provision
from provisioning import (
    BadValue,
    CallCentre,
    CarrierDirectory,
    Loa,
    Number,
    StillInUse,
    built,
    catalog,
    publication,
)
from provisioning.letters import add_letter
from provisioning.loa_documents import read_document
from store import Store, Transaction, open_store

NOW = {"who": "t", "now_us": 1_767_225_600_000_000}
HEAD_START_S = 1.0  # for the second command, while the first has read: too short only lets a fault pass


class Between:
    """Stands between what the first command reads and what it writes, and lets the second one go there."""

    def __init__(self) -> None:
        self.has_read = threading.Event()
        self.second_is_done = threading.Event()

    def wait(self) -> None:
        self.has_read.set()
        self.second_is_done.wait(HEAD_START_S)

    async def second(self, store: Store, work: Callable[[Transaction], Any]) -> None:
        try:
            await trio.to_thread.run_sync(self.has_read.wait, 60)
            await store.transact(work)
        finally:
            self.second_is_done.set()


async def test_two_settings_of_one_entry_are_both_changed(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(f'[store]\nurl = "{store_url}"\n')
    between, get = Between(), catalog.get

    async def command(*words: str) -> None:
        given = [*words, "--config", str(file)]
        done = await trio.to_thread.run_sync(lambda: CliRunner().invoke(provision, given))
        assert done.exit_code == 0, done.output

    def get_and_wait(tx: Transaction, kind: Any, key: str) -> Any:
        found = get(tx, kind, key)
        between.wait()
        return found

    def set_title(tx: Transaction) -> None:
        catalog.hold(tx)
        catalog.update(tx, msgspec.structs.replace(get(tx, CallCentre, "a"), title="Acme"), **NOW)

    await command("call-centre", "add", "a")
    monkeypatch.setattr(catalog, "get", get_and_wait)
    async with open_store(store_url, node=1) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(between.second, store, set_title)
            await command("call-centre", "set", "a", "--idle-s", "60")
        now = await store.read(lambda tx: get(tx, CallCentre, "a"))
    assert (now.title, now.idle_s) == ("Acme", 60)


async def test_a_directory_is_not_removed_under_a_wish(store: Store, store_url: str) -> None:
    """Its rows would be nobody's: no publisher would see them, and no command could name them."""
    directory = built(CarrierDirectory, name="d", adapter="file", drop_directory="/nowhere")
    letter = built(
        Loa,
        name="l",
        call_centre="a",
        owner="O",
        designee="D",
        contact="C",
        numbers=["+16175550100"],
        valid_from="2020-01-01",
        signed_by="x",
        signed_on="2020-01-01",
        digest="sha256:" + "0" * 64,
    )
    number = built(Number, number="+16175550100", call_centre="a")
    await store.transact(lambda tx: catalog.apply(tx, [built(CallCentre, name="a"), directory, letter, number], **NOW))
    between = Between()

    def first(tx: Transaction) -> None:
        publication.publish(tx, call_centre="a", **NOW)
        between.wait()

    async def second() -> None:
        with pytest.raises(StillInUse):
            await between.second(store, lambda tx: catalog.remove(tx, CarrierDirectory, "d", **NOW))

    async with open_store(store_url, node=2) as other, trio.open_nursery() as nursery:
        nursery.start_soon(second)
        await other.transact(first)


async def test_one_of_two_signatures_stands(store: Store, store_url: str) -> None:
    """The paper that a letter was signed on is not exchanged by who comes a moment later."""
    parties = {"owner": "O", "designee": "D", "contact": "C", "valid_from": "2026-01-01"}
    draft = built(Loa, name="l", call_centre="a", numbers=["+16175550100"], **parties)
    await store.transact(lambda tx: catalog.apply(tx, [built(CallCentre, name="a"), draft], **NOW))
    papers = [read_document(b"%PDF-1.4 " + name) for name in (b"first", b"second")]
    between = Between()

    def sign(which: int, tx: Transaction) -> None:
        given = {"name": "l", "signed_by": f"signer {which}", "signed_on": "2025-12-31"}
        assert add_letter(tx, given, papers[which], **NOW) == "signed"

    def first(tx: Transaction) -> None:
        sign(0, tx)
        between.wait()

    async def second() -> None:
        with pytest.raises(BadValue, match="is not the paper"):
            await between.second(store, partial(sign, 1))

    async with open_store(store_url, node=2) as other, trio.open_nursery() as nursery:
        nursery.start_soon(second)
        await other.transact(first)
    now = await store.read(lambda tx: catalog.get(tx, Loa, "l"))
    assert (now.signed_by, now.digest) == ("signer 0", papers[0].digest)
