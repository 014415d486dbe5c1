"""Clients that nobody here wrote, with their defaults, against emulators and queues: `make foreign` brings them.

Not part of the suite: they come from lock files of their own. Each client is a script in `clients/` that prints JSON.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from business_central_emulator import BusinessCentral, ScaledClock
from business_central_emulator.server.service import business_central
from business_central_emulator.server.threaded import served_application

from local.stack.demo import Demo
from local.stack.stack import Stack

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENTS: Final = Path(__file__).parent / "clients"
PLACE: Final = ROOT / ".local" / "foreign"
TOKEN: Final = "good-foreign"


def run(*command: str | Path, **env: str) -> Any:
    """Run a client and return what it printed; its own words when it fails."""
    words = [str(word) for word in command]
    ended = subprocess.run(
        words,
        env={**os.environ, **env},
        cwd=PLACE / "clients",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return json.loads(ended.stdout.splitlines()[-1]) if ended.stdout.strip().startswith("{") else ended.stdout


def node(script: str, **env: str) -> Any:
    return run("node", script, **env)


def python(script: str, **env: str) -> Any:
    return run(PLACE / "venv" / "bin" / "python", script, **env)


@pytest.fixture(scope="session", autouse=True)
def clients() -> None:
    """The scripts beside the packages that they use."""
    assert (PLACE / ".stamp").is_file(), "run `make foreign`: it brings the packages"
    shutil.copytree(CLIENTS, PLACE / "clients", dirs_exist_ok=True)


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, str]]:
    """Where an emulated Business Central is served, as the clients take it."""
    engine = BusinessCentral(ScaledClock())
    with served_application(business_central(engine)) as origin:
        api = engine.root_url(origin=origin, with_tenant=False)
        company = engine.company().id
        yield {
            "BC_ORIGIN": origin, "BC_API": api, "BC_ENVIRONMENT": engine.environment.name, "BC_COMPANY": company,
            "COMPANY": company, "BC_ROOT": f"{api}/companies({company})", "BC_TOKEN": TOKEN,
        }  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole local stack, signed in."""
    with Stack(tmp_path_factory.mktemp("stack"), host="embedded") as running:
        Demo(running, say=lambda _: None).log_in()
        yield running


def test_three_readers_of_odata_find_the_same_item(place: dict[str, str]) -> None:
    """o.js, @odata/client and odata-query; o.js creates one, too."""
    found = node("odata_reads.mjs", **place)
    assert [row["number"] for row in found["ojs"]] == ["1896-S"]
    assert [row["number"] for row in found["client"]] == ["1896-S"]
    assert found["made"]["displayName"] == "From o.js"
    rows = found["query"]["value"]
    assert len(rows) == 3
    assert found["query"]["@odata.count"] >= 3
    assert all(row["unitPrice"] > 100 and "itemVariants" in row for row in rows)


def test_odata2ts_makes_types_of_our_metadata_that_check_and_read(place: dict[str, str]) -> None:
    """It generates a service, the compiler takes it strictly, and it reads an item and an order with lines."""
    answer = requests.get(f"{place['BC_API']}/$metadata", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    folder = PLACE / "clients"
    (folder / "metadata.xml").write_bytes(answer.content)
    shutil.rmtree(folder / "generated", ignore_errors=True)
    modules = PLACE / "node_modules" / ".bin"
    run(modules / "odata2ts", "-s", "metadata.xml", "-o", "generated", "-m", "all", "-e", "ts", "-name", "nav", "-n")
    # every type leads to every other: the compiler recurses deeper than Node's default stack
    run("node", "--stack-size=6000", PLACE / "node_modules" / "typescript" / "bin" / "tsc", "-p", "tsconfig.json")
    found = node("built/typed.js", **place)
    assert found["number"] == "1896-S"
    assert found["name"] == "ATHENS Desk"
    assert found["price"] > 0
    assert found["lines"] > 0


def test_the_sdk_made_of_microsofts_openapi_document_reads(place: dict[str, str]) -> None:
    found = python("generated_sdk.py", **place)
    assert found == {"companies": ["CRONUS International Ltd.", "My Company"], "customers": 2}


def test_bc_clis_sdk_reads(place: dict[str, str]) -> None:
    assert python("bc_cli_sdk.py", **place) == {"items": ["1896-S"], "customers": 3}


def test_msal_for_node_gets_a_token_that_business_central_takes(stack: Stack) -> None:
    found = node(
        "login.mjs", LOGIN_URL=stack.login_url, TENANT=stack.tenant, CLIENT_ID=stack.client_id,
        CLIENT_SECRET=stack.client_secret, NODE_EXTRA_CA_CERTS=str(stack.ca_file),
    )  # fmt: skip
    assert (found["type"], found["cached"]) == ("Bearer", True)
    answer = requests.get(
        f"{stack.bc_url}/v2.0/{stack.tenant}/production/api/v2.0/companies",
        headers={"Authorization": f"Bearer {found['token']}"}, verify=str(stack.ca_file), timeout=30,
    )  # fmt: skip
    assert answer.status_code == 200


def test_the_storage_sdk_for_node_sends_an_order_and_reads_events(stack: Stack) -> None:
    """With its default settings: plain text in, base64 out; `cloudevents` takes every event for valid."""
    requests.post(f"{stack.app_url}/admin/functions/pull_items", json={"input": ""}, timeout=30)
    order = {
        "customerNumber": "10000",
        "salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 1}],
    }
    message = {"company": "CRONUS International Ltd.", "orderKey": "node-1", "order": order}
    found = node(
        "queues.mjs", STORAGE=stack.storage_connection_string, ORDER=json.dumps(message), KEY="node-1", WAIT_S="90"
    )
    assert found["result"]["status"] == "created"
    assert found["valid"] is True
    assert found["types"]
    assert len(found["ids"]) == len(set(found["ids"])) > 0
