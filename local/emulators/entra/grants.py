"""Authorization codes and refresh tokens: issued once, used once, revoked together.

Owns their lifetimes and how a used or dead one is refused; times come in as arguments.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from local.emulators.entra.directory import User
from local.emulators.entra.errors import LoginRefused, bad_grant

CODE_LIFETIME = timedelta(minutes=10)
REFRESH_LIFETIME = timedelta(days=90)  # without use


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What a user agreed to: the content of a code and of the refresh tokens that follow it."""

    tenant_id: str
    client_id: str
    user: User
    resource: str
    scopes: tuple[str, ...]  # permissions in the access token
    openid: tuple[str, ...]  # of openid, profile, email, offline_access
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    sign_in: SignIn
    redirect_uri: str
    challenge: str  # S256 of the verifier; empty when the client sent none
    issued_at: datetime
    is_used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefreshToken:
    sign_in: SignIn
    family: str
    issued_at: datetime
    is_used: bool = False
    is_revoked: bool = False
    is_expired: bool = False


class Grants:
    """All codes and refresh tokens, of every tenant. With `rotate` one works once, as for single page apps."""

    def __init__(self) -> None:
        self.rotate = False
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, _RefreshToken] = {}

    def issue_code(self, sign_in: SignIn, *, redirect_uri: str, challenge: str, now: datetime) -> str:
        """Give a code for a completed sign-in."""
        code = f"1.{secrets.token_urlsafe(48)}"
        self._codes[code] = _Code(sign_in=sign_in, redirect_uri=redirect_uri, challenge=challenge, issued_at=now)
        return code

    def redeem_code(
        self, code: str, *, tenant_id: str, client_id: str, redirect_uri: str, verifier: str, now: datetime
    ) -> tuple[SignIn, str]:
        """Use a code; give the sign-in and the family of its refresh tokens.

        Raises:
            LoginRefused: unknown, used, late, or not for this tenant, client, redirect URI or verifier. A code used
                twice also revokes what the first use got.
        """
        held = self._codes.get(code)
        if held is None or held.sign_in.client_id != client_id:
            raise bad_grant(9002313, "Invalid request. Request is malformed or invalid.")
        if held.sign_in.tenant_id != tenant_id:
            raise bad_grant(
                700005,
                "Provided Authorization Code is intended to use against other tenant, thus rejected. OAuth2 "
                "Authorization Code must be redeemed against same tenant it was acquired for (/common or /{tenant-ID} "
                "as appropriate).",
            )
        if held.is_used:
            self._revoke_family(code)
            raise bad_grant(
                54005,
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an "
                "existing refresh token.",
            )
        if now - held.issued_at > CODE_LIFETIME:
            raise bad_grant(
                70008,
                "The provided authorization code or refresh token has expired due to inactivity. Send a new "
                "interactive authorization request for this user and resource.",
            )
        if redirect_uri != held.redirect_uri:
            raise LoginRefused(
                "invalid_client",
                500112,
                f"The reply address '{redirect_uri}' does not match the reply address '{held.redirect_uri}' provided "
                "when requesting Authorization code.",
                status=401,
            )
        _check_verifier(verifier, held.challenge)
        self._codes[code] = replace(held, is_used=True)
        return held.sign_in, code

    def issue_refresh(self, sign_in: SignIn, *, family: str, now: datetime) -> str:
        """Give a refresh token."""
        token = f"1.{secrets.token_urlsafe(96)}"
        self._refresh[token] = _RefreshToken(sign_in=sign_in, family=family, issued_at=now)
        return token

    def redeem_refresh(self, token: str, *, tenant_id: str, client_id: str, now: datetime) -> tuple[SignIn, str]:
        """Use a refresh token; give its sign-in and family.

        Raises:
            LoginRefused: unknown, another client's, of a user whom this tenant does not know, revoked, expired, or
                (with `rotate`) used before.
        """
        held = self._refresh.get(token)
        if held is None:
            raise bad_grant(9002313, "Invalid request. Request is malformed or invalid.")
        if held.sign_in.client_id != client_id:
            raise bad_grant(70000, "Provided grant is invalid or malformed: it was issued to another client.")
        if held.sign_in.tenant_id != tenant_id:
            raise bad_grant(
                50020,
                f"User account '{held.sign_in.user.principal_name}' from identity provider "
                f"'https://sts.windows.net/{held.sign_in.tenant_id}/' does not exist in tenant '{tenant_id}' and "
                f"cannot access the application '{client_id}' in that tenant. The account needs to be added as an "
                "external user in the tenant first.",
            )
        if held.is_revoked:
            raise bad_grant(
                50173,
                "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might "
                f"have changed or reset their password. The grant was issued on '{held.issued_at:%Y-%m-%dT%H:%M:%SZ}'.",
                suberror="bad_token",
            )
        if held.is_expired or now - held.issued_at > REFRESH_LIFETIME:
            raise bad_grant(
                700082,
                "The refresh token has expired due to inactivity. The token was issued on "
                f"{held.issued_at:%Y-%m-%dT%H:%M:%SZ} and was inactive for {REFRESH_LIFETIME.days}.00:00:00.",
            )
        if held.is_used and self.rotate:
            raise bad_grant(70000, "Provided grant is invalid or malformed: the refresh token was already used.")
        self._refresh[token] = replace(held, is_used=True)
        return held.sign_in, held.family

    def revoke(self, user_id: str = "") -> int:
        """Revoke the refresh tokens of a user, or of everyone; give how many."""
        return self._change(user_id, "is_revoked")

    def expire(self, user_id: str = "") -> int:
        """Let the refresh tokens of a user, or of everyone, be too old; give how many."""
        return self._change(user_id, "is_expired")

    def _change(self, user_id: str, mark: str) -> int:
        chosen = [token for token, held in self._refresh.items() if user_id in {"", held.sign_in.user.object_id}]
        for token in chosen:
            self._refresh[token] = replace(self._refresh[token], **{mark: True})  # type: ignore[arg-type]
        return len(chosen)

    def _revoke_family(self, family: str) -> None:
        for token, held in self._refresh.items():
            if held.family == family:
                self._refresh[token] = replace(held, is_revoked=True)


def _check_verifier(verifier: str, challenge: str) -> None:
    if not challenge and not verifier:
        return
    if not verifier:
        raise bad_grant(
            50148, "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE."
        )
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(digest, challenge):
        raise bad_grant(
            501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        )
