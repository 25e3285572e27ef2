"""Nodes and leases in the database: what moves them, and the guard that holds each write to them. PostgreSQL only."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence

import msgspec
import sqlalchemy
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql

from hub.leases import NOBODY, Lease, NodeRow
from hub.tables import bell, errand, lease, node, outbox
from store import StoreError, StoreFenced, Transaction
from store.store import backend_for

MOST_HOST = 80
_NODE_COLUMNS = [node.c[name] for name in NodeRow.__struct_fields__]


_ASK = sqlalchemy.text("SELECT 1 FROM node WHERE id = :identity AND epoch = :epoch FOR SHARE")
_WRITER = "smshub node {:d}"  # what the connection that a node writes by is called in the database
_END = sqlalchemy.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :name AND datname = current_database() AND usename = current_user"
)


class NodeInUse(StoreError):
    """Another process that lives has this node's id.

    Attributes:
        id: the node's.
        host: where the other one runs.
    """

    def __init__(self, identity: int, host: str) -> None:
        super().__init__(
            f"node {identity} is in use by a process on {host}: give each daemon on this database a node.id of its own"
        )
        self.id = identity
        self.host = host


class NodeGuard:
    """Lets a node write as long as nobody has fenced it. See ``store.guard``.

    Args:
        identity: the node's id.
        epoch: with which it has joined.
        idle_s: after so long the database ends a transaction of ours that stands still: a frozen node must not keep
            others from fencing it.
    """

    def __init__(self, identity: int, epoch: int, idle_s: float) -> None:
        self.epoch = epoch
        self.is_fenced = False
        self._idle_ms = max(1, round(idle_s * 1000))
        self._me = {"identity": identity, "epoch": epoch}
        self._name = _WRITER.format(identity)

    def connected(self, connection: sqlalchemy.Connection) -> None:
        """See ``store.guard.Guard``."""
        connection.exec_driver_sql(f"SET idle_in_transaction_session_timeout = {self._idle_ms:d}")
        connection.exec_driver_sql(f"SET application_name = '{self._name}'")
        connection.commit()

    def check(self, connection: sqlalchemy.Connection) -> None:
        """See ``store.guard.Guard``."""
        if self.is_fenced or connection.execute(_ASK, self._me).first() is None:
            self.is_fenced = True
            raise StoreFenced


def instance_name() -> str:
    """A name of this process that no other has."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:16]}"


def join(url: str, identity: int, instance: str, now_us: int, beat_s: float) -> int:
    """Become a node. Blocks, for two beats when its id may be in use.

    Args:
        url: of the store, which is migrated.
        identity: the node's id.
        instance: of this process.
        now_us: now.
        beat_s: how often nodes give a sign.

    Returns: the epoch. An earlier process with this id writes nothing from now on; its leases are this one's.
    Raises: NodeInUse; StoreError.
    """
    backend = backend_for(url)
    host = socket.gethostname()[:MOST_HOST]
    try:
        with backend.connect(read_only=False) as connection:
            before = _row(connection, identity)
            if before is not None and before.state == "up" and not _is_gone(before, host):
                time.sleep(2 * beat_s)
                after = _row(connection, identity)
                if after is not None and (after.epoch, after.beat) != (before.epoch, before.beat):
                    raise NodeInUse(identity, after.host)
            connection.rollback()
            with connection.begin():
                connection.execute(_END, {"name": _WRITER.format(identity)})  # it may be frozen, and hold the row
                fresh = {"state": "up", "beat": 0, "instance": instance, "host": host, "since_us": now_us}
                fresh |= {"seen_us": now_us}
                upsert = (
                    postgresql.insert(node)
                    .values(id=identity, epoch=1, newest_id=0, **fresh)
                    .on_conflict_do_update(index_elements=["id"], set_={"epoch": node.c.epoch + 1, **fresh})
                    .returning(node.c.epoch)
                )
                return int(connection.execute(upsert).scalar_one())
    except sqlalchemy.exc.SQLAlchemyError as error:
        mapped = backend.error(error)
        raise (mapped or StoreError(type(error).__name__)) from None
    finally:
        backend.dispose()


def _row(connection: sqlalchemy.Connection, identity: int) -> NodeRow | None:
    row = connection.execute(select(*_NODE_COLUMNS).where(node.c.id == identity)).first()
    connection.rollback()
    return NodeRow(*row) if row is not None else None


def _is_gone(row: NodeRow, host: str) -> bool:
    """Whether a process is certainly no more: it ran here, and there is no such process."""
    process_id = row.instance.partition("-")[0]
    if row.host != host or not process_id.isdigit():
        return False
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def beat(tx: Transaction, identity: int, now_us: int, newest_id: int) -> None:
    """Give a sign of life."""
    values = {"beat": node.c.beat + 1, "seen_us": now_us, "newest_id": newest_id}
    tx.sql.execute(update(node).where(node.c.id == identity).values(**values))


