"""The tables of the ledger. docs/ledger.md explains every column.

Knows SQL that SQLite and PostgreSQL both take. Does not know who writes or reads. There is no column for a prompt,
an answer, or an upstream's error text (which may quote the prompt), but `content`, whose rows are encrypted.
"""

from __future__ import annotations

from smallfirst.store.migrations import OnServer, Step

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

_CERTIFICATES: Step = (
    "ALTER TABLE request ADD COLUMN certificate_id TEXT",
    "ALTER TABLE request ADD COLUMN in_certificate INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE request ADD COLUMN out_reason TEXT",
    """
    CREATE TABLE grade (
        request_id TEXT NOT NULL,
        model TEXT NOT NULL,
        grader TEXT NOT NULL,
        score DOUBLE PRECISION NOT NULL,
        sample_prob DOUBLE PRECISION NOT NULL,
        blind INTEGER NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (request_id, model, grader)
    )
    """,
    """
    CREATE TABLE feedback (
        request_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        value DOUBLE PRECISION NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (request_id, key_id)
    )
    """,
    """
    CREATE TABLE certificate (
        id TEXT PRIMARY KEY,
        policy TEXT NOT NULL,
        digest TEXT NOT NULL,
        doc TEXT NOT NULL,
        max_quality_loss DOUBLE PRECISION NOT NULL,
        confidence DOUBLE PRECISION NOT NULL,
        issued_at BIGINT NOT NULL,
        first_used_at BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE monitor (
        certificate_id TEXT NOT NULL,
        slice TEXT NOT NULL,
        n INTEGER NOT NULL,
        state TEXT NOT NULL,
        alarmed_at BIGINT,
        at BIGINT NOT NULL,
        PRIMARY KEY (certificate_id, slice)
    )
    """,
    """
    CREATE TABLE audit (
        request_id TEXT PRIMARY KEY,
        at BIGINT NOT NULL,
        policy TEXT NOT NULL,
        certificate_id TEXT,
        in_certificate INTEGER NOT NULL,
        slice TEXT NOT NULL,
        rate DOUBLE PRECISION NOT NULL,
        served_model TEXT,
        baseline_model TEXT NOT NULL,
        status TEXT NOT NULL,
        calls INTEGER NOT NULL,
        cost BIGINT NOT NULL,
        judge_cost BIGINT NOT NULL,
        agreement TEXT,
        served_score DOUBLE PRECISION,
        baseline_score DOUBLE PRECISION,
        grader TEXT,
        kept INTEGER NOT NULL
    )
    """,
    "CREATE INDEX audit_at ON audit (at)",
)

_AUDIT: Step = (
    "ALTER TABLE request ADD COLUMN class_why TEXT NOT NULL DEFAULT '[]'",
    """
    CREATE TABLE chain (
        writer TEXT NOT NULL,
        seq BIGINT NOT NULL,
        at BIGINT NOT NULL,
        kind TEXT NOT NULL,
        request_id TEXT NOT NULL,
        data_class INTEGER NOT NULL,
        rule TEXT NOT NULL,
        models TEXT NOT NULL,
        locations TEXT NOT NULL,
        detail TEXT NOT NULL,
        content TEXT NOT NULL,
        prev TEXT NOT NULL,
        hash TEXT NOT NULL,
        PRIMARY KEY (writer, seq)
    )
    """,
    "CREATE INDEX chain_class ON chain (data_class, at)",
    "CREATE INDEX chain_request ON chain (request_id)",
    "CREATE TABLE salt (request_id TEXT PRIMARY KEY, salt TEXT NOT NULL)",
)

HOUR_US = 3_600_000_000
GRAINS = {"hour": HOUR_US, "day": 24 * HOUR_US}
"""The spans over which requests are summed, in microseconds."""
FINE = 32
"""Buckets for each doubling of a latency; ledger/rollups.py says how they are counted."""

_BUCKET = (
    f"CASE WHEN latency_us < {2 * FINE} THEN latency_us "
    + " ".join(
        f"WHEN latency_us < {4 * FINE << shift} THEN latency_us / {2 << shift} + {FINE * (shift + 1)}"
        for shift in range(56)
    )
    + f" ELSE latency_us / {2 << 56} + {FINE * 57} END"
)


def group_rows(grain: str, where: str = "") -> str:
    """The statement that sums rows of requests into the spans of a grain."""
    return f"""
        INSERT INTO rollup_{grain}
        SELECT at / {GRAINS[grain]}, coalesce(served_tier, ''), kind, reason, deferrals, baseline_method, policy,
            data_class, coalesce(certificate_id, ''), in_certificate, coalesce(out_reason, ''),
            count(*), sum(attempts), sum(unpriced), sum(would_escalate), sum(cost),
            count(baseline_cost), coalesce(sum(baseline_cost), 0),
            coalesce(sum(CASE WHEN baseline_cost IS NOT NULL OR served_tier IS NULL THEN cost END), 0),
            sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END), min(at), max(at)
        FROM request {where} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    """  # noqa: S608 - constants of this file


