"""Whose login it was stays known when it has ended: whoever mends it should know as whom to sign in."""

from shared.errors import TokenError
from shared.login.login_state import LoginStore
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables


def test_the_users_name_stays_when_the_login_has_ended(clock: FixedClock) -> None:
    """Revoked, signed out, and still so in the next process."""
    table = MemoryTables().table("BcConnections")
    state = LoginStore(table, "c", clock)
    state.ok("megan@lmints.io")
    state.needed(TokenError("invalid_grant: AADSTS50173: revoked", code="invalid_grant"))
    assert (state.read().state, state.read().user) == ("needed", "megan@lmints.io")
    state.signed_out()
    assert LoginStore(table, "c", clock).read().user == "megan@lmints.io"


def test_a_login_that_is_needed_still_is_so_since_the_first_time(clock: FixedClock) -> None:
    """However often it is tried meanwhile; only of a reader the last refusal counts."""
    state = LoginStore(MemoryTables().table("BcConnections"), "c", clock)
    began = clock()
    for _ in range(3):
        state.needed(TokenError("invalid_grant: AADSTS50173: revoked", code="invalid_grant"))
        clock.advance(600)
    assert state.read().since == began
