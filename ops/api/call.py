"""One request of a key, as the operations see it: what it gives, and the store on its call centre's behalf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from ops.api.problems import FieldError, Problem
from provisioning import ApiKey
from provisioning.authority import day_of
from provisioning.errors import did_you_mean
from store import Store, Transaction

T = TypeVar("T")

MAX_JSON_OCTETS = 4_194_304  # 10,000 numbers have a third of that
_threads = trio.CapacityLimiter(2)  # of its own: the daemon's other threads do not wait for this work
_JSON = ("application/json", "application/merge-patch+json")


async def in_thread(work: Callable[[], T]) -> T:
    """Run work that takes long in a thread: texts do not wait for it."""
    return await trio.to_thread.run_sync(work, limiter=_threads)


class Call:
    """A request whose key was checked.

    Attributes:
        key: who asks.
        call_centre: on whose behalf.
        who: for the audit.
        path: what the path gives, by name.
        query: what the query gives, checked, by name.
        now_us: when it came.
    """

    def __init__(self, request: Request, key: ApiKey, query: Mapping[str, Any], store: Store, now_us: int) -> None:
        self._request = request
        self._store = store
        self.key = key
        self.call_centre = key.call_centre
        self.who = f"api:{key.name}"
        self.path: Mapping[str, str] = request.path_params
        self.query = query
        self.now_us = now_us

    @property
    def today(self) -> str:
        """The day, UTC."""
        return day_of(self.now_us)

    def header(self, name: str) -> str:
        """A header; empty when it is not there."""
        return str(self._request.headers.get(name, ""))

    @property
    def media_type(self) -> str:
        """The body's media type, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run work that reads."""
        return await self._store.read(work)

    async def transact(self, work: Callable[[Transaction], T], rows: int = 1) -> T:
        """Run work that writes."""
        return await self._store.transact(work, rows=max(1, rows))

    async def body(self, most: int) -> bytes:
        """The body's octets.

        Raises: Problem when there are more than ``most``.
        """
        found = bytearray()
        async with aclosing(self._request.stream()) as chunks:
            async for chunk in chunks:
                found += chunk
                if len(found) > most:
                    raise Problem(413, f"at most {most:,} octets: send less at a time")
        return bytes(found)

    async def json(self, most: int = MAX_JSON_OCTETS) -> dict[str, Any]:
        """The body, which must be a JSON object.

        Raises: Problem.
        """
        if self.media_type not in _JSON:
            raise Problem(415, f"send JSON, and say so: Content-Type: {_JSON[0]}", headers={"Accept": _JSON[0]})
        octets = await self.body(most)
        try:
            given = await in_thread(lambda: msgspec.json.decode(octets))
        except msgspec.DecodeError as error:
            raise Problem(400, f"is no JSON: {error}") from None
        except RecursionError:
            raise Problem(400, "is nested too deep") from None
        if not isinstance(given, dict):
            raise Problem(422, "must be an object, in braces", [FieldError("", "must be an object, in braces")])
        return given


def known_only(given: Mapping[str, Any], *known: str) -> None:
    """Refuse members of a body that mean nothing.

    Raises: Problem, with each of them.
    """
    errors = [
        FieldError(f"/{name}", f"is not known here{did_you_mean(name, known)}") for name in given if name not in known
    ]
    if errors:
        raise Problem(422, errors[0].detail if len(errors) == 1 else f"{len(errors)} members are not known", errors)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), "application/json")
