"""The commands, over a database of their own: what they say, their exit status, and what they never show."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli_audit import audit
from ops.cli_provision import account, provision

HEAD = """[store]
url = "sqlite:///hub.db"
"""
TABLES = """
[[link]]
name = "acme"
host = "smsc.example.net"
system_id = "hub"
password = "geheim"
[[account]]
system_id = "agg1"
password = "geheim1"
[[call_centre]]
name = "helpline"
[[number]]
number = "+12025550143"
call_centre = "helpline"
[[route]]
prefix = "*"
endpoint = "link:acme"
"""


class Cli:
    def __init__(self, directory):
        self.path = directory / "hub.toml"
        self.path.write_text(HEAD)

    def __call__(self, *words, group=provision, status=0, stdin=None):
        result = CliRunner().invoke(
            group, [*words], input=stdin, env={"SMSHUB_CONFIG": str(self.path), "PW": "envword"}
        )
        assert result.exit_code == status, result.output + repr(result.exception)
        assert "Traceback" not in result.output
        assert "geheim" not in result.output
        if status == 2:
            assert result.stdout == ""
        return result.stdout if status == 0 else result.stderr


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


def test_apply_is_idempotent(cli, tmp_path):
    (tmp_path / "tables.toml").write_text(TABLES)
    file = str(tmp_path / "tables.toml")
    assert cli("apply", file) == "5 added, 0 changed, 0 as they were\n"
    assert cli("apply", file) == "0 added, 0 changed, 5 as they were\n"
    (tmp_path / "tables.toml").write_text(TABLES.replace("geheim1", "geheim2"))
    assert cli("apply", file) == "0 added, 1 changed, 4 as they were\n"


def test_a_route_whose_endpoint_is_changed_in_the_file_is_told_of(cli, tmp_path):
    file = tmp_path / "tables.toml"
    second = TABLES.partition("[[account]]")[0].replace('"acme"', '"other"')
    file.write_text(TABLES + second)
    cli("apply", str(file))
    file.write_text((TABLES + second).replace('"link:acme"', '"link:other"'))
    result = CliRunner().invoke(provision, ["apply", str(file)], env={"SMSHUB_CONFIG": str(cli.path)})
    assert "note: route *→link:acme is not in tables.toml" in result.stderr
    cli("route", "remove", "*", "link:acme")
    result = CliRunner().invoke(provision, ["apply", str(file)], env={"SMSHUB_CONFIG": str(cli.path)})
    assert result.stderr == ""


def test_apply_tells_every_refusal_with_its_line(cli, tmp_path):
    (tmp_path / "a.toml").write_text(TABLES)
    (tmp_path / "b.toml").write_text(
        '[[call_centre]]\nname = "b"\n\n[[number]]\nnumber = "+12025550143"\ncall_centre = "b"\n'
        '[[number]]\nnumber = "+12025550144"\ncall_centre = "helpline"\n'
        '[[account]]\nsystem_id = "x"\npassword_env = "NOWHERE"\n'
    )
    cli("apply", str(tmp_path / "a.toml"))
    told = cli("apply", str(tmp_path / "b.toml"), status=2)
    assert "b.toml:10: account 'x'" in told
    (tmp_path / "b.toml").write_text((tmp_path / "b.toml").read_text().partition("[[account]]")[0])
    told = cli("apply", str(tmp_path / "b.toml"), status=2)
    assert "b.toml:4: number '+12025550143'" in told
    assert "claimed by another" in told
    assert cli("call-centre", "list", "--json") == cli("call-centre", "list", "--json")
    assert [row["name"] for row in json.loads(cli("call-centre", "list", "--json"))] == ["helpline"]


def test_a_secret_that_need_not_be_there_is_taken_away_by_an_empty_word(cli):
    cli("link", "add", "acme", "--host", "h.example", "--system-id", "s", "--password-env", "PW")
    assert json.loads(cli("link", "show", "acme", "--json"))["outbind_password"] is None
    cli("link", "set", "acme", "--outbind-port", "2776", "--outbind-password-env", "PW")
    cli("link", "set", "acme", "--window", "7")
    assert json.loads(cli("link", "show", "acme", "--json"))["outbind_password"] == "env PW"
    assert "outbind_port" in cli("link", "set", "acme", "--outbind-port", "0", status=2)
    cli("link", "set", "acme", "--outbind-password-file", "", "--outbind-port", "0")
    assert json.loads(cli("link", "show", "acme", "--json"))["outbind_password"] is None
    cli("link", "set", "acme", "--password-env", "")  # this one must be there: an empty word is none
    assert json.loads(cli("link", "show", "acme", "--json"))["password"] == "env PW"


def test_a_wrong_configuration_is_told_and_ends_with_2(cli):
    cli.path.write_text(HEAD + "[smpp]\nprot = 1\n")
    assert "hub.toml:4: smpp.prot" in cli("number", "list", status=2)
    cli.path.unlink()
    assert "No such file" in cli("number", "list", status=2)


def test_each_kind_can_be_added_shown_set_listed_and_removed(cli):
    cli("call-centre", "add", "helpline", "--title", "Help", "--idle-s", "3600", "--products", "Router,Phone")
    cli("link", "add", "acme", "--host", "h.example", "--system-id", "s", "--password-env", "PW", "--window", "5")
    cli("account", "add", "agg1", "--password-env", "PW", "--allowed-ips", "10.0.0.1/8")
    cli(
        "number", "add", "+1 202-555-0143", "--call-centre", "helpline", "--link", "link:acme", "--element", "SPID:6006"
    )
    cli("number", "add", "+18002530000", "--call-centre", "helpline", "--alias-of", "+12025550143")
    cli("block", "add", "+16175550001", "+16175559999", "--call-centre", "helpline", "--alias", "+18002530000")
    cli("route", "add", "+1", status=2)  # an endpoint is part of its name
    cli("route", "add", "+1", "link:acme", "--hours", "Mon-Fri 8:00-18:00,Sat 9:00-12:00", "--weight", "3")
    cli("link", "add", "spare", "--host", "h.example", "--system-id", "s", "--password-env", "PW")
    cli("group", "add", "carriers", "--links", "acme=3", "--standby", "spare")
    assert "is still used by group 'carriers'" in cli("link", "remove", "spare", status=2)
    words = ["--call-centre", "helpline", "--domain", "x.example", "--director", "b@example.net"]
    cli("desk", "add", "d", *words, "--secret-env", "PW")
    shown = json.loads(cli("link", "show", "acme", "--json"))
    assert (shown["window"], shown["password"]) == (5, "env PW")
    assert json.loads(cli("account", "show", "agg1", "--json"))["password"] == "***"
    assert json.loads(cli("call-centre", "show", "helpline", "--json"))["products"] == ["Router", "Phone"]
    assert "+12025550143" in cli("number", "list", "--call-centre", "helpline")
    assert cli("number", "list", "--call-centre", "other") == ""
    assert cli("number", "set", "+12025550143", "--state", "suspended") == "changed number +12025550143\n"
    assert cli("number", "set", "+12025550143", "--state", "suspended") == "number +12025550143 is so already\n"
    assert json.loads(cli("number", "show", "+12025550143", "--json"))["element"] == "SPID:6006"
    assert "still used by" in cli("call-centre", "remove", "helpline", status=2)
    for words in (
        ["desk", "remove", "d"],
        ["route", "remove", "+1", "link:acme"],
        ["block", "remove", "+16175550001", "+16175559999"],
        ["number", "remove", "+18002530000"],
        ["number", "remove", "+12025550143"],
        ["account", "remove", "agg1"],
        ["group", "remove", "carriers"],
        ["link", "remove", "acme"],
        ["call-centre", "remove", "helpline"],
    ):
        assert cli(*words).startswith("removed ")
    assert cli("number", "list") == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["number", "add", "+1555", "--call-centre", "x"], "'+1555'"),
        (["number", "add", "+12025550143"], "call_centre"),
        (["number", "add", "+12025550143", "--call-centre", "x"], "does not exist"),
        (["number", "show", "+12025550143"], "there is no number"),
        (["number", "remove", "nonsense"], "'nonsense'"),
        (
            ["link", "add", "a", "--host", "h", "--system-id", "s", "--password-env", "NOWHERE", "--window", "x"],
            "window",
        ),
        (["link", "set", "absent", "--window", "5"], "there is no link"),
        (["link", "add", "a", "--host", "h", "--system-id", "s"], "password"),
        (["account", "add", "a", "--password-env", "NOWHERE"], "env NOWHERE"),
        (["apply", "/absent.toml"], "No such file"),
        (["number", "list", "--set", "nonsense"], "NAME=VALUE"),
        (["number", "list", "--set", "log.levle=x"], "did you mean"),
        (["number", "list", "--set", "store.url=sqlite:////absent/x.db"], "store"),
    ],
)
def test_errors_are_one_line_on_standard_error_and_status_2(cli, words, told):
    assert told in cli(*words, status=2)


def test_every_problem_of_a_command_is_told_at_once(cli):
    told = cli("link", "add", "Acme", "--host", "10.0.0.256", "--password-env", "PW", status=2)
    assert all(name in told for name in ("name", "host", "system_id"))
    assert len(told.splitlines()) == 3


def test_a_secret_is_asked_for_and_never_an_argument(cli):
    cli("link", "add", "acme", "--host", "h.example", "--system-id", "s", "--password", stdin="geheim\n")
    assert json.loads(cli("link", "show", "acme", "--json"))["password"] == "***"
    told = cli("link", "add", "b", "--host", "h.example", "--system-id", "s", "--password", stdin="", status=2)
    assert "standard input" in told


def test_setting_another_form_of_a_secret_takes_the_place_of_the_old(cli):
    cli("link", "add", "acme", "--host", "h.example", "--system-id", "s", "--password-env", "PW")
    cli("link", "set", "acme", "--password-file", "some.secret")
    shown = json.loads(cli("link", "show", "acme", "--json"))["password"]
    assert shown == f"file {Path('some.secret').resolve()}"


def test_numbers_are_imported_all_or_none(cli, tmp_path):
    cli("call-centre", "add", "helpline")
    (tmp_path / "numbers").write_text("# ours\n" + "".join(f"+1 617-555-{n:04}\n" for n in range(1, 300)) + "\n")
    assert cli("number", "import", str(tmp_path / "numbers"), "--call-centre", "helpline") == "added 299 numbers\n"
    (tmp_path / "more").write_text("+12025550143\n+16175550007\nnonsense\n")
    assert "more:3: " in cli("number", "import", str(tmp_path / "more"), "--call-centre", "helpline", status=2)
    (tmp_path / "more").write_text("+12025550143\n+16175550007\n")
    told = cli("number", "import", str(tmp_path / "more"), "--call-centre", "helpline", status=2)
    assert "more:2: " in told
    assert len(json.loads(cli("number", "list", "--json"))) == 299


def test_a_pool_of_ten_thousand_comes_from_a_table_with_progress_shown(cli, tmp_path):
    cli("call-centre", "add", "helpline")
    pool = "".join(f"+1617{digits};SPID:{digits % 10_000:04}\n" for digits in range(2_000_000, 2_020_000, 2))
    (tmp_path / "pool.csv").write_text("number;element\n" + pool)
    words = ("number", "import", str(tmp_path / "pool.csv"), "--call-centre", "helpline")
    result = CliRunner().invoke(provision, words, env={"SMSHUB_CONFIG": str(cli.path)})
    assert result.stdout == "added 10000 numbers\n"
    assert [line for line in result.stderr.splitlines() if "50 %" in line] == [
        "checking: 50 % of 10000",
        "writing: 50 % of 10000",
    ]
    assert json.loads(cli("number", "show", "+16172000002", "--json"))["element"] == "SPID:0002"
    again = cli("number", "import", str(tmp_path / "pool.csv"), "--call-centre", "helpline", status=2)
    assert "exists already" in again
    assert again.splitlines()[-1] == "smshub: and 9950 more lines that are wrong"


def test_the_operator_is_told_whose_a_number_is(cli):
    for centre in ("a", "b"):
        cli("call-centre", "add", centre)
    cli("number", "add", "+12025550143", "--call-centre", "a")
    assert "[call centre 'a']" in cli("number", "add", "+12025550143", "--call-centre", "b", status=2)


def test_an_accounts_password(cli, tmp_path):
    cli("account", "add", "agg1", "--password-env", "PW")
    before = cli("list", "--json", group=audit)
    generated = cli("password", "agg1", "--generate", group=account).strip()
    assert len(generated) == 8
    cli("password", "agg1", group=account, stdin="geheim\n")
    (tmp_path / "pw").write_text("geheim\n")
    cli("password", "agg1", "--password-file", str(tmp_path / "pw"), group=account)
    cli("password", "agg1", "--password-env", "PW", group=account)
    assert "8 octets" in cli("password", "agg1", group=account, stdin="nine-long\n", status=2)
    assert "there is no account" in cli("password", "agg2", "--generate", group=account, status=2)
    assert "give one of" in cli("password", "agg1", "--generate", "--password-env", "PW", group=account, status=2)
    after = json.loads(cli("list", "--json", group=audit))
    assert len(after) == len(json.loads(before)) + 4
    assert after[0]["detail"] == '{"password":"***"}'


def test_the_audit_for_people(cli):
    cli("call-centre", "add", "helpline")
    assert "added  call-centre helpline" in cli("list", group=audit)
