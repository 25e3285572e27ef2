"""The file of a simulated registry: what it keeps survives it, kill -9 included.

One JSON line for each request that changed something, written and synced before the request is answered, so that a
request is kept whole or not at all: a last line that is not whole was never answered, and is left out. When the file is
opened, it is written anew with one line for what is in force: it grows with what changed in one run only.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from ops.simulators.registry_book import Book, Entry
from ops.simulators.smsc_errors import SimulatorError

Line = dict[str, Entry]


class BadState(SimulatorError):
    """A state file is none."""


class StateFile:
    """The file of a book.

    Args:
        path: of the file; it is made when it is not there.
        book: is filled from it.

    Raises: BadState, OSError.
    """

    def __init__(self, path: Path, book: Book) -> None:
        self._book = book
        if path.exists():
            _load(path, book)
        fresh = path.with_name(f"{path.name}.new")
        self._file: IO[bytes] = fresh.open("wb", buffering=0)
        book.changed.update(book.entries)
        self.write()
        fresh.replace(path)

    def write(self) -> None:
        """Put what has changed into the file, for good. Blocks until the disk has it. Raises: OSError."""
        if not self._book.changed:
            return
        size = self._file.tell()
        line = {number: self._book.entries.get(number, Entry()) for number in sorted(self._book.changed)}
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
            os.fsync(self._file.fileno())
        except OSError:
            # Half a line in the middle would make the file unreadable; what it was for is written with the next one.
            self._file.seek(size)
            self._file.truncate(size)
            raise
        self._book.changed.clear()

    def __enter__(self) -> StateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()


def _load(path: Path, book: Book) -> None:
    with path.open("rb") as file:
        for number, octets in enumerate(file, 1):
            if not octets.endswith(b"\n"):
                return  # cut off while it was written
            try:
                line = msgspec.json.decode(octets, type=Line)
                for name, entry in line.items():
                    book.restore(name, entry)
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
                raise BadState(f"{path}:{number} is no line of a registry's state: {error}") from None
