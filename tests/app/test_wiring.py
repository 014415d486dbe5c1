"""Every function as the host sees it, compared with a literal table; and an import that needs nothing (P16)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import azure.functions as func
import pytest

from shared import services, triggers, webhook_trigger
from shared.errors import ConfigError
from shared.operations.timers import EVERY_MINUTE
from shared.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
STORAGE = "AzureWebJobsStorage"

ANY_METHOD: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
#: name -> (trigger, queues and blob it writes). HTTP: route, methods, level; timer: schedule; queue: name.
WIRING: Final[dict[str, tuple[tuple[object, ...], set[str]]]] = {
    "pull_items": (("timerTrigger", "%BC_ITEM_PULL_SCHEDULE%"), {"bc-notifications", "bc-pages"}),
    "reconcile": (("timerTrigger", "%BC_RECONCILE_SCHEDULE%"), {"bc-notifications", "bc-pages"}),
    "keep_subscriptions": (("timerTrigger", "%BC_SUBSCRIPTION_SCHEDULE%"), {"bc-notifications", "bc-pages"}),
    "retry_sales_orders": (
        ("timerTrigger", EVERY_MINUTE), {"sales-orders-resume", "bc-notifications", "bc-pages", "bc-events-forward"},
    ),
    "read_page": (
        ("queueTrigger", "bc-pages"), {"bc-events", "bc-events-forward", "bc-pages", "bc-notifications"},
    ),
    "process_notifications": (
        ("queueTrigger", "bc-notifications"),
        {"bc-events", "bc-events-forward", "bc-pages", "sales-orders-resume", "bc-notifications"},
    ),
    "submit_sales_order": (("queueTrigger", "sales-orders"), {"sales-order-results", "bc-notifications"}),
    "resume_sales_order": (("queueTrigger", "sales-orders-resume"), {"sales-order-results", "bc-notifications"}),
    "forward_events": (
        ("queueTrigger", "bc-events-forward"), {"bc-events", "bc-events-forward", "bc-notifications"},
    ),
    "dead_letter_forward": (("queueTrigger", "bc-events-forward-poison"), set()),
    "dead_letter_order": (("queueTrigger", "sales-orders-poison"), set()),
    "dead_letter_resume": (("queueTrigger", "sales-orders-resume-poison"), set()),
    "dead_letter_notification": (("queueTrigger", "bc-notifications-poison"), set()),
    "dead_letter_page": (("queueTrigger", "bc-pages-poison"), set()),
    "bc_notifications": (
        ("httpTrigger", "bc/notifications/{*subscription}", ANY_METHOD, "anonymous"), {"bc-notifications"},
    ),
    "connect": (("httpTrigger", "connect", ("GET",), "function"), set()),
    "connect_start": (
        ("httpTrigger", "connect/start", ("GET", "POST"), "anonymous"),
        {"sales-orders-resume", "bc-notifications", "bc-pages", "bc-events-forward"},
    ),
    "connect_callback": (("httpTrigger", "connect/callback", ("GET",), "anonymous"), set()),
    "status": (("httpTrigger", "status", ("GET",), "function"), set()),
    "find": (("httpTrigger", "find", ("GET",), "function"), set()),
    "replay": (("httpTrigger", "replay", ("POST",), "function"), {"bc-pages"}),
    "show_order": (("httpTrigger", "orders/{key?}", ("GET",), "function"), set()),
    "redrive_order": (("httpTrigger", "orders/{key}/redrive", ("POST",), "function"), {"sales-orders-resume"}),
    "redrive_order_by_key": (("httpTrigger", "orders/redrive", ("POST",), "function"), {"sales-orders-resume"}),
    "erase_order": (("httpTrigger", "orders/erase", ("POST",), "function"), set()),
    "import_orders": (("httpTrigger", "orders/import", ("POST",), "function"), set()),
    "show_schema": (("httpTrigger", "schema", ("GET",), "function"), set()),
    "health": (("httpTrigger", "health", ("GET",), "anonymous"), {"bc-notifications"}),
}  # fmt: skip

type Bindings = dict[str, list[dict[str, Any]]]


@cache
def functions() -> list[Any]:
    """The functions as the decorators declare them; they can be listed once per app object, hence the cache."""
    import function_app  # noqa: PLC0415 - imported under the empty environment of a test

    return list(function_app.app.get_functions())


def declared() -> Bindings:
    """The bindings of every function as the decorators declare them."""
    return {
        function.get_function_name(): [dict(binding.get_dict_repr()) for binding in function.get_bindings()]
        for function in functions()
    }


_INDEX = """
import asyncio, json, os, sys
from pathlib import Path
from local.functions_host.worker import Worker
functions = asyncio.run(Worker(Path.cwd()).start())
found = {function.name: [dict(binding) for binding in function.bindings] for function in functions}
print(json.dumps(found), flush=True)
os._exit(0)
"""


@cache
def indexed() -> Bindings:
    """The same as Microsoft's worker library reports it, from a process of its own without any setting."""
    env = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _INDEX], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: Bindings = json.loads(done.stdout.splitlines()[-1])
    return found


