"""What names what: a name that is given must exist, and what is named cannot be removed."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy

from provisioning.carrier_directory import place_of
from provisioning.e164 import digits_of
from provisioning.errors import BadValue, ProvisioningError, StillInUse, UnknownReference
from provisioning.model import (
    Account,
    ApiKey,
    Block,
    CallCentre,
    CarrierDirectory,
    Desk,
    Entry,
    Group,
    LegalHold,
    Link,
    Loa,
    Number,
    Retention,
    Route,
    WhiteList,
    block_key,
)
from provisioning.publication_rows import users_of
from provisioning.published import left_behind, left_uncovered
from provisioning.rows import TABLES, read_all, read_keys
from provisioning.tables import block_table, number_table
from provisioning.ways import AGREED
from store import Transaction

OWNED = (Desk, Loa, WhiteList, Retention, LegalHold, ApiKey)
"""What belongs to a call centre and names it, numbers and blocks apart."""

_MOST_USERS = 10  # named in a message; one is enough to know where to look


class References:
    """The names that exist in a transaction, read when they are first asked for."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._names: dict[str, set[str]] = {}
        self._domains: dict[str, list[str]] | None = None
        self._directories: list[CarrierDirectory] | None = None
        self._groups: dict[str, list[Group]] | None = None
        self._links: dict[str, Link] = {}

    def check(self, entry: Entry) -> None:
        """Check all names that an entry gives. Call it after all of a batch is written: order does not matter then.

        Raises: UnknownReference; BadValue when two desks have one domain, two groups one link, two directories one
            place, or when the links of a group do not agree in how texts are cut.
        """
        for field, kind, name in _named(entry):
            if name not in self._known(kind):
                prefix = f"{kind}:" if field in ("link", "endpoint", "default_link") else ""
                known = [prefix + other for other in self._known(kind)]
                raise UnknownReference(entry.KIND, entry.key, field, prefix + name, known)
        if isinstance(entry, CallCentre) and entry.default_number:
            self._check_own(entry, "default_number", entry.default_number, entry.name)
        if isinstance(entry, Block) and entry.alias:
            self._check_own(entry, "alias", entry.alias, entry.call_centre)
        if isinstance(entry, Desk):
            self._check_domain(entry)
        if isinstance(entry, Group):
            self._check_group(entry)
        if isinstance(entry, CarrierDirectory):
            self._check_place(entry)
        if isinstance(entry, Link):
            for group in self._groups_of(entry.name):
                self._check_agreement(group, entry.name)

    def _known(self, kind: str) -> set[str]:
        if kind not in self._names:
            column = TABLES[kind].c.name
            self._names[kind] = set(self._tx.sql.execute(sqlalchemy.select(column)).scalars())
        return self._names[kind]

    def _check_own(self, entry: Entry, field: str, e164: str, call_centre: str) -> None:
        digits = digits_of(e164)
        numbers, blocks = number_table.c, block_table.c
        own = sqlalchemy.select(numbers.digits).where(
            numbers.call_centre == call_centre,
            sqlalchemy.or_(numbers.digits == digits, numbers.alias_of == digits),
        )
        inside = sqlalchemy.select(blocks.first).where(
            blocks.call_centre == call_centre, blocks.first <= digits, blocks.last >= digits
        )
        if self._tx.sql.execute(own.union_all(inside).limit(1)).first() is None:
            raise UnknownReference(entry.KIND, entry.key, field, e164)

    def _check_domain(self, desk: Desk) -> None:
        if self._domains is None:
            self._domains = {}
            for other in read_all(self._tx, Desk):
                self._domains.setdefault(other.domain, []).append(other.name)
        others = [name for name in self._domains[desk.domain] if name != desk.name]
        if others:
            why = f"is desk {others[0]!r}'s already: a server would split the answers over both; use one domain each"
            raise BadValue("domain", desk.domain, why)

    def _check_place(self, directory: CarrierDirectory) -> None:
        if self._directories is None:
            self._directories = read_all(self._tx, CarrierDirectory)
        place = place_of(directory)
        for other in self._directories:
            if place is not None and other.name != directory.name and place_of(other) == place:
                field = "zone" if directory.adapter == "enum" else "url"
                why = f"is directory {other.name!r}'s already: what is withdrawn from one would be gone from both"
                raise BadValue(field, getattr(directory, field), why)

    def _groups_of(self, link: str) -> list[Group]:
        if self._groups is None:
            self._groups = {}
            for group in read_all(self._tx, Group):
                for name in group.link_names:
                    self._groups.setdefault(name, []).append(group)
        return self._groups.get(link, [])

    def _check_group(self, group: Group) -> None:
        for name in group.link_names:
            others = [other.name for other in self._groups_of(name) if other.name != group.name]
            if others:
                field = "standby" if name in group.standby else "links"
                raise BadValue(field, name, f"is in group {others[0]!r} already; a link is in one at most")
        self._check_agreement(group)

    def _check_agreement(self, group: Group, changed: str = "") -> None:
        """Refuse links of a group that would cut a text in different ways.

        Args:
            group: whose links.
            changed: the link that is being changed, when it is not the group: the error is told of its settings.
        """
        names = group.link_names
        missing = [name for name in names if name not in self._links]
        self._links |= read_keys(self._tx, Link, missing)
        known = [self._links[name] for name in names if name in self._links]
        for link in known[1:]:
            for field in AGREED:
                first, value = getattr(known[0], field), getattr(link, field)
                if first == value:
                    continue
                why = f"{known[0].name!r} has {field} = {_told(first)} and {link.name!r} {_told(value)}"
                if changed in (known[0].name, link.name):
                    rule = f"the links of group {group.name!r} must agree, and {why}"
                    raise BadValue(field, getattr(self._links[changed], field), rule)
                where = "standby" if link.name in group.standby else "links"
                raise BadValue(where, link.name, f"the links of a group must agree, and {why}")


