#!/usr/bin/env python3
"""Say why nothing arrives: ask the running app to examine itself, and print what it found.

    doctor.py                         the local stack that runs (make up, make run)
    doctor.py https://<app>.azurewebsites.net     a deployed app; its function key is read from FUNCTIONS_KEY
    doctor.py --facts [...]           what its Business Central answers to open questions: JSON without business data

Needs nothing but Python. Exit status: 0 all in order, 1 something is wrong, 2 unusable arguments.
"""

import argparse
import json
import os
import ssl
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
#: The app answers within 12 s whatever hangs behind it; this is what it is given before the command speaks for it.
TIMEOUT_S = 15.0
MOST_BYTES = 4_000_000
HEALTH_S = 5.0
WRONG = ("warning", "error")
LABELS = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}
WIDTH = 110
type Report = dict[str, Any]

#: What an answer other than a report means: status -> (code, cause, next step).
ANSWERS = {
    401: (
        "key_wrong",
        "The function key is missing, wrong or was rotated.",
        "Set FUNCTIONS_KEY: az functionapp keys list -g <group> -n <app> --query functionKeys.default -o tsv",
    ),
    403: (
        "access_restricted",
        "An access restriction keeps you out, or the app is stopped.",
        "Add your address to allowedAddresses, or look at Networking and at the state of the app.",
    ),
    404: (
        "no_functions",
        "The app is up without its functions: not deployed, failed to import, or status is disabled.",
        "Deploy again (make deploy); look for 'Worker failed to index functions' in the log.",
    ),
}
REDIRECTED = (
    "redirected",
    "App Service authentication or a proxy in front of the app sends callers to a login of its own.",
    "Switch authentication off for this app (it has its own), or let /api/* through; Business Central can't log in.",
)
DOWN = (
    "app_down",
    "The app does not start: wrong runtime settings, its storage account cannot be reached, or it is just starting.",
    "Look again in a minute; then at Diagnose and solve problems, and at the log of the host.",
)


def main(arguments: list[str] | None = None) -> int:
    """Examine one app and return the exit code."""
    options = _parser().parse_args(arguments)
    address, ca_file = (options.app.rstrip("/"), options.ca_bundle) if options.app else local_stack()
    if address and not address.startswith("https://") and urlsplit(address).hostname not in {"127.0.0.1", "localhost"}:
        sys.stderr.write("doctor: the address must begin with https://\n")
        return 2
    question = "facts" if options.facts else "doctor"
    report = ask(address, os.environ.get("FUNCTIONS_KEY", ""), ca_file, question) if address else _no_stack()
    if "facts" in report:
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return 0
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if options.json else readable(report, address))
    return 0 if report["is_healthy"] else 1


def ask(address: str, key: str, ca_file: str, question: str = "doctor") -> Report:
    """Return what the app answers to `question` of its status, or a report that says why there is no answer."""
    request = urllib.request.Request(f"{address}/api/status?{question}=1")  # noqa: S310  https, or loopback: checked above
    if key:
        request.add_header("x-functions-key", key)
    try:
        return _checked(json.loads(_within(TIMEOUT_S, lambda: _read(request, ca_file))), address)
    except TookTooLong:
        cause = "It is starting (a cold start may take that long), its storage does not answer the host, or it hangs."
        do = (
            "Ask again in a minute. If that goes on: Diagnose and solve problems, and the state of its storage account."
        )
        return _alone("app_silent", f"{address} gave no answer within {TIMEOUT_S:g} s.", cause, do)
    except urllib.error.HTTPError as error:
        code, cause, do = ANSWERS.get(error.code, REDIRECTED if 300 <= error.code < 400 else DOWN)
        return _alone(code, f"{address} answered {error.code}.", cause, do)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        cause = "The name is wrong, the app was deleted, or the network keeps you out."
        if isinstance(reason, ssl.SSLError):
            cause = "Its certificate is not trusted here: another host answers, or a proxy stands in between."
        return _alone("app_unreachable", f"{address} cannot be reached: {reason}.", cause, "Check the address.")
    except ValueError:
        cause = "Something else answers at this address."
        return _alone("not_the_app", f"{address} answered with what is no report.", cause, "Check the address.")


