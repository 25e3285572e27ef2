"""``smshub route …``: which way a text would take, and why.

The answer is the message path's own: ``hub.routing`` is asked as it is for a text, with the catalog as it is now. What
is told beside it (which ways there were, and what became of each) is found the slow way; where the two could differ,
the tests hold them together. Where look-ups by ENUM are configured, the destination is looked up first, and waited for;
a running daemon waits for none, and may not know the answer yet.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from hub import opt_out, opt_out_ledger, routing
from hub.enum_answers import EnumAnswer, EnumAnswers
from hub.model import Arrival, Reason
from ops.cli_enum import look_up, verdict
from ops.cli_provision import CommandRefused, config_options, in_store, refusals_told, say_json, say_table
from ops.config import Config
from provisioning import BadValue, Directory, load_directory, parse_element, parse_number
from provisioning.fields import plain
from provisioning.hours import is_open
from provisioning.routes import Candidate, Standing
from provisioning.syntax import read_endpoint
from provisioning.ways import Route
from store import Transaction
from threading_tokens import Thread, registry

_NO_END_US = 2**62
_PUNCTUATION = str.maketrans("", "", " ().-/")
MAX_SHORT_CODE = 8  # digits; a number of more is one without its '+'

_REASONS = {
    Reason.NO_ROUTE: "no way leads there",
    Reason.BAD_DESTINATION: "this is neither an E.164 number nor a short code",
    Reason.BAD_SOURCE: "the sender is no number that sends texts",
    Reason.NOT_ALLOWED: "the sender is another call centre's number",
}


class Way(msgspec.Struct, frozen=True):
    """One way that a conversation could take before the routes are asked.

    Attributes:
        what: whose word it is.
        endpoint: what it names; empty when it says nothing.
        standing: what became of it.
    """

    what: str
    endpoint: str
    standing: str


class Told(msgspec.Struct, frozen=True):
    """A route, and what became of it: as JSON and as a row."""

    prefix: str
    endpoint: str
    standing: str
    element: str
    cost: float
    weight: int
    hours: tuple[str, ...]
    time_zone: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a text goes, and why.

    Attributes:
        source, destination: as asked; source may be empty.
        at: the time, ISO 8601, UTC.
        what: what the destination is: ``number`` of a call centre, ``suspended`` number, or ``other``.
        call_centre: whose number it is, or, of a text from a call centre's number, the sender's.
        real_number: behind an 8xx, else the number itself; empty when it is no call centre's.
        endpoint: where the text goes; empty when it is refused.
        refused: why it is refused; empty when it is not.
        ways: what a conversation goes by before the routes, in order; only for texts from a call centre's number.
        routes: every route whose prefix fits, the best first.
        opted_out_since: when the customer asked for no more texts from the source, ISO 8601; empty when they did not.
        enum: what carriers' directories say of the destination, in words; empty when they were not asked.
    """

    source: str
    destination: str
    at: str
    what: str
    call_centre: str = ""
    real_number: str = ""
    endpoint: str = ""
    refused: str = ""
    ways: tuple[Way, ...] = ()
    routes: tuple[Told, ...] = ()
    opted_out_since: str = ""
    enum: str = ""


class _Supposed:
    """Answers as if a carrier directory had said that every number has one element."""

    def __init__(self, element: str) -> None:
        self._answer = EnumAnswer(element, "", _NO_END_US)

    def answer(self, e164: str) -> EnumAnswer | None:
        """The supposition."""
        return self._answer


