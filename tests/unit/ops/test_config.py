"""The configuration file: right or refused as a whole, every error at its line."""

from pathlib import Path

import msgspec
import pytest

from ops.config import ConfigErrors, file_problems, load_config, read_config, refused
from ops.settings import SECTIONS, SETTINGS, redacted_url
from provisioning import Duplicate, Secret, SecretKind, UnknownReference
from provisioning.fields import Form

HERE = Path("/etc/smshub")


def errors_of(text, overrides=None):
    with pytest.raises(ConfigErrors) as caught:
        read_config(text, "f.toml", HERE, overrides)
    return [(error.line, error.where) for error in caught.value.errors], str(caught.value)


def test_no_file_is_the_defaults():
    config = load_config(None)
    assert config.smpp.port == 2775
    assert config.entries == ()
    assert config.store.url == f"sqlite:///{Path.cwd()}/var/smshub.db"


def test_each_section_is_read():
    text = """
        [store]
        url = "sqlite:////var/lib/x.db"
        [node]
        id = 3
        [smpp]
        port = 0
        [metrics]
        port = 1
        [log]
        level = "debug"
        [limits]
        drain_s = 2
    """
    config = read_config(text, "f.toml", HERE)
    assert (config.store.url, config.node.id, config.smpp.port) == ("sqlite:////var/lib/x.db", 3, 0)
    assert (config.metrics.port, config.log.level, config.limits.drain_s) == (1, "debug", 2.0)


def test_relative_names_are_taken_from_the_files_directory():
    text = """
        store.url = "sqlite:///data/x.db"
        [smpp]
        tls_port = 3550
        tls_cert_file = "cert.pem"
        tls_key_file = "/keys/key.pem"
        [[link]]
        name = "acme"
        host = "h"
        system_id = "s"
        password_file = "acme.secret"
        tls = "verify"
        tls_ca_file = "ca.pem"
    """
    config = read_config(text, "f.toml", HERE)
    assert config.store.url == "sqlite:////etc/smshub/data/x.db"
    assert (config.smpp.tls_cert_file, config.smpp.tls_key_file) == ("/etc/smshub/cert.pem", "/keys/key.pem")
    (link,) = config.entries
    assert link.password == Secret(SecretKind.FILE, "/etc/smshub/acme.secret")
    assert link.tls_ca_file == "/etc/smshub/ca.pem"


def test_every_error_comes_at_once_in_order_with_its_line():
    text = """[storee]
x = 1
[smpp]
port = 70000
prot = 1
[[link]]
name = "b"
windoww = 5
[[account]]
system_id = "q"
password = "pw"
allowed_ips = [
  "10.0.0.0/8",
  "x",
]
[[number]]
number = "+1 555 123 4567"
call_centre = "a"
"""
    places, told = errors_of(text)
    assert places == [
        (1, "storee"),
        (4, "smpp.port"),
        (5, "smpp.prot"),
        (6, "link 'b': host"),
        (6, "link 'b': system_id"),
        (6, "link 'b': password"),
        (8, "link 'b': windoww"),
        (14, "account 'q': allowed_ips"),
        (17, "number '+1 555 123 4567': number"),
    ]
    assert "did you mean 'store'" in told
    assert "did you mean 'window'" in told
    assert "f.toml:4: smpp.port: 70000: must be 0 to 65535" in told


def test_two_claims_on_one_number_are_refused_in_the_file():
    places, told = errors_of(
        """[[number]]
number = "+12025550143"
call_centre = "a"
[[number]]
number = "+1 202 555 0143"
call_centre = "a"
[[block]]
first = "+12025550100"
last = "+12025550199"
call_centre = "b"
[[block]]
first = "+12025550150"
last = "+12025550160"
call_centre = "b"
"""
    )
    assert places == [
        (1, "number '+12025550143'"),
        (4, "number '+1 202 555 0143'"),
        (11, "block '+12025550150…+12025550160'"),
    ]
    assert "given twice" in told
    assert "overlaps" in told


