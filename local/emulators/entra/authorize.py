"""The authorize endpoint: checks what the application asks, lets a person pick a user, and sends the browser back.

A fault in client, redirect URI or tenant is shown to the person, as Entra does; any other goes back to the
application. There are no passwords: the page lists the users. A request with `login_hint` of a known user and no
`prompt` is answered at once, as Entra does for a browser that is signed in already; so a script needs no page.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from business_central_emulator.server.exchange import Request, Response

from local.emulators.entra.directory import Application, Directory, User
from local.emulators.entra.errors import LoginRefused, missing_parameter, not_consented, unknown_application
from local.emulators.entra.grants import Grants, SignIn
from local.emulators.entra.scopes import Scopes, delegated_scopes

RESPONSE_MODES = ("query", "fragment", "form_post")
PICKED_USER = "picked_user"  # field of our page: a principal name, or empty for "cancel"
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request whose client and redirect URI are known good, so that answers may go there."""

    application: Application
    redirect_uri: str
    response_mode: str
    state: str | None


class Authorize:
    """Answers GET and POST of `/{tenant}/oauth2/v2.0/authorize` and of `/{tenant}/oauth2/authorize`."""

    def __init__(self, directory: Directory, grants: Grants) -> None:
        self.signed_in = ""  # principal name of the user the browser counts as signed in with; empty shows the page
        self._directory = directory
        self._grants = grants

    def answer(self, request: Request, *, now: datetime) -> Response:
        """Answer one request.

        Raises:
            LoginRefused: what is shown to the person rather than sent to the application.
        """
        fields = {**request.query, **(request.form if request.method == "POST" else {})}
        if "scope" not in fields and fields.get("resource"):  # the first version of the protocol
            fields["scope"] = f"{fields['resource'].rstrip('/')}/.default openid offline_access"
        asked = self._asked(fields)
        try:
            scopes = self._check(fields, asked)
            user = self._user(fields, asked)
        except LoginRefused as refused:
            return _send_back(asked, {"error": _oauth_error(refused), "error_description": str(refused)})
        if user is None:
            return self._page(request, asked, fields)
        sign_in = SignIn(
            tenant_id=self._directory.tenant_id,
            client_id=asked.application.client_id,
            user=user,
            resource=scopes.resource,
            scopes=scopes.permissions,
            openid=scopes.openid,
            nonce=fields.get("nonce", ""),
        )
        code = self._grants.issue_code(
            sign_in, redirect_uri=asked.redirect_uri, challenge=fields.get("code_challenge", ""), now=now
        )
        answer = {"code": code}
        if fields.get("client_info") == "1":
            answer["session_state"] = user.object_id
        return _send_back(asked, answer)

    def _asked(self, fields: Mapping[str, str]) -> _Asked:
        client_id, redirect_uri = fields.get("client_id", ""), fields.get("redirect_uri", "")
        if not client_id:
            raise missing_parameter("client_id")
        application = self._directory.application(client_id)
        if application is None:
            raise unknown_application(client_id, self._directory.tenant_id)
        if not application.knows_redirect(redirect_uri):
            raise LoginRefused(
                "invalid_request",
                50011,
                f"The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs "
                f"configured for the application '{client_id}'. Make sure the redirect URI sent in the request matches "
                "one added to your application in the Azure portal.",
            )
        mode = fields.get("response_mode", "query")
        if mode not in RESPONSE_MODES:
            raise LoginRefused("invalid_request", 900561, f"The response_mode '{mode}' is not supported.")
        return _Asked(application=application, redirect_uri=redirect_uri, response_mode=mode, state=fields.get("state"))

    def _check(self, fields: Mapping[str, str], asked: _Asked) -> Scopes:
        if fields.get("response_type", "code") != "code" or "response_type" not in fields:
            raise LoginRefused(
                "unsupported_response_type",
                700054,
                f"response_type '{fields.get('response_type', '')}' is not enabled for the application.",
            )
        challenge, method = fields.get("code_challenge", ""), fields.get("code_challenge_method", "")
        if challenge and method != "S256":
            raise LoginRefused(
                "invalid_request",
                501491,
                f"Invalid Code_Challenge_method '{method}': this tenant takes S256 only.",
            )
        if challenge and not 43 <= len(challenge) <= 128:
            raise LoginRefused("invalid_request", 501491, "Invalid size of Code_Challenge parameter.")
        scopes = delegated_scopes(fields.get("scope", ""), asked.application, self._directory.tenant_id)
        if not asked.application.is_consented:
            raise not_consented(asked.application.client_id)
        return scopes

    def _user(self, fields: Mapping[str, str], asked: _Asked) -> User | None:
        """Give who signs in; None when a person has to be asked."""
        if PICKED_USER in fields:
            user = self._directory.user(fields[PICKED_USER])
            if user is None:
                raise LoginRefused("access_denied", 65004, "User declined to consent to access the app.")
            return user
        prompt = fields.get("prompt", "")
        if prompt in {"login", "select_account", "consent"}:
            return None
        user = self._directory.user(fields.get("login_hint") or self.signed_in)
        if user is None and prompt == "none":
            raise LoginRefused(
                "login_required",
                50058,
                f"A silent sign-in request was sent but no user is signed in to '{asked.application.display_name}'.",
            )
        return user

    def _page(self, request: Request, asked: _Asked, fields: Mapping[str, str]) -> Response:
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in fields.items()
        )
        accounts = "".join(
            f'<button name="{PICKED_USER}" value="{html.escape(user.principal_name)}">'
            f"<b>{html.escape(user.display_name)}</b><br>{html.escape(user.principal_name)}</button>"
            for user in self._directory.users
        )
        return _html(
            200,
            f"<h1>Pick an account</h1><p>to continue to <b>{html.escape(asked.application.display_name)}</b></p>"
            f'<form method="post" action="{html.escape(urlsplit(request.url).path)}">{hidden}{accounts}'
            f'<button name="{PICKED_USER}" value="">Cancel</button></form>'
            "<p><small>This is the local stack's sign-in, not Microsoft's: no password is asked for.</small></p>",
        )


def error_page(refused: LoginRefused) -> Response:
    """Give the page that tells a person what is wrong when the application cannot be told."""
    return _html(400, f"<h1>Sorry, but we're having trouble signing you in.</h1><p>{html.escape(str(refused))}</p>")


def _send_back(asked: _Asked, answer: Mapping[str, str]) -> Response:
    fields = dict(answer)
    if asked.state is not None:
        fields["state"] = asked.state
    if asked.response_mode == "form_post":
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in fields.items()
        )
        return _html(
            200,
            f'<form method="post" action="{html.escape(asked.redirect_uri)}">{inputs}'
            "<noscript><button>Continue</button></noscript></form><script>document.forms[0].submit()</script>",
        )
    mark = "#" if asked.response_mode == "fragment" else ("&" if urlsplit(asked.redirect_uri).query else "?")
    return Response(
        status=302,
        headers={"Location": f"{asked.redirect_uri}{mark}{urlencode(fields)}", "Cache-Control": "no-store"},
    )


def _oauth_error(refused: LoginRefused) -> str:
    return "consent_required" if refused.suberror == "consent_required" else refused.error


def _html(status: int, content: str) -> Response:
    style = (
        "body{font:16px system-ui;max-width:26em;margin:4em auto}button{display:block;width:100%;margin:.5em 0;"
        "padding:.8em;text-align:left}"
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in (local)</title>'
        f"<style>{style}</style></head><body>{content}</body></html>"
    )
    return Response(status=status, headers=PAGE_HEADERS, body=page.encode())
