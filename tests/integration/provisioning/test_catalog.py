"""The catalog over real databases."""

import msgspec
import pytest
import trio

from provisioning import (
    KINDS,
    Account,
    BadValue,
    Block,
    BlockOverlap,
    CallCentre,
    ClaimedByAnother,
    Desk,
    Duplicate,
    Group,
    Link,
    Number,
    Refused,
    Route,
    StillInUse,
    UnknownEntry,
    UnknownReference,
    built,
    catalog,
    load_directory,
)
from store import audit, open_store

LINK = built(Link, name="acme", host="h.example", system_id="s", password="geheim", window=7, tls="verify")
GROUP = built(Group, name="carriers", links=["acme=3"], resend_refused=False)
ACCOUNT = built(Account, system_id="agg1", password_hash="$argon2id$geheim", allowed_ips=["10.0.0.0/8"])
CENTRE = built(CallCentre, name="a", title="Ärzte & Co", products=["Router"])
OTHER = built(CallCentre, name="b")
NUMBER = built(Number, number="+12025550143", call_centre="a", element="SPID:6006", link="link:acme")
ALIAS = built(Number, number="+18002530000", call_centre="a", alias_of="+12025550150")
BLOCK = built(Block, first="+16175550001", last="+16175559999", call_centre="a", alias="+18002530000")
DESK = built(
    Desk, name="d", call_centre="a", domain="x.example", secret="geheim", director="boss@example.net", window=9
)
ROUTE = built(Route, prefix="+1", endpoint="account:agg1")
ALL = [ROUTE, BLOCK, NUMBER, ALIAS, DESK, CENTRE, OTHER, ACCOUNT, GROUP, LINK]  # who names before who is named


def apply(store, entries, mode="put"):
    return store.transact(lambda tx: catalog.apply(tx, entries, who="test", now_us=5, mode=mode))


def add(store, entry):
    return store.transact(lambda tx: catalog.add(tx, entry, who="test", now_us=6))


def remove(store, kind, key):
    return store.transact(lambda tx: catalog.remove(tx, kind, key, who="test", now_us=7))


async def test_what_is_applied_is_read_back_and_applying_again_changes_nothing(store):
    assert await apply(store, ALL) == catalog.Applied(added=10, changed=0, unchanged=0)
    assert await store.read(catalog.revision) == 1
    for entry in ALL:
        assert await store.read(lambda tx, e=entry: catalog.get(tx, type(e), e.key)) == entry
    assert await apply(store, ALL) == catalog.Applied(added=0, changed=0, unchanged=10)
    assert await store.read(catalog.revision) == 1


async def test_the_directory_shows_all(store):
    await apply(store, ALL)
    directory = await store.read(load_directory)
    assert directory.revision == 1
    assert directory.number("+12025550143") == NUMBER
    assert directory.number("+16175551234").call_centre == "a"
    assert directory.real_number("+18002530000") == "+12025550150"
    assert directory.routes.choose("+12025550199", 0) == "account:agg1"
    assert directory.account("agg1") == ACCOUNT
    assert directory.link("acme") == LINK
    assert directory.group("carriers") == GROUP == directory.group_of("acme")
    assert directory.desk_of("a") == DESK
    assert directory.call_centre("a") == CENTRE


async def test_an_empty_catalog(store):
    assert await store.read(catalog.revision) == 0
    directory = await store.read(load_directory)
    assert directory.number("+12025550143") is None
    for kind in KINDS.values():
        assert await store.read(lambda tx, k=kind: catalog.entries(tx, k)) == []


async def test_a_refusal_names_each_and_writes_nothing(store):
    await apply(store, [CENTRE, OTHER, NUMBER, LINK])
    wanted = [
        built(Number, number="+12025550144", call_centre="a"),
        built(Number, number="+12025550143", call_centre="b"),
        built(Number, number="+12025550145", call_centre="b"),
        built(Number, number="+12025550145", call_centre="b"),
    ]
    with pytest.raises(Refused) as caught:
        await apply(store, wanted)
    assert [(index, type(error)) for index, error in caught.value.refusals] == [(1, ClaimedByAnother), (3, Duplicate)]
    assert await store.read(lambda tx: catalog.entries(tx, Number)) == [NUMBER]
    assert await store.read(catalog.revision) == 1


