"""``smshub provision publish``, ``withdraw`` and ``status``: numbers in directories of carriers and the industry (H5).

The commands write wishes; a running daemon carries them out. ``--wait`` follows it until every number has come as far
as it can, ``--now`` does the daemon's work in the command itself: the same code, for machines where no daemon runs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import msgspec
import trio

from ops import logs, schema
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
from provisioning import BadValue, Directory, load_directory, publication, revision
from provisioning.coverage import Span, spans_of
from provisioning.e164 import e164_of
from provisioning.publication import PAGE_ROWS, Published, StatusRow
from provisioning.publisher import POLL_S, Publisher
from provisioning.publishing_rules import Publication, State
from provisioning.syntax import read_range
from store import Store, StoreError, Transaction, open_store

UNFINISHED = 1  # exit status when not all numbers came to where they should
LOOK_S = 0.5  # between two looks at how far it is
LINE_SHARE = 20  # without a terminal, a line each time that a twentieth more is done
STALLED_S = 15.0

UNDER_WAY = {
    "publish": (State.WANTED, State.SUBMITTING, State.SUBMITTED),
    "withdraw": (State.UNWANTED, State.WITHDRAWING, State.LEAVING),
}
ARRIVED = {"publish": State.ACTIVE, "withdraw": State.WITHDRAWN}
STOPPED = {"publish": (State.REFUSED, State.CONFLICT, State.HELD), "withdraw": ()}


class Wish(msgspec.Struct, frozen=True):
    """What a command asks for.

    Attributes:
        action: ``"publish"`` or ``"withdraw"``.
        call_centre: whose numbers.
        directories: names; all when empty.
        spans: which numbers; all of the call centre when None.
        forget: with ``"withdraw"``: tell no directory.
    """

    action: str
    call_centre: str
    directories: tuple[str, ...]
    spans: list[Span] | None
    forget: bool = False


def _now_us() -> int:
    return time.time_ns() // 1000


def _read_spans(words: str | None) -> list[Span] | None:
    """Numbers and ranges, separated by commas; None when the option is not given.

    Raises: CommandRefused: also for an option without a number, which comes of a script's empty variable. Taken for
        "all", it would withdraw them all.
    """
    if words is None:
        return None
    parts = [part.strip() for part in words.split(",") if part.strip()]
    if not parts:
        raise CommandRefused("the list of numbers is empty: name one number at least, or leave the option out for all")
    try:
        return spans_of([read_range(part, "numbers") for part in parts])
    except BadValue as error:
        raise CommandRefused(str(error)) from None


_centre_option = click.option("--call-centre", "call_centre", required=True, help="Whose numbers.")
_directory_option = click.option(
    "--directory", "directories", multiple=True, metavar="NAME", help="A directory; again for more. All when not given."
)
_numbers_option = click.option(
    "--numbers",
    "words",
    default=None,
    metavar="A,B-C,…",
    help="Numbers and ranges, E.164, separated by commas. All of the call centre's when not given.",
)
_wait_option = click.option("--wait", is_flag=True, help="Follow the daemon until all is decided; status 1 if not all.")
_now_option = click.option("--now", is_flag=True, help="Do the daemon's work in this command, where no daemon runs.")


@click.command("publish")
@_centre_option
@_directory_option
@_numbers_option
@_wait_option
@_now_option
@config_options
def publish_command(
    config: Config, call_centre: str, directories: tuple[str, ...], words: str | None, wait: bool, now: bool
) -> None:
    """Have numbers published in directories. Idempotent; what was refused before is tried again.

    Refused whole when no valid, signed letter of authorization covers a number.
    """
    wish = Wish("publish", call_centre, directories, _read_spans(words))
    _carry(config, wish, wait=wait, now=now)


@click.command("withdraw")
@_centre_option
@_directory_option
@_numbers_option
@_wait_option
@_now_option
@click.option("--forget", is_flag=True, help="Tell no directory: for one that is no more.")
@config_options
def withdraw_command(
    config: Config,
    call_centre: str,
    directories: tuple[str, ...],
    words: str | None,
    wait: bool,
    now: bool,
    forget: bool,
) -> None:
    """Have numbers taken out of directories. Idempotent."""
    wish = Wish("withdraw", call_centre, directories, _read_spans(words), forget)
    _carry(config, wish, wait=wait, now=now)


def _carry(config: Config, wish: Wish, *, wait: bool, now: bool) -> None:
    with refusals_told():
        if now:
            logs.configure("error", config.log.format)  # what directories answer is in the status
        try:
            left = trio.run(partial(_run, config, wish, wait=wait, now=now))
        except* KeyboardInterrupt:
            raise CommandRefused("interrupted: the wish stands, and goes on from here") from None
    if left:
        sys.exit(UNFINISHED)


async def _run(config: Config, wish: Wish, *, wait: bool, now: bool) -> bool:
    """Write a wish, and see to it. Returns: whether some numbers did not come to where they should."""
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    async with open_store(url, CLI_NODE, config.store.synchronous, readers=2) as store:
        done = await write_wish(store, wish, who=operator_name())
        said = "to be published" if wish.action == "publish" else "forgotten" if wish.forget else "to be withdrawn"
        click.echo(f"{done.numbers:,} numbers: {done.changed:,} {said}, {done.unchanged:,} as they were")
        if not wait and not now:
            return False
        async with trio.open_nursery() as nursery:
            if now:
                await nursery.start(_publish_here, store)
            rows = await follow(store, wish, is_here=now)
            nursery.cancel_scope.cancel()
        return _say_end(wish, rows)


async def write_wish(store: Store, wish: Wish, who: str) -> Published:
    """Write a wish in pages, so that others who write need not wait. What was written stays when it is interrupted.

    Raises: ProvisioningError, StoreError.
    """
    function = publication.publish if wish.action == "publish" else publication.withdraw
    more: dict[str, Any] = {"forget": True} if wish.forget else {}
    after: int | None = None
    total = Published(0, 0, 0)
    while True:
        work = partial(
            function,
            directories=wish.directories,
            spans=wish.spans,
            call_centre=wish.call_centre,
            who=who,
            now_us=_now_us(),
            after=after,
            limit=PAGE_ROWS,
            goes_on=after is not None,
            **more,
        )
        page = await store.transact(work, rows=PAGE_ROWS)
        total = Published(total.numbers + page.numbers, total.changed + page.changed, total.unchanged + page.unchanged)
        after = page.after
        if after is None:
            return total


async def _publish_here(store: Store, task_status: trio.TaskStatus[None]) -> None:
    """Be the publisher that a daemon has."""
    snapshot = await store.read(load_directory)

    def latest() -> Directory:
        return snapshot

    publisher = Publisher(store, latest, os.environ, _now_us)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        task_status.started()
        while True:
            await trio.sleep(POLL_S)
            if await store.read(revision) != snapshot.revision:
                snapshot = await store.read(load_directory)


async def follow(store: Store, wish: Wish, *, is_here: bool) -> list[StatusRow]:
    """Show how far a wish is, until nothing of it is under way any more.

    Args:
        store: where it is.
        wish: which.
        is_here: whether this command does the work.

    Returns: how it stands then.
    """
    under_way = {state.word for state in UNDER_WAY[wish.action]}
    look = partial(
        publication.status, call_centre=wish.call_centre, directories=wish.directories, spans=wish.spans or ()
    )
    rows = await store.read(look)
    states = [*UNDER_WAY[wish.action], ARRIVED[wish.action], *STOPPED[wish.action]]
    total = _count(rows, states)
    with _shown(wish, total) as tell:
        moved_at, before, is_told = trio.current_time(), rows, False
        while any(row.state in under_way for row in rows):
            tell(_count(rows, [ARRIVED[wish.action]]), total)
            await trio.sleep(LOOK_S)
            rows = await store.read(look)
            total = _count(rows, states)
            if _counts(rows) != _counts(before):
                moved_at, before = trio.current_time(), rows
            elif trio.current_time() > moved_at + STALLED_S and not is_told:
                is_told = True
                click.echo(_why_stalled(rows, under_way, is_here=is_here), err=True)
        tell(_count(rows, [ARRIVED[wish.action]]), total)
    return rows


def _count(rows: Sequence[StatusRow], states: Sequence[State]) -> int:
    words = {state.word for state in states}
    return sum([row.count for row in rows if row.state in words])


def _counts(rows: Sequence[StatusRow]) -> list[tuple[str, str, int]]:
    return [(row.directory, row.state, row.count) for row in rows]


def _why_stalled(rows: Sequence[StatusRow], under_way: set[str], *, is_here: bool) -> str:
    reasons = {row.directory: row.reason for row in rows if row.state in under_way and row.reason}
    told = "; ".join(f"{directory}: {reason}" for directory, reason in sorted(reasons.items()))
    if told:
        return f"nothing has moved for {STALLED_S:g} s: {told}"
    hint = "" if is_here else ": does the daemon run? (`smshub run`, or use --now)"
    return f"nothing has moved for {STALLED_S:g} s{hint}"


@contextmanager
def _shown(wish: Wish, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, lines elsewhere."""
    word = ARRIVED[wish.action].word
    if sys.stderr.isatty():
        with click.progressbar(length=max(total, 1), label=word, file=sys.stderr, show_pos=True) as bar:

            def tell_bar(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos)

            yield tell_bar
        return
    said = -1

    def tell_line(done: int, total: int) -> None:
        nonlocal said
        if said < 0 or done == total != said or done - said >= max(total // LINE_SHARE, 1):
            said = done
            click.echo(f"{done:,} of {total:,} {word}")

    yield tell_line


def _say_end(wish: Wish, rows: Sequence[StatusRow]) -> bool:
    stopped = {state.word for state in STOPPED[wish.action]}
    left = [row for row in rows if row.state in stopped]
    for row in left:
        click.echo(f"{row.directory}: {row.count:,} {row.state}: {row.reason or 'no reason given'}", err=True)
    return bool(left)


@click.command("status")
@click.option("--call-centre", "call_centre", default="", help="Only of this call centre.")
@_directory_option
@click.option("--numbers", "words", default=None, metavar="A,B-C,…", help="One line for each of these numbers.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.word for state in State]),
    help="One line for each number in this state; again for more.",
)
@click.option("--after", default=None, metavar="NUMBER", help="With --numbers or --state: the page after this number.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="At most so many.")
@click.option("--watch", is_flag=True, help="Again each second, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_options
def status_command(config: Config, watch: bool, as_json: bool, **asked: Any) -> None:
    """Show how numbers stand in directories: counts by state, or one line for each number."""
    work = _listing_of(**asked)
    if not watch:
        with refusals_told():
            _say(in_store(config, work, reads=True), as_json=as_json)
        return
    with refusals_told():
        trio.run(_watch, config, work, as_json)


def _listing_of(
    call_centre: str,
    directories: tuple[str, ...],
    words: str | None,
    states: tuple[str, ...],
    after: str | None,
    limit: int,
) -> Callable[[Transaction], list[StatusRow] | list[Publication]]:
    spans = _read_spans(words)
    if spans is None and not states:
        return partial(publication.status, call_centre=call_centre, directories=directories)
    cursor = _read_spans(after)
    return partial(
        publication.numbers,
        call_centre=call_centre,
        directories=directories,
        spans=spans or (),
        states=[state for state in State if state.word in states],
        after=cursor[0][0] if cursor else None,
        limit=limit,
    )


async def _watch(
    config: Config, work: Callable[[Transaction], list[StatusRow] | list[Publication]], as_json: bool
) -> None:
    """Show it again and again, until SIGINT or SIGTERM."""
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store, trio.open_nursery() as nursery:
        nursery.start_soon(_stop_at_signal, nursery.cancel_scope)
        before: list[Any] | None = None
        while True:
            try:
                rows = await store.read(work)
            except StoreError as error:
                click.echo(f"the store could not be read: {error}", err=True)
                rows = before or []
            if sys.stdout.isatty():
                click.clear()
                _say(rows, as_json=as_json)
            elif rows != before:
                _say(rows, as_json=as_json)
                sys.stdout.flush()
            before = rows
            await trio.sleep(1.0)


async def _stop_at_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _say(rows: list[StatusRow] | list[Publication], *, as_json: bool) -> None:
    if as_json:
        say_json([_told(row) if isinstance(row, Publication) else row for row in rows])
        return
    if not rows:
        click.echo("none")
        return
    if isinstance(rows[0], Publication):
        head = ["number", "directory", "call_centre", "state", "since", "next", "attempts", "reason"]
        lines = [[str(value) for value in _told(row).values()] for row in rows if isinstance(row, Publication)]
    else:
        head = ["directory", "call_centre", "state", "numbers", "since", "next", "reason"]
        lines = [_line(row) for row in rows if isinstance(row, StatusRow)]
    say_table([head, *lines])


def _line(row: StatusRow) -> list[str]:
    reason = f"{row.uncovered:,}: {row.reason}" if row.uncovered else row.reason
    times = _time(row.oldest_since_us), _time(row.next_us)
    return [row.directory, row.call_centre, row.state, f"{row.count:,}", *times, reason]


def _told(row: Publication) -> dict[str, Any]:
    return {
        "number": e164_of(row.digits),
        "directory": row.directory,
        "call_centre": row.call_centre,
        "state": State(row.state).word,
        "since": _time(row.since_us),
        "next": _time(row.next_us),
        "attempts": row.attempts,
        "reason": row.reason,
    }


def _time(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us / 1e6)) if at_us else ""


publishing_commands = (publish_command, withdraw_command, status_command)
"""What ``smshub provision`` has of it."""
