"""The images and the compose file: linted by others' linters, held to our rules, and their configurations run.

There is no container engine where tests run: what is inside the containers is started here, on free ports.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from smpp.constants import CommandStatus
from tests import fixtures_prosody
from tests.conftest import ROOT
from tests.fixtures_postgres import PostgresServer
from tests.fixtures_redis import find_redis
from tests.integration.end_to_end.sites import SMSHUB, Hub
from tests.integration.esmes import PASSWORD, Peer
from tests.servers import listens, wait_or_kill

COMPOSE = ROOT / "ops/compose"
FILES = {"one": COMPOSE / "compose.yaml", "nodes": COMPOSE / "nodes.yaml"}
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


def read_stack(path: Path) -> dict[str, Any]:
    """A compose file with what its services take over from those of another."""
    stack: dict[str, Any] = yaml.safe_load(path.read_text())
    for name, service in stack["services"].items():
        if extends := service.pop("extends", None):
            assert not service, f"{name}: it is to be as in {extends['file']}; merging is the engine's affair"
            stack["services"][name] = read_stack(path.parent / extends["file"])["services"][extends["service"]]
    return stack


@pytest.fixture(scope="module", params=FILES)
def stack(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read_stack(FILES[request.param])


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return read_stack(FILES["one"])


@pytest.fixture(scope="module")
def nodes() -> dict[str, Any]:
    return read_stack(FILES["nodes"])


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


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_dclint_has_nothing_to_say(file: Path, tmp_path: Path) -> None:
    """It checks the file against the schema of the Compose specification first."""
    if _node_version() < DCLINT_NODE:
        pytest.skip(f"dclint needs Node {'.'.join(map(str, DCLINT_NODE))}; Debian 12 brings 18")
    dclint = ROOT / "var/node/node_modules/.bin/dclint"
    words = [word for rule in PASSED_OVER for word in ("--disable-rule", rule)]
    assert ended(dclint, file, *words, "--max-warnings", "0")[0] == 0
    wrong = tmp_path / "compose.yaml"
    for right, other, why in (
        ("read_only: true", "read_onyl: true", "invalid-schema"),
        ("127.0.0.1:2775:", "2775:", "no-unbound-port-interfaces"),
    ):
        wrong.write_text(file.read_text().replace(right, other, 1))
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
    hubs = {"smshub"} & set(of) or {"hub-1", "hub-2"}
    assert {name for name in of if "store" in of[name]} == hubs | {"postgres"} | {"redis"} & set(of)
    assert {name for name in of if "desk" in of[name]} == hubs | {"prosody"}
    assert {name for name in of if "balance" in of[name]} == (hubs | {"haproxy"} if "haproxy" in of else set())
    assert of["postgres"] == {"store"}
    assert of["prometheus"] == {"watch"}
    published = {name for name, service in stack["services"].items() if "ports" in service}
    assert published == {"prosody", "grafana", "haproxy" if "haproxy" in of else "smshub"}


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
    used = {secret for service in stack["services"].values() for secret in service.get("secrets", [])}
    assert used == set(stack["secrets"])


def test_no_secret_is_made_for_nothing(one: dict[str, Any], nodes: dict[str, Any], secrets: Path) -> None:
    assert {path.name for path in secrets.iterdir()} == {*one["secrets"], *nodes["secrets"]}


def test_secrets_are_made_once_and_differ(secrets: Path) -> None:
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert len(set(made.values())) == len(made)
    for name in ("store_password", "desk_secret", "grafana_password", "redis_password"):
        assert len(made[name]) == 32, name
    assert len(made["carrier_password"]) == 8
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}
    (secrets / "carrier_password").unlink()
    subprocess.run([COMPOSE / "prepare", secrets.parent], check=True, capture_output=True, timeout=PATIENCE_S)
    again = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"carrier_password"}
    (secrets / "redis_password").unlink()
    subprocess.run([COMPOSE / "prepare", secrets.parent], check=True, capture_output=True, timeout=PATIENCE_S)
    last = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {name for name in made if again[name] != last[name]} == {"redis_password", "redis_users"}
    assert hashlib.sha256(last["redis_password"].encode()).hexdigest() in last["redis_users"]


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
    targets = jobs["smshub"]["static_configs"][0]["targets"]
    hubs = [name for name, service in stack["services"].items() if service.get("command", [""])[0] != "simulate"]
    hubs = [name for name in hubs if stack["services"][name]["image"].startswith("smshub:")]
    assert [target.partition(":")[0] for target in targets] == hubs
    for target in targets:
        service, _, port = target.partition(":")
        (file,) = [volume["source"] for volume in _binds(stack, service)]
        assert int(port) == tomllib.loads((COMPOSE / file).read_text())["metrics"]["port"]


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


def _moved(text: str, moves: dict[str, str]) -> str:
    for here, there in moves.items():
        assert here in text
        text = text.replace(here, there)
    return text


def _settings(file: str, folder: Path, url: str, ports: dict[str, int]) -> str:
    """A hub's file, with the places of this run. Its own address is left, and so is what only one of the files has."""
    moves = {
        '"postgresql://smshub@postgres/smshub"': f'"{url}"',
        "/run/secrets/": f"{folder}/secrets/",
        '"prosody"': '"127.0.0.1"',
        'host = "carrier"': 'host = "127.0.0.1"',
    }
    return _moved((COMPOSE / file).read_text(), moves | {port: str(here) for port, here in ports.items()})


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
        (folder / "prosody.cfg.lua").write_text(_moved(text, moves))
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
    one: dict[str, Any],
) -> None:
    """The hub by the stack's file, on PostgreSQL, with the stack's Prosody and its carrier."""
    folder, component = desk_server
    url = postgres_server.new_database()
    carrier, smpp, watched = (unused_tcp_port_factory() for _ in range(3))
    ports = {"2775": smpp, "2776": carrier, "9464": watched, "5347": component}
    text = _moved(_settings("smshub.toml", folder, url, ports), {'"0.0.0.0"': '"127.0.0.1"'})
    command = [
        word.replace("2776", str(carrier)).replace("0.0.0.0", "127.0.0.1")
        for word in one["services"]["carrier"]["command"]
    ]
    log = tmp_path / "carrier.log"
    with log.open("wb") as output:
        simulated = subprocess.Popen([str(SMSHUB), *command], stdin=subprocess.PIPE, stdout=output, stderr=output)
    hub = Hub(tmp_path, text)
    try:
        _wait(lambda: listens(carrier), simulated, log)
        assert "no errors" in hub.cli("check")
        hub.start()
        health = one["services"]["smshub"]["healthcheck"]["test"][1:]
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