async def test_names_that_do_not_exist_are_refused_with_the_nearest(store):
    await apply(store, [CENTRE, LINK])
    wanted = [
        built(Number, number="+12025550143", call_centre="aa"),
        built(Number, number="+12025550144", call_centre="a", link="link:acne"),
        built(Route, prefix="*", endpoint="account:x"),
        built(CallCentre, name="c", default_number="+12025550143"),
        built(Block, first="+16175550001", last="+16175550002", call_centre="a", alias="+18002530000"),
        built(Desk, name="d", call_centre="nobody", domain="x", secret="s", director="b@example.net"),
    ]
    with pytest.raises(Refused) as caught:
        await apply(store, wanted)
    assert [(index, type(error), error.field) for index, error in caught.value.refusals] == [
        (0, UnknownReference, "call_centre"),
        (1, UnknownReference, "link"),
        (2, UnknownReference, "endpoint"),
        (3, UnknownReference, "default_number"),
        (4, UnknownReference, "alias"),
        (5, UnknownReference, "call_centre"),
    ]
    assert "did you mean 'link:acme'" in str(caught.value)
    assert await store.read(lambda tx: catalog.entries(tx, Number)) == []


async def test_a_default_number_must_be_the_call_centres_own(store):
    await apply(store, [CENTRE, OTHER, BLOCK, ALIAS, NUMBER, LINK])
    for number in ("+12025550143", "+16175550500", "+12025550150"):
        await apply(store, [built(CallCentre, name="a", default_number=number)])
        with pytest.raises(Refused):
            await apply(store, [built(CallCentre, name="b", default_number=number)])


async def test_add_is_for_the_new_and_update_for_what_is_there(store):
    await apply(store, [CENTRE, OTHER, LINK])
    await add(store, NUMBER)
    with pytest.raises(Duplicate):
        await add(store, NUMBER)
    with pytest.raises(ClaimedByAnother):
        await add(store, built(Number, number=NUMBER.number, call_centre="b"))
    with pytest.raises(UnknownEntry):
        await store.transact(lambda tx: catalog.update(tx, ALIAS, who="t", now_us=1))
    changed = built(Number, number=NUMBER.number, call_centre="a", state="suspended")
    assert await store.transact(lambda tx: catalog.update(tx, changed, who="t", now_us=1))
    assert not await store.transact(lambda tx: catalog.update(tx, changed, who="t", now_us=1))
    assert await store.read(lambda tx: catalog.get(tx, Number, NUMBER.number)) == changed


@pytest.mark.parametrize("bulk", [False, True])
async def test_numbers_of_another_are_refused_alone_and_in_bulk(store, bulk):
    await apply(store, ALL)
    fillers = [built(Number, number=f"+13105550{n}", call_centre="b") for n in range(100, 200)] if bulk else []
    for entry, error in (
        (built(Number, number="+12025550143", call_centre="b"), ClaimedByAnother),
        (built(Number, number="+12025550150", call_centre="b"), ClaimedByAnother),
        (built(Number, number="+16175550500", call_centre="b"), ClaimedByAnother),
        (built(Number, number="+18882530000", call_centre="b", alias_of="+16175550500"), ClaimedByAnother),
        (built(Block, first="+12025550140", last="+12025550149", call_centre="b"), ClaimedByAnother),
        (built(Block, first="+12025550150", last="+12025550159", call_centre="b"), ClaimedByAnother),
        (built(Block, first="+16175559999", last="+16175560009", call_centre="b"), ClaimedByAnother),
        (built(Block, first="+16175559999", last="+16175560009", call_centre="a"), BlockOverlap),
        (built(Block, first="+16175550001", last="+16175550009", call_centre="a"), BlockOverlap),
    ):
        with pytest.raises(Refused) as caught:
            await apply(store, [*fillers, entry])
        assert [(index, type(refusal)) for index, refusal in caught.value.refusals] == [(len(fillers), error)]


async def test_a_number_inside_ones_own_block_has_its_own_settings(store):
    await apply(store, ALL)
    await add(store, built(Number, number="+16175550500", call_centre="a", link="account:agg1"))
    directory = await store.read(load_directory)
    assert directory.number("+16175550500").link == "account:agg1"
    assert directory.number("+16175550501").link == ""


