"""The password or token of a registry, when it is needed. Reads a file when it is in one."""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.carrier_directory import CarrierDirectory
from provisioning.errors import UnreadableSecret


class NoCredentials(OSError):
    """The password of a directory cannot be read: nobody can be spoken to."""


def reveal(directory: CarrierDirectory, environ: Mapping[str, str]) -> str:
    """Answer a directory's password as it is now.

    Raises: NoCredentials: which says where it was looked for, never what is there.
    """
    if directory.password is None:
        raise NoCredentials(f"directory {directory.name!r} has no password")
    try:
        secret = directory.password.reveal(environ)
    except UnreadableSecret as error:
        raise NoCredentials(str(error)) from error
    # What a header cannot carry would end its line: a token pasted with a line break, most often.
    if not secret.isprintable():
        raise NoCredentials(f"the secret in {directory.password.reference} has characters that cannot be sent")
    return secret
