"""``python -m loadtests.locust SCENARIO``: a scenario of applications, customers, a carrier and a desk, around a hub.

Starts a hub of its own in a directory that is thrown away, or uses the one that ``--hub`` names, which must then be
configured as ``--print-config`` shows. Prints what happens while it does, then locust's tables and the accounts.
Exit status: 0, all of the scenario's bounds held; 1, one broke; 2, it could not be played.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before anything that knows sockets; nothing but this command and its modules is patched

# ruff: noqa: E402
import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from locust.html import get_html_report
from locust.log import setup_logging
from locust.runners import LocalRunner
from locust.stats import (
    StatsEntry,
    get_error_report_summary,
    get_percentile_stats_summary,
    get_stats_summary,
    stats_history,
)

from loadtests.locust.measures import Measures
from loadtests.locust.scenario import Scenario, ScenarioError, read_scenario
from loadtests.locust.stage import Site, Stage
from loadtests.locust.users import ALL, ExactDispatcher, ScenarioShape, StagedEnvironment
from loadtests.locust.verdict import Findings, broken_bounds, summary
from loadtests.processes import CONFIG, HELPLINE, PASSWORD, HubProcess, Place, ToolFailed, free_ports

LOOPBACK = "127.0.0.1"
DOMAIN = "sms.example.net"
SYSTEM_ID = "load"
WINDOW = 1000  # of loadtests.processes' hub, on each side
PROGRESS_S = 5.0
PASSWORD_VARIABLE = "SMSHUB_LOAD_PASSWORD"


class Play:
    """One process's runs of a scenario; the page can start it again.

    Args:
        scenario: what is played.
        site: where.
        hub: the hub, when it is a child of ours.

    Attributes:
        found: of the latest run, None before one is over.
        broken: the bounds that it broke.
    """

    def __init__(self, scenario: Scenario, site: Site) -> None:
        self.scenario, self.site = scenario, site
        self.hub: HubProcess | None = None
        self.found: Findings | None = None
        self.broken: list[str] = []
        self.environment = StagedEnvironment(user_classes=list(ALL), dispatcher_class=ExactDispatcher)
        self.environment.shape_class = ScenarioShape(self.environment, self._begin)
        self.environment.events.test_stop.add_listener(lambda **_: self._conclude())
        self.runner: LocalRunner = self.environment.create_local_runner()
        self._cpu_s = 0.0
        self._hub_cpu_s = 0.0

    def _begin(self) -> None:
        self.found = None
        self.environment.stage = Stage(self.scenario, self.site, Measures(self.environment), self._note_cpu)

    def _note_cpu(self) -> None:
        self._cpu_s = time.process_time()
        self._hub_cpu_s = self.hub.cpu_s() if self.hub is not None else 0.0

    def start(self) -> gevent.Greenlet:
        """Begin a run. Returns: what ends with it. Raises: OSError: a port is taken."""
        self.runner.start_shape()
        return self.runner.shape_greenlet

    def stop(self) -> None:
        """End the run under way, if there is one."""
        if self.found is None:
            self.runner.stop()

    def _conclude(self) -> None:
        stage, stats = self.environment.stage, self.environment.stats
        now = time.monotonic()
        hub_cpu_s = None
        if self.hub is not None and self.hub.child.poll() is None:
            hub_cpu_s = self.hub.cpu_s() - self._hub_cpu_s
        elif self.hub is not None:
            stage.troubles.append("the hub ended")
        stage.close()
        troubles = stage.troubles + [
            f"the tool itself failed: {each['msg']}" for each in self.runner.exceptions.values()
        ]
        self.found = Findings(
            title=self.scenario.title,
            accounts=stage.books.accounts(),
            failures=stats.total.num_failures,
            requests=stats.total.num_requests,
            p99_ms={_name(entry): float(entry.get_response_time_percentile(0.99)) for entry in stats.entries.values()},
            settled=stage.settled,
            drained_s=now - stage.ended if stage.ended else 0.0,
            strange=stage.carrier.strange + stage.desk.strange,
            interrupted=not stage.ended and not troubles,
            troubles=troubles,
            tool_cpu_s=time.process_time() - self._cpu_s,
            hub_cpu_s=hub_cpu_s,
            wall_s=now - stage.begun if stage.begun else 0.0,
        )
        self.broken = broken_bounds(self.found, self.scenario.bounds)

    def report(self) -> list[str]:
        """All that is said at the end of a run."""
        stats = self.environment.stats
        lines = ["", *get_stats_summary(stats, current=False), "", *get_percentile_stats_summary(stats), ""]
        if stats.errors:
            lines += get_error_report_summary(stats)
        return lines + (summary(self.found, self.broken) if self.found is not None else [])

    def show_progress(self) -> None:
        """Print a line every few seconds while a run is under way."""
        while True:
            gevent.sleep(PROGRESS_S)
            if self.found is None:
                print(self.progress(), flush=True)

    def progress(self) -> str:
        """Where it stands now."""
        stage, total = self.environment.stage, self.environment.stats.total
        counts = self.runner.user_classes_count
        where = stage.scenario.phase_at(stage.elapsed_s) if stage.begun else "waiting for the hub"
        return (
            f"{stage.elapsed_s:6.0f} s  {where:20} applications {counts['Application']:2}  "
            f"customers {counts['Customer']:4}  requests {total.num_requests:,}  failed {total.num_failures:,}  "
            f"under way {stage.books.waiting:,}"
        )


def _name(entry: StatsEntry) -> str:
    return f"{entry.method} {entry.name}"


def serve_page(play: Play, port: int) -> None:
    """Open locust's page on loopback, with the accounts at /scenario."""
    page = play.environment.create_web_ui(LOOPBACK, port, delayed_start=True)

    @page.app.route("/scenario")
    def scenario() -> Any:
        stage = play.environment.stage
        found = play.found
        return {
            "title": play.scenario.title,
            "phase": stage.scenario.phase_at(stage.elapsed_s) if stage.begun else "",
            "elapsed_s": round(stage.elapsed_s, 1),
            "accounts": [msgspec.to_builtins(account) for account in stage.books.accounts()],
            "over": found is not None,
            "broken": play.broken if found is not None else [],
        }

    page.start()
    gevent.spawn(stats_history, play.runner)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="loadtests.locust", description=(__doc__ or "").split("\n\n")[0].strip())
    made.add_argument("scenario", type=Path, help="a scenario file, such as loadtests/scenarios/busy-hour.toml")
    made.add_argument("--seconds", type=float, help="stretch or shorten the phases to this in all")
    made.add_argument("--load", type=float, default=1.0, help="times as many people and texts (1)")
    made.add_argument(
        "--web", type=int, nargs="?", const=8089, metavar="PORT", help="locust's page on 127.0.0.1 (8089), until Ctrl-C"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the findings there")
    made.add_argument("--html", type=Path, metavar="FILE", help="write locust's report with its plots there")
    hub = made.add_argument_group("a hub that is there already")
    hub.add_argument("--hub", metavar="HOST:PORT", help="its SMPP port; without, one is started and thrown away")
    hub.add_argument("--listen", default=LOOPBACK, metavar="ADDRESS", help="where it finds the carrier and the desk")
    hub.add_argument("--carrier-port", type=int, default=2776, help="the port of its link (2776)")
    hub.add_argument("--desk-port", type=int, default=5348, help="the port of its desk (5348)")
    hub.add_argument("--hub-window", type=int, default=WINDOW, help=f"the largest window of its settings ({WINDOW})")
    hub.add_argument("--print-config", action="store_true", help="print a configuration for it, and end")
    return made


def site_of(options: argparse.Namespace) -> Site:
    """Where everything is with a hub that is there already. Raises: ScenarioError: no such address."""
    host, _, port = options.hub.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ScenarioError(f"--hub {options.hub}: give HOST:PORT")
    password = os.environ.get(PASSWORD_VARIABLE, PASSWORD)
    return Site(
        (host.strip("[]"), int(port)),
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
        (LOOPBACK, place.smpp_port),
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


def play(options: argparse.Namespace, scenario: Scenario) -> int:
    """Play it. Returns: the exit status. Raises: OSError, ToolFailed."""
    asked_to_end = Event()
    with ExitStack() as stack:
        place = None
        if options.hub is None:
            place = Place(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smshub-locust-"))))
        run = Play(scenario, site_in(place) if place is not None else site_of(options))

        def end() -> None:
            asked_to_end.set()
            run.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, end)
        shape = run.start()
        stack.callback(run.stop)
        if place is not None:
            run.hub = stack.enter_context(HubProcess(place))
        if options.web is not None:
            port = options.web or free_ports(1)[0]
            serve_page(run, port)
            print(f"Locust's page: http://{LOOPBACK}:{port}/", flush=True)
        print(f"{scenario.title}: {scenario.total_s:g} s", flush=True)
        progress = gevent.spawn(run.show_progress)
        shape.join()
        run.stop()
        print("\n".join(run.report()), flush=True)
        write_files(run, options)
        if options.web is not None and not asked_to_end.is_set():
            print("The page stays until Ctrl-C.", flush=True)
            asked_to_end.wait()
        progress.kill()
        run.runner.quit()
        return 1 if run.broken or run.found is None else 0


def write_files(run: Play, options: argparse.Namespace) -> None:
    """Write what ``--json`` and ``--html`` ask for."""
    if options.json is not None and run.found is not None:
        words = msgspec.to_builtins(run.found) | {"broken": run.broken}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(words)) + b"\n")
    if options.html is not None:
        options.html.write_text(get_html_report(run.environment, show_download_link=False), encoding="utf-8")


def main() -> None:
    made = parser()
    options = made.parse_args()
    if options.print_config:
        print(config_for(options), end="")
        return
    if not options.load > 0 or (options.seconds is not None and not options.seconds > 0):
        made.error("--load and --seconds are more than 0")
    setup_logging("WARNING")
    try:
        scenario = read_scenario(options.scenario).loaded(options.load)
        if options.seconds is not None:
            scenario = scenario.stretched(options.seconds)
        status = play(options, scenario)
    except (ScenarioError, ToolFailed, OSError) as error:
        print(f"loadtests.locust: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)


if __name__ == "__main__":
    main()
