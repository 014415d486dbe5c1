"""App settings that a person gives a stack, by `--set NAME=VALUE` or as `LOCAL_<NAME>` in the environment.

Checked before anything starts, by the rules of the app itself: a name that no setting has is refused with the nearest
right one. Settings of the developer's own machine without the prefix are not taken (`app_settings.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from local.stack.ports import DEFAULT_PORTS
from shared.connections.entity_entries import SETTING, read_entries
from shared.connections.settings_reader import DEFAULTS, read_settings, schedule_faults
from shared.errors import ConfigError

PREFIX = "LOCAL_"
#: Variables of the stack and its host themselves, beside those of settings.
OWN = (
    *(f"{PREFIX}{name.upper()}_PORT" for name in DEFAULT_PORTS),
    *(f"{PREFIX}HOST_{name}" for name in (
        "FUNCTION_KEY", "MASTER_KEY", "KILL_AT", "LEASE_S", "OUTPUT_ORDER", "TELL_STARTS",
    )),
)  # fmt: skip
#: Names that the host or the worker reads, not the app.
OTHERS = (
    "AzureWebJobs.",
    "AzureFunctionsJobHost__",
    "AzureWebJobsStorage__",
    "FUNCTIONS_",
    "LOCAL_HOST_",
    "PYTHON",
    "WEBSITE_",
)
#: Stands in for what the stack itself sets, only to have the rest checked.
_STACK = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "KEY_VAULT_URL": "https://localhost:1",
    "BC_TENANT_ID": "example.com",
    "BC_CLIENT_ID": "00000000-0000-0000-0000-000000000000",
    "PUBLIC_URL": "https://localhost:1",
}


class WrongSettings(Exception):
    """Settings that a stack can't run with; a line for each."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Take the lines."""
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


def given(pairs: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are given, those of `pairs` over those of the environment.

    Raises:
        WrongSettings: names each that is misspelt or breaks its rule.
    """
    unprefixed = {name[len(PREFIX) :]: value for name, value in environment.items() if name.startswith(PREFIX)}
    found = {name: value for name, value in unprefixed.items() if name.startswith("BC_") or name in DEFAULTS}
    faults = [f"'{pair}' is not NAME=VALUE" for pair in pairs if "=" not in pair]
    found |= dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    faults += filter(None, map(_fault_of_name, found))
    faults += filter(None, map(_fault_of_variable, environment))
    known = {name: value for name, value in found.items() if not _fault_of_name(name)}
    try:
        read_settings({**_STACK, **known})
    except ConfigError as error:
        faults += [f"{name} {rule}" for name, rule in error.faults.items()]
    faults += [f"{name} {rule}" for name, rule in schedule_faults(known).items()]
    faults += read_entries(known.get(SETTING, ""))[1]
    if faults:
        raise WrongSettings(faults)
    return found


def _fault_of_variable(name: str) -> str:
    """Return the fault of a variable that is nearly one of the stack's; others may be somebody else's."""
    near = difflib.get_close_matches(name, OWN, 1, cutoff=0.85) if name.startswith(PREFIX) and name not in OWN else []
    return f"{name} is not a variable of the local stack; did you mean {near[0]}?" if near else ""


def _fault_of_name(name: str) -> str:
    own = name.rpartition("__")[2] if not name.startswith(OTHERS) else name
    if own in DEFAULTS or name.startswith(OTHERS):
        return ""
    near = difflib.get_close_matches(own.upper(), [*DEFAULTS], 1, cutoff=0.6)
    hint = f"; did you mean {name.removesuffix(own)}{near[0]}?" if near else "; the README lists them"
    return f"{name} is not a setting of this app{hint}"
