from __future__ import annotations

from smallfirst.config.nearest import hint, nearest


def test_slips_of_the_pen():
    assert nearest("provder", ["preset", "provider"]) == "provider"
    assert nearest("Provider", ["provider"]) == "provider"
    assert nearest("zzz", ["provider"]) is None


def test_what_is_there_is_listed_when_nothing_is_near():
    assert hint("zzz", ["a", "b"]) == "; known: a, b"
    assert hint("zzz", []) == ""
    assert hint("zzz", [f"name{n}" for n in range(50)]) == ""
