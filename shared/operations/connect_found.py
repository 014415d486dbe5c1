"""What the find field of the connect page found: records with their events, orders with their story. Pure.

Everything from outside is escaped.
"""

from datetime import datetime
from html import escape
from typing import Any, Final

from shared.operations.connect_values import Action
from shared.operations.find import Announced, Found, InBusinessCentral, RecordStory
from shared.operations.page_parts import PAGE_PATH, ago, button, folded, section, when

#: States of an order whose contents may be erased.
_ENDED: Final = frozenset({"created", "rejected", "parked"})


def found_section(found: Found, form_token: str) -> str:
    """Return everything that bears the key, what erases it, and the way back."""
    parts = [_order(order, found.at) for order in found.orders]
    parts += [_record(record, found.at) for record in found.records]
    parts += [f"<li>Dead letter <code>{escape(letter)}</code>, below.</li>" for letter in found.dead_letters]
    nothing = "" if parts else f"<p>Nothing bears <code>{escape(found.key)}</code>.</p>"
    said = "".join(f'<p class="soft">{escape(error)}</p>' for error in found.errors)
    if found.not_asked:
        said += f'<p class="soft">Business Central was not asked in {len(found.not_asked)} more companies.</p>'
    said += _eraser(found, form_token)
    way_back = f'<p><a href="{PAGE_PATH}">Show all</a></p>'
    listed = f'<ul class="story">{"".join(parts)}</ul>' if parts else ""
    return section("found", f"What bears {found.key}", nothing + listed + said + way_back)


def _eraser(found: Found, form_token: str) -> str:
    """Return the button that erases what orders and dead letters of the key held, folded, as there is no way back."""
    held = [one for one in found.orders if one["status"] in _ENDED and not one["isErased"]]
    if not (held or found.dead_letters):
        return ""
    told = "<p>The message goes, and so do dead letters of the key. What stops a second order stays.</p>"
    press = button(
        Action.ERASE_KEY, form_token, "Erase for good", fields={"key": found.key}, of=found.key, kind="quiet"
    )
    return folded("Erase what is kept of it", told + press)


def _order(order: dict[str, Any], at: datetime) -> str:
    number = f" as {order['number']}" if order["number"] else ""
    told = [f"<strong>Order <code>{escape(str(order['orderKey']))}</code></strong>: {escape(order['status'] + number)}"]
    told.append(f"first seen {ago(order['firstSeen'], at)}, {order['attempts']} tries")
    if order["lastPost"]:
        told.append(f"last sent {when(order['lastPost'], at)}")
    if order["nextTry"]:
        told.append(f"next try {when(order['nextTry'], at)}")
    if order["error"]:
        told.append(escape(str(order["error"]["message"])))
    if order["isErased"]:
        told.append("what it held is erased")
    if order["correlationId"]:
        told.append(f"correlation id <code>{escape(str(order['correlationId']))}</code>")
    told += _now(order.get("businessCentral"), at)
    return f"<li>{'<br>'.join(told)}</li>"


def _record(record: RecordStory, at: datetime) -> str:
    number = record.business_central.number or record.id
    told = [f"<strong>{escape(record.entity)} <code>{escape(number)}</code></strong> of {escape(record.company_name)}"]
    told += [_event(event, at) for event in record.announced] or ["never announced"]
    return f"<li>{'<br>'.join([*told, *_now(record.business_central, at)])}</li>"


def _event(event: Announced, at: datetime) -> str:
    moment = when(event.at, at) if event.at else "by an earlier release"
    id_ = f", event <code>{escape(event.event_id)}</code>" if event.event_id else ""
    return f"announced {escape(event.type)} {moment}{id_}"


def _now(said: InBusinessCentral | None, at: datetime) -> list[str]:
    if said is None:
        return []
    if said.error:
        return [f"Business Central did not say: {escape(said.error)}"]
    if not said.is_there:
        return ["not in Business Central now"]
    state = f", {escape(said.status)}" if said.status else ""
    changed = f", changed {when(said.modified, at)}" if said.modified else ""
    return [f"in Business Central now{state}{changed}"]
