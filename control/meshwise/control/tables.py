"""The tables of control, and their forward-only history. Times are seconds since the epoch, UTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

METADATA = sa.MetaData()

mesh = sa.Table(
    "mesh",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row, locked by every writer
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("frozen", sa.Boolean, nullable=False),
    sa.Column("frozen_reason", sa.Text, nullable=False),
    sa.Column("frozen_by", sa.Text, nullable=False),
    sa.Column("frozen_at", sa.Double),
)

proxies = sa.Table(
    "proxies",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("admin_port", sa.Integer, nullable=False),
    sa.Column("zone", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("registered_at", sa.Double, nullable=False),
    sa.Column("last_seen", sa.Double, nullable=False),
    sa.Column("alive", sa.Boolean, nullable=False),
    sa.Column("snapshot_version", sa.BigInteger, nullable=False),
    sa.Column("answered_version", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("policies", sa.JSON, nullable=False),
    sa.Column("tls", sa.Text, nullable=False, server_default="off"),
    sa.Column("weight", sa.Integer, nullable=False, server_default="1"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("labels", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("secret_hash", sa.Text, nullable=False, server_default=""),
)

join_tokens = sa.Table(
    "join_tokens",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),  # SHA-256 of the token, which is nowhere kept
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("used_at", sa.Double),
    sa.Column("created_by", sa.Text, nullable=False),
)

authority = sa.Table(
    "authority",
    METADATA,
    sa.Column("trust_domain", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),  # SHA-256 of the certificate; its key is in no database
    sa.Column("known_since", sa.Double, nullable=False),
)

policies = sa.Table(
    "policies",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("document", sa.JSON(none_as_null=True)),  # null: removed with this version
    sa.Column("evidence", sa.JSON(none_as_null=True)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("in_force", sa.Boolean, nullable=False),
    sa.Index("policies_in_force", "in_force"),
)

policy_numbers = sa.Table(
    "policy_numbers",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last_version", sa.BigInteger, nullable=False),  # given out once, also to candidates that went
)

rollouts = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("policy_name", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Index("rollouts_state", "state"),
    sa.Index("rollouts_created_at", "created_at"),
)

audit = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sqlite_autoincrement=True,  # ids of pruned entries are never given out again
)

schema_history = sa.Table(
    "schema_history",
    sa.MetaData(),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("applied_at", sa.Double, nullable=False),
)


def _first(connection: sa.Connection) -> None:
    METADATA.create_all(connection)
    connection.execute(
        mesh.insert().values(id=1, revision=1, frozen=False, frozen_reason="", frozen_by="", frozen_at=None)
    )


def _identity(connection: sa.Connection) -> None:
    """A database of version 1 lacks both; one made today has them from ``_first``."""
    if "tls" not in {column["name"] for column in sa.inspect(connection).get_columns("proxies")}:
        connection.execute(sa.text("ALTER TABLE proxies ADD COLUMN tls TEXT NOT NULL DEFAULT 'off'"))
    join_tokens.create(connection, checkfirst=True)


def _placement(connection: sa.Connection) -> None:
    """Endpoints have a weight, a priority and labels."""
    have = {column["name"] for column in sa.inspect(connection).get_columns("proxies")}
    for column in (
        "weight INTEGER NOT NULL DEFAULT 1",
        "priority INTEGER NOT NULL DEFAULT 0",
        "labels JSON NOT NULL DEFAULT '{}'",
    ):
        if column.partition(" ")[0] not in have:
            connection.execute(sa.text(f"ALTER TABLE proxies ADD COLUMN {column}"))


def _proofs(connection: sa.Connection) -> None:
    """Databases before version 4 know neither whose a registration is nor which authority is the mesh's."""
    if "secret_hash" not in {column["name"] for column in sa.inspect(connection).get_columns("proxies")}:
        connection.execute(sa.text("ALTER TABLE proxies ADD COLUMN secret_hash TEXT NOT NULL DEFAULT ''"))
    authority.create(connection, checkfirst=True)


STEPS: Final[tuple[Callable[[sa.Connection], None], ...]] = (_first, _identity, _placement, _proofs)
"""Step ``n`` leads from version ``n`` to ``n + 1``; a step that has shipped never changes, later ones are appended."""
