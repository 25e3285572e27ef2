"""The control interface's shell: whose key it is, how much it may ask, and what becomes of errors.

What a request goes through, in this order: its path and method (404, 405), its key (401; 429 for an address that goes
on with wrong ones), the key's rate (429), the key's scope (403), its query (400), its body, the operation. Nothing of
the body is read before the key is known, and of large ones few of a call centre's at a time: 4 MiB of JSON may come to
a hundred of memory, and one tenant must not have all of it. An error that is ours says 500 and no more; the log has the
rest.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ops import web
from ops.api import letters, openapi
from ops.api.call import Call
from ops.api.counts import ApiCounts
from ops.api.keys import KeyRing, bearer_of, is_key
from ops.api.limits import Buckets, Ruling, source_of
from ops.api.operations import OPERATIONS, Operation
from ops.api.problems import MEDIA_TYPE, FieldError, Problem, problem_of
from provisioning import ApiKey, catalog
from provisioning.authority import day_of
from provisioning.errors import BadValue, ProvisioningError, did_you_mean
from store import Store, StoreError, StoreFull

RING_S: Final = 1.0  # a key that is suspended opens nothing after this
FAILURES_A_MINUTE: Final = 30  # of one address; a key cannot be guessed, but asking is not free
LOG_LINES_A_MINUTE: Final = 60  # of failures, whoever's: addresses are cheap
RETRY_S: Final = 5
LARGE_OCTETS: Final = 65_536  # a body that says it is no longer is read at once
LARGE_AT_ONCE: Final = 2  # of a call centre
ROOM_S: Final = 10.0  # that a large one waits for its turn
_LOG: Final = "log"  # no address

_ALWAYS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

log = structlog.get_logger("ops.api")
# What is wrong with a form is told to who sent it; the parser would write each wrong octet to standard error.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


def _wall_us() -> int:
    return time.time_ns() // 1000


class _Door:
    """Knows the keys, and how much each has asked."""

    def __init__(self, store: Store, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._clock_us = clock_us
        self._ring = KeyRing()
        self._read_at = -math.inf
        self._reading = trio.Lock()
        self._asked = Buckets()
        self._failed = Buckets()
        self._large: dict[str, trio.CapacityLimiter] = {}  # by call centre

    async def admit(self, request: Request, scope: str, answer_headers: dict[str, str]) -> ApiKey:
        """Let a request in.

        Args:
            request: what came.
            scope: what its key must have.
            answer_headers: takes what the answer shall tell of the key's rate.

        Raises: Problem; StoreError.
        """
        now_us = round(trio.current_time() * 1e6)
        presented = bearer_of(request.headers.get("authorization", ""))
        today = day_of(self._clock_us())
        key = (await self._keys(RING_S)).find(presented, today) if presented else None
        if key is None:
            self._count_failure(request, now_us)
            # It may have been made this moment. Read again only for who has failures left: reading is not free.
            key = (await self._keys(0.0)).find(presented, today) if presented and is_key(presented) else None
        if key is None:
            raise self._unknown(request, presented is not None, now_us)
        ruling = self._asked.take(key.name, key.per_minute, now_us)
        answer_headers |= _rate_headers(ruling)
        if not ruling.is_allowed:
            raise Problem(429, f"the key may ask {key.per_minute} times a minute", headers=_wait(ruling))
        if scope not in key.scopes:
            challenge = f'Bearer realm="smshub", error="insufficient_scope", scope="{scope}"'
            raise Problem(403, f"the key lacks the scope {scope!r}", headers={"WWW-Authenticate": challenge})
        return key

    @asynccontextmanager
    async def room(self, request: Request, call_centre: str) -> AsyncIterator[None]:
        """Hold room for a request's body until the request is answered, unless it is a small one.

        Raises: Problem.
        """
        told = request.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and len(told) < 10 and int(told) <= LARGE_OCTETS:
            yield
            return
        limiter = self._large.setdefault(call_centre, trio.CapacityLimiter(LARGE_AT_ONCE))
        owner = object()
        with trio.move_on_after(ROOM_S) as patience:
            await limiter.acquire_on_behalf_of(owner)
        if patience.cancelled_caught:
            detail = f"{LARGE_AT_ONCE} large requests of your call centre's are under way: send one after the other"
            raise Problem(429, detail, headers={"Retry-After": str(RETRY_S)})
        try:
            yield
        finally:
            limiter.release_on_behalf_of(owner)

    async def _keys(self, max_age_s: float) -> KeyRing:
        asked_at = trio.current_time()
        async with self._reading:
            if self._read_at < asked_at - max_age_s:
                read_at = trio.current_time()
                self._ring = KeyRing(await self._store.read(lambda tx: catalog.entries(tx, ApiKey)))
                self._read_at = read_at
        return self._ring

    def _count_failure(self, request: Request, now_us: int) -> None:
        ruling = self._failed.take(_source_of(request), FAILURES_A_MINUTE, now_us)
        if not ruling.is_allowed:
            raise Problem(429, "too many requests without a valid key came from your address", headers=_wait(ruling))

    def _unknown(self, request: Request, is_wrong: bool, now_us: int) -> Problem:
        if self._failed.take(_LOG, LOG_LINES_A_MINUTE, now_us).is_allowed:
            log.warning("a key was refused" if is_wrong else "no key was given", address=_source_of(request))
        challenge = 'Bearer realm="smshub"' + (', error="invalid_token"' if is_wrong else "")
        return Problem(401, "give a valid key: Authorization: Bearer KEY", headers={"WWW-Authenticate": challenge})


def _source_of(request: Request) -> str:
    return source_of(request.client.host if request.client else "")


def _rate_headers(ruling: Ruling) -> dict[str, str]:
    # draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of it.
    return {
        "RateLimit-Policy": f'"key";q={ruling.limit};w=60',
        "RateLimit": f'"key";r={ruling.left};t={ruling.wait_s}',
    }


def _wait(ruling: Ruling) -> dict[str, str]:
    return {"Retry-After": str(max(1, ruling.wait_s))}


def _query_of(request: Request, operation: Operation) -> dict[str, Any]:
    """The parameters of the query, checked.

    Raises: Problem, with all that is wrong.
    """
    known = {parameter.name: parameter for parameter in operation.query}
    found: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, words in request.query_params.multi_items():
        try:
            if name not in known:
                raise BadValue(name, None, f"is no parameter here{did_you_mean(name, known)}")
            if name in found:
                raise BadValue(name, None, "is given twice: keep one")
            found[name] = known[name].read(words, name)
        except BadValue as error:
            errors.append(FieldError("", f"{name[:80]}: {error.why}"))
    if errors:
        raise Problem(400, errors[0].detail if len(errors) == 1 else "the query is refused", errors)
    return found


class _Endpoint:
    """All methods of one path."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        door: _Door,
        store: Store,
        clock_us: Callable[[], int],
        counts: ApiCounts,
    ) -> None:
        self._operations = operations
        self._door = door
        self._store = store
        self._clock_us = clock_us
        self._counts = counts

    async def __call__(self, request: Request) -> Response:
        since_ns = time.time_ns()
        headers: dict[str, str] = dict(_ALWAYS)
        operation = self._operations[request.method if request.method != "HEAD" else "GET"]
        try:
            answer = await self._answer(operation, request, headers)
        except Problem as problem:
            answer = problem_response(problem)
        self._counts.count(operation.name, answer.status_code, since_ns)
        for name, value in headers.items():
            answer.headers.setdefault(name, value)
        return answer

    async def _answer(self, operation: Operation, request: Request, headers: dict[str, str]) -> Response:
        """Carry the operation out; every error as a ``Problem``."""
        try:
            key = await self._door.admit(request, operation.scope, headers)
            call = Call(request, key, _query_of(request, operation), self._store, self._clock_us())
            if not operation.body:
                return await operation.handler(call)
            async with self._door.room(request, key.call_centre):
                return await operation.handler(call)
        except Problem:
            raise
        except ProvisioningError as error:
            raise problem_of(error) from None
        except StoreFull:
            raise Problem(503, "the store is full: try again later", headers={"Retry-After": "60"}) from None
        except StoreError as error:
            log.warning("the store failed a request", operation=operation.name, error=type(error).__name__)
            detail = "the store does not answer: try again, every write may be repeated"
            raise Problem(503, detail, headers={"Retry-After": str(RETRY_S)}) from None
        except web.BodyTooLarge:
            raise Problem(413, "the body is too large") from None
        except web.BodyTooSlow:
            raise Problem(408, "the body did not come in time") from None
        except HTTPException as error:
            raise Problem(error.status_code, str(error.detail)) from None
        except ClientDisconnect:
            raise Problem(400, "the body ended early") from None
        except Exception:
            log.exception("a request failed", operation=operation.name, key=key.name)
            raise Problem(500, "this is a fault of the hub's; its log says more") from None


