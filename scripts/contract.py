#!/usr/bin/env python3
"""Write the published contract: JSON Schemas and the AsyncAPI document in docs/contract, typed models for consumers.

python -m scripts.contract                  write docs/contract (`make contract`)
python -m scripts.contract --check          only say which files are stale; exit code 1 if any is
python -m scripts.contract --types FILE     write a module of TypedDicts
python -m scripts.contract --metadata FILE  make shared/contract/api_v2_types.py anew of a $metadata capture
"""

import argparse
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from scripts.contract_types import typed_module
from shared.business_central.entities import ENTITIES, Entity
from shared.contract.async_api import document
from shared.contract.built_in import BUILT_IN
from shared.contract.edm import Property
from shared.contract.event_schemas import published, published_events
from shared.contract.order_schemas import order_schemas
from shared.contract.schema_urls import event_url

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "contract"
TABLE = ROOT / "shared" / "contract" / "api_v2_types.py"
#: Stands for the address of an app, which puts its own in its place.
ANYWHERE = "https://connect.example"
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
#: Came from an app of another publisher in the tenant of the capture.
FOREIGN = {"Service_x0020_Object"}
TABLE_HEAD = '''"""Properties of the built-in entities: made by `python -m scripts.contract --metadata`, not by hand.

Source: `$metadata` of API v2.0 of a Business Central 26 tenant (rebelpl/bc-api2-client, MIT).
"""

from typing import Final

from shared.contract.edm import Property

TYPES: Final[dict[str, tuple[Property, ...]]] = {
'''


def files() -> dict[str, str]:
    """Return name -> text of every file in docs/contract that is made here."""
    schemas = published_events(BUILT_IN, ANYWHERE)
    schemas |= {name: published(schema, event_url(ANYWHERE, name)) for name, schema in order_schemas().items()}
    documents = {**schemas, "asyncapi": document(BUILT_IN)}
    return {f"{name}.json": json.dumps(content, indent=1) + "\n" for name, content in documents.items()}


def stale() -> list[str]:
    """Return the files that are not as they would be written now, those that nothing writes included."""
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write() -> None:
    """Write docs/contract."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for name in stale():
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()


def typed_models() -> str:
    """Return the module of typed models."""
    return typed_module(published_events(BUILT_IN, ANYWHERE), order_schemas())


def table_of(metadata: Path) -> str:
    """Return the source of the property table, read from a `$metadata` document."""
    schema = ET.parse(metadata).getroot().find(f".//{EDM}Schema")  # noqa: S314 - a capture of ours
    assert schema is not None
    members = {
        f"Microsoft.NAV.{each.get('Name')}": tuple(
            name for one in each.iterfind(f"{EDM}Member") if (name := str(one.get("Name"))) not in FOREIGN
        )
        for each in schema.iterfind(f"{EDM}EnumType")
    }

    def properties(of_type: str) -> tuple[Property, ...]:
        found = schema.iterfind(f"{EDM}EntityType[@Name='{of_type}']/{EDM}Property")
        return tuple(_property(each, members) for each in found)

    rows = []
    for entity in ENTITIES.values():
        for name, of_type in _sets_of(schema, entity).items():
            lines = "".join(f"{_source(made)}," for made in properties(of_type))
            rows.append(f'"{name}": ({lines}),')
    text = TABLE_HEAD + "".join(rows) + "}\n"
    command = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", TABLE.name, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)  # noqa: S603
    return done.stdout


def _sets_of(schema: ET.Element, entity: Entity) -> dict[str, str]:
    """Return entity set or navigation property -> entity type, of an entity and its expanded records."""
    container = {str(each.get("Name")): str(each.get("EntityType")) for each in schema.iterfind(f".//{EDM}EntitySet")}
    of_type = container[entity.name].rpartition(".")[2]
    place = f"{EDM}EntityType[@Name='{of_type}']/{EDM}NavigationProperty[@Name='{entity.expand}']"
    inside = schema.find(place)
    assert inside is not None
    return {entity.name: of_type, entity.expand: str(inside.get("Type")).removesuffix(")").rpartition(".")[2]}


def _property(each: ET.Element, members: dict[str, tuple[str, ...]]) -> Property:
    edm = str(each.get("Type"))
    return Property(
        str(each.get("Name")), edm, int(each.get("MaxLength", "0")), each.get("Nullable") != "false",
        members.get(edm, ()),
    )  # fmt: skip


def _source(made: Property) -> str:
    more: dict[str, Any] = {}
    if made.longest:
        more["longest"] = made.longest
    if not made.nullable:
        more["nullable"] = False
    if made.members:
        more["members"] = made.members
    options = "".join(f", {name}={value!r}" for name, value in more.items())
    return f'Property("{made.name}", "{made.edm}"{options})'


def main(arguments: list[str]) -> int:
    """Do what is asked; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.contract", description="Write the published contract.")
    parser.add_argument("--check", action="store_true", help="write nothing, say which files are stale")
    parser.add_argument("--types", type=Path, metavar="FILE", help="write typed models instead")
    parser.add_argument("--metadata", type=Path, metavar="FILE", help="make the property table anew first")
    options = parser.parse_args(arguments)
    if options.metadata:
        TABLE.write_text(table_of(options.metadata), encoding="utf-8")
        return 0
    if options.types:
        options.types.write_text(typed_models(), encoding="utf-8")
        return 0
    if options.check:
        old = stale()
        sys.stdout.write("".join(f"docs/contract/{name} is stale: run `make contract`\n" for name in old))
        return int(bool(old))
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
