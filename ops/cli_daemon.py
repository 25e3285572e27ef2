"""``smshub run``, ``check``, ``demo`` and ``db …``: the daemon, its file and its store."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click
import trio

from ops import logs, schema
from ops.cli_loa import letter_notes
from ops.cli_provision import CommandRefused, config_options, refusals_told
from ops.config import Config, ConfigErrors, file_problems
from ops.daemon import run_daemon
from ops.demo import run_demo, run_stage
from ops.processes import MOST, check_processes, end_with, run_processes
from ops.rehearsal import rehearse
from store.migrations import current_revision, head_revision


@click.command()
@click.option("--demo", is_flag=True, help="With a simulated carrier and desk, on a store in var/demo; needs no file.")
@click.option(
    "--processes",
    "several",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="N processes behind one port, on one PostgreSQL. Number I of them, from 0, is node node.id + I; its metrics "
    "and control interface are at their ports + I.",
)
@click.option(
    "--ports-apart",
    is_flag=True,
    help="With --processes: each has its own ports for accounts too, smpp.port + I and smpp.tls_port + I, for a "
    "balancer in front.",
)
@click.option("--hold-on-to", type=int, hidden=True, help="Descriptor of a pipe: end when its other end closes.")
@config_options
def run(config: Config, demo: bool, several: int | None, ports_apart: bool, hold_on_to: int | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    if demo:
        if several is not None:
            raise CommandRefused("--processes: the demonstration is one process")
        sys.exit(trio.run(run_stage, Path("var/demo"), click.echo))
    if ports_apart and several is None:
        raise CommandRefused("--ports-apart: say how many by --processes N; one daemon has one port")
    is_node = config.cluster.enabled and several is None
    logs.configure(config.log.level, config.log.format, node=config.node.id if is_node else None)
    status = 0
    with refusals_told():
        if several is not None:
            check_processes(config, several, apart=ports_apart)
        if hold_on_to is not None:
            end_with(hold_on_to)
        try:
            if several is None:
                trio.run(run_daemon, config)
            else:
                status = trio.run(partial(run_processes, config, several, apart=ports_apart))
        except* OSError as group:
            raise CommandRefused(_plainly(group)) from None
    sys.exit(status)


@click.command()
@config_options
def check(config: Config) -> None:
    """Check the configuration file, what it names, and what the catalog would say to it; change nothing."""
    problems = file_problems(config, os.environ)
    if problems:
        raise CommandRefused(str(ConfigErrors(config.path, problems)))
    with refusals_told():
        url = config.store_url(os.environ)
        has, needs = current_revision(url), head_revision(schema.MIGRATIONS)
    state = "empty: the daemon will set it up" if has is None else f"schema {has}"
    if has not in (None, needs):
        raise CommandRefused(str(schema.SchemaMismatch(str(has), str(needs))))
    if config.entries:
        with refusals_told():
            trio.run(partial(rehearse, config, url, is_ready=has is not None))
    for note in letter_notes(config, is_ready=has is not None):
        click.echo(f"note: {note}", err=True)
    click.echo(f"{config.path or 'defaults'}: no errors; {len(config.entries)} entries; store {state}")


@click.command()
@click.option("--quiet", is_flag=True, help="Only the verdict.")
def demo(quiet: bool) -> None:
    """Show one conversation end to end, then end: status 0 only when every step was seen."""
    sys.exit(trio.run(run_demo, Path("var/demo"), (lambda line: None) if quiet else click.echo, click.echo))


@click.group()
def db() -> None:
    """The store's schema."""


@db.command("upgrade")
@config_options
def db_upgrade(config: Config) -> None:
    """Bring the store to this program's schema. Stop the daemon and back up before."""
    with refusals_told():
        before, after = schema.upgrade(config.store_url(os.environ))
    click.echo(f"schema {before or 'none'} -> {after}")


@db.command("show")
@config_options
def db_show(config: Config) -> None:
    """Show the store's schema and the one this program needs."""
    with refusals_told():
        has = current_revision(config.store_url(os.environ))
    click.echo(f"store: {has or 'empty'}\nprogram: {head_revision(schema.MIGRATIONS)}")


def _plainly(group: BaseExceptionGroup[OSError]) -> str:
    """The errors of a group in words."""
    lines: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            lines.append(_plainly(error))
        else:
            lines.append(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    return "\n".join(dict.fromkeys(lines))
