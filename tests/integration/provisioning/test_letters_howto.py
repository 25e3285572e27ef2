"""The page on letters, walked: its files are written, its commands run in order, on a store of their own."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import main

PAGE = Path(__file__).parents[3] / "docs/howto/letters.md"
FILE = re.compile(r"^`([\w.-]+)`:\n\n```\w*\n(.*?)^```$", re.M | re.S)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def walk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    for name, content in FILE.findall(text):
        Path(name).write_text(content)
    return [line for block in COMMANDS.findall(text) for line in block.splitlines()]


def test_the_page_can_be_followed(walk):
    said = {}
    for line in walk:
        words = shlex.split(line)
        assert words[0] == "smshub"
        if "signed.pdf" in words:  # its owner signs it
            shutil.copy("letter.pdf", "signed.pdf")
        result = CliRunner().invoke(main, words[1:], env={"SMSHUB_CONFIG": "hub.toml"})
        assert result.exit_code == 0, f"{line}\n{result.output}"
        said[" ".join(words[1:4])] = result.stdout
    assert "added 3 numbers" in said["provision number import"]
    assert "signed loa helpline-2026" in said["provision loa add"]
    assert "0 numbers of call centre helpline, by no valid letter" in said["provision loa show"]
    assert "valid" in said["provision loa list"]
    assert Path("copy.pdf").read_bytes() == Path("letter.pdf").read_bytes()
    assert said["provision white-list add"] == "added white-list spring-sale\n"
