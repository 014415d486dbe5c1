"""The connect page of several connections: each with its health in one word, why, the next step, and the way into it.

Pure; everything from outside is escaped.
"""

from collections.abc import Sequence
from html import escape

from shared.operations.page_parts import PAGE_PATH, Line, document, mark, rows_of, section, small
from shared.operations.status_view import ConnectionView

#: Health -> state of a mark, which gives its colour.
_MARKS = {"connected": "ok", "degraded": "waiting", "unreachable": "failed", "login_needed": "needed"}


def connections_page(connections: Sequence[ConnectionView]) -> str:
    """Return the page that leads into each connection."""
    head = ("Connection", "Environment", "Health", "Waits for a person", "Next")
    lines = [_line(one) for one in connections]
    body = section("connections", "Connections", rows_of("connections", head, lines))
    return document("Business Central Connect", f"<strong>{len(connections)}</strong> connections", body)


def _line(one: ConnectionView) -> Line:
    is_link = one.id.isalnum()  # an entry of BC_CONNECTIONS that can be no id has no page
    name = f'<a href="{PAGE_PATH}?connection={escape(one.id)}">{escape(one.id)}</a>' if is_link else escape(one.id)
    waits = one.orders_parked + one.orders_rejected + one.dead_letters
    return Line(
        name,
        ("Environment", escape(one.environment)),
        ("Health", mark(_MARKS.get(one.health, "failed"), one.health) + small(one.reason)),
        ("Waits for a person", str(waits) if waits else "nothing"),
        ("Next", escape(one.next_step)),
    )
