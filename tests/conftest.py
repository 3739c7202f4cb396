"""A real PostgreSQL, brought by a wheel: one server a run, one database a test, ended also when the run is killed."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

KEEPER = Path(__file__).parent / "store" / "postgres_keeper.py"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    keeper = subprocess.Popen(
        [sys.executable, str(KEEPER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C ends the tests; the keeper then hears of it by its pipe
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    url = keeper.stdout.readline().strip()
    assert url, "PostgreSQL did not start"
    yield url
    keeper.stdin.close()
    keeper.wait(60)
    keeper.stdout.close()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    return postgres_server.replace("/postgres?", f"/{name}?")
