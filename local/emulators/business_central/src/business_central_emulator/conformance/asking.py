"""Requests of a check and their answers: places in paths are filled from what the environment holds.

Knows paths and HTTP, no claim. A path that begins with `/` is below API v2.0 of the environment, any other below the
company; `{short}`, `{runtime}`, `{api}` and `{service}` begin addresses of other kinds.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import requests

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_CORRELATION: Final = re.compile(r"\s*CorrelationId:.*$", re.DOTALL)
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAMED: Final = re.compile(r"'[^']*'")
TIMEOUT_S: Final = 120.0


class NothingToAskError(Exception):
    """The environment holds no record of the kind that a check needs; the message names the kind."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str]  # found in any case
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of the body; empty when it is something else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of a collection."""
        rows = self.document.get("value")
        return rows if isinstance(rows, list) else []

    @property
    def code(self) -> str:
        """The error's code, or an empty string."""
        error = self.document.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    @property
    def message(self) -> str:
        """The error's message without the id of the request, and without whatever stands in quotes or is a GUID."""
        error = self.document.get("error")
        text = str(error.get("message", "")) if isinstance(error, dict) else ""
        return _NAMED.sub("'...'", _GUID.sub("<id>", _CORRELATION.sub("", text)))[:160]

    @property
    def said(self) -> str:
        """Status, and code and message of an error: all that a report says of an answer."""
        words = [str(self.status), self.code, f"({self.message})" if self.message else ""]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class World:
    """An environment that can be asked, and what is known of it."""

    session: requests.Session  # carries the token
    root: str  # <origin>/v2.0/<tenant>/<environment>/api/v2.0
    places: dict[str, str] = field(default_factory=dict)

    def ask(self, request: str, body: Any = None, **headers: str) -> Answer:
        """Send `<METHOD> <path>`; underscores in names of headers are dashes, an empty value sends none.

        Raises:
            NothingToAskError: a place of the path is unknown.
            requests.RequestException: there is no answer.
        """
        method, _, path = request.partition(" ")
        answer = self.session.request(
            method,
            self.url(path),
            json=body,
            headers={
                name.replace("_", "-"): self.filled(value) or None for name, value in headers.items()
            },  # None takes it away
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        return Answer(answer.status_code, answer.headers, answer.content)

    def url(self, path: str) -> str:
        """Return the address of a path whose places are filled.

        Raises:
            NothingToAskError: a place is unknown.
        """
        filled = self.filled(path)
        if filled.startswith(("https://", "http://")):
            return filled
        return f"{self.root}{filled}" if filled.startswith("/") else f"{self.root}/companies({self.company})/{filled}"

    @property
    def company(self) -> str:
        """The id of the company that is asked."""
        return self._place("company")

    def filled(self, text: str) -> str:
        """Return a text whose places are filled.

        Raises:
            NothingToAskError: a place is unknown.
        """
        return _PLACE.sub(lambda found: self._place(found[1]), text)

    def hidden(self, text: str) -> str:
        """Return a text without what is known of the environment."""
        for name, value in self.places.items():
            if len(value) > 3:
                text = text.replace(value, f"{{{name}}}")
        return _GUID.sub("<id>", text)

    def _place(self, name: str) -> str:
        try:
            return self.places[name]
        except KeyError:
            raise NothingToAskError(f"there is no {name.replace('_', ' ')}") from None


#: Place -> the set whose first row fills it, and the property.
_FIRST_ROWS: Final = {
    "item": ("items?$top=1", "id"),
    "item_number": ("items?$top=1", "number"),
    "customer": ("customers?$top=1", "id"),
    "customer_number": ("customers?$top=1", "number"),
    "order": ("salesOrders?$top=1", "id"),
    "invoice": ("salesInvoices?$top=1", "id"),
    "shipment": ("salesShipments?$top=1", "id"),
    "variant": ("itemVariants?$top=1", "id"),
}


def explore(session: requests.Session, root: str, *, company: str = "") -> World:
    """Return the environment with its first records known; `company` is an id or a name, empty takes the first.

    Raises:
        ConnectionError: the companies can't be listed, or none of them is the one that is named.
    """
    world = World(session, root)
    answer = world.ask("GET /companies")
    rows = [row for row in answer.rows if not company or company.lower() in (row["id"].lower(), row["name"].lower())]
    if not rows:
        raise ConnectionError(f"No company {company or 'at all'}: Business Central answered {answer.said}.")
    api = root.rpartition("/v2.0")[0]
    service = api.partition("/v2.0/")[0]
    world.places.update(
        company=rows[0]["id"], company_name=rows[0]["name"], api=api, runtime=f"{api}/microsoft/runtime/beta",
        events=f"{api}/microsoft/runtime/v1.0", service=service, short=_without_tenant(root),
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    for place, (request, name) in _FIRST_ROWS.items():
        if request not in found:
            found[request] = world.ask(f"GET {request}", Data_Access_Intent="ReadOnly").rows
        if found[request]:
            world.places[place] = str(found[request][0][name])
    return world


def _without_tenant(root: str) -> str:
    origin, _, rest = root.partition("/v2.0/")
    return f"{origin}/v2.0/{rest.partition('/')[2]}"
