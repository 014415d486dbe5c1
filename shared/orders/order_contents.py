"""What an order held: by what a repeat is known, and what is kept once contents go, by age or by a person (P31).

Pure. Left is what stops a second post: key, company, status, document, numbers and the digests of its content. Gone are
the message, the names of its senders, and Business Central's words about it, which may repeat what it held.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.code_text import code_of
from shared.errors import InvalidMessage
from shared.message_text import decode
from shared.orders.order_entry import OrderEntry
from shared.orders.order_message import OrderRequest, parse_message, sent_key_of

ERASED: Final = "what this order held is erased"


def is_past(entry: OrderEntry, now: datetime, keep: timedelta) -> bool:
    """Return whether an order ended, and was seen first and posted last, longer ago than contents are kept."""
    last = max((at for at in (entry.first_at, entry.posted_at) if at is not None), default=None)
    return entry.is_over and (last is None or last < now - keep)


def is_same_order(entry: OrderEntry, request: OrderRequest) -> bool:
    """Return whether a message means the order of an entry; what another release stored is judged by its message."""
    if entry.content == request.content or not (entry.content or entry.digest):
        return True
    if entry.is_erased:
        return not entry.content  # nothing to compare with
    try:
        stored = parse_message(decode(entry.message), message_id=entry.key, is_checked=True)
    except InvalidMessage:
        return True  # nothing to compare with
    return stored.content == request.content


def without_contents(entry: OrderEntry) -> OrderEntry:
    """Return an order that ended without what it held.

    Of one in doubt stays what a look-up compares and what holds back others. A row of 0.1.0 gets what its message was
    still needed for: the digest of this release, and its key where 0.1.0 filed it under another.
    """
    content, own_key = _of_message(entry)
    kept = replace(
        entry, message=b"", is_erased=True, content=content, own_key=own_key, senders=(), correlation_id="",
        error=ERASED if entry.error else "",
    )  # fmt: skip
    return kept if entry.in_doubt else replace(kept, before="", likeness="")


def _of_message(entry: OrderEntry) -> tuple[str, str]:
    if entry.content or not entry.message:
        return entry.content, entry.own_key
    try:
        text = decode(entry.message)
        own_key = code_of(sent_key_of(text, entry.key))
        content = parse_message(text, message_id=entry.key, is_checked=True).content if entry.digest else ""
    except InvalidMessage:
        return "", ""
    return content, own_key if own_key != entry.key else ""
