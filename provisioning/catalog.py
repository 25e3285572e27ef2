"""The catalog: functions over a store transaction that change what is provisioned, or refuse to.

Each change is checked against all that is there, by one writer at a time (see ``tables.py``), is written in the audit,
and raises the revision by which a running daemon learns of it (X5). ``apply`` takes many entries at once and is
idempotent: an entry that is there and equal is left alone, and when nothing differs the revision stays.

A refusal is raised after some writes may have been made: let it leave the transaction, which is rolled back then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
import sqlalchemy

from provisioning.authority import check_change, day_of, with_signature
from provisioning.claims import Claims
from provisioning.e164 import digits_of
from provisioning.errors import Duplicate, ProvisioningError, Refused, UnknownEntry
from provisioning.model import KINDS, Account, Block, CarrierDirectory, E, Entry, Loa, Number
from provisioning.published import check_stays_itself
from provisioning.references import References, check_unused
from provisioning.rows import DELETE, PUT, TABLES, changes, is_hashed, read_all, read_keys, row_key, to_row
from provisioning.tables import block_table, number_table, revision_table
from store import Op, Transaction, Upsert
from store.audit import AuditEntry, append

_REVISION_ID = 1
_FEW = 50  # up to so many entries, only what they meet is read; beyond, everything
_FIRST_REVISION = Upsert(revision_table, ("id", "revision"), conflict="id", update="nothing")

Mode = Literal["add", "update", "put"]


class Applied(msgspec.Struct, frozen=True):
    """What ``apply`` did.

    Attributes:
        added, changed, unchanged: numbers of entries.
    """

    added: int
    changed: int
    unchanged: int


def revision(tx: Transaction) -> int:
    """How many changes there have been; 0 at first. A daemon that sees it rise loads a new ``Directory``."""
    return tx.sql.execute(sqlalchemy.select(revision_table.c.revision)).scalar() or 0


def get(tx: Transaction, kind: type[E], key: str) -> E:
    """Read one entry.

    Raises: UnknownEntry.
    """
    found = read_keys(tx, kind, [key]).get(key)
    if found is None:
        raise UnknownEntry(kind.KIND, key, _names(tx, kind))
    return found


def entries(tx: Transaction, kind: type[E], call_centre: str = "") -> list[E]:
    """Read all entries of a kind in the order of their keys, or those of one call centre."""
    return read_all(tx, kind, call_centre)


def hold(tx: Transaction) -> None:
    """Let nobody else change the catalog until the transaction ends.

    For who reads an entry, decides, and writes it: PostgreSQL shows a transaction what another, in another process, has
    not changed yet, and the second of two such writes would undo the first. Call it before what is read.
    """
    tx.write(Op(_FIRST_REVISION, [(_REVISION_ID, 0)]))
    tx.sql.execute(sqlalchemy.update(revision_table).values(revision=revision_table.c.revision))


def add(tx: Transaction, entry: Entry, *, who: str, now_us: int) -> None:
    """Add an entry that must be new.

    Args:
        tx: the transaction.
        entry: made by ``build``.
        who: for the audit.
        now_us: for the audit.

    Raises: Duplicate, ClaimedByAnother, BlockOverlap, UnknownReference, BadValue.
    """
    _one(tx, entry, "add", who, now_us)


def update(tx: Transaction, entry: Entry, *, who: str, now_us: int) -> bool:
    """Change an entry that must exist.

    Returns: True when something differed.
    Raises: UnknownEntry, and as ``add``.
    """
    return _one(tx, entry, "update", who, now_us).changed == 1


def apply(
    tx: Transaction,
    wanted: Sequence[Entry],
    *,
    who: str,
    now_us: int,
    mode: Mode = "put",
    on_progress: Callable[[int], None] | None = None,
) -> Applied:
    """Make the catalog hold all these entries; others are left alone. Idempotent.

    Args:
        tx: the transaction.
        wanted: made by ``build``, in any order; accounts with hashed passwords (``hash_passwords``).
        who: for the audit.
        now_us: for the audit.
        mode: ``"add"`` when all must be new, ``"update"`` when all must exist.
        on_progress: told how many entries were checked; in the transaction's thread, again from 0 when that is rerun.

    Raises: Refused, with every refusal and its index in ``wanted``.
    """
    hold(tx)
    refusals: dict[int, ProvisioningError] = {}
    differing: list[tuple[int, Entry, Entry | None]] = []
    unchanged = checked = 0
    by_kind: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for index, entry in enumerate(wanted):
        by_kind[entry.KIND].append(index)
    claims = _claims(tx, wanted)
    for kind, indices in by_kind.items():
        there = _existing(tx, kind, [wanted[index].key for index in indices])
        seen: set[str] = set()
        for index in indices:
            entry = wanted[index]
            old = there.get(entry.key)
            if isinstance(entry, Loa) and isinstance(old, Loa) and mode == "put":
                entry = with_signature(old, entry)
            try:
                if entry.key in seen or (mode == "add" and old is not None):
                    raise _already(entry, old)
                seen.add(entry.key)
                _check_one(tx, entry, old, mode, claims)
            except ProvisioningError as refusal:
                refusals[index] = refusal
            else:
                if old == entry:
                    unchanged += 1
                else:
                    differing.append((index, entry, old))
            checked += 1
            if on_progress is not None and checked % 1000 == 0:
                on_progress(checked)
    if not refusals:
        _write(tx, differing, who, now_us)
        references = References(tx)
        for index, entry, _ in differing:
            try:
                references.check(entry)
            except ProvisioningError as refusal:
                refusals[index] = refusal
    if refusals:
        raise Refused(sorted(refusals.items()))
    added = sum([old is None for _, _, old in differing])
    return Applied(added, len(differing) - added, unchanged)


def remove(tx: Transaction, kind: type[E], key: str, *, who: str, now_us: int) -> E:
    """Remove an entry that nothing names any more.

    Returns: what it was.
    Raises: UnknownEntry, StillInUse.
    """
    hold(tx)
    entry = get(tx, kind, key)
    tx.write(Op(DELETE[kind.KIND], [(row_key(kind.KIND, key),)]))
    check_unused(tx, entry, day_of(now_us))
    _bump(tx)
    append(tx, [AuditEntry(now_us, who, "removed", kind.KIND, key)])
    return entry


def _one(tx: Transaction, entry: Entry, mode: Mode, who: str, now_us: int) -> Applied:
    try:
        return apply(tx, [entry], who=who, now_us=now_us, mode=mode)
    except Refused as refused:
        raise refused.refusals[0][1] from None


def _bump(tx: Transaction) -> None:
    tx.sql.execute(sqlalchemy.update(revision_table).values(revision=revision_table.c.revision + 1))


def _already(entry: Entry, old: Entry | None) -> ProvisioningError:
    """Why an entry may not be added: it is there, or another call centre's."""
    if old is not None and isinstance(entry, (Number, Block)):
        try:
            Claims([old]).check(entry)  # type: ignore[list-item]
        except ProvisioningError as refusal:
            return refusal
    return Duplicate(entry.KIND, entry.key)