async def test_what_a_group_may_not_be(store):
    spare = msgspec.structs.replace(LINK, name="spare")
    other = msgspec.structs.replace(LINK, name="other", long_message="sar")
    await apply(store, [LINK, spare, other, GROUP])
    for group, error, field, words in (
        (built(Group, name="g", links=["nobody"]), UnknownReference, "links", "does not exist"),
        (built(Group, name="g", links=["spare"], standby=["nobody"]), UnknownReference, "standby", "does not exist"),
        (built(Group, name="g", links=["spare", "acme"]), BadValue, "links", "in group 'carriers' already"),
        (built(Group, name="g", links=["spare"], standby=["acme"]), BadValue, "standby", "in group 'carriers' already"),
        (built(Group, name="g", links=["spare", "other"]), BadValue, "links", "'other' 'sar'"),
        (built(Group, name="g", links=["other"], standby=["spare"]), BadValue, "standby", "long_message = 'sar'"),
    ):
        with pytest.raises(error, match=words) as caught:
            await add(store, group)
        assert caught.value.field == field
    await add(store, built(Group, name="g", links=["spare"]))


async def test_a_link_of_a_group_changes_only_as_all_of_it_do(store):
    spare = msgspec.structs.replace(LINK, name="spare")
    pair = built(Group, name="carriers", links=["acme"], standby=["spare"])
    await apply(store, [LINK, spare, pair])
    changed = msgspec.structs.replace(LINK, alphabets=("gsm7", "gsm7-tr", "ucs2"))
    with pytest.raises(Refused, match="links of group 'carriers' must agree") as caught:
        await apply(store, [changed])
    assert caught.value.refusals[0][1].field == "alphabets"
    await apply(store, [msgspec.structs.replace(LINK, window=3)])
    both = [changed, msgspec.structs.replace(spare, alphabets=("gsm7", "gsm7-tr", "ucs2"))]
    await apply(store, both)
    await remove(store, Group, "carriers")
    await apply(store, [msgspec.structs.replace(spare, packed=True)])


async def test_a_prefix_has_a_route_to_each_endpoint(store):
    await apply(store, ALL)
    second = built(Route, prefix="+1", endpoint="group:carriers", cost=1, hours=["Mon-Fri 8:00-18:00"])
    await add(store, second)
    with pytest.raises(Duplicate):
        await add(store, second)
    assert await store.read(lambda tx: catalog.entries(tx, Route)) == [ROUTE, second]
    await remove(store, Route, ROUTE.key)
    assert await store.read(lambda tx: catalog.entries(tx, Route)) == [second]
    assert second.hours == ("Mon-Fri 08:00-18:00",)


async def test_two_desks_of_one_domain_are_refused(store):
    await apply(store, ALL)
    with pytest.raises(BadValue, match="one domain each"):
        await add(store, built(Desk, name="e", call_centre="b", domain="X.example", secret="s", director="b@c.example"))


async def test_what_is_named_stays(store):
    centre = built(CallCentre, name="b", default_link="link:acme", default_number="+13105550100")
    await apply(
        store,
        [
            built(Route, prefix="+44", endpoint="group:carriers"),
            *ALL[:-4],
            ACCOUNT,
            LINK,
            GROUP,
            centre,
            built(Number, number="+13105550100", call_centre="b"),
        ],
    )
    for kind, key, user in (
        (CallCentre, "a", "number +12025550143"),
        (CallCentre, "a", "block +16175550001…+16175559999"),
        (CallCentre, "a", "desk 'd'"),
        (Link, "acme", "number +12025550143"),
        (Link, "acme", "call-centre 'b'"),
        (Link, "acme", "group 'carriers'"),
        (Group, "carriers", "route '+44→group:carriers'"),
        (Account, "agg1", "route '+1→account:agg1'"),
        (Number, "+18002530000", "block '+16175550001…+16175559999'"),
        (Number, "+13105550100", "call-centre 'b'"),
    ):
        with pytest.raises(StillInUse) as caught:
            await remove(store, kind, key)
        assert user in caught.value.users
        assert await store.read(lambda tx, k=kind, name=key: catalog.get(tx, k, name))


