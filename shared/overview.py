"""All connections in one look: what `status` and the doctor answer, of one in full or of several in short.

One that can't work, or does not answer, is shown as that and hides no other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from shared.clock import utc_now
from shared.errors import ConfigError, IntegrationError, StoreUnavailable
from shared.log import about
from shared.operations.connection_health import health_of
from shared.operations.failures import explain, settings_findings
from shared.operations.findings import Finding, Report, warning
from shared.operations.status_view import ConnectionView, StatusView
from shared.operations.stores import Stores
from shared.operations.time_limit import TookTooLong, side_by_side, within
from shared.routing import check
from shared.services import Services
from shared.version import VERSION

#: Orders are counted up to this many.
_COUNT = 10_000
#: Seconds that a person waits for a look; storage that takes calls and answers none would keep it for a minute.
LOOK_S: Final = 15.0
#: What the doctor looks at once for the whole deployment.
_OF_DEPLOYMENT = frozenset({"public_url", "queues"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """Several connections in short."""

    at: datetime
    connections: tuple[ConnectionView, ...]
    findings: tuple[Finding, ...] = ()  # what is the deployment's own
    version: str = VERSION


def status_of(made: Services, named: str, key: str = "") -> StatusView | DeploymentView:
    """Return one connection in full, by id or because there is one only; else all in short.

    Raises:
        InvalidMessage: there is no such connection.
        ConfigError, TokenError, StoreUnavailable: that one can't be looked at.
    """
    check(made, named)
    out = absent_findings(made)
    if not named and len(made.ids) > 1:
        return DeploymentView(at=utc_now(), connections=in_short(made), findings=tuple(out))
    view = in_full(made, named or made.ids[0], key)
    return replace(view, findings=(*view.findings, *out))


def in_full(made: Services, connection: str, key: str = "") -> StatusView:
    """Return one connection in full. Raises as `status_of`."""
    view = _in_time(partial(made.view, connection, key))
    return replace(view, connections=(_short(view),))


def in_short(made: Services) -> tuple[ConnectionView, ...]:
    """Return every connection in short, side by side."""
    return tuple(side_by_side([partial(_look, made, one) for one in made.ids]))


def _look(made: Services, connection: str) -> ConnectionView:
    with about(connection):
        try:
            return _short(_in_time(partial(made.view, connection)))
        except IntegrationError as error:
            health = health_of(_why_not(error))
            return ConnectionView(
                id=connection, health=health.word, reason=health.reason, next_step=health.next_step,
                environment=_environment(made, connection),
            )  # fmt: skip


def _in_time[T](look: Callable[[], T]) -> T:
    try:
        return within(LOOK_S, look)
    except TookTooLong:
        raise StoreUnavailable(f"storage has not answered for {LOOK_S:g} s") from None


def _short(view: StatusView) -> ConnectionView:
    health = health_of(view.findings)
    return ConnectionView(
        id=view.connection, health=health.word, reason=health.reason, next_step=health.next_step,
        environment=view.environment, orders_waiting=view.orders_waiting, orders_parked=view.orders_parked,
        orders_rejected=view.orders_rejected, dead_letters=sum(view.dead_letter_counts.values()),
    )  # fmt: skip


def examine(made: Services, named: str) -> Report:
    """Return what the doctor finds, of one connection or of all; each finding bears its connection.

    Raises:
        InvalidMessage: there is no such connection.
    """
    check(made, named)
    ids = (named,) if named else made.ids
    reports = side_by_side([partial(_examine, made, one) for one in ids])
    found = [finding for report in reports for finding in _once(report, reports[0])]
    environments = dict.fromkeys(report.environment for report in reports if report.environment)
    return Report(
        at=reports[0].at,
        environment=", ".join(environments),
        findings=(*_stray_findings(made), *absent_findings(made), *found),
    )


def _examine(made: Services, connection: str) -> Report:
    with about(connection):
        try:
            report = made.examine(connection)
        except IntegrationError as error:
            report = Report(at=utc_now(), environment=_environment(made, connection), findings=_why_not(error))
    findings = (one if one.check in _OF_DEPLOYMENT else replace(one, connection=connection) for one in report.findings)
    return replace(report, findings=tuple(findings))


def _once(report: Report, first: Report) -> tuple[Finding, ...]:
    """Return the findings of a report; what belongs to the deployment comes with the first."""
    return tuple(one for one in report.findings if report is first or one.check not in _OF_DEPLOYMENT)


def _why_not(error: IntegrationError) -> tuple[Finding, ...]:
    if isinstance(error, ConfigError):
        return settings_findings(error)
    return (explain("state", error, "find out whose state it is"),)


def _stray_findings(made: Services) -> list[Finding]:
    return [
        warning(
            "settings", "setting_unread", f"The setting {name} {rule}.", "It is misspelt, or is left from before.",
            f"Correct or remove {name}.",
        )
        for name, rule in made.settings.strays.items()
    ]  # fmt: skip


def absent_findings(made: Services) -> list[Finding]:
    """Return what waits under connections that BC_CONNECTIONS does not name: no timer goes on with it."""
    try:
        found = _in_time(lambda: [_absent(one, stores) for one, stores in made.absent().items()])
    except StoreUnavailable as error:
        return [explain("state", error, "look for orders of connections that are not listed")]
    return [one for one in found if one is not None]


def _absent(connection: str, stores: Stores) -> Finding | None:
    orders, letters = stores.orders.counts(_COUNT), stores.dead_letters.counts(utc_now())
    waiting = orders["waiting"] + orders["parked"]
    if not waiting and not letters:
        return None
    seen = f"{waiting} orders and {letters.total()} dead letters wait under connection {connection}."
    do = f"Put {connection} back into BC_CONNECTIONS until they are done, or see its order book (docs/data.md)."
    cause = f"BC_CONNECTIONS does not name {connection}, so that nothing goes on with them."
    return replace(warning("settings", "connection_absent", seen, cause, do), connection=connection)


def _environment(made: Services, connection: str) -> str:
    settings = made.settings.able.get(connection)
    return settings.environment if settings is not None else ""
