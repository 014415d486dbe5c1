"""A reader reads pages beside the identity, within limits of its own; without it everything goes on as before."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import jwt
import pytest
from business_central_emulator.server.exchange import Request, Response

from local.emulators.entra.directory import CLIENT_ID, READER_CLIENT_ID
from shared.errors import StoreUnavailable
from shared.login.reader_tokens import REST, SETTLED
from shared.operations.connection_health import health_of
from shared.operations.findings import Finding
from tests.support.connected_worlds import Deployment

SECRET: Final = "bc-reader-secret-eu"
STRANGER: Final = "00000000-0000-4000-8000-000000000001"


def reading(**env: str) -> Deployment:
    """A deployment of one connection with a reader."""
    return Deployment("eu", **{"BC_READER_CLIENT_ID": READER_CLIENT_ID, **env})


def counted(made: Deployment) -> list[tuple[str, str]]:
    """Note who asks Business Central with which method from now on."""
    limits = made.places["eu"].bc.limits
    asked: list[tuple[str, str]] = []
    count = limits.count

    def noting(principal: str, at: datetime, method: str) -> bool:
        asked.append((principal, method))
        return count(principal, at, method)

    limits.count = noting  # type: ignore[method-assign,assignment]
    return asked


def work(made: Deployment) -> None:
    """Register, read all that is read, and post an order."""
    for timer in ("keep_subscriptions", "pull_items", "reconcile"):
        made.timer(timer)
    (result,) = made.order("A-1")
    assert result["status"] == "created"


def found(made: Deployment) -> list[Finding]:
    """What the status says of the reader."""
    return [one for one in made.made.view("eu").findings if one.check == "reader"]


def test_the_reader_reads_pages_and_does_nothing_else() -> None:
    """Pages of pull, reconcile and snapshot are its; whatever writes, and what an order needs, is the identity's."""
    made = reading()
    asked = counted(made)
    work(made)
    assert [event["subject"] for event in made.events if event["type"] == "bc.item.pulled.v1"]
    assert {method for who, method in asked if who == READER_CLIENT_ID} == {"GET"}
    assert {method for who, method in asked if who == CLIENT_ID} >= {"GET", "POST"}
    asked.clear()
    made.order("A-2")
    assert {who for who, _ in asked} == {CLIENT_ID}
    assert made.failed == []
    assert found(made) == []


def _no_secret(made: Deployment) -> Callable[[], object]:
    kept = made.vault.versions.pop(SECRET)
    return lambda: made.vault.versions.update({SECRET: kept})


def _wrong_secret(made: Deployment) -> Callable[[], object]:
    made.vault.versions[SECRET] = ["wrong"]
    return lambda: made.vault.write(SECRET, made.places["eu"].reader_secret)


def _unknown_to_bc(made: Deployment) -> Callable[[], object]:
    made.places["eu"].refused.add(READER_CLIENT_ID)
    return made.places["eu"].refused.clear


@pytest.mark.parametrize(
    ("spoil", "do"), [(_no_secret, SECRET), (_wrong_secret, SECRET), (_unknown_to_bc, "Microsoft Entra Applications")]
)
def test_a_reader_that_is_refused_costs_nothing(
    spoil: Callable[[Deployment], Callable[[], object]], do: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The identity reads on at once, one line is logged, the status says what to do; mended, it is used again."""
    caplog.set_level(logging.INFO)
    made = reading()
    mend = spoil(made)
    asked, started = counted(made), made.clock.now()
    work(made)
    made.timer("pull_items")
    assert made.clock.now() - started < timedelta(seconds=30)
    assert made.failed == []
    assert [event["subject"] for event in made.events if event["type"] == "bc.item.pulled.v1"]
    assert [line.message.split()[0] for line in caplog.records].count("reader.refused") == 1
    assert not any(made.places["eu"].reader_secret in line.message for line in caplog.records)
    (finding,) = found(made)
    assert (finding.code, do in finding.do) == ("reader_refused", True)
    assert health_of([finding]).word == "connected"
    mend()
    made.clock.advance(REST.total_seconds())
    asked.clear()
    made.timer("pull_items")
    assert READER_CLIENT_ID in {who for who, _ in asked}
    made.clock.advance(SETTLED.total_seconds())
    made.timer("pull_items")
    assert found(made) == []


NO: Final = b'{"error":{"code":"Internal_x","message":"no"}}'
AILS: Final = {
    "503": Response(status=503, body=NO),
    "503 for a minute": Response(status=503, headers={"Retry-After": "60"}, body=NO),
    "504": Response(status=504, body=NO),
    "408": Response(status=408, body=NO),
    "400": Response(status=400, body=NO),
    "404": Response(status=404, body=NO),
    "409": Response(status=409, body=NO),
    "html": Response(status=200, body=b"<html>login</html>"),
    "cut": Response(status=200, body=b'{"value":['),
}


@pytest.mark.parametrize("answer", AILS.values(), ids=AILS)
def test_a_reader_that_alone_is_not_served_costs_little_and_is_shown(
    answer: Response, caplog: pytest.LogCaptureFixture
) -> None:
    """Each page comes at once by the identity; the reader rests, is asked again later, and then the status says it."""
    caplog.set_level(logging.INFO)
    made = reading()
    bc = made.places["eu"].bc
    handle, asked = bc.handle, []

    def failing(request: Request) -> Response:
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        if not token or jwt.decode(token, options={"verify_signature": False})["appid"] != READER_CLIENT_ID:
            return handle(request)
        asked.append(request.url)
        return answer

    bc.handle = failing  # type: ignore[method-assign]
    made.restart()
    started = made.clock.now()
    made.timer("pull_items")
    assert made.clock.now() - started < timedelta(seconds=30)
    assert [event["subject"] for event in made.events if event["type"] == "bc.item.pulled.v1"]
    assert len(asked) == 1
    assert found(made) == [], "once may be chance"
    for _ in range(4):
        made.clock.advance(900)
        made.timer("pull_items")
    assert (made.failed, len(asked)) == ([], 5)
    assert [one.code for one in found(made)] == ["reader_refused"]
    assert [line.message.split()[0] for line in caplog.records].count("reader.refused") == 1


def test_a_state_of_the_reader_that_cannot_be_read_is_shown_as_unknown_and_never_as_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The status shows the rest of the connection; the doctor, who is to find out, says that nobody can tell."""
    made = reading()
    made.timer("pull_items")

    def unavailable(*_: object) -> None:
        raise StoreUnavailable("Table Storage: no answer")

    at_work = made.made.connection("eu")
    assert at_work.reader is not None
    monkeypatch.setattr(at_work.reader, "state", unavailable)
    shown = made.made._reader(at_work)
    assert shown is not None
    assert (shown.state, shown.reason) == ("", "Table Storage: no answer")
    with pytest.raises(StoreUnavailable):
        made.made._reader(at_work, ask=True)


def test_a_reader_that_entra_does_not_know_is_named() -> None:
    """The finding names the setting."""
    made = reading(BC_READER_CLIENT_ID=STRANGER)
    made.timer("pull_items")
    (finding,) = found(made)
    assert "BC_READER_CLIENT_ID" in finding.do


def test_the_budgets_are_those_of_identity_and_reader() -> None:
    """Each application has rows of its own, by tenant."""
    made = reading()
    settings = made.made.connection("eu").context.settings
    (partitions,) = made.made._budgets
    assert partitions == (f"budget|{settings.identity}", f"budget|{settings.reader_identity}")
    assert settings.reader_identity.endswith(f"|{READER_CLIENT_ID}|app")
