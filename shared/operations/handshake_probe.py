"""Business Central's side of a webhook handshake, played against our own public address by the doctor."""

import time
from collections.abc import Callable
from typing import Final

import requests

from shared.operations.diagnosis import HANDSHAKE_S, HandshakeResult

#: Longer than Business Central waits, so that an address that is slow differs from one that is not there.
_TIMEOUT_S: Final = 4 * HANDSHAKE_S


def probe_handshake(
    url: str,
    token: str,
    *,
    ca_bundle: str | None = None,
    session: requests.Session | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> HandshakeResult:
    """Ask a notification URL to repeat a token, as Business Central does; never raises and follows no redirect."""
    began = monotonic()
    try:
        with session or requests.Session() as used:
            answer = used.post(
                url,
                params={"validationToken": token},
                timeout=(_TIMEOUT_S, _TIMEOUT_S),
                verify=ca_bundle or True,
                allow_redirects=False,
            )
    except requests.RequestException as error:
        return HandshakeResult(error=type(error).__name__, took_s=monotonic() - began)
    is_text = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/plain"
    return HandshakeResult(
        status=answer.status_code, is_exact=is_text and answer.text == token, took_s=monotonic() - began
    )
