"""kill -9 under load: at most a batch of entries is lost, never an intent that was acknowledged."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

BATCH = 200

CHILD = """
import asyncio, os, sys
from pathlib import Path
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from entries import attempt, entry, intent

BATCH = int(sys.argv[2])

def say(kind, number):
    os.write(1, f"{kind} {number}\\n".encode())

async def entries(ledger):
    for i in range(10**9):
        while ledger.backlog >= BATCH:  # a load that the disk keeps up with, however busy the machine is
            await asyncio.sleep(0)
        ledger.record(entry(i, attempts=(attempt(0), attempt(1))))
        say("r", i + 1)
        if i % 10 == 0:
            say("w", ledger.state.written)
            await asyncio.sleep(0)

async def intents(ledger, first):
    for i in range(first, 10**9, 4):
        await ledger.intent(intent(i))
        say("i", i)

async def main():
    ledger = Ledger.open(LedgerSettings(batch_rows=BATCH, batch_ms=100), Path(sys.argv[1]))
    await asyncio.gather(entries(ledger), *(intents(ledger, n) for n in range(4)))

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [300, 1500, 3001])
def test_kill_loses_at_most_a_batch_and_no_intent(tmp_path, after):
    path = tmp_path / "ledger.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(BATCH)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    said = {"r": 0, "w": 0}
    acknowledged = set()

    def hear(line):
        kind, number = line.split()
        if kind == "i":
            acknowledged.add(f"req_{int(number):08d}")
        else:
            said[kind] = int(number)

    for line in child.stdout:
        hear(line.decode())
        if said["r"] >= after and acknowledged:
            break
    child.send_signal(signal.SIGKILL)
    for line in child.stdout.read().decode().splitlines(keepends=True):
        if line.endswith("\n"):
            hear(line)
    child.wait()
    child.stdout.close()

    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept, last = conn.execute("SELECT count(*), max(seq) FROM request").fetchone()
    assert kept == (last or 0), "no gaps: what is lost is the end"
    assert kept >= said["w"], "what was counted as written is there"
    assert said["r"] - kept <= BATCH
    assert conn.execute("SELECT count(*) FROM attempt").fetchone() == (2 * kept,), "each request with its attempts"
    intents = {request for (request,) in conn.execute("SELECT request_id FROM intent")}
    assert acknowledged
    assert acknowledged <= intents
    conn.close()
