"""Reload: a running daemon takes over a changed configuration file, or a changed catalog, without dropping a bind.

Everything that changes a running daemon ends here: SIGHUP and ``smshub reload`` (``Reloader.reload``), and a command or
application that changed the catalog (``Reloader.follow``). One at a time.

A reload of the file is *all or nothing* up to the moment at which it is in the store: the file is checked as a whole,
what it names is read, the catalog judges it over a copy, certificates are loaded. Only then its entries are written, in
one transaction, and the endpoints are brought to what is provisioned (``ops.endpoints``). A daemon that is killed in
the midst of it finds at its next start a store that has all of the file or nothing, and the file itself.
"""

from __future__ import annotations

import os
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

import msgspec
import structlog
import trio

from hub import wall_clock_us
from ops import reload_requests
from ops.cli_provision import apply_config
from ops.config import Config, ConfigError, ConfigErrors, file_problems, load_config, refused
from ops.endpoints import Endpoints, Followed, Prepared
from ops.plan import Change, SettingsPlan, dropped, plan_settings
from ops.readiness import Supervisor, status
from ops.rehearsal import rehearse
from ops.reload_requests import ReloadRequest
from ops.settings import SETTINGS
from provisioning import Account, ProvisioningError, catalog, load_directory, revision
from provisioning.passwords import hash_passwords
from store import Store, StoreError, Transaction
from store.audit import AuditEntry, append

AGAIN_S: Final = 5.0  # after a fault of ours
STATES: Final = ("done", "refused", "failed")  # what may come of a reload that is no dry run

