"""The daemon: the one place that wires all.

Three nested nurseries, closed from the inside out:

1. *store and hub*: the journal, dispatch, housekeeping;
2. *sessions*: links, desks, and the accounts that are bound;
3. *accepting*: the ports.

Shutdown: stop accepting, unbind and hang up while answers to what is on the wire still come in (``limits.drain_s``),
then stop dispatch, then close the store. Nothing that was acknowledged depends on any of it: kill -9 loses no message.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import structlog
import trio

from hub import Hub
from hub.endpoint import Endpoint
from hub.retry import RetryWaits
from hub.routing import rules_of
from ops import metrics, schema, web, wiring
from ops.cli_provision import apply_config, routes_beside
from ops.config import Config
from provisioning import Account, Directory, ProvisioningError, load_directory, revision, verify_password
from provisioning.publisher import Publisher
from smpp.server import Limits
from store import SWITCH_INTERVAL_S, Store, StoreError, open_store
from translators.desk_threads import DeskThreads
from translators.lock_out import LockOut
from translators.smpp_accounts import SmppAccount, SmppAccounts
from translators.smpp_groups import SmppGroup
from translators.smpp_links import SmppLink
from translators.xmpp import XmppDesk

AGAIN_S = 5.0  # between a fault that ended an endpoint and its next start
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
        config: its configuration.
        store, hub: see their packages.
        links, groups, accounts, desks: its endpoints, by name (accounts: by system_id).
        ports: what it listens on: ``"smpp"``, ``"smpps"``, ``"metrics"`` → port.
        draining: True once it was told to stop.
    """

    def __init__(self, config: Config, store: Store, hub: Hub) -> None:
        self.config = config
        self.store = store
        self.hub = hub
        self.observer = metrics.SessionCounters()
        self.publisher = Publisher(store, lambda: hub.directory, os.environ, hub.clock)
        self.links: dict[str, SmppLink] = {}
        self.groups: dict[str, SmppGroup] = {}
        self.accounts: dict[str, SmppAccount] = {}
        self.desks: dict[str, XmppDesk] = {}
        self.ports: dict[str, int] = {}
        self.draining = False
        self._shutdown = trio.Event()
        self._stopped = trio.Event()

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
        hub, environ = self.hub, os.environ
        threads = DeskThreads(hub, rules_of)
        server_tls = self._server_context() if self.config.smpp.tls_port else None
        for link in directory.links.values():
            told = wiring.link_settings(link, environ, server_tls)
            self.links[link.name] = SmppLink(told, hub, hub.clock, self.observer)
        for group in directory.groups.values():
            self.groups[group.name] = SmppGroup(wiring.group_settings(group), self.links, hub, hub.clock)
        for account in directory.accounts.values():
            self.accounts[account.system_id] = SmppAccount(wiring.account_settings(account, environ), hub, hub.clock)
        for desk in directory.desks.values():
            settings = wiring.desk_settings(desk, environ)
            self.desks[desk.name] = XmppDesk(settings, hub, threads, clock_us=hub.clock)
        # A group's parts go by the group's policy, whichever of its links they were on.
        for name, link_endpoint in self.links.items():
            hub.attach(link_endpoint, hold_in_doubt=directory.links[name].in_doubt == "hold")
        for name, group_endpoint in self.groups.items():
            hub.attach(group_endpoint, hold_in_doubt=directory.groups[name].in_doubt == "hold")
        for account_endpoint in self.accounts.values():
            hub.attach(account_endpoint)
        for desk_endpoint in self.desks.values():
            hub.attach(desk_endpoint)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve until ``stop`` or cancellation."""
        drain_s = self.config.limits.drain_s
        async with trio.open_nursery() as lasting:
            await lasting.start(self.hub.run)
            lasting.start_soon(self._follow_catalog)
            lasting.start_soon(self.publisher.run)
            for group in self.groups.values():
                lasting.start_soon(group.do_chores)
            for account in self.accounts.values():
                # Not among the sessions: it never ends, and stopping waits for those to end.
                lasting.start_soon(account.do_chores)
            async with trio.open_nursery() as sessions:
                for link in self.links.values():
                    sessions.start_soon(self._keep_running, link.name, partial(link.run, self._shutdown))
                for desk in self.desks.values():
                    sessions.start_soon(self._keep_running, desk.name, desk.run)
                await self._listen(sessions)
                if self.config.metrics.port:
                    await self._serve_metrics(lasting)
                task_status.started()
                await self._shutdown.wait()
                log.info("stopping", drain_s=drain_s)
                sessions.cancel_scope.deadline = trio.current_time() + drain_s + 2.0
                for desk in self.desks.values():
                    sessions.start_soon(desk.close, drain_s)
            with trio.move_on_after(RELEASE_S):
                await self.hub.release()
            lasting.cancel_scope.cancel()
        self._stopped.set()
        log.info("stopped")

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run an endpoint, and run it again when a fault of ours ended it: the others must not hear of it."""
        while True:
            try:
                await run()
            except Exception:
                self.observer.count("endpoint_failed", endpoint=name)
                log.exception("endpoint failed, it is started again", endpoint=name, again_in_s=AGAIN_S)
            else:
                return
            with trio.move_on_after(AGAIN_S):
                await self._shutdown.wait()
            if self.draining:
                return

    async def _listen(self, sessions: trio.Nursery) -> None:
        smpp = self.config.smpp
        limits = Limits(
            max_connections=smpp.max_connections,
            max_unbound=smpp.max_unbound,
            session_init_s=smpp.session_init_s,
            max_password_octets=MAX_PASSWORD_OCTETS,
            grace_s=self.config.limits.drain_s,
        )
        # One for both: who was locked out of the one, or has its binds there, does not go to the other.
        lock_out, binds = LockOut(), Counter[str]()
        for name, port in (("smpp", smpp.port), ("smpps", smpp.tls_port)):
            if not port:
                continue
            accounts = SmppAccounts(
                self.accounts,
                verify_password,
                clock=self.hub.clock,
                limits=limits,
                ssl_context=self._server_context() if name == "smpps" else None,
                observer=self.observer,
                lock_out=lock_out,
                binds=binds,
                waits=self.hub.has_waiting if not self.ports else None,  # who is called is called from one port
            )
            with _named(f"{name} {smpp.host}:{port}"):
                listeners = await sessions.start(accounts.run, smpp.host, port, self._shutdown)
            self.ports[name] = listeners[0].socket.getsockname()[1]
            log.info("listening", what=name, host=smpp.host, port=self.ports[name])

    def _server_context(self) -> ssl.SSLContext:
        """The TLS context of our own port."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with _named(self.config.smpp.tls_cert_file):
            context.load_cert_chain(self.config.smpp.tls_cert_file, self.config.smpp.tls_key_file or None)
        return context

    async def _serve_metrics(self, nursery: trio.Nursery) -> None:
        settings = self.config.metrics
        pages = metrics.Pages(self.hub, self.store, self.observer, self._is_ready)
        with _named(f"metrics {settings.host}:{settings.port}"):
            port = await nursery.start(web.serve, web.read_only(pages.answer), settings.host, settings.port)
        self.ports["metrics"] = port
        log.info("listening", what="metrics", host=settings.host, port=port)

    def _is_ready(self) -> dict[str, bool]:
        """What readiness is made of; all must be true."""
        return {"accepting": not self.draining}

    async def _follow_catalog(self) -> None:
        """Load a new snapshot when the catalog has changed.

        Numbers, blocks, call centres and routes take effect at once, and so does who may bind as an account that is
        served; all else of links, groups, accounts and desks when the daemon starts again, which the log says. Until
        then no route leads to what was added, and no number to a desk that was.
        """
        network: tuple[Endpoint, ...] = (*self.links.values(), *self.groups.values(), *self.accounts.values())
        serving = frozenset(endpoint.name for endpoint in (*network, *self.desks.values()))
        while True:
            await trio.sleep(self.config.limits.reload_s)
            try:
                now = await self.store.read(revision)
                if now == self.hub.directory.revision:
                    continue
                fresh = await self.store.read(lambda tx: load_directory(tx, serving))
            except StoreError as error:
                log.warning("the catalog could not be read", error=type(error).__name__)
                continue
            stale = _changed_endpoints(self.hub.directory, fresh)
            self.hub.directory = fresh
            for system_id, endpoint in self.accounts.items():
                _readmit(endpoint, fresh.accounts.get(system_id))
            log.info("catalog loaded", revision=fresh.revision, needs_restart=stale)


def _readmit(endpoint: SmppAccount, account: Account | None) -> None:
    """Measure an account's next binds by what is provisioned now; by what was, when that cannot be read."""
    try:
        endpoint.readmit(wiring.account_settings(account, os.environ) if account is not None else None)
    except ProvisioningError as error:
        log.warning("an account stays as it was", account=endpoint.name, error=str(error))


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


