"""The emulated Business Central: requests in, responses out, notifications on demand. No sockets, threads or clock.

One engine is one environment of one tenant. `handle` answers an API request; `run_webhooks` runs the sender's due jobs;
`user` does what people in Business Central do; `faults` and `webhooks.tampering` make things go wrong. All randomness
comes from one seed, all time from the injected clock. `lock` is held while a request or the sender's job is in work.
"""

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime as http_date
from functools import partial
from typing import Any, Final

from business_central_emulator import dispatch
from business_central_emulator.business import bulk, seeding, shop
from business_central_emulator.business.drafts import Drafts
from business_central_emulator.business.user import User
from business_central_emulator.data import errors, oracle
from business_central_emulator.data.clock import Clock
from business_central_emulator.data.environment import Company, Environment, Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, Entity, catalog
from business_central_emulator.data.store import Table
from business_central_emulator.odata import batch
from business_central_emulator.odata import query as odata_query
from business_central_emulator.odata.calls import Call, Outcome
from business_central_emulator.odata.reading import Reader
from business_central_emulator.odata.routing import RUNTIME_API, STANDARD_API, Address, parse_address
from business_central_emulator.server import faults
from business_central_emulator.server.exchange import Engine, Handshake, Post, Request, Response
from business_central_emulator.server.faults import Fault, FaultKind, Faults
from business_central_emulator.server.limits import Limits, TokenCheck, accept_good_tokens
from business_central_emulator.webhooks import business_events
from business_central_emulator.webhooks.business_events import BusinessEvents
from business_central_emulator.webhooks.sender import Webhooks
from business_central_emulator.webhooks.subscription_api import Hooks
from business_central_emulator.webhooks.subscriptions import MAYBE_SUPPORTED, Subscriptions

DEFAULT_TENANT_ID: Final = "2c9f3b5a-7d41-4e0b-9a61-0f6d5b8c4e21"
DEFAULT_TENANT_DOMAIN: Final = "lmints.io"
DEFAULT_ENVIRONMENT: Final = "production"
_PRINCIPALS: Final = uuid.UUID("0a3b8d35-5c0e-5c27-8f7e-2f4a7d3c9b10")
_JSON: Final = "application/json; odata.metadata=minimal; odata.streaming=true"
MAX_URL: Final = 8_099  # characters, seen live
#: Recorded on every answer of the service.
_COMMON_HEADERS: Final = {
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Headers": "Origin, X-Requested-With, Authorization",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Date, Content-Length, Server, OData-Version, ms-correlation-x",
    "Server": "Microsoft-HTTPAPI/2.0",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Vary": "Accept-Encoding",
    "x-content-type-options": "nosniff",
}
_NO_ENVIRONMENT: Final = (
    b'<error xmlns="http://docs.oasis-open.org/odata/ns/metadata"><code>NoEnvironment</code>'
    b"<message>Environment does not exist.</message></error>"
)


@dataclass(slots=True, kw_only=True)
class Latency:
    """Modelled time of an honest answer; whoever carries the response spends it."""

    base_s: float = 0.0
    per_row_us: float = 0.0
    bytes_per_s: float = 0.0  # of the answer before compression; 0: no limit


@dataclass(slots=True)
class _Pending:
    """Works of a transaction that is still open: seen by reads with `ReadWrite`, then committed or rolled back."""

    due: datetime
    works: list[Work]
    commits: bool
    seen: bool  # False: it begins when it is due


