"""accounts: who is calling: keys."""
