"""The SOAP door of a simulated registry: docs/reference/directory-soap.md, from the registry's side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ops.simulators.registry_behaviour import Fault, FaultKind
from ops.simulators.registry_book import Action, Standing, Wish
from ops.simulators.registry_core import Cut, Malformed, RegistryCore, Reply, body_of, damage, fields_of, is_private
from ops.simulators.registry_rest import MAX_ITEMS, PUBLISHED
from ops.simulators.registry_users import NotAuthenticated
from provisioning.directories.soap_envelope import (
    WSSE_NS,
    NotUnderstood,
    element,
    envelope,
    escape,
    open_envelope,
    optional,
)
from provisioning.directories.soap_xml import NAMESPACE, QUERY, SUBMIT, WITHDRAW, read_fields, write_listing
from provisioning.directories.xml_reading import BadXml, Element, read_xml

_ELSEWHERE: Final = "https://registry.example.net/soap"  # what the WSDL that we publish says
_TEXT_XML: Final = "text/xml; charset=utf-8"


class SoapDoor:
    """Answers SOAP requests.

    Args:
        core: the registry.
    """

    def __init__(self, core: RegistryCore) -> None:
        self._core = core

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            Route("/soap", self._call, methods=["POST"]),
            Route("/soap", self._wsdl, methods=["GET"]),
            Route("/registry.wsdl", self._wsdl, methods=["GET"]),
            Route("/registry.xsd", self._xsd, methods=["GET"]),
        ]

    async def _wsdl(self, request: Request) -> Response:
        text = (PUBLISHED / "registry.wsdl").read_text("utf-8")
        return Response(text.replace(_ELSEWHERE, escape(f"{request.base_url}soap")), media_type="text/xml")

    async def _xsd(self, request: Request) -> Response:
        return Response((PUBLISHED / "registry.xsd").read_bytes(), media_type="text/xml")

    async def _call(self, request: Request) -> Response:
        octets = await body_of(request)
        fault = self._core.next_fault()
        if (wrong := _at_once(fault)) is not None:
            return wrong
        try:
            security, body = open_envelope(read_xml(octets))
            user = self._core.tokens.by_username_token(
                self._core.users, security, self._core.now_us(), is_private=is_private(request)
            )
            written = await self._perform(body, user.owner_id, fault)
        except NotAuthenticated as error:
            return _fault("wsse:FailedAuthentication", "authentication", str(error))
        except NotUnderstood as error:
            return _fault("soap:MustUnderstand", "malformed", str(error))
        except (BadXml, Malformed) as error:
            return _fault("soap:Client", "malformed", str(error))
        return await self._core.answer(Reply(200, _TEXT_XML, envelope(written)), fault)

    async def _perform(self, body: Element, owner: str, fault: Fault | None) -> str:
        namespace, _, name = body.name.rpartition(" ")
        operation = name.removesuffix("Request")
        if namespace != NAMESPACE or operation not in (SUBMIT, WITHDRAW, QUERY) or name == operation:
            raise Malformed(f"no request of {NAMESPACE}")
        if operation == QUERY:
            numbers = [number.text.strip() for number in body.each(f"{NAMESPACE} number")]
            _check_count(len(numbers))
            told, _ = damage(await self._core.look_up(owner, numbers), [""] * len(numbers), fault)
            return _response(QUERY, "".join(_record(standing) for standing in told))
        if not body.child_text(f"{NAMESPACE} requestKey"):
            raise Malformed("no requestKey")
        wishes = [_wish(item, operation) for item in body.each(f"{NAMESPACE} item")]
        _check_count(len(wishes))
        told, keys = damage(await self._core.submit(owner, wishes), [wish.key for wish in wishes], fault)
        return _response(operation, "".join(_item(key, standing) for key, standing in zip(keys, told, strict=True)))


def _wish(item: Element, operation: str) -> Wish:
    key = item.child_text(f"{NAMESPACE} key")
    if not 1 <= len(key) <= 200:
        raise Malformed("an item has no key, or a longer one than 200 characters")
    if operation == WITHDRAW:
        number = item.child_text(f"{NAMESPACE} number")
        return Wish(key, Action.WITHDRAW, {"number": number})
    listing = item.child(f"{NAMESPACE} listing")
    fields: dict[str, Any] = read_fields(listing) if listing is not None else {}
    if not fields.get("number"):
        raise Malformed("an item has no listing with a number")
    return Wish(key, Action.PUBLISH, fields)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_ITEMS:
        raise Malformed(f"not within 1…{MAX_ITEMS} items")


def _response(operation: str, inside: str) -> str:
    return f'<{operation}Response xmlns="{NAMESPACE}">{inside}</{operation}Response>'


def _standing(standing: Standing) -> str:
    fields = fields_of(standing)
    wait = fields.get("retry_after_s")
    return "".join(
        (
            element("number", fields["number"]),
            element("state", fields["state"]),
            optional("recordId", fields.get("record_id", "")),
            optional("reason", fields.get("reason", "")),
            element("retryAfter", f"{wait:.3f}") if wait else "",
        )
    )


def _item(key: str, standing: Standing) -> str:
    return f"<item>{element('key', key)}{_standing(standing)}</item>"


def _record(standing: Standing) -> str:
    listing = write_listing(standing.listing) if standing.listing is not None else ""
    return f"<record>{_standing(standing)}{listing}</record>"


def _at_once(fault: Fault | None) -> Response | None:
    """The answer of a registry that does nothing."""
    if fault is not None and fault.kind is FaultKind.CUT_BEFORE:
        return Cut()
    if fault is None or fault.kind is not FaultKind.STATUS:
        return None
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    if fault.status != 500:
        return Response(b"", fault.status, headers)
    return _fault("soap:Server", "failed", "as it was set", headers)


def _fault(faultcode: str, code: str, words: Sequence[str] | str, headers: dict[str, str] | None = None) -> Response:
    # faultcode and its kin are in no namespace (SOAP 1.1 §4.4); a fault goes with HTTP 500 (§6.2).
    text = str(words)[:200]
    body = (
        f'<soap:Fault xmlns:wsse="{WSSE_NS}"><faultcode>{faultcode}</faultcode>{element("faultstring", text)}'
        f'<detail><fault xmlns="{NAMESPACE}">{element("code", code)}{element("message", text)}</fault></detail>'
        "</soap:Fault>"
    )
    return Response(envelope(body), 500, {**(headers or {}), "content-type": _TEXT_XML})