class BusinessCentral(Engine):
    """One environment of one tenant, in memory."""

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 1,
        tenant_id: str = DEFAULT_TENANT_ID,
        tenant_domain: str = DEFAULT_TENANT_DOMAIN,
        environment: str = DEFAULT_ENVIRONMENT,
        check_token: TokenCheck = accept_good_tokens,
        handshake: Handshake | None = None,
        webhook_delay_s: float = 30.0,
        optional_resources: tuple[str, ...] = MAYBE_SUPPORTED,
        enforce_limits: bool = False,
        demo_data: bool = True,
        changed_status: int = 409,
        links_full_pages: bool = False,
        al_signs: bool = False,
        has_shop: bool = False,
    ) -> None:
        self.clock = clock
        self.check_token = check_token
        self.handshake: Handshake = handshake or _no_answer
        self.changed_status = changed_status
        self.links_full_pages = links_full_pages
        self.al_signs = al_signs  # whether `|`, `&`, `..` and `@` in a text of a filter mean what they do in AL
        self.latency = Latency()
        self.lock = threading.RLock()
        self.limits = Limits(enforced=enforce_limits)
        self._seed = seed
        self._setup = (tenant_id, tenant_domain, environment, webhook_delay_s, optional_resources, demo_data)
        self._has_shop = has_shop
        self.reset()

    def reset(self) -> None:
        """Start over: demo data, no subscriptions, no faults, counters at zero; the clock stays where it is."""
        tenant_id, tenant_domain, name, delay_s, optional, demo_data = self._setup
        self.environment = Environment(
            clock=self.clock, seed=self._seed, tenant_id=tenant_id, tenant_domain=tenant_domain, name=name
        )
        self.subscriptions = Subscriptions(self.environment, optional_resources=optional)
        self.webhooks = Webhooks(self.environment, self.subscriptions, delay_s=delay_s)
        self.faults = Faults(self.environment.ids.random, clock=self.clock)
        self.business_events = BusinessEvents(self.environment)
        self.user = User(self)
        self.drafts = Drafts()
        self._open: list[_Pending] = []
        self.limits.reset()
        for company in seeding.companies(demo_data=demo_data):
            self.environment.add_company(company)
        if self._has_shop:
            self.add_shop()

    # -- what tests and the control API use --------------------------------------------------------------------------

    def company(self, key: str | None = None) -> Company:
        """Return a company by id or name; without a key the first one."""
        return next(iter(self.environment.companies.values())) if key is None else self.environment.company(key)

    def table(self, entity_set: str, company: str | None = None) -> Table:
        """Return a table of a company (of the first one by default)."""
        return self.company(company).tables[entity_set]

    def add_company(self, name: str, *, display_name: str = "") -> Company:
        """Open a further company with the code tables of the demo data and nothing else."""
        company = seeding.empty_company(name, display_name=display_name)
        company.tables |= {
            entity.table_key: Table(entity)
            for own in self.environment.apis.values()
            for entity in own.values()
            if entity.scoped
        }
        self.environment.add_company(company)
        return company

    def add_api(self, route: str, *definitions: Entity) -> None:
        """Publish custom API pages under `publisher/group/version`, with `$metadata` and `subscriptions` of their own.

        Their tables are empty; `user.create("<route>/<set>", values)` fills them. They may lack `lastModifiedDateTime`.
        """
        route = route.lower()
        own = catalog(definitions, route=route)
        for company in self.environment.companies.values():
            company.tables |= {entity.table_key: Table(entity) for entity in own.values()}
        own |= {name: ENTITIES[name] for name in ("companies", "subscriptions")}
        self.environment.apis[route] = own

    def add_shop(self) -> None:
        """Publish the custom API `contoso/shop/v1.0` (module `business.shop`) with a few rows in the first company."""
        self.add_api(shop.ROUTE, *shop.DEFINITIONS)
        for number, quantity, bins in shop.STOCK:
            row = {"itemNumber": number, "locationCode": "MAIN", "quantity": quantity}
            level = self.user.create(f"{shop.ROUTE}/stockLevels", row)
            for code in bins:
                self.user.create(f"{shop.ROUTE}/bins", {"code": code, "stockLevelId": level.id, "quantity": 1})
        for tag in shop.TAGS:
            self.user.create(f"{shop.ROUTE}/priceTags", tag)

    def rename_company(self, key: str, *, name: str | None = None, display_name: str | None = None) -> Company:
        """Rename a company, as its card in Business Central does; its id stays. Two may bear one display name."""
        company = self.company(key)
        company.name = name or company.name
        company.display_name = company.display_name if display_name is None else display_name
        work = Work(self.environment, company)
        record = self.environment.company_rows.the("id", company.id)
        row = list(record.row)
        for column, value in (
            ("name", company.name), ("displayName", company.display_name), ("systemModifiedAt", work.now),
        ):  # fmt: skip
            row[record.entity.position[column]] = value
        work.tx.modify(self.environment.company_rows, record, row)
        self.commit(work)
        return company

    def bulk_items(
        self,
        count: int,
        variants_per_item: int = 0,
        *,
        company: str | None = None,
        changed_at: datetime | None = None,
        step_ms: float = 10.0,
    ) -> list[Record]:
        """Load many items at once, without triggers; the last of them changed now unless told otherwise."""
        step = timedelta(milliseconds=step_ms)
        first_at = changed_at or self.environment.now() - (count - 1) * step
        return bulk.load_items(
            self.company(company), self.environment.ids, count, variants_per_item=variants_per_item,
            changed_at=first_at, step=step,
        )  # fmt: skip

    def root_url(self, *, origin: str = "https://api.businesscentral.dynamics.com", with_tenant: bool = True) -> str:
        """Return the API root of this environment in one of its two forms."""
        tenant = f"{self.environment.tenant_domain}/" if with_tenant else ""
        return f"{origin}/v2.0/{tenant}{self.environment.name}/api/v2.0"

    def run_webhooks(self, post: Post) -> int:
        """Run the sender's due jobs; returns the number of POSTs made."""
        with self.lock:
            self.settle()
            return self.webhooks.run(post) + self.business_events.run(self.environment.now(), post)

    def commit(self, work: Work, *, can_schedule: bool = True) -> None:
        """Commit a unit of work and let the webhook triggers see it."""
        self.webhooks.record(work.commit(), can_schedule=can_schedule)
        self.business_events.record(work)

    def settle(self) -> None:
        """Let the open transactions whose time has come be committed, in their order, or forgotten."""
        now = self.environment.now()
        due = [one for one in self._open if one.due <= now]
        self._open = [one for one in self._open if one.due > now]
        for one in due:
            for work in one.works:
                if one.commits and work.tx.reapply():
                    self.commit(work)

    def late_commits(self) -> int:
        """Return how many transactions are still open."""
        return len(self._open)

    def postpone(self, done: list[Work], seconds: float, *, commits: bool, seen: bool = True) -> None:
        """Take finished works back and keep them as a transaction that ends in some seconds; `seen`: it has begun."""
        for work in reversed(done):
            work.rollback()
        works = [work for work in done if work.tx.steps]
        if works:
            self._open.append(_Pending(self.environment.now() + timedelta(seconds=seconds), works, commits, seen))

    @contextlib.contextmanager
    def _uncommitted(self) -> Iterator[bool]:
        """Show what open transactions wrote, as READ UNCOMMITTED does; says whether there is any."""
        applied = [work for one in self._open if one.seen for work in one.works if work.tx.reapply()]
        try:
            yield bool(applied)
        finally:
            for work in reversed(applied):
                work.rollback()

    def copy_environment(self) -> None:
        """Do what an environment copy does to webhooks: no subscription and no notification survives."""
        self.environment.subscriptions = Table(self.environment.subscriptions.entity)
        self.webhooks.forget_everything()

    def delete_subscription_silently(self, subscription_id: str) -> None:
        """Lose a subscription without telling anyone."""
        self.subscriptions.purge([subscription_id])
        self.webhooks.forget([subscription_id])

    def oracle(self) -> dict[str, Any]:
        """Return every record and its history as JSON values: the truth a test compares with."""
        self.settle()
        return oracle.snapshot(self.environment)

    def statistics(self) -> dict[str, Any]:
        """Return request counters and webhook deliveries."""
        return self.limits.statistics() | {
            "deliveries": len(self.webhooks.deliveries),
            "notifications": sum(delivery.entries for delivery in self.webhooks.deliveries),
            "waitingChanges": self.webhooks.waiting(),
        }

    # -- requests ----------------------------------------------------------------------------------------------------

    def principal_of(self, request: Request) -> str | None:
        """Return who sends the request, or None when the token is refused."""
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        return self.check_token(token) if scheme.lower() == "bearer" and token else None

    def handle(self, request: Request) -> Response:
        """Answer one API request."""
        with self.lock:
            self.settle()
            correlation = self.environment.ids.guid()
            try:
                response = self._answer(request, correlation)
            except errors.ApiError as error:
                response = _error_response(error, correlation, request)
            return self._finished(response, correlation)

    @contextlib.contextmanager
    def turn(self, request: Request) -> Iterator[bool]:
        """Return the place of a request among those in process; False when too many wait already."""
        principal = self.principal_of(request) or "anonymous"
        has_place = self.limits.enter(principal)
        try:
            yield has_place
        finally:
            if has_place:
                self.limits.leave(principal)

    def _answer(self, request: Request, correlation: str) -> Response:
        principal = self.principal_of(request)
        if principal is None:
            raise errors.invalid_credentials()
        if not self.limits.count(principal, self.environment.now(), request.method):
            raise errors.too_many_requests()
        decisive, bending = self.faults.strike(request)
        if decisive is not None and decisive.kind in faults.BEFORE_COMMIT:
            return faults.instead(decisive, correlation)
        if len(request.url) > MAX_URL:
            raise errors.uri_too_long()
        if request.method == "OPTIONS":
            raise errors.method_not_allowed("OPTIONS", "resource")
        if _is_environment_list(request):
            return self._environments(request)
        if request.path.lower().startswith("/admin/"):
            raise errors.NotEmulatedError("the admin center API")
        address = parse_address(request.url)
        if not self._is_ours(address):
            return Response(status=404, headers={"Content-Type": "application/xml"}, body=_NO_ENVIRONMENT)
        done: list[Work] = []
        response = self._carry_out(request, address, principal, bending, correlation, done)
        if decisive is not None and decisive.kind in (FaultKind.LATE_COMMIT, FaultKind.LATE_ROLLBACK):
            commits = decisive.kind is FaultKind.LATE_COMMIT
            self.postpone(done, decisive.late_s, commits=commits, seen=not decisive.queued)
        else:
            for work in done:
                self.commit(work)
        return response if decisive is None else faults.afterwards(decisive, response, correlation)

    def _carry_out(
        self,
        request: Request,
        address: Address,
        principal: str,
        bending: list[Fault],
        correlation: str,
        done: list[Work],
    ) -> Response:
        if address.segments and address.segments[0].name.lower() == "$batch":
            return self._batch(request, address, principal, bending, correlation, done)
        work = Work(self.environment)
        try:
            response = self._operation(request, address, principal, bending, work)
        except errors.ApiError:
            work.rollback()
            raise
        except ArithmeticError:
            work.rollback()
            raise errors.overflow() from None
        done.append(work)
        return response

    def _operation(
        self, request: Request, address: Address, principal: str, bending: list[Fault], work: Work
    ) -> Response:
        metadata = _metadata_level(request)
        intent = (request.header("Data-Access-Intent") or "").lower()
        if request.method != "GET" and intent == "readonly":
            raise errors.bad_request("The data access intent of a write cannot be ReadOnly.")
        company = self._company_of(address, request)
        work = work if company is None else work.within(company)
        reader = Reader(
            self.environment,
            company,
            self.faults.broken,
            metadata != "none",
            self.links_full_pages,
            at=None if request.method != "GET" or intent == "readwrite" else self._replica(work.now, bending),
        )
        catalog = ENTITIES if address.api == STANDARD_API else self.environment.apis.get(address.api)
        if catalog is None and address.api not in (RUNTIME_API, business_events.ROUTE):
            if not address.api.startswith("microsoft/"):
                raise errors.segment_not_found(address.api)  # a partner's API exists where somebody published it
            raise errors.NotEmulatedError(f"the API {address.api}")
        call = Call(
            catalog=catalog or ENTITIES,
            request=request,
            address=address,
            reader=reader,
            user_id=str(uuid.uuid5(_PRINCIPALS, principal)),
            changed_status=self.changed_status,
            al_signs=self.al_signs,
        )
        hooks = Hooks(self.subscriptions, self.handshake, self.webhooks.log, self.business_events)
        if request.method != "GET":
            outcome = dispatch.run(call, work, hooks)
        elif intent == "readwrite":
            with self._uncommitted() as is_dirty:
                if not is_dirty and principal not in self.drafts.readers:
                    call.reader.on_read = partial(self.drafts.recalculate, work)
                outcome = dispatch.run(call, work, hooks)
        else:
            if intent == "readonly":
                call.reader.on_read = self.drafts.refuse
            outcome = dispatch.run(call, work, hooks)
        headers = {"OData-Version": "4.0"}
        if outcome.body:
            headers["Content-Type"] = outcome.content_type or _JSON.replace("minimal", metadata)
        if outcome.location:
            headers["Location"] = outcome.location
        if outcome.applied_preference:
            headers["Preference-Applied"] = outcome.applied_preference
        return Response(
            status=outcome.status, headers=headers, body=outcome.body, delay_s=self._delay_s(bending, outcome)
        )

    def _batch(
        self,
        request: Request,
        address: Address,
        principal: str,
        bending: list[Fault],
        correlation: str,
        done: list[Work],
    ) -> Response:
        if request.method != "POST":
            raise errors.method_not_allowed(request.method, "$batch")
        parts = batch.parse(request, address.root)
        is_snapshot = (request.header("Isolation") or "").lower() == "snapshot"
        preferences = (request.header("Prefer") or "").lower()
        shared = Work(self.environment)
        delays: list[float] = []

        def execute(part: Request) -> Response:
            if not self.limits.count(principal, self.environment.now(), part.method):
                return _error_response(errors.too_many_requests(), correlation, part)
            work = shared if is_snapshot else Work(self.environment)
            try:
                response = self._operation(part, parse_address(part.url), principal, bending, work)
            except (errors.ApiError, ArithmeticError) as fault:
                if not is_snapshot:
                    work.rollback()
                error = fault if isinstance(fault, errors.ApiError) else errors.overflow()
                return _error_response(error, correlation, part)
            if not is_snapshot:
                done.append(work)
            delays.append(response.delay_s)
            return response

        goes_on = "odata.continue-on-error" in preferences and "odata.continue-on-error=false" not in preferences
        body, failed = batch.run(parts, execute, goes_on=goes_on)
        if is_snapshot and failed:
            shared.rollback()
        elif is_snapshot:
            done.append(shared)
        headers = {"Content-Type": _JSON, "OData-Version": "4.0"}
        return Response(status=200, headers=headers, body=body, delay_s=sum(delays))  # parts run one after the other

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _is_ours(self, address: Address) -> bool:
        environment = self.environment
        tenants = (None, environment.tenant_id.lower(), environment.tenant_domain.lower())
        tenant = address.tenant.lower() if address.tenant else None
        return tenant in tenants and address.environment.lower() == environment.name.lower()

    def _company_of(self, address: Address, request: Request) -> Company | None:
        first = address.segments[0] if address.segments else None
        if first is not None and first.name.lower() == "companies":
            return None if len(address.segments) == 1 or first.key is None else self.environment.company(first.guid())
        named = odata_query.custom_options(address.query).get("company") or request.header("Company")
        return self.environment.company(named) if named else None

    def _environments(self, request: Request) -> Response:
        if request.method != "GET":
            raise errors.method_not_allowed(request.method, "environments")
        environment = self.environment
        origin = request.url.split("/environments/", 1)[0]
        row = {
            "aadTenantId": environment.tenant_id,
            "applicationFamily": "BusinessCentral",
            "type": "Production",
            "name": environment.name,
            "countryCode": "GB",
            "webServiceUrl": origin,
            "webClientLoginUrl": f"https://businesscentral.dynamics.com/{environment.tenant_id}/{environment.name}",
        }
        body = json.dumps({"value": [row]}).encode()
        return Response(status=200, headers={"Content-Type": "application/json; charset=utf-8"}, body=body)

    def _replica(self, now: datetime, bending: list[Fault]) -> datetime | None:
        """Return how far the replica is that answers this read; None when it is current."""
        lags_s = [
            fault.window_s if fault.least_s is None else self.faults.rolls.uniform(fault.least_s, fault.window_s)
            for fault in bending
            if fault.kind is FaultKind.REPLICA_LAG
        ]
        return now - timedelta(seconds=max(lags_s)) if lags_s else None

    def _delay_s(self, bending: list[Fault], outcome: Outcome) -> float:
        slow = [fault for fault in bending if fault.kind is FaultKind.SLOW]
        base_s = self.latency.base_s + sum(fault.delay_s for fault in slow)
        per_row_us = self.latency.per_row_us + sum(fault.per_row_us for fault in slow)
        if self.latency.bytes_per_s:
            base_s += len(outcome.body) / self.latency.bytes_per_s
        if not per_row_us:
            return base_s
        rows = max(outcome.rows, outcome.body.count(b'"@odata.etag"'))  # expanded rows are read and written, too
        return base_s + rows * per_row_us / 1e6

    def _finished(self, response: Response, correlation: str) -> Response:
        headers = {
            **_COMMON_HEADERS,
            **response.headers,
            "Date": http_date(self.clock().replace(microsecond=0), usegmt=True),
            "request-id": correlation,
            "ms-correlation-x": self.environment.ids.guid(),
        }
        return replace(response, headers=headers)


def _no_answer(_url: str) -> None:
    """Stand in for a handshake nobody wired: no subscriber answers."""


def _is_environment_list(request: Request) -> bool:
    return "/environments/v1." in request.url.split("?", 1)[0]


def _metadata_level(request: Request) -> str:
    accept = (request.header("Accept") or "").replace(" ", "").lower()
    if "odata.metadata=full" in accept:
        raise errors.NotEmulatedError("odata.metadata=full")
    return "none" if "odata.metadata=none" in accept else "minimal"


def _error_response(error: errors.ApiError, correlation: str, request: Request) -> Response:
    message = f"{_localised(error, request)}  CorrelationId:  {correlation}."
    body = json.dumps({"error": {"code": error.code, "message": message}}, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    if error.status == 405:
        headers["Allow"] = "GET, POST, PATCH, DELETE"
    return Response(status=error.status, headers=headers, body=body)


def _localised(error: errors.ApiError, request: Request) -> str:
    """Return the message as `Accept-Language` asks; there are no translations here, so the language is put in front."""
    language = (request.header("Accept-Language") or "en").split(",")[0].split(";")[0].strip()
    return error.message if language.lower().startswith("en") or language == "*" else f"[{language}] {error.message}"
