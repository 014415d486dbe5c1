"""Judges the history of a run: which rule was broken when, and how long each obligation took to be met.

Pure, and knows no code of the app: its rules are the promises (P4, P5, P8, P17, P18, P24) put as sentences about facts.
A finding begins with `lost`, `doubled`, `phantom`, `adopted`, `late` or `wrong`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from tests.simulation.history import (
    Announced,
    Answered,
    Committed,
    Disputed,
    Fact,
    Healed,
    Lagging,
    Looked,
    PutBack,
    Submitted,
    Watch,
    WatchBegan,
)

#: How long after the last fault an obligation may still be open (P24), by kind. What only two snapshots an hour apart
#: can find takes a day longer; whatever a person must put back first takes as long as the person does.
LIMITS: Final[Mapping[str, timedelta]] = {
    "created": timedelta(minutes=75),
    "posted": timedelta(minutes=75),
    "result": timedelta(minutes=75),
    "result of a disputed order": timedelta(hours=75),
    "updated": timedelta(hours=26),
    "deleted": timedelta(hours=29),
    "pulled": timedelta(minutes=75),
}
#: What is made while replicas lag by up to an hour, and of which no notification comes, the daily snapshot finds.
_LAGGING: Final = " under lag"
_BY_SNAPSHOT: Final = timedelta(hours=29)
#: What is made so long before a lag begins may be hidden by it, too: as far as replicas lag, if no delta came between.
_BEFORE: Final = timedelta(minutes=60)
#: Kinds of which only a delta can tell: made under lag, and with no notification, they are found by nothing.
_BY_DELTA: Final = frozenset({"pulled", "updated"})
#: What a record does once in its life, whatever its version.
_ONCE: Final = frozenset({"created", "posted", "deleted"})
#: The code of a result that refuses a message for what it is and says nothing of the order under its key.
_REFUSED: Final = "InvalidMessage"
#: The code of a result that an order bears which somebody else's document kept from being made.
_EXISTS: Final = "OrderExists"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a history."""

    findings: tuple[str, ...]
    delays: Mapping[str, tuple[timedelta, ...]]  # by kind: of each obligation that was open after the last fault
    facts: int
    excused: int = 0  # versions made while replicas lagged for long that nothing told of


