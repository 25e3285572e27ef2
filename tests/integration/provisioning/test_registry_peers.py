"""The reference registry with the programs of others, who know it by the documents that we publish, and as a command.

zeep reads the WSDL and shows UsernameTokens; node's fetch follows the OpenAPI document; curl has no more than a line.
What is good between our adapter and our registry would not show that both misread the same page.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from ops.cli_simulate import registry as registry_command
from ops.simulators.registry import open_simulated_registry
from ops.simulators.registry_settings import RegistrySettings
from ops.simulators.registry_users import User
from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import Finding, Listing, Task
from provisioning.directories.making import adapter_of
from provisioning.secret import Secret, SecretKind
from tests.fixtures_tls import Certificate

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "tests" / "peers"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OPENAPI = ROOT / "provisioning" / "directories" / "registry-openapi.json"
PATIENCE_S = 120.0
USERS = (User(name="hub", password="pass word ü", token="t0ken"),)


async def run(*command: str, **environment: str) -> str:
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, env={**os.environ, **environment}
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: 'make test' sets it up", pytrace=False)
    return found


def validated(value: object, schema: str) -> None:
    document = json.loads(OPENAPI.read_text())
    reference = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    OAS31Validator(reference).validate(value)


def test_the_openapi_document_is_one() -> None:
    validate(json.loads(OPENAPI.read_text()))


@pytest.mark.parametrize("private", [False, True])
async def test_zeep_knows_the_registry_by_its_wsdl(private: bool, certificate: Certificate) -> None:
    if not PEER_PYTHON.exists() or not list(PEER_PYTHON.parents[1].glob("lib/python3*/site-packages/zeep")):
        pytest.fail(".venv-peers has no zeep: 'make test' sets it up", pytrace=False)
    files = (str(certificate.cert_file), str(certificate.key_file)) if private else ("", "")
    settings = RegistrySettings(port=0, users=USERS, tls_cert_file=files[0], tls_key_file=files[1])
    async with open_simulated_registry(settings) as there:
        arguments = [f"{there.url}/soap?wsdl", "hub", USERS[0].password]
        output = await run(str(PEER_PYTHON), str(PEERS / "zeep_registry.py"), *arguments, REQUESTS_CA_BUNDLE=files[0])
        applied = there.book.applied
    seen = json.loads(output)
    numbers = [f"+1617555020{n}" for n in range(3)]
    assert seen["address"] == f"{there.url}/soap"
    assert seen["operations"] == ["Query", "Submit", "Withdraw"]
    assert seen["submitted"] == [[[number, "active"] for number in numbers]] * 2
    assert seen["listing"] == {"number": numbers[0], "title": "Zoë <&>", "loa": "l1", "textsPerDay": 7}
    assert seen["withdrawn"] == [[number, "absent"] for number in numbers[:2]]
    assert seen["queried"] == [[numbers[0], "absent"], [numbers[1], "absent"], [numbers[2], "active"]]
    assert applied == 5
    assert seen["wrong"] == {"code": "authentication", "message": "unknown user or wrong password"}
    assert seen["none"]["code"] == "authentication"
    assert seen["plain"] == ([[numbers[0], "absent"]] if private else seen["plain"])
    assert private or "TLS only" in seen["plain"]["message"]
    assert seen["malformed"] == "malformed"


async def test_node_knows_the_registry_by_its_openapi_document() -> None:
    async with open_simulated_registry(RegistrySettings(port=0, users=USERS)) as there:
        output = await run(
            program("node"), str(PEERS / "node" / "rest_registry.mjs"), f"{there.url}/v1/openapi.json", "t0ken"
        )
        applied = there.book.applied
    seen = json.loads(output)
    assert seen["submitted"]["status"] == 202
    assert [item["state"] for item in seen["submitted"]["body"]["items"]] == ["active"] * 3
    assert seen["repeated"] == seen["submitted"]
    assert applied == 4
    validated(seen["submitted"]["body"], "Submitted")
    validated(seen["lookup"]["body"], "LookedUp")
    assert [record["state"] for record in seen["lookup"]["body"]["records"]] == ["active", "absent"]
    validated(seen["page"]["body"], "Page")
    assert [record["number"] for record in seen["page"]["body"]["records"]] == ["+16175550300", "+16175550301"]
    assert [record["number"] for record in seen["last"]["body"]["records"]] == ["+16175550302"]
    assert "next" not in seen["last"]["body"]
    assert seen["withdrawn"]["body"]["items"][0]["state"] == "absent"
    wrong = {"reused": 422, "unnamed": 400, "wrong": 401, "nobody": 401, "malformed": 400, "empty": 400, "many": 413}
    for name, status in wrong.items():
        assert (seen[name]["status"], seen[name]["type"]) == (status, "application/problem+json"), name
        validated(seen[name]["body"], "Problem")


async def test_a_line_of_curl(certificate: Certificate) -> None:
    settings = RegistrySettings(
        port=0, users=USERS, tls_cert_file=str(certificate.cert_file), tls_key_file=str(certificate.key_file)
    )
    body = '{"items": [{"key": "c", "action": "publish", "listing": {"number": "+16175550400", "loa": "l1"}}]}'
    async with open_simulated_registry(settings) as there:
        output = await run(
            program("curl"), "--silent", "--fail", "--cacert", settings.tls_cert_file,
            "--header", "Authorization: Bearer t0ken", "--header", 'Idempotency-Key: "c1"',
            "--json", body, f"{there.url}/v1/submissions",
        )  # fmt: skip
    assert json.loads(output)["items"][0]["state"] == "active"


# --- As a command ----------------------------------------------------------------------------------------------------

SECRETS = {"REGISTRY_PASSWORD": USERS[0].password, "REGISTRY_TOKEN": "t0ken"}
USER = ["--user", "hub", "--password-env", "REGISTRY_PASSWORD", "--token-env", "REGISTRY_TOKEN"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ops.cli", "simulate", "registry", "--port", "0", *words]


@contextmanager
def running(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it tells."""
    process = subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **SECRETS}
    )
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        assert told.startswith("registry at http"), told
        yield process, told.split()[2].rstrip(":")
    finally:
        process.kill()
        process.communicate()


