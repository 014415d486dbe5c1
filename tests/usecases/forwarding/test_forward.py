"""Events on their way to a receiver: nothing is lost, whatever the receiver, its address or its access is like."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from shared.dead_letters import redrive
from shared.forwarding import forward as forward_module
from shared.forwarding.event_targets import TargetKind
from shared.forwarding.forward_step import PATIENCE
from shared.resource_names import QUEUE_EVENTS, QUEUE_FORWARD, SECRET_EVENTS
from tests.simulation.queues import MAX_DELIVERIES
from tests.simulation.world import Crash
from tests.support.event_receivers import ca_file
from tests.support.forward_world import SECRET, ForwardWorld, event, forwarding
from tests.support.worlds import messages

GRID, BUS, HOOK = TargetKind.EVENT_GRID, TargetKind.SERVICE_BUS, TargetKind.WEBHOOK
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that CA_BUNDLE names."""
    return trustme.CA()


@pytest.fixture(params=TargetKind, ids=lambda kind: kind.name.lower())
def to(request: pytest.FixtureRequest, authority: trustme.CA, tmp_path: Path) -> Iterator[ForwardWorld]:
    """A world for each kind of receiver."""
    with forwarding(request.param, tmp_path, authority) as made:
        yield made


@pytest.fixture
def hook(authority: trustme.CA, tmp_path: Path) -> Iterator[ForwardWorld]:
    """A world with an endpoint."""
    with forwarding(HOOK, tmp_path, authority) as made:
        yield made


@pytest.fixture
def grid(authority: trustme.CA, tmp_path: Path) -> Iterator[ForwardWorld]:
    """A world with an Event Grid topic."""
    with forwarding(GRID, tmp_path, authority) as made:
        yield made


def redriven(to: ForwardWorld) -> None:
    """Press Try again for every dead letter of events."""
    to.world.leave(redrive.redrive_queue(to.world.ctx, to.world.stores.dead_letters, QUEUE_FORWARD))
    to.work()


def test_events_arrive_whole_and_in_order(to: ForwardWorld) -> None:
    """Each receiver takes what it gets, and what it has is what was announced."""
    to.announce(*(event(number, subject="items(1)", text="Straße €") for number in range(5)))
    to.work()
    assert to.receiver.accepted == [json.loads(event(n, subject="items(1)", text="Straße €")) for n in range(5)]
    assert not to.causes()
    assert not to.letters()


def test_a_claim_check_is_opened_for_a_receiver_that_can_not_read_our_storage(to: ForwardWorld) -> None:
    """Its events arrive themselves; no receiver sees an address of our storage."""
    to.announce_blob(*(event(number, subject=f"items({number // 40})") for number in range(400)))
    to.work()
    assert to.ids() == list(range(400))
    assert "dataref" not in json.dumps(to.receiver.accepted)


def test_what_business_central_announces_leaves_by_the_queue_of_its_own(hook: ForwardWorld) -> None:
    """From the record to the receiver; `bc-events` stays the consumer's alone."""
    world = hook.world
    world.start()
    company = next(iter(world.bc.environment.companies.values()))
    item = world.bc.user.create_item(company=company.id, displayName="Parka")
    world.run_for(timedelta(minutes=20))
    created = [each for each in hook.receiver.accepted if each["type"] == "bc.item.created.v1"]
    assert [each["subject"] for each in created] == [f"items({item.id})"]
    assert not [left for left in world.left if left.queue == QUEUE_EVENTS]


