"""Two daemons on one PostgreSQL, as operators see them: `smshub node`, the metrics of nodes, and the other commands.

The configuration and the commands of docs/howto/several-nodes.md are run here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from hub import State, cluster_rows, journal, wall_clock_us
from hub.cluster_rows import NodeGuard, instance_name, join
from ops import schema
from ops.cli import main
from ops.config import Config, read_config
from ops.daemon import Daemon, open_daemon
from ops.metrics_table import METRICS
from store import StoreFenced, open_store
from tests.documented.pages import DOCS, Command, patterns_of, plain, read_page
from tests.integration.esmes import until
from tests.integration.test_cli_queue import made as made_message
from tests.integration.test_metrics import NODES, scrape

FILE = """
[store]
url = "{store}"
[node]
id = {node}
[cluster]
enabled = true
lease_s = 10
[smpp]
port = {port}
[metrics]
port = {metrics}
[limits]
drain_s = 0
[[account]]
system_id = "agg"
password = "a-secret"
[[link]]
name = "north"
host = "127.0.0.1"
port = 1
system_id = "hub"
password = "secret"
[[link]]
name = "south"
host = "127.0.0.1"
port = 1
system_id = "hub"
password = "secret"
[[route]]
prefix = "*"
endpoint = "link:north"
"""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Commands print in this process too: the daemons' log must not get between."""
    with capture_logs():
        yield


def smshub(url: str, *words: str, status: int = 0, typed: str = "") -> str:
    """Give a command. Returns: what it printed, or said when it was refused."""
    done = CliRunner().invoke(main, [*words, f"--set=store.url={url}"], input=typed)
    assert done.exit_code == status, done.output + repr(done.exception)
    return done.stderr if status else done.stdout


async def ask(url: str, *words: str, **more: Any) -> str:
    """The same, beside daemons that go on."""
    return await trio.to_thread.run_sync(partial(smshub, url, *words, **more))


@asynccontextmanager
async def nodes(url: str, folder: Path, port: Callable[[], int], *ids: int) -> AsyncIterator[list[Daemon]]:
    async with AsyncExitStack() as stack:
        made = []
        for node in ids:
            place = folder / f"node-{node}"
            place.mkdir(exist_ok=True)
            words = {"store": url, "node": node, "port": port(), "metrics": port()}
            (place / "smshub.toml").write_text(FILE.format(**words))
            config = read_config((place / "smshub.toml").read_text(), str(place / "smshub.toml"), place)
            made.append(await stack.enter_async_context(open_daemon(config)))
        yield made


