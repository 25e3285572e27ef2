"""``smshub opt-out …``: the ledger of who wants no texts, looked at and changed beside a running daemon.

A change is in force within a second: the daemon follows the ledger's audit. No command shows a text.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec
import trio

from hub import opt_out, opt_out_ledger
from hub.opt_out import Entry, scope_of, since_after
from hub.opt_out_ledger import Change, Key, Noted
from ops import schema
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
from ops.opt_out_csv import (
    HEAD,
    BadFile,
    BadLine,
    read_customer,
    read_lines,
    read_number,
    row_of,
    shown_number,
    shown_time,
)
from provisioning import load_directory
from store import StoreError, Transaction, open_store

CHUNK = 1_000  # lines in one transaction: the daemon's writes wait a few milliseconds for each
BAD_LINES_SHOWN = 50
PROGRESS_LINES = 10_000
PROGRESS_S = 2.0
EXPORT_PAGE = 5_000

_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_number_help = "NUMBER is the call centre's number, a sender's name, or call-centre:NAME for all of its numbers."


def _now_us() -> int:
    return time.time_ns() // 1000


def _read_key(number: str, customer: str) -> Key:
    try:
        return read_number(number), read_customer(customer)
    except ValueError as error:
        raise CommandRefused(str(error)) from None


@click.group("opt-out")
def opt_out_group() -> None:
    """Customers who want no texts."""


@opt_out_group.command("list")
@click.option("--number", default="", help=f"Only of this one. {_number_help}")
@click.option("--customer", default="", help="Only of this customer.")
@click.option("--all", "everybody", is_flag=True, help="Those who are in again, too.")
@click.option("--after", nargs=2, default=("", ""), metavar="NUMBER CUSTOMER", help="The page after this line.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@_json_option
@config_options
def list_command(
    config: Config, number: str, customer: str, everybody: bool, after: tuple[str, str], limit: int, as_json: bool
) -> None:
    """List who is out, in the order of numbers."""
    try:
        wanted = read_number(number) if number else ""
        whose = read_customer(customer) if customer else ""
        behind = (read_number(after[0]), read_customer(after[1])) if after[0] else ("", "")
    except ValueError as error:
        raise CommandRefused(str(error)) from None

    def work(tx: Transaction) -> list[Entry]:
        return opt_out_ledger.listing(tx, number=wanted, customer=whose, everybody=everybody, after=behind, limit=limit)

    with refusals_told():
        found = in_store(config, work, reads=True)
    if as_json:
        say_json([_told(entry) for entry in found])
    elif found:
        rows = [[*row_of(entry), entry.who, entry.word] for entry in found]
        say_table([[*HEAD, "who", "word"], *rows])
    else:
        click.echo("none")


@opt_out_group.command("show", epilog=_number_help)
@click.argument("number")
@click.argument("customer")
@_json_option
@config_options
def show_command(config: Config, number: str, customer: str, as_json: bool) -> None:
    """Show how a customer stands, and all that led to it."""
    key = _read_key(number, customer)

    def work(tx: Transaction) -> tuple[int, list[Entry], list[Noted]]:
        keys = _keys(tx, key)
        known = opt_out_ledger.entries(tx, keys)
        since_us = opt_out.out_since(*(known.get(each) for each in _own_and_everywhere(keys)))
        return since_us, [known[each] for each in keys if each in known], opt_out_ledger.audit_of(tx, keys)

    with refusals_told():
        since_us, entries, lines = in_store(config, work, reads=True)
    if as_json:
        say_json(
            {
                "is_out": since_us > 0,
                "since": shown_time(since_us) if since_us else "",
                "entries": [_told(entry) for entry in entries],
                "audit": [
                    {**msgspec.structs.asdict(line), "at": shown_time(line.at_us), "number": shown_number(line.number)}
                    for line in lines
                ],
            }
        )
        return
    click.echo(f"out since {shown_time(since_us)}" if since_us else "not out")
    for line in lines:
        told = [shown_time(line.at_us), line.action, shown_number(line.number), line.how, line.who, line.word]
        click.echo("  " + "  ".join(cell for cell in (*told, line.reason) if cell))


@opt_out_group.command("add", epilog=_number_help)
@click.argument("number")
@click.argument("customer")
@click.option("--reason", default="", help="Why, for the audit.")
@config_options
def add_command(config: Config, number: str, customer: str, reason: str) -> None:
    """Let a customer be out, who said so by another way than a text. Nothing is sent to them."""
    done = _change(config, _read_key(number, customer), reason, is_out=True)
    click.echo(f"{customer} is out of {number}" if done else f"{customer} was out of {number} already")


@opt_out_group.command("remove", epilog=_number_help)
@click.argument("number")
@click.argument("customer")
@click.option("--reason", required=True, help="Why, for the audit: who asked for it, and how.")
@config_options
def remove_command(config: Config, number: str, customer: str, reason: str) -> None:
    """Let a customer be in again, who asked for it by another way than a text."""
    if not reason.strip():
        raise CommandRefused("--reason is empty: say who asked for it, and how")
    if not _change(config, _read_key(number, customer), reason, is_out=False):
        raise CommandRefused(f"{customer} is not out of {number}")
    click.echo(f"{customer} is in again for {number}")


def _change(config: Config, key: Key, reason: str, *, is_out: bool) -> bool:
    """Change how a customer stands. Returns: whether they stood otherwise."""
    if len(reason) > opt_out_ledger.MAX_REASON_CHARACTERS:
        raise CommandRefused(f"the reason is longer than {opt_out_ledger.MAX_REASON_CHARACTERS} characters")

    def work(tx: Transaction) -> bool:
        opt_out_ledger.lock(tx)
        keys = _keys(tx, key)
        known = opt_out_ledger.entries_of_customers(tx, [key[1]])
        own, everywhere = (known.get(each) for each in _own_and_everywhere(keys))
        is_scope = key[0][:1] == "*"
        if not is_scope and (opt_out.out_since(own, everywhere) > 0) == is_out:
            return False
        if is_scope and (everywhere is not None and everywhere.is_out) == is_out:
            return False
        since_us = since_after(_now_us(), *(known.values() if is_scope else (own, everywhere)))
        entry = Entry(*key, is_out=is_out, since_us=since_us, how="operator", who=operator_name())
        opt_out_ledger.record(tx, [Change("out" if is_out else "in", entry, reason)], _now_us())
        return True

    with refusals_told():
        return in_store(config, work)


@opt_out_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--skip-bad", is_flag=True, help="Take the good lines of a file that has bad ones.")
@config_options
def import_command(config: Config, file: Path, skip_bad: bool) -> None:
    """Take over a file of comma-separated values, as ``export`` writes it.

    The head line is number,customer,state,since,how. Where the ledger knows something later than a line does, the
    ledger stands. The whole file is checked before anything is changed.
    """
    bad, good = _check_file(file)
    for line in bad[:BAD_LINES_SHOWN]:
        click.echo(f"smshub: {file}:{line.line}: {line.why}", err=True)
    if len(bad) > BAD_LINES_SHOWN:
        click.echo(f"smshub: and {len(bad) - BAD_LINES_SHOWN} more bad lines", err=True)
    if bad and not skip_bad:
        raise CommandRefused(f"{file}: {len(bad)} bad lines, {good} good ones; nothing was changed")
    with refusals_told():
        changed, known, older = trio.run(_import, config, file, good)
    passed = f", {len(bad)} bad lines passed over" if bad else ""
    click.echo(f"{changed} changed, {known} known already, {older} older than what is known{passed}")


def _entries_of(file: Path) -> Iterator[tuple[int, Entry] | BadLine]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from read_lines(lines, _now_us(), operator_name())


def _check_file(file: Path) -> tuple[list[BadLine], int]:
    """Read a file through. Returns: its bad lines, and how many good ones it has."""
    bad: list[BadLine] = []
    good = 0
    try:
        for found in _entries_of(file):
            if isinstance(found, BadLine):
                bad.append(found)
            else:
                good += 1
    except (BadFile, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, BadFile) else "is not UTF-8"
        raise CommandRefused(f"{file}: {why}") from None
    return bad, good


async def _import(config: Config, file: Path, total: int) -> tuple[int, int, int]:
    """Take over the good lines of a file, a chunk in a transaction. Returns: as ``opt_out_ledger.merge``."""
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    good = (found for found in _entries_of(file) if not isinstance(found, BadLine))
    tallies = [0, 0, 0]
    done, said_at, last_line = 0, trio.current_time(), 1
    async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
        while chunk := list(islice(good, CHUNK)):
            entries = [entry for _, entry in chunk]

            def work(tx: Transaction, entries: Sequence[Entry] = entries) -> list[int]:
                opt_out_ledger.lock(tx)
                return opt_out_ledger.merge(tx, entries, _now_us(), file.name, operator_name())

            try:
                more = await store.transact(work, rows=len(chunk))
            except StoreError:
                click.echo(
                    f"smshub: {file}: all up to line {last_line} is in, nothing after it; import it again", err=True
                )
                raise
            last_line = chunk[-1][0]
            tallies = [one + other for one, other in zip(tallies, more, strict=True)]
            done += len(chunk)
            if total > PROGRESS_LINES and trio.current_time() - said_at > PROGRESS_S:
                said_at = trio.current_time()
                click.echo(f"{done} of {total} lines", err=True)
    return tallies[0], tallies[1], tallies[2]


@opt_out_group.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--out-only", is_flag=True, help="Without those who are in again.")
@config_options
def export_command(config: Config, file: Path | None, out_only: bool) -> None:
    """Write the ledger as comma-separated values, to a file or to standard output."""
    with refusals_told():
        if file is None:
            trio.run(_export, config, sys.stdout, not out_only)
            return
        beside = file.with_name(f"{file.name}.part")  # whoever reads the file never sees half of it
        with beside.open("w", encoding="utf-8", newline="") as stream:
            written = trio.run(_export, config, stream, not out_only)
        beside.replace(file)
    click.echo(f"{written} lines written")


async def _export(config: Config, stream: Any, everybody: bool) -> int:
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEAD)
    after: Key = ("", "")
    written = 0
    async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
        while True:

            def work(tx: Transaction, after: Key = after) -> list[Entry]:
                return opt_out_ledger.listing(tx, everybody=everybody, after=after, limit=EXPORT_PAGE)

            page = await store.read(work)
            writer.writerows(row_of(entry) for entry in page)
            written += len(page)
            if len(page) < EXPORT_PAGE:
                return written
            after = (page[-1].number, page[-1].customer)


def _keys(tx: Transaction, key: Key) -> list[Key]:
    """A key, and that of all numbers of its call centre when there is one."""
    number, customer = key
    if number[:1] == "*":
        return [key]
    found = load_directory(tx).number(number)
    return [key, (scope_of(found.call_centre), customer)] if found is not None else [key]


def _own_and_everywhere(keys: Sequence[Key]) -> tuple[Key, Key]:
    own = next((key for key in keys if key[0][:1] != "*"), ("", ""))
    return own, next((key for key in keys if key[0][:1] == "*"), ("", ""))


def _told(entry: Entry) -> dict[str, str]:
    return {**dict(zip(HEAD, row_of(entry), strict=True)), "who": entry.who, "word": entry.word}
