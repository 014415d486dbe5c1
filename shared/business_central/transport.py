"""One HTTP call to Business Central: slot, token, time-outs, retries of what may be repeated, errors as exceptions.

Tokens go to one origin only; redirects are not followed.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from shared.business_central import odata, retry
from shared.business_central.port import Budget, Slot, TokenSource
from shared.errors import BCDenied, BCError, BCRejected, BCThrottled, BCUnavailable
from shared.log import log_event

log: Final = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
READ_S: Final = 100.0  # between two bytes of an answer
WHOLE_S: Final = 120.0  # a whole answer; below the lease of a slot
#: A 429 without Retry-After closes the slot for this long, so that other instances slow down too.
PAUSE_S: Final = 5.0
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    status: int
    headers: Mapping[str, str]
    chunks: deque[bytes]  # the body as it came
    took_s: float = 0.0  # from sending the request to the last byte

    @property
    def body(self) -> bytes:
        """The whole body, unless it was drained."""
        return b"".join(self.chunks)

    def drain(self) -> Iterator[bytes]:
        """Yield the body's chunks and let go of each, so that what is made of them takes their place in memory."""
        while self.chunks:
            yield self.chunks.popleft()

    @property
    def served_at(self) -> datetime | None:
        """BC's own time when it answered."""
        return odata.parse_date(self.headers.get("Date"))


class Transport:
    """Sends requests; safe to share between threads (one `requests.Session` per thread)."""

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        budget: Budget,
        *,
        new_session: Callable[[], requests.Session] = requests.Session,
        ca_bundle: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        roll: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the origin that alone gets the token, and everything that a test wants to replace."""
        self.api_url = api_url
        self._tokens = tokens
        self._budget = budget
        self._new_session = new_session
        self._verify: str | bool = ca_bundle or True
        self._sleep = sleep
        self._roll = roll
        self._monotonic = monotonic
        self._local = threading.local()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        reserved: bool = False,
        policy: retry.RetryPolicy = retry.READ,
    ) -> Answer:
        """Send a request and return its answer below 300; repeats it only as `policy` says.

        Raises:
            BCError: BC's refusal, or no answer in time.
            TokenError: no token.
            BudgetExhausted: no slot.
        """
        tried = 0
        renewed = False
        while True:
            tried += 1
            token = self._tokens.token()
            try:
                return self._once(method, url, body, headers or {}, token=token, reserved=reserved)
            except BCDenied as error:
                if error.status != 401 or renewed:
                    raise
                self._tokens.discard(token)  # BC did nothing: a repeat with a fresh token is safe for any method
                renewed, tried = True, tried - 1
            except BCError as error:
                wait_s = policy.wait_s(error, tried=tried, roll=self._roll())
                if wait_s is None:
                    raise
                log_event(
                    log, "bc.retried", method=method, path=urlsplit(url).path, status=error.status,
                    bc_code=error.code, attempt=tried, waited_s=round(wait_s, 2),
                )  # fmt: skip
                self._sleep(wait_s)

    def _once(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str], *, token: str, reserved: bool
    ) -> Answer:
        if not url.startswith(self.api_url + "/"):
            raise BCRejected("refused to send a token to another origin", code="origin")
        with self._budget.slot(reserved=reserved) as slot:
            began = self._monotonic()
            status, received, chunks = self._exchange(method, url, body, headers, token)
            if status < 300:
                return Answer(status, received, chunks, self._monotonic() - began)
            error = odata.error_from(status, received, b"".join(chunks))
            if isinstance(error, BCThrottled):
                self._pause(slot, error, url)
        raise error

    def _exchange(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str], token: str
    ) -> tuple[int, CaseInsensitiveDict[str], deque[bytes]]:
        deadline = self._monotonic() + WHOLE_S
        try:
            with self._session().request(
                method,
                url,
                data=None if body is None else body.encode(),
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json", **headers},
                timeout=(CONNECT_S, READ_S),
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            ) as response:
                chunks: deque[bytes] = deque()
                for chunk in response.iter_content(_CHUNK):
                    chunks.append(chunk)
                    if self._monotonic() > deadline:
                        raise BCUnavailable(f"the answer took longer than {WHOLE_S:.0f} s", code="timeout")
                return response.status_code, response.headers, chunks
        except requests.RequestException as error:
            raise BCUnavailable(f"no answer: {type(error).__name__}", code="network") from error

    def _pause(self, slot: Slot, error: BCError, url: str) -> None:
        pause_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
        log_event(
            log, "bc.throttled", level=logging.WARNING, path=urlsplit(url).path, retry_after_s=pause_s,
            bc_correlation_id=error.correlation_id,
        )  # fmt: skip
        slot.close_for(pause_s)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session
