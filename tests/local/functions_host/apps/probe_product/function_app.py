"""Functions with the names, routes and levels of the product at the recorded commit; they answer what a file says.

The file ANSWER holds status, headers and body (base64); a function that was reached says so in the file PROBE_LOG.
"""

import base64
import json
import os
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
ANONYMOUS = func.AuthLevel.ANONYMOUS


def reached(req: func.HttpRequest) -> func.HttpResponse:
    with Path(os.environ["PROBE_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps({"route": dict(req.route_params), "bytes": len(req.get_body())}) + "\n")
    wanted = json.loads(Path(os.environ["ANSWER"]).read_text(encoding="utf-8"))
    response = func.HttpResponse(base64.b64decode(wanted["body"]), status_code=wanted["status"])
    for name, value in wanted["headers"]:
        response.headers.add(name, value)
    return response


@app.route("status", methods=["GET"])
def status(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("health", methods=["GET"], auth_level=ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("orders/{key}", methods=["GET"])
def order_status(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("orders/{key}/redrive", methods=["POST"])
def redrive_order(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("connect", methods=["GET"])
def connect(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("connect/start", methods=["GET", "POST"], auth_level=ANONYMOUS)
def connect_start(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("connect/callback", methods=["GET"], auth_level=ANONYMOUS)
def connect_callback(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.route("bc/notifications/{subscription}", methods=["GET", "POST"], auth_level=ANONYMOUS)
def bc_notifications(req: func.HttpRequest) -> func.HttpResponse:
    return reached(req)


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def reconcile(timer: func.TimerRequest) -> None:
    pass
