"""The archive: where messages go that a retention rule archives, in a directory or an S3-compatible store (H36)."""

from hub.keeping import ArchiveError
from ops.archive.archive import ObjectArchive, Shelf
from ops.archive.directory import DirectoryShelf
from ops.archive.lines import BadObject, LinesForm, Manifest, manifest_name, pack, unpack
from ops.archive.making import archive_of, read_target
from ops.archive.parquet import ParquetForm
from ops.archive.s3 import S3Shelf

__all__ = [
    "ArchiveError",
    "BadObject",
    "DirectoryShelf",
    "LinesForm",
    "Manifest",
    "ObjectArchive",
    "ParquetForm",
    "S3Shelf",
    "Shelf",
    "archive_of",
    "manifest_name",
    "pack",
    "read_target",
    "unpack",
]