def test_a_route_may_name_what_only_the_store_has():
    config = read_config('[[route]]\nprefix = "*"\nendpoint = "link:elsewhere"', "f.toml", HERE)
    assert config.entries[0].endpoint == "link:elsewhere"


def test_two_desks_of_one_domain_are_refused():
    desk = '[[desk]]\nname = "{}"\ncall_centre = "c"\ndomain = "x.example"\nsecret = "s"\ndirector = "d@example.net"\n'
    places, told = errors_of(desk.format("a") + desk.format("b"))
    assert places == [(7, "desk 'b'")]
    assert "one domain each" in told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = \n", 1),
        ("x = 1\n[store\n", 2),
        ('x = 1\ny = """\nnever\n', 4),
        ("x = 1\nx = 2", 2),
        ("[[link]]\n[link]\n", 2),
    ],
)
def test_what_is_no_toml_has_its_line(text, line):
    places, told = errors_of(text)
    assert places == [(line, "")]
    assert "no TOML" in told


def test_senseless_depth_is_refused():
    _, told = errors_of("x = " + "[" * 20_000 + "]" * 20_000)
    assert "TOML" in told or "deep" in told


@pytest.mark.parametrize(
    "text", ["store = 5", "[[store]]", "[link]", "link = 5", "link = [1]", "[link.acme]\nname = 'x'"]
)
def test_sections_and_tables_have_their_shape(text):
    _, told = errors_of(text)
    assert "must be a section" in told or "must be a list of tables" in told


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[smpp]\ntls_port = 3550", "smpp.tls_cert_file"),
        ("[smpp]\ntls_port = 3550\ntls_cert_file = 'c'", "smpp.tls_key_file"),
        ("[smpp]\ntls_cert_file = 'c'\ntls_key_file = 'k'", "smpp.tls_port"),
        ("[smpp]\ntls_port = 2775\ntls_cert_file = 'c'\ntls_key_file = 'k'", "smpp.tls_port"),
        ("[smpp]\nproxy_protocol = 'required'", "smpp.proxy_networks"),
        ("[smpp]\nproxy_networks = ['192.0.2.1']", "smpp.proxy_protocol"),
        ("[smpp]\nproxy_networks = ['everywhere']", "smpp.proxy_networks"),
        ("[limits]\nretry_first_s = 60\nretry_longest_s = 30", "limits.retry_longest_s"),
        ("[store]\npassword = 'x'", "store.password"),
        ("[store]\nurl = 'postgresql://u:p@h/d'\npassword = 'x'", "store.password"),
        ("[store]\nurl = ''", "store.url"),
        ("[store]\nurl = 'sqlite://'", "store.url"),
        ("[store]\nurl = 'mysql://h/d'", "store.url"),
        ("[store]\nurl = 'nonsense'", "store.url"),
        ("[node]\nid = 1023", "node.id"),
    ],
)
def test_contradictions(text, where):
    places, _ = errors_of(text)
    assert [place for _, place in places] == [where]


@pytest.mark.parametrize(
    "text",
    [
        "[store]\nurl = 'mysql://u:geheim@h/d'",
        "[store]\nurl = 'geheim@@@'",
        "[store]\nurl = 'postgresql://u:geheim@h/d'\npassword = 'geheim'",
        "[[link]]\npasword = 'geheim'",
        "[[link]]\npassword = 'geheim-too-long'",
        "[[link]]\npassword = 'geheim'\npassword_env = 'geheim'",
        "[[account]]\nsystem_id = 'a'\npassword_hash = 'geheim'",
        "[[desk]]\nsecrett = 'geheim'",
    ],
)
def test_no_error_shows_a_secret(text):
    _, told = errors_of(text)
    assert "geheim" not in told


