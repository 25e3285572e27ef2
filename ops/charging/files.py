"""Files of charging records: each is whole and final when it can be seen, and is seen once. Blocking; the shell's.

A file holds what happened from one position of the feed (not included) to another (included). The steps by which it
comes to be:

1. it is written under a hidden name, and flushed to the disk;
2. the *state* is written, likewise: number, positions, the names of file and twin. From here on the file counts;
3. the hidden names become the ones that are seen, and the directory is flushed;
4. the follower's position in the store is moved (``follower``).

Whoever dies before 2 leaves hidden files that no state names: they are removed, and made again. Whoever dies between 2
and 4 finds a state that begins where the store says that the follower is: what is still hidden is shown, and the
position moved. What is hidden no more *was* shown, and may have been fetched and deleted since: it is not made again.
So a reader may take files away as soon as it sees them, which is what mediation systems do.

The names are those of 3GPP TS 32.297 §6.2: node, running count, date and time, and as private information the two
positions: ``smshub0_-_0000000012.20261122_-_0640+0000_-_1201-1377.cdr``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from ops.charging import ber, csv_twin
from ops.charging.records import MAX_SEQUENCE, Record

BER_SUFFIX: Final = ".cdr"
CSV_SUFFIX: Final = ".csv"
FORMATS: Final = {"ber": (BER_SUFFIX,), "csv": (CSV_SUFFIX,), "ber+csv": (CSV_SUFFIX, BER_SUFFIX)}
"""What is made of each setting. The twin is shown first: who waits for the one finds the other."""
FILE_MODE: Final = 0o640
_HIDDEN: Final = "."
_PART: Final = ".part"


class SpoolState(msgspec.Struct, frozen=True, kw_only=True):
    """The last file that counts.

    Attributes:
        v: version of the form.
        number: its running count.
        after: the position of the feed that it begins behind.
        until: the position that it ends with.
        next_sequence: the number of the record that comes after its last.
        names: what it and its twin are called.
    """

    v: int = 1
    number: int = 0
    after: int = 0
    until: int = 0
    next_sequence: int = 1
    names: tuple[str, ...] = ()


class BadState(Exception):
    """The state of a directory cannot be read. Attributes: path."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}; move the directory's files away, and this one with them, to begin anew")
        self.path = path


def _flush_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _state_name(node: str) -> str:
    return f"{_HIDDEN}{node}-charging"


def _hidden(path: Path) -> Path:
    return path.with_name(f"{_HIDDEN}{path.name}{_PART}")


class Spool:
    """A directory of charging records.

    Args:
        directory: where; it must be there.
        node_id: of the daemon.
        formats: a key of ``FORMATS``.
    """

    def __init__(self, directory: Path, node_id: int, formats: str) -> None:
        self.directory = directory
        self._node = f"smshub{node_id}"
        self._suffixes = FORMATS[formats]

    def load(self) -> SpoolState:
        """The state of the directory; removes what no state names.

        Raises: OSError; BadState.
        """
        self.directory.stat()  # never made here: it may be a disk that is not mounted yet
        path = self.directory / _state_name(self._node)
        try:
            state = msgspec.json.decode(path.read_bytes(), type=SpoolState)
        except FileNotFoundError:
            state = SpoolState()
        except msgspec.MsgspecError as error:
            raise BadState(path, str(error)) from error
        kept = {_hidden(self.directory / name) for name in state.names}
        path.with_name(f"{path.name}{_PART}").unlink(missing_ok=True)
        for leftover in self.directory.glob(f"{_HIDDEN}{self._node}_-_*{_PART}"):
            if leftover not in kept:
                leftover.unlink()
        return state

    def begin(self, state: SpoolState, after: int, now_us: int) -> Writing:
        """Begin a file.

        Args:
            state: the last one's.
            after: the position that it begins behind.
            now_us: the time that its name says.

        Raises: OSError.
        """
        number = state.number + 1
        moment = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%d_-_%H%M+0000")
        return Writing(self.directory, self._node, f"{number:010}.{moment}", self._suffixes, state, after)

    def show(self, state: SpoolState) -> None:
        """Let the files of a state be seen; those that were are left alone. Raises: OSError."""
        for name in state.names:
            path = self.directory / name
            try:
                _hidden(path).rename(path)
            except FileNotFoundError:
                continue
        _flush_directory(self.directory)


class Writing:
    """A file that is being written. Made by ``Spool.begin``; everything may raise OSError.

    Attributes:
        next_sequence: the number of the next record.
    """

    def __init__(
        self, directory: Path, node: str, moment: str, suffixes: Sequence[str], state: SpoolState, after: int
    ) -> None:
        self.next_sequence = state.next_sequence
        self._directory = directory
        self._node = node
        self._beginning = f"{node}_-_{moment}"
        self._number = state.number + 1
        self._after = after
        self._files: dict[str, IO[bytes]] = {}
        try:
            for suffix in suffixes:
                self._files[suffix] = self._open(self._part(suffix))
                if suffix == CSV_SUFFIX:
                    self._files[suffix].write(csv_twin.head())
        except BaseException:
            self.abandon()
            raise

    @staticmethod
    def _open(path: Path) -> IO[bytes]:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        return os.fdopen(handle, "wb")

    def append(self, records: Sequence[Record]) -> None:
        """Write records, numbered from ``next_sequence`` on."""
        for suffix, file in self._files.items():
            file.write(ber.encode(records) if suffix == BER_SUFFIX else csv_twin.lines(records))
        self.next_sequence = (self.next_sequence + len(records)) % MAX_SEQUENCE

    def finish(self, until: int) -> SpoolState:
        """Bring everything to the disk, still hidden, and let it count.

        Args:
            until: the position that the file ends with.

        Returns: the directory's state. ``Spool.show`` does the rest.
        """
        names: list[str] = []
        for suffix, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            path = self._directory / f"{self._beginning}_-_{self._after}-{until}{suffix}"
            self._part(suffix).rename(_hidden(path))
            names.append(path.name)
        state = SpoolState(
            number=self._number, after=self._after, until=until, next_sequence=self.next_sequence, names=tuple(names)
        )
        _flush_directory(self._directory)
        self._write_state(state)
        return state

    def _part(self, suffix: str) -> Path:
        return self._directory / f"{_HIDDEN}{self._beginning}{suffix}{_PART}"

    def _write_state(self, state: SpoolState) -> None:
        path = self._directory / _state_name(self._node)
        part = path.with_name(f"{path.name}{_PART}")
        with self._open(part) as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        _flush_directory(self._directory)

    def abandon(self) -> None:
        """Remove what was written."""
        for suffix, file in self._files.items():
            self._part(suffix).unlink(missing_ok=True)
            try:
                file.close()
            except OSError:
                continue  # it would flush to a full disk; the file is gone already


def files_of(directory: Path) -> list[Path]:
    """The files of charging records that can be seen in a directory, oldest first. Raises: OSError."""
    return sorted(
        path for path in directory.iterdir() if path.suffix in (BER_SUFFIX, CSV_SUFFIX) and path.name[0] != "."
    )
