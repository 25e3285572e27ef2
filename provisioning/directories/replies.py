"""What a registry said of numbers, turned into answers. Pure; shared by the protocols that registries speak.

The theory
    A protocol reads an answer into entries: each says how one number stands, and under which key. Nothing says that
    a registry answers what it was asked: entries may be missing, come twice, contradict each other, or be of numbers
    that nobody asked for. So each task looks for its own entries, and what is of nobody is left out:

    - none, or one under its key with another number: nothing was decided (LATER);
    - several that say the same: one answer; that contradict each other: LATER;
    - one: the state, as the table of that call reads it. A state that cannot follow from the call (a number "active"
      after it was taken out) is LATER too: the next look-up tells.

    Only ``active`` with the content that we want is ACTIVE. What else a registry lists of a number, beside our fields,
    is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from provisioning.directories.adapter import Answer, Finding, Listing, Task

MAX_REASON: Final = 200
"""Characters of a registry's reason that are kept: a line of a table."""

MAX_REMOTE_ID: Final = 100

MAX_AFTER_S: Final = 86_400.0
"""A registry may put us off for a day; one that says a year is asked again tomorrow."""


class State(StrEnum):
    """How a number stands, as the registries of this package say it."""

    ACTIVE = "active"
    PENDING = "pending"
    REFUSED = "refused"
    ABSENT = "absent"
    TAKEN = "taken"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry said of one number.

    Attributes:
        number: of which.
        state: how it stands.
        key: of the submission that this answers; empty in look-ups.
        reason: in words.
        remote_id: the registry's name of it.
        after_s: when it asks to be asked again; 0 when it does not.
        listing: what is in force (or, pending, what is to be), when the registry told; None when it did not, or what it
            told cannot be read.
    """

    number: str
    state: State
    key: str = ""
    reason: str = ""
    remote_id: str = ""
    after_s: float = 0.0
    listing: Listing | None = None


def clean(text: str, most: int = MAX_REASON) -> str:
    """Make a registry's words fit to be shown: printable, on one line, bounded."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return words if len(words) <= most else words[: most - 1] + "…"


def bounded_wait_s(seconds: float) -> float:
    """A wait that a registry asked for, within bounds; what is none (negative, infinite) is 0, or the longest."""
    return min(seconds, MAX_AFTER_S) if seconds > 0 else 0.0


_PUBLISHED: Final = {
    State.ACTIVE: Finding.ACTIVE,
    State.PENDING: Finding.SUBMITTED,
    State.REFUSED: Finding.REFUSED,
    State.TAKEN: Finding.CONFLICT,
}
_WITHDRAWN: Final = {
    State.ABSENT: Finding.ABSENT,
    State.PENDING: Finding.SUBMITTED,
    State.REFUSED: Finding.REFUSED,
    State.TAKEN: Finding.CONFLICT,
}
_LOOKED_UP: Final = {
    State.ACTIVE: Finding.ACTIVE,
    State.PENDING: Finding.SUBMITTED,
    State.REFUSED: Finding.REFUSED,
    State.ABSENT: Finding.ABSENT,
    State.TAKEN: Finding.CONFLICT,
}

_TAKEN_REASON: Final = "another owner has the number"


def answers_to_publish(tasks: Sequence[Task], entries: Iterable[Entry]) -> list[Answer]:
    """Answer the tasks of a submission, in their order."""
    return _by_key(tasks, entries, lambda task, entry: _read(_PUBLISHED, entry, "after it was submitted"))


def answers_to_withdraw(tasks: Sequence[Task], entries: Iterable[Entry]) -> list[Answer]:
    """Answer the tasks of a withdrawal, in their order."""
    return _by_key(tasks, entries, lambda task, entry: _read(_WITHDRAWN, entry, "after it was withdrawn"))


def answers_to_confirm(tasks: Sequence[Task], entries: Iterable[Entry]) -> list[Answer]:
    """Answer the tasks of a look-up, in their order: an active number is held against its listing."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.number, []).append(entry)
    return [_one(task, found.get(task.listing.number, []), _look) for task in tasks]


def differences(wanted: Listing, there: Listing) -> list[str]:
    """Name the fields in which a listing is not what was wanted."""
    return [name for name in wanted.__struct_fields__ if getattr(wanted, name) != getattr(there, name)]


def read_listing(fields: Mapping[str, Any]) -> Listing | None:
    """Make a listing of a registry's fields; None when one has the wrong type, or none is the number."""
    try:
        return msgspec.convert({"real_number": "", "call_centre": "", **fields}, Listing)
    except msgspec.ValidationError:
        return None


Reader = Callable[[Task, Entry], Answer]


def _by_key(tasks: Sequence[Task], entries: Iterable[Entry], read: Reader) -> list[Answer]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.key, []).append(entry)
    return [_one(task, found.get(task.key, []), read) for task in tasks]


def _one(task: Task, entries: list[Entry], read: Reader) -> Answer:
    if not entries:
        return Answer(Finding.LATER, "the registry answered nothing about it")
    first = entries[0]
    if any(entry != first for entry in entries[1:]):
        return Answer(Finding.LATER, "the registry answered twice, and not the same")
    if first.number != task.listing.number:
        return Answer(Finding.LATER, f"the registry answered for another number: {clean(first.number, 20)}")
    return read(task, first)


def _read(table: Mapping[State, Finding], entry: Entry, when: str) -> Answer:
    finding = table.get(entry.state)
    reason = clean(entry.reason) or (_TAKEN_REASON if entry.state is State.TAKEN else "")
    if finding is None:
        return Answer(Finding.LATER, f"the registry says '{entry.state}' {when}", clean(entry.remote_id, MAX_REMOTE_ID))
    after_s = bounded_wait_s(entry.after_s) if finding is Finding.SUBMITTED else 0.0
    return Answer(finding, reason, clean(entry.remote_id, MAX_REMOTE_ID), after_s)


def _look(task: Task, entry: Entry) -> Answer:
    answer = _read(_LOOKED_UP, entry, "when it was looked up")
    if answer.finding is not Finding.ACTIVE:
        return answer
    if entry.listing is None:
        return Answer(Finding.LATER, "the registry did not tell what it lists", answer.remote_id)
    names = differences(task.listing, entry.listing)
    if not names:
        return answer
    because = f": {answer.reason}" if answer.reason else ""
    return Answer(Finding.DIFFERS, clean(f"other {', '.join(names)}{because}"), answer.remote_id)
