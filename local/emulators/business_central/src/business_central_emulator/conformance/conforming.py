"""Asks an environment everything and collects what came back; knows no settings and prints nothing."""

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import requests

from business_central_emulator.conformance.asking import NothingToAskError, World
from business_central_emulator.conformance.claims import Claim
from business_central_emulator.conformance.open_questions import QUESTIONS
from business_central_emulator.conformance.query_claims import QUERIES
from business_central_emulator.conformance.reading_claims import READING
from business_central_emulator.conformance.writing_claims import STEPS, Made, clear

CLAIMS: Final = (*READING, *QUERIES)
#: What a look at an answer of an unexpected form raises: a difference like any other.
_OTHER_FORM: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError, ET.ParseError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one claim."""

    id: str
    says: str
    source: str
    expected: str
    found: str  # empty: as claimed
    asked: bool = True  # False: there was nothing to ask it of; `found` says what is missing

    @property
    def outcome(self) -> str:
        """`as claimed`, `different` or `not asked`."""
        if not self.asked:
            return "not asked"
        return "different" if self.found else "as claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """Everything that was asked, and what was answered."""

    results: Sequence[Result]
    answers: Sequence[tuple[str, str, str]]  # id, question, answer
    left: Sequence[str] = ()  # created and not deleted

    @property
    def differences(self) -> list[Result]:
        """The claims that are not so."""
        return [one for one in self.results if one.asked and one.found]


def conform(world: World, *, writes: bool = False) -> Conformance:
    """Ask everything; whatever fails is a result and never raises."""
    results = [_claimed(world, claim) for claim in CLAIMS]
    answers = [(one.id, one.asks, _tried(world, lambda one=one: one.answer(world))[0]) for one in QUESTIONS]  # type: ignore[misc]
    left: list[str] = []
    if writes:
        made = Made(f"CONF{uuid.uuid4().hex[:10]}".upper())
        try:
            for step in STEPS:
                found, asked = _tried(world, lambda step=step: step.take(world, made))  # type: ignore[misc]
                results.append(
                    Result(
                        id=step.id, says=step.says, source=step.source, expected=step.expected, found=found, asked=asked
                    )
                )
        finally:
            left = clear(world, made)
    return Conformance(results=results, answers=answers, left=left)


def _claimed(world: World, claim: Claim) -> Result:
    def look() -> str:
        answer = world.ask(claim.request, _filled(world, claim.body), **claim.headers)
        return claim.must.look(answer, world)

    found, asked = _tried(world, look)
    return Result(
        id=claim.id, says=claim.says, source=claim.source, expected=claim.must.words, found=found, asked=asked
    )


def _filled(world: World, body: object) -> object:
    if isinstance(body, dict):
        return {name: _filled(world, value) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(world, value) for value in body]
    return world.filled(body) if isinstance(body, str) else body


def _tried(world: World, look: Callable[[], str]) -> tuple[str, bool]:
    """Return what was found, and whether it could be asked at all."""
    try:
        return world.hidden(look()), True
    except NothingToAskError as nothing:
        return str(nothing), False
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})", True
    except _OTHER_FORM as error:
        return f"an answer of another form ({type(error).__name__})", True
