"""Wishes for directories, over real databases."""

import json

import msgspec
import pytest
import sqlalchemy

from provisioning import (
    BadValue,
    Block,
    CallCentre,
    CarrierDirectory,
    Loa,
    Number,
    Refused,
    StillInUse,
    UnknownEntry,
    built,
    catalog,
    publication,
)
from provisioning.coverage import spans_of
from provisioning.publication import NotCovered, NotOwned, Published, PublishedByAnother, StatusRow
from provisioning.publication_rows import write
from provisioning.publishing_rules import Publication, State
from provisioning.tables import publication_table
from store.audit import read as read_audit

# A database of PostgreSQL takes a second: only what speaks to it in words of its own runs there.
sqlite_only = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

NOW = 1_767_225_600_000_000  # 2026-01-01
DAY = 86_400_000_000
DIGEST = "sha256:" + "0" * 64
BLOCK = built(Block, first="+16175550000", last="+16175550199", call_centre="a")
SINGLE = built(Number, number="+12025550143", call_centre="a")
OTHER = built(Number, number="+12025550144", call_centre="b")


def a_letter(name="l1", call_centre="a", numbers=("+16175550000-+16175550199", "+12025550143"), **more):
    given = {"valid_from": "2025-12-01", "valid_until": "2026-12-31", "signed_by": "x", "signed_on": "2025-12-01"}
    parties = {"owner": "O", "designee": "D", "contact": "C"}
    return built(
        Loa, **parties, name=name, call_centre=call_centre, numbers=list(numbers), digest=DIGEST, **{**given, **more}
    )


def a_directory(name):
    return built(CarrierDirectory, name=name, adapter="file", drop_directory="/nowhere")


ENTRIES = [
    *(built(CallCentre, name="a"), built(CallCentre, name="b")),
    *(BLOCK, SINGLE, OTHER, a_letter(), a_directory("one"), a_directory("two")),
]


@pytest.fixture
async def ready(store):
    await apply(store, ENTRIES)
    return store


def apply(store, entries):
    return store.transact(lambda tx: catalog.apply(tx, entries, who="test", now_us=NOW))


def publish(store, **given):
    given = {"call_centre": "a", "who": "me", "now_us": NOW, **given}
    return store.transact(lambda tx: publication.publish(tx, **given))


def withdraw(store, **given):
    given = {"call_centre": "a", "who": "me", "now_us": NOW + 1, **given}
    return store.transact(lambda tx: publication.withdraw(tx, **given))


def status(store, **given):
    return store.read(lambda tx: publication.status(tx, **given))


def numbers(store, **given):
    return store.read(lambda tx: publication.numbers(tx, **given))


def put(store, rows):
    return store.transact(lambda tx: write(tx, rows))


async def test_all_of_a_call_centre_is_wished_for_and_once_is_enough(ready):
    assert await publish(ready) == Published(201, 402, 0)
    assert await publish(ready, now_us=NOW + 5) == Published(201, 0, 402)
    rows = await status(ready)
    assert rows == [
        StatusRow("one", "a", "wanted", 201, NOW, NOW, "", 0),
        StatusRow("two", "a", "wanted", 201, NOW, NOW, "", 0),
    ]
    assert await status(ready, call_centre="b") == []
    assert await status(ready, directory="two") == rows[1:]


@sqlite_only
async def test_some_numbers_in_one_directory(ready):
    spans = spans_of(["+16175550010-+16175550019", "+12025550143"])
    assert await publish(ready, directories=["two"], spans=spans) == Published(11, 11, 0)
    found = await numbers(ready)
    assert [row.digits for row in found] == [12025550143, *range(16175550010, 16175550020)]
    assert {row.directory for row in found} == {"two"}
    assert await status(ready, spans=spans_of(["+16175550018-+16175550099"])) == [
        StatusRow("two", "a", "wanted", 2, NOW, NOW, "", 0)
    ]


async def test_pages_are_resumed_where_the_one_before_ended(ready):
    done, after, pages = Published(0, 0, 0), None, 0
    while pages == 0 or after is not None:
        page = await publish(ready, after=after, limit=60, goes_on=after is not None)
        assert page.numbers <= 30
        done = Published(done.numbers + page.numbers, done.changed + page.changed, 0)
        after, pages = page.after, pages + 1
    assert (done.numbers, done.changed, pages) == (201, 402, 7)
    assert len(await numbers(ready, limit=None)) == 402
    gone, after = 0, None
    for _ in range(200):
        page = await withdraw(ready, after=after, limit=7)
        gone, after = gone + page.changed, page.after
        if after is None:
            break
    assert gone == 402
    assert {row.state for row in await status(ready)} == {"withdrawn"}  # nobody had been told


@sqlite_only
async def test_a_cursor_that_somebody_brings_opens_nothing(ready):
    """Where a wish goes on is told to clients, who may bring any cursor: what is not theirs stays refused."""
    with pytest.raises(NotOwned):
        await publish(ready, spans=spans_of(["+12025550144"]), after=1)
    with pytest.raises(NotCovered):
        await publish(ready, call_centre="b", spans=spans_of(["+12025550144"]), after=1)
    await apply(ready, [built(Block, first="+4930000000", last="+4939999999", call_centre="a")])
    with pytest.raises(BadValue, match="at most"):
        await publish(ready, spans=spans_of(["+4930000000-+4939999999"]), after=1, limit=10)
    assert await numbers(ready) == []


