"""Why provisioning refuses. Attributes carry the facts; every message shows the offending value and what to do.

No message names the call centre that owns a number already: what one call centre has is invisible to another (H13).
The attribute ``owner`` tells it to an operator's tool.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Answer ``"; did you mean 'x'?"`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class ProvisioningError(Exception):
    """Root of every refusal."""


class BadValue(ProvisioningError):
    """A field holds what it may not.

    Attributes:
        field: the field's name.
        value: what it holds; ``"***"`` when it is a secret.
        why: what is wrong and what to do.
        index: which element of a list, from 0; None when the field is no list.
    """

    index: int | None = None

    def __init__(self, field: str, value: object, why: str) -> None:
        super().__init__(f"{field}: {why}" if value is None else f"{field} = {value!r}: {why}")
        self.field = field
        self.value = value
        self.why = why


class MalformedNumber(BadValue):
    """A telephone number that is none."""

    def __init__(self, value: str, why: str, field: str = "number") -> None:
        super().__init__(field, value, why)


class BadAlias(BadValue):
    """An 8xx that stands for what it cannot stand for, or an alias that is no 8xx (H2)."""


class Duplicate(ProvisioningError):
    """It exists already.

    Attributes:
        kind: ``"number"``, ``"link"`` …
        key: its name.
    """

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"{kind} {key!r} exists already: use `set` to change it, or remove it first")
        self.kind = kind
        self.key = key


class ClaimedByAnother(ProvisioningError):
    """A number or block belongs to another call centre, alone, inside a block, or behind an 8xx.

    Attributes:
        value: what was asked for.
        claim: the number or block that stands in the way.
        owner: the call centre that has it; not in the message.
    """

    def __init__(self, value: str, claim: str, owner: str) -> None:
        inside = "" if claim == value else f" (it meets {claim})"
        super().__init__(
            f"{value!r} is claimed by another call centre{inside}: remove it there first, or correct the number"
        )
        self.value = value
        self.claim = claim
        self.owner = owner


class BlockOverlap(ProvisioningError):
    """Two blocks share numbers.

    Attributes:
        value: the block asked for.
        other: the block that is there.
    """

    def __init__(self, value: str, other: str) -> None:
        super().__init__(f"block {value!r} overlaps block {other!r}: remove that one, or choose bounds beside it")
        self.value = value
        self.other = other


class UnknownEntry(ProvisioningError):
    """Nothing has that name.

    Attributes:
        kind, key: what was looked for.
    """

    def __init__(self, kind: str, key: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"there is no {kind} {key!r}{did_you_mean(key, known) or ': see `list`'}")
        self.kind = kind
        self.key = key


class UnknownReference(ProvisioningError):
    """An entry names another that does not exist.

    Attributes:
        kind, key: the entry.
        field, value: the name it gives.
    """

    def __init__(self, kind: str, key: str, field: str, value: str, known: Iterable[str] = ()) -> None:
        hint = did_you_mean(value, known) or ": add it first, or correct the name"
        super().__init__(f"{kind} {key!r}: {field} = {value!r} does not exist{hint}")
        self.kind = kind
        self.key = key
        self.field = field
        self.value = value


class StillInUse(ProvisioningError):
    """Others name it.

    Attributes:
        kind, key: what was to go.
        users: who names it, ten at most.
    """

    def __init__(self, kind: str, key: str, users: Sequence[str]) -> None:
        super().__init__(f"{kind} {key!r} is still used by {', '.join(users)}: remove, change or withdraw these first")
        self.kind = kind
        self.key = key
        self.users = tuple(users)


class SignedLetter(ProvisioningError):
    """A letter of authorization is signed, and would say something else than its owner signed (H9).

    Attributes:
        key: the letter.
        field: what was to change.
    """

    def __init__(self, key: str, field: str, why: str) -> None:
        super().__init__(f"loa {key!r}: {field} cannot change: it is signed, {why}")
        self.key = key
        self.field = field


class UnreadableSecret(ProvisioningError):
    """A secret's file or variable cannot be read.

    Attributes:
        reference: ``"file /path"`` or ``"env NAME"``; never the secret.
        why: what went wrong.
    """

    def __init__(self, reference: str, why: str) -> None:
        super().__init__(f"the secret in {reference} cannot be read: {why}")
        self.reference = reference
        self.why = why


class Refused(ProvisioningError):
    """Some of a batch is refused, therefore all of it: nothing was written.

    Attributes:
        refusals: index in the batch and error, in the order of the batch.
    """

    def __init__(self, refusals: Sequence[tuple[int, ProvisioningError]]) -> None:
        super().__init__("\n".join(str(error) for _, error in refusals))
        self.refusals = tuple(refusals)
