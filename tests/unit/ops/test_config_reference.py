"""The reference and the example are what the program does."""

import re
from pathlib import Path

from ops.config import load_config
from ops.settings import SETTINGS, TABLES, reference
from provisioning import KINDS
from provisioning.fields import fields_of

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "reference"


def test_the_reference_is_current():
    written = (DOCS / "configuration.md").read_text()
    assert written == reference(), "run: .venv/bin/python -m ops.settings > docs/reference/configuration.md"


def test_every_setting_is_in_the_reference():
    written = reference()
    for field in (*SETTINGS, *(field for kind in KINDS.values() for field in fields_of(kind))):
        for key in field.keys:
            assert f"`{key.rpartition('.')[2]}`" in written


def test_every_help_is_a_sentence():
    for field in (*SETTINGS, *(field for kind in KINDS.values() for field in fields_of(kind))):
        assert field.spec.help.endswith("."), field.name


def test_the_example_is_right_and_holds_every_kind():
    config = load_config(DOCS / "smshub.example.toml")
    assert {entry.KIND for entry in config.entries} == set(KINDS)
    assert set(TABLES.values()) == set(KINDS)


def test_the_example_holds_no_secret():
    assert not re.search(r"^\s*(password|secret)\s*=", (DOCS / "smshub.example.toml").read_text(), re.MULTILINE)


def test_no_setting_is_without_effect():
    """Each is read somewhere beyond the modules that define and check it; a title is for lists alone."""
    definers = {"settings.py", "model.py", "cli_provision.py", "desk_side.py", "network_side.py", "ways.py"}
    packages = [ROOT / name for name in ("ops", "hub", "translators", "provisioning")]
    sources = [path for package in packages for path in package.rglob("*.py") if path.name not in definers]
    text = "\n".join(path.read_text() for path in sources)
    fields = (*SETTINGS, *(field for kind in KINDS.values() for field in fields_of(kind) if field.name != "title"))
    names = {field.name.rpartition(".")[2] for field in fields}
    assert [name for name in sorted(names) if not re.search(rf"\.{name}\b", text)] == []
