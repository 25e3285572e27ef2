"""Directories of carriers and the industry that numbers are published into (H5, H6). Pure, immutable.

``Directory`` (in ``directory``) is the hub's own; these are everybody else's. See ``model`` for what the annotations
are for, ``provisioning.directories`` for the adapters that speak to them.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.secret import Secret

ADAPTERS = ("enum", "soap", "rest", "file")
TSIG_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
_URL = re.compile(r"https?://[^\s/@]+(?:/\S*)?")
_LOOPBACK = re.compile(r"http://(?:127\.[0-9.]+|localhost|\[::1\])(?::[0-9]+)?(?:/|$)")


def read_url(text: str, field: str) -> str:
    """Check the address of a registry: https, or http on this machine."""
    if not _URL.fullmatch(text):
        raise BadValue(field, text, "is no URL: write for example 'https://registry.example.net/v1'")
    if text.startswith("http:") and not _LOOPBACK.match(text):
        raise BadValue(field, text, "must be https: the password would travel in the open (H15)")
    return text.rstrip("/")


class CarrierDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """A registry or carrier database that numbers are published into (H5)."""

    KIND: ClassVar[str] = "directory"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    adapter: Annotated[
        str,
        spec(
            "How it is spoken to: 'enum' (NAPTR records by DNS update), 'soap', 'rest', 'file' (a CSV file dropped).",
            choices=ADAPTERS,
        ),
    ]
    title: Annotated[str, spec("Its name for people.", maximum=100)] = ""
    url: Annotated[str, spec("soap, rest: where the registry answers.", read=read_url)] = ""
    username: Annotated[str, spec("soap: the user of the WS-Security token.", maximum=100)] = ""
    password: Annotated[Secret | None, spec("soap: the user's password; rest: the bearer token.")] = None
    ca_file: Annotated[
        str, spec("soap, rest: certificate authorities to trust (PEM); the system's when not given.", is_path=True)
    ] = ""
    server: Annotated[str, spec("enum: the primary name server of the zone.", read=syntax.read_host)] = ""
    port: Annotated[int, spec("enum: its port.", minimum=1, maximum=65_535)] = 53
    zone: Annotated[str, spec("enum: the zone that numbers are published in.", read=syntax.read_domain)] = "e164.arpa"
    tsig_name: Annotated[str, spec("enum: name of the TSIG key.", read=syntax.read_domain)] = ""
    tsig_secret: Annotated[Secret | None, spec("enum: the TSIG key, base64.")] = None
    tsig_algorithm: Annotated[str, spec("enum: the TSIG key's algorithm.", choices=TSIG_ALGORITHMS)] = "hmac-sha256"
    ttl_s: Annotated[int, spec("enum: time to live of records.", unit="s", minimum=0, maximum=604_800)] = 3600
    gateway: Annotated[
        str,
        spec(
            "enum: host that texts for the numbers are to be sent to, in sip: and mailto: URIs.", read=syntax.read_host
        ),
    ] = ""
    drop_directory: Annotated[
        str, spec("file: the folder that CSV files are put into; it must exist.", maximum=500, is_path=True)
    ] = ""
    answer_directory: Annotated[
        str,
        spec(
            "file: the folder in which the registry's acknowledgements appear; drop_directory when not given.",
            maximum=500,
            is_path=True,
        ),
    ] = ""
    network_id: Annotated[str, spec("Network id that is published (H6).", maximum=64)] = ""
    entity_id: Annotated[str, spec("Entity id that is published (H6).", maximum=64)] = ""
    ip_address: Annotated[str, spec("Address of the message link that is published (H6).", read=syntax.read_host)] = ""
    batch: Annotated[
        int, spec("Most numbers in one call, or in one file.", unit="numbers", minimum=1, maximum=10_000)
    ] = 500
    timeout_s: Annotated[float, spec("How long an answer is waited for.", unit="s", minimum=0.1, maximum=600)] = 30.0
    retry_first_s: Annotated[
        float, spec("Wait before the first retry; each further one doubles it.", unit="s", minimum=0.1, maximum=3600)
    ] = 5.0
    retry_longest_s: Annotated[float, spec("Longest wait between retries.", unit="s", minimum=1, maximum=86_400)] = (
        3600.0
    )
    confirm_s: Annotated[
        float,
        spec(
            "How long a number may stay submitted before it counts as overdue, which is an alert.",
            unit="s",
            minimum=1,
            maximum=2_592_000,
        ),
    ] = 86_400.0

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


def identity_of(directory: CarrierDirectory) -> dict[str, str]:
    """What a directory's numbers are found by again: with another of these they would be in another directory.

    Where it answers (``server``, ``url``) is none of it: registries move. Of a zone it is who we are there, too.

    Returns: value by setting.
    """
    if directory.adapter != "enum":
        return {"adapter": directory.adapter}
    owner = "entity_id" if directory.entity_id else "tsig_name"
    return {"adapter": "enum", "zone": directory.zone, owner: directory.entity_id or directory.tsig_name}


def place_of(directory: CarrierDirectory) -> tuple[object, ...] | None:
    """Where a directory is, and who we are there: two of one place would take each other's numbers out.

    Returns: None by files, which say in their names whose they are.
    """
    if directory.adapter == "file":
        return None
    if directory.adapter == "enum":
        return (directory.server, directory.port, *identity_of(directory).values())
    return (directory.adapter, directory.url, directory.username, directory.password)


_NEEDS = {
    "enum": ("server", "tsig_name", "tsig_secret", "gateway"),
    "soap": ("url", "username", "password"),
    "rest": ("url", "password"),
    "file": ("drop_directory",),
}


def check_carrier_directory(directory: CarrierDirectory) -> list[BadValue]:
    """Check that a directory has what its adapter needs."""
    problems = [
        BadValue(field, None, f"is missing: adapter {directory.adapter!r} needs it")
        for field in _NEEDS[directory.adapter]
        if not getattr(directory, field)
    ]
    if directory.retry_longest_s < directory.retry_first_s:
        problems.append(BadValue("retry_longest_s", directory.retry_longest_s, "must not be below retry_first_s"))
    return problems
