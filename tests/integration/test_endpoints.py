"""The endpoints of a running daemon follow the catalog, also when something is in their way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from ops.config import load_config
from ops.daemon import Daemon, open_daemon
from ops.endpoints import Endpoints
from provisioning import Account, CallCentre, Group, Link, Number, Route, built, catalog
from provisioning.passwords import DUMMY_HASH
from smpp.constants import CommandStatus as S
from store import StoreUnavailable
from tests.integration.esmes import Peer, until

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = {port}
[metrics]
port = 0
[limits]
reload_s = 0.1
drain_s = 2
[[link]]
name = "one"
host = "127.0.0.1"
port = {deaf}
system_id = "hub"
password = "x"
[[account]]
system_id = "agg"
password = "rightpwd"
"""


def read(path: Path) -> str:
    return path.read_text()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def edit(path: Path, old: str, new: str) -> None:
    write(path, read(path).replace(old, new))


def remove_file(path: Path) -> None:
    path.unlink()


async def change(daemon: Daemon, *entries: Any) -> None:
    """Change the catalog as a command beside the daemon does, and wait until the daemon has followed."""
    await daemon.store.transact(lambda tx: catalog.apply(tx, entries, who="test", now_us=1))
    await followed(daemon)


async def remove(daemon: Daemon, kind: Any, key: str) -> None:
    await daemon.store.transact(lambda tx: catalog.remove(tx, kind, key, who="test", now_us=1))
    await followed(daemon)


async def followed(daemon: Daemon) -> None:
    revision = await daemon.store.read(catalog.revision)
    await until(lambda: daemon.reloader.revision == revision)


@pytest.fixture
async def deaf() -> Any:
    """A port that takes connections and says nothing."""
    async with trio.open_nursery() as nursery:

        async def listen(stream: trio.SocketStream) -> None:
            async with stream:
                while await stream.receive_some(4096):
                    pass

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, listen, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path: Path, unused_tcp_port: int, deaf: int) -> Path:
    path = tmp_path / "smshub.toml"
    path.write_text(CONFIGURATION.format(port=unused_tcp_port, deaf=deaf))
    return path


async def test_a_link_that_waits_for_an_answer_is_removed_at_once(path: Path) -> None:
    async with open_daemon(load_config(path)) as daemon:
        link = daemon.links["one"]
        await remove(daemon, Link, "one")
        assert daemon.links == {}
        assert "link:one" not in daemon.hub.statistics()
        assert not link.sessions
        await change(daemon, built(Link, name="one", host="127.0.0.1", port=1, system_id="hub", password="x"))
        assert daemon.links["one"] is not link


async def test_what_cannot_be_made_does_not_serve_and_is_tried_again(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    two = built(Link, name="two", host="127.0.0.1", port=1, system_id="hub", password_file=str(secret))
    with structlog.testing.capture_logs() as logs:
        async with open_daemon(load_config(path)) as daemon:
            group = built(Group, name="g", links=["one", "two"])
            await change(daemon, two, group, built(Route, prefix="*", endpoint="link:two"))
            assert set(daemon.links) == {"one"}
            assert daemon.groups == {}
            directory = daemon.hub.directory
            assert directory.routes.choose("+442079460018", 0) is None, "no text is led to what does not serve"
            write(secret, "x")
            answer = await daemon.reload("test")
            assert answer.state == "done"
            assert {change.endpoint for change in answer.endpoints} == {"link:two", "group:g"}
            assert daemon.hub.directory.routes.choose("+442079460018", 0) == "link:two"
            # Once it serves, a secret that cannot be read leaves it as it was.
            remove_file(secret)
            answer = await daemon.reload("test")
            assert answer.state == "done"
            assert set(answer.troubles) == {"link:two"}
            assert answer.endpoints == ()
            assert set(daemon.links) == {"one", "two"}
            assert daemon.hub.directory.routes.choose("+442079460018", 0) == "link:two"
    told = [entry for entry in logs if entry["event"] == "an endpoint is not as provisioned"]
    assert {entry["endpoint"] for entry in told} == {"link:two", "group:g"}
    assert all(entry["log_level"] == "error" for entry in told)


async def test_the_file_is_refused_for_an_endpoint_of_its_own_that_cannot_be_made(path: Path, tmp_path: Path) -> None:
    good = read(path)
    async with open_daemon(load_config(path)) as daemon:
        authorities = tmp_path / "ca.pem"
        write(authorities, "no certificate")
        edit(path, 'name = "one"\n', f'name = "one"\ntls = "verify"\ntls_ca_file = "{authorities}"\n')
        answer = await daemon.reload("test")
        assert answer.state == "refused"
        line = good[: good.index("[[link]]")].count("\n") + 1
        assert len(answer.errors) == 1
        assert answer.errors[0].startswith(f"{path}:{line}: link 'one': ")
        write(path, good)
        assert daemon.config.entries == load_config(path).entries
        remove_file(path)
        answer = await daemon.reload("test")
        assert answer.state == "refused"
        assert "cannot be read" in answer.errors[0]


async def test_an_account_that_is_removed_is_unbound_and_binds_no_more(path: Path, unused_tcp_port: int) -> None:
    async with open_daemon(load_config(path)) as daemon, await Peer.connect(unused_tcp_port) as peer:
        assert await peer.bind() == S.ESME_ROK
        await change(daemon, built(Account, system_id="new", password_hash=DUMMY_HASH))
        assert set(daemon.accounts) == {"agg", "new"}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove, daemon, Account, "agg")
            assert type(await peer.next()).__name__ == "Unbind"
            await trio.aclose_forcefully(peer.stream)
        assert set(daemon.accounts) == {"new"}
        async with await Peer.connect(unused_tcp_port) as again:
            assert await again.bind() == S.ESME_RINVSYSID


