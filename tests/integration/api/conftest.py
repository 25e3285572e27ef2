"""The control interface on a port of its own, over SQLite and over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from ops.api.app import serve_api
from ops.api.counts import ApiCounts
from provisioning import ApiKey, Block, CallCentre, CarrierDirectory, Loa, Number, built, catalog
from store import Store, create_all, open_store
from tests.integration.api.site import DIGESTS, KEYS, NOW, Site


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/hub.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with open_store(url, node=1) as opened:
        await opened.transact(create_all)
        yield opened


@pytest.fixture
async def site(store: Store, tmp_path: Path) -> AsyncIterator[Site]:
    """Two call centres: each has a number, a block, a letter and a key."""
    entries = [built(CarrierDirectory, name="paper", adapter="file", drop_directory=str(tmp_path))]
    for at, name in enumerate(("acme", "globex")):
        letter = {"owner": "Acme Inc.", "designee": "Hub Ltd", "contact": "A. Person", "valid_from": "2026-01-01"}
        entries += [
            built(CallCentre, name=name),
            built(Number, number=f"+1617555{at}001", call_centre=name),
            built(Block, first=f"+1617555{at}100", last=f"+1617555{at}199", call_centre=name),
            built(Loa, name=f"{name}-1", call_centre=name, numbers=[f"+1617555{at}000-+1617555{at}999"], **letter),
            built(ApiKey, name=f"{name}-key", call_centre=name, digest=DIGESTS[name], per_minute=100_000),
        ]
    await store.transact(lambda tx: catalog.apply(tx, entries, **NOW))
    async with trio.open_nursery() as nursery:
        counts = ApiCounts()
        port = await nursery.start(partial(serve_api, store, "127.0.0.1", 0, counts=counts))
        yield Site(store, port, KEYS, counts)
        nursery.cancel_scope.cancel()
