"""The source tree as the meta tests see it: files, modules, and which module an import means.

Everything is read from the text (AST), never by importing: a module that cannot be imported is still checked, and a
check cannot change what it looks at.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
META = Path(__file__).parent

# What .gitignore names, and git itself. (Walking, not asking git: a source archive has no git.)
_NOT_OURS = {".git", "var", "node_modules", "__pycache__", "build", "dist"}


def _is_ours(name: str) -> bool:
    return name not in _NOT_OURS and not name.startswith(".venv") and not name.endswith((".egg-info", "_cache"))


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the project, tests included."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if _is_ours(path.name) and path.name != ".hypothesis":
                yield from files(path)
        elif path.is_file():
            yield path


@cache
def pyproject() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def root_packages() -> tuple[str, ...]:
    """The packages of the house, as the import linter knows them."""
    return tuple(pyproject()["tool"]["importlinter"]["root_packages"])  # type: ignore[index]


@dataclass(frozen=True)
class Module:
    """One source file of a package.

    Attributes:
        name: dotted; a package's ``__init__`` has the package's name.
    """

    name: str
    path: Path
    is_face: bool

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def tree(self) -> ast.Module:
        return _parse(self.path)

    def __str__(self) -> str:
        return self.name


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def modules() -> dict[str, Module]:
    """All modules of the house by name."""
    found = {}
    for package in root_packages():
        for path in files(ROOT / package):
            if path.suffix != ".py":
                continue
            is_face = path.name == "__init__.py"
            dotted = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(dotted[:-1] if is_face else dotted)
            found[name] = Module(name, path, is_face)
    return found


@dataclass(frozen=True)
class Import:
    """One name that a module imports.

    Attributes:
        module: where it is defined, as far as the tree tells: a face that only passes the name on is looked through.
        name: what is taken from it, or empty when the module itself is imported.
    """

    module: str
    name: str
    line: int


def imports(module: Module) -> Iterator[Import]:
    """What a module imports when it is run: imports for the type checker alone are left out, deferred ones are not."""
    for node in _running(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(module, node)
            for alias in node.names:
                yield _resolve(source, alias.name, node.lineno)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.orelse:
            yield from _running(child)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    base = module.name.split(".")
    base = base[: len(base) - node.level + module.is_face]
    return ".".join([*base, *([node.module] if node.module else [])])


def _resolve(source: str, name: str, line: int) -> Import:
    known = modules()
    if f"{source}.{name}" in known:
        return Import(f"{source}.{name}", "", line)
    face = known.get(source)
    if face is not None and face.is_face:
        for node in face.tree.body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _resolve(_absolute(face, node), alias.name, line)
    return Import(source, name, line)
