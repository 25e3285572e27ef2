"""The directory: an immutable snapshot of what is provisioned, with look-ups that cost no I/O.

The message path asks it once or twice for each message. A number is one dictionary look-up, or one bisection when it
lies in a block; a route is one dictionary look-up for each length of prefix that is in use (``routes``). A daemon loads
a new one when the revision has risen and puts it in the place of the old; who holds the old one sees nothing change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from provisioning.catalog import entries, revision
from provisioning.coverage import WhiteListing, white_listing_of
from provisioning.e164 import digits_of
from provisioning.model import Account, Block, CallCentre, Desk, Group, Link, Number, Route, WhiteList
from provisioning.routes import RouteTable
from store import Transaction

K = TypeVar("K", CallCentre, Link, Group, Account, Desk, WhiteList)


class Directory:
    """A snapshot. Make one with ``load_directory``, or from entries at hand.

    Attributes:
        revision: the catalog's revision that it shows.
        call_centres, links, groups, accounts, desks, white_lists: by name (accounts: by system_id).
        endpoints: names of the endpoints of the network side that can be taken: those that are provisioned, and serve.
        homes: of each of these, itself and the group it is in: where what came from it may not go.
        routes: which way a destination goes, and why.
    """

    __slots__ = (
        "_aliases",
        "_blocks",
        "_desk_of",
        "_firsts",
        "_group_of",
        "_hunt_groups",
        "_lasts",
        "_numbers",
        "_real",
        "accounts",
        "call_centres",
        "desks",
        "endpoints",
        "groups",
        "homes",
        "links",
        "revision",
        "routes",
        "white_lists",
    )

    def __init__(
        self,
        *,
        call_centres: Iterable[CallCentre] = (),
        numbers: Iterable[Number] = (),
        blocks: Iterable[Block] = (),
        links: Iterable[Link] = (),
        groups: Iterable[Group] = (),
        accounts: Iterable[Account] = (),
        desks: Iterable[Desk] = (),
        routes: Iterable[Route] = (),
        white_lists: Iterable[WhiteList] = (),
        revision: int = 0,
        serving: Collection[str] | None = None,
    ) -> None:
        self.revision = revision
        self.call_centres = _by_key(call_centres)
        self.links = _by_key(links)
        self.groups = _by_key(groups)
        self.accounts = _by_key(accounts)
        self.desks = _by_key(desks)
        self.white_lists = _by_key(white_lists)
        named = (entry.endpoint for table in (self.links, self.groups, self.accounts) for entry in table.values())
        self.endpoints = frozenset(named if serving is None else {*named} & {*serving})
        self.routes = RouteTable(routes, self.endpoints)
        self._group_of = {
            name: group
            for group in self.groups.values()
            if group.endpoint in self.endpoints
            for name in group.link_names
        }
        self.homes: dict[str, tuple[str, ...]] = {endpoint: (endpoint,) for endpoint in self.endpoints}
        self.homes |= {f"link:{name}": (f"link:{name}", group.endpoint) for name, group in self._group_of.items()}
        self._desk_of: dict[str, Desk] = {}
        for desk in sorted(self.desks.values(), key=lambda desk: desk.name):
            if serving is None or f"desk:{desk.name}" in serving:
                self._desk_of.setdefault(desk.call_centre, desk)
        self._numbers: dict[str, Number | None] = {}
        self._real: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._hunt_groups: dict[str, list[Block]] = {}
        self._load_blocks(blocks)
        self._load_numbers(numbers)

    def _load_blocks(self, blocks: Iterable[Block]) -> None:
        ordered = sorted(blocks, key=lambda block: digits_of(block.first))
        self._blocks = [self._completed_block(block) for block in ordered]
        self._firsts = [digits_of(block.first) for block in ordered]
        self._lasts = [digits_of(block.last) for block in ordered]
        for block in self._blocks:
            if block.alias and block.state == "active":
                self._hunt_groups.setdefault(block.alias, []).append(block)

    def _load_numbers(self, numbers: Iterable[Number]) -> None:
        behind: list[Number] = []
        for number in numbers:
            element = number.element or self._element_of(number.call_centre)
            if element != number.element:
                number = _with(number, number.number, element)
            # A suspended number is None: it hides what a block says of it.
            self._numbers[number.number] = number if number.state == "active" else None
            if number.alias_of:
                self._real[number.number] = number.alias_of
                self._aliases.setdefault(number.alias_of, number.number)
                behind.append(number)
        for number in behind:
            # Carriers may deliver to the real number, whose 8xx is what the call centre enabled (H2).
            if number.state == "active" and self.number(number.alias_of) is None:
                self._numbers.setdefault(number.alias_of, _with(number, number.alias_of, number.element))

    def _element_of(self, call_centre: str) -> str:
        centre = self.call_centres.get(call_centre)
        return centre.element if centre is not None else ""

    def _completed_block(self, block: Block) -> Block:
        element = block.element or self._element_of(block.call_centre)
        if element == block.element:
            return block
        return Block(
            first=block.first,
            last=block.last,
            call_centre=block.call_centre,
            alias=block.alias,
            element=element,
            link=block.link,
            state=block.state,
        )

    def number(self, e164: str) -> Number | None:
        """The number, by itself, in a block, or the real one behind an 8xx; None when unknown or suspended.

        Its ``element`` is the call centre's when it has none of its own.
        """
        if e164 in self._numbers:  # most are not: every customer's is asked for
            return self._numbers[e164]
        block = self._block_of(e164)
        if block is None or block.state != "active":
            return None
        return Number(
            number=e164,
            call_centre=block.call_centre,
            element=block.element,
            link=block.link,
        )

    def is_suspended(self, e164: str) -> bool:
        """Whether a number is known, by itself or in a block, and takes no texts now."""
        if e164 in self._numbers:
            return self._numbers[e164] is None
        block = self._block_of(e164)
        return block is not None and block.state != "active"

    def _block_of(self, e164: str) -> Block | None:
        if not self._firsts or not (e164[:1] == "+" and e164[1:].isdecimal() and e164.isascii()):
            return None
        digits = int(e164[1:])
        at = bisect_right(self._firsts, digits) - 1
        return self._blocks[at] if at >= 0 and digits <= self._lasts[at] else None

    def call_centre(self, name: str) -> CallCentre | None:
        """The call centre of that name."""
        return self.call_centres.get(name)

    def real_number(self, e164: str) -> str:
        """The real number behind an 8xx, the first of its hunt group, or the number itself (H2, H3)."""
        real = self._real.get(e164)
        if real is not None:
            return real
        group = self._hunt_groups.get(e164)
        return group[0].first if group else e164

    def published_number(self, e164: str) -> str:
        """The 8xx that a real number or a number of a hunt group stands behind, or the number itself."""
        alias = self._aliases.get(e164)
        if alias is not None:
            return alias
        if self._hunt_groups:
            block = self._block_of(e164)
            if block is not None and block.alias:
                return block.alias
        return e164

    def hunt_group(self, e164: str) -> tuple[Block, ...]:
        """The blocks behind an 8xx (H3)."""
        return tuple(self._hunt_groups.get(e164, ()))

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return self.links.get(name)

    def group(self, name: str) -> Group | None:
        """The group of that name."""
        return self.groups.get(name)

    def group_of(self, link: str) -> Group | None:
        """The group that the link of that name is in, when that group serves."""
        return self._group_of.get(link)

    def account(self, system_id: str) -> Account | None:
        """The account of that system_id."""
        return self.accounts.get(system_id)

    def white_listing(self, call_centre: str, today: str) -> WhiteListing:
        """What the white lists of a call centre let expect of its numbers on a day, UTC (H7). Keep it for the day."""
        return white_listing_of(self.white_lists.values(), call_centre, today)

    def desk(self, name: str) -> Desk | None:
        """The desk of that name."""
        return self.desks.get(name)

    def desk_of(self, call_centre: str) -> Desk | None:
        """The desk that a call centre's texts go to: the first by name of those that serve."""
        return self._desk_of.get(call_centre)


def _by_key(found: Iterable[K]) -> Mapping[str, K]:
    return MappingProxyType({entry.key: entry for entry in found})


def _with(number: Number, e164: str, element: str) -> Number:
    return Number(
        number=e164,
        call_centre=number.call_centre,
        alias_of="" if e164 == number.alias_of else number.alias_of,
        element=element,
        link=number.link,
        state=number.state,
    )


def load_directory(tx: Transaction, serving: Collection[str] | None = None) -> Directory:
    """Read the whole catalog into a snapshot: about a second for 100,000 numbers, in the store's thread.

    Args:
        tx: where from.
        serving: names of the endpoints that serve, when that is known: what was added since they were started is
            provisioned, but no text can go by it yet.
    """
    return Directory(
        call_centres=entries(tx, CallCentre),
        numbers=entries(tx, Number),
        blocks=entries(tx, Block),
        links=entries(tx, Link),
        groups=entries(tx, Group),
        accounts=entries(tx, Account),
        desks=entries(tx, Desk),
        routes=entries(tx, Route),
        white_lists=entries(tx, WhiteList),
        revision=revision(tx),
        serving=serving,
    )
