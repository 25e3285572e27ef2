"""What is provisioned: call centres, numbers, links, desks, routes, letters, directories and more. Pure, immutable.

Each class is one table of the configuration file and one command group; the annotations are the only place where a
setting's type, unit, bounds, default and help are written. An entry is built by ``build`` (checked, canonical);
building one by its class directly checks nothing. The classes are in ``desk_side``, ``network_side``, ``ways``,
``authority``, ``carrier_directory``, ``keeping`` and ``api_keys``; this is the one place that knows all of them.

Endpoints are named by their kind and key: ``link:acme``, ``group:carriers``, ``account:agg1``, ``desk:helpline``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from provisioning.api_keys import ApiKey
from provisioning.authority import Loa, WhiteList, check_loa, check_white_list
from provisioning.carrier_directory import CarrierDirectory, check_carrier_directory
from provisioning.desk_side import (
    Block,
    CallCentre,
    Desk,
    Number,
    block_key,
    check_block,
    check_call_centre,
    check_number,
)
from provisioning.errors import BadValue, ProvisioningError, did_you_mean
from provisioning.fields import Field, Form, fields_of, key_names, secret_from
from provisioning.keeping import LegalHold, Retention, check_legal_hold
from provisioning.network_side import Account, Link, check_smpp
from provisioning.secret import Secret
from provisioning.ways import Group, Route, check_group, check_route, route_key

__all__ = [
    "KINDS",
    "Account",
    "ApiKey",
    "Block",
    "CallCentre",
    "CarrierDirectory",
    "Desk",
    "E",
    "Entry",
    "Group",
    "LegalHold",
    "Link",
    "Loa",
    "Number",
    "Retention",
    "Route",
    "WhiteList",
    "block_key",
    "build",
    "built",
    "check",
    "key_of",
    "route_key",
]

Entry = (
    CallCentre
    | Number
    | Block
    | Link
    | Group
    | Account
    | Desk
    | Route
    | Loa
    | WhiteList
    | CarrierDirectory
    | Retention
    | LegalHold
    | ApiKey
)
E = TypeVar(
    "E",
    CallCentre,
    Number,
    Block,
    Link,
    Group,
    Account,
    Desk,
    Route,
    Loa,
    WhiteList,
    CarrierDirectory,
    Retention,
    LegalHold,
    ApiKey,
)

# In the order in which they are applied: who is named comes before who names.
KINDS: dict[str, type[Entry]] = {
    kind.KIND: kind
    for kind in (
        *(Link, Group, Account, CallCentre, Desk, Block, Number, Route),
        *(Loa, WhiteList, CarrierDirectory, Retention, LegalHold, ApiKey),
    )
}


def key_of(kind: type[Entry], parts: Sequence[str]) -> str:
    """The key of an entry, of the values of its key fields in their order."""
    if kind is Block:
        return block_key(parts[0], parts[1])
    return route_key(parts[0], parts[1]) if kind is Route else parts[0]


def build(kind: type[E], given: Mapping[str, Any]) -> tuple[E | None, list[BadValue]]:
    """Check what a table or command gives for an entry, all of it at once.

    Args:
        kind: the entry's class.
        given: settings by key, secrets in any of their forms or as a ``Secret``.

    Returns: the entry in its canonical form, or None; and every error.
    """
    fields = fields_of(kind)
    problems: list[BadValue] = []
    known = key_names(fields)
    for key in given:
        if key not in known:
            problems.append(
                BadValue(key, _shown(given[key]), f"is no setting of a {kind.KIND}{did_you_mean(key, known)}")
            )
    values: dict[str, Any] = {}
    for field in fields:
        try:
            value = _value(field, given)
        except BadValue as problem:
            problems.append(problem)
            continue
        if value is not msgspec.UNSET:
            values[field.name] = value
    if problems:
        return None, problems
    entry = kind(**values)
    problems = check(entry)
    return (None if problems else entry), problems


def _shown(value: Any) -> Any:
    # An unknown key may be a misspelt secret.
    return "***" if isinstance(value, str) else value


def _value(field: Field, given: Mapping[str, Any]) -> Any:
    if field.form is Form.SECRET and not isinstance(given.get(field.name), Secret):
        if given.get(field.name, "") is None and not field.required:
            return None
        secret = secret_from(field, given)
        if secret is not None:
            return secret
    elif field.name in given:
        value = field.check(given[field.name])
        if field.required and value == "":
            raise BadValue(field.name, value, "must not be empty")
        return value
    if field.required:
        raise BadValue(field.name, None, f"is missing: add {' or '.join(field.keys)} ({field.spec.help})")
    return msgspec.UNSET


def check(entry: Entry) -> list[BadValue]:
    """Check what fields say of each other. Answers every error."""
    if isinstance(entry, CallCentre):
        return check_call_centre(entry)
    if isinstance(entry, Number):
        return check_number(entry)
    if isinstance(entry, Block):
        return check_block(entry)
    if isinstance(entry, (Link, Account)):
        return check_smpp(entry)
    if isinstance(entry, Group):
        return check_group(entry)
    if isinstance(entry, Loa):
        return check_loa(entry)
    if isinstance(entry, WhiteList):
        return check_white_list(entry)
    if isinstance(entry, CarrierDirectory):
        return check_carrier_directory(entry)
    if isinstance(entry, LegalHold):
        return check_legal_hold(entry)
    return check_route(entry) if isinstance(entry, Route) else []


def built(kind: type[E], **given: Any) -> E:
    """Build one entry, raising the first error; for code that has its values at hand.

    Raises: ProvisioningError.
    """
    entry, problems = build(kind, given)
    if entry is None:
        error: ProvisioningError = problems[0]
        raise error
    return entry
