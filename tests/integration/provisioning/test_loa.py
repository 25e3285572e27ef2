"""Letters in the catalog: drafted, signed, filed, kept from changing, kept from going."""

import msgspec
import pytest
import sqlalchemy

from provisioning import (
    BadValue,
    Block,
    CallCentre,
    Duplicate,
    Loa,
    Number,
    ProvisioningError,
    Refused,
    StillInUse,
    built,
    catalog,
)
from provisioning.errors import SignedLetter
from provisioning.letters import OtherTerms, add_letter, notes_on, standing
from provisioning.loa_documents import (
    MAX_OCTETS,
    DamagedDocument,
    NoDocument,
    document,
    file_document,
    filed,
    read_document,
)
from provisioning.published import published_within, spans_of_call_centre
from provisioning.tables import loa_document_table, publication_table

NOW_US = 1_795_305_600_000_000  # 2026-11-22
TODAY = "2026-11-22"
BY = {"who": "test", "now_us": NOW_US}
PAPER = read_document(b"%PDF-1.7\nsigned\n%%EOF\n")
OTHER_PAPER = read_document(b"%PDF-1.7\nanother\n%%EOF\n")
SETTINGS = {
    "name": "first",
    "call_centre": "helpline",
    "owner": "Example Corp",
    "designee": "Hub Ltd",
    "contact": "A. Person",
    "numbers": ["+12025550100-+12025550199"],
    "valid_from": "2026-01-01",
    "valid_until": "2026-12-31",
}
SIGNED = {"signed_by": "A. Person", "signed_on": "2026-01-02"}


@pytest.fixture
async def centre(store):
    await store.transact(lambda tx: catalog.add(tx, CallCentre(name="helpline"), **BY))
    return store


async def add(store, settings=None, paper=None, **more):
    given = {**(SETTINGS if settings is None else settings), **more}
    return await store.transact(lambda tx: add_letter(tx, given, paper, **BY))


async def letter(store, name="first"):
    return await store.read(lambda tx: catalog.get(tx, Loa, name))


async def test_a_draft_is_signed_by_filing_its_paper(centre):
    assert await add(centre) == "added"
    assert await add(centre, {"name": "first"}, PAPER, **SIGNED) == "signed"
    loa = await letter(centre)
    assert (loa.digest, loa.signed_by, loa.numbers) == (PAPER.digest, "A. Person", tuple(SETTINGS["numbers"]))
    assert await centre.read(lambda tx: document(tx, loa.digest)) == PAPER
    assert await add(centre, {"name": "first"}, PAPER, **SIGNED) == "unchanged"


async def test_a_letter_made_elsewhere_is_filed_in_one_step(centre):
    assert await add(centre, paper=PAPER, **SIGNED, digest=PAPER.digest.upper().replace("SHA", "sha")) == "added"
    assert await centre.read(lambda tx: filed(tx, [PAPER.digest, OTHER_PAPER.digest])) == {PAPER.digest}


async def test_a_paper_is_not_filed_under_other_terms_than_were_drafted(centre):
    await add(centre)
    with pytest.raises(OtherTerms, match="owner is not what was drafted"):
        await add(centre, {"name": "first", "owner": "Other Corp"}, PAPER, **SIGNED)
    assert not (await letter(centre)).signed_by
    assert await centre.read(lambda tx: filed(tx, [PAPER.digest])) == set()


