"""Decisions live where I/O is impossible: a module is pure, or it is named in ``shells.txt``.

The list is of the shells, not of the pure modules, so that whatever is new is pure until somebody says otherwise, where
a reviewer sees it. It may not go stale either: a shell that touches nothing any more has to leave the list.

A module is looked at by what it imports, directly and through other modules of the house. A package's face
(``__init__``) is looked through: taking a pure name from a package that also has shells does not make a shell.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.meta.tree import META, Module, imports, modules

IMPURE = {
    *("trio", "trio_typing", "asyncio", "anyio", "threading", "multiprocessing", "concurrent", "signal"),
    *("socket", "ssl", "select", "selectors", "http", "urllib", "smtplib", "subprocess"),
    *("sqlite3", "psycopg", "sqlalchemy", "alembic"),
    *("time", "structlog", "logging", "prometheus_client"),
}
# Pure parts of packages that are impure as a whole.
PURE_PARTS = {"urllib.parse", "http.HTTPStatus"}

# The heart. These may not be listed as shells, whatever the reason.
ALWAYS_PURE = (
    "hub.model",
    "hub.endpoint",
    "hub.lanes",
    "smpp.codec",
    "smpp.connection",
    "smpp.pdu",
    "smpp.segmentation",
    "threading_tokens.rules",
    "threading_tokens.thread",
)


@cache
def shells() -> tuple[str, ...]:
    lines = (META / "shells.txt").read_text().splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


@cache
def _looked_at(name: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a module touches itself, one line each, and which modules of the house it imports, with a line each."""
    module = modules()[name]
    touches = _impure_calls(module)
    uses = {}
    for imported in imports(module):
        full = f"{imported.module}.{imported.name}" if imported.name else imported.module
        top = imported.module.partition(".")[0]
        if top in IMPURE and not {imported.module, full} & PURE_PARTS:
            touches.append(f"line {imported.line} imports {full}")
        elif imported.module in modules() and not modules()[imported.module].is_face:
            uses[imported.module] = f"line {imported.line} imports {full}, which is no pure module"
    return tuple(touches), uses


@cache
def _impure() -> frozenset[str]:
    """All modules from which something impure can be reached."""
    found = {name for name in modules() if _looked_at(name)[0]}
    while more := {name for name in modules() if name not in found and found.intersection(_looked_at(name)[1])}:
        found |= more
    return frozenset(found)


def impurities(name: str) -> list[str]:
    """Why a module is not pure, one line for each reason; empty when it is."""
    touches, uses = _looked_at(name)
    return [*touches, *(why for used, why in uses.items() if used in _impure())]


def _impure_calls(module: Module) -> list[str]:
    """Clocks and files need no import that gives them away."""
    reasons = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("open", "input", "print") or called.endswith(
            ("datetime.now", "datetime.utcnow", "date.today", ".read_text", ".read_bytes", ".write_text")
        ):
            reasons.append(f"line {node.lineno} calls {called}()")
    return reasons


@pytest.mark.parametrize("name", [m.name for m in modules().values() if not m.is_face and m.name not in shells()])
def test_is_pure_or_listed_as_a_shell(name: str) -> None:
    reasons = impurities(name)
    assert not reasons, f"{name} is no pure module:\n  " + "\n  ".join(reasons) + "\nTake it out, or see shells.txt"


@pytest.mark.parametrize("name", shells())
def test_a_shell_exists_and_touches_something(name: str) -> None:
    assert name in modules(), f"shells.txt names {name}, which is gone"
    assert impurities(name), f"{name} is pure now: take it out of shells.txt"


def test_the_heart_is_pure() -> None:
    assert not set(ALWAYS_PURE) & set(shells())
    assert not [name for name in ALWAYS_PURE if name not in modules()]


def test_the_list_is_in_order() -> None:
    assert list(shells()) == sorted(set(shells()))


def test_an_impure_module_is_found(tmp_path: Path) -> None:
    """The check itself: an import for types alone is none, one inside a function is one, a clock is one."""
    source = tmp_path / "sample.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "from urllib.parse import urlsplit\n"
        "if TYPE_CHECKING:\n    import trio\n"
        "def later():\n    import sqlite3\n"
        "def when():\n    return datetime.now()\n"
    )
    sample = Module("hub.sample", source, is_face=False)
    assert [(i.module, i.line) for i in imports(sample) if i.module in IMPURE] == [("sqlite3", 6)]
    assert _impure_calls(sample) == ["line 8 calls datetime.now()"]
