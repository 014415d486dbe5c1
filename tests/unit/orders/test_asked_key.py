"""Which order key a request of a person names."""

import pytest

from shared.errors import InvalidMessage
from shared.orders.asked_key import asked_key


@pytest.mark.parametrize(
    ("query", "route", "key"),
    [
        ({"key": "WEB-1"}, {}, "WEB-1"),
        ({}, {"key": "WEB-1"}, "WEB-1"),
        ({"key": "WEB-1"}, {"key": "orders"}, "WEB-1"),
        ({"key": ""}, {"key": "WEB-1"}, "WEB-1"),
        ({"key": "a/b\\c%2F"}, {}, "a/b\\c%2F"),
        ({"key": "a/b"}, {"key": "%2F"}, "a/b"),
    ],
)
def test_the_query_comes_first(query: dict[str, str], route: dict[str, str], key: str) -> None:
    """There a key may hold any sign."""
    assert asked_key(query, route, "GET /api/orders?key=") == key


@pytest.mark.parametrize("route", [{}, {"key": ""}, {"key": "a/b"}, {"key": "a\\b"}, {"key": "a%2Fb"}])
def test_a_path_that_cannot_name_the_key_is_answered_with_the_way(route: dict[str, str]) -> None:
    """The host leaves some signs encoded in a path, so that nobody knows which key was meant."""
    with pytest.raises(InvalidMessage) as caught:
        asked_key({}, route, "GET /api/orders?key=")
    (fault,) = caught.value.faults
    assert fault == (
        "a key that holds / \\ % or nothing is no part of a path; ask with it percent-encoded in the query: "
        "GET /api/orders?key="
    )