async def test_a_directory_that_has_our_numbers_stays_itself(ready):
    """Else they would stay where they are, and nobody would know."""
    told = {"server": "dns.example.net", "gateway": "gw.example.net", "tsig_secret": "c2VjcmV0"}
    by_dns = {"name": "dns", "adapter": "enum", "zone": "e164.example.net", "tsig_name": "key-1", **told}

    async def change(**settings):
        await apply(ready, [built(CarrierDirectory, **{**by_dns, **settings})])

    await change()
    await publish(ready, directories=["dns", "one"], spans=spans_of(["+12025550143"]))
    await change(zone="e164.example.org")
    await change()  # nothing was told yet: all may change
    rows = [msgspec.structs.replace(row, content="c", state=State.ACTIVE) for row in await numbers(ready)]
    await put(ready, rows)
    for settings in ({"zone": "e164.example.org"}, {"tsig_name": "key-2"}, {"entity_id": "other"}):
        with pytest.raises(Refused, match="may have 1 numbers of ours"):
            await change(**settings)
    with pytest.raises(Refused, match="adapter = 'rest': cannot change"):
        await apply(ready, [built(CarrierDirectory, name="one", adapter="rest", url="https://x.example", password="p")])
    await change(server="dns2.example.net", entity_id="key-1", tsig_name="key-2")  # who we are there is the same
    await withdraw(ready, forget=True)
    await change(zone="e164.example.org")


@sqlite_only
async def test_two_directories_are_not_one_place(ready):
    by_dns = {"adapter": "enum", "server": "dns.example.net", "zone": "e164.example.net", "gateway": "gw.example.net"}
    by_dns |= {"tsig_name": "key", "tsig_secret": "c2VjcmV0"}
    by_http = {"adapter": "rest", "url": "https://r.example.net/v1", "password": "t"}
    first = [built(CarrierDirectory, name="dns", **by_dns), built(CarrierDirectory, name="http", **by_http)]
    await apply(ready, first)
    assert (await apply(ready, first)).unchanged == 2
    for name, given in (("dns-2", by_dns), ("http-2", by_http)):
        with pytest.raises(Refused, match="gone from both"):
            await apply(ready, [built(CarrierDirectory, name=name, **given)])
    await apply(
        ready,
        [
            built(CarrierDirectory, name="dns-2", **{**by_dns, "zone": "1.e164.example.net"}),
            built(CarrierDirectory, name="dns-3", **{**by_dns, "server": "inside.example.net"}),
            built(CarrierDirectory, name="http-2", **{**by_http, "password": "another"}),
        ],
    )


@sqlite_only
async def test_no_numbers_are_not_all_numbers(ready):
    await publish(ready)
    with pytest.raises(BadValue, match="name one number"):
        await withdraw(ready, spans=[])
    assert {row.state for row in await status(ready)} == {"wanted"}


async def test_numbers_are_read_in_pages_and_by_state(ready):
    await publish(ready)
    page = await numbers(ready, call_centre="a", limit=5)
    assert [row.digits for row in page] == [12025550143] * 2 + [16175550000] * 2 + [16175550001]
    rest = await numbers(ready, call_centre="a", after=16175550190, limit=None)
    assert len(rest) == 18
    assert await numbers(ready, states=[State.ACTIVE]) == []
    scattered = [(16175550000 + each, 16175550000 + each) for each in range(0, 200, 2)] * 5
    assert len(await numbers(ready, spans=sorted(set(scattered)), limit=None)) == 200


@sqlite_only
async def test_nothing_that_no_letter_covers_and_nothing_at_all_then(ready):
    await apply(ready, [built(Block, first="+16175550200", last="+16175550299", call_centre="a")])
    with pytest.raises(NotCovered, match=r"\+16175550200-\+16175550299 \(100 numbers\)") as refused:
        await publish(ready)
    assert refused.value.missing == ((16175550200, 16175550299),)
    assert await numbers(ready) == []
    assert await publish(ready, spans=spans_of(["+16175550000-+16175550199"])) == Published(200, 400, 0)


@sqlite_only
@pytest.mark.parametrize("change", [{"signed_by": "", "signed_on": ""}, {"valid_from": "2026-01-02"}])
async def test_a_letter_that_is_not_signed_or_not_valid_yet_covers_nothing(store, change):
    await apply(store, [entry for entry in ENTRIES if entry.KIND != "loa"])
    await apply(store, [a_letter(**change)])
    with pytest.raises(NotCovered):
        await publish(store)


@sqlite_only
async def test_a_letter_covers_until_the_end_of_its_last_day(ready):
    assert publication.day_of(NOW) == "2026-01-01"
    assert publication.day_of(NOW - 1) == "2025-12-31"
    with pytest.raises(NotCovered):
        await publish(ready, now_us=NOW + 365 * DAY)
    assert (await publish(ready, now_us=NOW + 365 * DAY - 1)).changed == 402


