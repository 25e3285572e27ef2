"""The daemon: the one place that wires all.

Three nested nurseries, closed from the inside out:

1. *store and hub*: the journal, dispatch, housekeeping;
2. *sessions*: links, desks, and the accounts that are bound;
3. *accepting*: the ports.

Shutdown: stop accepting, unbind and hang up while answers to what is on the wire still come in (``limits.drain_s``),
then stop dispatch, then close the store. Nothing that was acknowledged depends on any of it: kill -9 loses no message.

What changes while it runs goes through ``ops.reload``.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import structlog
import trio
from prometheus_client.registry import Collector

from hub import Hub, wall_clock_us
from hub.cluster import Cluster, Fenced
from hub.dispatch import always
from hub.retry import RetryWaits
from ops import logs, metrics, schema, web, wiring
from ops.api.counts import ApiCounts
from ops.charging import open_follower
from ops.cli_provision import apply_config, routes_beside
from ops.cluster_metrics import ClusterMetrics
from ops.clustering import join_cluster
from ops.config import Config
from ops.endpoint_metrics import EndpointMetrics
from ops.endpoints import Endpoints, is_alone
from ops.enum_lookups import lookup_of
from ops.keeping import keeper_of
from ops.letter_watch import LetterWatch
from ops.metric_families import ENUM, PUBLISHING, SampledMetrics
from ops.readiness import NOBODY, READY, STOPPING, Supervisor
from ops.redis_sharing import RedisSharing
from ops.reload import Answer, Reloader
from ops.service_metrics import ServiceMetrics
from ops.store_watch import StoreWatch, folders_of
from ops.traced_hub import TracedHub
from ops.tracing import Spans, spans_of
from provisioning import Directory, load_directory, verify_password
from provisioning.directories.making import adapter_of
from provisioning.publisher import Publisher
from smpp.server import Limits
from store import SWITCH_INTERVAL_S, Store, StoreError, open_store
from translators.enum_lookup import EnumLookup
from translators.lock_out import LockOut
from translators.smpp_accounts import SmppAccount, SmppAccounts
from translators.smpp_groups import SmppGroup
from translators.smpp_links import SmppLink
from translators.xmpp import XmppDesk

SAME_SIGNAL_S = 0.5
RELEASE_S = 2.0  # for the last write
MAX_PASSWORD_OCTETS = 8  # SMPP 3.4 §5.2.2

COLLECTOR_THRESHOLDS = (50_000, 20, 20)
"""Objects between collections of the young, and so on. At the default of 700 a seventh of the hub's CPU under load was
collection, and full ones stopped everything for up to 60 ms: docs/discussion/performance.md."""

log = structlog.get_logger("ops.daemon")


class Daemon:
    """A running hub with all its endpoints. Made by ``open_daemon``.

    Attributes:
        config: its configuration; after a reload, what was loaded last.
        store, hub: see their packages.
        answers: looks numbers up by ENUM; None when no servers are named.
        endpoints: its links, groups, accounts and desks.
        charging: makes charging records; None when none are wanted.
        letters: tells of letters of authorization that expire.
        api_counts: what was asked of the control interface.
        spans: traces batches; None when no collector is named.
        ports: what it listens on: ``"smpp"``, ``"smpps"``, ``"metrics"``, ``"api"`` → port.
        cluster: what it has to do with other nodes; None when it is alone.
        sharing: what it shares with them beside the store.
        draining: True once it was told to stop.
        reloader: what changes it while it runs.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        hub: Hub,
        answers: EnumLookup | None = None,
        supervisor: Supervisor = NOBODY,
        spans: Spans | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.cluster = cluster
        self.answers = answers
        self.spans = spans
        self.store = store
        self.hub = hub
        self.observer = metrics.SessionCounters()
        make_adapter = adapter_of if spans is None else spans.tracing(adapter_of)
        self.publisher = Publisher(store, lambda: hub.directory, os.environ, hub.clock, make_adapter)
        self.keeper = keeper_of(config, store, hub.clock, os.environ)
        self.charging = open_follower(config.charging, config.node.id, store, hub.clock)
        self.letters = LetterWatch(store, hub.clock)
        self.api_counts = ApiCounts(spans.request if spans is not None else None)
        self.store_watch = StoreWatch(
            store, hub.clock, folders_of(config), hub.statistics, tells_all=lambda: hub.is_upkeeper
        )
        self.ports: dict[str, int] = {}
        self.draining = False
        if cluster is not None:
            hub.wanted = cluster.look
        self._shutdown = trio.Event()
        self._stopped = trio.Event()
        self._server_tls = _server_context(config) if config.smpp.tls_port else None
        self._listening: list[SmppAccounts] = []
        self.sharing = RedisSharing(config, os.environ, hub, cluster)
        self.endpoints = Endpoints(
            hub,
            self.observer,
            lambda: self.config.limits.drain_s,
            self._server_tls,
            make_pace=self.sharing.make_pace,
            is_held=cluster.holds if cluster is not None else is_alone,
        )
        self.reloader = Reloader(config, store, self.endpoints, self._keep_to, supervisor, lambda: self.hub.is_upkeeper)

    @property
    def config(self) -> Config:
        """What is in force, but for settings that wait for the next start."""
        return self.reloader.config

    @property
    def links(self) -> dict[str, SmppLink]:
        """By name."""
        return self.endpoints.links

    @property
    def groups(self) -> dict[str, SmppGroup]:
        """By name."""
        return self.endpoints.groups

    @property
    def accounts(self) -> dict[str, SmppAccount]:
        """By system_id."""
        return self.endpoints.accounts

    @property
    def desks(self) -> dict[str, XmppDesk]:
        """By name."""
        return self.endpoints.desks

    async def reload(self, who: str) -> Answer:
        """Read the configuration file again; see ``ops.reload``."""
        return await self.reloader.reload(who)

    def stop(self) -> None:
        """Begin an orderly shutdown."""
        self.draining = True
        self._shutdown.set()

    async def wait_stopping(self) -> None:
        """Wait until it was told to stop."""
        await self._shutdown.wait()

    async def wait_stopped(self) -> None:
        """Wait until nothing is served any more."""
        await self._stopped.wait()

    def attach(self, directory: Directory) -> None:
        """Make the endpoints of a snapshot. Raises: UnreadableSecret; OSError, ssl.SSLError."""
        self.endpoints.attach(directory)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve until ``stop`` or cancellation."""
        async with trio.open_nursery() as lasting:
            await lasting.start(self.hub.run)
            await lasting.start(self.sharing.run)
            if self.cluster is None:
                await self._begin_services(lasting)
            else:
                lasting.start_soon(self._await_services, self.cluster, lasting)
                await lasting.start(self._be_a_node, self.cluster)
            if self.answers is not None:
                lasting.start_soon(self.answers.run)
            await self.reloader.begin()
            # Not among the sessions: they never end, and stopping waits for those to end.
            await lasting.start(self.endpoints.do_chores)
            async with trio.open_nursery() as sessions:
                await sessions.start(self.endpoints.run, self._shutdown)
                await self._listen(sessions)
                if self.config.metrics.port:
                    await self._serve_metrics(lasting)
                if self.config.api.port:
                    await self._serve_api(lasting)
                lasting.start_soon(self.reloader.serve)
                task_status.started()
                await self._shutdown.wait()
                drain_s = self.config.limits.drain_s
                log.info("stopping", drain_s=drain_s)
                if self.cluster is not None:
                    self.cluster.is_leaving = True
                sessions.cancel_scope.deadline = trio.current_time() + drain_s + 2.0
            with trio.move_on_after(RELEASE_S):
                await self.hub.release()
            lasting.cancel_scope.cancel()
        # Last of all: who takes over at once numbers the feed and hears bells, which only one may at a time.
        with trio.move_on_after(RELEASE_S):
            await self._leave()
        self._stopped.set()
        log.info("stopped")

    async def _begin_services(self, nursery: trio.Nursery) -> None:
        """Start what is there once, however many nodes there are."""
        if self.charging is not None:
            await nursery.start(self.charging.run)  # from here on the feed is kept for it
        nursery.start_soon(self.publisher.run)
        nursery.start_soon(self.keeper.run)
        nursery.start_soon(self.letters.run)
        nursery.start_soon(self.sharing.relay)

    async def _be_a_node(self, cluster: Cluster, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            await cluster.run(self.hub, self.endpoints, task_status)
        except Fenced:
            if not self.draining:
                raise

    async def _leave(self) -> None:
        """Let other nodes go on at once."""
        if self.cluster is not None:
            try:
                await self.cluster.leave(self.store)
            except StoreError as error:
                log.warning("the others were not told: they go on in a while", error=type(error).__name__)

    async def _await_services(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        """Start them should this node get their lease. It keeps that until it ends."""
        await cluster.has_services.wait()
        self.hub.keep_house()
        await self._begin_services(nursery)

    async def _keep_to(self, config: Config) -> None:
        """Keep to the live settings of another file. Raises: OSError, with nothing changed."""
        await self.hub.keep_to_filters(wiring.filter_settings(config.filters))
        if self._server_tls is not None and config.smpp.tls_cert_file:
            # Into the context that is in use: who connects from now on is shown it.
            smpp = config.smpp
            await trio.to_thread.run_sync(self._server_tls.load_cert_chain, smpp.tls_cert_file, smpp.tls_key_file)
        self.hub.keep_to_limits(**_limits_of(config))
        for port in self._listening:
            port.keep_to(_port_limits(config), config.smpp.proxy_networks)
        logs.keep_to(config.log.level)

    async def _listen(self, sessions: trio.Nursery) -> None:
        smpp = self.config.smpp
        # One for both: who was locked out of the one, or has its binds there, does not go to the other.
        neighbours = self.sharing.binds
        lock_out, binds = LockOut(), neighbours.counts if neighbours is not None else Counter[str]()
        for name, port in (("smpp", smpp.port), ("smpps", smpp.tls_port)):
            if not port:
                continue
            accounts = SmppAccounts(
                self.accounts,
                verify_password,
                clock=self.hub.clock,
                limits=_port_limits(self.config),
                ssl_context=self._server_tls if name == "smpps" else None,
                observer=self.observer,
                lock_out=lock_out,
                binds=binds,
                waits=self.hub.has_waiting if not self.ports else None,  # who is called is called from one port
                proxies=smpp.proxy_networks,
                neighbours=neighbours,
            )
            with _named(f"{name} {smpp.host}:{port}"):
                run = partial(accounts.run, reuse_port=smpp.reuse_port)
                listeners = await sessions.start(run, smpp.host, port, self._shutdown)
            self.ports[name] = listeners[0].socket.getsockname()[1]
            self._listening.append(accounts)
            log.info("listening", what=name, host=smpp.host, port=self.ports[name])

    async def _serve_metrics(self, nursery: trio.Nursery) -> None:
        settings = self.config.metrics
        pages = metrics.Pages(self.hub, self.store, self.observer, self._is_ready)
        for collector in self._collectors():
            pages.add(collector)
        nursery.start_soon(self.store_watch.run)
        with _named(f"metrics {settings.host}:{settings.port}"):
            # Whoever reaches the port may ask: each answer counts, be it a good one.
            serve = partial(web.serve, web.read_only(pages.answer), settings.host, settings.port, unwanted=0)
            port = await nursery.start(serve)
        self.ports["metrics"] = port
        log.info("listening", what="metrics", host=settings.host, port=port)

    def _collectors(self) -> Iterator[Collector]:
        """What metrics are read from, beside the hub."""
        yield EndpointMetrics(self.endpoints, self.cluster.holds if self.cluster is not None else is_alone)
        yield ServiceMetrics(self.keeper, self.letters, self.reloader, self.hub.clock, lambda: self.draining)
        yield SampledMetrics(self.publisher.samples, PUBLISHING)
        yield self.store_watch
        yield self.api_counts
        if self.charging is not None:
            yield self.charging
        if self.answers is not None:
            yield SampledMetrics(self.answers.samples, ENUM)
        if self.spans is not None:
            yield self.spans
        if self.cluster is not None:
            yield ClusterMetrics(self.cluster)
        yield from self.sharing.collectors()

    async def _serve_api(self, nursery: trio.Nursery) -> None:
        # Here: who does not serve it need not hold its libraries in memory.
        from ops.api.app import serve_api

        settings = self.config.api
        start = partial(
            serve_api,
            self.store,
            settings.host,
            settings.port,
            tls_cert_file=settings.tls_cert_file,
            tls_key_file=settings.tls_key_file,
            counts=self.api_counts,
        )
        with _named(f"api {settings.host}:{settings.port}"):
            port = await nursery.start(start)
        self.ports["api"] = port
        log.info("listening", what="api", host=settings.host, port=port)

    def _is_ready(self) -> dict[str, bool]:
        """What readiness is made of; all must be true."""
        return {"accepting": not self.draining, "leases": self.cluster is None or self.cluster.is_fresh()}


def _server_context(config: Config) -> ssl.SSLContext:
    """The TLS context of our own port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with _named(config.smpp.tls_cert_file):
        context.load_cert_chain(config.smpp.tls_cert_file, config.smpp.tls_key_file or None)
    return context


