"""What is provisioned, as the translators want it told. Secrets are revealed here and nowhere else."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import phonenumbers

from hub.filters import FilterSettings
from ops.plan import pointers
from ops.settings import FiltersSettings
from provisioning import Account, Desk, Group, Link, Secret, SecretKind
from smpp.alphabet import BY_NAME
from smpp.credentials import BindType
from smpp.receipt import IdForm
from smpp.segmentation import Method
from smpp.states import State
from translators.smpp_accounts import AccountSettings
from translators.smpp_addresses import read_ton_npi_rule
from translators.smpp_groups import GroupSettings
from translators.smpp_links import LinkSettings
from translators.smpp_messages import Dialect
from translators.xmpp import DeskSettings

MAX_FILE_OCTETS: Final = 1_048_576  # of a certificate file; a system's whole list of authorities has 0.2 MB

_US: Final = 1_000_000
_PRINT_KEY: Final = os.urandom(32)
_BIND_TYPES: Final = {"trx": (BindType.TRX,), "tx+rx": (BindType.TX, BindType.RX)}
_BIND_STATES: Final = {"trx": State.BOUND_TRX, "tx": State.BOUND_TX, "rx": State.BOUND_RX}


def link_settings(link: Link, environ: Mapping[str, str], server_tls: ssl.SSLContext | None = None) -> LinkSettings:
    """A link's settings.

    Args:
        link: what is provisioned.
        environ: to look secrets up in.
        server_tls: what the hub's own port with TLS shows, for an SMSC that calls with outbind where the link has no
            certificate of its own.

    Raises: UnreadableSecret; OSError, ssl.SSLError when certificates cannot be read.
    """
    return LinkSettings(
        name=link.name,
        host=link.host,
        port=link.port,
        system_id=link.system_id,
        password=link.password.reveal(environ),
        system_type=link.system_type,
        interface_version=int(link.version.replace(".", ""), 16),
        bind_types=_BIND_TYPES[link.bind_mode],
        binds=link.binds,
        dialect=_dialect(
            link,
            ask_receipts=link.registered_delivery,
            id_form=IdForm(link.message_id_form),
            service_type=link.service_type,
            send_validity=link.send_validity,
            submit_with=link.submit_with,
            ton_npi_rules=tuple(read_ton_npi_rule(rule) for rule in link.ton_npi_rules),
            source_ton=link.source_ton,
            source_npi=link.source_npi,
            destination_ton=link.destination_ton,
            destination_npi=link.destination_npi,
        ),
        window=link.window,
        per_s=link.throughput_per_s,
        gap_us=link.gap_ms * 1000,
        source_gap_us=round(_US / link.per_number_per_s) if link.per_number_per_s else 0,
        validity_us=round(link.validity_s * _US),
        max_attempts=link.max_attempts,
        enquire_link_s=link.enquire_link_s,
        response_s=link.response_timeout_s,
        tls=_verifying_context(link) if link.tls == "verify" else None,
        server_hostname=link.tls_server_name,
        outbind_port=link.outbind_port,
        outbind_password=_revealed(link.outbind_password, environ),
        outbind_tls=_answering_context(link, server_tls) if link.tls == "verify" and link.outbind_port else None,
    )


def group_settings(group: Group) -> GroupSettings:
    """A group's settings."""
    return GroupSettings(
        name=group.name,
        members=group.members,
        standby=group.standby,
        resend_refused=group.resend_refused,
        gap_us=group.gap_ms * 1000,
        validity_us=round(group.validity_s * _US),
        max_attempts=group.max_attempts,
    )


