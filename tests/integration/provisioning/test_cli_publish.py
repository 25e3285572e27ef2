"""``smshub provision publish``, ``withdraw`` and ``status``, with the file adapter and a registry behind it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from ops import cli_publish
from ops.cli_provision_group import provision
from tests.integration.provisioning.file_registry import FileRegistry

BOUND_S = 120.0
SIZE = 10_000
HEAD = """
[store]
url = "sqlite:///hub.db"
[[call_centre]]
name = "acme"
[[block]]
first = "+16175550000"
last = "+16175559999"
call_centre = "acme"
[[loa]]
name = "letter"
call_centre = "acme"
owner = "O"
designee = "D"
contact = "C"
numbers = ["+16175550000-+16175559899"]
valid_from = "2020-01-01"
signed_by = "x"
signed_on = "2020-01-02"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
"""
REST_OF_THE_BLOCK = (
    HEAD[HEAD.index("[[loa]]") :].replace('"letter"', '"rest"').replace("0000-+16175559899", "9900-+16175559999")
)
DIRECTORY = """
[[directory]]
name = "{name}"
adapter = "file"
drop_directory = "{folder}"
retry_first_s = 0.1
retry_longest_s = 1
"""


class Site:
    """A configuration, its database, and two registries that read their folders in a thread."""

    def __init__(self, folder):
        self.path = folder / "hub.toml"
        self.registries = {}
        text = HEAD
        for name in ("one", "two"):
            (folder / name).mkdir()
            self.registries[name] = FileRegistry(folder / name)
            text += DIRECTORY.format(name=name, folder=folder / name)
        self.path.write_text(text)
        self.environ = {"SMSHUB_CONFIG": str(self.path)}
        self("apply", str(self.path))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        while not self._ending.wait(0.02):
            for registry in self.registries.values():
                registry.process()

    def close(self):
        self._ending.set()
        self._thread.join(BOUND_S)

    def __call__(self, *words, status=0):
        result = CliRunner().invoke(provision, [*words], env=self.environ)
        assert result.exit_code == status, result.output + repr(result.exception)
        return result.stdout if status == 0 else result.stderr

    def process(self, *words):
        command = [sys.executable, "-m", "ops.cli", "provision", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env={**os.environ, **self.environ}, text=True, **pipes)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_ten_thousand_numbers_from_refused_to_active_and_back(site, tmp_path):
    refused = site("publish", "--call-centre", "acme", "--now", status=2)
    assert "covers +16175559900-+16175559999 (100 numbers)" in refused
    (tmp_path / "rest.toml").write_text(REST_OF_THE_BLOCK)
    site("apply", str(tmp_path / "rest.toml"))
    lines = site("publish", "--call-centre", "acme", "--now").splitlines()
    assert lines[0] == "10,000 numbers: 20,000 to be published, 0 as they were"
    assert lines[-1] == "20,000 of 20,000 active"
    done = [int(line.split()[0].replace(",", "")) for line in lines[1:]]
    assert done == sorted(done)
    for registry in site.registries.values():
        assert len(registry.listed) == SIZE
        assert set(registry.told.values()) == {1}
        assert registry.listed["+16175559950"]["loa"] == "rest"
    assert site("publish", "--call-centre", "acme") == "10,000 numbers: 0 to be published, 20,000 as they were\n"
    counted = json.loads(site("status", "--json"))
    assert [(row["directory"], row["state"], row["count"]) for row in counted] == [
        ("one", "active", SIZE),
        ("two", "active", SIZE),
    ]
    words = ("withdraw", "--call-centre", "acme", "--directory", "two", "--now")
    assert site(*words).splitlines()[-1] == "10,000 of 10,000 withdrawn"
    assert site.registries["two"].listed == {}
    assert len(site.registries["one"].listed) == SIZE
    table = site("status").splitlines()
    assert table[0].split() == ["directory", "call_centre", "state", "numbers", "since", "next", "reason"]
    assert table[1].split()[:4] == ["one", "acme", "active", "10,000"]
    assert table[2].split()[:4] == ["two", "acme", "withdrawn", "10,000"]


def test_what_is_refused_is_told_and_costs_the_exit_status(site):
    site.registries["one"].say = {
        "+16175550001": ("refused", "porting"),
        "+16175550002": ("conflict", "belongs to another"),
    }
    words = ("publish", "--call-centre", "acme", "--numbers", "+16175550000-+16175550004", "--directory", "one")
    result = CliRunner().invoke(provision, [*words, "--now"], env=site.environ)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "3 of 5 active"
    assert result.stderr.splitlines() == ["one: 1 refused: porting", "one: 1 conflict: belongs to another"]
    listed = site("status", "--numbers", "+16175550001-+16175550003").splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [
        ["+16175550001", "one", "acme", "refused"],
        ["+16175550002", "one", "acme", "conflict"],
        ["+16175550003", "one", "acme", "active"],
    ]
    (row,) = json.loads(site("status", "--state", "conflict", "--json"))
    assert (row["number"], row["reason"], row["attempts"]) == ("+16175550002", "belongs to another", 0)
    after = site("status", "--state", "active", "--after", "+16175550000", "--limit", "1").splitlines()
    assert [line.split()[0] for line in after[1:]] == ["+16175550003"]
    site.registries["one"].say = {}
    assert site(*words, "--now").splitlines()[-1] == "5 of 5 active"


def test_a_wish_alone_waits_for_a_daemon_and_may_be_forgotten(site):
    words = ("--call-centre", "acme", "--numbers", "+16175550000-+16175550009")
    assert site("publish", *words) == "10 numbers: 20 to be published, 0 as they were\n"
    assert [row["state"] for row in json.loads(site("status", "--json"))] == ["wanted", "wanted"]
    assert "still used by 10 wanted publications" in site("directory", "remove", "one", status=2)
    assert site("withdraw", *words, "--forget", "--directory", "one") == "10 numbers: 10 forgotten, 0 as they were\n"
    assert site("directory", "remove", "one") == "removed directory one\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--call-centre", "nobody"], "there is no call-centre 'nobody'"),
        (["--call-centre", "acme", "--directory", "three"], "there is no directory 'three'"),
        (["--call-centre", "acme", "--numbers", "+16175550009-+16175550000"], "not below it"),
        (["--call-centre", "acme", "--numbers", "12"], "write it in E.164"),
        (["--call-centre", "acme", "--numbers", "+12025550143"], "are not provisioned for call centre 'acme'"),
        (["--call-centre", "acme", "--numbers", ""], "the list of numbers is empty"),
        (["--call-centre", "acme", "--numbers", " , "], "the list of numbers is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(site, words, told):
    assert told in site("publish", *words, status=2)
    assert site("status") == "none\n"


def test_an_empty_variable_of_a_script_withdraws_nothing(site):
    site("publish", "--call-centre", "acme", "--numbers", "+16175550000")
    assert "the list of numbers is empty" in site("withdraw", "--call-centre", "acme", "--numbers", "", status=2)
    assert {row["state"] for row in json.loads(site("status", "--json"))} == {"wanted"}


def test_a_watch_shows_what_changes_until_it_is_interrupted(site):
    watch = site.process("status", "--watch", "--directory", "one")
    try:
        assert watch.stdout is not None
        assert watch.stdout.readline() == "none\n"
        site("publish", "--call-centre", "acme", "--numbers", "+16175550000", "--now")
        seen = ""
        while "active" not in seen:
            seen = watch.stdout.readline()
            assert seen
        watch.send_signal(signal.SIGINT)
        assert watch.wait(BOUND_S) == 0
    finally:
        watch.kill()
        watch.communicate()


def test_who_waits_is_told_that_nothing_moves_and_sees_the_end(site, monkeypatch):
    monkeypatch.setattr(cli_publish, "STALLED_S", 0.1)
    monkeypatch.setattr(cli_publish, "LOOK_S", 0.02)
    words = ("publish", "--call-centre", "acme", "--numbers", "+16175550000")
    here = site.process(*words, "--now")  # takes longer to start than that
    try:
        result = CliRunner().invoke(provision, [*words, "--wait"], env=site.environ)
        assert result.exit_code == 0
        assert "does the daemon run?" in result.stderr.splitlines()[0]
        assert result.stdout.splitlines()[-1] == "2 of 2 active"
        assert here.wait(BOUND_S) == 0
    finally:
        here.kill()
        here.communicate()


def test_an_interrupted_command_says_that_the_wish_stands(site):
    for registry in site.registries.values():
        registry.say = {"+16175550000": ("pending", "")}
    command = site.process("publish", "--call-centre", "acme", "--numbers", "+16175550000", "--now")
    try:
        deadline = time.monotonic() + BOUND_S
        while not all(registry.files for registry in site.registries.values()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=BOUND_S)
        assert command.returncode == 2
        assert errors == "smshub: interrupted: the wish stands, and goes on from here\n"
    finally:
        command.kill()
        command.wait()
