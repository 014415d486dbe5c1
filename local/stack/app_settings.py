"""The app settings of a local stack: where each emulator is, under the names the app reads in Azure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from shared.connections.settings_reader import DEFAULTS

# what a developer's own machine may hold and the app must not take from it: other settings, other identities, other CAs
FOREIGN_NAMES = {
    *DEFAULTS,
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "WEBSITE_HOSTNAME",
}
FOREIGN_PREFIXES = ("AZURE_", "AzureWebJobs", "AzureFunctions", "IDENTITY_", "MSI_", "FUNCTIONS_", "BC_")
PROXY_NAMES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Give an environment without what would lead a child of the stack away from it."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in FOREIGN_NAMES and not name.startswith(FOREIGN_PREFIXES) and name.lower() not in PROXY_NAMES
    }
    return {**kept, "NO_PROXY": "localhost,127.0.0.1", "PYTHONUNBUFFERED": "1"}


def app_settings(
    *,
    storage: str,
    vault_url: str,
    tenant: str,
    client_id: str,
    api_url: str,
    login_url: str,
    public_url: str,
    ca_file: Path,
    identity_endpoint: str,
    identity_header: str,
) -> dict[str, str]:
    """Give the settings; what the app has a default for is set to it, as schedules must be set for the host."""
    return {
        **{name: default for name, default in DEFAULTS.items() if default},
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": "36",  # as infra/ sets it
        "AzureWebJobsStorage": storage,
        "KEY_VAULT_URL": vault_url,
        "BC_TENANT_ID": tenant,
        "BC_CLIENT_ID": client_id,
        "BC_API_URL": api_url,
        "BC_LOGIN_URL": login_url,
        "PUBLIC_URL": public_url,
        "CA_BUNDLE": str(ca_file),
        "IDENTITY_ENDPOINT": identity_endpoint,
        "IDENTITY_HEADER": identity_header,
    }


def write_settings(path: Path, values: Mapping[str, str], *, port: int) -> None:
    """Write a `local.settings.json` that only its owner can read."""
    content = {"IsEncrypted": False, "Values": dict(values), "Host": {"LocalHttpPort": port}}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)
