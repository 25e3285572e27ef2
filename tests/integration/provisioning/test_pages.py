"""Entries a page at a time, in a database that sorts as people do."""

from __future__ import annotations

from functools import partial

from provisioning import CallCentre, WhiteList, built, catalog
from provisioning.pages import read_page
from store import create_all, open_store
from tests.fixtures_postgres import PostgresServer

NAMES = ["a-c", "a.b", "a_a", "aa", "ab", "a-1", "a1", "b-1", "b"]


async def test_no_name_is_passed_over_whatever_the_databases_collation(postgres_server: PostgresServer) -> None:
    """By the rules of a language, hyphens and dots come last or count for nothing: 'ab' stands before 'a-c'."""
    url = postgres_server.new_database("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-ka-shifted'")
    try:
        async with open_store(url, node=1) as store:
            await store.transact(create_all)
            lists = [built(WhiteList, name=name, call_centre="a", numbers=["+16175550100"]) for name in NAMES]
            entries = [built(CallCentre, name="a"), *lists]
            await store.transact(lambda tx: catalog.apply(tx, entries, who="t", now_us=1))
            found: list[str] = []
            for _ in range(len(NAMES) + 1):
                read = partial(read_page, kind=WhiteList, call_centre="a", after=found[-1] if found else "", limit=1)
                found += [entry.name for entry in await store.read(read)]
    finally:
        postgres_server.drop_database(url)
    assert found == sorted(NAMES)
