"""Two call centres and their keys, for tests of the control interface."""

from __future__ import annotations

from collections.abc import Sequence

from ops.api import digest_of, make_key
from ops.api.counts import ApiCounts
from provisioning import ApiKey, built, catalog
from store import Store
from tests.integration.api.client import Client

NOW = {"who": "test", "now_us": 1_795_305_600_000_000}
KEYS = {name: make_key(bytes([at]) * 32) for at, name in enumerate(("acme", "globex"))}
DIGESTS = {name: digest_of(key) for name, key in KEYS.items()}


class Site:
    """What a test has: the store, and clients with keys."""

    def __init__(self, store: Store, port: int, keys: dict[str, str], counts: ApiCounts) -> None:
        self.store = store
        self.counts = counts
        self.port = port
        self.keys = keys
        self.acme = Client(port, keys["acme"])
        self.globex = Client(port, keys["globex"])
        self.nobody = Client(port)
        self._made = 100

    async def client(self, call_centre: str, scopes: Sequence[str], per_minute: int = 100_000, **more: str) -> Client:
        """A client with a new key."""
        self._made += 1
        key = make_key(bytes([self._made]) * 32)
        settings = {"call_centre": call_centre, "digest": digest_of(key), "scopes": scopes, "per_minute": per_minute}
        entry = built(ApiKey, name=f"key-{self._made}", **settings, **more)
        await self.store.transact(lambda tx: catalog.add(tx, entry, **NOW))
        return Client(self.port, key)
