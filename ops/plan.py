"""What a changed catalog or configuration file means for a running daemon. Pure.

Three classes of settings, from the mildest on:

- *in place*: it holds from now on, or from the next bind or session on. Nothing is cut.
- *new session*: the endpoint's sessions were made by it. Only this endpoint parts in peace and comes back.
- *restart*: the daemon was built by it. It holds when the daemon starts again, which the answer says.

An endpoint is known by its entry and by *prints* of what its entry only points to: secrets in files and variables,
certificates. A print is a keyed digest: it says whether something changed, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from provisioning import Account, Desk, Entry, Group, Link
from provisioning.fields import Field, Form, fields_of

if TYPE_CHECKING:
    from provisioning import Directory

Served = Link | Group | Account | Desk
"""The kinds of entries that an endpoint is made of."""

NEW_SESSION: Final[Mapping[str, frozenset[str]]] = {
    "link": frozenset(
        (
            *("host", "port", "system_id", "password", "system_type", "bind_mode", "binds", "version"),
            *("tls", "tls_server_name", "outbind_port", "outbind_password"),
        )
    ),
    "desk": frozenset(("host", "port", "domain", "secret", "tls")),
    "group": frozenset(),
    "account": frozenset(),
}
"""By kind of endpoint: the settings that its sessions were made by."""

NEXT_SESSION: Final[Mapping[str, frozenset[str]]] = {
    "link": frozenset(("tls_ca_file", "tls_cert_file", "tls_key_file")),
    "desk": frozenset(("tls_ca_file",)),
    "group": frozenset(),
    "account": frozenset(
        (
            *("password", "allowed_ips", "bind_modes", "max_binds", "lock_out_after", "lock_out_s"),
            *("outbind_host", "outbind_port", "outbind_password"),
        )
    ),
}
"""By kind of endpoint: the settings that count from the next bind or connection on; nothing is cut for them."""


class How(StrEnum):
    """What becomes of an endpoint."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RESTARTED = "restarted"


class Change(msgspec.Struct, frozen=True):
    """What becomes of one endpoint.

    Attributes:
        endpoint: its name, ``"link:acme"``.
        how: see ``How``.
        fields: the settings that differ, when it stays.
    """

    endpoint: str
    how: How
    fields: tuple[str, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """An endpoint as it is served, or as it is to be.

    Attributes:
        entry: what is provisioned.
        prints: setting → print of the secret or file that it names.
    """

    entry: Served
    prints: Mapping[str, str]


def entries_of(directory: Directory) -> dict[str, Served]:
    """The entries of a snapshot that endpoints are made of, by endpoint: links, groups, accounts, desks."""
    found: dict[str, Served] = {}
    for link in directory.links.values():
        found[link.endpoint] = link
    for group in directory.groups.values():
        found[group.endpoint] = group
    for account in directory.accounts.values():
        found[account.endpoint] = account
    for desk in directory.desks.values():
        found[desk.endpoint] = desk
    return found


def plan_endpoints(old: Mapping[str, Known], new: Mapping[str, Known]) -> tuple[Change, ...]:
    """What has to be done to get from one set of endpoints to another; those that are equal are not in it.

    Args:
        old: what is served, by endpoint.
        new: what is to be served.
    """
    changes = [Change(name, How.REMOVED) for name in old if name not in new]
    for name, known in new.items():
        before = old.get(name)
        if before is None:
            changes.append(Change(name, How.ADDED))
        elif before != known:
            fields = _differing(before, known)
            how = How.RESTARTED if _ends_sessions(before.entry, known.entry, fields) else How.CHANGED
            changes.append(Change(name, how, fields))
    return tuple(sorted(changes, key=lambda change: change.endpoint))


def _differing(old: Known, new: Known) -> tuple[str, ...]:
    names = [field.name for field in fields_of(type(new.entry))]
    return tuple(
        name
        for name in names
        if getattr(old.entry, name) != getattr(new.entry, name) or old.prints.get(name) != new.prints.get(name)
    )


def _ends_sessions(old: Served, new: Served, fields: Sequence[str]) -> bool:
    if isinstance(old, Desk) and isinstance(new, Desk) and _domain(old.director) != _domain(new.director):
        return True  # the server that answers pings is another
    return not NEW_SESSION[new.KIND].isdisjoint(fields)


def _domain(jid: str) -> str:
    return jid.partition("/")[0].rpartition("@")[2].lower()


def how_it_takes(kind: str, field: str) -> str:
    """When a changed setting of an endpoint's entry holds, in a word or two, for the reference."""
    if field in NEW_SESSION[kind]:
        return "new session"
    return "next session" if field in NEXT_SESSION[kind] else "at once"


class SettingsPlan(msgspec.Struct, frozen=True):
    """What becomes of the daemon's settings that differ: names such as ``"log.level"``.

    Attributes:
        live: they hold from now on.
        waiting: they hold when the daemon starts again.
    """

    live: tuple[str, ...]
    waiting: tuple[str, ...]


def plan_settings(fields: Iterable[Field], old: Any, new: Any) -> SettingsPlan:
    """What settings of the daemon differ between two files, and when they hold.

    Args:
        fields: the settings, named ``"section.setting"``.
        old, new: what was read, with an attribute for each section.
    """
    live: list[str] = []
    waiting: list[str] = []
    for field in fields:
        section, _, name = field.name.partition(".")
        if getattr(getattr(old, section), name) != getattr(getattr(new, section), name):
            (live if field.spec.live else waiting).append(field.name)
    return SettingsPlan(tuple(live), tuple(waiting))


def dropped(old: Iterable[Entry], new: Iterable[Entry]) -> tuple[str, ...]:
    """Entries that a file named and names no more: they stay provisioned until a command removes them."""
    named = {(entry.KIND, entry.key) for entry in new}
    return tuple(f"{entry.KIND} {entry.key!r}" for entry in old if (entry.KIND, entry.key) not in named)


def pointers(entry: Entry) -> tuple[str, ...]:
    """The settings of an entry that name a secret or a file."""
    return tuple(field.name for field in fields_of(type(entry)) if field.form is Form.SECRET or field.spec.is_path)
