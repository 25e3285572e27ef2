"""How the figures of floods are judged. Pure."""

from __future__ import annotations

from typing import Any

from loadtests.floods import FLOODS, medians, table, verdict


def run(link: float, desk: float, **more: Any) -> dict[str, Any]:
    figures = {"to_link_per_s": link, "to_desk_per_s": desk, "to_link_p99_ms": 12.0, "log_lines_per_s": 3.0}
    return {**figures, "flood_cost": 0.125, "visits": 4, "visits_bound": 3, "flood": {"sent": 1}, **more}


def test_medians_are_of_numbers() -> None:
    found = medians([run(100, 10), run(300, 30), run(200, 90)])
    assert (found["to_link_per_s"], found["to_desk_per_s"]) == (200, 30)
    assert "flood" not in found


def test_what_is_kept_is_a_share_of_what_there_is_alone() -> None:
    assert verdict(medians([run(200, 100)]), medians([run(180, 50)])) == {"kept_to_link": 0.9, "kept_to_desk": 0.5}


def test_a_table() -> None:
    alone, beside = [run(200, 100)], [run(180, 50), run(180, 50)]
    flood = {
        "about": "binds",
        "per_s": 500.0,
        "alone": alone,
        "beside": beside,
        **verdict(*map(medians, (alone, beside))),
    }
    head, rule, line = table({"floods": {"x": flood}}).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|")
    assert line == "| binds | 500 | 90%, 50% | 12 → 12 | 0.12 | 6 of 8 | 3 |"


def test_floods_have_names_of_their_own() -> None:
    assert len({flood.name for flood in FLOODS}) == len(FLOODS)
