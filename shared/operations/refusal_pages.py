"""The pages that say why not: no session, a sign-in that was not begun here, a failure with its next step. Pure."""

from shared.errors import ConfigError, IntegrationError, StoreUnavailable, TokenError
from shared.login.entra_codes import advice, entra_code
from shared.operations.connect_values import Reply
from shared.operations.page_parts import message_page
from shared.operations.page_session import end_cookie


def no_session() -> Reply:
    """Return the page for a browser without a session; it names nothing but how to get one."""
    text = "This page needs a session, and yours has ended or was never opened in this browser."
    do = "Open /api/connect?code=<function key> here; the key is in the Azure portal under Function keys."
    return Reply(status=403, body=message_page("Not open", text, do, can_return=False))


def not_now() -> Reply:
    """Return the page for anybody while nobody's session can be checked; a stranger learns no reason."""
    text = "The app cannot check sessions just now."
    do = "Try again in a minute. If that goes on, ask with a function key: /api/status?doctor=1 names the reason."
    return Reply(status=503, body=message_page("Not now", text, do, can_return=False))


def session_ended() -> Reply:
    """Return the page that says that the session is over, for this browser and every copy of its cookie."""
    text = "This session is over, also for a copy of its cookie."
    do = "To come back, open the page with a function key."
    return Reply(status=200, body=message_page("Session ended", text, do, can_return=False), cookie=end_cookie())


def not_begun_here() -> Reply:
    """Return the page for a callback whose state this session has not begun, or has used."""
    text = "This sign-in was not begun in this browser, is older than ten minutes, or has been used already."
    return Reply(status=400, body=message_page("Sign-in refused", text, "Go back and begin again."))


def not_done(status: int, text: str) -> Reply:
    """Return the page for a form that did nothing."""
    return Reply(status=status, body=message_page("Not done", text, "Open the page again and repeat."))


def failure_page(error: IntegrationError) -> Reply:
    """Return what went wrong and what to do; for the trigger too, when the app itself cannot be set up."""
    if isinstance(error, ConfigError):
        body = message_page("Wrong settings", str(error), "Correct these app settings; the app then restarts.")
        return Reply(status=503, body=body)
    if isinstance(error, StoreUnavailable):
        text = "The vault or the storage account did not answer. Nothing is lost."
        return Reply(status=503, body=message_page("Not now", text, f"Try again in a minute. {error}"))
    if isinstance(error, TokenError) and not error.retryable:
        code = entra_code(error)
        do = advice(code, str(error)).do
        return Reply(status=400, body=message_page("Sign-in refused", str(error), do, code=code))
    return Reply(status=503, body=message_page("Not now", str(error), "Try again in a minute."))
