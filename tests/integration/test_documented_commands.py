"""Every command of the documentation is run, or says why it is not: see ``tests/documented``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documented.pages import DOCS, ROOT, TYPED, Block, Page, pages
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


def test_no_command_is_passed_over() -> None:
    """What looks like a command stands in a block that is run, or says why it is not."""

    def is_passed_over(block: Block) -> bool:
        if block.language == "console":
            return not block.commands
        if block.file or block.not_run or block.language not in ("", "sh", "bash", "shell", "text"):
            return False
        return any(TYPED.match(line.removeprefix("$ ")) for line in block.text.splitlines())

    assert [str(block) for page in PAGES for block in page.blocks if is_passed_over(block)] == []


def test_what_is_not_run_says_why() -> None:
    blocks = [block for page in PAGES for block in page.blocks if block.remark.startswith("not run")]
    assert [str(block) for block in blocks if len(block.not_run) < 10] == []
