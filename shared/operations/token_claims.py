"""What an access token says about itself, and what of it Business Central would not like. Pure.

The signature is not verified: the token is ours to look at, and only Business Central decides about it.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared.operations.findings import Finding, fine, note, wrong

#: What `aud` may be: the resource, or its application id (version 2 tokens).
AUDIENCES: Final = frozenset({"https://api.businesscentral.dynamics.com", "996def3d-b36c-4153-8607-a6fd3c01b89f"})
DELEGATED: Final = frozenset({"Financials.ReadWrite.All", "user_impersonation"})
APPLICATION: Final = frozenset({"API.ReadWrite.All", "Automation.ReadWrite.All", "app_access"})
_GRACE: Final = timedelta(minutes=5)


def read_claims(token: str) -> dict[str, Any] | None:
    """Return the claims of a JWT, None for a token that cannot be looked into."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def token_findings(
    token: str, *, now: datetime, tenant_id: str, client_id: str, is_delegated: bool
) -> tuple[Finding, ...]:
    """Return what is wrong with a token, or one finding that it is in order."""
    claims = read_claims(token)
    if claims is None:
        return (note("token", "token_opaque", "The access token cannot be looked into.", "It is not a JWT."),)
    found = [
        *_audience(claims),
        *_tenant(claims, tenant_id),
        *_application(claims, client_id),
        *_permissions(claims, is_delegated=is_delegated),
        *_times(claims, now),
    ]
    if found:
        return tuple(found)
    held = claims.get("scp") if is_delegated else " ".join(map(str, _list(claims.get("roles"))))
    who = claims.get("upn") or claims.get("preferred_username") or claims.get("appid") or claims.get("azp") or "?"
    return (fine("token", f"For {claims.get('aud')}, as {who}, with {held}, until {_when(claims.get('exp'))}."),)


def _audience(claims: dict[str, Any]) -> list[Finding]:
    audience = str(claims.get("aud", ""))
    if audience.rstrip("/") in AUDIENCES:
        return []
    return [
        wrong(
            "token", "token_audience", f"The access token is for {audience or 'nobody'} (claim aud).",
            "It was issued for another service, so Business Central answers 401 to it.",
            "Disconnect and connect again. Check that BC_CLIENT_ID is the registration made for this app.",
        )
    ]  # fmt: skip


def _tenant(claims: dict[str, Any], tenant_id: str) -> list[Finding]:
    found = str(claims.get("tid", "")).lower()
    if "." in tenant_id or not found or found == tenant_id.lower():
        return []  # a domain name cannot be compared with a GUID
    return [
        wrong(
            "token", "token_tenant", f"The access token is of tenant {found} (claim tid).",
            "Whoever signed in belongs to another tenant than BC_TENANT_ID names.",
            "Sign in with an account of the tenant, or correct BC_TENANT_ID.",
        )
    ]  # fmt: skip


def _application(claims: dict[str, Any], client_id: str) -> list[Finding]:
    found = str(claims.get("appid") or claims.get("azp") or "").lower()
    if not found or found == client_id.lower():
        return []
    return [
        wrong(
            "token", "token_application", f"The access token was given to application {found} (claim appid).",
            "BC_CLIENT_ID was changed since somebody signed in.", "Connect again.",
        )
    ]  # fmt: skip


def _permissions(claims: dict[str, Any], *, is_delegated: bool) -> list[Finding]:
    held = set(str(claims.get("scp", "")).split()) if is_delegated else set(map(str, _list(claims.get("roles"))))
    if held & (DELEGATED if is_delegated else APPLICATION):
        return []
    claim, needed = ("scp", "Financials.ReadWrite.All") if is_delegated else ("roles", "API.ReadWrite.All")
    kind = "delegated" if is_delegated else "application"
    return [
        wrong(
            "token", "token_permissions",
            f"The access token holds {', '.join(sorted(held)) or 'no permission'} (claim {claim}).",
            f"The registration lacks the {kind} permission {needed} of Business Central, or consent to it.",
            f"Add {needed} under API permissions, grant admin consent, then connect again.",
        )
    ]  # fmt: skip


def _times(claims: dict[str, Any], now: datetime) -> list[Finding]:
    ends, begins = _time(claims.get("exp")), _time(claims.get("nbf"))
    if (ends is None or ends > now) and (begins is None or begins <= now + _GRACE):
        return []
    seen = (
        f"The access token is valid from {_when(claims.get('nbf'))} to {_when(claims.get('exp'))}; now is {now:%H:%M}."
    )
    return [
        wrong(
            "token", "token_time", seen, "A token in use is always valid by Entra's clock, so ours is wrong.",
            "Synchronise the clock of the machine.",
        )
    ]  # fmt: skip


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _when(value: object) -> str:
    moment = _time(value)
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "unknown"
