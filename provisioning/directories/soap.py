"""The ``soap`` adapter: SOAP 1.1 over HTTPS with a WS-Security UsernameToken (H5, H14).

The messages are those of registry.wsdl and registry.xsd, which we publish; docs/reference/directory-soap.md tells of
them. A fault's code decides what it means for us, whatever HTTP status it came with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import soap_xml
from provisioning.directories.adapter import Answer, Task
from provisioning.directories.credentials import reveal
from provisioning.directories.http_call import HttpCall, Reply
from provisioning.directories.replies import Entry, answers_to_confirm, answers_to_publish, answers_to_withdraw, clean
from provisioning.directories.rest_json import idempotency_key
from provisioning.directories.soap_envelope import envelope, username_token
from provisioning.directories.speaking import Postponed, Unacceptable, in_requests, judge_status
from provisioning.directories.xml_reading import BadXml

NONCE_OCTETS = 16

AnswersOf = Callable[[Sequence[Task], Iterable[Entry]], list[Answer]]


class SoapAdapter:
    """Speaks to one SOAP registry.

    Args:
        directory: with ``url``, ``username``, ``password``, ``ca_file``, ``timeout_s``.
        environ: where a password in a variable is looked up, anew for each request: it can be changed meanwhile.
    """

    def __init__(self, directory: CarrierDirectory, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._http = HttpCall(directory.url, ca_file=directory.ca_file, timeout_s=directory.timeout_s)

    def publish(self, tasks: Sequence[Task]) -> list[Answer]:
        """Put numbers in, or bring them to this content. Raises: OSError."""

        def ask(these: Sequence[Task]) -> list[Answer]:
            request = soap_xml.write_submit(these, idempotency_key(these, soap_xml.SUBMIT))
            return answers_to_publish(these, self._call(soap_xml.SUBMIT, request))

        return in_requests(tasks, soap_xml.MAX_ITEMS, ask)

    def withdraw(self, tasks: Sequence[Task]) -> list[Answer]:
        """Take numbers out. Raises: OSError."""

        def ask(these: Sequence[Task]) -> list[Answer]:
            request = soap_xml.write_withdraw(these, idempotency_key(these, soap_xml.WITHDRAW))
            return answers_to_withdraw(these, self._call(soap_xml.WITHDRAW, request))

        return in_requests(tasks, soap_xml.MAX_ITEMS, ask)

    def confirm(self, tasks: Sequence[Task]) -> list[Answer]:
        """Look numbers up. Raises: OSError."""

        def ask(these: Sequence[Task]) -> list[Answer]:
            entries = self._call(soap_xml.QUERY, soap_xml.write_query(these))
            return answers_to_confirm([soap_xml.as_carried(task) for task in these], entries)

        return in_requests(tasks, soap_xml.MAX_ITEMS, ask)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _call(self, operation: str, request: str) -> list[Entry]:
        # The token is new for each request: a registry remembers nonces.
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        token = username_token(
            self._directory.username,
            reveal(self._directory, self._environ),
            os.urandom(NONCE_OCTETS),
            created,
        )
        reply = self._http.post(
            "",
            envelope(request, token),
            {
                "Content-Type": "text/xml; charset=utf-8",
                "Accept": "text/xml",
                "SOAPAction": soap_xml.soap_action(operation),
            },
        )
        return _read(reply, operation)


def _read(reply: Reply, operation: str) -> list[Entry]:
    try:
        found = soap_xml.read_answer(reply.body, operation)
    except BadXml as error:
        judge_status(reply.status, after_s=reply.after_s, words="")
        raise Postponed(f"the registry's answer is not what was agreed: {clean(str(error), 100)}") from None
    if isinstance(found, soap_xml.Fault):
        raise _meaning(found, reply)
    judge_status(reply.status, after_s=reply.after_s, words="")
    return found


def _meaning(fault: soap_xml.Fault, reply: Reply) -> Exception:
    """What a fault means for us: the registry's codes, and those of SOAP 1.1 §4.4.1 and WSS 1.1 §12."""
    said = clean(fault.words) or fault.code
    after_s = fault.after_s or reply.after_s
    match fault.code:
        case "authentication" | "FailedAuthentication" | "FailedCheck" | "InvalidSecurity" | "InvalidSecurityToken":
            return Postponed(f"the registry does not accept our credentials ({said}); check them", after_s)
        case "busy":
            return Postponed(f"the registry is busy ({said})", after_s)
        case "malformed" | "Client":
            return Unacceptable(said)
        case _:
            return Postponed(f"the registry failed ({clean(fault.code, 40)}: {said})", after_s)
