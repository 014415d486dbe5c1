"""The app settings: which connections there are, and the names, defaults and rules of their settings (design 3.2).

A wrong set fails with every wrong name at once (P16). What is wrong with one connection stops that one alone.

Schedules are not read here: the host reads them, and one that it can't read stops one timer and not the app; see
`shared.operations.timers`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from shared import guid
from shared.business_central.entities import ENTITIES
from shared.connections.entity_entries import CHANGES
from shared.errors import ConfigError
from shared.forwarding.event_targets import QUEUE, read_target
from shared.ncrontab import ncrontab_fault
from shared.resource_names import DEFAULT_CONNECTION
from shared.settings import MAX_PAGE_ROWS, AuthMode, EnvReader, Settings

#: Name -> default (None: required). The README's table, `local.settings.json.example` and `infra/` name the same set.
DEFAULTS: Final[dict[str, str | None]] = {
    "AzureWebJobsStorage": None,
    "KEY_VAULT_URL": None,
    "TOKEN_VAULT_URL": "",
    "BC_CONNECTIONS": "",
    "BC_TENANT_ID": None,
    "BC_ENVIRONMENT": "production",
    "BC_COMPANIES": "*",
    "BC_CLIENT_ID": None,
    "BC_AUTH_MODE": "authorization_code",
    "BC_READER_CLIENT_ID": "",
    "BC_API_URL": "https://api.businesscentral.dynamics.com",
    "BC_LOGIN_URL": "https://login.microsoftonline.com",
    "PUBLIC_URL": "https://%WEBSITE_HOSTNAME%",
    "CA_BUNDLE": "",
    "BC_ITEM_PULL_SCHEDULE": "0 */15 * * * *",
    "BC_RECONCILE_SCHEDULE": "0 7-59/15 * * * *",
    "BC_SUBSCRIPTION_SCHEDULE": "0 */15 * * * *",
    **{entity.option: "true" for entity in ENTITIES.values() if entity.option},
    "BC_TRIGGERS": ",".join(ENTITIES),
    "BC_CHANGES": "created",
    "BC_ENTITIES": "",
    "BC_PAGE_ROWS": "2000",
    "BC_EVENTS_TO": QUEUE,
    "BC_KEEP_ORDERS_DAYS": "90",
    "BC_RENAMED_FROM": "",
}

_SCHEDULES: Final = ("BC_ITEM_PULL_SCHEDULE", "BC_RECONCILE_SCHEDULE", "BC_SUBSCRIPTION_SCHEDULE")
#: What belongs to the deployment and bears no prefix.
OF_DEPLOYMENT: Final = frozenset(
    {"BC_CONNECTIONS", "BC_EVENTS_TO", "BC_KEEP_ORDERS_DAYS", *_SCHEDULES}
    | {name for name in DEFAULTS if name[:3] != "BC_"}
)
_ID: Final = re.compile(r"[a-z][a-z0-9]{0,15}")
_ID_RULE: Final = "a letter a-z, then up to 15 letters a-z and digits"
_PREFIXED: Final = re.compile(r"([A-Za-z0-9_]*?[A-Za-z0-9])__(BC_[A-Za-z_]+|PUBLIC_URL|KEY_VAULT_URL|TOKEN_VAULT_URL)")
_TENANT: Final = rf"{guid.PATTERN}|([A-Za-z0-9-]+\.)+[A-Za-z]{{2,}}"
_ENVIRONMENT: Final = r"[A-Za-z0-9_-]{1,30}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """What the settings say of all connections; each id is in one of the two."""

    able: Mapping[str, Settings]  # connections that can work, by id
    refused: Mapping[str, ConfigError]  # why the others can't
    strays: Mapping[str, str]  # settings that no connection reads, and why


def read_connections(env: Mapping[str, str]) -> ConnectionSettings:
    """Read and check the settings of every connection.

    Raises:
        ConfigError: none can work; names every wrong setting with its rule.
    """
    ids, refused = _ids(env)
    able: dict[str, Settings] = {}
    for one in ids:
        try:
            settings = read_settings(env, one, ids)
            _refuse_twin(settings, able)
        except ConfigError as error:
            refused[one] = error
        else:
            able[one] = settings
    if not able:
        raise ConfigError({name: rule for error in refused.values() for name, rule in error.faults.items()})
    return ConnectionSettings(able=able, refused=refused, strays=dict(_strays(env, ids)))


def _ids(env: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, ConfigError]]:
    """Return the ids that may be one, and why the others are none."""
    entries = [entry.strip() for entry in env.get("BC_CONNECTIONS", "").split(",") if entry.strip()]
    if not entries:
        return (DEFAULT_CONNECTION,), {}
    ids = tuple(dict.fromkeys(entry for entry in entries if _ID.fullmatch(entry)))
    wrong = [number for number, entry in enumerate(entries, 1) if not _ID.fullmatch(entry)]
    # the entry itself may be anything that was pasted there, so it is named by its place
    return ids, {f"#{at}": ConfigError({"BC_CONNECTIONS": f"entry {at} must be {_ID_RULE}"}) for at in wrong}


def is_id(text: str) -> bool:
    """Return whether a connection may be called so."""
    return _ID.fullmatch(text) is not None


def _prefix(connection: str) -> str:
    return f"{connection.upper()}__"


def setting_name(env: Mapping[str, str], connection: str, name: str) -> str:
    """Return the name under which an operator has set a setting of a connection."""
    prefixed = f"{_prefix(connection)}{name}"
    is_own = name not in OF_DEPLOYMENT and env.get("BC_CONNECTIONS", "").strip() and env.get(prefixed, "").strip()
    return prefixed if is_own else name


def _refuse_twin(settings: Settings, others: Mapping[str, Settings]) -> None:
    """Refuse a connection to what another one is connected to: everything would be announced twice."""
    for other in others.values():
        if place_of(other) == place_of(settings):
            rule = f"names the same environment and application as connection {other.id}"
            raise ConfigError({f"{_prefix(settings.id)}BC_ENVIRONMENT": rule})


def place_of(settings: Settings) -> tuple[str, str, str]:
    """Return what a connection is connected to, as it is written: tenant, environment, application."""
    return settings.tenant_id.lower(), settings.environment.lower(), settings.client_id.lower()


def _strays(env: Mapping[str, str], ids: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield settings that look like those of a connection and are read by none."""
    prefixes = {_prefix(one) for one in ids} if env.get("BC_CONNECTIONS", "").strip() else set()
    for setting in sorted(env):
        found = _PREFIXED.fullmatch(setting)
        if found is None:
            continue
        prefix, name = f"{found[1]}__", found[2]
        if prefix not in prefixes:
            yield setting, f"has the prefix of no connection; BC_CONNECTIONS names {', '.join(ids)}"
        elif name in OF_DEPLOYMENT:
            yield setting, f"has no effect: {name} belongs to the deployment and bears no prefix"
        elif name not in DEFAULTS:
            near = get_close_matches(name, DEFAULTS, n=1)
            yield setting, f"is no setting{f'; did you mean {prefix}{near[0]}?' if near else ''}"


