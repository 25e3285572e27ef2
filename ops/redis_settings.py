"""The section ``[redis]``: what nodes share through Redis. See ``ops.settings``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.secret import Secret

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
MOST_DB: Final = 65_535
_HOW: Final = (
    "write 'redis://HOST:PORT/DB', 'rediss://HOST' (TLS), 'unix:///PATH', or 'redis+sentinel://HOST,HOST/NAME' "
    "('rediss+sentinel' with TLS)"
)


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is, as a URL says it.

    Attributes:
        hosts: (host, port) of the server, or of each Sentinel; none for a Unix socket.
        path: the Unix socket, or empty.
        service: what Sentinels call the servers that they watch; empty without Sentinels.
        tls: whether all of them are spoken to by TLS.
        username: of an ACL, or empty.
        db: the database's number.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    tls: bool = False
    username: str = ""
    db: int = 0

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this machine."""
        return all(_is_loopback(host) for host, _ in self.hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(url: str, field: str = "url") -> RedisAddress:
    """Read a URL.

    Raises: BadValue: it is none of the forms, or has a password in it, which is not shown.
    """
    scheme, separator, rest = url.partition("://")
    secure = scheme.startswith("rediss")
    if not separator or scheme not in ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"):
        # Not shown: it may hold a password.
        raise BadValue(field, "***" if "@" in url else url, _HOW)
    authority, slash, path = rest.partition("?")[0].partition("/")
    user, _, places = authority.rpartition("@")
    if ":" in user:
        raise BadValue(field, "***", "holds a password: give it as redis.password, redis.password_file or _env")
    try:
        options = dict(parse_qsl(urlsplit(url).query, strict_parsing=True) if "?" in url else [])
        if scheme == "unix":
            db = _db_of(options.pop("db", ""))
            usable = not places and not options and bool(path)
            if usable:
                return RedisAddress(path=slash + unquote(path), username=unquote(user), db=db)
        else:
            default = SENTINEL_PORT if scheme.endswith("sentinel") else PORT
            hosts = tuple(_host_of(place, default) for place in places.split(","))
            if scheme.endswith("sentinel"):
                service, _, number = path.partition("/")
                if service and not options:
                    return RedisAddress(
                        hosts=hosts, service=unquote(service), tls=secure, username=unquote(user), db=_db_of(number)
                    )
            elif len(hosts) == 1 and not options:
                return RedisAddress(hosts=hosts, tls=secure, username=unquote(user), db=_db_of(path))
    except ValueError:
        pass
    raise BadValue(field, url, _HOW)


def _host_of(place: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    if not parts.hostname or parts.port == 0 or not place.isascii() or " " in place:
        raise ValueError(place)
    return parts.hostname, parts.port or default


def _db_of(words: str) -> int:
    if not words:
        return 0
    if not words.isascii() or not words.isdigit() or int(words) > MOST_DB:
        raise ValueError(words)
    return int(words)


def read_redis_url(text: str, field: str) -> str:
    """Check a URL of Redis; empty for none."""
    if text:
        address_of(text, field)
    return text


def read_prefix(text: str, field: str) -> str:
    """Check the beginning of keys: words that need no quoting anywhere."""
    if not text or len(text) > 64 or not all(c.isascii() and (c.isalnum() or c in ":._-{}") for c in text):
        raise BadValue(field, text, "use letters, digits and : . _ - alone, 64 at most, for example 'smshub:'")
    return text


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What several daemons on one database share beside it. Off without a URL; nothing depends on it."""

    url: Annotated[
        str,
        spec(
            "'redis://HOST:PORT/DB', 'rediss://HOST' (TLS), 'unix:///PATH', or 'redis+sentinel://HOST,HOST/NAME' "
            "('rediss+sentinel' with TLS). The same for all nodes.",
            read=read_redis_url,
        ),
    ] = ""
    password: Annotated[Secret | None, spec("The password of the user that the URL names, or of the default one.")] = (
        None
    )
    sentinel_password: Annotated[Secret | None, spec("What Sentinels ask for, when they ask for something.")] = None
    tls_ca_file: Annotated[
        str, spec("Who signed the servers' certificates (PEM); the system's authorities when not given.", is_path=True)
    ] = ""
    tls_cert_file: Annotated[str, spec("The hub's own certificate (PEM), for servers that ask.", is_path=True)] = ""
    tls_key_file: Annotated[str, spec("The key of the certificate (PEM).", is_path=True)] = ""
    plain: Annotated[
        bool,
        spec(
            "Allow a password to go to another machine without TLS: only over a private link between trusted machines."
        ),
    ] = False
    prefix: Annotated[
        str, spec("How each key and channel begins; one for each hub that a Redis serves.", read=read_prefix)
    ] = "smshub:"
    feed_stream: Annotated[
        bool, spec("Relay what happens to the [stream](feed-stream.md) '<prefix>feed', for services that follow.")
    ] = False
    feed_keep: Annotated[
        int,
        spec(
            "Events that the stream keeps, about; some 0.1 KB of Redis's memory each.",
            unit="events",
            minimum=100,
            maximum=100_000_000,
        ),
    ] = 100_000


def redis_contradictions(section: RedisSettings) -> Iterator[tuple[str, str]]:
    """What settings of the section say against each other: the setting, and what to do."""
    if not section.url:
        for name in ("password", "sentinel_password"):
            if getattr(section, name) is not None:
                yield "url", f"is missing: {name} is for a Redis, and none is named"
        if section.feed_stream:
            yield "url", "is missing: a stream needs a Redis"
        return
    address = address_of(section.url)
    if address.username and section.password is None:
        yield "password", f"is missing: the URL names the user {address.username!r}"
    if section.sentinel_password is not None and not address.service:
        yield "sentinel_password", "means nothing without Sentinels: leave it out"
    if bool(section.tls_cert_file) != bool(section.tls_key_file):
        missing = "tls_key_file" if section.tls_cert_file else "tls_cert_file"
        yield missing, "is missing: a certificate and its key come together"
    if (section.tls_ca_file or section.tls_cert_file) and not address.tls:
        yield "url", f"{section.url}: speaks no TLS: write rediss://, or leave the certificates out"
    has_secret = section.password is not None or section.sentinel_password is not None
    if has_secret and not address.tls and not address.is_local and not section.plain:
        yield "url", f"{section.url}: must be rediss, the password would travel in the open; plain = true allows it"
