"""The companies of one connection: those its login may list, those it serves, and which one a name means."""

import threading
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import BusinessCentral, Company
from shared.clock import Clock
from shared.connections.company_names import CompanyNames

_KEPT_FOR: Final = timedelta(minutes=15)


class Companies:
    """The companies, listed at most once in a quarter of an hour. Safe to share between threads.

    Every method raises what `BusinessCentral.companies` raises.
    """

    def __init__(
        self, bc: BusinessCentral, configured: tuple[str, ...], now: Clock, names: CompanyNames | None = None
    ) -> None:
        """Take the setting BC_COMPANIES: ids or names, or `("*",)` for all; `names` outlive the process."""
        self._bc = bc
        self._configured = configured
        self._now = now
        self._names = names
        self._lock = threading.Lock()
        self._held: tuple[datetime, list[Company]] | None = None

    def served(self, *, not_before: datetime | None = None) -> list[Company]:
        """Return the companies to work with, as BC_COMPANIES selects them; from a list no older than `not_before`."""
        return self._selected(self._listed(not_before))

    def last_known(self) -> list[Company]:
        """Return the companies as this process, or another before it, saw them last; asks nobody but a table."""
        with self._lock:
            held = self._held
        return self._selected(held[1] if held is not None else self._names.load() if self._names else [])

    def _selected(self, listed: list[Company]) -> list[Company]:
        wanted = {name.lower() for name in self._configured}
        if "*" in wanted:
            return listed
        return [company for company in listed if company.key in wanted or company.name.lower() in wanted]

    def unknown(self) -> list[str]:
        """Return entries of BC_COMPANIES that no company answers to: renamed, removed or misspelt."""
        known = {name for company in self._listed() for name in (company.key, company.name.lower())}
        return [name for name in self._configured if name != "*" and name.lower() not in known]

    def is_served(self, key: str) -> bool:
        """Return whether a company id is served; asks nobody when all are."""
        return "*" in self._configured or any(company.key == key for company in self.served())

    def named(self, name: str) -> list[Company]:
        """Return the company with this id or name, else those with this display name; without a name all of them."""
        found = self._named(name)
        if len(found) != 1 and name:
            self.forget()  # one may be new, or renamed
            found = self._named(name)
        return found

    def forget(self) -> None:
        """Read the list again next time."""
        with self._lock:
            self._held = None

    def _named(self, name: str) -> list[Company]:
        companies = self.served()
        if not name:
            return companies
        wanted = name.strip().lower()
        found = [company for company in companies if wanted in {company.key, company.name.lower()}]
        return found or [company for company in companies if company.display_name.lower() == wanted]

    def _listed(self, not_before: datetime | None = None) -> list[Company]:
        now = self._now()
        with self._lock:
            held = self._held
        if held is not None and now - held[0] < _KEPT_FOR and (not_before is None or held[0] >= not_before):
            return held[1]
        listed = self._bc.companies()
        with self._lock:
            known, self._held = self._held, (now, listed)
        if self._names is not None and (known is None or known[1] != listed):
            self._names.save(listed)
        return listed
