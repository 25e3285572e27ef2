"""What can be asked of the control interface: one table, from which the routes and the description are made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from ops.api import entries, letters, publications
from ops.api.call import Call
from ops.api.schemas import Schema, closed, entry_schema, request_schema
from provisioning import Block, CallCentre, Loa, Number, WhiteList
from provisioning.loa_pdf import PAPERS
from provisioning.model import Entry
from provisioning.publication import publish, withdraw
from provisioning.syntax import read_name

JSON = "application/json"
PDF = "application/pdf"
PAPER_TYPES = (PDF, "image/png", "image/jpeg", "image/tiff")

Handler = Callable[[Call], Awaitable[Response]]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query.

    Attributes:
        name: as it is given.
        read: checks it; raises BadValue.
        schema: what it may be.
        help: what it is.
    """

    name: str
    read: Callable[[str, str], Any]
    schema: Schema
    help: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        name: its operationId.
        method, path: how it is asked for; the path with ``{names}``.
        scope: what the key must have.
        summary: one line.
        handler: carries it out.
        query: parameters.
        body: schema of the request's body by media type; empty when it has none.
        answers: schema by status and media type; None for no body.
    """

    name: str
    method: str
    path: str
    scope: str
    summary: str
    handler: Handler
    query: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = {}
    answers: Mapping[int, Mapping[str, Schema] | None]


_LIMIT = Parameter(
    "limit",
    entries.read_limit,
    {"type": "integer", "minimum": 1, "maximum": entries.MAX_PAGE, "default": 100},
    "So many at most.",
)


def _after(cursor: re.Pattern[str]) -> Parameter:
    what = "What `next` was in the page before: the page that follows it."
    return Parameter("after", partial(entries.read_after, cursor), {"type": "string"}, what)


_DIRECTORY = Parameter("directory", read_name, {"type": "string"}, "Only of this carrier directory.")
_BEFORE = Parameter(
    "before", publications.read_before, {"type": "integer", "minimum": 0}, "What `next` was in the page before."
)
_PAPER = Parameter("paper", letters.read_paper, {"enum": sorted(PAPERS), "default": "letter"}, "The paper's size.")

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_TIME: Schema = {"type": "integer", "description": "Microseconds since 1970, UTC."}
_NEXT: Schema = {"type": ["string", "null"], "description": "Where to go on; null when this was the last page."}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str, item: Schema, following: Schema = _NEXT) -> Schema:
    return closed({name: {"type": "array", "items": item}, "next": following})


_KINDS: tuple[tuple[type[Entry], str, str, str, str], ...] = (
    (Number, "numbers", "numbers", "/{number}", "Number"),
    (Block, "blocks", "numbers", "/{first}-{last}", "Block"),
    (WhiteList, "white-lists", "loa", "/{name}", "WhiteList"),
    (Loa, "letters", "loa", "/{name}", "Letter"),
)

SCHEMAS: dict[str, Schema] = {"CallCentre": entry_schema(CallCentre)}
for _kind, _, _, _, _title in _KINDS:
    SCHEMAS[_title] = entry_schema(_kind)
    SCHEMAS[f"{_title}New"] = request_schema(_kind, keys=True)
    SCHEMAS[f"{_title}Settings"] = request_schema(_kind, keys=False)
    SCHEMAS[f"{_title}Changes"] = request_schema(_kind, keys=False, is_patch=True)
SCHEMAS["Applied"] = closed({"added": _COUNT, "changed": _COUNT, "unchanged": _COUNT})
SCHEMAS["Wish"] = closed(
    {
        "directories": {**_TEXTS, "minItems": 1, "maxItems": 100, "description": "All when not given."},
        "numbers": {
            **_TEXTS,
            "minItems": 1,
            "maxItems": publications.MAX_RANGES,
            "description": "Numbers and ranges, '+16175550001-+16175559999'; all of the call centre's when not given.",
        },
        "after": {"type": ["string", "null"], "description": "What `next` was, to go on with the same request."},
    },
    [],
)
SCHEMAS["Wished"] = closed({"numbers": _COUNT, "changed": _COUNT, "unchanged": _COUNT, "next": _NEXT})
SCHEMAS["Status"] = closed(
    {
        "directory": _TEXT,
        "state": _TEXT,
        "count": _COUNT,
        "oldest_since_us": _TIME,
        "next_us": _TIME,
        "reason": _TEXT,
        "uncovered": {**_COUNT, "description": "Published, though no valid letter covers them any more."},
    }
)
SCHEMAS["Published"] = closed(
    {
        "number": _TEXT,
        "directory": _TEXT,
        "wanted": {"type": "boolean"},
        "state": _TEXT,
        "since_us": _TIME,
        "next_us": _TIME,
        "reason": _TEXT,
    }
)
SCHEMAS["Standing"] = closed(
    {
        "state": _TEXT,
        "days_left": {"type": ["integer", "null"]},
        "terms": {**_TEXT, "description": "The digest that is on its pages."},
        "numbers": _COUNT,
        "covered": _COUNT,
        "not_covered": _COUNT,
        "missing": _TEXTS,
        "has_document": {"type": "boolean"},
    }
)
SCHEMAS["Change"] = closed(
    {"id": {"type": "integer"}, "at_us": _TIME, "action": _TEXT, "kind": _TEXT, "key": _TEXT},
)
_SIGNED = {"signed_by": _TEXT, "signed_on": {**_TEXT, "format": "date"}}


def _of_kind(kind: type[Entry], name: str, scope: str, key: str, title: str) -> list[Operation]:
    path, what = f"/v1/{name}", kind.KIND
    entry: Mapping[str, Schema] = {JSON: _ref(title)}
    reads, writes = f"{scope}:read", f"{scope}:write"
    batch = closed(
        {name: {"type": "array", "items": _ref(f"{title}New"), "minItems": 1, "maxItems": entries.MAX_BATCH}}
    )
    made = [
        Operation(
            name=f"list_{name}",
            method="GET",
            path=path,
            scope=reads,
            summary=f"Every {what} of the call centre, a page at a time.",
            handler=partial(entries.list_entries, kind, name),
            query=(_LIMIT, _after(entries.CURSORS.get(kind, entries.NAME_CURSOR))),
            answers={200: {JSON: _list_of(name, _ref(title))}},
        ),
        Operation(
            name=f"show_{what}",
            method="GET",
            path=path + key,
            scope=reads,
            summary=f"One {what}.",
            handler=partial(entries.show_entry, kind),
            answers={200: entry},
        ),
        Operation(
            name=f"put_{what}",
            method="PUT",
            path=path + key,
            scope=writes,
            summary=f"Make a {what} be there as given. May be repeated.",
            handler=partial(entries.put_entry, kind),
            body={JSON: _ref(f"{title}Settings")},
            answers={200: entry, 201: entry},
        ),
        Operation(
            name=f"change_{what}",
            method="PATCH",
            path=path + key,
            scope=writes,
            summary=f"Change some settings of a {what}; null puts one back to its default.",
            handler=partial(entries.patch_entry, kind),
            body={JSON: _ref(f"{title}Changes"), "application/merge-patch+json": _ref(f"{title}Changes")},
            answers={200: entry},
        ),
        Operation(
            name=f"remove_{what}",
            method="DELETE",
            path=path + key,
            scope=writes,
            summary=f"Remove a {what} that nothing names any more.",
            handler=partial(entries.remove_entry, kind),
            answers={204: None},
        ),
    ]
    made.append(
        Operation(
            name=f"put_{name}",
            method="POST",
            path=path,
            scope=writes,
            summary=f"Make the call centre have each {what} given: all, or none. May be repeated.",
            handler=partial(entries.put_entries, kind, name),
            body={JSON: batch},
            answers={200: {JSON: _ref("Applied")}},
        )
    )
    return made


_LETTERS = (
    Operation(
        name="draw_letter",
        method="GET",
        path="/v1/letters/{name}/draft",
        scope="loa:read",
        summary="A letter as a PDF to be signed.",
        handler=letters.draw_draft,
        query=(_PAPER,),
        answers={200: {PDF: {}}},
    ),
    Operation(
        name="file_signed_letter",
        method="PUT",
        path="/v1/letters/{name}/document",
        scope="loa:write",
        summary="File the signed paper of a letter: PDF, PNG, JPEG or TIFF. May be repeated.",
        handler=letters.file_signed,
        body={
            JSON: closed({**_SIGNED, "document": {**_TEXT, "contentEncoding": "base64"}}),
            "multipart/form-data": closed({**_SIGNED, "document": {}}),
        },
        answers={200: {JSON: closed({"outcome": {"enum": ["signed", "filed", "unchanged"]}, "digest": _TEXT})}},
    ),
    Operation(
        name="show_signed_letter",
        method="GET",
        path="/v1/letters/{name}/document",
        scope="loa:read",
        summary="The signed paper of a letter.",
        handler=letters.show_document,
        answers={200: {media_type: {} for media_type in PAPER_TYPES}},
    ),
    Operation(
        name="show_standing",
        method="GET",
        path="/v1/letters/{name}/standing",
        scope="loa:read",
        summary="How a letter stands: its state, what it covers, and what of the call centre's no letter covers.",
        handler=letters.show_standing,
        answers={200: {JSON: _ref("Standing")}},
    ),
)

_PUBLICATIONS = (
    Operation(
        name="show_publications",
        method="GET",
        path="/v1/publications",
        scope="publications:read",
        summary="How many numbers stand how in each carrier directory.",
        handler=publications.show_status,
        query=(_DIRECTORY,),
        answers={200: {JSON: closed({"publications": {"type": "array", "items": _ref("Status")}})}},
    ),
    Operation(
        name="publish",
        method="POST",
        path="/v1/publications",
        scope="publications:write",
        summary="Publish numbers in carrier directories: all that a letter covers, or none. May be repeated.",
        handler=partial(publications.wish, publish),
        body={JSON: _ref("Wish")},
        answers={202: {JSON: _ref("Wished")}},
    ),
    Operation(
        name="withdraw",
        method="POST",
        path="/v1/withdrawals",
        scope="publications:write",
        summary="Take numbers out of carrier directories. May be repeated.",
        handler=partial(publications.wish, withdraw),
        body={JSON: _ref("Wish")},
        answers={202: {JSON: _ref("Wished")}},
    ),
    Operation(
        name="list_published_numbers",
        method="GET",
        path="/v1/publications/numbers",
        scope="publications:read",
        summary="Each number in each carrier directory, a page at a time.",
        handler=publications.list_published,
        query=(_LIMIT, _after(entries.NUMBER_CURSOR), _DIRECTORY),
        answers={200: {JSON: _list_of("numbers", _ref("Published"))}},
    ),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="show_call_centre",
        method="GET",
        path="/v1/call-centre",
        scope="numbers:read",
        summary="The call centre of the key.",
        handler=entries.show_call_centre,
        answers={200: {JSON: _ref("CallCentre")}},
    ),
    *[operation for row in _KINDS for operation in _of_kind(*row)],
    *_LETTERS,
    *_PUBLICATIONS,
    Operation(
        name="list_opted_out",
        method="GET",
        path="/v1/numbers/{number}/opt-outs",
        scope="messages:read",
        summary="Customers who want no texts from a number.",
        handler=publications.list_opted_out,
        query=(_LIMIT, _after(entries.NAME_CURSOR)),
        answers={200: {JSON: _list_of("customers", _TEXT)}},
    ),
    Operation(
        name="list_changes",
        method="GET",
        path="/v1/changes",
        scope="audit:read",
        summary="What this key has changed, the newest first.",
        handler=publications.list_changes,
        query=(_LIMIT, _BEFORE),
        answers={200: {JSON: _list_of("changes", _ref("Change"), {"type": ["integer", "null"]})}},
    ),
)
"""Everything, in the order of the reference."""
