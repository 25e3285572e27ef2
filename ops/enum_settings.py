"""The section ``[enum]``: looking numbers up in carriers' directories. See ``ops.settings``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

import msgspec

from provisioning.carrier_directory import TSIG_ALGORITHMS
from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.secret import Secret
from provisioning.syntax import read_domain


def read_address(text: str, field: str) -> str:
    """Check an IP address: to find the address of a name server's name takes a name server."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadValue(field, text, "is no IP address: write for example '127.0.0.1'") from None


class EnumSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Looking up by ENUM who stands behind a number, for routes that ask for an element (H6). Off without servers."""

    servers: Annotated[
        tuple[str, ...],
        spec(
            "Addresses of name servers, asked one after the other until one answers; none: no look-ups.",
            read=read_address,
        ),
    ] = ()
    port: Annotated[int, spec("Their port.", minimum=1, maximum=65_535)] = 53
    zones: Annotated[
        tuple[str, ...], spec("Zones of numbers, asked in order until one knows the number.", read=read_domain)
    ] = ("e164.arpa",)
    trust: Annotated[
        str,
        spec(
            "What an answer needs to be believed: 'signed', a TSIG signature, or without a key the AD bit of a "
            "validating resolver, which must be on this machine or behind a trusted link; 'any', nothing.",
            choices=("signed", "any"),
        ),
    ] = "signed"
    tsig_name: Annotated[str, spec("Name of the TSIG key that the servers sign with.", read=read_domain)] = ""
    tsig_secret: Annotated[Secret | None, spec("The TSIG key, base64.")] = None
    tsig_algorithm: Annotated[str, spec("The TSIG key's algorithm.", choices=TSIG_ALGORITHMS)] = "hmac-sha256"
    timeout_s: Annotated[float, spec("How long each server is waited for.", unit="s", minimum=0.05, maximum=60)] = 2.0
    lookups_per_s: Annotated[
        float,
        spec(
            "Look-ups begun in a second; each takes the hub about a millisecond of its core.",
            unit="look-ups",
            minimum=0.1,
            maximum=10_000,
        ),
    ] = 100.0
    concurrency: Annotated[int, spec("Look-ups at a time.", unit="look-ups", minimum=1, maximum=1000)] = 32
    queue: Annotated[
        int,
        spec("Numbers that may wait to be looked up; more are not queued.", unit="numbers", minimum=1, maximum=100_000),
    ] = 1000
    cache_size: Annotated[
        int,
        spec(
            "Numbers with an element that are remembered, some 0.3 KB each; twice as many without one.",
            unit="numbers",
            minimum=1,
            maximum=10_000_000,
        ),
    ] = 100_000
    shortest_s: Annotated[
        float, spec("No answer is believed for less, whatever its time to live.", unit="s", minimum=1, maximum=86_400)
    ] = 60.0
    longest_s: Annotated[float, spec("And none for longer.", unit="s", minimum=1, maximum=604_800)] = 86_400.0
    negative_s: Annotated[
        float, spec("For how long, at most, a number is known to have no element.", unit="s", minimum=1, maximum=86_400)
    ] = 3600.0
    failure_s: Annotated[
        float, spec("How long after a failed look-up the same number is left alone.", unit="s", minimum=1, maximum=3600)
    ] = 30.0


def enum_contradictions(section: EnumSettings) -> Iterator[tuple[str, str]]:
    """What settings of the section say against each other: the setting, and what to do."""
    if bool(section.tsig_name) != (section.tsig_secret is not None):
        missing = "tsig_secret" if section.tsig_name else "tsig_name"
        yield missing, "is missing: a key's name and secret come together"
    if section.longest_s < section.shortest_s:
        yield "longest_s", f"{section.longest_s:g}: must not be below shortest_s"
    if section.servers and not section.zones:
        yield "zones", "is empty: name a zone, for example ['e164.arpa']"
