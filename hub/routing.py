"""Routing: where an arrival goes. Pure.

| it came from | its destination is | it goes to |
| --- | --- | --- |
| the network side | a call centre's number | that call centre's desk, in a thread |
| the network side | anything else that a route covers | that endpoint: transit, no thread |
| a desk | a customer | the endpoint the customer last came through (H22), else the number's, else a route's |
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from hub.model import Arrival, Reason
from provisioning import CallCentre, Directory
from threading_tokens import OriginKind, OriginPolicy, Thread, ThreadRules, reply_origin

MAX_ADDRESS_CHARACTERS = 21  # SMPP 3.4 §5.2.8: source_addr holds 20, and our '+'
MAX_E164_DIGITS = 15  # H10


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where an arrival goes.

    Attributes:
        endpoint: name of the endpoint.
        call_centre: the tenant, empty in transit.
        number: the call centre's number that the customer knows, empty in transit.
        customer: the other side of the thread, empty in transit.
    """

    endpoint: str
    call_centre: str = ""
    number: str = ""
    customer: str = ""


def is_e164(address: str) -> bool:
    """Whether an address is ``+`` and 5 to 15 digits (H10)."""
    return (
        len(address) <= MAX_E164_DIGITS + 1
        and len(address) > 5
        and address[0] == "+"
        and address[1:].isdecimal()
        and address.isascii()
    )


def is_address(address: str) -> bool:
    """Whether something can be a sender or a recipient at all."""
    return 0 < len(address) <= MAX_ADDRESS_CHARACTERS and address.isprintable() and not address.isspace()


def decide_from_network(arrival: Arrival, directory: Directory) -> Route | Reason:
    """Where something from a link or account goes."""
    if not is_address(arrival.source):
        return Reason.BAD_SOURCE
    destination = arrival.destination
    number = directory.number(destination)
    if number is not None and number.state == "active":
        desk = directory.desk_of(number.call_centre)
        if desk is None:
            return Reason.NO_ROUTE
        return Route(f"desk:{desk.name}", number.call_centre, destination, arrival.source)
    if directory.is_suspended(destination):  # a route that covers it would carry it out again
        return Reason.NO_ROUTE
    if not is_e164(destination) and not (destination.isdecimal() and destination.isascii()):
        return Reason.BAD_DESTINATION
    endpoint = directory.route(destination)
    return Reason.NO_ROUTE if endpoint is None else Route(endpoint)


def decide_from_desk(arrival: Arrival, call_centre: str, thread: Thread | None, directory: Directory) -> Route | Reason:
    """Where something from a desk goes.

    Args:
        arrival: what the desk wrote; its source is the number it shall come from, or empty.
        call_centre: the desk's.
        thread: the thread that the arrival's token names, or that is open between the two, or None.
        directory: what is provisioned.
    """
    customer = arrival.destination
    if not is_e164(customer) and not (customer.isdecimal() and customer.isascii()):
        return Reason.BAD_DESTINATION
    if thread is not None and thread.customer != customer:
        return Reason.BAD_DESTINATION
    centre = directory.call_centre(call_centre)
    source = thread.number if thread is not None else (arrival.source or (centre.default_number if centre else ""))
    number = directory.number(source) if source else None
    if number is None or number.state != "active":
        return Reason.BAD_SOURCE
    if number.call_centre != call_centre:
        return Reason.NOT_ALLOWED
    ways = (
        thread.network_endpoint if thread is not None else "",
        number.link,
        centre.default_link if centre is not None else "",
        directory.route(customer) or "",
    )
    for way in ways:  # one that was removed since is passed over
        if _is_provisioned(way, directory):
            return Route(way, call_centre, source, customer)
    return Reason.NO_ROUTE


def _is_provisioned(endpoint: str, directory: Directory) -> bool:
    kind, _, name = endpoint.partition(":")
    if kind == "link":
        return directory.link(name) is not None
    return kind == "account" and directory.account(name) is not None


@lru_cache(maxsize=1024)
def _rules(centre: CallCentre) -> ThreadRules:
    return ThreadRules(
        idle_us=int(centre.idle_s * 1e6),
        max_age_us=int(centre.max_age_s * 1e6),
        key_phrases=tuple(centre.key_phrases),
        products=tuple(centre.products),
    )


def may_send_as(account: str, source: str, directory: Directory) -> bool:
    """Whether an account may send from an address; a call centre's number has to be among its ``allowed_sources``.

    Args:
        account: its system_id.
        source: the address.
        directory: what is provisioned.
    """
    if directory.number(source) is None:
        return True
    granted = directory.account(account)
    return granted is not None and bool(granted.allowed_sources)


def rules_of(directory: Directory, call_centre: str) -> ThreadRules:
    """The thread rules of a call centre."""
    centre = directory.call_centre(call_centre)
    return _rules(centre) if centre is not None else ThreadRules()


def origin_of(directory: Directory, call_centre: str, number: str, thread: Thread | None) -> str:
    """The address that a call centre's replies carry, whichever CSR answers (H29).

    Args:
        directory: what is provisioned.
        call_centre: whose.
        number: the number that the customer knows.
        thread: the thread, when there is one already.
    """
    centre = directory.call_centre(call_centre)
    policy = OriginPolicy(centre.origin, centre.origin_value) if centre is not None else OriginPolicy()
    if thread is not None:
        return reply_origin(policy, thread)
    return number if policy.kind == OriginKind.NUMBER else policy.value or number
