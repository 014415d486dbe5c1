"""The secrets of one vault: versions, attributes, soft delete. No HTTP here; times and ids come in or are made here.

https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

MAX_VALUE_BYTES = 25_600  # 25 KB
NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
RECOVERABLE = timedelta(days=90)


class VaultRefused(Exception):
    """What the vault refuses, with the HTTP status and code it answers with."""

    def __init__(self, status: int, code: str, message: str, *, inner: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.inner = inner


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVersion:
    """One version of a secret."""

    version: str  # 32 hex digits
    value: str = field(repr=False)
    created: datetime
    updated: datetime
    is_enabled: bool = True
    content_type: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    expires: int | None = None  # seconds since 1970; the vault reports it and does not enforce it on reads
    not_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedSecret:
    """A deleted secret that can still be recovered."""

    versions: list[SecretVersion]
    deleted_at: datetime

    @property
    def purge_at(self) -> datetime:
        """When the vault forgets it by itself."""
        return self.deleted_at + RECOVERABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a set or update gives; None leaves an attribute as it is."""

    is_enabled: bool | None = None
    content_type: str | None = None
    tags: dict[str, str] | None = None
    expires: int | None = None
    not_before: int | None = None

    def apply(self, to: SecretVersion) -> SecretVersion:
        """Give the version with the change made."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__ if getattr(self, name) is not None}
        return replace(to, **given)


class Secrets:
    """All secrets, current and deleted. Names are compared without case, as the vault does."""

    def __init__(self) -> None:
        self._live: dict[str, list[SecretVersion]] = {}  # newest last
        self._deleted: dict[str, DeletedSecret] = {}
        self._spelling: dict[str, str] = {}

    def put(self, name: str, value: str, change: Change, *, now: datetime) -> SecretVersion:
        """Add a version.

        Raises:
            VaultRefused: a bad name, a value above 25 KB, or a name that a deleted secret still holds (409).
        """
        if not NAME.fullmatch(name):
            raise VaultRefused(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise VaultRefused(
                400, "BadParameter", "The value of the secret is longer than the maximum allowed size of 25k bytes."
            )
        key = name.lower()
        if key in self._deleted:
            raise VaultRefused(
                409,
                "Conflict",
                f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in "
                "this state, the secret can only be recovered or purged.",
                inner="ObjectIsDeletedButRecoverable",
            )
        added = change.apply(SecretVersion(version=uuid.uuid4().hex, value=value, created=now, updated=now))
        self._live.setdefault(key, []).append(added)
        self._spelling.setdefault(key, name)
        return added

    def get(self, name: str, version: str = "") -> SecretVersion:
        """Give a version, or the newest.

        Raises:
            VaultRefused: 404 when there is none, 403 when it is disabled.
        """
        found = self._find(name, version)
        if not found.is_enabled:
            raise VaultRefused(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled"
            )
        return found

    def update(self, name: str, version: str, change: Change, *, now: datetime) -> SecretVersion:
        """Change attributes of a version, or of the newest.

        Raises:
            VaultRefused: 404 when there is none.
        """
        found = self._find(name, version)
        changed = replace(change.apply(found), updated=now)
        versions = self._live[name.lower()]
        versions[versions.index(found)] = changed
        return changed

    def versions(self, name: str) -> list[SecretVersion]:
        """List the versions, newest first; an unknown name gives none."""
        return list(reversed(self._live.get(name.lower(), [])))

    def names(self) -> list[str]:
        """List the names, as first spelt."""
        return [self._spelling[key] for key in sorted(self._live)]

    def delete(self, name: str, *, now: datetime) -> DeletedSecret:
        """Delete all versions, recoverably.

        Raises:
            VaultRefused: 404 when there is none.
        """
        self._find(name, "")
        deleted = DeletedSecret(versions=self._live.pop(name.lower()), deleted_at=now)
        self._deleted[name.lower()] = deleted
        return deleted

    def deleted(self, name: str) -> DeletedSecret:
        """Give a deleted secret.

        Raises:
            VaultRefused: 404 when there is none.
        """
        found = self._deleted.get(name.lower())
        if found is None:
            raise VaultRefused(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return found

    def recover(self, name: str) -> SecretVersion:
        """Bring a deleted secret back; give its newest version.

        Raises:
            VaultRefused: 404 when there is none.
        """
        versions = self.deleted(name).versions
        del self._deleted[name.lower()]
        self._live[name.lower()] = versions
        return versions[-1]

    def purge(self, name: str) -> None:
        """Forget a deleted secret for good.

        Raises:
            VaultRefused: 404 when there is none.
        """
        self.deleted(name)
        del self._deleted[name.lower()]
        self._spelling.pop(name.lower(), None)

    def _find(self, name: str, version: str) -> SecretVersion:
        for held in reversed(self._live.get(name.lower(), [])):
            if version in {"", held.version}:
                return held
        raise VaultRefused(
            404,
            "SecretNotFound",
            f"A secret with (name/id) {name}{'/' if version else ''}{version} was not found in this key vault. If you "
            "recently deleted this secret you may be able to recover it using the correct recovery command. For help "
            "resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
        )