def explain(
    directory: Directory,
    source: str,
    destination: str,
    now_us: int,
    *,
    element: str = "",
    came_by: str = "",
    thread: Thread | None = None,
    out_since_us: int = 0,
) -> Explanation:
    """Say where a text goes, and why.

    Args:
        directory: what is provisioned.
        source: the sender; a call centre's number makes it a text of its desk. Empty: a sender that nobody knows.
        destination: a number or short code.
        now_us: the time, microseconds UTC.
        element: the identification element that an ENUM answer is supposed to give.
        came_by: the link or account that the text comes from, empty for one that no route leads to.
        thread: the open thread of the two, if there is one.
        out_since_us: when the customer asked for no more texts, 0 when they did not.
    """
    answers: EnumAnswers | None = _Supposed(element) if element else None
    sender = directory.number(source) if source else None
    arrival = Arrival(source=source or destination, destination=destination, text="")
    told = {"source": source, "destination": destination, "at": _shown(now_us)}
    if sender is not None:
        decided = routing.decide_from_desk(arrival, sender.call_centre, thread, directory, now_us, answers)
        ways = _conversation(directory, sender.call_centre, source, thread)
    else:
        decided = routing.decide_from_network(arrival, directory, now_us, answers, came_by)
        ways = ()
    own = directory.number(destination)
    what = "number" if own is not None else "suspended" if directory.is_suspended(destination) else "other"
    centre = sender.call_centre if sender is not None else own.call_centre if own is not None else ""
    asks_routes = sender is not None or what == "other"
    asked = element if destination[:1] == "+" else ""  # carrier directories know E.164 only
    besides = directory.homes.get(came_by, ()) if sender is None else ()
    candidates = directory.routes.explain(destination, now_us, asked, besides) if asks_routes else ()
    decided_by_way = any(way.standing == Standing.TAKEN for way in ways)
    return Explanation(
        **told,
        what=what,
        call_centre=centre,
        real_number=directory.real_number(destination) if own is not None else "",
        endpoint="" if isinstance(decided, Reason) else decided.endpoint,
        refused=_REASONS.get(decided, decided.value) if isinstance(decided, Reason) else "",
        ways=ways,
        routes=tuple(_told(candidate, decided_by_way) for candidate in candidates),
        opted_out_since=_shown(out_since_us) if out_since_us else "",
    )


def _conversation(directory: Directory, call_centre: str, number: str, thread: Thread | None) -> tuple[Way, ...]:
    """What ``decide_from_desk`` asks before the routes."""
    own, centre = directory.number(number), directory.call_centre(call_centre)
    words = (
        ("what the customer last came through", thread.network_endpoint if thread is not None else ""),
        ("the number's link", own.link if own is not None else ""),
        ("the call centre's default_link", centre.default_link if centre is not None else ""),
    )
    found: list[Way] = []
    taken = False
    for what, endpoint in words:
        way = routing.conversation_way(endpoint, directory)
        if not endpoint:
            standing = "says nothing"
        elif way not in directory.endpoints:
            standing = Standing.NOT_PROVISIONED.value
        elif taken:
            standing = "what stands above it comes first"
        else:
            taken, standing = True, Standing.TAKEN.value
        in_group = f"{endpoint} of {way}" if way != endpoint else endpoint
        found.append(Way(what, in_group, standing))
    return tuple(found)


def _told(candidate: Candidate, decided: bool) -> Told:
    route = candidate.route
    standing = candidate.standing.value
    if decided and candidate.standing is Standing.TAKEN:
        standing = "best of the routes, which are not asked"
    return _row_of(route, standing)


def _row_of(route: Route, standing: str) -> Told:
    return Told(
        prefix=route.prefix,
        endpoint=route.endpoint,
        standing=standing,
        element=route.element,
        cost=route.cost,
        weight=route.weight,
        hours=route.hours,
        time_zone=route.time_zone,
    )