def values_of(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_two_nodes_are_listed_shown_and_told_of(
    postgres_url: str, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with nodes(postgres_url, tmp_path, unused_tcp_port_factory, 3, 5) as (three, five):
        assert three.cluster is not None
        assert five.cluster is not None
        held = {3: three.cluster, 5: five.cluster}

        def is_spread() -> bool:
            links = [sum(name.startswith("link:") for name in each.statistics().held) for each in held.values()]
            return links == [1, 1] and all(len(each.statistics().nodes) == 2 for each in held.values())

        await until(is_spread)
        listed = json.loads(await ask(postgres_url, "node", "list", "--json"))
        assert [(each["id"], each["state"]) for each in listed] == [(3, "up"), (5, "up")]
        assert {each["id"]: tuple(each["endpoints"]) for each in listed} == {
            number: each.statistics().held for number, each in held.items()
        }
        table = (await ask(postgres_url, "node", "list")).splitlines()
        assert [line.split()[0] for line in table] == ["id", "3", "5"]
        shown = await ask(postgres_url, "node", "show", "5")
        assert f"  {five.cluster.statistics().held[0]}" in shown
        assert "is up" in await ask(postgres_url, "node", "forget", "5", status=2)

        families = {}
        for daemon in (three, five):
            await daemon.store_watch.look()
            text = await scrape(daemon.ports["metrics"])
            found = values_of(text)
            assert found["smshub_nodes", "up"] == 2
            assert found["smshub_nodes", "dead"] == found["smshub_nodes", "left"] == 0
            assert found["smshub_leases", "link"] == 1
            assert found["smshub_node_lease_seconds",] == 10
            assert found["smshub_node_sign_age_seconds",] >= 0
            families[daemon] = found
            there = {f"{f.name}_total" if f.type == "counter" else f.name for f in text_string_to_metric_families(text)}
            assert there & set(METRICS) >= NODES
        one, other = families.values()
        for link in ("link:north", "link:south"):  # one that another node holds is not down, and has no queue here
            for key in ((f"smshub_{name}", link) for name in ("endpoint_up", "sessions_wanted", "scheduled_messages")):
                assert (key in one) != (key in other), key
            assert (("smshub_queue_messages", link, "text") in one) != (
                ("smshub_queue_messages", link, "text") in other
            )
        for name in ("dead_letter_messages", "audit_entries_total"):
            [tells] = [found for found in families.values() if (f"smshub_{name}",) in found]
            assert tells["smshub_leases", "service"] == 1
        assert all(found["smshub_catalog_stored_revision",] > 0 for found in families.values())
        assert sum(found["smshub_leases", "service"] for found in families.values()) == 1
        assert sum(found["smshub_leases_moved_total", "taken"] for found in families.values()) >= 3

    listed = json.loads(await ask(postgres_url, "node", "list", "--json"))
    assert [(each["id"], each["state"], each["endpoints"]) for each in listed] == [(3, "left", []), (5, "left", [])]
    assert "node 5 is forgotten" in await ask(postgres_url, "node", "forget", "5")
    assert [each["id"] for each in json.loads(await ask(postgres_url, "node", "list", "--json"))] == [3]
    assert "no node 5; those that have joined: 3" in await ask(postgres_url, "node", "forget", "5", status=2)
    assert "no node 5; those that have joined: 3" in await ask(postgres_url, "node", "show", "5", status=2)
    assert '"forgot"' in await ask(postgres_url, "audit", "list", "--json")


async def test_what_is_asked_for_in_the_store_is_done_by_the_node_that_has_it(
    postgres_url: str, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with nodes(postgres_url, tmp_path, unused_tcp_port_factory, 3, 5) as (three, five):
        here = [daemon.hub.is_here for daemon in (three, five)]
        await until(lambda: all(is_here("link:north") != is_here("link:south") for is_here in here))
        letters = [made_message(n, endpoint=f"link:{way}") for n, way in enumerate(("north", "south") * 2, 1)]
        async with open_store(postgres_url) as store:
            await store.commit([journal.insert_messages([(letter, State.DEAD) for letter in letters])])

        async def states() -> list[tuple[str, str]]:
            listed = json.loads(await ask(postgres_url, "queue", "list", "--state", "all", "--json"))
            assert [each["id"] for each in listed] == [1, 2, 3, 4]
            return [(each["state"], each["reason"]) for each in listed]

        await ask(postgres_url, "queue", "retry", "--all", "--yes", "--wait")
        assert [state for state, _ in await states()] == ["queued"] * 4
        for letter in letters[:2]:  # one at each node
            await ask(postgres_url, "opt-out", "add", letter.source, letter.destination)
        with trio.fail_after(60):
            while [state for state, _ in await states()] != ["dead", "dead", "queued", "queued"]:  # noqa: ASYNC110
                await trio.sleep(0.1)
        await ask(postgres_url, "queue", "drop", "--state", "pending", "--all", "--yes", "--wait")
        opted_out = ("dead", "opted-out")
        assert (await states())[:2] == [opted_out, opted_out]
        assert [state for state, _ in (await states())[2:]] == ["dropped", "dropped"]

        answer = json.loads(await ask(postgres_url, "reload", "--json"))
        assert answer["state"] == "done", answer
        assert answer["file"] == str(tmp_path / "node-3" / "smshub.toml"), "node 3 came first, and has the services"


async def test_the_page_says_what_is_to_be_done(
    postgres_url: str, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    blocks = read_page(DOCS / "howto" / "several-nodes.md").blocks
    [shown] = [block.text for block in blocks if block.file == "smshub.toml"]
    commands = [command for block in blocks for command in block.commands]
    assert [command.line for command in commands] == [
        "smshub node list",
        "smshub node show 2",
        "smshub db show",
        "smshub node forget 2",
    ]

    def config_of(node: int) -> Config:
        text = shown
        ports = {port: str(unused_tcp_port_factory()) for port in ("2775", "9464")}
        here = {
            "postgresql://smshub@db.example.net/smshub": postgres_url,
            "10.0.0.11": "127.0.0.1",
            "id = 1": f"id = {node}",
        }
        for words, meant in (here | ports).items():
            assert words in text
            text = text.replace(words, meant)
        return read_config(text, "", tmp_path)

    async def type_in(command: Command) -> None:
        output = await ask(postgres_url, *command.line.split()[1:])
        for pattern in patterns_of(command.prints):
            assert pattern.search(plain(output)), f"{command.line}: {pattern.pattern}\n{output}"

    async with open_daemon(config_of(1)):
        async with open_daemon(config_of(2)):
            for command in commands[:3]:
                await type_in(command)
            await ask(postgres_url, "node", "forget", "2", status=2)
        await type_in(commands[3])


async def test_who_was_forgotten_and_wakes_up_writes_nothing(postgres_url: str) -> None:
    """A process that was frozen for weeks, fenced and forgotten, beside a new one with its id."""
    schema.prepare(postgres_url)
    epoch = join(postgres_url, 7, instance_name(), wall_clock_us(), 0.0)
    async with (
        open_store(postgres_url, 7, guard=NodeGuard(7, epoch, 10.0)) as frozen,
        open_store(postgres_url) as other,
    ):
        [row], _ = await other.read(cluster_rows.look)
        await other.transact(lambda tx: cluster_rows.fence(tx, row))
        await ask(postgres_url, "node", "forget", "7")
        with pytest.raises(StoreFenced):
            await frozen.transact(lambda tx: None)
        assert join(postgres_url, 7, instance_name(), wall_clock_us(), 0.0) > epoch
        [each] = json.loads(await ask(postgres_url, "node", "list", "--json"))
        assert (each["id"], each["state"]) == (7, "up")
        with pytest.raises(StoreFenced):
            await frozen.transact(lambda tx: None)


async def test_a_node_that_is_up_and_gives_no_sign_is_called_silent(postgres_url: str) -> None:
    schema.prepare(postgres_url)
    hours_ago_us = wall_clock_us() - 7_200_000_000
    join(postgres_url, 9, instance_name(), hours_ago_us, 0.0)
    [each] = json.loads(await ask(postgres_url, "node", "list", "--json"))
    assert (each["state"], each["is_silent"]) == ("up", True)
    assert " silent " in await ask(postgres_url, "node", "list")
    assert "find it dead" in await ask(postgres_url, "node", "forget", "9", status=2)


def test_where_there_are_no_nodes_it_says_so(tmp_path: Path, postgres_url: str) -> None:
    assert json.loads(smshub(postgres_url, "node", "list", "--json")) == []
    assert "none has joined" in smshub(postgres_url, "node", "show", "1", status=2)
    for words in (("list",), ("show", "1"), ("forget", "1")):
        assert "SQLite" in smshub(f"sqlite:///{tmp_path}/hub.db", "node", *words, status=2)
    assert "1023" in smshub(postgres_url, "node", "show", "1023", status=2)
