"""What the console prints: events one a line, findings of `find`, the state of `status` as tables."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Properties of a record that tell a person which one it is.
_NAMES: Final = ("number", "displayName", "customerName", "status")
_NEVER: Final = "never"
_WIDTH: Final = 200  # where it is printed to no terminal
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")


def console() -> Console:
    """Return where everything is printed; without colours where it is no terminal."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH)


def event_line(event: Mapping[str, Any]) -> str:
    """Return one event as a line."""
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    names = ", ".join(str(data[name]) for name in _NAMES if data and data.get(name))
    again = "  (replayed)" if event.get("bcreplay") else ""
    return f"{event['type']:<30} {event['subject']}  id {event['id']}  {names}{again}"


def as_json(value: object) -> str:
    """Return a value for a machine."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    return table


def _plain(cell: object) -> str:
    return _NEVER if cell is None else _TIME.sub(r"\1 \2", str(cell))


def found(out: Console, answer: Mapping[str, Any]) -> None:
    """Print what `find` has found."""
    for record in answer["records"]:
        _record(out, record)
    for order in answer["orders"]:
        _order(out, order)
    for letter in answer["dead_letters"]:
        out.print(f"dead letter {letter}: redrive it on the connect page")
    if not (answer["records"] or answer["orders"] or answer["dead_letters"]):
        out.print(f"Nothing bears {answer['key']}: no order key, no record id, no number of a record.")
    for error in answer["errors"]:
        out.print(f"Business Central did not say: {error}")
    if answer["not_asked"]:
        out.print(f"Not asked: {', '.join(answer['not_asked'])}; name one with --company.")


def _record(out: Console, record: Mapping[str, Any]) -> None:
    said = record["business_central"]
    out.print(f"{record['entity']}({record['id']}) of {record['company_name']}")
    if said["error"]:
        out.print(f"  Business Central did not say: {said['error']}")
    elif said["is_there"]:
        shown = [f"number {said['number']}", *([f"status {said['status']}"] if said["status"] else [])]
        out.print(f"  in Business Central now: {', '.join(shown)}, modified {_plain(said['modified'])}")
    else:
        out.print("  not in Business Central now")
    if record["announced"]:
        rows = [
            (one["type"], one["at"] or "not noted", one["job"] or "an earlier pull", one["event_id"] or "version gone")
            for one in record["announced"]
        ]
        out.print(
            _table("", ("  announced as", "at", "by job", "event id"), [(f"  {row[0]}", *row[1:]) for row in rows])
        )
    else:
        old = "it was there before the watch began" if record["in_snapshot"] else "no run has read it yet"
        out.print(f"  never announced: {old}")


def _order(out: Console, order: Mapping[str, Any]) -> None:
    number = f" as {order['number']}" if order["number"] else ""
    out.print(f"order {order['orderKey']} of {order['company'] or 'no company'}: {order['status']}{number}")
    out.print(f"  first seen {_plain(order['firstSeen'])}, posts {order['attempts']}, last {_plain(order['lastPost'])}")
    if order["error"]:
        out.print(f"  {order['error']['code']}: {order['error']['message']}")
    if order["nextTry"]:
        out.print(f"  next try {order['nextTry']}")
    said = order["businessCentral"]
    if said is not None:
        there = "there" if said["is_there"] else said["error"] or "not there any more: shipped and invoiced, or deleted"
        out.print(f"  in Business Central now: {there}")


def runs(out: Console, answer: Mapping[str, Any]) -> None:
    """Print what became of a replay."""
    rows = [
        (
            run["entity"],
            run["company_name"],
            "started" if run["is_new"] else f"at work already, since {_plain(run['since'])} UTC",
            run["run"],
        )
        for run in answer["runs"]
    ]
    out.print(_table(f"Replay since {_plain(answer['since'])} UTC", ("entity", "company", "", "run"), rows))
    out.print("Events leave in bc-events under their old ids, marked bcreplay; 'status' shows how far the runs are.")


def status(out: Console, view: Mapping[str, Any]) -> None:
    """Print the state of an app."""
    if "login" not in view:  # several connections in short
        heads = ("connection", "health", "waiting", "parked", "rejected", "dead letters", "reason", "next step")
        names = (
            "id",
            "health",
            "orders_waiting",
            "orders_parked",
            "orders_rejected",
            "dead_letters",
            "reason",
            "next_step",
        )
        out.print(_table("", heads, [[one[name] for name in names] for one in view["connections"]]))
        out.print("One of them in full: --connection <id>")
        return
    login, at = view["login"], _plain(view["at"])
    out.print(f"version {view['version']}, environment {view['environment']}, {at} UTC: {view.get('health', '')}")
    out.print(f"login: {login['state'] or 'not tried yet'} {login['user']} {login['reason']}".rstrip())
    for finding in view.get("findings", []):
        out.print(f"{finding['severity']}: {finding['seen']} {finding['cause']} {finding['do']}".rstrip())
    companies = [(one["name"], one["id"], one["error"]) for one in view["companies"]]
    out.print(_table("\nCompanies", ("name", "id", ""), companies))
    streams = [
        (one["entity"], one["purpose"], one["company"], one["state"], one["watermark"], one["last_run"], one["error"])
        for one in view["streams"]
    ]
    columns = ("entity", "read by", "company", "state", "read until", "last run", "")
    out.print(_table("\nStreams", columns, streams))
    webhooks = [
        (one["entity"], one["company"], one["state"], one["expires_at"], one["error"]) for one in view["subscriptions"]
    ]
    out.print(_table("\nWebhooks", ("entity", "company", "state", "expires", ""), webhooks))
    counts = {name: view[f"orders_{name}"] for name in ("waiting", "parked", "rejected")}
    out.print(f"\nOrders: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    orders = [(one["key"], one["company"], one["state"], one["attempts"], one["code"]) for one in view["orders"]]
    if orders:
        out.print(_table("", ("key", "company", "state", "posts", "code"), orders))
    letters = ", ".join(f"{count} of {queue}" for queue, count in view["dead_letter_counts"].items())
    out.print(f"Dead letters: {letters or 'none'}")
