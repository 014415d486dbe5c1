"""Alerts, workbook and runbook speak of events that the code writes, and of each other."""

import ast
import json
import re

import pytest

from shared.log import EVENTS, LOGGED_FIELDS
from shared.resource_names import WORK_QUEUES
from tests.app import bicep_reading as bicep

QUERIES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((bicep.INFRA / "queries").glob("*.kql"))}
RUNBOOK = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((bicep.ROOT / "docs" / "runbook").glob("*.md"))
}
ALERTS = bicep.INFRA / "modules" / "alerts.bicep"
WORKBOOK = json.loads((bicep.INFRA / "workbook.json").read_text(encoding="utf-8"))
WORKBOOK_QUERIES = {item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3}
ALL_QUERIES = QUERIES | WORKBOOK_QUERIES

FIRST_TABLES = {"AppTraces", "AppRequests", "StorageQueueLogs", "_LogOperation"}

#: Alert -> events that raise it; empty: raised by invocations or by the storage log.
EXPECTED_EVENTS: dict[str, set[str]] = {
    "login-needed": {"login.needed"},
    "settings-refused": {"settings.refused"},
    "subscription-lost": {"subscription.lost"},
    "subscription-failed": {"subscription.failed"},
    "stream-failed": {"stream.failed"},
    "order-parked": {"order.parked"},
    "message-dead-lettered": {"message.dead_lettered"},
    "events-held": {"events.held"},
    "orders-rejected": {"order.rejected"},
    "lost-tables": {"orders.lost"},
    "queue-unread": {"queue.unread"},
    "timer-overdue": {"timer.overdue"},
    "bc-throttled": {
        "bc.throttled",
        "page.read",
        "notifications.processed",
        "order.created",
        "order.rejected",
        "order.waiting",
        "order.parked",
    },
    "poison-written": set(),
    "invocations-failed": set(),
    "log-cap-reached": set(),
    "pull-items-silent": set(),
    "reconcile-silent": set(),
    "keep-subscriptions-silent": set(),
}


def events_in(query: str) -> set[str]:
    """Return the event names that a query looks for: `"noun.verb {"` or `"noun.verb"`."""
    return set(re.findall(r'"([a-z_]+\.[a-z_]+)(?: \{)?"', query))


def alert_rows() -> dict[str, tuple[int, int, str]]:
    """Return alert -> (severity, rows that raise it, query file) as written in alerts.bicep."""
    table = bicep.variable(ALERTS, "alerts")
    pattern = (
        r"name: '([\w-]+)'\s+title: '[^']+'\s+severity: (\d)\s+atLeast: (\d)\s+dimensions: (?:\[\]|byConnection)\s+"
        r"query: loadTextContent\('\.\./queries/([\w-]+)\.kql'\)"
    )
    rows = {match[1]: (int(match[2]), int(match[3]), match[4]) for match in re.finditer(pattern, table)}
    assert len(rows) == table.count("name:")
    return rows


def test_every_alert_has_its_query_and_its_runbook_page() -> None:
    """An alert mail leads to a page, and no page or query is left over."""
    rows = alert_rows()
    assert set(rows) == set(QUERIES) == set(RUNBOOK) == set(EXPECTED_EVENTS)
    assert all(query == name for name, (_, _, query) in rows.items())


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_alert_looks_for_the_events_it_is_named_after(name: str) -> None:
    """An alert is raised by the events it promises, under the names that the code writes."""
    assert events_in(QUERIES[name]) == EXPECTED_EVENTS[name]
    assert EXPECTED_EVENTS[name] <= set(EVENTS)


@pytest.mark.parametrize("name", sorted(WORKBOOK_QUERIES))
def test_workbook_shows_events_that_the_code_writes(name: str) -> None:
    """No part of the workbook stays empty because of a misspelt event."""
    query = WORKBOOK_QUERIES[name]
    assert events_in(query) <= set(EVENTS)
    assert events_in(query) or query.startswith("AppRequests"), "a part that looks for nothing"


def test_workbook_shows_everything_that_raises_an_alert() -> None:
    """What a mail tells can be seen over time."""
    shown = set().union(*map(events_in, WORKBOOK_QUERIES.values()))
    assert set().union(*EXPECTED_EVENTS.values()) <= shown


def logged_fields() -> dict[str, set[str]]:
    """Return event -> the fields that some call of log_event in shared/ gives it."""
    found: dict[str, set[str]] = {}
    for path in (bicep.ROOT / "shared").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "log_event":
                fields = {keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "level"}
                # `f"order.{status}"` stands for every event that begins so
                for name in (str(part.value) for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant)):
                    for event in EVENTS if name.endswith(".") else [name]:
                        if not event.startswith(name):
                            continue
                        found.setdefault(event, set()).update(fields)
    return found


