"""Webhook rules: what is ours is recognised in every form BC sends, and nothing else is, whatever it looks like."""

import json
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.entities import ENTITIES, ITEMS, SALES_INVOICES, SALES_SHIPMENTS
from shared.changes.jobs import GROUP, RecordChange, group_changes
from shared.webhooks import delivery
from shared.webhooks.delivery import Delivery, Target, client_state, parse_delivery, plan_jobs

SECRET = b"a webhook secret"
CONNECTION = "lmints.io.production"
API = "https://api.businesscentral.dynamics.com"
ALL = tuple(ENTITIES.values())
COMPANY = "1f0a8d5e-91d3-f011-8d4c-6045bd1a2c10"
OTHER = "2f0a8d5e-91d3-f011-8d4c-6045bd1a2c10"
KEY = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
PATH = delivery.subscription_path(SECRET, CONNECTION, Target(COMPANY, ITEMS))
RESOURCE = f"api/v2.0/companies({COMPANY})/items"


def entry(resource: str = f"{RESOURCE}({KEY})", kind: object = "created", state: object = None) -> dict[str, object]:
    """One entry of a notification."""
    return {
        "subscriptionId": "5c0e9a7f21b34d06a1f1c2d3e4f50617",
        "clientState": client_state(SECRET, PATH) if state is None else state,
        "expirationDateTime": "2026-02-14T09:00:03Z",
        "resource": resource,
        "changeType": kind,
        "lastModifiedDateTime": "2026-02-11T09:14:27.53Z",
    }


def parse(*entries: object, path: str = PATH, secret: bytes = SECRET) -> Delivery:
    """Parse a delivery of these entries."""
    body = json.dumps({"value": list(entries)}).encode()
    return parse_delivery(body, path=path, secret=secret, state=CONNECTION, api_url=API, entities=ALL)


