"""What size costs: links, numbers that are provisioned, open threads in the store.

For each size the same texts take the road that meets it: what must not grow is the CPU of a thousand. The start with it
and the memory of it are measured beside. The store is filled while the hub is away: numbers by the hub's own command,
threads by SQL (``loadtests.stock``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack

from loadtests import stock
from loadtests.bench.conversations import WITHIN_S, towards_desk
from loadtests.bench.options import WARM_UP, WINDOW
from loadtests.bench.run import Figures, Run, Spent, bind, check, check_arrived, show_row
from loadtests.processes import HELPLINE, SMSHUB, HubProcess, Place, Tool, ToolFailed, free_ports, link_of
from loadtests.profile import Profiler

APART = 1_000_000  # customers of a link: the three digits before them are the link's
FEWEST_KNOWN = 10_000  # threads from which on texts that find theirs are measured: with fewer, customers wait in line
LOOK_S = 5.0  # how long links are watched that have nothing to do
IMPORT_S = 1200
THREAD_OCTETS = (
    1000  # of disk for a thread with its event and indexes: 450 in SQLite, and as much while indexes are made
)


def links(run: Run) -> None:
    """Texts dealt out over more and more links."""
    for size in run.options.links:
        with ExitStack() as stack:
            (port,) = free_ports(1)  # one carrier with many names: to the hub, links are links
            place = run.place("".join(link_of(f"link{at}", port, f"+12{at:03}") for at in range(size)))
            carrier, esme = (stack.enter_context(Tool(f"loadtests.{name}")) for name in ("smsc_sink", "esme"))
            for each in (place.carrier_port, port):
                carrier.ask("listen", port=each)
            begun = time.monotonic()
            hub = stack.enter_context(HubProcess(place))
            carrier.ask("bound", 120, binds=size + 1)  # and the one that is in every configuration
            bound_s = time.monotonic() - begun
            cpu, look_s = hub.cpu_s(), min(LOOK_S, run.options.idle_s)
            time.sleep(look_s)
            idle_share = (hub.cpu_s() - cpu) / look_s
            bind(esme, place.smpp_port)

            def measure(
                count: int, size: int = size, hub: HubProcess = hub, esme: Tool = esme, carrier: Tool = carrier
            ) -> Figures:
                carrier.ask("reset")
                spent = Spent(run, hub)
                customer = run.customers(count) * size
                sent = esme.ask(
                    "load", WITHIN_S, count=count, window=WINDOW, customer=customer, spread=size, apart=APART
                )
                check(sent, count)
                arrived = carrier.ask("expect", WITHIN_S, count=count)
                check_arrived(arrived, count)
                return {
                    "msgs_per_s": count / (arrived["last"] - sent["first"]),
                    "ack_p99_ms": sent["p99_ms"],
                    **spent.per_1000(count),
                }

            measure(WARM_UP)
            medians = run.several(f"account -> {size} links", lambda measure=measure: measure(run.options.count // 2))  # type: ignore[misc]
            row = {
                "size": size,
                "ready_s": hub.ready_s,
                "bound_s": bound_s,
                "rss_mb": hub.memory_mb(),
                "idle_cpu_share": idle_share,
                **medians,
            }
            run.add_to_curve("links", row)
            if run.options.profile:
                Profiler(hub.child.pid).record(f"links-{size}", lambda measure=measure: measure(run.options.count))  # type: ignore[misc]
    run.figures["links_cpu_growth"] = run.growth("links", "cpu_s_per_1000")


def numbers(run: Run) -> None:
    """Texts to more and more numbers of one call centre, each text in a new thread."""
    there = 0
    place = run.place()
    with HubProcess(place):
        pass  # the store is made, and holds what is in the file
    for size in run.options.numbers:
        took_s = import_numbers(place, there, size)
        run.figures["numbers_imported_per_s"] = (size - there) / took_s
        there = size
        with ExitStack() as stack:
            hub, carrier, desk = _desk_side(stack, place)
            start_mb = hub.memory_mb()
            first = f"+{stock.FIRST_NUMBER}"
            towards_desk(run, hub, carrier, desk, WARM_UP, to=first, numbers=size)
            medians = run.several(
                f"link -> desk, {size} numbers",
                lambda hub=hub, carrier=carrier, desk=desk, first=first, size=size: towards_desk(  # type: ignore[misc]
                    run, hub, carrier, desk, run.options.count // 2, to=first, numbers=size
                ),
            )
            row = {
                "size": size,
                "import_s": took_s,
                "ready_s": hub.ready_s,
                "rss_mb_at_start": start_mb,
                "rss_mb": hub.memory_mb(),
                "rss_peak_mb": hub.memory_mb("VmHWM"),
                **medians,
            }
            run.add_to_curve("numbers", row)
            show_row(f"start with {size} numbers", {key: row[key] for key in ("ready_s", "rss_mb_at_start")})
    run.figures["numbers_cpu_growth"] = run.growth("numbers", "cpu_s_per_1000")
    run.figures[f"restart_ready_s_{there}_numbers"] = run.curves["numbers"][-1]["ready_s"]


def import_numbers(place: Place, first: int, last: int) -> float:
    """Provision numbers by the hub's own command: those from ``first`` to before ``last``.

    Returns: seconds it took.
    Raises: ToolFailed.
    """
    file = place.directory / "numbers"
    file.write_text("".join(f"+{stock.FIRST_NUMBER + at}\n" for at in range(first, last)))
    command = [sys.executable, str(SMSHUB), "provision", "number", "import", str(file)]
    command += ["--call-centre", "helpline", "--config", str(place.config)]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_S)
    if done.returncode:
        raise ToolFailed(f"the numbers were not imported: {(done.stderr or done.stdout)[-2000:]}")
    return time.monotonic() - begun


def threads(run: Run) -> None:
    """Texts of new customers, and of customers whose thread is open, with more and more open threads in the store."""
    there = 0
    needed, free = run.options.threads[-1] * THREAD_OCTETS, shutil.disk_usage(run.directory).free
    if needed > free:
        raise ToolFailed(
            f"{run.options.threads[-1]:,} threads take about {needed / 1e9:.1f} GB and {run.directory.parent} has "
            f"{free / 1e9:.1f} GB left: name smaller --threads, or set TMPDIR to where there is room"
        )
    place = run.place()
    with HubProcess(place):
        pass
    for size in run.options.threads:
        begun = time.monotonic()
        stock.add_threads(place, there, size)
        filled_s, there = time.monotonic() - begun, size
        store_mb = run.stores.octets(place) / 1e6
        show_row(f"{size} threads written", {"took_s": filled_s, "store_mb": store_mb})
        with ExitStack() as stack:
            hub, carrier, desk = _desk_side(stack, place)
            row: Figures = {
                "size": size,
                "ready_s": hub.ready_s,
                "rss_mb_at_start": hub.memory_mb(),
                "store_mb": store_mb,
            }
            towards_desk(run, hub, carrier, desk, WARM_UP)
            count = run.options.count // 2
            row |= run.several(
                f"link -> desk, beside {size} threads",
                lambda hub=hub, carrier=carrier, desk=desk, count=count: towards_desk(run, hub, carrier, desk, count),  # type: ignore[misc]
            )
            if size >= FEWEST_KNOWN:
                known = run.several(
                    f"link -> desk, in {size} threads",
                    lambda hub=hub, carrier=carrier, desk=desk, count=count, size=size: towards_desk(  # type: ignore[misc]
                        run, hub, carrier, desk, count, to=HELPLINE, among=size
                    ),
                )
                row |= {f"known_{key}": value for key, value in known.items()}
            row |= {"rss_mb": hub.memory_mb(), "rss_peak_mb": hub.memory_mb("VmHWM")}
            run.add_to_curve("threads", row)
    run.figures["threads_cpu_growth"] = run.growth("threads", "cpu_s_per_1000")
    with_known = [row for row in run.curves["threads"] if "known_cpu_s_per_1000" in row]
    if with_known:
        first, last = with_known[0]["known_cpu_s_per_1000"], with_known[-1]["known_cpu_s_per_1000"]
        run.figures["known_threads_cpu_growth"] = last / first
    run.figures[f"restart_ready_s_{there}_threads"] = run.curves["threads"][-1]["ready_s"]


def _desk_side(stack: ExitStack, place: Place) -> tuple[HubProcess, Tool, Tool]:
    """A hub, its carrier and its desk, bound."""
    carrier, desk = (stack.enter_context(Tool(f"loadtests.{name}")) for name in ("smsc_sink", "component_sink"))
    carrier.ask("listen", port=place.carrier_port)
    desk.ask("listen", port=place.desk_port)
    hub = stack.enter_context(HubProcess(place))
    carrier.ask("bound")
    desk.ask("bound")
    return hub, carrier, desk
