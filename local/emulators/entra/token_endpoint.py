"""The token endpoint: checks the client, then the grant, and answers with tokens or with Entra's refusal."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime

import jwt

from local.emulators.entra.directory import TOKEN_EXCHANGE, Application, Directory
from local.emulators.entra.errors import (
    LoginRefused,
    expired_secret,
    missing_parameter,
    no_credential,
    not_consented,
    unknown_application,
    wrong_secret,
)
from local.emulators.entra.grants import Grants, SignIn
from local.emulators.entra.scopes import application_resource, delegated_scopes
from local.emulators.entra.tokens import Minter, SigningKey

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SHARED_TENANTS = ("common", "organizations", "consumers")


class TokenEndpoint:
    """Answers POST of `/{tenant}/oauth2/v2.0/token` and of `/{tenant}/oauth2/token`."""

    def __init__(self, directory: Directory, grants: Grants, minter: Minter, key: SigningKey) -> None:
        self._directory = directory
        self._grants = grants
        self._minter = minter
        self._key = key

    def answer(self, fields: Mapping[str, str], *, tenant: str, now: datetime) -> dict[str, object]:
        """Give the token reply to the fields of one form.

        Raises:
            LoginRefused: what Entra would refuse, with its code.
        """
        grant_type = fields.get("grant_type", "")
        if not grant_type:
            raise missing_parameter("grant_type")
        client_id = fields.get("client_id", "")
        if not client_id:
            raise missing_parameter("client_id")
        application = self._directory.application(client_id)
        if application is None:
            raise unknown_application(client_id, self._directory.tenant_id)
        self._check_client(application, fields, now=now)
        match grant_type:
            case "client_credentials":
                return self._client_credentials(application, fields, tenant=tenant, now=now)
            case "authorization_code":
                return self._authorization_code(application, fields, now=now)
            case "refresh_token":
                return self._refresh_token(application, fields, now=now)
        raise LoginRefused(
            "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant_type}'."
        )

    def answer_v1(self, fields: Mapping[str, str], *, tenant: str, now: datetime) -> dict[str, object]:
        """Give the reply of the first version of the protocol, whose numbers are texts.

        Raises:
            LoginRefused: as `answer`.
        """
        resource = fields.get("resource", "").rstrip("/")
        scope = {"scope": f"{resource}/.default"} if resource else {}
        reply = self.answer({**fields, **scope}, tenant=tenant, now=now)
        lifetime_s = self._minter.lifetime_s
        return {
            **reply,
            "expires_in": str(lifetime_s),
            "ext_expires_in": str(lifetime_s),
            "not_before": str(int(now.timestamp())),
            "expires_on": str(int(now.timestamp()) + lifetime_s),
            "resource": resource,
        }

    def _check_client(self, application: Application, fields: Mapping[str, str], *, now: datetime) -> None:
        if fields.get("client_assertion_type") == JWT_BEARER:
            self._check_assertion(application, fields.get("client_assertion", ""), now=now)
            return
        given = fields.get("client_secret", "")
        if not given:
            raise no_credential()
        for secret in application.client_secrets:
            if hmac.compare_digest(secret.value.encode(), given.encode()):
                if secret.is_expired:
                    raise expired_secret(application.client_id)
                return
        raise wrong_secret(application.client_id)

    def _check_assertion(self, application: Application, assertion: str, *, now: datetime) -> None:
        """Check a federated credential: a token for token exchange, of a managed identity the application trusts."""
        try:
            claims = self._key.check(assertion, audience=TOKEN_EXCHANGE, now=now)
        except jwt.ExpiredSignatureError as error:
            raise _bad_assertion(700024, "Client assertion is not within its valid time range.") from error
        except jwt.InvalidAudienceError as error:
            raise _bad_assertion(
                700212, "No matching federated identity record found for presented assertion audience."
            ) from error
        except jwt.InvalidTokenError as error:
            raise _bad_assertion(
                700027,
                "Client assertion contains an invalid signature or is malformed. [Reason - The key was not found.]",
            ) from error
        if claims.get("iss") != self._minter.v2_issuer:
            raise _bad_assertion(
                700211,
                f"No matching federated identity record found for presented assertion issuer '{claims.get('iss')}'.",
            )
        if claims.get("sub") not in application.federated_subjects:
            raise _bad_assertion(
                700213,
                f"No matching federated identity record found for presented assertion subject '{claims.get('sub')}'.",
            )

    def _client_credentials(
        self, application: Application, fields: Mapping[str, str], *, tenant: str, now: datetime
    ) -> dict[str, object]:
        if tenant in SHARED_TENANTS:
            raise LoginRefused(
                "invalid_request",
                50059,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            )
        resource = application_resource(fields.get("scope", ""), self._directory.tenant_id)
        # without consent Entra still gives a token, only without roles; the resource then refuses it
        roles = application.roles if application.is_consented else ()
        token = self._minter.for_application(application, resource=resource, roles=roles, now=now)
        return {**self._lifetime(), "access_token": token}

    def _authorization_code(
        self, application: Application, fields: Mapping[str, str], *, now: datetime
    ) -> dict[str, object]:
        for name in ("code", "redirect_uri"):
            if not fields.get(name):
                raise missing_parameter(name)
        sign_in, family = self._grants.redeem_code(
            fields["code"],
            tenant_id=self._directory.tenant_id,
            client_id=application.client_id,
            redirect_uri=fields["redirect_uri"],
            verifier=fields.get("code_verifier", ""),
            now=now,
        )
        return self._reply(application, sign_in, family, fields, now=now)

    def _refresh_token(
        self, application: Application, fields: Mapping[str, str], *, now: datetime
    ) -> dict[str, object]:
        if not fields.get("refresh_token"):
            raise missing_parameter("refresh_token")
        if not application.is_consented:
            raise not_consented(application.client_id)
        sign_in, family = self._grants.redeem_refresh(
            fields["refresh_token"], tenant_id=self._directory.tenant_id, client_id=application.client_id, now=now
        )
        return self._reply(application, sign_in, family, fields, now=now)

    def _reply(
        self, application: Application, sign_in: SignIn, family: str, fields: Mapping[str, str], *, now: datetime
    ) -> dict[str, object]:
        resource, permissions = sign_in.resource, sign_in.scopes
        if fields.get("scope"):
            asked = delegated_scopes(fields["scope"], application, self._directory.tenant_id)
            if asked.resource:
                resource, permissions = asked.resource, asked.permissions
        reply: dict[str, object] = {
            **self._lifetime(),
            "scope": " ".join([*(f"{resource}/{permission}" for permission in permissions), f"{resource}/.default"]),
            "access_token": self._minter.for_user(
                sign_in.user, application, resource=resource, scopes=permissions, now=now
            ),
        }
        if "offline_access" in sign_in.openid:
            reply["refresh_token"] = self._grants.issue_refresh(sign_in, family=family, now=now)
        if "openid" in sign_in.openid:
            reply["id_token"] = self._minter.id_token(sign_in.user, application, nonce=sign_in.nonce, now=now)
        if fields.get("client_info") == "1":
            reply["client_info"] = self._minter.client_info(sign_in.user)
        return reply

    def _lifetime(self) -> dict[str, object]:
        return {
            "token_type": "Bearer",
            "expires_in": self._minter.lifetime_s,
            "ext_expires_in": self._minter.lifetime_s,
        }


def _bad_assertion(code: int, text: str) -> LoginRefused:
    return LoginRefused("invalid_client", code, text, status=401)
