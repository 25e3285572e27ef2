"""Links to a Redis of the test's own, and what the log says meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
import trio

from ops.redis_link import RedisLink, open_link
from ops.redis_settings import RedisSettings

PATIENCE_S = 60.0


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait for something that a server does."""
    with trio.move_on_after(PATIENCE_S) as scope:
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.02)
    assert not scope.cancelled_caught, f"in vain: {what or condition}"


@pytest.fixture
def links() -> Iterator[Callable[..., RedisLink]]:
    """Makes links by settings; all are closed with the test."""
    made: list[RedisLink] = []

    def make(url: str, environ: dict[str, str] | None = None, **settings: Any) -> RedisLink:
        link = open_link(RedisSettings(url=url, **settings), environ or {})
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged, at warning and above or not."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def said(lines: list[Any], words: str) -> list[Any]:
    """The lines that begin with some words."""
    return [line for line in lines if line["event"].startswith(words)]
