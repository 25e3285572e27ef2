"""Who may ask what, how much, and in which words."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
import trio
import trio.lowlevel

from ops.api import app
from ops.api.app import FAILURES_A_MINUTE
from ops.api.operations import OPERATIONS, SCHEMAS, Operation
from provisioning import ApiKey, catalog
from provisioning.api_keys import SCOPES
from tests.integration.api.client import DESCRIPTION, Client
from tests.integration.api.site import NOW, Site

# What the store does with what passes is tested over both databases elsewhere.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)

OWN = {"number": "+16175550001", "first": "+16175550100", "last": "+16175550199", "name": "acme-1"}
OTHERS = {"number": "+16175551001", "first": "+16175551100", "last": "+16175551199", "name": "globex-1"}


def path_of(operation: Operation, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], operation.path)


async def test_each_operation_needs_its_scope_and_nothing_else(site: Site) -> None:
    """With all scopes but one's own: 403 that names it. With that alone: anything but 401 and 403."""
    for scope in SCOPES:
        has_all_but = await site.client("acme", [other for other in SCOPES if other != scope])
        has_only = await site.client("acme", [scope])
        for operation in OPERATIONS:
            if operation.scope != scope:
                continue
            described = DESCRIPTION["paths"][operation.path][operation.method.lower()]
            assert described["security"] == [{"key": [scope]}]
            path = path_of(operation, OWN)
            await trio.lowlevel.checkpoint()
            refused = await has_all_but(operation.method, path)
            assert refused.status == 403
            assert f"'{scope}'" in refused.json["detail"]
            assert f'scope="{scope}"' in refused.headers["www-authenticate"]
            passed = await has_only(operation.method, path, {} if operation.body else None)
            assert passed.status not in (401, 403, 500), operation.name


async def test_what_is_anothers_is_as_if_it_were_not_there(site: Site) -> None:
    """Word by word what is said of a name that nobody has, but for the name (H13)."""
    nobodys = {"number": "+16175559001", "first": "+16175559100", "last": "+16175559199", "name": "nobody-1"}
    for operation in OPERATIONS:
        if "{" not in operation.path or operation.name.startswith("put_"):
            continue
        body = {"signed_by": "A.", "signed_on": "2026-01-02", "document": "JVBERi0="} if operation.body else None
        body = {} if operation.method == "PATCH" else body
        answers = [await site.acme(operation.method, path_of(operation, names), body) for names in (OTHERS, nobodys)]
        assert [answer.status for answer in answers] == [404, 404], operation.name
        told = [answer.body.decode() for answer in answers]
        for theirs, unused in zip(OTHERS.values(), nobodys.values(), strict=True):
            told[0] = told[0].replace(theirs, unused)
        assert told[0] == told[1]


async def test_what_is_anothers_cannot_be_taken(site: Site) -> None:
    for path, body in (
        ("/v1/numbers/+16175551001", {}),
        ("/v1/numbers/+16175551150", {}),  # in a block of theirs
        ("/v1/blocks/+16175551100-+16175551199", {}),
        ("/v1/blocks/+16175550900-+16175551100", {}),
        ("/v1/white-lists/theirs", {"numbers": ["+16175550001"]}),
    ):
        if "white" in path:
            assert (await site.globex("PUT", path, {"numbers": ["+16175551001"]})).status == 201
        answer = await site.acme("PUT", path, body)
        assert answer.status == 409
        assert "not available" in answer.json["detail"]
        assert "globex" not in answer.body.decode()
    batch = {"numbers": [{"number": "+16175550005"}, {"number": "+16175551001"}]}
    answer = await site.acme("POST", "/v1/numbers", batch)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (409, "/numbers/1")
    found = await site.store.read(lambda tx: catalog.entries(tx, ApiKey, "acme"))
    assert found
    everything = b""
    for operation in OPERATIONS:
        if operation.method == "GET" and "{" not in operation.path:
            everything += (await site.acme("GET", operation.path)).body
    assert b"globex" not in everything
    assert b"+16175551" not in everything


async def test_a_cursor_is_no_way_to_what_is_anothers(site: Site) -> None:
    """Where a wish goes on is the client's word. It is checked as one that begins, and stands in the audit as one."""
    for after in ("+1", "+16175551000", "+999999999999999"):
        answer = await site.acme("POST", "/v1/publications", {"numbers": ["+16175551001"], "after": after})
        assert answer.status == 422, after
        assert "are not provisioned for call centre 'acme'" in answer.json["detail"]
    assert (await site.globex("GET", "/v1/publications/numbers")).json["numbers"] == []
    assert (await site.acme("POST", "/v1/withdrawals", {"after": "+1"})).status == 202
    assert [change["action"] for change in (await site.acme("GET", "/v1/changes")).json["changes"]] == ["withdrawn"]