def _changed_endpoints(old: Directory, new: Directory) -> list[str]:
    """Links, groups, accounts and desks that differ between two snapshots."""
    changed: list[str] = []
    for kind in ("links", "groups", "accounts", "desks"):
        before, after = getattr(old, kind), getattr(new, kind)
        changed += [f"{kind}: {key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return changed


@asynccontextmanager
async def open_daemon(config: Config) -> AsyncIterator[Daemon]:
    """A daemon that serves for as long as the body lasts.

    Args:
        config: checked.

    Raises: ConfigErrors when the catalog refuses the file's entries; StoreError; OSError when a port is taken.
    """
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    limits = config.limits
    async with open_store(
        url, config.node.id, config.store.synchronous, max_pending_rows=limits.store_backlog
    ) as store:
        if config.entries:
            applied = await apply_config(config, store, who=f"file {config.path}")
            log.info("file applied", added=applied.added, changed=applied.changed, unchanged=applied.unchanged)
            beside = await store.read(lambda tx: routes_beside(tx, config.entries))
            if beside:
                log.warning("routes that the file does not name stay beside those of their prefix", routes=beside)
        directory = await store.read(load_directory)
        hub = Hub(
            store,
            directory,
            heads=limits.heads_per_endpoint,
            part_wait_us=round(limits.reassembly_wait_s * 1e6),
            waits=RetryWaits(round(limits.retry_first_s * 1e6), round(limits.retry_longest_s * 1e6)),
            filters=wiring.filter_settings(config.filters),
        )
        daemon = Daemon(config, store, hub)
        daemon.attach(directory)
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.run)
            try:
                yield daemon
            finally:
                daemon.stop()


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
    """Run until SIGTERM or SIGINT; a second one ends it at once.

    Args:
        config: checked.
        on_ready: called once everything listens.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_daemon(config) as daemon, trio.open_nursery() as nursery:

            async def obey() -> None:
                told_at = -math.inf
                async for number in signals:
                    # A terminal and a process manager may both pass one on: what comes at once is the same word.
                    if trio.current_time() < told_at + SAME_SIGNAL_S:
                        continue
                    if daemon.draining:
                        log.warning("stopping at once", signal=signal.Signals(number).name)
                        os._exit(1)
                    told_at = trio.current_time()
                    log.info("told to stop", signal=signal.Signals(number).name)
                    daemon.stop()

            nursery.start_soon(obey)
            log.info("ready", **{f"{name}_port": port for name, port in daemon.ports.items()})
            if on_ready is not None:
                on_ready(daemon)
            with _calm_collector():
                await daemon.wait_stopping()
                await daemon.wait_stopped()
            nursery.cancel_scope.cancel()