def problem_response(problem: Problem) -> Response:
    """A refusal as an answer."""
    return Response(problem.body(), problem.status, problem.headers, MEDIA_TYPE)


async def _on_http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {404: "there is nothing at this path: see /openapi.json", 405: "the path knows other methods"}
    headers = dict(getattr(error, "headers", None) or {})
    response = problem_response(Problem(status, known.get(status, "the request is refused"), headers=headers))
    response.headers.update(_ALWAYS)
    return response


async def _describe(_: Request) -> Response:
    return Response(openapi.document_json(), 200, {"Cache-Control": "max-age=300"}, "application/json")


def application(store: Store, counts: ApiCounts, clock_us: Callable[[], int] = _wall_us) -> web.Application:
    """The control interface as an ASGI application.

    Args:
        store: an open store.
        counts: takes what was asked.
        clock_us: the time of day.
    """
    door = _Door(store, clock_us)
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    # What is most exact first: "/v1/publications/numbers" is no name.
    routes = [
        Route(path, _Endpoint(operations, door, store, clock_us, counts).__call__, methods=list(operations))
        for path, operations in sorted(by_path.items(), key=lambda item: item[0].count("{"))
    ]
    routes.append(Route("/openapi.json", _describe, methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _on_http_error})
    app.router.redirect_slashes = False
    return app


async def serve_api(
    store: Store,
    host: str,
    port: int,
    *,
    tls_cert_file: str = "",
    tls_key_file: str = "",
    counts: ApiCounts | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the control interface until cancelled. Started with the port.

    Args:
        store: an open store.
        counts: takes what was asked.
        host, port, tls_cert_file, tls_key_file: as for ``web.serve``.

    Raises: as ``web.serve``.
    """
    await web.serve(
        application(store, counts or ApiCounts()),
        host,
        port,
        tls_cert_file=tls_cert_file,
        tls_key_file=tls_key_file,
        max_body_octets=letters.MAX_BODY_OCTETS,
        task_status=task_status,
    )
