"""The dashboard overview: is all well, and if not, where."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import HUB, QUARTER, THIRD, Board, Panel, Query, Row, rate

OVERVIEW: Final = Board(
    "overview",
    "smshub / overview",
    "Is all well, and if not, where.",
    (
        Row(
            "Now",
            (
                Panel(
                    title="Hubs",
                    says="Hubs that answer Prometheus.",
                    queries=(Query('sum(up{job="$job", instance=~"$instance"})'),),
                    form="number",
                    width=4,
                    warn=1,
                    bad=0.5,
                ),
                Panel(
                    title="Links and desks down",
                    says="Links, groups and desks that have nobody who takes texts.",
                    queries=(Query(f'count(smshub_endpoint_up{{{HUB}, endpoint!~"account:.*"}} == 0) or vector(0)'),),
                    form="number",
                    width=4,
                    bad=1,
                ),
                Panel(
                    title="Oldest text",
                    says="How long the oldest text waits that is due; accounts' own queues do not count.",
                    queries=(Query(f'max(smshub_queue_oldest_seconds{{{HUB}, endpoint!~"account:.*"}})'),),
                    unit="s",
                    form="number",
                    width=4,
                    warn=60,
                    bad=900,
                ),
                Panel(
                    title="Dead letters",
                    says="Messages that were given up and are in the store.",
                    queries=(Query(f"sum(smshub_dead_letter_messages{{{HUB}}})"),),
                    form="number",
                    width=4,
                    warn=1,
                    bad=1000,
                ),
                Panel(
                    title="Store answers in",
                    says="What a text waits for the store at least, before it is acknowledged.",
                    queries=(Query(f"max(smshub_store_answer_seconds{{{HUB}}})"),),
                    unit="s",
                    form="number",
                    width=4,
                    warn=0.1,
                    bad=1,
                ),
                Panel(
                    title="Least disk free",
                    says="Of the file systems that the hub writes to.",
                    queries=(Query(f"min(smshub_disk_free_bytes{{{HUB}}} / smshub_disk_size_bytes{{{HUB}}})"),),
                    unit="percentunit",
                    form="number",
                    width=4,
                    warn=0.2,
                    bad=0.05,
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    title="Taken in",
                    says="Arrivals a second that were journalled and acknowledged, by endpoint.",
                    queries=(Query(rate("smshub_accepted_total", "endpoint"), "{{endpoint}}"),),
                    unit="cps",
                ),
                Panel(
                    title="Handed over",
                    says="Parts a second that the next system has answered for, by endpoint.",
                    queries=(Query(rate("smshub_handed_over_total", "endpoint"), "{{endpoint}}"),),
                    unit="cps",
                ),
                Panel(
                    title="Refused and given up",
                    says="What came and was refused, and what was accepted and given up, a second.",
                    queries=(
                        Query(rate("smshub_refused_total", "reason"), "refused: {{reason}}"),
                        Query(rate("smshub_dead_letters_total", "reason"), "given up: {{reason}}"),
                        Query(rate("smshub_filtered_total", "filter"), "filtered: {{filter}}"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="Open conversations",
                    says="Threads that are open, by call centre.",
                    queries=(Query(f"sum by (call_centre) (smshub_open_threads{{{HUB}}})", "{{call_centre}}"),),
                ),
            ),
        ),
        Row(
            "The store",
            (
                Panel(
                    title="Writer busy",
                    says="Part of the time in which the store's writer works. Near 1 it is what bounds the hub.",
                    queries=(Query(rate("smshub_store_busy_seconds_total", "instance"), "{{instance}}"),),
                    unit="percentunit",
                    width=THIRD,
                    warn=0.7,
                    bad=0.95,
                ),
                Panel(
                    title="Rows a transaction",
                    says="How many rows go to disk at once: the more comes, the more.",
                    queries=(
                        Query(
                            f"{rate('smshub_store_rows_total', 'instance')} / "
                            f"{rate('smshub_store_commits_total', 'instance')}",
                            "{{instance}}",
                        ),
                    ),
                    width=THIRD,
                ),
                Panel(
                    title="Rows waiting",
                    says="Rows that are to be written.",
                    queries=(Query(f"smshub_store_pending_rows{{{HUB}}}", "{{instance}}"),),
                    width=THIRD,
                    warn=500,
                    bad=2000,
                ),
            ),
        ),
        Row(
            "Nodes, where there are several",
            (
                Panel(
                    title="Nodes",
                    says="On one database, as each of them sees it. Dead: it gave no sign, and was fenced.",
                    queries=(Query(f"max by (state) (smshub_nodes{{{HUB}}})", "{{state}}"),),
                    width=QUARTER,
                    is_live=False,
                ),
                Panel(
                    title="Leases held",
                    says="Endpoints whose lanes each node has.",
                    queries=(Query(f"sum by (instance) (smshub_leases{{{HUB}}})", "{{instance}}"),),
                    width=QUARTER,
                    is_live=False,
                ),
                Panel(
                    title="Last sign of life",
                    says="As part of a lease. From 0.6 on a node sends nothing; at 1 it is fenced.",
                    queries=(
                        Query(
                            f"smshub_node_sign_age_seconds{{{HUB}}} / smshub_node_lease_seconds{{{HUB}}}",
                            "{{instance}}",
                        ),
                    ),
                    unit="percentunit",
                    width=QUARTER,
                    warn=0.5,
                    bad=0.6,
                    is_live=False,
                ),
                Panel(
                    title="Between nodes",
                    says="Bells that nobody has heard, errands without an answer, and the oldest event's seconds "
                    "without a number.",
                    queries=(
                        Query(f"max(smshub_waiting_bells{{{HUB}}})", "bells"),
                        Query(f"max(smshub_waiting_errands{{{HUB}}})", "errands"),
                        Query(f"max(smshub_outbox_oldest_seconds{{{HUB}}})", "oldest event, s"),
                    ),
                    width=QUARTER,
                    is_live=False,
                ),
            ),
        ),
        Row(
            "Services",
            (
                Panel(
                    title="Charging records are late by",
                    says="Age of the oldest record that is in no file. It rises to rotate_s and falls.",
                    queries=(Query(f"smshub_charging_lag_seconds{{{HUB}}}", "{{instance}}"),),
                    unit="s",
                    width=QUARTER,
                    warn=1800,
                    bad=3600,
                    is_live=False,
                ),
                Panel(
                    title="Retention did all that was due",
                    says="How long ago.",
                    queries=(Query(f"time() - smshub_retention_done_timestamp_seconds{{{HUB}}}", "{{instance}}"),),
                    unit="s",
                    width=QUARTER,
                    warn=3600,
                    bad=86_400,
                ),
                Panel(
                    title="Removed",
                    says="Rows a second that retention removed.",
                    queries=(Query(rate("smshub_retention_removed_total", "what"), "{{what}}"),),
                    unit="cps",
                    width=QUARTER,
                ),
                Panel(
                    title="Disk free",
                    says="By what is written there.",
                    queries=(Query(f"smshub_disk_free_bytes{{{HUB}}}", "{{instance}} {{what}}"),),
                    unit="bytes",
                    width=QUARTER,
                ),
                Panel(
                    title="CPU",
                    says="Cores that the process uses. The message path has one.",
                    queries=(Query(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
                    width=QUARTER,
                    warn=0.8,
                    bad=1.0,
                ),
                Panel(
                    title="Memory",
                    says="Resident.",
                    queries=(Query(f"process_resident_memory_bytes{{{HUB}}}", "{{instance}}"),),
                    unit="bytes",
                    width=QUARTER,
                ),
                Panel(
                    title="Open files",
                    says="Of those that it may open.",
                    queries=(Query(f"process_open_fds{{{HUB}}} / process_max_fds{{{HUB}}}", "{{instance}}"),),
                    unit="percentunit",
                    width=QUARTER,
                    warn=0.7,
                    bad=0.9,
                ),
                Panel(
                    title="The clock",
                    says="How far the machine's clock was set since the start, and how far the hub's is ahead of it.",
                    queries=(
                        Query(f"smshub_clock_stepped_seconds{{{HUB}}}", "{{instance}} was set"),
                        Query(f"smshub_clock_ahead_seconds{{{HUB}}}", "{{instance}} hub ahead"),
                    ),
                    unit="s",
                    may_be_negative=True,
                    width=QUARTER,
                ),
            ),
        ),
    ),
)
