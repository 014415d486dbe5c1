"""What a token says about itself: each claim that Business Central would not like is named."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.operations.findings import Finding, Severity
from shared.operations.token_claims import read_claims, token_findings
from tests.conftest import FixedClock

TENANT = "0b1d9d6e-3c5a-4b0e-9f57-6b2c7f8a1d24"
CLIENT = "5f0e9c1a-7d42-4c38-8a6b-2e91b7d3f604"


def jwt(claims: dict[str, Any]) -> str:
    """A token with these claims and a signature that nobody checks."""
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


def good(clock: FixedClock, **changes: Any) -> dict[str, Any]:
    """The claims of a person's token that is in order; a claim set to None is left out."""
    begins = int(clock().timestamp())
    claims = {
        "aud": "https://api.businesscentral.dynamics.com", "tid": TENANT, "appid": CLIENT, "upn": "megan@lmints.io",
        "scp": "Financials.ReadWrite.All user_impersonation", "nbf": begins, "exp": begins + 3600,
    }  # fmt: skip
    return {name: value for name, value in (claims | changes).items() if value is not None}


def look(clock: FixedClock, *, is_delegated: bool = True, tenant: str = TENANT, **changes: Any) -> list[Finding]:
    token = jwt(good(clock, **changes))
    found = token_findings(token, now=clock(), tenant_id=tenant, client_id=CLIENT, is_delegated=is_delegated)
    return list(found)


def test_a_token_in_order_says_for_whom_and_what(clock: FixedClock) -> None:
    """The finding shows audience, user, permissions and end, and never the token."""
    (found,) = look(clock)
    assert found.severity is Severity.OK
    for word in ("api.businesscentral", "megan@lmints.io", "Financials.ReadWrite.All", "13:00"):
        assert word in found.seen


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "https://graph.microsoft.com"}, "token_audience"),
        ({"aud": None}, "token_audience"),
        ({"tid": "11111111-1111-1111-1111-111111111111"}, "token_tenant"),
        ({"appid": "11111111-1111-1111-1111-111111111111"}, "token_application"),
        ({"scp": "User.Read"}, "token_permissions"),
        ({"scp": None, "roles": ["API.ReadWrite.All"]}, "token_permissions"),
    ],
)
def test_a_claim_that_is_not_liked_is_named(clock: FixedClock, changes: dict[str, Any], code: str) -> None:
    """One fault, one finding, with cause and next step."""
    (found,) = look(clock, **changes)
    assert found.code == code
    assert found.severity is Severity.ERROR
    assert found.cause
    assert found.do


def test_an_app_needs_a_role_and_not_a_scope(clock: FixedClock) -> None:
    """In the app-only modes `roles` counts."""
    assert look(clock, is_delegated=False)[0].code == "token_permissions"
    assert look(clock, is_delegated=False, scp=None, roles=["API.ReadWrite.All"])[0].code == "ok"


def test_the_audience_may_be_the_application_id_or_end_in_a_slash(clock: FixedClock) -> None:
    """Both are Business Central."""
    assert look(clock, aud="996def3d-b36c-4153-8607-a6fd3c01b89f")[0].code == "ok"
    assert look(clock, aud="https://api.businesscentral.dynamics.com/")[0].code == "ok"


def test_a_tenant_named_by_its_domain_is_not_compared(clock: FixedClock) -> None:
    """A domain and a GUID can't be told to differ."""
    assert look(clock, tenant="lmints.io", tid="11111111-1111-1111-1111-111111111111")[0].code == "ok"


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({"preferred_username": "m@b.c"}, "megan@lmints.io"),
        ({"upn": None, "preferred_username": "m@b.c"}, "m@b.c"),
        ({"upn": None}, CLIENT),
        ({"upn": None, "appid": None, "azp": CLIENT.upper()}, CLIENT.upper()),
        ({"upn": None, "appid": None}, "?"),
    ],
)
def test_whose_token_it_is_stands_in_one_of_several_claims(
    clock: FixedClock, changes: dict[str, Any], who: str
) -> None:
    """A person's in that of its version, an application's where there is no person."""
    (found,) = look(clock, **changes)
    assert f", as {who}, with" in found.seen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aud": None}, "is for nobody (claim aud)"),
        ({"aud": "https://graph.microsoft.com"}, "is for https://graph.microsoft.com (claim aud)"),
        ({"appid": None, "azp": "another"}, "to application another"),
        ({"scp": None}, "holds no permission (claim scp)"),
        ({"scp": "b a"}, "holds a, b (claim scp)"),
        ({"exp": 0, "nbf": "soon"}, "from unknown to 1970-01-01 00:00 UTC"),
        ({"exp": 0, "nbf": 10**15}, "from unknown to 1970-01-01 00:00 UTC"),
        ({"exp": 0, "nbf": 10**30}, "from unknown to 1970-01-01 00:00 UTC"),
    ],
)
def test_a_fault_says_what_the_token_holds(clock: FixedClock, changes: dict[str, Any], said: str) -> None:
    """And under which claim, so that it can be looked up."""
    (found,) = look(clock, **changes)
    assert said in found.seen


@pytest.mark.parametrize(
    ("is_delegated", "words"),
    [(True, ("scp", "delegated", "Financials.ReadWrite.All")), (False, ("roles", "application", "API.ReadWrite.All"))],
)
def test_the_permission_that_lacks_is_named(clock: FixedClock, is_delegated: bool, words: tuple[str, ...]) -> None:
    """A person's and an application's differ."""
    (found,) = look(clock, is_delegated=is_delegated, scp="x", roles=["y"])
    claim, kind, permission = words
    assert f"(claim {claim})" in found.seen
    assert f"the {kind} permission {permission} " in found.cause
    assert found.do.startswith(f"Add {permission} under API permissions")


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "code"),
    [(300, 3600, "ok"), (301, 3600, "token_time"), (0, 1, "ok"), (0, 0, "token_time")],
)
def test_a_token_may_begin_five_minutes_ahead_and_ends_when_it_ends(
    clock: FixedClock, begins_s: int, ends_s: int, code: str
) -> None:
    """So much do clocks differ that are right."""
    now = int(clock().timestamp())
    assert look(clock, nbf=now + begins_s, exp=now + ends_s)[0].code == code


@pytest.mark.parametrize("length", range(4))
def test_a_token_of_any_length_is_looked_into(length: int) -> None:
    """Its parts bear no padding."""
    claims = {"a": "x" * length}
    head, body, end = jwt(claims).split(".")
    assert read_claims(f"{head}.{body}.{end}") == claims
    assert read_claims(f"head.{body}.{end}") == claims


@pytest.mark.parametrize("shift", [timedelta(hours=2), -timedelta(hours=2)])
def test_a_token_out_of_its_time_tells_of_a_wrong_clock(clock: FixedClock, shift: timedelta) -> None:
    """A token that was just issued and is not valid by our clock means that our clock is wrong."""
    token = jwt(good(clock))
    (found,) = token_findings(token, now=clock() + shift, tenant_id=TENANT, client_id=CLIENT, is_delegated=True)
    assert found.code == "token_time"


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.!!!.c", "a.e30.c.d", "a.W10.c", f"a.{'A' * 4000}.c"])
def test_whatever_is_no_jwt_is_only_noted(clock: FixedClock, token: str) -> None:
    """An opaque token is legal; nothing raises."""
    assert read_claims(token) is None
    (found,) = token_findings(token, now=clock(), tenant_id=TENANT, client_id=CLIENT, is_delegated=True)
    assert found.severity is Severity.NOTE