class TookTooLong(Exception):
    """There is no whole answer within the limit; a server that sends a byte now and then has a limit, too."""


def _read(request: urllib.request.Request, ca_file: str) -> bytes:
    try:
        with opener(ca_file).open(request, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read(MOST_BYTES)
            return body
    except urllib.error.HTTPError as error:
        error.close()  # its status is all that is looked at
        raise


def _within(limit_s: float, work: Callable[[], bytes]) -> bytes:
    """Return what the work returns, or raise what it raises, if it ends in time; else leave its thread behind."""
    ended: Future[bytes] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return ended.result(limit_s)
    except TimeoutError:
        if ended.done():
            raise
        raise TookTooLong from None


def readable(report: Report, address: str) -> str:
    """Return the report as a person reads it."""
    where = f"environment {report['environment']}, " if report["environment"] else ""
    lines = [f"{address or 'no app'}: {where}{report['at']}", ""]
    for found in report["findings"]:
        lines += _wrapped(f"  {LABELS[found['severity']]:<8} {found['check']:<17}", found["seen"])
        for name in ("cause", "do"):
            if found[name]:
                lines += _wrapped(f"  {'':<8} {'':<17}   {name + ':':<7}", found[name])
    errors, warnings = (sum(found["severity"] == word for found in report["findings"]) for word in ("error", "warning"))
    if errors or warnings:
        lines += ["", f"{errors} errors, {warnings} warnings. Begin with the first: those below may come from it."]
    else:
        lines += ["", "All in order."]
    return "\n".join(lines) + "\n"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False,
        break_on_hyphens=False,
    ) or [head]  # fmt: skip


def _checked(report: object, address: str) -> Report:
    if isinstance(report, dict) and (
        "facts" in report or {"at", "environment", "findings", "is_healthy"} <= set(report)
    ):
        return report
    raise ValueError(address)


def _alone(code: str, seen: str, cause: str, do: str) -> Report:
    finding = {"check": "app", "code": code, "severity": "error", "seen": seen, "cause": cause, "do": do}
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"at": at, "environment": "", "findings": [finding], "is_healthy": False}


def _no_stack() -> Report:
    do = "Start it with 'make up' or 'make run', or name a deployed app: make doctor ARGS=https://<app>"
    return _alone("stack_down", "No local stack is running.", "No address was given, so the local stack was meant.", do)


def local_stack() -> tuple[str, str]:
    """Return address and CA of the local stack that was started last and answers; ("", "") when none does."""
    files = sorted(ROOT.glob(".local/*/local.settings.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        try:
            values = json.loads(file.read_text(encoding="utf-8"))["Values"]
            address, ca_file = values["PUBLIC_URL"], values.get("CA_BUNDLE", "")
            with opener(ca_file).open(f"{address}/api/health", timeout=HEALTH_S):
                return address, ca_file
        except (OSError, ValueError, KeyError):  # an old file: nobody listens there any more
            continue
    return "", ""


def opener(ca_file: str) -> urllib.request.OpenerDirector:
    """Return what opens an address: follows no redirect, trusts a further CA, and then goes by no proxy."""
    trusted = ssl.create_default_context(cafile=ca_file or None)
    direct = [urllib.request.ProxyHandler({})] if ca_file else []  # a CA of one's own is the local stack's
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusted), _NoRedirect(), *direct)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow nothing: the key is for this address only."""

    def redirect_request(self, *_: object) -> None:
        """Refuse."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", nargs="?", default="", help="address of a deployed app (default: the local stack)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--facts", action="store_true", help="print answers to open questions, to be sent to us")
    parser.add_argument("--ca-bundle", default="", metavar="FILE", help="further CA to trust, PEM")
    return parser


if __name__ == "__main__":
    sys.exit(main())
