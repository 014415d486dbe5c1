"""Owns ``local.settings.json`` and the way a setting is looked up and put into a binding string.

The rules are those of ``func start``: values never override a variable that is set and not empty, and names are found
whatever their case, as .NET configuration does.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.functions_host.errors import HostError

DEFAULT_PORT: Final = 7071
THREADS: Final = "1000"  # what the script host makes of an unset PYTHON_THREADPOOL_THREAD_COUNT
_PERCENT_NAME = re.compile(r"%([^%]*)%")


@dataclass(frozen=True)
class LocalSettings:
    """What a settings file says."""

    values: Mapping[str, str]  # variable name -> value, connection strings included
    port: int | None  # Host.LocalHttpPort


def read_settings(path: Path, *, required: bool) -> LocalSettings:
    """Read a settings file; a missing one is empty unless it was asked for by name.

    Raises:
        HostError: missing though required, not JSON, encrypted, or with values that are not strings.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if required:
            raise HostError(f"settings file {path} does not exist") from None
        return LocalSettings({}, None)
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"settings file {path} cannot be read: {error}") from error
    try:
        content = json.loads(text)
    except ValueError as error:
        raise HostError(f"settings file {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise HostError(f"settings file {path} must hold a JSON object")
    # Core Tools takes a missing IsEncrypted for true, so a file that works here must say false.
    if content.get("IsEncrypted", True) is not False:
        raise HostError(f'settings file {path} must say "IsEncrypted": false')
    values = _strings(path, content, "Values")
    for name, value in _strings(path, content, "ConnectionStrings").items():
        values[f"ConnectionStrings:{name}"] = value
    return LocalSettings(values, _port(path, content.get("Host") or {}))


def _strings(path: Path, content: dict[str, Any], member: str) -> dict[str, str]:
    section = content.get(member) or {}
    if not isinstance(section, dict):
        raise HostError(f"settings file {path}: {member} must be an object")
    wrong = sorted(name for name, value in section.items() if not isinstance(value, str))
    if wrong:
        raise HostError(f"settings file {path}: {member} must hold strings only, not so: {', '.join(wrong)}")
    return dict(section)


def _port(path: Path, host: object) -> int | None:
    port = host.get("LocalHttpPort") if isinstance(host, dict) else "?"
    if port is None:
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise HostError(f"settings file {path}: Host.LocalHttpPort must be a port number")
    return port


def new_variables(settings: LocalSettings, env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables to set and the names that stay as they are because the environment has them already."""
    kept = sorted(name for name, value in settings.values.items() if env.get(name) and env[name] != value)
    return {name: value for name, value in settings.values.items() if not env.get(name)}, kept


def find_setting(env: Mapping[str, str], name: str) -> str | None:
    """Return a setting that is not empty, by its exact name first, else whatever its case."""
    if env.get(name):
        return env[name]
    folded = name.casefold()
    return next((value for key, value in env.items() if value and key.casefold() == folded), None)


def fill_settings(text: str, env: Mapping[str, str]) -> str:
    """Replace every ``%NAME%`` by its setting.

    Raises:
        HostError: a setting is missing, or a percent sign is not closed.
    """

    def value_of(match: re.Match[str]) -> str:
        value = find_setting(env, match.group(1))
        if value is None:
            raise HostError(f"setting {match.group(1)!r} used in {text!r} is not set")
        return value

    if text.count("%") % 2:
        raise HostError(f"{text!r} has a % that is not closed")
    return _PERCENT_NAME.sub(value_of, text)


def is_disabled(env: Mapping[str, str], function: str) -> bool:
    """Tell whether ``AzureWebJobs.<function>.Disabled`` (or its underscore form) switches the function off."""
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled")
    return any((find_setting(env, name) or "").casefold() in {"1", "true"} for name in names)


def host_variables(env: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the variables that ``func start`` and the script host set for an app."""
    variables = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    if not env.get("WEBSITE_HOSTNAME"):
        variables["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    if not env.get("PYTHON_THREADPOOL_THREAD_COUNT"):
        variables["PYTHON_THREADPOOL_THREAD_COUNT"] = THREADS
    return variables
