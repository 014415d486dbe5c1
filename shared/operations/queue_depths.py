"""How many messages lie in a storage queue, and the first of them: two REST calls (Get Queue Metadata, Peek Messages).

So no queue SDK is deployed, and nothing is taken away from anybody.

`azure-storage-blob`, which is deployed, signs only its own requests; its signing code is private and not used here.

With an identity the call carries its token; with a connection string (local stack) it is signed with the account key:
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import requests

from shared.errors import StoreUnavailable
from shared.operations.poison_contents import Peeked
from shared.settings import StorageSettings
from shared.storage.http_transport import leave_headers
from shared.storage.identity import app_credential

_VERSION: Final = "2021-12-02"
_SCOPE: Final = "https://storage.azure.com/.default"
_TIMEOUT_S: Final = (5.0, 10.0)
_EMPTY_HEADERS: Final = "\n" * 12  # content, date and condition headers, of which a GET has none
#: What `UseDevelopmentStorage=true` means: the emulator's address and its account, whose key Microsoft publishes.
_DEVELOPMENT: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6"
    "IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)


#: A message of an answer to Peek Messages (its text last), and the fields before its text.
_MESSAGE: Final = re.compile(r"<QueueMessage>(.*?)<MessageText>(.*?)</MessageText>\s*</QueueMessage>", re.DOTALL)
_FIELD: Final = re.compile(r"<(\w+)>([^<]*)</\1>")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    endpoint: str  # of the queue service, without a trailing slash
    name: str = ""
    key: bytes = field(default=b"", repr=False)  # empty: the identity is used


class QueueDepths:
    """The lengths of one account's queues, as the service counts them (approximately)."""

    def __init__(
        self,
        storage: StorageSettings,
        *,
        ca_bundle: str | None = None,
        token: Callable[[], str] | None = None,
        session: requests.Session | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open nothing yet. `token` and `session` replace the app's identity and the network in tests."""
        self._storage = storage
        self._ca_bundle = ca_bundle
        self._token = token
        self._session = session
        self._now = now

    def read(self, queue: str) -> int | None:
        """Return about how many messages a queue holds, None when there is no such queue.

        Raises:
            StoreUnavailable: storage did not answer or refused.
        """
        answer = self._get(queue, {"comp": "metadata"}, f"length of {queue}")
        if answer is None:
            return None
        count = answer.headers.get("x-ms-approximate-messages-count", "")
        if not count.isdigit():
            raise StoreUnavailable(f"Queue Storage, length of {queue}: no count")
        return int(count)

    def peek(self, queue: str) -> list[Peeked]:
        """Return the first messages of a queue, at most 32, and leave them where they are.

        Raises:
            StoreUnavailable: as `read`.
        """
        answer = self._get(f"{queue}/messages", {"numofmessages": "32", "peekonly": "true"}, f"look into {queue}")
        return [] if answer is None else [_peeked(found) for found in _MESSAGE.findall(answer.text)]

    def _get(self, path: str, query: Mapping[str, str], what: str) -> requests.Response | None:
        account = _account(self._storage)
        url = f"{account.endpoint}/{path}"
        headers = {"x-ms-date": format_datetime(self._now(), usegmt=True), "x-ms-version": _VERSION}
        signed = _signed(account, url, query, headers) if account.key else f"Bearer {self._bearer()}"
        headers["Authorization"] = signed
        try:
            with self._session or requests.Session() as used:
                answer = used.get(
                    url, params=query, headers=headers, timeout=_TIMEOUT_S,
                    verify=self._ca_bundle or True, auth=leave_headers, allow_redirects=False,
                )  # fmt: skip
        except requests.RequestException as error:
            raise StoreUnavailable(f"Queue Storage, {what}: {type(error).__name__}") from None
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise StoreUnavailable(f"Queue Storage, {what}: {answer.status_code}")
        return answer

    def _bearer(self) -> str:
        if self._token is not None:
            return self._token()
        from azure.core.exceptions import AzureError  # noqa: PLC0415

        try:
            return app_credential(self._storage.client_id, ca_bundle=self._ca_bundle).get_token(_SCOPE).token
        except AzureError as error:
            raise StoreUnavailable(f"Queue Storage, token: {type(error).__name__}") from None


def _account(storage: StorageSettings) -> _Account:
    if not storage.connection_string:
        return _Account(endpoint=storage.table_endpoint.replace(".table.", ".queue.", 1))
    text = storage.connection_string
    if text.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
        text = _DEVELOPMENT
    pairs = (part.partition("=") for part in text.split(";") if part)
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    name, suffix = parts.get("accountname", ""), parts.get("endpointsuffix", "core.windows.net")
    endpoint = parts.get("queueendpoint") or f"{parts.get('defaultendpointsprotocol', 'https')}://{name}.queue.{suffix}"
    try:
        key = base64.b64decode(parts.get("accountkey", ""), validate=True)
    except ValueError:
        key = b""
    if not name or not key:
        raise StoreUnavailable("Queue Storage: the connection string holds no account key")
    return _Account(endpoint=endpoint.rstrip("/"), name=name, key=key)


def _peeked(found: tuple[str, str]) -> Peeked:
    """Read one message of the answer to Peek Messages; its text may have been escaped for XML."""
    body, text = found[0], html.unescape(found[1])
    fields = dict(_FIELD.findall(body))
    return Peeked(
        message_id=fields.get("MessageId", ""), body=text.encode(), taken=int(fields.get("DequeueCount", "0")),
        put_at=parsedate_to_datetime(fields["InsertionTime"]),
    )  # fmt: skip


def _signed(account: _Account, url: str, query: Mapping[str, str], headers: dict[str, str]) -> str:
    own = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{account.name}{urlsplit(url).path}" + "".join(f"\n{name}:{query[name]}" for name in sorted(query))
    digest = hmac.digest(account.key, f"GET{_EMPTY_HEADERS}{own}{resource}".encode(), hashlib.sha256)
    return f"SharedKey {account.name}:{base64.b64encode(digest).decode()}"
