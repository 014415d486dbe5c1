"""What was recorded between Microsoft's host and its worker: this host must hand over the same, and read the same."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.functions_host.config import HttpOptions
from local.functions_host.functions import Function
from local.functions_host.http_messages import Request, decode_path
from local.functions_host.invocation import Outcome
from local.functions_host.message_values import trigger_value
from local.functions_host.outputs import blob_body, queue_bodies
from local.functions_host.schedules import Status, parse_schedule
from local.functions_host.timers import TimerRunner
from local.functions_host.values import Value
from local.functions_host.web import FunctionEndpoint, http_functions
from tests.local.functions_host.recorded import Case, Tally, cases, decoded, needs_recordings

pytestmark = needs_recordings

_START = "the worker library is started in its own process, without gRPC"
#: Cases that are not followed, and why.
LISTED = {
    "start_stream": _START,
    "worker_init": _START,
    "functions_metadata product": _START,
    "function_load bc_notifications": _START,
    "function_load read_page": _START,
    "function_load reconcile": _START,
}


def invocation(case: Case) -> dict[str, Any]:
    """Return the recorded call; it has inputs and the trigger's metadata."""
    request: dict[str, Any] = (case["request"] or {}).get("invocation_request", {})
    return request


def as_recorded(value: Value) -> dict[str, Any]:
    """Return a value in the recording's form."""
    return {value.kind: base64.b64encode(value.data).decode() if value.kind == "bytes" else value.data}


class Invoker:
    """Keeps what would have been handed to the worker."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self.metadata: Mapping[str, Value] = {}

    def start(self, work: Any) -> Any:
        return asyncio.ensure_future(work)

    async def invoke(
        self, function: Function, value: Value, metadata: Mapping[str, Value], data: Any, **_: Any
    ) -> Outcome:
        self.value, self.metadata = value, metadata
        return Outcome(ok=False, returned=None)


# -- HTTP


def http_difference(case: Case) -> str:
    """Send the recorded request to an endpoint, and compare what the worker gets."""
    recorded = invocation(case)["input_data"][0]["data"]["http"]
    url = urlsplit(recorded["url"])
    body = decoded(recorded.get("body", {}).get("bytes", ""))
    length = recorded["headers"].get("content-length")

    async def read() -> bytes:
        return body

    request = Request(
        recorded["method"],
        decode_path(url.path),
        f"?{url.query}" if url.query else "",
        tuple(recorded["headers"].items()),
        None if length is None else int(length),
        read,
    )
    routes = {"hello/{name}", "status", "bc/notifications/{subscription}"}
    bindings = [{"type": "httpTrigger", "name": "req", "route": route, "authLevel": "ANONYMOUS"} for route in routes]
    functions = [Function(b["route"], "id", b, (), None, disabled=False, bindings=()) for b in bindings]
    invoker = Invoker()

    async def main() -> None:
        function = http_functions(functions, "api")[0]
        endpoint = FunctionEndpoint(function, invoker, None, HttpOptions())  # type: ignore[arg-type]  # a fake
        await endpoint.handle(request)

    asyncio.run(main())
    assert invoker.value is not None
    found = dict(invoker.value.data)
    wanted = {name: recorded.get(name, {}) for name in ("method", "url", "headers", "params", "query")}
    wanted["body"] = body
    return "" if found == wanted else f"{found}, recorded {wanted}"


def test_http_calls_are_handed_over_as_recorded() -> None:
    """Method, URL, headers, query, route values and body of each call."""
    tally = Tally("wire-http")
    for case in cases("wire-http"):
        listed = LISTED.get(case["case"])
        tally.add(case["case"], "not here" if listed else http_difference(case), listed)
    tally.check(len(cases("wire-http")))


# -- queue messages


def queue_difference(case: Case) -> str:
    """Make the trigger's value of the recorded body again."""
    if case["request"] is None:
        with pytest.raises(UnicodeDecodeError):
            trigger_value({"name": "m"}, b"M\xfcller", MESSAGE)
        return ""
    recorded = invocation(case)
    given = recorded["input_data"][0]
    ((kind, content),) = given["data"].items()
    body = decoded(content) if kind == "bytes" else content.encode()
    trigger = {"name": given["name"], "dataType": "BINARY" if kind == "bytes" else None}
    by_hand = case["case"].startswith("admin call")
    count = {"raise, delivery 2": 2}.get(case["case"], 1)
    sent = message(count)
    recorded_id = recorded["trigger_metadata"].get("Id", {}).get("string", "")
    if recorded_id.startswith("00000000-"):  # otherwise a member of the message stands over it
        sent.id = recorded_id
    made = trigger_value(trigger, body, None if by_hand else sent)
    found = {name: as_recorded(value) for name, value in made.metadata.items()}
    wanted = dict(recorded["trigger_metadata"])
    if by_hand:  # the moment of the call
        wanted["InsertionTime"] = found["InsertionTime"]
    if as_recorded(made.value) != given["data"]:
        return f"value {as_recorded(made.value)}, recorded {given['data']}"
    return "" if found == wanted else f"metadata {found}, recorded {wanted}"


