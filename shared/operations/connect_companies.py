"""The companies of the connect page: a line each, with a mark per entity for webhook, last read and announced today.

Pure; everything from outside is escaped. Details are in `connect_tables`.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from html import escape
from typing import Final

from shared.operations.findings import in_plain_words
from shared.operations.page_parts import Line, in_words, mark, rows_of, section, small
from shared.operations.status_view import CompanyView, StatusView, StreamView, SubscriptionView

_READS: Final = frozenset({"pull", "reconcile"})  # the snapshot of once a day says nothing of now


def company_section(view: StatusView) -> str:
    """Return the companies; those of which the list is not known come from what was read of them."""
    names = dict.fromkeys([one.name for one in view.companies] or [stream.company for stream in view.streams])
    if not names:
        return section("companies", "Companies", "<p>None yet: they are listed once somebody has connected.</p>")
    known = {one.name: one for one in view.companies}
    entities = list(dict.fromkeys([one.entity for one in view.triggers] + [one.entity for one in view.streams]))
    states = _States(view)
    lines = [_line(known.get(name, CompanyView(name=name, id="")), entities, states) for name in names]
    lead = '<p class="soft">When each was read last, how many were announced today (UTC), what is wrong.</p>'
    return section("companies", "Companies", lead + rows_of("companies", ("Company", *entities), lines, kind="matrix"))


def _line(company: CompanyView, entities: list[str], states: "_States") -> Line:
    name = escape(company.name)
    if company.error:
        name += f" {mark('failed', 'not served')}{small(in_plain_words(company.error))}"
        return Line(name, *(("", "") for _ in entities))
    return Line(name, *((entity, states.of(company.name, entity)) for entity in entities))


class _States:
    """What is known of each company's entities."""

    def __init__(self, view: StatusView) -> None:
        self._at = view.at
        self._streams: dict[tuple[str, str], list[StreamView]] = {}
        for stream in view.streams:
            self._streams.setdefault((stream.company, stream.entity), []).append(stream)
        self._webhooks = {(one.company, one.entity): one for one in view.subscriptions}
        self._today: Counter[tuple[str, str]] = Counter()
        for one in view.activity:
            if one.hour.date() == view.at.date():
                self._today[one.company, one.entity] += one.counts.get("announced", 0)

    def of(self, company: str, entity: str) -> str:
        """Return the mark of one entity, the worst of its reads and its webhook, and its number of today."""
        streams = self._streams.get((company, entity), [])
        state, text = _worst([*_reads(streams, self._at), *_webhook(self._webhooks.get((company, entity)), self._at)])
        today = self._today[company, entity]
        return mark(state, text) + (f' <span class="soft">{today:,} today</span>' if today else "")


def _worst(told: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Return the mark of what is worst: what failed, else what is missing, else when it was read."""
    order = ["failed", "waiting", "running", "ok"]
    return min(told, key=lambda one: order.index(one[0]), default=("waiting", "not read yet"))


def _reads(streams: list[StreamView], at: datetime) -> Iterable[tuple[str, str]]:
    for stream in streams:
        if stream.error or stream.state == "failed":
            yield "failed", "read failed"
        elif stream.is_late(at):
            yield "failed", f"silent for {in_words(at - (stream.last_run or at))}"
    if streams:
        yield _last_read(streams, at)


def _last_read(streams: list[StreamView], at: datetime) -> tuple[str, str]:
    last = max((one.last_run for one in streams if one.purpose in _READS and one.last_run), default=None)
    if last is None:
        return ("running" if any(one.state == "running" for one in streams) else "waiting"), "first read"
    return "ok", f"{in_words(at - last)} ago" if at - last >= timedelta(minutes=1) else "just now"


def _webhook(webhook: SubscriptionView | None, at: datetime) -> Iterable[tuple[str, str]]:
    if webhook is None or webhook.state in {"ok", "unsupported"}:
        if webhook is not None and webhook.error:
            yield "failed", "webhook failed"
        elif webhook is not None and webhook.expires_at is not None and webhook.expires_at - at < timedelta(hours=12):
            yield "waiting", "webhook ends soon"
        return
    yield "failed", f"webhook {webhook.state}"
