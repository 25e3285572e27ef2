"""The page on what real SMPP peers do, made from its table: each case with the tests that show what the hub does.

Run as a program (``python -m tests.meta.smpp_conformance``) it writes docs/reference/smpp-conformance.md to standard
output; test_smpp_conformance.py holds the file to it, and the table to the tests that there are.

A test is named ``folder/test_file.py::test_name``, below ``tests``, or ``…::test_name[case]`` where the case is a
string of the list, or a key of the table, that the test is parametrised over. All is read from the text: a name is
looked up in the syntax tree, so that no peer and no database is needed to know whether a test is there.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("smpp_conformance.toml")

_HEAD = """# What real SMPP peers do, and what smshub does

<!-- Made by `python -m tests.meta.smpp_conformance` from tests/meta/smpp_conformance.toml; do not edit. -->

SMSCs and ESMEs depart from the standard, and from each other, in the ways below. Each row says what the hub does then,
and which tests show it. What the hub does not do yet is at the [end](#not-yet). Which parts of the standard there are:
[features](features.md).
"""


@cache
def table() -> dict[str, Any]:
    """The table: sections of rows with ``peer``, ``hub`` and ``tests``, and the rows that are missing."""
    return tomllib.loads(TABLE.read_text())


def named_tests() -> list[str]:
    """Every test that the table names, once, in order."""
    return list(dict.fromkeys(name for s in table()["section"] for row in s["row"] for name in row["tests"]))


def problem_of(name: str) -> str:
    """Why a name is not that of a test; empty when it is."""
    file, _, function = name.partition("::")
    function, bracket, case = function.partition("[")
    if not (TESTS / file).is_file():
        return f"{name}: there is no file tests/{file}"
    tree = _parse(TESTS / file)
    found = _functions(tree).get(function)
    if found is None or not function.startswith("test_"):
        return f"{name}: tests/{file} has no test {function}"
    if bracket and case.removesuffix("]") not in _cases(tree, found):
        return f"{name}: {function} has no such case"
    return ""


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _cases(tree: ast.Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The ids of the cases that are strings: elements of a list, or keys of a table of the module."""
    found: set[str] = set()
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize":
            values: ast.expr | None = decorator.args[1]
            if isinstance(values, ast.Name):
                values = _assigned(tree, values.id)
            if isinstance(values, ast.Dict):
                found |= {str(key.value) for key in values.keys if isinstance(key, ast.Constant)}
            elif isinstance(values, ast.List):
                found |= {str(item.value) for item in values.elts if isinstance(item, ast.Constant)}
    return found


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return getattr(node, "value", None)
    return None


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    """The page, in Markdown."""
    lines = [_HEAD]
    for section in table()["section"]:
        lines.append(f"## {section['title']}\n\n| what peers do | what smshub does | shown by |\n| --- | --- | --- |")
        for row in section["row"]:
            shown = "<br>".join(f"`{_cell(name)}`" for name in row["tests"])
            lines.append(f"| {_cell(row['peer'])} | {_cell(row['hub'])} | {shown} |")
        lines.append("")
    lines.append("## Not yet\n")
    lines += [f"- {_cell(row['peer'])} {_cell(row['missing'])}" for row in table()["not_yet"]]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
