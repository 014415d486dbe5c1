"""The error tree: a class says what to do, and its picture in the module is the tree."""

import re

import pytest

from shared import errors
from shared.errors import BCError, ConfigError, IntegrationError, InvalidMessage, TokenError

RETRYABLE = {"StoreUnavailable", "StateConflict", "BudgetExhausted", "BCThrottled", "BCUnavailable", "BCConflict"}


def tree(kind: type[IntegrationError] = IntegrationError) -> list[type[IntegrationError]]:
    """The classes below one."""
    return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]


def test_the_picture_in_the_module_is_the_tree() -> None:
    """Documentation that can go stale is read by a test."""
    drawn = re.findall(r"^(?:[| ]*[|`]- )?([A-Za-z]\w+)(?: {2,}|$)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(kind.__name__ for kind in tree())


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_whether_waiting_helps_is_said_by_the_class(kind: type[IntegrationError]) -> None:
    """The queue and the timers go by this alone."""
    assert kind.retryable == (kind.__name__ in RETRYABLE)


def test_a_token_error_says_so_itself() -> None:
    """Entra's outage passes; a dead login needs a person."""
    assert TokenError("m", retryable=True).retryable
    assert not TokenError("m", code="invalid_grant").retryable


def test_faults_are_joined_to_one_message() -> None:
    """Settings and messages name every fault."""
    assert str(ConfigError({"B": "rule b", "A": "rule a"})) == "wrong settings (2): A: rule a; B: rule b"
    assert str(InvalidMessage(["a: x", "b: y"])) == "a: x; b: y"


def test_an_error_of_bc_shows_its_correlation_id_first() -> None:
    """It is what one searches for; without an answer that is said."""
    assert str(BCError("m", status=400, code="X", correlation_id="c")) == "[c] 400 X: m"
    assert str(BCError("m")) == "no answer: m"
