"""The files that a directory is told by, and answers by: CSV as RFC 4180 has it. Pure.

```
helpdir-0663a1b2c3d4e5-0123456789abcdef.csv             what is to be done; never changed once it is there
helpdir-0663a1b2c3d4e5-0123456789abcdef.csv.sha256      its digest, as sha256sum writes it; there last
helpdir-0663a1b2c3d4e5-0123456789abcdef.ack.csv         what the registry says of each number
helpdir-0663a1b2c3d4e5-0123456789abcdef.ack.csv.sha256  the digest of that, if the registry likes
```

docs/reference/directory-file.md is this for those at the other end.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence

import msgspec

from provisioning.directories.adapter import Answer, Finding, Listing, Task

LISTING_COLUMNS = Listing.__struct_fields__
COLUMNS = ("action", *LISTING_COLUMNS, "key")
ACK_COLUMNS = ("number", "status", "reason")
NEEDED_ACK_COLUMNS = ("number", "status")
MAX_CELL_CHARACTERS = 4_096
_MAX_COLUMNS = 50

_STATUSES = {
    "active": Finding.ACTIVE,
    "accepted": Finding.SUBMITTED,
    "pending": Finding.SUBMITTED,
    "absent": Finding.ABSENT,
    "withdrawn": Finding.ABSENT,
    "refused": Finding.REFUSED,
    "conflict": Finding.CONFLICT,
    "later": Finding.LATER,
}
_LINE_END = re.compile(r"\r\n|\n|\r")
_BEGAN = re.compile(r"[0-9a-f]{1,20}(?=-)")
_STEM = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}-[0-9a-f]{1,20}-[0-9a-f]{16}", re.ASCII)
_DIGEST_LINE = re.compile(r"\\?([0-9a-f]{64})(?: [ *](.*))?", re.ASCII)
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}", re.ASCII)


class BadAcknowledgement(Exception):
    """An acknowledgement of which nothing can be believed; says why."""


def stem_of(directory: str, tasks: Sequence[Task]) -> str:
    """The name of the file of these tasks, without its ending: the same whenever they are the same.

    Keys sort by time, and so do the names of a directory's files.
    """
    keys = sorted([task.key for task in tasks])
    began = _BEGAN.match(keys[0])
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    return f"{directory}-{began.group() if began else '0'}-{digest}"


def is_stem(name: str) -> bool:
    """Whether a name, as it was kept in the store, is one of ours: nothing else becomes part of a path."""
    return _STEM.fullmatch(name) is not None


def written(action: str, tasks: Iterable[Task]) -> bytes:
    """The file of some tasks, UTF-8, one line for each after the head line, ended by CR LF.

    Args:
        action: ``"publish"`` or ``"withdraw"``.
        tasks: in order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for task in tasks:
        cells = [_one_line(cell) for cell in msgspec.structs.astuple(task.listing)]
        writer.writerow([action, *cells, task.key])
    return text.getvalue().encode()


def keys_of(octets: bytes) -> set[str]:
    """The keys in a file that ``written`` made: the last cell of each line."""
    return {line.rpartition(",")[2] for line in octets.decode("utf-8", "replace").split("\r\n")[1:] if line}


def _one_line(cell: object) -> str:
    # A line break in a quoted cell is RFC 4180's, and breaks every reader that goes by lines.
    return " ".join(str(cell).splitlines()) if isinstance(cell, str) else str(cell)


def digest_line(octets: bytes, name: str) -> bytes:
    """What stands in the file beside it: ``sha256sum --check`` reads it."""
    return f"{hashlib.sha256(octets).hexdigest()}  {name}\n".encode()


def check_digest(octets: bytes, beside: bytes) -> None:
    """Compare a file with the digest beside it.

    Raises: BadAcknowledgement.
    """
    lines = beside.decode("utf-8", "replace").split("\n")
    found = _DIGEST_LINE.fullmatch(lines[0].strip().lower())
    if found is None:
        raise BadAcknowledgement("the .sha256 beside the acknowledgement is none")
    if found.group(1) != hashlib.sha256(octets).hexdigest():
        raise BadAcknowledgement("the acknowledgement is not what its .sha256 says: half written, or changed")


def read_answers(octets: bytes) -> dict[str, Answer]:
    """Read an acknowledgement. Columns may stand in any order, others beside them are passed over.

    Returns: what it says of each number, E.164. A number with two answers that differ has LATER; lines that name no
        number are passed over.
    Raises: BadAcknowledgement.
    """
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadAcknowledgement("the acknowledgement is no UTF-8") from None
    if "\x00" in text:
        raise BadAcknowledgement("the acknowledgement has NUL characters")
    lines = _LINE_END.split(text)
    if not text.strip():
        raise BadAcknowledgement("the acknowledgement is empty")
    separator = ";" if ";" in lines[0] and "," not in lines[0] else ","
    head = [cell.strip().lower() for cell in _cells(lines[0], separator)]
    if any(head.count(name) != 1 for name in NEEDED_ACK_COLUMNS):
        raise BadAcknowledgement(f"the acknowledgement's head line lacks {' or '.join(NEEDED_ACK_COLUMNS)}")
    columns = [head.index(name) if name in head else -1 for name in ACK_COLUMNS]
    answers: dict[str, Answer] = {}
    for line in lines[1:]:
        # Each line by itself: a quotation mark that is not closed costs one line, not all that follow.
        cells = _cells(line, separator)
        number, status, reason = [cells[at].strip() if 0 <= at < len(cells) else "" for at in columns]
        number = number if number[:1] == "+" else f"+{number}"
        if not _NUMBER.fullmatch(number):
            continue
        answer = _answer(status.lower(), reason)
        before = answers.get(number)
        if before is not None and before.finding is not answer.finding:
            answer = Answer(Finding.LATER, "the registry answered twice, and differently")
        answers[number] = answer
    return answers


def _answer(status: str, reason: str) -> Answer:
    finding = _STATUSES.get(status)
    if finding is None:
        return Answer(Finding.LATER, f"the registry answered {status[:40]!r}, which is no status")
    return Answer(finding, reason[:MAX_CELL_CHARACTERS])


def _cells(line: str, separator: str) -> list[str]:
    try:
        rows = list(csv.reader([line[: MAX_CELL_CHARACTERS * 4]], delimiter=separator))
    except csv.Error:
        return []
    return rows[0][:_MAX_COLUMNS] if rows else []
