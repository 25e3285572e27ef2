"""The metrics: one table that families, the reference, dashboards and tests are made from.

Names follow Prometheus: a unit at the end (seconds, bytes; or what is counted), counters end in ``_total``. A label's
values are configured names, or words out of lists that end: never an address, a text, a token, or what a peer says.

Run as a program (``python -m ops.metrics_table``) this module writes the reference to standard output; a test holds
docs/reference/metrics.md to it, and another a running daemon's scrape to this table.
"""

# long because: it is one table, and who looks for a metric reads it as one

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import msgspec

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
SUMMARY: Final = "summary"

ENDPOINT: Final = ("endpoint",)
DIRECTORY: Final = ("directory", "state")


class MetricRow(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        name: as a scrape has it; of a summary, without ``_count`` and ``_sum``.
        kind: counter, gauge or summary.
        labels: names of its labels.
        says: what it says, in the reference's Markdown.
        then: what to look at, or do, when it is bad; empty for what is never bad by itself.
        only: under which condition it is there; empty for always.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    then: str = ""
    only: str = ""

    @property
    def help(self) -> str:
        """What it says, as a scrape has it."""
        text = self.says.replace("`", "")
        while "](" in text:
            before, _, rest = text.partition("](")
            opening = before.rfind("[")
            text = before[:opening] + before[opening + 1 :] + rest.partition(")")[2]
        return f"{text[0].upper()}{text[1:]}."


_EVENTS = (
    MetricRow(
        "smshub_arrivals_total",
        COUNTER,
        ENDPOINT,
        "texts, parts of texts and receipts that an endpoint gave to intake",
        "none for long where there is always something: the peer, or the way to it",
    ),
    MetricRow("smshub_accepted_total", COUNTER, ENDPOINT, "arrivals journalled and acknowledged"),
    MetricRow(
        "smshub_refused_total",
        COUNTER,
        ("endpoint", "reason"),
        "arrivals refused, for good or (`too-much`) for now",
        "by `reason`: `no-route`, `unknown-number` and `not-allowed` are provisioning, ours or the peer's",
    ),
    MetricRow(
        "smshub_filtered_total",
        COUNTER,
        ("endpoint", "filter"),
        "texts kept back by a [filter](../discussion/filters.md): `daily-limit`, `volume-trap`, `loop-guard`, "
        "`url-list` (refused, and counted above as well), `repetition` (answered as the first was)",
        "tell the peer, or raise the limit",
    ),
    MetricRow(
        "smshub_peer_faults_total",
        COUNTER,
        ("endpoint", "fault"),
        "what peers did wrong: PDUs and stanzas that break the protocol, and messages refused before they were routed. "
        "`transliterated` is no fault: texts sent in [other characters](text.md#transliteration) than their authors "
        "wrote",
        "tell the peer what its system sends",
    ),
    MetricRow(
        "smshub_intake_deferred_total",
        COUNTER,
        ENDPOINT,
        "arrivals that the sender was asked to send again",
        "the store: see its metrics",
    ),
    MetricRow("smshub_handed_over_total", COUNTER, ENDPOINT, "parts that the next system has answered for"),
    MetricRow("smshub_retries_total", COUNTER, ENDPOINT, "temporary refusals of parts", "ask the peer why"),
    MetricRow(
        "smshub_throttled_total",
        COUNTER,
        ENDPOINT,
        "parts that an endpoint was asked to send later",
        "lower `throughput_per_s`, or agree on more",
    ),
    MetricRow(
        "smshub_in_doubt_total",
        COUNTER,
        ENDPOINT,
        "parts submitted whose answer was lost",
        "sessions that fall: the network between, or the peer's answers come later than `response_s`",
    ),
    MetricRow(
        "smshub_resent_total",
        COUNTER,
        ENDPOINT,
        "parts in doubt accepted when sent again: possible duplicates",
        "as above; `in_doubt` of a link decides whether it is done",
    ),
    MetricRow(
        "smshub_unsent_total",
        COUNTER,
        ENDPOINT,
        "parts given to an endpoint that could not write them",
        "sessions fall",
    ),
    MetricRow(
        "smshub_rerouted_total",
        COUNTER,
        ENDPOINT,
        "parts that a link of a [group](../discussion/failover.md) refused for good and that went on to another",
        "the refusing link's carrier: it pays nobody to carry half",
    ),
    MetricRow(
        "smshub_group_parts_total",
        COUNTER,
        ("endpoint", "link", "result"),
        "parts of a group by the link that was given them and what it said: accepted, refused, retry, throttled, "
        "in_doubt, unsent",
    ),
    MetricRow(
        "smshub_incomplete_texts_total",
        COUNTER,
        ENDPOINT,
        "texts that went on with parts missing",
        "the peer loses parts, or sends them further apart than `reassembly_wait_s`",
    ),
    MetricRow(
        "smshub_dead_letters_total",
        COUNTER,
        ("endpoint", "reason"),
        "messages given up",
        "by `reason`; `smshub queue list --state dead`, mend, `smshub queue retry`",
    ),
    MetricRow("smshub_receipts_settled_total", COUNTER, ENDPOINT, "receipts that belonged to a part"),
    MetricRow(
        "smshub_receipts_parked_total",
        COUNTER,
        ENDPOINT,
        "receipts for ids not known yet, or never",
        "the ids' form: `message_id_form` of the link",
    ),
    MetricRow("smshub_receipts_repeated_total", COUNTER, ENDPOINT, "receipts for parts that had theirs"),
    MetricRow("smshub_opted_out_total", COUNTER, ENDPOINT, "customers who went out by a word they texted"),
    MetricRow("smshub_opted_in_total", COUNTER, ENDPOINT, "customers who came in again by a word they texted"),
    MetricRow("smshub_help_asked_total", COUNTER, ENDPOINT, "customers who were answered because they texted HELP"),
    MetricRow("smshub_cancelled_total", COUNTER, ENDPOINT, "[requests](smpp-requests.md) that cancelled texts"),
    MetricRow("smshub_replaced_total", COUNTER, ENDPOINT, "texts given other words before they were sent"),
    MetricRow(
        "smshub_alert_notifications_total", COUNTER, ENDPOINT, "handsets that a network said can be reached again"
    ),
)

_ENDPOINTS = (
    MetricRow(
        "smshub_endpoint_up",
        GAUGE,
        ENDPOINT,
        "1 while somebody is there who takes texts: a session that carries is bound, a component is connected, one "
        "link of a group is up",
        "[LinkDown](../howto/watch.md#linkdown), [DeskDown](../howto/watch.md#deskdown)",
    ),
    MetricRow(
        "smshub_sessions",
        GAUGE,
        ("endpoint", "bind"),
        "bound SMPP sessions of links and accounts, by how they are bound: transmitter, receiver, transceiver",
        "fewer than `smshub_sessions_wanted`: the log's lines of that link say why",
    ),
    MetricRow("smshub_sessions_wanted", GAUGE, ENDPOINT, "binds that a link is to have"),
    MetricRow(
        "smshub_unanswered_requests",
        GAUGE,
        ENDPOINT,
        "requests of ours on the wire of SMPP sessions; texts of a desk that no server has answered for",
        "near `smshub_window_requests` for long: the peer is slow, or the window too small for its distance",
    ),
    MetricRow("smshub_window_requests", GAUGE, ENDPOINT, "how many of these the bound sessions may have at once"),
    MetricRow(
        "smshub_inbox_messages",
        GAUGE,
        ENDPOINT,
        "requests and stanzas of a peer that wait for the journal",
        "rises: the store is slower than the peer, which is throttled when it is full",
    ),
    MetricRow(
        "smshub_room_parts", GAUGE, ENDPOINT, "parts that the endpoint would take now; 0 while it is away, or full"
    ),
    MetricRow(
        "smshub_rate_limit_parts_per_second",
        GAUGE,
        ENDPOINT,
        "what a link or account may be sent now, by agreement or because it was sent too much; 0 without a limit",
    ),
    MetricRow(
        "smshub_smpp_sessions_total",
        COUNTER,
        ("event", "endpoint", "detail"),
        "bound, bind_refused, closed, turned_away (full; too often), displaced (its place was another's), "
        "connect_failed, handler_failed, endpoint_failed; locked_out (a lock begins), bind_while_locked; called, "
        "call_failed (outbind of ours), outbind_refused (of an SMSC: a wrong word or address); checked (a balancer "
        "looked whether we live), no_proxy_header (closed for want of one)",
        "bind_refused: credentials; connect_failed: address, firewall; handler_failed, endpoint_failed: faults of ours",
    ),
    MetricRow(
        "smshub_desk_reach",
        GAUGE,
        ("endpoint", "state"),
        "1 for how a desk's director stands: hoping (not known yet), there, away, trying, gone",
        "[NobodyAtDesk](../howto/watch.md#nobodyatdesk)",
    ),
    MetricRow("smshub_desk_connections_total", COUNTER, ENDPOINT, "how often a desk's component came up"),
    MetricRow(
        "smshub_desk_returned_texts_total",
        COUNTER,
        ENDPOINT,
        "texts that the desk's server gave back",
        "nobody has them: who is signed in, and where the director is",
    ),
    MetricRow("smshub_desk_commands_total", COUNTER, ENDPOINT, "commands of a desk that were done"),
)

_QUEUES = (
    MetricRow(
        "smshub_queue_messages",
        GAUGE,
        ("endpoint", "kind"),
        "what waits in the store, or is being given: texts, receipts. Looked at every 5 s",
        "[QueueOld](../howto/watch.md#queueold)",
    ),
    MetricRow(
        "smshub_queue_oldest_seconds",
        GAUGE,
        ("endpoint", "kind"),
        "age of the oldest of these that is due; 0 without any",
        "[QueueOld](../howto/watch.md#queueold)",
    ),
    MetricRow("smshub_scheduled_messages", GAUGE, ENDPOINT, "texts that are to go later, by their sender's wish"),
    MetricRow(
        "smshub_dead_letter_messages",
        GAUGE,
        (),
        "dead letters that are in the store",
        "`smshub queue list --state dead`",
    ),
    MetricRow("smshub_held_messages", GAUGE, ENDPOINT, "messages held in memory"),
    MetricRow(
        "smshub_behind",
        GAUGE,
        ENDPOINT,
        "1 while texts wait in the store only",
        "more comes than the endpoint takes: [QueueOld](../howto/watch.md#queueold)",
    ),
    MetricRow(
        "smshub_resumed_in_doubt_messages",
        GAUGE,
        ENDPOINT,
        "messages that the start found submitted and unanswered",
        "each may have been sent twice: was it killed?",
    ),
    MetricRow(
        "smshub_taken_today_texts",
        GAUGE,
        ENDPOINT,
        "what an account with a [daily limit](../discussion/filters.md#daily-limit) has sent since midnight UTC",
    ),
    MetricRow("smshub_open_threads", GAUGE, ("call_centre",), "conversations that are open, by call centre"),
)

_STORE = (
    MetricRow("smshub_store_commits_total", COUNTER, (), "transactions of the store's writer"),
    MetricRow("smshub_store_rows_total", COUNTER, (), "rows that these wrote"),
    MetricRow(
        "smshub_store_busy_seconds_total",
        COUNTER,
        (),
        "time the writer was busy",
        "a rate near 1: [StoreSlow](../howto/watch.md#storeslow)",
    ),
    MetricRow("smshub_store_reconnects_total", COUNTER, (), "connections to the database opened again"),
    MetricRow(
        "smshub_store_pending_rows",
        GAUGE,
        (),
        "rows waiting to be written",
        "[JournalBehind](../howto/watch.md#journalbehind)",
    ),
    MetricRow("smshub_store_longest_commit_seconds", GAUGE, (), "the longest transaction so far"),
    MetricRow(
        "smshub_store_up",
        GAUGE,
        (),
        "1 when the store answered the last time it was looked at",
        "[StoreDown](../howto/watch.md#storedown)",
    ),
    MetricRow(
        "smshub_store_answer_seconds",
        GAUGE,
        (),
        "how long an empty transaction took, then: what a text waits at least",
        "[StoreSlow](../howto/watch.md#storeslow)",
    ),
    MetricRow(
        "smshub_disk_free_bytes",
        GAUGE,
        ("what",),
        "what the daemon may still write where it keeps files: store (SQLite), charging, archive",
        "[DiskFull](../howto/watch.md#diskfull)",
        "files are kept",
    ),
    MetricRow("smshub_disk_size_bytes", GAUGE, ("what",), "the size of these file systems", "", "files are kept"),
)

_PROVISIONING = (
    MetricRow(
        "smshub_loa_days_left",
        GAUGE,
        ("loa", "call_centre"),
        "days that a signed [letter](../howto/letters.md) is valid after today, below 0 when it has expired; not of "
        "those that were renewed",
        "[LetterExpires](../howto/watch.md#letterexpires)",
        "a letter has a last day",
    ),
    MetricRow(
        "smshub_publications", GAUGE, DIRECTORY, "numbers in [directories](../howto/publish-numbers.md), by state"
    ),
    MetricRow(
        "smshub_publication_oldest_seconds",
        GAUGE,
        DIRECTORY,
        "how long the one that is in this state the longest has been in it",
        "of `pending` and `submitted`: [PublicationStuck](../howto/watch.md#publicationstuck)",
    ),
    MetricRow(
        "smshub_publications_overdue",
        GAUGE,
        DIRECTORY,
        "numbers that wait for a directory's decision for longer than its `confirm_s`",
        "[PublicationStuck](../howto/watch.md#publicationstuck)",
    ),
    MetricRow(
        "smshub_publications_uncovered",
        GAUGE,
        DIRECTORY,
        "numbers that no valid letter of authorization covers any more",
        "[LetterExpiredWhilePublished](../howto/watch.md#letterexpiredwhilepublished)",
    ),
    MetricRow(
        "smshub_directory_calls_total",
        COUNTER,
        ("directory", "call", "result"),
        "calls of directories (publish, withdraw, confirm): answered, failed (it could not be spoken to), timeout, "
        "wrong (no answer for each number), fault (its adapter failed)",
        "[DirectoryFailing](../howto/watch.md#directoryfailing)",
    ),
    MetricRow(
        "smshub_directory_call_seconds", SUMMARY, ("directory", "call"), "time that these took: `_sum`, `_count`"
    ),
    MetricRow(
        "smshub_enum_lookups_total",
        COUNTER,
        ("result",),
        "look-ups by [ENUM](../howto/enum.md), by how they ended",
        "[EnumFailing](../howto/watch.md#enumfailing)",
        "`[enum] servers` are named",
    ),
    MetricRow(
        "smshub_enum_cache_total",
        COUNTER,
        ("outcome",),
        "questions of the message path to the memory of look-ups",
        "many without an answer: a larger `cache_size`, or more `lookups_per_s`",
        "`[enum] servers` are named",
    ),
    MetricRow(
        "smshub_enum_cached_numbers",
        GAUGE,
        ("kind",),
        "numbers remembered: with an element, or with nothing",
        "",
        "`[enum] servers` are named",
    ),
    MetricRow(
        "smshub_enum_waiting_numbers", GAUGE, (), "numbers waiting to be looked up", "", "`[enum] servers` are named"
    ),
    MetricRow("smshub_enum_lookups_under_way", GAUGE, (), "look-ups under way", "", "`[enum] servers` are named"),
    MetricRow(
        "smshub_api_requests_total",
        COUNTER,
        ("operation", "status"),
        "requests of the [control interface](api.md)",
        "[ApiFailures](../howto/watch.md#apifailures)",
    ),
)

_SERVICES = (
    MetricRow(
        "smshub_charging_records_total",
        COUNTER,
        (),
        "[charging records](charging-records.md) written",
        "",
        "`[charging] directory` is set",
    ),
    MetricRow(
        "smshub_charging_files_total",
        COUNTER,
        (),
        "files of charging records closed",
        "",
        "`[charging] directory` is set",
    ),
    MetricRow(
        "smshub_charging_failures_total",
        COUNTER,
        (),
        "attempts to write charging records that failed: nothing is lost, they are late",
        "[ChargingBehind](../howto/watch.md#chargingbehind)",
        "`[charging] directory` is set",
    ),
    MetricRow(
        "smshub_charging_erased_total",
        COUNTER,
        (),
        "charging records that were not made, because their message is erased",
        "",
        "`[charging] directory` is set",
    ),
    MetricRow(
        "smshub_charging_lag_seconds",
        GAUGE,
        (),
        "age of the oldest charging record that is in no file yet; more than `rotate_s` and some seconds is an alarm",
        "[ChargingBehind](../howto/watch.md#chargingbehind)",
        "`[charging] directory` is set",
    ),
    MetricRow(
        "smshub_retention_removed_total",
        COUNTER,
        ("what",),
        "what [retention](../discussion/retention.md) removed: erased and archived (messages), threads, feed (rows)",
    ),
    MetricRow("smshub_retention_objects_total", COUNTER, (), "objects that went to the archive"),
    MetricRow(
        "smshub_retention_failures_total",
        COUNTER,
        (),
        "rounds of retention that ended with an error",
        "[RetentionBehind](../howto/watch.md#retentionbehind)",
    ),
    MetricRow(
        "smshub_retention_done_timestamp_seconds",
        GAUGE,
        (),
        "when a round last did all that was due; the start, before the first",
        "[RetentionBehind](../howto/watch.md#retentionbehind)",
    ),
    MetricRow(
        "smshub_feed_lag_seconds",
        GAUGE,
        ("follower",),
        "age of the oldest row of the feed that a follower has not passed",
        "rows are kept for it until it has: [ChargingBehind](../howto/watch.md#chargingbehind)",
        "a follower is there",
    ),
    MetricRow("smshub_audit_entries_total", COUNTER, (), "entries of the [audit](../discussion/audit.md)"),
    MetricRow(
        "smshub_reloads_total",
        COUNTER,
        ("state",),
        "[reloads](../discussion/reload.md) that were asked for, by what came of them: done, refused, failed",
        "[ReloadFailed](../howto/watch.md#reloadfailed)",
    ),
    MetricRow(
        "smshub_reload_successful",
        GAUGE,
        (),
        "1 unless the last reload was refused or failed",
        "[ReloadFailed](../howto/watch.md#reloadfailed)",
    ),
    MetricRow("smshub_reload_timestamp_seconds", GAUGE, (), "when a file last came into force, by start or reload"),
    MetricRow("smshub_catalog_revision", GAUGE, (), "the revision of the catalog that is in force"),
    MetricRow(
        "smshub_catalog_stored_revision",
        GAUGE,
        (),
        "the revision that is in the store",
        "not the one above for minutes: [CatalogNotFollowed](../howto/watch.md#catalognotfollowed)",
    ),
    MetricRow(
        "smshub_troubled_endpoints",
        GAUGE,
        (),
        "endpoints that are not as provisioned",
        "[EndpointTroubled](../howto/watch.md#endpointtroubled)",
    ),
    MetricRow(
        "smshub_clock_ahead_seconds",
        GAUGE,
        (),
        "how far the hub's clock, which never goes back, is ahead of the machine's",
        "[ClockSetBack](../howto/watch.md#clocksetback)",
    ),
    MetricRow(
        "smshub_clock_stepped_seconds",
        GAUGE,
        (),
        "how far the machine's clock was set ahead (or back, below 0) since the start, all steps together",
        "[ClockSetAhead](../howto/watch.md#clocksetahead)",
    ),
    MetricRow("smshub_draining", GAUGE, (), "1 from being told to stop until the end"),
    MetricRow("smshub_build_info", GAUGE, ("version",), "1, with the version that runs"),
    MetricRow(
        "smshub_spans_total",
        COUNTER,
        ("result",),
        "spans of [traces](../howto/watch.md#traces): exported, failed (nobody took them), dropped (more than could "
        "wait)",
        "the collector",
        "`[tracing] endpoint` is set",
    ),
)

_REDIS = tuple(
    msgspec.structs.replace(row, only=row.only or "`[redis] url` is set")
    for row in (
        MetricRow(
            "smshub_redis_up",
            GAUGE,
            (),
            "1 when Redis answered the last time it was asked",
            "nothing stops without it: [RedisDown](../howto/watch.md#redisdown)",
        ),
        MetricRow(
            "smshub_redis_failures_total",
            COUNTER,
            ("reason",),
            "calls of Redis that failed: away, timeout, credentials, loading, read-only, full (`maxmemory`), "
            "not-allowed (its ACL), refused",
            "by `reason`; see [Redis](../howto/redis.md)",
        ),
        MetricRow(
            "smshub_redis_bells_total",
            COUNTER,
            ("what",),
            "messages by which nodes wake each other: sent, heard, unreadable (not ours: a `prefix` that others use)",
        ),
        MetricRow(
            "smshub_redis_shared_rates",
            GAUGE,
            (),
            "1 while this node shares accounts' rates by what each node needs; 0 while it goes by its part of them",
            "as of `smshub_redis_up`",
        ),
        MetricRow(
            "smshub_redis_stream_events_total",
            COUNTER,
            ("result",),
            "events for the [stream](feed-stream.md): added, repeated (it had them), refused (others are there)",
            "any refused: the stream is another store's, or the store was set back; the log says what to do",
            only="`[redis] feed_stream` is on, on the node that relays",
        ),
        MetricRow(
            "smshub_redis_stream_lag_seconds",
            GAUGE,
            (),
            "age of the oldest event that is not in the stream yet, 0 when none waits",
            "the log, and `smshub_redis_failures_total`",
            only="`[redis] feed_stream` is on, on the node that relays",
        ),
        MetricRow(
            "smshub_redis_stream_losses_total",
            COUNTER,
            (),
            "how often the stream was found to have lost events; they are relayed again",
            "Redis fails over to replicas that are behind, or is emptied",
            only="`[redis] feed_stream` is on, on the node that relays",
        ),
    )
)

_NODES = tuple(
    msgspec.structs.replace(row, only="`[cluster] enabled`")
    for row in (
        MetricRow(
            "smshub_nodes",
            GAUGE,
            ("state",),
            "nodes on this database as this one sees them: up, left (ended in order), dead (gave no sign and "
            "were fenced)",
            "any dead: [NodeDown](../howto/watch.md#nodedown)",
        ),
        MetricRow(
            "smshub_leases",
            GAUGE,
            ("kind",),
            "endpoints whose lanes this node has: link, group, desk, account; service is 1 on the node that does what "
            "is done once for all",
            "0 of all kinds on a node that is up: it does not get at the database",
        ),
        MetricRow(
            "smshub_leases_moved_total",
            COUNTER,
            ("what",),
            "leases that this node has taken, or given to another",
            "many an hour: nodes come and go, or an ESME binds here and there in turn",
        ),
        MetricRow(
            "smshub_nodes_fenced_total",
            COUNTER,
            (),
            "nodes that this one has found dead and fenced",
            "as of `smshub_nodes`",
        ),
        MetricRow(
            "smshub_node_sign_age_seconds",
            GAUGE,
            (),
            "since this node's last sign of life that is on disk",
            "near `smshub_node_lease_seconds`: [NodeLate](../howto/watch.md#nodelate)",
        ),
        MetricRow("smshub_node_lease_seconds", GAUGE, (), "`[cluster] lease_s`"),
        MetricRow(
            "smshub_waiting_bells",
            GAUGE,
            (),
            "bells in the database that nobody has heard: texts that one node took in and another sends",
            "rises without end: who holds the endpoints does not come to reading",
        ),
        MetricRow(
            "smshub_waiting_errands",
            GAUGE,
            (),
            "cancellations and replacements that wait for the node which has the text",
            "stays above 0: that node hangs",
        ),
        MetricRow(
            "smshub_outbox_oldest_seconds",
            GAUGE,
            (),
            "age of the oldest event that has no number in the feed yet, 0 when all have one",
            "rises: [NoServices](../howto/watch.md#noservices)",
        ),
    )
)

SECTIONS: Final[dict[str, tuple[MetricRow, ...]]] = {
    "The message path": _EVENTS,
    "Links, accounts and desks": _ENDPOINTS,
    "Queues": _QUEUES,
    "The store": _STORE,
    "Provisioning": _PROVISIONING,
    "Services and the daemon": _SERVICES,
    "Several nodes": _NODES,
    "Redis": _REDIS,
}
"""All metrics of the hub's own, by the heading under which the reference has them."""

METRICS: Final = {row.name: row for rows in SECTIONS.values() for row in rows}
"""The same by name."""

_HEAD: Final = """# Metrics, health and readiness

Written by `python -m ops.metrics_table` from the table that the metrics are made of.
[Watching](../howto/watch.md) has dashboards and alert rules over them.

`GET /metrics` on `[metrics] host` and `port` answers in Prometheus's text format, from snapshots: of memory when it is
asked, of the store every 5 s. No message, address, token or peer's free text is ever a label; `endpoint` is a
configured name (`link:acme`, `account:agg1`, `group:us`, `desk:helpline`). What a group was given is counted under the
group, not under the link that carried it. Counters begin at 0 with the process, but `smshub_audit_entries_total`.

Of [several nodes](../howto/several-nodes.md) each tells of the links, groups and desks that it holds, and of their
queues. The one with `smshub_leases{kind="service"}` 1 tells besides of the store as a whole (dead letters, open
threads, followers of the feed, the audit), and of queues that no node holds. So sums over nodes count nothing twice.

`GET /health` answers 200 while the process answers. `GET /ready` answers 200 while it takes messages, and 503 with
what is missing while it does not (draining, or a store that cannot be written within two seconds).
"""

_FOOT: Final = """
The usual metrics of a Python process (`process_*`, `python_*`) come with them.
"""


def reference() -> str:
    """The reference's page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for heading, rows in SECTIONS.items():
        yield f"## {heading}\n"
        yield "| metric | type | labels | what it says | when it is bad |"
        yield "| --- | --- | --- | --- | --- |"
        for row in rows:
            labels = ", ".join(f"`{label}`" for label in row.labels)
            says = f"{row.says}. Only when {row.only}" if row.only else row.says
            yield f"| `{row.name}` | {row.kind} | {labels} | {says} | {row.then} |"
        yield ""
    yield _FOOT.lstrip("\n")


if __name__ == "__main__":
    sys.stdout.write(reference())
