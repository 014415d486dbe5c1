"""What Business Central offers, kept in rows: read as it was written, and read anew where a row is spoilt."""

import zlib
from datetime import UTC, datetime

from business_central_emulator.data.schema import ENTITIES
from business_central_emulator.odata.metadata import edmx

from shared.business_central.metadata import read_metadata
from shared.connections.discovery_store import DiscoveryStore, Kept
from shared.storage.packed_ids import spread
from shared.storage.table import Row, Value
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 2, 11, 9, 0, tzinfo=UTC)
SHOP = "contoso/shop/v1.0"


def test_routes_are_kept_with_their_time_one_without_sets_included() -> None:
    """A route that is not published is known as such; connections see their own rows only."""
    table = MemoryTables().table("BcConnections")
    store, facts = DiscoveryStore(table, "eu"), read_metadata(edmx(ENTITIES))
    store.save_route("v2.0", facts, AT)
    store.save_route(SHOP, {}, AT)
    assert store.routes() == {"v2.0": Kept(facts, AT), SHOP: Kept({}, AT)}
    assert DiscoveryStore(table, "us").routes() == {}


def test_what_may_be_subscribed_is_kept_by_company() -> None:
    """In lower case, as it is compared."""
    store = DiscoveryStore(MemoryTables().table("BcConnections"), "eu")
    assert store.webhooks_of("c1") is None
    store.save_webhooks("c1", frozenset({"v2.0/items", f"{SHOP}/stocklevels"}), AT)
    store.save_webhooks("c2", frozenset(), AT)
    assert store.webhooks_of("c1") == Kept(frozenset({"v2.0/items", f"{SHOP}/stocklevels"}), AT)
    assert store.webhooks() == {"c1": store.webhooks_of("c1"), "c2": Kept(frozenset(), AT)}


def test_a_row_that_nobody_can_read_counts_as_absent() -> None:
    """It is then read anew, as if it had never been written."""
    table = MemoryTables().table("BcConnections")
    table.upsert(Row(partition="eu", key="metadata|v2.0", values={"at": AT, "data00": b"not packed"}))
    table.upsert(Row(partition="eu", key="webhooks|c1", values={"data00": b""}))
    assert DiscoveryStore(table, "eu").routes() == {}
    assert DiscoveryStore(table, "eu").webhooks_of("c1") is None


def kept_of(values: dict[str, Value]) -> Kept[frozenset[str]] | None:
    """What may be subscribed, out of a row that somebody else wrote."""
    table = MemoryTables().table("BcConnections")
    table.upsert(Row(partition="eu", key="webhooks|c1", values=values))
    return DiscoveryStore(table, "eu").webhooks_of("c1")


def test_a_row_without_its_time_or_its_end_counts_as_absent() -> None:
    """Nobody knows how old the one is and what the other lacks."""
    packed = zlib.compress(b'["v2.0/items"]')
    assert kept_of({"at": AT, **spread("data", packed)}) == Kept(frozenset({"v2.0/items"}), AT)
    assert kept_of(dict(spread("data", packed))) is None
    assert kept_of({"at": AT, **spread("data", packed[:-1])}) is None


def test_what_unpacks_beyond_all_measure_counts_as_absent() -> None:
    """Sixteen MiB are read, which no Business Central fills; more would take the memory of the process."""
    most = b'["v2.0/items"' + b" " * ((16 << 20) - 14) + b"]"
    assert kept_of({"at": AT, **spread("data", zlib.compress(most, 9))}) == Kept(frozenset({"v2.0/items"}), AT)
    assert kept_of({"at": AT, **spread("data", zlib.compress(most + b" ", 9))}) is None
