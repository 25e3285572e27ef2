"""``smshub retention``, ``smshub archive`` and ``smshub erase``: what is kept how long and where, and what no more."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import msgspec
import trio

from hub import erasing
from hub import keeping_ledger as ledger
from hub.erasing import Eraser, Report
from hub.keeping import Keeper, LeaseTaken
from hub.keeping_ledger import Shelved
from hub.keeping_rules import NEVER_US
from ops import schema
from ops.archive import ArchiveError, ObjectArchive
from ops.cli_provision import (
    CLI_NODE,
    CommandRefused,
    config_options,
    in_store,
    operator_name,
    refusals_told,
    say_json,
    say_table,
)
from ops.config import Config
from ops.keeping import archive_in, keeper_of
from provisioning import ProvisioningError, load_directory
from provisioning.syntax import read_number
from store import Store, Transaction, audit, open_store
from store.audit import AuditEntry

T = TypeVar("T")
LEASE_WAIT_S = 90.0  # a keeper that died gives way after a minute
PAGE = 1_000
TELL_S = 1.0
_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_WORDS = ("text", "data", "receipt", "token", "attributes")  # of a record, that `archive show` leaves out


def _now_us() -> int:
    return time.time_ns() // 1000


def _at(us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(us / 1_000_000))


def _with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run work over the configured store; errors that an operator can mend are told."""

    async def run() -> T:
        url = config.store_url(os.environ)
        await trio.to_thread.run_sync(schema.prepare, url)
        async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
            return await work(store)

    with refusals_told():
        try:
            return trio.run(run)
        except ArchiveError as error:
            raise CommandRefused(f"the archive: {error}") from None
        except LeaseTaken:
            raise CommandRefused("retention is at work elsewhere, and has not ended yet: try again") from None


async def _when_free(work: Callable[[], Awaitable[T]]) -> T:
    """Run work that takes the lease, once the daemon's keeper rests."""
    deadline = trio.current_time() + LEASE_WAIT_S
    while True:
        try:
            return await work()
        except LeaseTaken:
            if trio.current_time() > deadline:
                raise
            await trio.sleep(0.2)


def _keeper(config: Config, store: Store) -> Keeper:
    return keeper_of(config, store, _now_us, os.environ, f"command:{os.getpid()}:{_now_us()}")


# --- retention -------------------------------------------------------------------------------------------------------


@click.group()
def retention() -> None:
    """What is kept how long. Its rules: `smshub provision retention`, `smshub provision legal-hold`."""


@retention.command("explain")
@click.argument("message_id", type=click.IntRange(1, (1 << 63) - 1))
@_json_option
@config_options
def retention_explain(config: Config, message_id: int, as_json: bool) -> None:
    """Say which rule a message is kept by, until when, and what holds it."""
    now_us = _now_us()

    def work(tx: Transaction) -> dict[str, Any] | None:
        found = ledger.by_ids(tx, [message_id])
        if not found:
            return None
        ruling = ledger.rulebook(tx)[1].decide(found[0].subject, now_us)
        if ruling.again_us:
            why = "it has not ended yet: no rule applies before"
        elif ruling.hold:
            why = f"legal hold {ruling.hold} keeps it"
        elif ruling.rule is None:
            why = "no rule fits it: it is kept for ever"
        elif ruling.due_us <= now_us:
            why = f"rule {ruling.rule.name} lets it go: it is due"
        else:
            why = f"rule {ruling.rule.name} keeps it until {_at(ruling.due_us)}"
        return {
            "id": message_id,
            "rule": ruling.rule.name if ruling.rule is not None else "",
            "action": ruling.rule.action if ruling.rule is not None else "",
            "due": _at(ruling.due_us) if ruling.due_us < NEVER_US else "",
            "hold": ruling.hold,
            "why": why,
        }

    with refusals_told():
        told = in_store(config, work, reads=True)
    if told is None:
        raise CommandRefused(f"there is no message {message_id}; if it was archived, `smshub archive list` shows where")
    if as_json:
        say_json(told)
    else:
        click.echo(told["why"])


