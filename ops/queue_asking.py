"""``smshub queue retry`` and ``drop``: what is meant is looked at, confirmed, asked for, and waited for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec
import trio

from hub import operations
from hub.operations import MOVABLE, Selection, Tally
from ops.cli_provision import CommandRefused, in_store, operator_name, progress, refusals_told, say_json
from ops.config import Config
from ops.queue_requests import Left, Wish, leave, opened, wait_carried_out, whereabouts
from ops.queue_selection import STATES, at, now_us, said, selection_of, shown
from provisioning import Directory, load_directory
from store import Store, Transaction

ALLOWED: Final = {"retry": ("dead",), "drop": ("dead", "pending", "queued", "submitting")}
"""What each takes, as words of ``STATES``."""

KINDS_TOLD: Final = 5  # lines of what a selection comes to
MAX_IDS: Final = 10_000  # a command line has its bounds as well
NOBODY: Final = 1  # exit status when the daemon did not do it in time


class Asking:
    """A ``retry`` or ``drop``: what is meant is looked at, asked for, and waited for.

    Args:
        verb: which.
        config, message_ids, everything, limit, yes, wait, wait_s, as_json, via: as the command has them.
        options: those of ``selecting``.
    """

    def __init__(
        self,
        verb: str,
        config: Config,
        message_ids: tuple[int, ...],
        everything: bool,
        limit: int | None,
        yes: bool,
        wait: bool,
        wait_s: float,
        as_json: bool,
        via: str,
        **options: Any,
    ) -> None:
        if bool(message_ids) == (everything or any(options.values())):
            raise CommandRefused("name messages by id, or by --endpoint, --reason and the like, or say --all")
        if len(message_ids) > MAX_IDS:
            raise CommandRefused(f"{len(message_ids)} ids: name at most {MAX_IDS} at once")
        if via and not via.startswith(MOVABLE):
            raise CommandRefused(f"--via {via}: name a link or a group, for example link:other")
        self._verb, self._config, self._via = verb, config, via
        self._ids, self._limit = tuple(sorted(set(message_ids))), limit or 0
        self._asks = not (message_ids or yes)
        self._patience_s = wait_s if wait else 0.0
        self._as_json = as_json
        self._allowed = ALLOWED[verb]
        self._detail = {} if message_ids else said(options)
        if message_ids:
            states = tuple({state for word in self._allowed for state in STATES[word]})
            self._selection = Selection(states=states, ids=self._ids, movable=bool(via))
        else:
            self._selection = msgspec.structs.replace(selection_of("dead", options), movable=bool(via))

    def run(self) -> None:
        """Do it. Raises: CommandRefused."""
        with refusals_told():
            tallies, troubles = in_store(self._config, self._look, reads=True)
            if troubles:
                raise CommandRefused("\n".join(troubles))
            total = sum(tally.count for tally in tallies)
            if self._asks and total:
                self._confirm(tallies, min(total, self._limit or total))
            left, tallies = trio.run(self._carry_on, tallies, min(total, self._limit or total))
        self._report(left, tallies)

    def _look(self, tx: Transaction) -> tuple[list[Tally], list[str]]:
        """What is meant comes to, and why it cannot be done."""
        troubles: list[str] = []
        directory = load_directory(tx)
        if self._via and self._via not in directory.endpoints:
            troubles.append(f"--via {self._via}: no such link or group is provisioned")
        for message_id in self._ids:
            troubles += self._wrong_with(tx, message_id)
        tallies = operations.tally(tx, self._selection)
        if self._verb == "retry" and not self._via:
            for name in sorted({tally.endpoint for tally in tallies} - _endpoints_of(directory)):
                click.echo(f"smshub: {name} is not provisioned: its dead letters stay; --via names another", err=True)
        return tallies, troubles

    def _wrong_with(self, tx: Transaction, message_id: int) -> list[str]:
        found = operations.show(tx, message_id)
        if found is None:
            return [f"there is no message {message_id}"]
        allowed = sorted({state.name.lower() for word in self._allowed for state in STATES[word]})
        if found.state not in allowed:
            return [f"message {message_id} is {found.state}; {self._verb} takes only what is {', '.join(allowed)}"]
        if self._via and (
            found.kind != "text" or found.next_part or found.in_doubt or not found.endpoint.startswith(MOVABLE)
        ):
            return [f"message {message_id} cannot go by {self._via}: some of it may have left, or no link had it"]
        return []

    def _confirm(self, tallies: Sequence[Tally], count: int) -> None:
        click.echo(f"{self._verb} {count} messages:", err=True)
        for tally in tallies[:KINDS_TOLD]:
            since = at(tally.oldest_us)
            words = f"  {tally.count:>8}  {tally.endpoint}  {tally.state}  {tally.reason}  since {since}"
            click.echo(shown(words), err=True)
        if len(tallies) > KINDS_TOLD:
            click.echo(f"  and {len(tallies) - KINDS_TOLD} other kinds: see `smshub queue count --reasons`", err=True)
        try:
            meant = click.confirm("Is that meant?", err=True)
        except click.Abort:
            raise CommandRefused("nothing was asked for; --yes says that it is meant") from None
        if not meant:
            raise CommandRefused("nothing was asked for")

    async def _carry_on(self, tallies: Sequence[Tally], total: int) -> tuple[Left, list[Tally]]:
        """Leave the requests, and wait if that is wanted."""
        # What dies while we count was not looked at.
        last_id = max((tally.last_id for tally in tallies), default=0)
        selection = msgspec.structs.replace(self._selection, to_id=last_id)
        wish = Wish(self._verb, selection, operator_name(), self._via, self._limit, self._detail)
        async with opened(self._config) as store:
            left = Left()
            if total:
                with progress(total, "asked for") as tell:
                    left = await leave(store, wish, now_us, tell)
            if self._patience_s and left.ids:
                return left, await self._wait(store, left)
            return left, []

    async def _wait(self, store: Store, left: Left) -> list[Tally]:
        with progress(len(left.ids), "carried out") as tell:
            await wait_carried_out(store, left, self._patience_s, tell)
        return await whereabouts(store, left.ids)

    def _report(self, left: Left, tallies: Sequence[Tally]) -> None:
        late = left.outstanding > 0
        if self._as_json:
            now = [{name: getattr(t, name) for name in ("endpoint", "state", "reason", "count")} for t in tallies]
            waited: dict[str, Any] = {"carried_out": len(left.ids) - left.outstanding, "now": now}
            say_json({"asked": len(left.ids), "already": left.already, **(waited if self._patience_s else {})})
        else:
            self._report_in_words(left, tallies)
        if late:
            click.echo(
                f"smshub: {left.outstanding} not carried out within {self._patience_s:g} s: is a daemon running on "
                "this store? They wait for it",
                err=True,
            )
            sys.exit(NOBODY)

    def _report_in_words(self, left: Left, tallies: Sequence[Tally]) -> None:
        if left.already:
            click.echo(f"{left.already} left out: something was asked of them already, see `smshub queue requests`")
        if not self._patience_s or not left.ids:
            later = "; the daemon does it within a second, or when it starts" if left.ids else ""
            click.echo(f"{len(left.ids)} asked for{later}")
            return
        click.echo(f"{len(left.ids) - left.outstanding} of {len(left.ids)} carried out; now:")
        for tally in tallies[:KINDS_TOLD]:
            click.echo(shown(f"  {tally.count:>8}  {tally.endpoint}  {tally.state}  {tally.reason}").rstrip())


def _endpoints_of(directory: Directory) -> set[str]:
    """The names of all endpoints that a daemon has."""
    tables = {
        "link": directory.links,
        "group": directory.groups,
        "account": directory.accounts,
        "desk": directory.desks,
    }
    return {f"{kind}:{name}" for kind, table in tables.items() for name in table}