def latency_rows(grain: str, where: str = "") -> str:
    """The statement that counts the latencies of rows in the spans of a grain."""
    return f"""
        INSERT INTO latency_{grain}
        SELECT span, tier, json_group_object(bucket, n) FROM (
            SELECT at / {GRAINS[grain]} AS span, coalesce(served_tier, '') AS tier, {_BUCKET} AS bucket, count(*) AS n
            FROM request {where} GROUP BY 1, 2, 3
        ) AS counted GROUP BY 1, 2
    """  # noqa: S608 - constants of this file


def _tables(grain: str) -> Step:
    return (
        f"""
        CREATE TABLE rollup_{grain} (
            span BIGINT NOT NULL,
            served_tier TEXT NOT NULL,
            kind TEXT NOT NULL,
            reason TEXT NOT NULL,
            deferrals TEXT NOT NULL,
            baseline_method TEXT NOT NULL,
            policy TEXT NOT NULL,
            data_class INTEGER NOT NULL,
            certificate_id TEXT NOT NULL,
            in_certificate INTEGER NOT NULL,
            out_reason TEXT NOT NULL,
            n BIGINT NOT NULL,
            attempts BIGINT NOT NULL,
            unpriced BIGINT NOT NULL,
            would_escalate BIGINT NOT NULL,
            cost BIGINT NOT NULL,
            with_baseline BIGINT NOT NULL,
            baseline_cost BIGINT NOT NULL,
            compared_cost BIGINT NOT NULL,
            errors BIGINT NOT NULL,
            first_us BIGINT NOT NULL,
            last_us BIGINT NOT NULL,
            PRIMARY KEY (span, served_tier, kind, reason, deferrals, baseline_method, policy, data_class,
                certificate_id, in_certificate, out_reason)
        )
        """,
        f"""
        CREATE TABLE latency_{grain} (
            span BIGINT NOT NULL,
            served_tier TEXT NOT NULL,
            sketch TEXT NOT NULL,
            PRIMARY KEY (span, served_tier)
        )
        """,
        group_rows(grain),
        latency_rows(grain),
    )


_ROLLUPS: Step = (*_tables("hour"), *_tables("day"))

_CONTENT: Step = (
    "CREATE TABLE ledger_secret (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE subject (request_id TEXT PRIMARY KEY, subject TEXT NOT NULL)",
    "CREATE INDEX subject_of ON subject (subject)",
    "CREATE TABLE session (id TEXT PRIMARY KEY, class_floor INTEGER NOT NULL, expires_at BIGINT NOT NULL)",
    "CREATE INDEX session_expires ON session (expires_at)",
    """
    CREATE TABLE tenant_key (
        id TEXT PRIMARY KEY,
        key_id TEXT NOT NULL,
        team TEXT NOT NULL,
        master_id TEXT NOT NULL,
        wrapped_key BYTEA NOT NULL,
        created_at BIGINT NOT NULL,
        destroyed_at BIGINT,
        UNIQUE (key_id, team)
    )
    """,
    """
    CREATE TABLE item_key (
        request_id TEXT PRIMARY KEY,
        tenant_key_id TEXT NOT NULL,
        wrapped_key BYTEA NOT NULL,
        expires_at BIGINT NOT NULL
    )
    """,
    "CREATE INDEX item_key_tenant ON item_key (tenant_key_id)",
    "CREATE INDEX item_key_expires ON item_key (expires_at)",
    """
    CREATE TABLE content (
        request_id TEXT NOT NULL,
        part TEXT NOT NULL,
        tenant_key_id TEXT NOT NULL,
        nonce BYTEA NOT NULL,
        ciphertext BYTEA NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (request_id, part)
    )
    """,
    "CREATE INDEX request_session ON request (session_id)",
    "DROP INDEX intent_at",  # whoever looks for open intents looks at all of them, and each commit had to write it
    OnServer("ALTER TABLE request ADD COLUMN rowid BIGSERIAL"),
    OnServer("CREATE INDEX request_rowid ON request (rowid)"),
    OnServer("ALTER TABLE audit ADD COLUMN rowid BIGSERIAL"),
)

STEPS: tuple[Step, ...] = (_FIRST, _CERTIFICATES, _AUDIT, _ROLLUPS, _CONTENT)
