"""One HTTP call to Business Central: slot, token, limits of time and size, retries of what may be repeated.

Every fault is an error of `shared.errors`. Tokens go to one origin only: a redirect is not followed, a cookie
not kept, and requests looks into `.netrc` only where it is given no `auth`.
"""

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from shared.business_central import odata, retry
from shared.business_central.deadline import bounded_session, ends_within
from shared.business_central.port import WHOLE_S, Budget, Reader, Slot, TokenSource
from shared.business_central.transient import is_permission
from shared.clock import new_id
from shared.errors import BCDenied, BCError, BCRejected, BCThrottled, BCUnavailable, BudgetExhausted
from shared.log import log_event
from shared.version import USER_AGENT
from shared.work_counts import REQUESTS, count

log: Final = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
READ_S: Final = 100.0  # between two bytes of an answer
#: Most bytes of an answer, decoded: eight times what a page is asked to have. Of an error only the words count.
ANSWER_BYTES: Final = 64 << 20
ERROR_BYTES: Final = 64 << 10
#: Words of an answer are for people and, where BC has no code of its own for it, say whether a refusal passes. Without
#: this BC chooses the language (docs: devenv-connect-apps-tips, Accept-Language: "overrides default settings").
LANGUAGE: Final = "en-US"
#: A 429 without Retry-After closes the slot for this long, so that other instances slow down too.
PAUSE_S: Final = 5.0
_CHUNK: Final = 1 << 18
#: What requests lets through when an answer breaks HTTP: a length that is no number, bytes that are no text, and so on.
_UNREADABLE: Final = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError, LookupError, TypeError)


class _ReaderFailed(Exception):
    """The reader was asked, and what came, if anything, is not what was asked for."""

    def __init__(self, reader: Reader, error: BCError) -> None:
        super().__init__(str(error))
        self.reader = reader
        self.error = error

    def conclude(self) -> None:
        """Note that the identity was served the same at once."""
        if not isinstance(self.error, BCThrottled) and not is_permission(self.error):
            self.reader.failed(self.error, alone=True)


