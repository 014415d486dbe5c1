#!/usr/bin/env python3
"""Check template parameters with the app's own settings check, before anything is created in Azure.

Reads what `bicep build-params FILE --stdout` prints (standard input or a file) and names every wrong parameter at once.
Bicep checks types, lengths and closed sets by itself; this adds what it cannot express: NCRONTAB, GUIDs, comma lists,
and parameters that need each other. Exit status: 0 all good, 1 wrong parameters, 2 unreadable input.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.connections.settings_reader import DEFAULTS, read_settings  # noqa: E402  importable by the path above
from shared.errors import ConfigError  # noqa: E402

#: Settings that the template makes from resources; any well-formed value does for the check.
FROM_RESOURCES = {
    "AzureWebJobsStorage__accountName": "checked",
    "KEY_VAULT_URL": "https://checked.example",
    "WEBSITE_HOSTNAME": "checked.example",
}
ANY_GUID = "00000000-0000-0000-0000-000000000000"


def setting_name(parameter: str) -> str:
    """Return the app setting that a parameter becomes: bcPageRows -> BC_PAGE_ROWS."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).upper()


def faults(parameters: dict[str, object]) -> dict[str, str]:
    """Return parameter name -> what is wrong with it; parameters that are absent have their default in main.bicep."""
    found: dict[str, str] = {}
    env = dict(FROM_RESOURCES)
    names = {setting_name(name): name for name in parameters}
    for name, value in parameters.items():
        if setting_name(name) in DEFAULTS:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            env[setting_name(name)] = text
            if not text.strip() and name not in {"bcClientId", "bcTenantId"}:
                found[name] = "is empty"  # the app would quietly take the default
    if not env.get("BC_TENANT_ID"):
        env["BC_TENANT_ID"] = ANY_GUID  # the tenant of the subscription
    if parameters.get("entraAppEnabled") is True:
        if env.get("BC_CLIENT_ID"):
            found["bcClientId"] = "must be empty when entraAppEnabled registers the application"
        env["BC_CLIENT_ID"] = ANY_GUID
    try:
        read_settings(env)
    except ConfigError as error:
        for setting, rule in error.faults.items():
            found.setdefault(names.get(setting, _parameter_name(setting)), rule)
    return found | _watching_faults(parameters)


def _parameter_name(setting: str) -> str:
    """Return the parameter of a setting: BC_CLIENT_ID -> bcClientId."""
    first, *rest = setting.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def _watching_faults(parameters: dict[str, object]) -> dict[str, str]:
    """Return the faults of the alert and budget parameters."""
    found: dict[str, str] = {}
    emails = parameters.get("alertEmails") or []
    if not isinstance(emails, list) or not all(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(mail)) for mail in emails):
        found["alertEmails"] = "must be a list of mail addresses"
    if parameters.get("budgetAmount"):
        if not emails:
            found["budgetAmount"] = "needs alertEmails"
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-01", str(parameters.get("budgetStartDate", ""))):
            found["budgetStartDate"] = "must be the first day of a month, yyyy-MM-01"
    return found


def parameters_of(document: str) -> dict[str, object]:
    """Return name -> value from the compiler's output or from a plain parameters file.

    Raises:
        ValueError: the document is neither.
    """
    data = json.loads(document)
    if isinstance(data, dict) and isinstance(data.get("parametersJson"), str):
        data = json.loads(data["parametersJson"])
    if not isinstance(data, dict) or not isinstance(data.get("parameters"), dict):
        raise ValueError("no parameters in it")  # noqa: TRY004  a wrong document, not a wrong call
    return {name: entry.get("value") for name, entry in data["parameters"].items()}


def main(arguments: list[str]) -> int:
    """Check the file given, or standard input."""
    try:
        document = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.read()
        found = faults(parameters_of(document))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"check_params: cannot read the parameters: {error}\n")
        return 2
    for name, fault in sorted(found.items()):
        sys.stderr.write(f"wrong parameter {name}: {fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
