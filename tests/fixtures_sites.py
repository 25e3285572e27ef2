"""Hubs as processes, each between foreign peers of its own: see ``tests/integration/end_to_end``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_postgres import PostgresServer
from tests.fixtures_prosody import Prosody
from tests.integration.end_to_end.sites import Site

Open = Callable[..., Site]


@pytest.fixture
def open_site(
    tmp_path: Path, prosody: Prosody, unused_tcp_port_factory: Callable[[], int], request: pytest.FixtureRequest
) -> Iterator[Open]:
    """Makes sites, whose hubs the test starts; all stops at its end, and a hub that does not stop well fails it."""
    sites: list[Site] = []
    databases: list[tuple[PostgresServer, str]] = []

    def make(store: str = "sqlite", server: Prosody | None = None, **more: Any) -> Site:
        url = ""
        if store == "postgresql":
            # Not by postgres_url: asked for so late, that would go before the hubs do.
            stores: PostgresServer = request.getfixturevalue("postgres_server")
            databases.append((stores, url := stores.new_database()))
        folder = tmp_path / f"hub{len(sites)}"
        folder.mkdir()
        sites.append(site := Site(folder, server or prosody, url, unused_tcp_port_factory, **more))
        return site

    yield make
    for site in sites:
        site.close()
    for stores, url in databases:
        stores.drop_database(url)
