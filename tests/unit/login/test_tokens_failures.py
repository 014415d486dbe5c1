"""What the login may answer: trouble that passes, a login that is dead, and nothing secret in any of it."""

import json
import logging
from collections.abc import Callable

import pytest
from business_central_emulator.server.faults import Fault, FaultKind

from shared.errors import TokenError
from shared.resource_names import SECRET_TOKEN_CACHE
from tests.conftest import FixedClock
from tests.support.login_world import CALLBACK, REFRESH, SECRET, World


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


def test_the_old_token_serves_while_the_login_is_away(connected: World) -> None:
    """In the last five minutes of a token an outage of Entra is not felt until one minute before its end."""
    process = connected.start()
    first = process.tokens.token()
    connected.login.faults.add(Fault(kind=FaultKind.ANSWER, match=REFRESH, status=503, times=1000))
    connected.clock.advance(57 * 60)
    assert process.tokens.token() == first
    connected.clock.advance(2 * 60)
    with pytest.raises(TokenError) as away:
        process.tokens.token()
    assert away.value.retryable


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(kind=FaultKind.ANSWER, match=REFRESH, status=503, text="<html>"), "login_503"),
        (Fault(kind=FaultKind.ANSWER, match=REFRESH, status=429, headers={"Retry-After": "3600"}), "login_429"),
        (Fault(kind=FaultKind.RESET_BEFORE, match=REFRESH), "login_unreachable"),
        (Fault(kind=FaultKind.SLOW, match=REFRESH, delay_s=60), "login_unreachable"),
        (Fault(kind=FaultKind.ANSWER, match=REFRESH, status=200, text='{"access_token": "eyJ'), "login_unreadable"),
        (
            Fault(kind=FaultKind.ANSWER, match=REFRESH, status=302, headers={"Location": "https://elsewhere.example/"}),
            "login_unreadable",
        ),
        (
            Fault(kind=FaultKind.ANSWER, match=REFRESH, status=400, text='{"error": "temporarily_unavailable"}'),
            "temporarily_unavailable",
        ),
        (
            Fault(
                kind=FaultKind.ANSWER,
                match=REFRESH,
                status=400,
                text='{"error": "invalid_grant", "error_description": "AADSTS90033: x"}',
            ),
            "invalid_grant",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_trouble_of_the_login_is_told_as_transient(
    connected: World, caplog: pytest.LogCaptureFixture, fault: Fault, code: str
) -> None:
    """Whatever shape it comes in: retryable, not repeated for 5 seconds, asked again after that, no body in the log."""
    connected.login.faults.add(fault)
    process = connected.start()
    with caplog.at_level(logging.DEBUG), pytest.raises(TokenError) as failed:
        process.tokens.token()
    assert (failed.value.code, failed.value.retryable) == (code, True)
    assert "eyJ" not in caplog.text
    assert connected.login_row().text("state") == "ok"
    with pytest.raises(TokenError):
        process.tokens.token()
    connected.clock.advance(5)
    assert connected.is_good(process.tokens.token())


def _revoke(world: World) -> None:
    world.login.grants.revoke()


def _expire(world: World) -> None:
    world.login.grants.expire()


def _withdraw_consent(world: World) -> None:
    world.login.directory.applications[0].is_consented = False


def _expire_secret(world: World) -> None:
    world.login.directory.applications[0].client_secrets[0].is_expired = True


def _forget_app(world: World) -> None:
    world.login.directory.applications.clear()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_revoke, "AADSTS50173"),
        (_expire, "AADSTS700082"),
        (_withdraw_consent, "AADSTS65001"),
        (_expire_secret, "AADSTS7000222"),
        (_forget_app, "AADSTS700016"),
    ],
)
def test_a_dead_login_asks_for_a_person_once(
    connected: World, caplog: pytest.LogCaptureFixture, spoil: Callable[[World], None], code: str
) -> None:
    """It is not retryable, stands in the row with Entra's code, and is one ERROR line however often it is met."""
    spoil(connected)
    for _ in range(3):
        process = connected.start()
        for _ in range(3):
            with pytest.raises(TokenError) as dead:
                process.tokens.token()
            assert not dead.value.retryable
            connected.clock.advance(30)
    lines = [record for record in caplog.records if "login.needed" in record.message]
    assert len(lines) == 1
    assert lines[0].levelno == logging.ERROR
    row = connected.login_row()
    assert (row.text("state"), row.text("code")) == ("needed", code)
    assert process.tokens.login().since == row.time("since")
    assert process.tokens.account() is None


def test_a_dead_login_is_tried_once_a_minute(connected: World) -> None:
    """An administrator may mend it without a new sign-in, so it is tried, but never at each call."""
    _withdraw_consent(connected)
    process = connected.start()
    for _ in range(120):
        with pytest.raises(TokenError):
            process.tokens.token()
        connected.clock.advance(1)
    assert connected.refreshes() == 2
    connected.login.directory.applications[0].is_consented = True
    connected.clock.advance(60)
    assert connected.is_good(process.tokens.token())
    assert connected.login_row().text("state") == "ok"


def test_no_secret_leaves_by_log_row_or_error(connected: World, caplog: pytest.LogCaptureFixture) -> None:
    """Through sign-in, refusal and outage no token, code, verifier or client secret is anywhere but in the vault."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    process = connected.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = connected.answer_of(address)
    process.tokens.finish_sign_in(flow, answer)
    secrets = {SECRET, flow["code_verifier"], answer["code"], process.tokens.token()}
    connected.login.grants.revoke()
    for fault in (
        None,
        Fault(kind=FaultKind.ANSWER, match=REFRESH, status=503),
        Fault(kind=FaultKind.ANSWER, match=REFRESH, status=400, text="<html>"),
    ):
        if fault:
            connected.login.faults.add(fault)
        connected.clock.advance(3600)
        with pytest.raises(TokenError) as failed:
            process.tokens.token()
        shown += [str(failed.value), repr(failed.value), repr(failed.value.__cause__)]
    for version in connected.secrets.versions[SECRET_TOKEN_CACHE]:
        for kind in ("RefreshToken", "AccessToken", "IdToken"):
            secrets |= {entry["secret"] for entry in json.loads(version).get(kind, {}).values()}
    rows = connected.tables.real.query(connected.settings.connection)
    everything = "\n".join([caplog.text, *shown, *(str(row) for row in rows), repr(process.tokens)])
    assert not [secret for secret in secrets if secret in everything]
