"""The shipped app on the local stack, its events going to a signed webhook; the host killed between send and end."""

import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack.demo import Demo
from local.stack.stack import Stack
from local.stack.tls import ensure_certificates
from shared import resource_names
from tests.support.event_receivers import Receiver, serving, webhook
from tests.support.forward_world import SECRET

pytestmark = pytest.mark.e2e

_SETTINGS = {"BC_PAGE_ROWS": "8", "LOCAL_HOST_LEASE_S": "2"}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[Receiver, int]]:
    """An endpoint with a certificate of the stack's own authority, and its port."""
    files = ensure_certificates(tmp_path / "tls")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.cert, files.key)
    made = Receiver(webhook, secret=SECRET)
    with serving(made, tls) as port:
        yield made, port


@pytest.fixture
def stack(tmp_path: Path, receiver: tuple[Receiver, int]) -> Iterator[Stack]:
    """A stack whose events go there."""
    env = {**_SETTINGS, "BC_EVENTS_TO": f"https://localhost:{receiver[1]}/in"}
    with Stack(tmp_path, host="embedded", host_env=env) as running:
        yield running


def until(done: Callable[[], Any], what: str, patience_s: float = 200.0) -> None:
    """Wait for something that processes elsewhere bring about."""
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def run(stack: Stack, function: str) -> None:
    """Start a timer function, as its timer would."""
    requests.post(f"{stack.app_url}/admin/functions/{function}", json={"input": ""}, timeout=30)


def test_every_item_arrives_signed_though_the_host_is_killed_between_send_and_end(
    stack: Stack, receiver: tuple[Receiver, int]
) -> None:
    """From Business Central to the endpoint: none lost, ids repeated only by kill or lost answer, `bc-events` empty."""
    endpoint, _ = receiver
    demo = Demo(stack, say=lambda _: None)
    stored = requests.put(
        f"{stack.vault_url}/_emulator/secrets/{resource_names.SECRET_EVENTS}", json={"value": SECRET},
        verify=str(stack.ca_file), timeout=10,
    )  # fmt: skip
    assert stored.ok
    demo.log_in()
    stack.kill_host()
    stack.start_host({"AzureWebJobs.forward_events.Disabled": "true"})
    wanted = set(demo._records("items"))
    run(stack, "pull_items")
    waiting = len(wanted) // int(_SETTINGS["BC_PAGE_ROWS"])
    until(lambda: demo.events.count(resource_names.QUEUE_FORWARD) == waiting, "all events in the queue")
    stack.kill_host()
    stack.start_host({"LOCAL_HOST_KILL_AT": "forward_events:after-call"})
    until(lambda: not is_up(stack), "the kill")
    stack.kill_host()  # with the worker, which may have outlived it
    before = endpoint.ids()
    assert before
    endpoint.forced = [(500, {}), (429, {"Retry-After": "3"})]
    stack.start_host()

    def complete() -> bool:
        time.sleep(2)
        run(stack, "retry_sales_orders")
        return wanted <= {event["data"]["id"] for event in list(endpoint.accepted)}

    until(complete, "all items")
    found = endpoint.ids()
    repeated = Counter({one: count - 1 for one, count in found.items() if count > 1})
    assert not repeated - before
    assert len(found) == len({event["data"]["id"] for event in endpoint.accepted})
    assert demo.events.take() == []
    sys.stdout.write(
        f"{len(found)} events arrived, {repeated.total()} repeats, {endpoint.counts['requests']} requests\n"
    )
    report = requests.get(f"{stack.app_url}/api/status", timeout=30).json()
    assert report["forwarding"]["receiver"].startswith("the endpoint at https://localhost:")
    assert "/in" not in report["forwarding"]["receiver"]


def is_up(stack: Stack) -> bool:
    """Say whether the host is up."""
    try:
        return requests.get(f"{stack.app_url}/admin/host/ping", timeout=5).ok
    except requests.RequestException:
        return False
