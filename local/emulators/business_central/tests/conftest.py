"""A fresh engine, a virtual clock and a small client for each test; no sockets unless a test starts a server."""

import json
from pathlib import Path
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from emulator_world import Api, Recorded, Subscribe, Subscriber

#: Recorded answers; they are not part of the project.
RECORDED = next((one for up in Path(__file__).parents if (one := up / "shared" / "data" / "captures").is_dir()), None)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def subscriber() -> Subscriber:
    return Subscriber()


@pytest.fixture
def bc(clock: VirtualClock, subscriber: Subscriber) -> BusinessCentral:
    return BusinessCentral(clock, seed=7, handshake=subscriber.shake)


@pytest.fixture
def api(bc: BusinessCentral) -> Api:
    return Api(bc)


@pytest.fixture
def subscribe(api: Api) -> Subscribe:
    """Create a subscription to an entity set of the first company."""

    def create(name: str = "items", url: str = "https://hooks.example.com/bc", **given: Any) -> dict[str, Any]:
        resource = f"api/v2.0/companies({api.company_id})/{name}"
        return api.create("/subscriptions", {"notificationUrl": url, "resource": resource, "clientState": "s"} | given)

    return create


@pytest.fixture
def recorded() -> Recorded:
    """Read a recorded answer; skips where the folder of recordings is not checked out beside the repository."""

    def read(name: str) -> Any:
        if RECORDED is None:
            pytest.skip("recorded answers are not part of the project")
        return json.loads((RECORDED / name).read_text(encoding="utf-8"))

    return read
