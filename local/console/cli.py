"""The command line: `./connect --help`, or `python -m local --help`.

Owns names, options and what is printed. `up`, `run` and `demo` start a stack; the other commands talk to the one that
runs, and some of them to a deployed app (`--url`).
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import requests

from local.console import acts, show
from local.console.life import Wanted, live
from local.console.target import KEY_NAME, ROOT, Refused, Target, target
from local.console.watch import Watch, blocked
from local.emulators.entra.browser import SignInFailed
from local.stack.demo import COMPANY, Demo, StepFailed
from local.stack.further import MOST
from local.stack.given_settings import WrongSettings, given
from local.stack.mailbox import Mailbox
from local.stack.ports import DEFAULT_PORTS
from shared import message_text, resource_names
from shared.errors import InvalidMessage
from shared.orders.order_message import sent_key_of

type Command = Callable[..., Any]

EXAMPLES: Final = """\b
make run                                     everything on this machine, with the main job done once
./connect trigger item.created               make something happen, see its event
./connect listen --forward-to http://localhost:8000/events
./connect send order.json --wait
./connect find 1896-S
"""
_AGES: Final = {"m": "minutes", "h": "hours", "d": "days"}
_ENDED: Final = frozenset({"created", "rejected", "parked"})
_ASK_EVERY_S: Final = 1.0


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Run the local stack; make things happen, watch events, send orders, look things up, send again.

    Without --url a command means the local stack that runs.
    """


# -- the stack


def _port(name: str) -> Command:
    names = [f"--{name.replace('_', '-')}-port", *(["--port"] if name == "host" else [])]
    return click.option(
        *names, f"{name}_port", type=click.IntRange(0, 65535), envvar=f"LOCAL_{name.upper()}_PORT", metavar="N",
        help=f"Default {DEFAULT_PORTS[name]}; 0 takes a free one. Or LOCAL_{name.upper()}_PORT.",
    )  # fmt: skip


_connections = click.option(
    "--connections", type=click.IntRange(1, MOST), default=1, show_default=True, metavar="N",
    help=f"How many, up to {MOST}: the others are us, of the same tenant, and fabrikam, of another one.",
)  # fmt: skip


def _stack_options(command: Command) -> Command:
    options = [
        click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="An app setting. Or LOCAL_<NAME>."),
        click.option("--timers", type=click.Choice(["on", "off"]), help="Default on, for demo off."),
        click.option("--persist", is_flag=True, help="Keep storage over restarts (default: in memory)."),
        click.option("--work-dir", type=click.Path(path_type=Path), help="Default .local/<command>."),
        click.option("--webhook-delay", type=float, default=1.0, show_default=True, metavar="S",
                     help="How long the emulated Business Central gathers changes (the real one: 30 s)."),
        click.option("--free-ports", is_flag=True, help="Free ports for all that are not named, as demo takes them."),
        *map(_port, DEFAULT_PORTS),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _live(command: str, *, pairs: tuple[str, ...], timers: str | None, free_ports: bool, **options: Any) -> None:
    try:
        settings, faults = given(pairs, os.environ), []
    except WrongSettings as wrong:
        settings, faults = {}, wrong.faults
    if command != "up" and settings.get("BC_EVENTS_TO", "queue") != "queue":
        faults = [f"BC_EVENTS_TO must be queue: {command} looks for its events in bc-events; 'up' does not"]
    if faults:
        click.echo("\n".join(f"error: {fault}" for fault in faults), err=True)
        sys.exit(2)
    usual = dict.fromkeys(DEFAULT_PORTS, 0) if free_ports or command == "demo" else DEFAULT_PORTS
    chosen = {name: options.pop(f"{name}_port") for name in DEFAULT_PORTS}
    ports = {name: usual[name] if port is None else port for name, port in chosen.items()}
    sys.exit(live(Wanted(command=command, settings=settings, timers=timers, ports=ports, **options)))


@main.command()
@_stack_options
@_connections
def up(**options: Any) -> None:
    """Start the stack, print its addresses, stay until Ctrl-C."""
    _live("up", **options)


@main.command()
@_stack_options
@_connections
def run(**options: Any) -> None:
    """Start the stack, do the main job once, stay until Ctrl-C; its events stay in bc-events."""
    _live("run", **options)


@main.command()
@_stack_options
def demo(**options: Any) -> None:
    """Do the main job once, add connections and an entity, stop; exit code 0 only when every step really happened."""
    _live("demo", **options)


# -- the app that runs


def _app(*, has_queues: bool = False) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        @functools.wraps(command)
        def with_app(*, url: str, key: str, storage: str, connection: str, **options: Any) -> None:
            command(app=target(url, key, storage, connection), **options)

        options = [
            click.option("--url", envvar="CONNECT_URL", default="", help="A deployed app, https://<app>."),
            click.option("--key", envvar=KEY_NAME, default="", help=f"Its function key. Or {KEY_NAME}."),
            click.option("--connection", default="", hidden=has_queues, help="Its id, where there are several."),
            click.option("--storage", envvar="CONNECT_STORAGE", default="", hidden=not has_queues,
                         help="Its storage account: name (with your az login) or connection string."),
        ]  # fmt: skip
        for option in reversed(options):
            with_app = option(with_app)
        return with_app

    return add


