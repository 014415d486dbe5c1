"""A bar chart as SVG, written by hand: a few lines instead of a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, BAR, GAP, GROUP, TOP = 760, 250, 18, 6, 34, 28
_COLOURS = {"ours": "#0b6e4f", "other": "#9aa5b1"}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600}.v{font-size:12px}"
    "@media(prefers-color-scheme:dark){text{fill:#e4e7eb}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: its name, its value and what is written behind it."""

    name: str
    value: float
    label: str
    is_ours: bool = False


def svg(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Return horizontal bars in groups, each group to its own scale."""
    parts: list[str] = []
    at = TOP
    for heading, bars in groups:
        parts.append(f'<text class="t" x="0" y="{at}">{escape(heading)}</text>')
        at += 12
        most = max((bar.value for bar in bars), default=1.0) or 1.0
        for bar in bars:
            length = max(1.0, (WIDTH - LEFT - 120) * bar.value / most)
            colour = _COLOURS["ours" if bar.is_ours else "other"]
            middle = at + BAR - 5
            parts.append(f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{at}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            parts.append(f'<text class="v" x="{LEFT + length + 6:.1f}" y="{middle}">{escape(bar.label)}</text>')
            at += BAR + GAP
        at += GROUP
    height = at - GROUP + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )
