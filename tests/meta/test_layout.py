"""The layout shows the architecture: faces, sizes, names, and who may use what of whom."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator

import pytest

from tests.meta.tree import ROOT, Module, files, imports, modules, pyproject, root_packages

MAX_MODULE_LINES = 700
MAX_FUNCTION_LINES = 80
# A file or function that is longer says why, in a comment of this form.
REASON = "# long because:"

# Words that say nothing about what a module is for.
EMPTY_WORDS = {"manager", "helper", "helpers", "utils", "util", "common", "misc"}

# Alembic runs the files of this folder by path; they are no package.
NO_FACE = {"ops/migrations", "ops/migrations/versions"}

_all = list(modules().values())
_each_module = pytest.mark.parametrize("module", _all, ids=str)


def _folders() -> Iterator[str]:
    for module in _all:
        if "versions" not in module.path.parts:
            yield module.path.parent.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", sorted(set(_folders()) - NO_FACE))
def test_every_package_has_a_face(folder: str) -> None:
    assert (ROOT / folder / "__init__.py").is_file(), f"{folder} has modules and no __init__.py"


@pytest.mark.parametrize("module", [m for m in _all if m.is_face], ids=str)
def test_a_face_is_imports_and_an_explicit_all(module: Module) -> None:
    assert ast.get_docstring(module.tree), "a face says what its package is for"
    offered: set[str] | None = None
    imported = set()
    for node in module.tree.body[1:]:
        match node:
            case ast.ImportFrom() | ast.Import():
                imported |= {alias.asname or alias.name for alias in node.names}
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                offered = set(ast.literal_eval(value))
            case _:
                pytest.fail(f"line {node.lineno}: a face has no code: {ast.unparse(node)[:80]}")
    assert offered is not None, "a face has an explicit __all__"
    assert offered <= imported, f"offered, but not imported: {sorted(offered - imported)}"


@_each_module
def test_a_module_is_short_or_says_why(module: Module) -> None:
    lines = module.text.splitlines()
    too_long = len(lines) > MAX_MODULE_LINES and not any(line.startswith(REASON) for line in lines)
    assert not too_long, f"{len(lines)} lines: split it, or say why in a line that starts with {REASON!r}"


@_each_module
def test_functions_are_short_or_say_why(module: Module) -> None:
    lines = module.text.splitlines()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            docstring = node.body[0] if ast.get_docstring(node) else None
            if docstring is not None:
                length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            if length > MAX_FUNCTION_LINES:
                # The comment may stand over the function, or in it.
                around = lines[max(0, node.lineno - 4) : node.end_lineno]
                assert any(REASON in line for line in around), (
                    f"{node.name} has {length} lines: split it, or say why in a comment with {REASON!r}"
                )


@_each_module
def test_a_module_is_named_for_its_concept(module: Module) -> None:
    words = {word for part in module.name.split(".") for word in part.split("_")}
    assert not words & EMPTY_WORDS


@_each_module
def test_private_names_stay_in_their_package(module: Module) -> None:
    for imported in imports(module):
        if imported.module.partition(".")[0] == module.package:
            continue
        private = [
            part
            for part in (*imported.module.split("."), imported.name)
            if part.startswith("_") and not part.startswith("__")
        ]
        assert not private, f"line {imported.line}: {private[0]} of {imported.module} is private"


@_each_module
def test_no_module_prints(module: Module) -> None:
    """Output is the command line's (`ops.cli…`, by click); all else goes to the log."""
    for node in ast.walk(module.tree):
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "print"), f"line {node.lineno} prints"


def test_root_packages_are_listed_everywhere_and_shadow_nothing() -> None:
    tool: dict[str, dict] = pyproject()["tool"]  # type: ignore[assignment, type-arg]
    listed = set(root_packages())
    assert set(tool["mypy"]["packages"]) == listed
    assert set(tool["setuptools"]["packages"]["find"]["include"]) == {
        pattern for package in listed for pattern in (package, f"{package}.*")
    }
    for package in listed:
        assert (ROOT / package).is_dir(), f"pyproject.toml names {package}, which is gone"
        assert (ROOT / package / "py.typed").is_file(), f"{package} has types and does not say so"
        assert package not in sys.stdlib_module_names, f"{package} shadows the standard library"


def test_no_folder_with_source_is_forgotten() -> None:
    outside = {"tests", "loadtests", "docs"}
    found = {path.relative_to(ROOT).parts[0] for path in files() if path.suffix == ".py" and path.parent != ROOT}
    assert found - outside <= set(root_packages())


def test_no_dependency_brings_a_package_of_our_name() -> None:
    """`smpp` is also the namespace of older distributions: one of those beside us would decide which code runs."""
    for package, distributions in importlib.metadata.packages_distributions().items():
        if package in {*root_packages(), "tests", "loadtests"}:
            assert set(distributions) == {"smshub"}, f"{distributions} bring a package {package}"


def test_no_test_installs_by_the_name_of_a_package() -> None:
    """Under importlib mode `tests` is the only root that tests add; a test module must not be importable bare."""
    assert (ROOT / "tests" / "__init__.py").is_file()
    assert "pythonpath" in pyproject()["tool"]["pytest"]["ini_options"]  # type: ignore[index]
