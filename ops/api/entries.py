"""Numbers, blocks, white lists, letters, the call centre: read and changed as the commands do, by the catalog.

Writes may be repeated: what is there already and equal is left alone, and a batch is taken whole or not at all. So no
request needs a key of its own to be safe to send again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from starlette.responses import Response

from ops.api.call import Call, in_thread, json_response, known_only
from ops.api.problems import FieldError, NameTaken, Problem, problem_of
from ops.api.schemas import HIDDEN, read_entry, read_patch, shown
from provisioning import Block, CallCentre, Number, catalog
from provisioning.e164 import parse_number
from provisioning.errors import BadValue, ClaimedByAnother, Duplicate, ProvisioningError, Refused
from provisioning.model import Entry, block_key
from provisioning.pages import read_page
from provisioning.rows import read_keys
from provisioning.syntax import read_name
from store import Transaction

MAX_BATCH: Final = 10_000
MAX_PAGE: Final = 1_000
# Keys as `next` tells them, of which a page begins behind: what is another kind's cannot be looked for.
NAME_CURSOR: Final = re.compile(r"\+?[a-z0-9._-]{1,63}", re.ASCII)
NUMBER_CURSOR: Final = re.compile(r"\+[0-9]{1,15}", re.ASCII)
_BLOCK_CURSOR: Final = re.compile(r"\+[0-9]{1,15}…\+[0-9]{1,15}", re.ASCII)
CURSORS: Final[dict[type[Entry], re.Pattern[str]]] = {Number: NUMBER_CURSOR, Block: _BLOCK_CURSOR}

Problems = list[tuple[int, ProvisioningError]]


async def show_call_centre(call: Call) -> Response:
    """The key's call centre."""
    return json_response(shown(await call.read(lambda tx: catalog.get(tx, CallCentre, call.call_centre))))


