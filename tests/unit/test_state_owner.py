"""Whose state it is: it belongs to the id, and goes to no other environment in silence (P4, P8)."""

from collections.abc import Callable
from typing import Final

import pytest

from shared.connections.settings_reader import read_connections
from shared.connections.state_owner import Place, StateOwner, fault_of
from shared.errors import ConfigError, StoreUnavailable, TokenError
from shared.settings import Settings
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables
from tests.unit.test_settings import GOOD

GUID: Final = "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa"
OTHER: Final = "0b1d9d6e-3c5a-4b0e-9f57-6b2c7f8a1d24"
TWO: Final = {**GOOD, "BC_CONNECTIONS": "default,us", "US__BC_ENVIRONMENT": "us"}


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def knows(tenant: str) -> str:
    """The login of a world in which lmints.io is the tenant GUID."""
    if tenant != "lmints.io":
        raise TokenError("no such tenant")
    return GUID


def silent(tenant: str) -> str:
    """A login that does not answer."""
    raise TokenError(f"no answer about {tenant}", code="tenant_unknown", retryable=True)


def check(
    tables: MemoryTables,
    clock: FixedClock,
    connection: str = "default",
    login: Callable[[str], str] = knows,
    settings: dict[str, str] = GOOD,
    **env: str,
) -> Settings:
    """What a process with these settings does first with a connection."""
    read = read_connections({**settings, **env}).able[connection]
    url = f"https://bc/{read.tenant_id}/{read.environment}"
    return StateOwner(tables.table("BcConnections"), read, url, clock, find_tenant=login).check()


def test_the_first_settings_begin_the_state(tables: MemoryTables, clock: FixedClock) -> None:
    """`default` where the last release kept it, every other connection under its id; letters' case does not matter."""
    first = check(tables, clock)
    assert (first.connection, first.tenant_guid) == ("lmints.io.production", GUID)
    assert first.first_url == "https://bc/lmints.io/production"
    row = tables.table("BcConnections").get("deployment", "connection|default")
    assert row
    clock.advance(60)
    again = check(tables, clock, BC_TENANT_ID="LMINTS.io", BC_ENVIRONMENT="Production")
    assert (again.connection, again.first_url) == (first.connection, first.first_url)
    assert check(tables, clock, "us", settings=TWO).connection == "us"


def test_a_tenant_is_the_same_by_domain_and_by_guid(tables: MemoryTables, clock: FixedClock) -> None:
    """Back and forth, and the state keeps its name."""
    check(tables, clock)
    by_guid = check(tables, clock, login=silent, BC_TENANT_ID=GUID)
    assert (by_guid.connection, by_guid.first_url) == ("lmints.io.production", "https://bc/lmints.io/production")
    assert check(tables, clock).connection == "lmints.io.production"


def test_a_tenant_that_cannot_be_compared_waits_for_the_login(tables: MemoryTables, clock: FixedClock) -> None:
    """Nothing is decided by a guess; while nothing changes the login is not needed."""
    check(tables, clock, login=silent)
    check(tables, clock, login=silent)
    with pytest.raises(TokenError) as waits:
        check(tables, clock, login=silent, BC_TENANT_ID=GUID)
    assert waits.value.retryable
    assert check(tables, clock, BC_TENANT_ID=GUID).connection == "lmints.io.production"


def test_a_renamed_environment_keeps_its_state_by_one_setting(tables: MemoryTables, clock: FixedClock) -> None:
    """Without it the new name is refused with a message that holds both; afterwards the setting may stay or go."""
    check(tables, clock)
    with pytest.raises(ConfigError) as refused:
        check(tables, clock, BC_ENVIRONMENT="Live")
    assert "Live" in str(refused.value)
    assert "BC_RENAMED_FROM=production" in str(refused.value)
    for name in ("Production", "", "production"):
        renamed = check(tables, clock, BC_ENVIRONMENT="Live", BC_RENAMED_FROM=name)
        assert (renamed.connection, renamed.first_url) == ("lmints.io.production", "https://bc/lmints.io/production")
    with pytest.raises(ConfigError):  # the old name is free, and may be that of another environment by now
        check(tables, clock, BC_ENVIRONMENT="production")


