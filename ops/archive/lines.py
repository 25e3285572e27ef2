"""The form of an archived object: JSON Lines, compressed by gzip, and its manifest. Pure.

One line for each message, a ``hub.keeping_record.Record``; each says the version of its form. The octets depend on the
messages alone (gzip's header has no time and no name), so that the same messages make the same object. Any tool reads
it: ``zcat 17-23.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

import msgspec

from hub.keeping_record import VERSION, Record

SUFFIX = ".jsonl.gz"
LEVEL = 6
MAX_OCTETS = 1 << 30  # of one object when it is read, unpacked: a page of messages has a few million

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


class BadObject(Exception):
    """An object of the archive is not what it should be. The message says why, never what is in it."""


class Manifest(msgspec.Struct, frozen=True):
    """What is beside an object, as JSON.

    Attributes:
        v: version of the form.
        object: the object's name.
        messages, octets, sha256: of the object, as it lies there.
        first_received, last_received: microseconds since 1970.
        ids: the least and the greatest id.
    """

    v: int
    object: str
    messages: int
    octets: int
    sha256: str
    first_received: int
    last_received: int
    ids: tuple[int, int]


def manifest_name(name: str) -> str:
    """What the manifest of an object is called."""
    return f"{name}.manifest.json"


def pack(records: Sequence[Record]) -> bytes:
    """Messages as the octets of an object."""
    lines = b"".join(_encode(record) + b"\n" for record in records)
    return gzip.compress(lines, compresslevel=LEVEL, mtime=0)


def unpack(octets: bytes) -> list[Record]:
    """The messages of an object.

    Raises: BadObject.
    """
    try:
        inflater = zlib.decompressobj(wbits=31)
        lines = inflater.decompress(octets, MAX_OCTETS)
    except zlib.error as error:
        raise BadObject("it is not whole gzip") from error
    if not inflater.eof or inflater.unused_data:
        raise BadObject("it is not whole gzip, or too large")
    records: list[Record] = []
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadObject(f"line {number} is no message") from None
        if record.v > VERSION:
            raise BadObject(f"line {number} has version {record.v}, this program knows {VERSION}")
        records.append(record)
    return records


def manifest_of(name: str, records: Sequence[Record], octets: int, sha256: str) -> Manifest:
    """The manifest of an object."""
    received = [record.received for record in records]
    ids = [record.id for record in records]
    return Manifest(
        1, name, len(records), octets, sha256, min(received, default=0), max(received, default=0),
        (min(ids, default=0), max(ids, default=0)),
    )  # fmt: skip


class LinesForm:
    """See ``ops.archive.archive.Form``."""

    suffix = SUFFIX

    def pack(self, records: Sequence[Record]) -> bytes:
        """See ``Form``."""
        return pack(records)

    def unpack(self, octets: bytes) -> list[Record]:
        """See ``Form``."""
        return unpack(octets)
