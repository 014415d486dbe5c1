"""What a claim is: a request, what must be found in the answer, and where the claim comes from.

Knows no single claim; they stand as tables in `reading_claims`, `query_claims`, `writing_claims` and `open_questions`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from business_central_emulator.conformance.asking import Answer, World


@dataclass(frozen=True, slots=True)
class Must:
    """What an answer must be, in words, and a look at one: empty when it is so, else what was found instead."""

    words: str
    look: Callable[[Answer, World], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence about Business Central that a request can confirm or refute."""

    id: str
    says: str
    source: str
    request: str  # "<METHOD> <path>", see `asking`
    must: Must
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is not known: asked, and the answer written down; there is no right one."""

    id: str
    asks: str
    answer: Callable[[World], str]  # no business data


def is_ok(words: str = "200") -> Must:
    """200."""
    return Must(words, lambda answer, _: "" if answer.status == 200 else answer.said)


def refused(*statuses: int, code: str = "", names: Sequence[str] = ()) -> Must:
    """One of the statuses, with the code, in a message that holds the names."""
    words = " or ".join(map(str, statuses)) + (f" {code}" if code else "")
    words += f", the message names {', '.join(names)}" if names else ""

    def look(answer: Answer, _: World) -> str:
        text = answer.body.decode("utf-8", "replace")
        is_so = answer.status in statuses and answer.code == (code or answer.code) and all(n in text for n in names)
        return "" if is_so else answer.said

    return Must(words, look)


def found_in(words: str, is_so: Callable[[Answer], bool]) -> Must:
    """200, and what the function says of the answer."""

    def look(answer: Answer, _: World) -> str:
        if answer.status != 200:
            return answer.said
        return "" if is_so(answer) else "200, but not so"

    return Must(f"200, {words}", look)


def rows_are(words: str, is_so: Callable[[dict[str, Any]], bool], *, at_least: int = 1) -> Must:
    """200, and every row (`at_least` so many) is as the function says."""

    def look(answer: Answer, _: World) -> str:
        if answer.status != 200:
            return answer.said
        wrong = sum(not is_so(row) for row in answer.rows)
        if wrong:
            return f"{wrong} of {len(answer.rows)} rows are otherwise"
        return "" if len(answer.rows) >= at_least else f"{len(answer.rows)} rows"

    return Must(f"200, {words}", look)
