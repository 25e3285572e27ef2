"""The archive that the settings ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from hub.keeping import ArchiveError
from ops.archive.archive import ObjectArchive, Shelf
from ops.archive.directory import DirectoryShelf
from ops.archive.s3 import S3Shelf
from provisioning.errors import BadValue
from provisioning.secret import Secret

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]{0,200}")


class Settings(Protocol):
    """What is asked of ``ops.settings.ArchiveSettings``."""

    @property
    def target(self) -> str:
        """``directory:PATH``, ``s3:BUCKET/PREFIX`` or empty."""
        ...

    @property
    def format(self) -> str:
        """``jsonl`` or ``parquet``."""
        ...

    @property
    def s3_endpoint_url(self) -> str:
        """Of the store, or empty for Amazon's."""
        ...

    @property
    def s3_region(self) -> str:
        """Of the bucket, or empty."""
        ...

    @property
    def s3_access_key(self) -> Secret | None:
        """Who asks."""
        ...

    @property
    def s3_secret_key(self) -> Secret | None:
        """And by which right."""
        ...


def read_target(text: str, field: str) -> str:
    """Check where the archive is: ``directory:PATH`` or ``s3:BUCKET/PREFIX``."""
    if not text:
        return text
    kind, _, place = text.partition(":")
    if kind == "directory" and place and "\x00" not in place:
        return text
    bucket, _, prefix = place.partition("/")
    if kind == "s3" and _BUCKET.fullmatch(bucket) and _PREFIX.fullmatch(prefix):
        return f"s3:{bucket}/{prefix.strip('/')}".rstrip("/")
    raise BadValue(field, text, "write 'directory:/var/lib/smshub/archive' or 's3:BUCKET/PREFIX'")


def archive_of(settings: Settings, folder: Path, environ: Mapping[str, str]) -> ObjectArchive | None:
    """The archive that the settings name, None when they name none. Nothing is asked of it yet.

    Args:
        settings: checked.
        folder: what a relative directory is taken from.
        environ: for secrets.

    Raises: BadValue: keys are missing, or boto3 is; UnreadableSecret.
    """
    kind, _, place = settings.target.partition(":")
    if not kind:
        return None
    if kind == "directory":
        return _formed(DirectoryShelf((folder / place).absolute()), settings)
    access, secret = settings.s3_access_key, settings.s3_secret_key
    if (access is None) != (secret is None):
        which = "s3_access_key" if access is None else "s3_secret_key"
        raise BadValue(f"archive.{which}", "", "access key and secret key go together: give both, or neither")
    bucket, _, prefix = place.partition("/")
    try:
        shelf = S3Shelf(
            bucket,
            prefix,
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            access_key=access.reveal(environ) if access is not None else "",
            secret_key=secret.reveal(environ) if secret is not None else "",
        )
    except ArchiveError as error:
        raise BadValue("archive.target", settings.target, str(error)) from None
    return _formed(shelf, settings)


def _formed(shelf: Shelf, settings: Settings) -> ObjectArchive:
    try:
        return ObjectArchive(shelf, settings.format)
    except ArchiveError as error:
        raise BadValue("archive.format", settings.format, str(error)) from None
