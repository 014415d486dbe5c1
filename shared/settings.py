"""The settings as values, and the reader of one value after the other, which gathers the faults.

Owns no name, default or rule of a setting: those are in `shared.connections.settings_reader`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from shared.resource_names import DEFAULT_CONNECTION, secret_of

MAX_PAGE_ROWS: Final = 20_000  # Business Central serves no larger page (OData, server-driven paging)


class AuthMode(StrEnum):
    """How the app signs in to Business Central."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_SECRET = "client_secret"
    MANAGED_IDENTITY = "managed_identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where the tables are: a connection string, or an endpoint reached with the app's own identity."""

    connection_string: str = field(repr=False)  # secret; empty when the identity form is used
    table_endpoint: str  # https URL; empty when a connection string is used
    client_id: str  # of the user-assigned identity; empty: system-assigned or a developer's own login


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one connection and of its deployment, checked; the meaning of each is in the README's table."""

    id: str = DEFAULT_CONNECTION  # the connection's, which an operator chose
    ids: tuple[str, ...] = (DEFAULT_CONNECTION,)  # of all connections of the deployment, in their order
    storage: StorageSettings
    key_vault_url: str
    token_vault_url: str  # where bc-token-cache is kept; the same vault unless one of its own is named
    tenant_id: str
    environment: str
    companies: tuple[str, ...]  # ids or names as configured; ("*",) means all
    client_id: str
    auth_mode: AuthMode
    api_url: str
    login_url: str
    public_url: str
    ca_bundle: str | None  # path of a PEM file
    triggers: tuple[str, ...]  # entity sets that are watched
    expanded: frozenset[str]  # entity sets whose records are read with their variants or lines
    changes: frozenset[str]
    page_rows: int
    entities: str = ""  # further entities, or other options of those that the app brings along: JSON, read elsewhere
    events_to: str = field(default="queue", repr=False)  # `queue`, or the address of a receiver: may hold a secret
    keep_orders_days: int = 90  # after which what an order that ended held goes
    reader_client_id: str = ""  # a second application that reads pages; "": there is none
    renamed_from: str = ""  # an earlier name of the environment, whose state goes on
    state: str = ""  # as `shared.connections.state_owner` found it; "": the connection's first day
    tenant_guid: str = ""  # GUID of the tenant, where that is known
    first_url: str = ""  # the environment's URL on the connection's first day, of which event ids are made

    @property
    def connection(self) -> str:
        """Name of the connection's state, the first part of every partition key.

        It is the id. The state of `default` is named by tenant and environment as they were on its first day, as the
        last release does it, which must find it after a rollback.
        """
        if self.state or self.id != DEFAULT_CONNECTION:
            return self.state or self.id
        return f"{self.tenant_id.lower()}.{self.environment.lower()}"

    @property
    def identity(self) -> str:
        """Name of who asks Business Central, whose requests it counts together: a person or the app, in a tenant."""
        who = "person" if self.auth_mode is AuthMode.AUTHORIZATION_CODE else "app"
        return f"{self.tenant_guid or self.tenant_id.lower()}|{self.client_id.lower()}|{who}"

    @property
    def reader_identity(self) -> str:
        """Name of the reader, which signs in as itself, as `identity`; "" where there is none."""
        if not self.reader_client_id:
            return ""
        return replace(self, client_id=self.reader_client_id, auth_mode=AuthMode.CLIENT_SECRET).identity

    def secret(self, name: str) -> str:
        """Return the name under which the vault keeps a secret of this connection."""
        return secret_of(name, self.id)


_TRUE_FALSE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


#: One entry of a comma list, in double quotes (doubled inside) or as it is, and the blanks around it.
_ENTRY = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s](?:[^,]*[^,\s])?|))\s*(?=,|$)')


