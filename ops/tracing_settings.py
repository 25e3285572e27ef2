"""The section ``[tracing]``: where spans go. See ``ops.settings``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.secret import Secret


def read_collector(text: str, field: str) -> str:
    """Check the address of a collector: that of its traces, whole."""
    if not text:
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or " " in text:
        raise BadValue(field, text, "write the whole address, for example 'http://127.0.0.1:4318/v1/traces'")
    if parts.username is not None or parts.password is not None:
        raise BadValue(field, "***", "holds a password: give it as tracing.authorization")
    return text


class TracingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Traces: spans of the steps of batches, for an OpenTelemetry collector. Off without an endpoint."""

    endpoint: Annotated[
        str,
        spec(
            "Address of the collector's traces over OTLP/HTTP, such as 'http://127.0.0.1:4318/v1/traces'; needs "
            "smshub[tracing].",
            read=read_collector,
        ),
    ] = ""
    ratio: Annotated[float, spec("Part of the batches that are traced.", minimum=0, maximum=1)] = 0.01
    authorization: Annotated[
        Secret | None, spec("Value of the header Authorization, where the collector asks for one.")
    ] = None


def tracing_contradictions(section: TracingSettings) -> Iterator[tuple[str, str]]:
    """What settings of the section say against each other: the setting, and what to do."""
    here = urlsplit(section.endpoint).hostname in ("localhost", "127.0.0.1", "::1")
    if section.authorization is not None and section.endpoint.startswith("http:") and not here:
        yield "endpoint", f"{section.endpoint}: must be https, the authorization would travel in the open (H15)"
