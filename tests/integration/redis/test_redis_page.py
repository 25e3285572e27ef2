"""What docs/howto/redis.md says: the server's files start one, and their users may do what they must and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import redis
import trio

from hub import feed, wall_clock_us
from ops import redis_feed
from ops.redis_bells import RedisBells
from ops.redis_binds import SharedBinds
from ops.redis_feed import FeedStream
from ops.redis_link import RedisLink
from ops.redis_rates import SharedRates
from provisioning.secret import Secret, SecretKind
from store import create_all, open_store
from tests.documented.pages import DOCS, read_page
from tests.fixtures_redis import find_redis
from tests.integration.redis.conftest import until
from tests.servers import listens, wait_or_kill

PAGE = DOCS / "howto/redis.md"
HUB, CONSOLE = "change-me-1", "change-me-2"


@pytest.fixture
def page_server(tmp_path: Path, unused_tcp_port: int) -> object:
    """A server by the page's own files, on another port."""
    files = {block.file: block.text for block in read_page(PAGE).blocks if block.file}
    assert set(files) == {"redis.conf", "users.acl"}
    (tmp_path / "users.acl").write_text(files["users.acl"])
    moved = files["redis.conf"].replace("6379", str(unused_tcp_port)).replace("/etc/redis", str(tmp_path))
    assert moved != files["redis.conf"]
    (tmp_path / "redis.conf").write_text(moved)
    program = find_redis()
    assert program is not None
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "redis.conf"], cwd=tmp_path, stdout=out, stdin=subprocess.DEVNULL)
    yield (process, unused_tcp_port, log)
    process.terminate()
    wait_or_kill(process, 20)


async def test_its_users_may_do_what_they_must_and_no_more(
    page_server: tuple[subprocess.Popen[bytes], int, Path],
    links: Callable[..., RedisLink],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_feed, "LOOK_S", 0.02)
    process, port, log = page_server
    await until(lambda: listens(port) or process.poll() is not None, "it listens")
    assert process.poll() is None, log.read_text()
    link = links(f"redis://hub@127.0.0.1:{port}", password=Secret(SecretKind.LITERAL, HUB))
    heard: list[frozenset[str]] = []
    one, two = RedisBells(link, 1, heard.append), RedisBells(link, 2, heard.append)
    rates = SharedRates(link, 1, lambda: 2, wall_clock_us)
    binds = SharedBinds(link, 1)
    pace = rates.pace("agg", 100.0)
    async with open_store(f"sqlite:///{tmp_path}/hub.db", synchronous="OFF") as store, trio.open_nursery() as nursery:
        await store.transact(create_all)
        await store.transact(partial(feed.begin, name=redis_feed.NAME))
        stream = FeedStream(store, link, wall_clock_us)
        for part in (one, two, rates, binds, stream):
            await nursery.start(part.run)
        await until(lambda: one.is_heard and two.is_heard)
        one.ring(["link:acme"])
        await until(lambda: frozenset({"link:acme"}) in heard)
        await until(lambda: pace.allowance(wall_clock_us()) >= 3)
        assert await binds.admits_bind("agg", 1)
        assert not await binds.admits_bind("agg", 1)
        binds.lock("agg", "192.0.2.1", 60 * 10**6)
        with trio.fail_after(60):
            while not await binds.is_locked("agg", "192.0.2.1"):  # noqa: ASYNC110
                await trio.sleep(0.02)
        await store.commit([feed.outbox(store, 1, [("message", 7)])])
        with redis.Redis(port=port, protocol=2, username="console", password=CONSOLE, decode_responses=True) as console:
            await until(lambda: console.xlen("smshub:feed") == 1)
            with pytest.raises(redis.exceptions.NoPermissionError):
                console.xadd("smshub:feed", {"event": "message"})
            with pytest.raises(redis.exceptions.NoPermissionError):
                console.hget("smshub:binds", "agg")
        assert link.failures["not-allowed"] == 0
        with redis.Redis(port=port, protocol=2, driver_info=None) as stranger, pytest.raises(redis.RedisError):
            stranger.ping()
        nursery.cancel_scope.cancel()
    [command] = [command for block in read_page(PAGE).blocks for command in block.commands]
    line = command.line.replace("6379", str(port))
    done = await trio.run_process(["bash", "-euc", line], capture_stdout=True)
    assert done.stdout.decode().strip() == command.prints
