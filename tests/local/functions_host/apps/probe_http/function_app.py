"""The HTTP functions that the recorded cases were sent to, and a queue and a timer function for the admin calls."""

import base64
import hashlib
import json
import os
import threading
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_lock = threading.Lock()
_busy = _peak = 0


def told(req: func.HttpRequest) -> func.HttpResponse:
    body = req.get_body()
    try:
        form: object = {name: str(value) for name, value in req.form.items()}
    except Exception as error:  # noqa: BLE001 - recorded as its name
        form = type(error).__name__
    content = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers.items()),
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "body_type": type(body).__name__,
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_start": base64.b64encode(body[:64]).decode(),
        "form": form,
    }
    return func.HttpResponse(json.dumps(content, sort_keys=True), mimetype="application/json")


def keep(content: object) -> None:
    with open(os.environ["PROBE_LOG"], "a", encoding="utf-8") as log:  # noqa: PTH123
        log.write(json.dumps(content) + "\n")


@app.route("echo", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("anything")
def anything(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("item/{key}", methods=["GET", "POST"])
def item(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("item/{key}/part", methods=["GET", "POST"])
def part(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("rest/{*rest}", methods=["GET", "POST"])
def rest(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("answer", methods=["POST"])
def answer(req: func.HttpRequest) -> func.HttpResponse:
    """Answer what the body asks for."""
    wanted = json.loads(req.get_body())
    body = base64.b64decode(wanted["body_base64"]) if "body_base64" in wanted else wanted.get("body")
    more = {name: wanted[name] for name in ("mimetype", "charset") if name in wanted}
    headers = dict(wanted.get("headers", {}))
    response = func.HttpResponse(body, status_code=wanted.get("status", 200), headers=headers, **more)
    for name, value in wanted.get("added", []):
        response.headers.add(name, value)
    return response


@app.route("fails", methods=["GET"])
def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("secret detail")


@app.route("nothing", methods=["GET"])
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value]  # the fault under test


@app.route("text", methods=["GET"])
def text(req: func.HttpRequest) -> str:
    return str(req.params.get("value", "plain text"))


@app.route("big", methods=["GET"])
def big(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(b"x" * int(req.params["n"]), mimetype="application/octet-stream")


@app.route("slow", methods=["GET", "POST"])
def slow(req: func.HttpRequest) -> func.HttpResponse:
    global _busy, _peak  # noqa: PLW0603 - what the recorded one counted
    with _lock:
        _busy += 1
        _peak = max(_peak, _busy)
    time.sleep(float(req.params.get("s", "1")))
    with _lock:
        _busy -= 1
    keep({"slow": "ended"})
    return func.HttpResponse(json.dumps({"peak": _peak}))


@app.function_name("locked")
@app.route("locked", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.function_name("un_locked")
@app.route("unlocked", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def un_locked(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.function_name("masters")
@app.route("masters", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def masters(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.queue_trigger(arg_name="msg", queue_name="probe-in", connection="AzureWebJobsStorage")
def taken(msg: func.QueueMessage) -> None:
    keep({"queue": repr(msg.get_body()), "id": "<id>", "dequeue_count": msg.dequeue_count})


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def ticked(timer: func.TimerRequest) -> None:
    keep({"timer": timer.past_due})
