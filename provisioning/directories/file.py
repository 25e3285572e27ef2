"""Publishes by files that are dropped for a registry to fetch, and reads its acknowledgements (H5).

A file appears whole, by a rename after it is on the disk, and its digest after it: who waits for the digest never reads
half a file. Its name is made of the keys of its tasks, so that telling the same again drops the same file again, and
not at all when it is still there or was answered. What came of a call is written piece by piece: after a crash, the
rest of its tasks is told again, and found in the file of them all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Answer, Finding, Task
from provisioning.directories.file_format import (
    BadAcknowledgement,
    check_digest,
    digest_line,
    is_stem,
    keys_of,
    read_answers,
    stem_of,
    written,
)

MAX_OCTETS = 50_000_000  # of an acknowledgement; one of 10,000 numbers has half a megabyte
MAX_DIGEST_OCTETS = 1_000
_NOT_NAMED = Answer(Finding.SUBMITTED, "the registry's acknowledgement does not name it yet")


class FileAdapter:
    """Speaks to a registry by files.

    Args:
        directory: its ``drop_directory`` must exist.
        environ: not used: there is no secret.
    """

    def __init__(self, directory: CarrierDirectory, environ: Mapping[str, str]) -> None:
        self._name = directory.name
        self._drop = Path(directory.drop_directory)
        self._answers = Path(directory.answer_directory or directory.drop_directory)

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter``. Drops a file; the answer is an acknowledgement that ``confirm`` finds."""
        return self._told("publish", tasks)

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter``."""
        return self._told("withdraw", tasks)

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """See ``Adapter``. A number stands as the acknowledgement of its last file says."""
        answers: dict[int, Answer] = {}
        places: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            places.setdefault(task.remote_id, []).append(place)
        for stem, mine in places.items():  # one file at a time: each may be as long as MAX_OCTETS
            known = self._acknowledged(stem)
            for place in mine:
                answer = known if isinstance(known, Answer) else known.get(tasks[place].listing.number, _NOT_NAMED)
                answers[place] = answer
        return [answers[place] for place in range(len(tasks))]

    def close(self) -> None:
        """See ``Adapter``. Nothing is held open."""

    def _told(self, action: str, tasks: Sequence[Task]) -> list[Answer]:
        if not tasks:
            return []
        stem = self._dropped(tasks, stem_of(self._name, tasks))
        known = self._acknowledged(stem)
        if isinstance(known, Answer):  # no acknowledgement yet, or none to be read
            if stem == stem_of(self._name, tasks):
                self._put(f"{stem}.csv", written(action, tasks))
            known = {}
        told = Answer(Finding.SUBMITTED, remote_id=stem)
        return [_named(known.get(task.listing.number, told), stem) for task in tasks]

    def _dropped(self, tasks: Sequence[Task], stem: str) -> str:
        """The file, dropped whole with its digest, that has all of these tasks already; else ``stem``."""
        keys = {task.key for task in tasks}
        for beside in sorted(self._drop.glob(f"{stem.rpartition('-')[0]}-*.csv.sha256")):
            other = beside.name.removesuffix(".csv.sha256")
            if other == stem or not is_stem(other):
                continue
            with suppress(BadAcknowledgement):
                octets = _bounded(self._drop / f"{other}.csv", MAX_OCTETS)
                if octets is not None and keys <= keys_of(octets):
                    return other
        return stem

    def _put(self, name: str, octets: bytes) -> None:
        """Make a file and its digest appear, in this order, each whole and on the disk."""
        for each, content in ((name, octets), (f"{name}.sha256", digest_line(octets, name))):
            path = self._drop / each
            with suppress(FileNotFoundError):
                if path.stat().st_size == len(content) and path.read_bytes() == content:
                    continue
            # Of one's own: another publisher may be dropping the same, which must not cut this one short.
            half = self._drop / f".{each}.{os.getpid()}-{threading.get_ident()}.part"
            try:
                with half.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                half.rename(path)
            except OSError:
                half.unlink(missing_ok=True)
                raise
            self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._drop, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _acknowledged(self, stem: str) -> dict[str, Answer] | Answer:
        """What a file's acknowledgement says, by number; or how all of its numbers stand without one."""
        if not is_stem(stem):
            return Answer(Finding.ABSENT, "it was never put into a file")
        name = f"{stem}.ack.csv"
        try:
            octets = _bounded(self._answers / name, MAX_OCTETS)
            if octets is None:
                return Answer(Finding.SUBMITTED, "no acknowledgement yet")
            beside = _bounded(self._answers / f"{name}.sha256", MAX_DIGEST_OCTETS)
            if beside is not None:
                check_digest(octets, beside)
            return read_answers(octets)
        except BadAcknowledgement as error:
            return Answer(Finding.LATER, f"{name}: {error}")


def _bounded(path: Path, most: int) -> bytes | None:
    """A file's octets; None when it is not there."""
    try:
        with path.open("rb") as file:
            octets = file.read(most + 1)
    except FileNotFoundError:
        return None
    if len(octets) > most:
        raise BadAcknowledgement(f"has more than {most:,} octets")
    return octets


def _named(answer: Answer, stem: str) -> Answer:
    return Answer(answer.finding, answer.reason, stem, answer.after_s)
