"""A ledger's place: each test that asks for one runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """An empty place."""
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