FORMS = {
    "relative": RESOURCE,
    "leading slash": f"/{RESOURCE}",
    "absolute with tenant": f"{API}/v2.0/lmints.io/production/{RESOURCE}",
    "absolute without tenant": f"{API}/v2.0/Production/{RESOURCE}",
    "upper-case GUID": RESOURCE.replace(COMPANY, COMPANY.upper()),
    "other case": RESOURCE.replace("companies", "Companies").replace("items", "Items"),
    "escaped": RESOURCE.replace("(", "%28").replace(")", "%29"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_every_valid_form_of_a_record_is_understood(form: str, kind: Literal["created", "updated", "deleted"]) -> None:
    """Relative, absolute, upper case, escaped: the same record of the same company (design.md section 4)."""
    delivery = parse(entry(f"{form}({KEY.upper()})", kind))
    assert delivery.target == Target(COMPANY, ITEMS)
    assert delivery.changes == (RecordChange(key=KEY, kind=kind, at="2026-02-11T09:14:27.53Z"),)
    assert (delivery.foreign, delivery.unread, delivery.collection) == (0, 0, "")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("query", "collection"),
    [
        ("?$filter=lastModifiedDateTime%20gt%202026-02-11T09:10:00.12Z", "filtered"),
        ("?$filter=lastModifiedDateTime gt 2026-02-11T09:10:00.12Z", "filtered"),
        ("", "plain"),
    ],
)
def test_every_valid_form_of_a_collection_is_understood(form: str, query: str, collection: str) -> None:
    """With a filter the changes are what came since; without one deletes are among them."""
    delivery = parse(entry(form + query, "collection"))
    assert (delivery.target, delivery.collection, delivery.changes) == (Target(COMPANY, ITEMS), collection, ())


def test_a_plain_collection_outranks_a_filtered_one() -> None:
    """Both in one delivery: the full compare is needed."""
    filtered = entry(RESOURCE + "?$filter=lastModifiedDateTime%20gt%202026-02-11T09:10:00Z", "collection")
    for entries in ((filtered, entry(RESOURCE, "collection")), (entry(RESOURCE, "collection"), filtered)):
        assert parse(*entries).collection == "plain"


@pytest.mark.parametrize(
    "resource",
    [
        f"https://evil.example/v2.0/lmints.io/production/{RESOURCE}({KEY})",
        f"{API}.evil.example/v2.0/x/{RESOURCE}({KEY})",
        f"{API}@evil.example/{RESOURCE}({KEY})",
        f"http://api.businesscentral.dynamics.com/v2.0/x/{RESOURCE}({KEY})",
        f"//evil.example/{RESOURCE}({KEY})",
        f"ftp://evil.example/{RESOURCE}({KEY})",
        f"{RESOURCE}({KEY})/picture",
        f"{RESOURCE}({KEY})?$expand=x",
        f"{RESOURCE}('1000')",
        f"../{RESOURCE}({KEY})",
        f"api/v2.0/items({KEY})",
        f"api/v2.0/companies(CRONUS)/items({KEY})",
        f"api/v2.0/companies({COMPANY})/vendors({KEY})",
        f"api/contoso/shop/v1.0/companies({COMPANY})/items({KEY})",
        f"{RESOURCE}({KEY})\n",
        "x" * 3000,
        "",
        None,
        5,
        [RESOURCE],
    ],
)
def test_other_resources_are_never_read(resource: object) -> None:
    """Another host, path, entity or API, even with the right clientState: nothing to do (P15)."""
    delivery = parse({**entry(), "resource": resource})
    assert (delivery.target, delivery.changes, delivery.collection) == (None, (), "")
    assert delivery.unread + delivery.foreign == 1


@pytest.mark.parametrize("state", ["", "x", client_state(SECRET, "0" * 32), client_state(b"y", PATH), None, 5, {}])
def test_a_wrong_client_state_is_foreign(state: object) -> None:
    """Only the clientState of this very URL counts."""
    delivery = parse({**entry(), "clientState": state})
    assert delivery == Delivery(None, (), "", 1, 0)


def test_a_right_client_state_on_the_path_of_another_subscription_is_foreign() -> None:
    """Each URL has its own clientState, so one that leaked opens no other."""
    other = delivery.subscription_path(SECRET, CONNECTION, Target(COMPANY, SALES_INVOICES))
    assert parse(entry(), path=other) == Delivery(None, (), "", 1, 0)


@pytest.mark.parametrize(
    "resource", [f"api/v2.0/companies({OTHER})/items({KEY})", f"api/v2.0/companies({COMPANY})/salesShipments({KEY})"]
)
def test_another_company_or_entity_on_this_url_is_foreign(resource: str) -> None:
    """A URL stands for one company's entity; an entry about another is dropped and the rest is kept."""
    delivery = parse(entry(), entry(resource))
    assert (delivery.foreign, len(delivery.changes), delivery.target) == (1, 1, Target(COMPANY, ITEMS))


def test_a_bad_entry_costs_only_itself() -> None:
    """What is fine in a delivery is taken, whatever stands beside it."""
    delivery = parse(7, None, entry(kind="renamed"), entry(kind=None), entry(RESOURCE, "created"), entry())
    assert (delivery.unread, delivery.foreign, len(delivery.changes)) == (5, 0, 1)


def test_paths_and_states_are_unguessable_and_differ() -> None:
    """32 and 64 hex digits, another for every secret, connection, company and entity."""
    targets = [Target(company, entity) for company in (COMPANY, OTHER) for entity in ENTITIES.values()]
    paths = {
        delivery.subscription_path(secret, connection, target)
        for secret in (SECRET, b"other") for connection in (CONNECTION, "x.y") for target in targets
    }  # fmt: skip
    assert len(paths) == 4 * len(targets)
    assert all(len(path) == 32 and int(path, 16) >= 0 for path in paths)
    assert len({client_state(SECRET, path) for path in paths}) == len(paths)


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_raises(body: bytes) -> None:
    """Bytes of any kind are one unread delivery and never an exception, which would be answered 500."""
    delivery = parse_delivery(body, path=PATH, secret=SECRET, state=CONNECTION, api_url=API, entities=ALL)
    assert delivery.target is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.sampled_from([RESOURCE, KEY, PATH]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(entry())), inner, max_size=6),
    max_leaves=15,
)


@given(json_values, st.text(max_size=40))
def test_no_forged_entry_is_ever_taken(value: object, path: str) -> None:
    """Without the clientState nothing gets in, whatever path and body say."""
    for body in ({"value": value}, {"value": [value]}, value):
        encoded = json.dumps(body).encode()
        for where in (path, PATH):
            delivery = parse_delivery(encoded, path=where, secret=SECRET, state=CONNECTION, api_url=API, entities=ALL)
            assert (delivery.target, delivery.changes, delivery.collection) == (None, (), "")


def parse_bytes(body: bytes) -> Delivery:
    """Parse a body as it is."""
    return parse_delivery(body, path=PATH, secret=SECRET, state=CONNECTION, api_url=API, entities=ALL)


def test_a_body_of_more_than_a_mebibyte_is_not_looked_at() -> None:
    """BC sends at most some 400 KB."""
    body = json.dumps({"value": [entry()]}).encode()
    assert len(parse_bytes(body.ljust(1_048_576)).changes) == 1
    assert parse_bytes(body.ljust(1_048_577)) == Delivery(None, (), "", 1, 0)


