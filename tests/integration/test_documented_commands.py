"""Every command of the documentation is run, or says why it is not: see ``tests/documented``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops.cli import main
from ops.config import read_config
from tests.documented.pages import DOCS, ROOT, TYPED, Block, Page, pages
from tests.documented.reference import reference
from tests.documented.scene import STARTED, Scene, template, walking

GENERATED = (DOCS / "reference/cli.md",)

ELSEWHERE = [page for page in pages() if page.run_by]
PAGES = [page for page in pages() if not page.run_by and page.path not in GENERATED]
RUN = [page for page in PAGES if any(block.commands and not block.not_run for block in page.blocks)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return template(tmp_path_factory.mktemp("scene"))


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.path.relative_to(DOCS)))
def test_what_the_page_says_works(page: Page, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with walking(scene, tmp_path / "here", monkeypatch, page) as walk:
        for block in page.blocks:
            if not block.not_run and (block.file or block.commands):
                walk.obey(block)


def test_scenes_are_known() -> None:
    assert {name for page in PAGES for name in page.scene} <= STARTED.keys()


@pytest.mark.parametrize("page", ELSEWHERE, ids=lambda page: page.path.name)
def test_what_runs_a_page_of_its_own_reads_it(page: Page) -> None:
    assert page.path.name in (ROOT / page.run_by).read_text()


def test_a_tutorial_shows_every_file_of_its_folder() -> None:
    # A folder of pictures is shown by its page otherwise, which Sphinx sees to.
    for page in (page for page in [*PAGES, *ELSEWHERE] if page.path.parent.name == "tutorial"):
        if not page.path.with_suffix("").is_dir():
            continue
        folder = {file.name: file.read_text() for file in page.path.with_suffix("").iterdir() if file.is_file()}
        assert {block.file: block.text for block in page.blocks if block.file in folder} == folder, page.path.name


def test_no_command_is_passed_over() -> None:
    """What looks like a command stands in a block that is run, or says why it is not."""

    def is_passed_over(block: Block) -> bool:
        if block.language == "console":
            return not block.commands
        if block.file or block.not_run or block.language not in ("", "sh", "bash", "shell", "text"):
            return False
        return any(TYPED.match(line.removeprefix("$ ")) for line in block.text.splitlines())

    assert [str(block) for page in PAGES for block in page.blocks if is_passed_over(block)] == []


def test_no_block_is_indented() -> None:
    """One that is would not be found, and its commands not be run."""
    lines = [(page.path.name, line) for page in PAGES for line in page.path.read_text().splitlines()]
    assert [(name, line) for name, line in lines if line.startswith(" ") and line.lstrip().startswith("```")] == []


def test_what_is_not_run_says_why_and_is_little() -> None:
    blocks = [block for page in PAGES for block in page.blocks if block.remark.startswith("not run")]
    assert [str(block) for block in blocks if len(block.not_run) < 10] == []
    assert len(blocks) <= 24, "run what can be run"
    written = (DOCS / "reference/not-run.md").read_text()
    assert written == reference(), "run: .venv/bin/python -m tests.documented.reference > docs/reference/not-run.md"


# --- what is not run: the commands exist, and the configurations are read --------------------------------------------


def _lines() -> Iterator[tuple[str, str]]:
    """Commands that these tests do not give: the block that has them, and the line."""
    for page in [*PAGES, *ELSEWHERE]:
        for block in page.blocks:
            if page.run_by or block.not_run:
                lines = [command.line for command in block.commands] or block.text.replace("\\\n", " ").splitlines()
                yield from ((str(block), line) for line in lines if line.startswith("smshub "))


@pytest.mark.parametrize(("where", "line"), sorted(set(_lines())))
def test_the_commands_that_are_not_run_exist(where: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "…"]
    command: click.Command = main
    with click.Context(main) as context:
        while isinstance(command, click.Group):
            assert words, f"{where}: {line} is no whole command"
            found = command.get_command(context, words[0])
            assert found is not None, f"{where}: there is no {words[0]} in {line}"
            command = found
            words.pop(0)
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= names, f"{where}: {line}"


@pytest.mark.parametrize(
    "block",
    [b for page in [*PAGES, *ELSEWHERE] for b in page.blocks if b.language == "toml" and not b.file],
    ids=str,
)
def test_the_configurations_of_the_pages_are_read(block: Block, tmp_path: Path) -> None:
    text = re.sub(r'"/run/credentials/[^"]*/|"/etc/smshub/', '"', block.text)  # files of other machines: here
    for file in re.findall(r'file = "(.+?)"', text):
        (tmp_path / file).touch()
    read_config(text, str(block), tmp_path)
