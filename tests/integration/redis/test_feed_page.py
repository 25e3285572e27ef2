"""The follower that docs/reference/feed-stream.md shows: each event once, however it and Redis are ended."""

from __future__ import annotations

import os
import random
import shlex
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from hub import feed
from ops import redis_feed
from ops.redis_feed import FeedStream
from ops.redis_link import RedisLink
from store import Store, create_all, open_store
from tests.documented.pages import DOCS, read_page
from tests.fixtures_redis import RedisServer
from tests.integration.redis.conftest import until

PAGE = DOCS / "reference/feed-stream.md"
WORDS = ("message", "handed-over", "delivered", "dead", "thread")
KILLS = 4


def counted(folder: Path) -> Counter[str]:
    """What the follower has written down."""
    file = folder / "counted.db"
    if not file.exists():
        return Counter()
    with sqlite3.connect(file, timeout=30) as book:
        tables = book.execute("SELECT name FROM sqlite_master WHERE name = 'counted'").fetchall()
        found = Counter(dict(book.execute("SELECT event, number FROM counted"))) if tables else Counter()
    book.close()
    return found


async def happen(store: Store, chance: random.Random, count: int) -> Counter[str]:
    told: Counter[str] = Counter()
    for _ in range(count):
        words = chance.choices(WORDS, k=chance.randrange(1, 6))
        told.update(words)
        await store.commit([feed.outbox(store, 1, [(word, chance.getrandbits(62)) for word in words])])
    return told


async def test_the_follower_of_the_page_counts_each_event_once(
    redis_server: RedisServer,
    links: Callable[..., RedisLink],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: int,
) -> None:
    for name, value in (("LOOK_S", 0.02), ("CHECK_S", 0.0), ("REST", 0.0)):
        monkeypatch.setattr(redis_feed, name, value)
    page = read_page(PAGE)
    [program] = [block for block in page.blocks if block.file]
    (tmp_path / program.file).write_text(program.text)
    [command] = [command for block in page.blocks for command in block.commands]
    _, python, file = shlex.split(command.line)
    assert (python, file) == ("python", program.file)
    environment = os.environ | {"REDIS_URL": redis_server.url}
    chance = random.Random(7)
    told: Counter[str] = Counter()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, file], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL)

    async with open_store(f"sqlite:///{tmp_path}/hub.db", synchronous="OFF") as store:
        await store.transact(create_all)
        await store.transact(partial(feed.begin, name=redis_feed.NAME))
        stream = FeedStream(store, links(redis_server.url), lambda: 2)
        async with trio.open_nursery() as nursery:
            await nursery.start(stream.run)
            follower = start()
            try:
                for round_ in range(KILLS * scale):
                    before = sum(told.values())
                    told += await happen(store, chance, 150)
                    await until(lambda before=before: sum(counted(tmp_path).values()) > before, "it counts")
                    follower.kill()
                    follower.wait()
                    told += await happen(store, chance, 20)
                    if round_ % KILLS == 1:
                        with redis_server.client() as other:
                            other.flushall()
                    elif round_ % KILLS == 2:
                        redis_server.kill()
                        redis_server.start()
                    follower = start()
                await until(lambda: counted(tmp_path) == told, "all are counted")
            finally:
                follower.kill()
                follower.wait()
            nursery.cancel_scope.cancel()
    assert counted(tmp_path) == told


def test_the_page_has_every_word_of_the_feed() -> None:
    words = {line.split('"')[1] for line in (feed.__doc__ or "").splitlines() if line.startswith('``["')}
    text = PAGE.read_text()
    assert words
    assert [word for word in words if f"`{word}`" not in text] == []
