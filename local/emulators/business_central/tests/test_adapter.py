"""The engine inside a `requests.Session`: same library, same exceptions."""

import json
from decimal import Decimal
from typing import Any

import pytest
import requests
from business_central_emulator import BusinessCentral, EngineAdapter, Fault, FaultKind, VirtualClock, mount

ORIGIN = "https://api.businesscentral.dynamics.com"


@pytest.fixture
def session(bc: BusinessCentral, clock: VirtualClock) -> requests.Session:
    made = mount(requests.Session(), EngineAdapter(bc, on_delay=clock.advance), ORIGIN)
    made.headers["Authorization"] = "Bearer good-app"
    return made


@pytest.fixture
def items(bc: BusinessCentral) -> str:
    return f"{bc.root_url()}/companies({bc.company().id})/items"


def test_a_session_reads_and_writes(session: requests.Session, items: str) -> None:
    """Status, headers, JSON, encoding and streaming work as over a wire."""
    made = session.post(items, json={"displayName": "Stühle"}, timeout=5)
    assert made.status_code == 201
    assert made.headers["location"].endswith(f"/items({made.json()['id']})")
    read = session.get(made.headers["Location"], timeout=5)
    assert read.json()["displayName"] == "Stühle"
    with session.get(items, params={"$top": "2"}, stream=True, timeout=5) as streamed:
        assert json.loads(b"".join(streamed.iter_content(64)), parse_float=Decimal)["value"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.RESET_BEFORE, requests.ConnectionError),
        (FaultKind.RESET_AFTER, requests.ConnectionError),
        (FaultKind.TIMEOUT_BEFORE, requests.ReadTimeout),
        (FaultKind.TIMEOUT_AFTER, requests.ReadTimeout),
        (FaultKind.TRUNCATED, requests.exceptions.ChunkedEncodingError),
    ],
)
def test_transport_faults_raise_what_requests_raises(
    session: requests.Session, items: str, bc: BusinessCentral, kind: FaultKind, error: Any
) -> None:
    """A reset, a silent server and a cut body are the library's own exceptions."""
    bc.faults.add(Fault(kind=kind))
    with pytest.raises(error):
        session.get(items, timeout=5)
    assert session.get(items, timeout=5).status_code == 200


def test_modelled_time_is_spent_on_the_virtual_clock(
    session: requests.Session, items: str, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """An answer takes its modelled seconds; one that takes longer than the timeout is a read timeout."""
    bc.latency.base_s = 3
    start = clock()
    assert session.get(items, timeout=5).status_code == 200
    assert (clock() - start).total_seconds() == 3
    with pytest.raises(requests.ReadTimeout):
        session.get(items, timeout=2)
    assert (clock() - start).total_seconds() == 5


def test_a_silent_server_costs_the_whole_timeout(
    session: requests.Session, items: str, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """The clock moves by the patience of the client."""
    bc.faults.add(Fault(kind=FaultKind.TIMEOUT_BEFORE))
    start = clock()
    with pytest.raises(requests.ReadTimeout):
        session.get(items, timeout=(3, 30))
    assert (clock() - start).total_seconds() == 30


def test_no_content_is_empty(session: requests.Session, items: str, bc: BusinessCentral) -> None:
    """A 204 has no body to wait for."""
    item = bc.user.create_item()
    assert session.delete(f"{items}({item.id})", timeout=5).content == b""
