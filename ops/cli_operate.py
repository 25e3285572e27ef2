"""``smshub queue …`` and ``smshub thread …``: what an operator looks at and moves, beside a running daemon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from hub import State, operations
from hub.history import texts
from hub.operations import Listed, Request
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
IDS_IN_AUDIT = 500  # that one row of the audit names
_STATES = {"pending": operations.PENDING, **{state.name.lower(): (state,) for state in State}}
_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def _at(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(us / 1_000_000)) if us else ""


def _now_us() -> int:
    return time.time_ns() // 1000


# --- queue -----------------------------------------------------------------------------------------------------------


@click.group()
def queue() -> None:
    """Messages that wait, and dead letters. No command shows a text."""


@queue.command("list")
@click.option("--state", type=click.Choice(sorted(_STATES)), default="pending", show_default=True)
@click.option("--endpoint", default="", help="Only this endpoint's, for example link:acme.")
@click.option("--call-centre", default="", help="Only this call centre's.")
@click.option("--after", "after_id", type=int, default=0, help="The page after this id.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@_json_option
@config_options
def queue_list(
    config: Config, state: str, endpoint: str, call_centre: str, after_id: int, limit: int, as_json: bool
) -> None:
    """List messages in a state, the oldest first."""

    def work(tx: Transaction) -> list[Listed]:
        return operations.listing(
            tx, states=_STATES[state], endpoint=endpoint, call_centre=call_centre, after_id=after_id, limit=limit
        )

    with refusals_told():
        found = in_store(config, work, reads=True)
    if as_json:
        say_json(found)
        return
    _show_rows(
        ["id", "state", "endpoint", "from", "to", "received", "next try", "tries", "reason"],
        [
            [
                str(m.id),
                m.state,
                m.endpoint,
                m.source,
                m.destination,
                _at(m.received_us),
                _at(m.next_us),
                str(m.attempts),
                m.reason,
            ]
            for m in found
        ],
    )


@queue.command("count")
@_json_option
@config_options
def queue_count(config: Config, as_json: bool) -> None:
    """Count messages by endpoint and state."""
    with refusals_told():
        counts = in_store(config, operations.counts, reads=True)
    rows = [[endpoint, state, count] for (endpoint, state), count in sorted(counts.items())]
    if as_json:
        say_json([{"endpoint": e, "state": s, "count": c} for e, s, c in rows])
        return
    _show_rows(["endpoint", "state", "count"], [[str(cell) for cell in row] for row in rows])


@queue.command("show")
@click.argument("message_id", type=int)
@config_options
def queue_show(config: Config, message_id: int) -> None:
    """Show where a message stands."""
    with refusals_told():
        found = in_store(config, lambda tx: operations.show(tx, message_id), reads=True)
    if found is None:
        raise CommandRefused(f"there is no message {message_id}")
    for name, value in msgspec.structs.asdict(found).items():
        click.echo(f"{name:13} {_at(value) if name.endswith('_us') else value}".rstrip())


@queue.command("retry")
@click.argument("message_ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--endpoint", default="", help="With --all: only this endpoint's.")
@config_options
def queue_retry(config: Config, message_ids: tuple[int, ...], everything: bool, endpoint: str) -> None:
    """Queue dead letters again, with new attempts and a new validity."""
    _ask(config, "retry", message_ids, everything, endpoint, (State.DEAD,))


@queue.command("drop")
@click.argument("message_ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--endpoint", default="", help="With --all: only this endpoint's.")
@config_options
def queue_drop(config: Config, message_ids: tuple[int, ...], everything: bool, endpoint: str) -> None:
    """Give messages up: waiting ones (their senders are told) and dead letters."""
    _ask(config, "drop", message_ids, everything, endpoint, (State.DEAD, *operations.PENDING))


def _ask(
    config: Config, verb: str, ids: Sequence[int], everything: bool, endpoint: str, states: Sequence[State]
) -> None:
    """Leave requests for the daemon. Only what can be done is asked for."""
    if bool(ids) == everything:
        raise CommandRefused("name messages by id, or say --all")
    words = {state.name.lower() for state in states}
    clock, who = IdClock(CLI_NODE), operator_name()

    def work(tx: Transaction) -> tuple[int, list[str]]:
        wrong: list[str] = []
        wanted = list(ids)
        if everything:
            dead = operations.listing(tx, states=(State.DEAD,), endpoint=endpoint, limit=100_000)
            wanted = [m.id for m in dead]
        for message_id in ids:
            found = operations.show(tx, message_id)
            if found is None:
                wrong.append(f"there is no message {message_id}")
            elif found.state not in words:
                allowed = ", ".join(sorted(words))
                wrong.append(f"message {message_id} is {found.state}; {verb} takes only what is {allowed}")
        if not wrong:
            for message_id in wanted:
                operations.ask(tx, Request(clock.next(_now_us()), verb, message_id, who, _now_us()))
            if wanted:
                append(tx, [_asked(verb, wanted, who)])
        return len(wanted), wrong

    with refusals_told():
        count, wrong = in_store(config, work)
    if wrong:
        raise CommandRefused("\n".join(wrong))
    click.echo(f"{count} asked for; the daemon does it within a second, or when it starts")


def _asked(verb: str, ids: Sequence[int], who: str) -> AuditEntry:
    """One row of the audit for all that a command asks for."""
    key = str(ids[0]) if len(ids) == 1 else f"{len(ids)} messages"
    detail = {"ids": ids[:IDS_IN_AUDIT]} if len(ids) > 1 else {}
    words = msgspec.json.encode(detail).decode() if detail else ""
    return AuditEntry(_now_us(), who, f"asked to {verb}", "message", key, words)


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
