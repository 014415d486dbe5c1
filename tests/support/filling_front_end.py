"""`python -m tests.support.filling_front_end`: Azure's front end as it is reported to treat cookies.

It fills an empty `domain=` of a Set-Cookie in with the app's own name, whereupon browsers refuse a `__Host-` cookie.
"""

import argparse
import asyncio
import re

from aiohttp import web
from business_central_emulator.server.serving import Endpoint, serve, server_tls

from local.stack.tls_proxy import proxy_application


async def fill(request: web.Request, response: web.StreamResponse) -> None:
    """Fill the host in."""
    cookies = response.headers.popall("Set-Cookie", [])
    for cookie in cookies:
        host = request.host.partition(":")[0]
        response.headers.add("Set-Cookie", re.sub(r"(?i)domain=(?=;|$)", f"Domain={host}", cookie))


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("--cert", "--key", "--target"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    application = proxy_application(options.target)
    application.on_response_prepare.append(fill)
    tls = server_tls(options.cert, options.key)
    asyncio.run(serve("front", [Endpoint(application=application, port=options.port, tls=tls)]))


if __name__ == "__main__":
    main()