def test_the_list_of_fields_is_that_of_the_code() -> None:
    """No field is redacted by mistake, and none is allowed that nobody writes; a tally brings its numbers by name."""
    assert set().union(*logged_fields().values()) | {"connection", "foreign", "unread"} == LOGGED_FIELDS


@pytest.mark.parametrize("name", sorted(ALL_QUERIES))
def test_query_reads_fields_that_are_logged(name: str) -> None:
    """Each field is one that the code writes with one of the query's events, and that the log does not redact."""
    read = set(re.findall(r"\bfields\.(\w+)", ALL_QUERIES[name]))
    written = logged_fields()
    assert read <= LOGGED_FIELDS
    written_by = (written.get(event, set()) for event in events_in(ALL_QUERIES[name]))
    assert read <= {"connection"}.union(*written_by)  # every line says of which connection it is


def test_an_alert_on_lines_of_the_log_is_one_a_connection() -> None:
    """By a dimension of one rule, and not by a rule for each; the query shows the column that it splits by."""
    table = bicep.variable(ALERTS, "alerts")
    form = r"dimensions: byConnection\s+query: loadTextContent\('\.\./queries/([\w-]+)\.kql'\)"
    split = set(re.findall(form, table))
    assert split == {name for name, query in QUERIES.items() if events_in(query)}
    assert all("connection = tostring(fields.connection)" in QUERIES[name] for name in split)


@pytest.mark.parametrize("name", sorted(ALL_QUERIES))
def test_query_parses_the_line_as_the_log_writes_it(name: str) -> None:
    """The message is `event {json}`: the event is compared whole, the fields start at the first brace."""
    query = ALL_QUERIES[name]
    main = query.rpartition(";\n")[2]  # behind what `let` names
    assert main.split("\n|")[0].split("\n")[-1].strip() in FIRST_TABLES
    if "AppTraces" in query:
        assert 'Message startswith_cs "' in query or 'tostring(split(Message, " ")[0])' in query
    if "fields." in query:
        assert 'parse_json(substring(Message, indexof(Message, "{")))' in query


def test_a_line_of_the_log_is_what_the_queries_expect(caplog: pytest.LogCaptureFixture) -> None:
    """`startswith_cs "name {"` and the first word are true of a line that the code writes."""
    import logging  # noqa: PLC0415  only this test writes a line

    from shared.log import log_event  # noqa: PLC0415

    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("test"), "order.parked", order_key="K-1", attempts=7)
    (line,) = caplog.messages
    assert line.startswith("order.parked {")
    assert line.split(" ")[0] == "order.parked"
    assert json.loads(line[line.index("{") :]) == {"attempts": 7, "order_key": "K-1"}


def test_silence_alerts_count_successful_runs_and_fire_at_none() -> None:
    """A run that never happens makes no row: the rule is raised below one row, and failed runs do not count."""
    for name, (_, at_least, _) in alert_rows().items():
        assert (at_least == 0) == name.endswith("-silent")
        if at_least == 0:
            function = name.removesuffix("-silent").replace("-", "_")
            assert "| where Success == true\n" in QUERIES[name]
            assert f'Name == "{function}" or OperationName == "{function}"' in QUERIES[name]
            assert f'tostring(Properties.FullName) == "Functions.{function}"' in QUERIES[name]
    rules = bicep.text(ALERTS)
    assert "operator: alert.atLeast > 0 ? 'GreaterThanOrEqual' : 'LessThan'" in rules
    assert "threshold: thresholds[?alert.name] ?? (alert.atLeast > 0 ? alert.atLeast : 1)" in rules
    named = re.findall(r"'([\w-]+)': silenceAfter\(bc\.(\w+)\)", rules)
    assert {name for name, _ in named} == {name for name, (_, least, _) in alert_rows().items() if least == 0}
    assert [schedule for _, schedule in named] == ["itemPullSchedule", "reconcileSchedule", "subscriptionSchedule"]


def test_refused_orders_are_counted_against_a_parameter() -> None:
    """One refused order is its sender's affair; how many are too many, each installation knows."""
    rules = bicep.text(ALERTS)
    assert bicep.variable(ALERTS, "thresholds").split() == ["{", "'orders-rejected':", "rejectedOrdersThreshold", "}"]
    assert "'GreaterThanOrEqual'" in rules
    for path in (bicep.INFRA / "main.bicep", bicep.INFRA / "resources.bicep"):
        assert bicep.parameters(path)["rejectedOrdersThreshold"][1] == "int = 10"


