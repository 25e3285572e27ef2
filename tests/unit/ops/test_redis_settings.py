"""The section ``[redis]``: what a URL means, and what is refused, with no secret in the words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.config import ConfigErrors, read_config
from ops.redis_settings import RedisAddress, address_of
from provisioning.errors import BadValue


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress(hosts=(("h", 6379),))),
        ("redis://h:7000/3", RedisAddress(hosts=(("h", 7000),), db=3)),
        ("rediss://hub@h/", RedisAddress(hosts=(("h", 6379),), tls=True, username="hub")),
        ("redis://[::1]:7000", RedisAddress(hosts=(("::1", 7000),))),
        ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
        ("unix://hub@/run/redis.sock?db=2", RedisAddress(path="/run/redis.sock", username="hub", db=2)),
        ("redis+sentinel://a,b:7000/hub", RedisAddress(hosts=(("a", 26379), ("b", 7000)), service="hub")),
        ("rediss+sentinel://u@a/h/1", RedisAddress(hosts=(("a", 26379),), service="h", tls=True, username="u", db=1)),
    ],
)  # fmt: skip
def test_what_a_url_means(url: str, address: RedisAddress) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "h:6379", "http://h", "redis://", "redis://h:0", "redis://h:99999", "redis://a,b", "redis://h/x", "redis://h/-1",
        "redis://h/70000", "redis://h?db=1", "redis://h /1", "unix://", "unix:///s?x=1", "unix:///s?db=one",
        "unix://host/s", "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a,/hub", "redis+sentinel:///hub",
        "redis://\udcff",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(BadValue):
        address_of(url)


@pytest.mark.parametrize("url", ["redis://u:word@h", "redis://:word@h", "http://u:word@h", "unix://u:word@/s"])
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BadValue) as raised:
        address_of(url)
    assert "word@" not in str(raised.value)


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        read_config(f"[redis]\n{text}", "x.toml", Path("/nowhere"))
    return [f"{error.where}: {error.message}" for error in raised.value.errors]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("feed_stream = true", "redis.url: is missing"),
        ('password = "word"', "redis.url: is missing"),
        ('url = "redis://hub@h"', "redis.password: is missing"),
        ('url = "redis://h"\npassword = "word"', "redis.url: redis://h: must be rediss"),
        ('url = "redis://127.0.0.1"\nsentinel_password = "word"', "redis.sentinel_password: means nothing"),
        ('url = "rediss://h"\ntls_cert_file = "c"', "redis.tls_key_file: is missing"),
        ('url = "redis://h"\ntls_ca_file = "c"', "redis.url: redis://h: speaks no TLS"),
        ('url = "redis://h"\nprefix = "a b"', "redis.prefix: 'a b'"),
        ('url = "redis://h"\nfeed_keep = 1', "redis.feed_keep"),
    ],
)
def test_what_contradicts_itself(text: str, where: str) -> None:
    told = errors(text)
    assert [line for line in told if line.startswith(where)], told
    assert "word" not in str(told).replace("password", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        'url = "redis://127.0.0.1"\npassword = "word"',
        'url = "redis://h"\npassword = "word"\nplain = true',
        'url = "rediss://hub@h"\npassword_env = "REDIS_PASSWORD"\nfeed_stream = true',
    ],
)
def test_what_is_right(text: str) -> None:
    config = read_config(f"[redis]\n{text}", "x.toml", Path("/nowhere"))
    assert "word" not in repr(config.redis).replace("password", "")
