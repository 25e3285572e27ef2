"""The images and the compose file: linted by others' linters, held to our rules, and their configurations run.

There is no container engine where tests run: what is inside the containers is started here, on free ports.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import fixtures_prosody
from tests.conftest import ROOT
from tests.fixtures_postgres import PostgresServer
from tests.integration.end_to_end.sites import SMSHUB, Hub
from tests.servers import listens

COMPOSE = ROOT / "ops/compose"
FILE = COMPOSE / "compose.yaml"
DOCKERFILES = [ROOT / "Dockerfile", COMPOSE / "prosody/Dockerfile"]
PATIENCE_S = 60.0
DCLINT_NODE = (20, 19)

# Of dclint's: a build with an image's name names what is built; the order of keys is for people to read.
PASSED_OVER = (
    "no-build-and-image",
    "require-quotes-in-ports",
    "service-keys-order",
    "services-alphabetical-order",
    "top-level-properties-order",
)


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What ``prepare`` makes."""
    subprocess.run([COMPOSE / "prepare", tmp_path], check=True, capture_output=True, timeout=PATIENCE_S)
    return tmp_path / "secrets"


def ended(*command: str | Path, **more: Any) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, **more)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    assert ended(Path(sys.executable).with_name("hadolint"), "--no-color", path) == (0, "")


def _node_version() -> tuple[int, ...]:
    said = ended("node", "--version")[1].strip()
    return tuple(int(part) for part in said.removeprefix("v").split("."))


def test_dclint_has_nothing_to_say(tmp_path: Path) -> None:
    """It checks the file against the schema of the Compose specification first."""
    if _node_version() < DCLINT_NODE:
        pytest.skip(f"dclint needs Node {'.'.join(map(str, DCLINT_NODE))}; Debian 12 brings 18")
    dclint = ROOT / "var/node/node_modules/.bin/dclint"
    words = [word for rule in PASSED_OVER for word in ("--disable-rule", rule)]
    assert ended(dclint, FILE, *words, "--max-warnings", "0")[0] == 0
    wrong = tmp_path / "compose.yaml"
    for right, other, why in (
        ("read_only: true", "read_onyl: true", "invalid-schema"),
        ("127.0.0.1:2775:", "2775:", "no-unbound-port-interfaces"),
    ):
        wrong.write_text(FILE.read_text().replace(right, other, 1))
        status, told = ended(dclint, wrong, *words)
        assert status == 1, told
        assert why in told


def test_every_service_is_hardened(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        user, group = service["user"].split(":")
        assert int(user) > 0, name
        assert int(group) > 0, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["options"]["max-size"], name
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert tag != "latest", name
        assert "privileged" not in service, name
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or value.startswith(("/run/secrets/", "--")), f"{name}: {key}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to everybody"


def test_who_need_not_reach_each_other_cannot(stack: dict[str, Any]) -> None:
    of = {name: set(service["networks"]) for name, service in stack["services"].items()}
    assert {name for name, network in stack["networks"].items() if not network.get("internal")} == {"outside"}
    assert {name for name in of if "store" in of[name]} == {"smshub", "postgres"}
    assert {name for name in of if "desk" in of[name]} == {"smshub", "prosody"}
    assert of["postgres"] == {"store"}
    assert of["prometheus"] == {"watch"}


def test_what_is_mounted_is_there(stack: dict[str, Any], secrets: Path) -> None:
    for name, service in stack["services"].items():
        for volume in service.get("volumes", []):
            if isinstance(volume, dict):
                assert volume["read_only"], f"{name}: {volume}"
                assert (COMPOSE / volume["source"]).exists(), f"{name}: {volume}"
            else:
                assert volume.partition(":")[0] in stack["volumes"], f"{name}: {volume}"
        for secret in service.get("secrets", []):
            assert (secrets.parent / stack["secrets"][secret]["file"]).exists(), f"{name}: {secret}"
    assert {path.name for path in secrets.iterdir()} == set(stack["secrets"])
    used = {secret for service in stack["services"].values() for secret in service.get("secrets", [])}
    assert used == set(stack["secrets"])


def test_secrets_are_made_once_and_differ(secrets: Path) -> None:
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert len(set(made.values())) == len(made)
    assert {name: len(made[name]) for name in ("store_password", "desk_secret", "grafana_password")} == {
        "store_password": 32,
        "desk_secret": 32,
        "grafana_password": 32,
    }
    assert len(made["carrier_password"]) == 8
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}
    (secrets / "carrier_password").unlink()
    subprocess.run([COMPOSE / "prepare", secrets.parent], check=True, capture_output=True, timeout=PATIENCE_S)
    again = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"carrier_password"}


def test_prometheus_takes_its_configuration(stack: dict[str, Any], tmp_path: Path) -> None:
    mounted = {volume["target"]: volume["source"] for volume in _binds(stack, "prometheus")}
    text = (COMPOSE / mounted["/etc/prometheus/prometheus.yml"]).read_text()
    for target, source in mounted.items():
        text = text.replace(target, str((COMPOSE / source).resolve()))
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    status, told = ended("promtool", "check", "config", file)
    assert status == 0, told
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}
    service, _, port = jobs["smshub"]["static_configs"][0]["targets"][0].partition(":")
    assert service in stack["services"]
    assert int(port) == tomllib.loads((COMPOSE / "smshub.toml").read_text())["metrics"]["port"]


