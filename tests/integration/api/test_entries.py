"""Numbers, blocks, white lists and letters over HTTP: what is asked for is what the catalog then holds."""

from __future__ import annotations

import base64
from typing import Any

import trio

from provisioning import Block, Link, Loa, Number, built, catalog
from store import audit
from tests.integration.api.site import NOW, Site

PAPER = b"%PDF-1.7\nsigned\n%%EOF\n"


async def get(site: Site, kind: Any, key: str) -> Any:
    return await site.store.read(lambda tx: catalog.get(tx, kind, key))


async def test_a_number_is_put_read_changed_and_removed(site: Site) -> None:
    path = "/v1/numbers/+16175550002"
    made = await site.acme("PUT", path, {"element": "spid:6006"})
    assert made.status == 201
    assert made.json == {"number": "+16175550002", "alias_of": "", "element": "SPID:6006", "state": "active"}
    assert (await get(site, Number, "+16175550002")).call_centre == "acme"
    assert (await site.acme("PUT", path, {"element": "SPID:6006"})).status == 200  # again: nothing differs
    assert (await site.acme("GET", path)).json == made.json
    changed = await site.acme("PATCH", path, {"state": "suspended", "element": None})
    assert (changed.status, changed.json["state"], changed.json["element"]) == (200, "suspended", "")
    assert (await site.acme("DELETE", path)).status == 204
    assert (await site.acme("GET", path)).status == 404


async def test_what_the_operator_set_stays(site: Site) -> None:
    """The link is the operator's: neither shown nor lost."""
    link = built(Link, name="carrier", host="192.0.2.1", system_id="hub", password="x")
    number = Number(number="+16175550001", call_centre="acme", link="link:carrier")
    await site.store.transact(lambda tx: catalog.apply(tx, [link, number], **NOW))
    path = "/v1/numbers/+16175550001"
    for answer in (
        await site.acme("PUT", path, {"element": "OCN:1234"}),
        await site.acme("PATCH", path, {"state": "suspended"}),
        await site.acme("GET", path),
    ):
        assert answer.status == 200
        assert "carrier" not in answer.body.decode()
    assert (await site.acme("POST", "/v1/numbers", {"numbers": [{"number": "+16175550001"}]})).json["changed"] == 1
    assert await get(site, Number, "+16175550001") == number


async def test_many_numbers_go_in_one_request_all_or_none(site: Site) -> None:
    many = [{"number": f"+1617556{at:04}"} for at in range(2_000)]
    answer = await site.acme("POST", "/v1/numbers", {"numbers": many})
    assert answer.json == {"added": 2000, "changed": 0, "unchanged": 0}
    assert (await site.acme("POST", "/v1/numbers", {"numbers": many})).json["unchanged"] == 2000
    wrong = [{"number": "+16175570000"}, {"number": "12"}, {"number": "+16175570001", "stat": "x"}, 7]
    refused = await site.acme("POST", "/v1/numbers", {"numbers": wrong})
    assert refused.status == 422
    assert [error["pointer"] for error in refused.json["errors"]] == [
        "/numbers/1/number",
        "/numbers/2/stat",
        "/numbers/3",
    ]
    assert "did you mean 'state'?" in refused.json["errors"][1]["detail"]
    twice = await site.acme("POST", "/v1/numbers", {"numbers": [{"number": "+16175570000"}] * 2})
    assert (twice.status, twice.json["errors"][0]["pointer"]) == (409, "/numbers/1")
    assert (await site.acme("GET", "/v1/numbers/+16175570000")).status == 404


async def test_pages_hold_everything_once(site: Site) -> None:
    many = [{"number": f"+1617556{at:04}"} for at in range(250)]
    await site.acme("POST", "/v1/numbers", {"numbers": many})
    found: list[str] = []
    after = ""
    while True:
        page = (await site.acme("GET", f"/v1/numbers?limit=100{after}")).json
        found += [entry["number"] for entry in page["numbers"]]
        if page["next"] is None:
            break
        after = f"&after={page['next'].replace('+', '%2B')}"
    assert found == ["+16175550001", *[entry["number"] for entry in many]]
    assert (await site.acme("GET", "/v1/white-lists?limit=1")).json == {"white-lists": [], "next": None}


async def test_blocks_and_white_lists(site: Site) -> None:
    assert (await site.acme("PUT", "/v1/blocks/+16175550200-+16175550299", {})).status == 201
    assert (await get(site, Block, "+16175550200…+16175550299")).call_centre == "acme"
    overlap = await site.acme("PUT", "/v1/blocks/+16175550250-+16175550350", {})
    assert (overlap.status, overlap.json["errors"][0]["pointer"]) == (409, "")
    page = (await site.acme("GET", "/v1/blocks?limit=1")).json
    following = page["next"].replace("+", "%2B").replace("…", "%E2%80%A6")
    assert (await site.acme("GET", f"/v1/blocks?after={following}")).json["blocks"][0]["first"] == "+16175550200"
    listed = await site.acme("PUT", "/v1/white-lists/busy", {"numbers": ["+16175550001"], "texts_per_day": 50_000})
    assert listed.status == 201
    assert (await site.acme("PATCH", "/v1/white-lists/busy", {"texts_per_day": 0})).status == 422


async def test_an_entry_that_changed_meanwhile_is_not_overwritten(site: Site) -> None:
    path = "/v1/numbers/+16175550001"
    tag = (await site.acme("GET", path)).headers["etag"]
    assert (await site.acme("PATCH", path, {"state": "suspended"}, headers={"If-Match": tag})).status == 200
    for method, body in (("PATCH", {"state": "active"}), ("PUT", {}), ("DELETE", None)):
        assert (await site.acme(method, path, body, headers={"If-Match": tag})).status == 412
    assert (await site.acme("PUT", "/v1/numbers/+16175550003", {}, headers={"If-Match": "*"})).status == 412