@dataclass(slots=True)
class _Book:
    """A history, sorted by what it is about. Positions are places in the history: they order what has one time."""

    facts: Sequence[Fact]
    submitted: dict[str, list[tuple[int, Submitted]]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[str, list[tuple[int, Answered]]] = field(default_factory=lambda: defaultdict(list))
    looked: list[tuple[int, Looked]] = field(default_factory=list)
    put_back: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    announced: dict[str, list[tuple[int, Announced]]] = field(default_factory=lambda: defaultdict(list))  # by record
    committed: dict[str, list[tuple[int, Committed]]] = field(default_factory=lambda: defaultdict(list))  # by record
    orders: dict[tuple[str, str], list[tuple[int, Committed]]] = field(default_factory=lambda: defaultdict(list))
    began: int = -1  # place at which the watch began
    healed: datetime | None = None
    disputed: set[str] = field(default_factory=set)
    lags: list[Lagging] = field(default_factory=list)

    def __post_init__(self) -> None:
        for place, fact in enumerate(self.facts):
            match fact:
                case Submitted():
                    self.submitted[fact.key].append((place, fact))
                case Answered():
                    self.answered[fact.key].append((place, fact))
                case Looked():
                    self.looked.append((place, fact))
                case Disputed():
                    self.disputed.add(fact.key)
                case PutBack():
                    self.put_back[fact.key].append(place)
                case Announced():
                    self.announced[fact.record].append((place, fact))
                case Committed():
                    self.committed[fact.record].append((place, fact))
                    if (fact.entity, fact.kind) == ("salesOrders", "created"):
                        self.orders[fact.company, fact.number].append((place, fact))
                case WatchBegan():
                    self.began = place
                case Lagging():
                    self.lags.append(fact)
                case Healed():
                    self.healed = fact.at

    def waits(self, key: str) -> bool:
        """Return whether the last look at an order shows that it waits."""
        looks = [look for _, look in self.looked if look.key == key]
        return bool(looks) and any(one.status == "waiting" for one in looks[-1].entries)

    def marks(self, key: str) -> frozenset[str]:
        """Return the marks that the messages of a key bear."""
        return frozenset(sent.mark for _, sent in self.submitted[key])


def judge(facts: Sequence[Fact], watch: Watch, limits: Mapping[str, timedelta] = LIMITS) -> Verdict:
    """Return what is wrong with a history, each finding once, and how long its obligations took."""
    book = _Book(facts)
    findings: list[str] = []
    for rule in _RULES:
        findings += rule(book)
    delays: dict[str, list[timedelta]] = defaultdict(list)
    excused = 0
    for duty in _duties(book, watch):
        delay, is_hidden = duty.delay(book.healed), any(was_lagging(book.lags, moment) for moment in duty.stands)
        if delay is None and is_hidden and duty.kind in _BY_DELTA:
            excused += 1
        elif delay is None:
            findings.append(f"lost: {duty.kind} of {duty.name} of {duty.since}")
        elif delay > timedelta(0):
            delays[duty.kind + (_LAGGING if is_hidden else "")].append(delay)
            if delay > (_BY_SNAPSHOT if is_hidden else limits[duty.kind]):
                findings.append(f"late: {duty.kind} of {duty.name} took {delay} after the last fault")
    sorted_delays = {kind: tuple(sorted(found)) for kind, found in delays.items()}
    return Verdict(tuple(dict.fromkeys(findings)), sorted_delays, len(facts), excused)


def was_lagging(lags: Iterable[Lagging], moment: datetime) -> bool:
    """Return whether replicas lagged by much at a moment, or began to soon after."""
    lags = list(lags)
    begun = sum(one.at - _BEFORE <= moment for one in lags if one.begins)
    return begun > sum(one.at < moment for one in lags if not one.begins)


# -- orders


def _created_is_committed(book: _Book) -> Iterator[str]:
    """P17: `created` names a document of the company that was committed by then."""
    for key, results in book.answered.items():
        for place, result in results:
            if result.status != "created":
                continue
            made = [one for at, one in book.orders[result.company, result.number] if at < place]
            if not made:
                yield f"phantom: order {key} is told as {result.number}, which was not committed by {result.at}"
            elif result.order_id and result.order_id not in {one.record for one in made}:
                yield f"wrong: order {key} is told as {result.number} under an id that it does not have"


def _created_is_ours(book: _Book) -> Iterator[str]:
    """P17: the document of a key was made from a message of that key, and is told under no other key."""
    told: dict[tuple[str, str], str] = {}
    for key, results in book.answered.items():
        for _, result in results:
            if result.status != "created":
                continue
            document = (result.company, result.number)
            for _, made in book.orders[document]:
                if made.mark not in book.marks(key):
                    whose = f"the message {made.mark}" if made.mark else "a person"
                    yield f"adopted: order {key} is told as {result.number}, which {whose} made"
            if told.setdefault(document, key) != key:
                yield f"adopted: orders {told[document]} and {key} are both told as {result.number}"


def _one_commit_a_key(book: _Book) -> Iterator[str]:
    """P8: the messages of one key make one document in one company."""
    owner = {sent.mark: key for key, messages in book.submitted.items() for _, sent in messages}
    made: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (company, number), commits in book.orders.items():
        for _, one in commits:
            if one.mark in owner:
                made[owner[one.mark], company].append(number)
            elif one.mark:
                yield f"wrong: order {number} bears the mark {one.mark}, which nobody sent"
    for (key, company), numbers in made.items():
        if len(numbers) > 1:
            yield f"doubled: order {key} was made as {sorted(numbers)} in {company}"
        told = [one for _, one in book.answered[key] if one.company == company and one.code != _REFUSED]
        if told and told[-1].status == "rejected" and told[-1].code != _EXISTS:
            yield f"wrong: order {key} was told as rejected ({told[-1].code}) and BC has made {sorted(numbers)}"


def _results_stay(book: _Book) -> Iterator[str]:
    """A result never goes back: what was created is told as that for good; another order under its key is refused."""
    for key, results in book.answered.items():
        created: dict[tuple[str, str], Answered] = {}
        for _, result in results:
            place = (result.spelling, result.company)
            before = created.get(place)
            if result.code == _REFUSED and len(book.marks(key)) > 1:
                continue
            if before is not None and (result.status, result.number) != ("created", before.number):
                yield f"wrong: order {key} was told as {before.number} and then as {result.status} {result.number}"
            elif result.status == "created":
                created[place] = result


def _reads_see_results(book: _Book) -> Iterator[str]:
    """A read after a result shows it; what was not created may be tried anew by a message or a person."""
    for place, look in book.looked:
        results = [(at, one) for at, one in book.answered[look.key] if at < place and one.code != _REFUSED]
        for at, result in results:
            shown = [one for one in look.entries if one.company == result.company]
            if result.status == "created":
                if (result.status, result.number) not in {(one.status, one.number) for one in shown}:
                    yield f"wrong: order {look.key} was told as {result.number}, and {look.at} shows {shown}"
                continue
            moved = [*(sent for sent, _ in book.submitted[look.key]), *book.put_back[look.key]]
            is_final = not any(one < place for one in moved if one > at) and results[-1][0] == at
            if (
                is_final
                and not _was_tried_anew(book, look.key, at)
                and result.status not in {one.status for one in shown}
            ):
                yield f"wrong: order {look.key} was told as {result.status}, and {look.at} shows {shown}"


def _was_tried_anew(book: _Book, key: str, at: int) -> bool:
    """Return whether more messages than answers had come by then: one of them may have tried the order anew."""
    asked = sum(place < at for place, _ in book.submitted[key]) + sum(place < at for place in book.put_back[key])
    return asked > sum(place <= at for place, _ in book.answered[key])


# -- events


def _events_are_of_commits(book: _Book) -> Iterator[str]:
    """P18: what is announced of a record was committed by then, the record itself and the very version."""
    for record, events in book.announced.items():
        for place, event in events:
            before = [one for at, one in book.committed.get(record, ()) if at < place]
            if not before:
                yield f"phantom: {event.change} of {event.entity}({record}) at {event.at}, which was never committed"
            elif event.version and event.version not in {one.version for one in before}:
                yield f"phantom: {event.change} of {event.entity}({record}) at {event.at} in a version never committed"


def _one_id_a_change(book: _Book) -> Iterator[str]:
    """P5: the same change of the same record leaves under one event id, and one id stands for one change."""
    ids: dict[tuple[str, str, str, str, str], set[str]] = defaultdict(set)
    changes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for events in book.announced.values():
        for _, event in events:
            content = "" if event.change in _ONCE else event.content
            change = (event.source, event.change, event.entity, event.record, content)
            ids[change].add(event.event_id)
            changes[event.event_id].add(change[:4])
    for (_, kind, entity, record, _), under in ids.items():
        if len(under) > 1:
            yield f"doubled: {kind} of {entity}({record}) left under {len(under)} ids"
    for event_id, of in changes.items():
        if len(of) > 1:
            yield f"wrong: the event id {event_id} stands for {len(of)} changes"


# -- obligations


@dataclass(frozen=True, slots=True)
class _Duty:
    """Something that is owed since a moment, and when it was given."""

    kind: str
    name: str
    since: datetime
    met: datetime | None
    stands: tuple[datetime, ...] = ()  # when it was changed, and so moved in what a delta reads; results: never

    def delay(self, healed: datetime | None) -> timedelta | None:
        """Return how long it was open after the last fault; None when it was never met."""
        if self.met is None:
            return None
        return self.met - (self.since if healed is None else max(self.since, healed))


def _duties(book: _Book, watch: Watch) -> Iterator[_Duty]:
    yield from _results_due(book)
    for record, commits in book.committed.items():
        entity = commits[0][1].entity
        events = book.announced.get(record, [])
        if entity in watch.entities:
            yield from _news_due(book, watch, entity, commits, events)
        if entity in watch.pulled:
            yield from _version_due("pulled", commits, events, {"pulled"})


def _results_due(book: _Book) -> Iterator[_Duty]:
    for key, messages in book.submitted.items():
        results = book.answered.get(key, [])
        for count, (_, sent) in enumerate(messages):
            # copies that arrive together are answered together, so the n-th result is what the n-th message is owed
            met = results[count][1].at if count < len(results) else None
            if key in book.disputed:
                if met is None and book.waits(key):
                    continue  # a person is asked once its 72 hours are over
                yield _Duty("result of a disputed order", key, sent.at, met)
            else:
                yield _Duty("result", key, sent.at, met)


def _news_due(
    book: _Book, watch: Watch, entity: str, commits: list[tuple[int, Committed]], events: list[tuple[int, Announced]]
) -> Iterator[_Duty]:
    is_gone = any(one.kind == "deleted" for _, one in commits)
    kinds = ["created"] + (["posted"] if entity in watch.posting else [])
    for kind in kinds:
        news = [one for place, one in commits if one.kind == kind and place > book.began]
        if news and not is_gone:
            stands = tuple(one.at for _, one in commits)
            yield _Duty(kind, f"{entity}({news[0].record})", news[0].at, _first(events, {kind}), stands)
    if "updated" in watch.changes and not is_gone:
        fresh = [(place, one) for place, one in commits if place > book.began]
        yield from _version_due("updated", fresh, events, {"created", "posted", "updated"})
    known = commits[0][0] < book.began or _first(events, {"created"}) is not None
    if "deleted" in watch.changes and is_gone and known:
        gone = next(one for _, one in commits if one.kind == "deleted")
        if commits[-1][0] > book.began:
            yield _Duty("deleted", f"{entity}({gone.record})", gone.at, _first(events, {"deleted"}), (gone.at,))


def _version_due(
    kind: str, commits: list[tuple[int, Committed]], events: list[tuple[int, Announced]], by: set[str]
) -> Iterator[_Duty]:
    """Yield what is owed for the last version of a record that is there still."""
    changes = [one for _, one in commits if one.version]
    if not changes or any(one.kind == "deleted" for _, one in commits):
        return
    last = changes[-1]
    first = next(one for one in changes if one.version == last.version)
    if kind == "updated" and first.kind != "updated":
        return
    told = [(place, event) for place, event in events if event.version == last.version]
    yield _Duty(kind, f"{last.entity}({last.record})", first.at, _first(told, by), (first.at,))


def _first(events: Iterable[tuple[int, Announced]], changes: set[str]) -> datetime | None:
    return next((event.at for _, event in events if event.change in changes), None)


_RULES: Final[tuple[Callable[[_Book], Iterator[str]], ...]] = (
    _created_is_committed, _created_is_ours, _one_commit_a_key, _results_stay, _reads_see_results,
    _events_are_of_commits, _one_id_a_change,
)  # fmt: skip
