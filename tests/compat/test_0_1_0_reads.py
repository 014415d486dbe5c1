"""What this release writes anew is read by 0.1.0: its own code, unpacked, is asked in a process of its own (P20)."""

import base64
import json
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shared.orders.order_contents import without_contents
from shared.orders.order_entry import OrderEntry
from shared.orders.order_store import OrderStore
from tests.compat import reading
from tests.compat.test_reads_0_1_0 import recorded
from tests.support.shop import Shop

PACKAGE = Path(__file__).parent / "0.1.0" / "package.zip"
#: Reads rows and messages, and says what 0.1.0 answers; a call to Business Central ends it.
_ASK = """
import base64, json, sys
from datetime import datetime, timezone
from types import SimpleNamespace
from shared.handlers import orders
from shared.ports import Row
from shared.state.orders import OrderBook
from shared.stores.memory import MemoryTables
asked = json.load(sys.stdin)
def value(held):
    if not isinstance(held, dict):
        return held
    return datetime.fromisoformat(held["time"]) if "time" in held else base64.b64decode(held["bytes"])
table = MemoryTables().table("BcOrders")
for row in asked["rows"]:
    values = {name: value(held) for name, held in row["values"].items()}
    table.insert(Row(partition=row["partition"], key=row["key"], values=values))
book = OrderBook(table, asked["connection"])
company = SimpleNamespace(key=asked["company"], name="CRONUS")
ctx = SimpleNamespace(
    orders=book, now=lambda: datetime(2026, 3, 4, tzinfo=timezone.utc), company=lambda name: company,
    companies=lambda: [company], sleep=lambda s: None,
)
said = {name: [json.loads(text) for text in orders.submit(ctx, message, "a-copy").results]
        for name, message in asked["messages"].items()}
print(json.dumps({"answers": said, "counts": book.counts(100)}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of 0.1.0."""
    folder = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(PACKAGE) as packed:
        packed.extractall(folder)
    return folder


def ask(package: Path, store: OrderStore, connection: str, company: str, messages: dict[str, str]) -> Any:
    """What 0.1.0 answers to messages while these rows are stored."""
    rows = [
        {
            "partition": row.partition,
            "key": row.key,
            "values": {name: _plain(held) for name, held in row.values.items()},
        }
        for row in store.page("", 10_000)
    ]
    asked = {"rows": rows, "connection": connection, "company": company, "messages": messages}
    done = subprocess.run(
        [sys.executable, "-c", _ASK], input=json.dumps(asked), cwd=package, env={"PYTHONPATH": str(package)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def _plain(held: object) -> object:
    if isinstance(held, datetime):
        return {"time": held.isoformat()}
    return {"bytes": base64.b64encode(held).decode()} if isinstance(held, bytes) else held


def erase_all(store: OrderStore, entries: list[OrderEntry]) -> None:
    """Erase orders that ended."""
    assert all(store.erase(entry) for entry in entries)


def test_an_order_of_this_release_is_known_when_it_is_erased(package: Path) -> None:
    """0.1.0 answers its message with the document that it has, and counts what has stopped."""
    shop = Shop()
    (created,) = shop.submit(shop.message("web-1"))
    shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY")))
    store = shop.world.stores.orders
    erase_all(store, [*store.find("WEB-1"), *store.find("BAD")])
    said = ask(package, store, shop.world.settings.connection, created["company"], {"copy": shop.message("web-1")})
    (answer,) = said["answers"]["copy"]
    assert (answer["status"], answer["id"], answer["number"]) == ("created", created["id"], created["number"])
    assert said["counts"] == {"parked": 0, "rejected": 1, "waiting": 0}


def test_an_order_of_its_own_is_known_when_this_release_has_erased_it(package: Path) -> None:
    """By its digest, too: another order under the key is refused still, by both."""
    scene = recorded("rows/orders")
    held = reading.load(scene)
    store, company = held.orders, scene["ids"]["company"]
    made = [entry for entry in store.find("BARE-1") if entry.status == "created"]
    message = recorded("messages/sales-orders")["bare order"]
    other = json.dumps({**json.loads(message), "orderDate": "2020-01-01"})
    before = ask(package, store, held.connection, company, {"copy": message, "other": other})
    erase_all(store, made)
    after = ask(package, store, held.connection, company, {"copy": message, "other": other})
    assert after == before
    assert [one[0]["status"] for one in after["answers"].values()] == ["created", "rejected"]
    (result,) = reading.result_of_a_late_copy(held, message)
    assert (result["status"], result["number"]) == ("created", made[0].number)
    (refused,) = reading.result_of_a_late_copy(reading.load(scene), other)
    erased = reading.load(scene)
    erase_all(erased.orders, erased.orders.find("BARE-1"))
    assert reading.result_of_a_late_copy(erased, other) == [refused]


def test_an_order_that_0_1_0_filed_under_another_key_is_found_after_its_message_went() -> None:
    """`straße` stands under STRASSE there; what told so is erased."""
    held = reading.load(recorded("rows/orders"))
    (entry,) = held.orders.find("STRAßE/1 Ü")
    assert (entry.key, entry.status) == ("STRASSE/1 Ü", "created")
    erase_all(held.orders, [entry])
    (found,) = held.orders.find("STRAßE/1 Ü")
    assert found == held.orders.load("STRAßE/1 Ü", entry.company)
    assert (found.number, found.message) == (entry.number, b"")
    assert held.orders.find("STRASSE/1 Ü") == []
    assert without_contents(found).own_key == "STRAßE/1 Ü"