def test_grafana_finds_its_source_and_its_dashboards(stack: dict[str, Any]) -> None:
    mounted = {volume["target"]: COMPOSE / volume["source"] for volume in _binds(stack, "grafana")}
    (source,) = yaml.safe_load(mounted["/etc/grafana/provisioning/datasources/smshub.yaml"].read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"].removeprefix("http://").partition(":")[0] in stack["services"]
    (provider,) = yaml.safe_load(mounted["/etc/grafana/provisioning/dashboards/smshub.yaml"].read_text())["providers"]
    boards = sorted(mounted[provider["options"]["path"]].glob("*.json"))
    assert len(boards) >= 5
    for board in boards:
        asked = [each for each in json.loads(board.read_text())["templating"]["list"] if each["type"] == "datasource"]
        assert [each["query"] for each in asked] == [source["type"]], board.name


def _binds(stack: dict[str, Any], service: str) -> list[dict[str, Any]]:
    return [volume for volume in stack["services"][service]["volumes"] if isinstance(volume, dict)]


@pytest.fixture
def desk_server(unused_tcp_port_factory: Callable[[], int]) -> Iterator[tuple[Path, int]]:
    """The stack's Prosody, with the stack's secrets. Its folder, and the port of its component."""
    # Not pytest's own folder: it is closed to other users, and Prosody is one.
    with tempfile.TemporaryDirectory(prefix="smshub-compose-") as name:
        folder = Path(name)
        subprocess.run([COMPOSE / "prepare", folder], check=True, capture_output=True, timeout=PATIENCE_S)
        clients, component = unused_tcp_port_factory(), unused_tcp_port_factory()
        text = (COMPOSE / "prosody/prosody.cfg.lua").read_text()
        moves = {
            "/run/secrets/": f"{folder}/secrets/",
            "/run/prosody/": f"{folder}/",
            "/var/lib/prosody": f"{folder}/data",
            '"*"': '"127.0.0.1"',
            "5222": str(clients),
            "5347": str(component),
        }
        for here, there in moves.items():
            assert here in text
            text = text.replace(here, there)
        (folder / "prosody.cfg.lua").write_text(text)
        for inner in ("data", "certs"):
            (folder / inner).mkdir()
        fixtures_prosody._own(folder)
        identity = fixtures_prosody._identity()
        program = fixtures_prosody._program()
        checked = ended(
            shutil.which("prosodyctl") or "prosodyctl",
            "--config",
            folder / "prosody.cfg.lua",
            "check",
            "config",
            **identity,
        )
        assert checked[0] == 0, checked[1]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [program, "-F", "--config", str(folder / "prosody.cfg.lua")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                **identity,
            )
        try:
            _wait(lambda: listens(component), server, folder / "log")
            yield folder, component
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < give_up_at, log.read_text(errors="replace")
        time.sleep(0.05)  # a real process: nothing else tells


def test_the_stack_runs(
    desk_server: tuple[Path, int],
    tmp_path: Path,
    postgres_server: PostgresServer,
    unused_tcp_port_factory: Callable[[], int],
    stack: dict[str, Any],
) -> None:
    """The hub by the stack's file, on PostgreSQL, with the stack's Prosody and its carrier."""
    folder, component = desk_server
    url = postgres_server.new_database()
    carrier, smpp, watched = (unused_tcp_port_factory() for _ in range(3))
    text = (COMPOSE / "smshub.toml").read_text()
    moves = {
        '"postgresql://smshub@postgres/smshub"': f'"{url}"',
        "/run/secrets/": f"{folder}/secrets/",
        '"0.0.0.0"': '"127.0.0.1"',
        '"prosody"': '"127.0.0.1"',
        'host = "carrier"': 'host = "127.0.0.1"',
        "2775": str(smpp),
        "2776": str(carrier),
        "9464": str(watched),
        "5347": str(component),
    }
    for here, there in moves.items():
        assert here in text
        text = text.replace(here, there)
    command = [
        word.replace("2776", str(carrier)).replace("0.0.0.0", "127.0.0.1")
        for word in stack["services"]["carrier"]["command"]
    ]
    log = tmp_path / "carrier.log"
    with log.open("wb") as output:
        simulated = subprocess.Popen([str(SMSHUB), *command], stdin=subprocess.PIPE, stdout=output, stderr=output)
    hub = Hub(tmp_path, text)
    try:
        _wait(lambda: listens(carrier), simulated, log)
        assert "no errors" in hub.cli("check")
        hub.start()
        health = stack["services"]["smshub"]["healthcheck"]["test"][1:]
        probe = [sys.executable, *health[1:2], health[2].replace("9464", str(watched))]

        def is_up() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{watched}/metrics", timeout=10) as answer:
                page = answer.read().decode()
            return all(
                f'smshub_endpoint_up{{endpoint="{name}"}} 1.0' in page for name in ("link:carrier", "desk:helpline")
            )

        _wait(is_up, simulated, log)
        assert ended(*probe) == (0, "")
        assert ended(*probe[:2], probe[2].replace(str(watched), str(unused_tcp_port_factory())))[0] != 0
    finally:
        hub.stop()
        assert simulated.stdin is not None
        simulated.stdin.close()
        simulated.terminate()
        simulated.wait(PATIENCE_S)
        postgres_server.drop_database(url)
