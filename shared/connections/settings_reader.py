"""The app settings: names, defaults and rules. A wrong set fails with every wrong name at once (P16).

Schedules are not read here: the host reads them, and one that it can't read stops one timer and not the app; see
`shared.operations.timers`.
"""

from collections.abc import Mapping
from typing import Final

from shared import guid
from shared.business_central.entities import ENTITIES
from shared.connections.entity_entries import CHANGES
from shared.errors import ConfigError
from shared.forwarding.event_targets import QUEUE, read_target
from shared.ncrontab import ncrontab_fault
from shared.settings import MAX_PAGE_ROWS, AuthMode, EnvReader, Settings

#: Name -> default (None: required). The README's table, `local.settings.json.example` and `infra/` name the same set.
DEFAULTS: Final[dict[str, str | None]] = {
    "AzureWebJobsStorage": None,
    "KEY_VAULT_URL": None,
    "TOKEN_VAULT_URL": "",
    "BC_TENANT_ID": None,
    "BC_ENVIRONMENT": "production",
    "BC_COMPANIES": "*",
    "BC_CLIENT_ID": None,
    "BC_AUTH_MODE": "authorization_code",
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
    "BC_STATE_NAME": "",
}

_SCHEDULES: Final = ("BC_ITEM_PULL_SCHEDULE", "BC_RECONCILE_SCHEDULE", "BC_SUBSCRIPTION_SCHEDULE")
_TENANT: Final = rf"{guid.PATTERN}|([A-Za-z0-9-]+\.)+[A-Za-z]{{2,}}"
_ENVIRONMENT: Final = r"[A-Za-z0-9_-]{1,30}"
_STATE: Final = rf"(({_TENANT})\.{_ENVIRONMENT})?"


def read_settings(env: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Raises:
        ConfigError: names every wrong setting with its rule.
    """
    read = EnvReader(env, DEFAULTS)
    settings = Settings(
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
        state_name=read.match("BC_STATE_NAME", _STATE, "<tenant>.<environment> as an earlier setting had them").lower(),
    )
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