async def test_a_cursor_of_another_kind_is_refused(site: Site) -> None:
    foreign = ("abc", "%2B1%E2%80%A6%2B2", "%2B" + "9" * 16, "%2B", "1", "%00")
    for path in ("/v1/numbers", "/v1/publications/numbers"):
        for after in foreign:
            assert (await site.acme("GET", f"{path}?after={after}")).status == 400, (path, after)
    assert (await site.acme("GET", "/v1/blocks?after=%2B16175550001")).status == 400
    for path in ("/v1/publications", "/v1/withdrawals"):
        for after in ("abc", "+1…+2", "+" + "9" * 5000, 1):
            raw = json.dumps({"after": after}).encode()
            headers = {"Content-Type": "application/json"}
            assert (await site.acme("POST", path, raw=raw, headers=headers)).status == 422, (path, after)


async def test_a_key_that_opens_nothing(site: Site) -> None:
    lapsed = await site.client("acme", SCOPES, valid_until="2026-01-01")
    suspended = await site.client("acme", SCOPES, state="suspended")
    mistyped = Client(site.port, site.keys["acme"][:-1] + "7")
    basic = Client(site.port)
    for client, headers in (
        (site.nobody, {}),
        (lapsed, {}),
        (suspended, {}),
        (mistyped, {}),
        (basic, {"Authorization": "Basic QTpC"}),
    ):
        answer = await client("GET", "/v1/call-centre", headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await site.acme("GET", "/v1/call-centre")).status == 200


async def test_an_address_that_goes_on_without_a_key_is_told_to_wait_and_others_are_not(site: Site) -> None:
    statuses = [(await site.nobody("GET", "/v1/numbers")).status for _ in range(FAILURES_A_MINUTE + 20)]
    assert statuses[0] == 401
    assert 429 in statuses
    assert (await site.acme("GET", "/v1/numbers")).status == 200  # from the same address, with a key


async def test_a_key_has_a_rate(site: Site) -> None:
    client = await site.client("acme", SCOPES, per_minute=5)
    answers = [await client("GET", "/v1/call-centre") for _ in range(7)]
    assert [answer.status for answer in answers[:5]] == [200] * 5
    assert answers[0].headers["ratelimit-policy"] == '"key";q=5;w=60'
    assert answers[0].headers["ratelimit"].startswith('"key";r=4')
    refused = next(answer for answer in answers if answer.status == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 12


async def test_a_key_that_is_revoked_opens_nothing_soon(site: Site) -> None:
    client = await site.client("acme", SCOPES)
    assert (await client("GET", "/v1/call-centre")).status == 200
    await site.store.transact(lambda tx: catalog.remove(tx, ApiKey, "key-101", **NOW))
    with trio.fail_after(30):
        while (await client("GET", "/v1/call-centre")).status != 401:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.1)


BODIES = [
    (b"{", "application/json", 400),
    (b"", "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b'{"state": NaN}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json", 400),
    (b"[]", "application/json", 422),
    (b"null", "application/json", 422),
    (b'{"state": 7}', "application/json", 422),
    (b'{"state": {"a": []}}', "application/json", 422),
    (b'{"state": "active\\u0000"}', "application/json", 422),
    (b'{"state": "\\ud800"}', "application/json", 400),
    (b'{"call_centre": "globex"}', "application/json", 422),
    (b'{"link": "link:x"}', "application/json", 422),
    (b"state=active", "application/x-www-form-urlencoded", 415),
    (b"{}", "", 415),
    (b" " * 5_000_000, "application/json", 413),
]


async def test_bodies_that_are_none(site: Site) -> None:
    for octets, media_type, status in BODIES:
        headers = {"Content-Type": media_type}
        answer = await site.acme("PUT", "/v1/numbers/+16175550001", raw=octets, headers=headers)
        assert answer.status == status, (octets[:30], answer)
        assert len(answer.body) < 2_000


