"""What set-up relies on: pins that fit the ranges, scripts that parse, documents that name every dependency."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.tree import ROOT, files, imports, modules, pyproject, root_packages


def _declared(extra: str = "") -> list[Requirement]:
    project: dict = pyproject()["project"]  # type: ignore[assignment, type-arg]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in lines]


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return {canonicalize_name(m[1]): m[2] for m in re.finditer(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", text, re.MULTILINE)}


@pytest.mark.parametrize(("file", "extras"), [("run.txt", [""]), ("dev.txt", ["", "dev"])])
def test_pins_fit_the_ranges(file: str, extras: list[str]) -> None:
    pins = _pins(file)
    for extra in extras:
        for wanted in _declared(extra):
            pin = pins.get(canonicalize_name(wanted.name))
            assert pin is not None, f"{wanted.name} is not in requirements/{file}: run 'make lock'"
            assert wanted.specifier.contains(pin, prereleases=True), f"{file} has {wanted.name} {pin}: run 'make lock'"


def test_tests_run_what_will_run() -> None:
    run, dev = _pins("run.txt"), _pins("dev.txt")
    assert {name: dev.get(name) for name in run} == run


def test_what_is_installed_is_what_is_pinned() -> None:
    """A result that was got with other versions proves nothing about the pinned ones."""
    for name, version in _pins("run.txt").items():
        assert importlib.metadata.version(name) == version, "run 'make lint' or 'ops/setup/setup dev'"


@pytest.mark.parametrize("file", ["run.txt", "dev.txt", "peers.txt"])
def test_every_pin_has_hashes(file: str) -> None:
    text = (ROOT / "requirements" / file).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    entries = [entry for entry in entries if entry.strip()]
    assert len(entries) > 5
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_the_node_lock_is_whole_and_names_no_place() -> None:
    lock = json.loads((ROOT / "tests/peers/node/package-lock.json").read_text())
    wanted = json.loads((ROOT / "tests/peers/node/package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == wanted
    for name, entry in lock["packages"].items():
        if name:
            assert entry["integrity"].startswith("sha512-")
            assert "resolved" not in entry


@pytest.mark.parametrize("extra", ["", "dev"])
def test_every_dependency_is_explained(extra: str) -> None:
    rows = re.findall(r"^\| ([a-z0-9.-]+) \| `([^`]+)` \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    ranges = {canonicalize_name(name): text for name, text in rows}
    for wanted in _declared(extra):
        said = ranges.get(canonicalize_name(wanted.name))
        assert said is not None, f"docs/dependencies.md says nothing of {wanted.name}"
        assert Requirement(f"x{said}").specifier == wanted.specifier, f"docs/dependencies.md: {wanted.name} {said}"


def _scripts() -> list[Path]:
    return [
        path
        for path in files()
        if path.suffix in ("", ".sh") and path.read_bytes()[:32].startswith((b"#!/usr/bin/env bash", b"#!/bin/sh"))
    ]


@pytest.mark.parametrize("path", _scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_parse_and_may_be_run(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)


def test_ci_runs_what_people_run() -> None:
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]


def test_make_tells_its_targets() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    told = set(re.findall(r'@echo "make (\w+)', text))
    assert targets - {"help"} == told
    for target in targets:
        assert re.search(rf"^{target}:", text, re.MULTILINE), f"make has no {target}"


def test_the_image_gets_every_package() -> None:
    """A package that the Dockerfile forgets is missed only when the image runs."""
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    allowed = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    packages = set(pyproject()["tool"]["importlinter"]["root_packages"])  # type: ignore[index]
    assert copied == packages
    assert allowed == packages


def test_what_is_imported_is_declared() -> None:
    """What is there only because something else brought it may be gone with the next release of that."""
    providers = importlib.metadata.packages_distributions()
    extras: dict[str, object] = pyproject()["project"]["optional-dependencies"]  # type: ignore[index]
    brought = [*_declared(), *(wanted for extra in extras if extra != "dev" for wanted in _declared(extra))]
    declared = {canonicalize_name(wanted.name) for wanted in brought}
    for module in modules().values():
        for imported in imports(module):
            top = imported.module.partition(".")[0]
            if top in sys.stdlib_module_names or top in root_packages():
                continue
            found = {canonicalize_name(name) for name in providers.get(top, ())}
            assert found & declared, f"{module} imports {top}: pyproject.toml has no dependency that brings it"
