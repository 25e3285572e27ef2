"""The commands of letters: a draft is written, signed and filed; what they say, and what they refuse."""

import io
import json

import pytest
from click.testing import CliRunner
from pypdf import PdfReader

from ops.cli import main
from provisioning.authority import day_of

HEAD = """[store]
url = "sqlite:///hub.db"
[[call_centre]]
name = "helpline"
[[block]]
first = "+16175550001"
last = "+16175559999"
call_centre = "helpline"
"""
TERMS = (
    *("--call-centre", "helpline", "--owner", "Example Corp", "--designee", "Hub Ltd", "--contact", "A. Person"),
    *("--valid-from", "2026-01-01", "--date", "2026-11-22"),
)
ALL = (*TERMS, "--numbers", "+16175550001-+16175559999")
SIGNED = ("--signed-by", "A. Person", "--signed-on", "2026-01-02")
PDF = b"%PDF-1.7\nsigned\n%%EOF\n"


class Cli:
    def __init__(self, directory):
        self.path = directory / "hub.toml"
        self.path.write_text(HEAD)

    def __call__(self, *words, status=0, stdin=None):
        result = CliRunner().invoke(main, [*words], input=stdin, env={"SMSHUB_CONFIG": str(self.path)})
        assert result.exit_code == status, result.output + repr(result.exception)
        assert "Traceback" not in result.output
        self.stderr = result.stderr
        self.octets = result.stdout_bytes
        return result.stdout if status == 0 else result.stderr

    def loa(self, *words, **settings):
        return self("provision", "loa", *words, **settings)


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = Cli(tmp_path)
    cli("provision", "apply", str(cli.path))
    return cli


def test_from_a_draft_to_a_letter_that_covers_the_block(cli, tmp_path):
    cli.loa("draft", "first", *ALL, "--output", "first.pdf")
    assert "loa add first --document FILE" in cli.stderr
    drafted = (tmp_path / "first.pdf").read_bytes()
    (page,) = [page.extract_text() for page in PdfReader(io.BytesIO(drafted)).pages]
    shown = json.loads(cli.loa("show", "first", "--json"))["standing"]
    assert shown["terms"] in page
    assert (shown["state"], shown["numbers"], shown["covered"], shown["not_covered"]) == ("draft", 9999, 9999, 9999)
    (tmp_path / "signed.pdf").write_bytes(PDF)
    assert cli.loa("add", "first", "--document", "signed.pdf", *SIGNED) == "signed loa first\n"
    assert cli.loa("add", "first", "--document", "signed.pdf", *SIGNED) == "loa first is so already\n"
    told = cli.loa("show", "first")
    assert "state          valid" in told
    assert "not_covered    0 numbers of call centre helpline, by no valid letter\n" in told
    assert "document       in the store" in told
    assert cli.loa("list").splitlines()[1].split()[-1] == "valid"
    assert json.loads(cli.loa("list", "--json"))[0]["state"] == "valid"
    cli.loa("document", "first", "--output", "got.pdf")
    assert (tmp_path / "got.pdf").read_bytes() == PDF
    cli.loa("document", "first", "--output", "-")
    assert cli.octets == PDF
    audited = json.loads(cli("audit", "list", "--json"))
    assert [row["action"] for row in audited if row["kind"] == "loa"] == ["changed", "added"]


def test_a_draft_is_written_again_the_same_and_over_nothing_else(cli, tmp_path):
    cli.loa("draft", "first", *ALL, "--output", "first.pdf")
    before = (tmp_path / "first.pdf").read_bytes()
    cli.loa("draft", "first", "--date", "2026-11-22", "--output", "first.pdf")
    assert (tmp_path / "first.pdf").read_bytes() == before
    cli.loa("draft", "first", "--date", "2026-11-22", "--output", "-")
    assert cli.octets == before
    (tmp_path / "first.pdf").write_bytes(PDF)
    assert "exists already" in cli.loa("draft", "first", "--output", "first.pdf", status=2)
    assert (tmp_path / "first.pdf").read_bytes() == PDF
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_draft_that_cannot_be_drawn_is_not_kept(cli, tmp_path):
    words = [word if word != "Example Corp" else "北京" for word in ALL]
    told = cli.loa("draft", "first", *words, "--output", "first.pdf", status=2)
    assert told.startswith("smshub: owner = '北京': has '北' (U+5317")
    assert not (tmp_path / "first.pdf").exists()
    assert cli.loa("list") == ""


def test_a_draft_can_be_only_written(cli, tmp_path):
    cli.loa("draft", "first", *ALL, "--no-add", "--paper", "a4", "--output", "first.pdf")
    assert (tmp_path / "first.pdf").exists()
    assert cli.loa("list") == ""


def test_ten_thousand_scattered_numbers_come_from_a_file(cli, tmp_path):
    numbers = [f"+1617{digits}" for digits in range(2000000, 2020000, 2)]
    (tmp_path / "pool.txt").write_text(
        "# our pool\n" + "\n".join(numbers) + "\n\n+16175550001-+16175550003 # a range\n"
    )
    cli.loa("draft", "pool", *TERMS, "--numbers-file", "pool.txt", "--output", "pool.pdf")
    assert "reading: 100 % of 10001" in cli.stderr
    shown = json.loads(cli.loa("show", "pool", "--json"))
    assert shown["standing"]["numbers"] == 10_003
    assert "and 9991 more" in cli.loa("show", "pool")
    assert len(PdfReader(tmp_path / "pool.pdf").pages) > 10


