"""The description of the control interface: OpenAPI 3.1, made from the table of operations.

Run as a program (``python -m ops.api.openapi``) this module writes it to standard output; a test holds
docs/reference/openapi.json to it.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

from ops.api.operations import OPERATIONS, SCHEMAS, Operation
from ops.api.problems import MEDIA_TYPE, TITLES
from ops.api.schemas import Schema, closed

_PATH_NAMES = {
    "number": "The number, E.164: '+16175550100'.",
    "first": "The lowest number of the block, E.164.",
    "last": "The highest number of the block, E.164.",
    "name": "Its name.",
}
_COMMON = (401, 403, 429, 500, 503)
_PROBLEM: Schema = {
    **closed(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": closed({"pointer": {"type": "string"}, "detail": {"type": "string"}}),
                "description": "Every error of the body, each with a JSON Pointer into it.",
            },
        },
        ["type", "title", "status", "detail"],
    ),
    "description": "Why a request was refused (RFC 9457).",
}


def _refused(status: int) -> dict[str, Any]:
    body = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": TITLES[status], "content": body}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": _PATH_NAMES[name], "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    told += [
        {"name": parameter.name, "in": "query", "description": parameter.help, "schema": parameter.schema}
        for parameter in operation.query
    ]
    if operation.method in ("PUT", "PATCH", "DELETE") and not operation.path.endswith("/document"):
        why = "Only if it is still as it was read: its ETag, or '*' for one that must be there."
        told.append({"name": "If-Match", "in": "header", "description": why, "schema": {"type": "string"}})
    return told


def _refusals(operation: Operation) -> list[int]:
    found = [*_COMMON, 400]
    if "{" in operation.path:
        found.append(404)
    if operation.method != "GET":
        found.append(409)
        if "{" in operation.path:
            found.append(412)
    if operation.body:
        found += [408, 413, 415, 422]
    if operation.name == "draw_letter":
        found.append(409)
    return sorted({*found} - set(operation.answers))


def _operation(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, bodies in operation.answers.items():
        told: dict[str, Any] = {
            "description": "Done." if status != 202 else "The wish is kept; it is being carried out."
        }
        if bodies is not None:
            told["content"] = {media_type: {"schema": schema} for media_type, schema in bodies.items()}
        answers[str(status)] = told
    answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in _refusals(operation)}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"The key needs the scope `{operation.scope}`.",
        "security": [{"key": [operation.scope]}],
        "parameters": _parameters(operation),
        "responses": answers,
    }
    if operation.body:
        content = {media_type: {"schema": schema} for media_type, schema in operation.body.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def document() -> dict[str, Any]:
    """The description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    about = (
        "A call centre's own application provisions its numbers: numbers and blocks, letters of authorization, white "
        "lists, and what is published in carrier directories. A key acts for one call centre and sees nothing of the "
        "others. Every write may be repeated: what is so already is left alone."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "smshub control interface", "version": version("smshub"), "description": about},
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "Problem": _PROBLEM},
            "responses": {str(status): _refused(status) for status in TITLES if status != 405},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key, as `smshub api-key create` makes them.",
                }
            },
        },
    }


@cache
def document_json() -> bytes:
    """The description as JSON."""
    return (json.dumps(document(), indent=1, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    sys.stdout.write(document_json().decode())