def test_switched_back_the_queue_gets_what_waits(to: ForwardWorld) -> None:
    """BC_EVENTS_TO=queue again: the consumer of `bc-events` reads what was not taken."""
    to.receiver.is_dead = True
    to.announce(event(1), event(2))
    to.work()
    to.announce(event(3))
    to.point_to("queue")
    to.work()
    to.wait(timedelta(minutes=3))
    left = [each for batch in messages(to.world, QUEUE_EVENTS) for each in batch]
    assert sorted(int(each["id"], 16) for each in left) == [1, 2, 3]
    assert not to.causes()


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "denied"), (404, "not_found"), (410, "not_found"), (302, "moved"), (500, "unavailable"), (429, "throttled")],
)
def test_what_is_mended_needs_no_redrive(to: ForwardWorld, status: int, cause: str) -> None:
    """Role, address, capacity: the events wait for it, are seen to wait, and go by themselves."""
    to.receiver.forced = [(status, {"Location": "https://elsewhere.example/", "Retry-After": ""})]
    to.announce(event(1), event(2))
    to.work()
    assert to.causes() == {cause: 1}
    assert not to.receiver.accepted
    to.wait(timedelta(minutes=2))
    assert to.ids() == [1, 2]
    assert not to.causes()
    assert not to.letters()


def test_a_redirect_is_not_followed(hook: ForwardWorld) -> None:
    """A signature is made for one address; one request was made, and none elsewhere."""
    hook.receiver.forced = [(307, {"Location": hook.address + "?again"})]
    hook.announce(event(1))
    hook.work()
    assert hook.receiver.counts["requests"] == 1
    assert hook.causes() == {"moved": 1}


def test_retry_after_is_obeyed_by_every_message(to: ForwardWorld) -> None:
    """No request leaves before the receiver wants one, of this message or of another."""
    to.receiver.forced = [(429, {"Retry-After": "600"})]
    for number in range(4):
        to.announce(event(number))
    to.work()
    to.wait(timedelta(minutes=9))
    assert to.receiver.counts["requests"] == 1
    assert to.causes() == {"throttled": 4}
    to.wait(timedelta(minutes=3))
    assert sorted(to.ids()) == [0, 1, 2, 3]


@pytest.mark.parametrize(("status", "causes"), [(200, {}), (202, {}), (401, {"denied": 1}), (500, {"unavailable": 1})])
def test_a_status_counts_though_its_body_breaks_off(to: ForwardWorld, status: int, causes: dict[str, int]) -> None:
    """2xx is done, whatever follows it: who sends again sends twice."""
    to.receiver.forced = [(status, {"Content-Length": "5", "Connection": "close"})]
    to.announce(event(1))
    to.work()
    assert to.receiver.counts["requests"] == 1
    assert to.causes() == causes
    assert not to.letters()


def test_only_what_was_not_taken_is_sent_again(hook: ForwardWorld) -> None:
    """A batch goes on where it stopped."""
    hook.announce(*(event(number) for number in range(10)))
    hook.receiver.forced = [*((204, dict[str, str]()) for _ in range(6)), (503, {})]
    hook.work()
    hook.wait(timedelta(minutes=2))
    assert hook.ids() == [6, 7, 8, 9]


def test_after_three_days_it_is_a_dead_letter_that_a_person_redrives(to: ForwardWorld) -> None:
    """With cause and next step; nothing is thrown away."""
    to.receiver.is_dead = True
    to.announce_blob(*(event(number, subject="items(1)") for number in range(3)))
    to.work()
    to.wait(PATIENCE - HOUR, timedelta(minutes=15))
    assert to.causes() == {"network": 1}
    assert not to.letters()
    to.wait(3 * HOUR, timedelta(minutes=15))
    (letter,) = to.letters()
    assert "does not answer" in letter[1]
    assert "firewall" in letter[1]
    assert not to.causes()
    to.receiver.is_dead = False
    redriven(to)
    assert to.ids() == [0, 1, 2]
    assert not to.letters()


def test_a_redriven_letter_that_fails_for_a_time_waits_as_a_new_message_does(to: ForwardWorld) -> None:
    """Whoever pressed Try again need not press it twice."""
    to.receiver.forced = [(400, {})]
    to.announce(event(1))
    to.work()
    assert len(to.letters()) == 1
    to.receiver.forced = [(500, {})]
    redriven(to)
    assert not to.letters()
    assert to.causes() == {"unavailable": 1}
    to.wait(timedelta(minutes=2))
    assert to.ids() == [1]


