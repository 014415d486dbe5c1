"""Who may open the vault: the 401 challenge, the token's signature, audience and time, and the identities let in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import jwt
import requests

RESOURCE = "https://vault.azure.net"
REFRESH_S = 5.0  # an unknown key id makes the keys be read again, at most this often
TIMEOUT_S = 5.0

type Jwks = Mapping[str, object]


class NotAuthenticated(Exception):
    """No token, or one that does not count here; answered with 401 and the challenge."""


class NotAllowed(Exception):
    """A good token of somebody without access; answered with 403."""


class Access:
    """Checks bearer tokens against the login's published keys."""

    def __init__(
        self,
        *,
        authority: str,
        keys: Callable[[], Jwks],
        allowed: frozenset[str] | None = None,
        issuer: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the check.

        Args:
            authority: `<login>/<tenant>`, named in the challenge.
            keys: reads the login's JWKS.
            allowed: object ids let in; None lets in every principal of the tenant.
            issuer: of the vault's tenant; the login signs tokens of all tenants with the same keys. None: any.
            monotonic: clock in seconds that bounds how often `keys` is called.
        """
        self._authority = authority
        self._read_keys = keys
        self._allowed = allowed
        self._issuer = issuer
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` header of a 401: where to get a token, and for which resource."""
        return f'Bearer authorization="{self._authority}", resource="{RESOURCE}"'

    def check(self, authorization: str, *, now: datetime) -> str:
        """Give the object id of the caller named by an `Authorization` header.

        Raises:
            NotAuthenticated: no token, or not signed by the login, or for another resource, or out of its time.
            NotAllowed: the caller has no access.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("Request is missing a Bearer or PoP token.")
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims: dict[str, object] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=RESOURCE,
                issuer=self._issuer,
                options={
                    "verify_exp": False,  # the clock is ours, below
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "nbf", "iat"],
                },
            )
        except jwt.InvalidAudienceError as error:
            raise NotAuthenticated("AKV10022: Invalid audience.") from error
        except jwt.InvalidIssuerError as error:
            raise NotAuthenticated(
                f"AKV10032: Invalid issuer. Expected {self._issuer}, found another tenant's."
            ) from error
        except jwt.PyJWTError as error:
            raise NotAuthenticated("AKV10000: Error validating token: its signature or form is wrong.") from error
        begins, ends = claims["nbf"], claims["exp"]
        if not (isinstance(begins, int) and isinstance(ends, int) and begins - 300 <= now.timestamp() < ends):
            raise NotAuthenticated("AKV10000: Error validating token: its lifetime is over or has not begun.")
        caller = str(claims.get("oid", ""))
        if self._allowed is not None and caller not in self._allowed:
            raise NotAllowed(
                f"Caller is not authorized to perform action on resource. Caller: oid={caller}; Assignment: (not found)"
            )
        return caller

    def _key(self, key_id: str) -> jwt.PyJWK:
        with self._lock:
            now_s = self._monotonic()
            is_stale = self._read_at is None or now_s - self._read_at >= REFRESH_S
            if key_id not in self._keys and is_stale:
                self._keys = {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(dict(self._read_keys())).keys}
                self._read_at = now_s
            if key_id not in self._keys:
                raise NotAuthenticated("AKV10032: Invalid issuer: the token is signed by an unknown key.")
            return self._keys[key_id]


def keys_at(url: str, ca_file: str) -> Callable[[], Jwks]:
    """Give a reader of the JWKS at `url`."""

    def read() -> Jwks:
        response = requests.get(url, verify=ca_file, timeout=TIMEOUT_S)
        response.raise_for_status()
        keys: Jwks = response.json()
        return keys

    return read