def test_lines_that_hold_no_number_are_all_named(cli, tmp_path):
    (tmp_path / "pool.txt").write_text("+16172000000\n617-200-0002\n+16172000009-+16172000001\n")
    told = cli.loa("draft", "pool", *TERMS, "--numbers-file", "pool.txt", "--output", "pool.pdf", status=2)
    assert "pool.txt:2: numbers = '617-200-0002': write it in E.164" in told
    assert "pool.txt:3: numbers" in told
    (tmp_path / "many.txt").write_text("none\n" * 1000)
    assert "and 950 more lines that are wrong" in cli.loa("add", "pool", "--numbers-file", "many.txt", status=2)
    (tmp_path / "none.txt").write_text("# nothing\n")
    assert "holds no number" in cli.loa("add", "pool", "--numbers-file", "none.txt", status=2)
    (tmp_path / "latin.txt").write_bytes(b"+16172000000\n\xff\xfe\n")
    assert "latin.txt:2: is not UTF-8" in cli.loa("add", "pool", "--numbers-file", "latin.txt", status=2)


@pytest.mark.parametrize(
    ("words", "octets", "told"),
    [
        ((*ALL[:-4], *SIGNED), b"PK\x03\x04", "document = 'paper': is neither PDF, PNG, JPEG nor TIFF"),
        (SIGNED, PDF, "smshub: call_centre: is missing"),
        ((*ALL[:10], *ALL[12:]), PDF, "signed_by"),
        ((*ALL[:10], *ALL[12:], *SIGNED, "--digest", "sha256:" + 64 * "0"), PDF, "is not the document's"),
        ((*ALL[:10], *ALL[12:], "--digest", "sha256:1"), PDF, "write 'sha256:' and 64"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_kept(cli, tmp_path, words, octets, told):
    words = [word for word in words if word not in ("--date", "2026-11-22")]
    (tmp_path / "paper").write_bytes(octets)
    assert told in cli.loa("add", "first", *words, "--document", "paper", status=2)
    assert cli.loa("list") == ""


def test_the_generated_commands_keep_to_the_same_rules(cli, tmp_path):
    cli.loa("draft", "first", *ALL, "--output", "first.pdf")
    missing = ("--digest", "sha256:" + 64 * "0", *SIGNED)
    assert "is not in the store" in cli.loa("set", "first", *missing, status=2)
    assert "is not in the store" in cli.loa("add", "first", *missing, status=2)
    assert "has no document yet" in cli.loa("document", "first", "--output", "got.pdf", status=2)
    assert "exists already" in cli.loa("add", "first", status=2)
    assert cli.loa("set", "first", "--purpose", "test") == "changed loa first\n"
    (tmp_path / "signed.pdf").write_bytes(PDF)
    cli.loa("add", "first", "--document", "signed.pdf", *SIGNED)
    assert "purpose cannot change: it is signed" in cli.loa("set", "first", "--purpose", "more", status=2)
    assert cli.loa("set", "first", "--contact", "B. Person") == "changed loa first\n"
    assert cli.loa("remove", "first") == "removed loa first\n"


def test_a_letter_that_covers_nothing_yet_is_filed_with_a_note(cli, tmp_path):
    (tmp_path / "signed.pdf").write_bytes(PDF)
    words = [{"2026-01-01": "2099-01-01"}.get(word, word) for word in ALL if word not in ("--date", "2026-11-22")]
    assert cli.loa("add", "first", *words, "--document", "signed.pdf", *SIGNED) == "added loa first\n"
    assert cli.stderr == "note: it covers nothing today: not yet valid\n"
    cli("provision", "block", "remove", "+16175550001", "+16175559999")
    assert "9,999 numbers, 9,999 of which call centre helpline has not" in cli.loa("show", "first")


def test_check_tells_of_papers_that_are_missing_and_letters_that_end(cli):
    today = day_of(1_795_305_600_000_000)
    loa = f"""[[loa]]
name = "first"
call_centre = "helpline"
owner = "Example Corp"
designee = "Hub Ltd"
contact = "A. Person"
numbers = ["+16175550001-+16175559999"]
valid_from = "2020-01-01"
valid_until = "2020-12-31"
signed_by = "A. Person"
signed_on = "{today}"
digest = "sha256:{64 * "0"}"
"""
    cli.path.write_text(HEAD + loa)
    for before in (lambda: None, lambda: cli("provision", "apply", str(cli.path))):
        before()
        cli("check")
        assert "note: loa first: its signed document sha256:0" in cli.stderr
        assert "note: loa first of call centre helpline expired on 2020-12-31" in cli.stderr
    cli.path.write_text((HEAD + loa).replace("hub.db", "empty.db"))
    assert "store empty" in cli("check")
    assert "its signed document" in cli.stderr
