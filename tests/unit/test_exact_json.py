"""JSON whose numbers keep their digits, and what of JSON is refused because nothing could be done with it."""

from decimal import Decimal

import pytest

from shared import exact_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", Decimal("1.10")), ("1E2", Decimal("1E+2")), ("10", 10), ("true", True), ("null", None),
        ('"\\u00e4"', "ä"), ('"\\ud83d\\ude00"', "\U0001f600"), ("[1.0]", [Decimal("1.0")]),
        ('{"a": {"b": [0.5]}}', {"a": {"b": [Decimal("0.5")]}}), ("1E100", Decimal("1E+100")),
        ("1E-100", Decimal("1E-100")), ("9.99E100", Decimal("9.99E+100")), (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("\"\ud800\"", "\ud800"),  # no escape: only a caller with a text of its own can hold it
    ],
)  # fmt: skip
def test_numbers_are_read_digit_for_digit(text: str | bytes, value: object) -> None:
    """Whole ones as int, the others as Decimal."""
    found = exact_json.loads(text)
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1E101", "a number is out of range"), ("1E-101", "a number is out of range"),
        ("[1.5E9999999999999999999]", "a number is out of range"), ("NaN", "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"), ("{", "property"), ("", "value"), (b"\xff", "decode"),
        ('"\\ud800"', "surrogates"),
        ('{"\\ud800": 1}', "surrogates"), ('[["a", {"b": "\\udc00"}]]', "surrogates"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_could_not_be_stored_afterwards_is_refused(text: str | bytes, why: str) -> None:
    """Always a ValueError."""
    with pytest.raises(ValueError, match=why):
        exact_json.loads(text)


@pytest.mark.parametrize("begin_end", [("[", "]"), ('{"a":', "}")])
def test_64_levels_may_be_nested(begin_end: tuple[str, str]) -> None:
    """The deepest message that means something has five."""
    begin, end = begin_end
    assert exact_json.loads(begin * 64 + "1" + end * 64)
    with pytest.raises(ValueError, match="nested too deeply"):
        exact_json.loads(begin * 65 + "1" + end * 65)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1E+2"), "100"), (Decimal("5E-7"), "0.0000005"), (Decimal("1.10"), "1.10"), (True, "true"),
        (None, "null"), (7, "7"), ("ä\"", '"\\u00e4\\""'), ([1, [Decimal("0.5")]], "[1,[0.5]]"), ((1, 2), "[1,2]"),
        ({"a": {"ä": Decimal("1.0")}, "b": []}, '{"a":{"\\u00e4":1.0},"b":[]}'), ({}, "{}"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_plain_digits(value: object, text: str) -> None:
    """Compact, and in ASCII."""
    assert exact_json.dumps(value) == text
