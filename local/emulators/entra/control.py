"""The control paths of the login, `/_emulator/...`: what a test or the demo does to the directory behind Entra's back.

| path | body | does |
|---|---|---|
| `POST reset` | | forgets sign-ins, faults, the request list and every change made here |
| `POST faults` | a `server.faults.Fault` of the Business Central emulator | scripts it; `DELETE faults` forgets them |
| `GET requests` | | lists what was asked, without secrets; `DELETE requests` empties the list |
| `POST signed-in` | `user` | whom the browser counts as signed in with; empty brings the page back |
| `POST revoke`, `POST expire` | `user` (optional) | revokes / lets expire the refresh tokens |
| `POST settings` | `token_lifetime_s`, `rotate`, `consented` | changes how tokens are given, in every tenant |
| `POST secrets` | `client_id`, `keep_old` | adds a client secret and gives it; the old ones stop working |
| `POST expire-secrets` | `client_id` | lets the client secrets expire |
| `POST redirect-uris` | `client_id`, `uri` | registers a redirect URI |

Users and applications are looked for in every tenant; without a client id the first tenant's first is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from business_central_emulator.server.exchange import Request, Response, json_response
from business_central_emulator.server.faults import Fault, Faults

from local.emulators.entra.directory import Application, ClientSecret, new_secret
from local.emulators.entra.grants import Grants
from local.emulators.entra.tenant import Tenant, registered

PREFIX = "/_emulator/"


class Control:
    """Answers the control paths of one login."""

    def __init__(self, *, tenants: list[Tenant], grants: Grants, faults: Faults) -> None:
        self._tenants = tenants
        self._grants = grants
        self._faults = faults
        self._actions: dict[str, Callable[[Mapping[str, object]], object]] = {
            "POST faults": self._add_fault,
            "DELETE faults": lambda _: self._faults.clear(),
            "POST signed-in": self._set_signed_in,
            "POST revoke": lambda fields: {"revoked": self._grants.revoke(self._user_id(fields))},
            "POST expire": lambda fields: {"expired": self._grants.expire(self._user_id(fields))},
            "POST settings": self._change_settings,
            "POST secrets": self._add_secret,
            "POST expire-secrets": self._expire_secrets,
            "POST redirect-uris": self._add_redirect_uri,
        }

    def answer(self, request: Request) -> Response:
        """Carry out one control request: 200 with its result, 400 with a reason, or 404."""
        action = self._actions.get(f"{request.method} {request.path.removeprefix(PREFIX)}")
        if action is None:
            return json_response(404, {"error": f"no control path {request.method} {request.path}"})
        try:
            return json_response(200, action(request.json()) or {})
        except (LookupError, ValueError) as error:
            return json_response(400, {"error": str(error)})

    def _add_fault(self, fields: Mapping[str, object]) -> None:
        self._faults.add(Fault.from_json(fields))

    def _set_signed_in(self, fields: Mapping[str, object]) -> None:
        name = str(fields.get("user", ""))
        self._user_id({"user": name})
        for tenant in self._tenants:
            tenant.authorize.signed_in = name if tenant.directory.user(name) else ""

    def _change_settings(self, fields: Mapping[str, object]) -> None:
        known: dict[str, type] = {"token_lifetime_s": int, "rotate": bool, "consented": bool}
        for name, value in fields.items():
            if name not in known or type(value) is not known[name]:
                raise ValueError(f"settings are token_lifetime_s (int), rotate and consented (bool), not {name}")
        lifetime_s = fields.get("token_lifetime_s")
        if isinstance(lifetime_s, int):
            if lifetime_s < 1:
                raise ValueError("token_lifetime_s starts at 1")
            for tenant in self._tenants:
                tenant.minter.lifetime_s = lifetime_s
        if "rotate" in fields:
            self._grants.rotate = bool(fields["rotate"])
        if "consented" in fields:
            for application in (known for tenant in self._tenants for known in tenant.directory.applications):
                application.is_consented = bool(fields["consented"])

    def _add_secret(self, fields: Mapping[str, object]) -> dict[str, str]:
        application = self._application(fields)
        added = ClientSecret(value=new_secret())
        kept = application.client_secrets if fields.get("keep_old") else []
        application.client_secrets = [*kept, added]
        return {"secret": added.value}

    def _expire_secrets(self, fields: Mapping[str, object]) -> None:
        for secret in self._application(fields).client_secrets:
            secret.is_expired = True

    def _add_redirect_uri(self, fields: Mapping[str, object]) -> None:
        uri = str(fields.get("uri", ""))
        if not uri.startswith(("https://", "http://localhost")):
            raise ValueError("a redirect URI is https, or http on localhost")
        self._application(fields).redirect_uris.append(uri)

    def _application(self, fields: Mapping[str, object]) -> Application:
        named = str(fields.get("client_id", ""))
        return registered(self._tenants, named or self._tenants[0].directory.applications[0].client_id)

    def _user_id(self, fields: Mapping[str, object]) -> str:
        name = str(fields.get("user", ""))
        user = next((known for tenant in self._tenants if (known := tenant.directory.user(name))), None)
        if name and user is None:
            raise LookupError(f"no user {name}")
        return user.object_id if user else ""
