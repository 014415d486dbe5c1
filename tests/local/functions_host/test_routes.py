"""Route templates, their constraints and their matches."""

import pytest

from local.functions_host.routes import Route


def match(template: str, path: str) -> dict[str, str] | None:
    return Route.parse(template, None).match("GET", path)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/orders", "/api/orders", {}),
        ("api/orders", "/API/ORDERS/", {}),
        ("api/orders", "/api/orders/1", None),
        ("api/{a}/{b}", "/api/x/y z", {"a": "x", "b": "y z"}),
        ("api/{a}", "/api/", None),
        ("api/{a?}", "/api", {}),
        ("api/{a=seven}", "/api", {"a": "seven"}),
        ("api/{a=seven}", "/api/eight", {"a": "eight"}),
        ("api/{*rest}", "/api", {}),
        ("api/{*rest}", "/api/x/y", {"rest": "x/y"}),
        ("files/{name}.{kind}", "/files/a.b.txt", {"name": "a", "kind": "b.txt"}),
        ("v({id})", "/V(7)", {"id": "7"}),
        ("", "/", {}),
    ],
)
def test_templates(template: str, path: str, values: dict[str, str] | None) -> None:
    """A template takes the paths ASP.NET would give it, and no other."""
    assert match(template, path) == values


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        ("int", "-5", "5.0"),
        ("int", "2147483647", "2147483648"),
        ("long", "2147483648", "x"),
        ("bool", "True", "yes"),
        ("alpha", "abC", "ab1"),
        ("guid", "2f8b1f0e-6f0a-4f0e-9f0a-2f8b1f0e6f0a", "2f8b"),
        ("decimal", "1.50", "one"),
        ("datetime", "2024-02-29", "2024-02-30"),
        ("length(2)", "ab", "abc"),
        ("length(2,3)", "abc", "a"),
        ("minlength(2)", "ab", "a"),
        ("maxlength(2)", "ab", "abc"),
        ("min(5)", "5", "4"),
        ("max(5)", "5", "6"),
        ("range(5,7)", "6", "8"),
        ("regex(^a+$)", "aa", "ab"),
        ("int:min(5)", "5", "4"),
    ],
)
def test_constraints(constraint: str, good: str, bad: str) -> None:
    """A value that breaks its constraint is no match."""
    assert match(f"x/{{v:{constraint}}}", f"/x/{good}") == {"v": good}
    assert match(f"x/{{v:{constraint}}}", f"/x/{bad}") is None


def test_optional_value_with_constraint() -> None:
    """An optional value may be missing, but not wrong."""
    assert match("x/{v:alpha?}", "/x") == {}
    assert match("x/{v:alpha?}", "/x/1") is None


@pytest.mark.parametrize("template", ["a/{b", "a/{b:odd}", "a/{b?}/c", "a/{*b}/c", "a/x{b?}", "a/{b:min(1,2)}", "a/{}"])
def test_wrong_templates_are_refused(template: str) -> None:
    """A template that cannot work is an error at start, not a silent 404."""
    with pytest.raises(ValueError):
        Route.parse(template, None)


def test_methods() -> None:
    """Methods match whatever their case; none named means any."""
    route = Route.parse("a", ["get", "POST"])
    assert route.match("GET", "/a") == {}
    assert route.match("PUT", "/a") is None
    assert Route.parse("a", None).match("PUT", "/a") == {}
