#!/usr/bin/env python3
"""Check template parameters, the app's own settings check included, before anything is created in Azure.

    check_params.py [--print] [FILE]

FILE is a `.bicepparam` file, which is compiled with the bicep found on this machine, or what
`bicep build-params FILE --stdout` prints, or a plain parameters file; without FILE standard input is read. Names every
wrong parameter at once on standard error. Bicep checks types, lengths and closed sets by itself; this adds what it
cannot express: NCRONTAB, GUIDs, names, networks, dates, lists, and parameters that need each other. With `--print`
the values go to standard output. Exit status: 0 all good, 1 wrong parameters, 2 unreadable input.

Two environment variables say what no parameter can: ENTRA_APP_ENABLED=true that the registration is made before the
resources, so that there is no client id yet; BUDGET_SINCE the month in which the budget was made, if it exists.
"""

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.connections.entity_entries import read_entries  # noqa: E402
from shared.connections.settings_reader import DEFAULTS, read_connections, schedule_faults  # noqa: E402
from shared.errors import ConfigError  # noqa: E402

#: Settings that the template makes from resources; any well-formed value does for the check.
FROM_RESOURCES = {
    "AzureWebJobsStorage__accountName": "checked",
    "KEY_VAULT_URL": "https://checked.example",
    "TOKEN_VAULT_URL": "https://tokens.example",
    "WEBSITE_HOSTNAME": "checked.example",
}
ANY_GUID = "00000000-0000-0000-0000-000000000000"
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Parameters for which empty text means something; any other setting would quietly take its default.
MAY_BE_EMPTY = {"bcClientId", "bcTenantId", "bcLoginUrl", "bcReaderClientId", "bcRenamedFrom", "bcEntities"}

#: Text parameter -> (pattern of the whole value, rule in words).
PATTERNS = {
    "environmentName": (
        re.compile(r"[a-z][a-z0-9-]{0,22}[a-z0-9]"),
        "must be 2 to 24 lower-case letters, digits and hyphens, a letter first and no hyphen last",
    ),
    "resourceGroupName": (
        re.compile(r"[\w.()-]{0,89}[\w()-]"),
        "must be 1 to 90 letters, digits and -_.() without a point at the end",
    ),
    "operatorPrincipalId": (re.compile(rf"({GUID.pattern})?"), "must be the object id of the principal, a GUID"),
    "healthTestLocation": (re.compile(r"[a-z]+(-[a-z0-9]+)+"), "must be an id such as emea-nl-ams-azr"),
    "eventsReceiverId": (
        re.compile(
            r"(/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/"
            r"(Microsoft\.EventGrid/(topics|namespaces)/[^/\s]+|Microsoft\.ServiceBus/namespaces/[^/\s]+/(queues|topics)/[^/\s]+))?",
            re.IGNORECASE,
        ),
        "must be the resource id of an Event Grid topic or namespace, or of a Service Bus queue or topic",
    ),
    "runbookUrl": (re.compile(r"(https://\S+)?"), "must be an https URL"),
}
_VAULT_NAME = (re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]"), "3 to 24 letters, digits, single hyphens")
#: Name override -> the same for the resource's own name.
NAME_PATTERNS = {
    "identity": (re.compile(r"[A-Za-z0-9][\w-]{2,127}"), "3 to 128 letters, digits, hyphens, underscores"),
    "storageAccount": (re.compile(r"[a-z0-9]{3,24}"), "3 to 24 lower-case letters and digits"),
    "vault": _VAULT_NAME,
    "tokenVault": _VAULT_NAME,
    "workspace": (re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]"), "4 to 63 letters, digits, hyphens"),
    "component": (re.compile(r"[\w.()-]{0,254}[\w()-]"), "1 to 255 letters, digits and -_.()"),
    "plan": (re.compile(r"[A-Za-z0-9-]{1,60}"), "1 to 60 letters, digits, hyphens"),
    "functionApp": (re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]"), "2 to 60 letters, digits, hyphens"),
}
SMALLEST_NETWORK = 26  # halves of /27, the smallest subnet that Flex Consumption takes
FARTHEST_BUDGET_MONTHS = 12