@pytest.mark.parametrize("end", ["", "]", '"]]', "[" * 100_000])
def test_a_body_with_the_right_state_that_is_no_json_is_unread(end: str) -> None:
    """Cut short, spoilt or nested without end."""
    assert parse_bytes(f'{{"value": ["{client_state(SECRET, PATH)}", {end}'.encode()) == Delivery(None, (), "", 0, 1)


def test_a_resource_of_more_than_2048_characters_is_not_read() -> None:
    """A search in it would cost time."""
    long = f"{API}/v2.0/{{}}/{RESOURCE}({KEY})"
    fits = long.format("x" * (2048 - len(long) + 2))
    assert len(parse(entry(fits)).changes) == 1
    assert parse(entry(fits.replace("v2.0/", "v2.0/x", 1))).unread == 1


def test_a_foreign_entry_before_ours_costs_only_itself() -> None:
    """Its clientState may be none at all, or its company another one."""
    found = parse({**entry(), "clientState": 5}, entry(f"api/v2.0/companies({OTHER})/items({KEY})"), entry())
    assert (found.foreign, found.unread, len(found.changes)) == (2, 0, 1)


def test_the_time_of_a_change_is_kept_as_far_as_one_can_be_long() -> None:
    """40 characters hold any time."""
    (change,) = parse({**entry(), "lastModifiedDateTime": "2" * 50}).changes
    assert change.at == "2" * 40


def test_a_path_names_its_connection() -> None:
    """That of `default` has no prefix."""
    assert (delivery.connection_of("abc/123"), delivery.connection_of("123")) == ("abc", "default")


def ids() -> Iterator[str]:
    """Fresh names."""
    return map(str, range(10_000))


keys = st.integers(0, 40).map(lambda n: f"{n:08x}-91d3-f011-8d4c-6045bd1a2c10")
changes = st.lists(
    st.builds(RecordChange, key=keys, kind=st.sampled_from(["created", "updated", "deleted"]), at=st.text(max_size=3)),
    max_size=150,
)


@given(changes)
def test_merging_loses_no_record_and_no_kind_that_matters(sent: list[RecordChange]) -> None:
    """Every record sent stays, `created` outlasts `updated`, `deleted` stays beside, and nothing is invented."""
    merged = [change for group in group_changes(sent) for change in group]
    for key in {change.key for change in sent}:
        kinds = {change.kind for change in sent if change.key == key}
        kept = [change.kind for change in merged if change.key == key]
        assert len(kept) == len(set(kept))
        assert ("created" in kept) == ("created" in kinds)
        assert ("deleted" in kept) == ("deleted" in kinds)
        assert ("updated" in kept) == (kinds & {"updated", "created"} == {"updated"})
    assert set(merged) <= set(sent)


def test_groups_hold_at_most_a_hundred() -> None:
    """What one job reads is what one filter can name."""
    sent = [RecordChange(key=f"{n:08x}", kind="updated") for n in range(2 * GROUP + 1)]
    assert [len(group) for group in group_changes(sent)] == [GROUP, GROUP, 1]


def test_a_delivery_becomes_jobs_with_names_of_their_own() -> None:
    """Groups and a collection are jobs of their own; a repeated delivery is other jobs, as claims hang on names."""
    delivery = parse(
        *(entry(f"{RESOURCE}({n:08x}-91d3-f011-8d4c-6045bd1a2c10)") for n in range(150)), entry(RESOURCE, "collection")
    )
    names = ids()
    first, again = plan_jobs(delivery, names.__next__), plan_jobs(delivery, names.__next__)
    assert [(len(job.changes), job.collection) for job in first] == [(100, ""), (50, ""), (0, "plain")]
    assert len({job.job for job in first + again}) == 6
    assert {(job.company, job.entity) for job in first} == {(COMPANY, "items")}


def test_a_delivery_that_is_not_ours_makes_no_job() -> None:
    """A forged call costs no queue message."""
    assert plan_jobs(parse(entry(state="x")), ids().__next__) == []


def test_a_custom_api_page_has_its_own_route() -> None:
    """An entity row with another route is recognised by it; the table of entities alone decides."""
    assert {entity.resource(COMPANY) for entity in (ITEMS, SALES_SHIPMENTS)} == {
        f"api/v2.0/companies({COMPANY})/items", f"api/v2.0/companies({COMPANY})/salesShipments",
    }  # fmt: skip
