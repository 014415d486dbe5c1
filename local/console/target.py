"""Which app a command means: the local stack that runs, or a deployed app by address and function key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import requests

from local.stack.running import Running, find_running

ROOT: Final = Path(__file__).resolve().parents[2]
STACKS: Final = ROOT / ".local"
TIMEOUT_S: Final = 60.0
KEY_NAME: Final = "FUNCTIONS_KEY"
#: What an answer without a body of ours means.
_ANSWERS: Final = {
    401: f"the function key is missing or wrong; set {KEY_NAME} or give --key",
    403: "an access restriction keeps you out, or the app is stopped",
    404: "the app does not know this route: another release, or its functions are not deployed",
}


class Refused(click.ClickException):
    """What was asked for can't be done; the message is one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One app."""

    url: str
    key: str = ""
    storage: str = ""  # connection string or account name; "" when queues can't be reached
    connection: str = ""  # which one is meant, where the app has several
    running: Running | None = None  # the local stack

    @property
    def stack(self) -> Running:
        """The local stack.

        Raises:
            Refused: a deployed app is meant.
        """
        if self.running is None:
            raise Refused("this works on the local stack only: nothing is made to happen in a real Business Central")
        return self.running

    @property
    def queues(self) -> str:
        """The storage account.

        Raises:
            Refused: a deployed app without its storage account.
        """
        if not self.storage:
            raise Refused("name the storage account of the app: --storage <account name or connection string>")
        return self.storage

    def ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Call a route and return the JSON of its answer.

        Raises:
            Refused: the app can't be reached, or says no.
        """
        session = requests.Session()
        if self.running is not None:
            session.trust_env = False  # REQUESTS_CA_BUNDLE would outrank `verify`
            session.verify = str(self.running.ca_file)
        params = {**(query or {}), **({"connection": self.connection} if self.connection else {})}
        headers = {"x-functions-key": self.key} if self.key else {}
        try:
            answer = session.request(
                method, f"{self.url}/api/{path}", params=params, headers=headers, timeout=TIMEOUT_S,
                allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            raise Refused(f"{self.url} can't be reached: {type(error).__name__}") from error
        return _said(answer, self.url)


def _said(answer: requests.Response, url: str) -> Any:
    try:
        body = answer.json()
    except ValueError:
        why = _ANSWERS.get(answer.status_code, "this is no answer of the app")
        raise Refused(f"{url} answered {answer.status_code}: {why}") from None
    if answer.ok or (answer.status_code == 404 and body == []):
        return body
    raise Refused(str(body.get("error", body)) if isinstance(body, dict) else str(body))


def target(url: str, key: str, storage: str, connection: str = "") -> Target:
    """Return the app that is meant; without an address the local stack that was started last.

    Raises:
        Refused: the address is none, or no local stack runs.
    """
    if url:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost"}:
            raise Refused("the address must begin with https://: a key is sent there")
        return Target(url=url.rstrip("/"), key=key, storage=storage, connection=connection)
    running = find_running(STACKS)
    if running is None:
        raise Refused("no local stack runs: start one with 'make up' or 'make run', or name a deployed app with --url")
    return Target(
        url=running.public_url, key=key, storage=storage or running.storage_connection_string, connection=connection,
        running=running,
    )  # fmt: skip
