"""The dashboard desks: call centres' desks."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import AT, HUB, THIRD, UP, Board, Panel, Query, Row, rate

DESKS: Final = Board(
    "desks",
    "smshub / desks",
    "Call centres: are they connected, is anybody there, do texts come back.",
    (
        Row(
            "Presence",
            (
                Panel(
                    title="Connected",
                    says="Whether the component is connected to the call centre's server.",
                    queries=(Query(f"smshub_endpoint_up{{{AT}}}", "{{endpoint}}"),),
                    form="states",
                    words=UP,
                    bad=0,
                    warn=1,
                ),
                Panel(
                    title="The director",
                    says="How the director stands: there, away, gone; hoping and trying: the next text will tell.",
                    queries=(
                        Query(f"max by (endpoint, state) (smshub_desk_reach{{{AT}}}) == 1", "{{endpoint}} {{state}}"),
                    ),
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    title="To the desk",
                    says="Texts a second that the server has answered for.",
                    queries=(Query(rate("smshub_handed_over_total", "endpoint", AT), "{{endpoint}}"),),
                    unit="cps",
                ),
                Panel(
                    title="From the desk",
                    says="Answers and receipts a second.",
                    queries=(Query(rate("smshub_arrivals_total", "endpoint", AT), "{{endpoint}}"),),
                    unit="cps",
                ),
                Panel(
                    title="In flight",
                    says="Texts that no server has answered for yet.",
                    queries=(Query(f"smshub_unanswered_requests{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                ),
                Panel(
                    title="Commands",
                    says="Commands a second: designate, transfer, release.",
                    queries=(Query(rate("smshub_desk_commands_total", "endpoint", AT), "{{endpoint}}"),),
                    unit="cps",
                    width=THIRD,
                ),
                Panel(
                    title="Inbox",
                    says="Stanzas that wait for the journal.",
                    queries=(Query(f"smshub_inbox_messages{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                ),
            ),
        ),
        Row(
            "What goes wrong",
            (
                Panel(
                    title="Came back",
                    says="Texts a second that the server gave back: nobody is there to have them.",
                    queries=(Query(rate("smshub_desk_returned_texts_total", "endpoint", AT), "{{endpoint}}"),),
                    unit="cps",
                    width=THIRD,
                    warn=0.1,
                ),
                Panel(
                    title="Connections",
                    says="How often the component came up: more than once is a connection that falls.",
                    queries=(
                        Query(
                            f"sum by (endpoint) (increase(smshub_desk_connections_total{{{AT}}}[$__rate_interval]))",
                            "{{endpoint}}",
                        ),
                    ),
                    width=THIRD,
                    warn=2,
                ),
                Panel(
                    title="Faults",
                    says="Stanzas that break the protocol or that the hub refuses, by what is wrong with them.",
                    queries=(
                        Query(rate("smshub_peer_faults_total", "endpoint, fault", AT), "{{endpoint}} {{fault}}"),
                        Query(rate("smshub_refused_total", "endpoint, reason", AT), "{{endpoint}} {{reason}}"),
                    ),
                    unit="cps",
                    width=THIRD,
                    is_live=False,
                ),
            ),
        ),
        Row(
            "Customers",
            (
                Panel(
                    title="Open conversations",
                    says="By call centre.",
                    queries=(Query(f"sum by (call_centre) (smshub_open_threads{{{HUB}}})", "{{call_centre}}"),),
                ),
                Panel(
                    title="Words",
                    says="Customers a second who went out, came in again, or asked for help.",
                    queries=(
                        Query(rate("smshub_opted_out_total", "endpoint"), "{{endpoint}} out"),
                        Query(rate("smshub_opted_in_total", "endpoint"), "{{endpoint}} in"),
                        Query(rate("smshub_help_asked_total", "endpoint"), "{{endpoint}} help"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
            ),
        ),
    ),
    endpoints="desk:.+",
)