@pytest.mark.parametrize(
    ("settings", "paper", "told"),
    [
        ({}, PAPER, "signed_by: is missing|signed_by = '': is missing"),
        ({**SIGNED, "digest": OTHER_PAPER.digest}, PAPER, "is not the document's"),
        ({**SIGNED, "digest": OTHER_PAPER.digest}, None, "is not in the store"),
        ({"signed_by": "A. Person"}, PAPER, "signed_on"),
        ({**SIGNED, "signed_on": "2026-11-24"}, PAPER, "is in the future"),
        ({**SIGNED, "valid_until": "2025-12-31"}, PAPER, "is before valid_from"),
        ({**SIGNED, "call_centre": "nobody"}, PAPER, "does not exist"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_is_filed(centre, settings, paper, told):
    with pytest.raises(ProvisioningError, match=told):
        await add(centre, paper=paper, **settings)
    assert await centre.read(lambda tx: catalog.entries(tx, Loa)) == []
    assert await centre.read(lambda tx: filed(tx, [PAPER.digest])) == set()


async def test_a_letter_is_added_once(centre):
    await add(centre)
    with pytest.raises(Duplicate):
        await add(centre)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("numbers", ("+12025550100",)),
        ("owner", "Other Corp"),
        ("designee", "Other Ltd"),
        ("purpose", "anything"),
        ("valid_from", "2026-01-02"),
        ("valid_until", "2030-01-01"),
        ("call_centre", "sales"),
        ("signed_by", ""),
    ],
)
async def test_the_terms_of_a_signed_letter_stay_by_any_way(centre, field, value):
    await centre.transact(lambda tx: catalog.add(tx, CallCentre(name="sales"), **BY))
    await add(centre, paper=PAPER, **SIGNED)
    before = await letter(centre)
    changed = msgspec.structs.replace(before, **{field: value})
    with pytest.raises(SignedLetter) as refused:
        await centre.transact(lambda tx: catalog.update(tx, changed, **BY))
    assert refused.value.field == field
    if field != "signed_by":  # a file may go on naming it as the draft that it was
        with pytest.raises(Refused, match=f"{field} cannot change"):
            await centre.transact(lambda tx: catalog.apply(tx, [changed], **BY))
        with pytest.raises((SignedLetter, BadValue)):
            await add(centre, {"name": "first", field: value}, PAPER)
    assert await letter(centre) == before


async def test_what_is_no_term_of_a_signed_letter_may_change(centre):
    await add(centre, paper=PAPER, **SIGNED)
    moved = msgspec.structs.replace(await letter(centre), owner_address="2 High Street", contact="B. Person")
    assert await centre.transact(lambda tx: catalog.update(tx, moved, **BY))


async def test_a_file_that_goes_on_drafting_a_letter_takes_no_signature_away(centre):
    drafted = built(Loa, **SETTINGS)
    await centre.transact(lambda tx: catalog.apply(tx, [drafted], **BY))
    await add(centre, {"name": "first"}, PAPER, **SIGNED)
    applied = await centre.transact(lambda tx: catalog.apply(tx, [drafted], **BY))
    assert applied.unchanged == 1
    assert (await letter(centre)).signed_by == "A. Person"


async def test_the_paper_of_a_letter_that_a_file_named_is_filed_afterwards(centre):
    named = built(Loa, **SETTINGS, **SIGNED, digest=PAPER.digest)
    await centre.transact(lambda tx: catalog.apply(tx, [named], **BY))
    loas = [await letter(centre)]
    (note,) = notes_on(loas, set(), "2026-06-01")
    assert PAPER.digest in note
    with pytest.raises(BadValue, match="is not the paper"):
        await add(centre, {"name": "first", "digest": OTHER_PAPER.digest}, OTHER_PAPER)
    assert await add(centre, {"name": "first"}, PAPER) == "filed"
    assert notes_on(loas, {PAPER.digest}, "2026-06-01") == []
    assert notes_on(loas, {PAPER.digest}, "2026-12-30") == [
        "loa first of call centre helpline expires in 1 day (2026-12-31): add the letter that follows it"
    ]
    assert "expired on 2026-12-31" in notes_on(loas, {PAPER.digest}, "2027-01-01")[0]


# --- Documents -------------------------------------------------------------------------------------------------------


async def test_the_largest_document_comes_back_whole(centre):
    paper = read_document(b"%PDF-" + bytes(range(256)) * ((MAX_OCTETS - 5) // 256))
    await centre.transact(lambda tx: file_document(tx, paper, NOW_US))
    assert await centre.read(lambda tx: document(tx, paper.digest)) == paper


async def test_a_document_that_was_changed_in_the_store_is_told_of(centre):
    await centre.transact(lambda tx: file_document(tx, PAPER, NOW_US))
    await centre.transact(lambda tx: file_document(tx, PAPER, NOW_US + 1))
    await centre.transact(lambda tx: tx.sql.execute(sqlalchemy.update(loa_document_table).values(octets=b"%PDF-x")))
    with pytest.raises(DamagedDocument):
        await centre.read(lambda tx: document(tx, PAPER.digest))
    with pytest.raises(NoDocument):
        await centre.read(lambda tx: document(tx, OTHER_PAPER.digest))


# --- What relies on a letter -----------------------------------------------------------------------------------------


def publish(tx, digits, centre="helpline", wanted=1, directory="ours"):
    row = dict.fromkeys([column.name for column in publication_table.columns], 0)
    row |= {"directory": directory, "digits": digits, "call_centre": centre, "wanted": wanted}
    row |= {"content": "", "remote_id": "", "reason": ""}
    tx.sql.execute(sqlalchemy.insert(publication_table).values(row))


async def test_a_letter_that_published_numbers_rely_on_stays(centre):
    await add(centre, paper=PAPER, **SIGNED)
    await add(centre, paper=PAPER, **SIGNED, name="second", numbers=["+12025550100-+12025550110"])

    def work(tx):
        for digits in (12025550110, 12025550111, 12025550150):
            publish(tx, digits)
            publish(tx, digits, directory="another")
        publish(tx, 12025550112, wanted=0)
        publish(tx, 12025550200)  # not this letter's
        publish(tx, 12025550113, centre="sales")

    await centre.transact(work)
    with pytest.raises(StillInUse) as refused:
        await centre.transact(lambda tx: catalog.remove(tx, Loa, "first", **BY))
    assert refused.value.users == ("the publication of +12025550111, +12025550150 (2 numbers)",)
    await centre.transact(lambda tx: catalog.remove(tx, Loa, "second", **BY))  # the first covers all of it
    # One that has expired covers nothing, so nothing relies on it.
    await centre.transact(lambda tx: catalog.remove(tx, Loa, "first", who="test", now_us=NOW_US + 60 * 86_400_000_000))


async def test_published_numbers_are_found_over_long_lists_of_both(centre):
    published = range(12025550000, 12025559000, 3)

    def work(tx):
        columns = [column.name for column in publication_table.columns]
        row = dict.fromkeys(columns, 0) | {"directory": "ours", "call_centre": "helpline", "wanted": 1}
        row |= {"content": "", "remote_id": "", "reason": ""}
        tx.sql.execute(sqlalchemy.insert(publication_table), [row | {"digits": digits} for digits in published])

    await centre.transact(work)
    spans = [(digits, digits + 1) for digits in range(12025549000, 12025560000, 10)]
    named = {digits for first, last in spans for digits in range(first, last + 1)}
    wanted = sorted(named.intersection(published))
    assert await centre.read(lambda tx: published_within(tx, "helpline", spans, 10_000)) == wanted
    assert await centre.read(lambda tx: published_within(tx, "helpline", spans, 7)) == wanted[:7]
    assert await centre.read(lambda tx: published_within(tx, "sales", spans, 7)) == []
    assert await centre.read(lambda tx: published_within(tx, "helpline", [], 7)) == []
    far = [(12025550003, 12025550003), (12025558996, 12025558998)]
    assert await centre.read(lambda tx: published_within(tx, "helpline", far, 7)) == [12025550003, 12025558997]


async def test_numbers_that_are_published_are_not_removed(centre):
    block = Block(first="+12025550100", last="+12025550109", call_centre="helpline")
    inside = Number(number="+12025550105", call_centre="helpline")
    alone = Number(number="+12025550200", call_centre="helpline")

    def work(tx):
        catalog.apply(tx, [block, inside, alone], **BY)
        for digits in (12025550105, 12025550107, 12025550200):
            publish(tx, digits)

    def withdraw(tx):
        tx.sql.execute(sqlalchemy.update(publication_table).values(wanted=0))

    def remove(entry):
        return centre.transact(lambda tx: catalog.remove(tx, type(entry), entry.key, **BY))

    await centre.transact(work)
    with pytest.raises(StillInUse, match=r"'\+12025550200' is still used by the publication of \+12025550200"):
        await remove(alone)
    with pytest.raises(StillInUse) as refused:
        await remove(block)
    assert refused.value.users == ("the publication of +12025550107 (1 number)",)  # the other is the number's own
    await remove(inside)  # the block still has it
    await centre.transact(withdraw)
    await remove(block)
    await remove(alone)


async def test_a_letter_says_how_it_stands(centre):
    def work(tx):
        catalog.add(tx, Block(first="+12025550100", last="+12025550109", call_centre="helpline"), **BY)
        catalog.add(tx, Number(number="+12025550105", call_centre="helpline"), **BY)
        catalog.add(tx, Number(number="+12025550200", call_centre="helpline"), **BY)
        return spans_of_call_centre(tx, "helpline")

    own = await centre.transact(work)
    assert own == [(12025550100, 12025550109), (12025550200, 12025550200)]
    await add(centre, paper=PAPER, **SIGNED, numbers=["+12025550100-+12025550107"])
    loa = await letter(centre)
    found = await centre.read(lambda tx: standing(tx, loa, TODAY))
    assert (found.state, found.days_left, found.numbers) == ("valid", 39, 8)
    assert (found.covered, found.foreign, found.not_covered) == (8, 0, 3)
    assert found.missing == ((12025550108, 12025550109), (12025550200, 12025550200))
    assert found.has_document
    wide = msgspec.structs.replace(loa, numbers=("+12025550105-+12025550112", "+12025550300"))
    beyond = await centre.read(lambda tx: standing(tx, wide, TODAY))
    assert (beyond.numbers, beyond.covered, beyond.foreign) == (9, 5, 4)
    later = await centre.read(lambda tx: standing(tx, loa, "2027-01-01"))
    assert (later.state, later.days_left, later.covered, later.not_covered) == ("expired", -1, 8, 11)
