"""What the section ``[enum]`` asks for, as ``translators.enum_lookup`` wants it told."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping

import dns.tsig

from ops.enum_settings import EnumSettings
from provisioning.errors import BadValue
from translators.enum_cache import CacheRules
from translators.enum_lookup import EnumLookup, LookupSettings


def lookup_of(section: EnumSettings, environ: Mapping[str, str], clock: Callable[[], int]) -> EnumLookup | None:
    """The look-ups that a configuration asks for; None when it names no servers.

    Args:
        section: the settings.
        environ: to look the key's secret up in.
        clock: now in microseconds UTC.

    Raises: UnreadableSecret; BadValue: the secret is no base64.
    """
    if not section.servers:
        return None
    settings = LookupSettings(
        servers=section.servers,
        port=section.port,
        zones=section.zones,
        timeout_s=section.timeout_s,
        trust=section.trust,
        key=_key_of(section, environ),
        concurrency=section.concurrency,
        per_s=section.lookups_per_s,
        rules=CacheRules(
            size=section.cache_size,
            queue=section.queue,
            shortest_us=round(section.shortest_s * 1e6),
            longest_us=round(section.longest_s * 1e6),
            negative_us=round(section.negative_s * 1e6),
            failure_us=round(section.failure_s * 1e6),
        ),
    )
    return EnumLookup(settings, clock)


def _key_of(section: EnumSettings, environ: Mapping[str, str]) -> dns.tsig.Key | None:
    if section.tsig_secret is None:
        return None
    try:
        secret = b64decode(section.tsig_secret.reveal(environ), validate=True)
    except (binascii.Error, ValueError):
        raise BadValue("enum.tsig_secret", "***", "is no base64: give the secret as tsig-keygen prints it") from None
    if not secret:
        raise BadValue("enum.tsig_secret", "***", "is empty")
    return dns.tsig.Key(section.tsig_name, secret, f"{section.tsig_algorithm}.")
