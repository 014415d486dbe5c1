"""The pieces that the connect page is made of: document, tables, forms, marks and times; pure, everything escaped.

One form per button, no picture, no font, and a script that it works without: in any browser, and its policy allows
nothing else.
Knows no view and no action; `connect_html` puts the pieces together.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Final

from shared.operations.page_script import SCRIPT
from shared.operations.page_style import CSS

PAGE_PATH: Final = "/api/connect/start"

_GOOD: Final = frozenset({"ok", "created"})
_BAD: Final = frozenset({"late", "failed", "lost", "parked", "rejected", "needed"})
_EMPTY: Final = '<span class="soft">none</span>'


def document(title: str, subtitle: str, body: str, *, heading: str = "", beside: str = "", fresh: str = "") -> str:
    """Return a whole page; `subtitle`, `body` and `beside` (of the header) are HTML, the other texts are escaped.

    `fresh`: address from which the page is loaded anew while something is at work; without script by the browser.
    """
    by_browser = f'<noscript><meta http-equiv="refresh" content="30;url={escape(fresh)}"></noscript>' if fresh else ""
    by_script = f' data-fresh="{escape(fresh)}"' if fresh else ""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style>{by_browser}</head><body{by_script}>"
        '<a class="skip" href="#main">Skip to the content</a>'
        f"<header><h1>{escape(heading or title)}</h1><p>{subtitle}</p>{beside}</header>"
        f'<main id="main">{body}</main>'
        "<footer>The same as JSON: the function <code>status</code>.</footer>"
        f"<script>{SCRIPT}</script></body></html>"
    )


def in_words(span: timedelta) -> str:
    """Return a time span in its two largest units: `2 d 3 h`, `14 min`, `less than a minute`."""
    minutes = int(abs(span).total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    units = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    while not units[0][0]:
        units.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in units[:2] if number)


class Line:
    """A table row: its heading, then (label, content) for each cell; the label is shown on narrow screens."""

    def __init__(self, heading: str, *cells: tuple[str, str]) -> None:
        """Take HTML; a cell without a label holds the row's button."""
        self.heading = heading
        self.cells = cells

    def html(self) -> str:
        """Return the row."""
        rest = "".join(
            f'<td data-label="{escape(label)}">{content}</td>' if label else f'<td class="do">{content}</td>'
            for label, content in self.cells
        )
        return f'<tr><th scope="row">{self.heading}</th>{rest}</tr>'


def rows_of(anchor: str, head: Sequence[str], lines: Sequence[Line], *, label: str = "", kind: str = "") -> str:
    """Return a table, named by the heading `anchor` or by a `label`; `head` and the labels of its cells are texts."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    named = f'aria-label="{escape(label)}"' if label else f'aria-labelledby="{anchor}"'
    style = f' class="{kind}"' if kind else ""
    rows = "".join(line.html() for line in lines)
    return f"<table{style} {named}><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def button(
    action: str, form_token: str, label: str, *, fields: Mapping[str, str] | None = None, kind: str = "", of: str = ""
) -> str:
    """Return a form of one button that posts; `of` is what it belongs to, for screen readers."""
    hidden = {"action": action, "form_token": form_token, **(fields or {})}
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    style = f' class="{kind}"' if kind else ""
    spoken = f' aria-label="{escape(f"{label}: {of}")}"' if of else ""
    # without an address it posts to that of the page, which says of which connection it is
    return f'<form method="post">{inputs}<button{style}{spoken}>{escape(label)}</button></form>'


def folded(label: str, content: str) -> str:
    """Return what shows on demand; `label` and `content` are HTML."""
    return f"<details><summary>{label}</summary>{content}</details>"


def section(anchor: str, title: str, content: str, *, kind: str = "") -> str:
    """Return a section with its heading; `content` is HTML."""
    style = f' class="{kind}"' if kind else ""
    return (
        f'<section{style} aria-labelledby="{anchor}"><h2 id="{anchor}" tabindex="-1">{escape(title)}</h2>{content}'
        "</section>"
    )


def bullets(items: str) -> str:
    """Return a list of `<li>` elements, or "none"."""
    return f"<ul>{items}</ul>" if items else f"<p>{_EMPTY}</p>"


def mark(state: str, text: str = "") -> str:
    """Return a word in a coloured field: green, red, or amber for what is neither good nor bad."""
    kind = " good" if state in _GOOD else " bad" if state in _BAD else ""
    return f'<span class="mark{kind}">{escape(text or state)}</span>'


def small(text: str) -> str:
    """Return a line in small print, "" without a text."""
    return f" <small>{escape(text)}</small>" if text else ""


def stamp(moment: datetime) -> str:
    """Return a moment in UTC, to the minute; the script puts the reader's own time before it."""
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def when(moment: datetime | None, at: datetime) -> str:
    """Return a moment and how far it is from `at`."""
    if moment is None:
        return '<span class="soft">unknown</span>'
    words = f"in {in_words(moment - at)}" if moment > at else f"{in_words(at - moment)} ago"
    return f'{stamp(moment)} <small class="span">{words}</small>'


def ago(moment: datetime | None, at: datetime) -> str:
    """Return how long before `at` something was, "never" for None."""
    if moment is None:
        return '<span class="soft">never</span>'
    return f'<time class="ago" datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{in_words(at - moment)} ago</time>'


def message_page(title: str, text: str, do: str, *, code: str = "", can_return: bool = True) -> str:
    """Return a page that says one thing: what happened, why, and what to do."""
    shown = f"<p>Code: <code>{escape(code)}</code></p>" if code else ""
    back = f'<p><a href="{PAGE_PATH}">Back to the connect page</a></p>' if can_return else ""
    body = (
        f'<section class="bad"><h2>{escape(title)}</h2><p>{escape(text)}</p>{shown}<p>{escape(do)}</p>{back}</section>'
    )
    return document(title, "Business Central Connect", body, heading="Connect page")