#: A name in ASCII (underscores stand in names of networks of one's own), or an IPv6 address without its brackets.
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class EnvReader:
    """Reads names from the environment and gathers the faults instead of stopping at the first.

    With a prefix it reads the settings of one connection: `EU__BC_TENANT_ID`, and where that is not set the plain name.
    A fault bears the name that was read, so that what is wrong for all connections is one fault.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        defaults: Mapping[str, str | None],
        prefix: str = "",
        plain: frozenset[str] = frozenset(),
    ) -> None:
        """Take name -> default; None: the setting is required. `plain` names bear no prefix."""
        self._env = env
        self._defaults = defaults
        self._prefix = prefix
        self._plain = plain
        self.faults: dict[str, str] = {}

    def text(self, name: str) -> str:
        """Return the trimmed value or the default; a missing required setting is a fault."""
        value = self._env.get(self.named(name), "").strip()
        if value:
            return value
        default = self._defaults[name]
        if default is None:
            is_own = self._prefix and name not in self._plain
            rule = f"is required, or {name} for all connections" if is_own else "is required"
            self.faults[f"{self._prefix}{name}" if is_own else name] = rule
            return ""
        return default

    def named(self, name: str) -> str:
        """Return the name under which a setting is set: with the prefix if there is one, else the plain one."""
        prefixed = f"{self._prefix}{name}"
        return prefixed if name not in self._plain and self._env.get(prefixed, "").strip() else name

    def _checked[T](self, name: str, convert: Callable[[str], T], fallback: T) -> T:
        value = self.text(name)
        if not value and self._defaults[name] is None:
            return fallback  # a fault already
        try:
            return convert(value)
        except ValueError as error:
            self.faults[self.named(name)] = f"must be {error}"
            return fallback

    def valid(self, name: str, check: Callable[[str], object]) -> str:
        """Return a text that `check` takes; its ValueError says what the value must be."""

        def convert(value: str) -> str:
            check(value)
            return value

        return self._checked(name, convert, "")

    def match(self, name: str, pattern: str, rule: str) -> str:
        """Return a value that matches the whole pattern."""

        def convert(value: str) -> str:
            if not re.fullmatch(pattern, value):
                raise ValueError(rule)
            return value

        return self._checked(name, convert, "")

    def url(self, name: str) -> str:
        """Return an https origin as URLs compare (RFC 6454, 6.2): host in lower case, no default port, no slash.

        `%WEBSITE_HOSTNAME%` is filled in.
        """

        def convert(value: str) -> str:
            if "%WEBSITE_HOSTNAME%" in value:
                host = self._env.get("WEBSITE_HOSTNAME", "").strip()
                if not host:
                    raise ValueError("set where WEBSITE_HOSTNAME is not (outside Azure)")
                value = value.replace("%WEBSITE_HOSTNAME%", host)
            return _origin(value)

        return self._checked(name, convert, "")

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""

        def convert(value: str) -> str:
            if value not in allowed:
                raise ValueError(f"one of {', '.join(allowed)}")
            return value

        return self._checked(name, convert, allowed[0])

    def names(self, name: str) -> tuple[str, ...]:
        """Return a comma list with at least one entry; one that holds a comma stands in double quotes (RFC 4180, 2)."""

        def convert(value: str) -> tuple[str, ...]:
            entries, end = [], 0
            while end <= len(value):
                found = _ENTRY.match(value, end)
                if found is None:
                    raise ValueError('a comma list; an entry that holds a comma or begins with " in double quotes')
                entries.append(found[1].replace('""', '"') if found[1] is not None else found[2])
                end = found.end() + 1
            if not any(entries):
                raise ValueError("a comma list with at least one entry")
            return tuple(entry for entry in entries if entry)

        return self._checked(name, convert, ())

    def subset(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return a comma list whose entries are all allowed, in the order of `allowed`."""

        def convert(value: str) -> tuple[str, ...]:
            entries = {entry.strip() for entry in value.split(",") if entry.strip()}
            if not entries or not entries <= set(allowed):
                raise ValueError(f"a comma list of {', '.join(allowed)}")
            return tuple(entry for entry in allowed if entry in entries)

        return self._checked(name, convert, ())

    def flag(self, name: str) -> bool:
        """Return true or false."""

        def convert(value: str) -> bool:
            if value.lower() not in _TRUE_FALSE:
                raise ValueError("true or false")
            return _TRUE_FALSE[value.lower()]

        return self._checked(name, convert, False)

    def whole(self, name: str, low: int, high: int) -> int:
        """Return a whole number in [low, high]."""

        def convert(value: str) -> int:
            if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
                raise ValueError(f"a whole number from {low} to {high}")
            return int(value)

        return self._checked(name, convert, low)

    def storage(self) -> StorageSettings:
        """Return the connection string, or the identity form `AzureWebJobsStorage__accountName` and its companions."""
        name = "AzureWebJobsStorage"
        connection_string = self._env.get(name, "").strip()
        account = self._env.get(f"{name}__accountName", "").strip()
        endpoint = self._env.get(f"{name}__tableServiceUri", "").strip()
        if not endpoint and account:
            endpoint = f"https://{account}.table.core.windows.net"
        if not connection_string and not endpoint:
            self.faults[name] = "is required: a connection string, or AzureWebJobsStorage__accountName for an identity"
        client_id = self._env.get(f"{name}__clientId", "").strip()
        return StorageSettings(
            connection_string=connection_string, table_endpoint=endpoint.rstrip("/"), client_id=client_id
        )


def is_host(name: str) -> bool:
    """Return whether every reader of URLs takes it for a host: a name or an address, and nothing that could end one.

    A backslash ends the host for `requests` and not for `urlsplit`, and `%2e` is a dot for one of them (WHATWG URL,
    "forbidden host code points").
    """
    return _HOST.fullmatch(name) is not None


def _origin(value: str) -> str:
    fault = "an https URL such as https://example.com"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(fault) from None  # its text holds the value
    is_https = parts.scheme == "https" and is_host(parts.hostname or "") and "@" not in parts.netloc
    if not parts.hostname or not is_https or parts.query or parts.fragment:
        raise ValueError(fault)
    if parts.path.strip("/"):
        raise ValueError("an https URL without a path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port in {None, 443} else f"https://{host}:{port}"