def test_another_tenant_is_refused_under_an_old_id(tables: MemoryTables, clock: FixedClock) -> None:
    """And gets its own state under an id of its own."""
    check(tables, clock)
    with pytest.raises(ConfigError) as refused:
        check(tables, clock, BC_TENANT_ID=OTHER)
    assert list(refused.value.faults) == ["BC_TENANT_ID"]
    assert OTHER in str(refused.value)
    assert "lmints.io" in str(refused.value)
    assert check(tables, clock, "prod", BC_TENANT_ID=OTHER, BC_CONNECTIONS="prod").connection == "prod"


def test_two_connections_to_one_environment_are_refused(tables: MemoryTables, clock: FixedClock) -> None:
    """Also when one writes the tenant as a domain and the other as a GUID; the first goes on."""
    env = {**GOOD, "BC_CONNECTIONS": "eu,us", "US__BC_TENANT_ID": GUID}
    check(tables, clock, "eu", settings=env)
    with pytest.raises(ConfigError, match="as connection eu"):
        check(tables, clock, "us", settings=env)
    check(tables, clock, "us", settings=env, US__BC_CLIENT_ID=OTHER)


def test_an_environment_keeps_its_id(tables: MemoryTables, clock: FixedClock) -> None:
    """Under a new one its orders would be unknown; another application or environment is another connection."""
    check(tables, clock)
    new = {**GOOD, "BC_CONNECTIONS": "eu", "BC_TENANT_ID": GUID}
    with pytest.raises(ConfigError, match=r"connection default; write default in place of eu") as refused:
        check(tables, clock, "eu", settings=new)
    assert list(refused.value.faults) == ["BC_CONNECTIONS"]
    assert check(tables, clock, "us", settings=new, BC_CONNECTIONS="us", US__BC_CLIENT_ID=OTHER).connection == "us"
    assert check(tables, clock, "uk", settings=new, BC_CONNECTIONS="uk", BC_ENVIRONMENT="uk").connection == "uk"
    tables.table("BcConnections").delete("deployment", "connection|default")
    assert check(tables, clock, "eu", settings=new).connection == "eu"


def test_the_row_is_read_once_per_process(clock: FixedClock) -> None:
    """A table that does not answer is asked again, one that did is not."""
    fails = [True]

    def before(_: str) -> None:
        if fails[0]:
            raise StoreUnavailable("x")

    settings = read_connections(GOOD).able["default"]
    table = MemoryTables(before=before).table("BcConnections")
    owner = StateOwner(table, settings, "https://bc/x", clock, find_tenant=knows)
    with pytest.raises(StoreUnavailable):
        owner.check()
    fails[0] = False
    owner.check()
    fails[0] = True
    owner.check()


def place(tenant: str, environment: str, tenant_id: str = "") -> Place:
    """Where a connection is."""
    return Place(tenant=tenant, tenant_id=tenant_id, environment=environment, client_id="c")


@pytest.mark.parametrize(
    ("kept", "now", "renamed_from", "word"),
    [
        (place("a.io", "Prod"), place("A.io", "prod"), "", ""),
        (place("a.io", "Prod", GUID), place(GUID, "Prod", GUID), "", ""),
        (place("a.io", "Prod"), place("a.io", "Live"), "", "BC_RENAMED_FROM=Prod"),
        (place("a.io", "Prod"), place("a.io", "Live"), "PROD", ""),
        (place("a.io", "Prod"), place("a.io", "Live"), "Sandbox", "BC_RENAMED_FROM=Prod"),
        (place("a.io", "Live"), place("a.io", "Live"), "Prod", ""),
        (place("a.io", "Prod", GUID), place("b.io", "Prod", OTHER), "Prod", "tenant b.io"),
    ],
)
def test_who_may_use_a_state(kept: Place, now: Place, renamed_from: str, word: str) -> None:
    """The decision as a table: "" means yes."""
    fault = fault_of(kept, now, renamed_from)
    assert word in fault
    assert bool(fault) is bool(word)