def message(count: int) -> Any:
    """The message of the recording, its ids and times replaced by fixed ones."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return SimpleNamespace(
        id="00000000-0000-4000-8000-000000000003",
        pop_receipt="POPRECEIPT",
        dequeue_count=count,
        inserted_on=now,
        next_visible_on=now,
        expires_on=now.replace(day=9),
    )


MESSAGE = message(1)


def test_messages_are_handed_over_as_recorded() -> None:
    """The value and the metadata of each call: which member of the message stands over which of the trigger."""
    tally = Tally("wire-queue")
    for case in cases("wire-queue"):
        tally.add(case["case"], queue_difference(case), None)
    tally.check(len(cases("wire-queue")))


# -- timers


def timer_difference(case: Case) -> str:
    """Run a timer in the recorded state, by its schedule or by hand."""
    recorded = invocation(case)
    given = recorded["input_data"][0]
    content = json.loads(given["data"]["json"])
    status = content["ScheduleStatus"]
    binding = {
        "type": "timerTrigger",
        "name": given["name"],
        "schedule": "0 0 0 1 1 *",
        "useMonitor": status is not None,
    }
    function = Function("f", "id", binding, (), None, disabled=False, bindings=())
    stored = None if status is None else Status.from_json(status)

    class Store:
        async def read(self, function: str) -> Status | None:
            return stored

        async def write(self, function: str, status: Status) -> None:
            raise AssertionError

    invoker = Invoker()
    runner = TimerRunner(function, parse_schedule("0 0 0 1 1 *", UTC), Store(), invoker)  # type: ignore[arg-type]  # fakes
    by_hand = given["name"] in recorded["trigger_metadata"]

    async def main() -> None:
        if by_hand:
            await runner.run_by_hand()
        else:
            await runner.run_with(stored, past_due=content["IsPastDue"])

    asyncio.run(main())
    assert invoker.value is not None
    found, wanted = json.loads(invoker.value.data), content
    if status is not None:  # .NET's seventh digit of a second has no place in a datetime
        wanted["ScheduleStatus"] = {name: text.replace("1234567+", "123456+") for name, text in status.items()}
    names = {name: next(iter(value)) for name, value in recorded["trigger_metadata"].items()}
    kinds = {name: value.kind for name, value in invoker.metadata.items()}
    same = found == wanted and kinds == names and (not by_hand or invoker.metadata[given["name"]].data == "")
    return "" if same else f"{found} {kinds}, recorded {wanted} {names}"


def test_timer_calls_are_handed_over_as_recorded() -> None:
    """Schedule, status and past due; a start by hand has the stored status and an empty text beside it."""
    tally = Tally("wire-timer")
    for case in cases("wire-timer"):
        tally.add(case["case"], timer_difference(case), None)
    tally.check(len(cases("wire-timer")))


# -- outputs


def output_difference(case: Case) -> str:
    """Make messages and blobs of what the worker answered."""
    written = json.loads(case["note"])["written"]
    answered = case["response"]["invocation_response"]["output_data"]
    found: dict[str, list[str]] = {}
    failed = False
    for output in answered:
        ((kind, content),) = output["data"].items()
        value = Value(kind, decoded(content) if kind == "bytes" else content)
        if output["name"] == "blob":
            found["blob"] = [base64.b64encode(blob_body(value)).decode()]
            continue
        try:
            bodies = queue_bodies(value)
        except ValueError:
            failed = True
            continue
        if bodies:
            found[output["name"]] = [base64.b64encode(body).decode() for body in bodies]
    if "poison" in written:
        return "" if failed else f"{found}, recorded as failed"
    wanted = {name: written[key] for name, key in (("out", "queue"), ("a", "queue"), ("b", "queue2")) if key in written}
    wanted = {name: texts for name, texts in wanted.items() if name in {output["name"] for output in answered}}
    if "blobs" in written:
        wanted["blob"] = [written["blobs"][0]["content"]]
    return "" if found == wanted else f"{found}, recorded {wanted}"


def test_answers_become_what_was_written() -> None:
    """The queue messages and blobs of each answered output, with base64."""
    tally = Tally("wire-outputs")
    for case in cases("wire-outputs"):
        tally.add(case["case"], output_difference(case), None)
    tally.check(len(cases("wire-outputs")))
