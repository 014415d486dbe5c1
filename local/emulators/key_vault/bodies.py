"""The JSON of the secrets API: what a request may change, and how a version or a deleted secret is shown."""

from __future__ import annotations

from collections.abc import Mapping

from local.emulators.key_vault.secrets import RECOVERABLE, Change, DeletedSecret, SecretVersion, VaultRefused


def change_from(body: Mapping[str, object]) -> Change:
    """Read attributes, tags and content type of a set or update.

    Raises:
        VaultRefused: a member has the wrong type.
    """
    attributes = body.get("attributes") or {}
    tags = body.get("tags")
    content_type = body.get("contentType")
    if not isinstance(attributes, dict):
        raise _wrong("attributes")
    if tags is not None and not (isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())):
        raise _wrong("tags")
    if content_type is not None and not isinstance(content_type, str):
        raise _wrong("contentType")
    enabled = attributes.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise _wrong("enabled")
    return Change(
        is_enabled=enabled,
        content_type=content_type,
        tags=tags,
        expires=_seconds(attributes, "exp"),
        not_before=_seconds(attributes, "nbf"),
    )


def secret_body(
    origin: str, name: str, held: SecretVersion, *, with_value: bool = True, with_version: bool = True
) -> dict[str, object]:
    """Give a secret bundle, or (without the value) a secret item of a list."""
    attributes: dict[str, object] = {
        "enabled": held.is_enabled,
        "created": int(held.created.timestamp()),
        "updated": int(held.updated.timestamp()),
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": RECOVERABLE.days,
    }
    if held.expires is not None:
        attributes["exp"] = held.expires
    if held.not_before is not None:
        attributes["nbf"] = held.not_before
    version = f"/{held.version}" if with_version else ""
    body: dict[str, object] = {"id": f"{origin}/secrets/{name}{version}", "attributes": attributes, "tags": held.tags}
    if with_value:
        body["value"] = held.value
    if held.content_type is not None:
        body["contentType"] = held.content_type
    return body


def deleted_body(origin: str, name: str, deleted: DeletedSecret) -> dict[str, object]:
    """Give a deleted secret bundle."""
    return {
        **secret_body(origin, name, deleted.versions[-1], with_value=False),
        "recoveryId": f"{origin}/deletedsecrets/{name}",
        "deletedDate": int(deleted.deleted_at.timestamp()),
        "scheduledPurgeDate": int(deleted.purge_at.timestamp()),
    }


def _seconds(attributes: Mapping[str, object], name: str) -> int | None:
    value = attributes.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _wrong(name)


def _wrong(name: str) -> VaultRefused:
    return VaultRefused(400, "BadParameter", f"Property {name} has an invalid value")
