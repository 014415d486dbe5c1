"""Spells of bad weather: faults of Business Central, of the network, of storage and of the app, each for some minutes.

Everything is counted by kind when it strikes, not when it is planned.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from business_central_emulator import Fault, FaultKind, Request, Tamper, TamperKind
from business_central_emulator.server.faults import TRANSIENT_ANSWERS, Faults
from business_central_emulator.webhooks.tampering import Entries, Tampering

from shared.errors import BudgetExhausted, IntegrationError, StoreUnavailable, TokenError
from shared.resource_names import TABLES
from tests.simulation.people import People
from tests.simulation.plan import Plan
from tests.simulation.world import World

_WHERE: Final = (
    "",
    "",
    "GET ",
    "POST ",
    "salesOrders",
    "POST .*salesOrders",
    "items",
    "salesInvoices",
    "subscriptions",
)
_API: Final = tuple(kind for kind in FaultKind if kind is not FaultKind.ANSWER)
_HOUR_S: Final = 3600.0
#: Points of the app's code, by the beginning of their names -> what stops working there, and how that shows.
_PLACES: Final[dict[str, tuple[str, Callable[[str], IntegrationError]]]] = {
    **{f"{when} {table}": ("table", StoreUnavailable) for when in ("before", "after", "read") for table in TABLES},
    "before put blob": ("blob", StoreUnavailable),
    "after put blob": ("blob", StoreUnavailable),
    "before put bc-": ("queue", StoreUnavailable),
    "before put sales-": ("queue", StoreUnavailable),
    "after put bc-": ("queue", StoreUnavailable),
    "after put sales-": ("queue", StoreUnavailable),
    "before vault": ("vault", StoreUnavailable),
    "before token": ("login", lambda text: TokenError(text, code="temporarily_unavailable", retryable=True)),
    "before slot": ("budget", BudgetExhausted),
}
_TROUBLES: Final = ("table", "table", "blob", "queue", "vault", "login", "dead login", "budget")
#: Further answers that an honest environment gives at times.
_STATUSES: Final = ((401, "denied"), (403, "denied"), (404, "not_found"), (409, "conflict"))


class CountedFaults(Faults):
    """The emulator's script, with a count of what struck."""

    def __init__(self, rolls: random.Random, counts: Counter[str]) -> None:
        """Take where to count."""
        super().__init__(rolls)
        self._counts = counts

    def strike(self, request: Request) -> tuple[Fault | None, list[Fault]]:
        """Return the faults that bend this answer."""
        decisive, bending = super().strike(request)
        for fault in ([decisive] if decisive else []) + bending:
            self._counts[f"api {fault.status or fault.kind}"] += 1
        return decisive, bending


class CountedTampering(Tampering):
    """The network's tricks on notifications, counted."""

    def __init__(self, rolls: random.Random, counts: Counter[str]) -> None:
        """Take where to count."""
        super().__init__(rolls)
        self._counts = counts

    def send(self, url: str, entries: Entries, now: datetime, send: Callable[[Entries], int | None]) -> int | None:
        """Send one delivery, perhaps not as it should be."""
        before = {id(rule): rule.times for rule in self.rules}
        status = super().send(url, entries, now, send)
        for rule in self.rules:
            if rule.times != before.get(id(rule)):
                self._counts[f"notification {rule.kind}"] += 1
        return status


@dataclass(slots=True)
class Spell:
    """One spell: what begins it and what ends it."""

    begins: datetime
    ends: datetime
    name: str
    begin: Callable[[], object]
    end: Callable[[], object]
    began: bool = False


