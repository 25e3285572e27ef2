"""Both back ends."""

import pytest

from store import open_store
from tests.integration.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def store(store_url):
    """A store with the tests' tables."""
    async with open_store(store_url) as store:
        await store.transact(lambda tx: metadata.create_all(tx.sql))
        yield store
