"""Metrics for Prometheus, health and readiness. Values are read from snapshots when somebody asks.

| path | what it says |
| --- | --- |
| `/metrics` | everything, in Prometheus's text format |
| `/health` | 200 while the process answers |
| `/ready` | 200 while it takes messages: 503 with what is missing otherwise |
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from hub import Hub
from ops.web import Page
from store import Store, StoreError

READY_S = 2.0  # probes are given a few seconds
TEXT = "text/plain; version=0.0.4; charset=utf-8"

EVENTS: dict[str, tuple[str, str]] = {
    "arrived": ("arrivals", "Texts, parts of texts and receipts that an endpoint gave to intake."),
    "accepted": ("accepted", "Arrivals that were journalled and acknowledged."),
    "try_later": ("intake_deferred", "Arrivals that the sender was asked to send again later."),
    "handed_over": ("handed_over", "Parts that the next system has answered for."),
    "retried": ("retries", "Temporary refusals of parts."),
    "throttled": ("throttled", "Parts that an endpoint was asked to send later."),
    "in_doubt": ("in_doubt", "Parts that were submitted and whose answer was lost."),
    "resent": ("resent", "Parts in doubt that were accepted when they were sent again: possible duplicates."),
    "unsent": ("unsent", "Parts that an endpoint was given and could not write."),
    "rerouted": ("rerouted", "Parts that a link of a group refused for good and that went on to another."),
    "incomplete": ("incomplete_texts", "Texts that went on with parts missing."),
    "receipts_settled": ("receipts_settled", "Receipts that belonged to a part."),
    "receipts_parked": ("receipts_parked", "Receipts for ids not known yet, or never."),
    "receipts_repeated": ("receipts_repeated", "Receipts for parts that had theirs."),
    "opted_out": ("opted_out", "Customers who went out by a word they texted."),
    "opted_in": ("opted_in", "Customers who came in again by a word they texted."),
    "help_asked": ("help_asked", "Customers who were answered because they texted HELP."),
    "cancelled": ("cancelled", "Requests that cancelled texts."),
    "replaced": ("replaced", "Texts that were given other words before they were sent."),
    "alerts": ("alert_notifications", "Handsets that a network said can be reached again."),
}
"""The hub's events and their metrics: ``smshub_<name>_total{endpoint}``."""


