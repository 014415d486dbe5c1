"""Several connections of one deployment in one process: the shipped `services.build` over emulators and memory.

Each connection has a tenant, a login and an environment of its own, which know nothing of the others: what is sent to
the wrong one is refused by it, as the real one would, and noted.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import jwt
from business_central_emulator import BusinessCentral, HandshakeAnswer, VirtualClock
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.exchange import Request, Response

from local.emulators.entra.directory import Directory, demo_directory
from local.emulators.entra.engine import LoginEngine
from shared import routing, triggers
from shared.outputs import Outputs
from shared.resource_names import (
    QUEUE_NOTIFICATIONS,
    QUEUE_ORDER_RESUMES,
    QUEUE_ORDERS,
    QUEUE_PAGES,
    SECRET_CLIENT,
    SECRET_READER,
    SECRET_WEBHOOK,
    secret_of,
)
from shared.services import Outside, Services, build
from shared.webhooks import receive
from tests.support.fakes_secrets import MemorySecrets
from tests.support.memory_claim_checks import MemoryClaimChecks
from tests.support.memory_storage import MemoryTables

PUBLIC_URL: Final = "https://connect.example"
AUDIENCE: Final = "https://api.businesscentral.dynamics.com"


class Remembering(MemorySecrets):
    """A vault that notes which secrets were read and written, and may refuse some."""

    def __init__(self) -> None:
        """Hold the webhook secret, which is the deployment's."""
        super().__init__(versions={SECRET_WEBHOOK: ["a webhook secret"]})
        self.touched: set[str] = set()

    def read(self, name: str) -> str | None:
        """Return the newest version."""
        self.touched.add(name)
        return super().read(name)


@dataclass
class Place:
    """What one connection is connected to."""

    id: str
    number: int
    clock: VirtualClock
    handshake: Any
    strangers: list[str] = field(default_factory=list)  # tokens and secrets that were somebody else's
    refused: set[str] = field(default_factory=set)  # applications that the environment does not know

    def __post_init__(self) -> None:
        """Set up a tenant with a login, and its environment with one customer and one item."""
        self.secret, self.reader_secret = f"client-secret-of-{self.id}", f"reader-secret-of-{self.id}"
        found = demo_directory(
            redirect_uris=[f"{PUBLIC_URL}/api/connect/callback"], client_secret=self.secret,
            reader_secret=self.reader_secret,
        )  # fmt: skip
        found.tenant_id, found.domain = f"0b1d9d6e-3c5a-4b0e-9f57-6b2c7f8a1d2{self.number}", f"{self.id}.example"
        self.directory: Directory = found
        self.login = _Login(self, found)
        self.bc = BusinessCentral(
            self.clock.now, seed=self.number, tenant_id=found.tenant_id, tenant_domain=found.domain,
            environment=f"Prod-{self.id}", handshake=self.handshake, demo_data=False, check_token=self._check_token,
        )  # fmt: skip
        self.company = self.bc.company()
        self.bc.user.create_customer(number="C00120", displayName="Nordlicht")
        self.bc.user.create_item(number="PRK-1001", displayName="Parka", unitPrice=129.5)

    def env(self) -> dict[str, str]:
        """Return the settings under the connection's prefix."""
        own = {
            "BC_TENANT_ID": self.directory.domain, "BC_ENVIRONMENT": f"Prod-{self.id}",
            "BC_API_URL": f"https://bc-{self.id}.example", "BC_LOGIN_URL": f"https://login-{self.id}.example",
            "BC_COMPANIES": self.company.name,
        }  # fmt: skip
        return {f"{self.id.upper()}__{name}": value for name, value in own.items()}

    def _check_token(self, token: str) -> str | None:
        """Return who asks; None for a token that has ended, and for one of another tenant, which is noted."""
        try:
            claims = self.login.key.check(token, audience=AUDIENCE, now=self.clock.now())
        except jwt.ExpiredSignatureError:
            return None
        except jwt.InvalidTokenError:
            self.strangers.append("token")
            return None
        return None if claims["appid"] in self.refused else str(claims["appid"])


