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
import signal
import sys
import tempfile
import time
from collections.abc import Callable
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

from loadtests.locust.command import LOOPBACK, Site, config_for, parser, scenario_of, site_in, site_of
from loadtests.locust.measures import Measures
from loadtests.locust.scenario import Scenario, ScenarioError
from loadtests.locust.stage import Stage
from loadtests.locust.users import ALL, ExactDispatcher, ScenarioShape, StagedEnvironment
from loadtests.locust.verdict import Findings, broken_bounds, summary
from loadtests.processes import HubProcess, Place, ToolFailed, free_ports

PROGRESS_S = 5.0


class Play:
    """One process's runs of a scenario; the page can start it again.

    Args:
        scenario: what is played.
        site: where.
        ready_s: how long the hub may take to connect to the carrier and the desk.
        say: called at the end of each run.

    Attributes:
        hub: the hub, when it is a child of ours.
        found: of the latest run, None before it is over.
        broken: the bounds that it broke.
    """

    def __init__(self, scenario: Scenario, site: Site, ready_s: float, say: Callable[[Play], None]) -> None:
        self.scenario, self.site = scenario, site
        self.hub: HubProcess | None = None
        self._say = say
        self._over = Event()
        self._stopping = False
        self.found: Findings | None = None
        self.broken: list[str] = []
        self.environment = StagedEnvironment(user_classes=list(ALL), dispatcher_class=ExactDispatcher)
        self.environment.shape_class = ScenarioShape(self.environment, self._begin, ready_s)
        self.environment.events.test_stop.add_listener(lambda **_: self._end())
        self.runner: LocalRunner = self.environment.create_local_runner()
        self._cpu_s = 0.0
        self._hub_cpu_s = 0.0

    def _begin(self) -> None:
        self.found = None
        self._stopping = False
        self._over.clear()
        self.environment.stage = Stage(self.scenario, self.site, Measures(self.environment), self._note_cpu)

    def _note_cpu(self) -> None:
        self._cpu_s = time.process_time()
        self._hub_cpu_s = self.hub.cpu_s() if self.hub is not None else 0.0

    def start(self) -> gevent.Greenlet:
        """Begin a run. Returns: what ends with it. Raises: OSError: a port is taken."""
        self.runner.start_shape()
        return self.runner.shape_greenlet

    def stop(self) -> None:
        """End the run under way, if there is one; return when it is over."""
        if self.found is None and not self._stopping:
            self._stopping = True
            self.runner.stop()
        self._over.wait()

    def abandon(self) -> None:
        """The run cannot go on, and is not worth a word: somebody says why."""
        self._say = lambda _: None
        self.stop()

    def _end(self) -> None:
        try:
            self._conclude()
        finally:  # locust logs what goes wrong here and goes on; who waits must not wait for ever
            self._over.set()

    def _conclude(self) -> None:
        stage, stats = self.environment.stage, self.environment.stats
        now = time.monotonic()
        hub_cpu_s = None
        if self.hub is not None and self.hub.child.poll() is None:
            hub_cpu_s = self.hub.cpu_s() - self._hub_cpu_s
        elif self.hub is not None:
            stage.troubles.append("the hub ended")
        under_way = stage.under_way
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
            under_way=under_way,
            drained_s=now - stage.ended if stage.ended else 0.0,
            strange=stage.books.strange,
            leftovers=stage.books.leftovers,
            interrupted=not stage.ended and not troubles,
            troubles=troubles,
            tool_cpu_s=time.process_time() - self._cpu_s,
            hub_cpu_s=hub_cpu_s,
            wall_s=now - stage.begun if stage.begun else 0.0,
        )
        self.broken = broken_bounds(self.found, self.scenario.bounds)
        self._say(self)

    def report(self) -> list[str]:
        """All that is said at the end of a run."""
        stats = self.environment.stats
        lines = ["", *get_stats_summary(stats, current=False), "", *get_percentile_stats_summary(stats), ""]
        if stats.errors:
            lines += get_error_report_summary(stats)
        if self.found is not None:
            lines += summary(self.found, self.broken)
        return lines

    def show_progress(self) -> None:
        """Print a line every few seconds while a run is under way; end it if the hub has."""
        while True:
            gevent.sleep(PROGRESS_S)
            if self.found is None:
                print(self.progress(), flush=True)
                if self.hub is not None and self.hub.child.poll() is not None:
                    gevent.spawn(self.stop)

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
        is_over = play.found is not None
        accounts = [msgspec.to_builtins(account) for account in stage.books.accounts()]
        if not is_over:
            for account in accounts:
                account["waiting"] = account.pop("lost")
        return {
            "title": play.scenario.title,
            "phase": stage.scenario.phase_at(stage.elapsed_s) if stage.begun else "",
            "elapsed_s": round(stage.elapsed_s, 1),
            "accounts": accounts,
            "over": is_over,
            "broken": play.broken if is_over else [],
        }

    page.start()
    gevent.spawn(stats_history, play.runner)
    print(f"Locust's page: http://{LOOPBACK}:{port}/", flush=True)


def play(options: argparse.Namespace, scenario: Scenario) -> int:
    """Play it. Returns: the exit status. Raises: OSError, ToolFailed."""
    asked_to_end = Event()
    with ExitStack() as stack:
        place = None
        if options.hub is None:
            place = Place(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smshub-locust-"))))
        site = site_in(place) if place is not None else site_of(options)
        run = Play(scenario, site, options.ready_s, lambda run: conclude(run, options))

        def end() -> None:
            asked_to_end.set()
            run.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, end)
        shape = run.start()
        try:
            if place is not None:
                run.hub = stack.enter_context(HubProcess(place))
            if options.web is not None:
                serve_page(run, options.web or free_ports(1)[0])
        except BaseException:
            run.abandon()
            raise
        print(f"{scenario.title}: {scenario.total_s:g} s", flush=True)
        progress = gevent.spawn(run.show_progress)
        shape.join()
        if shape.exception is not None:
            run.environment.stage.troubles.append(f"the tool itself failed: {shape.exception!r}")
        run.stop()
        if options.web is not None and not asked_to_end.is_set():
            print("The page stays until Ctrl-C; it can start the scenario again.", flush=True)
            asked_to_end.wait()
            run.stop()
        progress.kill()
        run.runner.quit()
        if run.found is None:
            return 2
        return 1 if run.broken else 0


def conclude(run: Play, options: argparse.Namespace) -> None:
    """Say how a run ended, and write the files that are asked for."""
    print("\n".join(run.report()), flush=True)
    write_files(run, options)


def write_files(run: Play, options: argparse.Namespace) -> None:
    """Write what ``--json`` and ``--html`` ask for."""
    if options.json is not None and run.found is not None:
        words = msgspec.to_builtins(run.found) | {"broken": run.broken}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(words)) + b"\n")
    if options.html is not None:
        options.html.write_text(get_html_report(run.environment, show_download_link=False), encoding="utf-8")


def main() -> None:
    options = parser().parse_args()
    if options.print_config:
        print(config_for(options), end="")
        return
    del sys.argv[1:]  # locust's page reads it, and would take our options for its own
    setup_logging("WARNING")
    try:
        status = play(options, scenario_of(options))
    except (ScenarioError, ToolFailed, OSError) as error:
        print(f"loadtests.locust: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)


if __name__ == "__main__":
    main()
