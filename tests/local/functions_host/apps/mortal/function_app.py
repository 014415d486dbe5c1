"""Functions that end their process, take their time, or both; each call of a message leaves a line in PROBE_LOG."""

import json
import os
import time
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def note(**values: object) -> None:
    with Path(os.environ["PROBE_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps({**values, "pid": os.getpid()}) + "\n")


@app.queue_trigger("msg", "work", "AzureWebJobsStorage", data_type=func.DataType.BINARY)
@app.queue_output("out", "done", "AzureWebJobsStorage")
def work(msg: func.QueueMessage, out: func.Out[str]) -> None:
    """Do what the message says at its first delivery: die, wait, or just answer."""
    name, _, deed = msg.get_body().decode().partition(":")
    note(name=name, count=msg.dequeue_count)
    out.set(name)
    if deed == "die" and msg.dequeue_count == 1:
        os._exit(3)
    if deed.startswith("wait") and msg.dequeue_count == 1:
        time.sleep(float(deed.removeprefix("wait")))
    note(name=name, ended=True)


@app.route("wait")
def wait(req: func.HttpRequest) -> func.HttpResponse:
    note(name="wait")
    time.sleep(float(req.params["s"]))
    return func.HttpResponse(str(os.getpid()))


@app.route("die")
def die(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(3)
