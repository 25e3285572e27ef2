"""A shelf in a directory: each file is written beside its place, synced, and moved there in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hub.keeping import ArchiveError

_MODE = 0o600  # messages are nobody's to read but the hub's
_FOLDER_MODE = 0o700
_PART = ".part"


class DirectoryShelf:
    """See ``Shelf``.

    Args:
        folder: an absolute path; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, octets: bytes) -> None:
        """See ``Shelf``."""
        path = self._path(name)
        beside = path.with_name(path.name + _PART)
        try:
            self._make_folders(path.parent)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync(path.parent)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise _failed(name, error) from None

    def get(self, name: str) -> bytes:
        """See ``Shelf``."""
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise _failed(name, error) from None

    def remove(self, name: str) -> None:
        """See ``Shelf``."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync(path.parent)
        except OSError as error:
            raise _failed(name, error) from None

    def names(self, prefix: str) -> Iterator[str]:
        """See ``Shelf``. Files that are being written are not named."""
        try:
            for folder, folders, files in os.walk(self._folder, onerror=_raise):
                folders.sort()
                for file in sorted(files):
                    name = (Path(folder) / file).relative_to(self._folder).as_posix()
                    if name.startswith(prefix) and not name.endswith(_PART):
                        yield name
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failed(prefix, error) from None

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ArchiveError(f"{name!r} is no name of an object")
        return path

    def _make_folders(self, folder: Path) -> None:
        """Make a folder and those above it, and sync the one that each new one is named in."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            _sync(each.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise(error: OSError) -> None:
    raise error


def _failed(name: str, error: OSError) -> ArchiveError:
    return ArchiveError(f"{name}: {error.strerror or error}")
