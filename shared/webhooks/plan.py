"""Decides what to do about webhooks: register, renew, replace, remove."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import Subscription, Wanted
from shared.clock import earlier

#: Life of a subscription from its creation or renewal on (Microsoft Learn, "Working with webhooks").
LIFETIME: Final = timedelta(days=3)
#: Renewed from this age on, so that it has many tries left before 48 hours, let alone three days.
RENEW_AGE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Register:
    """BC has no such webhook."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Renew:
    """The webhook is old enough to be renewed."""

    wanted: Wanted
    existing: Subscription


@dataclass(frozen=True, slots=True)
class Keep:
    """The webhook is there and young."""

    wanted: Wanted
    existing: Subscription


@dataclass(frozen=True, slots=True)
class Remove:
    """A webhook of ours that is not wanted, or doubled."""

    existing: Subscription


type Step = Register | Renew | Keep | Remove


def plan(wanted: Iterable[Wanted], existing: Iterable[Subscription], *, own_prefix: str, now: datetime) -> list[Step]:
    """Return one step per wanted webhook and one per webhook of ours (URL right under `own_prefix`) that is too many.

    A row of BC's list without an id can be neither renewed nor removed, so it counts as absent. One whose expiry cannot
    be read is renewed, which gives it a new one.
    """
    by_url: dict[str, list[Subscription]] = {}
    for subscription in existing:
        behind = subscription.url.removeprefix(own_prefix)  # with a slash in it: of another connection
        if subscription.subscription_id and behind != subscription.url and "/" not in behind:
            by_url.setdefault(subscription.url, []).append(subscription)
    steps: list[Step] = []
    for want in wanted:
        steps += _steps(want, by_url.pop(want.url, []), now)
    steps.extend(Remove(found) for rest in by_url.values() for found in rest)
    return steps


def _steps(want: Wanted, same: list[Subscription], now: datetime) -> list[Step]:
    """Return the steps for one wanted webhook; of those at its URL the one that lives longest is kept."""
    same = sorted(same, key=lambda found: found.expires_at, reverse=True)
    best = next((found for found in same if _same_resource(found.resource, want.resource)), None)
    steps: list[Step] = [Remove(found) for found in same if found != best]
    if best is None:
        return [*steps, Register(want)]
    return [*steps, Renew(want, best) if now >= _renewed_from(best) else Keep(want, best)]


def _renewed_from(existing: Subscription) -> datetime:
    """Return from when a webhook is renewed; at once when its expiry is unknown (`NO_TIME`)."""
    return earlier(existing.expires_at, LIFETIME - RENEW_AGE)


def _same_resource(held: str, wanted: str) -> bool:
    return held.strip("/").lower().endswith(wanted.strip("/").lower())
