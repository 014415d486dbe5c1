"""Messages of the queue `sales-orders`: one parser, which makes a new order of a message or names every fault.

Owns the envelope, the key and the content's digest; what BC takes of an order is in `order_fields`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from shared import exact_json
from shared.errors import InvalidMessage
from shared.guid import is_guid
from shared.orders.order_fields import EXTERNAL_LENGTH, arranged, faults_of, text_of

KEY_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A valid order message."""

    key: str  # idempotency key, upper case
    company: str  # id or name as sent; "" when the message names none
    external_number: str  # what BC gets as externalDocumentNumber, upper case as BC keeps it
    key_is_external: bool  # the external number stands for this key and for no other order
    customer_number: str
    customer_id: str
    body: str  # JSON for POST salesOrders
    digest: str  # of the content, to tell a repeat from another order under the same key


def parse_message(text: str, *, message_id: str) -> OrderRequest:
    """Check a message of the queue `sales-orders`; the whole of it, so that one answer names every fault.

    Raises:
        InvalidMessage: each fault names its field and the rule.
    """
    document = _document(text)
    is_envelope = "order" in document
    order = document["order"] if is_envelope else document
    if not isinstance(order, dict):
        raise InvalidMessage(["order: must be a JSON object"])
    faults: list[str] = []
    envelope = document if is_envelope else {}
    company = _member(envelope, "company", faults, 250)
    order_key = _member(envelope, "orderKey", faults, KEY_LENGTH)
    faults += faults_of(order)
    own_key = order_key or text_of(order, "externalDocumentNumber")
    if not own_key and any(name.lower() == "id" for name in document):
        # The Functions worker takes such a member for the message's own id, so it is no key.
        faults.append("orderKey: is required when the message itself has a member `id`")
    if faults:
        raise InvalidMessage(faults)
    return _request(order, company, (own_key or message_id).strip().upper())


def _request(order: Mapping[str, Any], company: str, key: str) -> OrderRequest:
    external = text_of(order, "externalDocumentNumber")
    external_number = (external or external_of(key)).upper()
    body = {"externalDocumentNumber": external_number, **arranged(order)}
    body["externalDocumentNumber"] = external_number
    encoded = exact_json.dumps(body)
    return OrderRequest(
        key=key,
        company=company,
        external_number=external_number,
        key_is_external=not external or external.upper() == key,
        customer_number=text_of(order, "customerNumber").upper(),
        customer_id=text_of(order, "customerId").lower(),
        body=encoded,
        digest=sha256(encoded.encode()).hexdigest(),
    )


def message_key(text: str, message_id: str) -> str:
    """Return the key an unreadable or refused message is filed under: its own if it has one, else the message's id."""
    try:
        document = _document(text)
    except InvalidMessage:
        return message_id.upper()
    order = document.get("order")
    inner = order if isinstance(order, dict) else document
    for value in (document.get("orderKey") if "order" in document else None, inner.get("externalDocumentNumber")):
        if isinstance(value, str) and value.strip():
            return value.strip().upper()[:KEY_LENGTH]
    return message_id.upper()


def keyed(text: str, message_id: str) -> str:
    """Return the message with its key written out, so that a copy under another message id is the same order."""
    try:
        document = _document(text)
    except InvalidMessage:
        return text
    if message_key(text, message_id) != message_id.upper():
        return text
    envelope = document if "order" in document else {"order": document}
    return exact_json.dumps({**envelope, "orderKey": message_id})


def external_of(key: str) -> str:
    """Return the external document number that stands for a key: itself, a GUID's hex digits, or a digest of it."""
    if is_guid(key):
        return key.replace("-", "").upper()
    if len(key) <= EXTERNAL_LENGTH:
        return key.upper()
    return sha256(key.upper().encode()).hexdigest()[:32].upper()


def _document(text: str) -> dict[str, Any]:
    try:
        document = exact_json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    if not isinstance(document, dict):
        raise InvalidMessage(["message: must be a JSON object"])
    return document


def _member(envelope: Mapping[str, Any], name: str, faults: list[str], longest: int) -> str:
    value = envelope.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        faults.append(f"{name}: must be text")
        return ""
    if len(value.strip()) > longest:
        faults.append(f"{name}: has {len(value.strip())} characters, at most {longest} are allowed")
    return value.strip()
