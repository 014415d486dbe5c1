"""What a queue message becomes for the worker: its value, the trigger's metadata, the binding data. Pure.

``data_type`` of the trigger decides. Without one, and with ``STRING``, the body must be UTF-8 text, and the members of
a JSON object in it are put over the metadata. With ``BINARY`` the body crosses as bytes, whatever they are, and nothing
in it is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from local.functions_host import json_net
from local.functions_host.expressions import BindingData
from local.functions_host.values import Value, bytes_value, json_value, text_value

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Message(Protocol):
    """A message as the storage SDK gives it."""

    id: str
    pop_receipt: str | None
    dequeue_count: int | None
    inserted_on: datetime | None
    expires_on: datetime | None
    next_visible_on: datetime | None


@dataclass(frozen=True)
class TriggerValue:
    """What the worker gets for a message."""

    value: Value
    metadata: dict[str, Value]
    data: BindingData


def is_binary(trigger: Mapping[str, Any]) -> bool:
    """Tell whether a trigger takes bytes."""
    return str(trigger.get("dataType") or "").casefold() == "binary"


def trigger_value(trigger: Mapping[str, Any], body: bytes, message: Message | None) -> TriggerValue:
    """Return what a function gets for a body; without a message (an admin call) it has no id and no pop receipt.

    Raises:
        UnicodeDecodeError: a body that is not UTF-8, for a function that takes text.
    """
    binary = is_binary(trigger)
    data = BindingData()
    try:
        text = body.decode()
        data.update([("QueueTrigger", text)])
    except UnicodeDecodeError:
        if not binary:
            raise
        text = ""
    own = _own(message)
    data.update(own.items())
    if message is None:
        data.update([(str(trigger["name"]), text)])
    if not binary:
        data.add_json_body(text)
    value = bytes_value(body) if binary else text_value(text)
    return TriggerValue(value, {name: _metadata(item) for name, item in data.items()}, data)


def _own(message: Message | None) -> dict[str, object]:
    if message is None:
        return {
            "DequeueCount": 0,
            "InsertionTime": datetime.now(UTC),
            "ExpirationTime": _NEVER,
            "NextVisibleTime": _NEVER,
        }
    return {
        "Id": message.id,
        "PopReceipt": str(message.pop_receipt),
        "DequeueCount": int(message.dequeue_count or 0),
        "InsertionTime": message.inserted_on or _NEVER,
        "ExpirationTime": message.expires_on or _NEVER,
        "NextVisibleTime": message.next_visible_on or _NEVER,
    }


def _metadata(item: object) -> Value:
    """Return a metadata value: text crosses as it is, everything else, own times and numbers included, as JSON."""
    match item:
        case str():
            return text_value(item)
        case datetime():
            # .NET's last moment has a seventh digit.
            fraction = ".9999999" if item == _NEVER else ""
            return json_value(f"{item.astimezone(UTC):%Y-%m-%dT%H:%M:%S}{fraction}+00:00")
        case dict():
            return Value("json", json_net.write(item, indent=False))
    return json_value(item)
