"""The archive over any shelf: objects with manifests, written, read, checked and removed. Blocks.

An object is there before its manifest is. Whoever finds a manifest finds its object whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from hub.keeping import ArchiveError, Stored
from hub.keeping_record import Record
from ops.archive.lines import BadObject, LinesForm, Manifest, manifest_name, manifest_of
from ops.archive.parquet import ParquetForm


class Shelf(Protocol):
    """Where octets lie under names. Names are relative paths of ``a-z 0-9 . _ - /``."""

    def put(self, name: str, octets: bytes) -> None:
        """Write, or write over; once it returns, a power cut takes nothing of it. Raises: ArchiveError."""
        ...

    def get(self, name: str) -> bytes:
        """Read. Raises: ArchiveError, also when there is none."""
        ...

    def remove(self, name: str) -> None:
        """Remove; nothing happens when there is none. Raises: ArchiveError."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """All names with a beginning, in any order. Raises: ArchiveError."""
        ...


class Form(Protocol):
    """How messages become octets, and are read again."""

    @property
    def suffix(self) -> str:
        """What names of such objects end in."""
        ...

    def pack(self, records: Sequence[Record]) -> bytes:
        """Messages as octets."""
        ...

    def unpack(self, octets: bytes) -> list[Record]:
        """The messages again. Raises: BadObject."""
        ...


class ObjectArchive:
    """See ``hub.keeping.Archive``. What was written in another form is read nevertheless.

    Args:
        shelf: where objects lie.
        form: of what is written from now on: ``"jsonl"`` or ``"parquet"``.

    Raises: ArchiveError: what the form needs is not installed.
    """

    def __init__(self, shelf: Shelf, form: str = "jsonl") -> None:
        self.shelf = shelf
        self._form: Form = ParquetForm() if form == "parquet" else LinesForm()

    @property
    def suffix(self) -> str:
        """What names of objects that are written from now on end in."""
        return self._form.suffix

    def _form_of(self, name: str) -> Form:
        if name.endswith(self._form.suffix):
            return self._form
        return ParquetForm() if name.endswith(ParquetForm.suffix) else LinesForm()

    def store(self, name: str, records: Sequence[Record]) -> Stored:
        """See ``hub.keeping.Archive``."""
        octets = self._form_of(name).pack(records)
        stored = Stored(len(octets), hashlib.sha256(octets).hexdigest())
        self.shelf.put(name, octets)
        manifest = manifest_of(name, records, stored.octets, stored.sha256)
        self.shelf.put(manifest_name(name), msgspec.json.encode(manifest) + b"\n")
        return stored

    def load(self, name: str) -> list[Record]:
        """See ``hub.keeping.Archive``."""
        try:
            return self._form_of(name).unpack(self.shelf.get(name))
        except BadObject as error:
            raise ArchiveError(f"{name}: {error}") from None

    def remove(self, name: str) -> None:
        """See ``hub.keeping.Archive``. The manifest goes first."""
        self.shelf.remove(manifest_name(name))
        self.shelf.remove(name)

    def fault_of(self, name: str, sha256: str, messages: int) -> str:
        """What is wrong with an object, or empty.

        Args:
            name: the object's.
            sha256, messages: what the index says of it.
        """
        try:
            octets = self.shelf.get(name)
            manifest = msgspec.json.decode(self.shelf.get(manifest_name(name)), type=Manifest)
            records = self._form_of(name).unpack(octets)
        except (ArchiveError, BadObject) as error:
            return str(error)
        except msgspec.DecodeError:
            return "its manifest is none"
        digest = hashlib.sha256(octets).hexdigest()
        if digest != sha256:
            return "its SHA-256 is not that of the index"
        if (manifest.sha256, manifest.octets, manifest.messages) != (digest, len(octets), len(records)):
            return "its manifest is another object's"
        if len(records) != messages:
            return f"it has {len(records)} messages, the index says {messages}"
        return ""
