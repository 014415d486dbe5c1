"""Settings that nobody reads because their name is misspelt, and settings that still hold what the example file holds.

Pure. Owns no rule of a setting: a value that breaks its rule is `connections.settings_reader`'s, and refused. What is
doubted here works and does something else than was meant. No value is ever shown.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from shared.connections.settings_reader import DEFAULTS
from shared.operations.findings import Finding, named, warning

#: How alike a name must be to one of ours to be taken for it; one that begins as ours do is ours whatever it is.
_ALIKE: Final = 0.85
_OURS: Final = "BC_"
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
#: A connection's own settings: `EU__BC_TENANT_ID`.
_PREFIX: Final = re.compile(r"[A-Z][A-Z0-9]{0,15}__(?=BC_)")


def setting_doubts(env: Mapping[str, str], known: Iterable[str] = DEFAULTS) -> list[Finding]:
    """Return at most one finding for misspelt names and one for values that are placeholders."""
    return [*_misspelt(env, list(known)), *_placeholders(env)]


def _misspelt(env: Mapping[str, str], known: list[str]) -> list[Finding]:
    guesses = {name: guess for name in sorted(env) if (guess := _guess(name, known)) is not None}
    if not guesses:
        return []
    told = named(f"{name} (perhaps {guess})" if guess else name for name, guess in guesses.items())
    return [
        warning(
            "settings", "setting_unknown", f"No setting of this app: {told}.",
            "The name is misspelt, or of another version: nothing reads it, and the default of what was meant holds.",
            "Rename it, or remove it.",
        )
    ]  # fmt: skip


def _guess(name: str, known: list[str]) -> str | None:
    """Return the nearest right name, "" when none is near; None for a setting that is right or is not ours at all."""
    head = found[0] if (found := _PREFIX.match(name)) else ""
    plain = name.removeprefix(head)
    if plain in known:
        return None
    near = get_close_matches(plain.upper(), known, n=1, cutoff=_ALIKE)
    if near:
        return head + near[0]
    if not plain.startswith(_OURS):
        return None
    return "".join(f"{head}{one}" for one in get_close_matches(plain, known, n=1))


def _placeholders(env: Mapping[str, str]) -> list[Finding]:
    held = [name for name in sorted(env) if _PREFIX.sub("", name) in DEFAULTS and _is_placeholder(env[name])]
    if not held:
        return []
    seen = f"Still as in the example file: {named(held)}."
    cause = "The values there show the form only; no vault, application or address of yours has them."
    return [warning("settings", "setting_placeholder", seen, cause, "Enter your own values; the README's table helps.")]


def _is_placeholder(value: str) -> bool:
    """Return whether a value is a form to be filled in: `your-...`, `<...>`, or the GUID of nobody."""
    text = value.strip().lower()
    return text == _NOBODY or bool(re.search(r"<[^>]+>", text)) or (urlsplit(text).netloc or text).startswith("your-")
