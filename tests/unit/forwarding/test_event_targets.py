"""The kind follows from the host name; everything that is no receiver is refused with a rule and without the value."""

import pytest

from shared.connections.settings_reader import DEFAULTS, read_settings
from shared.errors import ConfigError
from shared.forwarding.event_targets import TargetKind, read_target
from tests.simulation.world import ENV

GRID = "https://orders.westeurope-1.eventgrid.azure.net"
TOPIC = f"{GRID}/api/events?api-version=2018-01-01"
NAMESPACE_TOPIC = f"{GRID}/topics/orders:publish?api-version=2024-06-01"
BUS = "https://contoso.servicebus.windows.net"


@pytest.mark.parametrize(
    ("text", "kind", "url"),
    [
        (GRID, TargetKind.EVENT_GRID, TOPIC),
        (f"{GRID}/", TargetKind.EVENT_GRID, TOPIC),
        (f"{GRID}/api/events", TargetKind.EVENT_GRID, TOPIC),
        (f"{GRID}/topics/orders", TargetKind.EVENT_GRID, NAMESPACE_TOPIC),
        (f"{GRID}/topics/orders:publish", TargetKind.EVENT_GRID, NAMESPACE_TOPIC),
        (f"{GRID.upper()}:443".replace("HTTPS", "https"), TargetKind.EVENT_GRID, TOPIC),
        (f"{BUS}/bc-events", TargetKind.SERVICE_BUS, f"{BUS}/bc-events/messages?timeout=60"),
        (f"{BUS}/sales/bc-events/", TargetKind.SERVICE_BUS, f"{BUS}/sales/bc-events/messages?timeout=60"),
        (f"{BUS}/bc-events/messages", TargetKind.SERVICE_BUS, f"{BUS}/bc-events/messages?timeout=60"),
        ("https://hooks.example", TargetKind.WEBHOOK, "https://hooks.example/"),
        ("https://Hooks.example:8443/in?code=a", TargetKind.WEBHOOK, "https://hooks.example:8443/in?code=a"),
        ("https://eventgrid.azure.net.example/a", TargetKind.WEBHOOK, "https://eventgrid.azure.net.example/a"),
        ("https://[::1]:8443/in", TargetKind.WEBHOOK, "https://[::1]:8443/in"),
    ],
)  # fmt: skip
def test_an_address_names_a_kind_and_where_requests_go(text: str, kind: TargetKind, url: str) -> None:
    """Tokens are asked for by kind, and go to that address only."""
    target = read_target(text)
    assert target is not None
    assert (target.kind, target.url) == (kind, url)
    assert bool(target.scope) == (kind is not TargetKind.WEBHOOK)
    assert target.url not in repr(target)
    assert "code=" not in target.shown


def test_the_queue_is_no_receiver() -> None:
    """The default, as it always was."""
    assert DEFAULTS["BC_EVENTS_TO"] == "queue"
    assert read_target("queue") is None
    assert read_settings(ENV).events_to == "queue"


@pytest.mark.parametrize(
    "text",
    [
        "Queue", "events", "http://hooks.example/in", "http://orders.westeurope-1.eventgrid.azure.net/api/events",
        "sb://contoso.servicebus.windows.net/bc-events", "amqps://contoso.example", "https://", "https:///in",
        "https://evil.example\\.eventgrid.azure.net/api/events",
        "https://evil.example%2eeventgrid.azure.net/api/events",
        "https://evil.example\\.servicebus.windows.net/a", "https://hooks.example\t/in", "https://hooks.example\x00/in",
        "https://hooks.example%00.eventgrid.azure.net", "https://evil.example;.eventgrid.azure.net/api/events",
        "https://user:secret@hooks.example/in", "https://hooks.example/in#part", "https://hooks.example/a b",
        "https://hooks.example/ä", "https://hooks.example:port/", "https://[::1/in", f"{GRID}/topics",
        f"{GRID}/api/event",
        f"{GRID}/api/events?api-version=2018-01-01", f"{GRID}/topics/a", BUS, f"{BUS}/", f"{BUS}/a?b=c", f"{BUS}//a",
        "https://store.queue.core.windows.net/bc-events",
        "https://orders.usgovvirginia-1.eventgrid.azure.us/api/events",
        "https://kv.vault.azure.net/secrets/a",
    ],
)  # fmt: skip
def test_a_wrong_address_is_one_fault_that_names_the_setting_and_no_value(text: str) -> None:
    """Nothing starts with it: no event can go where nobody takes it."""
    with pytest.raises(ConfigError) as caught:
        read_settings({**ENV, "BC_EVENTS_TO": text})
    assert list(caught.value.faults) == ["BC_EVENTS_TO"]
    assert "secret" not in str(caught.value)
    assert "must be" in str(caught.value)
