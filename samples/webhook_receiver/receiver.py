"""Receives events as webhooks signed by the Standard Webhooks specification, with the standard library alone.

    WEBHOOK_SECRET=whsec_... python receiver.py 8080        (behind a proxy that speaks https)

2xx is answered only once the events are stored; 401 to a signature that is not ours; anything else comes again.
"""

import base64
import hmac
import json
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300  # an older call may be one that somebody has recorded
MOST_BYTES = 2_000_000


class NotSigned(Exception):
    """The call does not come from whom we share the secret with; says why."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """Return the message's id when one of its signatures is right (two while a secret is rotated); names in lower case.

    Raises:
        NotSigned: a header is missing, the time is too far off, or no signature fits.
    """
    message_id, stamp, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and signatures and stamp.isascii() and stamp.isdigit()):
        raise NotSigned("webhook-id, webhook-timestamp or webhook-signature is missing")
    if abs(now - int(stamp)) > TOLERANCE_S:
        raise NotSigned("webhook-timestamp is more than five minutes off")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, "sha256")).decode()
    for signature in signatures.split():
        version, _, value = signature.partition(",")
        if version == "v1" and value.isascii() and hmac.compare_digest(value, wanted):
            return message_id
    raise NotSigned("no signature fits: another secret, or another body")


def store(database: str, message_id: str, body: bytes) -> None:
    """Keep the events of a message once, by event id; a message that comes again changes nothing."""
    found = json.loads(body)
    rows = [(event["id"], message_id, json.dumps(event)) for event in (found if isinstance(found, list) else [found])]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS events (id text PRIMARY KEY, message text, event text)")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)


class Receiver(BaseHTTPRequestHandler):
    """Answers POST; the server carries secret and database."""

    server: "Server"
    timeout = 30  # s, for a caller that stops in the middle

    def do_POST(self) -> None:
        """Answer 204 when the events are stored."""
        self.send_response(*self._receive())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _receive(self) -> tuple[int, str]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, "more than a message of ours can have, or no length"
        body = self.rfile.read(int(length))
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            message_id = verify(self.server.secret, headers, body, now=time.time())
            store(self.server.database, message_id, body)
        except NotSigned as error:
            return 401, str(error)
        except (ValueError, KeyError, TypeError):
            return 400, "neither a CloudEvent nor a list of them"
        except sqlite3.Error:
            return 503, "not stored; send it again"
        return 204, "stored"


class Server(ThreadingHTTPServer):
    """Listens on loopback for the proxy in front of it."""

    def __init__(self, port: int, secret: str, database: str) -> None:
        super().__init__(("127.0.0.1", port), Receiver)
        self.secret, self.database = secret, database


if __name__ == "__main__":
    Server(int(sys.argv[1]), os.environ["WEBHOOK_SECRET"], "events.db").serve_forever()