def key_in_path(kind: type[Entry], path: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The key that a path names, and its fields.

    Raises: Problem: what is no number names nothing.
    """
    try:
        if kind is Number:
            number = parse_number(path["number"])
            return number, {"number": number}
        if kind is Block:
            first, last = parse_number(path["first"]), parse_number(path["last"])
            return block_key(first, last), {"first": first, "last": last}
        name = read_name(path["name"], "name")
    except ProvisioningError as error:
        raise Problem(404, str(error)) from None
    return name, {"name": name}


def owned(tx: Transaction, kind: type[Entry], key: str, call_centre: str) -> Entry | None:
    """An entry of the call centre's; None when there is none, or it is another's (H13)."""
    found: Entry | None = read_keys(tx, kind, [key]).get(key)  # type: ignore[type-var]
    return found if found is not None and getattr(found, "call_centre", None) == call_centre else None


def owned_or_404(tx: Transaction, kind: type[Entry], key: str, call_centre: str) -> Entry:
    """An entry of the call centre's.

    Raises: Problem.
    """
    found = owned(tx, kind, key, call_centre)
    if found is None:
        raise Problem(404, f"there is no {kind.KIND} {key!r}")
    return found


def tag_of(entry: Entry) -> str:
    """The entity tag of an entry as it is told."""
    return f'"{hashlib.sha256(msgspec.json.encode(shown(entry))).hexdigest()[:16]}"'


def _check_tag(call: Call, entry: Entry | None) -> None:
    wanted = call.header("if-match")
    if not wanted:
        return
    if entry is None or (wanted.strip() != "*" and tag_of(entry) not in [tag.strip() for tag in wanted.split(",")]):
        raise Problem(412, "it is not as it was when you read it: read it again, and decide")


def told(entry: Entry, status: int = 200) -> Response:
    """An entry as an answer."""
    return json_response(shown(entry), status, {"ETag": tag_of(entry)})


async def list_entries(kind: type[Entry], name: str, call: Call) -> Response:
    """A page of entries."""
    limit: int = call.query.get("limit") or 100
    after: str = call.query.get("after") or ""
    page: list[Entry] = await call.read(
        lambda tx: read_page(tx, kind, call.call_centre, after, limit + 1)  # type: ignore[type-var]
    )
    following = page[limit - 1].key if len(page) > limit else None
    return json_response({name: [shown(entry) for entry in page[:limit]], "next": following})


async def show_entry(kind: type[Entry], call: Call) -> Response:
    """One entry."""
    key, _ = key_in_path(kind, call.path)
    return told(await call.read(lambda tx: owned_or_404(tx, kind, key, call.call_centre)))


async def put_entries(kind: type[Entry], name: str, call: Call) -> Response:
    """Make the call centre have all these entries; others are left alone."""
    given = await call.json()
    known_only(given, name)
    items = given.get(name)
    if not isinstance(items, list) or not items:
        raise Problem(
            422, f"give {name!r}", [FieldError(f"/{name}", f"must be a list of one to {MAX_BATCH:,} objects")]
        )
    if len(items) > MAX_BATCH:
        raise Problem(422, "too many", [FieldError(f"/{name}", f"has {len(items):,}, and may have {MAX_BATCH:,}")])
    entries, faults = await in_thread(lambda: _read_all(kind, call.call_centre, items))
    steps = [(name, index) for index in range(len(items))]
    if faults:
        raise problem_of(Refused(faults), steps)
    try:
        applied = await call.transact(partial(_apply, call, entries), rows=len(entries))
    except ProvisioningError as error:
        raise problem_of(error, steps) from None
    return json_response(applied)


def _read_all(kind: type[Entry], call_centre: str, items: Sequence[Any]) -> tuple[list[Entry], Problems]:
    """Read what a batch gives; in a thread, since 10,000 numbers take a third of a second."""
    entries: list[Entry] = []
    faults: Problems = []
    for index, item in enumerate(items):
        entry, problems = read_entry(kind, call_centre, item, {})  # type: ignore[type-var]
        faults += [(index, problem) for problem in problems]
        if entry is not None:
            entries.append(entry)
    return entries, faults


def _apply(call: Call, wanted: Sequence[Entry], tx: Transaction) -> catalog.Applied:
    """Put entries, with the settings that the call centre does not see as they are."""
    kind = type(wanted[0])
    catalog.hold(tx)
    there: dict[str, Entry] = read_keys(tx, kind, [entry.key for entry in wanted])  # type: ignore[type-var]
    refusals: Problems = []
    kept: list[Entry] = []
    seen: set[str] = set()
    for index, entry in enumerate(wanted):
        old = there.get(entry.key)
        if old is not None and getattr(old, "call_centre", None) != call.call_centre:
            refusals.append((index, _taken(entry)))
        elif entry.key in seen:
            refusals.append((index, Duplicate(entry.KIND, entry.key)))
        elif old is not None:
            entry = msgspec.structs.replace(entry, **{name: getattr(old, name) for name in HIDDEN[kind]})
        seen.add(entry.key)
        kept.append(entry)
    if refusals:
        raise Refused(refusals)
    return catalog.apply(tx, kept, who=call.who, now_us=call.now_us)


def _taken(entry: Entry) -> ProvisioningError:
    if isinstance(entry, (Number, Block)):
        return ClaimedByAnother(entry.key, entry.key, "")
    return NameTaken(entry.key)


async def put_entry(kind: type[Entry], call: Call) -> Response:
    """Make an entry be there, as given."""
    key, keys = key_in_path(kind, call.path)
    given = await call.json()
    entry, problems = read_entry(kind, call.call_centre, given, keys)  # type: ignore[type-var]
    if entry is None:
        raise problem_of(Refused(list(enumerate(problems))))
    wanted: Entry = entry

    def work(tx: Transaction) -> tuple[catalog.Applied, Entry]:
        catalog.hold(tx)
        _check_tag(call, owned(tx, kind, key, call.call_centre))
        applied = _apply(call, [wanted], tx)
        return applied, owned_or_404(tx, kind, key, call.call_centre)

    applied, now = await call.transact(work)
    return told(now, 201 if applied.added else 200)


async def patch_entry(kind: type[Entry], call: Call) -> Response:
    """Change some settings of an entry."""
    key, _ = key_in_path(kind, call.path)
    given = await call.json()

    def work(tx: Transaction) -> Entry:
        catalog.hold(tx)
        entry = owned_or_404(tx, kind, key, call.call_centre)
        _check_tag(call, entry)
        changed, problems = read_patch(entry, given)  # type: ignore[type-var]
        if changed is None:
            raise Refused(list(enumerate(problems)))
        catalog.update(tx, changed, who=call.who, now_us=call.now_us)
        return changed

    return told(await call.transact(work))


async def remove_entry(kind: type[Entry], call: Call) -> Response:
    """Remove an entry that nothing names any more."""
    key, _ = key_in_path(kind, call.path)

    def work(tx: Transaction) -> None:
        catalog.hold(tx)
        _check_tag(call, owned_or_404(tx, kind, key, call.call_centre))
        catalog.remove(tx, kind, key, who=call.who, now_us=call.now_us)  # type: ignore[type-var]

    await call.transact(work)
    return Response(status_code=204)


def read_after(cursor: re.Pattern[str], words: str, field: str) -> str:
    """Read the key after which a page begins.

    Args:
        cursor: what keys look like.
        words, field: what the query gives.

    Raises: BadValue.
    """
    if not cursor.fullmatch(words):
        raise BadValue(field, words[:80], "must be what `next` was")
    return words


def read_limit(words: str, field: str) -> int:
    """Read how many entries a page shall have.

    Raises: BadValue.
    """
    if not (words.isascii() and words.isdigit() and 1 <= int(words[:9]) <= MAX_PAGE):
        raise BadValue(field, words, f"must be 1 to {MAX_PAGE:,}")
    return int(words)