class _Bearer(AuthBase):
    """The token of one call. Given as `auth`, it also keeps requests from looking into `.netrc`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is sent, and by when."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None
    reserved: bool = False
    in_time: Callable[[], bool] = lambda: True
    limit_s: float = WHOLE_S

    @property
    def path(self) -> str:
        """What a log may know of the URL."""
        return urlsplit(self.url).path


class Transport:
    """Sends requests; safe to share between threads (one `requests.Session` per thread)."""

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        budget: Budget,
        *,
        new_session: Callable[[], requests.Session] = bounded_session,
        ca_bundle: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        roll: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        request_id: Callable[[], str] = new_id,
        patience_s: float = math.inf,
        reader: Reader | None = None,
    ) -> None:
        """Take the origin that alone gets the token, and everything that a test wants to replace.

        `request_id` gives the `client-request-id` by which BC's own telemetry knows a call (docs:
        telemetry-webservices-trace): the invocation's id, or any other.
        `patience_s`: a call that would last longer is not repeated, as others wait for its place; the queue does it.
        `reader` may be asked for what is fetched by `fetch`.
        """
        self.api_url = api_url
        self._tokens = tokens
        self._budget = budget
        self._new_session = new_session
        self._verify: str | bool = ca_bundle or True
        self._sleep = sleep
        self._roll = roll
        self._monotonic = monotonic
        self._request_id = request_id
        self._patience_s = patience_s
        self._reader = reader
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
        in_time: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Send a request and return its answer below 300; repeats it only as `policy` says.

        `in_time` is asked when token and slot are there: what is late by then is not sent.

        Raises:
            BCError: BC's refusal, or no answer in time.
            TokenError: no token.
            BudgetExhausted: no slot, or none in time; BC did nothing.
        """
        request = _Request(method=method, url=url, body=body, headers=headers or {}, reserved=reserved, in_time=in_time)
        return self._until_taken(request, as_it_is, None, policy)

    def fetch[T](
        self, url: str, take: Callable[[Answer], T], *, headers: Mapping[str, str], limit_s: float = WHOLE_S
    ) -> T:
        """Return what `take` makes of the answer to a read: by the reader, where its budget can serve first.

        Whatever the reader meets, an answer that `take` refuses too, the identity asks for the same at once; it repeats
        as `retry.READ` says.

        Raises:
            BCError: what the identity met, or the reader when there was no time left to ask again.
            TokenError, BudgetExhausted: as of `send`.
        """
        return self._until_taken(
            _Request(method="GET", url=url, headers=headers, limit_s=limit_s), take, self._reader, retry.READ
        )

    def _until_taken[T](
        self, request: _Request, take: Callable[[Answer], T], reader: Reader | None, policy: retry.RetryPolicy
    ) -> T:
        tried, began = 0, self._monotonic()
        renewed = False
        failed: _ReaderFailed | None = None  # what the identity has not met yet
        while True:
            tried += 1
            token = self._tokens.token()
            try:
                taken = self._once(request, take, token, reader)
            except _ReaderFailed as failure:
                failed, reader, tried = self._of_reader(request, failure, began), None, tried - 1
            except BCDenied as error:
                if error.status != 401 or renewed:
                    raise
                self._tokens.discard(token)  # BC did nothing: a repeat with a fresh token is safe for any method
                renewed, tried = True, tried - 1
            except BCError as error:
                wait_s = policy.wait_s(error, tried=tried, roll=self._roll())
                if wait_s is None or self._monotonic() - began + wait_s > self._patience_s:
                    raise
                failed = reader = None  # what the identity meets as well says nothing of the reader
                _log_repeat(request, error, tried, wait_s)
                self._sleep(wait_s)
            else:
                if failed is not None:
                    failed.conclude()
                return taken

    def _of_reader(self, request: _Request, failure: _ReaderFailed, began: float) -> _ReaderFailed:
        """Note what is clear from the reader's answer alone, and return it, for the identity's to be compared with.

        Raises:
            BCUnavailable: the reader's, as it took all the time there is.
        """
        reader, error = failure.reader, failure.error
        if is_permission(error):
            reader.refused(error)
        elif isinstance(error, BCUnavailable) and self._monotonic() - began > self._patience_s:
            reader.failed(error, alone=False)  # else the next delivery would ask it first again
            raise error from None
        _log_repeat(request, error, 1, 0.0)
        error.__traceback__ = error.__cause__ = error.__context__ = None  # their frames hold the answer
        return failure.with_traceback(None)

    def _once[T](self, request: _Request, take: Callable[[Answer], T], token: str, reader: Reader | None) -> T:
        if odata.origin_of(request.url) != odata.origin_of(self.api_url):
            raise BCRejected("refused to send a token to another origin", code="origin")
        readers = reader.token() if reader else ""
        asked: Reader | None = None
        try:
            with self._budget.slot(reserved=request.reserved, or_reader=bool(readers), limit_s=request.limit_s) as slot:
                asked = reader if slot.is_readers else None
                answer = self._answer(request, readers if asked else token, slot)
            taken = take(answer)
        except BCError as error:
            if asked is None:
                raise
            raise _ReaderFailed(asked, error) from error
        if asked is not None:
            asked.served()
        return taken

    def _answer(self, request: _Request, token: str, slot: Slot) -> Answer:
        if not request.in_time():
            raise BudgetExhausted("it was too late to send the request")
        began = self._monotonic()
        count(REQUESTS)
        status, received, chunks = self._exchange(request, token)
        if status < 300:
            return Answer(status, received, chunks, self._monotonic() - began)
        error = odata.error_from(status, received, b"".join(chunks))
        if isinstance(error, BCThrottled):
            self._pause(slot, error, request.path)
        raise error

    def _exchange(self, request: _Request, token: str) -> tuple[int, Mapping[str, str], deque[bytes]]:
        deadline = self._monotonic() + request.limit_s
        ours = {
            "Accept": "application/json", "Accept-Language": LANGUAGE, "User-Agent": USER_AGENT,
            "client-request-id": self._request_id(),
        }  # fmt: skip
        try:
            with (
                ends_within(request.limit_s),
                self._session().request(
                    request.method,
                    request.url,
                    data=None if request.body is None else request.body.encode(),
                    headers={**ours, **request.headers},
                    auth=_Bearer(token),
                    timeout=(CONNECT_S, READ_S),
                    verify=self._verify,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                return response.status_code, response.headers, self._read(request, response, deadline)
        except _UNREADABLE as error:
            if self._monotonic() >= deadline:
                raise _too_slow(request) from error
            raise BCUnavailable(f"no answer: {type(error).__name__}", code="network") from error

    def _read(self, request: _Request, response: requests.Response, deadline: float) -> deque[bytes]:
        """Read an answer within its limits; of an error the rest is left unread."""
        most = ANSWER_BYTES if response.status_code < 300 else ERROR_BYTES
        chunks: deque[bytes] = deque()
        size = 0
        for chunk in response.iter_content(min(_CHUNK, most)):  # decoded as far as the chunk goes, and no further
            chunks.append(chunk)
            size += len(chunk)
            if self._monotonic() > deadline:
                raise _too_slow(request)
            if size >= most:
                if response.status_code < 300:
                    raise BCUnavailable(f"the answer has more than {most} bytes", code=retry.TOO_LARGE)
                break
        return chunks

    def _pause(self, slot: Slot, error: BCError, path: str) -> None:
        pause_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
        log_event(
            log, "bc.throttled", level=logging.WARNING, path=path, retry_after_s=pause_s,
            bc_correlation_id=error.correlation_id,
        )  # fmt: skip
        slot.close_for(pause_s)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session


def _too_slow(request: _Request) -> BCUnavailable:
    return BCUnavailable(f"the answer took longer than {request.limit_s:.0f} s", code=retry.TIMEOUT)


def as_it_is(answer: Answer) -> Answer:
    """Return an answer of which nothing is made."""
    return answer


def _log_repeat(request: _Request, error: BCError, tried: int, wait_s: float) -> None:
    log_event(
        log, "bc.retried", method=request.method, path=request.path, status=error.status, bc_code=error.code,
        attempt=tried, waited_s=round(wait_s, 2),
    )  # fmt: skip