@retention.command("run")
@_json_option
@config_options
def retention_run(config: Config, as_json: bool) -> None:
    """Remove and archive now what is due, as the daemon does every few seconds; beside it, or without."""

    async def work(store: Store) -> Any:
        keeper = _keeper(config, store)
        await _when_free(keeper.round)
        return keeper.tally

    tally = _with_store(config, work)
    if as_json:
        say_json(tally)
    else:
        click.echo(
            f"{tally.erased} messages erased, {tally.archived} archived in {tally.objects} objects, "
            f"{tally.threads} threads and {tally.feed_rows} rows of the feed removed"
        )


# --- archive ---------------------------------------------------------------------------------------------------------


@click.group()
def archive() -> None:
    """What rules of retention have archived."""


def _archive(config: Config) -> ObjectArchive:
    with refusals_told():
        try:
            found = archive_in(config, os.environ)
        except ArchiveError as error:
            raise CommandRefused(str(error)) from None
    if found is None:
        raise CommandRefused("there is no archive: archive.target is not set")
    return found


def _index(config: Config, call_centre: str | None, name: str = "") -> list[Shelved]:
    found: list[Shelved] = []

    def work(tx: Transaction) -> list[Shelved]:
        after = found[-1].id if found else 0
        return ledger.shelved(tx, call_centre=call_centre, after_id=after, name=name, limit=PAGE)

    with refusals_told():
        while page := in_store(config, work, reads=True):
            found += page
    return found


@archive.command("list")
@click.option("--call-centre", default=None, help="Only this call centre's; '' for texts in transit.")
@click.option("--day", default="", help="Only messages received on this day, UTC: 2026-11-22.")
@_json_option
@config_options
def archive_list(config: Config, call_centre: str | None, day: str, as_json: bool) -> None:
    """List the archive's objects."""
    found = [each for each in _index(config, call_centre) if not day or each.day == day]
    rows = [
        {
            "name": each.name,
            "call_centre": each.call_centre,
            "day": each.day,
            "messages": each.messages,
            "octets": each.octets,
            "sha256": each.sha256,
            "state": "stored" if each.is_stored else "planned",
        }
        for each in found
    ]
    if as_json:
        say_json(rows)
    elif rows:
        head = ["name", "day", "messages", "octets", "state"]
        say_table([head, *([str(row[name]) for name in head] for row in rows)])
    else:
        click.echo("none")


@archive.command("show")
@click.argument("name")
@click.option("--texts", is_flag=True, help="With what was written; that you read it goes into the audit.")
@config_options
def archive_show(config: Config, name: str, texts: bool) -> None:
    """Write an object's messages, one JSON object a line; what was written only with --texts."""
    shelf = _archive(config)
    if not _index(config, None, name):
        raise CommandRefused(f"the archive has no object {name!r}: `smshub archive list` shows all")
    if texts:
        entry = AuditEntry(_now_us(), operator_name(), "read", "archive", name)
        with refusals_told():
            in_store(config, lambda tx: audit.append(tx, [entry]))
    try:
        records = shelf.load(name)
    except ArchiveError as error:
        raise CommandRefused(f"the archive: {error}") from None
    for record in records:
        told = msgspec.to_builtins(record)
        if not texts:
            told = {field: value for field, value in told.items() if field not in _WORDS}
            told["characters"] = len(record.text)
            if record.thread is not None:
                del told["thread"]["token"]
        click.echo(msgspec.json.encode(told).decode())


@archive.command("verify")
@click.option("--call-centre", default=None, help="Only this call centre's; '' for texts in transit.")
@_json_option
@config_options
def archive_verify(config: Config, call_centre: str | None, as_json: bool) -> None:
    """Read every object and compare it with its manifest and the index: status 1 when one is not as it was written."""
    shelf = _archive(config)
    stored = [each for each in _index(config, call_centre) if each.is_stored]
    faults = [(each.name, fault) for each in stored if (fault := shelf.fault_of(each.name, each.sha256, each.messages))]
    messages = sum(each.messages for each in stored)
    if as_json:
        say_json({"objects": len(stored), "messages": messages, "faults": [{"name": n, "why": w} for n, w in faults]})
    else:
        for name, fault in faults:
            click.echo(f"smshub: {name}: {fault}", err=True)
        click.echo(f"{len(stored) - len(faults)} of {len(stored)} objects are whole, {messages} messages")
    sys.exit(1 if faults else 0)


