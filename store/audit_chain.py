"""The audit's hash chain: what a row is bound to, and how a broken chain is told. Pure.

Each row has two digests::

    content_digest = SHA-256(salt ‖ JSON of [at_us, who, action, kind, key, detail])
    chain          = SHA-256(chain of the row before ‖ id, 8 octets, big-endian ‖ content_digest)

JSON is an array in UTF-8 without blanks, in which only what must be escaped is. The row before the first has 32 zero
octets. Ids are 1, 2, 3, … without a gap.

1. Who changes a row, removes one, puts one in, or changes the order breaks the chain at that row.
2. The chain binds to a row's digest, not to its words: these can be taken out (a person asked to be erased), with the
   salt, so that nobody can find them again by guessing, and the chain stays whole. Such a row is *redacted*.
3. A redaction is itself a row of the audit, which names the rows that it took the words of. A row without its words
   that no later row names was tampered with.
4. A chain that was cut at its end, or written anew as a whole, is whole too. Against that there is the head: whoever
   keeps ``id:chain`` of some day elsewhere can ask whether it is still part of the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

ZERO: Final = bytes(32)  # the chain before the first row
SALT_OCTETS: Final = 16  # as many as a digest needs against guessing what was taken out
REDACTED: Final = "(redacted)"
REDACTION: Final = "redacted"
"""The action of rows that name redacted rows: their detail is JSON, ``{"ids": [...], "reason": "…"}``."""
AUDIT_KIND: Final = "audit"

MAX_DETAIL_CHARACTERS: Final = 16_384
MAX_WORD_CHARACTERS: Final = 200  # of who, action, kind and key
_encode = msgspec.json.Encoder().encode


class AuditEntry(msgspec.Struct, frozen=True):
    """Something that was changed on somebody's behalf.

    Attributes:
        at_us: when.
        who: who asked for it, such as ``"cli:ann"``, ``"file hub.toml"``, ``"api:orders"``.
        action: a past participle: ``"added"``, ``"changed"``, ``"removed"``, ``"published"``, ``"erased"``.
        kind: of what: a kind of the catalog, ``"opt-out"``, ``"message"``, ``"config"``.
        key: which one.
        detail: the rest, as JSON or empty. Never a secret, never a text of a message.
    """

    at_us: int
    who: str
    action: str
    kind: str
    key: str
    detail: str = ""


class AuditRow(msgspec.Struct, frozen=True):
    """A row of the audit.

    Attributes:
        id: 1, 2, 3, …
        at_us, who, action, kind, key, detail: see ``AuditEntry``.
        salt: hexadecimal; empty when the row was redacted.
        content_digest, chain: hexadecimal.
    """

    id: int
    at_us: int
    who: str
    action: str
    kind: str
    key: str
    detail: str
    salt: str
    content_digest: str
    chain: str

    @property
    def is_redacted(self) -> bool:
        """Whether its words were taken out."""
        return not self.salt


class Head(msgspec.Struct, frozen=True):
    """The end of a chain. Written ``ID:CHAIN``.

    Attributes:
        id: the last row's, 0 when there is none.
        chain: the last row's, hexadecimal.
    """

    id: int
    chain: str

    def __str__(self) -> str:
        return f"{self.id}:{self.chain}"


class Verdict(msgspec.Struct, frozen=True):
    """What looking through a chain found.

    Attributes:
        rows: how many were looked at and found whole.
        redacted: how many of these have no words any more.
        head: the end of what is whole.
        broken_id: the first row that is not whole, 0 when all are.
        fault: what is wrong with it, empty when nothing is.
    """

    rows: int
    redacted: int
    head: Head
    broken_id: int = 0
    fault: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.fault


def head_of(words: str) -> Head:
    """Read a head as it is written.

    Raises: ValueError.
    """
    number, colon, chain = words.strip().partition(":")
    if not colon or not number.isdecimal() or not number.isascii() or len(number) > 18:
        raise ValueError(f"a head is ID:HASH, as `smshub audit head` prints it, not {words[:100]!r}")
    try:
        octets = bytes.fromhex(chain)
    except ValueError:
        octets = b""
    if len(octets) != len(ZERO):
        raise ValueError(f"the hash of a head has 64 hexadecimal digits, {chain[:100]!r} has not")
    return Head(int(number), octets.hex())


def storable(words: str, most: int) -> str:
    """Words as every database takes them, of a bounded length: the audit must not fail for what it is told."""
    if "\x00" in words:
        words = words.replace("\x00", "\ufffd")
    if len(words) > most:
        words = words[: most - 1] + "…"
    return words.encode("utf-8", "replace").decode()


def content_of(entry: AuditEntry | AuditRow) -> bytes:
    """The octets that a content digest is made of, without the salt."""
    return _encode([entry.at_us, entry.who, entry.action, entry.kind, entry.key, entry.detail])


def digest_of(salt: bytes, content: bytes) -> bytes:
    """A content digest."""
    return hashlib.sha256(salt + content).digest()


def link(before: bytes, row_id: int, content_digest: bytes) -> bytes:
    """The chain at a row."""
    return hashlib.sha256(before + row_id.to_bytes(8, "big") + content_digest).digest()


def chained(head: Head, entries: Iterable[AuditEntry], salts: Sequence[bytes]) -> list[AuditRow]:
    """Rows that continue a chain.

    Args:
        head: the end of the chain so far.
        entries: what happened, in order.
        salts: one for each entry, ``SALT_OCTETS`` of chance.
    """
    rows: list[AuditRow] = []
    last_id, before = head.id, bytes.fromhex(head.chain)
    for entry, salt in zip(entries, salts, strict=True):
        clean = AuditEntry(
            at_us=entry.at_us,
            who=storable(entry.who, MAX_WORD_CHARACTERS),
            action=storable(entry.action, MAX_WORD_CHARACTERS),
            kind=storable(entry.kind, MAX_WORD_CHARACTERS),
            key=storable(entry.key, MAX_WORD_CHARACTERS),
            detail=storable(entry.detail, MAX_DETAIL_CHARACTERS),
        )
        digest = digest_of(salt, content_of(clean))
        last_id += 1
        before = link(before, last_id, digest)
        told = (clean.at_us, clean.who, clean.action, clean.kind, clean.key, clean.detail)
        rows.append(AuditRow(last_id, *told, salt.hex(), digest.hex(), before.hex()))
    return rows


class Examination:
    """Looks through a chain from its beginning, row by row, in bounded memory but for the ids of redacted rows.

    Args:
        known: a head that was kept elsewhere, which must be part of the chain.
    """

    def __init__(self, known: Head | None = None) -> None:
        self._head = Head(0, ZERO.hex())
        self._known = known
        self._redacted = 0
        self._unnamed: dict[int, None] = {}  # redacted rows that no later row has named yet; in order
        self._broken = 0
        self._fault = ""
        if known is not None and known.id == 0 and known.chain != ZERO.hex():
            self._break(0, "the head that was kept has the id 0 and another hash than an empty chain")

    def take(self, rows: Iterable[AuditRow]) -> bool:
        """Look at the next rows. Returns: whether all is well so far."""
        for row in rows:
            if self._fault:
                return False
            fault = self._look_at(row)
            if fault:
                self._break(row.id, fault)
                return False
            self._head = Head(row.id, row.chain)
        return not self._fault

    def verdict(self, head: Head) -> Verdict:
        """The verdict, once all rows were taken.

        Args:
            head: what the audit's own head row says.
        """
        if not self._fault and head != self._head:
            self._break(
                self._head.id + 1,
                f"rows are missing at the end: the audit's head is {head.id}, its last row {self._head.id}"
                if head.id > self._head.id
                else "the audit's head is not its last row",
            )
        if not self._fault and self._known is not None and self._known.id > self._head.id:
            self._break(
                self._head.id + 1, f"rows are missing at the end: a head of {self._known.id} was kept elsewhere"
            )
        if not self._fault and self._unnamed:
            self._break(next(iter(self._unnamed)), "its words were taken out, and no row says that they were")
        return Verdict(self._head.id, self._redacted, self._head, self._broken, self._fault)

    def _look_at(self, row: AuditRow) -> str:
        """What is wrong with a row, or empty."""
        if row.id != self._head.id + 1:
            return f"rows are missing before it: the one before is {self._head.id}"
        try:
            digest, chain, salt = (bytes.fromhex(each) for each in (row.content_digest, row.chain, row.salt))
        except ValueError:
            return "its digests are not hexadecimal"
        if row.is_redacted:
            self._redacted += 1
            self._unnamed[row.id] = None
        elif digest_of(salt, content_of(row)) != digest:
            return "its words are not those that were written"
        if link(bytes.fromhex(self._head.chain), row.id, digest) != chain:
            return "its hash does not continue the chain"
        if self._known is not None and row.id == self._known.id and row.chain != self._known.chain:
            return "it has another hash than the head that was kept elsewhere: the chain was written anew"
        if row.action == REDACTION and row.kind == AUDIT_KIND:
            for redacted_id in named_by(row):
                self._unnamed.pop(redacted_id, None)
        return ""

    def _break(self, row_id: int, fault: str) -> None:
        self._broken, self._fault = row_id, fault


class _Named(msgspec.Struct):
    ids: list[int]


def named_by(row: AuditRow) -> list[int]:
    """The ids of the rows that a redaction says it took the words of."""
    try:
        return msgspec.json.decode(row.detail, type=_Named).ids
    except msgspec.DecodeError:
        return []
