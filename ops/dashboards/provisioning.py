"""The dashboard provisioning: letters, directories, look-ups, the control interface, reloads."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import FULL, HUB, THIRD, Board, Panel, Query, Row, rate

PROVISIONING: Final = Board(
    "provisioning",
    "smshub / provisioning",
    "Letters, numbers in directories, look-ups, the control interface, reloads.",
    (
        Row(
            "Letters and directories",
            (
                Panel(
                    title="Days left of letters",
                    says="Of signed letters of authorization that have a last day.",
                    queries=(Query(f"smshub_loa_days_left{{{HUB}}}", "{{loa}} ({{call_centre}})"),),
                    unit="d",
                    may_be_negative=True,
                    warn=30,
                    bad=0,
                    is_live=False,
                ),
                Panel(
                    title="Numbers in directories",
                    says="By state.",
                    queries=(
                        Query(f"sum by (directory, state) (smshub_publications{{{HUB}}})", "{{directory}} {{state}}"),
                    ),
                    is_live=False,
                ),
                Panel(
                    title="Not as they should be",
                    says="Numbers without a valid letter, and those that a directory does not decide on.",
                    queries=(
                        Query(
                            f"sum by (directory) (smshub_publications_uncovered{{{HUB}}})", "{{directory}} uncovered"
                        ),
                        Query(f"sum by (directory) (smshub_publications_overdue{{{HUB}}})", "{{directory}} overdue"),
                    ),
                    bad=1,
                    is_live=False,
                ),
                Panel(
                    title="In their state for",
                    says="The longest, of numbers that are not active.",
                    queries=(
                        Query(
                            f'smshub_publication_oldest_seconds{{{HUB}, state!~"active|withdrawn"}}',
                            "{{directory}} {{state}}",
                        ),
                    ),
                    unit="s",
                    is_live=False,
                ),
                Panel(
                    title="Calls of directories",
                    says="A second, by what became of them.",
                    queries=(
                        Query(
                            rate("smshub_directory_calls_total", "directory, call, result"),
                            "{{directory}} {{call}} {{result}}",
                        ),
                    ),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="A call takes",
                    says="On average.",
                    queries=(
                        Query(
                            f"{rate('smshub_directory_call_seconds_sum', 'directory, call')} / "
                            f"{rate('smshub_directory_call_seconds_count', 'directory, call')}",
                            "{{directory}} {{call}}",
                        ),
                    ),
                    unit="s",
                    is_live=False,
                ),
            ),
        ),
        Row(
            "Look-ups and the control interface",
            (
                Panel(
                    title="Look-ups by ENUM",
                    says="A second, by how they ended.",
                    queries=(Query(rate("smshub_enum_lookups_total", "result"), "{{result}}"),),
                    unit="cps",
                    width=THIRD,
                    is_live=False,
                ),
                Panel(
                    title="Answered from memory",
                    says="Questions a second of the message path, and what it heard.",
                    queries=(Query(rate("smshub_enum_cache_total", "outcome"), "{{outcome}}"),),
                    unit="cps",
                    width=THIRD,
                    is_live=False,
                ),
                Panel(
                    title="Numbers remembered, and waiting",
                    says="A queue that does not empty: more look-ups a second are needed.",
                    queries=(
                        Query(f"smshub_enum_cached_numbers{{{HUB}}}", "{{kind}}"),
                        Query(f"smshub_enum_waiting_numbers{{{HUB}}}", "waiting"),
                        Query(f"smshub_enum_lookups_under_way{{{HUB}}}", "under way"),
                    ),
                    width=THIRD,
                    is_live=False,
                ),
                Panel(
                    title="Requests",
                    says="Of the control interface, a second.",
                    queries=(
                        Query(rate("smshub_api_requests_total", "operation, status"), "{{operation}} {{status}}"),
                    ),
                    unit="cps",
                    width=FULL,
                    is_live=False,
                ),
            ),
        ),
        Row(
            "The catalog",
            (
                Panel(
                    title="Revision",
                    says="In force, and in the store; they differ for a second after each change.",
                    queries=(
                        Query(f"smshub_catalog_revision{{{HUB}}}", "{{instance}} in force"),
                        Query(f"smshub_catalog_stored_revision{{{HUB}}}", "{{instance}} in the store"),
                    ),
                    width=THIRD,
                ),
                Panel(
                    title="Reloads",
                    says="Since the start, by what came of them.",
                    queries=(Query(f"smshub_reloads_total{{{HUB}}}", "{{instance}} {{state}}"),),
                    width=THIRD,
                ),
                Panel(
                    title="Endpoints that are not as provisioned",
                    says="A secret, certificate or address cannot be used.",
                    queries=(Query(f"smshub_troubled_endpoints{{{HUB}}}", "{{instance}}"),),
                    width=THIRD,
                    bad=1,
                ),
                Panel(
                    title="The file in force",
                    says="How long ago it was taken over.",
                    queries=(Query(f"time() - smshub_reload_timestamp_seconds{{{HUB}}}", "{{instance}}"),),
                    unit="s",
                    form="number",
                    width=THIRD,
                ),
                Panel(
                    title="The last reload",
                    says="Whether it was carried out.",
                    queries=(Query(f"smshub_reload_successful{{{HUB}}}", "{{instance}}"),),
                    form="states",
                    words={"0": "refused", "1": "done"},
                    width=THIRD,
                    bad=0,
                    warn=1,
                ),
                Panel(
                    title="Entries of the audit",
                    says="All that was ever changed on somebody's behalf.",
                    queries=(Query(f"smshub_audit_entries_total{{{HUB}}}", "{{instance}}"),),
                    form="number",
                    width=THIRD,
                ),
            ),
        ),
    ),
)
