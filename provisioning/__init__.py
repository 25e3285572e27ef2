"""Numbers and identity: call centres, numbers, blocks, links, groups, accounts, desks, routes.

``model`` says what there is, ``catalog`` changes it in a store transaction or refuses, ``directory`` is the snapshot
that the message path asks. Letters of authorization (H9) will stand before a number becomes active, registries and
carrier directories (H5: ENUM and its kin) after it, white lists (H7) beside it: each is a table that names numbers and
blocks by the keys given here, and a state per directory.
"""

from provisioning.catalog import Applied, AuditRow, add, apply, audit, entries, get, remove, revision, update
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
    Block,
    CallCentre,
    Desk,
    Entry,
    Group,
    Link,
    Number,
    Route,
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
    "Applied",
    "AuditRow",
    "BadAlias",
    "BadValue",
    "Block",
    "BlockOverlap",
    "CallCentre",
    "ClaimedByAnother",
    "Claims",
    "Desk",
    "Directory",
    "Duplicate",
    "ElementKind",
    "Entry",
    "Group",
    "IdentificationElement",
    "Link",
    "MalformedNumber",
    "Number",
    "ProvisioningError",
    "Refused",
    "Route",
    "Secret",
    "SecretKind",
    "StillInUse",
    "UnknownEntry",
    "UnknownReference",
    "UnreadableSecret",
    "add",
    "apply",
    "audit",
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
