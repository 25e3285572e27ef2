"""A client of the control interface for tests, which holds each request and answer to the published description."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import trio
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
DESCRIPTION: dict[str, Any] = json.loads((ROOT / "docs/reference/openapi.json").read_text())


_threads = trio.CapacityLimiter(100)  # of its own: the hub that is asked has its threads in this process too


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({"components": DESCRIPTION["components"], **schema})


def described(method: str, path: str) -> dict[str, Any] | None:
    """The operation that a path is of; the one with the fewest names in its path when there are several."""
    bare = path.partition("?")[0]
    for pattern in sorted(DESCRIPTION["paths"], key=lambda pattern: pattern.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern.replace("+", r"\+")), bare):
            return DESCRIPTION["paths"][pattern].get(method.lower())
    return None


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Any = DESCRIPTION
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


class Client:
    """Asks with one key."""

    def __init__(self, port: int, key: str = "", ca_file: Path | None = None) -> None:
        self.port = port
        self.key = key
        self._ca_file = ca_file

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Ask; a body that is no octets goes as JSON."""
        told = {"Host": "localhost", **(headers or {})}
        if self.key:
            told.setdefault("Authorization", f"Bearer {self.key}")
        octets = raw
        if body is not None:
            octets = json.dumps(body).encode()
            told.setdefault("Content-Type", "application/json")
        answer = await trio.to_thread.run_sync(self._ask, method, path, octets, told, limiter=_threads)
        self._check(method, path, body, answer)
        return answer

    def _ask(self, method: str, path: str, octets: bytes | None, headers: dict[str, str]) -> Answer:
        if self._ca_file is not None:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)  # type: ignore[assignment]
        try:
            connection.request(method, path, octets, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def _check(self, method: str, path: str, body: Any, answer: Answer) -> None:
        operation = described(method, path)
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json", answer
            validator({"$ref": "#/components/schemas/Problem"}).validate(answer.json)
        if operation is None:
            assert answer.status in (404, 405), answer
            return
        assert str(answer.status) in operation["responses"], f"{method} {path}: {answer.status} is not described"
        if answer.status >= 400:
            return
        if body is not None:  # what was taken is what the description lets through
            validator(operation["requestBody"]["content"]["application/json"]["schema"]).validate(body)
        content = resolved(operation["responses"][str(answer.status)]).get("content")
        assert (content is None) == (answer.body == b"")
        if content is not None:
            media_type = answer.headers["content-type"].partition(";")[0]
            assert media_type in content, media_type
            if media_type == "application/json":
                validator(content[media_type]["schema"]).validate(answer.json)

    async def fetch(self, path: str) -> Any:
        """The JSON at a path that is not described."""
        return (await trio.to_thread.run_sync(self._ask, "GET", path, None, {"Host": "localhost"})).json