log = structlog.get_logger("ops.reload")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a reload.

    Attributes:
        state: ``"done"``; ``"planned"`` for a dry run; ``"refused"`` when the file is wrong and nothing has changed;
            ``"failed"`` when the store or the system did not let it.
        file: the file's name, empty when the daemon has none.
        errors: why it was refused, with the line of each; or what failed.
        is_stored: of one that failed: the file is in the store, and the daemon goes on with it. Else nothing changed.
        added, changed, unchanged: entries of the file.
        endpoints: what becomes of endpoints.
        settings: settings of the daemon that hold now.
        needs_restart: settings that hold when the daemon starts again.
        dropped: entries that the file names no more; they stay provisioned.
        troubles: endpoints that are not as provisioned, and why.
        waiting: removed endpoint → messages that stay in the store.
    """

    state: str
    file: str = ""
    errors: tuple[str, ...] = ()
    is_stored: bool = False
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    endpoints: tuple[Change, ...] = ()
    settings: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    troubles: dict[str, str] = {}
    waiting: dict[str, int] = {}


class _Ready(msgspec.Struct, frozen=True):
    """A file that nothing speaks against."""

    config: Config
    prepared: Prepared
    settings: SettingsPlan
    dropped: tuple[str, ...]


class Reloader:
    """See the module's head.

    Args:
        config: the file that is in force.
        store: the open store.
        endpoints: those of the daemon.
        keep_to: makes the daemon keep to the live settings of another file. Raises OSError with nothing changed.
        supervisor: hears when a reload begins and is over.
        answers: whether it is this node that answers what the command line asks; the others follow the catalog.

    Attributes:
        outcomes: state → reloads that ended so since the start.
        is_as_wanted: whether the last reload, if there was one, was carried out.
        in_force_us: when the file in force was taken over, by start or reload.
        revision: of the catalog that is in force.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        endpoints: Endpoints,
        keep_to: Callable[[Config], Awaitable[None]],
        supervisor: Supervisor,
        answers: Callable[[], bool] = lambda: True,
    ) -> None:
        self._answers = answers
        self._has_begun_to_answer = False
        self._supervisor = supervisor
        self._started = self.config = config
        self._store = store
        self._endpoints = endpoints
        self._keep_to = keep_to
        self._turn = trio.Lock()
        self.outcomes: Counter[str] = Counter()
        self.is_as_wanted = True
        self.in_force_us = wall_clock_us()
        self.revision = 0
        self._troubles: dict[str, str] = {}
        self._is_unfinished = False  # a file is in the store, and endpoints were not brought to all of it

    async def reload(self, who: str, *, dry_run: bool = False) -> Answer:
        """Read the configuration file again and keep to it.

        Args:
            who: who asked, for the audit and the log.
            dry_run: only say what would be done.

        Returns: what came of it; nothing is raised for what an operator can mend.
        Cancellation: the file is in the store or it is not; a daemon that goes on follows the catalog in any case.
        """
        async with self._turn:
            with nullcontext() if dry_run else self._supervisor.reloading():
                answer = await self._reload(who, dry_run)
        if not dry_run:
            self.outcomes[answer.state] += 1
            self.is_as_wanted = answer.state == "done"
            self.in_force_us = wall_clock_us() if self.is_as_wanted else self.in_force_us
            await self._note(who, answer)
        self._supervisor.tell(status(f"{'dry run' if dry_run else 'last reload'}: {answer.state}"))
        say = log.info if answer.state in ("done", "planned") else log.error
        say("reload", who=who, **_told(answer))
        return answer

    async def _note(self, who: str, answer: Answer) -> None:
        """Tell the audit who had the file read again, and what came of it; its entries are told of by the catalog."""
        detail = msgspec.json.encode({"state": answer.state, "settings": answer.settings}).decode()
        entry = AuditEntry(wall_clock_us(), who, "reloaded", "config", answer.file, detail)
        try:
            await self._store.transact(lambda tx: append(tx, [entry]))
        except StoreError as error:
            log.warning("the audit was not told of a reload", error=type(error).__name__)

    async def _reload(self, who: str, dry_run: bool) -> Answer:
        try:
            ready = await self._check()
        except (ConfigErrors, ProvisioningError) as error:
            return Answer(state="refused", file=self.config.path, errors=tuple(str(error).splitlines()))
        except Exception as error:
            return self._failed(error)
        return _planned(ready) if dry_run else await self._carry_out(ready, who)

    @property
    def troubled(self) -> int:
        """How many endpoints are not as provisioned."""
        return len(self._troubles)

    async def follow(self) -> Followed | None:
        """Bring the endpoints to the catalog when that has changed. Returns: what was done, None for nothing.

        Raises: StoreError.
        """
        async with self._turn:
            if await self._store.read(revision) == self.revision and not self._is_unfinished:
                return None
            is_rest = self._is_unfinished
            followed = await self._follow(reread=is_rest)
        if is_rest:
            self.is_as_wanted, self.in_force_us = True, wall_clock_us()
        return followed

    async def serve(self) -> None:
        """Look for changes of the catalog and for requests, from time to time, until cancelled."""
        while True:
            await trio.sleep(self.config.limits.reload_s)
            try:
                if self._answers():
                    if not self._has_begun_to_answer:
                        await self._store.transact(reload_requests.ask_again)
                        self._has_begun_to_answer = True
                    for request in await self._store.read(reload_requests.asked):
                        await self._answer(request)
                await self.follow()
            except StoreError as error:
                log.warning("the catalog could not be read", error=type(error).__name__)
            except Exception:
                # The endpoints that are there go on; what could not be done is tried again.
                log.exception("the catalog could not be followed", again_in_s=AGAIN_S)
                await trio.sleep(AGAIN_S)

    async def begin(self) -> None:
        """The daemon has started: what was asked before is answered by that. Raises: StoreError."""
        self.revision = await self._store.read(revision)
        if not self._store.is_shared:  # another node may be about to answer
            await self._store.transact(reload_requests.void)

    async def _answer(self, request: ReloadRequest) -> None:
        await self._store.transact(lambda tx: reload_requests.note(tx, request.id, "running"))
        answer = await self.reload(request.who, dry_run=request.dry_run)
        words = msgspec.json.encode(answer).decode()
        await self._store.transact(lambda tx: reload_requests.note(tx, request.id, answer.state, words))

    # --- checking: changes nothing -----------------------------------------------------------------------------------

    async def _check(self) -> _Ready:
        """Find everything that speaks against the file.

        Raises: ConfigErrors, with every error that can be found at once; ProvisioningError, StoreError, OSError.
        """
        old, environ = self.config, dict(os.environ)
        new = await trio.to_thread.run_sync(partial(_read_again, old))
        problems = await trio.to_thread.run_sync(file_problems, new, environ)
        problems += await trio.to_thread.run_sync(_certificate_problems, new)
        if problems:
            raise ConfigErrors(new.path, problems)
        new = await self._hashed(new)
        directory = await rehearse(new, old.store_url(environ), is_ready=True)
        prepared = await trio.to_thread.run_sync(partial(self._endpoints.prepare, directory, reread=True))
        if prepared.troubles:
            raise_for_own(new, prepared.troubles)
        # What waits for the next start waits until then, and each answer says so.
        waiting = plan_settings(SETTINGS, self._started, new).waiting
        plan = SettingsPlan(plan_settings(SETTINGS, old, new).live, waiting)
        return _Ready(new, prepared, plan, dropped(old.entries, new.entries))

    async def _hashed(self, config: Config) -> Config:
        """The file with hashes in the place of accounts' passwords: those of the catalog where they fit."""
        accounts = await self._store.read(lambda tx: catalog.entries(tx, Account))
        known = {account.system_id: account.password_hash for account in accounts}
        entries, refusals = await trio.to_thread.run_sync(hash_passwords, config.entries, known, dict(os.environ))
        if refusals:
            raise refused(config, refusals)
        return msgspec.structs.replace(config, entries=tuple(entries))

    # --- carrying out ------------------------------------------------------------------------------------------------

    async def _carry_out(self, ready: _Ready, who: str) -> Answer:
        new = ready.config
        try:
            await self._keep_to(new)  # first: it may still be refused, by a file that is gone since it was checked
            applied = await apply_config(new, self._store, who=f"file {new.path} ({who})") if new.entries else None
        except ConfigErrors as error:  # the catalog changed since it was asked
            await self._keep_to_old()
            return Answer(state="refused", file=new.path, errors=tuple(str(error).splitlines()))
        except Exception as error:
            await self._keep_to_old()
            return self._failed(error)
        self.config = new
        self._is_unfinished = True
        try:
            followed = await self._follow(reread=True)
        except Exception as error:
            return self._failed(error, is_stored=True)
        return msgspec.structs.replace(
            _planned(ready),
            state="done",
            added=applied.added if applied is not None else 0,
            changed=applied.changed if applied is not None else 0,
            unchanged=applied.unchanged if applied is not None else 0,
            endpoints=followed.changes,
            troubles=dict(followed.troubles),
            waiting=dict(followed.waiting),
        )

    async def _keep_to_old(self) -> None:
        """Undo what was taken over of a file that is not in force."""
        try:
            await self._keep_to(self.config)
        except OSError as error:
            log.error("live settings are those of the file that was refused", error=str(error))

    async def _follow(self, *, reread: bool) -> Followed:
        fresh = await self._store.read(load_directory)
        prepared = await trio.to_thread.run_sync(partial(self._endpoints.prepare, fresh, reread=reread))
        followed = await self._endpoints.follow(prepared)
        self.revision = fresh.revision
        log.info("catalog loaded", revision=fresh.revision, endpoints=_words(followed.changes))
        for name, why in followed.troubles.items():
            if self._troubles.get(name) != why:  # said once
                log.error("an endpoint is not as provisioned", endpoint=name, error=why)
        self._troubles = dict(followed.troubles)
        self._is_unfinished = self._is_unfinished and not reread
        for name, number in followed.waiting.items():
            if number:
                log.warning("messages of a removed endpoint stay in the store", endpoint=name, messages=number)
        return followed

    def _failed(self, error: Exception, *, is_stored: bool = False) -> Answer:
        if not isinstance(error, (StoreError, OSError)):
            # A fault of ours is no reason to end a daemon that moves texts.
            log.exception("a fault of ours ended the reload", exc_info=error)
        why = str(error) or type(error).__name__
        return Answer(state="failed", file=self.config.path, errors=(why,), is_stored=is_stored)


