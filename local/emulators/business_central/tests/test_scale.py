"""The emulator stays quick with a large company, so that what is measured is the client."""

import time

from business_central_emulator import BusinessCentral, Request, VirtualClock


def test_a_large_company_loads_and_pages_quickly() -> None:
    """30,000 items with 60,000 variants load in seconds; a page of 20,000 rows, once rendered, is a join.

    The bounds are five times what a slow machine needs; the full size (100,000 and 200,000) scales linearly.
    """
    bc = BusinessCentral(VirtualClock(), seed=2)
    started = time.perf_counter()
    bc.bulk_items(30_000, 2)
    loaded_s = time.perf_counter() - started
    url = f"{bc.root_url()}/companies({bc.company().id})"

    def page(path: str) -> float:
        began = time.perf_counter()
        headers = {"Authorization": "Bearer good-app"}
        answer = bc.handle(Request(method="GET", url=f"{url}/{path}", headers=headers))
        assert answer.status == 200
        assert answer.body.count(b'"@odata.etag"') >= 20_000
        return time.perf_counter() - began

    first_s = page("items")
    again_s = page("items?$orderby=lastModifiedDateTime")
    variants_s = page("items?$expand=itemVariants($select=code)")
    assert loaded_s < 6
    assert first_s < 4
    assert again_s < 1.5
    assert variants_s < 8


def test_a_delta_over_a_large_company_touches_the_changed_rows_only() -> None:
    """`lastModifiedDateTime ge ..` in default order takes the range from an index."""
    clock = VirtualClock()
    bc = BusinessCentral(clock, seed=2)
    bc.bulk_items(30_000)
    clock.advance(3600)
    changed = [bc.user.create_item().id for _ in range(5)]
    url = f"{bc.root_url()}/companies({bc.company().id})/items?$filter=lastModifiedDateTime ge 2026-02-11T09:30:00Z"
    request = Request(method="GET", url=url, headers={"Authorization": "Bearer good-app"})
    bc.handle(request)
    began = time.perf_counter()
    rows = bc.handle(request).json()["value"]
    assert sorted(row["id"] for row in rows) == sorted(changed)
    assert time.perf_counter() - began < 0.1
