#!/usr/bin/env python3
"""Print what a connection offers, each with a line that is ready for BC_ENTITIES.

python -m scripts.entities                     the local stack that runs (make up, make run)
python -m scripts.entities https://<app>.azurewebsites.net     a deployed app; its key is read from FUNCTIONS_KEY

Needs nothing but Python. Exit status: 0 printed, 1 the app gave no list, or refuses an entry, 2 unusable arguments.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode, urlsplit

from scripts import doctor

#: Every route of an environment may be read for it.
TIMEOUT_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Print the list of one app and return the exit code."""
    options = _parser().parse_args(arguments)
    address, ca_file = (options.app.rstrip("/"), options.ca_bundle) if options.app else doctor.local_stack()
    if not address:
        sys.stderr.write("entities: no local stack runs; start it with make up, or name a deployed app\n")
        return 1
    if not address.startswith("https://") and urlsplit(address).hostname not in {"127.0.0.1", "localhost"}:
        sys.stderr.write("entities: the address must begin with https://\n")
        return 2
    try:
        found = ask(address, os.environ.get("FUNCTIONS_KEY", ""), ca_file, options.connection)
    except urllib.error.HTTPError as error:
        said = error.read(doctor.MOST_BYTES).decode(errors="replace")[:300]
        sys.stderr.write(f"entities: {address} answered {error.code}: {said}\n")
        return 1
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError, KeyError) as error:
        sys.stderr.write(f"entities: {address} gave no list: {getattr(error, 'reason', error)}\n")
        return 1
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if options.json else readable(found, options.words))
    return 1 if found["refused"] else 0


def ask(address: str, key: str, ca_file: str, connection: str = "") -> dict[str, Any]:
    """Return the list of an app, of one connection where it has several."""
    query = urlencode({"entities": "1", **({"connection": connection} if connection else {})})
    request = urllib.request.Request(f"{address}/api/status?{query}")  # noqa: S310  https, or loopback: checked above
    if key:
        request.add_header("x-functions-key", key)
    with doctor.opener(ca_file).open(request, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read(doctor.MOST_BYTES))
    if not isinstance(found["offers"], list):
        raise ValueError("its answer is no list")  # noqa: TRY004 - one kind of refusal
    return found


def readable(found: dict[str, Any], words: str = "") -> str:
    """Return the list as a person reads it; `words`: only sets whose name or route holds them."""
    lines = [f"environment {found['environment']}, company {found['company']}", "", "Served now"]
    lines += [f"  {one['entity']:<36} {one['watched']}{', pulled' if one['pulled'] else ''}" for one in found["served"]]
    if found["refused"] or found["waiting"]:
        lines += ["", "Refused", *(f"  {fault}" for fault in [*found["refused"], *found["waiting"]])]
    lines += ["", f"{'Offered':<36} {'webhook':<8} {'times':<6} line for BC_ENTITIES"]
    for one in found["offers"]:
        name = one["entity_set"] if one["route"] == "v2.0" else f"{one['route']}/{one['entity_set']}"
        if words.lower() not in name.lower():
            continue
        webhook = {True: "yes", False: "no", None: "?"}[one["has_webhook"]]
        line = one["line"] or f"(not: {one['refused']})"
        lines.append(f"{name:<36} {webhook:<8} {'yes' if one['has_times'] else 'no':<6} {line}")
        if one["expandable"]:
            lines.append(f"{'':<52} expand: {', '.join(one['expandable'])}")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", nargs="?", default="", help="address of a deployed app (default: the local stack)")
    parser.add_argument("--connection", default="", help="id of the connection, where there are several")
    parser.add_argument("--words", default="", help="only sets whose name or route holds this")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("--ca-bundle", default="", metavar="FILE", help="further CA to trust, PEM")
    return parser


if __name__ == "__main__":
    sys.exit(main())
