"""The link to a real Redis that is killed, frozen, full, asks for a password, moves, or was never there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import trio
from prometheus_client import CollectorRegistry, generate_latest

from ops import redis_link
from ops.redis_link import RedisLink
from ops.redis_trouble import RedisAway, RedisRefused
from provisioning.secret import Secret, SecretKind
from tests.documented.pages import ROOT
from tests.fixtures_redis import RedisServer, running_sentinel
from tests.fixtures_tls import Certificate
from tests.integration.redis.conftest import PATIENCE_S, said, until

Links = Callable[..., RedisLink]
Servers = Callable[..., RedisServer]


def ping(client: redis.Redis) -> Any:
    return client.ping()


async def answers(link: RedisLink) -> bool:
    try:
        await link.call(ping)
    except RedisAway:
        return False
    return True


async def until_it_answers(link: RedisLink) -> None:
    with trio.fail_after(PATIENCE_S):
        while not await answers(link):
            await link.rest()


async def test_a_server_that_was_never_there_is_told_of_once(links: Links, tmp_path: Path, lines: list[Any]) -> None:
    link = links(f"unix://{tmp_path}/nobody")
    for _ in range(3):
        with pytest.raises(RedisAway) as raised:
            await link.call(ping)
        assert raised.value.reason == "away"
        await link.rest()
    assert not link.is_up
    assert len(said(lines, "redis does not answer")) == 1
    assert link.failures["away"] == 3


async def test_while_the_link_rests_nobody_waits(links: Links, tmp_path: Path) -> None:
    link = links(f"unix://{tmp_path}/nobody")
    for _ in range(50):
        with pytest.raises(RedisAway):
            await link.call(ping)
    assert link.failures["away"] < 50, "the calls in between were not made"


async def test_a_server_that_is_killed_and_comes_back(
    links: Links, redis_server: RedisServer, lines: list[Any]
) -> None:
    link = links(redis_server.url)
    await until_it_answers(link)
    for round_ in range(1, 3):
        redis_server.kill()
        assert not await answers(link)
        redis_server.start()
        await until_it_answers(link)
        assert len(said(lines, "redis does not answer")) == round_
        assert len(said(lines, "redis answers")) == round_ + 1


async def test_a_frozen_server_costs_its_time_limit_once(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_S", 0.2)
    link = links(redis_server.url)
    await until_it_answers(link)
    redis_server.freeze()
    with pytest.raises(RedisAway) as raised:
        await link.call(ping)
    assert raised.value.reason == "timeout"
    redis_server.thaw()
    await until_it_answers(link)
    assert link.is_up


async def test_a_call_that_is_cancelled_ends_at_once_and_harms_no_other(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_S", 30.0)
    link = links(redis_server.url)
    await until_it_answers(link)
    redis_server.freeze()
    with trio.move_on_after(0.1) as scope:
        await link.call(ping)
    assert scope.cancelled_caught
    redis_server.thaw()
    assert await link.call(lambda client: client.echo("this one's answer")) == b"this one's answer"


async def test_a_full_server_refuses_and_is_not_away(links: Links, redis_factory: Servers, lines: list[Any]) -> None:
    server = redis_factory("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    server.start()
    with server.client() as other:
        other.config_set("maxmemory", "1")
    link = links(server.url)
    with pytest.raises(RedisRefused) as raised:
        await link.call(lambda client: client.set("key", "value"))
    assert raised.value.reason == "full"
    assert link.is_up
    assert await link.call(ping)
    assert not said(lines, "redis does not answer")


async def test_a_wrong_password_is_told_of_without_it(links: Links, redis_factory: Servers, lines: list[Any]) -> None:
    server = redis_factory("--requirepass", "right-one")
    server.start("right-one")
    wrong = links(server.url, {"REDIS_PASSWORD": "wrong-one"}, password=Secret(SecretKind.ENV, "REDIS_PASSWORD"))
    none = links(server.url)
    right = links(server.url, password=Secret(SecretKind.LITERAL, "right-one"))
    for link in (wrong, none):
        with pytest.raises(RedisAway) as raised:
            await link.call(ping)
        assert raised.value.reason == "credentials"
    assert await right.call(ping)
    assert "-one" not in str(lines)
    assert "right-one" not in repr(right)


async def test_what_the_acl_forbids_is_refused(links: Links, redis_server: RedisServer) -> None:
    with redis_server.client() as other:
        other.acl_setuser("hub", enabled=True, passwords=["+word"], commands=["+ping", "+client"])
    url = redis_server.url.replace("unix://", "unix://hub@")
    link = links(url, password=Secret(SecretKind.LITERAL, "word"))
    assert await link.call(ping)
    with pytest.raises(RedisRefused) as raised:
        await link.call(lambda client: client.set("key", "value"))
    assert raised.value.reason == "not-allowed"


async def test_over_tls_the_certificate_is_verified(
    links: Links, redis_factory: Servers, certificate: Certificate, unused_tcp_port: int
) -> None:
    cert, key = map(str, certificate)
    server = redis_factory(
        "--tls-port", str(unused_tcp_port), "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key,
        "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes",
    )  # fmt: skip
    server.start()
    url = f"rediss://127.0.0.1:{unused_tcp_port}"
    mutual = links(url, tls_ca_file=cert, tls_cert_file=cert, tls_key_file=key)
    assert await mutual.call(ping)
    for doubtful in (links(url), links(url, tls_ca_file=cert)):
        with pytest.raises(RedisAway):
            await doubtful.call(ping)
    with pytest.raises(OSError, match="No such file"):
        links(url, tls_ca_file="/nowhere.pem")


async def test_a_failover_by_sentinel_is_followed(
    links: Links, redis_factory: Servers, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    first_port, second_port, port = (unused_tcp_port_factory() for _ in range(3))
    first = redis_factory("--port", str(first_port), "--bind", "127.0.0.1")
    first.start()
    second = redis_factory(
        "--port", str(second_port), "--bind", "127.0.0.1", "--replicaof", f"127.0.0.1 {first_port}",
        "--repl-diskless-sync-delay", "0",
    )  # fmt: skip
    second.start()
    with second.client() as replica, running_sentinel(tmp_path, port, first_port, second_port):
        await until(lambda: replica.info("replication")["master_link_status"] == "up", "replication")
        link = links(f"redis+sentinel://127.0.0.1:{port}/hub")
        await until_it_answers(link)
        await link.call(lambda client: client.set("where", "first"))
        await until(lambda: replica.get("where") == "first", "replicated")
        first.kill()
        await until(lambda: replica.info("replication")["role"] == "master", "the failover")
        with trio.fail_after(PATIENCE_S):
            while replica.get("where") != "second":
                with suppress(RedisAway):
                    await link.call(lambda client: client.set("where", "second"))
                await link.rest()
    assert link.is_up


async def test_its_metrics(links: Links, redis_server: RedisServer) -> None:
    link = links(redis_server.url)
    registry = CollectorRegistry()
    registry.register(link)
    assert "smshub_redis_up 0.0" in generate_latest(registry).decode()
    await until_it_answers(link)
    with pytest.raises(RedisRefused):
        await link.call(lambda client: client.execute_command("NONSENSE"))
    text = generate_latest(registry).decode()
    assert "smshub_redis_up 1.0" in text
    assert 'smshub_redis_failures_total{reason="refused"} 1.0' in text


def test_the_client_is_not_loaded_where_no_redis_is_named() -> None:
    """It takes a daemon's start a tenth of a second, and seven megabytes."""
    program = "import sys, ops.daemon; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=120).returncode == 0
