"""Reading `scope`: which resource a request is for, which of its permissions, and which OpenID scopes come along."""

from __future__ import annotations

from dataclasses import dataclass

from local.emulators.entra.directory import RESOURCES, Application
from local.emulators.entra.errors import LoginRefused, missing_parameter, unknown_resource, wrong_scope

OPENID_SCOPES = ("openid", "profile", "email", "offline_access")


@dataclass(frozen=True, slots=True)
class Scopes:
    """A `scope` field, read."""

    resource: str  # e.g. https://api.businesscentral.dynamics.com; empty when only OpenID scopes were asked for
    permissions: tuple[str, ...]  # what the token may do there
    openid: tuple[str, ...]


def delegated_scopes(scope: str, application: Application, tenant_id: str) -> Scopes:
    """Read the scopes of a request on behalf of a user; `.default` stands for every permission consented to.

    Raises:
        LoginRefused: none, of two resources at once, of an unknown resource, or not a permission of the application.
    """
    words = scope.split()
    if not words:
        raise missing_parameter("scope")
    openid = tuple(word for word in words if word in OPENID_SCOPES)
    resource = ""
    permissions: list[str] = []
    for word in words:
        if word in OPENID_SCOPES:
            continue
        of, permission = _split(word, tenant_id)
        if resource and of != resource:
            raise LoginRefused(
                "invalid_request",
                28000,
                "Provided value for the input parameter scope is not valid because it contains more than one resource. "
                f"Scope {scope} is not valid.",
            )
        resource = of
        if permission == ".default":
            permissions += application.delegated
        elif permission in application.delegated:
            permissions.append(permission)
        else:
            raise LoginRefused(
                "invalid_client",
                650053,
                f"The application '{application.display_name}' asked for scope '{permission}' that doesn't exist on "
                f"the resource '{of}'. Contact the app vendor.",
            )
    return Scopes(resource, tuple(dict.fromkeys(permissions)), openid)


def application_resource(scope: str, tenant_id: str) -> str:
    """Read the scope of a client credentials request, which must be `<resource>/.default`; give the resource.

    Raises:
        LoginRefused: anything else, or an unknown resource.
    """
    if not scope.strip():
        raise missing_parameter("scope")
    words = scope.split()
    if len(words) != 1 or not words[0].endswith("/.default"):
        raise LoginRefused(
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI).",
        )
    return _split(words[0], tenant_id)[0]


def _split(word: str, tenant_id: str) -> tuple[str, str]:
    resource, slash, permission = word.rpartition("/")
    if not slash or not resource or not permission:
        raise wrong_scope(word, "The scope format is invalid.")
    resource = resource.rstrip("/")  # some clients ask for "<resource>//.default"
    if resource not in RESOURCES:
        raise unknown_resource(resource, tenant_id)
    return resource, permission
