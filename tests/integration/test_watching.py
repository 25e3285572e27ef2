"""Rules and dashboards, judged by promtool and by a Prometheus that scrapes ``smshub run --demo``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.dashboards import BOARDS
from ops.metrics_table import METRICS, SUMMARY
from tests.fixtures_prometheus import Prometheus, running_prometheus
from tests.meta.dashboards import file_of

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "ops/alerts"
DASHBOARDS = ROOT / "ops/dashboards"
PATIENCE_S = 180
VALUES = {"$job": "smshub", "$instance": ".*", "$endpoint": ".*", "$__rate_interval": "1m"}
FOREIGN = {"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: smshub
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def promtool(*words: str) -> str:
    done = subprocess.run(
        ["promtool", *words], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def demonstration(folder: Path) -> Iterator[int]:
    """The port of the metrics of a demonstration that has shown its conversation."""
    with subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "run", "--demo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if "To stop it" in line:
                break
        found = re.search(r"127\.0\.0\.1:(\d+)/metrics", seen)
        assert found is not None, seen
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("watching")
    with demonstration(folder) as port:
        configuration = CONFIGURATION.format(rules=ALERTS / "smshub.rules.yml", port=port)
        with running_prometheus(folder / "prometheus", configuration, unused_tcp_port_factory()) as running:
            # Rates need two scrapes, and what the daemon reads of the store comes every few seconds.
            scraped = "count_over_time(smshub_open_threads[1m]) > 2"
            running.wait_until(lambda: running.query(scraped), "three scrapes of an open thread")
            yield running


def alerts() -> list[str]:
    return re.findall(r"^      - alert: (\w+)$", (ALERTS / "smshub.rules.yml").read_text(), re.MULTILINE)


def test_promtool_finds_nothing_wrong_as_the_page_says() -> None:
    page = (ROOT / "docs/howto/watch.md").read_text()
    commands = re.findall(r"^\$ promtool (.*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        said = promtool(*command.split())
        if "check rules" in command:
            assert f"SUCCESS: {len(alerts())} rules found" in said


def test_each_alert_has_a_test_for_a_hub_that_is_ill_and_one_that_is_well() -> None:
    tests = (ALERTS / "smshub.rules.test.yml").read_text()
    for name in alerts():
        case = tests.partition(f"  - name: {name}\n")[2].partition("  - name: ")[0]
        assert f"      - alertname: {name}\n" in case, f"{name} has no test"
        for hub in ("ill", "well"):
            assert f'instance="{hub}"' in case, f"{name} is not tested with a hub that is {hub}"
        expected = case.partition("    alert_rule_test:\n")[2]
        assert re.findall(r"instance: (\w+)", expected) == ["ill"]
        assert "summary: " in expected
    assert len(re.findall(r"^  - name: ", tests, re.MULTILINE)) == len(alerts())


def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Path) -> None:
    """The tests themselves are tested: a threshold that is off by one is found."""
    rules = (ALERTS / "smshub.rules.yml").read_text()
    for before, after in (
        ("days_left < 30 >= 0", "days_left < 31 >= 0"),
        ("smshub_store_up == 0", "smshub_store_up < 0"),
    ):
        assert before in rules
        (tmp_path / "smshub.rules.yml").write_text(rules.replace(before, after))
        tests = (ALERTS / "smshub.rules.test.yml").read_text()
        head, *cases = re.split(r"(?=^  - name: )", tests, flags=re.MULTILINE)
        which = "LetterExpires\n" if "days" in before else "StoreDown\n"
        only = head + "".join(case for case in cases if case.startswith(f"  - name: {which}"))
        (tmp_path / "one.test.yml").write_text(only)
        done = subprocess.run(
            ["promtool", "test", "rules", str(tmp_path / "one.test.yml")], capture_output=True, text=True, timeout=60
        )
        assert done.returncode != 0
        assert "FAILED" in done.stdout + done.stderr


def test_prometheus_evaluates_each_rule_and_none_fires_for_a_hub_that_is_well(prometheus: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    prometheus.wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "every rule was evaluated")
    page = (ROOT / "docs/howto/watch.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    found = rules()
    assert sorted(rule["name"] for rule in found) == sorted(alerts())
    for rule in found:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        if "smshub_disk" not in rule["query"]:  # whose disk it is, is not the hub's doing
            assert rule["state"] != "firing", rule["name"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/howto/watch.md#{rule['name'].lower()}"
        assert rule["name"].lower() in headings, f"the page does not say what to do about {rule['name']}"
    assert headings == {name.lower() for name in alerts()}


def _metrics_in(expr: str) -> set[str]:
    return set(re.findall(r"\b(?:smshub|process)_[a-z_]+\b(?=[{\[ )]|$)", re.sub(r'"[^"]*"', '""', expr)))


def test_rules_and_dashboards_ask_for_metrics_that_there_are() -> None:
    known = set(METRICS) | {
        f"{name}_{end}" for name, row in METRICS.items() if row.kind == SUMMARY for end in ("sum", "count")
    }
    asked = {query.expr for board in BOARDS for row in board.rows for panel in row.panels for query in panel.queries}
    asked |= set(re.findall(r"expr: (.*?)\n        for", (ALERTS / "smshub.rules.yml").read_text(), re.DOTALL))
    found = {name for expr in asked for name in _metrics_in(expr)}
    assert len(found) > 50
    assert {name for name in found if not name.startswith("process_")} <= known


PANELS = [
    pytest.param(panel, id=f"{board.name}: {row.title}: {panel.title}")
    for board in BOARDS
    for row in board.rows
    for panel in row.panels
]


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_asks_what_prometheus_understands_and_the_live_ones_have_data(
    prometheus: Prometheus, panel: Any
) -> None:
    def samples() -> int:
        total = 0
        for query in panel.queries:
            expr = query.expr
            for name, value in VALUES.items():
                expr = expr.replace(name, value)
            assert "$" not in expr
            total += len(prometheus.query(expr))
        return total

    if panel.is_live:
        prometheus.wait_until(samples, f"data of {panel.title}")
    else:
        samples()


def test_legends_name_labels_that_the_series_have(prometheus: Prometheus) -> None:
    for param in PANELS:
        for query in param.values[0].queries:
            expr = query.expr
            for name, value in VALUES.items():
                expr = expr.replace(name, value)
            for series in prometheus.query(expr):
                missing = set(re.findall(r"{{(\w+)}}", query.legend)) - set(series["metric"])
                assert not missing, f"{expr} has no {missing}"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_file_of_a_dashboard_is_what_its_table_makes(board: Any) -> None:
    text = (DASHBOARDS / f"{board.name}.json").read_text()
    assert text == file_of(board), "run: python -m tests.meta.dashboards"
    made = json.loads(text)
    panels = [panel for panel in made["panels"] if panel["type"] != "row"]
    assert made["schemaVersion"] >= 36
    assert [link["tags"] for link in made["links"]] == [["smshub"]] == [made["tags"]]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"${datasource}"}
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in made["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie over each other"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_one_can_choose_from_what_there_is(board: Any, prometheus: Prometheus) -> None:
    made = json.loads((DASHBOARDS / f"{board.name}.json").read_text())
    asked = [variable for variable in made["templating"]["list"] if variable["type"] == "query"]
    assert [variable["name"] for variable in asked] == ["job", "instance", *(["endpoint"] if board.endpoints else [])]
    for variable in asked:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert found is not None
        selector = found[1]
        for name, value in VALUES.items():
            selector = selector.replace(name, value)
        assert prometheus.ask(f"label/{found[2]}/values", **{"match[]": selector}), variable["query"]


def test_no_file_is_left_of_a_dashboard_that_is_gone() -> None:
    assert {path.stem for path in DASHBOARDS.glob("*.json")} == {board.name for board in BOARDS}
