"""Recovery after an outage: a carrier comes back to a backlog, while another account's texts go on over another link.

1. *Before*: live texts alone, in an open loop, slice by slice.
2. *The outage*: the other carrier is away; a campaign fills its queue, ten texts for each of its customers, each text
   with its running number.
3. *The return*: it listens again. The hub finds it when its next try to bind is due, which is up to a minute later.
4. *The drain*: live texts go on, slice by slice, until the backlog is gone. The carrier saw every text of it in its
   lane's order, once, or the benchmark ends with what it saw instead.

A lane's next text is sent when the one before it was answered, and not sooner than the link's gap after it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from loadtests.bench.options import BINDS, LANES, MILLION, WINDOW
from loadtests.bench.run import Figures, Run, Spent, bind, check, check_arrived, show_row
from loadtests.processes import PASSWORD, HubProcess, Tool, ToolFailed, free_ports, link_of
from loadtests.wire import TICK_S

PREFIX = "+12"  # of the campaign's customers; see wire.FIRST_CUSTOMER
LIVE_CUSTOMERS = 1_000_000_000  # the live texts' customers are so much further: +13
SLICE_S = 2.0
SLICES_BEFORE = 5
BIND_S = 120  # the longest wait of a link between two tries is a minute
DRAIN_S = 1200
CAMPAIGN = """
[[account]]
system_id = "campaign"
password = "{password}"
max_binds = 16
window = 1000
inbox = 5000
"""


class Live:
    """The texts that go on, over a link that is there.

    Args:
        run: the run.
        esme: bound.
        carrier: the link's other end.
        hub: the hub.
    """

    def __init__(self, run: Run, esme: Tool, carrier: Tool, hub: HubProcess) -> None:
        self._run, self._esme, self._carrier, self._hub = run, esme, carrier, hub
        self._rate = run.options.live_rate
        self._slice_s = min(SLICE_S, run.options.half_s)

    def slice(self) -> Figures:
        """Some seconds of them, until the last has arrived."""
        count = max(1, int(self._rate * self._slice_s))
        self._carrier.ask("reset")
        customer = LIVE_CUSTOMERS + self._run.customers(count)
        sent = self._esme.ask("load", 120, count=count, rate=self._rate, customer=customer)
        check(sent, count)
        arrived = self._carrier.ask("expect", 120, count=count)
        check_arrived(arrived, count)
        return {
            "at_s": sent["first"],
            "live_texts": count,
            "live_per_s": count / (arrived["last"] - sent["first"]),
            "live_p50_ms": sent["p50_ms"],
            "live_p99_ms": sent["p99_ms"],
            "rss_mb": self._hub.memory_mb(),
        }


def outage(run: Run) -> None:
    """See the module's head."""
    backlog, lanes = _whole(run.options.backlog)
    with ExitStack() as stack:
        (port,) = free_ports(1)
        place = run.place(link_of("away", port, PREFIX, window=1000) + CAMPAIGN.format(password=PASSWORD))
        carrier, away = (stack.enter_context(Tool("loadtests.smsc_sink")) for _ in range(2))
        carrier.ask("listen", port=place.carrier_port)
        hub = stack.enter_context(HubProcess(place))
        carrier.ask("bound")
        esme, campaign = (stack.enter_context(Tool("loadtests.esme")) for _ in range(2))
        bind(esme, place.smpp_port)
        bind(campaign, place.smpp_port, "campaign")
        live = Live(run, esme, carrier, hub)
        live.slice()  # warm
        before = [live.slice() for _ in range(SLICES_BEFORE)]
        show_row("live texts before the outage", _median(before))
        queued = campaign.ask("load", 600, count=backlog, window=WINDOW, customer=0, lanes=lanes)
        check(queued, backlog)
        name = "million" if backlog >= MILLION else "backlog"
        run.figures["outage_backlog"] = backlog
        run.figures["outage_lanes"] = lanes
        run.figures[f"outage_rss_mb_{name}_waiting"] = hub.memory_mb()
        away.ask("watch")
        returned = time.monotonic()
        away.ask("listen", port=port)
        away.ask("bound", BIND_S)
        bound = time.monotonic()
        spent = Spent(run, hub)
        during = list(_drain(live, backlog, lambda: away.ask("expect", 0.0, count=backlog)))
        arrived = away.ask("expect", 0.0, count=backlog)
        check_order(away.ask("order"), backlog, lanes)
        texts = backlog + sum(row["live_texts"] for row in during)
        _keep(run, before, during, arrived["last"] - arrived["first"])
        run.figures["outage_bound_again_s"] = bound - returned
        run.figures["outage_first_text_s"] = arrived["first"] - bound
        run.figures["outage_cpu_s_per_1000_msgs"] = spent.per_1000(int(texts))["cpu_s_per_1000"]
        run.figures["outage_rss_peak_mb"] = hub.memory_mb("VmHWM")


def check_order(seen: Mapping[str, float], backlog: int, lanes: int) -> None:
    """All texts of the backlog arrived, each once, in its lane's order. Raises: ToolFailed."""
    if (seen["texts"], seen["lanes"]) != (backlog, lanes) or seen["late"] or seen["repeated"] or seen["unread"]:
        found = {key: seen[key] for key in ("texts", "lanes", "late", "repeated", "unread")}
        raise ToolFailed(f"of a backlog of {backlog} in {lanes} lanes the carrier saw {found}")


def _whole(backlog: int) -> tuple[int, int]:
    """The backlog and its lanes: each bind sends as many of both, ten texts to a lane where there are enough."""
    lanes = max(1, min(LANES, backlog // 10) // BINDS) * BINDS
    return max(1, backlog // lanes) * lanes, lanes


def _drain(live: Live, backlog: int, look: Callable[[], dict[str, float]]) -> Iterator[Figures]:
    """Live slices until the backlog is gone. Raises: ToolFailed: it is not, after twenty minutes."""
    begun = time.monotonic()
    drained = 0.0
    while drained < backlog:
        if time.monotonic() > begun + DRAIN_S:
            raise ToolFailed(f"{drained:.0f} of a backlog of {backlog} arrived in {DRAIN_S} s")
        row = live.slice()
        drained = look()["count"]
        row |= {"at_s": row["at_s"] - begun, "until_s": time.monotonic() - begun, "drained": drained}
        show_row("live texts while it drains", row)
        yield row


def _keep(run: Run, before: list[Figures], during: list[Figures], drain_s: float) -> None:
    run.curves["outage"] = [{"size": row["at_s"], **row} for row in during]
    was, now = _median(before), _median(during)
    figures = run.figures
    figures["outage_drain_s"] = drain_s
    figures["outage_drain_msgs_per_s"] = figures["outage_backlog"] / max(drain_s, TICK_S)
    figures["live_p99_ms_before_outage"] = was["live_p99_ms"]
    figures["live_p99_ms_while_draining"] = now["live_p99_ms"]
    figures["live_p99_ms_while_draining_worst"] = max(row["live_p99_ms"] for row in during)
    figures["live_p99_while_draining_times"] = now["live_p99_ms"] / was["live_p99_ms"]
    figures["live_rate_while_draining_ratio"] = now["live_per_s"] / was["live_per_s"]


def _median(rows: list[Figures]) -> Figures:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0] if key != "at_s"}
