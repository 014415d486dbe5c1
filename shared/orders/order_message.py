"""Messages of the queue `sales-orders`: one parser, which makes a new order of a message or names every fault.

Owns the envelope, the key, the number that stands for it in BC, and the content's digest; what BC takes of an order is
in `order_fields`. No member of a message is an instruction to this app.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, Final

from shared import exact_json
from shared.business_central.code_text import code_of
from shared.errors import InvalidMessage
from shared.guid import is_guid
from shared.message_text import LOST, LOST_MEANS
from shared.orders.order_entry import Numbering
from shared.orders.order_fields import EXTERNAL, EXTERNAL_LENGTH, arranged, faults_of, has_lines, text_of

KEY_LENGTH: Final = 200
COMPANY_LENGTH: Final = 250
#: Exactly what an envelope may hold (design.md 4.1).
_MEMBERS: Final = ("connection", "company", "orderKey", "order")
#: In a bare order even this goes to BC, which has its own answer to it; beside an envelope's four it is a fault.
_LEFT_TO_BC: Final = frozenset({"id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A valid order message."""

    key: str  # as keys are compared: trimmed, upper case
    sent_key: str  # as the sender wrote it; the message's id when it has none
    connection: str  # id as sent; "" when the message names none
    company: str  # id or name as sent; "" when the message names none
    external_number: str  # the number that stands for the order in BC, as a Code
    numbering: Numbering
    customer_number: str  # as a Code; "" when only the id is given
    customer_id: str  # lower case; "" when only the number is given
    order: Mapping[str, Any]  # as the sender wrote it
    body: str  # JSON for POST salesOrders
    content: str  # digest of what the sender meant, which distinguishes a repeat from another order under the same key


def parse_message(text: str, *, message_id: str, is_checked: bool = False) -> OrderRequest:
    """Check a message of the queue `sales-orders`; the whole of it, so that one answer names every fault.

    `is_checked`: an earlier release took it for an order; its rules counted, and BC has the last word. What it stored
    may be a message that it refused, so lines that are none are refused still.

    Raises:
        InvalidMessage: each fault names its field and the rule.
    """
    document = _document(text)
    is_envelope = _is_envelope(document)
    order = document.get("order") if is_envelope else document
    envelope = document if is_envelope else {}
    faults = [_stranger_rule(name) for name in envelope if name not in _MEMBERS]
    connection = _member(envelope, "connection", faults, KEY_LENGTH)
    company = _member(envelope, "company", faults, COMPANY_LENGTH)
    order_key = _member(envelope, "orderKey", faults, KEY_LENGTH)
    if not isinstance(order, dict):
        rule = "must be a JSON object" if "order" in document else "is required"
        raise InvalidMessage([*faults, f"order: {rule}"])
    faults += faults_of(order, left_to_bc=frozenset() if is_envelope else _LEFT_TO_BC) + _lost_letters(order)
    if faults and not (is_checked and has_lines(order)):
        raise InvalidMessage(faults)
    return _request(order, order_key, message_id, connection, company)


def _request(order: dict[str, Any], order_key: str, message_id: str, connection: str, company: str) -> OrderRequest:
    external, sent = text_of(order, EXTERNAL), order.get(EXTERNAL)
    key = code_of(order_key or external or message_id)
    number = code_of(external) or external_of(key)
    body = {EXTERNAL: number, **arranged(order)}
    body[EXTERNAL] = sent if external else number  # BC upper-cases codes itself
    return OrderRequest(
        key=key,
        sent_key=order_key or (str(sent) if external else message_id),
        connection=connection.strip(),
        company=company.strip(),
        external_number=number,
        numbering=_numbering(key, order_key, external),
        customer_number=code_of(text_of(order, "customerNumber")),
        customer_id=text_of(order, "customerId").lower(),
        order=order,
        body=exact_json.dumps(body),
        content=sha256(_canonical({**order, EXTERNAL: number}).encode()).hexdigest(),
    )


