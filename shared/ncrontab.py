"""NCRONTAB as the Functions host reads it: six fields, `second minute hour day month weekday`.

Owns only whether a schedule is well formed; when it fires is the host's matter.
"""

from typing import Final

_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: Field, lowest and highest number, names for the numbers from the lowest on.
_FIELDS: Final[tuple[tuple[str, int, int, list[str]], ...]] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)


def ncrontab_fault(text: str) -> str | None:
    """Return what is wrong with a schedule of six fields, or None.

    The host meets a bad schedule only when it starts the functions, and an app whose functions do not start answers 404
    to Business Central, which then deletes its subscriptions. So it is refused before a deployment.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} fields instead of six: second minute hour day month weekday"
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _is_range(part, low, high, words):
                return f"{name} cannot be '{part}' (numbers from {low} to {high}, *, ranges a-b, steps /n)"
    return None


def _is_range(part: str, low: int, high: int, words: list[str]) -> bool:
    """Say whether one part of a field is `*`, a number or a range, with or without a step."""
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and 1 <= int(step) <= high):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    numbers = [_number(value, low, words) for value in ([first, last] if dash else [first])]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)


def _number(value: str, low: int, words: list[str]) -> int:
    """Return the number of a field value or its name, -1 when it is neither."""
    if value.isascii() and value.isdigit():
        return int(value)
    return words.index(value.lower()) + low if value.lower() in words else -1
