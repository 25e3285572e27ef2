"""``smshub audit …``: who changed what and when, and whether the record of it is whole (H37)."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from ops.cli_provision import CommandRefused, config_options, in_store, refusals_told, say_json
from ops.config import Config
from store import audit as records
from store.audit import Head, Verdict

_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A day or a time of UTC, as ISO 8601 writes it; microseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See ``click.ParamType``."""
        if isinstance(value, int):
            return value
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-11-22 or 2026-11-22T07:00:00Z", param, ctx)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return round(at.timestamp() * 1e6)


@click.group()
def audit() -> None:
    """Who changed what and when: append-only, chained by hashes."""


@audit.command("list")
@click.option("--kind", default="", help="Only of this kind, for example number, opt-out, message.")
@click.option("--key", default="", help="Only of this entry, for example +18005550100.")
@click.option("--who", default="", help="Only what this one did, for example cli:ann.")
@click.option("--since", type=Moment(), default=0, help="Only then or later: a day or a time, UTC.")
@click.option("--until", type=Moment(), default=0, help="Only before then: a day or a time, UTC.")
@click.option("--before", type=click.IntRange(1), default=None, help="The page before this id.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="At most so many.")
@_json_option
@config_options
def audit_list(
    config: Config,
    kind: str,
    key: str,
    who: str,
    since: int,
    until: int,
    before: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List changes, the newest first."""
    with refusals_told():
        rows = in_store(
            config,
            lambda tx: records.read(tx, limit, before, kind=kind, key=key, who=who, since_us=since, until_us=until),
            reads=True,
        )
    if as_json:
        say_json(rows)
        return
    for row in rows:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.at_us / 1_000_000))
        click.echo(f"{row.id}  {at}  {row.who}  {row.action}  {row.kind} {row.key}  {row.detail}".rstrip())


@audit.command("head")
@config_options
def audit_head(config: Config) -> None:
    """Print the end of the chain, to keep where nobody who can write to the store can: see ``verify --head``."""
    with refusals_told():
        click.echo(in_store(config, records.head, reads=True))


@audit.command("verify")
@click.option("--head", "kept", default="", metavar="ID:HASH", help="A head of earlier, which must be in the chain.")
@_json_option
@config_options
def audit_verify(config: Config, kept: str, as_json: bool) -> None:
    """Look through the chain: status 0 when it is whole, 1 with the first broken row when it is not."""
    known: Head | None = None
    if kept:
        try:
            known = records.head_of(kept)
        except ValueError as error:
            raise CommandRefused(str(error)) from None
    with refusals_told():
        verdict: Verdict = in_store(config, lambda tx: records.verify(tx, known), reads=True)
    if as_json:
        say_json({"whole": verdict.is_whole, **msgspec.structs.asdict(verdict), "head": str(verdict.head)})
    else:
        click.echo(f"{verdict.rows} rows are whole, {verdict.redacted} of them redacted; head {verdict.head}")
        if known is not None and verdict.is_whole:
            click.echo(f"the head {known.id} that was kept is part of the chain")
        if not verdict.is_whole:
            click.echo(f"smshub: broken at row {verdict.broken_id}: {verdict.fault}", err=True)
    sys.exit(0 if verdict.is_whole else 1)
