"""The checker catches bad histories written by hand, says nothing of good ones, and knows no code of the app."""

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.simulation.checker import judge
from tests.simulation.history import (
    Announced,
    Answered,
    Committed,
    Fact,
    Healed,
    Lagging,
    Looked,
    PutBack,
    Shown,
    Submitted,
    Watch,
    WatchBegan,
)

START = datetime(2026, 2, 11, 9, 0, tzinfo=UTC)
WATCH = Watch(
    entities=frozenset({"items", "salesInvoices"}), posting=frozenset({"salesInvoices"}),
    changes=frozenset({"created", "updated", "deleted"}), pulled=frozenset(),
)  # fmt: skip


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def sent(minutes: float, mark: str = "M1", key: str = "A", spelling: str = "a") -> Submitted:
    return Submitted(at=at(minutes), key=key, spelling=spelling, company="c", mark=mark)


def answered(
    minutes: float, status: str = "created", number: str = "101", key: str = "A", spelling: str = "a", code: str = ""
) -> Answered:
    return Answered(
        at=at(minutes), key=key, spelling=spelling, company="c", status=status,
        number=number if status == "created" else "", order_id=f"id-{number}" if status == "created" else "", code=code,
    )  # fmt: skip


def order(minutes: float, mark: str = "M1", number: str = "101") -> Committed:
    return Committed(
        at=at(minutes), company="c", entity="salesOrders", record=f"id-{number}", kind="created", number=number,
        version="1", mark=mark,
    )  # fmt: skip


def made(
    minutes: float, kind: str = "created", version: str = "1", entity: str = "items", record: str = "i"
) -> Committed:
    return Committed(at=at(minutes), company="c", entity=entity, record=record, kind=kind, version=version)


def told(
    minutes: float, change: str = "created", version: str = "1", event_id: str = "e1", entity: str = "items",
    record: str = "i",
) -> Announced:  # fmt: skip
    return Announced(
        at=at(minutes), event_id=event_id, change=change, source="s", entity=entity, record=record, version=version,
        content=version,
    )  # fmt: skip


def looked(minutes: float, status: str, number: str = "") -> Looked:
    return Looked(at=at(minutes), key="A", entries=(Shown("c", status, number),))