def _shown(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sentences(told: Explanation) -> list[str]:
    """An explanation in words."""
    lines = [told.enum] if told.enum else []
    if told.what == "suspended":
        lines.append(f"{told.destination} is suspended: it takes no texts")
    elif told.what == "number" and not told.ways:
        behind = f", the 8xx before {told.real_number}" if told.real_number != told.destination else ""
        lines.append(f"{told.destination} is a number of call centre {told.call_centre!r}{behind}")
    if told.ways:
        lines.append(f"{told.source} is a number of call centre {told.call_centre!r}: this is a text of its desk")
    if told.opted_out_since:
        lines.append(
            f"{told.destination} wants no texts from {told.source} since {told.opted_out_since}: a text is refused"
        )
    if told.endpoint.startswith("desk:"):
        lines.append(f"a text to it goes to {told.endpoint}, in a thread")
    elif told.endpoint:
        lines.append(f"{told.destination} goes to {told.endpoint}")
    else:
        lines.append(f"a text to {told.destination} is refused: {told.refused}")
    for number, way in enumerate(told.ways, 1):
        lines.append(
            f"  {number}. {way.what}: {way.endpoint or 'none'}{'' if not way.endpoint else f': {way.standing}'}"
        )
    if told.ways:
        lines.append(f"  {len(told.ways) + 1}. the routes")
    return lines


def _table(routes: tuple[Told, ...]) -> list[list[str]]:
    return [
        ["prefix", "endpoint", "element", "cost", "weight", "hours", "standing"],
        *(
            [
                route.prefix,
                route.endpoint,
                route.element or "-",
                plain(route.cost),
                str(route.weight),
                f"{', '.join(route.hours)} {route.time_zone}" if route.hours else "always",
                route.standing,
            ]
            for route in routes
        ),
    ]


def _address(words: str, what: str) -> str:
    """A number in E.164, or a short code as it is. What the message path takes is taken, assigned or not."""
    bare = words.translate(_PUNCTUATION)
    if routing.is_e164(bare) or (bare.isascii() and bare.isdecimal() and len(bare) <= MAX_SHORT_CODE):
        return bare
    try:
        return parse_number(words, None, what)
    except BadValue as problem:
        raise CommandRefused(str(problem)) from None


def _time(words: str) -> int:
    if not words:
        return time.time_ns() // 1000
    try:
        at = datetime.fromisoformat(words)
    except ValueError:
        raise CommandRefused(f"--at {words}: write 2026-11-22T08:30, or with its zone 2026-11-22T08:30-05:00") from None
    return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000


_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_at_option = click.option(
    "--at", "at", default="", metavar="TIME", help="At another time than now; UTC without a zone."
)


@click.group()
def route() -> None:
    """Which way texts take."""


@route.command("explain")
@click.argument("destination")
@click.option("--from", "source", default="", metavar="NUMBER", help="The sender; a call centre's number is its desk.")
@click.option("--by", "came_by", default="", metavar="ENDPOINT", help="The link or account that the text comes from.")
@_at_option
@click.option("--element", default="", help="As if an ENUM answer gave the destination this identification element.")
@click.option("--enum/--no-enum", "asks", default=True, help="Look the destination up, where [enum] names servers.")
@_json_option
@config_options
def route_explain(
    config: Config, destination: str, source: str, came_by: str, at: str, element: str, asks: bool, as_json: bool
) -> None:
    """Say where a text to DESTINATION goes, which ways there were, and why each was taken or passed over."""
    destination, now_us = _address(destination, "destination"), _time(at)
    if source and not any(map(str.isalpha, source)):  # a name may send as well
        source = _address(source, "--from")
    with refusals_told():
        element = str(parse_element(element, "--element")) if element else ""
        came_by = read_endpoint(came_by, "--by") if came_by else ""
        looked = look_up(config, destination) if asks and not element and destination[0] == "+" else None
        if looked is not None:
            element = looked.reading.element

        def work(tx: Transaction) -> Explanation:
            directory = load_directory(tx)
            if came_by and came_by not in directory.endpoints:
                raise BadValue("--by", came_by, "is not provisioned")
            sender = directory.number(source) if source else None
            thread, out_since = None, 0
            if sender is not None:
                thread = registry.open_thread(tx, sender.call_centre, source, destination)
                keys = [(source, destination), (opt_out.scope_of(sender.call_centre), destination)]
                ledger = opt_out_ledger.entries(tx, keys)
                centre = directory.call_centre(sender.call_centre)
                if centre is not None and centre.opt_out == "enforce":
                    out_since = opt_out.out_since(*(ledger.get(key) for key in keys))
            return explain(
                directory,
                source,
                destination,
                now_us,
                element=element,
                came_by=came_by,
                thread=thread,
                out_since_us=out_since,
            )

        told = in_store(config, work, reads=True)
    told = msgspec.structs.replace(told, enum=verdict(looked) if looked is not None else "")
    if as_json:
        say_json(told)
        return
    for line in _sentences(told):
        click.echo(line)
    if told.routes:
        say_table(_table(told.routes))
    elif told.what == "other":
        click.echo("no route has a prefix that fits")


@route.command("list")
@_at_option
@_json_option
@config_options
def route_list(config: Config, at: str, as_json: bool) -> None:
    """List all routes in the order in which they are considered, and whether each can be taken now."""
    now_us = _time(at)
    with refusals_told():
        directory: Directory = in_store(config, load_directory, reads=True)

    def standing(route: Route) -> str:
        if route.endpoint not in directory.endpoints:
            return Standing.NOT_PROVISIONED.value
        return "open" if is_open(route.hours, route.time_zone, now_us) else Standing.SHUT.value

    def order(route: Route) -> tuple[Any, ...]:
        return (not route.element, -len(route.prefix.strip("*")), route.prefix, route.cost, route.endpoint)

    rows = tuple(_row_of(each, standing(each)) for each in sorted(directory.routes.routes, key=order))
    if as_json:
        say_json(rows)
    elif rows:
        say_table(_table(rows))