def trigger_of(bindings: list[dict[str, Any]]) -> tuple[object, ...]:
    """The trigger in the form of the table."""
    (trigger,) = [binding for binding in bindings if str(binding["type"]).endswith("Trigger")]
    if trigger["type"] == "httpTrigger":
        methods = tuple(str(getattr(method, "value", method)).upper() for method in trigger["methods"])
        level = str(getattr(trigger["authLevel"], "value", trigger["authLevel"])).lower()
        return trigger["type"], trigger["route"], methods, level
    return trigger["type"], trigger.get("schedule") or trigger["queueName"]


def outputs_of(bindings: list[dict[str, Any]]) -> set[str]:
    """The queues and blobs that are written."""
    found = [b for b in bindings if b["type"] in {"queue", "blob"}]
    assert all(binding["connection"] == STORAGE for binding in found)
    return {str(binding.get("queueName") or binding["path"]) for binding in found}


def test_no_function_name_is_the_end_of_another() -> None:
    """The host caches a key under key and function name run together, so `order_status` once opened `status`."""
    assert not [(one, two) for one in WIRING for two in WIRING if one != two and one.endswith(two)]


@pytest.mark.parametrize("view", [declared, indexed], ids=["decorators", "worker"])
def test_every_function_is_wired_as_the_table_says(view: Any) -> None:
    """Name, trigger, route, methods, schedule, level and outputs; nothing more and nothing less (design.md 2)."""
    found = {name: (trigger_of(bindings), outputs_of(bindings)) for name, bindings in view().items()}
    assert found == WIRING


def test_triggers_use_the_apps_own_storage() -> None:
    """One storage account, by the setting that the platform itself uses."""
    queues = [b for bindings in declared().values() for b in bindings if b["type"] == "queueTrigger"]
    assert queues
    assert all(binding["connection"] == STORAGE for binding in queues)


def test_every_work_queue_has_its_poison_queue_emptied() -> None:
    """What the host gives up on is taken up by a function, never left lying."""
    queues = {trigger[1] for trigger, _ in WIRING.values() if trigger[0] == "queueTrigger"}
    assert {f"{queue}-poison" for queue in queues if not str(queue).endswith("-poison")} <= queues


def test_importing_the_app_needs_and_reads_no_setting() -> None:
    """A fresh process with nothing in its environment imports it, quietly, and lists its functions (P16)."""
    assert set(indexed()) == set(WIRING)
    code = (
        "import os\n"
        "def refuse(self, name): raise AssertionError(f'read {name} at import')\n"
        "import azure.functions, requests, uuid\n"  # these read variables of their own
        "type(os.environ).__getitem__ = refuse\n"
        "import function_app\n"
        "from shared import services, triggers\n"
        "assert services._built is None\n"
        "import logging\n"
        "assert not logging.getLogger('azure.core.pipeline').isEnabledFor(logging.INFO)\n"
        "print('fine')\n"
    )
    env = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "fine", done.stderr[-2000:]