async def test_paths_and_queries_that_are_none(site: Site) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/v2/numbers", 404),
        ("GET", "/v1/numbers/", 404),
        ("GET", "/v1/numbers/..%2f..%2fetc", 404),
        ("GET", "/v1/numbers/617", 404),
        ("GET", "/v1/blocks/+16175550100", 404),
        ("GET", "/v1/letters/%00", 404),
        ("DELETE", "/v1/numbers", 405),
        ("OPTIONS", "/v1/numbers", 405),
        ("GET", "/v1/numbers?limit=0", 400),
        ("GET", "/v1/numbers?limit=1e3", 400),
        ("GET", "/v1/numbers?limt=1", 400),
        ("GET", "/v1/numbers?limit=1&limit=2", 400),
        ("GET", "/v1/numbers?after=%2B" + "9" * 30, 400),
        ("GET", "/v1/changes?before=-1", 400),
        ("GET", "/v1/publications?directory=%00", 400),
        ("GET", "/v1/letters?after=%00", 400),
    ):
        assert (await site.acme(method, path)).status == status, path


async def test_large_bodies_of_one_call_centre_take_turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that come slowly, or come to much, take no room from another call centre, nor from small requests."""
    monkeypatch.setattr(app, "ROOM_S", 0.1)
    entries = [{"number": f"+1617555{at:04}"} for at in (1, *range(2, 3000))]

    async def put(client: Client, many: int = 2999) -> int:
        return (await client("POST", "/v1/numbers", {"numbers": entries[:many]})).status

    assert len(json.dumps(entries)) > app.LARGE_OCTETS
    slow = []
    for _ in range(app.LARGE_AT_ONCE):
        slow.append(await trio.open_tcp_stream("127.0.0.1", site.port))
        head = "POST /v1/numbers HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {site.keys['acme']}\r\nContent-Length: 100000\r\n\r\n{{"
        await slow[-1].send_all(head.encode())
    with trio.fail_after(60):
        while await put(site.acme) != 429:
            await trio.lowlevel.checkpoint()
    assert await put(site.acme, 1) == 200
    assert await put(site.globex) != 429
    for stream in slow:
        await trio.aclose_forcefully(stream)
    with trio.fail_after(60):
        while await put(site.acme) == 429:
            await trio.lowlevel.checkpoint()


async def test_the_description_is_served_to_everybody(site: Site) -> None:
    assert (await site.nobody.fetch("/openapi.json")) == DESCRIPTION


async def test_what_was_asked_is_counted(site: Site) -> None:
    await site.acme("GET", "/v1/call-centre")
    await site.nobody("GET", "/v1/call-centre")
    await site.acme("DELETE", "/v1/numbers/+16175559999")
    assert site.counts.requests == {
        ("show_call_centre", 200): 1,
        ("show_call_centre", 401): 1,
        ("remove_number", 404): 1,
    }
    (family,) = site.counts.collect()
    assert sum(sample.value for sample in family.samples) == 3


WORDS = ["", "x", "é\u0000", "+16175550001", "+1617", "acme-1", "2026-01-01", "active", "SPID:6006"]
WORDS += ["+16175550000-+16175550999"]


def any_value(chosen: random.Random, depth: int = 0) -> Any:
    """Something that JSON can say, now and then what is wanted."""
    kind = chosen.randrange(9 if depth < 3 else 7)
    if kind == 7:
        return [any_value(chosen, depth + 1) for _ in range(chosen.randrange(4))]
    if kind == 8:
        names = ["number", "numbers", "blocks", "element", "state", "directories", "after", "owner", "document", "zz"]
        return {name: any_value(chosen, depth + 1) for name in chosen.sample(names, chosen.randrange(5))}
    plain = [None, True, chosen.choice([0, -1, 10**30, 1e308, 0.5]), *[chosen.choice(WORDS) for _ in range(4)]]
    return plain[kind]


async def test_any_body_is_taken_or_refused_and_no_fault_of_ours(site: Site) -> None:
    chosen = random.Random(4)
    statuses = set()
    writing = [operation for operation in OPERATIONS if operation.body]
    names = {**OWN, "number": "+16175550001"}
    for _ in range(600):
        operation = chosen.choice(writing)
        wanted = [name for name in SCHEMAS if name.endswith(("New", "Settings", "Changes"))]
        fields = list(SCHEMAS[chosen.choice(wanted)]["properties"])
        body = any_value(chosen)
        if chosen.random() < 0.7:
            body = {name: any_value(chosen, 1) for name in chosen.sample(fields, min(3, len(fields)))}
        raw = None if isinstance(body, dict) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        # What is taken is what the description lets through: the client looks.
        path = path_of(operation, names)
        answer = await site.acme(operation.method, path, None if raw else body, raw=raw, headers=headers)
        assert answer.status not in (500, 503), (operation.name, body)
        statuses.add(answer.status)
    assert statuses >= {200, 422}
