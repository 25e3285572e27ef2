"""The rows by which ``smshub reload`` and the daemon talk, on both stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops import reload_requests
from ops.cli_reload import told
from ops.plan import Change, How
from ops.reload import Answer, request_of
from ops.reload_requests import ReloadRequest
from store import create_all, open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


async def test_a_request_is_asked_begun_answered_and_in_time_forgotten(url: str) -> None:
    async with open_store(url) as store:
        await store.transact(create_all)
        ask = reload_requests.ask
        first = await store.transact(lambda tx: ask(tx, ReloadRequest(5, 5, "cli:ann")))
        second = await store.transact(lambda tx: ask(tx, ReloadRequest(5, 5, "cli:bob", dry_run=True)))
        assert (first, second) == (5, 6), "two that ask at once have two rows"
        waiting = await store.read(reload_requests.asked)
        assert [(request.id, request.who, request.dry_run) for request in waiting] == [
            (5, "cli:ann", False),
            (6, "cli:bob", True),
        ]
        await store.transact(lambda tx: reload_requests.note(tx, first, "running"))
        assert [request.id for request in await store.read(reload_requests.asked)] == [6]
        assert await store.transact(reload_requests.ask_again) == 1, "its node died over it"
        assert [request.id for request in await store.read(reload_requests.asked)] == [first, 6]
        await store.transact(lambda tx: reload_requests.note(tx, first, "running"))
        assert await store.read(lambda tx: request_of(tx, first)) == ("running", None)
        await store.transact(lambda tx: reload_requests.note(tx, first, "done", '{"state":"done","added":3}'))
        assert await store.read(lambda tx: request_of(tx, first)) == ("done", Answer(state="done", added=3))

        assert await store.transact(reload_requests.void) == 1, "a daemon that starts owes no answer"
        assert (await store.read(lambda tx: request_of(tx, second)))[0] == "void"
        for number in range(10, 10 + reload_requests.KEPT):
            await store.transact(lambda tx, number=number: ask(tx, ReloadRequest(number, 5, "cli")))  # type: ignore[misc]
            await store.transact(lambda tx, number=number: reload_requests.note(tx, number, "done"))  # type: ignore[misc]
        assert await store.read(lambda tx: request_of(tx, second)) == ("gone", None)
        assert (await store.read(lambda tx: request_of(tx, 10)))[0] == "done"


def test_an_answer_in_words() -> None:
    answer = Answer(
        state="done",
        file="x.toml",
        added=1,
        endpoints=(Change("link:a", How.RESTARTED, ("port",)), Change("link:b", How.REMOVED)),
        settings=("log.level",),
        needs_restart=("smpp.port",),
        dropped=("link 'c'",),
        troubles={"link:d": "the variable is not set"},
        waiting={"link:b": 7, "link:e": 0},
    )
    assert told(answer) == [
        "x.toml: in force",
        "entries: 1 added, 0 changed, 0 as they were",
        "link:a restarted: port",
        "link:b removed",
        "setting log.level holds at once",
        "setting smpp.port holds when the daemon starts again",
        "link 'c' is not in the file any more and stays provisioned; `smshub provision … remove` removes it",
        "link:b: 7 messages wait in the store",
        "link:d is not as provisioned: the variable is not set",
    ]
    assert told(Answer(state="planned")) == ["no file: checked, nothing has changed", "nothing differs"]
