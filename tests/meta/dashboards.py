"""Makes ops/dashboards/*.json of the tables beside them, by Grafana's own builders: so their form is right.

Run as a program (``python -m tests.meta.dashboards``); it needs what developers have, as nothing in ``ops`` may. A test
holds the files to it. No data source is named in a file: whoever imports it chooses one, and all dashboards lead to
each other by their tag.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from ops.dashboards.boards import BOARDS
from ops.dashboards.panels import Board, Panel, Row

FOLDER: Final = Path(__file__).parents[2] / "ops/dashboards"
TAG: Final = "smshub"
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHTS: Final = {"graph": 8, "number": 4, "states": 8}
ALL: Final = model.VariableOption(selected=True, text="All", value="$__all")
GREEN, YELLOW, RED = "green", "yellow", "red"


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    """Colours by value. Where less is worse, red comes first."""
    first, steps = GREEN, [(panel.warn, YELLOW), (panel.bad, RED)]
    if panel.bad is not None and panel.warn is not None and panel.bad < panel.warn:
        first, steps = RED, [(panel.bad, YELLOW), (panel.warn, GREEN)]
        if panel.form == "states":
            steps = steps[1:]
    given = [model.Threshold(value=value, color=color) for value, color in steps if value is not None]
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=None, color=first), *given])
    )


def _mappings(panel: Panel) -> list[Any]:
    options = {
        value: model.ValueMappingResult(text=word, index=at) for at, (value, word) in enumerate(panel.words.items())
    }
    return [model.ValueMap(options=options)] if options else []


def _builder(panel: Panel) -> Any:
    if panel.form == "number":
        number = stat.Panel().color_mode(common_model.BigValueColorMode.VALUE)
        return number.graph_mode(common_model.BigValueGraphMode.AREA)
    if panel.form == "states":
        return statetimeline.Panel().merge_values(True).show_value(common_model.VisibilityMode.AUTO)
    legend = common.VizLegendOptions().show_legend(True).placement(common_model.LegendPlacement.BOTTOM)
    legend = legend.display_mode(common_model.LegendDisplayMode.LIST)
    style = common_model.GraphTresholdsStyleMode.DASHED if panel.bad is not None else None
    graph = timeseries.Panel().legend(legend).fill_opacity(10)
    if not panel.may_be_negative:
        graph = graph.min(0)
    if style is not None:
        graph = graph.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    return graph


def _panel(panel: Panel, number: int) -> Any:
    made = (
        _builder(panel)
        .id(number)
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .thresholds(_thresholds(panel))
        .span(panel.width)
        .height(HEIGHTS[panel.form])
    )
    if panel.words:
        made = made.mappings(_mappings(panel))
    for at, query in enumerate(panel.queries):
        asked = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + at)).datasource(SOURCE)
        asked = asked.instant() if panel.form == "number" and not panel.words else asked.range()
        made = made.with_target(asked.legend_format(query.legend) if query.legend else asked)
    return made


def _variables(board: Board) -> list[Any]:
    hubs = "label_values(up, job)"
    found: list[Any] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        dashboard.QueryVariable("job")
        .label("Job")
        .query(hubs)
        .regex("/smshub.*/")
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .current(model.VariableOption(selected=True, text="smshub", value="smshub")),
        dashboard.QueryVariable("instance")
        .label("Hub")
        .query('label_values(up{job="$job"}, instance)')
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(ALL),
    ]
    if board.endpoints:
        which = f'smshub_held_messages{{job="$job", instance=~"$instance", endpoint=~"{board.endpoints}"}}'
        found.append(
            dashboard.QueryVariable("endpoint")
            .label("Endpoint")
            .query(f"label_values({which}, endpoint)")
            .datasource(SOURCE)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(board.endpoints)
            .current(ALL)
        )
    return found


def _rows(rows: tuple[Row, ...], made: Any) -> Any:
    number = 0
    for row in rows:
        number += 1
        made = made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made = made.with_panel(_panel(panel, number))
    return made


def file_of(board: Board) -> str:
    """A dashboard as Grafana imports it."""
    links = dashboard.DashboardLink("smshub").type(model.DashboardLinkType.DASHBOARDS)
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"smshub-{board.name}")
        .description(board.says)
        .tags([TAG])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(links.tags([TAG]).as_dropdown(True).include_vars(True).keep_time(True))
    )
    for variable in _variables(board):
        made = made.with_variable(variable)
    return json.dumps(_rows(board.rows, made).build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write all files."""
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(file_of(board))


if __name__ == "__main__":
    main()
