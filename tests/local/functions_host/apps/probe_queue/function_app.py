"""The queue functions that the recorded cases were sent to; each notes what reached it in the file PROBE_LOG."""

import base64
import json
import os
import threading
import typing
from collections.abc import Callable
from typing import Any

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
STORAGE = "AzureWebJobsStorage"
BINARY = func.DataType.BINARY
Texts = func.Out[typing.List[str]]  # noqa: UP006 - the worker refuses list[str] here
_lock = threading.Lock()


def note(**values: object) -> None:
    with _lock, open(os.environ["PROBE_LOG"], "a", encoding="utf-8") as log:  # noqa: PTH123
        log.write(json.dumps(values) + "\n")


def shown(value: object) -> str | None:
    return None if value is None else str(value)


def seen(form: str, msg: Any) -> None:
    if isinstance(msg, func.QueueMessage):
        more = {"id": shown(msg.id), "dq": msg.dequeue_count, "exp": shown(msg.expiration_time)}
        more["ins"], more["nxt"] = shown(msg.insertion_time), shown(msg.time_next_visible)
        note(fn=form, kind="QueueMessage", body=base64.b64encode(msg.get_body()).decode(), **more)
    else:
        body = msg.encode("utf-8", "surrogatepass") if isinstance(msg, str) else bytes(msg)
        note(fn=form, kind=type(msg).__name__, body=base64.b64encode(body).decode())


@app.queue_trigger("m", "q-msg", STORAGE)
def f_msg(m: func.QueueMessage) -> None:
    seen("msg", m)


@app.queue_trigger("m", "q-bin", STORAGE, data_type=BINARY)
def f_bin(m: func.QueueMessage) -> None:
    seen("bin", m)


@app.generic_trigger(arg_name="m", type="queueTrigger", queueName="q-gen", connection=STORAGE)
def f_gen(m: func.QueueMessage) -> None:
    seen("gen", m)


@app.generic_trigger(arg_name="m", type="queueTrigger", queueName="q-genb", connection=STORAGE, data_type=BINARY)
def f_genb(m: func.QueueMessage) -> None:
    seen("genb", m)


@app.queue_trigger("m", "q-str", STORAGE)
def f_str(m: str) -> None:
    seen("str", m)


@app.queue_trigger("m", "q-bytes", STORAGE)
def f_bytes(m: bytes) -> None:
    seen("bytes", m)


@app.generic_trigger(arg_name="m", type="queueTrigger", queueName="q-genbs", connection=STORAGE, data_type=BINARY)
def f_genbs(m: bytes) -> None:
    seen("genbs", m)


def parsed(msg: func.QueueMessage) -> dict[str, Any]:
    try:
        content = json.loads(msg.get_body())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@app.queue_trigger("m", "q-blob", STORAGE)
@app.blob_output("blob", "probe/{job}.txt", STORAGE)
@app.queue_output("out", "q-out", STORAGE)
def f_blob(m: func.QueueMessage, blob: func.Out[bytes], out: Texts) -> None:
    note(fn="blob")
    wanted = parsed(m).get("do")
    if wanted != "noblob":
        blob.set(b"hello \xff")
    out.set([f"from {m.id}" if wanted != "tell" else m.get_body().decode()])
    if wanted == "fail":
        raise RuntimeError("as asked")


def with_blob(name: str, path: str, content: str | bytes, **trigger: Any) -> None:
    """Register a function that writes one blob at a path with expressions."""

    def f(m: func.QueueMessage, blob: Any) -> None:
        note(fn=name)
        blob.set(content)

    f.__annotations__["blob"] = func.Out[type(content)]  # type: ignore[misc]
    register: Callable[[Any], Any] = app.blob_output("blob", path, STORAGE)
    app.function_name("f_" + name)(app.queue_trigger("m", f"q-{name}", STORAGE, **trigger)(register(f)))


with_blob("dq", "probe/dq/{DequeueCount}-{id}.txt", "héllo")
with_blob("guid", "probe/guid/{rand-guid}.txt", "héllo")
with_blob("sys", "probe/sys/{sys.methodname}-{datetime:yyyyMMdd}-{sys.utcnow}.txt", "héllo")
with_blob("dot", "probe/dot/{a.b}.txt", "héllo")
with_blob("ins", "probe/ins/{InsertionTime}.txt", "héllo")
with_blob("trig", "probe/trig/{queueTrigger}.txt", "héllo")
with_blob("binid", "probe/bin/{id}.txt", b"x", data_type=BINARY)
with_blob("binjob", "probe/bin/{job}.txt", b"x", data_type=BINARY)
with_blob("bintrig", "probe/bin/{queueTrigger}.txt", b"x", data_type=BINARY)


def with_output(name: str, kind: Any, make: Callable[[Any], Any]) -> None:
    """Register a function that sets one queue output to what the message's member `v` asks for."""

    def f(m: func.QueueMessage, out: Any) -> None:
        note(fn=name)
        value = json.loads(m.get_body())["v"]
        if isinstance(value, dict):
            repeated = "repeat" in value
            value = value["repeat"] * value["n"] if repeated else [f"n{i}" for i in range(value["count"])]
        out.set(make(value))

    f.__annotations__["out"] = kind
    register = app.queue_output("out", "q-out", STORAGE)
    app.function_name("f_" + name)(app.queue_trigger("m", f"q-{name}", STORAGE)(register(f)))


with_output("ostr", func.Out[str], lambda value: value)
with_output("olist", Texts, lambda value: [value] if isinstance(value, str) else value)
with_output("obytes", func.Out[bytes], base64.b64decode)
with_output("omsg", func.Out[func.QueueMessage], lambda value: func.QueueMessage(id="own", body=value))


@app.queue_trigger("m", "q-two", STORAGE)
@app.queue_output("a", "q-out", STORAGE)
@app.queue_output("b", "q-out2", STORAGE)
@app.blob_output("blob", "probe/two/{id}.txt", STORAGE)
def f_two(m: func.QueueMessage, a: Texts, b: Texts, blob: func.Out[bytes]) -> None:
    note(fn="two")
    big = parsed(m).get("big")
    a.set([*(f"a{i}" for i in range(3)), *(["x" * big] if big else []), "a-last"])
    b.set([f"b{i}" for i in range(3)])
    blob.set(b"two")


@app.queue_trigger("m", "q-pp-poison", STORAGE)
def f_pp(m: func.QueueMessage) -> None:
    note(fn="pp", dq=m.dequeue_count)
    raise RuntimeError("as asked")