@main.command(epilog="\b\n" + "\n".join(f"{name:<18}{act.tells}" for name, act in acts.ACTS.items()))
@click.argument("what", metavar="WHAT")
@click.option("--company", default=COMPANY, show_default=True, help="Name of the company to work in.")
@click.option("--wait", "patience_s", type=float, default=60.0, show_default=True, metavar="S", help="Most seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON, one a line.")
def trigger(what: str, company: str, patience_s: float, *, as_json: bool) -> None:
    """Make WHAT happen in the emulated Business Central, and wait for its events."""
    stack, act = target("", "", "").stack, acts.named(what)
    acts.check(what, act, stack.values)
    _prepare(Demo(stack, say=_progress), company)
    watch = Watch(Mailbox(stack.storage_connection_string))
    watch.skip()
    began = time.monotonic()
    done = act.does(acts.Person(stack, company))
    click.echo(done.said, err=as_json)
    if act.starts:
        Demo(stack).start(act.starts)
    waited = set(done.wanted)
    shown = len(waited) < 10 or as_json
    while waited and time.monotonic() - began < patience_s:
        for event in watch.new():
            name = (event["type"], event["subject"])
            if name in waited:
                waited.discard(name)
                if shown:
                    took = f"{time.monotonic() - began:5.1f} s  {show.event_line(event)}"
                    click.echo(json.dumps(event) if as_json else took)
        time.sleep(0.05)
    if waited:
        lies = watch.blocked_by()
        why = blocked(lies) if lies else "'./connect find <id>' and './connect doctor' say more"
        raise Refused(f"waited {patience_s:g} s for {len(waited)} of {len(done.wanted)} events: {why}")
    if not shown:
        click.echo(f"{time.monotonic() - began:5.1f} s  {len(done.wanted)} events")


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _prepare(demo: Demo, company: str) -> None:
    """Sign in, take stock and register webhooks where that was not done yet."""
    try:
        for line in demo.prepare():
            _progress(line)
    except (StepFailed, SignInFailed, requests.RequestException) as error:
        raise Refused(f"the stack is not ready for {company}: {error}") from error