async def test_a_fault_of_ours_in_following_ends_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    prepare, broken = Endpoints.prepare, True

    def fail(self: Endpoints, *arguments: Any, **more: Any) -> Any:
        if broken:
            raise RuntimeError("a fault of ours")
        return prepare(self, *arguments, **more)

    monkeypatch.setattr(Endpoints, "prepare", fail)
    monkeypatch.setattr("ops.reload.AGAIN_S", 0.05)
    two = built(Link, name="two", host="127.0.0.1", port=1, system_id="hub", password="x")
    with structlog.testing.capture_logs() as logs:
        async with open_daemon(load_config(path)) as daemon:
            assert (await daemon.reload("test")).state == "failed"
            await daemon.store.transact(lambda tx: catalog.apply(tx, [two], who="test", now_us=1))
            await until(lambda: any(entry["event"] == "the catalog could not be followed" for entry in logs))
            async with await Peer.connect(unused_tcp_port) as peer:
                assert await peer.bind() == S.ESME_ROK
            broken = False
            await until(lambda: "two" in daemon.links)


async def test_a_file_that_is_refused_at_the_last_moment_changes_no_setting(path: Path) -> None:
    """Somebody takes the number between the rehearsal and the write: nothing of the file holds, limits neither."""
    number = '\n[[call_centre]]\nname = "a"\n[[number]]\nnumber = "+16175550100"\ncall_centre = "a"\n'
    async with open_daemon(load_config(path)) as daemon:
        reloader, heads = daemon.reloader, daemon.hub._heads
        keep_to, before = reloader._keep_to, daemon.config

        async def taken_meanwhile(config: Any) -> None:
            if config is not before:
                theirs = built(CallCentre, name="b"), built(Number, number="+16175550100", call_centre="b")
                await daemon.store.transact(lambda tx: catalog.apply(tx, theirs, who="test", now_us=1))
            await keep_to(config)

        reloader._keep_to = taken_meanwhile
        edit(path, "[limits]\n", "[limits]\nheads_per_endpoint = 77\n")
        write(path, read(path) + number)
        answer = await daemon.reload("test")
        assert answer.state == "refused"
        assert "claimed by another call centre" in answer.errors[-1]
        assert daemon.config is before
        assert daemon.hub._heads == heads != 77
        reloader._keep_to = keep_to
        write(path, read(path).replace(number, ""))
        assert (await daemon.reload("test")).state == "done"
        assert daemon.hub._heads == 77


async def test_what_a_reload_did_not_come_to_is_done_later(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails when the file is in it already. A renewed secret raises no revision, and is not forgotten."""
    secret = tmp_path / "secret"
    write(secret, "x")
    edit(path, 'password = "x"\n', 'password_file = "secret"\n')
    follow, broken = Endpoints.follow, False

    async def fail(self: Endpoints, prepared: Any) -> Any:
        if broken:
            raise StoreUnavailable("the server has gone")
        return await follow(self, prepared)

    monkeypatch.setattr(Endpoints, "follow", fail)
    async with open_daemon(load_config(path)) as daemon:
        write(secret, "renewed")
        broken = True
        answer = await daemon.reload("test")
        assert (answer.state, answer.is_stored) == ("failed", True)
        assert not daemon.reloader.is_as_wanted
        broken = False
        await until(lambda: daemon.links["one"].settings.password == "renewed")
        await until(lambda: daemon.reloader.is_as_wanted)


async def test_two_reloads_at_once_are_one_after_the_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    follow, at_once, most = Endpoints.follow, 0, 0

    async def count(self: Endpoints, prepared: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(0.05)
        try:
            return await follow(self, prepared)
        finally:
            at_once -= 1

    monkeypatch.setattr(Endpoints, "follow", count)
    async with open_daemon(load_config(path)) as daemon:
        edit(path, 'name = "one"\n', 'name = "one"\nwindow = 3\n')
        answers: list[Any] = []

        async def reload() -> None:
            answers.append(await daemon.reload("test"))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(reload)
        assert most == 1
        assert [answer.state for answer in answers] == ["done"] * 4
        assert [len(answer.endpoints) for answer in answers] == [1, 0, 0, 0]
        assert daemon.links["one"].settings.window == 3


async def test_lanes_that_are_handed_to_an_account_that_is_just_being_removed_are_not_taken(path: Path) -> None:
    """Its sessions are being ended, and another node lets go of its lease only now."""
    async with open_daemon(load_config(path)) as daemon:
        await daemon.hub.detach("account:agg", for_another=True)
        account = daemon.accounts.pop("agg")
        await daemon.endpoints.take(["account:agg"])
        assert not daemon.hub.is_here("account:agg")
        daemon.accounts["agg"] = account
