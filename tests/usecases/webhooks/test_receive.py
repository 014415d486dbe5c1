"""The webhook route: whatever is thrown at it, it answers 200, 202 or 503, and only Business Central gets in (P3)."""

import json
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.business_central.entities import ENTITIES, ITEMS, SALES_INVOICES
from shared.changes.jobs import GROUP
from shared.connections.context import Context
from shared.errors import ConfigError, IntegrationError, StoreUnavailable
from shared.webhooks import delivery
from shared.webhooks.delivery import Target, client_state, subscription_path
from shared.webhooks.receive import Reply, receive
from shared.webhooks.tally import Tally
from tests.simulation.world import World
from tests.support.worlds import requests_made, restart, small_world

KEY = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
API = "https://api.businesscentral.dynamics.com"


@dataclass
class Hook:
    """The route of one world, and what Business Central would send to it."""

    world: World

    def __post_init__(self) -> None:
        self.company = self.world.bc.company().id
        self.secret = b"a webhook secret of this world"
        self.path = self.path_of(self.company, "items")

    def path_of(self, company: str, entity: str) -> str:
        """The last segment of a subscription's URL."""
        return subscription_path(self.secret, self.world.settings.connection, Target(company, ENTITIES[entity]))

    def entry(self, **changes: object) -> dict[str, object]:
        """A genuine entry, or one spoilt in some place."""
        return {
            "subscriptionId": "5c0e9a7f21b34d06a1f1c2d3e4f50617",
            "clientState": client_state(self.secret, self.path),
            "resource": f"{ITEMS.resource(self.company)}({KEY})",
            "changeType": "created",
            "lastModifiedDateTime": "2026-02-11T09:14:27.53Z",
            **changes,
        }

    def send(
        self, *entries: object, path: str | None = None, body: bytes | None = None, tally: Tally | None = None
    ) -> Reply:
        """Send a delivery."""
        content = json.dumps({"value": list(entries)}).encode() if body is None else body
        path = self.path if path is None else path
        return receive({}, path, content, lambda _: self.world.ctx, tally=tally or Tally())


@pytest.fixture(scope="module")
def hook() -> Hook:
    """One world for the module: the route stores nothing."""
    return Hook(small_world())


def never(_: str) -> Context:
    """A context that must not be asked for."""
    raise AssertionError("the handshake touched the settings")


@given(st.text(max_size=200), st.text(max_size=60), st.binary(max_size=40))
def test_the_handshake_echoes_the_exact_token_and_touches_nothing(token: str, path: str, body: bytes) -> None:
    """Any token, on any path, with any body: 200 and the token, without settings, vault or storage (P1)."""
    assert receive({"validationToken": token, "x": "y"}, path, body, never) == Reply(200, token)


def test_a_call_without_a_body_is_answered() -> None:
    """Somebody opening the address in a browser gets 200 and nothing."""
    assert receive({}, "x", b"", never) == Reply(200)


def test_a_body_that_the_host_lost_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """The host hands a chunked body over as zero bytes: 503, never 200, and a line in the log (P2)."""
    assert receive({}, "x", b"", never, sent_a_body=True, tally=Tally()) == Reply(503)
    assert "webhook.refused" in caplog.text


