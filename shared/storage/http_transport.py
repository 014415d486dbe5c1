"""The network of the Azure SDK: our time-outs and certificates, no `.netrc`, and what may come of an answer.

requests looks into `.netrc` for a request without `auth`, though it bears an Authorization header, and replaces that.
"""

from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

import requests

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport


#: What the SDK lets through when an answer is not the service's, as from a proxy, or is cut short.
UNREADABLE: Final = (HTTPException, OSError, ValueError, LookupError, TypeError, AttributeError)


def leave_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return a request as it is: given as `auth`, it keeps requests from looking into `.netrc`."""
    return request


def sdk_transport(*, connect_s: float, read_s: float, ca_bundle: str | None) -> "HttpTransport[Any, Any]":
    """Return an open transport for one client; closed with it."""
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 slow to import

    transport: Any = RequestsTransport(
        connection_timeout=connect_s, read_timeout=read_s, connection_verify=ca_bundle or True
    )
    transport.open()
    transport.session.auth = leave_headers
    made: HttpTransport[Any, Any] = transport
    return made
