"""What is read out of `$metadata`: sets, keys, properties, navigations; anything else is refused."""

from pathlib import Path

import pytest

from shared.business_central.metadata import Navigation, from_json, read_metadata, to_json

FULL = Path(__file__).resolve().parents[4] / "shared" / "data" / "metadata" / "api-v2.0-full.xml"
SMALL = b"""<?xml version="1.0"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
<edmx:DataServices><Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="company"><Key><PropertyRef Name="id"/></Key><Property Name="id" Type="Edm.Guid"/>
<NavigationProperty Name="pairs" Type="Collection(Microsoft.NAV.pair)"/></EntityType>
<EntityType Name="pair"><Key><PropertyRef Name="a"/><PropertyRef Name="b"/></Key>
<Property Name="a" Type="Edm.String"/><Property Name="b" Type="Edm.Int32"/>
<NavigationProperty Name="other" Type="Microsoft.NAV.pair"><ReferentialConstraint Property="a" ReferencedProperty="b"/>
</NavigationProperty></EntityType>
<EntityContainer Name="NAV"><EntitySet Name="companies" EntityType="Microsoft.NAV.company"/>
<EntitySet Name="pairs" EntityType="Microsoft.NAV.pair"/><EntitySet Name="lost" EntityType="Microsoft.NAV.lost"/>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


def test_a_small_document_is_read() -> None:
    """A set without a type is left out, as nothing can be said of it."""
    found = read_metadata(SMALL)
    assert set(found) == {"companies", "pairs"}
    pairs = found["pairs"]
    assert pairs.keys == ("a", "b")
    assert pairs.properties == {"a": "Edm.String", "b": "Edm.Int32"}
    assert pairs.navigations == (Navigation("other", "pairs", is_many=False, parent="b"),)
    assert (pairs.in_company, pairs.has_times, found["companies"].in_company) == (True, False, False)


def test_what_is_stored_is_what_was_read() -> None:
    """As JSON; anything else raises."""
    found = read_metadata(SMALL)
    assert from_json(to_json(found)) == found
    for text in (b"", b"{}[", b"[5]", b'[{"name": "x"}]'):
        with pytest.raises(ValueError, match=r"."):
            from_json(text)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"<html>busy</html>", b"<a><b></a>", SMALL[:-40],
        b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>', b'{"error": {"code": "x"}}',
    ],
)  # fmt: skip
def test_what_is_no_metadata_is_refused(document: bytes) -> None:
    """A page of a gateway, half an answer, a document that would unpack itself."""
    with pytest.raises(ValueError, match="metadata"):
        read_metadata(document)


@pytest.mark.skipif(not FULL.is_file(), reason="recorded metadata is not part of the project")
def test_the_metadata_of_a_real_tenant_is_read() -> None:
    """All 87 sets; what is known of them fits one row of a table, packed."""
    found = read_metadata(FULL.read_bytes())
    assert len(found) == 87
    assert sum(one.in_company for one in found.values()) == 81
    items = found["items"]
    assert (items.type_name, items.keys, items.has_times) == ("item", ("id",), True)
    assert items.expandable == ("defaultDimensions", "itemVariants", "documentAttachments")
    assert next(one for one in items.navigations if one.name == "itemVariants").parent == "itemId"
    assert found["customerSales"].keys == ("customerId", "customerNumber", "name")
    assert from_json(to_json(found)) == found