def _check_one(tx: Transaction, entry: Entry, old: Entry | None, mode: Mode, claims: Claims) -> None:
    if mode == "update" and old is None:
        raise UnknownEntry(entry.KIND, entry.key)
    if isinstance(entry, Account) and not is_hashed(entry.password):
        raise TypeError(f"account {entry.key!r} came to the catalog with a password that is not hashed")
    if isinstance(entry, (Number, Block)):
        claims.check(entry)
        claims.add(entry)
    if isinstance(entry, Loa) and isinstance(old, Loa):
        check_change(old, entry)
    if isinstance(entry, CarrierDirectory) and isinstance(old, CarrierDirectory):
        check_stays_itself(tx, old, entry)


def _existing(tx: Transaction, kind: str, keys: Sequence[str]) -> dict[str, Entry]:
    if len(keys) <= _FEW:
        return read_keys(tx, KINDS[kind], keys)  # type: ignore[type-var]
    everything: list[Entry] = read_all(tx, KINDS[kind])  # type: ignore[type-var]
    return {entry.key: entry for entry in everything}


def _names(tx: Transaction, kind: type[Entry]) -> list[str]:
    table = TABLES[kind.KIND]
    if "name" not in table.columns:
        return []
    return list(tx.sql.execute(sqlalchemy.select(table.c.name)).scalars())


def _claims(tx: Transaction, wanted: Iterable[Entry]) -> Claims:
    """The claims that these entries could meet."""
    ranges: list[tuple[int, int]] = []
    for entry in wanted:
        if isinstance(entry, Block):
            ranges.append((digits_of(entry.first), digits_of(entry.last)))
            others = [entry.alias]
        elif isinstance(entry, Number):
            others = [entry.number, entry.alias_of]
        else:
            continue
        ranges += [(digits_of(other), digits_of(other)) for other in others if other]
    if len(ranges) > _FEW:
        return Claims([*read_all(tx, Block), *read_all(tx, Number)])
    claims = Claims()
    numbers, blocks = number_table.c, block_table.c
    for first, last in ranges:
        near = sqlalchemy.or_(numbers.digits.between(first, last), numbers.alias_of.between(first, last))
        statement = sqlalchemy.select(numbers.digits, numbers.call_centre, numbers.alias_of).where(near)
        for digits, centre, alias_of in tx.sql.execute(statement):
            behind = f"+{alias_of}" if alias_of else ""
            claims.add(Number(number=f"+{digits}", call_centre=centre, alias_of=behind))
        overlapping = sqlalchemy.select(blocks.first, blocks.last, blocks.call_centre).where(
            blocks.first <= last, blocks.last >= first
        )
        for low, high, centre in tx.sql.execute(overlapping):
            claims.add(Block(first=f"+{low}", last=f"+{high}", call_centre=centre))
    return claims


def _write(tx: Transaction, differing: Sequence[tuple[int, Entry, Entry | None]], who: str, now_us: int) -> None:
    if not differing:
        return
    for kind in KINDS:
        rows = [to_row(entry, now_us) for _, entry, _ in differing if kind == entry.KIND]
        tx.write(Op(PUT[kind], rows))
    _bump(tx)
    told = [
        AuditEntry(now_us, who, "added" if old is None else "changed", entry.KIND, entry.key, changes(old, entry))
        for _, entry, old in differing
    ]
    append(tx, told)
