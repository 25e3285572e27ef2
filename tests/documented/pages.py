"""What the pages say is to be typed.

A command stands in a fenced block of the language ``console``, after ``$ ``; what follows up to the next one is what it
prints, ``…`` standing for anything. A file stands in a block that is led in by its name, "`numbers.txt`:". A remark in
an HTML comment right before a block, or at the head of the page for all of it, says what else there is to know:

==============================  ====================================================================================
``<!-- with: daemon -->``       at the head: what the commands need: see ``scene.STARTED``
``<!-- run by: tests/… -->``    at the head: a test of its own runs the page
``<!-- in the background -->``  what the block starts goes on until the page ends; what it prints is waited for
``<!-- exits: 2 -->``           its last command ends with this status
``<!-- input: secret -->``      is typed (a line) at each of its commands
``<!-- not run: why -->``       cannot be run here
==============================  ====================================================================================
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"(?:^<!-- (?P<remark>[^\n]*?) -->\n+)?(?:^[^\n]*`(?P<file>[\w./-]+\.\w+)`[^`\n]*:\n\n)?"
    r"^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEAD = re.compile(r"^<!-- with: ([\w, -]+) -->$", re.MULTILINE)
_RUN_BY = re.compile(r"^<!-- run by: ([\w./]+) -->$", re.MULTILINE)
TYPED = re.compile(r"^(?:smshub|make|docker|podman|sudo|systemctl|curl|apt-get|pip|python3?|psql|pg_dump|createdb) ")
"""How a line begins that is a command, wherever it stands."""


class Command(msgspec.Struct, frozen=True):
    """A command as a page shows it.

    Attributes:
        line: what is typed, continued lines joined.
        prints: what the page shows of its output; empty when it shows nothing.
    """

    line: str
    prints: str


class Block(msgspec.Struct, frozen=True):
    """A fenced block.

    Attributes:
        page: the file that it stands in.
        at: its line there.
        language: as the fence says, or empty.
        file: the name of the file that it shows, or empty.
        remark: the comment before it, or empty.
        text: what is in it.
    """

    page: Path
    at: int
    language: str
    file: str
    remark: str
    text: str

    @property
    def commands(self) -> list[Command]:
        """What is typed in it, in order."""
        if self.language != "console":
            return []
        found: list[tuple[list[str], list[str]]] = []
        continued = False
        for line in self.text.splitlines():
            if continued:
                found[-1][0].append(line.strip())
            elif line.startswith("$ "):
                found.append(([line[2:]], []))
            elif found:
                found[-1][1].append(line)
            continued = (continued or line.startswith("$ ")) and line.endswith("\\")
        return [
            Command(" ".join(part.removesuffix("\\").strip() for part in typed), "\n".join(printed).strip())
            for typed, printed in found
        ]

    @property
    def not_run(self) -> str:
        """Why it is not run, or empty."""
        return self.remark.removeprefix("not run: ") if self.remark.startswith("not run: ") else ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.at}"


class Page(msgspec.Struct, frozen=True):
    """A page.

    Attributes:
        path: its file.
        scene: what its commands need beside them: ``"daemon"``, or nothing.
        blocks: its fenced blocks.
        run_by: the test that runs it, where that is another than that of all pages; or empty.
    """

    path: Path
    scene: tuple[str, ...]
    blocks: tuple[Block, ...]
    run_by: str


def read_page(path: Path) -> Page:
    """Read a page."""
    text = path.read_text()
    head, run_by = _HEAD.search(text), _RUN_BY.search(text)
    scene = tuple(word.strip() for word in head[1].split(",")) if head else ()
    blocks = tuple(
        Block(
            path,
            text.count("\n", 0, found.start("text")),
            found["language"],
            found["file"] or "",
            found["remark"] or "",
            found["text"],
        )
        for found in _FENCE.finditer(text)
    )
    return Page(path, scene, blocks, run_by[1] if run_by else "")


def pages() -> list[Page]:
    """All pages, and the README."""
    return [read_page(path) for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]]


def patterns_of(shown: str) -> list[re.Pattern[str]]:
    """A pattern for each line of an output as a page shows it: … stands for anything, blanks for any blanks."""
    lines = (re.escape(" ".join(line.split())).replace("…", ".*") for line in shown.strip().splitlines())
    return [re.compile(f"^{line}$", re.MULTILINE) for line in lines]


def plain(output: str) -> str:
    """An output with its blanks as single ones."""
    return "\n".join(" ".join(line.split()) for line in output.splitlines()) + "\n"
