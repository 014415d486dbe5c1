"""Timer functions in a running host, with their status in Azurite."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.functions_host.host import host_id
from local.functions_host.schedules import Cron, Status
from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import APPS, Account, HostProcess, eventually

pytestmark = pytest.mark.azurite

JSON = {"Content-Type": "application/json"}
YEARLY = "0 0 0 1 1 *"
HOST_ID = host_id(Path(APPS / "timers").resolve())
STATUS_BLOB = f"timers/{HOST_ID}/Host.Functions.yearly/status"


def ticks(account: Account, name: str) -> list[dict[str, Any]]:
    """Return what a function reported so far."""
    notes = [json.loads(base64.b64decode(text)) for text in account.texts("ticks")]
    return [note for note in notes if note["name"] == name]


def start(start_host: StartHost, account: Account, *arguments: str) -> HostProcess:
    return start_host(
        "timers", *arguments, env={"AzureWebJobsStorage": account.connection_string, "YEARLY": YEARLY, "TZ": "UTC"}
    )


def test_first_start_stores_a_status_and_runs_what_asks_for_it(start_host: StartHost, azurite: Account) -> None:
    """Without a stored status nothing is past due; runOnStartup runs at once, unmonitored, without a status."""
    azurite.clear()
    start(start_host, azurite)
    (tick,) = eventually(lambda: ticks(azurite, "at_start"))
    assert tick["past_due"] is False
    assert not tick["status"]
    stored = json.loads(eventually(lambda: azurite.blobs("azure-webjobs-hosts"))[STATUS_BLOB])
    assert stored["Next"].endswith("-01-01T00:00:00+00:00")
    assert not ticks(azurite, "yearly")


def test_missed_occurrence_is_made_up_for_once(start_host: StartHost, azurite: Account) -> None:
    """A stored Next in the past runs the timer once with IsPastDue, and the status moves on."""
    azurite.clear()
    last = datetime.now(UTC) - timedelta(days=400)
    missed = Cron(YEARLY, UTC).after(last)
    azurite.write_blob("azure-webjobs-hosts", STATUS_BLOB, json.dumps(Status(last, missed, last).to_json()).encode())
    start(start_host, azurite)
    (tick,) = eventually(lambda: ticks(azurite, "yearly"))
    assert tick["past_due"] is True
    assert tick["status"]["Next"] == missed.isoformat()

    def status_moved() -> bool:
        stored = Status.from_json(json.loads(azurite.blobs("azure-webjobs-hosts")[STATUS_BLOB]))
        return stored.following > datetime.now(UTC) and stored.last is not None and stored.last > last

    eventually(status_moved)
    assert len(ticks(azurite, "yearly")) == 1


def test_timers_off_leaves_the_admin_call(start_host: StartHost, azurite: Account) -> None:
    """With --timers off nothing runs by itself, and an admin call runs a timer, retries included."""
    azurite.clear()
    host = start(start_host, azurite, "--timers", "off")
    assert host.ask("/admin/functions/yearly", method="POST", body=b"{}", headers=JSON).status == 202
    (tick,) = eventually(lambda: ticks(azurite, "yearly"))
    assert tick["past_due"] is False
    assert host.ask("/admin/functions/stubborn", method="POST", body=b"{}", headers=JSON).status == 202
    assert base64.b64decode(eventually(lambda: azurite.texts("retried"))[0]) == b"2"
    assert not ticks(azurite, "at_start")
    assert not azurite.blobs("azure-webjobs-hosts")
