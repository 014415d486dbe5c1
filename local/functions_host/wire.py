"""The plain classes the worker library wants in place of its protobuf messages, and its value type.

``azure-functions-runtime`` builds its answers with whatever module it is given as ``protos``. Loading and indexing need
only the classes below; invocations take the native path, which speaks ``Datum`` and needs none.
"""

import json
from typing import Any, Protocol

from azure_functions_runtime.bindings.datumdef import Datum as _RuntimeDatum


class Datum(Protocol):
    """A typed value as it crosses to and from the worker: ``string``, ``bytes``, ``json``, ``http``, ..."""

    value: Any
    type: str | None


def text_datum(value: str) -> Datum:
    """Return a ``string`` value."""
    return _datum(value, "string")


def bytes_datum(value: bytes) -> Datum:
    """Return a ``bytes`` value."""
    return _datum(value, "bytes")


def json_datum(value: object) -> Datum:
    """Return a ``json`` value, whose content is the JSON text."""
    return _datum(json.dumps(value, ensure_ascii=False), "json")


def http_datum(value: dict[str, Any]) -> Datum:
    """Return an ``http`` value: method, url, headers, query, params, body."""
    return _datum(value, "http")


def _datum(value: object, kind: str) -> Datum:
    datum: Datum = _RuntimeDatum(value, kind)
    return datum


class Message:
    """A bag of the fields it was made with; a field that was not given reads as None."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class _StatusResult(Message):
    Failure = 0
    Success = 1
    Cancelled = 2


class _BindingInfo(Message):
    undefined = 0
    out = 1
    inout = 2


class Protos:
    """What the worker library reads from its ``protos`` module while it loads and indexes an app."""

    WorkerInitResponse = Message
    FunctionMetadataResponse = Message
    RpcFunctionMetadata = Message
    RpcRetryOptions = Message
    RpcException = Message
    WorkerMetadata = Message
    StatusResult = _StatusResult
    BindingInfo = _BindingInfo
