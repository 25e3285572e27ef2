"""The endpoints of a running daemon: made of what is provisioned, kept running, and brought to what is provisioned now.

Each link and each desk has a life: a task that runs it, runs it again when a fault of ours ended it, and ends when it
is told to part. Accounts live as long as their ESMEs are bound; groups as long as their links. A change is carried out
by the plan (``ops.plan``) in an order in which nothing that was acknowledged can get lost:

1. what is new is made and put on the road: from then on it may be routed to, and takes nothing before it is bound;
2. what changes in place is told its new settings, groups after their links;
3. the new snapshot comes into force: nothing leads to what is removed any more;
4. what must part does so in peace: it takes no more, waits for the answers to what is on the wire, unbinds. What was
   restarted takes over its settings and binds again, its lanes never knew; what was removed is taken off the road, and
   what waits for it stays in the store.

Of several nodes on one database each makes all endpoints, and runs those whose leases it holds (``hub.cluster``): the
others stand by, so that texts can be led to them. Accounts may be bound anywhere.
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
import trio

from hub import Hub, operations
from hub.routing import rules_of
from ops import wiring
from ops.metrics import SessionCounters
from ops.plan import Change, How, Known, Served, entries_of, plan_endpoints
from provisioning import Account, Desk, Directory, Group, Link, ProvisioningError, load_directory
from store import StoreError
from translators.desk_threads import DeskThreads
from translators.shared_pace import IntakePace
from translators.smpp_accounts import SmppAccount
from translators.smpp_groups import SmppGroup
from translators.smpp_links import SmppLink
from translators.xmpp import XmppDesk

AGAIN_S: Final = 5.0  # between a fault that ended an endpoint and its next start
HANG_S: Final = 7.0  # beyond the drain: for the answer to unbind, and for a session that waits for the journal
IDLE_S: Final = 0.5  # for an endpoint that is not connected
DETACH_S: Final = 30.0

TROUBLES: Final = (ProvisioningError, OSError, ValueError, KeyError)
"""What keeps an endpoint from being made: a secret or certificate that cannot be read (ssl.SSLError is an OSError), an
address that is none, a member that is not there."""

log = structlog.get_logger("ops.daemon")

Settings = Any
"""LinkSettings, GroupSettings, AccountSettings or DeskSettings: what the translator of an endpoint is told."""


class Prepared(msgspec.Struct, frozen=True):
    """A snapshot, as far as it could be read into settings.

    Attributes:
        directory: the snapshot.
        known: every endpoint that is to be served, by name.
        settings: of those that are new or differ.
        troubles: endpoint → why it cannot be made, or be changed; one that is served stays as it is.
        changes: the plan.
    """

    directory: Directory
    known: dict[str, Known]
    settings: dict[str, Settings]
    troubles: dict[str, str]
    changes: tuple[Change, ...]


class Followed(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        changes: see ``Prepared``.
        troubles: see ``Prepared``.
        waiting: removed endpoint → messages that stay in the store.
    """

    changes: tuple[Change, ...] = ()
    troubles: Mapping[str, str] = {}
    waiting: Mapping[str, int] = {}


class _Life:
    """The task of a link or a desk.

    Attributes:
        stop: set when it shall part.
        over: set when it has.
        scope: cuts it.
    """

    __slots__ = ("over", "scope", "stop")

    def __init__(self) -> None:
        self.stop = trio.Event()
        self.over = trio.Event()
        self.scope = trio.CancelScope()


def is_alone(_: str) -> bool:
    """A node that is alone has the lanes of all endpoints."""
    return True


