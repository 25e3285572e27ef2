"""What is said to a REST registry, and what it says, as JSON (docs/reference/directory-rest.md). Pure.

Answers are read in two steps: the outside first, then each entry by itself, so that one entry that cannot be read
costs that entry and no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from provisioning.directories.adapter import Listing, Task
from provisioning.directories.replies import Entry, State, clean, read_listing

MAX_ITEMS: Final = 1000
"""Items in one request; what the OpenAPI document says."""

_T = TypeVar("_T")

PUBLISH: Final = "publish"
WITHDRAW: Final = "withdraw"


class Unreadable(ValueError):
    """An answer is not what the protocol says."""


class _Submitted(msgspec.Struct):
    items: list[msgspec.Raw]


class _LookedUp(msgspec.Struct):
    records: list[msgspec.Raw]


class _Entry(msgspec.Struct):
    number: str
    state: State
    key: str = ""
    reason: str = ""
    record_id: str = ""
    retry_after_s: float = 0.0
    listing: dict[str, Any] | None = None


def listing_fields(listing: Listing) -> dict[str, Any]:
    """The fields of a listing that are given, for JSON and XML alike: what is empty is left out."""
    fields = {name: getattr(listing, name) for name in listing.__struct_fields__}
    return {name: value for name, value in fields.items() if value}


def write_submission(tasks: Sequence[Task], action: str) -> bytes:
    """Write the body of ``POST /submissions``; the same tasks give the same octets."""
    items: list[dict[str, Any]] = [
        {"key": task.key, "action": action, "listing": listing_fields(task.listing)}
        if action == PUBLISH
        else {"key": task.key, "action": action, "number": task.listing.number}
        for task in tasks
    ]
    return msgspec.json.encode({"items": items})


def write_lookup(tasks: Sequence[Task]) -> bytes:
    """Write the body of ``POST /lookups``. A number is asked for once."""
    return msgspec.json.encode({"numbers": list(dict.fromkeys(task.listing.number for task in tasks))})


def idempotency_key(tasks: Iterable[Task], action: str) -> str:
    """Name a request by what is in it: the same after a crash, another as soon as one task is another."""
    digest = hashlib.sha256(action.encode())
    for task in tasks:
        digest.update(b"\n" + task.key.encode() + b" " + task.listing.number.encode())
    return digest.hexdigest()


def read_submitted(body: bytes) -> list[Entry]:
    """Read the answer to a submission. Raises: Unreadable."""
    return _entries(_outside(body, _Submitted).items)


def read_looked_up(body: bytes) -> list[Entry]:
    """Read the answer to a look-up. Raises: Unreadable."""
    return _entries(_outside(body, _LookedUp).records)


def read_problem(body: bytes) -> str:
    """The words of a problem document (RFC 9457), or nothing when it is none."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return clean(str(problem.get("detail") or problem.get("title") or ""))


def _outside(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the registry's answer is not what was agreed: {clean(str(error), 100)}") from None


def _entries(raws: Iterable[msgspec.Raw]) -> list[Entry]:
    entries = []
    for raw in raws:
        try:
            found = msgspec.json.decode(raw, type=_Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # its task finds no entry, and says so
        entries.append(
            Entry(
                number=found.number,
                state=found.state,
                key=found.key,
                reason=found.reason,
                remote_id=found.record_id,
                after_s=found.retry_after_s,
                listing=None if found.listing is None else read_listing(found.listing),
            )
        )
    return entries
