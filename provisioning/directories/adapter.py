"""The contract of an adapter: what a directory is told, and what it answers.

An adapter is plain blocking code, which the publisher calls in a worker thread, one call at a time for each directory.
It keeps no state that a restart would miss: what was submitted, under which key, is in the store before the call, and
after a crash the same call is made again with the same keys. So each call must be idempotent: a directory that was told
the same twice stands as if it had been told once.

Nothing in a directory's answer is believed to be well-formed: whatever it says, an adapter answers one ``Answer`` for
each task, in the order of the tasks, or raises ``OSError`` when the directory could not be spoken to at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory is told of one number.

    Attributes:
        number: E.164.
        real_number: the number behind an 8xx, or ``number`` itself (H2).
        call_centre, title: whose it is: name and name for people.
        element: the identification element, canonical text (H8); empty when it has none.
        loa: name of the letter of authorization that covers it (H9).
        loa_digest: ``sha256:…`` of the signed document.
        network_id, entity_id, ip_address: the routing information (H6), empty when not given.
        texts_per_day: the volume that a white list tells to expect (H7); 0 when none does.
        white_list_reason: why so many.
    """

    number: str
    real_number: str
    call_centre: str
    title: str = ""
    element: str = ""
    loa: str = ""
    loa_digest: str = ""
    network_id: str = ""
    entity_id: str = ""
    ip_address: str = ""
    texts_per_day: int = 0
    white_list_reason: str = ""


class Task(msgspec.Struct, frozen=True):
    """One number to be published, withdrawn or looked up.

    Attributes:
        key: names this submission for the directory: the same whenever it is repeated, another when the content is.
        listing: what to tell; of a withdrawal the number is what counts.
        remote_id: the directory's own name of an earlier submission of it, or empty.
    """

    key: str
    listing: Listing
    remote_id: str = ""


class Finding(Enum):
    """How a number stands in a directory, after a call."""

    ACTIVE = "active"  # it is there, with this content, and ours
    SUBMITTED = "submitted"  # the directory has it and has not decided: look it up later
    ABSENT = "absent"  # it is not there (after a withdrawal: as wished)
    REFUSED = "refused"  # for good: an operator has to look
    CONFLICT = "conflict"  # another owner has it: nothing was changed
    DIFFERS = "differs"  # it is there and ours, with other content
    LATER = "later"  # nothing was decided: try again


class Answer(msgspec.Struct, frozen=True):
    """What a directory said of one task.

    Attributes:
        finding: how the number stands now.
        reason: in a few words what it said, for people; bounded, printable.
        remote_id: the directory's own name of the submission, when it gave one.
        after_s: with LATER and SUBMITTED: do not ask again before so many seconds; 0 for the publisher's own wait.
    """

    finding: Finding
    reason: str = ""
    remote_id: str = ""
    after_s: float = 0.0


class Adapter(Protocol):
    """Speaks to one directory."""

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """Put numbers in, or bring them to this content.

        Claims nothing that another owner has (CONFLICT).
        """
        ...

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """Take numbers out: ABSENT when they are gone, SUBMITTED when that takes time."""
        ...

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """Look numbers up: ACTIVE, DIFFERS, ABSENT, CONFLICT, SUBMITTED, REFUSED."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
