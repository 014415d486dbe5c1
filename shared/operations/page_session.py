"""What protects the connect page: its session cookie, the token on each form, and the record of a sign-in under way.

Pure: time, randomness and the key come in as arguments. Knows nothing of HTTP beyond the text of a cookie.

The session is a signed cookie, `<end>.<nonce>.<signature>`, so no instance has to remember it. The key is derived from
the webhook secret; whoever rotates that secret ends all sessions. The form token is the signature of the session
itself, so a form works only in the browser that was given the page.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

#: The prefix makes browsers insist on Secure, Path=/ and no Domain: no sibling host can plant a session.
COOKIE: Final = "__Host-bc-connect"
SESSION_LIFETIME: Final = timedelta(hours=4)
#: How long a person may take on Entra's pages; an authorization code lives as long.
FLOW_LIFETIME: Final = timedelta(minutes=10)
_SHAPE: Final = re.compile(r"[0-9]{10,11}\.[A-Za-z0-9]{1,64}\.[A-Za-z0-9_-]{43}")


def derive_key(webhook_secret: str) -> bytes:
    """Return the key that signs sessions; knowing it does not help to forge a notification."""
    return hmac.digest(webhook_secret.encode(), b"connect page, session key 1", "sha256")


def new_session(key: bytes, *, nonce: str, now: datetime) -> str:
    """Return the value of a session cookie; `nonce` is unguessable and made of letters and digits."""
    body = f"{int((now + SESSION_LIFETIME).timestamp())}.{nonce}"
    return f"{body}.{_sign(key, 'session', body)}"


def is_shaped(value: str) -> bool:
    """Whether a cookie may be a session; what is not is refused before anything is asked for."""
    return _SHAPE.fullmatch(value) is not None


def is_session(value: str, key: bytes, *, now: datetime) -> bool:
    """Whether the cookie is one of ours and has not ended."""
    body, _, signature = value.rpartition(".")
    if not is_shaped(value) or not _equal(signature, _sign(key, "session", body)):
        return False
    end, _, _ = body.partition(".")
    return now < datetime.fromtimestamp(int(end), UTC)


def form_token(session: str, key: bytes) -> str:
    """Return what each form of the session carries."""
    return _sign(key, "form", session)


def is_form_token(token: str, session: str, key: bytes) -> bool:
    """Whether a form was made for this session."""
    return _equal(token, form_token(session, key))


def set_cookie(session: str) -> str:
    """Return the Set-Cookie header for a session. Lax, as the way back from Entra comes from another site."""
    age_s = int(SESSION_LIFETIME.total_seconds())
    return f"{COOKIE}={session}; Path=/; Max-Age={age_s}; Secure; HttpOnly; SameSite=Lax"


def end_cookie() -> str:
    """Return the Set-Cookie header that makes a browser forget its session."""
    return f"{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"


def read_cookie(header: str) -> str:
    """Return the session from a Cookie header, "" when there is none; whatever else is in there does not matter."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def state_key(state: str) -> str:
    """Return the row key of a sign-in: a hash, so that the table alone does not hold what a callback must bring."""
    return hashlib.sha256(_bytes(state)).hexdigest()


def fingerprint(session: str) -> str:
    """Return what a row holds of a session: a hash, so that the table alone opens nothing."""
    return hashlib.sha256(_bytes(session)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSignIn:
    """A sign-in that a person has begun and not finished.

    `flow` holds the PKCE verifier and the nonce in clear. They are worth something only together with the
    authorization code, which goes to the person's browser; they are deleted before the code is redeemed, and useless
    after ten minutes or one use. Whoever reads the table could not redeem a code without the client secret either.
    """

    flow: Mapping[str, Any] = field(repr=False)
    browser: str = field(repr=False)  # hash of the session that began it
    expires_at: datetime

    @classmethod
    def begun(cls, flow: Mapping[str, Any], *, session: str, now: datetime) -> Self:
        """Make the record of a sign-in begun now in a session."""
        return cls(flow=flow, browser=fingerprint(session), expires_at=now + FLOW_LIFETIME)

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> Self | None:
        """Read the record from a row's values, None when they make no sense."""
        flow, browser, expires_at = values.get("flow"), values.get("browser"), values.get("expires_at")
        if not (isinstance(flow, str) and isinstance(browser, str) and isinstance(expires_at, datetime)):
            return None
        try:
            fields = json.loads(flow)
        except ValueError:
            return None
        return cls(flow=fields, browser=browser, expires_at=expires_at) if isinstance(fields, dict) else None

    def values(self) -> dict[str, str | datetime]:
        """Return the record as a row's values."""
        return {"flow": json.dumps(dict(self.flow)), "browser": self.browser, "expires_at": self.expires_at}

    def is_of(self, session: str) -> bool:
        """Whether this session began the sign-in."""
        return _equal(self.browser, fingerprint(session))

    def is_over(self, now: datetime) -> bool:
        """Whether its time has passed."""
        return now >= self.expires_at


def _sign(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(key, _bytes(f"{purpose}|{text}"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _bytes(text: str) -> bytes:
    """Return the bytes of a text that anybody may have sent: a byte that is no text never raises."""
    return text.encode(errors="surrogatepass")
