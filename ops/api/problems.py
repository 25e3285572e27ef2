"""Refusals as problem details (RFC 9457). Pure.

Every error of a request is told at once, each with a JSON Pointer (RFC 6901) into the body. A message never names what
belongs to another call centre (H13): a number that another has is "not available", whoever has it and how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from provisioning.errors import (
    BadValue,
    BlockOverlap,
    ClaimedByAnother,
    Duplicate,
    ProvisioningError,
    Refused,
    SignedLetter,
    StillInUse,
    UnknownEntry,
    UnknownReference,
)
from provisioning.letters import OtherTerms
from provisioning.loa_documents import DamagedDocument, NoDocument
from provisioning.publication import NotCovered, PublishedByAnother

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100  # of 10,000 numbers that are all wrong in one way, the first say it

TITLES: dict[int, str] = {
    400: "The request cannot be read",
    401: "A valid key is needed",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "Not by this method",
    408: "The body did not come in time",
    409: "What is there stands in the way",
    412: "It has changed meanwhile",
    413: "The body is too large",
    415: "Not in this media type",
    422: "The values are refused",
    429: "Too many requests",
    500: "A fault of the hub's",
    503: "The hub cannot do this now",
}


class NameTaken(ProvisioningError):
    """A name is another call centre's; names of letters and white lists are the whole hub's."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the name {key!r} is not available: choose another, for example with your own name before it")


_OPERATORS = ("call_centre", "link", "default_link")  # settings that a call centre neither gives nor sees
_CONFLICTS = (
    BlockOverlap,
    ClaimedByAnother,
    Duplicate,
    NameTaken,
    OtherTerms,
    PublishedByAnother,
    SignedLetter,
    StillInUse,
)


class FieldError(msgspec.Struct, frozen=True):
    """One error.

    Attributes:
        pointer: where in the body; empty for all of it.
        detail: what is wrong and what to do.
    """

    pointer: str
    detail: str


class Problem(Exception):
    """A request is refused.

    Attributes:
        status: of the answer.
        detail: what is wrong, in words.
        errors: each error of the body.
        headers: that the answer has beside.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Its JSON."""
        told: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Refused"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            told["errors"] = self.errors[:MAX_ERRORS]
        return msgspec.json.encode(told)


def pointer_to(*steps: str | int | None) -> str:
    """A JSON Pointer of these steps; None and empty ones are left out."""
    told = [str(step).replace("~", "~0").replace("/", "~1") for step in steps if step not in (None, "")]
    return "".join(f"/{step}" for step in told)


def field_error(error: ProvisioningError, *steps: str | int) -> FieldError:
    """An error of one entry, which is at ``steps`` in the body."""
    if isinstance(error, BadValue):
        shown = f"{error.value!r}: " if error.value is not None and not isinstance(error.value, (dict, list)) else ""
        return FieldError(pointer_to(*steps, error.field, error.index), shown + error.why)
    if isinstance(error, ClaimedByAnother):
        return FieldError(
            pointer_to(*steps), f"{error.value!r} is not available: correct it, or ask the hub's operator"
        )
    if isinstance(error, UnknownReference) and error.field in _OPERATORS:
        return FieldError(pointer_to(*steps), "a setting of the operator's stands in the way: ask the hub's operator")
    return FieldError(pointer_to(*steps), str(error))


def problem_of(error: ProvisioningError, steps: Sequence[Sequence[str | int]] = ()) -> Problem:
    """What a refusal of provisioning is as an answer.

    Args:
        error: the refusal.
        steps: where in the body each entry of a batch is; empty when the body is the entry.
    """
    parts = list(error.refusals) if isinstance(error, Refused) else [(0, error)]
    errors = [field_error(part, *(steps[index] if index < len(steps) else ())) for index, part in parts]
    status = _status(part for _, part in parts)
    more = f"; the first {MAX_ERRORS} are told" if len(errors) > MAX_ERRORS else ""
    detail = errors[0].detail if len(errors) == 1 else f"{len(errors)} values are refused{more}: nothing was changed"
    return Problem(status, detail, errors)


def _status(parts: Any) -> int:
    found = {_status_of(part) for part in parts}
    return found.pop() if len(found) == 1 else 422


def _status_of(error: ProvisioningError) -> int:
    if isinstance(error, (*_CONFLICTS, NotCovered, NoDocument)):
        return 409
    if isinstance(error, DamagedDocument):
        return 500
    return 404 if isinstance(error, UnknownEntry) else 422
