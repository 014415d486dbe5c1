"""The guard of the state's name: a renamed environment begins no empty state in silence (P4)."""

import pytest

from shared.connections.settings_reader import read_settings
from shared.connections.state_owner import StateOwner
from shared.errors import ConfigError, StoreUnavailable
from shared.settings import Settings
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables
from tests.unit.test_settings import GOOD

GUID = "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa"


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def settings(**env: str) -> Settings:
    return read_settings({**GOOD, **env})


def check(tables: MemoryTables, clock: FixedClock, **env: str) -> None:
    """What a process with these settings does first."""
    StateOwner(tables.table("BcConnections"), settings(**env), clock).check()


def test_the_first_settings_own_the_state(tables: MemoryTables, clock: FixedClock) -> None:
    """And go on to do so, whatever the case of their letters."""
    check(tables, clock)
    first = tables.table("BcConnections").get("deployment", "state")
    assert first
    assert first.values == {"name": "lmints.io.production", "since": clock()}
    clock.advance(60)
    check(tables, clock, BC_TENANT_ID="LMINTS.io", BC_ENVIRONMENT="Production")
    assert tables.table("BcConnections").get("deployment", "state") == first


@pytest.mark.parametrize("env", [{"BC_TENANT_ID": GUID}, {"BC_ENVIRONMENT": "live"}])
def test_another_name_is_refused_until_somebody_chose(
    tables: MemoryTables, clock: FixedClock, env: dict[str, str]
) -> None:
    """The message names both; either choice ends it, and the choice is remembered."""
    check(tables, clock)
    with pytest.raises(ConfigError) as refused:
        check(tables, clock, **env)
    new = settings(**env).connection
    assert "lmints.io.production" in str(refused.value)
    assert new in str(refused.value)
    check(tables, clock, **env, BC_STATE_NAME="lmints.io.production")
    with pytest.raises(ConfigError):
        check(tables, clock, **env)
    check(tables, clock, **env, BC_STATE_NAME=new)
    check(tables, clock, **env)


def test_the_row_is_read_once_per_process(tables: MemoryTables, clock: FixedClock) -> None:
    """A table that does not answer is asked again, one that did is not."""
    fails = [True]

    def before(_: str) -> None:
        if fails[0]:
            raise StoreUnavailable("x")

    owner = StateOwner(MemoryTables(before=before).table("BcConnections"), settings(), clock)
    with pytest.raises(StoreUnavailable):
        owner.check()
    fails[0] = False
    owner.check()
    fails[0] = True
    owner.check()
