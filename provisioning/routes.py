"""Which route a destination takes, and why. Pure.

A route can be taken when its prefix begins the destination, its endpoint is provisioned, it is open at that time, and
the element that it asks for, if any, is the destination's. Of those:

1. routes that ask for the destination's element come before routes that ask for none;
2. then the longest prefix;
3. then the lowest cost;
4. then a share by weight: each route draws a number from a digest of destination and endpoint, and the best draw wins
   (weighted rendezvous). A destination keeps its route for as long as that can be taken; when a route is shut or goes,
   only its own destinations move, to the others by their weights, and they come back with it.

What came from an endpoint never goes back to it. Where it shares with others, they take its part; where it is the only
best, the text is refused, and no worse route is looked for: that would send a carrier's strays out by another carrier.

``RouteTable.choose`` is asked for each text in transit. What does not depend on the time is sorted out when the table
is made, so that a prefix with one route that is always open costs a dictionary look-up; what is open is looked at once
a minute. ``RouteTable.explain`` comes to the same answer the slow way, for people; a property test holds them
together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from hashlib import blake2b
from math import log

import msgspec

from provisioning.hours import MINUTE_US, is_open
from provisioning.ways import Route

_DRAW_BITS = 53  # what a float holds exactly


class Standing(StrEnum):
    """Why a candidate was taken or passed over."""

    TAKEN = "taken"
    NOT_PROVISIONED = "its endpoint is not provisioned"
    OTHER_ELEMENT = "the destination has not the element it asks for"
    SHUT = "it is not open at this time"
    ELEMENT_FIRST = "a route for the destination's element comes first"
    SHORTER = "a longer prefix comes first"
    DEARER = "a cheaper route comes first"
    WHERE_FROM = "the text came from there"
    ANOTHERS_SHARE = "this destination is in another route's share"


class Candidate(msgspec.Struct, frozen=True):
    """A route whose prefix fits, and what became of it.

    Attributes:
        route: the route.
        standing: why it was taken or passed over.
    """

    route: Route
    standing: Standing


class RouteTable:
    """The routes of a snapshot.

    Args:
        routes: all of them.
        provisioned: the names of the endpoints that there are.

    Attributes:
        routes: all, as they were given.
    """

    __slots__ = ("_by_element", "_lengths", "_otherwise", "_provisioned", "_ways", "routes")

    def __init__(self, routes: Iterable[Route], provisioned: Collection[str]) -> None:
        self.routes = tuple(routes)
        self._provisioned = provisioned
        usable = [route for route in self.routes if route.endpoint in provisioned]
        self._ways = _ways_of([route for route in usable if not route.element])
        self._otherwise = self._ways.pop("", None)  # of the prefix of everything
        self._lengths = sorted({len(prefix) for prefix in self._ways}, reverse=True)
        self._by_element: dict[str, RouteTable] = {}
        for element in sorted({route.element for route in usable if route.element}):
            plain = [msgspec.structs.replace(route, element="") for route in usable if route.element == element]
            self._by_element[element] = RouteTable(plain, provisioned)

    def choose(self, destination: str, now_us: int, element: str = "", besides: Collection[str] = ()) -> str | None:
        """The network endpoint for a destination; None when no route can be taken.

        Args:
            destination: an E.164 number with its ``+``, or a short code.
            now_us: the time, microseconds UTC.
            element: the destination's identification element, canonical; empty when it is not known.
            besides: endpoints that take no share. One of them is answered all the same where it is the only best.
        """
        if element:
            table = self._by_element.get(element)
            chosen = table.choose(destination, now_us, "", besides) if table is not None else None
            if chosen is not None:
                return chosen
        ways = self._ways
        for length in self._lengths:
            way = ways.get(destination[:length])
            # A destination shorter than the prefix cannot equal it, for keys of this length have this length.
            if way is None:
                continue
            if way.__class__ is str:
                return way
            chosen = way.choose(destination, now_us, besides)  # type: ignore[union-attr]
            if chosen is not None:
                return chosen
        last = self._otherwise
        return last if last is None or last.__class__ is str else last.choose(destination, now_us, besides)  # type: ignore[union-attr]

    def explain(
        self, destination: str, now_us: int, element: str = "", besides: Collection[str] = ()
    ) -> tuple[Candidate, ...]:
        """Every route whose prefix fits, the best first, with what became of it; one of them is taken, or none.

        Args: as for ``choose``.
        """
        fitting = [route for route in self.routes if destination.startswith(_beginning(route))]
        fitting.sort(key=lambda route: (*_rank(route, element), route.endpoint))
        standings = {route.key: self._fault(route, now_us, element) for route in fitting}
        usable = [route for route in fitting if standings[route.key] is None]
        best = usable[0] if usable else None
        pool = [route for route in usable if best is not None and _rank(route, element) == _rank(best, element)]
        standings |= {route.key: Standing.WHERE_FROM for route in pool if route.endpoint in besides}
        shares = [(route.endpoint, route.weight) for route in pool if standings[route.key] is None]
        taken = _drawn(shares, destination) if shares else None
        return tuple(
            Candidate(route, standings[route.key] or _standing(route, best, taken, element)) for route in fitting
        )

    def _fault(self, route: Route, now_us: int, element: str) -> Standing | None:
        if route.endpoint not in self._provisioned:
            return Standing.NOT_PROVISIONED
        if route.element and route.element != element:
            return Standing.OTHER_ELEMENT
        return None if is_open(route.hours, route.time_zone, now_us) else Standing.SHUT


class _Ways:
    """The routes of one prefix that take more than a look-up: some have hours, or several share."""

    __slots__ = ("_best", "_minute", "_routes", "_timed")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._timed = any(route.hours for route in routes)
        self._minute = -1
        self._best = [] if self._timed else _cheapest(routes)

    def choose(self, destination: str, now_us: int, besides: Collection[str]) -> str | None:
        """The endpoint, or None when none is open."""
        if self._timed and now_us // MINUTE_US != self._minute:
            self._minute = now_us // MINUTE_US
            self._best = _cheapest([r for r in self._routes if is_open(r.hours, r.time_zone, now_us)])
        best = self._best
        if len(best) > 1:
            others = [way for way in best if way[0] not in besides] if besides else best
            return _drawn(others, destination) if others else best[0][0]
        return best[0][0] if best else None


def _ways_of(routes: Iterable[Route]) -> dict[str, str | _Ways]:
    by_prefix: dict[str, list[Route]] = {}
    for route in routes:
        by_prefix.setdefault(_beginning(route), []).append(route)
    found: dict[str, str | _Ways] = {}
    for prefix, several in by_prefix.items():
        cheapest = _cheapest(several)
        always = not any(route.hours for route in several)
        found[prefix] = cheapest[0][0] if always and len(cheapest) == 1 else _Ways(several)
    return found


def _beginning(route: Route) -> str:
    return "" if route.prefix == "*" else route.prefix


def _cheapest(routes: Sequence[Route]) -> list[tuple[str, int]]:
    least = min((route.cost for route in routes), default=0.0)
    return [(route.endpoint, route.weight) for route in routes if route.cost == least]


def _drawn(ways: Sequence[tuple[str, int]], destination: str) -> str:
    """The endpoint whose draw is best; each wins in proportion to its weight.

    The smallest of exponential variables with rates w is the i-th with probability w_i over their sum, whichever others
    take part: a way that is added or taken away moves no destination between the rest.
    """
    best, least = "", float("inf")
    for endpoint, weight in ways:
        digest = blake2b(f"{destination} {endpoint}".encode(), digest_size=8).digest()
        uniform = ((int.from_bytes(digest, "big") >> (64 - _DRAW_BITS)) + 0.5) / (1 << _DRAW_BITS)
        draw = -log(uniform) / weight
        if draw < least:
            best, least = endpoint, draw
    return best


def _rank(route: Route, element: str) -> tuple[bool, int, float]:
    return (not (element and route.element == element), -len(_beginning(route)), route.cost)


def _standing(route: Route, best: Route | None, taken: str | None, element: str) -> Standing:
    """Where a route that could be taken stands beside the best."""
    if best is None:
        raise ValueError("a route that can be taken, and no best one")
    ours, theirs = _rank(route, element), _rank(best, element)
    if ours[0] != theirs[0]:
        return Standing.ELEMENT_FIRST
    if ours[1] != theirs[1]:
        return Standing.SHORTER
    if ours[2] != theirs[2]:
        return Standing.DEARER
    return Standing.TAKEN if route.endpoint == taken else Standing.ANOTHERS_SHARE
