"""The watch over letters: once a day and letter a line, and the days left for metrics."""

import datetime
import time

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from ops.config import load_config
from ops.daemon import open_daemon
from ops.letter_watch import LetterWatch
from provisioning import CallCentre, Loa, catalog
from provisioning.authority import day_of

DAY_US = 86_400_000_000
START_US = 1_795_305_600_000_000
BY = {"who": "test", "now_us": START_US}


def letter(name, last, numbers="+12025550100-+12025550199", **settings):
    return Loa(
        name=name,
        call_centre="helpline",
        owner="Example Corp",
        designee="Hub Ltd",
        contact="A. Person",
        numbers=(numbers,),
        valid_from="2026-01-01",
        valid_until="" if last is None else day_of(START_US + last * DAY_US),
        **{"signed_by": "A. Person", "signed_on": "2026-01-01", "digest": "sha256:" + 64 * "0", **settings},
    )


@pytest.fixture
async def centre(store):
    await store.transact(lambda tx: catalog.add(tx, CallCentre(name="helpline"), **BY))
    return store


async def put(store, *loas):
    await store.transact(lambda tx: catalog.apply(tx, loas, **BY))


def told(lines):
    return [(line["event"], line["loa"], line["days_left"]) for line in lines]


async def test_a_letter_that_expires_is_told_of_once_a_day(centre):
    now_us = START_US
    await put(
        centre,
        letter("soon", 2, "+12025550100"),
        letter("later", 31, "+12025550101"),
        letter("endless", None, "+12025550102"),
        letter("drafted", 3, "+12025550103", signed_by="", signed_on="", digest=""),
    )
    watch = LetterWatch(centre, lambda: now_us)
    with capture_logs() as lines:
        await watch.look()
        await watch.look()
        now_us += DAY_US // 2
        await watch.look()
    assert told(lines) == [("letter expires", "soon", 2)]
    assert sorted(watch.samples()) == [("later", "helpline", 31), ("soon", "helpline", 2)]
    with capture_logs() as lines:
        now_us += DAY_US
        await watch.look()
    assert told(lines) == [("letter expires", "soon", 1), ("letter expires", "later", 30)]
    with capture_logs() as lines:
        now_us += 2 * DAY_US
        await watch.look()
    assert told(lines) == [("letter has expired", "soon", -1), ("letter expires", "later", 28)]


async def test_a_letter_that_is_renewed_is_told_of_no_more(centre):
    first = letter("first", 5)
    await put(centre, first)
    watch = LetterWatch(centre, lambda: START_US)
    with capture_logs() as lines:
        await watch.look()
        await put(centre, msgspec.structs.replace(first, contact="B. Person"))
        await watch.look()
        await put(centre, letter("second", 365))
        await watch.look()
    assert told(lines) == [("letter expires", "first", 5)]
    assert watch.samples() == [("second", "helpline", 365)]


async def test_it_looks_again_by_itself(centre):
    watch = LetterWatch(centre, lambda: START_US, look_s=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await put(centre, letter("first", 5))
        with trio.fail_after(60):
            while not watch.samples():  # noqa: ASYNC110 - it has nobody to tell
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_the_daemon_watches_letters(tmp_path):
    today = day_of(time.time_ns() // 1000)
    last = (datetime.date.fromisoformat(today) + datetime.timedelta(20)).isoformat()
    file = tmp_path / "hub.toml"
    file.write_text(f"""[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[[call_centre]]
name = "helpline"
[[loa]]
name = "first"
call_centre = "helpline"
owner = "Example Corp"
designee = "Hub Ltd"
contact = "A. Person"
numbers = ["+12025550100"]
valid_from = "2026-01-01"
valid_until = "{last}"
signed_by = "A. Person"
signed_on = "2026-01-01"
digest = "sha256:{64 * "0"}"
""")
    with capture_logs() as lines:
        async with open_daemon(load_config(file)) as daemon:
            with trio.fail_after(60):
                while not daemon.letters.samples():  # noqa: ASYNC110 - it has nobody to tell
                    await trio.sleep(0.01)
            ((name, call_centre, left),) = daemon.letters.samples()
    assert (name, call_centre) == ("first", "helpline")
    assert left in (19, 20)  # midnight may pass
    assert "first" in [line.get("loa") for line in lines if line["event"] == "letter expires"]
