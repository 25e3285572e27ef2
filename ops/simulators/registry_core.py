"""What the two doors of a simulated registry share: its book, its file, its faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ops.simulators.registry_behaviour import Behaviour, Fault, FaultKind, spend
from ops.simulators.registry_book import Book, Standing, Wish
from ops.simulators.registry_state import StateFile
from ops.simulators.registry_users import TokenDesk, User
from provisioning.directories.replies import State

HUGE_OCTETS = 6_000_000
"""More than an adapter reads (``http_call.MAX_ANSWER_OCTETS``)."""


class Malformed(Exception):
    """A request is not what the protocol says."""


class Reply(msgspec.Struct, frozen=True):
    """What a request is answered with, before anything goes wrong with it."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = {}


class RegistryCore:
    """A registry without its doors.

    Attributes:
        behaviour: put another in its place at any time.
        book: what it keeps.
        requests: how many came.
        users: who may speak to it.

    Args:
        users, behaviour: see above.
        book: filled already.
        state: the book's file, or None.
        now_us: the clock, microseconds UTC.
    """

    def __init__(
        self,
        users: Sequence[User],
        behaviour: Behaviour,
        book: Book,
        state: StateFile | None,
        now_us: Callable[[], int],
    ) -> None:
        self.users = tuple(users)
        self.behaviour = behaviour
        self.book = book
        self.requests = 0
        self.tokens = TokenDesk()
        self.now_us = now_us
        self._state = state
        self._lock = trio.Lock()
        self._changed = trio.Event()

    def next_fault(self) -> Fault | None:
        """What goes wrong with the request that has come."""
        self.requests += 1
        fault, self.behaviour = spend(self.behaviour)
        return fault

    async def submit(self, owner: str, wishes: Sequence[Wish]) -> list[Standing]:
        """Do what an owner asks for; when this returns, the file has it. Raises: OSError."""
        async with self._lock:
            standings = self.book.submit(owner, wishes, self.behaviour, self.now_us())
            await self._keep()
        return standings

    async def look_up(self, owner: str, numbers: Sequence[str]) -> list[Standing]:
        """Say how numbers stand. Raises: OSError."""
        async with self._lock:
            standings = self.book.look_up(owner, numbers, self.behaviour, self.now_us())
            await self._keep()
        return standings

    async def numbers_of(self, owner: str, after: str, limit: int) -> list[Standing]:
        """An owner's numbers, in order. Raises: OSError."""
        async with self._lock:
            standings = self.book.numbers_of(owner, after, limit, self.behaviour, self.now_us())
            await self._keep()
        return standings

    async def give(self, number: str, owner: str) -> None:
        """Put a number into somebody's hands. Raises: OSError."""
        async with self._lock:
            self.book.give(number, owner)
            await self._keep()

    async def release(self, number: str) -> None:
        """Take a number from whoever has it. Raises: OSError."""
        async with self._lock:
            self.book.release(number)
            await self._keep()

    async def wait_changed(self) -> None:
        """Wait until something in the book changes."""
        await self._changed.wait()

    async def _keep(self) -> None:
        if not self.book.changed:
            return
        if self._state is None:
            self.book.changed.clear()
        else:
            await trio.to_thread.run_sync(self._state.write)
        self._changed.set()
        self._changed = trio.Event()

    async def answer(self, reply: Reply, fault: Fault | None) -> Response:
        """Answer when it is time, and as wrongly as the fault says."""
        await trio.sleep(self.behaviour.answer_after_s)
        match fault.kind if fault is not None else None:
            case FaultKind.CUT_AFTER:
                return Cut()
            case FaultKind.BROKEN:
                return _response(reply, reply.body[: len(reply.body) // 2])
            case FaultKind.PAGE:
                return Response(b"<html><body>We will be back soon.<br></body></html>", media_type="text/html")
            case FaultKind.HUGE:
                return _response(reply, reply.body + b" " * HUGE_OCTETS)
        return _response(reply, reply.body)


def _response(reply: Reply, body: bytes) -> Response:
    return Response(body, reply.status, {**reply.headers, "content-type": reply.content_type})


def damage(standings: list[Standing], keys: list[str], fault: Fault | None) -> tuple[list[Standing], list[str]]:
    """Answers as wrong as a fault says: what they are of, and under which keys."""
    match fault.kind if fault is not None else None:
        case FaultKind.OTHERS:
            return [msgspec.structs.replace(one, number="+19995550199") for one in standings], keys
        case FaultKind.TWICE:
            return standings * 2, keys * 2
        case FaultKind.CONTRADICT:
            others = {State.TAKEN: State.ACTIVE}
            turned = [msgspec.structs.replace(one, state=others.get(one.state, State.TAKEN)) for one in standings]
            return standings + turned, keys * 2
        case FaultKind.SILENT:
            return standings[::2], keys[::2]
    return standings, keys


class Cut(Response):
    """The connection ends in the middle of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin an answer and never end it: the server closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})


async def body_of(request: Request) -> bytes:
    """Read a request's body; the server bounds it."""
    return await request.body()


def is_private(request: Request) -> bool:
    """Whether nobody can read along."""
    return request.url.scheme == "https"


def fields_of(standing: Standing) -> dict[str, Any]:
    """What is told of a standing beside its listing: only what there is."""
    fields: dict[str, Any] = {"number": standing.number, "state": standing.state.value}
    for name in ("record_id", "reason", "retry_after_s"):
        if value := getattr(standing, name):
            fields[name] = value
    return fields
