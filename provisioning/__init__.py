"""Numbers and identity: call centres, numbers, links, desks, routes; letters of authorization, carrier directories.

``model`` says what there is, ``catalog`` changes it in a store transaction or refuses, ``directory`` is the snapshot
that the message path asks. ``directories`` publishes numbers that a letter of authorization covers (H5, H9).
"""

from provisioning.catalog import Applied, add, apply, entries, get, remove, revision, update
from provisioning.claims import Claims
from provisioning.directory import Directory, load_directory
from provisioning.e164 import is_toll_free, parse_number
from provisioning.errors import (
    BadAlias,
    BadValue,
    BlockOverlap,
    ClaimedByAnother,
    Duplicate,
    MalformedNumber,
    ProvisioningError,
    Refused,
    StillInUse,
    UnknownEntry,
    UnknownReference,
    UnreadableSecret,
)
from provisioning.model import (
    KINDS,
    Account,
    ApiKey,
    Block,
    CallCentre,
    CarrierDirectory,
    Desk,
    Entry,
    Group,
    LegalHold,
    Link,
    Loa,
    Number,
    Retention,
    Route,
    WhiteList,
    build,
    built,
    key_of,
)
from provisioning.passwords import hash_password, hash_passwords, verify_password
from provisioning.secret import Secret, SecretKind
from provisioning.syntax import ElementKind, IdentificationElement, parse_element

__all__ = [
    "KINDS",
    "Account",
    "ApiKey",
    "Applied",
    "BadAlias",
    "BadValue",
    "Block",
    "BlockOverlap",
    "CallCentre",
    "CarrierDirectory",
    "ClaimedByAnother",
    "Claims",
    "Desk",
    "Directory",
    "Duplicate",
    "ElementKind",
    "Entry",
    "Group",
    "IdentificationElement",
    "LegalHold",
    "Link",
    "Loa",
    "MalformedNumber",
    "Number",
    "ProvisioningError",
    "Refused",
    "Retention",
    "Route",
    "Secret",
    "SecretKind",
    "StillInUse",
    "UnknownEntry",
    "UnknownReference",
    "UnreadableSecret",
    "WhiteList",
    "add",
    "apply",
    "build",
    "built",
    "entries",
    "get",
    "hash_password",
    "hash_passwords",
    "is_toll_free",
    "key_of",
    "load_directory",
    "parse_element",
    "parse_number",
    "remove",
    "revision",
    "update",
    "verify_password",
]
