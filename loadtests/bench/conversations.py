"""What texts cost on their roads: the yardstick, account to link, shares of the peak, receipts, link to desk."""

from __future__ import annotations

from contextlib import ExitStack

from loadtests.bench.options import RECEIPT_WINDOW, SOURCE_WINDOW, WARM_UP, WINDOW
from loadtests.bench.run import Figures, Run, Spent, bind, check, check_arrived
from loadtests.processes import HELPLINE, Echo, HubProcess, Tool, free_ports
from loadtests.profile import Profiler

SHARES = {"quarter_load": 0.25, "half_load": 0.5, "three_quarter_load": 0.75}
FIXED_RATE = 4000.0  # a second: waits at the same rate everywhere, whatever the peak is
WITHIN_S = 300


def echo(run: Run) -> None:
    """The yardstick, under the same load."""
    (port,) = free_ports(1)
    count = run.options.count * 4  # it is so much faster that the hub's number would be a blink
    with Echo(port) as server, Tool("loadtests.esme") as esme:
        bind(esme, port)
        esme.ask("load", count=WARM_UP, window=WINDOW, customer=0)

        def measure() -> Figures:
            cpu = server.cpu_s()
            sent = esme.ask("load", WITHIN_S, count=count, window=WINDOW, customer=run.customers(count))
            check(sent, count)
            return {
                "msgs_per_s": count / (sent["last"] - sent["first"]),
                "cpu_s_per_1000": (server.cpu_s() - cpu) / count * 1000,
                "esme_cpu_s_per_1000": sent["cpu_s"] / count * 1000,
            }

        medians = run.several("echo", measure)
    run.figures["echo_msgs_per_s"] = medians["msgs_per_s"]
    run.figures["echo_cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]


class Conversations:
    """One hub with one account, one link and one desk, and a store that grows.

    Args:
        run: the run.
        stack: what ends it.
    """

    def __init__(self, run: Run, stack: ExitStack) -> None:
        self._run = run
        place = run.place()
        self._carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
        self._desk = stack.enter_context(Tool("loadtests.component_sink"))
        self._esme = stack.enter_context(Tool("loadtests.esme"))
        self._carrier.ask("listen", port=place.carrier_port)
        self._desk.ask("listen", port=place.desk_port)
        self.hub = stack.enter_context(HubProcess(place))
        self._carrier.ask("bound")
        self._desk.ask("bound")
        bind(self._esme, place.smpp_port)
        self._profiler = Profiler(self.hub.child.pid) if run.options.profile else None

    def account_to_link(self) -> None:
        """As fast as it goes."""
        run = self._run
        self._closed_loop(WARM_UP)
        medians = run.several("account -> link", lambda: self._closed_loop(run.options.count))
        run.figures["account_to_link_msgs_per_s"] = medians["msgs_per_s"]
        run.figures["ack_p50_ms_full_load"] = medians["ack_p50_ms"]
        run.figures["ack_p99_ms_full_load"] = medians["ack_p99_ms"]
        run.figures["cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]
        if "store_cpu_s_per_1000" in medians:
            run.figures["store_cpu_s_per_1000_msgs"] = medians["store_cpu_s_per_1000"]
        run.figures["tools_cpu_s_per_1000_msgs"] = medians["tools_cpu_s_per_1000"]
        if self._profiler is not None:
            self._profiler.record("account-to-link", lambda: self._closed_loop(run.options.count * 3))

    def _closed_loop(self, count: int) -> Figures:
        run = self._run
        self._carrier.ask("reset")
        spent = Spent(run, self.hub)
        self._carrier.tell("expect", count=count, within_s=WITHIN_S)
        sent = self._esme.ask("load", WITHIN_S, count=count, window=WINDOW, customer=run.customers(count))
        check(sent, count)
        arrived = self._carrier.answer(WITHIN_S + 30)
        check_arrived(arrived, count)
        return {
            "msgs_per_s": count / (arrived["last"] - sent["first"]),
            "ack_p50_ms": sent["p50_ms"],
            "ack_p99_ms": sent["p99_ms"],
            **spent.per_1000(count),
            "tools_cpu_s_per_1000": (sent["cpu_s"] + arrived["cpu_s"]) / count * 1000,
        }

    def latency(self) -> None:
        """Waits at shares of the peak that was just measured, and at a rate that is the same everywhere."""
        run = self._run
        peak = run.figures["account_to_link_msgs_per_s"]
        for name, share in SHARES.items():
            medians = run.several(f"account -> link, {name}", lambda share=share: self._open_loop(share * peak))  # type: ignore[misc]
            run.add_to_curve("latency", {"size": share, **medians})
            for key in ("rate", "ack_p50_ms", "ack_p99_ms", "ack_p999_ms", "cpu_s_per_1000"):
                run.figures[f"{key}_{name}"] = medians[key]
            if self._profiler is not None:
                self._profiler.record(name, lambda share=share: self._open_loop(share * peak))  # type: ignore[misc]
        medians = run.several("account -> link, 4000_per_s", lambda: self._open_loop(FIXED_RATE))
        for key in ("ack_p50_ms", "ack_p99_ms", "cpu_s_per_1000"):
            run.figures[f"{key}_4000_per_s"] = medians[key]

    def _open_loop(self, rate: float) -> Figures:
        run = self._run
        count = int(rate * run.options.half_s)
        self._carrier.ask("reset")
        spent = Spent(run, self.hub)
        sent = self._esme.ask("load", WITHIN_S, count=count, rate=rate, customer=run.customers(count))
        check(sent, count)
        check_arrived(self._carrier.ask("expect", 60, count=count), count)
        return {
            "rate": rate,
            "ack_p50_ms": sent["p50_ms"],
            "ack_p99_ms": sent["p99_ms"],
            "ack_p999_ms": sent["p999_ms"],
            "ack_max_ms": sent["max_ms"],
            **spent.per_1000(count),
        }

    def receipts(self) -> None:
        """Account to link, and a receipt back for each."""
        run = self._run
        count = run.options.count // 2
        self._carrier.ask("receipts", on=True, window=RECEIPT_WINDOW)

        def measure() -> Figures:
            self._esme.ask("reset")
            spent = Spent(run, self.hub)
            customer = run.customers(count)
            sent = self._esme.ask("load", WITHIN_S, count=count, window=WINDOW, customer=customer, receipts=True)
            check(sent, count)
            came = self._esme.ask("receipts", 60, count=count)
            check_arrived(came, count)
            return {
                "msgs_per_s": count / (came["last"] - sent["first"]),
                "ack_p99_ms": sent["p99_ms"],
                **spent.per_1000(count),
            }

        medians = run.several("account -> link, receipts back", measure)
        if self._profiler is not None:
            self._profiler.record("receipts", measure)
        self._carrier.ask("receipts", on=False)
        run.figures["account_to_link_with_receipts_msgs_per_s"] = medians["msgs_per_s"]
        run.figures["cpu_s_per_1000_msgs_with_receipts"] = medians["cpu_s_per_1000"]

    def link_to_desk(self) -> None:
        """As fast as it goes, each text in a new thread."""
        run = self._run
        towards_desk(run, self.hub, self._carrier, self._desk, WARM_UP)
        medians = run.several(
            "link -> desk, new threads",
            lambda: towards_desk(run, self.hub, self._carrier, self._desk, run.options.count),
        )
        run.figures["link_to_xmpp_msgs_per_s"] = medians["msgs_per_s"]
        run.figures["link_to_xmpp_ack_p99_ms"] = medians["ack_p99_ms"]
        run.figures["link_to_xmpp_cpu_s_per_1000_msgs"] = medians["cpu_s_per_1000"]
        if "store_cpu_s_per_1000" in medians:
            run.figures["link_to_xmpp_store_cpu_s_per_1000_msgs"] = medians["store_cpu_s_per_1000"]
        if self._profiler is not None:
            self._profiler.record(
                "link-to-desk",
                lambda: towards_desk(run, self.hub, self._carrier, self._desk, run.options.count * 2),
            )


def towards_desk(
    run: Run,
    hub: HubProcess,
    carrier: Tool,
    desk: Tool,
    count: int,
    *,
    to: str = HELPLINE,
    numbers: int = 1,
    among: int = 0,
) -> Figures:
    """A carrier's texts to a desk, as fast as it goes.

    Args:
        to: the number that they are sent to.
        numbers: how many there are from this one on; they are taken in turns.
        among: known customers that there are, taken in turns; 0 for customers that are all new.
    """
    desk.ask("reset")
    spent = Spent(run, hub)
    desk.tell("expect", count=count, within_s=WITHIN_S)
    sent = carrier.ask(
        "load",
        WITHIN_S,
        count=count,
        window=SOURCE_WINDOW,
        customer=run.customers(count),
        destination=to.removeprefix("+"),
        numbers=numbers,
        among=among,
    )
    check(sent, count)
    arrived = desk.answer(WITHIN_S + 30)
    check_arrived(arrived, count)
    return {
        "msgs_per_s": count / (arrived["last"] - sent["first"]),
        "ack_p50_ms": sent["p50_ms"],
        "ack_p99_ms": sent["p99_ms"],
        **spent.per_1000(count),
        "tools_cpu_s_per_1000": (sent["cpu_s"] + arrived["cpu_s"]) / count * 1000,
    }


def conversations(run: Run) -> None:
    """Those of them that are wanted, on one hub and one store that grows."""
    wanted = run.options.only
    with ExitStack() as stack:
        stage = Conversations(run, stack)
        if {"account", "latency"} & wanted:  # shares of what is known only then
            stage.account_to_link()
        if "latency" in wanted:
            stage.latency()
        if "receipts" in wanted:
            stage.receipts()
        if "desk" in wanted:
            stage.link_to_desk()
        run.figures["rss_mb_after_conversations"] = stage.hub.memory_mb()
        run.figures["warnings_logged"] = stage.hub.log.read_text().count('"level": "warning"')
