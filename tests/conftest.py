"""What every test gets: an environment without the app's settings, no network but loopback, a clock that stands."""

import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.azurite import running_azurite

# Shared machines stall: hypothesis judges results, not speed. Derandomized, so that a red run is red again.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")

# No setting of the machine that runs the tests, nor its proxy for loopback.
_OURS = ("BC_", "AzureWebJobs", "AZURE_", "KEY_VAULT_", "PUBLIC_URL", "CA_BUNDLE", "WEBSITE_", "IDENTITY_", "MSI_")
for _name in [name for name in os.environ if name.startswith(_OURS)]:
    del os.environ[_name]
os.environ |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1")


#: Where `--cov` measures `shared`: its code runs in this process there, and measuring all suites would cost minutes.
_MEASURED = ("unit", "usecases")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the other suites unmeasured."""
    if not any(item.path.is_relative_to(Path(__file__).parent / suite) for suite in _MEASURED):
        item.add_marker("no_cover")


class FixedClock:
    """A clock that moves when the test moves it: call it for the time, `advance(s)` to let time pass."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon of a working day."""
    return FixedClock(datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC))


@pytest.fixture(autouse=True)
def log_levels_stay() -> Iterator[None]:
    """Put back what a test makes of the levels of the app's loggers: the next one must not see other lines for it."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)
    for name, log in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "shared" and isinstance(log, logging.Logger):
            log.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse connections and name look-ups that would leave the machine."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    real_lookup = socket.getaddrinfo

    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        _demand_loopback(host)
        return real_lookup(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", lookup)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of one Azurite that lives as long as the test session."""
    with running_azurite(Path(tmp_path_factory.mktemp("azurite"))) as connection_string:
        yield connection_string


def _guarded(real: Callable[..., object]) -> Callable[..., object]:
    def guarded(self: socket.socket, address: object) -> object:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert isinstance(address, tuple)
            _demand_loopback(address[0])
        return real(self, address)

    return guarded


def _demand_loopback(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost"}:
        return
    try:
        is_loopback = ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise PermissionError(f"a test must not leave the machine: {name}")
