"""``smshub check``: what only the catalog can judge is told with its line, and nothing is changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import main

SMSC = 'host = "smsc.example.net"\nsystem_id = "hub"\npassword = "x"\n'
HEAD = '[store]\nurl = "sqlite:///hub.db"\n'
SOUND = (
    HEAD
    + f'[[link]]\nname = "acme"\n{SMSC}'
    + f'[[link]]\nname = "other"\n{SMSC}'
    + '[[group]]\nname = "pair"\nlinks = ["acme=3"]\nstandby = ["other"]\n'
    + '[[call_centre]]\nname = "helpline"\n'
    + '[[number]]\nnumber = "+12025550143"\ncall_centre = "helpline"\nlink = "group:pair"\n'
    + '[[route]]\nprefix = "*"\nendpoint = "group:pair"\n'
)


class Check:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str, *words: str, status: int = 0) -> str:
        self.path.write_text(text)
        command = words or ("check",)
        result = CliRunner().invoke(main, [*command, "--config", str(self.path)])
        assert result.exit_code == status, result.output + repr(result.exception)
        return result.stdout if status == 0 else result.stderr


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(tmp_path / "hub.toml")


def line_of(text: str, words: str) -> int:
    return text[: text.index(words)].count("\n") + 1


def test_a_sound_file_over_an_empty_store_makes_nothing(check: Check) -> None:
    assert "no errors; 6 entries; store empty" in check(SOUND)
    assert [path.name for path in check.path.parent.iterdir()] == ["hub.toml"]


@pytest.mark.parametrize(
    ("old", "new", "at", "told"),
    [
        ('endpoint = "group:pair"', 'endpoint = "link:nobody"', "[[route]]", "endpoint = 'link:nobody' does not exist"),
        ('endpoint = "group:pair"', 'endpoint = "group:par"', "[[route]]", "did you mean 'group:pair'"),
        ('endpoint = "group:pair"', 'endpoint = "pair"', 'endpoint = "pair"', "endpoint: 'pair': write 'link:NAME'"),
        (
            'standby = ["other"]',
            'standby = ["othr"]',
            "[[group]]",
            "standby = 'othr' does not exist; did you mean 'other'",
        ),
        ('standby = ["other"]', 'standby = ["acme"]', "standby", "standby: 'acme': is named twice"),
        ('["acme=3"]', '["acme=x"]', "links", "links: 'acme=x': the weight is a whole number"),
        ('["acme=3"]', "[]", "links", "links: []: name one at least"),
        (
            '"other"\nhost',
            '"other"\nlong_message = "sar"\nhost',
            "[[group]]",
            "long_message = 'udh8' and 'other' 'sar'",
        ),
        ('"*"\n', '"*"\nhours = ["Mo"]\n', "hours", "hours: 'Mo': write days and times"),
        (
            '"*"\n',
            '"*"\nhours = ["Mon 8:00-9:00"]\ntime_zone = "Mars"\n',
            "time_zone",
            "time_zone: 'Mars': is no time zone",
        ),
        ('"*"\n', '"*"\ntime_zone = "Europe/London"\n', "time_zone", "means nothing without hours"),
        ('"*"\n', '"*"\nweight = 0\n', "weight", "weight: 0: must be 1 to 1000"),
        ('"*"\n', '"*"\nelement = "x"\n', "element", "element: 'x'"),
        ('link = "group:pair"', 'link = "group:x"', "[[number]]", "link = 'group:x' does not exist"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(check: Check, old: str, new: str, at: str, told: str) -> None:
    assert old in SOUND
    text = SOUND.replace(old, new)
    found = check(text, status=2)
    assert told in found
    assert f"hub.toml:{line_of(text, at)}: " in found


def test_what_the_store_has_counts_and_stays_as_it_is(check: Check) -> None:
    check(SOUND, "provision", "apply", str(check.path))
    route = HEAD + '[[route]]\nprefix = "+44"\nendpoint = "link:acme"\n'
    assert "no errors; 1 entries" in check(route)
    theirs = HEAD + '[[call_centre]]\nname = "b"\n[[number]]\nnumber = "+12025550143"\ncall_centre = "b"\n'
    assert "claimed by another call centre" in check(theirs, status=2)
    second = HEAD + '[[group]]\nname = "second"\nlinks = ["acme"]\n'
    assert "links = 'acme': is in group 'pair' already" in check(second, status=2)
    changed = HEAD + f'[[link]]\nname = "acme"\npacked = true\n{SMSC}'
    assert "packed = True: the links of group 'pair' must agree" in check(changed, status=2)
    listed = check(HEAD, "provision", "group", "list", "--json")
    assert listed.count('"name"') == 1
    assert "+44" not in check(HEAD, "route", "list")


def test_a_directory_that_has_been_told_numbers_cannot_become_another(check: Check) -> None:
    """The daemon would refuse the file at its next start."""
    (check.path.parent / "one").mkdir()
    told = HEAD + '[[directory]]\nname = "drop"\nadapter = "file"\ndrop_directory = "one"\n'
    check(told, "provision", "apply", str(check.path))
    other = told.replace('"file"', '"rest"\nurl = "https://registry.example"\npassword = "x"')
    assert "no errors; 1 entries" in check(other)
    with sqlite3.connect(check.path.parent / "hub.db") as connection:
        connection.execute(
            "INSERT INTO publication (directory, digits, call_centre, wanted, state, content, submission, remote_id,"
            " attempts, next_us, since_us, reason) VALUES ('drop', 16175550100, 'a', 1, 1, 'abc', 1, '', 0, 0, 0, '')"
        )
    connection.close()
    found = check(other + '[[route]]\nprefix = "*"\nendpoint = "link:x"\n', status=2)
    assert f"hub.toml:{line_of(other, '[[directory]]')}: " in found
    assert "may have 1 numbers of ours" in found
    assert "'link:x' does not exist" in found, "what the copy finds is told with it"
    assert "no errors; 1 entries" in check(told)


def test_a_secret_that_no_bind_can_carry(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONG", "geheim-and-longer")
    told = check(SOUND.replace('password = "x"', 'password_env = "LONG"', 1), status=2)
    assert "at most 8 octets" in told
    assert "geheim" not in told
