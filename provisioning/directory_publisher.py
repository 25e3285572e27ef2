"""Publishes in one directory: the publisher's task for it (H5).

A round reads the batch that is due the longest, writes it as told, calls the adapter in a worker thread, and writes
what came of it. See ``publisher``.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
import trio

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories.adapter import Adapter, Answer, Finding
from provisioning.errors import ProvisioningError
from provisioning.listings import Listings, View
from provisioning.publishing_rules import (
    MAX_REASON_CHARACTERS,
    Publication,
    Step,
    Waits,
    believed,
    bounded_text,
    patience_s,
)
from provisioning.publishing_steps import Claimed, claim, differing, due, next_submission, reconcile, resume, settle
from provisioning.publishing_tally import Tally
from store import Store, StoreError

AGAIN_S = 5.0  # after a fault of ours or of the store
CLOSE_S = 2.0
PAGE = 1_000  # rows looked through at a time
RESTS = 9  # times as long as looking through them took, before it is done again: a tenth of the time at most
PIECE = 200  # rows of one transaction: some 10 ms of the store's writer

log = structlog.get_logger("provisioning.publisher")


class DirectoryPublisher:
    """The task of one directory.

    Args:
        store: where publications are.
        directory: which.
        view: answers what is provisioned.
        tally: what is counted.
        clock: now, in microseconds.
        make_adapter: makes what speaks to the directory; called in a worker thread, again when it failed.
        poll_s: until a wish of another process is seen.
    """

    def __init__(
        self,
        store: Store,
        directory: CarrierDirectory,
        view: Callable[[], Awaitable[View]],
        tally: Tally,
        clock: Callable[[], int],
        make_adapter: Callable[[], Adapter],
        poll_s: float,
    ) -> None:
        self._store = store
        self._directory = directory
        self._view = view
        self._tally = tally
        self._poll_s = poll_s
        self._clock = clock
        self._make_adapter = make_adapter
        self._adapter: Adapter | None = None
        self._limiter = trio.CapacityLimiter(1)  # a call that was given up still holds it until its thread ends
        self._reconciled = (-1, "")  # revision and day
        self._reconciles_at = 0.0  # not before; in trio's time
        self._failures = 0
        self._resumed = False
        self._log = log.bind(directory=directory.name)

    async def run(self) -> None:
        """Go from round to round, until cancelled."""
        try:
            while True:
                try:
                    pause_s = await self._round()
                except StoreError as error:
                    self._log.warning("publications could not be read or written", error=type(error).__name__)
                    pause_s = AGAIN_S
                except Exception:
                    self._log.exception("publishing failed, it goes on", again_in_s=AGAIN_S)
                    pause_s = AGAIN_S
                await trio.sleep(pause_s)
        finally:
            await self._close()

    async def _round(self) -> float:
        """Do what is due. Returns: seconds until there may be more."""
        name = self._directory.name
        if not self._resumed:
            resumed = await self._store.transact(partial(resume, directory=name, now_us=self._clock()))
            self._resumed = True
            if resumed:
                self._log.info("publishing goes on where it ended", numbers=resumed)
        listings = (await self._view()).listings
        began = trio.current_time()
        if (listings.revision, listings.today) != self._reconciled and began >= self._reconciles_at:
            await self._reconcile(listings)
            # Who provisions number by number makes a revision each second, and texts share the processor. What is
            # due is measured by the catalog anyway.
            self._reconciles_at = trio.current_time() + RESTS * (trio.current_time() - began)
        waits = self._waits()
        now_us = self._clock()
        batch, next_us = await self._store.read(
            partial(due, directory=name, waits=waits, now_us=now_us, limit=self._directory.batch)
        )
        if not batch:
            return min(max((next_us - now_us) / 1e6, 0.01), self._poll_s) if next_us else self._poll_s
        claimed = await self._claim(batch, listings, waits, now_us)
        self._tally.is_dirty = True
        if not claimed.rows:
            return 0.0 if claimed.moved else self._poll_s
        answers, failure = await self._call(claimed)
        await self._settle(claimed.rows, answers, listings, waits)
        if not failure:
            if self._failures:
                self._log.info("the directory answers again", failures=self._failures)
            self._failures = 0
            return 0.0
        self._failures += 1
        return waits.after(self._failures) / 1e6

    async def _claim(self, batch: Sequence[Publication], listings: Listings, waits: Waits, now_us: int) -> Claimed:
        """Write a batch as told, piece by piece: the message path shares the store's writer."""
        patience_us = round((patience_s(self._directory) + self._directory.retry_first_s) * 1e6)
        submission = next_submission(batch, now_us)
        pieces: list[Claimed] = []
        for start in range(0, len(batch), PIECE):
            work = partial(
                claim,
                batch=batch[start : start + PIECE],
                listings=listings,
                carrier=self._directory,
                submission=submission,
                until_us=now_us + min(patience_us, waits.longest_us),
                now_us=now_us,
                only=next((piece.step for piece in pieces if piece.rows), None),
            )
            pieces.append(await self._store.transact(work, rows=PIECE))
        return Claimed(
            next((piece.step for piece in pieces if piece.rows), Step.CONFIRM),
            [row for piece in pieces for row in piece.rows],
            [task for piece in pieces for task in piece.tasks],
            sum([piece.moved for piece in pieces]),
        )

    async def _settle(
        self, rows: Sequence[Publication], answers: Sequence[Answer], listings: Listings, waits: Waits
    ) -> None:
        now_us = self._clock()
        for start in range(0, len(rows), PIECE):
            work = partial(
                settle,
                asked=rows[start : start + PIECE],
                answers=answers[start : start + PIECE],
                listings=listings,
                carrier=self._directory,
                waits=waits,
                now_us=now_us,
            )
            await self._store.transact(work, rows=PIECE)

    async def _call(self, claimed: Claimed) -> tuple[list[Answer], bool]:
        """Ask the directory. Returns: an answer for each task; and whether the call as a whole came to nothing."""
        name, call = self._directory.name, claimed.step.value
        began = trio.current_time()
        result, reason, answers = "timeout", f"no answer within {patience_s(self._directory):g} s", None
        with trio.move_on_after(patience_s(self._directory)):
            try:
                given = await trio.to_thread.run_sync(
                    self._asked, claimed, abandon_on_cancel=True, limiter=self._limiter
                )
                answers = believed(given, len(claimed.tasks))
                result, reason = "answered", ""
                if answers is None:
                    result, reason = "wrong", "its adapter did not answer for each number"
            except (OSError, ProvisioningError) as error:
                result, reason = "failed", bounded_text(f"it cannot be spoken to: {error}", MAX_REASON_CHARACTERS)
            except Exception as error:
                result, reason = "fault", f"its adapter failed: {type(error).__name__}"
                self._log.exception("the adapter failed", call=call)
        self._tally.calls[name, call, result] += 1
        self._tally.call_seconds[name, call] += trio.current_time() - began
        if answers is not None:
            return answers, False
        if not self._failures:
            self._log.warning("the directory decided nothing, it is asked again", call=call, result=result, why=reason)
        return [Answer(Finding.LATER, reason)] * len(claimed.tasks), True

    def _asked(self, claimed: Claimed) -> list[Answer]:
        """In a worker thread: the call itself."""
        if self._adapter is None:
            self._adapter = self._make_adapter()
        if claimed.step is Step.PUBLISH:
            return self._adapter.publish(claimed.tasks)
        if claimed.step is Step.WITHDRAW:
            return self._adapter.withdraw(claimed.tasks)
        return self._adapter.confirm(claimed.tasks)

    async def _reconcile(self, listings: Listings) -> None:
        """Look through all publications of the directory for those that must be told, held or ended now."""
        after: int | None = -1
        changed = 0
        while after is not None:
            found, after = await self._store.read(
                partial(
                    differing,
                    listings=listings,
                    carrier=self._directory,
                    after=after,
                    limit=PAGE,
                    now_us=self._clock(),
                )
            )
            for start in range(0, len(found), PIECE):
                work = partial(
                    reconcile,
                    rows=found[start : start + PIECE],
                    listings=listings,
                    carrier=self._directory,
                    now_us=self._clock(),
                )
                changed += await self._store.transact(work, rows=PIECE)
        self._reconciled = (listings.revision, listings.today)
        if changed:
            self._tally.is_dirty = True
            self._log.info("publications follow what is provisioned", revision=listings.revision, changed=changed)

    def _waits(self) -> Waits:
        first_us, longest_us = (
            round(s * 1e6) for s in (self._directory.retry_first_s, self._directory.retry_longest_s)
        )
        return Waits(first_us, longest_us, random.random())  # noqa: S311 - no secret

    async def _close(self) -> None:
        """Let go of the adapter, unless a call that was given up still has it."""
        adapter = self._adapter
        if adapter is None:
            return
        with trio.move_on_after(CLOSE_S, shield=True):
            try:
                await trio.to_thread.run_sync(adapter.close, abandon_on_cancel=True, limiter=self._limiter)
            except Exception:
                self._log.exception("the adapter did not close")
