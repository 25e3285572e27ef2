"""Opting out under kill -9: word, ledger, audit, event and confirmation are one transaction, on both stores.

Customers say STOP, START and HELP at random while an account goes on sending to them as the call centre's number, and
the daemon is killed at random instants. Afterwards the journal is read in the order of its ids, which is the order of
commits: what the ledger says must follow from it, and nothing may have been taken for somebody who was out.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy
import trio

from hub.model import Kind, State
from hub.tables import feed, message, opt_out, opt_out_audit
from smpp.pdu import DeliverSm, SubmitSm
from tests.faults.book import pending_of, reading
from tests.faults.process import NUMBER, until
from tests.faults.scene import Scene, open_scene

ROUNDS = 5
LONGEST_LIFE_S = 0.8
CUSTOMERS = [f"+1202555{number:04}" for number in range(8)]
WORDS = ("STOP", "stop!", "START", "Unstop", "HELP", "hello there")


async def _customers_write(scene: Scene, chance: random.Random, acknowledged: Counter[str]) -> None:
    """Customers say one word after the other, whatever becomes of them."""
    while scene.load.running:
        customer, word = chance.choice(CUSTOMERS), chance.choice(WORDS)

        def answered(status: int, _: Any, word: str = word) -> None:
            acknowledged[word] += not status

        pdu = DeliverSm(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=customer[1:],
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=NUMBER[1:],
            short_message=word.encode(),
        )
        await scene.carrier.ask([(pdu, answered)])
        await trio.sleep(0.003)


async def _account_sends(scene: Scene, chance: random.Random, statuses: Counter[int]) -> None:
    """An account sends to the same customers as the call centre's number."""
    while scene.load.running:

        def answered(status: int, _: Any) -> None:
            statuses[status] += 1

        pdu = SubmitSm(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=NUMBER[1:],
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=chance.choice(CUSTOMERS)[1:],
            short_message=b"an offer",
        )
        await scene.esme.ask([(pdu, answered)])
        await trio.sleep(0.003)


def _read(url: str, query: Any) -> list[Any]:
    with reading(url) as connection:
        return list(connection.execute(query).mappings())


def _violations(url: str) -> tuple[list[str], Counter[str]]:
    """What breaks a promise, and how much of what there was."""
    found: list[str] = []
    seen: Counter[str] = Counter()
    out: set[str] = set()
    changes: list[tuple[str, str, int]] = []
    answers: Counter[str] = Counter()
    given: Counter[str] = Counter()
    texts = sqlalchemy.select(message).where(message.c.kind == Kind.TEXT.value).order_by(message.c.id)
    for row in _read(url, texts):
        body = msgspec.json.decode(row["body"])
        mark = body.get("attributes", {}).get("opt-out", "")
        name = f"{row['id']} {row['origin']} to {row['destination']} {State(row['state']).name} {row['reason']}"
        if row["endpoint"] == "desk:acme":
            customer, word = row["source"], body["text"].lower().strip("!")
            expected = {"stop": "stop", "start": "start", "unstop": "start", "help": "help"}.get(word, "")
            if mark != expected:
                found.append(f"{name}: marked {mark!r} for {word!r}")
            seen[expected or "text"] += 1
            if (expected == "stop") != (customer in out) and expected in ("stop", "start"):
                changes.append(("out" if expected == "stop" else "in", customer, row["id"]))
                out ^= {customer}
                answers[customer] += 1
            answers[customer] += expected == "help"
        elif mark == "confirmation":
            given[row["destination"]] += 1
            if State(row["state"]) is State.DEAD:
                found.append(f"{name}: a confirmation that died")
        else:
            seen["offer"] += 1
            if row["destination"] in out:
                found.append(f"{name}: taken for somebody who is out")
            if State(row["state"]) is State.DEAD and row["reason"] != "opted-out":
                found.append(f"{name}: died")
    audit = [
        (row["action"], row["customer"], row["message_id"])
        for row in _read(url, sqlalchemy.select(opt_out_audit).order_by(opt_out_audit.c.id))
    ]
    if audit != changes:
        found.append(f"the audit has {len(audit)} changes, the texts make {len(changes)}")
    ledger = {row["customer"] for row in _read(url, sqlalchemy.select(opt_out)) if row["is_out"]}
    if ledger != out:
        found.append(f"the ledger says {sorted(ledger)} are out, the texts say {sorted(out)}")
    if given != answers:
        found.append(f"answers given {given}, due {answers}")
    events = [event for row in _read(url, sqlalchemy.select(feed)) for event in msgspec.json.decode(row["events"])["e"]]
    told = Counter(event[0] for event in events if event[0].startswith("opted-"))
    if told != Counter(f"opted-{action}" for action, *_ in changes):
        found.append(f"the feed tells {told}")
    seen["changes"] = len(changes)
    return found, seen


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_words_and_what_they_do_survive_kills_together(
    database: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    request: pytest.FixtureRequest,
) -> None:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    url = f"sqlite:///{tmp_path / 'hub.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    chance = random.Random(seed)
    acknowledged: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    more = {"account": 'allowed_sources = ["*"]', "link": "window = 4"}
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed, **more) as scene:
        scene.carrier.answer_delay_s = 0.02
        scene.carrier.takes_anything = True
        scene.load.running = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_customers_write, scene, chance, acknowledged)
            nursery.start_soon(_account_sends, scene, chance, statuses)
            for _ in range(ROUNDS):
                await trio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
                scene.daemon.kill()
                scene.daemon.spawn()
                await scene.daemon.wait_ready()
                await scene.wait_up()
            # However slow the machine is: words and refusals there have to be.
            await until(
                lambda: acknowledged["STOP"] > 5 and acknowledged["START"] > 5 and statuses[0x0B] > 5,
                60.0,
                "the load is under way",
            )
            scene.load.running = False
        scene.carrier.answer_delay_s = 0.0
        with trio.fail_after(60.0):
            while await trio.to_thread.run_sync(pending_of, url):  # noqa: ASYNC110 - another process's doing
                await trio.sleep(0.1)
        await scene.stop()
    found, seen = _violations(url)
    print(f"{ROUNDS} kills on {database}: {dict(seen)}, {dict(acknowledged)}, {dict(statuses)}")
    assert not found, "\n".join(found[:50])
    assert seen["changes"] > 5
    assert seen["offer"] > 5
    assert seen["stop"] >= acknowledged["STOP"] + acknowledged["stop!"], "what was acknowledged is in the journal"