BEGAN = WatchBegan(at=at(0))
GOOD: dict[str, list[Fact]] = {
    "an order": [sent(1), order(2), answered(3), looked(4, "created", "101")],
    "a copy of a message": [sent(1), order(2), answered(3), sent(4), answered(5)],
    "a refusal": [sent(1), answered(2, "rejected"), looked(3, "rejected")],
    "refused, and tried anew by a copy": [
        sent(1), answered(2, "rejected"), sent(3), looked(4, "posting"), order(5), answered(6),
    ],
    "parked, and put back by a person": [
        sent(1), answered(2, "parked"), PutBack(at=at(3), key="A"), looked(4, "waiting"), order(5), answered(6),
    ],
    "another order under a key that has one": [
        sent(1), order(2), answered(3), sent(4, "M2"), answered(5, "rejected", code="InvalidMessage"),
        looked(6, "created", "101"),
    ],
    "parked, and BC has it": [sent(1), order(2), answered(3, "parked")],
    "an event": [BEGAN, made(1), told(2)],
    "an event that came again": [BEGAN, made(1), told(2), told(3)],
    "two versions": [
        BEGAN, made(1), told(2), made(3, "updated", "2"), told(4, "updated", "2", "e2"),
        made(5, "updated", "3"), told(6, "updated", "3", "e3"),
    ],
    "gone before anybody knew": [BEGAN, made(1), made(2, "deleted", "")],
    "an old record is no news": [made(-1), BEGAN],
    "a version under lag of which nothing told": [
        BEGAN, made(1), told(2), Lagging(at=at(10), begins=True), made(11, "updated", "2"),
        Lagging(at=at(20), begins=False), Healed(at=at(21)),
    ],
}  # fmt: skip
BAD: dict[str, tuple[str, list[Fact]]] = {
    "told before it was committed": ("phantom", [sent(1), answered(2), order(3)]),
    "told and rolled back": ("phantom", [sent(1), answered(2)]),
    "a person's document": ("adopted", [sent(1), order(2, mark=""), answered(3)]),
    "another sender's document": (
        "adopted", [sent(1), sent(1, "M2", "B", "b"), order(2, "M2"), answered(3), answered(4, "rejected", key="B")],
    ),
    "one document for two keys": (
        "adopted", [sent(1), sent(1, "M2", "B", "b"), order(2), answered(3), answered(4, key="B", spelling="b")],
    ),
    "an id that is another order's": ("wrong", [sent(1), order(2), replace(answered(3), order_id="id-7")]),
    "two documents for one key": ("doubled", [sent(1), order(2), order(3, number="102"), answered(4)]),
    "refused and made": ("wrong", [sent(1), order(2), answered(3, "rejected")]),
    "a mark that nobody sent": ("wrong", [order(2, "M9")]),
    "created and then refused": ("wrong", [sent(1), order(2), answered(3), sent(4), answered(5, "rejected")]),
    "created under two numbers": ("wrong", [sent(1), order(2), answered(3), sent(4), answered(5, number="102")]),
    "a read that has not seen a result": ("wrong", [sent(1), order(2), answered(3), looked(4, "posting")]),
    "a read that shows nothing": ("wrong", [sent(1), order(2), answered(3), Looked(at=at(4), key="A", entries=())]),
    "a read that shows another end": ("wrong", [sent(1), answered(2, "rejected"), looked(3, "waiting")]),
    "an event of nothing": ("phantom", [BEGAN, told(2)]),
    "an event before the commit": ("phantom", [BEGAN, told(1), made(2)]),
    "an event of a version that was rolled back": ("phantom", [BEGAN, made(1), told(2, version="9")]),
    "one change under two ids": ("doubled", [BEGAN, made(1), told(2), told(3, event_id="e2")]),
    "one id for two changes": (
        "wrong", [BEGAN, made(1), told(2), made(1, record="j"), told(3, record="j")],
    ),
    "no result": ("lost", [sent(1)]),
    "one result for two messages": ("lost", [sent(1), sent(2), order(3), answered(4)]),
    "no event": ("lost", [BEGAN, made(1)]),
    "a posted invoice that nobody told of": (
        "lost", [BEGAN, made(1, entity="salesInvoices"), told(2, entity="salesInvoices"),
                 made(3, "posted", entity="salesInvoices")],
    ),
    "the last version untold": ("lost", [BEGAN, made(1), told(2), made(3, "updated", "2")]),
    "a delete untold": ("lost", [BEGAN, made(1), told(2), made(3, "deleted", "")]),
    "an old record's delete untold": ("lost", [made(-1), BEGAN, made(3, "deleted", "")]),
    "a new record under lag untold for good": (
        "lost", [BEGAN, Lagging(at=at(0), begins=True), made(1), Lagging(at=at(9), begins=False)],
    ),
    "an event long after the last fault": ("late", [BEGAN, made(1), Healed(at=at(2)), told(90)]),
    "a result long after the last fault": ("late", [sent(1), Healed(at=at(2)), order(89), answered(90)]),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_has_no_finding(name: str) -> None:
    assert judge(GOOD[name], WATCH).findings == ()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_caught(name: str) -> None:
    """By the very word that says what is bad about it."""
    word, facts = BAD[name]
    assert word in {finding.partition(":")[0] for finding in judge(facts, WATCH).findings}


def test_delays_count_from_the_last_fault_or_from_what_came_later() -> None:
    """What was met before is no delay; what came after it counts from its own moment."""
    facts: list[Fact] = [
        BEGAN, made(1), told(2), made(3, record="j"), Healed(at=at(10)), told(14, record="j", event_id="e2"),
        made(20, record="k"), told(21, record="k", event_id="e3"),
    ]  # fmt: skip
    verdict = judge(facts, WATCH)
    assert verdict.findings == ()
    assert verdict.delays == {"created": (timedelta(minutes=1), timedelta(minutes=4))}
    assert verdict.facts == len(facts)


def test_what_nothing_told_of_under_lag_is_counted() -> None:
    assert judge(GOOD["a version under lag of which nothing told"], WATCH).excused == 1


@pytest.mark.parametrize("module", ["history", "checker"])
def test_the_checker_knows_no_code_of_the_app(module: str) -> None:
    """It would share the app's beliefs."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    assert not [name for name in names if name.startswith(("shared", "business_central_emulator", "local"))]
