"""A refresh that is killed, doubled, held up or cut off from the vault loses no login."""

import threading
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable, TokenError
from shared.login.refresh_lease import LEASE, LEASE_KEY
from shared.resource_names import SECRET_TOKEN_CACHE
from shared.storage.table import Row, Value
from tests.conftest import FixedClock
from tests.support.login_world import ALEX, CALLBACK, MEGAN, Killed, World


@pytest.fixture
def world(clock: FixedClock) -> World:
    return World(clock, "authorization_code")


@pytest.fixture
def connected(world: World) -> World:
    """Megan has signed in, and her first access token has ended."""
    world.connect()
    world.clock.advance(3600)
    world.login.requests.clear()
    return world


def test_the_rotated_refresh_token_is_in_the_vault_before_the_access_token_is_out(connected: World) -> None:
    """Where each refresh token works once, a new process goes on from what the first one stored; for 30 refreshes."""
    connected.login.grants.rotate = True
    for _ in range(30):
        token = connected.start().tokens.token()
        assert token in str(connected.secrets.versions[SECRET_TOKEN_CACHE][-1])
        connected.clock.advance(3600)
    assert connected.refreshes() == 30


def _kill_points(world: World) -> int:
    """How many effects an undisturbed refresh has."""
    process = world.start()
    process.tokens.token()
    return len(process.effects)


@pytest.mark.parametrize("rotate", [False, True], ids=["entra", "strict rotation"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_refresh_may_be_killed_at_any_line(clock: FixedClock, rotate: bool, after: bool) -> None:
    """Whatever effect a process dies at, the next one has a token.

    Only a login that takes each refresh token once may ask for a person, and only when the death came between its
    answer and the vault.
    """
    counter = World(clock, "authorization_code")
    counter.connect()
    clock.advance(3600)
    points = _kill_points(counter)
    assert points >= 10
    for point in range(1, points + 1):
        world = World(clock, "authorization_code")
        world.connect()
        clock.advance(3600)
        world.login.grants.rotate = rotate
        dying = world.start(kill_at=point, after=after)
        with pytest.raises(Killed):
            dying.tokens.token()
        died_at = dying.effects[-1]
        had_answer = any(name.endswith("/token") for name in (dying.effects if after else dying.effects[:-1]))
        had_saved = f"write {SECRET_TOKEN_CACHE}" in (dying.effects if after else dying.effects[:-1])
        may_need_person = rotate and had_answer and not had_saved
        if may_need_person:
            with pytest.raises(TokenError, match="AADSTS70000"):
                world.patient(world.start())
        else:
            assert world.is_good(world.patient(world.start())), died_at
        assert world.login_row().text("state") == ("needed" if may_need_person else "ok"), died_at


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reconnect_may_be_killed_at_any_line(clock: FixedClock, after: bool) -> None:
    """A sign-in that dies half-way leaves the old login working, or the new one; never none."""
    point = 0
    while True:
        point += 1
        world = World(clock, "authorization_code")
        world.connect()
        address, flow = world.start().tokens.begin_sign_in(CALLBACK)
        answer = world.answer_of(address, ALEX)
        dying = world.start(kill_at=point, after=after)
        try:
            dying.tokens.finish_sign_in(flow, answer)
        except Killed:
            clock.advance(3600)
            assert world.is_good(world.patient(world.start())), dying.effects[-1]
            assert world.login_row().text("user") in {MEGAN, ALEX}
            continue
        assert world.login_row().text("user") == ALEX
        break
    assert point > 8


def test_two_instances_send_one_refresh(connected: World) -> None:
    """While one instance asks Entra another waits, then takes the token the first one stored."""
    first, second = connected.start(), connected.start()
    second_waits, first_is_done = threading.Event(), threading.Event()

    def wait(_seconds: float) -> None:
        second_waits.set()
        first_is_done.wait(10)

    second.tokens._lease._sleep = wait
    got: list[str] = []
    other = threading.Thread(target=lambda: got.append(second.tokens.token()))

    def meanwhile(effect: str) -> None:
        if effect.endswith("/token"):
            other.start()
            assert second_waits.wait(10)

    first.during = meanwhile
    got.append(first.tokens.token())
    first_is_done.set()
    other.join(10)
    assert len(got) == 2
    assert got[0] == got[1]
    assert connected.refreshes() == 1


def test_a_lease_that_is_never_given_back_expires(connected: World) -> None:
    """An instance that died with the lease delays the others by its term at most, and they are told to try again."""
    dying = connected.start(kill_at=5)
    with pytest.raises(Killed):
        dying.tokens.token()
    assert connected.row(LEASE_KEY) is not None
    began_at = connected.clock()
    with pytest.raises(TokenError) as busy:
        connected.start().tokens.token()
    assert (busy.value.code, busy.value.retryable) == ("refresh_busy", True)
    connected.patient(connected.start())
    assert connected.clock() - began_at <= LEASE + timedelta(seconds=15)


def test_a_lease_from_a_wrong_clock_does_not_block(connected: World) -> None:
    """A lease that ends next year was written by a clock that was wrong; it does not count."""
    table = connected.tables.real
    values: dict[str, Value] = {"holder": "x", "expires_at": connected.clock() + timedelta(days=365)}
    table.insert(Row(partition=connected.settings.connection, key=LEASE_KEY, values=values))
    assert connected.is_good(connected.start().tokens.token())


def test_a_token_the_vault_did_not_take_is_saved_at_the_next_call(connected: World) -> None:
    """With the vault down the rotated token stays in memory and unused, nobody else refreshes, and nothing is lost."""
    connected.login.grants.rotate = True
    process, other = connected.start(), connected.start()
    connected.secrets.failing = {"write"}
    with pytest.raises(StoreUnavailable):
        process.tokens.token()
    with pytest.raises(TokenError) as busy:
        other.tokens.token()
    assert busy.value.retryable
    connected.secrets.failing = set()
    assert connected.is_good(process.tokens.token())
    connected.clock.advance(5)
    assert other.tokens.token() == process.tokens.token()
    assert connected.refreshes() == 1


def test_a_login_made_while_the_vault_was_down_wins(connected: World) -> None:
    """What an instance could not save does not overwrite what another has stored since."""
    process = connected.start()
    connected.secrets.failing = {"write"}
    with pytest.raises(StoreUnavailable):
        process.tokens.token()
    connected.secrets.failing = set()
    connected.clock.advance(LEASE.total_seconds())
    assert connected.connect(ALEX) == ALEX
    process.tokens.token()
    assert connected.start().tokens.account() == ALEX
    assert ALEX in connected.secrets.versions[SECRET_TOKEN_CACHE][-1]


def test_an_instance_that_stalled_does_not_overwrite_a_newer_token(connected: World) -> None:
    """Held up in the middle of a refresh for longer than its lease, an instance drops what it got and takes theirs."""
    slow, quick = connected.start(), connected.start()

    def stall(effect: str) -> None:
        if effect.endswith("/token"):
            slow.during = lambda _: None
            connected.clock.advance(LEASE.total_seconds() + 1)
            quick.tokens.token()

    slow.during = stall
    with pytest.raises(TokenError) as late:
        slow.tokens.token()
    assert late.value.retryable
    connected.clock.advance(5)
    assert slow.tokens.token() == quick.tokens.token()
