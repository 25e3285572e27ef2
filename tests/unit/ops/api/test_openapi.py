"""The published description: valid, up to date, and about all that there is."""

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from ops.api import openapi
from ops.api.operations import OPERATIONS
from ops.api.reference import reference
from ops.api.schemas import HIDDEN, read_entry, read_patch, shown, visible
from provisioning import Block, Loa, Number, WhiteList
from provisioning.api_keys import SCOPES

ROOT = Path(__file__).parents[4]


def test_it_is_openapi() -> None:
    OpenAPIV31SpecValidator(openapi.document()).validate()


def test_the_published_one_is_this_one() -> None:
    published = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    assert published == openapi.document(), "run `python -m ops.api.openapi > docs/reference/openapi.json`"


def test_names_are_unique_and_scopes_exist() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {operation.scope for operation in OPERATIONS} == set(SCOPES)


def test_no_schema_shows_what_is_the_operators() -> None:
    told = json.dumps(openapi.document()["components"]["schemas"])
    assert "default_link" not in told
    for kind in (Number, Block, WhiteList, Loa):
        assert "call_centre" in HIDDEN[kind]
        assert not {"call_centre", "link"} & {field.name for field in visible(kind)}


def test_reading_an_entry_tells_every_error_at_once() -> None:
    item = {"number": "12", "stat": "active", "element": "x:y", "call_centre": "globex", "link": "link:l"}
    entry, problems = read_entry(Number, "acme", item, {})
    assert entry is None
    assert sorted(problem.field for problem in problems) == ["call_centre", "element", "link", "number", "stat"]
    entry, problems = read_entry(Number, "acme", {"number": "+1 617 555 0001"}, {})
    assert (entry, problems) == (Number(number="+16175550001", call_centre="acme"), [])


def test_a_patch_keeps_what_it_does_not_name() -> None:
    number = Number(number="+16175550001", call_centre="acme", link="link:l", element="OCN:1234")
    changed, _ = read_patch(number, {"state": "suspended"})
    assert changed == Number(
        number="+16175550001", call_centre="acme", link="link:l", element="OCN:1234", state="suspended"
    )
    changed, _ = read_patch(number, {"element": None})
    assert changed is not None
    assert changed.element == ""
    for wrong in ({"number": "+16175550002"}, {"link": ""}, {"state": None, "x": 1}, []):
        assert read_patch(number, wrong)[0] is None
    assert "link" not in shown(number)


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs/reference/api.md").read_text() == reference(), "run: python -m ops.api.reference"
