"""The guide to the control interface, walked with curl against a daemon over TLS; and the daemon's side of it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from click.testing import CliRunner, Result

from ops.api import is_key
from ops.cli import main
from tests.fixtures_tls import Certificate
from tests.integration.api.client import ROOT, Client

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[api]
port = {port}
tls_cert_file = "{cert}"
tls_key_file = "{key}"
[[call_centre]]
name = "acme"
[[directory]]
name = "paper"
adapter = "file"
drop_directory = "drop"
"""
SMSHUB = [sys.executable, "-m", "ops.cli"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "SMSHUB_CONFIG": str(folder / "smshub.toml"), "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def daemon(folder: Path, port: int, certificate: Certificate) -> AsyncIterator[None]:
    """A daemon in a process of its own that listens."""
    (folder / "drop").mkdir()
    settings = CONFIGURATION.format(port=port, cert=certificate.cert_file, key=certificate.key_file)
    (folder / "smshub.toml").write_text(settings)
    with (folder / "log").open("wb") as log:
        process = await trio.lowlevel.open_process([*SMSHUB, "run"], env=environment(folder), cwd=folder, stderr=log)
        try:
            with trio.fail_after(60):
                while b'"ready"' not in (folder / "log").read_bytes():
                    assert process.poll() is None, (folder / "log").read_text()
                    await trio.sleep(0.05)
            yield
        finally:
            process.terminate()
            with trio.move_on_after(60) as waiting:
                await process.wait()
            if waiting.cancelled_caught:
                process.kill()
                await process.wait()
    assert process.returncode == 0


async def test_the_guide(tmp_path: Path, unused_tcp_port: int, certificate: Certificate) -> None:
    text = (ROOT / "docs/howto/provision-over-http.md").read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert script.count("ask ") > 10
    script = script.replace("https://hub.example:8443", f"https://localhost:{unused_tcp_port}")
    script = script.replace("curl ", f"curl --cacert {certificate.cert_file} -w '\\n' ")
    script = f'smshub() {{ "{sys.executable}" -m ops.cli "$@"; }}\n{script}'
    async with daemon(tmp_path, unused_tcp_port, certificate):
        argv = ["bash", "-euo", "pipefail", "-c", script]
        ended = await trio.run_process(
            argv, env=environment(tmp_path), cwd=tmp_path, capture_stdout=True, capture_stderr=True, check=False
        )
        assert ended.returncode == 0, (ended.stdout, ended.stderr)
        answers = [json.loads(line) for line in ended.stdout.decode().splitlines() if line.startswith("{")]
        assert {"added": 2, "changed": 0, "unchanged": 0} in answers
        assert {"numbers": 1003, "changed": 1003, "unchanged": 0, "next": None} in answers
        assert (tmp_path / "letter.pdf").read_bytes().startswith(b"%PDF-")
        key = (tmp_path / "acme.key").read_text().strip()
        client = Client(unused_tcp_port, key, certificate.cert_file)
        assert (await client("GET", "/v1/letters/acme-2026/standing")).json["state"] == "valid"
        await suspended(client, tmp_path)
    log = (tmp_path / "log").read_text()
    assert key not in log
    assert key[7:20] not in log
    assert '"what": "api"' in log


async def suspended(client: Client, folder: Path) -> None:
    """A key that a command suspends opens nothing soon."""
    argv = [*SMSHUB, "api-key", "suspend", "acme-app"]
    ended = await trio.run_process(argv, env=environment(folder), cwd=folder, capture_stdout=True)
    assert ended.stdout == b"key acme-app is suspended\n"
    with trio.fail_after(60):
        while (await client("GET", "/v1/call-centre")).status == 200:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.2)


def test_commands_that_are_refused(tmp_path: Path) -> None:
    config = CONFIGURATION[: CONFIGURATION.index("[[directory")].format(port=0, cert="", key="")
    (tmp_path / "smshub.toml").write_text(config)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env={"SMSHUB_CONFIG": str(tmp_path / "smshub.toml")})

    assert run("provision", "apply", str(tmp_path / "smshub.toml")).exit_code == 0
    for arguments, error in (
        (["create", "k", "--call-centre", "acme", "--scopes", "number:read"], "did you mean 'numbers:read'?"),
        (["create", "k", "--call-centre", "amce"], "did you mean 'acme'?"),
        (["create", "k", "--call-centre", "acme", "--valid-until", "soon"], "valid_until"),
        (["suspend", "nobody"], "there is no api-key 'nobody'"),
        (["revoke", "nobody"], "there is no api-key 'nobody'"),
    ):
        ended = run("api-key", *arguments)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert error in ended.stderr
    made = run("api-key", "create", "k", "--call-centre", "acme", "--scopes", "numbers:read", "--per-minute", "7")
    assert is_key(made.stdout.strip())
    listed = run("api-key", "list", "--json")
    assert made.stdout.strip() not in listed.stdout
    assert json.loads(listed.stdout)[0]["scopes"] == ["numbers:read"]
    assert run("api-key", "resume", "k").stdout == "key k is active already\n"
    assert run("api-key", "revoke", "k").exit_code == 0
    assert run("api-key", "list").stdout == ""
