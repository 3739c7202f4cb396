"""cli: parse, build, call, print; no logic."""