def account_settings(account: Account, environ: Mapping[str, str]) -> AccountSettings:
    """An account's settings. Its daily limit and what it repeats are the hub's, which has them from the directory.

    Raises: UnreadableSecret.
    """
    every = len(account.bind_modes) == len(_BIND_STATES)
    return AccountSettings(
        name=account.system_id,
        system_id=account.system_id,
        password_hash=account.password_hash,
        networks=account.allowed_ips,
        bind_states=() if every else tuple(_BIND_STATES[mode] for mode in account.bind_modes),
        max_binds=account.max_binds,
        dialect=_dialect(account, ask_receipts="never"),
        window=account.window,
        inbox=account.inbox,
        in_per_s=account.throughput_per_s,
        sources=account.allowed_sources,
        destinations=account.allowed_destinations,
        lock_out_after=account.lock_out_after,
        lock_out_s=account.lock_out_s,
        outbind_host=account.outbind_host,
        outbind_port=account.outbind_port,
        outbind_password=_revealed(account.outbind_password, environ),
        receipts=account.receipts,
        gap_us=account.gap_ms * 1000,
        validity_us=round(account.validity_s * _US),
        max_attempts=account.max_attempts,
        enquire_link_s=account.enquire_link_s,
        response_s=account.response_timeout_s,
    )


def desk_settings(desk: Desk, environ: Mapping[str, str]) -> DeskSettings:
    """A desk's settings.

    Raises: UnreadableSecret; OSError, ssl.SSLError when certificates cannot be read.
    """
    tls = ssl.create_default_context(cafile=desk.tls_ca_file or None) if desk.tls == "verify" else None
    return DeskSettings(
        name=desk.name,
        call_centre=desk.call_centre,
        host=desk.host,
        port=desk.port,
        domain=desk.domain,
        secret=desk.secret.reveal(environ),
        director=desk.director,
        allowed_domains=desk.allowed_domains,
        receipt_on=desk.receipt_on,
        window=desk.window,
        validity_us=round(desk.validity_s * _US),
        max_attempts=desk.max_attempts,
        tls=tls,
    )


def filter_settings(filters: FiltersSettings) -> FilterSettings:
    """What the hub's filters hold all texts against."""
    return FilterSettings(
        url_list_file=filters.url_list_file, loop_texts=filters.loop_texts, loop_us=round(filters.loop_s * _US)
    )


def prints_of(entry: Link | Group | Account | Desk, environ: Mapping[str, str]) -> dict[str, str]:
    """Prints of what an entry only points to, by setting: secrets, and the content of files.

    They are keyed anew in each process: one says nothing but whether it is equal to another. Reads files.

    Raises: UnreadableSecret; OSError when a file cannot be read.
    """
    found: dict[str, str] = {}
    for name in pointers(entry):
        value = getattr(entry, name)
        if isinstance(value, Secret) and value.kind is not SecretKind.HASH:
            found[name] = _print(value.reveal(environ).encode())
        elif isinstance(value, str) and value:
            with Path(value).open("rb") as file:
                found[name] = _print(file.read(MAX_FILE_OCTETS))
    return found


def _print(octets: bytes) -> str:
    return hashlib.blake2b(octets, key=_PRINT_KEY, digest_size=16).hexdigest()


def _verifying_context(link: Link) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=link.tls_ca_file or None)
    if link.tls_cert_file:
        context.load_cert_chain(link.tls_cert_file, link.tls_key_file or None)
    return context


def _answering_context(link: Link, server_tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """What an SMSC that calls us is shown: the link's own certificate, else the hub's."""
    if not link.tls_cert_file:
        return server_tls
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(link.tls_cert_file, link.tls_key_file or None)
    return context


def _revealed(secret: Secret | None, environ: Mapping[str, str]) -> str:
    return secret.reveal(environ) if secret is not None else ""


def _dialect(peer: Link | Account, **own: Any) -> Dialect:
    """How a peer writes SMPP: what links and accounts are both told, and what is the link's own."""
    return Dialect(
        default=BY_NAME[peer.default_alphabet],
        allowed=tuple(BY_NAME[name] for name in peer.alphabets),
        packed=peer.packed,
        transliterate=peer.transliterate,
        method=Method(peer.long_message),
        country_code=_country_code(peer.default_region),
        plus=peer.address_plus,
        element_tlv=peer.element_tlv,
        **own,
    )


def _country_code(region: str) -> str:
    return str(phonenumbers.country_code_for_region(region)) if region else ""