# --- erase -----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("people", metavar="NUMBER...", nargs=-1, required=True)
@click.option("--call-centre", default=None, help="What this call centre has of the person.")
@click.option("--all", "everything", is_flag=True, help="Everything: all call centres, and texts in transit.")
@click.option("--reason", default="", help="Why, for the audit: a ticket's number, not the person.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--stopped", is_flag=True, help="The daemon is stopped: drop what waits without asking it.")
@click.option("--wait", default=60.0, show_default=True, type=click.FloatRange(1, 3600), help="Seconds for the daemon.")
@_json_option
@config_options
def erase(
    config: Config,
    people: tuple[str, ...],
    call_centre: str | None,
    everything: bool,
    reason: str,
    dry_run: bool,
    stopped: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Erase all that the hub keeps of a person's texts: messages, threads, history, archive, words in the audit.

    That the person is out stays, to be obeyed; so does what a legal hold keeps. Status 1 when something is left: a text
    on the wire or without its charging record (ask again), or a hold.
    """
    if (call_centre is not None) == everything:
        raise CommandRefused("say whose records: --call-centre NAME, or --all")
    if not all(person.strip() for person in people):
        raise CommandRefused("NUMBER is empty: say whom to erase")
    if not dry_run and not reason.strip():
        raise CommandRefused("--reason is missing: say why, for the audit")
    if any(person.lstrip("+") in reason for person in people):
        raise CommandRefused("--reason names the person, and it stays in the audit: name a ticket instead")
    with refusals_told():
        try:
            people = tuple(read_number(person, "NUMBER") if person[:1] == "+" else person for person in people)
            shelf = archive_in(config, os.environ)
        except ArchiveError as error:
            raise CommandRefused(str(error)) from None
        except ProvisioningError as error:
            raise CommandRefused(str(error)) from None
    request = erasing.Request(people, call_centre, operator_name(), reason, wait, stopped)

    async def work(store: Store) -> Report:
        own = await store.read(lambda tx: _own_numbers(tx, people))
        if own:
            raise CommandRefused(f"{', '.join(own)}: a call centre's own, with the texts of all its customers")
        eraser = Eraser(store, _now_us, _keeper(config, store), shelf, request, _Telling())
        return await (eraser.rehearse() if dry_run else _when_free(eraser.erase))

    _say_report(_with_store(config, work), dry_run=dry_run, as_json=as_json)


def _own_numbers(tx: Transaction, people: tuple[str, ...]) -> list[str]:
    directory = load_directory(tx)
    return [each for each in people if directory.number(each) is not None or directory.is_suspended(each)]


class _Telling:
    """Tells on standard error how far long work is, once a second."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, words: str) -> None:
        if time.monotonic() - self._told_at > TELL_S:
            self._told_at = time.monotonic()
            click.echo(words, err=True)


def _say_report(report: Report, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        say_json({"dry_run": dry_run, **msgspec.structs.asdict(report)})
    else:
        verb = "would be erased" if dry_run else "erased"
        click.echo(
            f"{verb}: {report.messages} messages, {report.parts} parts of incomplete texts, {report.threads} threads, "
            f"{report.archived} archived messages in {report.objects} objects, words of {report.audit_rows} audit rows"
        )
        if report.pending and dry_run:
            click.echo(f"on their way, to be dropped first: {report.pending} messages")
    if report.held:
        click.echo(f"smshub: {report.held} messages stay: legal hold {', '.join(report.holds)}", err=True)
    if report.pending and not dry_run:
        click.echo(
            f"smshub: {report.pending} messages are still on their way. Ask again when they have ended; if the daemon "
            "is stopped, say --stopped",
            err=True,
        )
    if report.unseen:
        click.echo(
            f"smshub: {report.unseen} messages stay until charging records are made of them. Ask again; if they never "
            "are, see the daemon's log, or, where charging is switched off, `smshub charging forget`",
            err=True,
        )
    if not dry_run and (report.held or report.pending or report.unseen):
        sys.exit(1)
