"""Queue functions with every kind of output."""

import json
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
STORAGE = "AzureWebJobsStorage"


def _note(msg: func.QueueMessage) -> str:
    times = (msg.insertion_time, msg.expiration_time, msg.time_next_visible)
    return json.dumps(
        [
            json.dumps(
                {
                    "id": msg.id,
                    "body": msg.get_body().decode(),
                    "count": msg.dequeue_count,
                    "receipt": bool(msg.pop_receipt),
                    "times": [time.isoformat() if time else None for time in times],
                }
            )
        ]
    )


@app.queue_trigger("msg", "%ECHO_QUEUE%", STORAGE)
@app.queue_output("out", "echoed", STORAGE)
def echo(msg: func.QueueMessage, out: func.Out[str]) -> None:
    out.set(_note(msg))


@app.queue_trigger("msg", "flaky", STORAGE)
@app.queue_output("out", "flaky-done", STORAGE)
def flaky(msg: func.QueueMessage, out: func.Out[bytes]) -> None:
    """Succeed at the attempt that the message asks for."""
    wanted = int(msg.get_body())
    out.set(f"attempt {msg.dequeue_count}".encode())
    if (msg.dequeue_count or 0) < wanted:
        raise RuntimeError("not yet")


@app.queue_trigger("msg", "outputs", STORAGE)
@app.blob_output("blob", "made/{kind}/{Id}.bin", STORAGE)
@app.queue_output("many", "many", STORAGE)
@app.queue_output("text", "text", STORAGE)
@app.queue_output("raw", "raw", STORAGE)
def outputs(
    msg: func.QueueMessage,
    raw: func.Out[bytes],
    text: func.Out[str],
    many: func.Out[typing.List[str]],  # noqa: UP006 - the worker refuses list[str] here
    blob: func.Out[bytes],
) -> None:
    """Set the outputs that the message names; binding order is bottom up: raw, text, many, blob."""
    wanted = msg.get_json()
    if "raw" in wanted:
        raw.set(wanted["raw"][0].encode())
    if "text" in wanted:
        text.set(wanted["text"][0])
    if "many" in wanted:
        many.set(wanted["many"])
    if "blob" in wanted:
        blob.set(bytes(wanted["blob"]))


@app.queue_trigger("msg", "steps", STORAGE)
@app.queue_output("third", "step-three", STORAGE)
@app.blob_output("second", "steps/two.txt", STORAGE)
@app.queue_output("first", "step-one", STORAGE)
def steps(msg: func.QueueMessage, first: func.Out[bytes], second: func.Out[str], third: func.Out[bytes]) -> None:
    first.set(msg.get_body())
    second.set(msg.get_body().decode())
    third.set(msg.get_body())


@app.queue_trigger("msg", "chain-in", STORAGE)
@app.queue_output("$return", "chain-mid", STORAGE)
async def chain_start(msg: func.QueueMessage) -> str:
    return msg.get_body().decode() + ">"


@app.queue_trigger("msg", "chain-mid", STORAGE)
@app.queue_output("$return", "chain-out", STORAGE)
def chain_end(msg: func.QueueMessage) -> str:
    return msg.get_body().decode() + ">"


@app.route("put/{name}", methods=["POST"])
@app.blob_output("blob", "bodies/{name}-{rand-guid}.txt", STORAGE)
@app.queue_output("out", "put-{name}", STORAGE)
def put(req: func.HttpRequest, out: func.Out[bytes], blob: func.Out[str]) -> func.HttpResponse:
    out.set(req.get_body())
    if req.params.get("blob"):
        blob.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)
