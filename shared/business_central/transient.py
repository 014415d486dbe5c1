"""Refusals of Business Central that pass by themselves, though their status says the request is wrong.

The codes and the English texts are those of reference `docs: error codes` and of recorded answers; a text in another
language is not known here, and its refusal counts as final.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.errors import BCError, BCNotFound, BCRejected

#: BC or its gateway has no place to ask for now: a tenant being moved, upgraded or restored.
_CODES: Final = frozenset({"Internal_TenantUnavailable", "NoEnvironment"})
#: Texts that AL, the SQL server or the OData stack answer with 400: a lock, a lost update, metadata that is being read.
_TEXTS: Final = re.compile(
    r"locked by another (user|session)|done by another session|try again later|deadlock|retry the activity"
    r"|another user has (already )?(changed|modified)|has been changed by another user"
    r"|(tenant|environment|service) is (currently |temporarily )?(unavailable|not available|being)"
    r"|transaction (was|has been) (aborted|rolled back)",
    re.IGNORECASE,
)
_NO_PROPERTY: Final = re.compile(
    r"(?:Could not find a property named '(\w+)'|The property '(\w+)' does not exist)(?: on type '(?:[\w.]*\.)?(\w+)')?"
)
#: What a text quotes: names and values, which a sender may have chosen.
_QUOTED: Final = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|\([^)]*\)")
#: Codes by which BC itself says what is wrong; without one, a gateway or proxy answered.
_FINAL_NOT_FOUND: Final = ("Application_", "Internal_")


def is_transient(error: BCError, known_properties: Mapping[str, frozenset[str]] = MappingProxyType({})) -> bool:
    """Return whether the same request may succeed later.

    `known_properties`: type -> names that `$metadata` has; BC that misses one of them there has lost its metadata for a
    moment. Of a type that is not listed, the names of all of them are known.
    """
    if error.retryable or error.code in _CODES:
        return True
    if isinstance(error, BCNotFound):
        return not error.code.startswith(_FINAL_NOT_FOUND)
    if not isinstance(error, BCRejected):
        return False
    missed = _NO_PROPERTY.search(error.message)
    if missed:
        everywhere = frozenset().union(*known_properties.values())
        return (missed[1] or missed[2]) in known_properties.get(missed[3] or "", everywhere)
    return bool(_TEXTS.search(_QUOTED.sub("", error.message))) or not error.code
