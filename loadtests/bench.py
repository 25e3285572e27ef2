"""``make bench``: messages a second, waits, CPU and memory of the real daemon, beside a bare echo of the same PDUs.

Every measurement is described in docs/discussion/performance.md, which also says what bounds them. Figures go to
``var/bench.json`` as ``{"figures": {name: number}, …}``; a table and what the load tools themselves cost are printed.

A quick look while developing: ``python -m loadtests.bench --quick``. Where the time goes: ``--profile`` (py-spy).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests import codec
from loadtests.processes import HELPLINE, PASSWORD, ROOT, Echo, HubProcess, Place, Tool, ToolFailed, free_ports
from loadtests.profile import Profiler
from loadtests.wire import CUSTOMERS_OF_A_LINK

BINDS = 4
WINDOW = 250  # for each bind: a thousand unanswered in all, which is what keeps the hub busy and waits short
SOURCE_WINDOW = 1000  # of the carrier's one bind
RECEIPT_WINDOW = 900  # receipts of the carrier under way; the inbox of a link takes 2000
WARM_UP = 4000
MILLION = 1_000_000
IDLE_BINDS = 1000
LINKS = 10
LINK_RATE = 200.0  # texts a second for the link that is slow
SLOW_S = 5.0
MEASUREMENTS = ("codec", "echo", "account", "half", "receipts", "desk", "idle", "slow", "million")
GOALS = {
    "account_to_link_msgs_per_s": (">=", 8000.0),
    "link_to_xmpp_msgs_per_s": (">=", 4000.0),
    "ack_p99_ms_half_load": ("<", 50.0),
    "rss_mb_million_queued": ("<", 250.0),
    "rss_mb_more_for_idle_binds": ("<", 150.0),
    "cpu_share_of_idle_binds": ("<", 0.03),
    "nine_links_beside_a_slow_one": (">=", 0.9),
}
IDLE_ACCOUNT = """
[[account]]
system_id = "idle"
password = "{password}"
max_binds = {binds}
"""
LINK = """
[[link]]
name = "link{at}"
host = "127.0.0.1"
port = {port}
system_id = "hub"
password = "{password}"
window = 100
[[route]]
prefix = "+12{at}"
endpoint = "link:link{at}"
"""


class Bench:
    """One run of everything.

    Args:
        options: the command line.
        directory: for stores, thrown away.
    """

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.figures: dict[str, float] = {}
        self.runs: dict[str, list[dict[str, float]]] = {}
        self._customers = 0
        self._places = 0

    def place(self, more: str = "") -> Place:
        self._places += 1
        directory = self.directory / f"hub{self._places}"
        directory.mkdir()
        return Place(directory, synchronous=self.options.synchronous, more=more)

    def customers(self, count: int) -> int:
        """The first of so many customers that nobody used yet."""
        first = self._customers
        self._customers += count
        return first

    def several(self, name: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Measure several times. Returns: the median of each figure."""
        found = []
        for _ in range(self.options.runs):
            found.append(measure())
            print(f"  {name:34} " + "  ".join(f"{key} {value:,.4g}" for key, value in found[-1].items()), flush=True)
        self.runs[name] = found
        return {key: statistics.median(run[key] for run in found) for key in found[0]}

    # --- the measurements ----------------------------------------------------------------------------------------

    def echo(self) -> None:
        """The yardstick, under the same load."""
        (port,) = free_ports(1)
        count = self.options.count * 4  # it is so much faster that the hub's number would be a blink
        with Echo(port) as echo, Tool("loadtests.esme") as esme:
            bind(esme, port)
            esme.ask("load", count=WARM_UP, window=WINDOW, customer=0)

            def measure() -> dict[str, float]:
                cpu = echo.cpu_s()
                run = esme.ask("load", count=count, window=WINDOW, customer=self.customers(count))
                check(run, count)
                return {
                    "msgs_per_s": count / (run["last"] - run["first"]),
                    "cpu_s_per_1000": (echo.cpu_s() - cpu) / count * 1000,
                    "esme_cpu_s_per_1000": run["cpu_s"] / count * 1000,
                }

            medians = self.several("echo", measure)
        self.figures["echo_msgs_per_s"] = medians["msgs_per_s"]
        self.figures["echo_cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]

    def conversations(self) -> None:
        """Account to link, waits at half of that, receipts, link to desk: one hub, one store that grows."""
        with ExitStack() as stack:
            place = self.place()
            carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
            desk = stack.enter_context(Tool("loadtests.component_sink"))
            esme = stack.enter_context(Tool("loadtests.esme"))
            carrier.ask("listen", port=place.carrier_port)
            desk.ask("listen", port=place.desk_port)
            hub = stack.enter_context(HubProcess(place))
            carrier.ask("bound")
            desk.ask("bound")
            bind(esme, place.smpp_port)
            profiler = Profiler(hub.child.pid) if self.options.profile else None
            wanted = self.options.only
            if {"account", "half"} & wanted:  # half of what is known only then
                self._account_to_link(hub, esme, carrier, profiler)
            if "half" in wanted:
                self._half_load(hub, esme, carrier, profiler)
            if "receipts" in wanted:
                self._with_receipts(hub, esme, carrier, profiler)
            if "desk" in wanted:
                self._link_to_desk(hub, carrier, desk, profiler)
            self.figures["rss_mb_after_conversations"] = hub.memory_mb()
            warned = hub.log.read_text().count('"level": "warning"')
            self.figures["warnings_logged"] = warned

    def _account_to_link(self, hub: HubProcess, esme: Tool, carrier: Tool, profiler: Profiler | None) -> None:
        count = self.options.count

        def measure(count: int = count) -> dict[str, float]:
            carrier.ask("reset")
            cpu = hub.cpu_s()
            carrier.tell("expect", count=count, within_s=120)
            sent = esme.ask("load", 120, count=count, window=WINDOW, customer=self.customers(count))
            check(sent, count)
            arrived = carrier.answer(150)
            check_arrived(arrived, count)
            return {
                "msgs_per_s": count / (arrived["last"] - sent["first"]),
                "ack_p50_ms": sent["p50_ms"],
                "ack_p99_ms": sent["p99_ms"],
                "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
                "tools_cpu_s_per_1000": (sent["cpu_s"] + arrived["cpu_s"]) / count * 1000,
            }

        measure(WARM_UP)
        medians = self.several("account -> link", measure)
        self.figures["account_to_link_msgs_per_s"] = medians["msgs_per_s"]
        self.figures["ack_p50_ms_full_load"] = medians["ack_p50_ms"]
        self.figures["ack_p99_ms_full_load"] = medians["ack_p99_ms"]
        self.figures["cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]
        self.figures["tools_cpu_s_per_1000_msgs"] = medians["tools_cpu_s_per_1000"]
        if profiler is not None:
            profiler.record("account-to-link", lambda: measure(count * 3))

    def _half_load(self, hub: HubProcess, esme: Tool, carrier: Tool, profiler: Profiler | None) -> None:
        for name, rate in (
            ("half_load", self.figures["account_to_link_msgs_per_s"] / 2),
            ("4000_per_s", 4000.0),
        ):
            count = int(rate * self.options.half_s)

            def measure(rate: float = rate, count: int = count) -> dict[str, float]:
                carrier.ask("reset")
                cpu = hub.cpu_s()
                run = esme.ask("load", 120, count=count, rate=rate, customer=self.customers(count))
                check(run, count)
                check_arrived(carrier.ask("expect", 60, count=count), count)
                return {
                    "rate": rate,
                    "ack_p50_ms": run["p50_ms"],
                    "ack_p99_ms": run["p99_ms"],
                    "ack_max_ms": run["max_ms"],
                    "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
                }

            medians = self.several(f"account -> link, {name}", measure)
            for key in ("rate", "ack_p50_ms", "ack_p99_ms"):
                self.figures[f"{key}_{name}"] = medians[key]
            if profiler is not None:
                profiler.record(name, measure)

    def _with_receipts(self, hub: HubProcess, esme: Tool, carrier: Tool, profiler: Profiler | None) -> None:
        count = self.options.count // 2
        carrier.ask("receipts", on=True, window=RECEIPT_WINDOW)

        def measure(count: int = count) -> dict[str, float]:
            esme.ask("reset")
            cpu = hub.cpu_s()
            run = esme.ask("load", 120, count=count, window=WINDOW, customer=self.customers(count), receipts=True)
            check(run, count)
            came = esme.ask("receipts", 60, count=count)
            check_arrived(came, count)
            return {
                "msgs_per_s": count / (came["last"] - run["first"]),
                "ack_p99_ms": run["p99_ms"],
                "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
            }

        medians = self.several("account -> link, receipts back", measure)
        if profiler is not None:
            profiler.record("receipts", measure)
        carrier.ask("receipts", on=False)
        self.figures["account_to_link_with_receipts_msgs_per_s"] = medians["msgs_per_s"]
        self.figures["cpu_s_per_1000_msgs_with_receipts"] = medians["cpu_s_per_1000"]

    def _link_to_desk(self, hub: HubProcess, carrier: Tool, desk: Tool, profiler: Profiler | None) -> None:
        count = self.options.count

        def measure(count: int = count) -> dict[str, float]:
            desk.ask("reset")
            cpu = hub.cpu_s()
            desk.tell("expect", count=count, within_s=120)
            first = self.customers(count)
            sent = carrier.ask(
                "load", 120, count=count, window=SOURCE_WINDOW, customer=first, destination=HELPLINE.removeprefix("+")
            )
            check(sent, count)
            arrived = desk.answer(150)
            check_arrived(arrived, count)
            return {
                "msgs_per_s": count / (arrived["last"] - sent["first"]),
                "ack_p50_ms": sent["p50_ms"],
                "ack_p99_ms": sent["p99_ms"],
                "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
                "tools_cpu_s_per_1000": (sent["cpu_s"] + arrived["cpu_s"]) / count * 1000,
            }

        measure(WARM_UP)
        medians = self.several("link -> desk, new threads", measure)
        self.figures["link_to_xmpp_msgs_per_s"] = medians["msgs_per_s"]
        self.figures["link_to_xmpp_ack_p99_ms"] = medians["ack_p99_ms"]
        self.figures["link_to_xmpp_cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]
        if profiler is not None:
            profiler.record("link-to-desk", lambda: measure(count * 2))

    def idle(self) -> None:
        """A thousand binds with nothing to say but enquire_link."""
        with ExitStack() as stack:
            place = self.place(IDLE_ACCOUNT.format(password=PASSWORD, binds=IDLE_BINDS))
            esme = stack.enter_context(Tool("loadtests.esme"))
            hub = stack.enter_context(HubProcess(place))
            time.sleep(self.options.idle_s / 4)
            empty_mb, cpu = hub.memory_mb(), hub.cpu_s()
            time.sleep(self.options.idle_s)
            alone_s = hub.cpu_s() - cpu
            begun = time.monotonic()
            esme.ask("bind", 300, port=place.smpp_port, binds=IDLE_BINDS, system_id="idle", password=PASSWORD)
            self.figures["idle_binds"] = IDLE_BINDS
            self.figures["binds_per_s"] = IDLE_BINDS / (time.monotonic() - begun)
            time.sleep(self.options.idle_s / 4)
            cpu = hub.cpu_s()
            time.sleep(self.options.idle_s)
            self.figures["rss_mb_more_for_idle_binds"] = hub.memory_mb() - empty_mb
            self.figures["cpu_share_of_idle_binds"] = (hub.cpu_s() - cpu) / self.options.idle_s
            self.figures["cpu_share_without_binds"] = alone_s / self.options.idle_s

    def slow(self) -> None:
        """Ten links, of which one answers after seconds: what the other nine lose."""
        with ExitStack() as stack:
            ports = free_ports(LINKS)
            links = [LINK.format(at=at, port=port, password=PASSWORD) for at, port in enumerate(ports)]
            place = self.place("".join(links))
            nine, one = (stack.enter_context(Tool("loadtests.smsc_sink")) for _ in range(2))
            for port in ports[:-1]:
                nine.ask("listen", port=port)
            one.ask("listen", port=ports[-1])
            hub = stack.enter_context(HubProcess(place))
            one.ask("bound")
            esme, other = (stack.enter_context(Tool("loadtests.esme")) for _ in range(2))
            bind(esme, place.smpp_port)
            bind(other, place.smpp_port)
            count = self.options.count

            def measure(delay_s: float, count: int = count) -> dict[str, float]:
                one.ask("slow", delay_s=delay_s)
                nine.ask("reset")
                first = (LINKS - 1) * CUSTOMERS_OF_A_LINK + self.customers(count)
                slow_count = int(LINK_RATE * self.options.half_s)
                other.tell("load", count=slow_count, rate=LINK_RATE, customer=first, within_s=120)
                cpu = hub.cpu_s()
                customer = self.customers(count)
                sent = esme.ask(
                    "load", 120, count=count, window=WINDOW, customer=customer * (LINKS - 1), spread=LINKS - 1
                )
                check(sent, count)
                arrived = nine.ask("expect", 120, count=count)
                check_arrived(arrived, count)
                check(other.answer(150), slow_count)
                return {
                    "msgs_per_s": count / (arrived["last"] - sent["first"]),
                    "ack_p99_ms": sent["p99_ms"],
                    "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
                }

            measure(0.0, WARM_UP)
            quick = self.several("nine links, a quick tenth", lambda: measure(0.0))
            slow = self.several("nine links, a slow tenth", lambda: measure(SLOW_S))
            self.figures["ten_links_msgs_per_s"] = quick["msgs_per_s"]
            self.figures["nine_links_beside_a_slow_one"] = slow["msgs_per_s"] / quick["msgs_per_s"]
            self.figures["nine_links_ack_p99_ms_beside_a_slow_one"] = slow["ack_p99_ms"]

    def million(self) -> None:
        """A queue that grows while the carrier is away; a restart; the carrier comes back."""
        count = self.options.queued
        with ExitStack() as stack:
            place = self.place()
            carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
            with HubProcess(place) as hub, Tool("loadtests.esme") as esme:
                self.figures["rss_mb_empty"] = hub.memory_mb()
                bind(esme, place.smpp_port)
                run = esme.ask("load", 240, count=count, window=WINDOW, customer=self.customers(count))
                check(run, count)
                took_s = run["last"] - run["first"]
                self.figures["queued_messages"] = count
                self.figures["queueing_msgs_per_s"] = count / took_s
                self.figures["queueing_ack_p99_ms"] = run["p99_ms"]
                queued = "million_queued" if count >= MILLION else "queued"
                self.figures[f"rss_mb_{queued}"] = hub.memory_mb()
                self.figures[f"rss_peak_mb_{queued}"] = hub.memory_mb("VmHWM")
                print(f"  {count:,} queued in {took_s:.1f} s, {hub.memory_mb():.0f} MB resident", flush=True)
                hub.kill()  # a restart after a crash: what is on disk is all there is
            octets = sum(path.stat().st_size for path in place.directory.glob("hub.db*"))
            self.figures["store_octets_per_message"] = octets / count
            carrier.ask("listen", port=place.carrier_port)
            carrier.tell("expect", count=1, within_s=120)
            started = time.monotonic()
            with HubProcess(place) as hub:
                self.figures["restart_ready_s"] = hub.ready_s
                first = carrier.answer(150)
                check_arrived(first, 1)
                self.figures["restart_first_dispatch_s"] = first["first"] - started
                drained = min(count, 10 * self.options.count)
                cpu = hub.cpu_s()
                arrived = carrier.ask("expect", 120, count=drained)
                check_arrived(arrived, drained)
                self.figures["draining_msgs_per_s"] = drained / (arrived["last"] - arrived["first"])
                self.figures["draining_cpu_s_per_1000_msgs"] = (hub.cpu_s() - cpu) / drained * 1000
                self.figures["rss_mb_draining"] = hub.memory_mb()


def bind(esme: Tool, port: int) -> None:
    esme.ask("bind", port=port, binds=BINDS, system_id="load", password=PASSWORD)


def check(run: dict[str, Any], count: int) -> None:
    """A load whose answers are not all positive measures something else. Raises: ToolFailed."""
    if run["acked"] != count or set(run["statuses"]) != {"0x0"}:
        raise ToolFailed(f"{run['acked']} of {count} answered: {run['statuses']}")


def check_arrived(run: dict[str, Any], count: int) -> None:
    """What was acknowledged must arrive, once. Raises: ToolFailed."""
    if run["count"] < count:
        raise ToolFailed(f"{run['count']} of {count} arrived")


def fdatasync_ms(directory: Path) -> float:
    """The median time of making 64 KiB durable: what a commit costs at least."""
    took = []
    with (directory / "sync").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(65536))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3


def interpreter_score() -> float:
    """Seconds that a fixed piece of pure Python takes here: to tell a slow machine from a slow hub."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        table: dict[int, str] = {}
        for at in range(200_000):
            table[at & 1023] = str(at)
        took.append(time.perf_counter() - begun)
    return min(took)


def show(figures: dict[str, float]) -> None:
    """Print all figures, with what is aimed at."""
    print(f"\n{'figure':44} {'value':>14}  aim")
    for name, value in figures.items():
        aim = ""
        if name in GOALS:
            relation, goal = GOALS[name]
            met = value >= goal if relation == ">=" else value < goal
            aim = f"{relation} {goal:,g}: {'met' if met else 'NOT MET'}"
        print(f"{name:44} {value:14,.4g}  {aim}" if abs(value) < 1000 else f"{name:44} {value:14,.0f}  {aim}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small and once, for a look while developing")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="only these")
    parser.add_argument("--count", type=int, default=100_000, help="messages of one measurement")
    parser.add_argument("--runs", type=int, default=3, help="repetitions, whose median counts")
    parser.add_argument("--half-s", type=float, default=8.0, help="seconds of one measurement at half load")
    parser.add_argument("--idle-s", type=float, default=30.0, help="seconds of looking at idle binds")
    parser.add_argument("--queued", type=int, default=MILLION, help="messages of the long queue; 0 skips it")
    parser.add_argument("--synchronous", default="FULL", help="of SQLite; anything but FULL is for comparisons")
    parser.add_argument("--profile", action="store_true", help="sample the hub with py-spy, which must be installed")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "bench.json", help="where the figures go")
    options = parser.parse_args()
    options.only = set(options.only or MEASUREMENTS)
    if options.quick:
        options.count, options.runs, options.half_s = min(options.count, 20_000), 1, 2.0
        options.queued, options.idle_s = min(options.queued, 50_000), 5.0
    return options


def main() -> None:
    options = parse()
    directory = Path(tempfile.mkdtemp(prefix="smshub-bench-"))
    begun = time.monotonic()
    bench = Bench(options, directory)
    failure = ""
    try:
        bench.figures["fdatasync_64k_ms"] = fdatasync_ms(directory)
        bench.figures["interpreter_score_s"] = interpreter_score()
        if "codec" in options.only:
            compared = codec.compare(options.runs)
            codec.show(compared)
            bench.figures |= codec.figures(compared)
        if "echo" in options.only:
            bench.echo()
        if options.only & {"account", "half", "receipts", "desk"}:
            bench.conversations()
        if "idle" in options.only:
            bench.idle()
        if "slow" in options.only:
            bench.slow()
        if "million" in options.only and options.queued:
            bench.million()
    except ToolFailed as error:  # what was measured before stands
        failure = str(error)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    figures = bench.figures
    if "echo_msgs_per_s" in figures and "account_to_link_msgs_per_s" in figures:
        figures["echo_ratio"] = figures["account_to_link_msgs_per_s"] / figures["echo_msgs_per_s"]
        figures["echo_cpu_ratio"] = figures["cpu_s_per_1000_msgs"] / figures["echo_cpu_s_per_1000_msgs"]
    show(figures)
    print(f"\nThis took {time.monotonic() - begun:.0f} s.")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(("python -m loadtests.bench", *sys.argv[1:])),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    report = {"figures": figures, "runs": bench.runs, "about": about, "failure": failure}
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    if failure:
        raise SystemExit(f"The benchmark did not come to its end: {failure}")


if __name__ == "__main__":
    main()
