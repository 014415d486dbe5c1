"""Pages and next links."""

from typing import Any

import pytest
from business_central_emulator import BusinessCentral, Request, VirtualClock
from emulator_world import Api, Recorded


def read_all(api: Api, path: str, **headers: str) -> list[list[dict[str, Any]]]:
    """Follow next links verbatim to the end."""
    pages, url = [], api.url(path)
    while url:
        answer = api.get(url, **headers)
        assert answer.status == 200, answer.body
        pages.append(answer.json()["value"])
        url = answer.json().get("@odata.nextLink")
        assert len(pages) < 200
    return pages


def test_the_next_link_has_the_recorded_shape(api: Api, recorded: Recorded) -> None:
    """Absolute, the options re-emitted as sent, then `aid=FIN&$skiptoken=<last id>`."""
    theirs = recorded("customers-page-nextlink.json")
    assert theirs["@odata.nextLink"].endswith(f"?aid=FIN&$skiptoken={theirs['value'][-1]['id']}")
    plain = api.get("items", Prefer="odata.maxpagesize=3")
    assert plain.json()["@odata.nextLink"] == f"{api.url('items')}?aid=FIN&$skiptoken={plain.json()['value'][-1]['id']}"
    assert plain.headers["Preference-Applied"] == "odata.maxpagesize"
    options = "$filter=number%20ge%20'1'&$select=id,number"
    filtered = api.get(f"items?{options}", Prefer="odata.maxpagesize=3").json()
    assert (
        filtered["@odata.nextLink"] == f"{api.url('items')}?{options}&aid=FIN&$skiptoken={filtered['value'][-1]['id']}"
    )


@pytest.mark.parametrize("query", ["", "?$orderby=lastModifiedDateTime", "?$orderby=unitPrice desc",
                                   "?$filter=unitPrice gt 100", "?$expand=itemVariants"])  # fmt: skip
@pytest.mark.parametrize("rows", [1, 7, 80, 81])
def test_pages_add_up_to_the_whole(api: Api, query: str, rows: int) -> None:
    """Every row exactly once, in order, whatever the page size."""
    pages = read_all(api, f"items{query}", Prefer=f"odata.maxpagesize={rows}")
    assert [row for page in pages for row in page] == api.rows(f"items{query}")
    assert all(len(page) == rows for page in pages[:-1])


def test_a_page_holds_at_most_20000_rows(api: Api, bc: BusinessCentral) -> None:
    """More cannot be asked for; without a preference it is 20,000 too."""
    bc.bulk_items(20_005)
    for headers in ({}, {"Prefer": "odata.maxpagesize=50000"}):
        pages = read_all(api, "items?$select=number", **headers)
        assert [len(page) for page in pages] == [20_000, 85]


def test_top_within_a_page_has_no_next_link(api: Api) -> None:
    """With `$top` a missing next link says nothing about the rest."""
    answer = api.get("items?$top=5").json()
    assert len(answer["value"]) == 5
    assert "@odata.nextLink" not in answer


def test_top_beyond_a_page_carries_the_remainder(api: Api, bc: BusinessCentral) -> None:
    """`$top=25000`: 20,000 rows, then `$top=5000&aid=FIN&$skiptoken=..`, then the end."""
    bc.bulk_items(26_000)
    first = api.get("items?$top=25000&$select=number").json()
    assert "$top=5000&aid=FIN&$skiptoken=" in first["@odata.nextLink"]
    assert [len(page) for page in read_all(api, "items?$top=25000&$select=number")] == [20_000, 5_000]


def test_rows_created_behind_the_reader_do_not_shift_pages(api: Api, bc: BusinessCentral) -> None:
    """Continuation is by the last row's place in the order, not by an offset."""
    first = api.get("items?$select=number", Prefer="odata.maxpagesize=10").json()
    bc.user.create_item(number="0000")
    rest = read_all(api, first["@odata.nextLink"], Prefer="odata.maxpagesize=10")
    numbers = [row["number"] for page in [first["value"], *rest] for row in page]
    assert len(numbers) == len(set(numbers)) == 80


def test_a_row_that_moves_ahead_is_read_again(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """In order of lastModifiedDateTime a changed row comes once more at the end: nothing is missed."""
    first = api.get("items?$orderby=lastModifiedDateTime", Prefer="odata.maxpagesize=10").json()
    clock.advance(5)
    moved = bc.table("items").the("id", first["value"][0]["id"])
    bc.user.update(moved, {"displayName": "moved"})
    rest = [row for page in read_all(api, first["@odata.nextLink"]) for row in page]
    assert rest[-1]["id"] == moved.id
    assert len(first["value"]) + len(rest) == 81


def test_a_skip_token_of_a_deleted_row_is_no_longer_valid(api: Api, bc: BusinessCentral) -> None:
    """400 SkipTokenIsNoLongerValid."""
    answer = api.get("items", Prefer="odata.maxpagesize=80").json()
    assert "@odata.nextLink" not in answer
    item = bc.user.create_item(number="000")
    link = api.get("items", Prefer="odata.maxpagesize=1").json()["@odata.nextLink"]
    bc.user.delete(item)
    gone = api.get(link)
    assert (gone.status, gone.json()["error"]["code"]) == (400, "SkipTokenIsNoLongerValid")


def test_full_pages_may_all_have_a_link(clock: VirtualClock) -> None:
    """With the switch on, a page that is exactly full links to an empty last page (seen in a recording)."""
    engine = BusinessCentral(clock, links_full_pages=True)
    root = engine.root_url() + f"/companies({engine.company().id})"
    headers = {"Authorization": "Bearer good-app", "Prefer": "odata.maxpagesize=80"}
    first = engine.handle(Request(method="GET", url=f"{root}/items", headers=headers)).json()
    last = engine.handle(Request(method="GET", url=first["@odata.nextLink"], headers=headers)).json()
    assert (len(first["value"]), last["value"], "@odata.nextLink" in last) == (80, [], False)


def test_counts_are_those_of_the_filter_on_every_page(api: Api) -> None:
    """`@odata.count` ignores paging."""
    first = api.get("items?$count=true&$filter=unitPrice gt 100", Prefer="odata.maxpagesize=2").json()
    second = api.get(first["@odata.nextLink"], Prefer="odata.maxpagesize=2").json()
    assert first["@odata.count"] == second["@odata.count"] == len(api.rows("items?$filter=unitPrice gt 100"))
