"""Items with their variants read two ways by as many workers as the budget has slots: `$expand`, or flat and joined.

Both cut their sets into ranges as the bundle does, by probes, and ask for pages of at most eight megabytes.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import requests
from common import main

PAGE_BYTES = 8_000_000
MOST_ROWS = 20_000  # what Business Central serves at most
_SAMPLE = 50  # rows, of which follows how many make a page


class Reader:
    """Reads ranges of sets side by side."""

    def __init__(self, task: dict[str, Any]) -> None:
        """Take where, and how many `workers` and `ranges`."""
        self._task = task
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(task["workers"])

    def read(self, *sets: tuple[str, str, str]) -> list[list[dict[str, Any]]]:
        """Return the rows of each set: its name, the property it is cut by, what is expanded."""
        plans = list(self._pool.map(lambda one: self._ranges(*one), sets))
        found: list[list[dict[str, Any]]] = [[] for _ in sets]
        at_work = {
            self._pool.submit(self._get, url, rows): number for number, (urls, rows) in enumerate(plans) for url in urls
        }
        while at_work:
            done, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for one in done:
                number, page = at_work.pop(one), one.result()
                found[number] += page["value"]
                if link := page.get("@odata.nextLink"):  # behind the pages that wait, so that ranges end together
                    at_work[self._pool.submit(self._get, link, plans[number][1])] = number
        return found

    def _ranges(self, name: str, key: str, expand: str) -> tuple[list[str], int]:
        """Return the URLs of the ranges, in turn, and the rows of a page."""
        base = f"{self._task['url']}/{name}?$orderby={key}"
        count = self._get(f"{base}&$top=1&$count=true&$select=id,{key}")["@odata.count"]
        whole = base + (f"&$expand={expand}" if expand else "")
        sample = self._get(f"{whole}&$top={_SAMPLE}")
        rows = min(MOST_ROWS, max(_SAMPLE, PAGE_BYTES * _SAMPLE // len(json.dumps(sample))))
        step = -(-count // self._task["ranges"])
        skips = range(step, count, step)
        probes = [self._pool.submit(self._cut, f"{base}&$select=id,{key}&$top=1&$skip={skip}", key) for skip in skips]
        cuts = sorted({probe.result() for probe in probes})
        bounds = zip(["", *cuts], [*cuts, ""], strict=True)
        return [whole + _filter(key, low, high) for low, high in bounds], rows

    def _cut(self, url: str, key: str) -> str:
        return str(self._get(url)["value"][0][key])

    def _get(self, url: str, page_rows: int = 0) -> dict[str, Any]:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.verify = self._task["ca"]
            session.headers.update({"Authorization": f"Bearer {self._task['token']}", "Accept": "application/json"})
        prefer = {"Prefer": f"odata.maxpagesize={page_rows}"} if page_rows else {}
        answer = session.get(url, headers=prefer, timeout=120)
        answer.raise_for_status()
        page: dict[str, Any] = answer.json()
        return page


def _filter(key: str, low: str, high: str) -> str:
    clauses = [f"{key} ge '{low}'"] * bool(low) + [f"{key} lt '{high}'"] * bool(high)
    return "&$filter=" + " and ".join(clauses) if clauses else ""


def expanded(task: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Read items with their variants in them."""
    return Reader(task).read(("items", "number", "itemVariants"))[0]


def flat(task: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Read items and variants as sets of their own, and give each item its variants by its number."""
    items, variants = Reader(task).read(("items", "number", ""), ("itemVariants", "itemNumber", ""))
    of: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for variant in variants:
        of[variant["itemNumber"]].append(variant)
    for item in items:
        item["itemVariants"] = of[item["number"]]
    return items


if __name__ == "__main__":
    main(flat if sys.argv[1:] == ["flat"] else expanded)
