"""The chain, computed a second time with the standard library, and every way to break it."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.audit_chain import (
    REDACTED,
    ZERO,
    AuditEntry,
    AuditRow,
    Examination,
    Head,
    chained,
    head_of,
    storable,
)

START = Head(0, ZERO.hex())
ENTRIES = [AuditEntry(n, "cli:ann", "added", "number", f"+1800555{n:04}", "{}") for n in range(6)]
SALTS = [bytes([n]) * 16 for n in range(6)]


def rows_of(entries: list[AuditEntry] = ENTRIES) -> list[AuditRow]:
    return chained(START, entries, SALTS[: len(entries)])


def fault_of(rows: list[AuditRow], head: Head | None = None, known: Head | None = None) -> tuple[int, str]:
    examination = Examination(known)
    examination.take(rows)
    verdict = examination.verdict(head or Head(rows[-1].id, rows[-1].chain))
    assert verdict.is_whole == (not verdict.fault)
    return verdict.broken_id, verdict.fault


def redacted(row: AuditRow) -> AuditRow:
    return msgspec.structs.replace(row, key=REDACTED, detail=REDACTED, salt="")


words = st.text(max_size=30)


@given(st.lists(st.tuples(st.integers(0, 2**62), words, words, words, words, words), min_size=1, max_size=5))
def test_the_chain_is_what_the_page_says(told: list[tuple[int, str, str, str, str, str]]) -> None:
    before = bytes(32)
    rows = chained(START, [AuditEntry(*each) for each in told], SALTS[: len(told)])
    for number, row in enumerate(rows, 1):
        content = [row.at_us, row.who, row.action, row.kind, row.key, row.detail]
        octets = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        digest = hashlib.sha256(bytes.fromhex(row.salt) + octets).digest()
        before = hashlib.sha256(before + number.to_bytes(8, "big") + digest).digest()
        assert (row.id, row.content_digest, row.chain) == (number, digest.hex(), before.hex())
    assert fault_of(rows) == (0, "")


def test_words_that_no_database_takes_do_not_stop_the_audit() -> None:
    rows = chained(START, [AuditEntry(1, "a\x00b", "added", "x", "\ud800", "y" * 20_000)], SALTS[:1])
    assert (rows[0].who, rows[0].key) == ("a\ufffdb", "?")
    assert len(rows[0].detail) == 16_384
    assert fault_of(rows) == (0, "")
    assert storable("wörter", 4) == "wör…"


@pytest.mark.parametrize(
    "field", ["at_us", "who", "action", "kind", "key", "detail", "salt", "content_digest", "chain"]
)
def test_each_field_is_bound(field: str) -> None:
    rows = rows_of()
    value = getattr(rows[3], field)
    other = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1:] != "0" else "1")
    rows[3] = msgspec.structs.replace(rows[3], **{field: other})
    assert fault_of(rows)[0] == 4


def test_a_row_that_is_gone_put_in_or_moved_is_found() -> None:
    rows = rows_of()
    assert fault_of(rows[:2] + rows[3:])[0] == 4
    assert "missing before" in fault_of(rows[1:])[1]
    assert fault_of([*rows[:2], rows[3], rows[2], *rows[4:]])[0] == 4
    renumbered = [*rows[:2], *(msgspec.structs.replace(row, id=row.id - 1) for row in rows[3:])]
    assert fault_of(renumbered) == (3, "its hash does not continue the chain")
    assert fault_of([*rows[:2], msgspec.structs.replace(rows[2], chain="zz")])[1] == "its digests are not hexadecimal"


def test_a_chain_that_is_cut_or_written_anew_is_told_by_the_head() -> None:
    rows = rows_of()
    end = Head(rows[-1].id, rows[-1].chain)
    assert "missing at the end" in fault_of(rows[:4], head=end)[1]
    assert fault_of(rows, head=Head(rows[3].id, rows[3].chain))[1] == "the audit's head is not its last row"
    kept = Head(5, rows[4].chain)
    assert fault_of(rows, known=kept) == (0, "")
    cut = rows[:4]
    assert "kept elsewhere" in fault_of(cut, head=Head(4, cut[-1].chain), known=kept)[1]
    anew = rows_of([msgspec.structs.replace(entry, who="cli:bob") for entry in ENTRIES])
    assert fault_of(anew) == (0, "")
    assert fault_of(anew, known=kept)[0] == 5
    assert fault_of(rows, known=Head(0, ZERO.hex())) == (0, "")
    assert fault_of(rows, known=Head(0, "11" * 32))[1]


def test_a_redaction_that_is_told_of_leaves_the_chain_whole() -> None:
    rows = rows_of()
    rows[2] = redacted(rows[2])
    assert fault_of(rows) == (3, "its words were taken out, and no row says that they were")
    end = Head(rows[-1].id, rows[-1].chain)
    tell = AuditEntry(9, "cli:ann", "redacted", "audit", "3…3", '{"ids":[3],"reason":"asked"}')
    assert fault_of([*rows, *chained(end, [tell], [bytes(16)])]) == (0, "")
    for detail in ('{"ids":[4]}', "3", ""):
        other = msgspec.structs.replace(tell, detail=detail)
        assert fault_of([*rows, *chained(end, [other], [bytes(16)])])[0] == 3


def test_nobody_can_redact_by_a_row_that_came_before() -> None:
    early = [AuditEntry(0, "cli:ann", "redacted", "audit", "3…3", '{"ids":[3]}'), *ENTRIES[:3]]
    rows = rows_of(early)
    assert fault_of([*rows[:2], redacted(rows[2]), rows[3]])[0] == 3


@pytest.mark.parametrize("bad", ["", "5", "5:", "x:" + "0" * 64, "5:" + "0" * 63, "5:" + "z" * 64, "-1:" + "0" * 64])
def test_a_head_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="head"):
        head_of(bad)


def test_a_head_reads_back() -> None:
    head = Head(12, "ab" * 32)
    assert head_of(f" {head}\n") == head
