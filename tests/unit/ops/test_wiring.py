"""Each setting of a link, group, account and desk changes what its endpoint is told."""

from __future__ import annotations

import ssl
from typing import Any

import msgspec
import pytest

from hub.opt_out import DEFAULT_TEXTS, WORDS
from ops import wiring
from ops.settings import FiltersSettings
from provisioning import Account, Desk, Group, Link, Secret, SecretKind, build, built
from provisioning.annotations import NATIONAL_ALPHABETS, PEER_ALPHABETS
from provisioning.desk_side import OPT_OUT_LANGUAGES
from provisioning.fields import Field, Form, fields_of
from smpp.alphabet import BY_NAME

LINK = {"name": "acme", "host": "smsc.example.net", "system_id": "hub", "password": "pw", "outbind_port": 2776}
ACCOUNT = {"system_id": "agg1", "password_hash": "$argon2id$x", "outbind_host": "esme.example.net"}
GROUP = {"name": "carriers", "links": ["acme"]}
DESK = {"name": "d", "call_centre": "c", "domain": "sms.example.net", "secret": "s", "director": "boss@example.net"}

# Read elsewhere: by the daemon when it attaches the endpoint, by the hub in its directory, by the lists for people;
# certificates need files, and are looked at below.
ELSEWHERE = {
    "link": {"in_doubt", "tls", "tls_ca_file", "tls_cert_file", "tls_key_file", "tls_server_name"},
    "group": {"in_doubt"},
    "account": {"title", "throughput_per_day", "duplicate_s"},
    "desk": {"foreign_token", "tls", "tls_ca_file"},
}
# What takes no other value of its form.
OTHERS: dict[str, Any] = {
    "host": "other.example.net",
    "system_id": "other",
    "name": "other",
    "domain": "other.example.net",
    "director": "other@example.net",
    "call_centre": "other",
    "default_region": "GB",
    "element_tlv": 0x1400,
    "service_type": "CMT",
    "system_type": "VMA",
    "allowed_ips": ["192.0.2.0/24"],
    "allowed_sources": ["+1202*"],
    "allowed_destinations": ["+1202*"],
    "allowed_domains": ["other.example.net"],
    "ton_npi_rules": ["source 77377 3/0"],
    "outbind_host": "other.example.net",
    "links": ["acme=2"],
    "standby": ["spare"],
    "password_hash": "$argon2id$y",
}


def another(field: Field, value: Any) -> Any:
    """A value that the field may have and has not."""
    if field.name in OTHERS:
        return OTHERS[field.name]
    if field.form is Form.SECRET:
        return Secret(SecretKind.HASH, "$argon2id$y") if field.spec.hashed else Secret(SecretKind.LITERAL, "other")
    if field.form is Form.BOOLEAN:
        return not value
    if field.form is Form.TEXT:
        return next(choice for choice in field.spec.choices if choice != value)
    if field.form is Form.TEXTS:
        return [field.spec.choices[-1]]
    return value + 1 if field.spec.maximum is None or value + 1 <= field.spec.maximum else value - 1


def told(entry: Any) -> Any:
    if isinstance(entry, Link):
        return wiring.link_settings(entry, {})
    if isinstance(entry, Group):
        return wiring.group_settings(entry)
    return wiring.account_settings(entry, {}) if isinstance(entry, Account) else wiring.desk_settings(entry, {})


_each = [
    pytest.param(kind, given, field, id=f"{kind.KIND}-{field.name}")
    for kind, given in ((Link, LINK), (Group, GROUP), (Account, ACCOUNT), (Desk, DESK))
    for field in fields_of(kind)
    if field.name not in ELSEWHERE[kind.KIND]
]


@pytest.mark.parametrize(("kind", "given", "field"), _each)
def test_each_setting_reaches_its_endpoint(kind: Any, given: dict[str, Any], field: Field) -> None:
    entry = built(kind, **given)
    plain = {name: getattr(entry, name) for name in entry.__struct_fields__}
    changed, problems = build(kind, {**plain, field.name: another(field, plain[field.name])})
    assert not problems
    assert changed != entry
    assert msgspec.structs.asdict(told(changed)) != msgspec.structs.asdict(told(entry))


def test_what_is_read_elsewhere_is_a_setting_still() -> None:
    for kind in (Link, Group, Account, Desk):
        assert ELSEWHERE[kind.KIND] <= set(kind.__struct_fields__)


def test_a_links_certificates(tmp_path: Any) -> None:
    link = built(Link, **LINK, tls="verify", tls_server_name="smsc.example.net")
    settings = wiring.link_settings(link, {})
    assert settings.tls.verify_mode is ssl.CERT_REQUIRED
    assert settings.server_hostname == "smsc.example.net"
    assert settings.outbind_tls is None, "nothing to show: no port is opened"
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    assert wiring.link_settings(link, {}, ours).outbind_tls is ours
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        wiring.link_settings(msgspec.structs.replace(link, tls_ca_file=str(tmp_path / "ca.pem")), {})
    with pytest.raises(OSError, match="No such file"):
        wiring.link_settings(msgspec.structs.replace(link, tls_cert_file=str(tmp_path / "none.pem")), {})


def test_a_rate_from_one_number_is_the_gap_between_its_parts() -> None:
    assert wiring.link_settings(built(Link, **LINK), {}).source_gap_us == 0
    assert wiring.link_settings(built(Link, **LINK, per_number_per_s=1), {}).source_gap_us == 1_000_000
    assert wiring.link_settings(built(Link, **LINK, per_number_per_s=0.1), {}).source_gap_us == 10_000_000


def test_every_alphabet_that_may_be_named_is_there() -> None:
    assert {*PEER_ALPHABETS, *NATIONAL_ALPHABETS} <= set(BY_NAME)
    assert set(NATIONAL_ALPHABETS) == {name for name in BY_NAME if name.startswith("gsm7-")}


def test_every_language_that_may_be_named_has_its_words() -> None:
    assert set(OPT_OUT_LANGUAGES) == set(WORDS) == set(DEFAULT_TEXTS)


def test_filters() -> None:
    plain = FiltersSettings()
    for field in fields_of(FiltersSettings):
        value = "hosts.txt" if field.form is Form.TEXT else another(field, getattr(plain, field.name))
        changed = msgspec.structs.replace(plain, **{field.name: value})
        assert wiring.filter_settings(changed) != wiring.filter_settings(plain)
