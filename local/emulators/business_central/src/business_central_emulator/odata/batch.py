"""`$batch` in JSON: up to 100 operations, stopped at the first failure unless told otherwise.

With `Isolation: snapshot` all operations share one transaction. When one fails, everything is rolled back, yet the
earlier parts still answer 201 with ids that no longer exist, as seen live.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from business_central_emulator.data import errors
from business_central_emulator.data.values import dump_exact
from business_central_emulator.odata.bodies import decimal_of
from business_central_emulator.odata.query import custom_options
from business_central_emulator.server.exchange import Request, Response

MAX_OPERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One operation of a batch."""

    id: str | None
    request: Request


def parse(request: Request, root: str) -> list[Part]:
    """Return the operations of a batch request.

    Raises:
        ApiError: not JSON, malformed, or more than 100 operations (500 `Unknown`, as seen live).
    """
    if "json" not in (request.header("Content-Type") or "").lower():
        raise errors.NotEmulatedError("a batch that is not application/json")
    try:
        rows = json.loads(request.body, parse_float=decimal_of)["requests"]
    except (ValueError, KeyError, TypeError):
        raise errors.bad_request("The batch request body is not valid.") from None
    if not isinstance(rows, list):
        raise errors.bad_request("The value of 'requests' must be an array.")
    if len(rows) > MAX_OPERATIONS:
        raise errors.ApiError(
            500, "Unknown", f"The batch contains too many parts ({len(rows)}). The maximum is {MAX_OPERATIONS}."
        )
    return [_part(row, request, root) for row in rows]


def run(
    parts: list[Part],
    execute: Callable[[Request], Response],
    *,
    goes_on: bool,
) -> tuple[bytes, bool]:
    """Run the operations in order; return the body and whether one of them failed."""
    answers: list[dict[str, Any]] = []
    failed = False
    for part in parts:
        response = execute(part.request)
        answers.append(_answer(part.id, response))
        if response.status >= 400:
            failed = True
            if not goes_on:
                break
    return dump_exact({"responses": answers}).encode(), failed


def _part(row: Any, request: Request, root: str) -> Part:
    if not isinstance(row, Mapping) or not isinstance(row.get("url"), str) or not isinstance(row.get("method"), str):
        raise errors.bad_request("Each operation of a batch needs a method and a url.")
    if "atomicityGroup" in row or "dependsOn" in row:
        raise errors.NotEmulatedError("atomicityGroup and dependsOn in a batch")
    url = row["url"] if "://" in row["url"] else f"{root}/{row['url'].lstrip('/')}"
    headers = dict(row.get("headers") or {})
    headers["Authorization"] = request.header("Authorization") or ""
    company = custom_options(urlsplit(request.url).query).get("company") or request.header("Company")
    if company and "company" not in {name.lower() for name in headers}:
        headers["Company"] = company  # of the batch, for the parts that name none
    body = b"" if row.get("body") is None else dump_exact(row["body"]).encode()
    identifier = row.get("id")
    return Part(identifier, Request(method=row["method"].upper(), url=url, headers=headers, body=body))


def _answer(identifier: str | None, response: Response) -> dict[str, Any]:
    headers = {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower() in ("location", "content-type", "odata-version", "preference-applied")
    }
    answer: dict[str, Any] = {"id": identifier, "status": response.status, "headers": headers}
    if response.body:
        answer["body"] = json.loads(response.body, parse_float=Decimal)
    return answer
