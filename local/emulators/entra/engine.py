"""The login as one object: leads a request to its tenant and endpoint, applies scripted faults, notes what was asked.

Two ports lead here: the login itself, over TLS, and the managed identity endpoint, plain HTTP as inside a Function App.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from business_central_emulator.server.exchange import Engine, Request, Response, json_response
from business_central_emulator.server.faults import BUSINESS_CENTRAL, Faults, answered

from local.emulators.entra.authorize import error_page
from local.emulators.entra.control import PREFIX as CONTROL_PREFIX
from local.emulators.entra.control import Control
from local.emulators.entra.directory import Directory
from local.emulators.entra.errors import LoginRefused, unknown_tenant
from local.emulators.entra.grants import Grants
from local.emulators.entra.managed_identity import PATH as IDENTITY_PATH
from local.emulators.entra.managed_identity import ManagedIdentityEndpoint
from local.emulators.entra.tenant import Tenant, tenant_named, tenant_of_client
from local.emulators.entra.token_endpoint import SHARED_TENANTS
from local.emulators.entra.tokens import Minter, SigningKey, v2_issuer

AUTHORIZE = "oauth2/v2.0/authorize"
TOKEN = "oauth2/v2.0/token"  # noqa: S105 a path
DISCOVERY = "v2.0/.well-known/openid-configuration"
KEYS = "discovery/v2.0/keys"
INSTANCE = "discovery/instance"
METHODS = {INSTANCE: ("GET",), AUTHORIZE: ("GET", "POST"), TOKEN: ("POST",), DISCOVERY: ("GET",), KEYS: ("GET",)}
#: What the first version of the protocol calls the same; it asks for a `resource` where the second asks for a scope.
V1 = {
    "oauth2/authorize": AUTHORIZE,
    "oauth2/token": TOKEN,
    ".well-known/openid-configuration": DISCOVERY,
    "discovery/keys": KEYS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it is remembered: enough to count calls by, and no secret."""

    method: str
    path: str
    grant_type: str
    client_id: str
    status: int
    error_code: int  # AADSTS code of a refusal, else 0
    at: str  # ISO 8601, UTC


def utc_now() -> datetime:
    """Give the time now, aware."""
    return datetime.now(UTC)


