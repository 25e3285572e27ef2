"""The dashboard links: links, groups and accounts."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import AT, FULL, THIRD, UP, Board, Panel, Query, Row, rate

LINKS: Final = Board(
    "links",
    "smshub / links",
    "Links, groups and accounts: is it bound, does it take what comes, what does it do wrong.",
    (
        Row(
            "Sessions",
            (
                Panel(
                    title="Up",
                    says="Whether somebody is bound who takes texts.",
                    queries=(Query(f"smshub_endpoint_up{{{AT}}}", "{{endpoint}}"),),
                    form="states",
                    words=UP,
                    bad=0,
                    warn=1,
                ),
                Panel(
                    title="Bound sessions",
                    says="By how they are bound.",
                    queries=(
                        Query(f"sum by (endpoint, bind) (smshub_sessions{{{AT}}})", "{{endpoint}} {{bind}}"),
                        Query(f"sum by (endpoint) (smshub_sessions_wanted{{{AT}}})", "{{endpoint}} wanted"),
                    ),
                ),
                Panel(
                    title="Events of sessions",
                    says="Binds, refusals, ends and why.",
                    queries=(
                        Query(
                            f"sum by (endpoint, event, detail) (increase(smshub_smpp_sessions_total{{{AT}}}"
                            "[$__rate_interval]))",
                            "{{endpoint}} {{event}} {{detail}}",
                        ),
                    ),
                    width=FULL,
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    title="From it",
                    says="Arrivals a second.",
                    queries=(Query(rate("smshub_arrivals_total", "endpoint", AT), "{{endpoint}}"),),
                    unit="cps",
                ),
                Panel(
                    title="To it",
                    says="Parts a second that it has answered for; of a group, by the link that carried them.",
                    queries=(
                        Query(rate("smshub_handed_over_total", "endpoint", AT), "{{endpoint}}"),
                        Query(rate("smshub_group_parts_total", "link, result"), "{{link}} for groups: {{result}}"),
                    ),
                    unit="cps",
                ),
                Panel(
                    title="Window used",
                    says="Requests that are not answered, of those that may be. Near 1: the peer is slow, or the "
                    "window too small for its distance.",
                    queries=(
                        Query(
                            f"smshub_unanswered_requests{{{AT}}} / (smshub_window_requests{{{AT}}} > 0)", "{{endpoint}}"
                        ),
                    ),
                    unit="percentunit",
                    width=THIRD,
                    warn=0.8,
                    bad=0.98,
                ),
                Panel(
                    title="May be sent",
                    says="Parts a second that may be sent now; less than agreed after the peer has throttled.",
                    queries=(Query(f"smshub_rate_limit_parts_per_second{{{AT}}} > 0", "{{endpoint}}"),),
                    unit="cps",
                    width=THIRD,
                    is_live=False,
                ),
                Panel(
                    title="Inbox",
                    says="Requests of the peer that wait for the journal.",
                    queries=(Query(f"smshub_inbox_messages{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                    warn=500,
                ),
            ),
        ),
        Row(
            "What goes wrong",
            (
                Panel(
                    title="Not taken at once",
                    says="Parts a second that are sent again: throttled, refused for now, in doubt, not written.",
                    queries=(
                        Query(rate("smshub_throttled_total", "endpoint", AT), "{{endpoint}} throttled"),
                        Query(rate("smshub_retries_total", "endpoint", AT), "{{endpoint}} refused for now"),
                        Query(rate("smshub_in_doubt_total", "endpoint", AT), "{{endpoint}} in doubt"),
                        Query(rate("smshub_unsent_total", "endpoint", AT), "{{endpoint}} not written"),
                        Query(rate("smshub_rerouted_total", "endpoint", AT), "{{endpoint}} rerouted"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="Refused",
                    says="Arrivals a second that the hub refused, by reason.",
                    queries=(Query(rate("smshub_refused_total", "endpoint, reason", AT), "{{endpoint}} {{reason}}"),),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="Receipts",
                    says="Settled; parked because nobody knows their id; repeated.",
                    queries=(
                        Query(rate("smshub_receipts_settled_total", "endpoint", AT), "{{endpoint}} settled"),
                        Query(rate("smshub_receipts_parked_total", "endpoint", AT), "{{endpoint}} parked"),
                        Query(rate("smshub_receipts_repeated_total", "endpoint", AT), "{{endpoint}} repeated"),
                    ),
                    unit="cps",
                ),
                Panel(
                    title="Faults of the peer",
                    says="PDUs that break the protocol, by what is wrong with them.",
                    queries=(Query(rate("smshub_peer_faults_total", "endpoint, fault", AT), "{{endpoint}} {{fault}}"),),
                    unit="cps",
                    is_live=False,
                ),
            ),
        ),
    ),
    endpoints="(link|group|account):.+",
)
