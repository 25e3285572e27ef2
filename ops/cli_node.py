"""``smshub node …``: the nodes of one database, looked at from the database itself; no daemon need run.

Nobody fences a node by hand: the others do so when it gives no sign, and only they know that they took over from it.
"""

from __future__ import annotations

import time
from typing import Any, Final

import click
import msgspec
import sqlalchemy
from sqlalchemy import update

from hub import cluster_rows
from hub.leases import NOBODY, Lease, NodeRow
from hub.tables import node as node_table
from ops.cli_provision import (
    CommandRefused,
    clock_us,
    config_options,
    in_store,
    json_option,
    operator_name,
    refusals_told,
    say_json,
    say_table,
)
from ops.config import Config
from store import Transaction
from store.audit import AuditEntry, append

FORGOTTEN: Final = "gone"
"""The state of a node that was forgotten. Its row stays, for its fencing number: were it to begin anew, a process that
was frozen for weeks would find its old number in force again, and write."""

HIGHEST: Final = 1022  # as the setting node.id

_identity = click.argument("node_id", type=click.IntRange(0, HIGHEST), metavar="ID")


class _Node(msgspec.Struct):
    """A node as it is shown.

    Attributes:
        id, state, host, epoch, instance: as its row says.
        is_silent: it is up and has given no sign for longer than a lease, by this machine's clock.
        since, seen: when it came, and was last seen, by its own clock, UTC.
        endpoints: those it holds.
        wanted: endpoint → the node that it goes to next, where sessions are.
    """

    id: int
    state: str
    is_silent: bool
    host: str
    since: str
    seen: str
    endpoints: list[str]
    wanted: dict[str, int]
    epoch: int
    instance: str


def _at(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(us / 1_000_000)) if us else ""


def _shown(row: NodeRow, leases: dict[str, Lease], config: Config) -> _Node:
    held = sorted(lease.endpoint for lease in leases.values() if lease.node == row.id)
    return _Node(
        row.id,
        row.state,
        row.state == "up" and clock_us() - row.seen_us > config.cluster.lease_s * 1e6,
        row.host,
        _at(row.since_us),
        _at(row.seen_us),
        held,
        {name: leases[name].wanted_by for name in held if leases[name].wanted_by not in (NOBODY, row.id)},
        row.epoch,
        row.instance,
    )


def _look(config: Config) -> list[_Node]:
    """All nodes but the forgotten ones. Raises: CommandRefused for a store that has none."""
    _check_store(config)
    with refusals_told():
        rows, leases = in_store(config, cluster_rows.look, reads=True)
    return [_shown(row, leases, config) for row in rows if row.state != FORGOTTEN]


def _check_store(config: Config) -> None:
    if sqlalchemy.make_url(config.store.url).get_backend_name() == "sqlite":
        raise CommandRefused("store.url is SQLite, which is for one daemon: nodes share a PostgreSQL")


def _state(each: _Node) -> str:
    return "silent" if each.is_silent else each.state


def _unknown(node_id: int, known: list[int]) -> CommandRefused:
    there = f"those that have joined: {', '.join(map(str, known))}" if known else "none has joined this database"
    return CommandRefused(f"there is no node {node_id}; {there}")


@click.group()
def node() -> None:
    """Nodes: the daemons that share this PostgreSQL, and who holds which links, desks and accounts."""


@node.command("list")
@json_option
@config_options
def node_list(config: Config, as_json: bool) -> None:
    """List nodes.

    up: it gives signs of life. silent: it is up, and has given none for longer than a lease; others fence it, if any
    lives. left: it ended in order. dead: it was fenced. Times are UTC, by each node's own clock.
    """
    found = _look(config)
    if as_json:
        say_json(found)
    elif not found:
        click.echo("no node has joined this database", err=True)
    else:
        head = ["id", "state", "host", "since", "seen", "endpoints"]
        rows = [[str(n.id), _state(n), n.host, n.since, n.seen, str(len(n.endpoints))] for n in found]
        say_table([head, *rows])


@node.command("show")
@_identity
@json_option
@config_options
def node_show(config: Config, node_id: int, as_json: bool) -> None:
    """Show a node, and what it holds."""
    found = _look(config)
    each = next((n for n in found if n.id == node_id), None)
    if each is None:
        raise _unknown(node_id, [n.id for n in found])
    if as_json:
        say_json(each)
        return
    rows = {"id": str(each.id), "state": _state(each), "host": each.host, "since": each.since, "seen": each.seen}
    rows |= {"epoch": str(each.epoch), "instance": each.instance, "endpoints": str(len(each.endpoints))}
    say_table([[name, value] for name, value in rows.items()])
    for name in each.endpoints:
        click.echo(f"  {name}" + (f"  goes to node {each.wanted[name]}" if name in each.wanted else ""))


@node.command("forget")
@_identity
@config_options
def node_forget(config: Config, node_id: int) -> None:
    """Forget a node that left or died and shall not come back: it is listed and counted no more.

    A daemon that is started with its id is a node again.
    """
    _check_store(config)

    def work(tx: Transaction) -> tuple[str, str, list[int]]:
        c = node_table.c
        query = sqlalchemy.select(c.state, c.host, c.seen_us, c.epoch).where(c.id == node_id)
        row: Any = tx.sql.execute(query).first()
        if row is None or row.state == FORGOTTEN:
            known = sqlalchemy.select(c.id).where(c.state != FORGOTTEN).order_by(c.id)
            return "", "", list(tx.sql.execute(known).scalars())
        if row.state != "up":
            # No lock before: a node that is up holds its row in each of its transactions.
            same = (c.id == node_id, c.epoch == row.epoch, c.state == row.state)
            if not tx.sql.execute(update(node_table).where(*same).values(state=FORGOTTEN)).rowcount:
                return "up", f"on {row.host}, just now", []
            detail = msgspec.json.encode({"host": row.host, "state": row.state}).decode()
            append(tx, [AuditEntry(clock_us(), operator_name(), "forgot", "node", str(node_id), detail)])
        return str(row.state), f"on {row.host}, seen {_at(row.seen_us)}", []

    with refusals_told():
        state, where, known = in_store(config, work)
    if not state:
        raise _unknown(node_id, known)
    if state == "up":
        raise CommandRefused(
            f"node {node_id} is up ({where}): stop it first. If its machine is gone, the other nodes find it dead "
            "after a lease; when none lives, start one"
        )
    click.echo(f"node {node_id} is forgotten ({state}, {where})")