async def test_everything_can_be_removed_in_order_and_added_again(store):
    await apply(store, ALL)
    for entry in ALL:
        assert await remove(store, type(entry), entry.key) == entry
        with pytest.raises(UnknownEntry):
            await remove(store, type(entry), entry.key)
    assert await apply(store, ALL) == catalog.Applied(added=10, changed=0, unchanged=0)


async def test_a_number_moves_to_another_call_centre_by_leaving_first(store):
    await apply(store, [CENTRE, OTHER, LINK, NUMBER])
    await remove(store, Number, NUMBER.number)
    moved = built(Number, number=NUMBER.number, call_centre="b")
    await add(store, moved)
    assert (await store.read(load_directory)).number(NUMBER.number) == moved


async def test_lists_of_one_call_centre_show_nothing_of_another(store):
    theirs = built(Number, number="+13105550100", call_centre="b")
    await apply(store, [*ALL, theirs])
    assert await store.read(lambda tx: catalog.entries(tx, Number, "b")) == [theirs]
    assert await store.read(lambda tx: catalog.entries(tx, Block, "b")) == []
    assert await store.read(lambda tx: catalog.entries(tx, Desk, "b")) == []
    assert await store.read(lambda tx: catalog.entries(tx, CallCentre, "b")) == [OTHER]


async def test_the_audit_says_who_what_when_and_no_secret(store):
    await apply(store, ALL)
    changed = built(Link, name="acme", host="h.example", system_id="s", password="anders", window=8, tls="verify")
    await apply(store, [changed])
    await remove(store, Route, ROUTE.key)
    rows = await store.read(lambda tx: audit.read(tx, 2))
    assert [(row.who, row.action, row.kind, row.key, row.at_us) for row in rows] == [
        ("test", "removed", "route", "+1→account:agg1", 7),
        ("test", "changed", "link", "acme", 5),
    ]
    assert rows[1].detail == '{"password":"***","window":8}'
    everything = await store.read(lambda tx: audit.read(tx, 100))
    assert len(everything) == 12
    assert "geheim" not in repr(everything)
    older = await store.read(lambda tx: audit.read(tx, 100, before=rows[1].id))
    assert older == everything[2:]


async def test_an_account_with_a_clear_password_never_reaches_the_database(store):
    with pytest.raises(TypeError):
        await add(store, built(Account, system_id="x", password="pw"))


async def test_the_revision_rises_with_each_change(store):
    seen = [await store.read(catalog.revision)]
    await add(store, CENTRE)
    seen.append(await store.read(catalog.revision))
    await add(store, OTHER)
    seen.append(await store.read(catalog.revision))
    await remove(store, CallCentre, "b")
    seen.append(await store.read(catalog.revision))
    assert seen == [0, 1, 2, 3]


async def test_two_writers_at_once_never_both_claim_a_number(store_url, store):
    """Two processes' worth of stores: each tries to take the same numbers for its own call centre."""
    await apply(store, [CENTRE, OTHER])
    outcomes = {"a": 0, "b": 0}

    async def claim(centre):
        async with open_store(store_url, node=2 if centre == "a" else 3) as mine:
            for number in range(100, 120):
                try:
                    await add(mine, built(Number, number=f"+12025550{number}", call_centre=centre))
                except (ClaimedByAnother, Duplicate):
                    continue
                outcomes[centre] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(claim, "a")
        nursery.start_soon(claim, "b")
    assert outcomes["a"] + outcomes["b"] == 20
    found = await store.read(lambda tx: catalog.entries(tx, Number))
    assert len(found) == 20
    # One revision for the call centres and one for each claim that was granted.
    assert await store.read(catalog.revision) == 21


async def test_thousands_in_one_command(store):
    await apply(store, [CENTRE])
    numbers = [Number(number=f"+1617556{n:04}", call_centre="a") for n in range(5000)]
    told = []
    applied = await store.transact(
        lambda tx: catalog.apply(tx, numbers, who="t", now_us=1, on_progress=told.append), rows=5000
    )
    assert applied.added == 5000
    assert told == [1000, 2000, 3000, 4000, 5000]
    directory = await store.read(load_directory)
    assert directory.number("+16175564999").call_centre == "a"
