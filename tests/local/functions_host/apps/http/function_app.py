"""HTTP functions that show what reached them."""

import json
import os
import threading
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _seen(req: func.HttpRequest, name: str) -> func.HttpResponse:
    content = {
        "function": name,
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(content), mimetype="application/json")


@app.route("orders/{id:int}", methods=["GET"])
def by_number(req: func.HttpRequest) -> func.HttpResponse:
    return _seen(req, "by_number")


@app.route("orders/{id}", methods=["GET"])
def by_name(req: func.HttpRequest) -> func.HttpResponse:
    return _seen(req, "by_name")


@app.route("echo/{part?}")
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return _seen(req, "echo")


@app.route("files/{*rest}", methods=["GET"])
async def files(req: func.HttpRequest) -> func.HttpResponse:
    return _seen(req, "files")


@app.route("fails")
def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("secret detail")


@app.route("cookies")
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(b"\x00\xff", status_code=201, headers={"X-Kind": "bytes"})
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax")
    response.headers.add("Set-Cookie", "b=2; Max-Age=60")
    return response


@app.route("text")
def text(req: func.HttpRequest) -> str:
    return req.get_body().decode()


@app.route("locked", auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")


@app.route("off")
def off(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("on")


@app.route("settings/{name}")
def settings(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(os.environ.get(req.route_params["name"], "unset"))


@app.route("slow")
def slow(req: func.HttpRequest) -> func.HttpResponse:
    print("slow began", flush=True)  # noqa: T201 - the test waits for it
    time.sleep(float(req.params["s"]))
    return func.HttpResponse(threading.current_thread().name)
