"""``smshub enum …``: what carriers' directories say of a number, and how much of it is believed."""

from __future__ import annotations

import os
from collections.abc import Callable

import click
import trio

from ops.cli_provision import CommandRefused, clock_us, config_options, refusals_told, say_json, say_table
from ops.config import Config
from ops.enum_lookups import lookup_of
from provisioning import parse_number
from provisioning.enum_records import shown
from translators.enum_cache import Result
from translators.enum_lookup import Looked

_SAID = {
    Result.FOUND: "routes go by it",
    Result.EMPTY: "the directory knows the number and tells no element that is believed",
    Result.ABSENT: "the directory does not know the number",
    Result.UNTRUSTED: "an answer came that is not believed",
    Result.FAILED: "there is no answer",
}


def look_up(config: Config, number: str) -> Looked | None:
    """Ask the configured servers for a number, now.

    Args:
        config: the configuration.
        number: E.164.

    Returns: what they say; None when the section ``[enum]`` names no servers.

    Raises: UnreadableSecret, BadValue.
    """
    lookup = lookup_of(config.enum, os.environ, clock_us)
    return None if lookup is None else trio.run(lookup.look_up, number)


def verdict(looked: Looked) -> str:
    """What a look-up came to, in a sentence."""
    by = f"{looked.server} says of {looked.name}" if looked.server else "ENUM"
    element = f"element {looked.reading.element}, for {looked.ttl_s} s; " if looked.result is Result.FOUND else ""
    reason = f" ({looked.reason})" if looked.reason else ""
    return f"{by}: {element}{_SAID[looked.result]}{reason}"


@click.group()
def enum() -> None:
    """What carriers' directories say of numbers."""


@enum.command("lookup")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_options
def lookup_command(config: Config, number: str, as_json: bool) -> None:
    """Look NUMBER up as the daemon does: its records, what is believed of them, and why not. Status 1: no answer."""
    with refusals_told():
        looked = look_up(config, parse_number(number, None, "number"))
    if looked is None:
        raise CommandRefused("enum.servers is empty: name the servers to ask in section [enum] of the configuration")
    if as_json:
        say_json(looked)
    else:
        _tell(looked, click.echo)
    if looked.result in (Result.FAILED, Result.UNTRUSTED):
        raise SystemExit(1)


def _tell(looked: Looked, say: Callable[[str], None]) -> None:
    say(verdict(looked))
    if looked.records:
        rows = [
            [str(r.order), str(r.preference), shown(r.flags, 8), shown(r.service, 40), shown(r.regexp, 120)]
            for r in looked.records
        ]
        say_table([["order", "preference", "flags", "service", "regexp"], *rows])
    for service, uri in looked.reading.services:
        say(f"{service}: {uri}")
    for why in looked.reading.disbelieved:
        say(f"not believed: {why}")