def test_a_body_without_the_right_client_state_is_never_parsed(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen forged megabytes once cost 3 GB and 43 s; now their bytes are searched and nothing else."""
    monkeypatch.setattr(delivery, "_entries", lambda body: pytest.fail("parsed"))
    assert hook.send(body=b"[" * delivery.MAX_BODY) == Reply(202)
    assert hook.send(hook.entry(clientState="x")) == Reply(202)


def test_a_genuine_body_above_the_limit_is_dropped(hook: Hook) -> None:
    """BC sends half of it at most."""
    assert hook.send(hook.entry(x="y" * delivery.MAX_BODY)) == Reply(202)


def test_a_genuine_notification_becomes_a_job(hook: Hook) -> None:
    """202, and the job that must be durable before it (P2)."""
    reply = hook.send(hook.entry())
    (job,) = reply.jobs
    assert reply.status == 202
    assert (job.company, job.entity, [change.key for change in job.changes]) == (hook.company, "items", [KEY])


def test_a_thousand_notifications_become_groups(hook: Hook) -> None:
    """The most that BC sends at once is a handful of messages."""
    resource = ITEMS.resource(hook.company)
    keys = [f"{n:08x}-91d3-f011-8d4c-6045bd1a2c10" for n in range(1000)]
    reply = hook.send(*(hook.entry(resource=f"{resource}({key})") for key in keys))
    assert [change.key for job in reply.jobs for change in job.changes] == keys
    assert len(reply.jobs) == 1000 / GROUP


def forged(hook: Hook) -> dict[str, Reply]:
    """Calls that Business Central did not make."""
    resource = ITEMS.resource(hook.company)
    other = hook.world.bc.company("My Company").id
    deep = b'{"value":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    return {
        "garbage": hook.send(body=b"\x00\x01garbage"),
        "not UTF-8": hook.send(body=b'{"value": "\xff\xfe"}'),
        "half a surrogate": hook.send(body=b'{"value":[{"clientState":"\\ud800"}]}'),
        "endless number": hook.send(body=b'{"value":[{"clientState":1e99999999999999999999}]}'),
        "deep": hook.send(body=deep),
        "five megabytes": hook.send(hook.entry(), body=json.dumps({"value": [hook.entry(x="y" * 5_000_000)]}).encode()),
        "no clientState": hook.send({"resource": f"{resource}({KEY})", "changeType": "created"}),
        "wrong clientState": hook.send(hook.entry(clientState="x")),
        "clientState of another URL": hook.send(hook.entry(), path=hook.path_of(hook.company, "salesInvoices")),
        "unknown path": hook.send(hook.entry(), path="0" * 32),
        "odd path": hook.send(hook.entry(), path="../é\ud800"),
        "foreign company": hook.send(hook.entry(resource=f"{ITEMS.resource(other)}({KEY})")),
        "foreign entity": hook.send(hook.entry(resource=f"{SALES_INVOICES.resource(hook.company)}({KEY})")),
        "another host": hook.send(hook.entry(resource=f"https://evil.example/v2.0/x/{resource}({KEY})")),
        "our host as a user": hook.send(hook.entry(resource=f"{API}@evil.example/{resource}({KEY})")),
        "no change": hook.send(hook.entry(changeType="stolen")),
        "no key": hook.send(hook.entry(resource=resource)),
    }


def test_a_forged_call_makes_no_job_and_no_request(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    """Answered 202 so that its sender learns nothing; no queue message, no call to BC, one line in the log (P3)."""
    before = requests_made(hook.world)
    caplog.set_level(logging.WARNING)
    replies = forged(hook)
    assert {name: (reply.status, reply.jobs, reply.body) for name, reply in replies.items()} == dict.fromkeys(
        replies, (202, (), "")
    )
    assert requests_made(hook.world) == before
    assert len([line for line in caplog.messages if line.startswith("webhook.dropped")]) == len(replies)
    assert client_state(hook.secret, hook.path) not in caplog.text


@pytest.mark.parametrize("prefix", ["", "/", f"{API}/v2.0/lmints.io/production/", f"{API}/v2.0/Production/"])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("tail", [f"({KEY})", "", "?$filter=lastModifiedDateTime%20gt%202026-02-11T09:10:00.12Z"])
def test_every_form_of_a_genuine_resource_gets_in(hook: Hook, prefix: str, upper: bool, tail: str) -> None:
    """BC repeats the resource as it was registered, and may make it absolute."""
    company = hook.company.upper() if upper else hook.company
    entry = hook.entry(
        resource=prefix + ITEMS.resource(company) + tail, changeType="updated" if tail.startswith("(") else "collection"
    )
    reply = hook.send(entry, path=hook.path.upper() if upper else hook.path)
    assert len(reply.jobs) == 1
    assert reply.jobs[0].collection == {f"({KEY})": "", "": "plain"}.get(tail, "filtered")


texts = st.text(st.characters(), max_size=60)
bodies = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["value", "clientState", "resource", "changeType"]), inner, max_size=4)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)


@hypothesis_settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["validationtoken", "code", "x"]), texts, max_size=2), texts, bodies)
def test_no_call_gets_another_answer_or_a_job(hook: Hook, query: dict[str, str], path: str, body: bytes) -> None:
    """Fuzz of path, query and body: 200, 202 or 503 and nothing else; BC deletes all webhooks after a 4xx (P3)."""
    for where in (path, hook.path):
        reply = receive(query, where, body, lambda _: hook.world.ctx)
        assert reply.status in {200, 202, 503}
        assert reply.jobs == ()


@given(
    st.dictionaries(
        st.sampled_from(["clientState", "resource", "changeType", "lastModifiedDateTime"]), texts | st.none()
    )
)
def test_a_spoilt_genuine_entry_is_harmless(hook: Hook, spoilt: dict[str, Any]) -> None:
    """Whatever one member is replaced by, what gets in is this company's entity and nothing else (P15)."""
    reply = hook.send(hook.entry(**spoilt))
    assert reply.status == 202
    for job in reply.jobs:
        assert (job.company, job.entity) == (hook.company, "items")
        assert all(len(change.key) == 36 for change in job.changes)


@pytest.mark.parametrize("error", [ConfigError({"BC_TENANT_ID": "is required"}), StoreUnavailable("down")])
def test_without_settings_or_vault_bc_is_asked_to_come_again(
    error: IntegrationError, caplog: pytest.LogCaptureFixture
) -> None:
    """503: BC repeats for some 18 hours, and the handshake goes on working (P16)."""

    def broken(_: str) -> Context:
        raise error

    assert receive({}, "x", b'{"value": []}', broken, tally=Tally()) == Reply(503)
    assert receive({"validationToken": "t"}, "x", b"", broken) == Reply(200, "t")
    assert "webhook.refused" in caplog.text


def test_without_a_secret_nothing_is_taken_and_nothing_lost() -> None:
    """A vault that was emptied: BC shall come again; what it has registered is known to nobody now."""
    world = small_world()
    world.secrets.values.clear()
    restart(world)
    assert Hook(world).send(Hook(world).entry()).status == 503


def test_a_vault_that_fails_once_the_secret_is_known_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is kept for some minutes: a short outage of the vault is not seen."""
    world = small_world()
    hook = Hook(world)
    assert hook.send(hook.entry()).jobs
    monkeypatch.setattr(world.secrets, "read", lambda _: pytest.fail("read again"))
    assert hook.send(hook.entry()).jobs


def test_a_flood_of_forged_calls_is_one_line_and_one_vault_read(
    hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred of them in a minute: counted, logged once; a process reads the vault once (P3)."""
    caplog.set_level(logging.WARNING)
    restart(hook.world)
    reads: list[str] = []
    vault = hook.world.secrets.read

    def read(name: str) -> str | None:
        reads.append(name)
        return vault(name)

    monkeypatch.setattr(hook.world.secrets, "read", read)
    tally = Tally()
    context = hook.world.ctx
    for _ in range(200):
        assert receive({}, "x", b"{}", lambda _: context, tally=tally).status == 202
    lines = [line for line in caplog.messages if line.startswith("webhook.dropped")]
    assert len(lines) == 1
    assert len(reads) == 1


@pytest.mark.parametrize("answer", [None, StoreUnavailable("Key Vault: 503")], ids=["no secret", "no answer"])
def test_forged_posts_ask_a_vault_that_has_nothing_once_a_minute(
    hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answer: Exception | None
) -> None:
    """What the vault said is remembered, absence and failure as well; the log tells it once (P3)."""
    restart(hook.world)
    reads: list[str] = []

    def read(name: str) -> None:
        reads.append(name)
        if answer is not None:
            raise answer

    monkeypatch.setattr(hook.world.secrets, "read", read)
    context, tally = hook.world.ctx, Tally()
    for _ in range(5):
        assert receive({}, "x", b"{}", lambda _: context, tally=tally).status == 503
    assert len(reads) == 1
    assert len([line for line in caplog.messages if line.startswith("webhook.refused")]) == 1
    hook.world.clock.advance(61)
    assert receive({}, "x", b"{}", lambda _: context, tally=tally).status == 503
    assert len(reads) == 2
    restart(hook.world)
