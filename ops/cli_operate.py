"""``smshub thread …``: the conversations that an operator looks at and ends, beside a running daemon."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from hub.history import texts
from ops.cli_provision import (
    CommandRefused,
    config_options,
    in_store,
    operator_name,
    refusals_told,
    say_json,
    say_table,
)
from ops.config import Config
from store import IdClock, Transaction
from store.audit import AuditEntry, append
from threading_tokens import Thread, redacted, registry

CLI_NODE = 1023
_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def _at(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(us / 1_000_000)) if us else ""


def _now_us() -> int:
    return time.time_ns() // 1000


# --- thread ----------------------------------------------------------------------------------------------------------


@click.group()
def thread() -> None:
    """Conversations. Tokens are shown by their first characters only."""


@thread.command("list")
@click.option("--call-centre", default=None, help="Only this call centre's.")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones too.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--before", type=int, default=0, help="The page before this id.")
@_json_option
@config_options
def thread_list(
    config: Config, call_centre: str | None, closed_too: bool, limit: int, before: int, as_json: bool
) -> None:
    """List threads, the newest first."""

    def work(tx: Transaction) -> list[Thread]:
        return registry.list_threads(tx, call_centre, open_only=not closed_too, limit=limit, before=before)

    with refusals_told():
        found = in_store(config, work, reads=True)
    if as_json:
        say_json([_shown(t) for t in found])
        return
    _show_rows(
        ["id", "call centre", "number", "customer", "token", "csr", "channel", "product", "last", "closed"],
        [
            [
                str(t.id),
                t.call_centre,
                t.number,
                t.customer,
                redacted(t.token),
                t.desk_label or t.designation_value,
                t.channel,
                t.product,
                _at(t.last_us),
                t.close_reason,
            ]
            for t in found
        ],
    )


@thread.command("show")
@click.argument("thread_id", type=int)
@_json_option
@config_options
def thread_show(config: Config, thread_id: int, as_json: bool) -> None:
    """Show a thread and what happened in it. Texts are counted, not shown."""

    def work(tx: Transaction) -> dict[str, Any] | None:
        found = registry.thread_by_id(tx, thread_id)
        if found is None:
            return None
        past = registry.history(tx, found.call_centre, customer=found.customer, number=found.number, limit=1000)
        written = texts(tx, found.call_centre, thread_id=thread_id, limit=100_000)
        events = [event for event in past.events if event.thread_id == thread_id]
        return {
            **_shown(found),
            "texts_in": sum(text.inbound for text in written),
            "texts_out": sum(not text.inbound for text in written),
            "transliterated": sum(text.note == "transliterated" for text in written),
            "events": [
                {"at": _at(e.at_us), "kind": e.kind, "by": e.by, "csr": e.designation_value, "detail": e.detail}
                for e in reversed(events)
            ],
        }

    with refusals_told():
        found = in_store(config, work, reads=True)
    if found is None:
        raise CommandRefused(f"there is no thread {thread_id}")
    if as_json:
        say_json(found)
        return
    events = found.pop("events")
    for name, value in found.items():
        click.echo(f"{name:14} {_at(value) if name.endswith('_us') else value}".rstrip())
    for event in events:
        click.echo("  " + "  ".join(str(cell) for cell in event.values() if cell))


@thread.command("release")
@click.argument("thread_id", type=int)
@click.option("--reason", default="released by operator", show_default=True)
@config_options
def thread_release(config: Config, thread_id: int, reason: str) -> None:
    """End a thread: its token names nothing any more, the next text opens a new one."""
    clock = IdClock(CLI_NODE)

    def work(tx: Transaction) -> bool:
        found = registry.thread_by_id(tx, thread_id)
        if found is None or not found.is_open:
            return False
        registry.release(
            tx,
            found.call_centre,
            found.token,
            by=operator_name(),
            reason=reason,
            now_us=_now_us(),
            new_id=lambda: clock.next(_now_us()),
        )
        detail = msgspec.json.encode({"reason": reason}).decode()
        append(tx, [AuditEntry(_now_us(), operator_name(), "released", "thread", str(thread_id), detail)])
        return True

    with refusals_told():
        done = in_store(config, work)
    if not done:
        raise CommandRefused(f"there is no open thread {thread_id}")
    click.echo(f"thread {thread_id} released")


def _shown(found: Thread) -> dict[str, Any]:
    return {**msgspec.structs.asdict(found), "token": redacted(found.token)}


def _show_rows(head: list[str], rows: list[list[str]]) -> None:
    if rows:
        say_table([head, *rows])
    else:
        click.echo("none")
