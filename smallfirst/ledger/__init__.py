"""ledger: the append-only record of requests, attempts and decisions."""
