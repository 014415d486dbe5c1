"""Fixtures for tests of programs that talk to Business Central: `bc` in process, `bc_server` on a loopback socket."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from business_central_emulator.data.clock import ScaledClock, VirtualClock
from business_central_emulator.engine import BusinessCentral
from business_central_emulator.server.adapter import EngineAdapter, mount
from business_central_emulator.server.service import business_central
from business_central_emulator.server.threaded import served_application

ORIGIN = "https://api.businesscentral.dynamics.com"
TOKEN = "good-test"  # noqa: S105 what the emulator takes for a token without an issuer


@dataclass(frozen=True, slots=True)
class BusinessCentralServer:
    """A running server: its engine, its origin, and the root of API v2.0."""

    engine: BusinessCentral
    origin: str

    @property
    def root(self) -> str:
        """API root of the environment, e.g. `<origin>/v2.0/<tenant>/production/api/v2.0`."""
        return self.engine.root_url(origin=self.origin)

    @property
    def headers(self) -> dict[str, str]:
        """A token that the server takes."""
        return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def bc() -> BusinessCentral:
    """A fresh Business Central on a clock that stands still until `bc.clock.advance(seconds)`."""
    return BusinessCentral(VirtualClock())


@pytest.fixture
def bc_session(bc: BusinessCentral) -> requests.Session:
    """A session that reaches `bc` under Microsoft's origin, with a token; modelled delays move the clock."""
    session = mount(requests.Session(), EngineAdapter(bc, on_delay=getattr(bc.clock, "advance", None)), ORIGIN)
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    return session


@pytest.fixture
def bc_server() -> Iterator[BusinessCentralServer]:
    """A fresh Business Central on a free loopback port, plain HTTP, real time."""
    engine = BusinessCentral(ScaledClock(), webhook_delay_s=1.0)
    with served_application(business_central(engine)) as origin:
        yield BusinessCentralServer(engine, origin)
