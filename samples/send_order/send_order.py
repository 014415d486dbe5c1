"""Sends a shop's order to `sales-orders`, as plain text with azure-storage-queue.

    CONNECT_STORAGE="<connection string>" python send_order.py < order.json

The result comes in the queue `sales-order-results`, under the same `orderKey`. To send twice is safe, as the key is the
shop's own number: the same order again gets the same answer, another one under that number is refused.
"""

import json
import os
import sys
from typing import Any

from azure.storage.queue import QueueClient


def message(order: dict[str, Any], company: str) -> str:
    """Return the message of an order as this shop keeps it."""
    lines = [
        {
            "lineType": "Item",
            "lineObjectNumber": line["sku"],
            "quantity": line["quantity"],
            "unitPrice": line["price"],
        }
        for line in order["lines"]
    ]
    return json.dumps(
        {
            "company": company,
            "orderKey": order["id"],
            "order": {
                "customerNumber": order["customer"],
                "orderDate": order["placed"][:10],
                "currencyCode": order["currency"],
                "email": order["email"],
                "salesOrderLines": lines,
            },
        }
    )


def send(connection_string: str, text: str) -> None:
    """Put a message into the queue: plain text; the queue's limit is 64 KiB."""
    with QueueClient.from_connection_string(connection_string, "sales-orders") as queue:
        queue.send_message(text)


if __name__ == "__main__":
    send(os.environ["CONNECT_STORAGE"], message(json.load(sys.stdin), os.environ.get("COMPANY", "")))
