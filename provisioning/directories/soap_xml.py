"""What is said to a SOAP registry, and what it says (docs/reference/directory-soap.md, registry.xsd). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from provisioning.directories.adapter import Task
from provisioning.directories.replies import Entry, State, read_listing
from provisioning.directories.rest_json import listing_fields
from provisioning.directories.soap_envelope import ENVELOPE_NS, carried, element, open_envelope
from provisioning.directories.xml_reading import BadXml, Element, read_xml

NAMESPACE: Final = "urn:smshub:registry:1"
MAX_ITEMS: Final = 1000
"""Items in one request; what the schema says."""

SUBMIT: Final = "Submit"
WITHDRAW: Final = "Withdraw"
QUERY: Final = "Query"

XML_NAMES: Final = {
    "number": "number",
    "real_number": "realNumber",
    "call_centre": "callCentre",
    "title": "title",
    "element": "element",
    "loa": "loa",
    "loa_digest": "loaDigest",
    "network_id": "networkId",
    "entity_id": "entityId",
    "ip_address": "ipAddress",
    "texts_per_day": "textsPerDay",
    "white_list_reason": "whiteListReason",
}
"""A listing's fields and their elements, in the order of the schema."""

_FIELDS: Final = {f"{NAMESPACE} {name}": field for field, name in XML_NAMES.items()}
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_COUNT: Final = re.compile(r"[0-9]{1,18}")


class Fault(msgspec.Struct, frozen=True):
    """A SOAP fault.

    Attributes:
        code: of the registry's own detail: ``authentication``, ``malformed``, ``busy``, ``failed`` …; or what its
            faultcode says, without a prefix.
        words: for people.
        after_s: when it asks to be asked again, 0 when it does not.
    """

    code: str
    words: str
    after_s: float = 0.0


def soap_action(operation: str) -> str:
    """The SOAPAction of an operation, as the field carries it (SOAP 1.1 §6.1.1: quoted)."""
    return f'"{NAMESPACE}/{operation}"'


def write_submit(tasks: Sequence[Task], request_key: str) -> str:
    """Write a SubmitRequest."""
    items = "".join(f"<item>{element('key', task.key)}{write_listing_of(task)}</item>" for task in tasks)
    return _request(SUBMIT, element("requestKey", request_key) + items)


def write_withdraw(tasks: Sequence[Task], request_key: str) -> str:
    """Write a WithdrawRequest."""
    items = "".join(
        f"<item>{element('key', task.key)}{element('number', task.listing.number)}</item>" for task in tasks
    )
    return _request(WITHDRAW, element("requestKey", request_key) + items)


def write_query(tasks: Sequence[Task]) -> str:
    """Write a QueryRequest. A number is asked for once."""
    numbers = dict.fromkeys(task.listing.number for task in tasks)
    return _request(QUERY, "".join(element("number", number) for number in numbers))


def write_listing_of(task: Task) -> str:
    """Write a task's listing."""
    return write_listing(listing_fields(task.listing))


def write_listing(fields: dict[str, Any]) -> str:
    """Write a listing of its fields: those that are given, in the order of the schema."""
    inside = (element(name, str(fields[field])) for field, name in XML_NAMES.items() if fields.get(field))
    return f"<listing>{''.join(inside)}</listing>"


def as_carried(task: Task) -> Task:
    """A task as it arrives: what XML cannot carry is another character there, and is to be looked for as that."""
    listing = task.listing
    changed = {
        name: carried(value)
        for name in XML_NAMES
        if isinstance(value := getattr(listing, name), str) and not value.isprintable()
    }
    return msgspec.structs.replace(task, listing=msgspec.structs.replace(listing, **changed)) if changed else task


def _request(operation: str, inside: str) -> str:
    return f'<{operation}Request xmlns="{NAMESPACE}">{inside}</{operation}Request>'


def read_answer(octets: bytes, operation: str) -> list[Entry] | Fault:
    """Read what came back.

    Returns: the entries of the answer, without those that cannot be read; or the fault.
    Raises: BadXml: it is neither.
    """
    _, body = open_envelope(read_xml(octets))
    if body.name == f"{ENVELOPE_NS} Fault":
        return _read_fault(body)
    if body.name != f"{NAMESPACE} {operation}Response":
        raise BadXml(f"no {operation}Response")
    return list(_entries(body.each(f"{NAMESPACE} {'record' if operation == QUERY else 'item'}")))


def _read_fault(body: Element) -> Fault:
    # faultcode, faultstring and detail are in no namespace (SOAP 1.1 §4.4).
    code = body.child_text("faultcode").rpartition(":")[2]
    words = body.child_text("faultstring")
    detail = body.child("detail")
    ours = detail.child(f"{NAMESPACE} fault") if detail is not None else None
    if ours is None:
        return Fault(code, words)
    wait = ours.child_text(f"{NAMESPACE} retryAfter")
    return Fault(
        ours.child_text(f"{NAMESPACE} code") or code,
        ours.child_text(f"{NAMESPACE} message") or words,
        float(wait) if _SECONDS.fullmatch(wait) else 0.0,
    )


def _entries(found: Iterator[Element]) -> Iterator[Entry]:
    for item in found:
        try:
            state = State(item.child_text(f"{NAMESPACE} state"))
        except ValueError:
            continue  # its task finds no entry, and says so
        wait = item.child_text(f"{NAMESPACE} retryAfter")
        listing = item.child(f"{NAMESPACE} listing")
        yield Entry(
            number=item.child_text(f"{NAMESPACE} number"),
            state=state,
            key=item.child_text(f"{NAMESPACE} key"),
            reason=item.child_text(f"{NAMESPACE} reason"),
            remote_id=item.child_text(f"{NAMESPACE} recordId"),
            after_s=float(wait) if _SECONDS.fullmatch(wait) else 0.0,
            listing=None if listing is None else read_listing(read_fields(listing)),
        )


def read_fields(listing: Element) -> dict[str, Any]:
    """Read the fields of a listing; elements that are none of them are left out."""
    fields: dict[str, Any] = {}
    for child in listing.children:
        field = _FIELDS.get(child.name)
        if field is not None:
            fields[field] = child.text
    count = str(fields.get("texts_per_day", "")).strip()
    if _COUNT.fullmatch(count):
        fields["texts_per_day"] = int(count)
    return fields