class _Login(LoginEngine):
    def __init__(self, place: Place, directory: Directory) -> None:
        super().__init__(directory, now=place.clock.now)
        self._place = place

    def handle(self, request: Request) -> Response:
        """Answer, and note a client secret that is another connection's."""
        secret = request.form.get("client_secret", "") if request.method == "POST" else ""
        if secret and secret not in {self._place.secret, self._place.reader_secret}:
            self._place.strangers.append("secret")
        return super().handle(request)


class Deployment:
    """The app with its connections; `default` stands for none of them."""

    def __init__(self, *ids: str, **env: str) -> None:
        """Set up tenants, environments and vault; start one process."""
        self.clock = VirtualClock()
        self.places = {one: Place(one, number, self.clock, self._handshake) for number, one in enumerate(ids, 1)}
        self.vault = Remembering()
        for one, place in self.places.items():
            self.vault.versions[secret_of(SECRET_CLIENT, one)] = [place.secret]
            self.vault.versions[secret_of(SECRET_READER, one)] = [place.reader_secret]
        self.tables = MemoryTables()
        self.blobs = MemoryClaimChecks()
        self.env = {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true", "KEY_VAULT_URL": "https://vault.example",
            "BC_CLIENT_ID": next(iter(self.places.values())).directory.applications[0].client_id,
            "BC_AUTH_MODE": "client_secret", "PUBLIC_URL": PUBLIC_URL, "BC_CONNECTIONS": ",".join(ids),
            **{name: value for place in self.places.values() for name, value in place.env().items()}, **env,
        }  # fmt: skip
        self.waiting: dict[str, list[str]] = {}
        self.events: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self.restart()

    def restart(self) -> Services:
        """Start a new process with nothing in memory."""
        sessions = {f"https://bc-{one}.example": place.bc for one, place in self.places.items()}
        logins = session_for({f"https://login-{one}.example": place.login for one, place in self.places.items()})
        self.made = build(
            self.env,
            Outside(
                tables=lambda _: self.tables, claim_checks=lambda _: self.blobs, vault=lambda *_: self.vault,
                business_central=lambda: session_for(sessions), login=logins, now=self.clock.now,
                sleep=self._sleep, threads=1,
            ),
        )  # fmt: skip
        return self.made

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def timer(self, function: str) -> None:
        """Run a timer function, and all that follows from it."""
        self.leave(routing.run_timer(self.made, function, lambda conn: triggers.do_timer(conn, function)))
        self.drain()

    def order(self, key: str, **members: str) -> list[dict[str, Any]]:
        """Put an order on the queue, let it be worked on, and return the results that came of it."""
        line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 2}
        order = {"customerNumber": "C00120", "salesOrderLines": [line]}
        before = len(self.results)
        self._put(QUEUE_ORDERS, json.dumps({**members, "orderKey": key, "order": order}))
        self.drain()
        return self.results[before:]

    def drain(self) -> None:
        """Work until nothing is left; a message that fails is delivered five times."""
        while any(self.waiting.values()):
            for queue in list(self.waiting):
                for text in self.waiting.pop(queue):
                    self._work(queue, text)

    def _work(self, queue: str, text: str) -> None:
        for delivery in range(1, 6):
            try:
                name = f"m-{abs(hash(text))}"
                self.leave(routing.do_message(self.made, queue, text.encode(), name, delivery, triggers.WORK))
            except Exception as error:  # noqa: BLE001 - as the host, which delivers again
                self.failed.append(f"{queue}: {error}")
                self.clock.advance(30)
                continue
            return

    def leave(self, outgoing: Outputs) -> None:
        """Take what leaves."""
        self.events += [event for text in outgoing.events for event in json.loads(text)]
        self.results += [json.loads(text) for text in outgoing.results]
        leaving = outgoing.by_queue()
        for queue in (QUEUE_PAGES, QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES):
            for text in leaving[queue]:
                self._put(queue, text)

    def _put(self, queue: str, text: str) -> None:
        self.waiting.setdefault(queue, []).append(text)

    def _handshake(self, url: str) -> HandshakeAnswer | None:
        token = unquote(url.rpartition("validationToken=")[2])
        reply = receive.receive({"validationToken": token}, "x", b"", lambda _: None)
        return HandshakeAnswer(status=reply.status, content_type="text/plain", body=reply.body.encode())
