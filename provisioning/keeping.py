"""How long what is kept: retention rules and legal holds of call centres (H36). Pure, immutable.

See ``model`` for what the annotations are for.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.errors import BadValue
from provisioning.fields import spec

ACTIONS = ("erase", "archive")
TYPES = ("text", "binary", "receipt")
CLASSES = ("delivered", "undeliverable", "dead", "handed-over", "dropped")


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: which messages of a call centre are kept how long, and what becomes of them then (H36).

    The first rule by ``order`` that fits a message decides.
    """

    KIND: ClassVar[str] = "retention"

    name: Annotated[str, spec("Its name in commands and logs.", key=True, read=syntax.read_name)]
    call_centre: Annotated[
        str, spec("Whose messages; those of all, and those in transit, when not given.", read=syntax.read_name)
    ] = ""
    order: Annotated[int, spec("Rules are tried in this order.", minimum=0, maximum=10_000)] = 100
    period_days: Annotated[
        float, spec("How long a message is kept after its end.", unit="days", minimum=0, maximum=36_500)
    ]
    action: Annotated[
        str, spec("What becomes of it then: it is erased, or archived and then erased.", choices=ACTIONS)
    ] = "erase"
    types: Annotated[tuple[str, ...], spec("Only of these types; all when empty.", choices=TYPES)] = ()
    classes: Annotated[tuple[str, ...], spec("Only those that ended so; all when empty.", choices=CLASSES)] = ()
    least_characters: Annotated[
        int, spec("Only texts of so many characters or more.", unit="characters", minimum=0, maximum=100_000)
    ] = 0
    origins: Annotated[
        tuple[str, ...], spec("Only from these senders, or beginnings ended by '*'.", read=syntax.read_source)
    ] = ()
    destinations: Annotated[
        tuple[str, ...], spec("Only to these recipients, or beginnings ended by '*'.", read=syntax.read_source)
    ] = ()
    topics: Annotated[tuple[str, ...], spec("Only of threads with one of these products.", minimum=1, maximum=128)] = ()

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


class LegalHold(msgspec.Struct, frozen=True, kw_only=True):
    """What no rule and no request may erase while it stands (H36)."""

    KIND: ClassVar[str] = "legal-hold"

    name: Annotated[str, spec("Its name in commands and logs.", key=True, read=syntax.read_name)]
    call_centre: Annotated[str, spec("Whose messages.", read=syntax.read_name)]
    customers: Annotated[
        tuple[str, ...],
        spec("Only with these customers, or beginnings ended by '*'; all when empty.", read=syntax.read_source),
    ] = ()
    received_from: Annotated[str, spec("Only received on this day (UTC) or later.", read=syntax.read_day)] = ""
    received_until: Annotated[str, spec("Only received on this day (UTC) or before.", read=syntax.read_day)] = ""
    reason: Annotated[str, spec("The matter that it is for.", minimum=1, maximum=200)]

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


def check_legal_hold(hold: LegalHold) -> list[BadValue]:
    """Check what the settings of a hold say of each other."""
    if hold.received_until and hold.received_until < hold.received_from:
        return [BadValue("received_until", hold.received_until, f"is before received_from, {hold.received_from}")]
    return []
