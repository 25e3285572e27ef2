"""Makes the adapter that a directory is spoken to by."""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Adapter


def adapter_of(directory: CarrierDirectory, environ: Mapping[str, str]) -> Adapter:
    """Make the adapter of a directory. It speaks to nobody yet.

    What an adapter needs is imported with it: who publishes by files loads no client of DNS.

    Args:
        directory: checked.
        environ: where secrets that are given by a variable are looked up.

    Raises: UnreadableSecret; OSError, ssl.SSLError when a file of certificates cannot be read.
    """
    if directory.adapter == "enum":
        from provisioning.directories.enum import EnumAdapter

        return EnumAdapter(directory, environ)
    if directory.adapter == "soap":
        from provisioning.directories.soap import SoapAdapter

        return SoapAdapter(directory, environ)
    if directory.adapter == "rest":
        from provisioning.directories.rest import RestAdapter

        return RestAdapter(directory, environ)
    from provisioning.directories.file import FileAdapter

    return FileAdapter(directory, environ)
