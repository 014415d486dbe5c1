"""The sample that sends orders: both ways lead to the same order, which the app takes and the schema knows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from local.stack.mailbox import API_VERSION, create_queues
from shared import message_text
from shared.orders.order_message import OrderRequest, parse_message
from tests.local.functions_host.harness import HostProcess, eventually
from tests.support.loaded_modules import SAMPLES
from tests.support.published import queues

pytestmark = pytest.mark.azurite
ORDER = {
    "id": "shop-100234", "customer": "10000", "placed": "2026-02-11T09:14:27Z", "currency": "GBP",
    "email": "ann@shop.example", "lines": [{"sku": "1896-S", "quantity": 3, "price": 129.5}],
}  # fmt: skip


@pytest.fixture
def orders(azurite: str) -> QueueClient:
    """The queue `sales-orders`, empty."""
    create_queues(azurite)
    client = QueueClient.from_connection_string(azurite, "sales-orders", api_version=API_VERSION)
    client.clear_messages()
    return client


def taken(orders: QueueClient) -> tuple[str, OrderRequest]:
    """The one message in the queue as it lies there, and as the app understands it."""
    (message,) = eventually(lambda: list(orders.receive_messages()), within_s=30, what="a message")
    content = str(message.content)
    text = message_text.decode(content.encode())
    assert list(queues().faults("sales-orders", json.loads(text))) == []
    return content, parse_message(text, message_id="m-1")


def expect(request: OrderRequest) -> None:
    """It is the shop's order."""
    assert (request.key, request.company, request.customer_number) == ("SHOP-100234", "CRONUS", "10000")
    body: dict[str, Any] = json.loads(request.body)
    assert body["orderDate"] == "2026-02-11"
    assert body["salesOrderLines"] == [
        {"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 3, "unitPrice": 129.5}
    ]


def test_a_script_sends_plain_text(orders: QueueClient, azurite: str) -> None:
    """With azure-storage-queue, whose default encodes nothing."""
    command = [sys.executable, str(SAMPLES / "send_order" / "send_order.py")]
    env = {"PATH": os.defpath, "CONNECT_STORAGE": azurite, "COMPANY": "CRONUS"}
    subprocess.run(command, input=json.dumps(ORDER), text=True, check=True, env=env, timeout=60)
    content, request = taken(orders)
    assert content.startswith("{")
    expect(request)


def test_a_function_sends_base64_through_an_output_binding(orders: QueueClient, azurite: str, tmp_path: Path) -> None:
    """As the host writes it by default; 202 says that the order is in the queue."""
    env = {"AzureWebJobsStorage": azurite, "CONNECT_STORAGE": azurite, "COMPANY": "CRONUS"}
    host = HostProcess(SAMPLES / "send_order", tmp_path, env).wait_ready()
    try:
        answer = host.ask("/api/orders", method="POST", body=json.dumps(ORDER).encode())
        assert (answer.status, json.loads(answer.body)) == (202, {"orderKey": "shop-100234"})
        content, request = taken(orders)
    finally:
        host.stop()
    assert not content.startswith("{")
    expect(request)
