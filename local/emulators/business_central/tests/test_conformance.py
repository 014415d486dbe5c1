"""The claims are asked of the emulator itself: each is so, a difference is seen, no value of a record is told."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from business_central_emulator import BusinessCentral, Fault, FaultKind, VirtualClock
from business_central_emulator.conformance import conform_command
from business_central_emulator.conformance.asking import explore
from business_central_emulator.conformance.conform_command import (
    API,
    SettingsError,
    main,
    of_emulator,
    of_live,
    target_of,
)
from business_central_emulator.conformance.conform_report import as_json, as_markdown
from business_central_emulator.conformance.conforming import CLAIMS, Conformance, conform
from business_central_emulator.conformance.open_questions import QUESTIONS
from business_central_emulator.conformance.writing_claims import STEPS
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.exchange import Request, Response

NO_ORDER = r"GET .*salesOrders\?\$top=1"
LOGIN = "https://login.microsoftonline.com"
LIVE = {
    "BC_LIVE": "1", "BC_TENANT_ID": "contoso.example", "BC_ENVIRONMENT": "production", "BC_CLIENT_ID": "app",
    "BC_CLIENT_SECRET": "hush",
}  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Conformance:
    return of_emulator()


def asked(bc: BusinessCentral) -> Conformance:
    session = session_for({API: bc})
    session.headers["Authorization"] = "Bearer good-test"
    return conform(explore(session, bc.root_url()))


def test_every_claim_is_so_in_the_emulator(run: Conformance) -> None:
    """None differs, none lacks a record to be asked of, nothing is left behind."""
    assert {one.id: (one.outcome, one.found) for one in run.results if one.outcome != "as claimed"} == {}
    assert len(run.results) == len(CLAIMS) + len(STEPS) >= 60
    assert not run.left


def test_every_question_is_answered(run: Conformance) -> None:
    assert [id_ for id_, _, _ in run.answers] == [question.id for question in QUESTIONS]
    assert all(answer for _, _, answer in run.answers)


def test_ids_are_unique() -> None:
    ids = [*(one.id for one in CLAIMS), *(one.id for one in STEPS), *(one.id for one in QUESTIONS)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("pattern", "answer", "differs"),
    [
        ("GET .*filter=nosuch", {"status": 200, "text": '{"value":[]}'}, "filter-unknown"),
        (
            "GET .*nosuchenvironment",
            {"status": 404, "text": '{"error":{"code":"NotFound","message":""}}'},
            "address-unknown",
        ),
        ("OPTIONS ", {"status": 200, "text": ""}, "options"),
        ("GET .*select=number,displayName", {"status": 200, "text": "[]"}, "context-select"),
        ("GET .*apiRoutes|GET .*webhookLogs", {"status": 403, "text": ""}, "webhook-log"),
    ],
)
def test_a_difference_is_seen(pattern: str, answer: Mapping[str, Any], differs: str) -> None:
    """An environment that answers one request otherwise is told by that claim alone."""
    bc = BusinessCentral(VirtualClock())
    bc.faults.add(Fault(kind=FaultKind.ANSWER, match=pattern, times=None, **answer))
    found = asked(bc)
    assert [one.id for one in found.differences] == [differs]
    assert f"| {differs} |" in as_markdown(found, "t")


def test_what_there_is_no_record_for_is_not_asked() -> None:
    """A company without orders is no difference."""
    bc = BusinessCentral(VirtualClock())
    bc.faults.add(
        Fault(kind=FaultKind.ANSWER, match=r"GET .*salesOrders\?\$top=1", times=None, status=200, text='{"value":[]}')
    )
    found = asked(bc)
    missing = {one.id: one.found for one in found.results if not one.asked}
    assert missing == {"navigation-lines": "there is no order", "lines-by-document": "there is no order"}
    assert not found.differences


def test_a_connection_that_breaks_is_a_difference() -> None:
    bc = BusinessCentral(VirtualClock())
    bc.faults.add(Fault(kind=FaultKind.RESET_BEFORE, match=r"GET .*webhookLogs", times=None))
    assert [(one.id, one.found) for one in asked(bc).differences] == [("webhook-log", "no answer (ConnectionError)")]


def test_the_report_holds_no_value_of_a_record(run: Conformance) -> None:
    """Names, numbers, ids and texts of the data stay where they are."""
    text = as_json(run, "t") + as_markdown(run, "t")
    bc = BusinessCentral(VirtualClock())
    company = bc.company()
    values = {str(row[name]) for row in bc.table("items") for name in ("id", "number", "displayName")}
    values |= {str(row[name]) for row in bc.table("customers") for name in ("id", "number", "displayName")}
    assert [value for value in (*values, company.id, company.name) if value in text and len(value) > 3] == []
    assert {row["outcome"] for row in json.loads(as_json(run, "t"))["claims"]} == {"as claimed"}


@pytest.mark.parametrize(
    ("lacks", "names"),
    [
        ({"BC_CLIENT_SECRET": ""}, "BC_CLIENT_SECRET"),
        ({"BC_TENANT_ID": ""}, "BC_TENANT_ID"),
        ({"BC_LIVE_WRITE": "1"}, "BC_LIVE_COMPANY"),
    ],
)
def test_a_missing_setting_is_named(lacks: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        target_of(LIVE | lacks)


class Login:
    """Stands in for the login service: a token for one secret."""

    def handle(self, request: Request) -> Response:
        good = request.form.get("client_secret") == "hush" and request.form.get("scope") == f"{API}/.default"
        if not good:
            return Response(status=401, body=b'{"error":"invalid_client"}')
        return Response(status=200, body=b'{"access_token":"good-app"}')

    def turn(self, request: Request) -> Any:
        return Here()


class Here:
    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def live() -> Iterator[tuple[requests.Session, BusinessCentral]]:
    bc = BusinessCentral(VirtualClock(), tenant_domain="contoso.example")
    with session_for({API: bc, LOGIN: Login()}) as session:
        yield session, bc


def test_a_live_environment_is_only_read(live: tuple[requests.Session, BusinessCentral]) -> None:
    """With the settings of an application; nothing but reads reaches it (a batch of reads is a POST)."""
    session, bc = live
    seen: list[Request] = []
    handle = bc.handle

    def spy(request: Request) -> Response:
        seen.append(request)
        return handle(request)

    bc.handle = spy  # type: ignore[method-assign]
    found = of_live(LIVE, session)
    assert not found.differences
    assert {(one.method, one.path.rpartition("/")[2]) for one in seen if one.method != "GET"} == {
        ("POST", "$batch"), ("OPTIONS", "items")}  # fmt: skip
    parts = [part for one in seen if one.method == "POST" for part in one.json()["requests"]]
    assert {part["method"] for part in parts} == {"GET"}


def test_writes_go_into_the_named_company_alone(live: tuple[requests.Session, BusinessCentral]) -> None:
    session, bc = live
    found = of_live(LIVE | {"BC_LIVE_WRITE": "1", "BC_LIVE_COMPANY": bc.company().name}, session)
    assert len(found.results) == len(CLAIMS) + len(STEPS)
    assert not found.differences
    with pytest.raises(ConnectionError, match="No company Nosuch"):
        of_live(LIVE | {"BC_LIVE_COMPANY": "Nosuch"}, session)


def test_a_refused_login_is_told(live: tuple[requests.Session, BusinessCentral]) -> None:
    with pytest.raises(SettingsError, match="401"):
        of_live(LIVE | {"BC_CLIENT_SECRET": "wrong"}, live[0])


def test_the_command_writes_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when all is as claimed, 2 with one line when it can't be asked."""
    assert main(["--out", str(tmp_path)], {}) == 0
    assert (tmp_path / "conformance.md").read_text(encoding="utf-8") == capsys.readouterr().out
    assert json.loads((tmp_path / "conformance.json").read_text(encoding="utf-8"))["left"] == []
    assert main([], {"BC_LIVE": "1"}) == 2
    assert capsys.readouterr().err.startswith("conformance: BC_LIVE=1 needs BC_TENANT_ID, BC_ENVIRONMENT")


def test_every_setting_of_the_command_is_explained() -> None:
    """In the module that reads them."""
    assert conform_command.__doc__ is not None
    for name in (*LIVE, "BC_LIVE_WRITE", "BC_LIVE_COMPANY", "BC_API_URL", "BC_LOGIN_URL"):
        assert f"`{name}" in conform_command.__doc__, name
