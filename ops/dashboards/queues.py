"""The dashboard queues: what waits, and what was given up."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import AT, HUB, THIRD, Board, Panel, Query, Row, rate

QUEUES: Final = Board(
    "queues",
    "smshub / queues",
    "What waits, for how long, and what was given up.",
    (
        Row(
            "Waiting",
            (
                Panel(
                    title="Waiting",
                    says="Texts and receipts that are due, in the store or being given.",
                    queries=(Query(f"smshub_queue_messages{{{AT}}}", "{{endpoint}} {{kind}}"),),
                ),
                Panel(
                    title="Age of the oldest",
                    says="Of those that are due.",
                    queries=(Query(f"smshub_queue_oldest_seconds{{{AT}}}", "{{endpoint}} {{kind}}"),),
                    unit="s",
                    warn=300,
                    bad=900,
                ),
                Panel(
                    title="In memory",
                    says="Messages that the hub holds in memory; the rest of a queue is in the store.",
                    queries=(Query(f"smshub_held_messages{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                ),
                Panel(
                    title="Behind",
                    says="Whether texts wait in the store only: more comes than the endpoint takes.",
                    queries=(Query(f"smshub_behind{{{AT}}}", "{{endpoint}}"),),
                    form="states",
                    words={"0": "in step", "1": "behind"},
                    width=THIRD,
                    bad=1,
                ),
                Panel(
                    title="Room",
                    says="Parts that the endpoint would take now.",
                    queries=(Query(f"smshub_room_parts{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                ),
                Panel(
                    title="For later",
                    says="Texts that are to go later, by their sender's wish.",
                    queries=(Query(f"smshub_scheduled_messages{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                ),
                Panel(
                    title="Sent today",
                    says="What accounts with a daily limit have sent.",
                    queries=(Query(f"smshub_taken_today_texts{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                    is_live=False,
                ),
                Panel(
                    title="Found in doubt at start",
                    says="Messages that the start found submitted and unanswered.",
                    queries=(Query(f"smshub_resumed_in_doubt_messages{{{AT}}}", "{{endpoint}}"),),
                    width=THIRD,
                    warn=1,
                ),
            ),
        ),
        Row(
            "Given up",
            (
                Panel(
                    title="Dead letters",
                    says="In the store.",
                    queries=(Query(f"smshub_dead_letter_messages{{{HUB}}}", "{{instance}}"),),
                    warn=1,
                ),
                Panel(
                    title="Given up",
                    says="A second, by reason.",
                    queries=(
                        Query(rate("smshub_dead_letters_total", "endpoint, reason", AT), "{{endpoint}} {{reason}}"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="In doubt, and sent again",
                    says="Parts whose answer was lost; those of them accepted when sent again may arrive twice.",
                    queries=(
                        Query(rate("smshub_in_doubt_total", "endpoint", AT), "{{endpoint}} in doubt"),
                        Query(rate("smshub_resent_total", "endpoint", AT), "{{endpoint}} sent again"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
                Panel(
                    title="Asked for by senders",
                    says="Texts a second that were cancelled or replaced; texts that went on with parts missing; "
                    "arrivals that were put off.",
                    queries=(
                        Query(rate("smshub_cancelled_total", "endpoint"), "{{endpoint}} cancelled"),
                        Query(rate("smshub_replaced_total", "endpoint"), "{{endpoint}} replaced"),
                        Query(rate("smshub_incomplete_texts_total", "endpoint"), "{{endpoint}} incomplete"),
                        Query(rate("smshub_intake_deferred_total", "endpoint"), "{{endpoint}} put off"),
                    ),
                    unit="cps",
                    is_live=False,
                ),
            ),
        ),
    ),
    endpoints=".+",
)