def _read_again(config: Config) -> Config:
    """The file as it is now; a daemon that has none keeps what it has. Raises: ConfigErrors."""
    return load_config(config.path, dict(config.overrides)) if config.path else config


def _certificate_problems(config: Config) -> list[ConfigError]:
    """Whether the certificate of our own port can be shown."""
    smpp = config.smpp
    if not smpp.tls_cert_file:
        return []
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(smpp.tls_cert_file, smpp.tls_key_file)
    except (OSError, ValueError) as error:
        why = f"{smpp.tls_cert_file!r} and its key cannot be used: {getattr(error, 'reason', None) or error}"
        return [ConfigError(0, "smpp.tls_cert_file", why)]
    return []


def raise_for_own(config: Config, troubles: dict[str, str]) -> None:
    """Refuse a file for endpoints of its own that cannot be made; those that it does not name are not its fault.

    Raises: ConfigErrors.
    """
    errors = [
        ConfigError(line, f"{entry.KIND} {entry.key!r}", troubles[name])
        for entry, line in zip(config.entries, config.lines, strict=True)
        if (name := getattr(entry, "endpoint", "")) in troubles and entry.KIND in ("link", "group", "account", "desk")
    ]
    if errors:
        raise ConfigErrors(config.path, errors)


def _planned(ready: _Ready) -> Answer:
    return Answer(
        state="planned",
        file=ready.config.path,
        endpoints=ready.prepared.changes,
        settings=ready.settings.live,
        needs_restart=ready.settings.waiting,
        dropped=ready.dropped,
        troubles=ready.prepared.troubles,
    )


def _words(changes: Sequence[Change]) -> dict[str, list[str]]:
    """Endpoints by what becomes of them."""
    found: dict[str, list[str]] = {}
    for change in changes:
        found.setdefault(change.how.value, []).append(change.endpoint)
    return found


def _told(answer: Answer) -> dict[str, object]:
    """An answer as fields of a log line: what is empty is left out."""
    fields = msgspec.structs.asdict(answer) | {"endpoints": _words(answer.endpoints)}
    return {name: value for name, value in fields.items() if value or name == "state"}


def request_of(tx: Transaction, request_id: int) -> tuple[str, Answer | None]:
    """How a request stands: its state, and its answer once there is one."""
    found = reload_requests.find(tx, request_id)
    if found is None:
        return "gone", None
    return found.state, msgspec.json.decode(found.answer, type=Answer) if found.answer else None