class LoginEngine(Engine):
    """Entra. `now` is the clock of everything it issues and checks.

    The first tenant is the home of the app: its managed identities are there, and `directory` and `minter` are its.
    """

    def __init__(
        self,
        directory: Directory,
        *further: Directory,
        identity_header: str = "local",
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.directory = directory
        self.key = SigningKey()
        self._directories = (directory, *further)
        self._initial = copy.deepcopy(self._directories)
        self._identity_header = identity_header
        self._now = now
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget sign-ins, faults, requests and changes of settings; the signing key stays."""
        for directory, fresh in zip(self._directories, copy.deepcopy(self._initial), strict=True):
            directory.users = fresh.users
            directory.applications = fresh.applications
            directory.identities = fresh.identities
        self.requests: list[Asked] = []
        self.faults = Faults(refused=BUSINESS_CENTRAL)
        self.grants = Grants()
        self.tenants = [Tenant(one, grants=self.grants, key=self.key) for one in self._directories]
        self._identity = ManagedIdentityEndpoint(self.directory, self.minter, header=self._identity_header)
        self._control = Control(tenants=self.tenants, grants=self.grants, faults=self.faults)

    @property
    def minter(self) -> Minter:
        """What makes the tokens of the first tenant."""
        return self.tenants[0].minter

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        with self._lock:
            if request.path.startswith(CONTROL_PREFIX):
                return self._answer_control(request)
            known = len(self.requests)
            answer = answered(self.faults, request, lambda: self._answer(request))
            if len(self.requests) == known:  # the fault came before the engine
                self._remember(request, answer.status, 0)
            return answer

    def _answer_control(self, request: Request) -> Response:
        match f"{request.method} {request.path.removeprefix(CONTROL_PREFIX)}":
            case "POST reset":
                self.reset()
                return json_response(200, {})
            case "GET requests":
                return json_response(200, [asdict(asked) for asked in self.requests])
            case "DELETE requests":
                self.requests.clear()
                return json_response(200, {})
        return self._control.answer(request)

    def _answer(self, request: Request) -> Response:
        now = self._now()
        if request.path == IDENTITY_PATH:
            answer = self._identity.answer(request, now=now) if request.method == "GET" else _not_allowed("GET")
            self._remember(request, answer.status, 0)
            return answer
        tenant, _, endpoint = request.path.lstrip("/").partition("/")
        code = 0
        try:
            answer = self._route(request, tenant, endpoint, now=now)
        except LoginRefused as refused:
            code = refused.code
            answer = (
                error_page(refused) if endpoint == AUTHORIZE else json_response(refused.status, refused.body(now=now))
            )
        self._remember(request, answer.status, code)
        return answer

    def _route(self, request: Request, tenant: str, endpoint: str, *, now: datetime) -> Response:
        is_v1 = endpoint in V1
        endpoint = V1.get(endpoint, endpoint)
        methods = {
            INSTANCE: ("GET",),
            AUTHORIZE: ("GET", "POST"),
            TOKEN: ("POST",),
            DISCOVERY: ("GET",),
            KEYS: ("GET",),
        }.get(endpoint)
        if methods is None:
            return json_response(404, {"error": "not_found"})
        if request.method not in methods:
            return _not_allowed(", ".join(methods))
        found = self._tenant(request, tenant)
        match endpoint:
            case "oauth2/v2.0/authorize":
                return found.authorize.answer(request, now=now)
            case "oauth2/v2.0/token" if is_v1:
                return json_response(200, found.token.answer_v1(request.form, tenant=tenant, now=now))
            case "oauth2/v2.0/token":
                return json_response(200, found.token.answer(request.form, tenant=tenant, now=now))
            case "discovery/instance":
                return json_response(200, self._instance(request))
            case "discovery/v2.0/keys":
                return json_response(200, found.keys())
        issuer = v2_issuer("{tenantid}") if tenant in SHARED_TENANTS else found.minter.v2_issuer
        return json_response(200, self._discovery(f"{request.origin}/{tenant}", issuer=issuer))

    def _tenant(self, request: Request, segment: str) -> Tenant:
        """Find the tenant a path names; one of the shared names stands for that of the application."""
        if segment not in SHARED_TENANTS:
            found = tenant_named(self.tenants, segment)
            if found is None:
                raise unknown_tenant(segment)
            return found
        fields = {**request.query, **(request.form if request.method == "POST" else {})}
        return tenant_of_client(self.tenants, fields.get("client_id", ""))

    def _instance(self, request: Request) -> dict[str, object]:
        """Say where an authority is described, as clients ask that do not know its host."""
        asked = urlsplit(request.query.get("authorization_endpoint", "")).path.strip("/").partition("/")[0] or "common"
        host = urlsplit(request.origin).netloc
        return {
            "tenant_discovery_endpoint": f"{request.origin}/{asked}/{DISCOVERY}",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }

    def _discovery(self, base: str, *, issuer: str) -> dict[str, object]:
        return {
            "token_endpoint": f"{base}/{TOKEN}",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": f"{base}/{KEYS}",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": issuer,
            "authorization_endpoint": f"{base}/{AUTHORIZE}",
            "claims_supported": [
                "sub",
                "iss",
                "aud",
                "exp",
                "iat",
                "nonce",
                "preferred_username",
                "name",
                "tid",
                "ver",
            ],
        }

    def _remember(self, request: Request, status: int, code: int) -> None:
        fields = {**request.query, **(request.form if request.method == "POST" else {})}
        self.requests.append(
            Asked(
                method=request.method,
                path=request.path,
                grant_type=fields.get("grant_type", ""),
                client_id=fields.get("client_id", ""),
                status=status,
                error_code=code,
                at=self._now().isoformat(),
            )
        )


def _not_allowed(methods: str) -> Response:
    return json_response(405, {"error": "method_not_allowed"}, {"Allow": methods})
