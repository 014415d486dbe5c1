"""Signed tokens: the login's RSA key, the claims Entra puts into each kind of token, and the check of a token.

Nothing here decides who gets one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from local.emulators.entra.directory import TOKEN_EXCHANGE, Application, Directory, ManagedIdentity, User

ALGORITHM = "RS256"
ACCESS_TOKEN_S = 3599  # what a token reply says by default


class SigningKey:
    """The key all tokens are signed with; as with Entra, the tenant is told by the issuer and not by the key."""

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public half, as the discovery/keys page publishes it."""
        numbers = self._private.public_key().public_numbers()
        modulus, exponent = _base64_int(numbers.n), _base64_int(numbers.e)
        key_id = _base64(hashlib.sha256(modulus.encode()).digest()[:20])
        return {"keys": [{"kty": "RSA", "use": "sig", "kid": key_id, "x5t": key_id, "n": modulus, "e": exponent}]}

    def sign(self, claims: dict[str, object]) -> str:
        """Give the claims as a signed JWT."""
        key_id = self.jwks["keys"][0]["kid"]
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers={"kid": key_id, "x5t": key_id})

    def check(self, token: str, *, audience: str, now: datetime) -> dict[str, object]:
        """Give the claims of a token this key signed.

        Raises:
            jwt.ExpiredSignatureError: it has ended or not begun.
            jwt.InvalidTokenError: anything else is wrong with it.
        """
        claims: dict[str, object] = jwt.decode(
            token,
            self._private.public_key(),
            algorithms=[ALGORITHM],
            audience=audience,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},  # against our own clock, below
        )
        begins, ends = claims.get("nbf", 0), claims.get("exp", 0)
        if not (isinstance(begins, int) and isinstance(ends, int) and begins - 300 <= now.timestamp() < ends):
            raise jwt.ExpiredSignatureError("outside its valid time range")
        return claims


class Minter:
    """Makes the tokens of one tenant; `lifetime_s` may be shortened while it runs."""

    def __init__(self, directory: Directory, key: SigningKey) -> None:
        self.lifetime_s = ACCESS_TOKEN_S
        self._directory = directory
        self._key = key

    @property
    def v1_issuer(self) -> str:
        """Issuer of access tokens for resources that take version 1 tokens: Business Central, vault and storage do."""
        return v1_issuer(self._directory.tenant_id)

    @property
    def v2_issuer(self) -> str:
        """Issuer of id tokens and of tokens for token exchange."""
        return v2_issuer(self._directory.tenant_id)

    def for_user(
        self, user: User, application: Application, *, resource: str, scopes: Iterable[str], now: datetime
    ) -> str:
        """Give an access token for an application that acts for a user."""
        return self._key.sign(
            {
                **self._times(now),
                "aud": resource,
                "iss": self.v1_issuer,
                "ver": "1.0",
                "tid": self._directory.tenant_id,
                "oid": user.object_id,
                "sub": self.pairwise_subject(user, application),
                "upn": user.principal_name,
                "unique_name": user.principal_name,
                "name": user.display_name,
                "appid": application.client_id,
                "appidacr": "1",
                "scp": " ".join(scopes),
                "amr": ["pwd"],
                "uti": _base64(secrets.token_bytes(16)),
            }
        )

    def for_application(self, application: Application, *, resource: str, roles: Iterable[str], now: datetime) -> str:
        """Give an access token for an application that acts for itself."""
        return self._key.sign(
            {
                **self._times(now),
                **self._service(application.client_id, application.object_id),
                "aud": resource,
                "iss": self.v1_issuer,
                "ver": "1.0",
                "app_displayname": application.display_name,
                "appidacr": "1",
                "roles": list(roles),
            }
        )

    def for_identity(self, identity: ManagedIdentity, *, resource: str, now: datetime) -> str:
        """Give an access token for a managed identity."""
        is_exchange = resource == TOKEN_EXCHANGE
        return self._key.sign(
            {
                **self._times(now),
                **self._service(identity.client_id, identity.object_id),
                "aud": resource,
                "iss": self.v2_issuer if is_exchange else self.v1_issuer,
                "ver": "2.0" if is_exchange else "1.0",
                "appidacr": "2",
                "xms_mirid": f"/subscriptions/{uuid.UUID(int=0)}/resourcegroups/local/providers/"
                "Microsoft.ManagedIdentity/userAssignedIdentities/local",
            }
        )

    def id_token(self, user: User, application: Application, *, nonce: str, now: datetime) -> str:
        """Give the id token of a sign-in."""
        claims: dict[str, object] = {
            **self._times(now),
            "aud": application.client_id,
            "iss": self.v2_issuer,
            "ver": "2.0",
            "tid": self._directory.tenant_id,
            "oid": user.object_id,
            "sub": self.pairwise_subject(user, application),
            "preferred_username": user.principal_name,
            "name": user.display_name,
        }
        if nonce:
            claims["nonce"] = nonce
        return self._key.sign(claims)

    def client_info(self, user: User) -> str:
        """Give the `client_info` field that MSAL keys its accounts by."""
        return _base64(json.dumps({"uid": user.object_id, "utid": self._directory.tenant_id}).encode())

    def pairwise_subject(self, user: User, application: Application) -> str:
        """Give `sub`: the same for a user and application, different for another application."""
        return _base64(hashlib.sha256(f"{user.object_id}{application.client_id}".encode()).digest())

    def _times(self, now: datetime) -> dict[str, object]:
        begins = int(now.timestamp())
        return {"iat": begins, "nbf": begins, "exp": begins + self.lifetime_s}

    def _service(self, client_id: str, object_id: str) -> dict[str, object]:
        return {
            "tid": self._directory.tenant_id,
            "oid": object_id,
            "sub": object_id,
            "appid": client_id,
            "azp": client_id,
            "idtyp": "app",
            "idp": self.v1_issuer,
            "uti": _base64(secrets.token_bytes(16)),
        }


def v1_issuer(tenant_id: str) -> str:
    """Give the issuer of a tenant's tokens of version 1."""
    return f"https://sts.windows.net/{tenant_id}/"


def v2_issuer(tenant_id: str) -> str:
    """Give the issuer of a tenant's tokens of version 2."""
    return f"https://login.microsoftonline.com/{tenant_id}/v2.0"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _base64_int(number: int) -> str:
    return _base64(number.to_bytes((number.bit_length() + 7) // 8))