def _told(value: object) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _named(entry: Entry) -> Iterable[tuple[str, str, str]]:
    """Field, kind and name of each entry that this one names."""
    if isinstance(entry, (Number, Block, *OWNED)) and entry.call_centre:
        yield "call_centre", "call-centre", entry.call_centre
    if isinstance(entry, Group):
        yield from (("links", "link", name) for name, _ in entry.members)
        yield from (("standby", "link", name) for name in entry.standby)
    fields = {"link": entry.link} if isinstance(entry, (Number, Block)) else {}
    if isinstance(entry, Route):
        fields = {"endpoint": entry.endpoint}
    if isinstance(entry, CallCentre):
        fields = {"default_link": entry.default_link}
    for field, endpoint in fields.items():
        if endpoint:
            kind, _, name = endpoint.partition(":")
            yield field, kind, name


def check_unused(tx: Transaction, entry: Entry, today: str) -> None:
    """Refuse to remove what others name, or what directories publish or publish under. Call it after the removal.

    Args:
        tx: the transaction.
        entry: what was removed.
        today: the day, UTC.

    Raises: StillInUse.
    """
    users = list(_users(tx, entry, today))
    if users:
        raise StillInUse(entry.KIND, entry.key, users[:_MOST_USERS])


def _users(tx: Transaction, entry: Entry, today: str) -> Iterable[str]:
    if isinstance(entry, CallCentre):
        yield from _number_users(tx, "call_centre", entry.name)
        for kind in OWNED:
            owned: list[Entry] = read_all(tx, kind)  # type: ignore[type-var, assignment]
            yield from (
                f"{kind.KIND} {other.key!r}" for other in owned if getattr(other, "call_centre", "") == entry.name
            )
    elif isinstance(entry, (Link, Group, Account)):
        if isinstance(entry, Link):
            groups = [group for group in read_all(tx, Group) if entry.name in group.link_names]
            yield from (f"group {group.name!r}" for group in groups)
        yield from _number_users(tx, "link", entry.endpoint)
        yield from (f"route {route.key!r}" for route in read_all(tx, Route) if route.endpoint == entry.endpoint)
        for centre in read_all(tx, CallCentre):
            if centre.default_link == entry.endpoint:
                yield f"call-centre {centre.name!r}"
    elif isinstance(entry, CarrierDirectory):
        yield from users_of(tx, entry.name)  # nobody would take its numbers out of it again
    elif isinstance(entry, (Number, Block)):
        yield from _orphans(tx, entry)
        yield from left_behind(tx, entry)
    elif isinstance(entry, Loa):
        yield from left_uncovered(tx, entry, read_all(tx, Loa), today)


def _number_users(tx: Transaction, column: str, value: str) -> Iterable[str]:
    statement = sqlalchemy.select(number_table.c.digits).where(number_table.c[column] == value).limit(_MOST_USERS)
    yield from (f"number +{digits}" for digits in tx.sql.execute(statement).scalars())
    blocks = sqlalchemy.select(block_table.c.first, block_table.c.last).where(block_table.c[column] == value)
    yield from (f"block {block_key(f'+{first}', f'+{last}')}" for first, last in tx.sql.execute(blocks))


def _orphans(tx: Transaction, entry: Number | Block) -> Iterable[str]:
    """Who would name a number that is gone: found by removing it first, so call this after the removal."""
    references = References(tx)
    candidates: list[CallCentre | Block] = [
        centre for centre in read_all(tx, CallCentre) if centre.name == entry.call_centre
    ]
    candidates += [block for block in read_all(tx, Block, entry.call_centre) if block.alias]
    for candidate in candidates:
        try:
            references.check(candidate)
        except ProvisioningError as error:
            if isinstance(error, UnknownReference) and error.field in ("default_number", "alias"):
                yield f"{candidate.KIND} {candidate.key!r}"
