"""A process that journals texts as fast as it may and makes charging records of them, until somebody kills it.

``python -m tests.faults.charging_process URL DIRECTORY``; it writes ``ready`` once it is about to begin. With a third
argument it journals nothing, and ends by itself, with ``done``, when everything is in a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from hub import feed, journal
from hub.model import Kind, Message, State
from ops.charging import ChargingFollower, Spool
from ops.charging.follower import NAME
from store import Op, Store, open_store

BATCH = 7
NOW_US = 1_800_000_000_000_000


def message(message_id: int) -> Message:
    return Message(
        id=message_id,
        kind=Kind.TEXT,
        origin="account:agg",
        endpoint="link:one",
        source="+12025550100",
        destination=f"+1303555{message_id % 10_000:04}",
        text="hello",
        received_us=NOW_US,
        expires_us=0,
    )


async def write(store: Store) -> None:
    """Journal texts and their hand-overs."""
    while True:
        made = [message(message_id) for message_id in store.new_ids(BATCH)]
        moves = [(m.id, State.DELIVERED.value, 1, 0, 0, 0, m.received_us, "") for m in made]
        await store.commit(
            [
                journal.insert_messages([(m, State.SUBMITTING) for m in made]),
                feed.outbox(store, made[0].received_us, [("message", m.id) for m in made]),
            ]
        )
        await store.commit(
            [
                Op(journal.move_message, moves),
                feed.outbox(store, made[0].received_us, [("handed-over", m.id) for m in made]),
            ]
        )
        await trio.sleep(0.002)


async def main(url: str, directory: Path, *, only_ends: bool) -> None:
    """See the module's head."""
    async with open_store(url) as store, trio.open_nursery() as nursery:
        spool = Spool(directory, 0, "ber+csv")
        late_us = 2 if only_ends else 0  # than all that was written: then everything is due
        follower = ChargingFollower(store, spool, lambda: NOW_US + late_us, rotate_records=40, rotate_us=1)
        await nursery.start(follower.run)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if not only_ends:
            nursery.start_soon(write, store)
            return
        while True:
            position, last = await store.read(lambda tx: (feed.position_of(tx, NAME), feed.last(tx)))
            if position == last:
                break
            await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    trio.run(lambda: main(sys.argv[1], Path(sys.argv[2]), only_ends=len(sys.argv) > 3))
