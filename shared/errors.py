"""Every error this app raises on purpose; the class decides what the caller does.

IntegrationError
|- ConfigError            wrong settings: every name at once; fix and redeploy
|- InvalidMessage         an inbound body breaks the contract: report it, never retry
|- TokenError             no access token; `.retryable` says whether waiting can help, else a person must act
|- StoreUnavailable       Table Storage or Key Vault did not answer: try again later
|- StateConflict          our own row moved under us (ETag): reload and decide again
|- RowTooLarge            what is to be kept of one thing fits no table row: do less at once
|- BudgetExhausted        no request slot came free in time: try again later
`- BCError                `.status .code .correlation_id .retry_after_s .retryable`
   |- BCThrottled         429
   |- BCUnavailable       408, 5xx, network: the outcome of a write is unknown
   |- BCDenied            401, 403
   |- BCNotFound          404
   |- BCConflict          409, 412 (ETag)
   `- BCRejected          other 4xx: BC's own code and message say why
"""

from typing import ClassVar


class IntegrationError(Exception):
    """Base of all errors raised on purpose; `.retryable` is whether the same call may succeed later by itself.

    `.is_pause`: nothing is wrong, BC's limits ask for a pause; work that waits for its end is nobody's alarm.
    """

    retryable: bool = False
    is_pause: ClassVar[bool] = False


class ConfigError(IntegrationError):
    """Settings are missing or wrong; the message names every one with its rule, never a value."""

    def __init__(self, faults: dict[str, str]) -> None:
        """Take `faults`: setting name -> the rule it breaks."""
        self.faults = dict(faults)
        listed = "; ".join(f"{name}: {rule}" for name, rule in sorted(faults.items()))
        super().__init__(f"wrong settings ({len(faults)}): {listed}")


class InvalidMessage(IntegrationError):
    """An inbound message breaks its contract; `.faults` holds one sentence per fault, each naming its field."""

    def __init__(self, faults: list[str]) -> None:
        """Take all faults of one message."""
        self.faults = list(faults)
        super().__init__("; ".join(faults))


class TokenError(IntegrationError):
    """No access token could be had; when not `.retryable`, a person must log in or correct the registration."""

    def __init__(self, message: str, *, code: str = "", retryable: bool = False) -> None:
        """Take Entra's own error `code` (for example `invalid_grant`) beside the message."""
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class StoreUnavailable(IntegrationError):
    """A storage service did not answer or refused; nothing is known about the write that was under way."""

    retryable = True


class StateConflict(IntegrationError):
    """The row was changed by somebody else since it was read; reload and decide again."""

    retryable = True


class RowTooLarge(IntegrationError):
    """A table row would hold more than Table Storage takes; nothing was written. The message names the row."""


class BudgetExhausted(IntegrationError):
    """All request slots stayed busy for the whole waiting time, or are closed beyond it as BC asked for a pause."""

    retryable = True
    is_pause = True


class BCError(IntegrationError):
    """Business Central answered with an error, or not at all.

    `status` is the HTTP status (0: no answer), `code` BC's own word (`Application_DialogException`), `correlation_id`
    what Microsoft support asks for, `retry_after_s` the wait BC asked for in seconds.
    """

    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        correlation_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """Keep BC's words; a log line takes the fields, never a body."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.correlation_id = correlation_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """Show the correlation id first, as it is what one searches for."""
        parts = [f"[{self.correlation_id}]" if self.correlation_id else "", str(self.status or "no answer"), self.code]
        return " ".join(part for part in parts if part) + f": {self.message}"


class BCThrottled(BCError):
    """429: over the request limit; BC did nothing."""

    kind = "throttled"
    retryable = True
    is_pause = True


class BCUnavailable(BCError):
    """408, 5xx or no answer: BC may or may not have done what was asked."""

    kind = "unavailable"
    retryable = True


class BCDenied(BCError):
    """401 or 403: the login or its permissions; waiting helps only once a person has acted."""

    kind = "denied"


class BCNotFound(BCError):
    """404: record, company, environment or route does not exist (any more)."""

    kind = "not_found"


class BCConflict(BCError):
    """409 or 412: changed by another, or locked; read again before the next try."""

    kind = "conflict"
    retryable = True


class BCRejected(BCError):
    """Any other 4xx: BC refuses this request; the same request will be refused again."""

    kind = "rejected"


def may_be_of_one_record(error: BCError) -> bool:
    """Return whether a single record may be the cause of an error, and others can be read."""
    return isinstance(error, BCRejected) or (isinstance(error, BCUnavailable) and error.status == 500)