def setting_name(parameter: str) -> str:
    """Return the app setting that a parameter becomes: bcPageRows -> BC_PAGE_ROWS."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).upper()


def faults(
    parameters: dict[str, object], *, today: date, registers: bool = False, budget_since: str = ""
) -> dict[str, str]:
    """Return parameter name -> what is wrong with it; parameters that are absent have their default in main.bicep.

    `registers`: the registration is made first, so an empty client id is right. `budget_since`: first day of the month
    in which the budget was made (empty: there is none); Azure takes no other date for it afterwards.
    """
    return (
        _setting_faults(parameters, registers=registers)
        | _text_faults(parameters)
        | _network_faults(parameters)
        | _watching_faults(parameters, today, budget_since)
    )


def _setting_faults(parameters: dict[str, object], *, registers: bool) -> dict[str, str]:
    """Return the faults that the app itself would find in its settings."""
    found: dict[str, str] = {}
    env = dict(FROM_RESOURCES)
    names = {setting_name(name): name for name in parameters}
    for name, value in parameters.items():
        if name == "bcConnections":
            env |= _of_connections(value)
        elif setting_name(name) in DEFAULTS:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            env[setting_name(name)] = text
            if not text.strip() and name not in MAY_BE_EMPTY:
                found[name] = "is empty"  # the app would quietly take the default
    env.setdefault("BC_TENANT_ID", "")
    env["BC_TENANT_ID"] = env["BC_TENANT_ID"] or ANY_GUID  # the tenant of the subscription
    if registers and not env.get("BC_CLIENT_ID"):
        env["BC_CLIENT_ID"] = ANY_GUID
    faults = schedule_faults(env)
    try:
        read = read_connections(env)
    except ConfigError as error:
        faults |= error.faults
    else:
        for refused in read.refused.values():
            faults |= refused.faults
        faults |= dict(read.strays)
    wrong = read_entries(env.get("BC_ENTITIES", ""))[1]
    if wrong:
        faults["BC_ENTITIES"] = "; ".join(wrong)
    for setting, rule in faults.items():
        found.setdefault(names.get(setting, _parameter_name(setting)), rule)
    return found


def _of_connections(value: object) -> dict[str, str]:
    """Return the settings that the template makes of the object of connections."""
    if not isinstance(value, dict) or not all(isinstance(own, dict) for own in value.values()):
        return {"BC_CONNECTIONS": "(no object)"}  # refused as no id
    own = {f"{one.upper()}__{name}": str(text) for one, held in value.items() for name, text in held.items()}
    return {"BC_CONNECTIONS": ",".join(value), **own}


def _parameter_name(setting: str) -> str:
    """Return the parameter of a setting: BC_CLIENT_ID -> bcClientId, EU__BC_URL -> bcConnections.eu.BC_URL."""
    connection, prefixed, own = setting.partition("__")
    if prefixed:
        return f"bcConnections.{connection.lower()}.{own}"
    first, *rest = setting.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def _text_faults(parameters: dict[str, object]) -> dict[str, str]:
    """Return the faults of names and ids, and of what they need."""
    found = {
        name: rule
        for name, (pattern, rule) in PATTERNS.items()
        if name in parameters and not pattern.fullmatch(str(parameters[name]))
    }
    given = parameters.get("nameOverrides") or {}
    if not isinstance(given, dict) or not set(given) <= set(NAME_PATTERNS):
        found["nameOverrides"] = f"must be an object with the names {', '.join(NAME_PATTERNS)}"
    else:
        wrong = [
            f"{name} must be {NAME_PATTERNS[name][1]}"
            for name, value in given.items()
            if value is not None and not NAME_PATTERNS[name][0].fullmatch(str(value))
        ]
        if given.get("vault") and given.get("vault") == given.get("tokenVault"):
            wrong.append("vault and tokenVault must differ")
        if wrong:
            found["nameOverrides"] = "; ".join(wrong)
    tags = parameters.get("tags") or {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        found["tags"] = "must be an object of texts"
    if parameters.get("zoneRedundant") is True and "ZRS" not in str(parameters.get("storageSku", "")):
        found["zoneRedundant"] = "needs storageSku Standard_ZRS or Standard_GZRS"
    return found


def _network_faults(parameters: dict[str, object]) -> dict[str, str]:
    """Return the faults of address ranges."""
    found: dict[str, str] = {}
    space = parameters.get("vnetAddressPrefix")
    if space is not None and not _is_range(str(space), smallest=SMALLEST_NETWORK, versions=(4,)):
        found["vnetAddressPrefix"] = f"must be an IPv4 network of /{SMALLEST_NETWORK} or larger, such as 10.40.0.0/24"
    addresses = parameters.get("allowedAddresses") or []
    if not isinstance(addresses, list) or not all(_is_range(str(entry)) for entry in addresses):
        found["allowedAddresses"] = "must be a list of IPv4 or IPv6 ranges such as 203.0.113.0/24 or 203.0.113.7/32"
    return found


def _is_range(text: str, *, smallest: int = 128, versions: tuple[int, ...] = (4, 6)) -> bool:
    """Say whether a text is a range in CIDR form that begins where its length says, and is no smaller than asked."""
    if "/" not in text:
        return False
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    return network.version in versions and network.prefixlen <= smallest


def _watching_faults(parameters: dict[str, object], today: date, budget_since: str) -> dict[str, str]:
    """Return the faults of the alert and budget parameters."""
    found: dict[str, str] = {}
    emails = parameters.get("alertEmails") or []
    if not isinstance(emails, list) or not all(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(mail)) for mail in emails):
        found["alertEmails"] = "must be a list of mail addresses"
    if parameters.get("budgetAmount"):
        if not emails:
            found["budgetAmount"] = "needs alertEmails"
        rule = _month_fault(str(parameters.get("budgetStartDate", "")), today, budget_since)
        if rule:
            found["budgetStartDate"] = rule
    return found


def _month_fault(start: str, today: date, since: str) -> str | None:
    """Return what is wrong with the first day of a budget, or None."""
    if since:
        return None if start == since else f"must stay {since}: a budget keeps the month in which it was made"
    if not re.fullmatch(r"2\d{3}-(0[1-9]|1[0-2])-01", start):
        return "must be the first day of a month, yyyy-MM-01"
    ahead = (int(start[:4]) - today.year) * 12 + int(start[5:7]) - today.month
    if ahead < 0:
        return f"is past: a new budget begins on {today:%Y-%m}-01 or later (one that is there: BUDGET_SINCE={start})"
    return None if ahead <= FARTHEST_BUDGET_MONTHS else "is more than twelve months ahead"


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


def compiler() -> list[str]:
    """Return the command that compiles the file named after it, with bicep itself, azd's copy or the Azure CLI's.

    Raises:
        ValueError: there is none.
    """
    azd = Path(os.environ.get("AZD_CONFIG_DIR") or Path.home() / ".azd") / "bin"
    bicep = shutil.which("bicep") or shutil.which("bicep", path=str(azd))
    if bicep:
        return [bicep, "build-params", "--stdout"]
    az = shutil.which("az")
    if az and subprocess.run([az, "bicep", "version"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return [az, "bicep", "build-params", "--stdout", "--file"]
    raise ValueError("bicep is missing: run 'az bicep install'")


def read(file: str | None) -> str:
    """Return the document behind FILE, compiled when it is a `.bicepparam` file.

    Raises:
        OSError, ValueError: it cannot be read or compiled.
    """
    if file is None:
        return sys.stdin.read()
    if not file.endswith(".bicepparam"):
        return Path(file).read_text(encoding="utf-8")
    if not Path(file).is_file():
        raise ValueError(f"no parameter file {file}")
    command = [*compiler(), file]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)  # noqa: S603
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        raise ValueError(f"{file} does not compile")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Check the file given, or standard input."""
    names = [argument for argument in arguments if argument != "--print"]
    try:
        parameters = parameters_of(read(names[0] if names else None))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"parameters: {error}\n")
        return 2
    found = faults(
        parameters,
        today=datetime.now(UTC).date(),
        registers=os.environ.get("ENTRA_APP_ENABLED", "").lower() == "true",
        budget_since=os.environ.get("BUDGET_SINCE", ""),
    )
    for name, fault in sorted(found.items()):
        sys.stderr.write(f"wrong parameter {name}: {fault}\n")
    if "--print" in arguments:
        sys.stdout.write(json.dumps({"parameters": {name: {"value": value} for name, value in parameters.items()}}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
