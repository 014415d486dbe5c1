"""Every request that was recorded on Microsoft's host, sent to this one: it must answer the same."""

import base64
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import Account, HostProcess, eventually
from tests.local.functions_host.raw_http import RawAnswer, difference, send
from tests.local.functions_host.recorded import Case, Tally, cases, needs_recordings

pytestmark = [pytest.mark.azurite, needs_recordings]

KEYS = {"{MASTER}": "Master-Key", "{HOSTKEY}": "Host-Key", "{FNKEY}": "Function-Key"}

_SURFACE = "admin surface that neither the app nor its operators use; answers 501"
#: Cases that are not followed, and why. A listed case that is followed after all fails the test.
LISTED = {
    "F/GET /admin/functions/taken/keys": _SURFACE,
    "F/GET /admin/functions/un_locked/keys": _SURFACE,
    "F/GET /admin/host/keys": _SURFACE,
    "F/GET /admin/host/systemkeys": _SURFACE,
    "F/GET /admin/host/extensions": _SURFACE,
    "F/GET /admin/host/drain/status": _SURFACE,
    "F/GET /admin/host/config": _SURFACE,
    "F/GET /admin/warmup": _SURFACE,
    "F/POST /admin/host/synctriggers": _SURFACE,
    "F/POST /admin/host/log": _SURFACE,
    "F/POST /admin/host/drain": _SURFACE,
    "F/POST /admin/host/scale/status": _SURFACE,
    "F/PUT": _SURFACE,
    "F/GET /admin/host/status": "no bundle of extensions to name; id, state, errors and version are there",
    "F/GET /": "the page is Microsoft's; status and content type are the same",
}
#: Where only the host's part of an answer can be the same: its own text is compared in another way.
_DESCRIBED = {"F/http function GET"}
#: Its run was recorded with the case that followed it.
_LATE = "F/taken big 100 KB"


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of the recording."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    functions = {name: {"default": KEYS["{FNKEY}"]} for name in ("un_locked",)}
    content = {"master": KEYS["{MASTER}"], "host": {"default": KEYS["{HOSTKEY}"]}, "functions": functions}
    file.write_text(json.dumps(content))
    return file


