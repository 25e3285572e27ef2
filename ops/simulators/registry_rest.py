"""The REST door of a simulated registry: docs/reference/directory-rest.md, from the registry's side."""

from __future__ import annotations

import json
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import provisioning.directories
from ops.simulators.registry_behaviour import Fault, FaultKind
from ops.simulators.registry_book import Action, Standing, Wish
from ops.simulators.registry_core import Cut, Malformed, RegistryCore, Reply, body_of, damage, fields_of
from ops.simulators.registry_users import NotAuthenticated, User, by_bearer

MAX_ITEMS: Final = 1000
MAX_KEYS: Final = 10_000
"""Idempotency-Keys that are remembered, the oldest go; the keys of the items are kept with the numbers."""

PUBLISHED: Final = Path(provisioning.directories.__file__ or "").parent
"""Where the documents are that we publish."""

_TITLES: Final = {
    400: "malformed request",
    401: "not authenticated",
    409: "already being worked on",
    413: "too much",
    422: "another request has this key",
    429: "too many requests",
    500: "failed",
    503: "no service now",
}


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    action: Action
    number: str = ""
    listing: dict[str, Any] | None = None


class _Submission(msgspec.Struct, forbid_unknown_fields=True):
    items: list[_Item]


class _Lookup(msgspec.Struct, forbid_unknown_fields=True):
    numbers: list[str]


class RestDoor:
    """Answers REST requests.

    Args:
        core: the registry.
    """

    def __init__(self, core: RegistryCore) -> None:
        self._core = core
        self._keys: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # owner and Idempotency-Key: digest of the body
        self._under_way: set[tuple[str, str]] = set()

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            Route("/v1/submissions", self._submissions, methods=["POST"]),
            Route("/v1/lookups", self._lookups, methods=["POST"]),
            Route("/v1/numbers", self._numbers, methods=["GET"]),
            Route("/v1/openapi.json", self._openapi, methods=["GET"]),
        ]

    async def _openapi(self, request: Request) -> Response:
        document = json.loads((PUBLISHED / "registry-openapi.json").read_text("utf-8"))
        document["servers"] = [{"url": str(request.base_url) + "v1"}]
        return Response(json.dumps(document, ensure_ascii=False), media_type="application/json")

    async def _submissions(self, request: Request) -> Response:
        body = await body_of(request)
        fault = self._core.next_fault()
        if (wrong := _at_once(fault)) is not None:
            return wrong
        under_way = None
        try:
            user = by_bearer(self._core.users, request.headers.get("authorization", ""))
            under_way = self._begin(user, request.headers.get("idempotency-key", ""), body)
            wishes = read_submission(body)
            standings = await self._core.submit(user.owner_id, wishes)
            told, keys = damage(standings, [wish.key for wish in wishes], fault)
            items = [{"key": key, **fields_of(standing)} for key, standing in zip(keys, told, strict=True)]
            return await self._core.answer(_json(202, {"items": items}), fault)
        except _Problem as problem:
            return _problem(problem.status, str(problem), problem.headers)
        except NotAuthenticated as error:
            return _problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        except Malformed as error:
            return _problem(400, str(error))
        finally:
            if under_way is not None:
                self._under_way.discard(under_way)

    async def _lookups(self, request: Request) -> Response:
        body = await body_of(request)
        fault = self._core.next_fault()
        if (wrong := _at_once(fault)) is not None:
            return wrong
        try:
            user = by_bearer(self._core.users, request.headers.get("authorization", ""))
            numbers = _decode(body, _Lookup).numbers
            _check_count(len(numbers))
            told, _ = damage(await self._core.look_up(user.owner_id, numbers), [""] * len(numbers), fault)
            return await self._core.answer(_json(200, {"records": [_record(one) for one in told]}), fault)
        except _Problem as problem:
            return _problem(problem.status, str(problem), problem.headers)
        except NotAuthenticated as error:
            return _problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        except Malformed as error:
            return _problem(400, str(error))

    async def _numbers(self, request: Request) -> Response:
        fault = self._core.next_fault()
        if (wrong := _at_once(fault)) is not None:
            return wrong
        try:
            user = by_bearer(self._core.users, request.headers.get("authorization", ""))
        except NotAuthenticated as error:
            return _problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        words = request.query_params.get("limit", str(MAX_ITEMS))
        if not (words.isascii() and words.isdigit() and 1 <= int(words) <= MAX_ITEMS):
            return _problem(400, f"limit is not within 1…{MAX_ITEMS}")
        limit = int(words)
        found = await self._core.numbers_of(user.owner_id, request.query_params.get("after", ""), limit + 1)
        page: dict[str, Any] = {"records": [_record(one) for one in found[:limit]]}
        if len(found) > limit:
            page["next"] = found[limit - 1].number
        return await self._core.answer(_json(200, page), fault)

    def _begin(self, user: User, field: str, body: bytes) -> tuple[str, str]:
        """Note a request under its Idempotency-Key. Raises: Malformed, _Problem."""
        key = field.strip()
        if len(key) < 3 or key[0] != '"' or key[-1] != '"' or len(key) > 202:
            raise Malformed("Idempotency-Key is missing, or no quoted string of 1…200 characters")
        name = (user.owner_id, key)
        digest = sha256(body).digest()
        if self._keys.setdefault(name, digest) != digest:
            raise _Problem(422, "this Idempotency-Key was used for another request")
        if name in self._under_way:
            raise _Problem(409, "this request is being worked on", {"Retry-After": "1"})
        self._under_way.add(name)
        while len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return name


class _Problem(Exception):
    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


def read_submission(body: bytes) -> list[Wish]:
    """Read a submission. Raises: Malformed; _Problem when there is too much of it."""
    items = _decode(body, _Submission).items
    _check_count(len(items))
    wishes = []
    for item in items:
        listing = item.listing if item.action is Action.PUBLISH else {"number": item.number}
        if listing is None or not isinstance(listing.get("number"), str) or not 1 <= len(item.key) <= 200:
            raise Malformed("an item has no key, no number or no listing")
        if any(not isinstance(value, str) for name, value in listing.items() if name != "texts_per_day"):
            raise Malformed(f"the listing of {listing['number'][:40]} has a field that is no text")
        wishes.append(Wish(item.key, item.action, listing))
    return wishes


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)[:200]) from None


def _check_count(count: int) -> None:
    if count < 1:
        raise Malformed("nothing is asked for")
    if count > MAX_ITEMS:
        raise _Problem(413, f"more than {MAX_ITEMS} items in one request")


def _record(standing: Standing) -> dict[str, Any]:
    fields = fields_of(standing)
    if standing.listing is not None:
        fields["listing"] = standing.listing
    return fields


def _at_once(fault: Fault | None) -> Response | None:
    """The answer of a registry that does nothing."""
    if fault is not None and fault.kind is FaultKind.CUT_BEFORE:
        return Cut()
    if fault is not None and fault.kind is FaultKind.STATUS:
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return _problem(fault.status, "as it was set", headers)
    return None


def _json(status: int, value: object) -> Reply:
    return Reply(status, "application/json", msgspec.json.encode(value))


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body = {"title": _TITLES.get(status, "no service"), "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/problem+json")
