"""What a simulated registry keeps, and how it decides. Pure: the time is an argument, the file is ``registry_state``'s.

The theory
    Of each number the book knows who holds it, with what listing (``Holding``); what each owner has asked for and is
    not decided (``Pending``); and what was refused an owner last (``Refusal``). A number is somebody's as soon as they
    hold it or have asked for it: nobody else may then.

    A submission is named by its key. The key that a number was last changed under, or is to be changed under, names
    what stands already: told again, it changes nothing and is answered with how the number stands now. What was
    refused is looked at anew each time. A withdrawal needs no such memory: what is not there stays so.

    A decision comes at once, or ``decide_after_s`` later: whoever asks meanwhile hears "pending". Decisions that have
    come due are made before anything else is done with the book.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from ops.simulators.registry_behaviour import Behaviour
from provisioning.directories.replies import State

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{1,14}")

NO_NUMBER: Final = "no E.164 number"
NO_LETTER: Final = "no letter of authorization"
TAKEN: Final = "another owner has it"

Listing = dict[str, Any]
"""By the names of the OpenAPI document."""


class Action(StrEnum):
    """What is asked for."""

    PUBLISH = "publish"
    WITHDRAW = "withdraw"


class Wish(msgspec.Struct, frozen=True):
    """What an owner asks for, of one number.

    Attributes:
        key: names it.
        action: what to do.
        listing: of a withdrawal the number alone.
    """

    key: str
    action: Action
    listing: Listing

    @property
    def number(self) -> str:
        """Which number."""
        return str(self.listing["number"])


class Holding(msgspec.Struct, frozen=True):
    """What is in force of a number."""

    owner: str
    key: str
    record_id: str
    listing: Listing


class Pending(msgspec.Struct, frozen=True):
    """What waits for a decision."""

    wish: Wish
    record_id: str
    decide_at_us: int


class Refusal(msgspec.Struct, frozen=True):
    """What was refused last."""

    record_id: str
    reason: str


class Entry(msgspec.Struct):
    """All that the book knows of a number.

    Attributes:
        holding: who has it, or None.
        pending, refused: by owner.
    """

    holding: Holding | None = None
    pending: dict[str, Pending] = {}
    refused: dict[str, Refusal] = {}

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known of the number."""
        return self.holding is None and not self.pending and not self.refused


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a number stands for an owner."""

    number: str
    state: State
    record_id: str = ""
    reason: str = ""
    retry_after_s: float = 0.0
    listing: Listing | None = None


class Book:
    """The numbers of a registry.

    Attributes:
        entries: by number.
        changed: numbers whose entry was changed since this was emptied.
        applied: how many changes were made, ever; a repetition makes none.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.changed: set[str] = set()
        self.applied = 0
        self._next_id = 1
        self._due: list[tuple[int, str, str]] = []  # when, number, owner

    # --- What was there before ---------------------------------------------------------------------------------------

    def restore(self, number: str, entry: Entry) -> None:
        """Put an entry of an earlier run in place."""
        self.entries.pop(number, None)
        if entry.is_blank:
            return
        self.entries[number] = entry
        ids = [pending.record_id for pending in entry.pending.values()]
        ids += [refusal.record_id for refusal in entry.refused.values()]
        ids += [entry.holding.record_id] if entry.holding is not None else []
        self._next_id = max([self._next_id, *(int(name.removeprefix("r")) + 1 for name in ids)])
        for owner, pending in entry.pending.items():
            heapq.heappush(self._due, (pending.decide_at_us, number, owner))

    # --- What owners ask ---------------------------------------------------------------------------------------------

    def submit(self, owner: str, wishes: Iterable[Wish], behaviour: Behaviour, now_us: int) -> list[Standing]:
        """Do what an owner asks for, or take it up; answers how each number stands then."""
        self.settle(behaviour, now_us)
        return [self._take_up(owner, wish, behaviour, now_us) for wish in wishes]

    def look_up(self, owner: str, numbers: Sequence[str], behaviour: Behaviour, now_us: int) -> list[Standing]:
        """Say how numbers stand for an owner."""
        self.settle(behaviour, now_us)
        return [self._standing(owner, number, now_us) for number in numbers]

    def numbers_of(self, owner: str, after: str, limit: int, behaviour: Behaviour, now_us: int) -> list[Standing]:
        """An owner's numbers behind ``after``, in order."""
        self.settle(behaviour, now_us)
        own = [
            number
            for number, entry in self.entries.items()
            if number > after and (owner in entry.pending or (entry.holding and entry.holding.owner == owner))
        ]
        return [self._standing(owner, number, now_us) for number in heapq.nsmallest(limit, own)]

    def give(self, number: str, owner: str) -> None:
        """Put a number into somebody's hands, whoever had it."""
        listing = {"number": number, "loa": "given"}
        self.entries[number] = Entry(Holding(owner, "given", self._new_id(), listing))
        self._note(number)

    def release(self, number: str) -> None:
        """Take a number from whoever has it."""
        if self.entries.pop(number, None) is not None:
            self._note(number)

    def settle(self, behaviour: Behaviour, now_us: int) -> None:
        """Make the decisions that have come due."""
        while self._due and self._due[0][0] <= now_us:
            due_us, number, owner = heapq.heappop(self._due)
            entry = self.entries.get(number)
            pending = entry.pending.get(owner) if entry is not None else None
            if pending is not None and pending.decide_at_us == due_us:
                self._decide(owner, pending.wish, pending.record_id, behaviour)

    # --- How ----------------------------------------------------------------------------------------------------------

    def _take_up(self, owner: str, wish: Wish, behaviour: Behaviour, now_us: int) -> Standing:
        number = wish.number
        if not _NUMBER.fullmatch(number):
            return Standing(number=number[:40], state=State.REFUSED, reason=NO_NUMBER)
        if self._is_others(owner, number):
            return Standing(number=number, state=State.TAKEN, reason=TAKEN)
        entry = self.entries.get(number, Entry())
        pending = entry.pending.get(owner)
        in_force = entry.holding is not None and entry.holding.key == wish.key and pending is None
        repeated = in_force and wish.action is Action.PUBLISH
        nothing_there = wish.action is Action.WITHDRAW and entry.holding is None and pending is None
        if repeated or (pending is not None and pending.wish == wish):
            return self._standing(owner, number, now_us)
        if nothing_there and owner not in entry.refused:
            return Standing(number=number, state=State.ABSENT)
        record_id = self._new_id()
        if behaviour.decide_after_s and not nothing_there:
            entry = self.entries.setdefault(number, Entry())
            decide_at_us = now_us + round(behaviour.decide_after_s * 1e6)
            entry.pending[owner] = Pending(wish, record_id, decide_at_us)
            heapq.heappush(self._due, (decide_at_us, number, owner))
            self._note(number)
        else:
            self._decide(owner, wish, record_id, behaviour)
        return self._standing(owner, number, now_us)

    def _decide(self, owner: str, wish: Wish, record_id: str, behaviour: Behaviour) -> None:
        entry = self.entries.setdefault(wish.number, Entry())
        entry.pending.pop(owner, None)
        entry.refused.pop(owner, None)
        if wish.action is Action.WITHDRAW:
            entry.holding = None
        elif reason := _objection(wish, behaviour):
            entry.refused[owner] = Refusal(record_id, reason)
        else:
            entry.holding = Holding(owner, wish.key, record_id, wish.listing)
        if entry.is_blank:
            del self.entries[wish.number]
        self._note(wish.number)

    def _standing(self, owner: str, number: str, now_us: int) -> Standing:
        entry = self.entries.get(number, Entry())
        refusal = entry.refused.get(owner)
        reason = refusal.reason if refusal is not None else ""
        if self._is_others(owner, number):
            return Standing(number=number, state=State.TAKEN, reason=TAKEN)
        if (pending := entry.pending.get(owner)) is not None:
            return Standing(
                number=number,
                state=State.PENDING,
                record_id=pending.record_id,
                retry_after_s=max(0.0, (pending.decide_at_us - now_us) / 1e6),
                listing=pending.wish.listing,
            )
        if (held := entry.holding) is not None:
            return Standing(
                number=number, state=State.ACTIVE, record_id=held.record_id, reason=reason, listing=held.listing
            )
        if refusal is not None:
            return Standing(number=number, state=State.REFUSED, record_id=refusal.record_id, reason=reason)
        return Standing(number=number, state=State.ABSENT)

    def _is_others(self, owner: str, number: str) -> bool:
        entry = self.entries.get(number)
        if entry is None:
            return False
        if entry.holding is not None:
            return entry.holding.owner != owner
        return any(other != owner for other in entry.pending)

    def _new_id(self) -> str:
        name = f"r{self._next_id}"
        self._next_id += 1
        return name

    def _note(self, number: str) -> None:
        self.changed.add(number)
        self.applied += 1


def _objection(wish: Wish, behaviour: Behaviour) -> str:
    """Why a registry refuses to list a number; empty when it does not."""
    if behaviour.wants_letter and not wish.listing.get("loa"):
        return NO_LETTER
    for prefix, reason in behaviour.refuses:
        if wish.number.startswith(prefix):
            return reason
    return ""