def test_an_import_and_a_handshake_load_no_more_than_they_need() -> None:
    """What else there is would double the import, and every cold start waits for that before its handshake (P1)."""
    code = (
        "import sys, function_app\n"
        "import azure.functions as func\n"
        "from shared import webhook_trigger\n"
        "call = func.HttpRequest(method='POST', url='https://x/', params={'validationToken': 'a'}, body=b'')\n"
        "assert webhook_trigger.receive_notification(call, None).get_body() == b'a'\n"
        "print(*sys.modules)\n"
        "function_app.triggers.WORK\n"
        "assert 'shared.services' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.returncode, done.stderr[-2000:]
    loaded = done.stdout.split()
    slow = {
        "requests",
        "urllib3",
        "msal",
        "cryptography",
        "azure.core",
        "azure.data",
        "azure.storage",
        "azure.identity",
    }
    assert not slow & set(loaded)
    assert "shared.webhooks.receive" in loaded
    assert len([name for name in loaded if name.startswith("shared.")]) < 25


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No service built, and none that can be."""
    monkeypatch.setattr(services, "_built", None)
    yield
    assert services._built is None


class Box(func.Out[list[str]]):
    """An output binding that keeps what was set."""

    def __init__(self) -> None:
        self.value: list[str] | None = None

    def set(self, val: list[str]) -> None:
        self.value = val

    def get(self) -> Any:
        return self.value


def call(method: str, body: bytes = b"", **params: str) -> func.HttpRequest:
    """A call of some route."""
    route = {"subscription": "0" * 32, "key": "WEB-1"}
    return func.HttpRequest(
        method=method, url="https://connect.example/api/x", params=params, route_params=route, body=body
    )


@pytest.mark.usefixtures("unset")
def test_with_wrong_settings_the_webhook_says_503_and_the_handshake_works() -> None:
    """BC comes again for hours; a renewal during a bad deployment still succeeds (P1, P16)."""
    jobs = Box()
    token = "t+/=&%20ä"
    shaken = webhook_trigger.receive_notification(call("POST", validationToken=token), jobs)
    assert (shaken.status_code, shaken.get_body().decode(), shaken.mimetype) == (200, token, "text/plain")
    told = webhook_trigger.receive_notification(call("POST", b'{"value": []}'), jobs)
    assert told.status_code == 503
    assert jobs.value is None


@pytest.mark.usefixtures("unset")
def test_with_wrong_settings_operators_get_one_message_with_every_name() -> None:
    """Status, story and redrive name all wrong settings at once, and no value."""
    replies = [
        triggers.show_status(call("GET")),
        triggers.show_order(call("GET")),
        triggers.show_schema(call("GET")),
        triggers.redrive_order(call("POST"), {}),
        triggers.erase_order(call("POST")),
        triggers.import_orders(call("POST")),
    ]
    for reply in replies:
        assert reply.status_code == 503
        said = json.loads(reply.get_body())
        assert set(said["settings"]) == {STORAGE, "KEY_VAULT_URL", "BC_TENANT_ID", "BC_CLIENT_ID", "PUBLIC_URL"}
        assert all(name in said["error"] for name in said["settings"])


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("work", [triggers.pull_items, triggers.reconcile, triggers.keep_subscriptions, triggers.retry])
def test_with_wrong_settings_a_timer_logs_and_ends(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An error that a person must mend; raising would add nothing, as the host does not retry a timer."""
    triggers.run_timer(work, {})
    (line,) = [line for line in caplog.messages if line.startswith("settings.refused")]
    assert "BC_TENANT_ID" in line
    assert "KEY_VAULT_URL" in line


@pytest.mark.usefixtures("unset")
def test_with_wrong_settings_a_queue_message_is_left_to_the_queue() -> None:
    """It is not lost: the function fails, and the message comes again."""
    message = func.QueueMessage(id="m-1", body=b"{}")
    with pytest.raises(ConfigError, match="BC_TENANT_ID"):
        triggers.run_queue(message, "sales-orders", {})


@pytest.mark.usefixtures("unset")
def test_health_says_only_that_it_is_up() -> None:
    """Anonymous, so nothing else; with wrong settings as well."""
    (health,) = [function for function in functions() if function.get_function_name() == "health"]
    sent = Box()
    reply = health.get_user_function()(call("GET"), sent)
    assert (reply.status_code, reply.get_body(), sent.value) == (200, f"up {VERSION}".encode(), None)
