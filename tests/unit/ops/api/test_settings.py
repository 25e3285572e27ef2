"""What the section [api] may say."""

from pathlib import Path

import pytest

from ops.config import ConfigErrors, read_config


@pytest.mark.parametrize(
    "settings",
    [
        "",
        'host = "0.0.0.0"',  # no port: it is off
        "port = 8080",
        'port = 8080\nhost = "::1"',
        'port = 8080\nhost = "localhost"',
        'port = 8080\nhost = "0.0.0.0"\nplain = true',
        'port = 8080\nhost = "0.0.0.0"\ntls_cert_file = "c"\ntls_key_file = "k"',
    ],
)
def test_what_may_be(settings: str) -> None:
    read_config(f"[api]\n{settings}\n", "", Path("/"))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ('port = 8080\nhost = "0.0.0.0"', "plain = true"),
        ('port = 8080\nhost = "192.0.2.1"', "in clear"),
        ('port = 8080\nhost = "hub.example"', "in clear"),
        ('port = 8080\ntls_cert_file = "c"', "tls_key_file"),
        ('tls_key_file = "k"', "tls_cert_file"),
    ],
)
def test_what_may_not(settings: str, error: str) -> None:
    with pytest.raises(ConfigErrors, match=error):
        read_config(f"[api]\n{settings}\n", "", Path("/"))
