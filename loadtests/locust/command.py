"""The command line, and where everything is that it names. Without gevent, so that tests can ask."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

from loadtests.locust.scenario import Scenario, ScenarioError, read_scenario
from loadtests.processes import CONFIG, HELPLINE, PASSWORD, Place

ABOUT = "A scenario of applications, customers, a carrier and a desk, around a hub."
LOOPBACK = "127.0.0.1"
DOMAIN = "sms.example.net"
SYSTEM_ID = "load"
WINDOW = 1000  # of loadtests.processes' hub, on each side
READY_S = 90.0  # a link that was refused for long tries again after up to a minute
PASSWORD_VARIABLE = "SMSHUB_LOAD_PASSWORD"


class Site(NamedTuple):
    """Where everything is.

    Attributes:
        hubs: host and SMPP port, of each node.
        listen: address of the carrier and the desk.
        carrier_port, desk_port: theirs.
        system_id, password: the account's.
        secret: the desk's.
        domain: the desk's component.
        number: the call centre's, E.164.
        hub_window: requests or stanzas that the hub may have unanswered on one session.
    """

    hubs: tuple[tuple[str, int], ...]
    listen: str
    carrier_port: int
    desk_port: int
    system_id: str
    password: str
    secret: str
    domain: str
    number: str
    hub_window: int


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="loadtests.locust", description=ABOUT)
    made.add_argument("scenario", type=Path, help="a scenario file, such as loadtests/scenarios/busy-hour.toml")
    made.add_argument("--seconds", type=float, help="stretch or shorten the phases to this in all")
    made.add_argument("--load", type=float, default=1.0, help="times as many people and texts (1)")
    made.add_argument(
        "--web", type=int, nargs="?", const=8089, metavar="PORT", help="locust's page on 127.0.0.1 (8089), until Ctrl-C"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the findings there")
    made.add_argument("--html", type=Path, metavar="FILE", help="write locust's report with its plots there")
    hub = made.add_argument_group("a hub that is there already")
    hub.add_argument(
        "--hub",
        action="append",
        metavar="HOST:PORT",
        help="its SMPP port, again for each node; without, one is started and thrown away",
    )
    hub.add_argument("--listen", default=LOOPBACK, metavar="ADDRESS", help="where it finds the carrier and the desk")
    hub.add_argument("--carrier-port", type=int, default=2776, help="the port of its link (2776)")
    hub.add_argument("--desk-port", type=int, default=5348, help="the port of its desk (5348)")
    hub.add_argument("--ready-s", type=float, default=READY_S, help=f"how long it may take to find them ({READY_S:g})")
    hub.add_argument("--hub-window", type=int, default=WINDOW, help=f"the largest window of its settings ({WINDOW})")
    hub.add_argument("--print-config", action="store_true", help="print a configuration for it, and end")
    return made


def _address(words: str) -> tuple[str, int]:
    host, _, port = words.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ScenarioError(f"--hub {words}: give HOST:PORT")
    return host.strip("[]"), int(port)


def site_of(options: argparse.Namespace) -> Site:
    """Where everything is with a hub that is there already. Raises: ScenarioError: no such address."""
    password = os.environ.get(PASSWORD_VARIABLE, PASSWORD)
    return Site(
        tuple(_address(words) for words in options.hub),
        options.listen,
        options.carrier_port,
        options.desk_port,
        SYSTEM_ID,
        password,
        password,
        DOMAIN,
        HELPLINE,
        options.hub_window,
    )


def site_in(place: Place) -> Site:
    """Where everything is with a hub of our own."""
    return Site(
        ((LOOPBACK, place.smpp_port),),
        LOOPBACK,
        place.carrier_port,
        place.desk_port,
        SYSTEM_ID,
        PASSWORD,
        PASSWORD,
        DOMAIN,
        HELPLINE,
        WINDOW,
    )


def config_for(options: argparse.Namespace) -> str:
    """The configuration of a hub that ``--hub`` may name."""
    return CONFIG.format(
        url="sqlite:///hub.db",
        synchronous="FULL",
        smpp_port=2775,
        carrier_port=options.carrier_port,
        desk_port=options.desk_port,
        password=os.environ.get(PASSWORD_VARIABLE, PASSWORD),
        number=HELPLINE,
        window=WINDOW,
        desk_window=WINDOW,
    )


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario as it is to be played. Raises: ScenarioError."""
    for name in ("load", "seconds"):
        given = getattr(options, name)
        if given is not None and not 0 < given < float("inf"):
            raise ScenarioError(f"--{name} {given:g}: give more than 0")
    scenario = read_scenario(options.scenario).loaded(options.load)
    return scenario if options.seconds is None else scenario.stretched(options.seconds)
