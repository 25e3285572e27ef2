"""``smshub text count`` for what is provisioned, in a file or in a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli import main
from ops.cli_text import text_group

FILE = """
[store]
url = "sqlite:///{directory}/hub.db"

[[link]]
name = "acme"
host = "127.0.0.1"
system_id = "hub"
password = "secret"
alphabets = ["gsm7", "gsm7-tr", "ucs2"]
long_message = "udh16"
packed = true
transliterate = "to-fit"

[[account]]
system_id = "agg"
password = "secret"
default_alphabet = "latin1"
alphabets = ["latin1", "ucs2"]
"""


def count(*words: str) -> Result:
    return CliRunner().invoke(text_group, ["count", *words])


def counted(*words: str) -> Any:
    result = count("--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "hub.toml"
    path.write_text(FILE.format(directory=tmp_path))
    return str(path)


def test_a_text_is_counted_as_a_link_would_cut_it(file: str) -> None:
    told = counted("--config", file, "--link", "acme", "“" + "ş" * 160)
    assert [(p["alphabet"], p["characters"], p["header_octets"]) for p in told["parts"]] == [
        ("gsm7-tr-locking", 148, 10),
        ("gsm7-tr-locking", 13, 10),
    ]
    assert told["parts"][0]["octets"] == 140
    assert told["sent"] == '"' + "ş" * 160
    first = count("--config", file, "--link", "acme", "a").stdout.splitlines()[0]
    assert first == "acme: alphabets gsm7, gsm7-tr, ucs2; long texts by udh16; septets packed; transliterated to fit"


def test_what_is_said_beside_a_link_wins(file: str) -> None:
    words = ("--config", file, "--link", "acme", "--as-written", "--unpacked", "--alphabets", "gsm7,ucs2")
    told = counted(*words, "--method", "sar", "ş" * 71)
    assert told["alphabets"] == ["ucs2"]
    assert told["sent"] is None
    assert counted(*words, "a" * 8)["parts"][0]["octets"] == 8


def test_a_text_is_counted_as_for_an_account(file: str) -> None:
    told = counted("--config", file, "--account", "agg", "ã" * 141)
    assert [part["units"] for part in told["parts"]] == [134, 7]
    assert "data_coding 0 is latin1" in count("--config", file, "--account", "agg", "a").stdout


def test_a_link_may_be_in_the_store_alone(file: str) -> None:
    options = ("--host", "127.0.0.1", "--system-id", "hub", "--password-env", "PASSWORD", "--long-message", "blocks")
    made = CliRunner().invoke(main, ["provision", "link", "add", "other", "--config", file, *options])
    assert made.exit_code == 0, made.output
    told = counted("--config", file, "--link", "other", "a" * 320)
    assert [part["units_at_most"] for part in told["parts"]] == [160, 160]


@pytest.mark.parametrize("words", [("--link", "nobody"), ("--link", "acme", "--account", "agg"), ("--account", "acme")])
def test_who_is_not_there_is_told(file: str, words: tuple[str, ...]) -> None:
    result = count("--config", file, *words, "a")
    assert result.exit_code == 2
    assert "Traceback" not in result.output