def look(tx: Transaction) -> tuple[list[NodeRow], dict[str, Lease]]:
    """All nodes, and all leases by endpoint."""
    nodes = [NodeRow(*row) for row in tx.sql.execute(select(*_NODE_COLUMNS).order_by(node.c.id)).all()]
    rows = tx.sql.execute(select(lease.c.endpoint, lease.c.node, lease.c.wanted_by)).all()
    return nodes, {row[0]: Lease(*row) for row in rows}


class Between(msgspec.Struct, frozen=True):
    """What nodes have left for each other.

    Attributes:
        bells: that nobody has heard yet.
        errands: that nobody has answered yet.
        outbox_since_us: when the oldest event happened that has no number in the feed yet; 0 when all have one.
        held: endpoints that some node holds.
    """

    bells: int
    errands: int
    outbox_since_us: int
    held: frozenset[str]


def between(tx: Transaction) -> Between:
    """Look at what nodes have left for each other."""
    oldest = select(outbox.c.at_us).order_by(outbox.c.id).limit(1)
    unanswered = select(func.count()).select_from(errand).where(errand.c.answer == "")
    return Between(
        tx.sql.execute(select(func.count()).select_from(bell)).scalar() or 0,
        tx.sql.execute(unanswered).scalar() or 0,
        tx.sql.execute(oldest).scalar() or 0,
        frozenset(tx.sql.execute(select(lease.c.endpoint)).scalars()),
    )


def take(tx: Transaction, identity: int, endpoints: Sequence[str], now_us: int) -> list[str]:
    """Take leases that nobody has. Returns: those that were got."""
    rows = [{"endpoint": name, "node": identity, "wanted_by": NOBODY, "since_us": now_us} for name in endpoints]
    query = postgresql.insert(lease).values(rows).on_conflict_do_nothing().returning(lease.c.endpoint)
    return list(tx.sql.execute(query).scalars())


def give(tx: Transaction, identity: int, endpoint: str, to: int, now_us: int) -> None:
    """Let another node have a lease of this one's."""
    own = (lease.c.endpoint == endpoint, lease.c.node == identity)
    tx.sql.execute(update(lease).where(*own).values(node=to, wanted_by=NOBODY, since_us=now_us))


def drop(tx: Transaction, identity: int, endpoints: Sequence[str]) -> None:
    """Let go of leases."""
    tx.sql.execute(delete(lease).where(lease.c.endpoint.in_(endpoints), lease.c.node == identity))


def want(tx: Transaction, identity: int, endpoints: Sequence[str]) -> None:
    """Say that the sessions of endpoints that others hold are here."""
    others = (lease.c.endpoint.in_(endpoints), lease.c.node != identity)
    tx.sql.execute(update(lease).where(*others).values(wanted_by=identity))


def free_orphans(tx: Transaction, gone: Sequence[int]) -> int:
    """Free what was given to nodes that went meanwhile. Returns: how many leases.

    Their rows are locked: one that comes back at this moment finds its leases either there or gone.
    """
    absent = select(node.c.id).where(node.c.id.in_(gone), node.c.state != "up").with_for_update(skip_locked=True)
    ids = list(tx.sql.execute(absent).scalars())
    return int(tx.sql.execute(delete(lease).where(lease.c.node.in_(ids))).rowcount) if ids else 0


def leave(tx: Transaction, identity: int) -> None:
    """Go in order: what was held is free at once."""
    tx.sql.execute(delete(lease).where(lease.c.node == identity))
    tx.sql.execute(update(node).where(node.c.id == identity).values(state="left"))


def fence(tx: Transaction, dead: NodeRow) -> bool:
    """Take everything from a node that gives no sign. Returns: False when it has given one, or is just writing.

    Who writes holds its row; a frozen node holds it for as long as its transaction stands. The database ends that when
    it has stood still for long (``NodeGuard.idle_s``), but not in the midst of a COPY, while it waits for rows. So its
    connection is ended here, and the node can be fenced at the next look.
    """
    same = (node.c.id == dead.id, node.c.epoch == dead.epoch, node.c.beat == dead.beat, node.c.state == "up")
    found = tx.sql.execute(select(node.c.id).where(*same).with_for_update(skip_locked=True)).first()
    if found is None:
        if tx.sql.execute(select(node.c.id).where(*same)).first() is not None:
            tx.sql.execute(_END, {"name": _WRITER.format(dead.id)})
        return False
    tx.sql.execute(update(node).where(node.c.id == dead.id).values(epoch=node.c.epoch + 1, state="dead"))
    tx.sql.execute(delete(lease).where(lease.c.node == dead.id))
    return True
