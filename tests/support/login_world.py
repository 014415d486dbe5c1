"""The world around `EntraTokens`: the login of the local stack, a vault and a table, and processes that can be killed.

MSAL is the real one; all runs in this process on a clock that the test moves.
"""

from collections.abc import Callable
from typing import cast

from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.exchange import Engine, Request, Response

from local.emulators.entra.browser import sign_in as browse
from local.emulators.entra.directory import CLIENT_ID, DOMAIN, demo_directory
from local.emulators.entra.engine import LoginEngine
from shared.connections.settings_reader import read_settings
from shared.errors import StoreUnavailable, TokenError
from shared.login.login_state import LOGIN_KEY
from shared.login.tokens import EntraTokens
from shared.resource_names import SECRET_CLIENT, TABLE_CONNECTIONS
from shared.settings import Settings
from shared.storage.table import Row, Table
from tests.conftest import FixedClock
from tests.support.fakes_secrets import MemorySecrets
from tests.support.memory_storage import MemoryTables

LOGIN = "https://localhost:8443"
CALLBACK = "https://app.example/api/connect/callback"
SECRET = "the-first-secret"
MEGAN = f"megan@{DOMAIN}"
ALEX = f"alex@{DOMAIN}"
REFRESH = r"POST .*/token$"


def settings(mode: str) -> Settings:
    return read_settings(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "KEY_VAULT_URL": "https://localhost:8444",
            "BC_TENANT_ID": DOMAIN,
            "BC_CLIENT_ID": CLIENT_ID,
            "BC_AUTH_MODE": mode,
            "BC_LOGIN_URL": LOGIN,
            "PUBLIC_URL": "https://app.example",
        }
    )


class Killed(BaseException):
    """The process ends here."""


class Process:
    """One life of an instance. Its effects on the outside are numbered; at the one told it is killed for good."""

    def __init__(self, world: "World", *, kill_at: int = 0, after: bool = False) -> None:
        self.effects: list[str] = []
        self._kill_at = kill_at
        self._after = after
        self._is_dead = False
        self.during: Callable[[str], None] = lambda _: None  # called while the effect is under way
        tables = world.tables.view(self)
        self.tokens = EntraTokens(
            world.settings,
            _Secrets(world.secrets, self),
            tables,
            now=world.clock,
            new_id=world.new_id,
            sleep=world.clock.advance,
            assertion=world.assertion,
            session=session_for({LOGIN: _Login(world.login, self)}),
        )

    def effect[T](self, name: str, act: Callable[[], T]) -> T:
        """Do something to the outside, unless the process is killed just before; it may be killed just after."""
        self._live()
        self.effects.append(name)
        is_last = len(self.effects) == self._kill_at
        if is_last and not self._after:
            self._is_dead = True
            self._live()
        self.during(name)
        result = act()
        if is_last:
            self._is_dead = True
            self._live()
        return result

    def _live(self) -> None:
        if self._is_dead:
            raise Killed


class _Secrets:
    def __init__(self, secrets: MemorySecrets, process: Process) -> None:
        self._secrets = secrets
        self._process = process

    def read(self, name: str) -> str | None:
        return self._process.effect(f"read {name}", lambda: self._secrets.read(name))

    def write(self, name: str, value: str) -> None:
        self._process.effect(f"write {name}", lambda: self._secrets.write(name, value))


class _Login(Engine):
    """The way to the login. What a dead process asked has reached Entra all the same."""

    def __init__(self, login: Engine, process: Process) -> None:
        self._login = login
        self._process = process

    def handle(self, request: Request) -> Response:
        return self._process.effect(f"{request.method} {request.path}", lambda: self._login.handle(request))


class _Tables:
    """The table BcConnections as seen by processes that can be killed at each call."""

    def __init__(self) -> None:
        self.real = MemoryTables().table(TABLE_CONNECTIONS)

    def view(self, process: Process) -> Table:
        return cast("Table", _Table(self.real, process))  # it has every method of a table, each by `__getattr__`


class _Table:
    def __init__(self, real: object, process: Process) -> None:
        self._real = real
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._real, name)
        return lambda *args, **kwargs: self._process.effect(f"table {name}", lambda: method(*args, **kwargs))


class World:
    """Everything that outlives a process."""

    def __init__(self, clock: FixedClock, mode: str) -> None:
        self.clock = clock
        self.settings = settings(mode)
        self.login = LoginEngine(demo_directory(redirect_uris=[CALLBACK], client_secret=SECRET), now=clock)
        self.secrets = MemorySecrets(versions={SECRET_CLIENT: [SECRET]})
        self.tables = _Tables()
        self.assertion: Callable[[], str] | None = None
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:032x}"

    def start(self, *, kill_at: int = 0, after: bool = False) -> Process:
        return Process(self, kill_at=kill_at, after=after)

    def answer_of(self, address: str, user: str = MEGAN) -> dict[str, str]:
        """Sign in as a person does; give what comes back to the callback."""
        app = _Callback()
        session = session_for({LOGIN: self.login, "https://app.example": app})
        browse(session, address, user)
        return app.query

    def connect(self, user: str = MEGAN) -> str:
        process = self.start()
        address, flow = process.tokens.begin_sign_in(CALLBACK)
        return process.tokens.finish_sign_in(flow, self.answer_of(address, user))

    def refreshes(self) -> int:
        return sum(asked.grant_type == "refresh_token" for asked in self.login.requests)

    def row(self, key: str) -> Row | None:
        return self.tables.real.get(self.settings.connection, key)

    def login_row(self) -> Row:
        row = self.row(LOGIN_KEY)
        assert row
        return row

    def is_good(self, token: str) -> bool:
        claims = self.login.key.check(token, audience="https://api.businesscentral.dynamics.com", now=self.clock())
        return claims["appid"] == CLIENT_ID

    def patient(self, process: Process, tries: int = 12) -> str:
        """Ask for a token as a queue does: again after a while as long as waiting can help."""
        for _ in range(tries):
            try:
                return process.tokens.token()
            except (TokenError, StoreUnavailable) as error:
                if not error.retryable:
                    raise
                self.clock.advance(15)
        raise AssertionError("no token after many tries")


class _Callback(Engine):
    def __init__(self) -> None:
        self.query: dict[str, str] = {}

    def handle(self, request: Request) -> Response:
        self.query = dict(request.query)
        return Response(status=200, body=b"done")
