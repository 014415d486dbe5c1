"""The GUID of a tenant that is written as a domain, from what the login publishes about it; no secret is needed.

Source: OpenID Connect Discovery 1.0, section 4; the issuer of a tenant holds its GUID (Microsoft Learn, "OpenID Connect
on the Microsoft identity platform").
"""

import re
from typing import Final
from urllib.parse import quote

import requests

from shared import guid
from shared.errors import TokenError
from shared.storage.http_transport import leave_headers

TIMEOUT_S: Final = (3, 5)  # to connect, to wait for an answer
_GUID: Final = re.compile(rf"/({guid.PATTERN})(?:/|$)")


def find_tenant_id(
    login_url: str, tenant: str, *, ca_bundle: str | None = None, session: requests.Session | None = None
) -> str:
    """Return the GUID of a tenant, in lower case.

    Raises:
        TokenError: the login does not answer (retryable), or knows no such tenant.
    """
    url = f"{login_url}/{quote(tenant, safe='')}/v2.0/.well-known/openid-configuration"
    try:
        with session or requests.Session() as used:
            answer = used.get(
                url, timeout=TIMEOUT_S, verify=ca_bundle or True, auth=leave_headers, allow_redirects=False
            )
        document = answer.json() if answer.status_code < 500 else None
    except (requests.RequestException, ValueError) as error:
        raise TokenError(
            f"no answer from the login: {type(error).__name__}", code="tenant_unknown", retryable=True
        ) from None
    if answer.status_code == 400:
        raise TokenError(f"the login knows no tenant {tenant}", code="invalid_tenant")
    issuer = document.get("issuer") if isinstance(document, dict) else None
    found = _GUID.search(issuer) if isinstance(issuer, str) else None
    if answer.status_code != 200 or found is None:
        raise TokenError(
            f"the login answered {answer.status_code} about the tenant", code="tenant_unknown", retryable=True
        )
    return found[1].lower()