class Endpoints:
    """See the module's head.

    Args:
        hub: the hub.
        observer: counts events of sessions.
        drain_s: answers how long parting waits for answers.
        server_tls: what the hub's own port with TLS shows, when it has one.
        environ: to look secrets up in.
        make_pace: of accounts, see ``SmppAccount``.
        is_held: whether the lanes of an endpoint belong to this node.

    Attributes:
        links, groups, accounts, desks: by name (accounts: by system_id).
        known: what is served, by endpoint.
    """

    def __init__(
        self,
        hub: Hub,
        observer: SessionCounters,
        drain_s: Callable[[], float],
        server_tls: ssl.SSLContext | None = None,
        environ: Mapping[str, str] = os.environ,
        make_pace: Callable[[str, float], IntakePace] | None = None,
        is_held: Callable[[str], bool] = is_alone,
    ) -> None:
        self._make_pace = make_pace
        self._is_held = is_held
        self.links: dict[str, SmppLink] = {}
        self.groups: dict[str, SmppGroup] = {}
        self.accounts: dict[str, SmppAccount] = {}
        self.desks: dict[str, XmppDesk] = {}
        self.known: dict[str, Known] = {}
        self._partings = 0
        self._all_parted = trio.Event()
        self._is_following = False
        self._hub = hub
        self._observer = observer
        self._drain_s = drain_s
        self._server_tls = server_tls
        self._environ = environ
        self._threads = DeskThreads(hub, rules_of)
        self._lives: dict[str, _Life] = {}
        self._chores: dict[str, trio.CancelScope] = {}
        self._sessions: trio.Nursery | None = None
        self._chore_nursery: trio.Nursery | None = None
        self._ending = False

    # --- preparing: blocks, changes nothing --------------------------------------------------------------------------

    def prepare(self, directory: Directory, *, reread: bool) -> Prepared:
        """Read what a snapshot asks for. Blocks: it reads secrets and certificates.

        Args:
            directory: the snapshot.
            reread: look at the secrets and certificates of entries that did not change as well.
        """
        known: dict[str, Known] = {}
        settings: dict[str, Settings] = {}
        troubles: dict[str, str] = {}
        for name, entry in entries_of(directory).items():
            before = self.known.get(name)
            if before is not None and before.entry == entry and not reread:
                known[name] = before
                continue
            try:
                now = Known(entry, wiring.prints_of(entry, self._environ))
                if before != now:
                    settings[name] = self._settings_of(entry)
                known[name] = now
            except TROUBLES as error:
                troubles[name] = str(error) or type(error).__name__
                if before is not None:
                    known[name] = before
        self._drop_broken_groups(known, settings, troubles)
        return Prepared(directory, known, settings, troubles, plan_endpoints(self.known, known))

    def _drop_broken_groups(
        self, known: dict[str, Known], settings: dict[str, Settings], troubles: dict[str, str]
    ) -> None:
        """A group of a link that cannot be made stays as it is, or is not made."""
        for name, now in list(known.items()):
            if not isinstance(now.entry, Group):
                continue
            missing = [link for link in now.entry.link_names if f"link:{link}" not in known]
            if missing:
                troubles[name] = f"its link {missing[0]!r} cannot be made"
                settings.pop(name, None)
                del known[name]
                if name in self.known and all(f"link:{link}" in known for link in _links_of(self.known[name])):
                    known[name] = self.known[name]

    def _settings_of(self, entry: Served) -> Settings:
        if isinstance(entry, Link):
            return wiring.link_settings(entry, self._environ, self._server_tls)
        if isinstance(entry, Account):
            return wiring.account_settings(entry, self._environ)
        if isinstance(entry, Desk):
            return wiring.desk_settings(entry, self._environ)
        return wiring.group_settings(entry)

    # --- following ---------------------------------------------------------------------------------------------------

    def attach(self, directory: Directory) -> None:
        """Make the endpoints of the first snapshot.

        Raises: UnreadableSecret; OSError, ssl.SSLError.
        """
        for name, entry in entries_of(directory).items():
            self.known[name] = Known(entry, wiring.prints_of(entry, self._environ))
            self._make(name, entry, self._settings_of(entry))

    async def follow(self, prepared: Prepared) -> Followed:
        """Bring the endpoints to a snapshot, and put it in force. One at a time.

        Returns: what was done, once what had to part has parted: at most the drain and some seconds later.
        Cancellation: leaves it half done; the next one goes on from there.
        Raises: StoreError: the snapshot is not in force, though what is new may be on the road already.
        """
        self._is_following = True
        try:
            while self._partings:  # with other nodes: two that end one endpoint would be in each other's way
                await self._all_parted.wait()
            return await self._follow(prepared)
        finally:
            self._is_following = False

    async def _follow(self, prepared: Prepared) -> Followed:
        changes, known = prepared.changes, prepared.known
        directory = prepared.directory
        if prepared.troubles:  # not all that is provisioned serves: no text may be led to what does not
            serving = frozenset(known)
            directory = await self._hub.store.read(lambda tx: load_directory(tx, serving))
        by_how = {how: [change.endpoint for change in changes if change.how is how] for how in How}
        for name in sorted(by_how[How.ADDED], key=_makers_first):
            self._make(name, known[name].entry, prepared.settings[name])
            self.known[name] = known[name]
            self._start(name)
        for name in sorted(by_how[How.CHANGED], key=_makers_first):
            self._adopt(name, known[name].entry, prepared.settings[name])
            self.known[name] = known[name]
        self._regroup({change.endpoint for change in changes}, known)
        self._hub.directory = directory
        waiting: dict[str, int] = {}
        for kinds in ("group",), ("link", "account", "desk"):  # a link goes when no group has parts on it any more
            async with trio.open_nursery() as parting:
                for name in by_how[How.REMOVED]:
                    if name.partition(":")[0] in kinds:
                        parting.start_soon(self._remove, name, waiting)
                for name in by_how[How.RESTARTED]:
                    if name.partition(":")[0] in kinds:
                        parting.start_soon(self._restart, name, known[name], prepared.settings[name])
        return Followed(changes, prepared.troubles, waiting)

    def _make(self, name: str, entry: Served, settings: Settings) -> None:
        hub = self._hub
        endpoint: SmppLink | SmppGroup | SmppAccount | XmppDesk
        if isinstance(entry, Link):
            endpoint = self.links[entry.name] = SmppLink(settings, hub, hub.clock, self._observer)
        elif isinstance(entry, Group):
            endpoint = self.groups[entry.name] = SmppGroup(settings, self.links, hub, hub.clock)
        elif isinstance(entry, Account):
            endpoint = self.accounts[entry.system_id] = SmppAccount(settings, hub, hub.clock, self._make_pace)
        else:
            endpoint = self.desks[entry.name] = XmppDesk(settings, hub, self._threads, clock_us=hub.clock)
        if not self._is_held(name):
            hub.stand_by(endpoint)
        else:  # a group's parts go by the group's policy, whichever of its links they were on
            hub.attach(endpoint, hold_in_doubt=_holds(entry))

    # --- with other nodes: hub.cluster.Holder ------------------------------------------------------------------------

    async def take(self, endpoints: Sequence[str]) -> None:
        """The lanes of these are here from now on: serve them. Does not wait."""
        await trio.lowlevel.checkpoint()
        for name in sorted(endpoints, key=_makers_first):
            known = self.known.get(name)
            if known is None or self._hub.is_here(name):  # it may be provisioned already, and not known here yet
                continue
            if name not in self._hub.ways or not self._is_made(name):
                continue  # it is being removed: its lease is let go again
            endpoint = self._endpoint(name)
            if isinstance(endpoint, SmppGroup):
                endpoint.adopt(endpoint.settings, self.links)
            self._hub.attach(endpoint, hold_in_doubt=_holds(known.entry))
            self._start(name)

    async def part(self, endpoint: str) -> bool:
        """End an endpoint's sessions in peace and take its lanes off the road, for another node.

        Returns: False when that cannot be now: the endpoints are being brought to another snapshot, or all end.
        """
        if self._is_following or self._ending:
            return False
        self._partings += 1
        try:
            if self._hub.is_here(endpoint):
                await self._part(endpoint)
        finally:
            self._partings -= 1
            if not self._partings:
                self._all_parted.set()
                self._all_parted = trio.Event()
        return not self._ending

    async def _part(self, name: str) -> None:
        endpoint = self._endpoint(name)
        if isinstance(endpoint, SmppGroup):
            endpoint.close()
        await self._halt(name)
        if self._ending:
            return
        if not await self._hub.detach(name, DETACH_S, for_another=True):
            log.warning("an endpoint was handed over with answers outstanding: these are in doubt", endpoint=name)
        chores = self._chores.pop(name, None)
        if chores is not None:
            chores.cancel()
        if isinstance(endpoint, XmppDesk):
            endpoint.reopen()

    def is_bound(self, endpoint: str) -> bool:
        """Whether an account has sessions on this node."""
        account = self.accounts.get(endpoint.partition(":")[2])
        return account is not None and bool(account.sessions)

    def _endpoint(self, name: str) -> Any:
        return self._table_of(name)[name.partition(":")[2]]

    def _is_made(self, name: str) -> bool:
        return name.partition(":")[2] in self._table_of(name)

    def _table_of(self, name: str) -> Mapping[str, Any]:
        tables: dict[str, Mapping[str, Any]] = {
            "link": self.links,
            "group": self.groups,
            "account": self.accounts,
            "desk": self.desks,
        }
        return tables[name.partition(":")[0]]

    def _adopt(self, name: str, entry: Served, settings: Settings) -> None:
        endpoint = self._endpoint(name)
        if isinstance(entry, Group):
            endpoint.adopt(settings, self.links)
        else:
            endpoint.adopt(settings)
        self._hub.keep_to_settings(name, hold_in_doubt=_holds(entry))

    def _regroup(self, changed: Iterable[str], known: Mapping[str, Known]) -> None:
        """Let groups see what has become of their links: how they write, and their gaps."""
        names = {name.partition(":")[2] for name in changed if name.startswith("link:")}
        for name, now in known.items():
            if isinstance(now.entry, Group) and names.intersection(now.entry.link_names) and name in self.known:
                self._adopt(name, now.entry, self.groups[now.entry.name].settings)

    async def _restart(self, name: str, known: Known, settings: Settings) -> None:
        await self._halt(name)
        if self._ending:
            return
        self._adopt(name, known.entry, settings)
        self._regroup([name], self.known)
        self.known[name] = known
        endpoint = self._endpoint(name)
        if isinstance(endpoint, XmppDesk):
            endpoint.reopen()
        self._start(name)

    async def _remove(self, name: str, waiting: dict[str, int]) -> None:
        kind, _, key = name.partition(":")
        if kind == "account":
            account = self.accounts.pop(key, None)
            if account is not None:
                await self._expel(account)
        elif kind == "group":
            self.groups[key].close()
        else:
            await self._halt(name)
        if self._ending:
            return
        if not await self._hub.detach(name, DETACH_S):
            log.warning("an endpoint was removed with answers outstanding: these are in doubt", endpoint=name)
        del self.known[name]
        chores = self._chores.pop(name, None)
        if chores is not None:
            chores.cancel()
        if kind == "group":
            del self.groups[key]
            for link in self.links.values():
                link.leave(name)
        elif kind == "link":
            del self.links[key]
        elif kind == "desk":
            del self.desks[key]
        try:
            waiting[name] = (await self._hub.store.read(operations.pending_counts)).get(name, 0)
        except StoreError as error:
            log.warning(
                "what a removed endpoint leaves waiting is not known", endpoint=name, error=type(error).__name__
            )

    async def _expel(self, account: SmppAccount) -> None:
        """Unbind all sessions of an account that is no more."""
        account.expel()
        drain_s = self._drain_s()
        with trio.move_on_after(drain_s + HANG_S):
            async with trio.open_nursery() as nursery:
                for session in list(account.sessions):
                    nursery.start_soon(session.unbind, drain_s)
        for session in list(account.sessions):
            session.close()

    # --- lives -------------------------------------------------------------------------------------------------------

    async def run(self, shutdown: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run links and desks until ``shutdown``, then until all have parted. Cancellation cuts them."""
        async with trio.open_nursery() as sessions:
            self._sessions = sessions
            for name in self.known:
                self._start(name)
            task_status.started()
            await shutdown.wait()
            self._ending = True
            self._sessions = None
            idle = [life for name, life in self._lives.items() if self._is_idle(name)]
            for life in self._lives.values():
                life.stop.set()
            for desk in self.desks.values():
                sessions.start_soon(desk.close, self._drain_s())
            with trio.move_on_after(IDLE_S):
                for life in idle:
                    await life.over.wait()
            for life in idle:
                life.scope.cancel()

    async def do_chores(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What groups and accounts do beside their sessions, until cancelled: for as long as the hub runs."""
        async with trio.open_nursery() as nursery:
            self._chore_nursery = nursery
            for name in self.known:
                self._start_chores(name)
            task_status.started()
            await trio.sleep_forever()

    def _start(self, name: str) -> None:
        """Begin an endpoint's life, or its chores; when the daemon is not running yet, ``run`` does so."""
        if not self._hub.is_here(name):
            return
        self._start_chores(name)
        kind = name.partition(":")[0]
        if self._sessions is None or kind not in ("link", "desk") or name in self._lives:
            return
        life = self._lives[name] = _Life()
        endpoint = self._endpoint(name)
        run = partial(endpoint.run, life.stop) if kind == "link" else endpoint.run
        self._sessions.start_soon(self._live, name, run, life)

    def _start_chores(self, name: str) -> None:
        has_chores = name.startswith(("group:", "account:")) and self._hub.is_here(name)
        if self._chore_nursery is not None and has_chores and name not in self._chores:
            scope = self._chores[name] = trio.CancelScope()
            self._chore_nursery.start_soon(_within, scope, self._endpoint(name).do_chores)

    async def _live(self, name: str, run: Callable[[], Awaitable[None]], life: _Life) -> None:
        """Run an endpoint, and run it again when a fault of ours ended it: the others must not hear of it."""
        try:
            with life.scope:
                while True:
                    try:
                        await run()
                    except Exception:
                        self._observer.count("endpoint_failed", endpoint=name)
                        log.exception("endpoint failed, it is started again", endpoint=name, again_in_s=AGAIN_S)
                    else:
                        return
                    with trio.move_on_after(AGAIN_S):
                        await life.stop.wait()
                    if life.stop.is_set():
                        return
        finally:
            life.over.set()

    def _is_idle(self, name: str) -> bool:
        """Whether a link or desk has nothing to part from: at most it is connecting to somebody who does not answer."""
        endpoint = self._endpoint(name)
        return not (endpoint.statistics().connected if isinstance(endpoint, XmppDesk) else endpoint.sessions)

    async def _halt(self, name: str) -> None:
        """Let a link or a desk part in peace; cut it when it does not."""
        life = self._lives.pop(name, None)
        if life is None:
            return
        drain_s = self._drain_s()
        endpoint = self._endpoint(name)
        life.stop.set()
        with trio.move_on_after(drain_s + HANG_S):
            is_idle = self._is_idle(name)
            if isinstance(endpoint, XmppDesk):
                await endpoint.close(drain_s)
            with trio.move_on_after(IDLE_S if is_idle else math.inf):
                await life.over.wait()
            if not life.over.is_set():
                life.scope.cancel()
                await life.over.wait()
        if not life.over.is_set():
            log.warning("an endpoint did not part in time, it is cut", endpoint=name)
            life.scope.cancel()
            await life.over.wait()


async def _within(scope: trio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await work()


def _makers_first(name: str) -> bool:
    """Links before the groups that are made of them."""
    return name.startswith("group:")


def _links_of(known: Known) -> tuple[str, ...]:
    return known.entry.link_names if isinstance(known.entry, Group) else ()


def _holds(entry: Served) -> bool:
    return isinstance(entry, (Link, Group)) and entry.in_doubt == "hold"
