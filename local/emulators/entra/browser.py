"""A scripted browser for the sign-in: opens a page, follows redirects, picks a user, posts what a page would post."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

from local.emulators.entra.authorize import PICKED_USER
from local.emulators.entra.engine import AUTHORIZE

TIMEOUT_S = 30.0
MAX_STEPS = 10


class SignInFailed(Exception):
    """The pages did not lead where a sign-in leads."""


class _Form(HTMLParser):
    """The first form of a page: where it goes, its hidden fields and its buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.choices: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect one element."""
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = found.get("action", "")
        elif tag == "input" and found.get("type") == "hidden":
            self.fields[found["name"]] = found.get("value", "")
        elif tag == "button" and found.get("name") == PICKED_USER:
            self.choices.append(found.get("value", ""))


def sign_in(session: requests.Session, url: str, user: str) -> requests.Response:
    """Open `url`, sign in as `user` (a principal name; empty cancels) and give the page the app shows afterwards.

    Raises:
        SignInFailed: no sign-in page came, it does not offer the user, or the pages go in circles.
        requests.RequestException: a page could not be reached.
    """
    response = session.get(url, timeout=TIMEOUT_S)
    has_picked = False
    for _ in range(MAX_STEPS):
        form = _Form()
        form.feed(response.text if "html" in response.headers.get("Content-Type", "") else "")
        if form.action is not None and form.choices and not has_picked:
            if user not in form.choices:
                raise SignInFailed(f"the sign-in page does not offer {user}")
            form.fields[PICKED_USER] = user
            has_picked = True
        elif form.action is None or "state" not in form.fields:
            if has_picked or any(AUTHORIZE in step.url for step in response.history):  # the latter: signed in already
                return response
            address = urlsplit(url)._replace(query="").geturl()
            raise SignInFailed(f"no sign-in page came from {address}: HTTP {response.status_code}")
        response = session.post(urljoin(response.url, form.action), data=form.fields, timeout=TIMEOUT_S)
    raise SignInFailed("the sign-in pages go in circles")
