"""The tables of the ledger. docs/ledger.md explains every column.

Knows SQL that SQLite and PostgreSQL both take. Does not know who writes or reads. There is no column for a prompt,
an answer, or an upstream's error text (which may quote the prompt).
"""

from __future__ import annotations

from smallfirst.store.migrations import Step

ROOM = "ledger"

_FIRST: Step = (
    """
    CREATE TABLE request (
        id TEXT PRIMARY KEY,
        at BIGINT NOT NULL,
        writer TEXT NOT NULL,
        seq BIGINT NOT NULL,
        asked TEXT NOT NULL,
        policy TEXT NOT NULL,
        config_digest TEXT NOT NULL,
        key_id TEXT,
        tags TEXT NOT NULL,
        session_id TEXT,
        data_class INTEGER NOT NULL,
        kind TEXT NOT NULL,
        complexity DOUBLE PRECISION NOT NULL,
        reason TEXT NOT NULL,
        status INTEGER NOT NULL,
        error_code TEXT,
        served_model TEXT,
        served_tier TEXT,
        attempts INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        cost BIGINT NOT NULL,
        baseline_cost BIGINT,
        baseline_method TEXT NOT NULL,
        latency_us BIGINT NOT NULL,
        overhead_us BIGINT NOT NULL,
        stream INTEGER NOT NULL,
        would_escalate INTEGER NOT NULL,
        deferrals TEXT NOT NULL
    )
    """,
    "CREATE INDEX request_at ON request (at)",
    """
    CREATE TABLE attempt (
        request_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        location TEXT NOT NULL,
        role TEXT NOT NULL,
        after_us BIGINT NOT NULL,
        ttft_us BIGINT,
        latency_us BIGINT NOT NULL,
        status TEXT NOT NULL,
        http_status INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        finish TEXT,
        in_tokens BIGINT NOT NULL,
        cached_tokens BIGINT NOT NULL,
        out_tokens BIGINT NOT NULL,
        tokens_estimated INTEGER NOT NULL,
        cost BIGINT,
        p_correct DOUBLE PRECISION,
        signals TEXT,
        released INTEGER NOT NULL,
        PRIMARY KEY (request_id, n)
    )
    """,
    """
    CREATE TABLE intent (
        writer TEXT NOT NULL,
        seq BIGINT NOT NULL,
        at BIGINT NOT NULL,
        request_id TEXT NOT NULL,
        data_class INTEGER NOT NULL,
        models TEXT NOT NULL,
        locations TEXT NOT NULL,
        rule TEXT NOT NULL,
        PRIMARY KEY (writer, seq)
    )
    """,
    "CREATE INDEX intent_at ON intent (at)",
)

STEPS: tuple[Step, ...] = (_FIRST,)
