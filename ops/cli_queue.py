"""``smshub queue …``: what waits and what is dead: looked at, sent again, given up, exported, beside a running daemon.

What a command asks for is left in the store (``ops.queue_requests``) and carried out by the daemon, now or when it
starts. Nothing here shows a text, but an export that says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec
import trio

from hub import operations
from hub.operations import Selection
from ops import queue_files
from ops.cli_provision import (
    CommandRefused,
    config_options,
    in_store,
    operator_name,
    refusals_told,
    say_json,
)
from ops.config import Config
from ops.queue_asking import ALLOWED, Asking
from ops.queue_requests import opened
from ops.queue_selection import STATES, at, now_us, said, selecting, selection_of, show_rows, shown
from store import Transaction
from store.audit import AuditEntry, append

EXPORT_PAGE: Final = 2_000  # rows read at once

_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


# --- looking ---------------------------------------------------------------------------------------------------------


@click.group()
def queue() -> None:
    """Messages that wait, and dead letters. No command shows a text, but an export that says so."""


@queue.command("list")
@selecting(sorted(STATES), "pending")
@click.option("--after", "after_id", type=int, default=0, help="The page after this id.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@_json_option
@config_options
def queue_list(config: Config, after_id: int, limit: int, as_json: bool, **options: Any) -> None:
    """List messages in a state, the oldest first."""
    selection = selection_of("pending", options)
    with refusals_told():
        found = in_store(
            config, lambda tx: operations.listing(tx, selection, after_id=after_id, limit=limit), reads=True
        )
    if as_json:
        say_json(found)
        return
    show_rows(
        ["id", "state", "endpoint", "from", "to", "received", "next try", "tries", "reason"],
        [
            [
                str(m.id),
                m.state,
                m.endpoint,
                m.source,
                m.destination,
                at(m.received_us),
                at(m.next_us),
                str(m.attempts),
                m.reason,
            ]
            for m in found
        ],
    )


@queue.command("count")
@selecting(sorted(STATES), "all")
@click.option("--reasons", is_flag=True, help="Those with different reasons apart.")
@_json_option
@config_options
def queue_count(config: Config, reasons: bool, as_json: bool, **options: Any) -> None:
    """Count messages by endpoint and state."""
    selection = selection_of("all", options)
    with refusals_told():
        tallies = in_store(config, lambda tx: operations.tally(tx, selection), reads=True)
    counts: dict[tuple[str, ...], int] = {}
    for each in tallies:
        key = (each.endpoint, each.state, each.reason) if reasons else (each.endpoint, each.state)
        counts[key] = counts.get(key, 0) + each.count
    head = ["endpoint", "state", "reason", "count"] if reasons else ["endpoint", "state", "count"]
    rows = [[*key, count] for key, count in sorted(counts.items())]
    if as_json:
        say_json([dict(zip(head, row, strict=True)) for row in rows])
        return
    show_rows(head, [[str(cell) for cell in row] for row in rows])


@queue.command("show")
@click.argument("message_id", type=int)
@_json_option
@config_options
def queue_show(config: Config, message_id: int, as_json: bool) -> None:
    """Show where a message stands."""
    with refusals_told():
        found = in_store(config, lambda tx: operations.show(tx, message_id), reads=True)
    if found is None:
        raise CommandRefused(f"there is no message {message_id}")
    if as_json:
        say_json(found)
        return
    for name, value in msgspec.structs.asdict(found).items():
        click.echo(f"{name:13} {at(value) if name.endswith('_us') else shown(str(value))}".rstrip())


@queue.command("requests")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@_json_option
@config_options
def queue_requests(config: Config, limit: int, as_json: bool) -> None:
    """List what was asked for and not carried out yet: it waits for the daemon."""
    with refusals_told():
        found = in_store(config, lambda tx: operations.requests(tx, limit=limit), reads=True)
    if as_json:
        say_json(found)
        return
    show_rows(["verb", "message", "asked", "by"], [[r.verb, str(r.message_id), at(r.at_us), r.who] for r in found])


# --- asking ----------------------------------------------------------------------------------------------------------


def asking(states: Sequence[str], what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command what ``retry`` and ``drop`` have in common."""
    options: list[Callable[[Any], Any]] = [
        click.argument("message_ids", type=click.IntRange(1), nargs=-1),
        click.option("--all", "everything", is_flag=True, help=f"All {what}."),
        selecting(states, "dead"),
        click.option("--limit", type=click.IntRange(1), default=None, help="At most so many, the oldest first."),
        click.option("--yes", is_flag=True, help="Do not ask whether it is meant."),
        click.option("--wait", is_flag=True, help="Wait until it is carried out, and say what came of it."),
        click.option(
            "--wait-s",
            type=click.FloatRange(0.1, 86_400),
            default=60.0,
            show_default=True,
            help="With --wait: give up when nothing was carried out for so long.",
        ),
        _json_option,
        config_options,
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@queue.command("retry")
@click.option("--via", default="", help="By this link or group instead, for example link:other.")
@asking(ALLOWED["retry"], "dead letters")
def queue_retry(**arguments: Any) -> None:
    """Queue dead letters again, with new attempts and a new validity.

    Name them by id, by what they have in common, or say --all.
    """
    Asking("retry", **arguments).run()


@queue.command("drop")
@asking(ALLOWED["drop"], "dead letters, or all in --state")
def queue_drop(**arguments: Any) -> None:
    """Give messages up: waiting ones (their senders are told) and dead letters.

    Name them by id, by what they have in common, or say --all.
    """
    Asking("drop", via="", **arguments).run()


# --- exporting -------------------------------------------------------------------------------------------------------


@queue.command("export")
@selecting(sorted(STATES), "pending")
@click.option("--output", default="-", help="The file; it is there whole or not at all.  [default: standard output]")
@click.option(
    "--format",
    "form",
    type=click.Choice(queue_files.FORMATS),
    default="jsonl",
    show_default=True,
    help="How it is written.",
)
@click.option("--with-text", is_flag=True, help="The texts too. The audit says that you read them.")
@config_options
def queue_export(config: Config, output: str, form: str, with_text: bool, **options: Any) -> None:
    """Export messages as JSON Lines or comma-separated values, the oldest first."""
    selection = selection_of("pending", options)
    with refusals_told():
        if with_text:  # before the first is read: who stops the command has read some
            in_store(config, lambda tx: _note_export(tx, selection, options))
        if output == "-":
            trio.run(_export, config, selection, form, with_text, sys.stdout.buffer)
            return
        path = Path(output)
        if path.exists() and not path.is_file():
            raise CommandRefused(f"{output} is there and is no file")
        with queue_files.whole_file(path) as file:
            count = trio.run(_export, config, selection, form, with_text, file)
    click.echo(f"{count} messages in {output}", err=True)


def _note_export(tx: Transaction, selection: Selection, options: dict[str, Any]) -> None:
    tallies = operations.tally(tx, selection)
    count = sum(tally.count for tally in tallies)
    detail = msgspec.json.encode({"state": "pending", **said(options), "count": count}).decode()
    append(tx, [AuditEntry(now_us(), operator_name(), "exported with text", "message", f"{count} messages", detail)])


async def _export(config: Config, selection: Selection, form: str, with_text: bool, file: BinaryIO) -> int:
    """Write what is selected. Returns: how many. Raises: StoreError, OSError."""
    file.write(queue_files.head_of(form, with_text=with_text))
    count, after_id = 0, 0
    async with opened(config) as store:
        last_id = max((t.last_id for t in await store.read(lambda tx: operations.tally(tx, selection))), default=0)
        selection = msgspec.structs.replace(selection, to_id=last_id)
        while last_id:
            page = await store.read(
                lambda tx, after_id=after_id: operations.written(  # type: ignore[misc]
                    tx, selection, after_id=after_id, limit=EXPORT_PAGE
                )
            )
            if not page:
                break
            await trio.to_thread.run_sync(file.write, queue_files.lines_of(form, page, with_text=with_text))
            count, after_id = count + len(page), page[-1][0].id
    file.flush()
    return count