@main.command()
@_app(has_queues=True)
@click.option("--forward-to", metavar="URL", help="Post each event there once, as one CloudEvent in JSON.")
@click.option("--all", "from_start", is_flag=True, help="Also those that lie in the queue already.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
@click.option("--for", "limit_s", type=float, metavar="S", help="End after so many seconds (default: Ctrl-C).")
def listen(app: Target, forward_to: str | None, limit_s: float | None, *, from_start: bool, as_json: bool) -> None:
    """Print events as they come. Peeks: no message is taken away from a consumer."""
    watch = Watch(Mailbox(app.queues))
    lies = 0 if from_start else watch.skip()
    _progress(f"listening to bc-events{f'; {lies} messages lie there already (--all shows them)' if lies else ''}")
    if count := watch.blocked_by():
        _progress(blocked(count))
    ends = None if limit_s is None else time.monotonic() + limit_s
    try:
        for event in watch.follow(lambda: ends is not None and time.monotonic() > ends):
            now = f"{datetime.now().astimezone():%H:%M:%S}"
            click.echo(json.dumps(event) if as_json else f"{now}  {show.event_line(event)}")
            if forward_to:
                _progress(f"          {_forwarded(event, forward_to)}")
    except KeyboardInterrupt:
        return


def _forwarded(event: dict[str, Any], address: str) -> str:
    """Post one event in the structured mode of CloudEvents over HTTP; return what came of it."""
    headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    try:
        answer = requests.post(address, data=json.dumps(event).encode(), headers=headers, timeout=10)
    except requests.RequestException as error:
        return f"{address}: {type(error).__name__}; not sent again"
    return f"{address}: {answer.status_code}"


@main.command()
@_app(has_queues=True)
@click.confirmation_option(prompt="Take all events out of bc-events, as a consumer does?")
def take(app: Target) -> None:
    """Take all events out of bc-events and print them, as a consumer would."""
    for event in Mailbox(app.queues).take():
        click.echo(json.dumps(event))


@main.command()
@click.argument("file", type=click.File("rb"))
@_app(has_queues=True)
@click.option("--wait", is_flag=True, help="Wait for its result.")
@click.option("--patience", "patience_s", type=float, default=60.0, show_default=True, metavar="S")
def send(file: Any, app: Target, patience_s: float, *, wait: bool) -> None:
    """Send FILE ('-': standard input) to the queue sales-orders: an envelope, or a bare order of Business Central."""
    raw = file.read()
    try:
        text = message_text.decode(raw)
        json.loads(text)
    except (InvalidMessage, ValueError, RecursionError) as error:
        raise Refused(f"{file.name} is no JSON in UTF-8: {error}") from error
    mailbox = Mailbox(app.queues)
    message_id = mailbox.put(resource_names.QUEUE_ORDERS, text)
    order_key = sent_key_of(text, message_id)
    click.echo(f"sent as message {message_id}, order key {order_key}", err=wait)
    if wait:
        result = _result(app, mailbox, order_key, patience_s)
        click.echo(show.as_json(result))
        sys.exit(0 if result["status"] == "created" else 1)


def _result(app: Target, mailbox: Mailbox, order_key: str, patience_s: float) -> dict[str, Any]:
    """Return the result of an order: out of the queue, which keeps it, or as the app remembers it."""
    ends, asked = time.monotonic() + patience_s, time.monotonic()
    while time.monotonic() < ends:
        for _, text in mailbox.peek(resource_names.QUEUE_RESULTS):
            result: dict[str, Any] = json.loads(text)
            if result["orderKey"] == order_key:
                return result
        if time.monotonic() - asked > _ASK_EVERY_S:
            asked = time.monotonic()
            stories = app.ask("GET", "orders", {"key": order_key})
            for story in stories:
                if story["status"] in _ENDED:
                    return dict(story)
        time.sleep(0.1)
    raise Refused(f"waited {patience_s:g} s for the result of {order_key}; './connect find {order_key}' says more")


@main.command()
@click.argument("key_or_id", metavar="KEY")
@_app()
@click.option("--company", default="", help="Id or name; by default all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def find(key_or_id: str, app: Target, company: str, *, as_json: bool) -> None:
    """Show what is known of KEY, an order key, record id or record number: events, jobs, Business Central's word."""
    answer = app.ask("GET", "find", {"key": key_or_id, "company": company})
    click.echo(show.as_json(answer)) if as_json else show.found(show.console(), answer)
    if not (answer["records"] or answer["orders"] or answer["dead_letters"]):
        sys.exit(1)


@main.command()
@_app()
@click.option("--entity", required=True, help="items, salesShipments, salesInvoices, or '*' for all.")
@click.option("--company", default="", help="Id or name; by default all of them.")
@click.option("--since", required=True, help="ISO 8601 (2026-02-01, 2026-02-01T09:30:00Z), or an age: 90m, 12h, 3d.")
def replay(app: Target, entity: str, company: str, since: str) -> None:
    """Send once more what was announced of records changed since a time: same event ids, marked bcreplay."""
    query = {"entity": entity, "company": company, "since": _since(since, datetime.now(UTC))}
    show.runs(show.console(), app.ask("POST", "replay", query))


def _since(text: str, now: datetime) -> str:
    age = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    return (now - timedelta(**{_AGES[age[2]]: int(age[1])})).isoformat() if age else text


@main.command()
@click.argument("order_key", metavar="KEY")
@_app()
@click.confirmation_option(prompt="Erase what orders and dead letters of this key hold, for good?")
def erase(order_key: str, app: Target) -> None:
    """Forget what orders of KEY that ended held, and its dead letters; what stops a second order stays."""
    erased = app.ask("POST", "orders/erase", {"key": order_key})
    if not erased:
        raise Refused(f"no order and no dead letter bears {order_key}")
    for one in erased:
        told = f"{one['connection']}: {one['orders']} orders and {one['dead_letters']} dead letters are erased"
        left = f"; {one['under_way']} orders are under way: erase them once they have ended" if one["under_way"] else ""
        click.echo(told + left)


@main.command("import-orders")
@click.argument("day", default="")
@_app()
def import_orders(day: str, app: Target) -> None:
    """Bring orders back that the table has lost, from the order book of DAY; without one, say which there are."""
    if not day:
        for book in (books := app.ask("POST", "orders/import")["books"]):
            click.echo(f"{book['day']}  {book['orders']} orders")
        newest = books[0]["day"] if books else ""
        click.echo(
            f"name a day: ./connect import-orders {newest}"
            if books
            else "there is no order book yet: one a day is written"
        )
        return
    part, added, there = "", 0, 0
    while True:
        done = app.ask("POST", "orders/import", {"day": day, "next": part})
        added, there, part = added + done["added"], there + done["there"], done["next"]
        click.echo(f"{added} orders added, {there} were there")
        if not part:
            return


@main.command()
@_app()
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def status(app: Target, *, as_json: bool) -> None:
    """Show login, companies, streams, webhooks, orders and dead letters."""
    view = app.ask("GET", "status")
    click.echo(show.as_json(view)) if as_json else show.status(show.console(), view)


@main.command()
@click.option("--url", envvar="CONNECT_URL", default="", help="A deployed app, https://<app>.")
@click.option("--key", envvar=KEY_NAME, default="", help=f"Its function key. Or {KEY_NAME}.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(url: str, key: str, *, as_json: bool) -> None:
    """Say why nothing arrives: the app examines itself; a cause and a next step for each finding."""
    command = [sys.executable, str(ROOT / "scripts" / "doctor.py"), *([url] if url else [])]
    command += ["--json"] if as_json else []
    sys.exit(subprocess.run(command, env={**os.environ, KEY_NAME: key}, check=False).returncode)
