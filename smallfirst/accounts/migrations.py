"""The tables of keys, budgets and leases, in SQL that SQLite and PostgreSQL both take.

Knows columns. There is none for a key itself: only SHA-256 of it, which is enough for 256 random bits.
"""

from __future__ import annotations

from smallfirst.store.migrations import Step

ROOM = "accounts"

_FIRST: Step = (
    """
    CREATE TABLE api_key (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL UNIQUE,
        shown TEXT NOT NULL,
        old_hash TEXT,
        old_until BIGINT,
        terms TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        revoked_at BIGINT
    )
    """,
    "CREATE TABLE key_changes (n BIGINT NOT NULL)",
    "INSERT INTO key_changes VALUES (0)",
    """
    CREATE TABLE purse (
        scope TEXT NOT NULL,
        period TEXT NOT NULL,
        spent BIGINT NOT NULL,
        leased BIGINT NOT NULL,
        ends_at BIGINT NOT NULL,
        PRIMARY KEY (scope, period)
    )
    """,
    """
    CREATE TABLE lease (
        process TEXT NOT NULL,
        scope TEXT NOT NULL,
        period TEXT NOT NULL,
        amount BIGINT NOT NULL,
        renewed_at BIGINT NOT NULL,
        PRIMARY KEY (process, scope, period)
    )
    """,
)

STEPS: tuple[Step, ...] = (_FIRST,)
