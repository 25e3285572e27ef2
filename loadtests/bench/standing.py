"""What stands about: binds that say nothing, a link that is slow, a queue of a million and the start with it."""

from __future__ import annotations

import time
from contextlib import ExitStack

from loadtests.bench.options import MILLION, WARM_UP, WINDOW
from loadtests.bench.run import Figures, Run, Spent, bind, check, check_arrived
from loadtests.processes import PASSWORD, HubProcess, Tool, free_ports, link_of
from loadtests.wire import CUSTOMERS_OF_A_LINK, TICK_S

IDLE_BINDS = 1000
LINKS = 10
LINK_RATE = 200.0  # texts a second for the link that is slow
SLOW_S = 5.0
IDLE_ACCOUNT = """
[[account]]
system_id = "idle"
password = "{password}"
max_binds = {binds}
"""


def idle(run: Run) -> None:
    """A thousand binds with nothing to say but enquire_link."""
    idle_s = run.options.idle_s
    with ExitStack() as stack:
        place = run.place(IDLE_ACCOUNT.format(password=PASSWORD, binds=IDLE_BINDS))
        esme = stack.enter_context(Tool("loadtests.esme"))
        hub = stack.enter_context(HubProcess(place))
        time.sleep(idle_s / 4)
        empty_mb, cpu = hub.memory_mb(), hub.cpu_s()
        time.sleep(idle_s)
        alone_s = hub.cpu_s() - cpu
        begun = time.monotonic()
        bind(esme, place.smpp_port, "idle", IDLE_BINDS)
        run.figures["idle_binds"] = IDLE_BINDS
        run.figures["binds_per_s"] = IDLE_BINDS / (time.monotonic() - begun)
        time.sleep(idle_s / 4)
        cpu = hub.cpu_s()
        time.sleep(idle_s)
        run.figures["rss_mb_more_for_idle_binds"] = hub.memory_mb() - empty_mb
        run.figures["cpu_share_of_idle_binds"] = (hub.cpu_s() - cpu) / idle_s
        run.figures["cpu_share_without_binds"] = alone_s / idle_s


def slow(run: Run) -> None:
    """Ten links, of which one answers after seconds: what the other nine lose."""
    with ExitStack() as stack:
        ports = free_ports(LINKS)
        links = [link_of(f"link{at}", port, f"+12{at}") for at, port in enumerate(ports)]
        place = run.place("".join(links))
        nine, one = (stack.enter_context(Tool("loadtests.smsc_sink")) for _ in range(2))
        for port in ports[:-1]:
            nine.ask("listen", port=port)
        one.ask("listen", port=ports[-1])
        hub = stack.enter_context(HubProcess(place))
        one.ask("bound")
        nine.ask("bound", binds=LINKS - 1)
        esme, other = (stack.enter_context(Tool("loadtests.esme")) for _ in range(2))
        bind(esme, place.smpp_port)
        bind(other, place.smpp_port)

        def measure(delay_s: float, count: int = run.options.count) -> Figures:
            one.ask("slow", delay_s=delay_s)
            one.ask("reset")
            nine.ask("reset")
            first = (LINKS - 1) * CUSTOMERS_OF_A_LINK + run.customers(count)
            slow_count = int(LINK_RATE * run.options.half_s)
            other.tell("load", count=slow_count, rate=LINK_RATE, customer=first, within_s=120)
            spent = Spent(run, hub)
            customer = run.customers(count)
            sent = esme.ask("load", 120, count=count, window=WINDOW, customer=customer * (LINKS - 1), spread=LINKS - 1)
            check(sent, count)
            arrived = nine.ask("expect", 120, count=count)
            check_arrived(arrived, count)
            check(other.answer(150), slow_count)
            found = {
                "msgs_per_s": count / (arrived["last"] - sent["first"]),
                "ack_p99_ms": sent["p99_ms"],
                **spent.per_1000(count),
            }
            one.ask("slow", delay_s=0.0)  # what is left of its texts shall not be in the way of the next turn
            check_arrived(one.ask("expect", 300, count=slow_count), slow_count)
            return found

        measure(0.0, WARM_UP)
        compared = run.in_turns(
            ("nine links, a quick tenth", lambda: measure(0.0)), ("nine links, a slow tenth", lambda: measure(SLOW_S))
        )
        run.figures["ten_links_msgs_per_s"] = compared.one["msgs_per_s"]
        run.figures["nine_links_beside_a_slow_one"] = compared.ratio["msgs_per_s"]
        run.figures["nine_links_cpu_beside_a_slow_one"] = compared.ratio["cpu_s_per_1000"]
        run.figures["nine_links_ack_p99_ms_beside_a_slow_one"] = compared.other["ack_p99_ms"]


def million(run: Run) -> None:
    """A queue that grows while the carrier is away; a restart; the carrier comes back."""
    count = run.options.queued
    figures = run.figures
    with ExitStack() as stack:
        place = run.place()
        carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
        with HubProcess(place) as hub, Tool("loadtests.esme") as esme:
            figures["rss_mb_empty"] = hub.memory_mb()
            bind(esme, place.smpp_port)
            sent = esme.ask("load", 600, count=count, window=WINDOW, customer=run.customers(count))
            check(sent, count)
            took_s = sent["last"] - sent["first"]
            figures["queued_messages"] = count
            figures["queueing_msgs_per_s"] = count / took_s
            figures["queueing_ack_p99_ms"] = sent["p99_ms"]
            queued = "million_queued" if count >= MILLION else "queued"
            figures[f"rss_mb_{queued}"] = hub.memory_mb()
            figures[f"rss_peak_mb_{queued}"] = hub.memory_mb("VmHWM")
            print(f"  {count:,} queued in {took_s:.1f} s, {hub.memory_mb():.0f} MB resident", flush=True)
            hub.kill()  # a restart after a crash: what is on disk is all there is
        figures["store_octets_per_message"] = run.stores.octets(place) / count
        carrier.ask("listen", port=place.carrier_port)
        carrier.tell("expect", count=1, within_s=120)
        started = time.monotonic()
        with HubProcess(place) as hub:
            figures["restart_ready_s"] = hub.ready_s
            first = carrier.answer(150)
            check_arrived(first, 1)
            figures["restart_first_dispatch_s"] = first["first"] - started
            drained = min(count, 10 * run.options.count)
            spent = Spent(run, hub)
            arrived = carrier.ask("expect", 300, count=drained)
            check_arrived(arrived, drained)
            figures["draining_msgs_per_s"] = drained / max(arrived["last"] - arrived["first"], TICK_S)
            figures["draining_cpu_s_per_1000_msgs"] = spent.per_1000(drained)["cpu_s_per_1000"]
            figures["rss_mb_draining"] = hub.memory_mb()