class SessionCounters:
    """Counts what the SMPP shells observe. Implements ``smpp.observer.Observer``."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, event: str, **labels: str) -> None:
        """See ``smpp.observer.Observer``."""
        detail = labels.get("status") or labels.get("ending") or labels.get("bind") or ""
        endpoint = labels.get("endpoint", "")
        if labels.get("link"):
            endpoint = f"link:{labels['link']}"
        elif labels.get("account"):
            endpoint = f"account:{labels['account']}"
        self.counts[event, endpoint, detail] += 1


class HubCollector:
    """Reads the hub, the store and the sessions at scrape."""

    def __init__(self, hub: Hub, store: Store, sessions: SessionCounters) -> None:
        self._hub = hub
        self._store = store
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the registry wants them."""
        yield from self._events()
        yield from self._endpoints()
        yield self._quotas()
        yield from self._store_metrics()
        sessions = CounterMetricFamily(
            "smshub_smpp_sessions", "Events of SMPP sessions.", labels=["event", "endpoint", "detail"]
        )
        for (event, endpoint, detail), count in self._sessions.counts.items():
            sessions.add_metric([event, endpoint, detail], count)
        yield sessions

    def _events(self) -> Iterator[Metric]:
        counters = self._hub.counters
        families = {
            event: CounterMetricFamily(f"smshub_{name}", text, labels=["endpoint"])
            for event, (name, text) in EVENTS.items()
        }
        for (event, endpoint), count in counters.events.items():
            if event in families:
                families[event].add_metric([endpoint], count)
        yield from families.values()
        refused = CounterMetricFamily("smshub_refused", "Arrivals refused, by reason.", labels=["endpoint", "reason"])
        for (endpoint, reason), count in counters.refusals.items():
            refused.add_metric([endpoint, reason], count)
        yield refused
        filtered = CounterMetricFamily("smshub_filtered", "Texts kept back by a filter.", labels=["endpoint", "filter"])
        for (endpoint, which), count in counters.filtered.items():
            filtered.add_metric([endpoint, which], count)
        yield filtered
        yield self._faults()
        dead = CounterMetricFamily("smshub_dead_letters", "Messages given up.", labels=["endpoint", "reason"])
        for (endpoint, reason), count in counters.deaths.items():
            dead.add_metric([endpoint, reason], count)
        yield dead

    def _faults(self) -> Metric:
        family = CounterMetricFamily(
            "smshub_peer_faults", "What peers did wrong, by kind.", labels=["endpoint", "fault"]
        )
        for name in self._hub.statistics():
            faults = getattr(self._hub.dispatcher(name).endpoint, "faults", dict)
            for fault, count in faults().items():
                family.add_metric([name, fault], count)
        return family

    def _endpoints(self) -> Iterator[Metric]:
        held = GaugeMetricFamily("smshub_held_messages", "Messages held in memory.", labels=["endpoint"])
        behind = GaugeMetricFamily("smshub_behind", "1 while texts wait in the store only.", labels=["endpoint"])
        room = GaugeMetricFamily("smshub_room_parts", "Parts the endpoint would take now.", labels=["endpoint"])
        resumed = GaugeMetricFamily(
            "smshub_resumed_in_doubt_messages", "Messages found unanswered at start.", labels=["endpoint"]
        )
        rate = GaugeMetricFamily(
            "smshub_rate_limit_parts_per_second", "What may be sent now; 0 without a limit.", labels=["endpoint"]
        )
        carried = CounterMetricFamily(
            "smshub_group_parts", "Parts of a group, by link and what it said.", labels=["endpoint", "link", "result"]
        )
        for name, s in self._hub.statistics().items():
            endpoint: Any = self._hub.dispatcher(name).endpoint
            if hasattr(endpoint, "rate_limit"):
                rate.add_metric([name], endpoint.rate_limit())
            for (link, result), count in getattr(endpoint, "carried", {}).items():
                carried.add_metric([name, link, result], count)
            held.add_metric([name], s.held)
            behind.add_metric([name], float(s.behind))
            room.add_metric([name], s.room)
            resumed.add_metric([name], s.resumed_in_doubt)
        yield from (held, behind, room, resumed, rate, carried)

    def _quotas(self) -> Metric:
        family = GaugeMetricFamily(
            "smshub_taken_today_texts", "Texts that count for an account's daily limit.", labels=["endpoint"]
        )
        for name, taken in self._hub.taken_today().items():
            family.add_metric([name], taken)
        return family

    def _store_metrics(self) -> Iterator[Metric]:
        s = self._store.statistics()
        yield CounterMetricFamily("smshub_store_commits", "Transactions of the store's writer.", value=s.groups)
        yield CounterMetricFamily("smshub_store_rows", "Rows that these wrote.", value=s.rows)
        yield CounterMetricFamily("smshub_store_busy_seconds", "Time the writer was busy.", value=s.busy_s)
        yield CounterMetricFamily("smshub_store_reconnects", "Connections opened again.", value=s.reconnects)
        yield GaugeMetricFamily("smshub_store_pending_rows", "Rows waiting to be written.", value=s.pending_rows)
        yield GaugeMetricFamily(
            "smshub_store_longest_commit_seconds", "The longest transaction so far.", value=s.longest_group_s
        )


class Pages:
    """The pages that are served.

    Args:
        hub, store, sessions: what is told of.
        ready: answers what readiness is made of.
    """

    def __init__(self, hub: Hub, store: Store, sessions: SessionCounters, ready: Callable[[], dict[str, bool]]) -> None:
        self._store = store
        self._ready = ready
        self.registry = CollectorRegistry()
        self.registry.register(HubCollector(hub, store, sessions))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    async def answer(self, path: str) -> Page:
        """The page of a path."""
        if path == "/metrics":
            return 200, TEXT, generate_latest(self.registry)
        if path == "/health":
            return 200, "application/json", b'{"status":"alive"}\n'
        if path == "/ready":
            return await self._readiness()
        return 404, "text/plain; charset=utf-8", b"try /metrics, /health or /ready\n"

    async def _readiness(self) -> Page:
        checks: dict[str, Any] = dict(self._ready())
        checks["store"] = await self._store_answers()
        ready = all(checks.values())
        body = json.dumps({"ready": ready, "checks": checks}) + "\n"
        return (200 if ready else 503), "application/json", body.encode()

    async def _store_answers(self) -> bool:
        """Whether the writer gets to the database and back in time."""
        with trio.move_on_after(READY_S):
            try:
                await self._store.transact(lambda tx: None)
            except StoreError:
                return False
            return True
        return False
