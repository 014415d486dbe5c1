"""The setting BC_ENTITIES: its form, and one message for each entry that breaks it (P22)."""

import json

import pytest

from shared.connections.entity_entries import Entry, nearest, read_entries


def read(*entries: object) -> tuple[list[Entry], list[str]]:
    """The entries of a list, and what is refused."""
    return read_entries(json.dumps(entries))


def test_nothing_is_no_entry() -> None:
    """Unset or blank."""
    assert read_entries(" ") == ([], [])
    assert read() == ([], [])


def test_only_the_entity_set_is_required() -> None:
    """All else has a default or is discovered."""
    assert read({"entitySet": "customers"}) == ([Entry(place=1, entity_set="customers", route="v2.0")], [])


def test_every_member_is_read() -> None:
    """The example of the documentation; a custom page is called by its route and its set."""
    given = {
        "entitySet": "stockLevels", "route": "Contoso/Shop/v1.0", "event": "stockLevel", "expand": ["bins"],
        "select": ["quantity"], "changes": ["created", "updated"], "onlyWhenChanged": ["quantity"], "pull": True,
        "watch": "reconcile",
    }  # fmt: skip
    (entry,), faults = read(given)
    assert faults == []
    assert entry == Entry(
        place=1, entity_set="stockLevels", route="contoso/shop/v1.0", event="stockLevel", expand=("bins",),
        select=("quantity",), changes=frozenset({"created", "updated"}), pull=True, watch="reconcile",
        only_when_changed=("quantity",),
    )  # fmt: skip
    assert entry.name == "contoso/shop/v1.0/stockLevels"


@pytest.mark.parametrize("text", ["{", "customers", "{}", '"customers"', "5", "null", "[" * 100_000])
def test_what_is_no_list_is_one_message(text: str) -> None:
    """It names the setting and shows the form, and repeats nothing of the value."""
    entries, (fault,) = read_entries(text)
    assert entries == []
    assert fault.startswith("BC_ENTITIES: must be a JSON list")
    assert '[{"entitySet": "customers"}]' in fault


def test_a_hundred_entries_are_enough() -> None:
    """More are one message, as for what is no list."""
    names = [{"entitySet": f"set{number}"} for number in range(101)]
    entries, faults = read(*names[:100])
    assert ([entry.place for entry in entries], faults) == (list(range(1, 101)), [])
    entries, (fault,) = read(*names)
    assert entries == []
    assert "at most 100 entries" in fault


ROUTE_RULE = "entry 1 (a): route: must be v2.0, or publisher/group/version such as contoso/shop/v1.0"
EXPAND_RULE = 'entry 1 (a): expand: must be a list of names such as ["number"]'
WATCH_RULE = "watch: must be one of auto, webhook, reconcile, off"
CHANGES = "created, updated, deleted"
WRONG = [
    ("customers", 'entry 1: must be an object such as {"entitySet": "customers"}'),
    ({}, "entry 1: entitySet: is required"),
    (
        {"entityset": "a"},
        "entry 1: entityset: is no member of an entry; did you mean 'entitySet'?; entitySet: is required",
    ),
    ({"entitySet": "a", "pul": True}, "entry 1 (a): pul: is no member of an entry; did you mean 'pull'?"),
    ({"entitySet": "a", "zzzzz": 1}, "entry 1 (a): zzzzz: is no member of an entry"),
    ({"entitySet": "cust omers"}, "entry 1: entitySet: must be the name of an entity set, as in its URL"),
    ({"entitySet": "a", "route": "v1.0"}, ROUTE_RULE),
    ({"entitySet": "a", "route": "contoso/../v1.0"}, ROUTE_RULE),
    ({"entitySet": "a", "route": "api/contoso/shop/v1.0"}, ROUTE_RULE),
    ({"entitySet": "a", "route": 5}, ROUTE_RULE),
    ({"entitySet": "a", "event": "a.b"}, "entry 1 (a): event: must be a noun in letters, as in bc.item.created.v1"),
    ({"entitySet": "a", "expand": "bins"}, EXPAND_RULE),
    ({"entitySet": "a", "expand": ["bins($top=1)"]}, EXPAND_RULE),
    (
        {"entitySet": "a", "changes": ["create"]},
        f"entry 1 (a): changes: 'create' is not one of {CHANGES}; did you mean 'created'?",
    ),
    ({"entitySet": "a", "changes": []}, f"entry 1 (a): changes: must name at least one of {CHANGES}"),
    ({"entitySet": "a", "pull": "true"}, "entry 1 (a): pull: must be true or false"),
    ({"entitySet": "a", "watch": "webhooks"}, f"entry 1 (a): {WATCH_RULE}; did you mean 'webhook'?"),
    ({"entitySet": "a", "watch": ["auto"]}, f"entry 1 (a): {WATCH_RULE}"),
    ({"entitySet": "a", "pull": 1, "watch": 1}, f"entry 1 (a): pull: must be true or false; {WATCH_RULE}"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "said"), WRONG)
def test_a_wrong_entry_is_refused_alone(entry: object, said: str) -> None:
    """One message with setting, entry, member and rule; what stands beside it counts."""
    entries, faults = read(entry, {"entitySet": "vendors"})
    assert [one.entity_set for one in entries] == ["vendors"]
    assert faults == [f"BC_ENTITIES {said}"]


def test_two_entries_about_one_set_are_refused() -> None:
    """Nobody knows which options should count; another route is another set."""
    entries, faults = read({"entitySet": "items"}, {"entitySet": "Items"}, {"entitySet": "items", "route": "a/b/c"})
    assert [one.name for one in entries] == ["items", "a/b/c/items"]
    assert faults == ["BC_ENTITIES entry 2 (Items): entry 1 is about the same entity set; write one entry for it"]


def test_the_nearest_name_is_told_only_when_it_is_near() -> None:
    """Whatever its case."""
    assert nearest("CUSTMERS", ["customers", "vendors"]) == "; did you mean 'customers'?"
    assert nearest("xyz", ["customers", "vendors"]) == ""
