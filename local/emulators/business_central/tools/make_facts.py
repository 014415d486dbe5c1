"""Writes `data/api_v2.json`, the facts of API v2.0, from a `$metadata` document: `python tools/make_facts.py FILE`.

What is kept: entity sets with type, keys, columns, navigations and what may be written; enums; bound actions. A column
is `name kind[length] [flags]` with the kinds of `data.schema` and the flag `n` for Nullable=false; a navigation is
`name target[*] local=remote,... partner` (`*` = many, `-` = nothing told).
"""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src" / "business_central_emulator" / "data" / "api_v2.json"
NS = {"e": "http://docs.oasis-open.org/odata/ns/edm"}
KINDS = {
    "Edm.String": "S", "Edm.Guid": "G", "Edm.Decimal": "D", "Edm.Boolean": "B", "Edm.Int32": "I", "Edm.Int64": "L",
    "Edm.Date": "A", "Edm.DateTimeOffset": "T", "Edm.Stream": "X",
}  # fmt: skip
OURS = "Microsoft.NAV."
FIRST_OF_APPS = 5000  # members from here on were added by apps of the recorded tenant


def facts(tree: ET.Element) -> dict[str, object]:
    """Return what is kept of a document."""
    types = {one.get("Name", ""): one for one in tree.iterfind(".//e:EntityType", NS)}
    sets = {one.get("EntityType", "").removeprefix(OURS): one for one in tree.iterfind(".//e:EntitySet", NS)}
    set_of = {name: one.get("Name", "") for name, one in sets.items()}
    in_company = {nav.get("Name") for nav in types["company"].iterfind("e:NavigationProperty", NS)}
    return {
        "enums": {
            enum.get("Name"): {
                one.get("Name"): value
                for one in enum.iterfind("e:Member", NS)
                if (value := int(one.get("Value", "0"))) < FIRST_OF_APPS
            }
            for enum in tree.iterfind(".//e:EnumType", NS)
            if tree.find(f".//e:Property[@Type='{OURS}{enum.get('Name')}']", NS) is not None
        },
        "actions": sorted(
            f"{action.find('e:Parameter', NS).get('Type').removeprefix(OURS)} {action.get('Name')}"  # type: ignore[union-attr]
            for action in tree.iterfind(".//e:Action", NS)
        ),
        "sets": {
            set_of[name]: {
                "type": name,
                "keys": [key.get("Name") for key in types[name].iterfind("e:Key/e:PropertyRef", NS)],
                "can": "".join(
                    mark
                    for mark, what in (("I", "Insertable"), ("U", "Updatable"), ("D", "Deletable"))
                    if one.find(f".//e:PropertyValue[@Property='{what}'][@Bool='false']", NS) is None
                ),
                "inCompany": set_of[name] in in_company,
                "columns": [_column(prop) for prop in types[name].iterfind("e:Property", NS)],
                "navs": [_nav(nav, set_of) for nav in types[name].iterfind("e:NavigationProperty", NS)]
                if name != "company"
                else [],
            }
            for name, one in sets.items()
        },
    }


def _column(prop: ET.Element) -> str:
    kind = prop.get("Type", "")
    letter = KINDS.get(kind) or (f"M:{kind}" if kind.startswith("Collection") else f"E:{kind.removeprefix(OURS)}")
    flag = " n" if prop.get("Nullable") == "false" else ""
    return f"{prop.get('Name')} {letter}{prop.get('MaxLength') or ''}{flag}"


def _nav(nav: ET.Element, set_of: dict[str, str]) -> str:
    kind = nav.get("Type", "")
    target = set_of[kind.removeprefix("Collection(").removesuffix(")").removeprefix(OURS)]
    pairs = [
        f"{one.get('Property')}={one.get('ReferencedProperty')}" for one in nav.iterfind("e:ReferentialConstraint", NS)
    ]
    many = "*" if kind.startswith("Collection(") else ""
    return f"{nav.get('Name')} {target}{many} {','.join(pairs) or '-'} {nav.get('Partner') or '-'}"


if __name__ == "__main__":
    text = json.dumps(facts(ET.parse(sys.argv[1]).getroot()), indent=1, ensure_ascii=False)
    TARGET.write_text(text + "\n", encoding="utf-8")
