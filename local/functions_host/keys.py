"""Function keys for ``--enable-auth``. Without it every request is let in, as with ``func start``.

Keys come from a JSON file, ``{"master": "...", "host": {"name": "..."}, "functions": {"fn": {"name": "..."}}}``, or
from the variables LOCAL_HOST_MASTER_KEY and LOCAL_HOST_FUNCTION_KEY (a host key, good for every function).
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.functions_host.errors import HostError


@dataclass(frozen=True)
class Keys:
    """The keys this host accepts."""

    master: str = field(repr=False)
    host: tuple[str, ...] = field(default=(), repr=False)
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def allows(self, level: str, function: str, key: str | None) -> bool:
        """Tell whether a key opens a function of that level: ``anonymous``, ``function`` or ``admin``."""
        if level.casefold() == "anonymous":
            return True
        if not key:
            return False
        accepted = [self.master]
        if level.casefold() == "function":
            accepted += [*self.host, *self.functions.get(function.casefold(), ())]
        return any(hmac.compare_digest(key.encode(), known.encode()) for known in accepted)


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
