"""What no file of the project may say, and what some must."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.meta.tree import ROOT, files

TEXT_SUFFIXES = {
    *(".py", ".md", ".toml", ".txt", ".in", ".ini", ".mako", ".json", ".js", ".lua", ".xsd", ".xml", ".sh", ".sql"),
    *(".cfg", ".conf", ".yml", ".yaml", ".c", ".html", ".service"),
    "",
}


@cache
def _texts() -> dict[Path, str]:
    return {
        path: path.read_text(errors="replace")
        for path in files()
        if path.suffix in TEXT_SUFFIXES and path.stat().st_size < 4_000_000
    }


# Written so that this file does not find itself.
REGISTRY_HOSTS = re.compile(
    r"(pypi|test\.pypi)\.(org)|python(hosted)\.org|registry\.(npm)js|(npm)js\.org|deb\.(debian)\.org|"
    r"(archive|security)\.(ubuntu)\.com|crates\.(io)\b|proxy\.(golang)|repo1?\.(maven)|(docker)\.io|(ghcr)\.io",
)
MACHINE_PATHS = re.compile(r"(?<![\w.:}/-])/(work|root|opt/wheels|Users/\w+|home/(?!smshub\b)\w+)(?=[/\s\"'`:]|$)")
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE (KEY)-----|\b(AKIA)[0-9A-Z]{16}\b|\bgh[pousr]_(?=\w{30})|\bxox[bap]-\d|"
    r"\bglpat-[\w-]{15}|\$argon2id\$v=19\$m=65536,t=[0-9]+,p=[0-9]+\$[\w+/]{22}\$(?=[\w+/]{43})",
)


def _findings(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} line {text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for path, text in _texts().items()
        for found in pattern.finditer(text)
    ]


def test_no_file_names_a_registry() -> None:
    """Whoever installs uses the registry that they have set up."""
    assert not _findings(REGISTRY_HOSTS)


def test_no_file_names_a_place_of_one_machine() -> None:
    assert not [finding for finding in _findings(MACHINE_PATHS) if not finding.startswith("tests/meta/test_texts.py")]


def test_no_file_holds_a_secret() -> None:
    """Tests make their keys and hashes when they run."""
    assert not _findings(SECRETS)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY_HOSTS, "--index-url https://py" + "pi.org/simple"),
        (REGISTRY_HOSTS, '"resolved": "https://registry.npm' + 'js.org/smpp"'),
        (MACHINE_PATHS, "cd /ro" + "ot/hub"),
        (MACHINE_PATHS, '"/wo' + 'rk"'),
        (SECRETS, "-----BEGIN PRIVATE K" + "EY-----"),
        (SECRETS, "AK" + "IA" + "A" * 16),
    ],
)
def test_the_patterns_find(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


# --- Documentation ---------------------------------------------------------------------------------------------------

_documents = [path for path in files() if path.suffix == ".md"]
_each_document = pytest.mark.parametrize("path", _documents, ids=lambda path: str(path.relative_to(ROOT)))

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them: lower case, words joined by hyphens."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = 1
        unique = slug
        while unique in found:
            unique = f"{slug}-{count}"
            count += 1
        found.add(unique)
    return found


@_each_document
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    for found in _LINK.finditer(_CODE.sub("", _FENCED.sub("", path.read_text()))):
        target = found[1] or found[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # a page of somebody else: tests stay on this machine
        file, _, anchor = target.partition("#")
        page = (path.parent / file) if file else path
        assert page.exists(), f"{target}: there is no such file"
        assert page.resolve().is_relative_to(ROOT), f"{target}: outside the project"
        if anchor:
            assert anchor in _anchors(page.read_text()), f"{target}: the page has no such heading"


def test_the_changelog_is_open_for_the_next_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[:1] == ["Unreleased"]
    assert re.search(r"^- ", text, re.MULTILINE), "nothing has changed?"


# How far each list of the features that the project was asked for goes.
LAST_FEATURE = {"E": 53, "H": 47, "S": 44, "X": 13}
# One or two digits: E164 is a number plan, S105 a rule of the linter. A full stop, hyphen or colon
# before the letter is part of another name (X.509, a hexadecimal constant).
_FEATURE = re.compile(r"(?<![\w.:#%&\\/-])([EHSX])(\d{1,2})(?![\w.]*[\w])")


def test_features_are_cited_by_ids_that_exist() -> None:
    wrong = []
    for path, text in _texts().items():
        if path.suffix in (".md", ".py") and path != Path(__file__):
            for letter, digits in _FEATURE.findall(text):
                if digits.startswith("0") or not 1 <= int(digits) <= LAST_FEATURE[letter]:
                    wrong.append(f"{path.relative_to(ROOT)}: {letter}{digits}; {letter} ends at {LAST_FEATURE[letter]}")
    assert not wrong
