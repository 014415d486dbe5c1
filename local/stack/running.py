"""Where a running stack is: what another process needs to talk to it, kept in `<work_dir>/stack.json` while it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import requests

FILE = "stack.json"
PING_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The addresses of a stack. `values` are the app settings it runs with; they hold secrets of this stack."""

    app_url: str  # the host itself, plain HTTP
    public_url: str  # the app as browsers and Business Central see it
    login_url: str
    bc_url: str
    storage_connection_string: str
    ca_file: Path
    work_dir: Path
    values: Mapping[str, str]

    def write(self) -> None:
        """Write the file, which only its owner can read."""
        path = self.work_dir / FILE
        draft = path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2, default=str)
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            OSError, ValueError, KeyError, TypeError: there is none, or it is not one of this release.
        """
        given = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**given, "ca_file": Path(given["ca_file"]), "work_dir": Path(given["work_dir"])})

    def answers(self) -> bool:
        """Return whether its host answers."""
        try:
            return requests.get(f"{self.app_url}/admin/host/ping", timeout=PING_S).ok
        except requests.RequestException:
            return False


def find_running(folder: Path) -> Running | None:
    """Return the stack that was started last among those in `folder` and answers."""
    files = sorted(folder.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        try:
            found = Running.read(file)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if found.answers():
            return found
    return None
