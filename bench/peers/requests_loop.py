"""The plain loop that most integrations are: one page after another with `requests`, all rows in a list."""

from __future__ import annotations

import time
from typing import Any

import requests
from common import main


def pull(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Read everything; a 429 is waited for as Retry-After says."""
    session = requests.Session()
    session.trust_env = False
    session.verify = task["ca"]
    session.headers.update({"Authorization": f"Bearer {task['token']}", "Accept": "application/json"})
    if task.get("page_rows"):
        session.headers["Prefer"] = f"odata.maxpagesize={task['page_rows']}"
    rows: list[dict[str, Any]] = []
    url = f"{task['url']}/items?$expand=itemVariants"
    if task.get("since"):
        url += f"&$filter=lastModifiedDateTime%20ge%20{task['since']}"
    while url:
        answer = session.get(url, timeout=120)
        if answer.status_code == 429:
            time.sleep(float(answer.headers.get("Retry-After", 1)))
            continue
        answer.raise_for_status()
        page = answer.json()
        rows += page["value"]
        url = page.get("@odata.nextLink")
    return rows


if __name__ == "__main__":
    main(pull)
