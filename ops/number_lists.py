"""Lists of numbers in files: one number in each line, or CSV whose first line names the columns. Pure.

``#`` begins a comment in a plain list; empty lines are left out. A number of a table has a line of its own, so that an
error can name it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence

import msgspec

NUMBER = "number"
_DELIMITERS = ",;\t"
MAX_LINE = 10_000  # characters; Python's reader of CSV gives up at 131,072
MAX_FAULTS = 50  # told of one file; who has more has the wrong file


class Row(msgspec.Struct, frozen=True):
    """A number of a list.

    Attributes:
        line: where it stands, from 1.
        settings: what the line says, by column; at least ``number``.
    """

    line: int
    settings: dict[str, str]


class BadList(ValueError):
    """A list that cannot be read.

    Attributes:
        faults: one line for each thing wrong, with the file's name and line.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(cut(faults)))
        self.faults = tuple(faults)


def cut(faults: Sequence[str]) -> list[str]:
    """The first of many faults, and how many more there are."""
    more = [f"and {len(faults) - MAX_FAULTS} more lines that are wrong"] if len(faults) > MAX_FAULTS else []
    return [*faults[:MAX_FAULTS], *more]


def read_list(octets: bytes, name: str, columns: Collection[str] = ()) -> list[Row]:
    """Read a list of numbers.

    Args:
        octets: the file, UTF-8.
        name: what errors shall call it.
        columns: what a table may have beside ``number``; none when only plain lists will do.

    Raises: BadList, with every line that cannot be read.
    """
    try:
        text = octets.decode("utf-8-sig")  # spreadsheets write the mark
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise BadList([f"{name}:{line}: is not UTF-8: save the file as text in UTF-8"]) from None
    lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.split("#")[0].strip()]
    long = [f"{name}:{at}: is too long to be a number" for at, line in lines if len(line) > MAX_LINE]
    if long:
        raise BadList(long)
    if not lines:
        raise BadList([f"{name}: holds no number"])
    head = _cells(lines[0][1])
    table = columns and NUMBER in map(_column, head)
    faults: list[str] = []
    rows = list(_table(lines, head, name, columns, faults) if table else _plain(lines, name, columns, faults))
    if not rows and not faults:
        faults.append(f"{name}: holds no number")
    if faults:
        raise BadList(faults)
    return rows


def _cells(line: str) -> list[str]:
    return _split(line, max(_DELIMITERS, key=line.count))


def _split(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _column(cell: str) -> str:
    return cell.lower().replace("-", "_").replace(" ", "_")


def _plain(lines: Sequence[tuple[int, str]], name: str, columns: Collection[str], faults: list[str]) -> Iterator[Row]:
    for at, line in lines:
        words = line.split("#")[0].strip()
        if columns and any(delimiter in words for delimiter in _DELIMITERS):
            faults.append(
                f"{name}:{at}: has more than a number: let the first line name the columns, number and any of "
                f"{', '.join(columns)}"
            )
        else:
            yield Row(at, {NUMBER: words})


def _table(
    lines: Sequence[tuple[int, str]], head: Sequence[str], name: str, columns: Collection[str], faults: list[str]
) -> Iterator[Row]:
    named = [_column(cell) for cell in head]
    line = lines[0][0]
    unknown = [cell for cell, column in zip(head, named, strict=True) if column not in (NUMBER, *columns)]
    if unknown:
        faults.append(f"{name}:{line}: {unknown[0]!r} is no column: write number and any of {', '.join(columns)}")
    if len(set(named)) < len(named):
        faults.append(f"{name}:{line}: names a column twice")
    if faults:
        return
    delimiter = max(_DELIMITERS, key=lines[0][1].count)
    for at, words in lines[1:]:
        cells = _split(words, delimiter)
        if len(cells) != len(named):
            faults.append(f"{name}:{at}: has {len(cells)} columns, and the first line names {len(named)}")
        else:
            yield Row(at, {column: cell for column, cell in zip(named, cells, strict=True) if cell})
