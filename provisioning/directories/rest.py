"""The ``rest`` adapter: JSON over HTTPS, as docs/reference/directory-rest.md and registry-openapi.json say (H5, H14).

A number's own key makes its submission idempotent; the request's ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-
key-header) is made of them, so that a request that is repeated after a crash is known as a whole too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import rest_json
from provisioning.directories.adapter import Answer, Task
from provisioning.directories.credentials import NoCredentials, reveal
from provisioning.directories.http_call import HttpCall
from provisioning.directories.replies import Entry, answers_to_confirm, answers_to_publish, answers_to_withdraw
from provisioning.directories.speaking import Postponed, in_requests, judge_status

AnswersOf = Callable[[Sequence[Task], Iterable[Entry]], list[Answer]]


class RestAdapter:
    """Speaks to one REST registry.

    Args:
        directory: with ``url``, ``password`` (the bearer token), ``ca_file``, ``timeout_s``.
        environ: where a token in a variable is looked up, anew for each request: it can be changed meanwhile.
    """

    def __init__(self, directory: CarrierDirectory, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._http = HttpCall(directory.url, ca_file=directory.ca_file, timeout_s=directory.timeout_s)

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """Put numbers in, or bring them to this content. Raises: OSError."""
        return self._submit(tasks, rest_json.PUBLISH, answers_to_publish)

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """Take numbers out. Raises: OSError."""
        return self._submit(tasks, rest_json.WITHDRAW, answers_to_withdraw)

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """Look numbers up. Raises: OSError."""

        def ask(these: Sequence[Task]) -> list[Answer]:
            body = self._post("/lookups", rest_json.write_lookup(these), {})
            return answers_to_confirm(these, _readable(rest_json.read_looked_up, body))

        return in_requests(tasks, rest_json.MAX_ITEMS, ask)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _submit(self, tasks: Sequence[Task], action: str, answers_of: AnswersOf) -> list[Answer]:
        def ask(these: Sequence[Task]) -> list[Answer]:
            # A quoted string: the field is a Structured Field (RFC 9651).
            key = {"Idempotency-Key": f'"{rest_json.idempotency_key(these, action)}"'}
            body = self._post("/submissions", rest_json.write_submission(these, action), key)
            return answers_of(these, _readable(rest_json.read_submitted, body))

        return in_requests(tasks, rest_json.MAX_ITEMS, ask)

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        token = reveal(self._directory, self._environ)
        if not token.isascii():
            raise NoCredentials(f"the token of directory {self._directory.name!r} is no ASCII text")
        reply = self._http.post(
            path,
            body,
            {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "application/json, application/problem+json",
                **headers,
            },
        )
        judge_status(reply.status, after_s=reply.after_s, words=rest_json.read_problem(reply.body))
        return reply.body


def _readable(read: Callable[[bytes], list[Entry]], body: bytes) -> list[Entry]:
    try:
        return read(body)
    except rest_json.Unreadable as error:
        raise Postponed(str(error)) from None
