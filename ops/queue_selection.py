"""Which messages a command of the queue means, by its options; and how messages are shown at a terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from hub import State, operations
from hub.operations import Selection
from ops.cli_provision import say_table

STATES: Final = {"pending": operations.PENDING, "all": tuple(State), **{s.name.lower(): (s,) for s in State}}
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time span: ``90s``, ``15m``, ``36h`` or ``7d``; microseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See ``click.ParamType``."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", value, re.ASCII)
        if not found or not int(found[1]):
            self.fail(f"{value!r} is no time span: write for example 90s, 15m, 36h or 7d", param, ctx)
        return int(found[1]) * UNITS_S[found[2]] * 1_000_000


def selecting(states: Sequence[str], default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that select messages."""
    options = [
        click.option("--state", type=click.Choice(states), help=f"In this state.  [default: {default}]"),
        click.option("--endpoint", default="", help="Only this endpoint's, for example link:acme."),
        click.option("--call-centre", default="", help="Only this call centre's."),
        click.option("--reason", default="", help="Only with this reason, for example ESME_RINVDSTADR."),
        click.option("--from", "source", default="", help="Only from this address."),
        click.option("--to", "destination", default="", help="Only to this address."),
        click.option("--older", "older_us", type=Duration(), default=0, help="Only received longer ago: 15m, 36h, 7d."),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def selection_of(default: str, options: dict[str, Any]) -> Selection:
    """What the options of ``selecting`` mean; ``default`` is the word of the states without ``--state``."""
    older_us = options["older_us"]
    return Selection(
        states=STATES[options["state"] or default],
        received_before_us=now_us() - older_us if older_us else 0,
        **{name: options[name] for name in ("endpoint", "call_centre", "reason", "source", "destination")},
    )


def said(options: dict[str, Any]) -> dict[str, str]:
    """By what was selected, for the audit."""
    said = {name: str(value) for name, value in options.items() if value and name != "older_us"}
    return said | ({"older_s": str(options["older_us"] // 1_000_000)} if options["older_us"] else {})


def at(us: int) -> str:
    """A time in microseconds as people read it, UTC; nothing for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(us / 1_000_000)) if us else ""


def now_us() -> int:
    """Now."""
    return time.time_ns() // 1000


def shown(word: str) -> str:
    """A peer's word, which may hold what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in word)


def show_rows(head: list[str], rows: list[list[str]]) -> None:
    """Write a table, or that there is nothing."""
    if rows:
        say_table([head, *([shown(word) for word in row] for row in rows)])
    else:
        click.echo("none")
