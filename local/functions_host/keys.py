"""Function keys for ``--enable-auth``. Without it every request is let in, as with ``func start``.

Keys come from a JSON file, ``{"master": "...", "host": {"name": "..."}, "functions": {"fn": {"name": "..."}}}``, or
from the variables LOCAL_HOST_MASTER_KEY and LOCAL_HOST_FUNCTION_KEY (a host key, good for every function).

The script host remembers a key it found good under the key's text followed by the function's name, whatever the case.
So a key that was used once opens more than it should: in any case of its letters, and, where one function's name is the
end of another's, the function of the shorter name too. An app must know that, so it is kept.
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from local.functions_host.errors import HostError

Level = Literal["anonymous", "function", "admin"]


@dataclass(frozen=True)
class Keys:
    """The keys this host accepts."""

    master: str = field(repr=False)
    host: tuple[str, ...] = field(default=(), repr=False)
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    _found_good: dict[str, Level] = field(default_factory=dict, repr=False, compare=False)

    def allows(self, level: str, function: str, key: str | None) -> bool:
        """Tell whether a key opens a function of that level: ``anonymous``, ``function`` or ``admin``."""
        wanted = level.casefold()
        return wanted == "anonymous" or self.level(function, key) in {"admin", wanted}

    def level(self, function: str, key: str | None) -> Level:
        """Return what a key is good for at a function, or at no function in particular (an empty name)."""
        if not key:
            return "anonymous"
        remembered = (key + function).casefold()
        if remembered not in self._found_good:
            found = self._level(function, key)
            if found == "anonymous":
                return found
            self._found_good[remembered] = found
        return self._found_good[remembered]

    def _level(self, function: str, key: str) -> Level:
        if _same(key, self.master):
            return "admin"
        accepted = (*self.host, *self.functions.get(function.casefold(), ()))
        return "function" if any(_same(key, known) for known in accepted) else "anonymous"


def _same(key: str, known: str) -> bool:
    return hmac.compare_digest(key.encode(), known.encode())


def read_keys(file: Path | None, env: Mapping[str, str]) -> Keys:
    """Read the keys from the file, else from the environment.

    Raises:
        HostError: no master key anywhere, or a file that is not in the documented form.
    """
    if file is not None:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            host = _texts(content.get("host", {}).values())
            functions = {name.casefold(): _texts(keys.values()) for name, keys in content.get("functions", {}).items()}
            return Keys(_texts([content["master"]])[0], host, functions)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise HostError(f"keys file {file} is not usable: {error!r}") from error
    master = env.get("LOCAL_HOST_MASTER_KEY")
    if not master:
        raise HostError("--enable-auth needs --keys-file or LOCAL_HOST_MASTER_KEY")
    function_key = env.get("LOCAL_HOST_FUNCTION_KEY")
    return Keys(master, (function_key,) if function_key else ())


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    texts = tuple(values)
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("a key must be a string that is not empty")
    return tuple(str(text) for text in texts)
