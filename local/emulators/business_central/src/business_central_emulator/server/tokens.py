"""Token checks for the server: RS256 access tokens of an Entra-like issuer, verified against its published keys.

The keys are fetched when the first token comes, and again when a token names a key that is not known.
"""

import logging
import ssl
from collections.abc import Sequence
from typing import Final

import jwt

AUDIENCE: Final = "https://api.businesscentral.dynamics.com"
_LOG: Final = logging.getLogger(__name__)


class JwtCheck:
    """Accepts tokens for Business Central's audience; the principal is the user, or the app where there is none."""

    def __init__(
        self, jwks_url: str, *, issuers: Sequence[str], ca_bundle: str | None = None, audience: str = AUDIENCE
    ) -> None:
        context = ssl.create_default_context(cafile=ca_bundle)
        self._keys = jwt.PyJWKClient(jwks_url, ssl_context=context, cache_keys=True, lifespan=300)
        self._issuers = list(issuers)
        self._audience = audience

    def __call__(self, bearer: str) -> str | None:
        """Return the principal of a token, or None when it is refused; the reason goes to the log."""
        try:
            key = self._keys.get_signing_key_from_jwt(bearer)
            claims = jwt.decode(
                bearer,
                key.key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuers or None,
                options={"require": ["exp", "aud", "iss"]},
            )
        except jwt.PyJWTError as fault:
            _LOG.info("token.refused %s", type(fault).__name__)
            return None
        is_app = claims.get("idtyp") == "app" or ("scp" not in claims and "roles" in claims)
        if is_app and not claims.get("roles"):
            return None
        if not is_app and not claims.get("scp"):
            return None
        name = claims.get("appid") or claims.get("azp") if is_app else claims.get("oid") or claims.get("sub")
        return str(name) if name else None
