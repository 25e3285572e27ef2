"""The ways texts take over the network side: groups of links, and routes to them. Pure, immutable.

See ``model`` for what the annotations are for.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.annotations import DAY_S, Gap, InDoubt, MaxAttempts, Validity
from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.hours import read_hours, read_time_zone

MAX_MEMBERS = 100  # each is asked for its room whenever the group's texts are given out
MAX_HOURS = 50

AGREED = ("alphabets", "default_alphabet", "long_message", "packed", "transliterate")
"""What the links of a group have in common, so that a text is cut alike whichever of them carries it."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Links that stand in for each other: one endpoint, whose texts any of them carries, in order."""

    KIND: ClassVar[str] = "group"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    links: Annotated[
        tuple[str, ...],
        spec(
            "Its links, each with '=' and a weight of 1 to 1000 when that is not 1: 'acme=3' carries three times what "
            "'other' does. A link is in one group at most.",
            read=syntax.read_member,
        ),
    ]
    standby: Annotated[
        tuple[str, ...], spec("Links that are used only while none of the others is bound.", read=syntax.read_name)
    ] = ()
    resend_refused: Annotated[
        bool, spec("A part that one link finally refuses is tried by the others before its text is a dead letter.")
    ] = True
    gap_ms: Gap = 100
    validity_s: Validity = 2 * DAY_S
    max_attempts: MaxAttempts = 50
    in_doubt: InDoubt = "resend"

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def endpoint(self) -> str:
        """``group:`` and its name."""
        return f"group:{self.name}"

    @property
    def members(self) -> tuple[tuple[str, int], ...]:
        """Its links that are no standby: name and weight of each."""
        return tuple((name, int(weight or 1)) for name, _, weight in (link.partition("=") for link in self.links))

    @property
    def link_names(self) -> tuple[str, ...]:
        """All its links by name, the standby last."""
        return (*(name for name, _ in self.members), *self.standby)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where texts to numbers that are no call centre's go: the longest prefix wins, then cost, then weight.

    A prefix may have several routes, each to another endpoint.
    """

    KIND: ClassVar[str] = "route"

    prefix: Annotated[
        str,
        spec(
            "Beginning of the destination: '+1617', '*' for all, digits alone for short codes.",
            key=True,
            read=syntax.read_prefix,
        ),
    ]
    endpoint: Annotated[
        str,
        spec(
            "'link:NAME', 'group:NAME' or 'account:SYSTEM_ID'. A prefix may have a route to each.",
            key=True,
            read=syntax.read_endpoint,
        ),
    ]
    element: Annotated[
        str,
        spec(
            "Only for destinations with this identification element (by an ENUM answer), and then before all routes "
            "that ask for none (H8).",
            read=syntax.read_element,
        ),
    ] = ""
    cost: Annotated[float, spec("Of the routes of one prefix the cheapest is taken.", minimum=0, maximum=1_000_000)] = (
        0.0
    )
    weight: Annotated[
        int,
        spec(
            "Share of the customers among routes of one prefix that cost the same; a customer stays with one.",
            minimum=1,
            maximum=1000,
        ),
    ] = 1
    hours: Annotated[
        tuple[str, ...],
        spec(
            "When it may be taken, by the clock of time_zone: 'Mon-Fri 08:00-18:00', 'Sat 09:00-12:00'; always when "
            "empty. '22:00-06:00' goes on into the next day.",
            read=read_hours,
        ),
    ] = ()
    time_zone: Annotated[str, spec("The time zone of its hours, as in 'America/New_York'.", read=read_time_zone)] = (
        "UTC"
    )

    @property
    def key(self) -> str:
        """Prefix and endpoint with ``→`` between."""
        return route_key(self.prefix, self.endpoint)


def route_key(prefix: str, endpoint: str) -> str:
    """The name of a route."""
    return f"{prefix}→{endpoint}"


def check_group(group: Group) -> list[BadValue]:
    """Check what the settings of a group say of each other."""
    problems = []
    if not group.links:
        problems.append(BadValue("links", [], "name one at least"))
    if len(group.link_names) > MAX_MEMBERS:
        problems.append(BadValue("links", f"{len(group.link_names)} links", f"at most {MAX_MEMBERS}"))
    seen: set[str] = set()
    told = [("links", name) for name, _ in group.members] + [("standby", name) for name in group.standby]
    for field, name in told:
        if name in seen:
            problems.append(BadValue(field, name, "is named twice: keep one"))
        seen.add(name)
    return problems


def check_route(route: Route) -> list[BadValue]:
    """Check what the settings of a route say of each other."""
    if len(route.hours) > MAX_HOURS:
        return [BadValue("hours", f"{len(route.hours)} spans", f"at most {MAX_HOURS}")]
    if route.time_zone not in ("", "UTC") and not route.hours:
        return [BadValue("time_zone", route.time_zone, "means nothing without hours: leave it out, or give hours")]
    return []
