"""Keys of the control interface: who may provision over HTTP, for whom, and what (H4). Pure, immutable.

See ``model`` for what the annotations are for. A key is 32 random octets: its SHA-256 is as good as a slow hash, since
nobody can guess it, and it is looked at with each request.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.authority import read_digest
from provisioning.fields import spec

SCOPES = (
    "numbers:read",
    "numbers:write",
    "loa:read",
    "loa:write",
    "publications:read",
    "publications:write",
    "messages:read",
    "audit:read",
)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the control interface, of one call centre (H4). Made by `smshub api-key create`, which shows it once."""

    KIND: ClassVar[str] = "api-key"

    name: Annotated[str, spec("Its name in commands, logs and the audit.", key=True, read=syntax.read_name)]
    call_centre: Annotated[str, spec("The call centre that it acts for.", read=syntax.read_name)]
    scopes: Annotated[tuple[str, ...], spec("What it may do.", choices=SCOPES)] = SCOPES
    digest: Annotated[str, spec("SHA-256 of the key: 'sha256:' and 64 hexadecimal digits.", read=read_digest)]
    per_minute: Annotated[
        int, spec("Requests that it may make.", unit="requests a minute", minimum=1, maximum=1_000_000)
    ] = 600
    valid_until: Annotated[str, spec("Last day (UTC); without end when not given.", read=syntax.read_day)] = ""
    state: Annotated[str, spec("A suspended key opens nothing.", choices=("active", "suspended"))] = "active"

    @property
    def key(self) -> str:
        """Its name."""
        return self.name