@sqlite_only
async def test_what_is_not_the_call_centres_or_nobodys(ready):
    with pytest.raises(NotOwned, match=r"\+12025550144"):
        await publish(ready, spans=spans_of(["+12025550143-+12025550144"]))
    with pytest.raises(UnknownEntry, match="did you mean 'one'"):
        await publish(ready, directories=["on"])
    with pytest.raises(UnknownEntry, match="call-centre 'x'"):
        await publish(ready, call_centre="x")
    await apply(ready, [built(CallCentre, name="empty")])
    with pytest.raises(BadValue, match="no numbers to publish"):
        await publish(ready, call_centre="empty")
    with pytest.raises(UnknownEntry):
        await withdraw(ready, directories=["three"])


@sqlite_only
async def test_without_a_directory_there_is_nowhere_to_publish(store):
    await apply(store, [entry for entry in ENTRIES if entry.KIND != "directory"])
    with pytest.raises(BadValue, match="no directory is provisioned"):
        await publish(store)


async def test_what_another_call_centre_had_must_be_withdrawn_first(ready):
    digits = 12025550143
    await put(ready, [Publication("two", digits, "b", 0, State.LEAVING, content="c", next_us=1, since_us=1)])
    with pytest.raises(PublishedByAnother, match=r"'two' still lists \+12025550143") as refused:
        await publish(ready)
    assert refused.value.numbers == (digits,)
    assert "'b'" not in str(refused.value)  # H13
    assert await publish(ready, directories=["one"]) == Published(201, 201, 0)
    await put(ready, [Publication("two", digits, "b", 0, State.WITHDRAWN, since_us=1)])
    assert (await publish(ready)).changed == 201
    (row,) = await numbers(ready, directories=["two"], spans=[(digits, digits)])
    assert (row.call_centre, row.state, row.wanted) == ("a", State.WANTED, 1)


async def test_what_was_told_is_withdrawn_and_what_was_not_is_dropped(ready):
    await publish(ready, spans=spans_of(["+16175550000-+16175550001"]), directories=["one"])
    first, _ = await numbers(ready)
    await put(ready, [Publication("one", first.digits, "a", 1, State.ACTIVE, content="c", since_us=1)])
    assert await withdraw(ready) == Published(2, 2, 0)
    assert [(row.state, row.count) for row in await status(ready)] == [("unwanted", 1), ("withdrawn", 1)]
    assert await withdraw(ready) == Published(2, 0, 2)
    assert await withdraw(ready, forget=True) == Published(2, 1, 1)
    assert [(row.state, row.count) for row in await status(ready)] == [("withdrawn", 2)]


@sqlite_only
async def test_a_directory_with_numbers_in_it_stays(ready):
    await publish(ready, directories=["one"])
    with pytest.raises(StillInUse, match="201 wanted publications of call centre 'a'"):
        await ready.transact(lambda tx: catalog.remove(tx, CarrierDirectory, "one", who="t", now_us=NOW))
    await withdraw(ready)
    await ready.transact(lambda tx: catalog.remove(tx, CarrierDirectory, "one", who="t", now_us=NOW))


@sqlite_only
async def test_who_wished_for_what_is_in_the_audit(ready):
    await publish(ready, spans=spans_of(["+16175550000-+16175550009"]), limit=8)
    await withdraw(ready)
    rows = await ready.read(lambda tx: read_audit(tx, 3))
    assert [(row.who, row.action, row.kind, row.key) for row in rows] == [
        ("me", "withdrawn", "publication", "two"),
        ("me", "withdrawn", "publication", "one"),
        ("me", "published", "publication", "two"),
    ]
    assert json.loads(rows[2].detail) == {
        "call_centre": "a",
        "numbers": "+16175550000-+16175550009",
        "count": 10,
    }


@sqlite_only
async def test_a_slip_of_the_pen_is_refused(ready):
    await apply(ready, [built(Block, first="+12122000000", last="+12123999999", call_centre="b")])
    await apply(ready, [a_letter("l2", "b", ["+12122000000-+12123999999"])])
    with pytest.raises(BadValue, match="at most 1,000,000"):
        await publish(ready, call_centre="b", spans=spans_of(["+12122000000-+12123999999"]))


async def test_ten_thousand_numbers_are_published_within_the_patience_of_other_writers(store):
    """No page of a wish writes more rows than a page has."""
    await apply(store, [*ENTRIES, built(Block, first="+13035550000", last="+13035559999", call_centre="b")])
    await apply(store, [a_letter("l2", "b", ["+13035550000-+13035559999", "+12025550144"])])
    after, written = None, []
    while not written or after is not None:
        page = await publish(store, call_centre="b", after=after, limit=publication.PAGE_ROWS)
        after = page.after
        written.append(page.changed)
    assert sum(written) == 20_002
    assert max(written) <= publication.PAGE_ROWS
    count = sqlalchemy.select(sqlalchemy.func.count()).select_from(publication_table)
    assert await store.read(lambda tx: tx.sql.execute(count).scalar()) == 20_002