def _port_limits(config: Config) -> Limits:
    smpp = config.smpp
    return Limits(
        max_connections=smpp.max_connections,
        max_unbound=smpp.max_unbound,
        address_per_s=smpp.address_per_s,
        strangers_per_s=smpp.strangers_per_s,
        session_init_s=smpp.session_init_s,
        max_password_octets=MAX_PASSWORD_OCTETS,
        grace_s=config.limits.drain_s,
    )


def _limits_of(config: Config) -> dict[str, Any]:
    """Those bounds of the hub that a reload may change."""
    limits = config.limits
    return {
        "heads": limits.heads_per_endpoint,
        "part_wait_us": round(limits.reassembly_wait_s * 1e6),
        "waits": RetryWaits(round(limits.retry_first_s * 1e6), round(limits.retry_longest_s * 1e6)),
    }


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Let an error of the system say what it is about: "Address already in use" helps nobody."""
    try:
        yield
    except (OSError, BaseExceptionGroup) as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
            cause = cause.exceptions[0]  # what a nursery made of one error
        if not isinstance(cause, OSError):
            raise
        raise OSError(cause.errno, cause.strerror or str(cause), cause.filename or what) from error


@asynccontextmanager
async def open_daemon(config: Config, supervisor: Supervisor = NOBODY) -> AsyncIterator[Daemon]:
    """A daemon that serves for as long as the body lasts.

    Args:
        config: checked.
        supervisor: hears of reloads.

    Raises: ConfigErrors when the catalog refuses the file's entries; StoreError; OSError when a port is taken.
    """
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    limits = config.limits
    cluster, guard = await join_cluster(config, url)
    async with open_store(
        url, config.node.id, config.store.synchronous, max_pending_rows=limits.store_backlog, guard=guard
    ) as store:
        if config.entries:
            applied = await apply_config(config, store, who=f"file {config.path}")
            log.info("file applied", added=applied.added, changed=applied.changed, unchanged=applied.unchanged)
            beside = await store.read(lambda tx: routes_beside(tx, config.entries))
            if beside:
                log.warning("routes that the file does not name stay beside those of their prefix", routes=beside)
        directory = await store.read(load_directory)
        answers = lookup_of(config.enum, os.environ, wall_clock_us)
        spans = spans_of(config.tracing, config.node.id, os.environ)
        make_hub = Hub if spans is None else partial(TracedHub, spans=spans)
        hub = make_hub(
            store,
            directory,
            **_limits_of(config),
            filters=wiring.filter_settings(config.filters),
            answers=answers,
            may_give=cluster.is_fresh if cluster is not None else always,
        )
        daemon = Daemon(config, store, hub, answers, supervisor, spans, cluster)
        daemon.attach(directory)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(daemon.run)
                try:
                    yield daemon
                finally:
                    daemon.stop()
        finally:
            if spans is not None:  # its thread would outlive a node that was fenced, and begins anew
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(spans.close)


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Let the garbage collector look at less, and less often.

    What is there once the daemon is up stays until its end: no collection need walk through it. What travels the road
    is freed by counting references; the collector is there for the cycles of tasks and exceptions that ended.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def run_daemon(config: Config, on_ready: Callable[[Daemon], Any] | None = None) -> None:
    """Run until SIGTERM or SIGINT; a second one ends it at once. SIGHUP makes it read its file again.

    A node that others have fenced starts from anew: what it held in memory is theirs, or in the store.

    Args:
        config: checked.
        on_ready: called once everything listens.
    """
    while True:
        is_fenced = False
        try:
            await _run_once(config, on_ready)
        except* Fenced:
            is_fenced = True
        if not is_fenced:
            return
        log.error("fenced: others have taken over from this node, it starts from anew", node=config.node.id)


async def _run_once(config: Config, on_ready: Callable[[Daemon], Any] | None) -> None:
    supervisor = Supervisor()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with open_daemon(config, supervisor) as daemon, trio.open_nursery() as nursery:

            async def obey() -> None:
                told_at = -math.inf
                async for number in signals:
                    if number == signal.SIGHUP:
                        if not daemon.draining:
                            nursery.start_soon(daemon.reload, "SIGHUP")
                        continue
                    # A terminal and a process manager may both pass one on: what comes at once is the same word.
                    if trio.current_time() < told_at + SAME_SIGNAL_S:
                        continue
                    if daemon.draining:
                        log.warning("stopping at once", signal=signal.Signals(number).name)
                        os._exit(1)
                    told_at = trio.current_time()
                    log.info("told to stop", signal=signal.Signals(number).name)
                    supervisor.tell(STOPPING)
                    daemon.stop()

            nursery.start_soon(obey)
            nursery.start_soon(supervisor.feed_watchdog)
            supervisor.tell(READY)
            log.info("ready", **{f"{name}_port": port for name, port in daemon.ports.items()})
            if on_ready is not None:
                on_ready(daemon)
            with _calm_collector():
                await daemon.wait_stopping()
                await daemon.wait_stopped()
            nursery.cancel_scope.cancel()