class Weather:
    """The spells of one run."""

    def __init__(self, world: World, people: People, rolls: random.Random, counts: Counter[str]) -> None:
        """Take the world to make trouble in."""
        self._world = world
        self._people = people
        self._rolls = rolls
        self._counts = counts
        self._spells: list[Spell] = []
        self._clock_steps_s: tuple[int, ...] = (0,)
        self._lags_to_end = 0  # lags of the plan, which nothing ends before the healing
        self._trouble: dict[str, float] = {}  # what is in trouble -> chance that a call of it fails
        self.lags: Callable[[bool], object] = lambda _: None  # told when replicas begin and cease to lag for long
        self.renames: Callable[[str], object] = lambda _: None  # told a name that a company no longer bears
        world.bc.faults = CountedFaults(random.Random(rolls.random()), counts)
        world.bc.webhooks.tampering = CountedTampering(random.Random(rolls.random()), counts)
        self._kinds: list[tuple[Callable[[datetime], Spell], int]] = [
            (self._api, 12), (self._status, 3), (self._bc_down, 3), (self._tampering, 8), (self._http_down, 3),
            (self._workers_down, 2), (self._storage, 3), (self._lost_subscription, 5), (self._copy, 2),
            (self._broken, 4), (self._restart, 2), (self._long_lag, 4), (self._update, 2), (self._rename, 2),
            (self._clock_step, 4), (self._timers_stop, 2), (self._wrong_date, 1), (self._drafts, 2),
            (self._bursts, 3),
        ]  # fmt: skip

    def plan(self, plan: Plan, begins: datetime) -> None:
        """Roll the spells of a run."""
        self._clock_steps_s = plan.clock_steps_s
        if plan.kind == "rollout":  # 0.1.0 keeps no list of what it could not read: that waits for the daily snapshot
            self._kinds = [(one, weight) for one, weight in self._kinds if one != self._broken]
        for _ in range(plan.spells):
            make = self._rolls.choices([one for one, _ in self._kinds], [weight for _, weight in self._kinds])[0]
            self._spells.append(make(begins + plan.life * self._rolls.random()))
        for _ in range(plan.lost_subscriptions):
            self._spells.append(self._lost_subscription(begins + plan.life * self._rolls.random()))
        if plan.outage:
            make = self._rolls.choice((self._bc_down, self._http_down, self._workers_down))
            spell = make(begins + timedelta(hours=2))
            spell.ends = spell.begins + plan.outage
            self._spells.append(spell)
        if plan.is_deaf:
            rules = self._world.bc.webhooks.tampering.rules
            rules.append(Tamper(kind=TamperKind.DROP, times=10**6))
        for fault in (*((plan.fault,) if plan.fault else ()), *plan.more_faults):
            self._world.bc.faults.script.append(replace(fault))
            if fault.kind is FaultKind.REPLICA_LAG:
                self.lags(True)
                self._lags_to_end += 1
        for name in plan.forced:
            spell = FORCED[name](self, begins + plan.life / 10)
            spell.ends = begins + plan.life * 0.9
            self._spells.append(spell)

    def change(self) -> None:
        """Begin and end what is due."""
        now = self._world.clock.now()
        for spell in list(self._spells):
            if not spell.began and spell.begins <= now:
                spell.began = True
                self._world.note(f"weather begins: {spell.name} until {spell.ends:%d %H:%M:%S}")
                self._counts[f"spell {spell.name}"] += 1
                spell.begin()
            if spell.began and spell.ends <= now:
                self._world.note(f"weather ends: {spell.name}")
                spell.end()
                self._spells.remove(spell)

    def clear(self) -> None:
        """End everything."""
        for spell in self._spells:
            if spell.began:
                spell.end()
        self._spells.clear()
        self._world.bc.faults.clear()
        for _ in range(self._lags_to_end):
            self.lags(False)
        self._world.bc.webhooks.tampering.rules.clear()
        self._trouble.clear()

    def strike(self, point: str) -> None:
        """Fail a call of what is in trouble."""
        if not self._trouble:
            return
        for start, (what, error) in _PLACES.items():
            if point.startswith(start) and self._rolls.random() < self._trouble.get(what, 0.0):
                self._counts["storage fault"] += 1
                self._counts[f"fault {what}"] += 1
                self._world.note(f"{what} fault at {point}")
                raise error(f"scripted {point}")
        if point == "before token" and "dead login" in self._trouble:
            self._counts["fault dead login"] += 1
            raise TokenError("a person must sign in", code="invalid_grant")

    # -- kinds

    def _spell(
        self, at: datetime, name: str, minutes: tuple[float, float], begin: Callable[[], object],
        end: Callable[[], object] = lambda: None,
    ) -> Spell:  # fmt: skip
        return Spell(at, at + timedelta(minutes=self._rolls.uniform(*minutes)), name, begin, end)

    def _script(self, at: datetime, name: str, minutes: tuple[float, float], fault: Fault) -> Spell:
        script = self._world.bc.faults.script

        def end() -> None:
            script[:] = [one for one in script if one is not fault]

        return self._spell(at, name, minutes, lambda: script.append(fault), end)

    def _api(self, at: datetime) -> Spell:
        kind = self._rolls.choice(_API)
        where = self._rolls.choice(_WHERE)
        if kind in {FaultKind.LATE_COMMIT, FaultKind.LATE_ROLLBACK}:
            where = "POST .*salesOrders"
        if kind is FaultKind.SKIP_TOKEN:
            where = "GET .*skiptoken"
        if kind is FaultKind.REPLICA_LAG and not where.startswith("GET"):
            where = "GET "
        fault = Fault(
            kind=kind, match=where, times=None, probability=self._rolls.choice((0.1, 0.3, 0.7)),
            retry_after=self._rolls.choice((None, "2", "30", "400")) if kind is FaultKind.THROTTLED else None,
            body=self._rolls.choice(("json", "xml", "html", "empty")), delay_s=self._rolls.choice((0.0, 5.0)),
            late_s=self._rolls.uniform(5, 480), queued=self._rolls.random() < 0.5,
            window_s=self._rolls.choice((5.0, 30.0, 90.0)), reason=self._rolls.choice(tuple(TRANSIENT_ANSWERS)),
        )  # fmt: skip
        if kind is FaultKind.SLOW:
            fault.delay_s = self._rolls.choice((5.0, 45.0, 110.0))
        return self._script(at, f"{kind} on '{where}'", (2, 40), fault)

    def _status(self, at: datetime) -> Spell:
        status, name = self._rolls.choice(_STATUSES)
        places = {409: ("POST .*salesOrders",), 404: ("items", "subscriptions")}  # a 404 to an order is BC's last word
        where = self._rolls.choice(places.get(status, ("items", "salesOrders", "subscriptions")))
        fault = Fault(kind=FaultKind.UNAVAILABLE, match=where, times=None, probability=0.5, status=status)
        return self._script(at, f"{status} {name} on '{where}'", (2, 30), fault)

    def _bc_down(self, at: datetime) -> Spell:
        kind = self._rolls.choice(
            (FaultKind.UNAVAILABLE, FaultKind.RESET_BEFORE, FaultKind.HTML_ERROR, FaultKind.TIMEOUT_BEFORE)
        )
        return self._script(at, f"BC down ({kind})", (3, 180), Fault(kind=kind, times=None))

    def _tampering(self, at: datetime) -> Spell:
        kind = self._rolls.choice(tuple(TamperKind))
        chance = self._rolls.choice((0.3, 0.7, 1.0))
        rules = self._world.bc.webhooks.tampering.rules
        # one rule per delivery, so that each use of one is seen in its count
        rule = Tamper(kind=kind, times=10**6, probability=chance, delay_s=self._rolls.uniform(10, 3000))
        return self._spell(
            at, f"notifications {kind}", (5, 120), lambda: rules.append(rule),
            lambda: rules.remove(rule) if rule in rules else None,
        )  # fmt: skip

    def _http_down(self, at: datetime) -> Spell:
        def turn(answers: bool) -> None:
            self._world.webhooks_answer = answers

        return self._spell(at, "webhook route down", (5, 600), lambda: turn(False), lambda: turn(True))

    def _workers_down(self, at: datetime) -> Spell:
        def turn(works: bool) -> None:
            self._world.works = works

        return self._spell(at, "no worker runs", (5, 300), lambda: turn(False), lambda: turn(True))

    def _storage(self, at: datetime) -> Spell:
        return self._trouble_of(at, self._rolls.choice(_TROUBLES))

    def _trouble_of(self, at: datetime, what: str) -> Spell:
        chance = self._rolls.choice((0.02, 0.1, 0.5))

        def end() -> None:
            self._trouble.pop(what, None)

        minutes = (2, 15) if what in {"table", "queue", "blob"} else (5, 90)
        return self._spell(at, f"{what} in trouble", minutes, lambda: self._trouble.update({what: chance}), end)

    def _lost_subscription(self, at: datetime) -> Spell:
        def lose() -> None:
            bc = self._world.bc
            rows = sorted(row.id for row in bc.environment.subscriptions)
            if rows:
                bc.delete_subscription_silently(self._rolls.choice(rows))

        return self._spell(at, "subscription deleted silently", (0, 0), lose)

    def _copy(self, at: datetime) -> Spell:
        return self._spell(at, "environment copied", (0, 0), self._world.bc.copy_environment)

    def _restart(self, at: datetime) -> Spell:
        def restart() -> None:
            self._world.hosts = [self._world.new_process(number) for number in range(len(self._world.hosts))]

        return self._spell(at, "all processes restarted", (0, 0), restart)

    def _broken(self, at: datetime) -> Spell:
        broken: list[str] = []

        def begin() -> None:
            record = self._people.a_record()
            if record is not None:
                broken.append(record.id)
                self._world.bc.faults.broken[record.id] = self._rolls.choice(("500", "dialog"))

        def end() -> None:
            for record_id in broken:
                self._world.bc.faults.broken.pop(record_id, None)
                if self._rolls.random() < 0.5:  # else it heals without a change that a delta could see
                    self._people.mend(record_id)

        return self._spell(at, "broken record", (5, 90), begin, end)

    def _long_lag(self, at: datetime) -> Spell:
        """Replicas are behind by up to an hour, each read by its own time."""
        least_s = self._rolls.choice((0.0, 60.0, 1200.0))
        fault = Fault(
            kind=FaultKind.REPLICA_LAG, match=self._rolls.choice(("GET ", "GET .*salesOrders", "GET .*items")),
            times=None, least_s=least_s, window_s=self._rolls.uniform(max(least_s, 120.0), _HOUR_S),
            probability=self._rolls.choice((0.3, 1.0)),
        )  # fmt: skip
        spell = self._script(at, "replicas lag by up to an hour", (10, 90), fault)
        begin, end = spell.begin, spell.end

        def turn(is_on: bool) -> None:
            (begin if is_on else end)()
            self.lags(is_on)

        return replace(spell, begin=lambda: turn(True), end=lambda: turn(False))

    def _update(self, at: datetime) -> Spell:
        """The environment is updated: nothing is served for half an hour, then another version with cold caches."""
        script = self._world.bc.faults.script
        down = Fault(kind=FaultKind.UNAVAILABLE, times=None)

        def end() -> None:
            script[:] = [one for one in script if one is not down]
            script.append(Fault(kind=FaultKind.SKIP_TOKEN, match="GET .*skiptoken", times=self._rolls.randint(1, 4)))
            script.append(Fault(kind=FaultKind.TRANSIENT, match="POST .*salesOrders", times=2, reason="metadata"))
            script.append(Fault(kind=FaultKind.TRANSIENT, times=self._rolls.randint(1, 6), reason="tenant"))

        return self._spell(at, "environment updated", (30, 30), lambda: script.append(down), end)

    def _rename(self, at: datetime) -> Spell:
        """A company gets another name, or the display name of the other one."""

        def rename() -> None:
            companies = list(self._world.bc.environment.companies.values())
            one, other = self._rolls.choice(companies), self._rolls.choice(companies)
            name = f"Renamed {self._rolls.randrange(1000)}" if self._world.settings.companies[0] != one.name else None
            display = self._rolls.choice((other.display_name or other.name, f"Shown {self._rolls.randrange(1000)}"))
            for known in (one.name, one.display_name, display):
                self.renames(known)
            self._world.bc.rename_company(one.id, name=name, display_name=display)

        return self._spell(at, "company renamed", (0, 0), rename)

    def _clock_step(self, at: datetime) -> Spell:
        """The clock of one host jumps; it is put right some time later."""
        ahead = self._world.clock_ahead
        host = self._rolls.randrange(len(ahead))
        step = timedelta(seconds=self._rolls.choice(self._clock_steps_s))

        def turn(to: timedelta) -> None:
            ahead[host] = to

        return self._spell(at, "clock jumps", (5, 120), lambda: turn(step), lambda: turn(timedelta(0)))

    def _timers_stop(self, at: datetime) -> Spell:
        """All timers stop, and no end of the weather starts them again (P28)."""

        def stop() -> None:
            self._world.timers_run = False

        return self._spell(at, "timers stop for good", (0, 0), stop)

    def _wrong_date(self, at: datetime) -> Spell:
        """A proxy's clock writes the `Date` of BC's answers."""

        def turn(to: timedelta) -> None:
            self._world.date_ahead = to

        ahead = timedelta(minutes=self._rolls.choice((-600, -30, 30, 600)))
        return self._spell(at, "a proxy's Date", (5, 120), lambda: turn(ahead), lambda: turn(timedelta(0)))

    def _drafts(self, at: datetime) -> Spell:
        """Reads on the primary modify drafts, or those with `ReadOnly` fail on them."""
        drafts = self._world.bc.drafts
        fails = self._rolls.random() < 0.5

        def turn(is_on: bool) -> None:
            drafts.modified_by_reads, drafts.read_only_fails = is_on, is_on and fails

        return self._spell(at, "drafts change when read", (30, 300), lambda: turn(True), lambda: turn(False))

    def _bursts(self, at: datetime) -> Spell:
        """Short bursts of faults that BC tells with a 4xx and that pass."""
        reason = self._rolls.choice(tuple(TRANSIENT_ANSWERS))
        where = self._rolls.choice(("POST .*salesOrders", "GET ", ""))
        fault = Fault(kind=FaultKind.TRANSIENT, match=where, times=None, reason=reason)
        return self._script(at, f"burst: {reason} on '{where}'", (0.2, 3), fault)


#: Spells that a plan can ask for.
FORCED: Final[dict[str, Callable[[Weather, datetime], Spell]]] = {
    "long lag": Weather._long_lag,
    "rename": Weather._rename,
    "clock": Weather._clock_step,
    "timers": Weather._timers_stop,
    "date": Weather._wrong_date,
    "broken": Weather._broken,
    "budget": lambda weather, at: weather._trouble_of(at, "budget"),
    "login": lambda weather, at: weather._trouble_of(at, "login"),
    "table": lambda weather, at: weather._trouble_of(at, "table"),
}
