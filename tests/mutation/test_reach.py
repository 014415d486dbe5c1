"""A mutant is shown to every test that carries out the statement it stands in, and to no other."""

import pytest

from tests.mutation.reach import Reach, who_may_notice

SOURCE = """LEAST = 3

def is_enough(number, least=LEAST):
    if number is None:
        return False
    try:
        return int(
            number
        ) >= least
    except ValueError:
        return False

class Policy:
    tries = 2

    def ends(self, tried):
        return tried >= self.tries
"""
REACHES = {
    "none": Reach(frozenset({4, 5}), 3),
    "number": Reach(frozenset({4, 6, 7, 9}), 2),
    "text": Reach(frozenset({4, 6, 7, 10, 11}), 1),
    "policy": Reach(frozenset({17}), 0),
}


@pytest.mark.parametrize(
    ("line", "tests"),
    [
        (1, ["policy", "text", "number", "none"]),
        (3, ["text", "number", "none"]),
        (4, ["text", "number", "none"]),
        (5, ["none"]),
        (8, ["text", "number"]),
        (11, ["text"]),
        (14, ["policy", "text", "number", "none"]),
        (17, ["policy"]),
    ],
)
def test_the_tests_that_reach_a_statement_are_asked_the_quickest_first(line: int, tests: list[str]) -> None:
    """What an import carries out, any test may notice."""
    assert who_may_notice(SOURCE, line, REACHES) == tests