def read_settings(
    env: Mapping[str, str], connection: str = DEFAULT_CONNECTION, ids: tuple[str, ...] = (DEFAULT_CONNECTION,)
) -> Settings:
    """Read and check the settings of one connection; without BC_CONNECTIONS there is one, made of the plain names.

    Raises:
        ConfigError: names every wrong setting with its rule.
    """
    prefix = _prefix(connection) if env.get("BC_CONNECTIONS", "").strip() else ""
    read = EnvReader(env, DEFAULTS, prefix, OF_DEPLOYMENT)
    settings = Settings(
        id=connection,
        ids=ids,
        storage=read.storage(),
        key_vault_url=read.url("KEY_VAULT_URL"),
        token_vault_url=read.url("TOKEN_VAULT_URL" if env.get("TOKEN_VAULT_URL", "").strip() else "KEY_VAULT_URL"),
        tenant_id=read.match("BC_TENANT_ID", _TENANT, "a tenant GUID or a verified domain such as lmints.io"),
        environment=read.match("BC_ENVIRONMENT", _ENVIRONMENT, "1 to 30 letters, digits, - or _"),
        companies=read.names("BC_COMPANIES"),
        client_id=read.match("BC_CLIENT_ID", guid.PATTERN, "the application (client) id, a GUID"),
        auth_mode=AuthMode(read.choice("BC_AUTH_MODE", tuple(AuthMode))),
        api_url=read.url("BC_API_URL"),
        login_url=read.url("BC_LOGIN_URL"),
        public_url=read.url("PUBLIC_URL"),
        ca_bundle=read.text("CA_BUNDLE") or None,
        triggers=read.subset("BC_TRIGGERS", tuple(ENTITIES)),
        expanded=frozenset([entity.name for entity in ENTITIES.values() if entity.option and read.flag(entity.option)]),
        changes=frozenset(read.subset("BC_CHANGES", CHANGES)),
        page_rows=read.whole("BC_PAGE_ROWS", 1, MAX_PAGE_ROWS),
        entities=read.text("BC_ENTITIES"),  # a wrong entry stops no other: `entity_entries` reads it
        events_to=read.valid("BC_EVENTS_TO", read_target),
        keep_orders_days=read.whole("BC_KEEP_ORDERS_DAYS", 1, 3650),
        reader_client_id=read.match("BC_READER_CLIENT_ID", f"({guid.PATTERN})?", "another application's client id"),
        renamed_from=read.match("BC_RENAMED_FROM", f"({_ENVIRONMENT})?", "an earlier name of the environment"),
    )
    if settings.reader_client_id.lower() == settings.client_id.lower() != "":
        rule = "must be another application than BC_CLIENT_ID, whose limits it would share"
        read.faults[read.named("BC_READER_CLIENT_ID")] = rule
    if read.faults:
        raise ConfigError(read.faults)
    return settings


def schedule_faults(env: Mapping[str, str]) -> dict[str, str]:
    """Return setting -> what is wrong with its schedule; a missing one is given its default by a deployment.

    Before a deployment such a schedule is refused (`scripts/check_params.py`); in an app that runs it is a finding.
    """
    found: dict[str, str] = {}
    for name in _SCHEDULES:
        fault = ncrontab_fault(env.get(name, "").strip() or str(DEFAULTS[name]))
        if fault:
            found[name] = f"must be NCRONTAB of six fields (second minute hour day month weekday): {fault}"
    return found