def directory(kind: str, url: str) -> CarrierDirectory:
    variable = "REGISTRY_TOKEN" if kind == "rest" else "REGISTRY_PASSWORD"
    path = "v1" if kind == "rest" else "soap"
    secret = Secret(SecretKind.ENV, variable)
    return CarrierDirectory(name="r", adapter=kind, url=f"{url}/{path}", username="hub", password=secret)


def told(count: int) -> list[Task]:
    return [
        Task(f"k{n}", Listing(number=f"+1617555{n:04}", real_number="", call_centre="", loa="l")) for n in range(count)
    ]


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "numbers.state")]
    halves = {"rest": told(1500)[:750], "soap": told(1500)[750:]}
    before = {}
    with running(*USER, *state) as (process, url):
        adapters = {kind: adapter_of(directory(kind, url), SECRETS) for kind in halves}
        for kind, ours in adapters.items():
            before[kind] = ours.publish(halves[kind])
            assert {answer.finding for answer in before[kind]} == {Finding.ACTIVE}
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        for ours in adapters.values():
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                ours.confirm(told(1))
            ours.close()
    with running(*USER, *state) as (process, url):
        for kind, half in halves.items():
            again = adapter_of(directory(kind, url), SECRETS)
            # The same names: nothing was entered anew.
            assert again.publish(half) == again.confirm(half) == before[kind]
            again.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def outcome(*words: str, **environment: str) -> tuple[int, str]:
    unset = dict.fromkeys(SECRETS)
    done = CliRunner().invoke(registry_command, ["--port", "0", *words], env={**unset, **environment})
    assert not set(SECRETS.values()) & set(done.output.split())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_scripts(tmp_path: Path) -> None:
    script = tmp_path / "evening.registry"
    script.write_text(
        "give +16175550107 hub\nexpect +16175550107 active\nrelease +16175550107\nexpect +1617555 absent\n"
    )
    status, output = outcome(*USER, "--script", str(script), **SECRETS)
    assert status == 0, output
    assert output.count("  ok ") == 4
    script.write_text("give +16175550107 somebody\nexpect +16175550107 active within 100ms\nwait 100s\n")
    status, output = outcome(*USER, "--script", str(script), **SECRETS)
    assert status == 1
    assert "FAILED" in output
    assert "it is taken" in output
    script.write_text("giev +1 x\nset fault x\n")
    status, output = outcome(*USER, "--script", str(script), **SECRETS)
    assert status == 1
    assert "line 1: " in output
    assert "line 2: " in output


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ([], {}, "nobody may publish"),
        (USER, {}, "REGISTRY_PASSWORD is not set"),
        (["--user", "hub"], {}, "needs a --password-env"),
        ([*USER, "--set", "fault x"], SECRETS, "'x' is none of"),
        ([*USER, "--state", "/nonexistent/x"], SECRETS, "No such file"),
        ([*USER, "--tls-cert", __file__], SECRETS, "test_registry_peers.py"),
    ],
)
def test_what_stands_in_the_way_is_told(words: list[str], environment: dict[str, Any], expected: str) -> None:
    status, output = outcome(*words, **environment)
    assert status == 1
    assert expected in output