async def test_a_letter_goes_from_draft_to_signed(site: Site) -> None:
    settings = {
        "owner": "Acme Inc.",
        "designee": "Hub Ltd",
        "contact": "A. Person",
        "numbers": ["+16175550000-+16175550999"],
        "valid_from": "2026-01-01",
    }
    assert (await site.acme("PUT", "/v1/letters/acme-2", settings)).status == 201
    assert (await site.acme("GET", "/v1/letters/acme-2/standing")).json["state"] == "draft"
    draft = await site.acme("GET", "/v1/letters/acme-2/draft?paper=a4")
    assert (draft.status, draft.headers["content-type"], draft.body[:5]) == (200, "application/pdf", b"%PDF-")
    assert (await site.acme("GET", "/v1/letters/acme-2/document")).status == 404
    signed = {"signed_by": "A. Person", "signed_on": "2026-01-02"}
    nothing = {**signed, "document": base64.b64encode(b"words").decode()}
    assert (await site.acme("PUT", "/v1/letters/acme-2/document", nothing)).status == 422
    paper = {**signed, "document": base64.b64encode(PAPER).decode()}
    assert (await site.acme("PUT", "/v1/letters/acme-2/document", paper)).json["outcome"] == "signed"
    assert (await site.acme("PUT", "/v1/letters/acme-2/document", paper)).json["outcome"] == "unchanged"
    assert (await site.acme("GET", "/v1/letters/acme-2/document")).body == PAPER
    standing = (await site.acme("GET", "/v1/letters/acme-2/standing")).json
    assert (standing["state"], standing["not_covered"], standing["has_document"]) == ("valid", 0, True)
    assert (await site.acme("PATCH", "/v1/letters/acme-2", {"owner": "Another"})).status == 409  # it is signed


async def test_a_signed_paper_comes_in_a_form_too(site: Site) -> None:
    parts = {"signed_by": b"A. Person", "signed_on": b"2026-01-02"}
    form = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in parts.items()
    )
    form += (
        b'--x\r\nContent-Disposition: form-data; name="document"; filename="a.pdf"\r\n\r\n' + PAPER + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await site.acme("PUT", "/v1/letters/acme-1/document", raw=form, headers=headers)
    assert (answer.status, answer.json["outcome"]) == (200, "signed")
    assert (await get(site, Loa, "acme-1")).signed_by == "A. Person"
    broken = await site.acme("PUT", "/v1/letters/acme-1/document", raw=form[:-20], headers=headers)
    assert broken.status == 400


async def test_numbers_are_published_as_far_as_letters_cover_them_and_withdrawn(site: Site) -> None:
    uncovered = await site.acme("POST", "/v1/publications", {})
    assert uncovered.status == 409
    assert "+16175550001" in uncovered.json["detail"]
    signed = {"signed_by": "A.", "signed_on": "2026-01-02", "document": base64.b64encode(PAPER).decode()}
    await site.acme("PUT", "/v1/letters/acme-1/document", signed)
    answer = await site.acme("POST", "/v1/publications", {})
    assert (answer.status, answer.json) == (202, {"numbers": 101, "changed": 101, "unchanged": 0, "next": None})
    assert (await site.acme("POST", "/v1/publications", {})).json["unchanged"] == 101
    (row,) = (await site.acme("GET", "/v1/publications")).json["publications"]
    assert (row["directory"], row["state"], row["count"]) == ("paper", "wanted", 101)
    found: list[str] = []
    after = ""
    while True:
        page = (await site.acme("GET", f"/v1/publications/numbers?limit=40{after}")).json
        found += [each["number"] for each in page["numbers"]]
        if page["next"] is None:
            break
        after = f"&after=%2B{page['next'][1:]}"
    assert found == ["+16175550001", *[f"+161755501{at:02}" for at in range(100)]]
    ranges = {"numbers": ["+16175550100-+16175550149"], "directories": ["paper"]}
    assert (await site.acme("POST", "/v1/withdrawals", ranges)).json["changed"] == 50
    wrong = await site.acme("POST", "/v1/publications", {"numbers": ["+16175550001", "x"], "after": None})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/numbers/1")
    misspelt = await site.acme("POST", "/v1/publications", {"directories": ["papre"]})
    assert (misspelt.status, misspelt.json["errors"][0]["pointer"]) == (422, "/directories")


async def test_every_change_is_in_the_audit_under_the_keys_name(site: Site) -> None:
    await site.acme("PUT", "/v1/numbers/+16175550002", {})
    await site.globex("PUT", "/v1/numbers/+16175551002", {})
    rows = await site.store.read(lambda tx: audit.read(tx, 2))
    assert [(row.who, row.key) for row in rows] == [
        ("api:globex-key", "+16175551002"),
        ("api:acme-key", "+16175550002"),
    ]
    changes = (await site.acme("GET", "/v1/changes")).json["changes"]
    assert [(change["action"], change["key"]) for change in changes] == [("added", "+16175550002")]


async def test_commands_and_requests_at_once_lose_nothing(site: Site) -> None:
    async def by_http(at: int) -> None:
        assert (await site.acme("PUT", f"/v1/numbers/+1617555{at:04}", {})).status in (200, 201)

    async def by_catalog(at: int) -> None:
        entry = Number(number=f"+1617555{at:04}", call_centre="acme")
        await site.store.transact(lambda tx: catalog.apply(tx, [entry], **NOW))

    async with trio.open_nursery() as nursery:
        for at in range(300, 340):
            nursery.start_soon(by_http, at)
            nursery.start_soon(by_catalog, at + 20)
    found = await site.store.read(lambda tx: catalog.entries(tx, Number, "acme"))
    assert len(found) == 61