def test_haproxys_address_is_the_one_that_the_hubs_believe(nodes: dict[str, Any]) -> None:
    balancer = nodes["services"]["haproxy"]["networks"]["balance"]["ipv4_address"]
    settings = tomllib.loads((COMPOSE / "nodes/smshub.toml").read_text())
    assert settings["smpp"]["proxy_networks"] == [balancer]
    (network,) = nodes["networks"]["balance"]["ipam"]["config"]
    assert ipaddress.ip_address(balancer) in ipaddress.ip_network(network["subnet"])


@contextmanager
def _process(log: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()
        wait_or_kill(process, PATIENCE_S)


async def test_the_nodes_run(
    desk_server: tuple[Path, int],
    tmp_path: Path,
    postgres_server: PostgresServer,
    unused_tcp_port_factory: Callable[[], int],
    nodes: dict[str, Any],
) -> None:
    """Both hubs by their file, with the stack's Redis, HAProxy and Prosody, on PostgreSQL; then one is told to stop."""
    folder, component = desk_server
    url = postgres_server.new_database()
    smpp, watched, redis_port, probe = (unused_tcp_port_factory() for _ in range(4))
    places = {"hub-1": "127.0.0.11", "hub-2": "127.0.0.12"}

    configuration = _moved(
        (COMPOSE / "nodes/redis.conf").read_text(),
        {"0.0.0.0": "127.0.0.1", "6379": str(redis_port), "/data": str(tmp_path), "/run/secrets": f"{folder}/secrets"},
    )
    (tmp_path / "redis.conf").write_text(configuration)
    text = (COMPOSE / "nodes/haproxy.cfg").read_text()
    for name, address in places.items():
        text = _moved(text, {f"{name}:2775": f"{address}:{smpp}"})
    text = _moved(text, {":2775": f"127.0.0.10:{smpp}", "8404": str(probe)})
    text = _moved(text, {"maxconn 4000": "maxconn 100", "inter 2s": "inter 200ms"})
    (tmp_path / "haproxy.cfg").write_text(text)
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    redis_program = find_redis()
    assert haproxy
    assert redis_program
    assert ended(haproxy, "-c", "-f", tmp_path / "haproxy.cfg")[0] == 0

    ports = {"2775": smpp, "2776": unused_tcp_port_factory(), "9464": watched, "5347": component}
    text = _moved(
        _settings("nodes/smshub.toml", folder, url, ports),
        {
            "hub@redis:6379": f"hub@127.0.0.1:{redis_port}",
            "172.30.75.10": "127.0.0.1",  # what Linux lets HAProxy connect from
        },
    )
    text += f'\n[[account]]\nsystem_id = "agg"\npassword = "{PASSWORD}"\n'
    hubs: dict[str, Hub] = {}
    for name, address in places.items():
        (tmp_path / name).mkdir()
        program, *options = nodes["services"][name]["command"]
        assert program == "run"
        hubs[name] = Hub(tmp_path / name, text.replace('"0.0.0.0"', f'"{address}"'), *options)
    stores = _process(tmp_path / "redis.log", redis_program, tmp_path / "redis.conf")
    balancer = _process(tmp_path / "haproxy.log", haproxy, "-db", "-f", tmp_path / "haproxy.cfg")
    try:
        with stores as shared, balancer as front:
            _wait(lambda: listens(redis_port), shared, tmp_path / "redis.log")
            for hub in hubs.values():
                hub.start()

            def is_well(address: str) -> bool:
                with urllib.request.urlopen(f"http://{address}:{watched}/metrics", timeout=10) as answer:
                    page = answer.read().decode()
                return "smshub_redis_up 1.0" in page

            for address in places.values():
                _wait(lambda address=address: is_well(address), shared, tmp_path / "redis.log")
            _wait(lambda: listens(probe), front, tmp_path / "haproxy.log")

            def states() -> list[str]:
                return [node["state"] for node in json.loads(hubs["hub-1"].command("node", "list", "--json"))]

            assert states() == ["up", "up"]

            async def is_served() -> bool:
                async with Peer(await trio.open_tcp_stream("127.0.0.10", smpp)) as peer:
                    with suppress(EOFError, trio.BrokenResourceError):
                        return await peer.bind() == CommandStatus.ESME_ROK
                    return False

            await _until_served(is_served)
            hubs["hub-2"].stop()
            assert states() == ["up", "left"]
            await _until_served(is_served)
    finally:
        for hub in hubs.values():
            hub.stop()
        postgres_server.drop_database(url)


async def _until_served(is_served: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not await is_served():  # noqa: ASYNC110 - until HAProxy's next check
            await trio.sleep(0.05)
