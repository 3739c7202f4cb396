"""Stored keys: created, listed, rotated, revoked; the secret is nowhere."""

import pytest

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.keys import Terms, digest
from smallfirst.accounts.settings import KeySettings, KeysSettings, TeamSettings
from smallfirst.core import DataClass
from smallfirst.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from smallfirst.store.database import SqliteDatabase

NOW = 1_800_000_000
TEAMS = {"clinic": TeamSettings(models=("a", "b"), classes=("health", "internal"), min_class="internal", rpm=5)}


@pytest.fixture
def accounts(tmp_path):
    database = SqliteDatabase(tmp_path / "keys.db")
    yield Accounts(KeysSettings(), TEAMS, database)
    database.close()


def test_only_a_hash_is_stored(accounts, tmp_path):
    secret, record = accounts.register.create("support", Terms(), NOW)
    assert record.shown == secret[:9]
    assert len(secret) > 40
    rotated, _ = accounts.register.rotate("support", 60, NOW)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert secret.encode() not in data
        assert rotated.encode() not in data
        assert secret[3:].encode() not in data
    assert digest(rotated).hex().encode() in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_the_first_created_key_makes_keys_required_also_after_it_is_revoked(accounts):
    assert accounts.keys.check("Bearer anything") is None
    secret, _ = accounts.register.create("support", Terms(), NOW)
    accounts.refresh()
    assert accounts.keys.check(f"Bearer {secret}").name == "support"
    accounts.register.revoke("support", NOW)
    accounts.refresh()
    for given in (f"Bearer {secret}", None):
        with pytest.raises(Unauthenticated):
            accounts.keys.check(given)


def test_required_false_stays_false(tmp_path):
    database = SqliteDatabase(tmp_path / "keys.db")
    accounts = Accounts(KeysSettings(required=False), {}, database)
    accounts.register.create("support", Terms(), NOW)
    accounts.refresh()
    assert accounts.keys.check(None) is None
    database.close()


def test_after_a_rotation_the_old_secret_is_good_for_its_grace_only(accounts, monkeypatch):
    old, _ = accounts.register.create("support", Terms(), NOW)
    new, _ = accounts.register.rotate("support", 60, NOW)
    accounts.refresh()
    clock = [NOW + 59]
    monkeypatch.setattr("smallfirst.accounts.keys.time.time", lambda: clock[0])
    assert accounts.keys.check(f"Bearer {old}").name == accounts.keys.check(None, new).name == "support"
    clock[0] = NOW + 60
    with pytest.raises(Unauthenticated) as caught:
        accounts.keys.check(f"Bearer {old}")
    assert caught.value.code == "expired_api_key"
    assert accounts.keys.check(None, new) is not None
    third, _ = accounts.register.rotate("support", 0, NOW)
    accounts.refresh()
    with pytest.raises(Unauthenticated):
        accounts.keys.check(None, new)
    assert accounts.keys.check(None, third) is not None


def test_an_expired_key_is_refused_as_such(accounts, monkeypatch):
    secret, _ = accounts.register.create("support", Terms(), NOW, NOW + 10)
    accounts.refresh()
    monkeypatch.setattr("smallfirst.accounts.keys.time.time", lambda: NOW + 11)
    with pytest.raises(Unauthenticated) as caught:
        accounts.keys.check(None, secret)
    assert caught.value.code == "expired_api_key"


def test_a_team_narrows_its_keys(accounts):
    terms = Terms(team="clinic", models=("b", "c"), classes=("health", "secret"), min_class="personal", tags=("x",))
    secret, _ = accounts.register.create("ward", terms, NOW)
    accounts.refresh()
    key = accounts.keys.check(None, secret)
    assert key.models == {"b"}
    assert key.classes == {DataClass.health}
    assert key.min_class is DataClass.personal
    assert key.metered
    key.check("auto", False, DataClass.health)
    with pytest.raises(Forbidden, match="class secret"):
        key.check("auto", False, DataClass.secret)


def test_a_key_of_a_team_that_is_gone_is_good_for_nothing(accounts):
    secret, _ = accounts.register.create("ward", Terms(team="gone"), NOW)
    accounts.refresh()
    with pytest.raises(Unauthenticated):
        accounts.keys.check(None, secret)


def test_a_policy_that_a_key_may_not_use(accounts):
    secret, _ = accounts.register.create("ci", Terms(policies=("auto",)), NOW)
    accounts.refresh()
    key = accounts.keys.check(None, secret)
    key.check("auto", False, DataClass.internal)
    key.check("some-model", True, DataClass.internal)
    with pytest.raises(Forbidden) as caught:
        key.check("dear", False, DataClass.internal)
    assert caught.value.code == "policy_not_allowed"


def test_mistakes_are_named(accounts):
    accounts.register.create("support", Terms(), NOW)
    with pytest.raises(BadRequest, match="a key called support already"):
        accounts.register.create("support", Terms(), NOW)
    with pytest.raises(BadRequest, match="name: a name has"):
        accounts.register.create("no spaces", Terms(), NOW)
    with pytest.raises(NotFound, match="did you mean `support`"):
        accounts.register.revoke("suport", NOW)
    accounts.register.revoke("support", NOW)
    with pytest.raises(BadRequest, match="was revoked"):
        accounts.register.rotate("support", 0, NOW)


def test_the_keys_of_the_config_stand_beside_the_stored_ones(tmp_path):
    database = SqliteDatabase(tmp_path / "keys.db")
    accounts = Accounts(KeysSettings(accept=(KeySettings(name="listed", key="s3cret"),)), {}, database)
    secret, _ = accounts.register.create("stored", Terms(), NOW)
    accounts.refresh()
    assert accounts.keys.check(None, "s3cret").name == "listed"
    assert accounts.keys.check(None, secret).name == "stored"
    database.close()
