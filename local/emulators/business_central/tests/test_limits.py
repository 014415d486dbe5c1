"""Request accounting and limits per principal."""

import threading

import requests
from business_central_emulator import BusinessCentral, EngineAdapter, VirtualClock, mount
from emulator_world import Api


def test_6000_requests_in_five_minutes_and_no_more(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """The 6,001st is 429; the window slides."""
    bc.limits.enforced = True
    bc.limits.max_in_window = 60  # a smaller number of the same kind
    assert {api.get("items?$top=1").status for _ in range(60)} == {200}
    refused = api.get("items?$top=1")
    assert (refused.status, refused.json()["error"]["code"]) == (429, "Application_TooManyRequests")
    clock.advance(299)
    assert api.get("items?$top=1").status == 429
    clock.advance(1)
    assert api.get("items?$top=1").status == 200


def test_limits_are_per_principal(api: Api, bc: BusinessCentral) -> None:
    """Another service principal has a quota of its own."""
    bc.limits.enforced = True
    bc.limits.max_in_window = 1
    assert [api.get("companies").status for _ in range(2)][1] == 429
    api.token = "good-other"
    assert api.get("/companies").status == 200


def test_without_the_switch_excess_is_counted_only(api: Api, bc: BusinessCentral) -> None:
    """A test can prove that a client stayed within the limits."""
    bc.limits.max_in_window = 10
    assert {api.get("/companies").status for _ in range(15)} == {200}
    usage = bc.statistics()["principals"]["app"]
    assert (usage["requests"], usage["over_window"], usage["refused"]) == (15, 5, 0)


def test_statistics_name_requests_methods_and_the_busiest_window(
    api: Api, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """Requests per principal and method, the most in any five minutes, deliveries."""
    for _ in range(3):
        api.get("/companies")
    clock.advance(400)
    api.post("items", {"displayName": "x"})
    numbers = bc.statistics()
    assert (numbers["requests"], numbers["methods"]) == (4, {"GET": 3, "POST": 1})
    assert numbers["principals"]["app"]["max_in_window"] == 3
    bc.limits.reset()
    assert bc.statistics()["requests"] == 0


def test_five_at_once_and_the_rest_waits(bc: BusinessCentral) -> None:
    """With limits enforced the sixth caller gets its place when one of the five leaves."""
    bc.limits.enforced = True
    assert all(bc.limits.enter("app") for _ in range(5))
    entered = threading.Event()

    def sixth() -> None:
        bc.limits.enter("app")
        entered.set()

    thread = threading.Thread(target=sixth)
    thread.start()
    assert not entered.wait(0.05)
    bc.limits.leave("app")
    assert entered.wait(5)
    thread.join()
    usage = bc.statistics()["principals"]["app"]
    assert (usage["max_at_once"], usage["over_at_once"]) == (5, 1)
    assert usage["at_once_s"][5] >= 0.05


def test_more_than_100_connections_are_refused(bc: BusinessCentral) -> None:
    """5 processed and 95 waiting; the 101st is 429 at once."""
    bc.limits.enforced = True
    for _ in range(5):
        bc.limits.enter("app")
    bc.limits.usage["app"].waiting = 95
    assert bc.limits.enter("app") is False
    assert bc.statistics()["principals"]["app"]["refused"] == 1


def test_parallel_clients_are_seen_as_such(bc: BusinessCentral) -> None:
    """Requests that overlap are counted as overlapping, through the adapter, while their modelled time passes."""
    gate = threading.Barrier(3)
    bc.latency.base_s = 0.1
    bc.limits.enforced = False
    adapter = EngineAdapter(bc, on_delay=lambda _seconds: gate.wait(5))
    url = bc.root_url() + "/companies"

    def client() -> None:
        session = mount(requests.Session(), adapter, "https://api.businesscentral.dynamics.com")
        session.get(url, headers={"Authorization": "Bearer good-app"}, timeout=5)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bc.statistics()["principals"]["app"]["max_at_once"] == 3
