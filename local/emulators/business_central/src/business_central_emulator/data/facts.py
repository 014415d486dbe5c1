"""The facts of API v2.0 as a version 26 tenant published them: sets, columns, navigations, enums, bound actions.

Read from `api_v2.json`, which `tools/make_facts.py` writes from a `$metadata` document.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class NavFact:
    """One navigation property."""

    name: str
    target: str  # entity set
    many: bool
    pairs: tuple[tuple[str, str], ...]  # (our property, theirs); empty where the document tells none
    partner: str


@dataclass(frozen=True, slots=True)
class SetFact:
    """One entity set."""

    name: str
    type_name: str
    keys: tuple[str, ...]
    can: str  # letters of I(nsert), U(pdate), D(elete)
    in_company: bool
    columns: tuple[str, ...]  # `name kind[length] [n]`
    navs: tuple[NavFact, ...]


def _set(name: str, given: Mapping[str, Any]) -> SetFact:
    return SetFact(
        name,
        given["type"],
        tuple(given["keys"]),
        given["can"],
        given["inCompany"],
        tuple(given["columns"]),
        tuple(nav_fact(text) for text in given["navs"]),
    )


def nav_fact(text: str) -> NavFact:
    """Read `name target[*] local=remote,... partner`."""
    name, target, pairs, partner = text.split()
    told = tuple((one.partition("=")[0], one.partition("=")[2]) for one in pairs.split(",") if one != "-")
    return NavFact(name, target.removesuffix("*"), target.endswith("*"), told, partner.replace("-", ""))


_GIVEN: Final[dict[str, Any]] = json.loads(
    files("business_central_emulator.data").joinpath("api_v2.json").read_text(encoding="utf-8")
)
SETS: Final[Mapping[str, SetFact]] = {name: _set(name, given) for name, given in _GIVEN["sets"].items()}
#: Members of each enum with their values.
ENUM_VALUES: Final[Mapping[str, Mapping[str, int]]] = _GIVEN["enums"]
#: (type, action), bound to one entity.
ACTIONS: Final[tuple[tuple[str, str], ...]] = tuple(
    (one.partition(" ")[0], one.partition(" ")[2]) for one in _GIVEN["actions"]
)