class Probe:
    """A running probe app."""

    def __init__(self, host: HostProcess, log: Path, answer: Path) -> None:
        self.host = host
        self.port = int(urlsplit(host.url).port or 0)
        self.log = log
        self.answer = answer

    def send(self, case: Case) -> RawAnswer:
        return send(self.port, {**case["request"], "case": case["case"]}, KEYS)

    def noted(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()


Starter = Callable[..., Probe]


@pytest.fixture(scope="module")
def starter(
    start_shared_host: StartHost, azurite: Account, keys_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Starter:
    """Starts a probe app once for each set of variables."""
    started: dict[tuple[str, ...], Probe] = {}

    def start(app: str | Path, **env: str) -> Probe:
        name = (str(app), *map("=".join, sorted(env.items())))
        if name not in started:
            folder = tmp_path_factory.mktemp("probe")
            log, answer = folder / "log.txt", folder / "answer.json"
            log.touch()
            more = {"PROBE_LOG": str(log), "ANSWER": str(answer), "TZ": "UTC", **env}
            arguments = ("--enable-auth", "--keys-file", str(keys_file), "--timers", "off")
            variables = {"AzureWebJobsStorage": azurite.connection_string, **more}
            started[name] = Probe(start_shared_host(app, *arguments, env=variables), log, answer)
        return started[name]

    return start


def probe_for(starter: Starter, case: Case) -> Probe:
    note = case.get("note", "")
    if note.startswith("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"):
        return starter("probe_http", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1048576")
    if "enableChunkedRequestBinding" in note:
        return starter("probe_http", AzureFunctionsJobHost__extensions__http__enableChunkedRequestBinding="true")
    return starter("probe_http" if case["app"] == "probe" else "probe_product")


def described_difference(real: Case, answer: RawAnswer) -> str:
    """Compare what the admin endpoint says of a function; folders differ from one machine to the next."""
    recorded, given = json.loads(base64.b64decode(real["body_base64"])), json.loads(answer.body)
    if dict(answer.header_set())["content-type"] != "application/json; charset=utf-8":
        return f"headers {answer.headers}"
    for name in ("script_href", "test_data_href"):
        recorded[name] = given[name] = None
    recorded["config"]["functionDirectory"] = given["config"]["functionDirectory"] = ""
    return "" if given == recorded else f"{given}, recorded {recorded}"


def with_keys(real: Case) -> Case:
    """Return a recorded answer with the keys of this test in it, where a function repeated what it was sent."""
    if not real.get("body_base64"):
        return real
    body = base64.b64decode(real["body_base64"])
    for name, key in KEYS.items():
        body = body.replace(name.encode(), key.encode())
    return {**real, "body_base64": base64.b64encode(body).decode()}


def answer_by_host(real: Case) -> bool:
    """Tell whether a recorded answer is the host's own: nothing in it but a status."""
    names = {name.lower() for name, _ in real["headers"]}
    return not real.get("body_base64") and "body_sha256" not in real and names <= {"content-length", "www-authenticate"}


def replay_product(probe: Probe, case: Case) -> str:
    """Send a request to the stand-in of the product; where a function answered, it gives the recorded answer."""
    real = json.loads(json.dumps(case["real"]).replace("<session>", "session"))
    body = real.get("body_base64") or ("" if "body_sha256" not in real else base64.b64encode(b"a" * 7000).decode())
    framing = {"content-length", "transfer-encoding"}
    headers = [pair for pair in real["headers"] if pair[0].lower() not in framing]
    probe.answer.write_text(json.dumps({"status": real["status"], "headers": headers, "body": body}))
    before = len(probe.noted())
    answer = probe.send(case)
    was_reached = len(probe.noted()) > before
    if was_reached == (answer_by_host(real) or case["case"].startswith("A/admin")):
        return f"the function was {'' if was_reached else 'not '}reached, status {answer.status}"
    return difference(real, answer, body="body_sha256" not in real)


def replay_admin(probe: Probe, case: Case) -> str:
    """Send a request to an admin endpoint, and see what reached the function."""
    before = len(probe.noted())
    answer = probe.send(case)
    if case["case"] in _DESCRIBED:
        return described_difference(case["real"], answer)
    problem = difference(case["real"], answer)
    if problem:
        return problem
    if case["case"] == _LATE:
        eventually(lambda: len(probe.noted()) > before, what="the run with the big body")
    wanted = case["real"].get("function_saw")
    if wanted is None:
        return ""
    wanted = [line for line in wanted if len(line) < 5000]
    if wanted:
        eventually(lambda: len(probe.noted()) >= before + len(wanted), what=f"the run of {case['case']}")
    saw = [json.dumps(json.loads(line)) for line in probe.noted()[before:]]
    wanted = [json.dumps(json.loads(line)) for line in wanted]
    return "" if saw == wanted else f"the function saw {saw}, recorded {wanted}"


def test_every_recorded_request_is_answered_the_same(starter: Starter) -> None:
    """Status, headers and bytes of each answer, and whether and how the function was reached."""
    recorded = [case for case in cases("http-cases") if case["case"] not in SUMMARIES]
    tally = Tally("http-cases, requests")
    for case in recorded:
        probe = probe_for(starter, case)
        if case["app"] == "product":
            problem = replay_product(probe, case)
        elif case["case"].startswith("F/"):
            problem = replay_admin(probe, case)
        else:
            problem = difference(with_keys(case["real"]), probe.send(case))
        tally.add(case["case"], problem, LISTED.get(case["case"]))
    tally.check(len(recorded))


def get(probe: Probe, path: str, key: str = "") -> RawAnswer:
    headers = [["x-functions-key", key]] if key else []
    return send(probe.port, {"method": "GET", "path": path, "headers": headers}, KEYS)


def key_in_another_case(starter: Starter) -> str:
    """A host key in another case opens a function once the exact key was used there."""
    probe = starter("probe_product", CASE="key")
    probe.answer.write_text('{"status": 404, "headers": [], "body": ""}')
    other = KEYS["{HOSTKEY}"].swapcase()
    before = get(probe, "/api/orders/none", other).status
    get(probe, "/api/orders/none", "{HOSTKEY}")
    answers = (before, get(probe, "/api/orders/none", other).status, get(probe, "/api/status", other).status)
    return "" if answers == (401, 404, 401) else f"{answers}"


def master_in_another_case(starter: Starter) -> str:
    """The master key, too, on a route for it."""
    probe = starter("probe_http", CASE="master")
    other = KEYS["{MASTER}"].swapcase()
    before = get(probe, "/api/masters", other).status
    get(probe, "/api/masters", "{MASTER}")
    answers = [before, get(probe, "/api/masters", other).status]
    return "" if answers == [401, 200] else f"{answers}"


def key_of_a_longer_name(starter: Starter, host: str = "suffix") -> str:
    """The key of `un_locked`, used once, opens `locked` when `un_` is appended."""
    probe = starter("probe_http", CASE=host)
    before = get(probe, "/api/locked", "{FNKEY}un_").status
    used = get(probe, "/api/unlocked", "{FNKEY}").status
    answers = (
        before,
        used,
        get(probe, "/api/locked", "{FNKEY}").status,
        get(probe, "/api/locked", "{FNKEY}un_").status,
    )
    return "" if answers == (401, 200, 401, 200) else f"{answers}"


def all_at_once(probe: Probe, path: str, count: int) -> list[RawAnswer]:
    answers: list[RawAnswer] = []
    callers = [threading.Thread(target=lambda: answers.append(get(probe, path))) for _ in range(count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    return answers


def many_slow_requests(starter: Starter) -> str:
    """200 at once, with a thread for each."""
    statuses = [answer.status for answer in all_at_once(starter("probe_http"), "/api/slow?s=0.1", 200)]
    return "" if statuses == [200] * 200 else f"{statuses}"


def throttled_requests(starter: Starter) -> str:
    """What is over maxOutstandingRequests is refused, what is over maxConcurrentRequests waits."""
    option = "AzureFunctionsJobHost__extensions__http__"
    limits = {option + "maxOutstandingRequests": "20", option + "maxConcurrentRequests": "5"}
    answers = all_at_once(starter("probe_http", **limits), "/api/slow?s=0.5", 40)
    found = {status: sum(answer.status == status for answer in answers) for status in (200, 429)}
    refused = next(answer for answer in answers if answer.status == 429)
    peak = max(json.loads(answer.body)["peak"] for answer in answers if answer.status == 200)
    wanted = [("content-length", "0"), ("x-function-scaleout", "1")]
    return "" if (found, peak, refused.header_set()) == ({200: 20, 429: 20}, 5, wanted) else f"{found} {peak} {refused}"


def client_that_goes_away(starter: Starter) -> str:
    """The function runs to its end."""
    probe = starter("probe_http")
    before = len(probe.noted())
    with socket.create_connection(("127.0.0.1", probe.port)) as connection:
        connection.sendall(b"GET /api/slow?s=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.3)
    eventually(lambda: len(probe.noted()) > before, what="the end of the run")
    return ""


def custom_headers(starter: Starter) -> str:
    """host.json's headers are on every answer, 404 included."""
    option = "AzureFunctionsJobHost__extensions__http__customHeaders__"
    probe = starter("probe_http", **{option + "X-Content-Type-Options": "nosniff", option + "X-Custom": "1"})
    wanted = {("x-content-type-options", "nosniff"), ("x-custom", "1")}
    found = [wanted <= set(get(probe, path).header_set()) for path in ("/api/text", "/api/none")]
    return "" if found == [True, True] else f"{found}"


_OVERLAPPING = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("ok")
def ok(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("ok")


@app.route("{any}")
def a_first(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("any")
"""


def sorted_by_name(starter: Starter) -> str:
    """The first function by name takes the request, whichever was registered first."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "function_app.py").write_text(_OVERLAPPING)
        (Path(folder) / "host.json").write_text('{"version": "2.0"}')
        body = get(starter(Path(folder)), "/api/ok").body
    return "" if body == b"any" else f"{body!r}"


#: The cases that were summarised by hand, each replayed by a function of its own.
SUMMARIES = {
    "A/case variant of a used host key": key_in_another_case,
    "A/case variant of the master key on an ADMIN route": master_in_another_case,
    "A/key of one function opens another whose name is a suffix": key_of_a_longer_name,
    'A/product: key of order_status + "order_" opens status': lambda starter: key_of_a_longer_name(
        starter, "suffix again"
    ),
    "E/200 slow requests, default settings": many_slow_requests,
    "E/40 slow requests, maxOutstandingRequests 20, maxConcurrentRequests 5": throttled_requests,
    "E/client goes away after 0.5 s of 2 s": client_that_goes_away,
    "E/customHeaders in host.json": custom_headers,
    "E/overlapping routes: {any} (function a_first, registered second) and ok (function ok)": sorted_by_name,
}


def test_summarised_cases_are_followed(starter: Starter) -> None:
    """The cases that were written down by hand: keys, load, a client that leaves, headers, the order of routes."""
    recorded = [case for case in cases("http-cases") if case["case"] in SUMMARIES]
    tally = Tally("http-cases, summaries")
    for case in recorded:
        tally.add(case["case"], SUMMARIES[case["case"]](starter), None)
    tally.check(len(SUMMARIES))
