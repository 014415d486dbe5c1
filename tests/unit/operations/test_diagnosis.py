"""The doctor's judgement of webhooks, address, queues and Business Central's log: what is called wrong, and why."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.business_central.port import Subscription, Wanted, WebhookLogLine
from shared.operations.diagnosis import (
    HandshakeResult,
    handshake_finding,
    log_findings,
    queue_findings,
    unsupported,
    webhook_findings,
)
from shared.operations.findings import Finding, Severity
from shared.operations.poison_contents import Peeked
from shared.webhooks.plan import Keep, Register, Remove, Renew, Step

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OURS = "https://app.example/api/bc/notifications/"
APP = "https://app.example"


@pytest.mark.parametrize(
    ("result", "code", "severity"),
    [
        (HandshakeResult(error="no route"), "public_url_unreachable", Severity.ERROR),
        (HandshakeResult(status=403), "public_url_restricted", Severity.WARNING),
        (HandshakeResult(status=404), "public_url_other", Severity.ERROR),
        (HandshakeResult(status=200), "public_url_other", Severity.ERROR),
        (HandshakeResult(status=404, is_exact=True), "public_url_other", Severity.ERROR),
        (HandshakeResult(status=200, is_exact=True, took_s=5.1), "public_url_slow", Severity.WARNING),
        (HandshakeResult(status=200, is_exact=True, took_s=5.0), "ok", Severity.OK),
        (HandshakeResult(status=200, is_exact=True), "ok", Severity.OK),
    ],
)
def test_a_handshake_shows_whether_a_webhook_would_be_found(
    result: HandshakeResult, code: str, severity: Severity
) -> None:
    """Business Central waits five seconds and wants its token back, and nothing else."""
    found = handshake_finding(result, APP)
    assert (found.code, found.severity) == (code, severity)
    assert APP in found.seen


def test_a_handshake_is_told_with_what_came_of_it() -> None:
    """The error where there was no answer, the time where there was one; nothing is taken for the token."""
    assert handshake_finding(HandshakeResult(status=200), APP).code == "public_url_other"
    assert handshake_finding(HandshakeResult(error="no route"), APP).seen.endswith("got no answer: no route.")
    assert handshake_finding(HandshakeResult(status=200, is_exact=True), APP).seen.endswith("whole after 0.00 s.")


def want(entity: str, company: str = "c") -> Wanted:
    """A webhook that should exist."""
    return Wanted(company=company, entity=entity, url=OURS + entity, resource="r", client_state="s")


def held(url: str = OURS + "1", age: timedelta = timedelta(0)) -> Subscription:
    """A webhook that does, renewed that long ago."""
    expires_at = NOW + timedelta(days=3) - age
    return Subscription(subscription_id="i", url=url, resource="r", expires_at=expires_at, etag="e")


def webhooks(
    *steps: Step, existing: Sequence[Subscription] = (), failures: dict[tuple[str, str], str] | None = None
) -> list[Finding]:
    """What is said of some steps."""
    return webhook_findings(steps, existing, names={"c": "CRONUS"}, failures=failures or {}, own_prefix=OURS, now=NOW)


def test_webhooks_that_are_there_and_young_are_in_order() -> None:
    """One that is to be renewed is as good, until it is older than two days."""
    day, two_days = timedelta(days=1), timedelta(days=2)
    young = Renew(want("items"), held(age=two_days - timedelta(seconds=1)))
    (found,) = webhooks(Keep(want("items"), held()), young, Renew(want("items"), held(age=day)))
    assert (found.code, found.seen) == ("ok", "All 3 webhooks are registered and young enough.")
    (found,) = webhooks(Renew(want("items"), held(age=two_days)))
    assert (found.code, found.severity) == ("webhook_not_renewed", Severity.WARNING)
    assert found.seen == "1 webhook not renewed (times in UTC): items of CRONUS, ends 2026-03-05 12:00."
    assert found.cause.startswith("keep_subscriptions does not run")


def test_what_lacks_for_one_reason_is_one_finding() -> None:
    """With the reason as it was noted, or what it may be; a company without a name is told by its id."""
    failures = {("c", "items"): "no answer", ("c", "salesInvoices"): "no answer"}
    steps = (Register(want("items")), Register(want("salesInvoices")), Register(want("vendors", "d")))
    known, unknown = webhooks(*steps, failures=failures)
    assert (known.code, known.severity, unknown.code) == ("webhook_missing", Severity.ERROR, "webhook_missing")
    assert known.seen == "Business Central lacks 2 webhooks: items of CRONUS, salesInvoices of CRONUS."
    assert known.cause == "The last attempt failed: no answer"
    assert unknown.seen == "Business Central lacks 1 webhook: vendors of d."
    assert unknown.cause.startswith("keep_subscriptions has not run since")
    (old,) = webhooks(Renew(want("items"), held(age=timedelta(days=2))), failures=failures)
    assert old.cause == "The last attempt failed: no answer"


def test_webhooks_that_are_too_many_are_notes() -> None:
    """Of ours that nobody wants, and of another address of this app; that of something else is none of ours."""
    fine, orphans = webhooks(Remove(held()), Remove(held()))
    assert fine.seen == "All 0 webhooks are registered and young enough."
    assert (orphans.code, orphans.severity) == ("webhook_orphan", Severity.NOTE)
    assert orphans.seen == "Business Central holds 2 webhooks of ours that no setting asks for."
    elsewhere = [held("https://old.example/api/bc/notifications/1"), held("https://erp.example/hook"), held()]
    _, foreign = webhooks(existing=elsewhere)
    assert (foreign.code, foreign.severity) == ("webhook_elsewhere", Severity.NOTE)
    assert foreign.seen == "The route of another address takes 1 webhook."


def test_two_hundred_webhooks_are_all_that_there_can_be() -> None:
    """Then no further one is registered."""
    assert [one.code for one in webhooks(existing=[held()] * 199)] == ["ok"]
    (_, full) = webhooks(existing=[held()] * 200)
    assert (full.code, full.severity) == ("webhook_limit", Severity.ERROR)


def test_an_entity_without_a_webhook_is_a_note() -> None:
    """Its records come by the reconcile."""
    assert unsupported([]) == []
    (found,) = unsupported(["items of CRONUS"])
    assert (found.code, found.severity) == ("webhook_unsupported", Severity.NOTE)


@pytest.mark.parametrize(
    ("queue", "depth", "code"),
    [
        ("bc-pages", 500, "ok"), ("bc-pages", 501, "queue_jam"), ("bc-events", 10_000, "ok"),
        ("bc-events", 10_001, "output_unread"), ("another", 10**9, "ok"), ("sales-orders", 0, "ok"),
        ("sales-orders-poison", 1, "poison"), ("sales-orders-poison", 0, "ok"), ("bc-pages", None, "ok"),
    ],
)  # fmt: skip
def test_a_queue_is_too_long_by_what_it_is(queue: str, depth: int | None, code: str) -> None:
    """Work is soon done, outputs wait for others, and a poison queue is empty."""
    (found,) = queue_findings({queue: depth}, {}, now=NOW)
    assert found.code.partition("_")[0] == code.partition("_")[0]
    if code != "poison":
        assert found.code == code


def test_queues_in_order_are_listed_with_their_lengths() -> None:
    """One that does not exist yet is left out."""
    (found,) = queue_findings({"bc-pages": 3, "bc-events": 0, "sales-orders": None}, {}, now=NOW)
    assert found.seen == "Messages waiting: bc-pages 3, bc-events 0."
    (none,) = queue_findings({"bc-pages": None}, {}, now=NOW)
    assert none.seen == "Messages waiting: none yet."


def test_an_output_that_nobody_reads_is_found_by_its_first_message() -> None:
    """However few they are."""
    first = Peeked(message_id="m", body=b"[]", put_at=NOW - timedelta(days=5), taken=0)
    (found,) = queue_findings({"bc-events": 1}, {"bc-events": [first]}, now=NOW)
    assert found.is_wrong


def line(details: str = "", **more: Any) -> tuple[str, WebhookLogLine]:
    """One line of a company's log, of just now."""
    given: dict[str, Any] = {"at": NOW, "failed": True, "message": "m", "details": details, **more}
    return "CRONUS", WebhookLogLine(**given)


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ("", "bc_log_retried"), ("no answer", "bc_log_retried"), ("answered 503", "bc_log_retried"),
        ("answered 408", "bc_log_retried"), ("answered 429", "bc_log_retried"), ("answered 404", "bc_log_rejected"),
        ("answered 302", "bc_log_rejected"), ("to https://x.example/404 no answer", "bc_log_retried"),
    ],
)  # fmt: skip
def test_what_business_central_wrote_is_judged_by_the_answer_that_it_got(details: str, code: str) -> None:
    """It tries again after no answer, 408, 429 and 5xx; after all else it deletes the webhooks of that address."""
    (found,) = log_findings([line(details)], now=NOW)
    assert found.code == code


def test_failures_of_one_day_are_counted_by_answer() -> None:
    """Of a line without a time nobody knows that it is older; what went well is no failure."""
    day = timedelta(hours=24)
    (fine,) = log_findings([line(at=NOW - day - timedelta(seconds=1)), line("404", failed=False)], now=NOW)
    assert fine.code == "ok"
    lines = [line("answered 404 by 500", at=NOW - day), line("404", at=None), line()]
    silent, rejected = log_findings(lines, now=NOW)
    assert silent.seen == "By its own log, a notification of CRONUS got no answer, 1 times in 24 hours."
    assert rejected.seen == "By its own log, a notification of CRONUS was answered 404, 2 times in 24 hours."


def test_four_companies_of_a_failure_are_named() -> None:
    """Each once, and how many more there are."""
    lines = [(f"company {name}", one) for name in "abcdea" for one in [line()[1]]]
    (found,) = log_findings(lines, now=NOW)
    assert "of company a, company b, company c, company d and 1 more got no answer, 6 times" in found.seen