def test_no_repr_shows_a_secret():
    text = "[store]\nurl = 'postgresql://u:geheim@h/d'\n[[desk]]\nname = 'd'\ncall_centre = 'c'\n"
    text += "domain = 'x.example'\ndirector = 'd@example.net'\nsecret = 'geheim'"
    assert "geheim" not in repr(read_config(text, "f.toml", HERE))
    assert redacted_url("postgresql://u:geheim@h/d") == "postgresql://u:***@h/d"


def test_the_stores_password_goes_into_the_url():
    text = "[store]\nurl = 'postgresql://u@h/d'\npassword_env = 'X'"
    config = read_config(text, "f.toml", HERE)
    assert config.store_url({"X": "p/w@"}) == "postgresql://u:p%2Fw%40@h/d"
    assert read_config("", "", HERE).store_url({}) == "sqlite:////etc/smshub/var/smshub.db"


def test_set_beats_the_file():
    text = "[smpp]\nport = 1\n[store]\nurl='postgresql://u@h/d'\npassword_file = 'x'"
    config = read_config(text, "f.toml", HERE, {"smpp.port": "5", "log.level": "debug", "store.password_env": "P"})
    assert (config.smpp.port, config.log.level) == (5, "debug")
    assert config.store.password == Secret(SecretKind.ENV, "P")


def test_set_is_checked_too():
    places, told = errors_of("", {"log.levle": "x", "smpp.port": "many", "link.acme": "x"})
    assert {where for _, where in places} == {"--set log.levle", "--set smpp.port", "--set link.acme"}
    assert "did you mean 'log.level'" in told


def test_every_setting_can_be_set():
    overrides = {}
    for field in SETTINGS:
        if field.form is not Form.SECRET and field.default:
            default = field.default
            overrides[field.name] = ",".join(default) if isinstance(default, tuple) else str(default)
    config = read_config("", "", HERE, overrides)
    assert msgspec.structs.replace(config, overrides=()) == read_config("", "", HERE)
    assert {field.name.partition(".")[0] for field in SETTINGS} == set(SECTIONS)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigErrors, match="No such file"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigErrors, match="directory"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# ok\n# \xe9\n")
    with pytest.raises(ConfigErrors, match=r"latin\.toml:2: is not UTF-8"):
        load_config(tmp_path / "latin.toml")


def test_file_problems(tmp_path):
    (tmp_path / "f.toml").write_text(
        "[smpp]\ntls_port = 3550\ntls_cert_file = 'c.pem'\ntls_key_file = 'k.pem'\n"
        "[[link]]\nname = 'l'\nhost = 'h'\nsystem_id = 's'\npassword_env = 'NOWHERE'\n"
    )
    (tmp_path / "c.pem").write_text("x")
    config = load_config(tmp_path / "f.toml")
    problems = file_problems(config, {})
    assert [(problem.line, problem.where) for problem in problems] == [
        (0, "smpp.tls_key_file"),
        (5, "link 'l': password"),
    ]
    (tmp_path / "k.pem").write_text("x")
    assert file_problems(config, {"NOWHERE": "pw"}) == []


def test_the_catalogs_refusals_get_their_lines():
    text = "\n[[call_centre]]\nname = 'c'\n[[route]]\nprefix = '*'\nendpoint = 'link:x'\n"
    config = read_config(text, "f.toml", HERE)
    by_kind = {entry.KIND: index for index, entry in enumerate(config.entries)}
    errors = refused(
        config,
        [
            (by_kind["route"], UnknownReference("route", "*", "endpoint", "link:x")),
            (by_kind["call-centre"], Duplicate("call-centre", "c")),
        ],
    )
    assert [error.line for error in errors.errors] == [2, 4]


def test_windows_line_ends_and_a_final_line_without_one():
    places, _ = errors_of("[log]\r\nlevel = 'x'\r\n[smpp]\r\nprot = 1")
    assert places == [(2, "log.level"), (4, "smpp.prot")]