def test_queries_name_functions_that_exist() -> None:
    """A renamed function cannot leave a deaf alert or a wrong runbook behind."""
    sources = [bicep.ROOT / "function_app.py"]
    functions = {
        node.name
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named: set[str] = set()
    for query in [*ALL_QUERIES.values(), *RUNBOOK.values()]:
        named |= set(re.findall(r"`(dead_letter_\w+)`", query))
        if "StorageQueueLogs" in query:
            continue  # there an operation is one of the storage service
        for listed in re.findall(r'[nN]ame (?:==|in) (\(?"[^)\n]+?")(?:\)| )', query):
            named |= set(re.findall(r'"(\w+)"', listed))
    assert {"pull_items", "reconcile", "keep_subscriptions", "dead_letter_order"} <= named
    assert named <= functions


def test_no_alert_rests_on_the_operation_name_alone() -> None:
    """Versions of the host put a function's name into one column or another; who counts runs reads them all."""
    for name, query in ALL_QUERIES.items():
        if "AppRequests" in query:
            assert re.search(r"\bName\b", query), name
            assert "Properties.FullName" in query, name
            assert "by OperationName" not in query, name


def test_failures_leave_out_what_the_platform_does_to_itself() -> None:
    """A run that died with its instance (exit code 143) or was aborted by the host is no failure of the app."""
    query = QUERIES["invocations-failed"]
    assert '"exited with code 143"' in query
    assert '"FunctionTimeoutAbortException"' in query
    assert "| where OperationId !in (ended)" in query


def test_poison_alert_matches_the_poison_queues() -> None:
    """The pattern of the storage log finds each work queue's twin."""
    pattern = re.search(r'extract\("([^"]+)"', QUERIES["poison-written"])
    assert pattern
    for queue in WORK_QUEUES:
        address = f"https://account.queue.example:443/{queue}-poison/messages?messagettl=-1"
        found = re.search(pattern[1], address)
        assert found
        assert found[1] == f"{queue}-poison"
    assert "category: 'StorageWrite'" in bicep.text(bicep.INFRA / "modules" / "storage.bicep")


def test_rules_survive_a_first_deployment() -> None:
    """The tables do not exist before their first row; a checked query would fail the deployment."""
    assert "skipQueryValidation: true" in bicep.text(ALERTS)


@pytest.mark.parametrize("name", sorted(RUNBOOK))
def test_runbook_page_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    """A page has the three parts, the alert's own query, and only links that lead somewhere."""
    page = RUNBOOK[name]
    assert f"Alert `{name}`" in page
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## What it means",
        "## What to look at",
        "## What to do",
    ]
    assert f"```kusto\n{QUERIES[name].strip()}\n```" in page
    assert re.search(r"(?m)^1\. ", page.partition("## What to do")[2])
    for target in re.findall(r"\]\(([\w-]+)\.md\)", page):
        assert target in RUNBOOK
    for event in re.findall(r"`([a-z_]+\.[a-z_]+)`", page):
        assert event in EVENTS or event.startswith("host."), event


def test_every_alert_is_in_the_document_with_its_severity() -> None:
    """docs/resources.md lists the alerts as they are deployed."""
    page = (bicep.ROOT / "docs" / "resources.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"(?m)^\| \[([\w-]+)\]\(runbook/\1\.md\) \| (\d) \|", page))
    assert listed == {name: str(severity) for name, (severity, _, _) in alert_rows().items()}
    named = re.search(r"(\w+) log alerts", (bicep.INFRA / "README.md").read_text(encoding="utf-8"))
    assert named
    assert named[1] == {19: "nineteen"}[len(listed)]


def test_the_storage_client_is_quiet_about_queues_that_are_not_there() -> None:
    """Each poll of a missing queue is a warning of Azure.Core: some 9,000 a day for a queue."""
    levels = json.loads((bicep.ROOT / "host.json").read_text(encoding="utf-8"))["logging"]["logLevel"]
    assert levels == {"default": "Information", "Azure.Core": "Error"}


def test_telemetry_that_alerts_count_on_is_not_sampled_away() -> None:
    """host.json keeps every request and every log line: a sampled event would be a missed alert."""
    host = json.loads((bicep.ROOT / "host.json").read_text(encoding="utf-8"))
    sampling = host.get("logging", {}).get("applicationInsights", {}).get("samplingSettings", {})
    kept = set(str(sampling.get("excludedTypes", "")).split(";"))
    assert sampling.get("isEnabled") is False or {"Request", "Trace"} <= kept