def test_what_can_never_be_taken_is_one_letter_and_the_others_go_on(grid: ForwardWorld) -> None:
    """A batch that is too large is cut down to the one event that is; it waits for a higher limit."""
    grid.receiver.most_bytes = 20_000
    texts = [event(number, text="x" * (30_000 if number == 13 else 100)) for number in range(100)]
    grid.announce_blob(*texts)
    grid.work()
    assert grid.ids() == [number for number in range(100) if number != 13]
    ((name, reason),) = grid.letters()
    assert name.endswith(".13")
    assert "takes no event of this size" in reason
    redriven(grid)
    assert [name for name, _ in grid.letters()] == [name]  # still too large: it stays that letter
    grid.receiver.most_bytes = 1_000_000
    redriven(grid)
    assert sorted(grid.ids()) == list(range(100))
    assert not grid.letters()


def test_a_malformed_request_is_a_letter_with_the_next_step(to: ForwardWorld) -> None:
    """400: the same request would be refused again."""
    to.receiver.forced = [(400, {})]
    to.announce(event(1))
    to.work()
    ((_, reason),) = to.letters()
    assert "malformed" in reason
    assert "CloudEvents 1.0" in reason
    redriven(to)
    assert to.ids() == [1]


def test_a_claim_check_whose_blob_is_gone_or_changed_is_a_letter(to: ForwardWorld) -> None:
    """Nothing else than what was announced is sent (P27)."""
    to.announce_blob(event(1))
    to.announce_blob(event(2))
    first, second = sorted(to.world.claim_checks.blobs)
    del to.world.claim_checks.blobs[first]
    to.world.claim_checks.blobs[second] += b"{}\n"
    to.work()
    assert not to.receiver.accepted
    assert ["blob of its claim check is gone" in reason for _, reason in to.letters()] == [True, True]


@pytest.mark.parametrize(("secret", "cause"), [(None, "secret_missing"), ("whsec_short", "secret_wrong")])
def test_without_a_usable_secret_nothing_leaves_and_nothing_is_lost(
    hook: ForwardWorld, secret: str | None, cause: str
) -> None:
    """No unsigned request is ever made; the secret is looked for again by itself."""
    vault = hook.world.secrets.values
    del vault[SECRET_EVENTS]
    vault |= {SECRET_EVENTS: secret} if secret else {}
    hook.announce(event(1))
    hook.work()
    assert hook.receiver.counts["requests"] == 0
    assert hook.causes() == {cause: 1}
    vault[SECRET_EVENTS] = SECRET
    hook.wait(timedelta(minutes=2))
    assert hook.ids() == [1]


def test_a_rotated_secret_is_taken_up_by_itself(hook: ForwardWorld) -> None:
    """Five minutes later, or at once when the receiver refuses the signature."""
    hook.announce(event(1))
    hook.work()
    new = "whsec_" + "b" * 32
    hook.world.secrets.values[SECRET_EVENTS] = hook.receiver.secret = new
    hook.announce(event(2))
    hook.work()
    assert hook.causes() == {"denied": 1}
    hook.wait(timedelta(minutes=1))
    assert hook.ids() == [1, 2]


@pytest.mark.parametrize("kind", [GRID, BUS], ids=["event_grid", "service_bus"])
def test_an_identity_without_a_token_sends_nothing(kind: TargetKind, authority: trustme.CA, tmp_path: Path) -> None:
    """The cause is named; it goes on by itself."""
    with forwarding(kind, tmp_path, authority) as to:
        to.token_fails = True
        to.announce(event(1))
        to.work()
        assert to.causes() == {"no_token": 1}
        assert to.receiver.counts["requests"] == 0
        to.token_fails = False
        to.wait(timedelta(minutes=2))
        assert to.ids() == [1]


def test_a_certificate_of_another_authority_gets_no_request(to: ForwardWorld, tmp_path: Path) -> None:
    """Neither token nor events leave to somebody else (P15)."""
    (tmp_path / "other").mkdir()
    to.ca = ca_file(trustme.CA(), tmp_path / "other")
    to.point_to(to.address)
    to.announce(event(1))
    to.work()
    assert to.receiver.counts["requests"] == 0
    assert to.causes() == {"network": 1}


