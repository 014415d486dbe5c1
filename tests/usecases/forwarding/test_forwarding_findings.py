"""What people see of events that don't reach their receiver: one finding a cause, with the next step."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from shared.forwarding.event_targets import TargetKind
from shared.operations import status
from shared.operations.diagnosis import HandshakeResult
from shared.operations.doctor import Instruments, examine
from shared.operations.findings import Finding, Severity
from shared.operations.status_view import LoginView
from shared.resource_names import SECRET_EVENTS
from tests.support.forward_world import ForwardWorld, event, forwarding


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[ForwardWorld]:
    """A world with an endpoint, in its steady state."""
    with forwarding(TargetKind.WEBHOOK, tmp_path, trustme.CA()) as made:
        made.world.start()
        made.work()
        yield made


def findings(to: ForwardWorld) -> tuple[Finding, ...]:
    """What `status` says."""
    return status.view(to.world.ctx, to.world.stores, LoginView(state="ok", mode="managed_identity")).findings


def examined(to: ForwardWorld) -> list[Finding]:
    """What the doctor says of forwarding."""
    instruments = Instruments(
        token=lambda: "", login=lambda: LoginView(state="ok", mode="managed_identity"),
        handshake=lambda _: HandshakeResult(status=200, is_exact=True), depth=lambda _: None,
    )  # fmt: skip
    report = examine(to.world.ctx, to.world.stores, instruments)
    return [one for one in report.findings if one.check == "forwarding"]


@pytest.mark.parametrize(("status_code", "code"), [(401, "events_denied"), (404, "events_not_found")])
def test_a_receiver_that_refuses_everything_is_one_error_at_once(
    hook: ForwardWorld, status_code: int, code: str
) -> None:
    """However many messages it hits; status and doctor say the same."""
    hook.receiver.forced = [(status_code, {})] * 3
    for number in range(3):
        hook.announce(event(number))
    hook.work()
    (found,) = [one for one in findings(hook) if one.check == "forwarding"]
    assert (found.code, found.severity) == (code, Severity.ERROR)
    assert found.seen.startswith("3 messages of events wait since ")
    assert found.cause
    assert found.do
    assert examined(hook) == [found]
    view = status.view(hook.world.ctx, hook.world.stores, LoginView(state="ok", mode="managed_identity"))
    assert view.health == "degraded"
    assert view.forwarding is not None
    assert view.forwarding.receiver == "the endpoint at https://hooks.example"


def test_what_passes_soon_is_no_finding(hook: ForwardWorld) -> None:
    """A receiver that is away for some minutes is nobody's alarm; after a quarter of an hour it is a warning."""
    hook.receiver.is_dead = True
    hook.announce(event(1))
    hook.work()
    assert not [one for one in findings(hook) if one.check == "forwarding"]
    hook.wait(timedelta(minutes=20))
    (found,) = [one for one in findings(hook) if one.check == "forwarding"]
    assert (found.code, found.severity) == ("events_network", Severity.WARNING)


@pytest.mark.parametrize(("secret", "code"), [(None, "events_secret_missing"), ("whsec_x", "events_secret_wrong")])
def test_the_doctor_finds_an_unusable_secret_before_the_first_event(
    hook: ForwardWorld, secret: str | None, code: str
) -> None:
    """One finding, before and after events wait for it, and no value in it."""
    del hook.world.secrets.values[SECRET_EVENTS]
    hook.world.secrets.values |= {SECRET_EVENTS: secret} if secret else {}
    (before,) = examined(hook)
    assert (before.code, before.severity) == (code, Severity.ERROR)
    hook.announce(event(1))
    hook.work()
    (after,) = examined(hook)
    assert after.code == code
    assert "whsec_x" not in f"{before}{after}"


def test_all_well_is_said_and_the_queue_needs_no_look(hook: ForwardWorld) -> None:
    (found,) = examined(hook)
    assert found.severity is Severity.OK
    hook.point_to("queue")
    assert examined(hook) == []
    assert status.view(hook.world.ctx, hook.world.stores, LoginView(state="ok", mode="")).forwarding is None
