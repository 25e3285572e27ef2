"""``smshub charging …``: files of charging records, listed and read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from hub import feed
from ops.charging import Record, files
from ops.charging.ber import Unreadable, decode
from ops.charging.csv_twin import shown_time
from ops.charging.follower import NAME
from ops.cli_provision import (
    CommandRefused,
    clock_us,
    config_options,
    in_store,
    operator_name,
    refusals_told,
    say_json,
    say_table,
)
from ops.config import Config
from store import Transaction
from store.audit import AuditEntry, append

_TIMES = ("submitted_s", "event_s", "discharged_s")


@click.group("charging")
def charging_group() -> None:
    """Charging records."""


@charging_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_options
def list_command(config: Config, as_json: bool) -> None:
    """List the files that nobody has taken away yet, oldest first, and how far they go."""
    if not config.charging.directory:
        raise CommandRefused("no charging records are made: set charging.directory")
    with refusals_told():
        found = [(path, path.stat().st_size) for path in files.files_of(Path(config.charging.directory))]
        position, last = in_store(config, lambda tx: (feed.position_of(tx, NAME), feed.last(tx)), reads=True)
    if as_json:
        shown = [{"file": str(path), "octets": size} for path, size in found]
        say_json({"position": position, "feed": last, "files": shown})
        return
    if found:
        say_table([["file", "octets"], *([path.name, str(size)] for path, size in found)])
    told = "has not begun" if position is None else f"is at {position}"
    click.echo(f"{len(found)} files; charging {told}, the feed at {last}")


@charging_group.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show_command(file: Path) -> None:
    """Write the records of a '.cdr' file as JSON, one a line. Needs no configuration, and no daemon."""
    with refusals_told():
        octets = file.read_bytes()
    try:
        for record in decode(octets):
            sys.stdout.write(_told(record) + "\n")
    except Unreadable as error:
        raise CommandRefused(f"{file}: {error}") from None
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@charging_group.command("forget")
@config_options
def forget_command(config: Config) -> None:
    """Keep the feed for charging no longer: for when charging.directory was taken out of the file for good.

    What is in no file then gets no record. When charging is set again, it begins with what happens from then on.
    """
    if config.charging.directory:
        raise CommandRefused("charging.directory is set: the daemon would begin anew; take it out first")

    def work(tx: Transaction) -> bool:
        was_there = feed.forget(tx, NAME)
        if was_there:
            append(tx, [AuditEntry(clock_us(), operator_name(), "forget", "follower", NAME, "")])
        return was_there

    with refusals_told():
        was_there = in_store(config, work)
    click.echo("forgotten" if was_there else "there was nothing to forget")


def _told(record: Record) -> str:
    """A record as JSON, its times in words, without what it has not."""
    values = {name: value for name, value in msgspec.structs.asdict(record).items() if value not in ("", -1)}
    for name in _TIMES:
        values[name.removesuffix("_s")] = shown_time(values.pop(name))
    return msgspec.json.encode({name: value for name, value in values.items() if value != ""}).decode()