def _numbering(key: str, order_key: str, external: str) -> Numbering:
    if external:
        return "given" if not order_key or code_of(external) == key else "shared"
    return "given" if order_key and external_of(key) == key else "generated"


def sent_key_of(text: str, message_id: str) -> str:
    """Return the key a refused message is filed under: its own, as sent, if it has one, else the message's id."""
    try:
        document = _document(text)
    except InvalidMessage:
        return message_id
    order = document.get("order")
    inner = order if isinstance(order, dict) else document
    for value in (document.get("orderKey") if _is_envelope(document) else None, inner.get(EXTERNAL)):
        if isinstance(value, str) and value.strip():
            return value.strip()[:KEY_LENGTH] if len(value) > KEY_LENGTH else value
    return message_id


def connection_of(text: str) -> str:
    """Return the connection that a message names, as sent; "" when it names none, or is no message."""
    try:
        document = _document(text)
    except InvalidMessage:
        return ""
    named = document.get("connection") if _is_envelope(document) else None
    return named.strip() if isinstance(named, str) else ""


def connection_fault(named: str, mine: str, ids: Sequence[str]) -> str:
    """Return what is wrong with a message that came to connection `mine` and names one; "" when nothing is."""
    if named == mine or (not named and len(ids) == 1):
        return ""
    if len(ids) == 1:
        return f"must be {ids[0]}"
    listed = ", ".join(ids)
    if not named:
        return f"is required: several are connected ({listed})"
    if named in ids:
        return f"is {named}, and the order is kept by {mine}; send it anew"
    near = get_close_matches(named.lower(), ids, n=1)
    return f"must be one of: {listed}" + (f"; did you mean {near[0]}?" if near else "")


def external_of(key: str) -> str:
    """Return the external document number that stands for a key: itself, a GUID's hex digits, or a digest of it."""
    key = code_of(key)
    if is_guid(key):
        return key.replace("-", "")
    if len(key) <= EXTERNAL_LENGTH:
        return key
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32].upper()


def _document(text: str) -> dict[str, Any]:
    try:
        document = exact_json.loads(text)
    except ValueError as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    if not isinstance(document, dict):
        raise InvalidMessage(["message: must be a JSON object"])
    return document


def _is_envelope(document: Mapping[str, Any]) -> bool:
    """Return whether a message is an envelope, a misspelt one included: a bare order names its customer."""
    is_bare = "customerNumber" in document or "customerId" in document
    is_named = not document.keys().isdisjoint({"orderKey", "connection"})  # which no order of Business Central has
    return "order" in document or (
        not is_bare and (is_named or any(isinstance(value, dict) for value in document.values()))
    )


def _stranger_rule(name: str) -> str:
    plain = {member.lower(): member for member in _MEMBERS}
    near = get_close_matches(name.lower().replace("_", "").replace("-", ""), plain, n=1)
    hint = f"did you mean `{plain[near[0]]}`?" if near else f"there are {', '.join(_MEMBERS)}"
    return f"{name[:50]}: is no member of an order message; {hint}"


def _lost_letters(order: Mapping[str, Any]) -> list[str]:
    """Return a fault when a text, written as an escape perhaps, holds the sign for a letter that was lost."""
    return [f"message: holds U+FFFD, {LOST_MEANS}"] if LOST in _canonical(order) else []


def _canonical(value: Any) -> str:
    """Return JSON that is equal for equal meanings: members sorted, `3.0` as `3`."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, Decimal):
        return str(value.normalize() + 0)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(Decimal(value).normalize() + 0)
    return json.dumps(value, ensure_ascii=False)


def _member(envelope: Mapping[str, Any], name: str, faults: list[str], longest: int) -> str:
    """Return a member as it was sent, "" when it is absent or at fault."""
    value = envelope.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        faults.append(f"{name}: must be text")
        return ""
    if len(value.strip()) > longest:
        faults.append(f"{name}: has {len(value.strip())} characters, at most {longest} are allowed")
    return value
