"""Routing: where an arrival goes. Pure.

| it came from | its destination is | it goes to |
| --- | --- | --- |
| the network side | a call centre's number | that call centre's desk, in a thread |
| the network side | anything else that a route covers | that endpoint: transit, no thread |
| a desk | a customer | the endpoint the customer last came through (H22), else the number's, else a route's |

Which way a route leads is ``provisioning.routes``'. An ENUM answer comes before it: it may name the way itself, or the
element of the destination, which some routes ask for.

A desk's texts never go by a link that is in a group, but by the group: the customer came through one link of it, the
next text may leave by another, and only the group keeps them in order. A route that names such a link is taken at its
word: what is in transit has no conversation.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import msgspec

from hub.enum_answers import EnumAnswers
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
        element: identification element of the call centre's number (H8); in transit of the destination, when an ENUM
            answer names it.
    """

    endpoint: str
    call_centre: str = ""
    number: str = ""
    customer: str = ""
    element: str = ""


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


def way_of(
    destination: str,
    directory: Directory,
    now_us: int,
    answers: EnumAnswers | None = None,
    besides: Collection[str] = (),
) -> str | None:
    """The network endpoint for a destination that is no call centre's; None when no way leads there.

    Args:
        destination: an E.164 number, or a short code.
        directory: what is provisioned.
        now_us: the time, microseconds UTC.
        answers: what carrier directories say, when the daemon has them.
        besides: see ``RouteTable.choose``.
    """
    return _way_and_element(destination, directory, now_us, answers, besides)[0]


def _way_and_element(
    destination: str, directory: Directory, now_us: int, answers: EnumAnswers | None, besides: Collection[str] = ()
) -> tuple[str | None, str]:
    """The way, and the element that an answer gave the destination; empty without one."""
    if answers is not None and destination[0] == "+":
        answer = answers.answer(destination)
        if answer is not None and now_us < answer.valid_until_us:
            if answer.endpoint in directory.endpoints and answer.endpoint not in besides:
                return answer.endpoint, answer.element
            return directory.routes.choose(destination, now_us, answer.element, besides), answer.element
    return directory.routes.choose(destination, now_us, "", besides), ""


def decide_from_network(
    arrival: Arrival, directory: Directory, now_us: int, answers: EnumAnswers | None = None, came_by: str = ""
) -> Route | Reason:
    """Where something from a link or account goes.

    Args:
        arrival: what came.
        directory: what is provisioned.
        now_us: the time, microseconds UTC.
        answers: what carrier directories say, when the daemon has them.
        came_by: the endpoint that it came from: neither it nor its group is a way.
    """
    if not is_address(arrival.source):
        return Reason.BAD_SOURCE
    destination = arrival.destination
    number = directory.number(destination)
    if number is not None and number.state == "active":
        desk = directory.desk_of(number.call_centre)
        if desk is None:
            return Reason.NO_ROUTE
        return Route(f"desk:{desk.name}", number.call_centre, destination, arrival.source, number.element)
    if directory.is_suspended(destination):  # a route that covers it would carry it out again
        return Reason.NO_ROUTE
    if not is_e164(destination) and not (destination.isdecimal() and destination.isascii()):
        return Reason.BAD_DESTINATION
    besides = directory.homes.get(came_by, ())
    # The first is what the second comes to where there are no answers, without a call more for each text in transit.
    if answers is None:
        endpoint, element = directory.routes.choose(destination, now_us, "", besides), ""
    else:
        endpoint, element = _way_and_element(destination, directory, now_us, answers, besides)
    return Reason.NO_ROUTE if endpoint is None or endpoint in besides else Route(endpoint, element=element)


def decide_from_desk(
    arrival: Arrival,
    call_centre: str,
    thread: Thread | None,
    directory: Directory,
    now_us: int,
    answers: EnumAnswers | None = None,
) -> Route | Reason:
    """Where something from a desk goes.

    Args:
        arrival: what the desk wrote; its source is the number it shall come from, or empty.
        call_centre: the desk's.
        thread: the thread that the arrival's token names, or that is open between the two, or None.
        directory: what is provisioned.
        now_us: the time, microseconds UTC.
        answers: what carrier directories say, when the daemon has them.
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
    )
    for told in ways:  # one that was removed since is passed over
        way = conversation_way(told, directory)
        if way in directory.endpoints:
            return Route(way, call_centre, source, customer, number.element)
    found = way_of(customer, directory, now_us, answers)
    if found is None:
        return Reason.NO_ROUTE
    return Route(conversation_way(found, directory), call_centre, source, customer, number.element)


def conversation_way(endpoint: str, directory: Directory) -> str:
    """What a conversation goes by that is told to go by ``endpoint``: of a link in a group, the group."""
    if endpoint.startswith("link:"):
        group = directory.group_of(endpoint[5:])
        if group is not None:
            return group.endpoint
    return endpoint


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
