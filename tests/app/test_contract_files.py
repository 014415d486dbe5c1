"""What is published in docs/contract is what the code publishes; the typed models are made of it and check."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts import contract
from shared.contract.async_api import document
from shared.contract.built_in import BUILT_IN
from shared.contract.event_schemas import published_events
from shared.version import VERSION
from tests.support.published import event_faults, queues, result_faults

ROOT = Path(__file__).resolve().parents[2]
METADATA = ROOT.parent / "shared" / "data" / "metadata" / "api-v2.0-full.xml"
SPECIFICATION = ROOT / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"


def test_the_published_files_are_those_that_the_code_makes() -> None:
    """Whoever changes a schema publishes it."""
    assert contract.stale() == [], "docs/contract is stale: run `make contract` (python -m scripts.contract)"


def test_a_stale_file_is_named_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed, missing and left over: all three are found, and mended by the command."""
    monkeypatch.setattr(contract, "FOLDER", tmp_path)
    contract.write()
    assert contract.stale() == []
    (tmp_path / "bc.item.created.v1.json").write_text("{}", encoding="utf-8")
    (tmp_path / "asyncapi.json").unlink()
    (tmp_path / "bc.customer.created.v1.json").write_text("{}", encoding="utf-8")
    assert contract.stale() == ["asyncapi.json", "bc.customer.created.v1.json", "bc.item.created.v1.json"]
    assert contract.main(["--check"]) == 1
    assert contract.main([]) == 0
    assert contract.stale() == []


@pytest.mark.skipif(not METADATA.is_file(), reason="recorded metadata is not part of the project")
def test_the_property_table_is_that_of_the_recorded_metadata() -> None:
    """`python -m scripts.contract --metadata` makes the very file that is there."""
    assert contract.table_of(METADATA) == contract.TABLE.read_text(encoding="utf-8")


def faults_of(asyncapi: dict[str, Any]) -> list[str]:
    """What breaks AsyncAPI's own JSON schema of version 3.0."""
    specification = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    return [str(each) for each in jsonschema_rs.validator_for(specification).iter_errors(asyncapi)]


def test_the_asyncapi_document_is_valid() -> None:
    """By the specification's JSON schema, which refuses what is spoilt; it says the version that publishes it."""
    made = document(BUILT_IN)
    assert faults_of(made) == []
    assert made["info"]["version"] == VERSION
    assert faults_of({**made, "asyncapi": "2.0.0"}) != []
    assert faults_of({**made, "operations": {"announce": {"action": "publish"}}}) != []


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    """Its JSON schema looks at the form of a reference only."""
    made = document(BUILT_IN)
    references = [part.partition('"')[0] for part in json.dumps(made).split('"$ref": "')[1:]]
    assert len(references) > 20
    for reference in references:
        found: Any = made
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_an_asyncapi_payload_says_what_the_schema_of_its_type_says() -> None:
    """References followed, both are the same schema; nothing is published in two forms."""
    made = document(BUILT_IN)

    def follow(part: Any) -> Any:
        if isinstance(part, list):
            return [follow(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return follow(made["components"]["schemas"][part["$ref"].rpartition("/")[2]])
        return {name: follow(value) for name, value in part.items()}

    payload = follow(made["components"]["messages"]["bc-events"]["payload"])
    published = published_events(BUILT_IN, contract.ANYWHERE).values()
    assert payload["items"]["anyOf"] == [
        {name: value for name, value in schema.items() if name not in {"$schema", "$id"}} for schema in published
    ]


USE = """
from decimal import Decimal
from models import Event, ItemCreatedV1, SalesOrder, SalesOrderMessage, SalesOrderResult

def handle(event: Event) -> str:
    if event["type"] == "bc.item.created.v1":
        variants = event["data"].get("itemVariants", [])
        return variants[0]["code"] if variants else str(event["data"].get("unitPrice"))
    if event["type"] == "bc.salesInvoice.deleted.v1":
        return event["data"]["id"]
    if event["type"] == "bc.batch.v1":
        return event["dataref"] + str(event["count"] + 1)
    return event["subject"]

def order(number: str) -> SalesOrderMessage:
    made: SalesOrder = {"customerNumber": number, "salesOrderLines": [{"lineType": "Item", "quantity": 3}]}
    return {"orderKey": "shop-1", "order": made}

def number(result: SalesOrderResult) -> str | None:
    return result["number"] if result["status"] == "created" else None
"""
WRONG = """
from models import Event, SalesOrderMessage

def handle(event: Event) -> str:
    if event["type"] == "bc.item.created.v1":
        return event["data"].get("unitPrise", "")  # no such property
    return event["dataref"]  # only a batch has one

message: SalesOrderMessage = {"orderKey": 7, "order": {"id": "x"}}
"""


def mypy(folder: Path, *files: str) -> list[str]:
    """The faults that mypy finds, one a line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder), *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    return (done.stdout + done.stderr).splitlines()


def test_the_typed_models_check_and_find_what_is_wrong(tmp_path: Path) -> None:
    """A consumer's type checker knows each event by its `type`, and refuses members that there are not."""
    assert contract.main(["--types", str(tmp_path / "models.py")]) == 0
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    assert mypy(tmp_path, "models.py", "use.py") == []
    found = {line.split(":")[1] for line in mypy(tmp_path, "wrong.py") if line.startswith("wrong.py")}
    assert found == {"6", "7", "9"}


def test_the_messages_in_the_papers_fit_the_contract() -> None:
    """An order, a result and an event: what people copy, and what `./connect send` is shown with."""
    text = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    blocks = [json.loads(part.partition("```")[0]) for part in text.split("```json\n")[1:]]
    order, result, events = blocks
    assert order == json.loads((ROOT / "samples" / "order.json").read_text(encoding="utf-8"))
    assert list(queues().faults("sales-orders", order)) == []
    assert result_faults(result) == []
    assert [event_faults(event) for event in events] == [[]]
