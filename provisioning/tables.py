"""The tables of what is provisioned.

Numbers, bounds of blocks and real numbers behind an 8xx are integers: a range of numbers is then a range of an index,
whatever the database's collation. What nobody searches by is kept as versioned JSON (``settings``), so that a new
setting needs no migration; unknown keys in it are ignored, missing ones have their defaults.

All writers meet in the one row of ``provisioning_revision``, which every change raises first. So two commands at once
check one after the other, and a running daemon that polls the revision misses nothing.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text

from store import metadata

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite gives rowids to INTEGER PRIMARY KEY only


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _named(table: str, *columns: Column[str]) -> Table:
    return Table(
        table,
        metadata,
        Column("name", Text, primary_key=True),
        *columns,
        Column("settings", Text, nullable=False),
        Column("updated_us", BigInteger, nullable=False),
    )


call_centre_table = _named("call_centre")
link_table = _named("link")
account_table = _named("account")
desk_table = _named("desk")
route_table = _named("route")
link_group_table = _named("link_group")
loa_table = _named("loa")
white_list_table = _named("white_list")
carrier_directory_table = _named("carrier_directory")
retention_table = _named("retention")
legal_hold_table = _named("legal_hold")
api_key_table = _named("api_key")

loa_document_table = Table(
    "loa_document",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("added_us", BigInteger, nullable=False),
)

publication_table = Table(
    "publication",
    metadata,
    Column("directory", Text, primary_key=True),
    Column("digits", BigInteger, primary_key=True, autoincrement=False),
    Column("call_centre", Text, nullable=False),
    Column("wanted", SmallInteger, nullable=False),  # 1: it shall be there, 0: it shall not
    Column("state", SmallInteger, nullable=False),  # see provisioning/publishing_rules.py
    Column("content", Text, nullable=False),  # digest of what the directory was last told, or empty
    Column("submission", BigInteger, nullable=False),  # names the last telling; rising
    Column("remote_id", Text, nullable=False),  # the directory's name of the transaction
    Column("attempts", SmallInteger, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False),  # in this state since
    Column("reason", Text, nullable=False),
    Index("ix_publication_call_centre", "call_centre", "digits"),
    sqlite_with_rowid=False,
)
Index("ix_publication_due", publication_table.c.directory, publication_table.c.state, publication_table.c.next_us)

number_table = Table(
    "number",
    metadata,
    Column("digits", _ID, primary_key=True, autoincrement=False),
    Column("call_centre", Text, nullable=False),
    Column("alias_of", BigInteger, nullable=False, server_default="0"),
    _text("element"),
    _text("link"),
    _text("state"),
    Column("updated_us", BigInteger, nullable=False),
)
Index("ix_number_alias_of", number_table.c.alias_of)
Index("ix_number_call_centre", number_table.c.call_centre, number_table.c.digits)

block_table = Table(
    "block",
    metadata,
    Column("first", _ID, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("call_centre", Text, nullable=False),
    Column("alias", BigInteger, nullable=False, server_default="0"),
    _text("element"),
    _text("link"),
    _text("state"),
    Column("updated_us", BigInteger, nullable=False),
)

revision_table = Table(
    "provisioning_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
