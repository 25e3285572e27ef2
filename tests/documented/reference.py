"""Makes docs/reference/not-run.md: ``python -m tests.documented.reference > docs/reference/not-run.md``."""

from __future__ import annotations

import os
from pathlib import Path

from tests.documented.pages import DOCS, Block, pages

HERE = DOCS / "reference"
HEAD = """# Which commands on these pages are not run

<!-- Made by `python -m tests.documented.reference`; do not edit. -->

All others are, in their order, by `tests/integration/test_documented_commands.py` or by the test named here, and
what they print is compared with what is shown.

| page | | why not |
| --- | --- | --- |
"""
ELSEWHERE = """
| page | run by |
| --- | --- |
"""


def _link(path: Path) -> str:
    title = next(line for line in path.read_text().splitlines() if line.startswith("# ")).removeprefix("# ")
    if not path.is_relative_to(DOCS):
        return f"{path.name}"
    return f"[{title}]({Path(os.path.relpath(path, HERE))})"


def _first(block: Block) -> str:
    lines = [command.line for command in block.commands] or block.text.splitlines()
    return lines[0].replace("|", "\\|").partition(" #")[0].strip()


def reference() -> str:
    """The page."""
    all_pages = pages()
    rows = [
        f"| {_link(page.path)} | `{_first(block)}` | {block.not_run} |\n"
        for page in all_pages
        for block in page.blocks
        if block.not_run
    ]
    others = [f"| {_link(page.path)} | `{page.run_by}` |\n" for page in all_pages if page.run_by]
    return HEAD + "".join(rows) + ELSEWHERE + "".join(others)


if __name__ == "__main__":
    print(reference(), end="")
