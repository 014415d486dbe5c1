"""Plays Business Central's webhook sender: calls that the app takes for genuine, faster than the emulator sends."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import requests

from bench.world import Missed, World
from shared.business_central.entities import ITEMS
from shared.clock import format_time
from shared.webhooks.delivery import ROUTE, Target, client_state, subscription_path


class Sender:
    """Calls the items' subscription URL of one company."""

    def __init__(self, world: World) -> None:
        """Derive the URL and the clientState from the stack's webhook secret."""
        secret = world.stack.webhook_secret.encode()
        self._world = world
        self._path = subscription_path(secret, world.connection, Target(world.company, ITEMS))
        self._state = client_state(secret, self._path)
        self.url = f"{world.stack.public_url}/api/{ROUTE}/{self._path}"

    def session(self) -> requests.Session:
        """Return a session for one thread."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self._world.stack.ca_file)
        return session

    def created(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Return the entries that tell of created items."""
        return [self._entry(f"({key})", "created") for key in keys]

    def collection(self, since: datetime) -> list[dict[str, Any]]:
        """Return the entry that stands for more changes than Business Central lists."""
        return [self._entry(f"?$filter=lastModifiedDateTime%20gt%20{format_time(since)}", "collection")]

    def call(self, session: requests.Session, entries: list[dict[str, Any]]) -> float:
        """Send one call and return the seconds until it was acknowledged.

        Raises:
            Missed: it was not.
        """
        body = json.dumps({"value": entries}, separators=(",", ":")).encode()
        began = time.perf_counter()
        answer = session.post(self.url, data=body, headers={"Content-Type": "application/json"}, timeout=60)
        took = time.perf_counter() - began
        if answer.status_code != 202:
            raise Missed(f"a notification was answered {answer.status_code}")
        return took

    def shake_hands(self, session: requests.Session, token: str) -> float:
        """Do one handshake and return its seconds."""
        began = time.perf_counter()
        answer = session.post(self.url, params={"validationToken": token}, timeout=60)
        took = time.perf_counter() - began
        if answer.status_code != 200 or answer.text != token:
            raise Missed(f"a handshake was answered {answer.status_code}")
        return took

    def _entry(self, place: str, kind: str) -> dict[str, Any]:
        return {
            "subscriptionId": "webhookitems",
            "clientState": self._state,
            "expirationDateTime": "2099-01-01T00:00:00Z",
            "resource": f"api/v2.0/companies({self._world.company})/items{place}",
            "changeType": kind,
            "lastModifiedDateTime": format_time(datetime.now(UTC)),
        }
