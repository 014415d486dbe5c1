"""The worker library's side of a value: its ``Datum``, and the plain classes it wants in place of protobuf messages.

``azure-functions-runtime`` builds its answers with whatever module it is given as ``protos``. Loading and indexing need
only the classes below; invocations take the native path, which speaks ``Datum`` and needs none. Only the worker process
imports this module.
"""

from http.cookies import Morsel, SimpleCookie
from typing import Any

from azure_functions_runtime.bindings.datumdef import Datum

from local.functions_host.values import Cookie, HttpAnswer, Value


def datum_of(value: Value) -> Any:
    """Return a value as the worker library takes it."""
    if value.kind != "http":
        return Datum(value.data, value.kind)
    request = dict(value.data)
    parts = {name: Datum(request[name], "string") for name in ("method", "url")}
    for name in ("headers", "query", "params"):
        parts[name] = {key: Datum(text, "string") for key, text in request[name].items()}
    return Datum({**parts, "body": Datum(request["body"], "bytes")}, "http")


def value_of(datum: Any) -> Value | None:
    """Return what the worker library gave as a value; None for nothing.

    Raises:
        ValueError: a cookie that the library's protobuf form cannot carry.
    """
    if datum is None or datum.type is None:
        return None
    if datum.type != "http":
        return Value(datum.type, datum.value)
    answer = datum.value
    body = answer["body"].value
    return Value(
        "http",
        HttpAnswer(
            status=str(answer["status_code"].value),
            headers=tuple((name, str(header.value)) for name, header in answer["headers"].items()),
            cookies=tuple(_cookie(morsel) for cookie in answer.get("cookies") or () for morsel in _morsels(cookie)),
            body=body.encode() if isinstance(body, str) else bytes(body or b""),
        ),
    )


def _morsels(cookie: SimpleCookie) -> list["Morsel[str]"]:
    return list(cookie.values())


def _cookie(morsel: "Morsel[str]") -> Cookie:
    if morsel["expires"]:  # recorded: the library's timestamp conversion fails, and the call with it
        raise ValueError(f"cookie {morsel.key!r} has Expires, which fails in the worker library")
    if morsel["max-age"]:
        float(morsel["max-age"])
    same_site = str(morsel["samesite"]).casefold()
    return Cookie(
        name=morsel.key,
        value=morsel.value,
        domain=morsel["domain"],
        path=morsel["path"],
        max_age=morsel["max-age"],
        secure=bool(morsel["secure"]),
        http_only=bool(morsel["httponly"]),
        same_site=same_site if same_site in {"lax", "strict", "none"} else "",
    )


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
