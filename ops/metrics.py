"""Metrics for Prometheus, health and readiness. Values are read from snapshots when somebody asks.

What each metric is, is in ``ops.metrics_table``. Here are those of the message path; others are beside what they tell
of.

| path | what it says |
| --- | --- |
| `/metrics` | everything, in Prometheus's text format |
| `/health` | 200 while the process answers |
| `/ready` | 200 while it takes messages: 503 with what is missing otherwise |
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hub import Hub
from ops.metric_families import family
from ops.web import Page
from ops.web_rates import Rate
from store import Store, StoreError

FRESH_PER_S, FRESH_BURST_S = 10.0, 3.0  # pages of one path that are made: who asks more often gets the last one
READY_S = 2.0  # probes are given a few seconds
TEXT = "text/plain; version=0.0.4; charset=utf-8"

log = structlog.get_logger("ops.metrics")

EVENTS: dict[str, str] = {
    "arrived": "arrivals",
    "accepted": "accepted",
    "try_later": "intake_deferred",
    "handed_over": "handed_over",
    "retried": "retries",
    "throttled": "throttled",
    "in_doubt": "in_doubt",
    "resent": "resent",
    "unsent": "unsent",
    "rerouted": "rerouted",
    "incomplete": "incomplete_texts",
    "receipts_settled": "receipts_settled",
    "receipts_parked": "receipts_parked",
    "receipts_repeated": "receipts_repeated",
    "opted_out": "opted_out",
    "opted_in": "opted_in",
    "help_asked": "help_asked",
    "cancelled": "cancelled",
    "replaced": "replaced",
    "alerts": "alert_notifications",
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
        yield from self._store_metrics()
        yield family("smshub_smpp_sessions_total", self._sessions.counts)

    def _events(self) -> Iterator[Metric]:
        counters = self._hub.counters
        values: dict[str, dict[tuple[str, ...], float]] = {event: {} for event in EVENTS}
        for (event, endpoint), count in counters.events.items():
            if event in values:
                values[event][endpoint,] = count
        for event, name in EVENTS.items():
            yield family(f"smshub_{name}_total", values[event])
        yield family("smshub_refused_total", counters.refusals)
        yield family("smshub_filtered_total", counters.filtered)
        yield family("smshub_dead_letters_total", counters.deaths)

    def _endpoints(self) -> Iterator[Metric]:
        hub = self._hub
        stands = hub.statistics()
        rates: dict[tuple[str, ...], float] = {}
        carried: dict[tuple[str, ...], float] = {}
        faults: dict[tuple[str, ...], float] = {}
        for name in stands:
            endpoint: Any = hub.dispatcher(name).endpoint
            if hasattr(endpoint, "rate_limit"):
                rates[name,] = endpoint.rate_limit()
            for (link, result), count in getattr(endpoint, "carried", {}).items():
                carried[name, link, result] = count
            for fault, count in getattr(endpoint, "faults", dict)().items():
                faults[name, fault] = count
        yield family("smshub_held_messages", {(name,): s.held for name, s in stands.items()})
        yield family("smshub_behind", {(name,): float(s.behind) for name, s in stands.items()})
        yield family("smshub_room_parts", {(name,): s.room for name, s in stands.items()})
        yield family("smshub_resumed_in_doubt_messages", {(name,): s.resumed_in_doubt for name, s in stands.items()})
        yield family("smshub_rate_limit_parts_per_second", rates)
        yield family("smshub_group_parts_total", carried)
        yield family("smshub_peer_faults_total", faults)
        yield family("smshub_taken_today_texts", {(name,): taken for name, taken in hub.taken_today().items()})

    def _store_metrics(self) -> Iterator[Metric]:
        s = self._store.statistics()
        yield family("smshub_store_commits_total", s.groups)
        yield family("smshub_store_rows_total", s.rows)
        yield family("smshub_store_busy_seconds_total", s.busy_s)
        yield family("smshub_store_reconnects_total", s.reconnects)
        yield family("smshub_store_pending_rows", s.pending_rows)
        yield family("smshub_store_longest_commit_seconds", s.longest_group_s)


class _Guarded:
    """A collector whose faults cost its own metrics, and not everybody's."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._has_failed = False

    def collect(self) -> Iterable[Metric]:
        try:
            return list(self._collector.collect())
        except Exception:
            if not self._has_failed:  # said once: it is asked several times a minute
                self._has_failed = True
                log.exception("metrics could not be read", collector=type(self._collector).__name__)
            return ()


class Pages:
    """The pages that are served.

    Args:
        hub, store, sessions: what is told of.
        ready: answers what readiness is made of.
    """

    def __init__(self, hub: Hub, store: Store, sessions: SessionCounters, ready: Callable[[], dict[str, bool]]) -> None:
        self._store = store
        self._ready = ready
        self._last: dict[str, Page] = {}
        self._made: dict[str, Rate] = {}
        self.registry = CollectorRegistry()
        self.add(HubCollector(hub, store, sessions))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def add(self, collector: Collector) -> None:
        """Have the metrics told that a collector reads."""
        self.registry.register(_Guarded(collector))

    async def answer(self, path: str) -> Page:
        """The page of a path. Asked for too often, it is the last one: making it costs milliseconds of the loop."""
        if path not in ("/metrics", "/ready"):
            return await self._make(path)
        page = self._last.get(path)
        now = trio.current_time()
        rate = self._made.setdefault(path, Rate(FRESH_PER_S, FRESH_BURST_S))
        if page is None or not rate.wait_s(now):
            rate.count(1, now)
            page = self._last[path] = await self._make(path)
        return page

    async def _make(self, path: str) -> Page:
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
