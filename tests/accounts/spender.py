"""One process that spends from a shared budget as fast as it may: python spender.py URL SECRET SEED CALLS.

Prints what the scripted upstream bills for each call, at once, before it is settled: what was printed was spent, also
by a process that is killed in the midst.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.settings import KeysSettings
from smallfirst.core import DataClass, Model, Needs, Outcome, Permit, Price, Query, Replica, Usage
from smallfirst.errors import RequestError
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.models.sender import Call
from smallfirst.store.database import open_any

PRICE = Price(1_000_000, 1_000_000, 1_000_000, "test")  # a nano-dollar a token
REPLICA = Replica("here", "http://127.0.0.1:1/v1", "m")
MODEL = Model("small", "slm", (REPLICA,), price=PRICE)
PERMIT = Permit(DataClass.public, frozenset({("small", "here")}), "test")


async def main(url: str, secret: str, seed: int, calls: int) -> None:
    accounts = Accounts(KeysSettings(), {}, open_any(url, Path("unused")))
    key = accounts.keys.check(None, secret)
    assert key is not None
    rng = random.Random(seed)

    def bill(call: Call) -> Reply:
        used = Usage(rng.randint(1, 20), rng.randint(0, call.query.needs.output_tokens))
        print(used.input_tokens + used.output_tokens, flush=True)
        return Reply(text="x", usage=used)

    sender = ScriptedSender(bill)
    query = Query("q", "auto", "hi", {}, Needs(input_tokens=20, output_tokens=100))

    async def one() -> int:
        tab = accounts.open(key, query)
        try:
            if not tab.enter_now():
                await tab.enter()
        except RequestError:
            return 0
        outcome: Outcome = await accounts.metered(sender, tab).ask(Call(MODEL, REPLICA, query), PERMIT)
        tab.close(())
        return int(outcome.ok)

    await accounts.start()
    served = 0
    for _ in range(calls // 10):
        served += sum(await asyncio.gather(*[one() for _ in range(10)]))
        await asyncio.sleep(0.01)
    await accounts.stop()
    print(f"served {served}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
