"""What is inside the secret `bc-token-cache`: MSAL's serialised cache, read and made to fit as plain JSON.

Pure functions; nothing here talks to the vault or to Entra. The layout is MSAL's unified cache schema, the same in
all its languages: a map of kinds (`AccessToken`, `RefreshToken`, `IdToken`, `Account`, `AppMetadata`), each a map of
entries.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

#: Key Vault's limit for the value of a secret.
SECRET_LIMIT_BYTES: Final = 25_000
#: An access token is renewed this long before its end, or at half of its life when that is shorter.
RENEW_EARLY: Final = timedelta(minutes=5)
EMPTY: Final = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token and when it must be renewed."""

    value: str = field(repr=False)
    renew_at: datetime
    expires_at: datetime

    @classmethod
    def issued(cls, value: str, *, at: datetime, lifetime_s: int) -> "AccessToken":
        """Make one from what the token endpoint says about its life."""
        lifetime = timedelta(seconds=lifetime_s)
        expires_at = at + lifetime
        return cls(value=value, expires_at=expires_at, renew_at=expires_at - min(RENEW_EARLY, lifetime / 2))


def parse(text: str | None) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the cache's entries by kind; what is missing or unreadable counts as an empty cache (nobody signed in)."""
    try:
        kinds = json.loads(text or EMPTY)
    except ValueError:
        return {}
    if not isinstance(kinds, dict):
        return {}
    return {
        kind: {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
        for kind, entries in kinds.items()
        if isinstance(entries, dict)
    }


def clean(text: str | None) -> str:
    """Return text that MSAL can load, whatever was in the secret."""
    return json.dumps(parse(text))


def user_name(text: str | None) -> str:
    """Return who is signed in, "" when nobody is."""
    accounts = parse(text).get("Account", {}).values()
    return next((str(account.get("username") or "") for account in accounts), "")


def find_access_token(text: str | None, *, client_id: str) -> AccessToken | None:
    """Return the access token that lives longest, None when there is none."""
    found = [
        AccessToken.issued(str(entry["secret"]), at=cached_at, lifetime_s=int((expires_at - cached_at).total_seconds()))
        for entry in parse(text).get("AccessToken", {}).values()
        if entry.get("client_id") == client_id and entry.get("secret")
        if (cached_at := _time(entry.get("cached_at"))) and (expires_at := _time(entry.get("expires_on")))
    ]
    return max(found, key=lambda token: token.expires_at, default=None)


def pack(text: str, *, access: AccessToken, now: datetime) -> str:
    """Return the cache as it is stored: with our clock's times, without what is over, and within the vault's limit.

    Dropped first is what can be had again: ended access tokens, then ID tokens, then the access token in hand; the
    refresh token and the account stay.
    """
    kinds = parse(text)
    kept: dict[str, dict[str, Any]] = {}
    for key, entry in kinds.get("AccessToken", {}).items():
        if entry.get("secret") == access.value:  # MSAL stamps with its own clock; one clock decides: ours
            times = {"cached_at": _stamp(now), "expires_on": _stamp(access.expires_at)}
            kept[key] = {**entry, **times, "extended_expires_on": _stamp(access.expires_at)}
    kinds["AccessToken"] = kept
    for droppable in ("", "IdToken", "AccessToken"):
        kinds.pop(droppable, None)
        packed = json.dumps(kinds, separators=(",", ":"))
        if len(packed.encode()) <= SECRET_LIMIT_BYTES:
            break
    return packed


def _stamp(time: datetime) -> str:
    return str(int(time.timestamp()))


def _time(stamp: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(stamp)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
