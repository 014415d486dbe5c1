"""Reads an `.http` file as editors' REST clients do: requests behind `###`, variables, headers, a body."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """One request of the file."""

    title: str
    status: int  # what the title says after its colon
    method: str
    url: str
    headers: dict[str, str]
    body: str


def requests_of(text: str, variables: Mapping[str, str]) -> Iterator[Written]:
    """Yield each request; `variables` win over those of the file, and an unknown one is an error."""
    head, *parts = re.split(r"^### *", text, flags=re.MULTILINE)
    known = {**dict(re.findall(r"^@(\w+) *= *(.*)$", head, re.MULTILINE)), **variables}
    for part in parts:
        title, _, rest = part.partition("\n")
        filled = re.sub(r"\{\{(\w+)\}\}", lambda found: known[found[1]], rest)
        top, _, body = filled.strip().partition("\n\n")
        first, *headers = top.splitlines()
        method, _, url = first.partition(" ")
        status = re.search(r": (\d{3})\b", title)
        assert status is not None, f"{title}: says no status"
        yield Written(title, int(status[1]), method, url, dict(line.split(": ", 1) for line in headers), body)
