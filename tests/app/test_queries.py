"""Every query of alerts, workbook and runbook is understood by Microsoft's own KQL language service.

The template skips Azure's check of its queries, because tables do not exist before their first row; a query that Azure
can't parse would then be an alert that never comes.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.app import bicep_reading as bicep

ROOT = bicep.ROOT
NODE = ROOT / ".venv" / "bin" / "node"
PARSER = Path(__file__).with_name("parse_queries.js")

#: Table -> the columns that Azure Monitor's reference lists and our queries may use; an unknown column is a finding.
TABLES = {
    "AppTraces": (
        "(TimeGenerated: datetime, Message: string, SeverityLevel: int, OperationName: string, OperationId: string,"
        " AppRoleName: string, AppRoleInstance: string, Properties: dynamic)"
    ),
    "AppRequests": (
        "(TimeGenerated: datetime, Name: string, OperationName: string, OperationId: string, Success: bool,"
        " ResultCode: string, DurationMs: real, Url: string, AppRoleName: string, AppRoleInstance: string,"
        " Properties: dynamic)"
    ),
    "AppExceptions": (
        "(TimeGenerated: datetime, OperationName: string, OperationId: string, ProblemId: string,"
        " ExceptionType: string, OuterType: string, OuterMessage: string, InnermostType: string,"
        " InnermostMessage: string, SeverityLevel: int, Details: dynamic, Properties: dynamic)"
    ),
    "StorageQueueLogs": (
        "(TimeGenerated: datetime, AccountName: string, OperationName: string, StatusCode: string, StatusText: string,"
        " Uri: string, ObjectKey: string)"
    ),
    "_LogOperation": "(TimeGenerated: datetime, Category: string, Operation: string, Level: string, Detail: string)",
    # what Business Central sends to an Application Insights of its administrator, under the names of there
    "traces": "(timestamp: datetime, message: string, customDimensions: dynamic)",
    "Usage": "(TimeGenerated: datetime, DataType: string, IsBillable: bool, Quantity: real, QuantityUnit: string)",
}


def _alerts() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((bicep.INFRA / "queries").glob("*.kql"))}


def _workbook() -> dict[str, str]:
    items = json.loads((bicep.INFRA / "workbook.json").read_text(encoding="utf-8"))["items"]
    return {f"workbook: {item['name']}": item["content"]["query"] for item in items if "query" in item["content"]}


def _runbook() -> dict[str, str]:
    """Return the queries that a page gives beside its alert's own: pieces of code that begin with a table."""
    found = {}
    for path in sorted((ROOT / "docs" / "runbook").glob("*.md")):
        pieces = re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))
        for number, piece in enumerate(piece for piece in pieces if piece.split(" | ")[0] in TABLES and "|" in piece):
            found[f"{path.name}: {number + 1}"] = piece.replace("<", "").replace(">", "")
    return found


def _administrators() -> dict[str, str]:
    """Return the query that shows this app in the telemetry of Business Central."""
    page = (ROOT / "docs" / "for-bc-administrators.md").read_text(encoding="utf-8")
    return {"for-bc-administrators.md": page.partition("```kusto\n")[2].partition("```")[0]}


QUERIES = _alerts() | _workbook() | _runbook() | _administrators()


def parse(queries: dict[str, str]) -> dict[str, list[str]]:
    """Return query -> what the language service finds wrong with it, warnings included."""
    node = str(NODE) if NODE.exists() else shutil.which("node")
    assert node, "node is missing: run 'make setup'"
    done = subprocess.run(
        [node, str(PARSER)], input=json.dumps({"tables": TABLES, "queries": queries}),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    findings: dict[str, list[str]] = json.loads(done.stdout)
    return findings


#: What Azure refuses -> the code of the finding: reserved words as names, unknown tables, columns and operators.
WRONG = {
    "AppTraces | summarize last = max(TimeGenerated)": "KS228",
    "AppTraces | extend kind = 1 | where kind == 1": "KS228",
    "AppTrace | count": "KS204",
    "AppTraces | where Mesage has 'x'": "KS142",
    "AppTraces | where Message startswith_cs 'x' | summarise count()": "KS176",
}


@pytest.fixture(scope="module")
def findings() -> dict[str, list[str]]:
    """What the language service says to all of our queries, and to the wrong ones."""
    return parse(QUERIES | {query: query for query in WRONG})


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_query_is_understood(findings: dict[str, list[str]], name: str) -> None:
    """No error, no unknown table, column or function, and no advice either."""
    assert findings[name] == []


@pytest.mark.parametrize("query", WRONG)
def test_the_service_finds_what_azure_refuses(findings: dict[str, list[str]], query: str) -> None:
    """The check can fail."""
    assert findings[query][0].startswith(f"{WRONG[query]} Error"), findings[query]


def test_queries_of_all_three_places_are_looked_at() -> None:
    """The collection does not lose a place without a word."""
    assert len(_alerts()) >= 15
    assert len(_workbook()) >= 10
    assert len(_runbook()) >= 5
