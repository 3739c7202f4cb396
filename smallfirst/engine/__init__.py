"""engine: drives policies with real calls, and with recorded ones on a virtual clock."""