def test_nobodys_netrc_replaces_the_token(to: ForwardWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without `auth` would get what stands there (P15)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    to.announce(event(1))
    to.work()
    assert to.ids() == [1]
    (headers,) = to.receiver.requests
    assert headers.get("authorization", "").startswith("Basic") is False
    assert ("authorization" in headers) == (to.kind is not HOOK)


def test_no_secret_is_logged_or_kept(hook: ForwardWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key, signature nor the path of the endpoint is in a line, a row or a letter (P15)."""
    caplog.set_level("DEBUG", logger="shared")
    hook.receiver.forced = [(401, {}), (400, {})]
    hook.announce(event(1))
    hook.work()
    hook.wait(timedelta(minutes=3))
    said = " ".join(caplog.messages) + repr(hook.letters()) + repr(hook.world.forwarding.target)
    assert "events.held" in said
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "v1,", "/in"):
        assert secret not in said


def test_a_large_batch_goes_on_in_another_delivery(hook: ForwardWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """No function works for hours; what is left has a message, and a row in case that gets lost."""
    monkeypatch.setattr(forward_module, "_AT_WORK", timedelta(seconds=-1))
    hook.announce(*(event(number) for number in range(5)))
    assert hook.step()
    assert hook.ids() == [0]
    assert hook.causes() == {"": 1}
    hook.work()
    assert hook.ids() == [0, 1, 2, 3, 4]
    assert not hook.causes()


def test_a_lost_message_of_waiting_events_is_sent_for_again(hook: ForwardWorld) -> None:
    """The row is what keeps them; its message is only a hint."""
    hook.receiver.forced = [(500, {})]
    hook.announce(event(1))
    hook.work()
    hook.world.clock.advance(timedelta(minutes=2))
    hook.world.run_timer("retry_sales_orders")
    hook.world.queues.names[QUEUE_FORWARD].clear()
    hook.wait(timedelta(minutes=14))
    assert not hook.receiver.accepted
    hook.wait(timedelta(minutes=3))
    assert hook.ids() == [1]


@pytest.mark.parametrize("is_stored", [False, True], ids=["new", "waiting"])
def test_events_that_kill_their_worker_are_kept(hook: ForwardWorld, is_stored: bool) -> None:
    """The host moves such a message to the poison queue; a person redrives it."""
    if is_stored:
        hook.receiver.forced = [(500, {})]
    hook.announce(event(1), event(2))
    if is_stored:
        hook.work()
        hook.world.clock.advance(timedelta(minutes=2))
        hook.world.run_timer("retry_sales_orders")

    def die(name: str) -> None:
        if name == "before send":
            raise Crash

    hook.world.point = die
    for _ in range(MAX_DELIVERIES + 1):
        hook.step()
        hook.world.clock.advance(timedelta(minutes=11))
    hook.world.point = lambda _: None
    hook.work()
    ((_, reason),) = hook.letters()
    assert "died" in reason
    assert not hook.causes()
    redriven(hook)
    assert hook.ids() == [1, 2]
    assert not hook.letters()


@pytest.mark.parametrize("body", ["", "{}", "null", "[1]", '{"batch":1}', '{"from":0,"to":1,"message":1}', "äöü"])
def test_a_message_that_is_none_of_ours_is_a_letter(hook: ForwardWorld, body: str) -> None:
    """Nobody else writes to the queue; whoever does is seen."""
    hook.world.queues.put(QUEUE_FORWARD, body, hook.world.clock.now())
    hook.work()
    assert len(hook.letters()) == 1
    assert hook.receiver.counts["requests"] == 0


def test_a_message_for_events_that_were_sent_long_ago_does_nothing(hook: ForwardWorld) -> None:
    """A copy of a retry comes late."""
    hook.world.queues.put(QUEUE_FORWARD, '{"batch": "gone"}', hook.world.clock.now())
    hook.work()
    assert not hook.letters()
    assert hook.receiver.counts["requests"] == 0
