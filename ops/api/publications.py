"""Publishing over HTTP: wishes for carrier directories, and how they stand (H5). What was changed, and who is out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from hub import opt_out_ledger
from ops.api.call import Call, json_response, known_only
from ops.api.entries import NUMBER_CURSOR, key_in_path
from ops.api.problems import FieldError, Problem, field_error
from provisioning import ApiKey, Number, publication
from provisioning.coverage import Span, spans_of
from provisioning.e164 import digits_of, e164_of
from provisioning.errors import BadValue, UnknownEntry
from provisioning.publication import PAGE_ROWS, Published
from provisioning.published import spans_of_call_centre
from provisioning.publishing_rules import Publication, State
from provisioning.syntax import read_range
from store import Transaction, audit

MAX_PAGES: Final = 20  # of one request: 40,000 rows, some seconds of the store's writer in pieces
MAX_RANGES: Final = 20_000

Change = Callable[..., Published]


async def wish(change: Change, call: Call) -> Response:
    """Publish or withdraw numbers, in pages; ``next`` says where to go on when there are very many."""
    given = await call.json()
    known_only(given, "directories", "numbers", "after")
    directories = _texts(given, "directories", 100)
    numbers = _texts(given, "numbers", MAX_RANGES)
    spans = _spans(numbers) if numbers is not None else None
    after = _after(given.get("after"))
    done = [0, 0, 0]
    for page_number in range(MAX_PAGES):
        # Where to go on is the client's word: all of the wish is checked again with each request's first page.
        work = partial(_page, change, call, directories or [], spans, after, page_number > 0)
        try:
            page = await call.transact(work, rows=PAGE_ROWS)
        except UnknownEntry as error:
            raise Problem(422, str(error), [FieldError("/directories", str(error))]) from None
        done = [done[0] + page.numbers, done[1] + page.changed, done[2] + page.unchanged]
        after = page.after
        if after is None:
            break
    following = None if after is None else e164_of(after)
    told = {"numbers": done[0], "changed": done[1], "unchanged": done[2], "next": following}
    return json_response(told, 202)


def _page(
    change: Change,
    call: Call,
    directories: list[str],
    spans: list[Span] | None,
    after: int | None,
    goes_on: bool,
    tx: Transaction,
) -> Published:
    return change(
        tx,
        directories=directories,
        spans=spans,
        call_centre=call.call_centre,
        who=call.who,
        now_us=call.now_us,
        after=after,
        limit=PAGE_ROWS,
        goes_on=goes_on,
    )


def _texts(given: dict[str, Any], name: str, most: int) -> list[str] | None:
    found = given.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found) or not 1 <= len(found) <= most:
        why = f"must be a list of 1 to {most:,} texts; leave it out for all"
        raise Problem(422, f"{name}: {why}", [FieldError(f"/{name}", why)])
    return found


def _spans(texts: list[str]) -> list[Span]:
    read: list[str] = []
    faults: list[FieldError] = []
    for index, text in enumerate(texts):
        try:
            read.append(read_range(text, "numbers"))
        except BadValue as error:
            error.index = index
            faults.append(field_error(error))
    if faults:
        raise Problem(422, f"{len(faults)} ranges are refused: nothing was changed", faults)
    return spans_of(read)


def _after(words: Any) -> int | None:
    if words is None:
        return None
    if not (isinstance(words, str) and NUMBER_CURSOR.fullmatch(words)):
        raise Problem(422, "after: must be what `next` was", [FieldError("/after", "must be what `next` was")])
    return digits_of(words)


async def show_status(call: Call) -> Response:
    """How the call centre's publications stand, by directory and state."""
    directory: str = call.query.get("directory") or ""
    rows = await call.read(lambda tx: publication.status(tx, call_centre=call.call_centre, directory=directory))
    told = [
        {
            "directory": row.directory,
            "state": row.state,
            "count": row.count,
            "oldest_since_us": row.oldest_since_us,
            "next_us": row.next_us,
            "reason": row.reason,
            "uncovered": row.uncovered,
        }
        for row in rows
    ]
    return json_response({"publications": told})


async def list_published(call: Call) -> Response:
    """Each number in each directory."""
    limit: int = call.query.get("limit") or 100
    after: str = call.query.get("after") or ""
    directory: str = call.query.get("directory") or ""

    def work(tx: Transaction) -> list[Publication]:
        """Whole numbers: the cursor is one, and a number has a row for each directory."""
        read = partial(
            publication.numbers, tx, call_centre=call.call_centre, directories=[directory] if directory else ()
        )
        rows = read(after=digits_of(after) if after else None, limit=limit)
        last = rows[-1].digits if len(rows) == limit else None
        if last is None:
            return rows
        return [row for row in rows if row.digits != last] + read(spans=[(last, last)], limit=None)

    rows = await call.read(work)
    told = [
        {
            "number": e164_of(row.digits),
            "directory": row.directory,
            "wanted": bool(row.wanted),
            "state": State(row.state).word,
            "since_us": row.since_us,
            "next_us": row.next_us,
            "reason": row.reason,
        }
        for row in rows
    ]
    following = e164_of(rows[-1].digits) if len(rows) >= limit else None
    return json_response({"numbers": told, "next": following})


async def list_opted_out(call: Call) -> Response:
    """Customers who want no texts from a number of the call centre's."""
    number, _ = key_in_path(Number, call.path)
    limit: int = call.query.get("limit") or 100
    after: str = call.query.get("after") or ""

    def work(tx: Transaction) -> list[str]:
        digits = digits_of(number)
        if not any(first <= digits <= last for first, last in spans_of_call_centre(tx, call.call_centre)):
            raise Problem(404, f"there is no number {number!r}")
        found = opt_out_ledger.listing(tx, number=number, after=(number, after), limit=limit + 1)
        return [entry.customer for entry in found]

    customers = await call.read(work)
    following = customers[limit - 1] if len(customers) > limit else None
    return json_response({"customers": customers[:limit], "next": following})


async def list_changes(call: Call) -> Response:
    """What this key has changed, the newest first."""
    limit: int = call.query.get("limit") or 100
    before: int | None = call.query.get("before")

    def work(tx: Transaction) -> list[audit.AuditRow]:
        since_us = _given_at(tx, call.key)
        return audit.read(tx, limit, before, who=call.who, since_us=since_us)

    rows = await call.read(work)
    told = [{"id": row.id, "at_us": row.at_us, "action": row.action, "kind": row.kind, "key": row.key} for row in rows]
    return json_response({"changes": told, "next": rows[-1].id if len(rows) == limit else None})


def _given_at(tx: Transaction, key: ApiKey) -> int:
    """Since when the key is this call centre's: a key of its name may have been another's before."""
    rows = audit.read(tx, 1000, kind=ApiKey.KIND, key=key.name)
    given = [row.at_us for row in rows if row.action == "added" or '"call_centre"' in row.detail]
    return max(given, default=0)


def read_before(words: str, field: str) -> int:
    """Read the id of a change.

    Raises: BadValue.
    """
    if not (words.isascii() and words.isdigit() and len(words) <= 18):
        raise BadValue(field, words, "must be what `next` was")
    return int(words)
