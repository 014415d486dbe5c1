"""The companies of one connection: those its login may list, those it serves, and which one a name means."""

import threading
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import BusinessCentral, Company
from shared.clock import Clock

_KEPT_FOR: Final = timedelta(minutes=15)


class Companies:
    """The companies, listed at most once in a quarter of an hour. Safe to share between threads.

    Every method raises what `BusinessCentral.companies` raises.
    """

    def __init__(self, bc: BusinessCentral, configured: tuple[str, ...], now: Clock) -> None:
        """Take the setting BC_COMPANIES: ids or names, or `("*",)` for all."""
        self._bc = bc
        self._configured = configured
        self._now = now
        self._lock = threading.Lock()
        self._held: tuple[datetime, list[Company]] | None = None

    def served(self) -> list[Company]:
        """Return the companies to work with, as BC_COMPANIES selects them."""
        listed = self._listed()
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

    def _listed(self) -> list[Company]:
        now = self._now()
        with self._lock:
            held = self._held
        if held is not None and now - held[0] < _KEPT_FOR:
            return held[1]
        listed = self._bc.companies()
        with self._lock:
            self._held = (now, listed)
        return listed
