"""Decides what to do about webhooks: register, renew, replace, remove."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import Subscription, Wanted
from shared.clock import NO_TIME

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
    """Return one step per wanted webhook and one per webhook of ours (URL under `own_prefix`) that is too many.

    A row of BC's list without an id can be neither renewed nor removed, so it counts as absent. One whose expiry cannot
    be read is renewed, which gives it a new one.
    """
    by_url: dict[str, list[Subscription]] = {}
    for subscription in existing:
        if subscription.subscription_id and subscription.url.startswith(own_prefix):
            by_url.setdefault(subscription.url, []).append(subscription)
    steps: list[Step] = []
    for want in wanted:
        same = sorted(by_url.pop(want.url, []), key=lambda found: found.expires_at, reverse=True)
        matching = [found for found in same if _same_resource(found.resource, want.resource)]
        steps.extend(Remove(found) for found in same if found not in matching[:1])
        if not matching:
            steps.append(Register(want))
        elif now >= _renewed_from(matching[0]):
            steps.append(Renew(want, matching[0]))
        else:
            steps.append(Keep(want, matching[0]))
    steps.extend(Remove(found) for rest in by_url.values() for found in rest)
    return steps


def _renewed_from(existing: Subscription) -> datetime:
    """Return from when a webhook is renewed; at once when its expiry is unknown (`NO_TIME`)."""
    return existing.expires_at if existing.expires_at == NO_TIME else existing.expires_at - LIFETIME + RENEW_AGE


def _same_resource(held: str, wanted: str) -> bool:
    return held.strip("/").lower().endswith(wanted.strip("/").lower())
