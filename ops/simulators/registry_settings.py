"""What a simulated registry is told. Pure values."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ops.simulators.registry_behaviour import Behaviour
from ops.simulators.registry_users import User


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated registry is.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        users: who may speak to it.
        behaviour: at the start.
        state: the file that keeps its numbers, or None to forget them.
        tls_cert_file, tls_key_file: certificate and key (PEM); in clear without them.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    users: tuple[User, ...] = ()
    behaviour: Behaviour = Behaviour()
    state: Path | None = None
    tls_cert_file: str = ""
    tls_key_file: str = ""
