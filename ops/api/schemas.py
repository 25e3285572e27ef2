"""What entries look like in JSON: made from the same fields as the configuration file and the commands. Pure.

Some settings are not a call centre's to know: which call centre an entry belongs to is the key's, and the links that
its texts leave by are the operator's. They are left out of what is shown, are kept when an entry is changed, and are
refused as unknown when they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from provisioning.errors import BadValue, did_you_mean
from provisioning.fields import Field, Form, fields_of
from provisioning.model import Block, CallCentre, E, Entry, Loa, Number, WhiteList, build, check

HIDDEN: dict[type[Entry], tuple[str, ...]] = {
    CallCentre: ("default_link",),
    Number: ("call_centre", "link"),
    Block: ("call_centre", "link"),
    WhiteList: ("call_centre",),
    Loa: ("call_centre",),
}
READ_ONLY: dict[type[Entry], tuple[str, ...]] = {Loa: ("signed_by", "signed_on", "digest")}
"""Set by what is done with an entry, here by filing a letter's signed document."""

_TYPES = {Form.TEXT: "string", Form.INTEGER: "integer", Form.DECIMAL: "number", Form.BOOLEAN: "boolean"}

Schema = dict[str, Any]


def visible(kind: type[Entry]) -> tuple[Field, ...]:
    """The fields that are shown."""
    return tuple(field for field in fields_of(kind) if field.name not in HIDDEN[kind])


def writable(kind: type[Entry], *, keys: bool) -> tuple[Field, ...]:
    """The fields that a request may give.

    Args:
        kind: the entry's class.
        keys: with those that name the entry; a path names it otherwise.
    """
    return tuple(
        field for field in visible(kind) if field.name not in READ_ONLY.get(kind, ()) and (keys or not field.spec.key)
    )


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as it is told."""
    return {field.name: getattr(entry, field.name) for field in visible(type(entry))}


def read_entry(kind: type[E], call_centre: str, item: Any, keys: Mapping[str, str]) -> tuple[E | None, list[BadValue]]:
    """Read an entry that a request gives.

    Args:
        kind: the entry's class.
        call_centre: whose it shall be.
        item: what the body has.
        keys: what the path gives of its name; empty when the body does.

    Returns: the entry, hidden settings at their defaults, or None; and every error.
    """
    if not isinstance(item, dict):
        return None, [BadValue("", None, "must be an object, in braces")]
    problems = unknown(item, [field.name for field in writable(kind, keys=not keys)], kind.KIND)
    entry, others = build(kind, {**item, **keys, "call_centre": call_centre})
    told = {problem.field for problem in problems}
    problems += [problem for problem in others if problem.field not in told]
    return (None if problems else entry), problems


def read_patch(entry: E, item: Any) -> tuple[E | None, list[BadValue]]:
    """Change what a request gives of an entry; null puts a setting back to its default (RFC 7396).

    Returns: as ``read_entry``.
    """
    if not isinstance(item, dict):
        return None, [BadValue("", None, "must be an object, in braces")]
    fields = {field.name: field for field in writable(type(entry), keys=False)}
    problems = unknown(item, list(fields), entry.KIND)
    values: dict[str, Any] = {}
    for name, value in item.items():
        field = fields.get(name)
        if field is None:
            continue
        try:
            values[name] = field.default if value is None and not field.required else field.check(value)
            if field.required and values[name] == "":
                raise BadValue(name, value, "must not be empty")
        except BadValue as problem:
            problems.append(problem)
    if problems:
        return None, problems
    changed = msgspec.structs.replace(entry, **values)
    problems = check(changed)
    return (None if problems else changed), problems


def unknown(item: Mapping[str, Any], known: Sequence[str], what: str) -> list[BadValue]:
    """An error for each name that is none."""
    return [
        BadValue(name, None, f"is no setting of a {what}{did_you_mean(name, known)}")
        for name in item
        if name not in known
    ]


# --- JSON Schema ------------------------------------------------------------------------------------------------------


def field_schema(field: Field) -> Schema:
    """The schema of one setting."""
    spec = field.spec
    unit = f" In {spec.unit}." if spec.unit else ""
    text: Schema = {"type": "string"}
    if spec.choices:
        text["enum"] = list(spec.choices)
    elif field.form in (Form.TEXT, Form.TEXTS):
        text |= _bounds(spec.minimum, spec.maximum, "minLength", "maxLength")
    if field.form is Form.TEXTS:
        schema: Schema = {"type": "array", "items": text}
    elif field.form is Form.TEXT:
        schema = text
        # Not given and empty mean the same, which the bounds of a text that is given do not say.
        if not field.required and "minLength" in schema:
            schema = {"anyOf": [text, {"const": ""}]}
    else:
        schema = {"type": _TYPES[field.form], **_bounds(spec.minimum, spec.maximum, "minimum", "maximum")}
    schema = {**schema, "description": spec.help + unit}
    if not field.required:
        schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return schema


def _bounds(least: float | None, most: float | None, least_name: str, most_name: str) -> Schema:
    found = {least_name: least, most_name: most}
    return {name: int(value) if value == int(value) else value for name, value in found.items() if value is not None}


def entry_schema(kind: type[Entry]) -> Schema:
    """The schema of an entry as it is told."""
    fields = visible(kind)
    return closed({field.name: field_schema(field) for field in fields}, [field.name for field in fields])


def request_schema(kind: type[Entry], *, keys: bool, is_patch: bool = False) -> Schema:
    """The schema of an entry as a request gives it."""
    fields = writable(kind, keys=keys)
    properties = {field.name: field_schema(field) for field in fields}
    if is_patch:
        for field in fields:
            if not field.required:
                properties[field.name] = {"anyOf": [properties[field.name], {"type": "null"}]}
        return closed(properties, [])
    return closed(properties, [field.name for field in fields if field.required])


def closed(properties: Mapping[str, Schema], required: Sequence[str] | None = None) -> Schema:
    """The schema of an object that has these properties and no others.

    Args:
        properties: by name.
        required: those that must be there; all when None.
    """
    named = list(properties) if required is None else list(required)
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": named} if named else schema
