"""Refusals of Business Central that pass by themselves, though their status says the request is wrong.

The codes and the English texts are those of reference `docs: error codes` and of recorded answers. English is asked
for, but an app may know no other language than its author's: what such a text says is not known here, so that its
refusal is final only where the code alone makes it so.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from shared.errors import BCDenied, BCError, BCNotFound, BCRejected

#: `transient`: the same request may succeed later. `final`: it never will. `unclear`: told in words nobody here knows.
type Refusal = Literal["transient", "final", "unclear"]
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
#: Codes that name a rule of BC which no lock, lost update or outage is told with, in whatever language (reference,
#: section 7). `Application_DialogException` is whatever AL code raises, and `Unknown` whatever has no code.
_FINAL_CODES: Final = frozenset({
    "Application_CallbackNotAllowed", "Application_EvaluateException", "Application_FieldValidationException",
    "Application_FilterErrorException", "Application_InvalidGUID", "Application_StringExceededLength", "BadRequest",
    "BadRequest_InvalidOperation", "BadRequest_InvalidRequestUrl", "BadRequest_InvalidToken",
    "BadRequest_MethodNotAllowed", "BadRequest_MethodNotImplemented", "BadRequest_NotFound",
    "BadRequest_RequiredParamNotProvided", "BadRequest_ResourceNotFound", "Internal_CompanyNotFound",
    "Internal_DataNotFoundFilter", "Internal_EntityWithSameKeyExists", "Internal_InvalidTableRelation",
    "Internal_RecordNotFound", "RequestDataInvalid",
})  # fmt: skip
#: Words of English sentences that no sentence of BC's other languages holds.
_ENGLISH: Final = re.compile(
    r"\b(the|this|that|them|there|must|cannot|can't|could|does|doesn't|isn't|are|not|only|you|your|with|which|already"
    r"|blocked|value|required|found|allowed|invalid|equal|enough)\b",
    re.IGNORECASE,
)


def refusal_of(error: BCError, known_properties: Mapping[str, frozenset[str]] = MappingProxyType({})) -> Refusal:
    """Return whether the same request may succeed later; see `is_transient`."""
    if is_transient(error, known_properties):
        return "transient"
    is_known = (
        not isinstance(error, BCRejected)
        or error.code in _FINAL_CODES
        or not error.status  # this app's own words
        or _ENGLISH.search(_QUOTED.sub("", error.message))
    )
    return "final" if is_known else "unclear"


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


def is_permission(error: BCError) -> bool:
    """Whether BC refuses for want of permission; some of its pages check by themselves and answer 400."""
    return isinstance(error, BCDenied) or (error.status == 400 and "permission" in error.message.lower())
