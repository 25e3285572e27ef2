"""The reference of the control interface for people, made from the table of operations.

Run as a program (``python -m ops.api.reference``) this module writes it to standard output; a test holds
docs/reference/api.md to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ops.api.app import FAILURES_A_MINUTE, LARGE_AT_ONCE, LARGE_OCTETS, ROOM_S
from ops.api.call import MAX_JSON_OCTETS
from ops.api.entries import MAX_BATCH, MAX_PAGE
from ops.api.operations import OPERATIONS
from ops.api.problems import TITLES
from ops.api.publications import MAX_PAGES
from ops.api.schemas import READ_ONLY, visible
from provisioning import Block, CallCentre, Loa, Number, WhiteList
from provisioning.api_keys import SCOPES
from provisioning.fields import reference_row
from provisioning.loa_documents import MAX_OCTETS
from provisioning.publication import PAGE_ROWS

_HEAD = f"""# Control interface

<!-- Made by `python -m ops.api.reference`; do not edit. -->

A call centre's own application provisions its numbers over HTTP (H4, H14), beside the links that texts travel on. The
same code changes the catalog as the commands do, and the same audit tells of it. For programs: `openapi.json`, which
lies beside this page and is served at `/openapi.json`. Step by step: [how-to](../howto/provision-over-http.md).
Settings: [`[api]`](configuration.md#api).

## Keys

`Authorization: Bearer KEY` (RFC 6750). A key is `smshub_`, 256 random bits and a checksum; the hub keeps its SHA-256.
It acts for one call centre, until the day it is valid to, with some of these scopes:
{", ".join(f"`{scope}`" for scope in SCOPES)}.
What belongs to another call centre is not there: 404, word for word as for a name that nobody has. A number that
another has is *not available*. Names of letters and white lists are the whole hub's; begin them with your own.

## Rates

A key may ask `per_minute` times a minute, all of them at once if it likes. `RateLimit-Policy` and `RateLimit` tell how
many are left, `429` with `Retry-After` when there are none. An address without a valid key is refused after
{FAILURES_A_MINUTE} requests a minute; one with a key is not touched by that. Of bodies longer than {LARGE_OCTETS:,}
octets, {LARGE_AT_ONCE} of a call centre's are taken at a time: a further one waits for {ROOM_S:g} s, then it is `429`
too.

## Requests

JSON in UTF-8, `Content-Type: application/json`, {MAX_JSON_OCTETS:,} octets at most. Settings that do not exist are
refused. A collection takes up to {MAX_BATCH:,} entries in one request: all of them, or none.

**Every write may be repeated.** `PUT` and `POST` say what shall be there; what is so already is left alone. So a
request whose answer was lost is sent again as it was, and no idempotency key is needed.

**Pages.** `limit` (1 to {MAX_PAGE:,}, else 100) and `after`, which is what `next` was in the page before. `next` is
null at the end. `POST /v1/publications` and `/v1/withdrawals` look at up to {PAGE_ROWS * MAX_PAGES:,} numbers,
divided by the directories, and answer `next` when there are more: send the same request with it as `after`.

**Changed meanwhile.** An entry comes with an `ETag`. `If-Match` with it changes the entry only while it is still so,
else `412`.

**Signed letters** come as JSON (`document` in base64) or as a form with a file, {MAX_OCTETS:,} octets at most.

## Refusals

`application/problem+json` (RFC 9457), with every error of the body at once, each with a JSON Pointer:

| status | title |
| --- | --- |
"""


def _operations() -> Iterator[str]:
    yield "\n## Operations\n\n| | | scope | |\n| --- | --- | --- | --- |"
    for operation in OPERATIONS:
        query = ", ".join(f"`{parameter.name}`" for parameter in operation.query)
        more = f" Query: {query}." if query else ""
        yield f"| `{operation.method}` | `{operation.path}` | `{operation.scope}` | {operation.summary}{more} |"


def _entries() -> Iterator[str]:
    for kind, title in (
        (Number, "Number"),
        (Block, "Block"),
        (Loa, "Letter"),
        (WhiteList, "White list"),
        (CallCentre, "Call centre"),
    ):
        yield f"\n## {title}\n\n| setting | type | default | what it is |\n| --- | --- | --- | --- |"
        for field in visible(kind):
            row = [cell.replace("|", "\\|") for cell in reference_row(field)]
            if kind is CallCentre or field.name in READ_ONLY.get(kind, ()):
                row[2] = "only read"
            yield "| " + " | ".join(row) + " |"


def reference() -> str:
    """The reference, in Markdown."""
    statuses = [f"| {status} | {title} |" for status, title in TITLES.items()]
    return _HEAD + "\n".join([*statuses, *_operations(), *_entries()]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
