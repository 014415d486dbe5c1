"""The command: settings from the environment, a session with a token, the report to a file and to the screen.

| setting | means |
|---|---|
| `BC_LIVE=1` | ask a real environment; without it the emulator is asked |
| `BC_TENANT_ID`, `BC_ENVIRONMENT`, `BC_CLIENT_ID`, `BC_CLIENT_SECRET` | which, and as whom; all four are needed |
| `BC_LIVE_COMPANY` | id or name of the company; by default the first |
| `BC_LIVE_WRITE=1` | write, too, into the company that `BC_LIVE_COMPANY` must name |
| `BC_API_URL`, `BC_LOGIN_URL` | other origins than Microsoft's |
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Final

import requests

from business_central_emulator.conformance.asking import TIMEOUT_S, explore
from business_central_emulator.conformance.conform_report import as_json, as_markdown
from business_central_emulator.conformance.conforming import Conformance, conform
from business_central_emulator.data.clock import VirtualClock
from business_central_emulator.engine import BusinessCentral
from business_central_emulator.server.adapter import session_for

API: Final = "https://api.businesscentral.dynamics.com"
LOGIN: Final = "https://login.microsoftonline.com"
_NEEDED: Final = ("BC_TENANT_ID", "BC_ENVIRONMENT", "BC_CLIENT_ID", "BC_CLIENT_SECRET")


class SettingsError(Exception):
    """Settings are missing; the message names each and what it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked."""

    title: str
    root: str
    company: str
    writes: bool


def target_of(env: Mapping[str, str]) -> Target:
    """Return what the settings name.

    Raises:
        SettingsError: a setting is missing.
    """
    writes = env.get("BC_LIVE_WRITE") == "1"
    missing = [name for name in _NEEDED if not env.get(name)]
    if writes and not env.get("BC_LIVE_COMPANY"):
        missing.append("BC_LIVE_COMPANY (the company that BC_LIVE_WRITE=1 may write into)")
    if missing:
        raise SettingsError(f"BC_LIVE=1 needs {', '.join(missing)}.")
    origin = env.get("BC_API_URL", API).rstrip("/")
    return Target(
        title="Conformance of a live environment", writes=writes, company=env.get("BC_LIVE_COMPANY", ""),
        root=f"{origin}/v2.0/{env['BC_TENANT_ID']}/{env['BC_ENVIRONMENT']}/api/v2.0",
    )  # fmt: skip


def log_in(session: requests.Session, env: Mapping[str, str]) -> None:
    """Give the session a token of the application; it must be registered in the environment.

    Raises:
        SettingsError: the login service refuses; the message is its own.
    """
    answer = session.post(
        f"{env.get('BC_LOGIN_URL', LOGIN).rstrip('/')}/{env['BC_TENANT_ID']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials", "client_id": env["BC_CLIENT_ID"],
            "client_secret": env["BC_CLIENT_SECRET"],
            "scope": f"{API}/.default",
        },
        timeout=TIMEOUT_S,
    )  # fmt: skip
    if answer.status_code != 200:
        raise SettingsError(f"The login was refused: {answer.status_code} {answer.text[:300]}")
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def of_emulator(*, writes: bool = True) -> Conformance:
    """Ask the emulator itself, in process: every claim must be so."""
    engine = BusinessCentral(VirtualClock())
    session = session_for({API: engine})
    session.headers["Authorization"] = "Bearer good-conformance"
    return conform(explore(session, engine.root_url()), writes=writes)


def of_live(env: Mapping[str, str], session: requests.Session) -> Conformance:
    """Ask the environment that the settings name.

    Raises:
        SettingsError: settings are missing, or the login is refused.
        ConnectionError: its companies can't be listed, or none is the one that is named.
    """
    target = target_of(env)
    log_in(session, env)
    return conform(explore(session, target.root, company=target.company), writes=target.writes)


def main(arguments: list[str] | None = None, env: Mapping[str, str] = environ) -> int:
    """Return 0 when all is as claimed, 1 when something differs, 2 when it could not be asked."""
    parser = argparse.ArgumentParser(prog="business_central_emulator.conformance", description="Is the emulator right?")
    parser.add_argument("--out", type=Path, help="folder for conformance.md and conformance.json")
    options = parser.parse_args(arguments)
    is_live = env.get("BC_LIVE") == "1"
    title = "Conformance of a live environment" if is_live else "Conformance of the emulator with itself"
    try:
        run = of_live(env, requests.Session()) if is_live else of_emulator()
    except (SettingsError, ConnectionError, requests.RequestException) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 2
    sys.stdout.write(as_markdown(run, title))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "conformance.md").write_text(as_markdown(run, title), encoding="utf-8")
        (options.out / "conformance.json").write_text(as_json(run, title), encoding="utf-8")
    return 1 if run.differences or run.left else 0
