"""The last seven days of the connect page as a picture: what was announced in each hour, and what failed. Pure.

Seven whole days by UTC, today last; no script, no colours of its own: those are the style sheet's.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Final

from shared.operations.status_view import CountView

DAYS: Final = 7
_WIDE: Final = 4  # of an hour, with its gap
_BAR: Final = 3
_HIGH: Final = 60
_FOOT: Final = 8  # the strip of what failed
_FAILED: Final = ("rejected", "parked", "throttled")


def plot(activity: Sequence[CountView], at: datetime) -> str:
    """Return the picture with its words; nothing where nothing was ever counted."""
    if not activity:
        return ""
    first = at.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    announced: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    sums: Counter[str] = Counter()
    for one in activity:
        hour = int((one.hour - first).total_seconds() // 3600)
        if 0 <= hour < DAYS * 24:
            announced[hour] += one.counts.get("announced", 0)
            failed[hour] += sum(one.counts.get(kind, 0) for kind in _FAILED)
            sums.update(one.counts)
    most = max(announced.values(), default=0)
    words = _words(sums, most)
    days = "".join(
        f"<span>{first + timedelta(days=day):%a} {(first + timedelta(days=day)).day}</span>" for day in range(DAYS)
    )
    return (
        f'<figure><svg class="plot" viewBox="0 0 {DAYS * 24 * _WIDE} {_HIGH + _FOOT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(words)}">'
        f'<path class="days" d="{_days()}"/><path class="bars" d="{_bars(announced, most)}"/>'
        f'<path class="fails" d="{_fails(failed)}"/></svg><p class="axis" aria-hidden="true">{days}</p>'
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )


def _bars(hours: Counter[int], most: int) -> str:
    return "".join(
        f"M{hour * _WIDE} {_HIGH}h{_BAR}v-{max(2, round(number * _HIGH / most))}h-{_BAR}z"
        for hour, number in sorted(hours.items())
        if number
    )


def _fails(hours: Counter[int]) -> str:
    return "".join(f"M{hour * _WIDE} {_HIGH + 2}h{_BAR}v6h-{_BAR}z" for hour, number in sorted(hours.items()) if number)


def _days() -> str:
    return "".join(f"M{day * 24 * _WIDE} 0v{_HIGH}" for day in range(1, DAYS)) + f"M0 {_HIGH}h{DAYS * 24 * _WIDE}"


def _words(sums: Counter[str], most: int) -> str:
    told = f"Seven days by the hour (UTC): {sums['announced']:,} announced, at most {most:,} an hour"
    told += f"; orders {sums['created']:,} created"
    for kind in ("rejected", "parked"):
        told += f", {sums[kind]:,} {kind}" if sums[kind] else ""
    told += f"; {sums['requests']:,} requests to Business Central"
    return told + (f", {sums['throttled']:,} answered 429." if sums["throttled"] else ".")
